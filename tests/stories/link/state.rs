//! State on its way down.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use easyisp_agent::sync::LinkStatus;
use easyisp_shared::wire::FeedMode;
use easyisp_shared::wire::hello::FeedAck;
use uuid::Uuid;

use super::boxes::{TestBox, caught_up, holds};
use super::uplink::Caller;
use super::world::{World, eventually};

#[tokio::test]
async fn a_new_agent_gets_everything_and_then_what_changes() -> Result<()> {
    let world = World::start().await?;
    world.put(1, Some(b"one")).await?;
    world.put(2, Some(b"two")).await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();

    let link = world.link(&identity, &local);
    caught_up(&link).await?;
    holds(&local, &[(1, b"one"), (2, b"two")]).await?;

    world.put(1, Some(b"one again")).await?;
    world.put(2, None).await?;
    world.put(3, Some(b"three")).await?;
    holds(&local, &[(1, b"one again"), (3, b"three")]).await?;

    let batches = local.held().batches.clone();
    assert_eq!(batches[0], (0, 2, FeedMode::SnapshotWhole, 2));
    assert!(
        batches[1..]
            .iter()
            .all(|batch| batch.2 == FeedMode::Changes)
    );
    link.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_comes_back_hears_only_what_it_missed() -> Result<()> {
    let world = World::start().await?;
    world.put_many(&[1, 2, 3], Some(b"old")).await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let link = world.link(&identity, &local);
    caught_up(&link).await?;
    link.stop().await;
    local.held().batches.clear();

    world.put(2, Some(b"new")).await?;
    world.put(3, None).await?;
    let link = world.link(&identity, &local);
    holds(&local, &[(1, b"old"), (2, b"new")]).await?;
    caught_up(&link).await?;
    link.stop().await;

    let batches = local.held().batches.clone();
    assert_eq!(batches, [(1, 3, FeedMode::Changes, 2)]);
    Ok(())
}

/// Whoever was away longer than tombstones are kept gets everything as a replacement.
#[tokio::test]
async fn an_agent_that_was_away_too_long_forgets_what_is_gone() -> Result<()> {
    let world = World::start().await?;
    world.put_many(&[1, 2, 3], Some(b"old")).await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let link = world.link(&identity, &local);
    caught_up(&link).await?;
    link.stop().await;

    world.put(2, None).await?;
    world.put(3, Some(b"new")).await?;
    world.care().await?;
    assert_eq!(world.tombstones().await?, 1, "it is young");
    world.clock.advance(Duration::from_secs(31 * 86_400));
    world.care().await?;
    assert_eq!(world.tombstones().await?, 0);
    local.held().batches.clear();
    let link = world.link(&identity, &local);
    holds(&local, &[(1, b"old"), (3, b"new")]).await?;
    assert_eq!(local.held().batches[0].2, FeedMode::SnapshotWhole);
    link.stop().await;

    let fresh = TestBox::new();
    fresh.held().position.generation = local.held().position.generation;
    let link = world.link(&identity, &fresh);
    caught_up(&link).await?;
    link.stop().await;
    assert_eq!(fresh.held().rows, local.held().rows);
    Ok(())
}

#[tokio::test]
async fn many_rows_and_one_large_version_arrive_whole() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let link = world.link(&identity, &local);
    caught_up(&link).await?;

    let many: Vec<u128> = (1..=1200).collect();
    world.put_many(&many, Some(&[5; 600])).await?;
    world.put(1, Some(b"last")).await?;
    let mut wanted: Vec<(u128, &[u8])> = many.iter().map(|id| (*id, &[5; 600][..])).collect();
    wanted[0].1 = b"last";
    holds(&local, &wanted).await?;

    // Until the version was whole, the cursor stayed before it.
    let batches = local.held().batches.clone();
    let split = batches
        .iter()
        .filter(|batch| batch.2 == FeedMode::Changes && batch.1 == 0);
    assert!(split.count() >= 2, "{batches:?}");
    link.stop().await;

    let fresh = TestBox::new();
    fresh.held().position.generation = local.held().position.generation;
    let link = world.link(&identity, &fresh);
    caught_up(&link).await?;
    link.stop().await;
    assert_eq!(fresh.held().rows, local.held().rows);
    let modes: Vec<FeedMode> = fresh.held().batches.iter().map(|batch| batch.2).collect();
    assert_eq!(modes.first(), Some(&FeedMode::SnapshotBegin));
    assert_eq!(modes.last(), Some(&FeedMode::SnapshotEnd));
    Ok(())
}

#[tokio::test]
async fn an_agent_that_distrusts_a_batch_is_given_everything() -> Result<()> {
    let world = World::start().await?;
    world.put(1, Some(b"one")).await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let link = world.link(&identity, &local);
    caught_up(&link).await?;

    {
        let mut held = local.held();
        held.rows.clear();
        held.distrust = true;
    }
    world.put(2, Some(b"two")).await?;
    holds(&local, &[(1, b"one"), (2, b"two")]).await?;
    link.stop().await;
    Ok(())
}

/// V12: a site that holds something else than it should is found out and mended, and a digest that is
/// wrong itself is added up anew; then both agree, and nothing more is sent.
#[tokio::test]
async fn whoever_holds_something_else_is_given_everything() -> Result<()> {
    let world = World::start().await?;
    world.put_many(&[1, 2], Some(b"before")).await?;
    world.put(1, Some(b"one")).await?;
    world.put(2, None).await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let link = world.link(&identity, &local);
    compared(&local, 1).await?;
    link.stop().await;

    local.held().rows.clear();
    let link = world.link(&identity, &local);
    holds(&local, &[(1, b"one")]).await?;
    link.stop().await;

    world.falsify_digests().await?;
    let before = local.held().batches.len();
    let link = world.link(&identity, &local);
    eventually("everything again", || async {
        let held = local.held();
        let modes: Vec<FeedMode> = held.batches[before..].iter().map(|b| b.2).collect();
        Ok((modes == [FeedMode::SnapshotWhole]).then_some(()))
    })
    .await?;
    link.stop().await;
    let before = local.held().batches.len();
    let told = local.held().compared;
    let link = world.link(&identity, &local);
    compared(&local, told + 1).await?;
    caught_up(&link).await?;
    assert_eq!(local.held().batches.len(), before);
    link.stop().await;
    Ok(())
}

/// A change that nobody told the sites is found by looking at everything, and told.
#[tokio::test]
async fn a_change_that_was_forgotten_is_told_within_a_day() -> Result<()> {
    let world = World::start().await?;
    world.put_many(&[1, 2], Some(b"old")).await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let link = world.link(&identity, &local);
    caught_up(&link).await?;

    world.forget_to_tell(2, b"new");
    world.forget_to_tell(3, b"never heard of");
    world.care().await?;
    holds(&local, &[(1, b"old"), (2, b"new"), (3, b"never heard of")]).await?;
    let before = local.held().batches.len();
    world.care().await?;
    world.put(4, Some(b"last")).await?;
    eventually("the last row", || async {
        Ok(local.rows().contains_key(&4).then_some(()))
    })
    .await?;
    assert_eq!(
        local.held().batches.len(),
        before + 1,
        "nothing else was written"
    );
    link.stop().await;
    Ok(())
}

async fn compared(local: &TestBox, times: usize) -> Result<()> {
    eventually("a comparison", || async {
        Ok((local.held().compared >= times).then_some(()))
    })
    .await
}

#[tokio::test]
async fn another_epoch_sends_everything_again() -> Result<()> {
    let mut world = World::start().await?;
    world.put_many(&[1, 2], Some(b"before")).await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let link = world.link(&identity, &local);
    caught_up(&link).await?;
    let address = world.door().address()?;
    world.close_door().await;

    // The epoch tells that the versions the agent knows are another history's.
    world.standing.epoch = uuid::Uuid::from_u128(77);
    local.held().batches.clear();
    world.open_door(address).await?;
    caught_up(&link).await?;
    let batches = local.held().batches.clone();
    assert_eq!(batches[0].2, FeedMode::SnapshotWhole);
    assert_eq!(local.held().position.epoch, world.standing.epoch);
    link.stop().await;
    Ok(())
}

/// What an agent knows of versions that this database never had is of another history, whatever its epoch.
#[tokio::test]
async fn an_agent_that_is_ahead_is_given_everything() -> Result<()> {
    let world = World::start().await?;
    world.put_many(&[1, 2], Some(b"here")).await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    local.held().position.epoch = world.standing.epoch;
    local.held().position.cursor = 99;
    let link = world.link(&identity, &local);
    holds(&local, &[(1, b"here"), (2, b"here")]).await?;
    assert_eq!(local.held().batches[0].2, FeedMode::SnapshotWhole);
    link.stop().await;
    Ok(())
}

/// G5: an agent sees and reports for the site in its certificate, whatever else there is.
#[tokio::test]
async fn an_agent_lives_in_its_own_site_only() -> Result<()> {
    let world = World::start().await?;
    let (other, their_site) = world.given_tenant(2).await?;
    let theirs = world.given_agent_of(other, their_site).await?;
    world.put(1, Some(b"ours")).await?;
    world
        .put_at(other, their_site, &[2], Some(b"theirs"))
        .await?;

    let local = TestBox::new();
    local.report_login("their customer");
    let link = world.link(&theirs, &local);
    caught_up(&link).await?;
    holds(&local, &[(2, b"theirs")]).await?;
    super::world::eventually("the report", || async {
        Ok((world.logins(other).await? == ["their customer"]).then_some(()))
    })
    .await?;

    assert!(world.logins(world.tenant).await?.is_empty());
    assert_eq!(world.door().agents().connected(world.tenant, their_site), 0);
    assert!(matches!(&*link.status().borrow(), LinkStatus::Up { .. }));
    link.stop().await;
    Ok(())
}

/// Nobody waits for an agent that reads what it is sent and answers to a part of it, when it asks for everything: its link
/// ends, and the site's next box is given all of it.
#[tokio::test]
async fn an_agent_that_owes_answers_is_let_go_before_it_is_given_everything() -> Result<()> {
    let mut world = World::start().await?;
    let patience = Duration::from_millis(300);
    world.impatient(patience).await?;
    world.put(1, Some(b"one")).await?;
    let identity = world.given_agent().await?;
    let mut caller = Caller::greet(&world, &identity, Uuid::from_u128(5), 0).await?;
    let first = caller.told().await?.context("everything")?;
    assert_eq!(first.mode, FeedMode::SnapshotWhole);
    world.put(2, Some(b"two")).await?;
    while caller.told().await?.context("a change")?.records.is_empty() {}
    let asked = Instant::now();
    caller.says(FeedAck::NeedSnapshot).await?;
    while let Some(batch) = caller.told().await? {
        assert_eq!(batch.mode, FeedMode::Changes, "an answer is due yet");
    }
    assert!(asked.elapsed() >= patience, "{:?}", asked.elapsed());

    let (local, next) = (TestBox::new(), world.given_agent().await?);
    let link = world.link(&next, &local);
    caught_up(&link).await?;
    holds(&local, &[(1, b"one"), (2, b"two")]).await?;
    link.stop().await;
    Ok(())
}
