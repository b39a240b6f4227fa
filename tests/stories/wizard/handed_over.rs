//! A site with two agents: what one of them begins at a router the other one ends, and no guard is left that takes it back.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::{Mishap, Router};
use reqwest::Method;
use serde_json::json;

use super::breaks::different;
use super::roof::{Roof, both, plain};

/// Where a router finds the site's other agent.
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 3);

/// Names of the guards that the router holds.
fn guards(router: &Router) -> Vec<String> {
    let mut state = router.machine().state();
    let rows = state.remove("/system scheduler").unwrap_or_default();
    let names = rows.into_iter().filter_map(|mut row| row.remove("name"));
    names
        .filter(|name| name.starts_with("easyisp:guard"))
        .collect()
}

/// The box that began it dies half-way and is the site's still: what the other one finished stands, ten minutes after.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_agent_began_and_the_other_one_ended_stands() -> Result<()> {
    let mut roof = Roof::open("handed").await?;
    let owner = roof.isp.owner.clone();
    // The first one is asked, as long as it is there.
    roof.world.clock.advance(Duration::from_secs(60));
    let token = owner.join_token().await?;
    let announce = (SECOND, 1815).into();
    let named = |config: &mut easyisp_agent::config::Config| {
        config.peers.announce = Some(announce);
    };
    let (second, _) = roof.world.join_with(&token, named).await?;
    roof.start("Another").await?;
    super::eventually("it has said where it listens", async || {
        let said = owner
            .post("/wizard/start", &json!({"name": "none"}))
            .await?;
        let id = said["routerId"].as_str().context("an id")?;
        let path = format!("/wizard/{id}");
        owner.call(Method::DELETE, &path, None).await?;
        let message = said["message"].as_str().context("a message")?;
        let both = ["10.9.0.2", "10.9.0.3"].map(|agent| message.contains(agent));
        Ok((both == [true, true]).then_some(()))
    })
    .await?;
    let id = roof.bring_up("Tower").await?;

    roof.router.mishap("/ip/hotspot/add", Mishap::Unplug);
    let answer = {
        let (owner, path) = (owner.clone(), format!("/wizard/{id}/configure"));
        tokio::spawn(async move { owner.post(&path, &both()).await })
    };
    let status = format!("/wizard/{id}/status");
    super::eventually("it is waited for", async || {
        let status = owner.get(&status).await?;
        let message = status["message"].as_str().unwrap_or_default();
        Ok(message.contains("waits").then_some(()))
    })
    .await?;
    let first = roof.agent().overview().site.agent();
    let first = format!("easyisp:guard:{}", first.context("it has an id")?);
    assert_eq!(guards(&roof.router), std::slice::from_ref(&first));
    roof.switch_off().await;
    roof.router.mend();
    let mut last = Instant::now();
    super::eventually("the other one ends it", async || {
        let said = owner.get(&status).await?;
        let waits = said["message"]
            .as_str()
            .is_some_and(|it| it.contains("waits"));
        // It is asked again after a while; one that is at work is left the time that it takes.
        if waits && last.elapsed() > Duration::from_millis(700) {
            last = Instant::now();
            roof.world.clock.advance(Duration::from_secs(6));
        }
        ensure!(said["step"] != "FAILED", "{said}");
        Ok((said["step"] == "DONE").then_some(()))
    })
    .await?;
    let _in_time_or_not = answer.await?;
    assert_eq!(guards(&roof.router), [""; 0]);
    let works = plain(&roof.router);

    // What the first one was about to mend when it died is its to keep, or the router's to take back: nobody mends beside it.
    let left = [
        ("name", first.as_str()),
        ("start-time", "startup"),
        ("interval", "1m"),
        (
            "on-event",
            "/ip pool remove [find where name=\"easyisp-pppoe\"]",
        ),
        ("disabled", "no"),
    ];
    roof.router.configure(|machine| {
        machine.put("/system scheduler", &left);
        machine.put_all("/ppp aaa", "use-radius", "no");
    });
    let repair = format!("/nas/{id}/drift/repair");
    let waits = owner.post(&repair, &json!({})).await?;
    assert_eq!(waits["isAsWanted"], false, "{waits}");
    let words = waits["problems"].to_string();
    ensure!(words.contains("another agent's guard stands"), "{waits}");
    assert_eq!(guards(&roof.router), std::slice::from_ref(&first));
    // One that somebody switched off never goes off: it is waited for by nobody.
    let off = format!("/system scheduler set [find where name=\"{first}\"] disabled=yes\n");
    let off = roof.router.configure(|machine| machine.import(&off));
    off.map_err(anyhow::Error::msg)?;
    let mended = owner.post(&repair, &json!({})).await?;
    assert_eq!(mended["isAsWanted"], true, "{mended}");
    assert_eq!(guards(&roof.router), [""; 0]);

    // Its scheduler goes on, and has nothing that goes off.
    let ran = |router: &Router| {
        let machine = router.machine();
        let mut rows = machine.rows("/system scheduler", "name", "easyisp:heartbeat");
        rows.pop().and_then(|mut row| row.remove("run-count"))
    };
    let count = ran(&roof.router);
    roof.world.clock.advance(Duration::from_secs(660));
    roof.router
        .until(|router| (ran(router) != count).then_some(()))
        .await;
    let differs = different(&works, &plain(&roof.router));
    ensure!(differs.is_empty(), "{differs:?}");
    let logged = roof.router.machine().logged;
    let went_off = logged.iter().any(|line| line.contains("guard off"));
    ensure!(!went_off, "{logged:?}");
    second.stop().await;
    roof.close().await
}
