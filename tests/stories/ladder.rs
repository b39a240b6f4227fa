//! Every rung of the ladder: CoA, Disconnect, the router's API; and what is said when all of them fail.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_shared::id::TenantId;
use easyisp_tests::router::session::Cause;
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::scenario::{ApiManners, Manners};
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use reqwest::Method;
use serde_json::json;

use crate::words::DAY;

const SECOND: Duration = Duration::from_secs(1);

/// A router that ignores Disconnect, refuses it, acknowledges it without effect, or whose ACK is forged: the
/// session is taken off its list, and the list itself is the proof.
/// J3: whether it refuses, is silent or lies, the session is taken off its list; and none that begins after.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_does_not_obey_is_reached_through_its_api() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "ladder").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let gita = isp.add_subscriber("gita", "254712345640", until).await?;
    site.knows("gita", "at all", |_| true).await?;
    let disconnect = format!("/customers/{gita}/disconnect");

    let manners = [
        Manners::Ignore,
        Manners::Nak(501),
        Manners::Nak(503),
        Manners::AckWithoutEffect,
        Manners::ForgedAck,
    ];
    for (before, manners) in (0u64..).zip(manners) {
        site.router.manners(manners);
        let online = site.dial("gita").await.online();
        online.started().await;
        let answer = isp.owner.post(&disconnect, &json!({})).await?;
        assert_eq!(answer["message"], "1 session was ended.", "{manners:?}");
        let (cause, _) = soon("the session ends", online.ended()).await?;
        assert_eq!(cause, Cause::AdminReset);
        assert_eq!(
            site.router.counters().api_removals,
            before + 1,
            "{manners:?}"
        );
    }
    let answer = isp.owner.post(&disconnect, &json!({})).await?;
    assert_eq!(answer["message"], "Nobody was online.");

    site.router.manners(Manners::Obey);
    let online = site.dial("gita").await.online();
    online.started().await;
    isp.owner.post(&disconnect, &json!({})).await?;
    soon("the session ends", online.ended()).await?;
    assert_eq!(
        site.router.counters().api_removals,
        5,
        "an obedient router needs no API"
    );

    site.stop().await;
    world.stop().await
}

/// Neither CoA nor the API ends it: nobody is told that it is done, and it goes on being tried.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_rung_reaches_is_not_called_done() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "stuck").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let hana = isp.add_subscriber("hana", "254712345641", until).await?;
    site.knows("hana", "at all", |_| true).await?;
    site.router.manners(Manners::Nak(501));
    site.router.api_manners(ApiManners::RefuseRemoval);
    let online = site.dial("hana").await.online();
    online.started().await;

    let path = format!("/customers/{hana}/disconnect");
    let answer = isp.owner.post(&path, &json!({})).await?;
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(message.contains("did not confirm"), "{answer}");
    assert!(online.session().is_some());
    let me = isp.owner.get("/tenant/me").await?;
    let tenant: TenantId = me["id"].as_str().context("a tenant")?.parse()?;
    let result = eventually("the command's result", async || {
        world.clock.advance(SECOND);
        let mut tx = world.db().begin(tenant).await?;
        let told: Option<Option<String>> = sqlx::query_scalar(
            "select result from commands where tenant_id = $1 order by issued_at desc limit 1",
        )
        .bind(tx.tenant())
        .fetch_optional(&mut *tx)
        .await?;
        Ok(told.flatten())
    })
    .await?;
    assert!(result.contains("not enough permissions"), "{result}");

    // The router comes to its senses, and what must not be online is tried again.
    site.router.api_manners(ApiManners::Obey);
    isp.owner
        .call(
            Method::POST,
            &format!("/customers/{hana}/suspend"),
            Some(&json!({})),
        )
        .await?;
    soon("the session ends", online.ended()).await?;

    site.stop().await;
    world.stop().await
}

/// J1: a new speed that the router acknowledges and does not take over is seen in its queue; the session begins
/// anew with the right one.
#[tokio::test(flavor = "multi_thread")]
async fn a_speed_is_read_back_from_the_router() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "readback").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let ivy = isp.add_subscriber("ivana", "254712345642", until).await?;
    site.knows("ivana", "at all", |_| true).await?;
    let online = site.dial("ivana").await.online();
    online.started().await;
    let faster = isp.owner.add_package("Home 30", 30, 1500, 2).await?;

    site.router.manners(Manners::AckWithoutEffect);
    let change = format!("/customers/{ivy}/package");
    isp.owner
        .put(&change, &json!({"packageId": faster}))
        .await?;
    soon("the old session ends", online.ended()).await?;
    let again = eventually("a session with the new speed", async || {
        Ok(match site.dial("ivana").await {
            Dial::Online(online) => Some(online),
            Dial::Rejected(_) | Dial::NoAnswer | Dial::Unproven => None,
        })
    })
    .await?;
    let rate = again
        .session()
        .and_then(|session| session.grants.rate_limit);
    assert_eq!(rate.as_deref(), Some("30M/30M"));

    site.stop().await;
    world.stop().await
}
