//! A router that is not as its set-up makes it any more is named among the warnings, without anybody looking.

use anyhow::{Context, Result, ensure};
use easyisp_tests::world::eventually;
use serde_json::{Value, json};

use super::roof::{Roof, both};
use crate::alerts::{Box, minutes, names};
use crate::words::MINUTE;

/// A hand switches RADIUS off: within the hour it stands in the router's warnings; repaired, it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_drifts_is_told_within_the_hour_and_after_its_repair_no_more() -> Result<()> {
    let roof = Roof::open("drifts").await?;
    let owner = &roof.isp.owner;
    let id = roof.bring_up("Tower").await?;
    let done = owner
        .post(&format!("/wizard/{id}/configure"), &both())
        .await?;
    assert_eq!(done["success"], true, "{done}");
    let nas = format!("/nas/{id}");
    owner
        .post(&format!("{nas}/configurations"), &json!({}))
        .await?;
    let warning = async || -> Result<Option<Value>> {
        let router = owner.get(&nas).await?;
        let warnings = router["warnings"].as_array().context("warnings")?;
        let found = warnings
            .iter()
            .find(|one| one["code"] == "CONFIGURATION_DRIFT");
        Ok(found.cloned())
    };
    ensure!(warning().await?.is_none(), "it is as it was set up");

    let typed = roof
        .router
        .configure(|machine| machine.import("/ppp aaa set use-radius=no\n"));
    typed.map_err(anyhow::Error::msg)?;
    let told = eventually("it is told", async || {
        let told = warning().await?;
        if told.is_none() {
            roof.world.clock.advance(MINUTE);
        }
        Ok(told)
    })
    .await?;
    let message = told["message"].as_str().context("a message")?;
    ensure!(message.contains("/ppp aaa use-radius"), "{told}");
    ensure!(told["since"].is_string(), "{told}");

    let drift = "CONFIGURATION_DRIFT";
    let shown = minutes(
        &roof.world,
        &roof.isp,
        Box::On,
        "people are told",
        |shown| names(shown).contains(&drift),
    )
    .await?;
    let alerts = shown["alerts"].as_array().context("alerts")?;
    let alert = alerts.iter().find(|alert| alert["rule"] == drift);
    let alert = alert.context("an alert")?;
    assert_eq!(
        (&alert["severity"], &alert["nasId"], &alert["value"]),
        (&json!("warning"), &json!(id), &json!(1.0)),
        "{alert}"
    );
    assert_eq!(
        alert["message"],
        "Tower: 1 setting (/ppp aaa use-radius) differ from its set-up"
    );

    let mended = owner
        .post(&format!("{nas}/drift/repair"), &json!({}))
        .await?;
    assert_eq!(mended["isAsWanted"], true, "{mended}");
    eventually("it is told no more", async || {
        let told = warning().await?;
        if told.is_some() {
            roof.world.clock.advance(MINUTE);
        }
        Ok(told.is_none().then_some(()))
    })
    .await?;
    minutes(&roof.world, &roof.isp, Box::On, "it is over", |shown| {
        !names(shown).contains(&drift)
    })
    .await?;
    let all = owner.get("/snmp/alerts?all=true").await?;
    let all = all["alerts"].as_array().context("alerts")?;
    let told: Vec<_> = all.iter().filter(|one| one["rule"] == drift).collect();
    assert_eq!((told.len(), &told[0]["id"]), (1, &alert["id"]), "{told:?}");
    ensure!(told[0]["clearedAt"].is_string(), "{told:?}");
    roof.close().await
}
