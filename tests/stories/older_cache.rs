//! A card on which an older copy of the cache was put back, or whose last commits a power cut took.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use serde_json::json;

use crate::words::{DAY, HOUR, MINUTE};

/// V9: what he was given stands in the outbox, and says that he had paid since. He stays without the cloud, and who did
/// not pay is ended.
#[tokio::test(flavor = "multi_thread")]
async fn who_paid_since_the_cache_was_copied_stays_online() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "oldercache").await?;
    let mut site = Site::open(&world, &isp).await?;
    let (old, new) = (world.clock.now().plus(HOUR), world.clock.now().plus(DAY));
    let payer = isp.add_subscriber("akinyi", "254712345621", old).await?;
    isp.add_subscriber("baraka", "254712345622", old).await?;
    for name in ["akinyi", "baraka"] {
        site.knows(name, "at all", |_| true).await?;
    }
    let (paid, unpaid) = (
        site.dial("akinyi").await.online(),
        site.dial("baraka").await,
    );
    let unpaid = unpaid.online();
    paid.started().await;
    unpaid.started().await;
    site.stop_agent().await;
    let folder = site.config().data_dir.clone();
    let copies = tempfile::tempdir()?;
    copy_cache(&folder, copies.path())?;

    site.start_agent().await?;
    site.caught_up().await?;
    let later = json!({"expiresAt": new.to_string()});
    let path = format!("/customers/{payer}/expiry");
    isp.owner.put(&path, &later).await?;
    eventually("he has what he paid", async || {
        let known = site.agent().overview().sessions.open_by_name(b"akinyi");
        let end = known.first().and_then(|online| online.session.grant?.end);
        Ok((end == Some(new)).then_some(()))
    })
    .await?;
    ensure!(paid.interim().await);

    site.stop_agent().await;
    world.stop_cloud().await?;
    copy_cache(copies.path(), &folder)?;
    site.start_agent().await?;
    let known = site.agent().overview().site.subscriber(b"akinyi");
    let known = known.context("akinyi")?.entitlement.paid_until;
    ensure!(known == old, "the older copy says {known}");
    world.clock.advance(HOUR + MINUTE);
    soon("who did not pay is ended", unpaid.ended()).await?;
    ensure!(paid.interim().await);
    world.clock.advance(HOUR);
    ensure!(paid.interim().await);
    ensure!(paid.session().is_some(), "he paid");

    world.start_cloud().await?;
    site.caught_up().await?;
    site.stop().await;
    world.stop().await
}

fn copy_cache(from: &Path, to: &Path) -> Result<()> {
    for name in ["cache.db", "cache.db-wal", "cache.db-shm"] {
        let (from, to) = (from.join(name), to.join(name));
        match from.exists() {
            true => drop(std::fs::copy(from, to)?),
            false if to.exists() => std::fs::remove_file(to)?,
            false => {}
        }
    }
    Ok(())
}
