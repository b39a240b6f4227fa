//! How a router's API is treated: what nobody waits for is stopped there, and a password that it refuses is not
//! hammered at.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use easyisp_shared::entropy::Entropy;
use easyisp_tests::router::api::{Api, Face};
use easyisp_tests::router::{Mishap, Router, Settings};
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_cancelled_and_the_connection_lives_on() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "cancel").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let router = format!("/mikrotik/{}", site.router_id);
    let stats = format!("{router}/system-stats");
    assert_eq!(isp.owner.get(&stats).await?["status"], "ONLINE");
    let before = site.router.counters();

    site.router.mishap("/ping", Mishap::Linger);
    let ping = format!("{router}/ping?address=9.9.9.9&count=3");
    let (status, said) = isp.owner.call(Method::GET, &ping, None).await?;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{said}");
    site.router
        .until(|router| {
            let cancelled = router.counters().api_cancelled - before.api_cancelled;
            (cancelled == 1).then_some(())
        })
        .await;
    assert_eq!(isp.owner.get(&stats).await?["status"], "ONLINE");
    assert_eq!(isp.owner.get(&ping).await?["success"], true);
    let after = site.router.counters();
    assert_eq!(after.api_logins, before.api_logins, "one connection");
    site.stop().await;
    world.stop().await
}

/// A list that does not come to its end in time is none: nothing of it is shown, and the connection lives on.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_comes_too_slowly_is_not_shown_in_part() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "slow").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let ports = format!("/mikrotik/{}/interfaces", site.router_id);
    site.router.configure(|machine| {
        for number in 2..42 {
            let name = format!("ether{number}");
            machine.put("/interface", &[("name", &name), ("type", "ether")]);
        }
    });
    let whole = isp.owner.get(&ports).await?;
    let before = site.router.counters();
    site.router.slow(Some(2));
    let (status, said) = isp.owner.call(Method::GET, &ports, None).await?;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{said}");
    site.router.slow(Some(200));
    let again = isp.owner.get(&ports).await?;
    let count = |said: &serde_json::Value| said.to_string().matches("ether4").count();
    assert_eq!(count(&again), count(&whole));
    let after = site.router.counters();
    ensure!(
        after.api_logins <= before.api_logins + 1,
        "{before:?} {after:?}"
    );
    site.stop().await;
    world.stop().await
}

/// RouterOS 6 may have no cipher in common with us: what to do is said, and done by whoever answers for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_whose_tls_is_too_old_is_entered_without_where_somebody_says_so() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "archaic").await?;
    let site = Site::open_with_face(&world, &isp, Face::Six).await?;
    let address = world.roof();
    let old = Api {
        tls: true,
        archaic: true,
        listen: (address, 8729).into(),
        ..Api::of(Face::Six, "", "")
    };
    let settings = Settings {
        source: address,
        api: Some(old),
        ..Settings::new("a-long-shared-secret", site.asked(), site.accounting())
    };
    let archaic = Router::start_on(settings, world.clock.clone(), Entropy::system()).await?;
    let nas = format!("/nas/{}", site.router_id);
    let plain = site.router.api().context("an API")?.port();
    let at = |address: Ipv4Addr, port: u16| json!({"ipAddress": address, "apiPort": port});
    isp.owner.put(&nas, &at(address, 8729)).await?;
    let stats = format!("/mikrotik/{}/system-stats", site.router_id);
    eventually("it is said", async || {
        let (_, said) = isp.owner.call(Method::GET, &stats, None).await?;
        let words = said["message"].as_str().unwrap_or_default();
        Ok((words.contains("TLS") && words.contains("enter apiPort 8728")).then_some(()))
    })
    .await?;
    isp.owner.put(&nas, &at(Ipv4Addr::LOCALHOST, plain)).await?;
    eventually("it is entered", async || {
        let (status, _) = isp.owner.call(Method::GET, &stats, None).await?;
        Ok((status == StatusCode::OK).then_some(()))
    })
    .await?;
    archaic.stop().await;
    site.stop().await;
    world.stop().await
}

/// J4: each try stands in the router's log, and some shut out who tries too often.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_is_tried_ever_more_seldom_until_another_is_entered() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "refusals").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let nas = format!("/nas/{}", site.router_id);
    let stats = format!("/mikrotik/{}/system-stats", site.router_id);
    assert_eq!(isp.owner.get(&stats).await?["status"], "ONLINE");

    site.router
        .configure(|machine| machine.put_all("/user", "password", "another"));
    site.router.reboot();
    let mut asked = 0;
    eventually("it was refused three times", async || {
        asked += 1;
        let (status, said) = isp.owner.call(Method::GET, &stats, None).await?;
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{said}");
        let words = said["message"].as_str().unwrap_or_default();
        ensure!(words.contains("refuses the API user"), "{words}");
        let is_left_alone = words.contains("it is not tried again for");
        let refusals = site.router.counters().api_refusals;
        Ok((refusals >= 3 && is_left_alone).then_some(()))
    })
    .await?;
    ensure!(asked > 20, "only {asked} asked");
    assert_eq!(site.router.counters().api_refusals, 3);

    // Another password is tried at once.
    isp.owner
        .put(&nas, &json!({"apiPassword": "another"}))
        .await?;
    eventually("it lets us in", async || {
        let (status, _) = isp.owner.call(Method::GET, &stats, None).await?;
        Ok((status == StatusCode::OK).then_some(()))
    })
    .await?;
    let refusals = site.router.counters().api_refusals;
    ensure!(refusals <= 4, "{refusals} refusals");
    site.stop().await;
    world.stop().await
}
