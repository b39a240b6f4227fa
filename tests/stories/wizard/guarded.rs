//! A change that parts a router from its agent is taken back by the router itself; one that works leaves nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use easyisp_tests::router::api::Face;
use easyisp_tests::router::{Mishap, Router};
use serde_json::{Value, json};

use super::breaks::different;
use super::roof::{Roof, both, plain};

const GUARD: &str = "easyisp:guard";

fn guards(router: &Router) -> usize {
    entries(router).len()
}

/// Those of all agents.
fn entries(router: &Router) -> Vec<BTreeMap<String, String>> {
    let mut state = router.machine().state();
    let mut rows = state.remove("/system scheduler").unwrap_or_default();
    rows.retain(|row| row.get("name").is_some_and(|name| name.starts_with(GUARD)));
    rows
}

/// Step and message of a configuration.
async fn stage(roof: &Roof, id: &str) -> Result<(String, String)> {
    let status = roof.isp.owner.get(&format!("/wizard/{id}/status")).await?;
    let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    Ok((text("step"), text("message")))
}

/// Waits for a step, or a message that says so; the clock goes on a little meanwhile, in which the agent gives up what is on
/// its way to a router that is not reached.
async fn reaches(roof: &Roof, id: &str, wanted: &str) -> Result<String> {
    let (mut last, mut seen) = (Instant::now(), String::new());
    for _ in 0..2 {
        let reached = super::eventually("it comes so far", async || {
            let (step, message) = stage(roof, id).await?;
            seen = format!("{step}: {message}");
            let waits = message.contains("waits") || message.contains("being undone");
            if waits && last.elapsed() > Duration::from_millis(700) {
                last = Instant::now();
                roof.world.clock.advance(Duration::from_secs(6));
            }
            let is_there = step == wanted || message.contains(wanted);
            Ok(is_there.then_some(message))
        })
        .await;
        if let Ok(message) = reached {
            return Ok(message);
        }
    }
    bail!("{wanted} is not reached; it is {seen}")
}

fn configures(roof: &Roof, id: &str) -> tokio::task::JoinHandle<Result<Value>> {
    let (owner, path) = (roof.isp.owner.clone(), format!("/wizard/{id}/configure"));
    tokio::spawn(async move { owner.post(&path, &both()).await })
}

/// J7: nobody saws at the branch that he sits on, and where he does the router puts it back.
#[tokio::test(flavor = "multi_thread")]
async fn what_shuts_the_agent_out_the_router_takes_back_by_itself() -> Result<()> {
    shut_out(Face::Seven).await
}

/// The same at RouterOS 6, with the login from before 6.43.
#[tokio::test(flavor = "multi_thread")]
async fn what_shuts_the_agent_out_the_router_takes_back_by_itself_at_six() -> Result<()> {
    shut_out(Face::Six).await
}

async fn shut_out(face: Face) -> Result<()> {
    let mut roof = Roof::open_at(face, "shut").await?;
    let id = roof.bring_up("Tower").await?;
    let before = plain(&roof.router);

    // The agent's cable is at ether2, and no table of the router's says so.
    roof.router.agent_behind(Some("ether2"));
    let answer = configures(&roof, &id);
    super::eventually("nobody gets through", async || {
        let (_, message) = stage(&roof, &id).await?;
        Ok(message.contains("waits").then_some(()))
    })
    .await?;
    assert_eq!(guards(&roof.router), 1);
    let cut = plain(&roof.router);
    assert_eq!(
        cut["/interface bridge port"][0]["interface"], "ether2",
        "{cut:?}"
    );
    let entry = entries(&roof.router);
    let secret = roof
        .router
        .machine()
        .rows("/radius", "comment", "easyisp:radius:1");
    let secret = &secret[0]["secret"];
    ensure!(!entry[0]["on-event"].contains(secret), "{entry:?}");

    // The cloud gives up first, and can undo nothing; then the router does.
    roof.world.clock.advance(Duration::from_secs(301));
    reaches(&roof, &id, "waits to be undone").await?;
    roof.world.clock.advance(Duration::from_secs(400));
    roof.router
        .until(|router| (guards(router) == 0).then_some(()))
        .await;
    let message = reaches(&roof, &id, "FAILED").await?;
    ensure!(
        message.contains("The router is as it was before"),
        "{message}"
    );
    assert_eq!(
        different(&before, &plain(&roof.router)),
        Vec::<String>::new()
    );
    let logged = roof.router.machine().logged;
    ensure!(
        logged
            .iter()
            .any(|line| line.contains("nobody called the guard off")),
        "{logged:?}"
    );
    let _in_time_or_not = answer.await?;

    // The cable elsewhere, it works, and nothing is left that could go off.
    roof.router.agent_behind(None);
    let path = format!("/wizard/{id}/configure");
    let said = roof.isp.owner.post(&path, &both()).await?;
    assert_eq!(said["success"], true, "{said}");
    assert_eq!(guards(&roof.router), 0);
    let works = plain(&roof.router);

    // What an agent left is called off by it when it starts again: it got in. So is one of before guards had names, or of
    // an agent that the site has no more.
    let me = roof.agent().overview().site.agent();
    let me = me.context("the agent has an id")?;
    roof.switch_off().await;
    let gone = format!("{GUARD}:{}", uuid::Uuid::from_u128(7));
    roof.router.configure(|machine| {
        for name in [format!("{GUARD}:{me}"), GUARD.to_owned(), gone] {
            let left = [
                ("name", name.as_str()),
                ("start-time", "startup"),
                ("interval", "1m"),
                (
                    "on-event",
                    "/ip pool remove [find where name=\"easyisp-pppoe\"]",
                ),
                ("disabled", "yes"),
            ];
            machine.put("/system scheduler", &left);
        }
    });
    roof.switch_on().await?;
    roof.entered(&id).await?;
    assert_eq!(guards(&roof.router), 0, "{:?}", entries(&roof.router));
    assert_eq!(plain(&roof.router), works);

    // A device whose mode knows no scheduler is configured all the same, and that is said.
    roof.router
        .configure(|machine| machine.put_all("/system device-mode", "scheduler", "no"));
    let said = roof.isp.owner.post(&path, &both()).await?;
    assert_eq!(said["success"], true, "{said}");
    let first = said["results"][0].as_str().unwrap_or_default();
    ensure!(
        first.contains("cannot take it back by itself") && first.contains("device-mode"),
        "{said}"
    );
    roof.close().await
}

/// The box dies half-way and stays away, and the router's power is cut besides: it is as it was all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_outlives_the_agent_and_a_start_of_the_router() -> Result<()> {
    let mut roof = Roof::open("outlives").await?;
    let id = roof.bring_up("Tower").await?;
    let before = plain(&roof.router);
    // So that the router is older than the guard's patience.
    roof.world.clock.advance(Duration::from_secs(1200));
    roof.entered(&id).await?;

    roof.router.mishap("/ip/hotspot/add", Mishap::Unplug);
    let answer = configures(&roof, &id);
    super::eventually("it is waited for", async || {
        let (_, message) = stage(&roof, &id).await?;
        Ok(message.contains("waits").then_some(()))
    })
    .await?;
    roof.switch_off().await;
    roof.router.mend();
    ensure!(!different(&before, &plain(&roof.router)).is_empty());

    // Who starts anew is given the whole time anew.
    roof.router.reboot();
    let ran = |router: &Router| {
        let rows = entries(router);
        rows.first().and_then(|row| row.get("run-count").cloned())
    };
    let count = ran(&roof.router);
    roof.world.clock.advance(Duration::from_secs(540));
    super::eventually("the cloud gives up", async || {
        Ok((stage(&roof, &id).await?.0 == "UNDOING").then_some(()))
    })
    .await?;
    roof.router
        .until(|router| (ran(router) != count).then_some(()))
        .await;
    assert_eq!(guards(&roof.router), 1, "nine minutes are not ten");
    roof.world.clock.advance(Duration::from_secs(120));
    roof.router
        .until(|router| (guards(router) == 0).then_some(()))
        .await;
    assert_eq!(
        different(&before, &plain(&roof.router)),
        Vec::<String>::new()
    );

    roof.switch_on().await?;
    let message = reaches(&roof, &id, "FAILED").await?;
    ensure!(
        message.contains("The router is as it was before"),
        "{message}"
    );
    assert_eq!(
        different(&before, &plain(&roof.router)),
        Vec::<String>::new()
    );
    let _in_time_or_not = answer.await?;
    roof.close().await
}

/// What is mended by hand is guarded too, where it may shut the agent out.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_repaired_is_guarded_until_the_agent_enters_anew() -> Result<()> {
    repaired(Face::Seven).await
}

/// The same at RouterOS 6, with the login from before 6.43.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_repaired_is_guarded_until_the_agent_enters_anew_at_six() -> Result<()> {
    repaired(Face::Six).await
}

async fn repaired(face: Face) -> Result<()> {
    let roof = Roof::open_at(face, "repaired").await?;
    let id = roof.bring_up("Tower").await?;
    let path = format!("/wizard/{id}/configure");
    let said = roof.isp.owner.post(&path, &both()).await?;
    assert_eq!(said["success"], true, "{said}");
    let repair = format!("/nas/{id}/drift/repair");

    // A rule of those that close the router.
    let changed = roof.router.configure(|machine| {
        machine.import("/ppp aaa set use-radius=no\n")?;
        machine.import("/ip firewall filter remove [find where comment=\"easyisp:fw-api\"]\n")
    });
    changed.map_err(anyhow::Error::msg)?;
    let logins = roof.router.counters().api_logins;
    let mended = roof.isp.owner.post(&repair, &json!({})).await?;
    assert_eq!(
        (&mended["isAsWanted"], &mended["problems"]),
        (&json!(true), &json!([])),
        "{mended}"
    );
    assert_eq!(guards(&roof.router), 0);
    assert_eq!(
        roof.router.counters().api_logins - logins,
        1,
        "it was looked at over a connection of its own"
    );

    // The agent's cable, and a port that is to be a bridge's: it is put back, and told as it is.
    let changed = roof.router.configure(|machine| {
        machine.import("/interface bridge port remove [find where interface=\"ether2\"]\n")
    });
    changed.map_err(anyhow::Error::msg)?;
    let before = plain(&roof.router);
    roof.router.agent_behind(Some("ether2"));
    let (status, said) = roof
        .isp
        .owner
        .call(reqwest::Method::POST, &repair, Some(&json!({})))
        .await?;
    ensure!(status.is_server_error(), "{status} {said}");
    assert_eq!(guards(&roof.router), 1);
    roof.world.clock.advance(Duration::from_secs(661));
    roof.router
        .until(|router| (guards(router) == 0).then_some(()))
        .await;
    assert_eq!(
        different(&before, &plain(&roof.router)),
        Vec::<String>::new()
    );
    roof.entered(&id).await?;
    roof.close().await
}
