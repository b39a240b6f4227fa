//! What a router's script makes of SNMP: version 3 by a user of its own, and nothing for whoever knows `public`.

use anyhow::{Context, Result, ensure};
use easyisp_tests::net_snmp::Snmpd;
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::{Value, json};

use crate::drift::CHOICE;

/// The script is imported; a real server with the user that stands on the router then is read by the agent, with
/// nothing said but its port. The router lives from then on, whatever its API says. Who changes a password by hand is found
/// out, and it is put back.
#[tokio::test(flavor = "multi_thread")]
async fn the_script_has_a_router_watched_by_a_user_of_its_own() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "scripted").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let nas = format!("/nas/{}", site.router_id);
    let take = async || {
        let taken = isp.owner.get(&format!("{nas}/config?{CHOICE}")).await?;
        let script = taken["script"].as_str().map(str::to_owned);
        script.context("a script")
    };
    assert_eq!(isp.owner.get("/snmp/status").await?["enabled"], false);
    let script = take().await?;
    ensure!(take().await? == script, "its passwords stay");
    let imported = site.router.configure(|machine| {
        for (port, kind) in [("ether2", "ether"), ("ether3", "ether"), ("wlan1", "wlan")] {
            machine.put("/interface", &[("name", port), ("type", kind)]);
        }
        machine.import(&script)
    });
    imported.map_err(anyhow::Error::msg)?;

    let ours = || {
        let mut rows = site
            .router
            .machine()
            .rows("/snmp community", "default", "yes");
        rows.remove(0)
    };
    let row = ours();
    for (name, wanted) in [
        ("security", "private"),
        ("authentication-protocol", "SHA1"),
        ("encryption-protocol", "AES"),
        ("addresses", "10.9.0.2/32,10.9.0.3/32"),
        ("read-access", "yes"),
        ("write-access", "no"),
    ] {
        assert_eq!(row[name], wanted, "{name}");
    }
    let machine = site.router.machine();
    assert_eq!(machine.rows("/snmp community", "name", "public").len(), 0);
    assert_eq!(machine.first("/snmp", "enabled").as_deref(), Some("yes"));
    let (auth, privacy) = (
        row["authentication-password"].as_str(),
        row["encryption-password"].as_str(),
    );
    ensure!(auth.len() == 24 && privacy.len() == 24 && auth != privacy);

    let shown = isp.owner.get("/snmp/status").await?;
    let device = &shown["devices"][0];
    assert_eq!(
        (&device["version"], &device["community"]),
        (&json!("v3"), &Value::Null),
        "{shown}"
    );
    assert_eq!(device["username"], row["name"].as_str());
    let trail = isp.owner.get("/audit-logs?action=ROUTER_MONITOR").await?;
    assert_eq!(trail["total"], 1, "{trail}");
    let (shown, trail) = (shown.to_string(), trail.to_string());
    for secret in [auth, privacy] {
        ensure!(!shown.contains(secret) && !trail.contains(secret));
    }

    let server = Snmpd::start_with(&[(&row["name"], ("SHA", auth), ("AES", privacy))]).await?;
    let before = isp.owner.get(&nas).await?;
    assert_eq!(before["lastSeen"], Value::Null, "{before}");
    let port = json!({"nasId": site.router_id, "port": server.address.port()});
    isp.owner.post("/snmp/settings", &port).await?;
    eventually("the agent reads it", async || {
        world.clock.advance(std::time::Duration::from_secs(5));
        let shown = isp.owner.get("/snmp/status").await?;
        Ok((shown["devices"][0]["status"] == "ONLINE").then_some(()))
    })
    .await?;
    let router = isp.owner.get(&nas).await?;
    ensure!(router["lastSeen"].is_string(), "{router}");
    assert_eq!(router["status"], "ONLINE", "{router}");

    let by_hand =
        "/snmp community set [find where default=yes] encryption-password=\"guessed-by-hand\"\n";
    let changed = site.router.configure(|machine| machine.import(by_hand));
    changed.map_err(anyhow::Error::msg)?;
    let drift = isp.owner.get(&format!("{nas}/drift?{CHOICE}")).await?;
    let field = &drift["fields"][0];
    assert_eq!(
        (&field["path"], &field["field"], &field["found"]),
        (
            &json!("/snmp community"),
            &json!("encryption-password"),
            &json!("********")
        ),
        "{drift}"
    );
    ensure!(!drift.to_string().contains(privacy), "{drift}");
    let mended = isp
        .owner
        .post(&format!("{nas}/drift/repair?{CHOICE}"), &json!({}))
        .await?;
    assert_eq!(mended["isAsWanted"], true, "{mended}");
    assert_eq!(ours(), row);

    // A community alone is what it is read by from there on.
    let community = json!({"nasId": site.router_id, "community": "read-by-this"});
    let set = isp.owner.post("/snmp/settings", &community).await?;
    assert_eq!(set["version"], "v2c", "{set}");
    server.stop().await?;
    site.stop().await;
    world.stop().await
}
