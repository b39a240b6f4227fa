//! The accounting thread: group commit without a timer, unless the wear of a card is to be saved.
//!
//! It takes what waits (at most 256), commits once, then answers all; the next batch forms during the
//! sync. An idle site therefore commits at once and a busy one shares each sync. With `[store] save_wear` a
//! batch fills for a while first.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction};
use tracing::error;

use super::error::tells_damage;
use super::group::{Change, Committed, Done, Gather, Job, Queue, Refused, Urgency, Write};
use super::space::Reserve;
use super::{StoreError, lines, open, records, redemptions, sessions};
use crate::sizes::Size;

/// The random name of an outbox file: a sequence means nothing without it.
pub type OutboxId = [u8; 16];

/// A handle on the accounting thread. Cloning shares it.
#[derive(Clone)]
pub struct Outbox {
    id: Arc<Mutex<OutboxId>>,
    queue: Arc<Queue>,
    gather: Arc<Gather>,
    counters: Arc<Counters>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    writes: AtomicU64,
    failed: AtomicU64,
    shed_logs: AtomicU64,
    shed_interims: AtomicU64,
    shed_others: AtomicU64,
    /// The last write failed.
    failing: AtomicBool,
    /// A write found the file damaged.
    damaged: AtomicBool,
}

/// What the accounting thread did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// Transactions committed.
    pub commits: u64,
    /// Writes in them.
    pub writes: u64,
    /// Writes whose transaction failed.
    pub failed: u64,
    /// Login records refused because too much waited.
    pub shed_logs: u64,
    /// Interims refused because too much waited.
    pub shed_interims: u64,
    /// Other jobs refused because too much waited.
    pub shed_others: u64,
    /// Whether the last write failed: what came since is not acknowledged.
    pub failing: bool,
    /// Whether a write found the file damaged: it is mended when it is opened again, and not before.
    pub damaged: bool,
    /// Jobs waiting at the moment.
    pub waiting: usize,
}

impl Outbox {
    /// Names the file if it is new and starts the thread that owns `connection`.
    pub(super) fn start(
        mut connection: Connection,
        reserve: Reserve,
        entropy: &Entropy,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Outbox, StoreError> {
        let id = Arc::new(Mutex::new(outbox_id(&mut connection, entropy)?));
        let next = records::next_sequences(&connection)?.into_iter().collect();
        let queue = Arc::new(Queue::new());
        let counters = Arc::new(Counters::default());
        let writer = Writer {
            connection,
            id: id.clone(),
            entropy: entropy.clone(),
            next,
            counters: counters.clone(),
            reserve,
            failing: false,
        };

        let gather = Arc::new(Gather::default());
        let (taken, fills) = (queue.clone(), gather.clone());
        let thread = std::thread::Builder::new()
            .name("accounting".into())
            .spawn(move || writer.run(&taken, &fills, wake))
            .map_err(StoreError::folder("a thread".as_ref()))?;
        Ok(Outbox {
            id,
            queue,
            gather,
            counters,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// The file's random name.
    pub fn id(&self) -> OutboxId {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a job to the accounting thread. Never waits: a full queue refuses, and that is counted.
    /// Whoever waits for a refused job is told at once that it was not written.
    pub fn submit(&self, job: Job) -> Result<(), Refused> {
        let shed = match &job {
            Job::Write(Write {
                urgency: Urgency::Log,
                ..
            }) => &self.counters.shed_logs,
            Job::Write(Write {
                urgency: Urgency::Interim,
                ..
            }) => &self.counters.shed_interims,
            Job::Write(Write {
                urgency: Urgency::Kept,
                ..
            })
            | Job::Acknowledge { .. }
            | Job::Compare { .. }
            | Job::Redate { .. }
            | Job::Mark { .. }
            | Job::Forget { .. }
            | Job::Prune { .. } => &self.counters.shed_others,
        };
        self.queue.push(job).map_err(|(refused, job)| {
            if refused == Refused::Full {
                shed.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(done) = into_done(*job) {
                done(Committed::No);
            }
            refused
        })
    }

    pub(crate) fn size(&self) -> Size {
        self.queue.size()
    }

    /// Lets each batch fill for as long as routers bear, at most 250 ms: a card lasts longer.
    pub fn save_wear(&self) {
        self.gather.save_wear();
    }

    /// A router asked again after so long, before it was answered.
    pub fn note_time_out(&self, seen: Duration) {
        self.gather.note_time_out(seen);
    }

    /// For how long batches fill at present.
    pub fn gathers(&self) -> Duration {
        self.gather.wait()
    }

    /// What was done since the start.
    pub fn stats(&self) -> OutboxStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OutboxStats {
            commits: count(&self.counters.commits),
            writes: count(&self.counters.writes),
            failed: count(&self.counters.failed),
            shed_logs: count(&self.counters.shed_logs),
            shed_interims: count(&self.counters.shed_interims),
            shed_others: count(&self.counters.shed_others),
            failing: self.counters.failing.load(Ordering::Relaxed),
            damaged: self.counters.damaged.load(Ordering::Relaxed),
            waiting: self.queue.len(),
        }
    }

    /// Writes what waits and ends the thread. Later jobs are refused.
    pub(super) fn stop(&self) {
        self.queue.close();
        let thread = self.thread.lock().expect("stopping does not panic").take();
        if let Some(thread) = thread {
            let _ended = thread.join();
        }
    }
}

/// What lives on the accounting thread.
struct Writer {
    connection: Connection,
    /// The file's name, for whoever asks.
    id: Arc<Mutex<OutboxId>>,
    entropy: Entropy,
    /// The next sequence of each lane; moved only by a commit.
    next: BTreeMap<u8, u64>,
    counters: Arc<Counters>,
    reserve: Reserve,
    failing: bool,
}

impl Writer {
    fn run(mut self, queue: &Queue, gather: &Gather, wake: impl Fn()) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.take(&mut batch, BATCH, gather.wait()) {
            let fates = self.settle(&batch);
            let mut wrote_records = false;
            for (job, fate) in batch.drain(..).zip(fates) {
                wrote_records |= fate == Committed::Yes && has_record(&job);
                if let Some(done) = into_done(job) {
                    done(fate);
                }
            }
            if wrote_records {
                wake();
            }
        }
    }

    /// Commits a batch, or what of it can be: where one write cannot stand, its neighbours do. Which those are is
    /// chance.
    fn settle(&mut self, batch: &[Job]) -> Vec<Committed> {
        let mut outcome = self.commit(batch);
        if outcome.as_ref().is_err_and(is_full) && self.make_room() {
            outcome = self.commit(batch);
        }
        if batch.len() > 1 && outcome.as_ref().is_err_and(is_of_one_write) {
            let alone = batch.iter().map(std::slice::from_ref);
            return alone
                .map(|job| {
                    let outcome = self.commit(job);
                    self.note(outcome, 1)
                })
                .collect();
        }
        vec![self.note(outcome, batch.len()); batch.len()]
    }

    /// Takes down what became of so many writes.
    fn note(&mut self, outcome: rusqlite::Result<BTreeMap<u8, u64>>, writes: usize) -> Committed {
        let writes = writes as u64;
        match outcome {
            Ok(next) => {
                self.next = next;
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                self.counters.writes.fetch_add(writes, Ordering::Relaxed);
                self.failing = false;
                self.counters.failing.store(false, Ordering::Relaxed);
                Committed::Yes
            }
            Err(cause) => {
                self.counters.failed.fetch_add(writes, Ordering::Relaxed);
                self.log_once(&cause);
                if tells_damage(&cause) && !self.counters.damaged.swap(true, Ordering::Relaxed) {
                    let path = self.connection.path().map(Path::new);
                    path.into_iter().for_each(open::suspect);
                }
                self.counters.failing.store(true, Ordering::Relaxed);
                Committed::No
            }
        }
    }

    /// One transaction for the whole batch; the sequences that hold once it is committed.
    fn commit(&mut self, batch: &[Job]) -> rusqlite::Result<BTreeMap<u8, u64>> {
        let mut next = self.next.clone();
        let mut renamed = None;
        let tx = open::begin(&mut self.connection)?;
        for job in batch {
            match job {
                Job::Compare { marks, .. } if is_put_back(marks, &next) => {
                    let fresh: OutboxId = self.entropy.bytes();
                    tx.execute("update file set outbox_id = ?1", [fresh])?;
                    renamed = Some(fresh);
                }
                job => perform(&tx, job, &mut next)?,
            }
        }
        tx.commit()?;
        if let Some(id) = renamed {
            *self.id.lock().unwrap_or_else(PoisonError::into_inner) = id;
        }
        Ok(next)
    }

    /// The disk is full: gives up the reserve, then the oldest of what the cloud has anyway (E1).
    /// Whether that was worth another try.
    fn make_room(&mut self) -> bool {
        let reserve = self.reserve.give_up();
        let forget = |connection: &mut Connection| -> rusqlite::Result<usize> {
            let tx = open::begin(connection)?;
            let forgotten = records::prune(&tx, END_OF_TIME, PRUNED_WHEN_FULL)?;
            tx.commit()?;
            Ok(forgotten)
        };
        let forgotten = forget(&mut self.connection).unwrap_or(0);
        reserve || forgotten > 0
    }

    /// A full disk fails every batch: it is told once, when it begins.
    fn log_once(&mut self, cause: &rusqlite::Error) {
        if !self.failing {
            error!(%cause, "Cannot write outbox.db: accounting goes unanswered until it can be written");
        }
        self.failing = true;
    }
}

/// Whether the cloud has more of some lane than was ever written here.
fn is_put_back(marks: &[(u8, u64)], next: &BTreeMap<u8, u64>) -> bool {
    let written = |lane| next.get(lane).map_or(0, |next| next.saturating_sub(1));
    marks.iter().any(|(lane, mark)| *mark > written(lane))
}

fn perform(tx: &Transaction<'_>, job: &Job, next: &mut BTreeMap<u8, u64>) -> rusqlite::Result<()> {
    match job {
        Job::Write(write) => write
            .changes
            .iter()
            .try_for_each(|change| put(tx, change, next)),
        Job::Acknowledge { lane, seq, .. } => {
            // A cloud that claims more than was written (a restored card) must not make holes.
            let written = next.get(lane).map_or(0, |next| next - 1);
            records::acknowledge(tx, *lane, (*seq).min(written))
        }
        Job::Compare { .. } => Ok(()), // nothing is missing
        Job::Redate { by, .. } => redemptions::redate(tx, *by),
        Job::Mark { name, value, .. } => put_mark(tx, name, *value),
        Job::Forget { lane, seqs } => records::forget(tx, *lane, seqs),
        Job::Prune {
            records_before,
            sessions_before,
        } => {
            records::prune(tx, *records_before, PRUNED_AT_ONCE)?;
            sessions::prune(tx, *sessions_before, PRUNED_AT_ONCE)?;
            redemptions::prune(tx, *records_before)?;
            Ok(())
        }
    }
}

fn is_full(cause: &rusqlite::Error) -> bool {
    cause.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

/// Whether it is what one write says that cannot be written, and not the disk.
fn is_of_one_write(cause: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    let code = cause.sqlite_error_code();
    matches!(code, Some(ConstraintViolation | TooBig | TypeMismatch))
}

fn put(
    tx: &Transaction<'_>,
    change: &Change,
    next: &mut BTreeMap<u8, u64>,
) -> rusqlite::Result<()> {
    match change {
        Change::Session(session) => sessions::put(tx, session),
        Change::Usage(customer, usage) => sessions::put_usage(tx, *customer, *usage),
        Change::Redemption(used) => redemptions::put(tx, used),
        Change::Vote(vote) => redemptions::vote(tx, vote),
        Change::Withdraw(voucher) => redemptions::withdraw(tx, *voucher),
        Change::Device(customer, mac, at) => redemptions::put_device(tx, *customer, *mac, *at),
        Change::Bind(bind) => redemptions::put_bind(tx, bind),
        Change::Unlock(unlocked) => redemptions::put_unlock(tx, unlocked),
        Change::LineCounter(customer, counter) => lines::put(tx, *customer, counter),
        Change::Doubt(voucher) => redemptions::doubt(tx, *voucher),
        Change::OwedCut(key) => sessions::owe_cut(tx, key),
        Change::Mark(name, value) => put_mark(tx, name, *value),
        Change::Record(record) => {
            let seq = next.entry(record.lane).or_insert(1);
            records::insert(tx, *seq, record)?;
            *seq += 1;
            Ok(())
        }
    }
}

fn has_record(job: &Job) -> bool {
    match job {
        Job::Write(write) => write
            .changes
            .iter()
            .any(|change| matches!(change, Change::Record(_))),
        Job::Acknowledge { .. }
        | Job::Compare { .. }
        | Job::Redate { .. }
        | Job::Mark { .. }
        | Job::Forget { .. }
        | Job::Prune { .. } => false,
    }
}

fn into_done(job: Job) -> Option<Done> {
    match job {
        Job::Write(write) => Some(write.done),
        Job::Acknowledge { done, .. }
        | Job::Compare { done, .. }
        | Job::Redate { done, .. }
        | Job::Mark { done, .. } => Some(done),
        Job::Forget { .. } | Job::Prune { .. } => None,
    }
}

/// Reads the file's name, giving it one when the file is new.
fn outbox_id(connection: &mut Connection, entropy: &Entropy) -> rusqlite::Result<OutboxId> {
    let fresh: OutboxId = entropy.bytes();
    let tx = open::begin(connection)?;
    tx.execute(
        "insert or ignore into file (only, outbox_id) values (1, ?1)",
        [fresh],
    )?;
    let id = tx.query_row("select outbox_id from file", [], |row| row.get(0))?;
    tx.commit()?;
    Ok(id)
}

/// Every small fact.
pub(super) fn all_marks(connection: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    connection
        .prepare("select name, value from marks")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Writes a small fact over what it was.
pub(super) fn put_mark(tx: &Transaction<'_>, name: &str, value: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into marks (name, value) values (?1, ?2)
             on conflict (name) do update set value = excluded.value",
    )?
    .execute((name, value))?;
    Ok(())
}

/// A small fact by name.
pub(super) fn mark(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("select value from marks where name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// What follows `prefix` in the names of the facts that begin with it.
pub(super) fn marks(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached(
            "select substr(name, length(?1) + 1) from marks where substr(name, 1, length(?1)) = ?1",
        )?
        .query_map([prefix], |row| row.get(0))?
        .collect()
}

/// Larger batches gain little (200 rows a commit already cost a hundredth of a sync each) and make
/// the first of the batch wait.
const BATCH: usize = 256;
/// So that forgetting never holds up an answer for more than some milliseconds.
const END_OF_TIME: Timestamp = Timestamp::from_micros(i64::MAX);
const PRUNED_WHEN_FULL: u64 = 5000;
const PRUNED_AT_ONCE: u64 = 500;
