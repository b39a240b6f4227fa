//! A router that is not as its set-up makes it any more is named among the warnings, without anybody looking.

use anyhow::{Context, Result, ensure};
use easyisp_tests::world::eventually;
use serde_json::{Value, json};

use super::roof::{Roof, both};
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
    roof.close().await
}
