//! Questions to a site over HTTP: answered while its agent is connected, refused honestly while it is not.

use std::time::{Duration, Instant};

use anyhow::Result;
use easyisp_tests::router::online::Traffic;
use easyisp_tests::router::session::Cause;
use easyisp_tests::router::subscriber::Method as By;
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use reqwest::Method;
use serde_json::json;

use crate::words::DAY;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_and_ends_a_session_while_the_site_is_there() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "live").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let jo = isp.add_subscriber("joyce", "254712345650", until).await?;
    site.knows("joyce", "at all", |_| true).await?;
    let status = format!("/customers/{jo}/live-status");
    assert_eq!(isp.owner.get(&status).await?["isOnline"], false);

    let online = site.dial("joyce").await.online();
    online.started().await;
    online.flow(Traffic {
        up_bits_per_second: 1_200_000,
        down_bits_per_second: 8_765_432,
    });
    let shown = isp.owner.get(&status).await?;
    assert_eq!(shown["isOnline"], true, "{shown}");
    let session = online.session().expect("online");
    assert_eq!(shown["ipAddress"], session.address.to_string());
    assert_eq!(shown.get("error"), None, "{shown}");
    let bandwidth = isp.owner.get(&format!("/customers/{jo}/bandwidth")).await?;
    assert_eq!(bandwidth["online"], true);
    assert_eq!(bandwidth["downloadBps"], 8_765_432);
    assert_eq!(bandwidth["uploadMbps"], "1.20");
    let router = &site.router_id;
    let list = isp
        .owner
        .get(&format!("/mikrotik/{router}/sessions"))
        .await?;
    assert_eq!(list[0]["username"], "joyce", "{list}");
    assert_eq!(list[0]["type"], "pppoe");
    let test = isp
        .owner
        .post(&format!("/nas/{router}/test"), &json!({}))
        .await?;
    assert_eq!(test["success"], true, "{test}");
    assert!(test["latency"].is_u64(), "{test}");

    let answer = isp
        .owner
        .post(&format!("/customers/{jo}/disconnect"), &json!({}))
        .await?;
    assert_eq!(answer["message"], "1 session was ended.");
    assert_eq!(soon("it ends", online.ended()).await?.0, Cause::AdminReset);
    assert_eq!(isp.owner.get(&status).await?["isOnline"], false);

    // At this router: by name, and who is none of ours.
    let again = site.dial("joyce").await.online();
    again.started().await;
    let path = format!("/mikrotik/{router}/disconnect");
    let elsewhere = json!({"name": "Elsewhere", "ipAddress": "10.9.9.9"});
    let elsewhere = isp.owner.post("/nas", &elsewhere).await?;
    let other_router = elsewhere["id"].as_str().expect("an id");
    let not_here = format!("/mikrotik/{other_router}/disconnect");
    let joyce = json!({"username": "joyce"});
    let said = eventually("the site knows the other router", async || {
        let told = isp
            .owner
            .call(Method::POST, &not_here, Some(&joyce))
            .await?;
        Ok(told.0.is_success().then_some(told.1))
    })
    .await?;
    assert_eq!(
        (&said["success"], &said["message"]),
        (&json!(false), &json!("Nobody was online.")),
        "{said}"
    );
    assert!(again.session().is_some(), "she is at another router");
    let said = isp.owner.post(&path, &joyce).await?;
    assert_eq!(
        (&said["success"], &said["message"]),
        (&json!(true), &json!("1 session was ended.")),
        "{said}"
    );
    soon("it ends", again.ended()).await?;

    // Another tenant's operators see none of it.
    let other = Provider::sign_up(&world, "stranger").await?;
    for (method, path) in [
        (Method::GET, status.clone()),
        (Method::GET, format!("/customers/{jo}/bandwidth")),
        (Method::POST, format!("/customers/{jo}/disconnect")),
        (Method::GET, format!("/mikrotik/{router}/sessions")),
        (Method::GET, format!("/mikrotik/{router}/hotspot-users")),
        (Method::POST, format!("/nas/{router}/test")),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let (code, answer) = other.owner.call(method, &path, body.as_ref()).await?;
        assert_eq!(code.as_u16(), 404, "{path}: {answer}");
    }
    let path = format!("/mikrotik/{router}/disconnect");
    let body = json!({"username": "joyce"});
    let (code, _) = other.owner.call(Method::POST, &path, Some(&body)).await?;
    assert_eq!(code.as_u16(), 404);

    site.stop().await;
    world.stop().await
}

/// What an operator does to a customer who is online is done within a second while the agent is connected: his session
/// is over at the router, and the site knows which device he may come with. The mean of some says more than the slowest
/// of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_a_customer_is_done_within_a_second() -> Result<()> {
    const TIMES: u32 = 5;
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "atonce").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let jo = isp.add_subscriber("joyce", "254712345650", until).await?;
    site.knows("joyce", "at all", |_| true).await?;
    let (mut ends, mut locks, mut frees) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for _ in 0..TIMES {
        let equipment = site.router.subscriber("joyce", "joyce", By::MsChapV2);
        let online = equipment.mac("02:AB:00:00:00:01").dial().await.online();
        online.started().await;
        site.reported().await?;
        for (deed, locked, took) in [
            ("mac-lock", true, &mut locks),
            ("mac-reset", false, &mut frees),
        ] {
            let began = Instant::now();
            let path = format!("/customers/{jo}/{deed}");
            isp.owner.post(&path, &json!({})).await?;
            site.knows("joyce", deed, |known| {
                known.entitlement.macs.is_empty() != locked
            })
            .await?;
            *took += began.elapsed();
        }

        let began = Instant::now();
        let path = format!("/customers/{jo}/disconnect");
        let answer = isp.owner.post(&path, &json!({})).await?;
        assert_eq!(answer["message"], "1 session was ended.");
        soon("it ends", online.ended()).await?;
        ends += began.elapsed();
    }
    for (deed, took) in [
        ("mac-lock", locks),
        ("mac-reset", frees),
        ("disconnect", ends),
    ] {
        let each = took / TIMES;
        println!("{deed} takes {each:?}");
        assert!(each < Duration::from_secs(1), "{deed} takes {each:?}");
    }
    site.stop().await;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_site_is_away_that_is_said_and_the_wish_is_kept() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "away").await?;
    let mut site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let kim = isp.add_subscriber("kimani", "254712345651", until).await?;
    site.knows("kimani", "at all", |_| true).await?;
    let online = site.dial("kimani").await.online();
    online.started().await;
    site.reported().await?;
    site.stop_agent().await;
    eventually("the cloud has noticed", async || {
        Ok((world.cloud().app.agents.count() == 0).then_some(()))
    })
    .await?;

    let refused = async |method: Method, path: String| {
        let body = (method == Method::POST).then(|| json!({}));
        isp.owner.call(method, &path, body.as_ref()).await
    };
    let disconnect = format!("/customers/{kim}/disconnect");
    let (status, answer) = refused(Method::POST, disconnect).await?;
    assert_eq!(status.as_u16(), 503);
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("The agent of the site Main site is not connected"),
        "{message}"
    );
    assert!(message.contains("last heard of"), "{message}");
    assert!(message.contains("written down"), "{message}");
    for (method, path) in [
        (Method::GET, format!("/customers/{kim}/bandwidth")),
        (
            Method::GET,
            format!("/mikrotik/{}/sessions", site.router_id),
        ),
        (Method::POST, "/sessions/sync".to_owned()),
    ] {
        let (status, answer) = refused(method, path.clone()).await?;
        assert_eq!(status.as_u16(), 503, "{path}: {answer}");
    }
    let shown = isp
        .owner
        .get(&format!("/customers/{kim}/live-status"))
        .await?;
    assert_eq!(shown["isOnline"], true, "as it was last told");
    assert!(
        shown["error"]
            .as_str()
            .unwrap_or_default()
            .contains("not connected"),
        "{shown}"
    );
    assert!(online.session().is_some(), "nobody is cut off by that");

    site.start_agent().await?;
    let (cause, _) = soon("the wish is done", online.ended()).await?;
    assert_eq!(cause, Cause::AdminReset);

    site.stop().await;
    world.stop().await
}
