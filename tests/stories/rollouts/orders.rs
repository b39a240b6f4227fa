//! Other things than a release, and a single router's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::Mishap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::anything;
use super::fleet::{Fleet, NEW, OLD, steps};

/// Each is written, read back, and written once: what is there already stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_at_many_routers_is_read_back_at_each() -> Result<()> {
    let fleet = Fleet::open("orders", 2).await?;
    let entry = json!({"list": "office", "address": "10.20.0.0/16"});
    let with = |kind: &str| {
        let mut action = entry.clone();
        action["kind"] = json!(kind);
        action
    };
    let listed = || -> Vec<usize> {
        let count = |router: &easyisp_tests::router::Router| {
            let rows = router.kept("/ip/firewall/address-list");
            let office = rows
                .iter()
                .filter(|row| row.value("list") == Some("office"));
            office.count()
        };
        fleet.routers.iter().map(count).collect()
    };
    let first = |menu: &str, name: &str| -> Vec<String> {
        let value = |router: &easyisp_tests::router::Router| {
            router.machine().first(menu, name).unwrap_or_default()
        };
        fleet.routers.iter().map(value).collect()
    };
    let act = async |action: Value| -> Result<()> {
        let body = json!({"action": action, "allRouters": true, "soakSeconds": 0});
        let rollout = fleet.roll_out(&body).await?;
        let shown = fleet
            .until(
                &rollout,
                "it is over",
                |shown| shown["state"] != "RUNNING",
                anything,
            )
            .await?;
        ensure!(steps(&shown) == ["DONE", "DONE"], "{action}: {shown:#}");
        Ok(())
    };
    act(json!({"kind": "SET_NTP", "servers": ["ntp.example.com", "10.0.0.1"]})).await?;
    assert_eq!(
        first("/system ntp client", "servers"),
        ["ntp.example.com,10.0.0.1"; 2]
    );
    act(json!({"kind": "SET_DNS", "servers": ["9.9.9.9", "1.1.1.1"]})).await?;
    assert_eq!(first("/ip dns", "servers"), ["9.9.9.9,1.1.1.1"; 2]);
    act(json!({"kind": "SET_CONTACT", "contact": "Call 0712"})).await?;
    assert_eq!(first("/snmp", "contact"), ["Call 0712"; 2]);
    act(json!({"kind": "SET_IDENTITY"})).await?;
    assert_eq!(first("/system identity", "name"), ["Tower 01", "Tower 02"]);
    for _ in 0..2 {
        act(with("ADD_TO_LIST")).await?;
        assert_eq!(listed(), [1, 1]);
    }
    act(with("REMOVE_FROM_LIST")).await?;
    assert_eq!(listed(), [0, 0]);
    act(json!({"kind": "REBOOT"})).await?;
    let starts: Vec<u32> = fleet
        .routers
        .iter()
        .map(|router| router.software().starts)
        .collect();
    assert_eq!(starts, [1, 1]);

    // Beside another agent's guard nothing is written, and nothing fails: it is waited for.
    let guard = [
        ("name", "easyisp:guard:another"),
        ("start-time", "startup"),
        ("interval", "1h"),
        ("on-event", ":log info \"easyisp: it was waited for\""),
    ];
    fleet.routers[0].configure(|machine| machine.put("/system scheduler", &guard));
    let body = json!({"action": {"kind": "SET_DNS", "servers": ["9.9.9.10"]}, "allRouters": true, "soakSeconds": 0});
    let rollout = fleet.roll_out(&body).await?;
    let waits = |shown: &Value| shown.to_string().contains("another agent's guard stands");
    fleet.until(&rollout, "it waits", waits, anything).await?;
    let remove = "/system scheduler remove [find where name=\"easyisp:guard:another\"]\n";
    let gone = fleet.routers[0].configure(|machine| machine.import(remove));
    gone.map_err(anyhow::Error::msg)?;
    let shown = fleet
        .until(
            &rollout,
            "it goes on",
            |shown| shown["state"] != "RUNNING",
            anything,
        )
        .await?;
    ensure!(steps(&shown) == ["DONE", "DONE"], "{shown:#}");
    assert_eq!(first("/ip dns", "servers"), ["9.9.9.10"; 2]);

    // A router that says no has failed, and says why.
    fleet.routers[0].mishap(
        "/ip/dns/set",
        Mishap::Refuse("not enough permissions (9)".to_owned()),
    );
    let body = json!({"action": {"kind": "SET_DNS", "servers": ["8.8.8.8"]}, "allRouters": true});
    let rollout = fleet.roll_out(&body).await?;
    let shown = fleet
        .until(
            &rollout,
            "it stopped",
            |shown| shown["state"] == "STOPPED",
            anything,
        )
        .await?;
    assert_eq!(steps(&shown), ["FAILED", "UNTOUCHED"], "{shown:#}");
    ensure!(
        shown.to_string().contains("not enough permissions"),
        "{shown:#}"
    );
    fleet.close().await
}

/// One router, from its page: what it runs, what there is, and taking it.
#[tokio::test(flavor = "multi_thread")]
async fn one_routers_firmware_is_looked_at_checked_and_taken() -> Result<()> {
    let fleet = Fleet::open("single", 1).await?;
    let owner = &fleet.isp.owner;
    let path = format!("/wizard/{}/firmware", fleet.ids[0]);
    let shown = owner.get(&path).await?;
    assert_eq!(
        (
            &shown["installedVersion"],
            &shown["latestVersion"],
            &shown["currentFirmware"]
        ),
        (&json!(OLD), &Value::Null, &json!(OLD)),
        "{shown}"
    );
    let (status, said) = owner
        .call(
            Method::POST,
            &format!("{path}/check"),
            Some(&json!({"channel": "nightly"})),
        )
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    let shown = owner
        .post(&format!("{path}/check"), &json!({"channel": "stable"}))
        .await?;
    assert_eq!(
        (&shown["latestVersion"], &shown["updateAvailable"]),
        (&json!(NEW), &json!(true)),
        "{shown}"
    );
    let begun = owner
        .post(&format!("{path}/update"), &json!({"routerboard": true}))
        .await?;
    let rollout = begun["rolloutId"].as_str().context("a rollout")?;
    let shown = fleet
        .until(
            rollout,
            "it is over",
            |shown| shown["state"] == "DONE",
            anything,
        )
        .await?;
    assert_eq!(steps(&shown), ["DONE"], "{shown:#}");
    let shown = owner.get(&path).await?;
    assert_eq!(
        (&shown["installedVersion"], &shown["currentFirmware"]),
        (&json!(NEW), &json!(NEW)),
        "{shown}"
    );
    let trail = owner
        .get("/audit-logs?action=ROUTER_FIRMWARE_CHECK")
        .await?;
    assert_eq!(trail["total"], 1, "{trail}");
    fleet.close().await
}

/// Whoever is slower than his claim on the work lasts finds it carried on by another; when both are through, somebody still
/// comes back to what is left.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_two_had_under_way_at_once_goes_on() -> Result<()> {
    let fleet = Fleet::open("twice", 1).await?;
    let router = &fleet.routers[0];
    let command = "/system/identity/set";
    let heard = |times: usize| {
        router.until(move |router| {
            let orders = router.ordered_by_api();
            let heard = orders.iter().filter(|order| order.starts_with(command));
            (heard.count() >= times).then_some(())
        })
    };
    router.mishap(command, Mishap::Linger);
    router.mishap(command, Mishap::Linger);
    let body = json!({"action": {"kind": "SET_IDENTITY"}, "allRouters": true, "soakSeconds": 0});
    let rollout = fleet.roll_out(&body).await?;
    heard(1).await;
    // The node sleeps past its claim; when it wakes, the work is begun once more.
    fleet.world.clock.advance(Duration::from_secs(61));
    heard(2).await;
    let shown = fleet
        .until(
            &rollout,
            "it is over",
            |shown| shown["state"] != "RUNNING",
            anything,
        )
        .await?;
    assert_eq!(steps(&shown), ["DONE"], "{shown:#}");
    fleet.close().await
}
