//! A thousand devices at one agent, and one with more ports than are watched.

use std::fmt::Write;

use anyhow::{Context, Result};
use easyisp_agent::config::Config;
use easyisp_agent::site::description::{Description, router_id};
use easyisp_agent::{Agent, AgentOptions, Source};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::down::secret_place;
use easyisp_shared::wire::monitor::{MonitoredV1, SnmpAccessV1};
use easyisp_shared::wire::{Down, DownKind, DownRecord};
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
        source: described(port)?,
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
    agent.stop().await;
    router.stop().await;
    Ok(())
}

fn described(port: u16) -> Result<Source> {
    let name = |number: usize| format!("device{number:04}");
    let row = |number: usize| {
        json!({
            "name": name(number), "address": "127.0.0.1",
            "source": format!("127.9.{}.{}/32", number / 250, number % 250 + 1),
            "secret": "a-long-shared-secret", "coa_port": 3799,
        })
    };
    let words = json!({
        "packages": [], "subscribers": [], "routers": (0..MANY).map(row).collect::<Vec<_>>(),
    });
    let words: Description = serde_json::from_value(words)?;
    let (key, entropy) = (SealKey::new([5; 32]), Entropy::seeded(1));
    let mut rows = words.rows(&key, &entropy, 1);
    for number in 0..MANY {
        let router = router_id(&name(number));
        let place = secret_place(DownKind::Monitored, router.0, "community");
        let down = Down::Monitored(MonitoredV1 {
            router,
            port,
            interval_secs: 60,
            access: SnmpAccessV1::Community(key.seal(&place, b"public", &entropy)),
        });
        rows.push(DownRecord {
            kind: down.kind().code(),
            id: router.0,
            version: 1,
            body: Some(down.encode()),
        });
    }
    Ok(Source::Described { rows, key })
}

/// Of a switch with 140 ports 128 are watched, and that twelve are not is said.
#[tokio::test(flavor = "multi_thread")]
async fn ports_beyond_what_is_watched_are_said() -> Result<()> {
    const PORTS: u32 = 140;
    let folder = tempfile::tempdir()?;
    let recording = folder.path().join("large.snmprec");
    std::fs::write(&recording, switch(PORTS))?;
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

/// A switch as snmpsim replays it.
fn switch(ports: u32) -> String {
    let mut rows: Vec<(Vec<u32>, String)> = Vec::new();
    let mut put = |name: &str, kind: &str, value: String| {
        let arcs: Vec<u32> = name.split('.').filter_map(|arc| arc.parse().ok()).collect();
        rows.push((arcs, format!("{name}|{kind}|{value}")));
    };
    put("1.3.6.1.2.1.1.1.0", "4", "A large switch".to_owned());
    put("1.3.6.1.2.1.1.2.0", "6", "1.3.6.1.4.1.99999.1".to_owned());
    put("1.3.6.1.2.1.1.3.0", "67", "123456".to_owned());
    for index in 1..=ports {
        let entry = "1.3.6.1.2.1.2.2.1";
        put(&format!("{entry}.2.{index}"), "4", format!("port {index}"));
        for (column, value) in [(3, 6), (7, 1), (8, 1)] {
            put(&format!("{entry}.{column}.{index}"), "2", value.to_string());
        }
        let entry = "1.3.6.1.2.1.31.1.1.1";
        put(
            &format!("{entry}.1.{index}"),
            "4",
            format!("ge-0/0/{index}"),
        );
        for column in [6, 10] {
            put(
                &format!("{entry}.{column}.{index}"),
                "70",
                index.to_string(),
            );
        }
    }
    rows.sort();
    rows.into_iter().fold(String::new(), |mut text, (_, row)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{row}");
        text
    })
}
