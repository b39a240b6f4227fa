//! The site is away: what the cloud says then is what it knew, and it says so.

use anyhow::{Result, ensure};
use easyisp_tests::world::eventually;
use sqlx::{Connection, PgConnection};

use super::{Place, is_refused, later, nothing, says, shows};

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
