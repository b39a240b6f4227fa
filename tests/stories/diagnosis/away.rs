//! The site is away: what the cloud says then is what it knew, and it says so.

use anyhow::{Context, Result, ensure};
use easyisp_tests::world::eventually;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::{Place, is_refused, later, nothing, says, shows};
use crate::words::{DAY, HOUR};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_site_is_away_that_is_the_cause_with_since_when() -> Result<()> {
    let mut place = Place::open("faraway").await?;
    let imara = place.customer("imara").await?;
    let pendo = place.customer("pendo").await?;
    let online = place.site.dial("imara").await.online();
    online.started().await;
    is_refused(place.equipment("pendo", "wrong")).await?;
    place.logged(&pendo).await?;
    place.site.reported().await?;
    later(&place.world);
    place.site.stop_agent().await;
    eventually("the cloud has noticed", async || {
        Ok((place.world.cloud().app.agents.count() == 0).then_some(()))
    })
    .await?;
    place.post(&pendo, "suspend", nothing()).await?;

    for customer in [&imara, &pendo] {
        let found = place.ask(customer).await?;
        assert_eq!(found["cause"], "AGENT_DOWN", "{found}");
        assert_eq!(found["source"], "CLOUD");
        assert_eq!(found["site"]["connected"], false);
        let since = found["site"]["lastSeen"].as_str().unwrap_or_default();
        ensure!(
            !since.is_empty() && says(&found["sentence"], since),
            "{found}"
        );
        ensure!(
            says(
                &found["action"],
                "Check power and internet of the box at Main site"
            ),
            "{found}"
        );
    }
    let found = place.ask(&imara).await?;
    assert_eq!(found["online"], true, "as it was last told");
    ensure!(shows(&found, "He was online at Tower"), "{found}");
    let found = place.ask(&pendo).await?;
    ensure!(shows(&found, "The password is wrong."), "{found}");
    ensure!(shows(&found, "Suspended by an operator."), "{found}");

    // Back again, and forgetful: what happened before its restart is known from the cloud.
    place.post(&pendo, "activate", nothing()).await?;
    place.site.start_agent().await?;
    place.site.caught_up().await?;
    place
        .comes_to_find(&pendo, "WRONG_PASSWORD", "Enter his user name")
        .await?;
    place.comes_to_find(&imara, "ONLINE", "").await?;
    place.close().await
}

/// Lines of the log that were written before outcomes had words are for people: nothing is decided on them.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_log_without_words_decides_nothing() -> Result<()> {
    let mut place = Place::open("oldlog").await?;
    let baraka = place.customer("baraka").await?;
    is_refused(place.equipment("baraka", "wrong")).await?;
    place.logged(&baraka).await?;
    let mut owner = PgConnection::connect_with(&place.world.database.owner()).await?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(place.tenant().await?.to_string())
        .execute(&mut owner)
        .await?;
    let aged = sqlx::query("update auth_log set outcome = null")
        .execute(&mut owner)
        .await?;
    assert_eq!(aged.rows_affected(), 1);
    place.site.stop_agent().await;
    place.site.start_agent().await?;
    place.site.caught_up().await?;
    place.comes_to_find(&baraka, "NEVER_ASKED", "").await?;
    place.close().await
}

/// Beyond what he paid a site serves only as long as its lease says: who is refused for that is told by the box itself,
/// while the cloud cannot be asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_heard_nothing_for_too_long_says_so() -> Result<()> {
    let mut place = Place::open("outoflease").await?;
    place.isp.subscribe(&place.world).await?;
    let grace = json!({"graceMinutes": 30 * 24 * 60});
    place.isp.owner.put("/tenant/enforcement", &grace).await?;
    let zahra = place.customer("zahra").await?;
    let over = place.world.clock.now().minus(HOUR);
    let expiry = json!({"expiresAt": over.to_string()});
    let path = format!("/customers/{zahra}/expiry");
    place.isp.owner.put(&path, &expiry).await?;
    let is_over = |known: &easyisp_agent::site::Subscriber| known.entitlement.paid_until <= over;
    place.site.knows("zahra", "his end", is_over).await?;
    let in_grace = place.site.dial("zahra").await.online();
    in_grace.started().await;
    assert!(in_grace.hang_up().await, "grace lasts");

    place.world.stop_cloud().await?;
    place.site.cut_off().await?;
    place.world.clock.advance(15 * DAY);
    is_refused(place.equipment("zahra", "zahra")).await?;
    let status = place.site.agent().status();
    let why = format!("http://{status}/why/zahra");
    let told = reqwest::get(&why).await?.text().await?;
    let line = told.lines().nth(1).context("a cause")?;
    ensure!(
        line.starts_with("LEASE_OVER: this site had not heard from the cloud for too long"),
        "{told}"
    );
    ensure!(line.contains("keeps its line to the cloud"), "{told}");

    // Heard again, it serves, and the refusal does not stand any more.
    place.world.start_cloud().await?;
    place.site.caught_up().await?;
    eventually("the lease is longer", async || {
        let told = reqwest::get(&why).await?.text().await?;
        Ok(told.contains("NOT_ASKING").then_some(()))
    })
    .await?;
    place.site.dial("zahra").await.online();
    place.close().await
}

/// A box whose card takes no write has not heard of who was just added; it is asked all the same, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_added_while_the_box_cannot_write_is_unknown_there() -> Result<()> {
    let place = Place::open("slowcard").await?;
    let cache = place.site.config().data_dir.join("cache.db");
    let card = rusqlite::Connection::open(cache)?;
    card.execute_batch("begin immediate")?;
    let until = place.world.clock.now().plus(30 * DAY).to_string();
    let owner = &place.isp.owner;
    let neema = owner
        .add_customer("neema", &place.isp.package, "254712345699", &until)
        .await?;
    let found = place
        .finds(&neema, "UNKNOWN_AT_SITE", "restart the agent of Main site")
        .await?;
    ensure!(
        says(
            &found["sentence"],
            "The agent of Main site does not know him yet"
        ),
        "{found}"
    );
    card.execute_batch("rollback")?;
    place
        .comes_to_find(&neema, "NEVER_ASKED", "Check power, cable")
        .await?;
    place.close().await
}
