//! One thing done to many routers: in rings, with a stop, across crashes, and nobody twice.

mod fleet;
mod orders;
mod stopped;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::http_client;
use easyisp_tests::router::Mishap;
use easyisp_tests::world::Provider;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use fleet::{Fleet, NEW, OLD, in_order, parts, sizes, steps, upgrade};

fn anything(_: &Value) -> Result<()> {
    Ok(())
}

/// Twelve routers in rings of one, three and eight: each gets the release, once, and none of a ring before those of the
/// one before are well. Between the first and the second somebody pauses it; in the midst of the second the cloud ends
/// and begins again.
#[tokio::test(flavor = "multi_thread")]
async fn twelve_routers_in_three_rings_get_a_release_each_once_and_in_order() -> Result<()> {
    let mut fleet = Fleet::open("rings", 12).await?;
    let rollout = fleet.roll_out(&upgrade(&fleet.ids)).await?;
    let ordered = in_order(&fleet);
    let shown = fleet
        .until(
            &rollout,
            "the first soaks",
            |shown| steps(shown)[0] == "SOAKING",
            &ordered,
        )
        .await?;
    assert_eq!(sizes(&shown), [1, 3, 8]);
    assert_eq!(
        (&shown["state"], &shown["ring"], &shown["version"]),
        (&json!("RUNNING"), &json!(1), &json!(NEW)),
        "{shown:#}"
    );

    // Paused: the first is seen to its end, and nobody else is begun with however long it takes.
    let path = format!("/rollouts/{rollout}");
    let paused = fleet
        .isp
        .owner
        .post(&format!("{path}/pause"), &json!({}))
        .await?;
    assert_eq!(paused["state"], "PAUSED", "{paused:#}");
    fleet
        .until(
            &rollout,
            "the first is well",
            |shown| steps(shown)[0] == "DONE",
            &ordered,
        )
        .await?;
    fleet.world.clock.advance(Duration::from_secs(3600));
    fleet.rests().await?;
    let shown = fleet.shown(&rollout).await?;
    ensure!(
        steps(&shown).iter().skip(1).all(|step| *step == "WAITING"),
        "{shown:#}"
    );
    assert_eq!(
        fleet
            .installed()
            .iter()
            .filter(|(times, _)| *times > 0)
            .count(),
        1
    );
    fleet
        .isp
        .owner
        .post(&format!("{path}/resume"), &json!({}))
        .await?;

    // The second ring was told to start anew, and the cloud is gone.
    fleet
        .until(
            &rollout,
            "the second ring starts",
            |shown| steps(shown)[1..4].iter().all(|step| *step == "INSTALLING"),
            &ordered,
        )
        .await?;
    let repair = format!(
        "/nas/{}/drift/repair?{}",
        fleet.ids[1],
        crate::drift::CHOICE
    );
    let owner = &fleet.isp.owner;
    let busy = owner.call(Method::POST, &repair, Some(&json!({}))).await?;
    assert_eq!(
        (busy.0, &busy.1["code"]),
        (StatusCode::CONFLICT, &json!("ROUTER_BUSY")),
        "{busy:?}"
    );
    fleet.restart_cloud().await?;
    let shown = fleet
        .until(
            &rollout,
            "it is over",
            |shown| shown["state"] == "DONE",
            &ordered,
        )
        .await?;
    assert_eq!(steps(&shown), ["DONE"; 12], "{shown:#}");
    assert_eq!(fleet.installed(), vec![(1, NEW.to_owned()); 12]);
    for part in parts(&shown) {
        assert_eq!(
            (&part["versionBefore"], &part["version"]),
            (&json!(OLD), &json!(NEW)),
            "{part}"
        );
    }
    for router in &fleet.routers {
        let saved = router.machine().state();
        let files = saved.get("/file").context("files")?;
        ensure!(
            files.iter().any(|file| file["name"].ends_with(".backup")),
            "no backup: {files:?}"
        );
    }

    // Who did what is in the trail; nothing more can be done to what is over.
    for (action, count) in [
        ("ROLLOUT_CREATE", 1),
        ("ROLLOUT_PAUSE", 1),
        ("ROLLOUT_RESUME", 1),
        ("ROLLOUT_END", 1),
    ] {
        let trail = fleet
            .isp
            .owner
            .get(&format!("/audit-logs?action={action}"))
            .await?;
        assert_eq!(trail["total"], count, "{action}: {trail}");
    }
    let (status, said) = fleet
        .isp
        .owner
        .call(Method::POST, &format!("{path}/stop"), Some(&json!({})))
        .await?;
    assert_eq!(
        (status, &said["code"]),
        (StatusCode::CONFLICT, &json!("ROLLOUT_OVER"))
    );
    let list = fleet.isp.owner.get("/rollouts?page=1&pageSize=5").await?;
    assert_eq!(
        (
            &list["total"],
            &list["rollouts"][0]["done"],
            &list["rollouts"][0]["routers"]
        ),
        (&json!(1), &json!(12), &json!(12)),
        "{list}"
    );
    fleet.close().await
}

/// The connection ends before the order is heard: the router is asked, has not started, and is told again. The board's firmware
/// follows with a second start. Another one runs a newer release than the channel has, and stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_not_heard_is_given_again_and_the_board_follows() -> Result<()> {
    let fleet = Fleet::open("unheard", 2).await?;
    let (first, second) = (&fleet.routers[0], &fleet.routers[1]);
    second.with_software(|software| software.installed = "7.20.1".to_owned());
    first.mishap("/system/package/update/install", Mishap::Hangup);
    let body = json!({"action": {"kind": "UPGRADE", "routerboard": true}, "routerIds": fleet.ids,
        "soakSeconds": 0});
    let rollout = fleet.roll_out(&body).await?;
    let shown = fleet
        .until(
            &rollout,
            "it is over",
            |shown| shown["state"] == "DONE",
            anything,
        )
        .await?;
    assert_eq!(steps(&shown), ["DONE", "SKIPPED"], "{shown:#}");
    let software = first.software();
    assert_eq!(
        (software.installed.as_str(), software.board.as_str()),
        (NEW, NEW)
    );
    assert_eq!((software.ordered.len(), software.starts), (1, 2));
    assert_eq!(second.software().starts, 0, "{shown:#}");
    ensure!(
        parts(&shown).nth(1).is_some_and(|part| part["message"]
            .as_str()
            .is_some_and(|words| words.contains("the newer 7.20.1"))),
        "{shown:#}"
    );

    // An older release is taken by who asks for it.
    let body = json!({"action": {"kind": "UPGRADE", "version": NEW, "allowDowngrade": true},
        "routerIds": [fleet.ids[1]], "soakSeconds": 0});
    let rollout = fleet.roll_out(&body).await?;
    let shown = fleet
        .until(
            &rollout,
            "it is over",
            |shown| shown["state"] == "DONE",
            anything,
        )
        .await?;
    assert_eq!(steps(&shown), ["DONE"], "{shown:#}");
    assert_eq!(second.software().installed, NEW);
    fleet.close().await
}

/// What cannot be meant, what is somebody else's, and what another rollout has to do with.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rolled_out_is_refused_and_touches_nothing() -> Result<()> {
    let fleet = Fleet::open("refuse", 1).await?;
    let stranger = Provider::sign_up(&fleet.world, "stranger").await?;
    let theirs = stranger
        .owner
        .add_router("Theirs", "127.0.2.1", "a-long-shared-secret", 3799)
        .await?;
    let owner = &fleet.isp.owner;
    let both = [fleet.ids[0].clone(), theirs.clone()];
    let reboot = json!({"kind": "REBOOT"});
    for (body, status) in [
        (json!({"action": reboot, "routerIds": [theirs]}), 404),
        (json!({"action": reboot, "routerIds": both}), 404),
        (json!({"action": reboot}), 400),
        (
            json!({"action": reboot, "allRouters": true, "siteId": theirs}),
            400,
        ),
        (json!({"action": reboot, "siteId": theirs}), 404),
        (
            json!({"action": reboot, "allRouters": true, "runs": "6."}),
            422,
        ),
        (
            json!({"action": reboot, "allRouters": true, "rings": ["0%"]}),
            400,
        ),
        (
            json!({"action": reboot, "allRouters": true, "windowFrom": "02:00"}),
            400,
        ),
        (
            json!({"action": reboot, "allRouters": true, "until": "2020-01-01T00:00:00Z"}),
            400,
        ),
        (
            json!({"action": {"kind": "RUN", "command": "/system reset-configuration"}, "allRouters": true}),
            400,
        ),
        (
            json!({"action": {"kind": "ADD_TO_LIST", "list": "easyisp-allowed", "address": "10.0.0.1"},
                "allRouters": true}),
            400,
        ),
    ] {
        let (got, said) = owner.call(Method::POST, "/rollouts", Some(&body)).await?;
        assert_eq!(got.as_u16(), status, "{body}: {said}");
    }
    assert_eq!(owner.get("/rollouts").await?["total"], 0);

    // Stopped by somebody before its hour, it touches nobody.
    let night = json!({"action": reboot, "routerIds": fleet.ids, "windowFrom": "02:00", "windowTo": "04:00"});
    let begun = fleet.roll_out(&night).await?;
    owner
        .post(&format!("/rollouts/{begun}/stop"), &json!({}))
        .await?;
    fleet.rests().await?;
    let shown = fleet.shown(&begun).await?;
    assert_eq!(
        (&shown["state"], &shown["because"], steps(&shown)),
        (&json!("STOPPED"), &Value::Null, vec!["UNTOUCHED"]),
        "{shown:#}"
    );
    let trail = owner.get("/audit-logs?action=ROLLOUT_STOP").await?;
    assert_eq!(trail["total"], 1, "{trail}");

    // One thing at a time is done to a router; a key that is used again begins nothing.
    let body = json!({"action": reboot, "routerIds": fleet.ids, "windowFrom": "02:00", "windowTo": "04:00"});
    let keyed = async || -> Result<Value> {
        let sent = http_client()
            .post(format!("http://{}/api/rollouts", fleet.world.api()))
            .bearer_auth(owner.token())
            .header("Idempotency-Key", "spring-1")
            .json(&body);
        Ok(sent.send().await?.error_for_status()?.json().await?)
    };
    let begun = keyed().await?;
    assert_eq!(keyed().await?["id"], begun["id"]);
    let (status, said) = owner.call(Method::POST, "/rollouts", Some(&body)).await?;
    assert_eq!(
        (status, &said["code"]),
        (StatusCode::CONFLICT, &json!("ROUTER_IN_ROLLOUT")),
        "{said}"
    );

    // It is 8 o'clock in UTC: at 2 by the provider's clock and not before.
    let id = begun["id"].as_str().context("an id")?;
    fleet.rests().await?;
    assert_eq!(fleet.routers[0].software().starts, 0);
    let shown = fleet
        .until(id, "it is over", |shown| shown["state"] == "DONE", anything)
        .await?;
    assert_eq!(fleet.routers[0].software().starts, 1);
    let began = parts(&shown).next().context("a router")?["since"]
        .as_str()
        .and_then(easyisp_shared::time::Timestamp::parse)
        .context("an instant")?;
    let hour = began
        .in_zone(&jiff::tz::TimeZone::get("Africa/Nairobi")?)
        .hour();
    ensure!((2..4).contains(&hour), "at {hour} o'clock: {shown:#}");

    // Nobody else sees it, nor does anything to it.
    for (method, what) in [
        (Method::GET, ""),
        (Method::POST, "/pause"),
        (Method::POST, "/resume"),
        (Method::POST, "/stop"),
    ] {
        let path = format!("/rollouts/{id}{what}");
        let body = (method == Method::POST).then(|| json!({}));
        let (status, said) = stranger.owner.call(method, &path, body.as_ref()).await?;
        assert_eq!(status, StatusCode::NOT_FOUND, "{what}: {said}");
    }
    fleet.close().await
}
