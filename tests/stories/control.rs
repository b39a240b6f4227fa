//! A router seen and handled from afar: what it says now, its queues, a ping, a restart.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::online::Traffic;
use easyisp_tests::scenario::ApiManners;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::DAY;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_a_router_says_now() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "seen").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("joyce", "254712345650", until).await?;
    site.knows("joyce", "at all", |_| true).await?;
    let online = site.dial("joyce").await.online();
    online.started().await;
    online.flow(Traffic {
        up_bits_per_second: 1_200_000,
        down_bits_per_second: 8_765_432,
    });
    let router = format!("/mikrotik/{}", site.router_id);
    let get = async |path: &str| isp.owner.get(&format!("{router}/{path}")).await;

    let stats = get("system-stats").await?;
    assert_eq!(stats["version"], "7.18.2 (stable)", "{stats}");
    assert_eq!(
        (&stats["cpuLoad"], &stats["memoryTotal"]),
        (&json!(7), &json!(1024))
    );
    assert_eq!(
        (&stats["memoryUsed"], &stats["architecture"]),
        (&json!(256), &json!("x86_64"))
    );
    assert_eq!(stats["serialNumber"], "HEX0000DEMO");
    assert_eq!(
        stats["health"][0],
        json!({"name": "voltage", "value": "23.9", "unit": "V"})
    );
    assert_eq!(stats["status"], "ONLINE");

    // What it says of its board stands in its record, without SNMP.
    let record = isp.owner.get(&format!("/nas/{}", site.router_id)).await?;
    assert_eq!(record["serialNumber"], "HEX0000DEMO", "{record}");
    assert_eq!(record["model"], stats["model"], "{record}");
    ensure!(record["model"].is_string(), "{record}");

    let live = isp
        .owner
        .get(&format!("/nas/{}/live-status", site.router_id))
        .await?;
    assert_eq!(
        (&live["status"], &live["cpuLoad"]),
        (&json!("ONLINE"), &json!(7)),
        "{live}"
    );
    assert_eq!(
        (&live["memoryUsage"], &live["name"]),
        (&json!(256), &json!("Tower"))
    );
    ensure!(
        live["activeSessions"]["total"].is_i64() && live.get("error").is_none(),
        "{live}"
    );

    let told = get("interfaces").await?;
    let [uplink, line] = told["interfaces"].as_array().context("a list")?.as_slice() else {
        anyhow::bail!("an uplink and a line: {told}");
    };
    assert_eq!(
        (&uplink["name"], &uplink["running"]),
        (&json!("ether1"), &json!(true))
    );
    assert_eq!(uplink["macAddress"], "02:00:00:00:00:F0");
    assert_eq!(
        (&uplink["rxBps"], &uplink["txBps"]),
        (&json!(8_765_432), &json!(1_200_000))
    );
    assert_eq!(
        (&line["name"], &line["dynamic"]),
        (&json!("<pppoe-joyce>"), &json!(true))
    );

    let logs = get("logs?limit=2").await?;
    assert_eq!(logs["logs"].as_array().map(Vec::len), Some(2), "{logs}");
    assert_eq!(logs["logs"][1]["topics"], "system,error,critical");
    let leases = get("dhcp-leases").await?;
    assert_eq!(leases["leases"][0]["hostName"], "printer", "{leases}");
    assert_eq!(leases["leases"][0]["expiresInSecs"], 570);
    let around = get("neighbours").await?;
    assert_eq!(
        around["neighbours"][0]["identity"], "roof-radio",
        "{around}"
    );
    let watched = get("netwatch").await?;
    assert_eq!(watched["watches"][0]["status"], "down", "{watched}");
    let pinged = get("ping?address=1.1.1.1&count=3").await?;
    assert_eq!(
        (&pinged["success"], &pinged["received"]),
        (&json!(true), &json!(3)),
        "{pinged}"
    );
    assert_eq!(
        (&pinged["latency"], &pinged["loss"]),
        (&json!(8.25), &json!(0))
    );
    let lost = get("ping?address=192.0.2.7").await?;
    assert_eq!(
        (&lost["success"], &lost["loss"]),
        (&json!(false), &json!(100)),
        "{lost}"
    );
    for wrong in ["ping?address=nowhere", "ping?count=21", "logs?limit=501"] {
        let (status, answer) = isp
            .owner
            .call(Method::GET, &format!("{router}/{wrong}"), None)
            .await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {answer}");
    }

    // The mean of some says more than the slowest of them.
    for what in [
        "system-stats",
        "sessions",
        "hotspot-users",
        "interfaces",
        "queues",
        "logs",
        "dhcp-leases",
        "neighbours",
        "netwatch",
    ] {
        let began = Instant::now();
        for _ in 0..10 {
            get(what).await?;
        }
        let each = began.elapsed() / 10;
        is_quick(what, each)?;
    }
    site.stop().await;
    world.stop().await
}

/// What is asked elsewhere than in the router's own menu, and what changes something there, takes no longer.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_at_a_router_is_done_as_quickly_as_it_is_looked_at() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "quick").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("joyce", "254712345650", until).await?;
    site.knows("joyce", "at all", |_| true).await?;
    let router = format!("/mikrotik/{}", site.router_id);
    let (live, test) = (
        format!("/nas/{}/live-status", site.router_id),
        format!("/nas/{}/test", site.router_id),
    );
    let (ping, queues) = (
        format!("{router}/ping?address=1.1.1.1&count=1"),
        format!("{router}/queues"),
    );
    let disconnect = format!("{router}/disconnect");
    let mut took = std::collections::BTreeMap::<&str, Duration>::new();
    let mut timed = async |what, method: Method, path: &str, body: Option<&Value>| {
        let began = Instant::now();
        let (status, said) = isp.owner.call(method, path, body).await?;
        *took.entry(what).or_default() += began.elapsed();
        ensure!(status.is_success(), "{what}: {status} {said}");
        anyhow::Ok(said)
    };
    for round in 0..10 {
        let online = site.dial("joyce").await.online();
        online.started().await;
        let seen = timed("live-status", Method::GET, &live, None).await?;
        ensure!(seen.get("error").is_none(), "{seen}");
        let tested = timed("test", Method::POST, &test, Some(&json!({}))).await?;
        assert_eq!(tested["success"], true, "{tested}");
        let pinged = timed("ping", Method::GET, &ping, None).await?;
        assert_eq!(pinged["received"], 1, "{pinged}");

        let wish = json!({"name": format!("Office {round}"), "target": "10.0.0.9/32", "maxLimit": "5M/10M"});
        let made = timed("add a queue", Method::POST, &queues, Some(&wish)).await?;
        let one = format!("{queues}/{}", made["id"].as_str().context("an id")?);
        let slower = json!({"maxLimit": "512k/1M"});
        timed("change a queue", Method::PUT, &one, Some(&slower)).await?;
        timed("remove a queue", Method::DELETE, &one, None).await?;

        let whom = json!({"username": "joyce"});
        let ended = timed("disconnect", Method::POST, &disconnect, Some(&whom)).await?;
        assert_eq!(ended["success"], true, "{ended}");
        ensure!(site.router.sessions().is_empty(), "she is online still");
    }
    assert_eq!(took.len(), 7);
    for (what, all) in took {
        is_quick(what, all / 10)?;
    }
    site.stop().await;
    world.stop().await
}

/// On the LAN a question is a round trip or two.
fn is_quick(what: &str, each: Duration) -> Result<()> {
    println!("{what} takes {each:?}");
    ensure!(each < Duration::from_millis(300), "{what} takes {each:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_added_changed_and_removed_and_that_is_in_the_trail() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "queues").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("joyce", "254712345650", until).await?;
    site.knows("joyce", "at all", |_| true).await?;
    site.dial("joyce").await.online().started().await;
    let queues = format!("/mikrotik/{}/queues", site.router_id);
    let call = async |method: Method, path: &str, body: Value| {
        isp.owner.call(method, path, Some(&body)).await
    };

    let office = json!({"name": "Office \"A\"", "target": "10.0.0.9/32", "maxLimit": "5M/10M",
        "burstLimit": "8M/16M"});
    let (status, made) = call(Method::POST, &queues, office.clone()).await?;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(
        (&made["maxLimit"], &made["target"]),
        (&json!("5000000/10000000"), &json!("10.0.0.9/32"))
    );
    let [kept] = &site.router.kept("/queue/simple")[..] else {
        anyhow::bail!("one queue at the router");
    };
    assert_eq!(kept.value("name"), Some("Office \"A\""));
    assert_eq!(kept.value("burst-threshold"), Some("2500000/5000000"));
    let (status, again) = call(Method::POST, &queues, office).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{again}");
    let said = again["message"].as_str().unwrap_or_default();
    ensure!(said.contains("already have such name"), "{said}");

    let one = format!("{queues}/{}", made["id"].as_str().context("an id")?);
    let slower = json!({"maxLimit": "512k/1M", "disabled": true});
    let (status, changed) = call(Method::PUT, &one, slower).await?;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert_eq!(
        (&changed["maxLimit"], &changed["disabled"]),
        (&json!("512000/1000000"), &json!(true))
    );
    assert_eq!(changed["name"], "Office \"A\"");

    let listed = isp.owner.get(&queues).await?;
    let listed = listed["queues"].as_array().context("a list")?.clone();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(
        (&listed[0]["dynamic"], &listed[1]["dynamic"]),
        (&json!(false), &json!(true))
    );
    // What a session made is not for hands.
    let his = format!("{queues}/{}", listed[1]["id"].as_str().context("an id")?);
    let (status, refused) = call(Method::DELETE, &his, json!({})).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    ensure!(
        refused["message"]
            .as_str()
            .is_some_and(|said| said.contains("session")),
        "{refused}"
    );

    let (status, _) = call(Method::DELETE, &one, json!({})).await?;
    assert_eq!(status, StatusCode::OK);
    assert!(site.router.kept("/queue/simple").is_empty());
    let (status, gone) = call(Method::DELETE, &one, json!({})).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{gone}");
    let (status, _) = call(
        Method::PUT,
        &format!("{queues}/7"),
        json!({"disabled": true}),
    )
    .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let trail = isp.owner.get("/audit-logs").await?.to_string();
    for deed in [
        "ROUTER_QUEUE_CREATE",
        "ROUTER_QUEUE_UPDATE",
        "ROUTER_QUEUE_DELETE",
    ] {
        ensure!(trail.contains(deed), "{deed} in {trail}");
    }
    site.stop().await;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_asked_once_and_silence_is_said_honestly() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "restart").await?;
    let mut site = Site::open_with_api(&world, &isp).await?;
    let router = format!("/mikrotik/{}", site.router_id);
    let (reboot, stats) = (format!("{router}/reboot"), format!("{router}/system-stats"));
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("joyce", "254712345650", until).await?;
    site.knows("joyce", "at all", |_| true).await?;
    site.dial("joyce").await.online().started().await;
    assert_eq!(site.router.sessions().len(), 1);
    let told = isp.owner.post(&reboot, &json!({})).await?;
    assert_eq!(told["success"], true, "{told}");
    assert!(
        site.router.sessions().is_empty(),
        "a restart ends every session"
    );
    let trail = isp.owner.get("/audit-logs").await?.to_string();
    ensure!(trail.contains("ROUTER_REBOOT"), "{trail}");
    // It is there again, on a connection made anew.
    assert_eq!(isp.owner.get(&stats).await?["status"], "ONLINE");

    site.router.api_manners(ApiManners::Silent);
    let (status, answer) = isp.owner.call(Method::GET, &stats, None).await?;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{answer}");
    site.router.api_manners(ApiManners::RefuseRemoval);
    let queue = json!({"name": "Office", "target": "10.0.0.9/32", "maxLimit": "5M/10M"});
    let queues = format!("{router}/queues");
    let (status, answer) = isp.owner.call(Method::POST, &queues, Some(&queue)).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let said = answer["message"].as_str().unwrap_or_default();
    ensure!(said.contains("not enough permissions"), "{said}");

    site.stop_agent().await;
    eventually("the cloud has noticed", async || {
        Ok((world.cloud().app.agents.count() == 0).then_some(()))
    })
    .await?;
    for (method, path) in [(Method::GET, &stats), (Method::POST, &reboot)] {
        let (status, answer) = isp.owner.call(method, path, None).await?;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        let said = answer["message"].as_str().unwrap_or_default();
        ensure!(said.contains("is not connected"), "{said}");
    }

    let status = format!("/nas/{}/live-status", site.router_id);
    let live = isp.owner.get(&status).await?;
    let said = live["error"].as_str().unwrap_or_default();
    ensure!(said.contains("is not connected"), "{live}");

    // Another tenant's operators reach none of it.
    let other = Provider::sign_up(&world, "stranger").await?;
    for (method, path) in [
        (Method::GET, "system-stats"),
        (Method::GET, "interfaces"),
        (Method::GET, "queues"),
        (Method::POST, "queues"),
        (Method::PUT, "queues/*1"),
        (Method::DELETE, "queues/*1"),
        (Method::GET, "logs"),
        (Method::GET, "dhcp-leases"),
        (Method::GET, "neighbours"),
        (Method::GET, "netwatch"),
        (Method::GET, "ping"),
        (Method::POST, "reboot"),
    ] {
        let body = (method != Method::GET).then(|| queue.clone());
        let (status, answer) = other
            .owner
            .call(method, &format!("{router}/{path}"), body.as_ref())
            .await?;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {answer}");
    }
    site.stop().await;
    world.stop().await
}
