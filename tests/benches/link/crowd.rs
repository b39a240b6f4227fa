//! An agent as the link sees it, with everybody at its site online.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Result;
use easyisp_agent::sync::{
    ApplyError, Identity, Link, LinkConfig, LinkStatus, Local, Patience, Pipe, PipeError, Position,
    Records, Terms, Unavailable,
};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AccessGrantId, CustomerId, RouterId};
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::net::Mac;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::question::{AskFailure, Question, Reply};
use easyisp_shared::wire::up::{AccountingStatus, AccountingV1};
use easyisp_shared::wire::{FeedBatch, FeedMode, Lane, Up, UpKind, UpRecord};
use easyisp_tests::world::soon;
use tokio::sync::watch;
use uuid::Uuid;

use super::cloud::Place;
use super::{ONLINE, floor};

/// An agent with its link.
pub struct Member {
    pub crowd: Arc<Crowd>,
    link: Link,
}

impl Member {
    /// Begins to keep a link.
    pub fn link(cloud: &str, identity: Identity, crowd: Arc<Crowd>, clock: Clock) -> Member {
        let config = LinkConfig {
            cloud: cloud.to_owned(),
            version: "bench".into(),
            clock: clock.clone(),
            entropy: Entropy::system(),
            floor: Arc::new(floor(clock)),
            patience: Patience::default(),
            metered: false,
            addresses: Arc::new(Vec::new),
        };
        Member {
            link: Link::start(config, identity, crowd.clone()),
            crowd,
        }
    }

    /// Waits until it has everything that the cloud had.
    pub async fn caught_up(&self) -> Result<()> {
        let mut status = self.link.status();
        let up = |status: &LinkStatus| {
            matches!(
                status,
                LinkStatus::Up {
                    caught_up: true,
                    ..
                }
            )
        };
        soon("the link is up", status.wait_for(up)).await??;
        Ok(())
    }

    pub async fn stop(self) {
        self.link.stop().await;
    }
}

/// Everybody at a site, who are online and whose counters grow. What they say is made when it is sent: an agent's disk is
/// measured elsewhere.
pub struct Crowd {
    router: RouterId,
    first: u128,
    began: Timestamp,
    position: Mutex<Position>,
    talks: AtomicBool,
    acknowledged: AtomicU64,
    commits: watch::Sender<u64>,
}

impl Crowd {
    /// Those of a site, whose sessions began then.
    pub fn at(place: &Place, began: Timestamp) -> Arc<Crowd> {
        let position = Position {
            outbox: Uuid::new_v4(),
            generation: 0,
            epoch: Uuid::nil(),
            cursor: 0,
        };
        Arc::new(Crowd {
            router: RouterId(place.router),
            first: place.first,
            began,
            position: Mutex::new(position),
            talks: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            commits: watch::Sender::new(0),
        })
    }

    /// From here on there is always something to tell.
    pub fn begin(&self) {
        self.talks.store(true, Ordering::Relaxed);
        self.commits.send_modify(|commits| *commits += 1);
    }

    pub fn rest(&self) {
        self.talks.store(false, Ordering::Relaxed);
    }

    /// How much the cloud has.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until the cloud has so much.
    pub async fn has_told(&self, records: u64) -> Result<()> {
        let mut commits = self.commits.subscribe();
        let told = commits.wait_for(|_| self.acknowledged() >= records);
        soon("the first records are taken", told).await??;
        Ok(())
    }

    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().expect("nobody panics under it")
    }

    /// One after the other tells where he stands, and then all again five minutes later.
    fn record(&self, sequence: u64) -> UpRecord {
        let (round, nth) = (
            (sequence - 1) / u64::from(ONLINE),
            (sequence - 1) % u64::from(ONLINE),
        );
        let customer = self.first + u128::from(nth);
        let secs = u32::try_from(round * 300).unwrap_or(u32::MAX);
        let place = (customer & 0xff_ffff) as u32;
        let [_, a, b, c] = place.to_be_bytes();
        let accounting = AccountingV1 {
            router: self.router,
            session: format!("8{nth:07x}").into_bytes(),
            class: customer.to_be_bytes().to_vec(),
            status: match round {
                0 => AccountingStatus::Start,
                _ => AccountingStatus::Interim,
            },
            username: format!("user{place:06}").into_bytes(),
            customer: Some(CustomerId(Uuid::from_u128(customer))),
            framed_ip: Some(Ipv4Addr::from(0x0a00_0000 | place)),
            prefixes: Prefixes::default(),
            mac: Some(Mac::new([2, 0, 0, a, b, c])),
            at: self.began.plus(Duration::from_secs(round * 300)),
            started: self.began,
            session_secs: secs,
            bytes_up: u64::from(secs) * 20_003,
            bytes_down: u64::from(secs) * 200_017,
            bytes_free: 0,
            cause: None,
        };
        UpRecord {
            kind: UpKind::Accounting.code(),
            sequence,
            body: Up::Accounting(accounting).encode(),
        }
    }
}

impl Local for Crowd {
    fn shut_out(&self) {}

    async fn position(&self) -> Result<Position, Unavailable> {
        Ok(*self.position())
    }

    async fn wrote(&self, _marks: &[(u8, u64)]) -> Result<bool, Unavailable> {
        Ok(true)
    }

    async fn welcomed(&self, terms: Terms) -> Result<(), Unavailable> {
        let mut position = self.position();
        position.generation = terms.generation;
        position.epoch = terms.epoch;
        Ok(())
    }

    fn cloud_time(&self, _now: Timestamp, _round_trip: Duration) {}

    fn caught_up(&self, _now: bool) {}

    async fn apply(&self, batch: FeedBatch) -> Result<u64, ApplyError> {
        let mut position = self.position();
        match batch.mode {
            FeedMode::Changes | FeedMode::SnapshotEnd | FeedMode::SnapshotWhole => {
                position.cursor = batch.to;
            }
            FeedMode::SnapshotBegin | FeedMode::SnapshotMore => {}
        }
        Ok(position.cursor)
    }

    async fn next_batch(
        &self,
        lane: Lane,
        after: u64,
        most: usize,
        _bytes: usize,
    ) -> Result<Records, Unavailable> {
        let talks = lane == Lane::Accounting && self.talks.load(Ordering::Relaxed);
        let most = if talks { most as u64 } else { 0 };
        Ok(Records {
            list: (1..=most).map(|nth| self.record(after + nth)).collect(),
            can_wait: false,
        })
    }

    async fn acknowledged(&self, lane: Lane, mark: u64) {
        if lane == Lane::Accounting {
            self.acknowledged.store(mark, Ordering::Relaxed);
            self.commits.send_modify(|commits| *commits += 1);
        }
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    async fn answer(&self, _question: Question, _within: Duration) -> Result<Reply, AskFailure> {
        Err(AskFailure::NotFound)
    }

    async fn through(&self, _grant: AccessGrantId, _pipe: Pipe) -> Result<(), PipeError> {
        Ok(()) // it leads nowhere
    }
}
