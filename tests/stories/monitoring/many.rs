//! A thousand devices at one agent, and one with more ports than are watched.

use anyhow::{Context, Result};
use easyisp_agent::config::Config;
use easyisp_agent::{Agent, AgentOptions};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use easyisp_tests::devices::{self, Switch};
use easyisp_tests::net_snmp::SnmpSim;
use easyisp_tests::ports;
use easyisp_tests::router::snmp::Snmp;
use easyisp_tests::router::{Router, Settings};
use easyisp_tests::world::{Provider, START, Site, World, eventually};
use serde_json::json;

use crate::words::MINUTE;

const MANY: usize = 1_000;

/// Everybody has his turn, and is told of.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_devices_are_read_each_at_its_turn() -> Result<()> {
    let clock = Clock::test(START);
    let folder = tempfile::tempdir()?;
    let mut config = Config {
        data_dir: folder.path().to_owned(),
        ..Config::default()
    };
    config.radius.auth = ports::free_here()?;
    config.radius.acct = ports::free_here()?;
    config.status.listen = ports::free_here()?;
    config.site.ranges.push("127.0.0.0/8".parse()?);
    let settings = Settings {
        snmp: Some(Snmp::new("public")),
        ..Settings::new(
            "a-long-shared-secret",
            config.radius.auth,
            config.radius.acct,
        )
    };
    let router = Router::start_on(settings, clock.clone(), Entropy::system()).await?;
    let port = router.snmp().context("SNMP")?.port();
    let agent = Agent::start(AgentOptions {
        config,
        clock: clock.clone(),
        entropy: Entropy::system(),
        source: devices::site(port, MANY, 60, |_| "public".to_owned())?,
    })
    .await?;
    let overview = agent.overview().clone();
    eventually("all are read and told of", async || {
        clock.advance(MINUTE / 60);
        let overview = overview.clone();
        let report = tokio::task::spawn_blocking(move || overview.report()).await?;
        let told: u64 = report.waiting.values().sum();
        Ok((told >= MANY as u64).then_some(()))
    })
    .await?;
    let counted = agent.overview().counters.all();
    assert!(counted["snmp_read"] >= MANY as u64, "{counted:?}");
    assert_eq!(counted.get("snmp_silent"), None);
    agent.stop().await;
    router.stop().await;
    Ok(())
}

/// Of a switch with 140 ports 128 are watched, and that twelve are not is said.
#[tokio::test(flavor = "multi_thread")]
async fn ports_beyond_what_is_watched_are_said() -> Result<()> {
    const PORTS: u32 = 140;
    let folder = tempfile::tempdir()?;
    let recording = folder.path().join("large.snmprec");
    std::fs::write(&recording, Switch::new(PORTS)?.recording())?;
    let server = SnmpSim::start(&[recording]).await?;
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "largeswitch").await?;
    let site = Site::open(&world, &isp).await?;
    let settings = json!({"nasId": site.router_id, "community": "large", "version": "v2c",
        "port": server.address.port()});
    isp.owner.post("/snmp/settings", &settings).await?;
    let shown = eventually("it is read at its turn", async || {
        world.clock.advance(MINUTE / 12);
        let shown = isp.owner.get("/snmp/status").await?;
        Ok((shown["devices"][0]["status"] == "ONLINE").then_some(shown))
    })
    .await?;
    assert_eq!(shown["devices"][0]["portsLeftOut"], PORTS - 128, "{shown}");
    site.stop().await;
    world.stop().await
}
