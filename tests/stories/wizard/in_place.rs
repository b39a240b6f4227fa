//! Rules of a firewall stand where they stood, whoever undoes what moved them; and nothing that is mended closes a router to
//! the agent that mends it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::{Mishap, Router};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::breaks::different;
use super::roof::{Roof, both, plain};

const FILTER: &str = "/ip firewall filter";

/// Comments of its rules, in order.
fn rules(router: &Router) -> Vec<String> {
    let mut state = router.machine().state();
    let rows = state.remove(FILTER).unwrap_or_default().into_iter();
    rows.filter_map(|mut row| row.remove("comment")).collect()
}

/// A router that is configured, and on which somebody then let himself in by a rule above ours; the way to configure it.
async fn let_in_by_hand(name: &str) -> Result<(Roof, String, String)> {
    let roof = Roof::open(name).await?;
    let id = roof.bring_up("Tower").await?;
    let configure = format!("/wizard/{id}/configure");
    let done = roof.isp.owner.post(&configure, &both()).await?;
    assert_eq!(done["success"], true, "{done}");
    let ours = rules(&roof.router);
    // All of ours are below his; and the last step has something to do, so that it can break.
    let by_hand = "/ip firewall filter add chain=input action=accept protocol=tcp dst-port=8729 comment=\"his\"\n\
                   :foreach one in=[/ip firewall filter find where comment~\"^easyisp:\"] do={ /ip firewall filter move $one }\n\
                   /system logging remove [find where action=\"easyisp1\"]\n";
    let changed = roof.router.configure(|machine| machine.import(by_hand));
    changed.map_err(anyhow::Error::msg)?;
    let stands = rules(&roof.router);
    let place = |wanted: &str| stands.iter().position(|one| one == wanted);
    ensure!(stands != ours && place("his") < place("easyisp:fw-api"));
    Ok((roof, id, configure))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_moves_the_rules_back_that_it_moved() -> Result<()> {
    let (roof, _, configure) = let_in_by_hand("undo").await?;
    let stood = rules(&roof.router);
    let refused = Mishap::Refuse("failure: not this one".to_owned());
    roof.router.mishap("/system/logging/add", refused);
    let said = roof.isp.owner.post(&configure, &both()).await?;
    let message = said["message"].as_str().context("a message")?;
    ensure!(
        message.contains("The router is as it was before"),
        "{message}"
    );
    assert_eq!(rules(&roof.router), stood);
    roof.router.mend();
    let said = roof.isp.owner.post(&configure, &both()).await?;
    assert_eq!(said["success"], true, "{said}");
    ensure!(rules(&roof.router) != stood, "ours came before his");
    roof.close().await
}

/// A port goes from one bridge of ours to the other, in both directions, and back where the rest does not come about.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_moves_a_port_back_to_the_bridge_that_it_was_in() -> Result<()> {
    let roof = Roof::open("ports").await?;
    let id = roof.bring_up("Tower").await?;
    let configure = format!("/wizard/{id}/configure");
    let serving = |pppoe: &[&str], hotspot: &[&str]| {
        let mut wish = both();
        wish["pppoeConfig"]["interfaces"] = json!(pppoe);
        wish["hotspotConfig"]["interfaces"] = json!(hotspot);
        wish
    };
    let done = serving(&["ether2", "ether3"], &["ether4", "wlan1"]);
    let done = roof.isp.owner.post(&configure, &done).await?;
    assert_eq!(done["success"], true, "{done}");
    // The last step has something to do, so that it can break.
    let removed = "/system logging remove [find where action=\"easyisp1\"]\n";
    let removed = roof.router.configure(|machine| machine.import(removed));
    removed.map_err(anyhow::Error::msg)?;
    let stood = plain(&roof.router);
    for wish in [
        serving(&["ether2", "ether3", "ether4"], &["wlan1"]),
        serving(&["ether2"], &["ether3", "ether4", "wlan1"]),
        serving(&["ether2", "ether4"], &["ether3", "wlan1"]),
    ] {
        let refused = Mishap::Refuse("failure: not this one".to_owned());
        roof.router.mishap("/system/logging/add", refused);
        let said = roof.isp.owner.post(&configure, &wish).await?;
        let message = said["message"].as_str().context("a message")?;
        ensure!(
            message.contains("The router is as it was before"),
            "{wish}: {message}"
        );
        assert_eq!(different(&stood, &plain(&roof.router)), [""; 0], "{wish}");
        roof.router.mend();
        let done = roof.isp.owner.post(&configure, &wish).await?;
        assert_eq!(done["success"], true, "{done}");
        let back = serving(&["ether2", "ether3"], &["ether4", "wlan1"]);
        let done = roof.isp.owner.post(&configure, &back).await?;
        assert_eq!(done["success"], true, "{done}");
        let removed = "/system logging remove [find where action=\"easyisp1\"]\n";
        let removed = roof.router.configure(|machine| machine.import(removed));
        removed.map_err(anyhow::Error::msg)?;
    }
    roof.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_moves_the_rules_back_that_were_moved() -> Result<()> {
    let (roof, id, configure) = let_in_by_hand("placed").await?;
    let stood = rules(&roof.router);
    roof.router.mishap("/system/logging/add", Mishap::Unplug);
    let answer = {
        let owner = roof.isp.owner.clone();
        tokio::spawn(async move { owner.post(&configure, &both()).await })
    };
    super::eventually("it is waited for", async || {
        let status = format!("/wizard/{id}/status");
        let status = roof.isp.owner.get(&status).await?;
        let message = status["message"].as_str().unwrap_or_default();
        Ok(message.contains("waits").then_some(()))
    })
    .await?;
    ensure!(rules(&roof.router) != stood, "ours came before his");
    roof.world.clock.advance(Duration::from_secs(661));
    roof.router
        .until(|router| {
            let logged = router.machine().logged;
            let went_off = logged.iter().any(|line| line.contains("guard off"));
            went_off.then_some(())
        })
        .await;
    assert_eq!(rules(&roof.router), stood);
    answer.abort();
    roof.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_mended_that_closes_a_router_to_its_agent() -> Result<()> {
    let (roof, id, _) = let_in_by_hand("closes").await?;
    let stood = roof.router.machine().state();
    // The router sees its agent at 10.9.0.2.
    let repair = format!("/nas/{id}/drift/repair?agents=10.9.0.77");
    let (status, said) = roof
        .isp
        .owner
        .call(Method::POST, &repair, Some(&json!({})))
        .await?;
    assert_eq!(
        (status, &said["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("AGENT_NOT_LISTED")),
        "{said}"
    );
    let message = said.to_string();
    ensure!(
        message.contains("10.9.0.2") && message.contains("10.9.0.77"),
        "{message}"
    );
    ensure!(
        roof.router.machine().state() == stood,
        "nothing was written"
    );
    let mended = format!("/nas/{id}/drift/repair");
    let mended = roof.isp.owner.post(&mended, &json!({})).await?;
    assert_eq!(mended["isAsWanted"], true, "{mended}");
    roof.close().await
}

/// Who was told that nothing is closed, and whose old system enters by the API without TLS.
#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_to_be_closed_the_plain_api_stays_open() -> Result<()> {
    let roof = Roof::open("opened").await?;
    let owner = &roof.isp.owner;
    let plain = || -> Result<bool> {
        let rows = roof.router.machine().rows("/ip service", "port", "8728");
        let mut services = rows.iter().filter(|row| !row.contains_key("dynamic"));
        let service = services.next().context("the service")?;
        Ok(service.get("address").is_none_or(String::is_empty))
    };
    let started = roof.start("Tower").await?;
    let id = started["routerId"].as_str().context("an id")?;
    let open = json!({"routerId": id, "configureFirewall": false});
    let started = owner.post("/wizard/start", &open).await?;
    let message = started["message"].as_str().context("a message")?;
    ensure!(message.contains("nothing is closed"), "{message}");
    let command = started["provisionCommand"].as_str().context("a command")?;
    let pasted = roof.router.paste(command).await;
    pasted.map_err(anyhow::Error::msg)?;
    roof.entered(id).await?;
    ensure!(plain()?, "by its first script");

    let mut wanted = both();
    wanted["configureFirewall"] = json!(false);
    let configure = format!("/wizard/{id}/configure");
    let done = owner.post(&configure, &wanted).await?;
    assert_eq!(done["success"], true, "{done}");
    let drift = owner.get(&format!("/nas/{id}/drift")).await?;
    assert_eq!(drift["isAsWanted"], true, "{drift}");
    let mended = format!("/nas/{id}/drift/repair");
    let mended = owner.post(&mended, &json!({})).await?;
    assert_eq!(mended["isAsWanted"], true, "{mended}");
    ensure!(plain()?, "nor by a repair");
    let done = owner.post(&configure, &both()).await?;
    assert_eq!(done["success"], true, "{done}");
    ensure!(!plain()?, "where somebody wants it closed it is");
    roof.close().await
}
