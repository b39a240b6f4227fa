//! The link goes down in the middle of news.

use anyhow::{Context, Result};
use easyisp_shared::id::PackageId;
use easyisp_shared::wire::{Down, DownKind, DownRecord};

use super::{CLOSED, EXPIRED, OPEN, Place};
use crate::words::{HOUR, MINUTE};

/// The site's rules came, and the rest of the news did not: who is known to be at his end is closed all the same, and
/// of whom it is not known what he buys by now keeps what he has.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_at_his_end_is_closed_while_half_of_the_news_is_missing() -> Result<()> {
    let mut place = Place::open("halftold").await?;
    let ten = "10000000/10000000";
    let soon = place.world.clock.now().plus(HOUR);
    place.line("school", "10.20.0.9", soon).await?;
    place.holds("school", "10.20.0.9", ten, OPEN).await?;
    let other = place.isp.owner.add_package("Home 40", 40, 3000, 2).await?;
    place.isp.package = other.clone();
    let later = place.world.clock.now().plus(HOUR * 2);
    place.line("clinic", "10.20.0.10", later).await?;
    let forty = "40000000/40000000";
    place.holds("clinic", "10.20.0.10", forty, OPEN).await?;

    place.world.stop_cloud().await?;
    place.site.cut_off().await?;
    let site = place.site.agent().overview().site.clone();
    let policy = site.policy();
    let rules = policy.row.clone().context("a policy")?;
    let row = |kind: DownKind, id, body| DownRecord {
        kind: kind.code(),
        id,
        version: policy.version + 1000,
        body,
    };
    let told = Down::Policy(rules).encode();
    site.apply(&row(DownKind::Policy, uuid::Uuid::nil(), Some(told)));
    let bought: PackageId = other.parse()?;
    site.apply(&row(DownKind::Package, bought.0, None));
    assert!(!site.is_complete());

    place.world.clock.advance(HOUR + MINUTE);
    closed(&place, "school", "10.20.0.9").await?;
    place.holds("clinic", "10.20.0.10", forty, OPEN).await?;
    place.world.clock.advance(HOUR);
    closed(&place, "clinic", "10.20.0.10").await?;

    place.world.start_cloud().await?;
    place.site.caught_up().await?;
    place.close().await
}

/// Waits until a line is closed, while time goes on by some seconds.
async fn closed(place: &Place, name: &str, address: &str) -> Result<()> {
    let held = easyisp_tests::world::eventually("his line is closed", async || {
        place.world.clock.advance(MINUTE / 20);
        let queue = place.queue(name);
        let is_closed = queue.is_some_and(|queue| queue.value("max-limit") == Some(CLOSED));
        let lists = place.lists(address);
        let is_blocked = lists.iter().any(|list| EXPIRED.contains(&list.as_str()));
        Ok((is_closed && is_blocked).then_some(()))
    });
    held.await
        .with_context(|| format!("{:?} {:?}", place.queue(name), place.lists(address)))
}
