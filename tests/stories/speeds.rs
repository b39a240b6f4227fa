//! A speed set by hand for a while: the running session takes it, and goes back by itself, at a site that is
//! cut off too.

use std::time::Duration;

use anyhow::{Result, ensure};
use easyisp_tests::router::online::Online;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::words::{DAY, HOUR, MINUTE};

#[tokio::test(flavor = "multi_thread")]
async fn a_speed_for_a_while_comes_and_goes_without_a_new_login() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "speeds").await?;
    let site = Site::open(&world, &isp).await?;
    let now = world.clock.now();
    let until = now.plus(30 * DAY);
    let neema = isp.add_subscriber("neema", "254712345691", until).await?;
    site.knows("neema", "at all", |_| true).await?;
    let online = site.dial("neema").await.online();
    online.started().await;
    runs_at(&online, "10M/10M").await?;
    let override_plan = format!("/customers/{neema}/override-plan");

    // An override with an end, which comes while the cloud is away.
    let end = now.plus(2 * HOUR);
    let faster = json!({"downloadMbps": 30, "uploadMbps": 20, "until": end});
    isp.owner.post(&override_plan, &faster).await?;
    runs_at(&online, "20M/30M").await?;
    let shown = isp.customer(&neema).await?;
    assert_eq!(shown["speedOverride"]["until"], end.to_string(), "{shown}");
    world.stop_cloud().await?;
    site.cut_off().await?;
    world.clock.advance(2 * HOUR - Duration::from_secs(1));
    runs_at(&online, "20M/30M").await?;
    world.clock.advance(Duration::from_secs(2));
    runs_at(&online, "10M/10M").await?;
    world.start_cloud().await?;
    site.caught_up().await?;
    assert!(isp.customer(&neema).await?["speedOverride"].is_null());

    // A boost, with the cloud at hand.
    let boost = json!({"downloadMbps": 50, "uploadMbps": 50, "durationMinutes": 15});
    let path = format!("/customers/{neema}/speed-boost");
    isp.owner.post(&path, &boost).await?;
    runs_at(&online, "50M/50M").await?;
    world.clock.advance(15 * MINUTE + Duration::from_secs(1));
    runs_at(&online, "10M/10M").await?;

    // An override without an end stays until it is taken away.
    let stays = json!({"downloadMbps": 5, "uploadMbps": 5});
    isp.owner.post(&override_plan, &stays).await?;
    runs_at(&online, "5M/5M").await?;
    isp.owner.call(Method::DELETE, &override_plan, None).await?;
    runs_at(&online, "10M/10M").await?;
    let session = online.session();
    ensure!(session.is_some(), "one session all the time");

    for end in [now, now.plus(Duration::from_secs(4000 * 86_400))] {
        let wrong = json!({"downloadMbps": 30, "uploadMbps": 20, "until": end});
        let (status, answer) = isp
            .owner
            .call(Method::POST, &override_plan, Some(&wrong))
            .await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(answer["details"][0]["field"], "until", "{answer}");
    }
    site.stop().await;
    world.stop().await
}

/// Who was given another name runs on under the old one until he dials anew: what his package becomes is his too, and
/// somebody else who is called so and goes away takes nothing from him.
#[tokio::test(flavor = "multi_thread")]
async fn another_speed_reaches_who_has_another_name_by_now() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "renamed").await?;
    let site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let neema = isp.add_subscriber("neema", "254712345691", until).await?;
    site.knows("neema", "at all", |_| true).await?;
    let online = site.dial("neema").await.online();
    online.started().await;
    runs_at(&online, "10M/10M").await?;
    let name = json!({"username": "neema.w"});
    isp.owner.put(&format!("/customers/{neema}"), &name).await?;
    site.knows("neema.w", "by his new name", |_| true).await?;

    let package = isp.owner.get(&format!("/packages/{}", isp.package)).await?;
    let faster = json!({"name": package["name"], "type": package["type"], "price": package["price"],
        "downloadSpeed": 40, "uploadSpeed": 40});
    let path = format!("/packages/{}", isp.package);
    isp.owner.put(&path, &faster).await?;
    runs_at(&online, "40M/40M").await?;

    let other = isp.add_subscriber("neema", "254712345692", until).await?;
    site.knows("neema", "another one", |_| true).await?;
    let path = format!("/customers/{other}");
    isp.owner.call(Method::DELETE, &path, None).await?;
    site.knows_nobody("neema").await?;
    let boost = json!({"downloadMbps": 50, "uploadMbps": 50, "durationMinutes": 15});
    let path = format!("/customers/{neema}/speed-boost");
    isp.owner.post(&path, &boost).await?;
    runs_at(&online, "50M/50M").await?;
    ensure!(online.session().is_some(), "one session all the time");
    site.stop().await;
    world.stop().await
}

async fn runs_at(online: &Online, rate: &str) -> Result<()> {
    eventually(&format!("the session runs at {rate}"), async || {
        let session = online.session();
        let has = session.and_then(|session| session.grants.rate_limit);
        Ok((has.as_deref() == Some(rate)).then_some(()))
    })
    .await
}
