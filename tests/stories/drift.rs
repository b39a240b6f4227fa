//! What a router is to be, against what it is: shown field by field, and mended where it differs.

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::api::Face;
use easyisp_tests::world::{Provider, Site, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

pub const CHOICE: &str = "serviceType=both&release=7&wanInterface=ether1&pppoeInterfaces=ether2&hotspotInterfaces=ether3,\
                      wlan1&agents=10.9.0.2,10.9.0.3";

/// What differs, as `path row field`.
fn named(drift: &Value) -> Vec<String> {
    let text = |field: &Value, name: &str| field[name].as_str().unwrap_or_default().to_owned();
    let fields = drift["fields"].as_array().into_iter().flatten();
    let one = |field| {
        format!(
            "{} {} {}",
            text(field, "path"),
            text(field, "row"),
            text(field, "field")
        )
    };
    fields
        .map(one)
        .map(|name| name.trim_end().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_by_hand_is_shown_and_mended_and_nothing_else() -> Result<()> {
    mended(Face::Seven).await
}

/// The same at RouterOS 6, with the login from before 6.43.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_by_hand_is_shown_and_mended_and_nothing_else_at_six() -> Result<()> {
    mended(Face::Six).await
}

async fn mended(face: Face) -> Result<()> {
    let choice = match face {
        Face::Six => CHOICE.replace("release=7", "release=6"),
        Face::Seven => CHOICE.to_owned(),
    };
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "drift").await?;
    let site = Site::open_with_face(&world, &isp, face).await?;
    let nas = format!("/nas/{}", site.router_id);
    let script = isp.owner.get(&format!("{nas}/config?{choice}")).await?;
    let script = script["script"].as_str().context("a script")?;
    let imported = site.router.configure(|machine| {
        for (port, kind) in [("ether2", "ether"), ("ether3", "ether"), ("wlan1", "wlan")] {
            machine.put("/interface", &[("name", port), ("type", kind)]);
        }
        machine.import(script)
    });
    imported.map_err(anyhow::Error::msg)?;

    let drift = isp.owner.get(&format!("{nas}/drift?{choice}")).await?;
    assert_eq!(named(&drift), Vec::<String>::new(), "{drift}");
    assert_eq!(
        (&drift["isAsWanted"], &drift["problems"]),
        (&json!(true), &json!([])),
        "{drift}"
    );
    ensure!(drift["compared"].as_i64() > Some(60), "{drift}");

    // Somebody tries things out, and writes a rule of his own.
    let before = site.router.configure(|machine| machine.state());
    let by_hand = "/ppp aaa set use-radius=no\n\
                   /radius set [find where comment=\"easyisp:radius:1\"] secret=\"guessed\"\n\
                   /ip firewall nat remove [find where comment=\"easyisp:nat-pppoe\"]\n\
                   /ip firewall nat add chain=srcnat action=accept comment=\"office\"\n";
    let changed = site.router.configure(|machine| machine.import(by_hand));
    changed.map_err(anyhow::Error::msg)?;
    let drift = isp.owner.get(&format!("{nas}/drift?{choice}")).await?;
    assert_eq!(
        named(&drift),
        [
            "/radius comment=easyisp:radius:1 secret",
            "/ppp aaa  use-radius",
            "/ip firewall nat comment=easyisp:nat-pppoe",
        ],
        "{drift}"
    );
    let shown = &drift["fields"];
    assert_eq!(
        (&shown[0]["wanted"], &shown[0]["found"]),
        (&json!("********"), &json!("********"))
    );
    assert_eq!(
        (&shown[1]["wanted"], &shown[1]["found"]),
        (&json!("yes"), &json!("no"))
    );
    assert_eq!(
        (&shown[2]["wanted"], &shown[2]["found"]),
        (&json!("there"), &Value::Null)
    );
    ensure!(!drift.to_string().contains("guessed"), "{drift}");

    let commands = site.router.counters().api_commands;
    let mended = isp
        .owner
        .post(&format!("{nas}/drift/repair?{choice}"), &json!({}))
        .await?;
    assert_eq!(
        (&mended["isAsWanted"], &mended["fields"]),
        (&json!(true), &json!([])),
        "{mended}"
    );
    println!(
        "{} commands to mend it",
        site.router.counters().api_commands - commands
    );
    let after = site.router.configure(|machine| machine.state());
    for (menu, rows) in &before {
        let now = &after[menu];
        for row in rows {
            ensure!(now.contains(row), "{menu} lost {row:?}");
        }
        let more = usize::from(menu == "/ip firewall nat");
        assert_eq!(now.len(), rows.len() + more, "{menu}: {now:?}");
    }

    // A rule that decides before ours, and a server that leases are asked for by and that is gone.
    let filter = "/ip firewall filter";
    site.router
        .configure(|machine| {
            let rules = machine.told("/ip/firewall/filter").unwrap_or_default();
            let number = |comment: &str| {
                let is = |(_, row): &&(String, Vec<(&str, String)>)| {
                    row.contains(&("comment", comment.to_owned()))
                };
                rules
                    .iter()
                    .find(is)
                    .map(|(id, _)| id.clone())
                    .unwrap_or_default()
            };
            let (accept, drop) = (number("easyisp:fw-agent-2-tcp"), number("easyisp:fw-api"));
            machine.move_row("/ip/firewall/filter", &drop, &accept)
        })
        .map_err(anyhow::Error::msg)?;
    let leased = format!("{choice}&dhcpServers=homes");
    let drift = isp.owner.get(&format!("{nas}/drift?{choice}")).await?;
    assert_eq!(
        named(&drift),
        [
            format!("{filter} comment=easyisp:fw-agent-2-tcp place"),
            format!("{filter} comment=easyisp:fw-agent-2-udp place")
        ],
        "{drift}"
    );
    let body = json!({"dhcpRadius": true});
    isp.owner.put(&nas, &body).await?;
    let without = isp.owner.get(&format!("{nas}/drift?{leased}")).await?;
    ensure!(
        named(&without).contains(&"/ip dhcp-server name=homes".to_owned()),
        "{without}"
    );
    isp.owner.put(&nas, &json!({"dhcpRadius": false})).await?;
    let mended = isp
        .owner
        .post(&format!("{nas}/drift/repair?{choice}"), &json!({}))
        .await?;
    assert_eq!(mended["isAsWanted"], true, "{mended}");

    let trail = isp.owner.get("/audit-logs?action=ROUTER_REPAIR").await?;
    assert_eq!(trail["total"], 2, "{trail}");
    assert_eq!(
        trail["logs"][1]["before"][1]["field"], "use-radius",
        "{trail}"
    );
    ensure!(!trail.to_string().contains("guessed"), "{trail}");

    // Nothing to compare with, and nobody to ask.
    let (status, answer) = isp
        .owner
        .call(
            Method::GET,
            &format!("{nas}/drift?release=5&agents=10.9.0.2"),
            None,
        )
        .await?;
    assert_eq!(
        (status, &answer["details"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("release"))
    );
    site.stop().await;
    world.stop().await
}
