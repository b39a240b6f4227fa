//! Reports on their way up: each takes effect once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use easyisp_agent::sync::{Carrier, Identity, Pipe};
use easyisp_shared::wire::hello::{FeedAck, Hello, HelloV1, UpAck};
use easyisp_shared::wire::{FeedBatch, Lane, Message, UpBatch, UpRecord};
use uuid::Uuid;

use super::boxes::{TestBox, caught_up, login};
use super::world::{NEVER_WORKS, World, eventually};

#[tokio::test]
async fn reports_arrive_in_order_and_are_acknowledged() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let names: Vec<String> = (0..1300).map(|n| format!("user{n:04}")).collect();
    for name in &names[..1200] {
        local.report_login(name);
    }
    local.report_health(17);
    let link = world.link(&identity, &local);
    caught_up(&link).await?;
    for name in &names[1200..] {
        local.report_login(name);
    }

    eventually("the last acknowledgement", || async {
        Ok((local.acknowledged(Lane::Results) == 1300).then_some(()))
    })
    .await?;
    assert_eq!(world.logins(world.tenant).await?, names);
    eventually("the heartbeat", || async {
        Ok((world.queue_depth(&identity).await? == Some(17)).then_some(()))
    })
    .await?;
    link.stop().await;
    Ok(())
}

/// The cloud stored everything and its answer was lost with the link: the box hears so when it is back, and does not
/// show it as waiting until there is something new to tell.
#[tokio::test]
async fn a_box_that_returns_hears_what_the_cloud_has() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    local.report_login("jane");
    for _ in 0..2 {
        let link = world.link(&identity, &local);
        eventually("the acknowledgement", || async {
            Ok((local.acknowledged(Lane::Results) == 1).then_some(()))
        })
        .await?;
        link.stop().await;
        local.forget_acknowledgements();
    }
    assert_eq!(world.logins(world.tenant).await?, ["jane"]);
    Ok(())
}

/// D2: an acknowledgement that got lost doubles nothing; a batch that got lost is never jumped over.
#[tokio::test]
async fn a_lost_acknowledgement_doubles_nothing() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let outbox = Uuid::from_u128(5);

    // Every link dies after a batch was sent and before its acknowledgement was read.
    let mut generation = 0;
    for round in 0..4u64 {
        let mut caller = Caller::greet(&world, &identity, outbox, generation).await?;
        let mark = caller.mark;
        caller.send(mark, 1 + round * 10..=10 + round * 10).await?;
        eventually("the batch is stored", || async {
            let stored = world.logins(world.tenant).await?.len() as u64;
            Ok((stored == 10 + round * 10).then_some(()))
        })
        .await?;
        caller.carrier.close();
        generation = caller.generation;

        // The same records again, with newer ones behind them.
        let mut caller = Caller::greet(&world, &identity, outbox, generation).await?;
        assert_eq!(caller.mark, 10 + round * 10);
        caller
            .send(round * 10, 1 + round * 10..=10 + round * 10)
            .await?;
        assert_eq!(caller.acknowledged().await?, 10 + round * 10);
        caller.send(100, 101..=110).await?;
        assert_eq!(
            caller.acknowledged().await?,
            10 + round * 10,
            "a batch was jumped over"
        );
        generation = caller.generation;
        caller.carrier.close();
    }
    let names: Vec<String> = (1..=40).map(|n| format!("user{n:04}")).collect();
    assert_eq!(world.logins(world.tenant).await?, names);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_applied_is_set_aside_and_the_rest_moves_on() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    local.report_login("first");
    local.report(Lane::Results, 900, b"of a later release".to_vec());
    local.report(Lane::Results, 2, b"\x00 not a login".to_vec());
    // PostgreSQL refuses this name: the data's fault, found only when it is applied.
    local.report_login("se\0cond");
    local.report_login("third");

    let link = world.link(&identity, &local);
    eventually("the mark moves on", || async {
        Ok((local.acknowledged(Lane::Results) == 5).then_some(()))
    })
    .await?;
    link.stop().await;

    assert_eq!(world.logins(world.tenant).await?, ["first", "third"]);
    let aside = world.set_aside().await?;
    let sequences: Vec<i64> = aside.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, [2, 3, 4], "{aside:?}");
    assert_eq!(aside[0].1, "unknown kind 900");
    Ok(())
}

/// a cloud that was restored from a backup asks again from what it really has, and ends with the
/// same totals.
#[tokio::test]
async fn a_cloud_restored_from_a_backup_is_told_again() -> Result<()> {
    let mut world = World::start().await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let names: Vec<String> = (0..25).map(|n| format!("user{n:04}")).collect();
    let report = |names: &[String]| names.iter().for_each(|name| local.report_login(name));
    let stored = async |count: u64| {
        eventually("the reports are acknowledged", || async {
            Ok((local.acknowledged(Lane::Results) == count).then_some(()))
        })
        .await
    };
    let link = world.link(&identity, &local);
    report(&names[..10]);
    stored(10).await?;
    let backup = world.back_up().await?;
    report(&names[10..20]);
    stored(20).await?;

    let address = world.door().address()?;
    world.close_door().await;
    world.restore(&backup).await?;
    assert_eq!(world.logins(world.tenant).await?, names[..10]);
    world.open_door(address).await?;
    report(&names[20..]);
    stored(25).await?;

    assert_eq!(world.logins(world.tenant).await?, names);
    link.stop().await;
    Ok(())
}

#[tokio::test]
async fn who_says_no_hello_reports_nothing() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let carrier = world.dial(&identity).await?;

    let mut pipe = carrier.open().await?;
    let batch = UpBatch {
        outbox: Uuid::from_u128(5),
        lane: Lane::Results,
        after: 0,
        records: vec![UpRecord {
            kind: 2,
            sequence: 1,
            body: login("sneaked in", 1).encode(),
        }],
    };
    pipe.sink.send(&Message::Up(batch)).await?;
    let heard = pipe.source.receive().await;
    assert!(matches!(heard, Ok(None) | Err(_)), "{heard:?}");
    assert!(world.logins(world.tenant).await?.is_empty());
    Ok(())
}

/// Who is late may renew its certificate and nothing else, also where it does not know that it is late.
#[tokio::test]
async fn who_is_late_reports_nothing() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    world.clock.advance(Duration::from_secs(45 * 86_400));
    let refused = Caller::offered(&world, &identity, Uuid::from_u128(5), 0).await;
    let why = refused.err().map(|why| why.to_string()).unwrap_or_default();
    assert!(why.contains("Late"), "{why}");
    Ok(())
}

/// Nothing that a box reports is taken before it holds what it was offered, for until then another box of the same
/// identity may hold it first.
#[tokio::test]
async fn reports_are_taken_once_the_generation_is_held() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let mut caller = Caller::offered(&world, &identity, Uuid::from_u128(5), 0).await?;
    caller.send(0, 1..=3).await?;
    let early = tokio::time::timeout(SILENCE, caller.uplink.source.receive()).await;
    assert!(early.is_err(), "{early:?}");
    assert!(world.logins(world.tenant).await?.is_empty());

    caller.hold().await?;
    assert_eq!(caller.acknowledged().await?, 3);
    assert_eq!(world.logins(world.tenant).await?.len(), 3);
    Ok(())
}

/// D7: what fails every time, though nothing is wrong with it that the database could name, is set aside
/// after five tries, and the lane moves on.
#[tokio::test]
async fn a_record_that_always_fails_does_not_stop_its_lane() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    for name in ["before", NEVER_WORKS, "after"] {
        local.report_login(name);
    }
    let link = world.link(&identity, &local);
    eventually("the mark moves on", || async {
        Ok((local.acknowledged(Lane::Results) == 3).then_some(()))
    })
    .await?;
    link.stop().await;
    assert_eq!(world.logins(world.tenant).await?, ["before", "after"]);
    let aside = world.set_aside().await?;
    assert_eq!(aside.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2]);
    Ok(())
}

/// A caller who speaks the protocol and keeps no promise.
pub struct Caller {
    pub carrier: Arc<dyn Carrier>,
    pub uplink: Pipe,
    outbox: Uuid,
    mark: u64,
    generation: u64,
    sync: Pipe,
}

impl Caller {
    pub async fn greet(
        world: &World,
        identity: &Identity,
        outbox: Uuid,
        generation: u64,
    ) -> Result<Caller> {
        let mut caller = Caller::offered(world, identity, outbox, generation).await?;
        caller.hold().await?;
        Ok(caller)
    }

    /// Says hello, and does not say that it holds what it is offered.
    pub async fn offered(
        world: &World,
        identity: &Identity,
        outbox: Uuid,
        generation: u64,
    ) -> Result<Caller> {
        let carrier = world.dial(identity).await?;
        Caller::offered_over(carrier, outbox, generation).await
    }

    /// The same over a connection that is there.
    pub async fn offered_over(
        carrier: Arc<dyn Carrier>,
        outbox: Uuid,
        generation: u64,
    ) -> Result<Caller> {
        let mut sync = carrier.open().await?;
        let hello = HelloV1 {
            protocol_oldest: 1,
            protocol: 9,
            capabilities: vec!["of a later release".into()],
            version: "9.0.0".into(),
            outbox,
            generation,
            epoch: Uuid::nil(),
            cursor: 0,
            addresses: Vec::new(),
        };
        sync.sink.send(&Message::Hello(Hello::V1(hello))).await?;
        let welcome = match sync.source.receive().await? {
            Some(Message::Welcome(easyisp_shared::wire::hello::Welcome::V1(welcome))) => welcome,
            other => bail!("not a welcome: {other:?}"),
        };
        assert_eq!(welcome.protocol, 1, "both speak the lower version");
        let uplink = carrier.open().await?;
        Ok(Caller {
            carrier,
            uplink,
            outbox,
            mark: welcome.mark(Lane::Results),
            generation: welcome.generation,
            sync,
        })
    }

    pub async fn hold(&mut self) -> Result<()> {
        let generation = self.generation;
        let holds = Message::FeedAck(FeedAck::Holds { generation });
        Ok(self.sync.sink.send(&holds).await?)
    }

    /// What the cloud says of the site's state; `None` = it ended the conversation.
    pub async fn told(&mut self) -> Result<Option<FeedBatch>> {
        let patience = Duration::from_secs(10);
        match tokio::time::timeout(patience, self.sync.source.receive()).await? {
            Ok(Some(Message::Feed(batch))) => Ok(Some(batch)),
            Ok(Some(other)) => bail!("not the feed: {other:?}"),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Answers to a batch of it.
    pub async fn says(&mut self, ack: FeedAck) -> Result<()> {
        Ok(self.sync.sink.send(&Message::FeedAck(ack)).await?)
    }

    pub async fn send(
        &mut self,
        after: u64,
        sequences: std::ops::RangeInclusive<u64>,
    ) -> Result<()> {
        let record = |sequence: u64| UpRecord {
            kind: 2,
            sequence,
            body: login(&format!("user{sequence:04}"), sequence as usize).encode(),
        };
        let records = sequences.map(record).collect();
        self.send_records(after, records).await
    }

    /// What the cloud says to a batch; an error where it ends the conversation.
    pub async fn answer(&mut self) -> Result<Option<Message>> {
        let patience = Duration::from_secs(10);
        Ok(tokio::time::timeout(patience, self.uplink.source.receive()).await??)
    }

    pub async fn send_records(&mut self, after: u64, records: Vec<UpRecord>) -> Result<()> {
        let batch = UpBatch {
            outbox: self.outbox,
            lane: Lane::Results,
            after,
            records,
        };
        self.uplink.sink.send(&Message::Up(batch)).await?;
        Ok(())
    }

    pub async fn acknowledged(&mut self) -> Result<u64> {
        match self.answer().await? {
            Some(Message::UpAck(UpAck::V1 { mark, .. })) => Ok(mark),
            other => bail!("not an acknowledgement: {other:?}"),
        }
    }
}

/// Well over what a batch takes that is stored at once.
const SILENCE: Duration = Duration::from_millis(500);
