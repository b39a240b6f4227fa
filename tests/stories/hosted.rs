//! A site without a box, served by a process of many: everything but the box is as elsewhere.

use anyhow::{Context, Result};
use easyisp_agent::config::Config;
use easyisp_agent::hosted::{self, Hosted};
use easyisp_agent::sync::enroll;
use easyisp_agent::{StartError, VERSION};
use easyisp_shared::entropy::Entropy;
use easyisp_tests::router::session::Cause;
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use serde_json::json;

use crate::words::DAY;

#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_site_reaches_its_routers() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "hosted").await?;
    let site = Site::prepare_with_api(&world, &isp).await?;
    let mut config = site.config().clone();
    let enrolled = config.data_dir.clone();
    config.data_dir = world.new_box();
    let home = hosted::folder(&config.data_dir, "hill");
    std::fs::create_dir_all(home.parent().context("a folder above it")?)?;
    std::fs::rename(enrolled, &home)?;

    let hosted = Hosted::start(config, world.clock.clone(), Entropy::system()).await?;
    let until = world.clock.now().plus(30 * DAY);
    let jo = isp.add_subscriber("joan", "254712345651", until).await?;
    eventually("the process knows the router's API and Joan", async || {
        let served = &hosted.overview("hill").context("the site is served")?.site;
        let reachable = served.routers().iter().any(|router| router.api.is_some());
        Ok((reachable && served.subscriber(b"joan").is_some()).then_some(()))
    })
    .await?;

    let router = &site.router_id;
    let test = isp
        .owner
        .post(&format!("/nas/{router}/test"), &json!({}))
        .await?;
    assert_eq!(test["success"], true, "{test}");
    let stats = isp
        .owner
        .get(&format!("/mikrotik/{router}/system-stats"))
        .await?;
    assert!(stats["version"].is_string(), "{stats}");

    let online = site.dial("joan").await.online();
    online.started().await;
    let list = isp
        .owner
        .get(&format!("/mikrotik/{router}/sessions"))
        .await?;
    assert_eq!(list[0]["username"], "joan", "{list}");
    let path = format!("/customers/{jo}/disconnect");
    isp.owner.post(&path, &json!({})).await?;
    assert_eq!(soon("it ends", online.ended()).await?.0, Cause::AdminReset);
    hosted.stop().await;
    site.stop().await;
    world.stop().await
}

/// B8: a hosted agent stands in for a box, and neither hears the other. Each knows that the other may have counted, and
/// told, what a session used that it hears of only now.
#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_spare_and_its_box_know_of_each_other() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "standin").await?;
    let site = Site::open(&world, &isp).await?;
    let mut config = world.box_config()?;
    let home = config.clone();
    config.data_dir = world.new_box();
    let home = Config {
        data_dir: hosted::folder(&config.data_dir, "hill"),
        ..home
    };
    std::fs::create_dir_all(&home.data_dir)?;
    let (cloud, token) = (world.agents().to_string(), isp.owner.join_token().await?);
    enroll(&cloud, &token, &home.identity_folder(), VERSION).await?;
    let hosted = Hosted::start(config, world.clock.clone(), Entropy::system()).await?;
    eventually("both know of two", async || {
        let spare = hosted.overview("hill").context("the site is served")?;
        let both = [&site.agent().overview().site, &spare.site];
        let two = both.into_iter().all(|known| {
            let policy = known.policy();
            policy.row.as_ref().is_some_and(|row| row.agents.len() == 2)
        });
        Ok(two.then_some(()))
    })
    .await?;
    hosted.stop().await;
    site.stop().await;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn radsec_is_refused_where_nobody_would_answer() -> Result<()> {
    let world = World::start().await?;
    let mut config = easyisp_agent::config::Config {
        data_dir: world.new_box(),
        ..Default::default()
    };
    config.radius.radsec = Some(world.free_port()?);
    let started = Hosted::start(config, world.clock.clone(), Entropy::system()).await;
    let refused = started.err().context("it starts")?;
    assert!(matches!(refused, StartError::SharedRadSec), "{refused}");
    world.stop().await
}
