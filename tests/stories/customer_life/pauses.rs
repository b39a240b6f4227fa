//! Away and back: what is left of somebody's time is kept for him, once.

use anyhow::{Context, Result};
use easyisp_shared::entitlement::Standing;
use easyisp_shared::time::Timestamp;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::Method;
use serde_json::json;

use super::{PHONE, actions, refused};
use crate::words::{DAY, HOUR, MINUTE};

/// Away for three days, he has three days more afterwards: his site stops him at once and lets him back by
/// itself. What was given back is not given again.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_keeps_what_is_left_and_ends_by_itself() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "away").await?;
    let site = Site::open(&world, &isp).await?;
    let now = world.clock.now();
    let end = now.plus(5 * DAY);
    let asha = isp.add_subscriber("asha", PHONE, end).await?;
    site.knows("asha", "at all", |_| true).await?;

    let back = now.plus(3 * DAY);
    let pause = format!("/customers/{asha}/pause");
    let paused = isp
        .owner
        .post(&pause, &json!({"until": back.to_string()}))
        .await?;
    assert_eq!(paused["remainingSecs"], 5 * 86_400);
    site.knows("asha", "away", |known| {
        known.entitlement.standing == Standing::Suspended
    })
    .await?;
    let shown = isp.customer(&asha).await?;
    assert_eq!(
        (&shown["status"], &shown["pausedUntil"]),
        (&json!("SUSPENDED"), &json!(back.to_string()))
    );
    let expiry = format!("/customers/{asha}/expiry");
    let later = json!({"expiresAt": now.plus(50 * DAY).to_string()});
    assert_eq!(refused(&isp, Method::PUT, &expiry, &later).await?, "PAUSED");

    // A minute before, he is still away; then nobody need do anything.
    world.clock.advance(3 * DAY - MINUTE);
    assert_eq!(isp.customer(&asha).await?["status"], "SUSPENDED");
    world.clock.advance(MINUTE);
    let given = end.plus(3 * DAY);
    site.knows("asha", "back, with what was left", |known| {
        known.entitlement.standing == Standing::Active && known.entitlement.paid_until == given
    })
    .await?;
    for _ in 0..2 {
        isp.owner
            .post(&format!("/customers/{asha}/resume"), &json!({}))
            .await?;
    }
    let shown = isp.customer(&asha).await?;
    assert_eq!(
        (&shown["expiresAt"], &shown["pausedAt"]),
        (&json!(given.to_string()), &json!(null))
    );
    let trail = actions(&world, &isp).await?;
    let count = |action: &str| trail.iter().filter(|line| *line == action).count();
    assert_eq!((count("CUSTOMER_PAUSE"), count("CUSTOMER_RESUME")), (1, 1));
    site.stop().await;
    world.stop().await
}

/// A pause ends by hand, by activating, by suspending and by paying; each gives back the time that it lasted
/// and no more, and who has nothing left has nothing to keep.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_a_pause_gives_back_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "ends").await?;
    let asha = isp
        .add_subscriber("asha", PHONE, world.clock.now().plus(DAY))
        .await?;
    let path = |what: &str| format!("/customers/{asha}/{what}");
    let nothing = json!({});
    let mut end = world.clock.now().plus(DAY);
    for what in ["resume", "activate", "suspend"] {
        isp.owner.post(&path("pause"), &nothing).await?;
        // Repeated, it begins no new pause.
        world.clock.advance(HOUR);
        isp.owner.post(&path("pause"), &nothing).await?;
        world.clock.advance(HOUR);
        isp.owner.post(&path(what), &nothing).await?;
        end = end.plus(2 * HOUR);
        let shown = isp.customer(&asha).await?;
        assert_eq!(shown["expiresAt"], end.to_string(), "{what}");
        assert_eq!(shown["pausedAt"], json!(null), "{what}");
    }
    assert_eq!(
        refused(&isp, Method::POST, &path("pause"), &nothing).await?,
        "NOT_ACTIVE"
    );
    isp.owner.post(&path("activate"), &nothing).await?;

    // Too little buys nothing and ends nothing; the rest does.
    isp.owner.post(&path("pause"), &nothing).await?;
    world.clock.advance(2 * HOUR);
    isp.owner
        .post(&path("recharge"), &json!({"amount": 400}))
        .await?;
    let shown = isp.customer(&asha).await?;
    assert_eq!(
        (&shown["status"], &shown["expiresAt"]),
        (&json!("SUSPENDED"), &json!(end.to_string()))
    );
    world.clock.advance(HOUR);
    isp.owner
        .post(&path("recharge"), &json!({"amount": 600}))
        .await?;
    let shown = isp.customer(&asha).await?;
    assert_eq!(shown["status"], "ACTIVE");
    // Three hours given back, and a month from there.
    let from = end.plus(3 * HOUR);
    assert_eq!(from.to_string(), "2027-01-16T17:00:00.000Z");
    assert_eq!(shown["expiresAt"], "2027-02-16T17:00:00.000Z");

    let gone = isp
        .add_subscriber("juma", "254712345611", world.clock.now().plus(HOUR))
        .await?;
    world.clock.advance(2 * HOUR);
    let pause = format!("/customers/{gone}/pause");
    assert_eq!(
        refused(&isp, Method::POST, &pause, &nothing).await?,
        "NOTHING_LEFT"
    );
    for until in ["2027-01-01T00:00:00Z", "2029-01-01T00:00:00Z"] {
        let wrong = json!({"until": until});
        assert_eq!(
            refused(&isp, Method::POST, &path("pause"), &wrong).await?,
            "until"
        );
    }
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// What he bought ahead begins later by as long as he was away, whether he is resumed or pays.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_bought_ahead_waits_for_who_is_away() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "ahead").await?;
    let metered = json!({"name": "Metered", "type": "PPPOE", "price": 100, "downloadSpeed": 5,
        "uploadSpeed": 5, "dataLimit": 1_000_000_000});
    let metered = isp.owner.post("/packages", &metered).await?;
    let metered = metered["id"].as_str().context("an id")?;
    let end = world.clock.now().plus(HOUR);
    let asha = isp
        .owner
        .add_customer("asha", metered, PHONE, &end.to_string())
        .await?;
    let path = |what: &str| format!("/customers/{asha}/{what}");
    let (nothing, price) = (json!({}), json!({"amount": 100}));
    let tenant = isp.tenant().await?;
    let begins = async || -> Result<Vec<Timestamp>> {
        let mut tx = world.db().begin(tenant).await?;
        Ok(
            sqlx::query_scalar("select starts_at from periods order by starts_at")
                .fetch_all(&mut *tx)
                .await?,
        )
    };
    isp.owner.post(&path("recharge"), &price).await?;
    assert_eq!(begins().await?, [end]);

    isp.owner.post(&path("pause"), &nothing).await?;
    world.clock.advance(2 * HOUR);
    isp.owner.post(&path("resume"), &nothing).await?;
    let later = end.plus(2 * HOUR);
    assert_eq!(begins().await?, [later]);
    eventually("it is due to begin then", async || {
        let mut directory = world.db().directory().await?;
        let due: i64 = sqlx::query_scalar(
            "select count(*) from directory.jobs
              where tenant_id = $1 and kind = 'renewals.begin' and due_at = $2",
        )
        .bind(tenant)
        .bind(later)
        .fetch_one(&mut *directory)
        .await?;
        Ok((due == 1).then_some(()))
    })
    .await?;

    isp.owner.post(&path("pause"), &nothing).await?;
    world.clock.advance(HOUR);
    isp.owner.post(&path("recharge"), &price).await?;
    let begun = begins().await?;
    assert_eq!((begun.len(), begun[0]), (2, later.plus(HOUR)));
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}
