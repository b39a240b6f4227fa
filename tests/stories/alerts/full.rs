//! Pools of a router that nobody set up by the wizard.

use anyhow::{Context, Result};
use easyisp_tests::world::Site;
use serde_json::json;

use super::{Box, given_watch, minutes, names};

/// A router that was entered by hand has a pool of its own: once all its addresses are given out, somebody hears of it,
/// and again when some are free.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_full_is_told_whoever_made_it() -> Result<()> {
    let (world, isp) = given_watch("fullpool").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let pool = [("name", "homes"), ("ranges", "10.77.0.2-10.77.0.11")];
    site.router.enter("/ip/pool", &pool).context("a pool")?;
    site.router.lease_from([10, 77, 0, 2].into());
    for number in 0..10 {
        let mac = format!("02:00:00:00:07:{number:02X}");
        site.router.dial_locally(&format!("home{number}"), &mac);
    }
    let shown = minutes(&world, &isp, Box::On, "it is full", |shown| {
        !names(shown).is_empty()
    })
    .await?;
    let alert = &shown["alerts"][0];
    assert_eq!(names(&shown), ["POOL"], "{shown}");
    assert_eq!(
        (&alert["subject"], &alert["device"]),
        (&json!("homes"), &json!("Tower")),
        "{alert}"
    );
    // Power is cut and comes back: everybody is gone.
    site.router.reboot();
    minutes(&world, &isp, Box::On, "some are free", |shown| {
        names(shown).is_empty()
    })
    .await?;
    site.stop().await;
    world.stop().await
}
