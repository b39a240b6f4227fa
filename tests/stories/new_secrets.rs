//! A router gets a new RADIUS secret: nobody is cut off before it has it, and the old one ends once it does.

use anyhow::Result;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::json;

use crate::words::{DAY, MINUTE};

#[tokio::test(flavor = "multi_thread")]
async fn the_old_secret_of_a_router_ends_when_it_uses_the_new_one() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "newsecret").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("zawadi", "254712345699", until).await?;
    let overview = site.agent().overview();
    eventually("the agent knows her", async || {
        Ok(overview.site.subscriber(b"zawadi"))
    })
    .await?;
    let dials = async || -> Result<()> {
        let zawadi = site.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
        let online = zawadi.dial().await.online();
        online.started().await;
        online.hang_up().await;
        Ok(())
    };
    dials().await?;

    let path = format!("/nas/{}", site.router_id);
    let secrets = || {
        let routers = overview.site.routers();
        routers.first().map_or(0, |router| router.secrets.len())
    };
    isp.owner
        .put(&path, &json!({"secret": "the-second-secret"}))
        .await?;
    eventually("the agent knows both", async || {
        Ok((secrets() == 2).then_some(()))
    })
    .await?;
    dials().await?;
    let warns = async || -> Result<bool> {
        let router = isp.owner.get(&path).await?;
        let warnings = router["warnings"].as_array().cloned().unwrap_or_default();
        Ok(warnings.iter().any(|one| one["code"] == "OLD_SECRET"))
    };
    // A day goes by, and another, and he still knows the first one alone.
    for _ in 0..2 {
        world.clock.advance(DAY);
        world.clock.advance(MINUTE);
        dials().await?;
        anyhow::ensure!(warns().await? && secrets() == 2);
    }

    site.router
        .configure(|machine| machine.put_all("/radius", "secret", "the-second-secret"));
    dials().await?;
    eventually("the first one ends", async || {
        if secrets() == 2 {
            world.clock.advance(MINUTE);
        }
        Ok((secrets() == 1).then_some(()))
    })
    .await?;
    anyhow::ensure!(!warns().await?);
    dials().await?;
    site.stop().await;
    world.stop().await
}
