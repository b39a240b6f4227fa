//! A box as the link sees it: an outbox and a copy of the feed, kept in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_agent::sync::{
    ApplyError, Carrier, Identity, Link, LinkConfig, LinkStatus, Local, Path, Patience, Pipe,
    PipeError, Position, Records, Terms, Trust, Unavailable, dial, tls,
};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AccessGrantId, RouterId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::question::{AskFailure, Question, Reply};
use easyisp_shared::wire::up::{HeartbeatV1, LoginOutcome, LoginV1};
use easyisp_shared::wire::{ALPN_LINK, DownKind, FeedBatch, FeedMode, Lane, Up, UpRecord, digest};
use tokio::sync::watch;
use uuid::Uuid;

use super::world::{PATIENCE, START, World, eventually};

pub struct TestBox {
    held: Mutex<Held>,
    commits: watch::Sender<u64>,
}

pub struct Held {
    pub position: Position,
    pub rows: BTreeMap<Uuid, (u64, Vec<u8>)>,
    /// Every batch that came, as (from, to, mode, ids).
    pub batches: Vec<(u64, u64, FeedMode, usize)>,
    /// How often it was told what its rows should come to.
    pub compared: usize,
    pub told: Option<Terms>,
    /// Whether the link says that everything is here.
    pub abreast: bool,
    /// Whether accounting is in no hurry.
    pub interims_wait: bool,
    /// Answer the next batch with a wish for everything.
    pub distrust: bool,
    staged: BTreeMap<Uuid, (u64, Vec<u8>)>,
    outbox: Vec<(Lane, UpRecord)>,
    acknowledged: BTreeMap<Lane, u64>,
}

impl TestBox {
    pub fn new() -> Arc<TestBox> {
        let held = Held {
            position: Position {
                outbox: Uuid::new_v4(),
                generation: 0,
                epoch: Uuid::nil(),
                cursor: 0,
            },
            rows: BTreeMap::new(),
            batches: Vec::new(),
            compared: 0,
            told: None,
            abreast: false,
            interims_wait: false,
            distrust: false,
            staged: BTreeMap::new(),
            outbox: Vec::new(),
            acknowledged: BTreeMap::new(),
        };
        Arc::new(TestBox {
            held: Mutex::new(held),
            commits: watch::Sender::new(0),
        })
    }

    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("nobody panics here")
    }

    /// The state of every row, by id.
    pub fn rows(&self) -> BTreeMap<u128, Vec<u8>> {
        let held = self.held();
        let rows = held.rows.iter();
        rows.map(|(id, (_, body))| (id.as_u128(), body.clone()))
            .collect()
    }

    /// Reports a login of this name; names arrive in the order they were reported.
    pub fn report_login(&self, name: &str) {
        let count = self.held().outbox.len();
        let body = login(name, count).encode();
        self.report(Lane::Results, 2, body);
    }

    pub fn report_health(&self, queue: u64) {
        let body = Up::Heartbeat(HeartbeatV1 {
            at: START,
            version: "0.1.0".into(),
            queue,
            sessions: 3,
            clock_offset_millis: Some(-5),
            unknown_sources: Vec::new(),
            secret_mismatches: Vec::new(),
            unsigned_routers: Vec::new(),
            counters: vec![("auth_accepted".into(), 1)],
        });
        self.report(Lane::Metrics, 4, body.encode());
    }

    pub fn report(&self, lane: Lane, kind: u16, body: Vec<u8>) {
        self.report_many(lane, kind, [body]);
    }

    /// Reports several with one commit.
    pub fn report_many(&self, lane: Lane, kind: u16, bodies: impl IntoIterator<Item = Vec<u8>>) {
        let mut held = self.held();
        let of_lane = held.outbox.iter().filter(|(of, _)| *of == lane).count() as u64;
        for (sequence, body) in (of_lane + 1..).zip(bodies) {
            let record = UpRecord {
                kind,
                sequence,
                body,
            };
            held.outbox.push((lane, record));
        }
        drop(held);
        self.commits.send_modify(|commits| *commits += 1);
    }

    pub fn acknowledged(&self, lane: Lane) -> u64 {
        self.held().acknowledged.get(&lane).copied().unwrap_or(0)
    }

    /// As if none had arrived.
    pub fn forget_acknowledgements(&self) {
        self.held().acknowledged.clear();
    }
}

impl Held {
    /// What the rows come to; they are all of one kind here.
    fn digest(&self) -> u128 {
        let kind = DownKind::Subscriber.code();
        let epoch = self.position.epoch;
        let weight = |(id, (version, body)): (&Uuid, &(u64, Vec<u8>))| {
            digest::row_hash(epoch, kind, *id, *version, Some(body))
        };
        self.rows
            .iter()
            .map(weight)
            .fold(0, |sum, weight| digest::replace(sum, 0, weight))
    }
}

/// A login of `name`, the `nth` of its box.
pub fn login(name: &str, nth: usize) -> Up {
    Up::Login(LoginV1 {
        at: START.plus(Duration::from_secs(nth as u64)),
        router: RouterId(Uuid::from_u128(1)),
        username: name.as_bytes().to_vec(),
        customer: None,
        mac: None,
        outcome: LoginOutcome::Accepted,
    })
}

impl Local for TestBox {
    fn shut_out(&self) {}

    async fn position(&self) -> Result<Position, Unavailable> {
        Ok(self.held().position)
    }

    async fn wrote(&self, _marks: &[(u8, u64)]) -> Result<bool, Unavailable> {
        Ok(true)
    }

    async fn welcomed(&self, terms: Terms) -> Result<(), Unavailable> {
        let mut held = self.held();
        held.position.generation = terms.generation;
        held.told = Some(terms);
        Ok(())
    }

    fn cloud_time(&self, now: Timestamp, _round_trip: Duration) {
        if let Some(told) = &mut self.held().told {
            told.now = now;
        }
    }

    fn caught_up(&self, now: bool) {
        self.held().abreast = now;
    }

    async fn apply(&self, batch: FeedBatch) -> Result<u64, ApplyError> {
        let mut held = self.held();
        if batch.records.is_empty() && batch.from == batch.to {
            held.compared += 1;
        } else {
            let what = (batch.from, batch.to, batch.mode, batch.records.len());
            held.batches.push(what);
        }
        if std::mem::take(&mut held.distrust) {
            return Err(ApplyError::NeedSnapshot);
        }
        if batch.mode == FeedMode::Changes && batch.from != held.position.cursor {
            return Err(ApplyError::NeedSnapshot);
        }
        let held = &mut *held;
        let rows = match batch.mode {
            FeedMode::Changes => &mut held.rows,
            FeedMode::SnapshotBegin | FeedMode::SnapshotWhole => {
                held.staged.clear();
                &mut held.staged
            }
            FeedMode::SnapshotMore | FeedMode::SnapshotEnd => &mut held.staged,
        };
        for record in batch.records {
            match record.body {
                Some(body) => rows.insert(record.id, (record.version, body)),
                None => rows.remove(&record.id),
            };
        }
        match batch.mode {
            FeedMode::Changes => held.position.cursor = batch.to,
            FeedMode::SnapshotBegin | FeedMode::SnapshotMore => {}
            FeedMode::SnapshotEnd | FeedMode::SnapshotWhole => {
                held.rows = std::mem::take(&mut held.staged);
                held.position.cursor = batch.to;
                held.position.epoch = held.told.expect("welcomed before fed").epoch;
            }
        }
        let own = held.digest();
        if batch.last && batch.digests.iter().any(|(_, digest)| *digest != own) {
            return Err(ApplyError::NeedSnapshot);
        }
        Ok(held.position.cursor)
    }

    async fn next_batch(
        &self,
        lane: Lane,
        after: u64,
        most: usize,
        _bytes: usize,
    ) -> Result<Records, Unavailable> {
        let held = self.held();
        let of_lane = held
            .outbox
            .iter()
            .filter(|(of, record)| *of == lane && record.sequence > after);
        Ok(Records {
            list: of_lane
                .map(|(_, record)| record.clone())
                .take(most)
                .collect(),
            can_wait: held.interims_wait && lane == Lane::Accounting,
        })
    }

    async fn acknowledged(&self, lane: Lane, mark: u64) {
        self.held().acknowledged.insert(lane, mark);
        self.commits.send_modify(|_| {});
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    async fn answer(&self, question: Question, _within: Duration) -> Result<Reply, AskFailure> {
        match question {
            Question::Ping => Ok(Reply::Pong { now: START }),
            // This box's router never answers.
            Question::LiveSessions { .. } => std::future::pending().await,
            Question::Disconnect(_)
            | Question::Sessions(_)
            | Question::Reconcile { .. }
            | Question::Traffic(_)
            | Question::LocalSecrets { .. }
            | Question::Diagnose { .. }
            | Question::Router { .. }
            | Question::Around
            | Question::OnlinePage(_)
            | Question::Subscribers(_)
            | Question::Access(_)
            | Question::AccessOver { .. }
            | Question::ReleaseVoucher { .. } => Err(AskFailure::NotFound),
            Question::TestConnection { .. } => Err(AskFailure::Unreachable("no route".into())),
        }
    }

    async fn through(&self, _grant: AccessGrantId, _pipe: Pipe) -> Result<(), PipeError> {
        Ok(()) // it leads nowhere
    }
}

impl World {
    /// A bare connection with this identity, for callers who keep no promise.
    pub async fn dial(&self, identity: &Identity) -> Result<Arc<dyn Carrier>> {
        let trust = Trust::authorities(&identity.authorities, Arc::new(|| START))?;
        let own = Some(identity.credentials());
        let tls = tls(ALPN_LINK, trust, own)?;
        Ok(dial(&self.address(), Path::Quic, tls, PATIENCE).await?)
    }

    /// A link of `identity` to this world's door.
    pub fn link(&self, identity: &Identity, local: &Arc<TestBox>) -> Link {
        self.link_at(identity, local, self.clock.now())
    }

    /// The same, for a box that knows only that `floor` has passed.
    pub fn link_at(&self, identity: &Identity, local: &Arc<TestBox>, floor: Timestamp) -> Link {
        let config = LinkConfig {
            cloud: self.address(),
            version: "0.1.0".into(),
            clock: self.clock.clone(),
            entropy: Entropy::seeded(2),
            floor: Arc::new(move || floor),
            patience: Patience::default(),
            metered: false,
            addresses: Arc::new(Vec::new),
        };
        Link::start(config, identity.clone(), local.clone())
    }

    /// The same, over a line of `address` that soon seems silent.
    pub fn link_over(&self, identity: &Identity, local: &Arc<TestBox>, address: &str) -> Link {
        let last_port = Patience::default().last_port;
        self.link_by(identity, local, address, last_port)
    }

    /// The same, with another port that every line lets through.
    pub fn link_by(
        &self,
        identity: &Identity,
        local: &Arc<TestBox>,
        address: &str,
        last_port: u16,
    ) -> Link {
        let now = self.clock.now();
        let config = LinkConfig {
            cloud: address.to_owned(),
            version: "0.1.0".into(),
            clock: self.clock.clone(),
            entropy: Entropy::seeded(2),
            floor: Arc::new(move || now),
            patience: Patience {
                silence: Duration::from_millis(500),
                last_port,
                ..Patience::default()
            },
            metered: false,
            addresses: Arc::new(Vec::new),
        };
        Link::start(config, identity.clone(), local.clone())
    }
}

/// Waits until the link is up and everything is applied.
pub async fn caught_up(link: &Link) -> Result<()> {
    let mut status = link.status();
    let up = status.wait_for(|status| {
        matches!(
            status,
            LinkStatus::Up {
                caught_up: true,
                ..
            }
        )
    });
    tokio::time::timeout(super::world::PATIENCE, up).await??;
    Ok(())
}

/// Waits until the link is down for a reason that says `word`.
pub async fn down_because(link: &Link, word: &str) -> Result<()> {
    let status = link.status();
    let told = eventually("the link is down", || async {
        let reason = match &*status.borrow() {
            LinkStatus::Down { reason, .. } => reason.clone(),
            LinkStatus::Up { .. } => String::new(),
        };
        Ok(reason.contains(word).then_some(()))
    });
    told.await
        .with_context(|| format!("{word} in {:?}", link.status().borrow()))
}

/// Waits until `local` holds exactly these rows.
pub async fn holds(local: &TestBox, rows: &[(u128, &[u8])]) -> Result<()> {
    let wanted: BTreeMap<u128, Vec<u8>> =
        rows.iter().map(|(id, body)| (*id, body.to_vec())).collect();
    eventually("the rows", || async {
        Ok((local.rows() == wanted).then_some(()))
    })
    .await
}
