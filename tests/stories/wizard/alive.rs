//! A router says by itself that it lives: whoever is silent beside it, it is not told as down.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::http_client;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::roof::{Roof, both};

const HEARTBEAT: &str = "easyisp:heartbeat";

/// Lets this much time go by, until the router said once more that it lives.
async fn told(roof: &Roof, span: Duration) {
    let before = roof.router.counters().posts_taken;
    roof.world.clock.advance(span);
    roof.router
        .until(|router| (router.counters().posts_taken > before).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_whose_agent_is_silent_lives_by_its_own_word() -> Result<()> {
    let mut roof = Roof::open("alive").await?;
    let id = roof.bring_up("Tower").await?;
    let nas = format!("/nas/{id}");
    let done = roof
        .isp
        .owner
        .post(&format!("/wizard/{id}/configure"), &both())
        .await?;
    assert_eq!(done["success"], true, "{done}");
    let machine = roof.router.machine();
    let entry = &machine.rows("/system scheduler", "name", HEARTBEAT)[0];
    let event = &entry["on-event"];
    let (address, _) = event.split_once(" http-method=post").context("a post")?;
    ensure!(
        address.ends_with("/provision/alive\""),
        "a secret in an address: {event}"
    );

    // Its agent hears it: nothing of it is noted.
    told(&roof, Duration::from_secs(304)).await;

    // The box goes silent. The router does not.
    roof.switch_off().await;
    super::eventually("the cloud notices", async || {
        let said = roof.isp.owner.get(&format!("/wizard/{id}/verify")).await?;
        Ok((said["apiReachable"] == false).then_some(()))
    })
    .await?;
    told(&roof, Duration::from_secs(1200)).await;
    let shown = roof.isp.owner.get(&nas).await?;
    assert_eq!(shown["status"], "ONLINE", "{shown}");
    let live = roof.isp.owner.get(&format!("{nas}/live-status")).await?;
    let error = live["error"].as_str().unwrap_or_default();
    ensure!(
        error.contains("is not connected")
            && error.contains("The router lives, as it said by itself"),
        "{live}"
    );

    // Nor does who knows no token say anything for it, and a dead one says nothing.
    let post = async |body: &Value| -> Result<StatusCode> {
        let url = format!("http://{}/provision/alive", roof.world.api());
        Ok(http_client().post(url).json(body).send().await?.status())
    };
    let token = "0".repeat(96);
    assert_eq!(post(&json!({"token": token})).await?, StatusCode::NOT_FOUND);
    assert_eq!(post(&json!({"token": id})).await?, StatusCode::NOT_FOUND);
    assert_eq!(post(&json!({})).await?, StatusCode::BAD_REQUEST);
    roof.router.switch_off(true);
    roof.world.clock.advance(Duration::from_secs(1000));
    let shown = roof.isp.owner.get(&nas).await?;
    assert_eq!(shown["status"], "OFFLINE", "{shown}");
    roof.router.switch_off(false);

    // Taken away by hand it is missed, and put back.
    roof.switch_on().await?;
    roof.entered(&id).await?;
    let removed = roof.router.configure(|machine| {
        machine.import("/system scheduler remove [find where name=\"easyisp:heartbeat\"]\n")
    });
    removed.map_err(anyhow::Error::msg)?;
    let drift = roof.isp.owner.get(&format!("{nas}/drift")).await?;
    assert_eq!(
        (&drift["fields"][0]["path"], &drift["fields"][0]["row"]),
        (
            &json!("/system scheduler"),
            &json!("name=easyisp:heartbeat")
        ),
        "{drift}"
    );
    let mended = roof
        .isp
        .owner
        .post(&format!("{nas}/drift/repair"), &json!({}))
        .await?;
    assert_eq!(mended["isAsWanted"], true, "{mended}");
    told(&roof, Duration::from_secs(304)).await;
    roof.close().await
}

/// A device whose mode runs nothing by itself is set up and serves all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_may_not_schedule_is_brought_up_without() -> Result<()> {
    let roof = Roof::open("mute").await?;
    roof.router
        .configure(|machine| machine.put_all("/system device-mode", "scheduler", "no"));
    let id = roof.bring_up("Tower").await?;
    let shown = roof.isp.owner.get(&format!("/nas/{id}")).await?;
    assert_eq!(shown["provisioningStatus"], "Provisioned", "{shown}");
    let done = roof
        .isp
        .owner
        .post(&format!("/wizard/{id}/configure"), &both())
        .await?;
    assert_eq!(done["success"], true, "{done}");
    let drift = roof.isp.owner.get(&format!("/nas/{id}/drift")).await?;
    assert_eq!(drift["isAsWanted"], true, "{drift}");
    roof.close().await
}
