//! A device watched over SNMP, from the settings to the graph, through the HTTP API alone.

mod crowd;
mod many;
mod retention;
mod scripted;
mod turns;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_tests::net_snmp::{Snmpd, snmp};
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_device_is_read_at_its_turn_and_shown() -> Result<()> {
    let server = Snmpd::start(&[("shaaes", "SHA-256", "AES")]).await?;
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "watched").await?;
    let site = Site::open(&world, &isp).await?;
    let nas = site.router_id.clone();
    let poll = format!("/snmp/poll/{nas}");
    let status = async || isp.owner.get("/snmp/status").await;
    assert_eq!(status().await?["enabled"], false);
    let (code, answer) = isp.owner.call(Method::GET, &poll, None).await?;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");

    // The contract's own form: a community.
    let settings = json!({"nasId": nas, "community": "public", "version": "v2c",
        "port": server.address.port()});
    let set = isp.owner.post("/snmp/settings", &settings).await?;
    assert_eq!(
        (&set["status"], &set["community"]),
        (&json!("PENDING"), &json!("********")),
        "{set}"
    );
    let read = eventually("the site reads it", async || {
        let (code, read) = isp.owner.call(Method::GET, &poll, None).await?;
        Ok((code == StatusCode::OK).then_some(read))
    })
    .await?;
    let described = snmp("snmpget", server.address, "public", ".1.3.6.1.2.1.1.1.0").await?;
    let names = snmp(
        "snmpbulkwalk",
        server.address,
        "public",
        ".1.3.6.1.2.1.31.1.1.1.1",
    )
    .await?;
    let data = &read["data"];
    assert_eq!(read["nasName"], "Tower");
    assert_eq!(data["system"]["sysDescr"], described[0], "{read}");
    assert_eq!(data["system"]["sysLocation"], "shelf 7");
    let ports = data["interfaces"].as_array().context("interfaces")?;
    let shown: Vec<&str> = ports
        .iter()
        .filter_map(|port| port["ifDescr"].as_str())
        .collect();
    assert_eq!(shown, names);
    ensure!(
        ports[0]["ifInOctets"].is_u64() && ports[0]["ifOperStatus"].is_u64(),
        "{read}"
    );
    let memory = &data["memory"];
    ensure!(
        memory["percent"]
            .as_f64()
            .is_some_and(|it| it > 0.0 && it < 100.0),
        "{memory}"
    );
    // Net-SNMP knows its load after a minute only.
    ensure!(data["cpu"].is_u64() || data["cpu"].is_null(), "{read}");

    // At its own turn, minute by minute; the first reading was told at once.
    let shown = eventually("the cloud hears of it", async || {
        let shown = status().await?;
        Ok((shown["stats"]["online"] == 1).then_some(shown))
    })
    .await?;
    assert_eq!(
        (&shown["version"], &shown["pollInterval"]),
        (&json!("v2c"), &json!(60)),
        "{shown}"
    );
    assert_eq!(shown["devices"][0]["problem"], Value::Null);
    let path = format!("/snmp/metrics?period=1h&nasId={nas}");
    let graph = minutes(&world, async || {
        let graph = isp.owner.get(&path).await?;
        let points = graph["devices"][0]["series"]["memory"]
            .as_array()
            .map_or(0, Vec::len);
        Ok((points >= 5).then_some(graph))
    })
    .await?;
    assert_eq!(graph["step"], 60);
    let device = &graph["devices"][0];
    let memory = device["series"]["memory"][0]["avg"]
        .as_f64()
        .context("a percentage")?;
    ensure!(memory > 0.0 && memory < 100.0, "{device}");
    let first = names.first().context("an interface")?;
    let through = device["interfaces"][first]
        .as_array()
        .context("its points")?;
    ensure!(
        through.iter().any(|point| point["inBps"].is_number()),
        "{through:?}"
    );
    // Longer rows are made of the same readings.
    for (period, step) in [
        ("24h", 300),
        ("7d", 3600),
        ("30d", 14_400),
        ("365d", 86_400),
    ] {
        let graph = isp
            .owner
            .get(&format!("/snmp/metrics?period={period}&nasId={nas}"))
            .await?;
        assert_eq!(graph["step"], step);
        let points = graph["devices"][0]["series"]["memory"]
            .as_array()
            .map_or(0, Vec::len);
        ensure!(points > 0, "{period}: {graph}");
    }
    let all = isp.owner.get("/snmp/metrics?period=24h").await?;
    ensure!(all["devices"][0]["series"]["memory"].is_array(), "{all}");
    assert_eq!(all["devices"][0]["interfaces"], json!({}));
    let (code, _) = isp
        .owner
        .call(Method::GET, "/snmp/metrics?period=2y", None)
        .await?;
    assert_eq!(code, StatusCode::BAD_REQUEST);
    // What it says of itself stands at the router, which has no API here.
    let router = isp.owner.get(&format!("/nas/{nas}")).await?;
    ensure!(
        router["memoryUsage"].is_i64() && router["uptime"].is_string(),
        "{router}"
    );

    // A device without an API is seen where routers are.
    let stats = isp
        .owner
        .get(&format!("/mikrotik/{nas}/system-stats"))
        .await?;
    assert_eq!(stats["platform"], described[0], "{stats}");
    ensure!(
        stats["memoryTotal"].is_u64() && stats["uptimeSecs"].is_u64(),
        "{stats}"
    );
    let seen = isp
        .owner
        .get(&format!("/mikrotik/{nas}/interfaces"))
        .await?;
    let seen = seen["interfaces"].as_array().context("interfaces")?.clone();
    let shown: Vec<&str> = seen
        .iter()
        .filter_map(|port| port["name"].as_str())
        .collect();
    assert_eq!(shown, names);
    let (code, answer) = isp
        .owner
        .call(Method::GET, &format!("/mikrotik/{nas}/logs"), None)
        .await?;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");

    // SNMPv3 in place of it; its words are in no answer and no trail.
    let three = json!({"nasId": nas, "version": "v3", "username": "shaaes", "authProtocol": "SHA-256",
        "authPassword": "auth-password", "privacyProtocol": "AES", "privacyPassword": "priv-password"});
    let set = isp.owner.post("/snmp/settings", &three).await?;
    assert_eq!(
        (&set["version"], &set["authProtocol"]),
        (&json!("v3"), &json!("SHA256")),
        "{set}"
    );
    eventually("the site reads it as the user", async || {
        let known = site.agent().overview().site.all_monitored();
        let three = known
            .iter()
            .any(|one| one.interval_secs == 60 && one.is_user());
        let (code, _) = isp.owner.call(Method::GET, &poll, None).await?;
        Ok((three && code == StatusCode::OK).then_some(()))
    })
    .await?;
    let trail = isp.owner.get("/audit-logs").await?.to_string();
    ensure!(trail.contains("ROUTER_MONITOR"), "{trail}");
    ensure!(!trail.contains("auth-password") && !trail.contains("priv-password"));
    let wrong = json!({"nasId": nas, "authPassword": "wrong-password"});
    isp.owner.post("/snmp/settings", &wrong).await?;
    let answer = eventually("the password is wrong", async || {
        let (code, answer) = isp.owner.call(Method::GET, &poll, None).await?;
        Ok((code == StatusCode::BAD_GATEWAY).then_some(answer))
    })
    .await?;
    let said = answer["message"].as_str().unwrap_or_default();
    ensure!(said.contains("authentication password"), "{said}");

    // It falls silent: that is said, and said again when it is back.
    isp.owner.post("/snmp/settings", &three).await?;
    let address = server.address;
    server.stop().await?;
    let shown = minutes(&world, async || {
        let shown = status().await?;
        let problem = shown["devices"][0]["problem"].as_str().unwrap_or_default();
        Ok(problem.contains("does not answer SNMP").then_some(shown))
    })
    .await?;
    assert_eq!(
        shown["stats"],
        json!({"total": 1, "online": 0, "offline": 1})
    );
    let counted = site.agent().overview().counters.all();
    ensure!(counted["snmp_silent"] > 0, "{counted:?}");
    let server = Snmpd::start_on(address, &[("shaaes", "SHA-256", "AES")]).await?;
    minutes(&world, async || {
        Ok((status().await?["stats"]["online"] == 1).then_some(()))
    })
    .await?;

    let off = format!("/snmp/settings/{nas}");
    let (code, _) = isp.owner.call(Method::DELETE, &off, None).await?;
    assert_eq!(code, StatusCode::OK);
    let (code, _) = isp.owner.call(Method::DELETE, &off, None).await?;
    assert_eq!(code, StatusCode::NOT_FOUND);
    assert_eq!(status().await?["enabled"], false);
    eventually("the site forgets it", async || {
        Ok(site
            .agent()
            .overview()
            .site
            .all_monitored()
            .is_empty()
            .then_some(()))
    })
    .await?;
    server.stop().await?;
    site.stop().await;
    world.stop().await
}

/// Lets minutes pass until something is so. Reading takes real time, which the clock of a story does not.
async fn minutes<T>(world: &World, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    for _ in 0..400 {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        world.clock.advance(Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("it did not come to be in 100 minutes")
}
