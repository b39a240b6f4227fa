//! The apply thread: a batch becomes rows of the cache in one transaction, then memory row by row.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use easyisp_shared::wire::{DownRecord, FeedBatch, FeedMode};
use tokio::sync::{mpsc as tokio_mpsc, oneshot};
use tracing::{error, info};
use uuid::Uuid;

use crate::site::{Site, Touched};
use crate::store::{Cache, CachePosition, Snapshot, StoreError};
use crate::sync::{ApplyError, Unavailable};

/// A handle on the apply thread.
pub struct Feed {
    jobs: Mutex<Option<SyncSender<Job>>>,
    position: Arc<Mutex<CachePosition>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Rows put into the cache before the start, for a site that is described by hand.
#[derive(Debug, Default)]
pub struct Load {
    /// The rows; empty = leave the cache as it is.
    pub rows: Vec<DownRecord>,
}

struct Job {
    batch: FeedBatch,
    epoch: Uuid,
    done: oneshot::Sender<Result<u64, ApplyError>>,
}

struct Applier {
    cache: Cache,
    site: Arc<Site>,
    touched: tokio_mpsc::Sender<Touched>,
    position: Arc<Mutex<CachePosition>>,
}

impl Feed {
    /// Fills `site` from the cache and starts the thread that owns the cache from then on.
    pub fn start(
        mut cache: Cache,
        load: Load,
        site: Arc<Site>,
        touched: tokio_mpsc::Sender<Touched>,
    ) -> Result<Feed, StoreError> {
        if let Some(version) = load.rows.iter().map(|row| row.version).max() {
            cache.stage(Snapshot::First, &load.rows)?;
            cache.replace(CachePosition {
                epoch: Uuid::nil(),
                cursor: version,
            })?;
        }
        cache.for_each(|row| {
            site.apply(&row);
        })?;
        site.knows_up_to(cache.position().cursor);
        let position = Arc::new(Mutex::new(cache.position()));
        info!("Knows {} subscribers", site.subscriber_count());

        let (jobs, taken) = mpsc::sync_channel(1);
        let applier = Applier {
            cache,
            site,
            touched,
            position: position.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("apply".into())
            .spawn(move || applier.run(&taken))
            .map_err(|_| StoreError::Closed)?;
        Ok(Feed {
            jobs: Mutex::new(Some(jobs)),
            position,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Up to where the cache reaches.
    pub fn position(&self) -> CachePosition {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a batch; returns the cursor then held.
    pub async fn apply(&self, batch: FeedBatch, epoch: Uuid) -> Result<u64, ApplyError> {
        let (done, applied) = oneshot::channel();
        let job = Job { batch, epoch, done };
        {
            let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            let jobs = jobs.as_ref().ok_or(Unavailable)?;
            jobs.try_send(job).map_err(|_| Unavailable)?;
        }
        applied.await.map_err(|_| Unavailable)?
    }

    /// Ends the thread after the batch it works on.
    pub fn stop(&self) {
        drop(
            self.jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ended = thread.join();
        }
    }
}

impl Applier {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let result = self.apply(job.batch, job.epoch);
            *self.position.lock().unwrap_or_else(PoisonError::into_inner) = self.cache.position();
            let _nobody_waits = job.done.send(result);
        }
    }

    fn apply(&mut self, batch: FeedBatch, epoch: Uuid) -> Result<u64, ApplyError> {
        let held = self.cache.position();
        let changed = match batch.mode {
            FeedMode::Changes => {
                if held.epoch != epoch || batch.from > held.cursor {
                    return Err(ApplyError::NeedSnapshot);
                }
                let to = batch.to.max(held.cursor);
                self.cache.apply(batch.records, to).map_err(unavailable)?
            }
            FeedMode::SnapshotBegin | FeedMode::SnapshotMore => {
                let position = stage_position(batch.mode);
                self.cache
                    .stage(position, &batch.records)
                    .map_err(unavailable)?;
                return Ok(held.cursor);
            }
            FeedMode::SnapshotEnd | FeedMode::SnapshotWhole => {
                let position = stage_position(batch.mode);
                self.cache
                    .stage(position, &batch.records)
                    .map_err(unavailable)?;
                let to = CachePosition {
                    epoch,
                    cursor: batch.to,
                };
                self.cache.replace(to).map_err(unavailable)?
            }
        };
        self.remember(&changed);
        self.site.knows_up_to(self.cache.position().cursor);
        let same = |(kind, digest): &(u16, u128)| self.cache.digest(*kind) == *digest;
        if batch.last && !batch.digests.iter().all(same) {
            return Err(ApplyError::NeedSnapshot);
        }
        Ok(self.cache.position().cursor)
    }

    /// Some rows at a time, so that logins go on beside a snapshot of fifty thousand (A8): a row is
    /// some microseconds, most of it opening its secret.
    ///
    /// Who is gone is told last: his name may be another customer's a row later.
    fn remember(&self, changed: &[DownRecord]) {
        // Closed only while the agent stops.
        let tell = |touched| drop(self.touched.blocking_send(touched));
        let mut gone = Vec::new();
        for chunk in changed.chunks(ROWS_AT_ONCE) {
            for row in chunk {
                match self.site.apply(row) {
                    Touched::Nobody => {}
                    touched @ Touched::Gone { .. } => gone.push(touched),
                    touched => tell(touched),
                }
            }
            std::thread::yield_now();
        }
        gone.into_iter().for_each(tell);
    }
}

fn stage_position(mode: FeedMode) -> Snapshot {
    match mode {
        FeedMode::SnapshotBegin | FeedMode::SnapshotWhole => Snapshot::First,
        FeedMode::SnapshotMore | FeedMode::SnapshotEnd | FeedMode::Changes => Snapshot::More,
    }
}

fn unavailable(cause: StoreError) -> ApplyError {
    error!(%cause, "Cannot write cache.db");
    ApplyError::Unavailable(Unavailable)
}

const ROWS_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::entropy::Entropy;
    use easyisp_shared::id::CustomerId;
    use easyisp_shared::seal::SealKey;
    use easyisp_shared::wire::{Down, DownKind, digest};

    use super::*;
    use crate::site::description::Description;
    use crate::site::{PasswordChange, Ranges};
    use crate::store::{Store, StoreGuard};

    const EPOCH: Uuid = Uuid::from_u128(5);

    struct Given {
        feed: Feed,
        site: Arc<Site>,
        guard: StoreGuard,
        touched: tokio_mpsc::Receiver<Touched>,
    }

    fn given(dir: &std::path::Path) -> Given {
        let store = Store::open(dir, &Entropy::seeded(1), || {}).unwrap();
        let (_, _, cache, guard) = store.split();
        let site = Arc::new(Site::new(SealKey::new([1; 32]), Ranges::new(Vec::new())));
        let (sender, touched) = tokio_mpsc::channel(1024);
        let feed = Feed::start(cache, Load::default(), site.clone(), sender).unwrap();
        Given {
            feed,
            site,
            guard,
            touched,
        }
    }

    fn subscribers(names: &[&str], version: u64) -> Vec<DownRecord> {
        let words: Vec<String> = names
            .iter()
            .map(|name| {
                format!(
                    r#"{{"username": "{name}", "password": "x", "package": "p",
                         "paid_until": "2026-01-01T00:00:00Z"}}"#
                )
            })
            .collect();
        let text = format!(r#"{{"subscribers": [{}]}}"#, words.join(","));
        let description: Description = serde_json::from_str(&text).unwrap();
        description.rows(&SealKey::new([1; 32]), &Entropy::seeded(1), version)
    }

    fn batch(mode: FeedMode, from: u64, to: u64, records: Vec<DownRecord>) -> FeedBatch {
        FeedBatch {
            from,
            to,
            mode,
            last: true,
            digests: Vec::new(),
            records,
        }
    }

    /// A snapshot in parts counts when it is whole, and takes away what it does not name.
    #[tokio::test]
    async fn a_snapshot_in_parts_replaces_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let given = given(dir.path());
        let whole = batch(
            FeedMode::SnapshotWhole,
            0,
            3,
            subscribers(&["old", "kept"], 3),
        );
        assert_eq!(given.feed.apply(whole, EPOCH).await, Ok(3));

        let begin = batch(FeedMode::SnapshotBegin, 0, 9, subscribers(&["kept"], 3));
        assert_eq!(given.feed.apply(begin, EPOCH).await, Ok(3));
        assert!(given.site.subscriber(b"old").is_some());
        let end = batch(FeedMode::SnapshotEnd, 0, 9, subscribers(&["new"], 9));
        assert_eq!(given.feed.apply(end, EPOCH).await, Ok(9));

        assert!(given.site.subscriber(b"old").is_none());
        assert!(
            given.site.subscriber(b"kept").is_some() && given.site.subscriber(b"new").is_some()
        );
        given.feed.stop();
        given.guard.close();
    }

    /// A name that another customer has a row later is his by the time that somebody hears who is gone: nobody who has it
    /// is taken for a stranger.
    #[tokio::test]
    async fn who_is_gone_is_told_when_everything_beside_him_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let mut given = given(dir.path());
        let kind = DownKind::Subscriber.code();
        let mut rows = subscribers(&["jane"], 3);
        let whole = batch(FeedMode::SnapshotWhole, 0, 3, rows.clone());
        given.feed.apply(whole, EPOCH).await.unwrap();
        while given.touched.try_recv().is_ok() {}

        rows.retain(|row| row.kind == kind);
        let mut other = rows.remove(0);
        let gone = DownRecord {
            version: 4,
            body: None,
            ..other.clone()
        };
        let before = CustomerId(other.id);
        let body = other.body.as_deref().unwrap();
        let Ok(Down::Subscriber(mut told)) = Down::decode(kind, body) else {
            panic!("a subscriber");
        };
        (other.id, other.version) = (Uuid::from_u128(77), 4);
        told.customer = CustomerId(other.id);
        other.body = Some(Down::Subscriber(told).encode());
        let changes = batch(FeedMode::Changes, 3, 4, vec![gone, other]);
        assert_eq!(given.feed.apply(changes, EPOCH).await, Ok(4));
        let heard = [given.touched.try_recv(), given.touched.try_recv()];
        let customer = CustomerId(Uuid::from_u128(77));
        let password = PasswordChange::Same;
        let gone = Touched::Gone {
            customer: before,
            username: b"jane".as_slice().into(),
        };
        let news = Touched::Customer { customer, password };
        assert_eq!(heard, [Ok(news), Ok(gone)]);
        given.feed.stop();
        given.guard.close();
    }

    /// What does not follow, or belongs to a cloud restored from a backup, asks for a snapshot.
    #[tokio::test]
    async fn a_gap_another_epoch_and_another_digest_ask_for_a_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let given = given(dir.path());
        let rows = subscribers(&["one"], 3);
        let whole = batch(FeedMode::SnapshotWhole, 0, 3, rows.clone());
        given.feed.apply(whole, EPOCH).await.unwrap();

        let changes = |from, to| batch(FeedMode::Changes, from, to, subscribers(&["two"], to));
        let snapshot = Err(ApplyError::NeedSnapshot);
        assert_eq!(given.feed.apply(changes(4, 5), EPOCH).await, snapshot);
        assert_eq!(
            given.feed.apply(changes(3, 4), Uuid::from_u128(6)).await,
            snapshot
        );
        assert!(given.site.subscriber(b"two").is_none());

        let weight = |row: &DownRecord| {
            digest::row_hash(EPOCH, row.kind, row.id, row.version, row.body.as_deref())
        };
        let kind = easyisp_shared::wire::DownKind::Subscriber.code();
        let right = rows.iter().filter(|row| row.kind == kind).map(weight);
        let right = right.fold(0, |sum, weight| digest::replace(sum, 0, weight));
        let mut idle = batch(FeedMode::Changes, 3, 3, Vec::new());
        idle.digests = vec![(kind, right)];
        assert_eq!(given.feed.apply(idle.clone(), EPOCH).await, Ok(3));
        idle.digests = vec![(kind, right + 1)];
        assert_eq!(given.feed.apply(idle, EPOCH).await, snapshot);
        given.feed.stop();
        given.guard.close();
    }

    /// A row of a kind that only a later release knows changes nothing here, stops nothing, and is kept for it.
    #[tokio::test]
    async fn rows_of_a_later_release_are_kept_as_they_came() {
        let dir = tempfile::tempdir().unwrap();
        let given = given(dir.path());
        let whole = batch(FeedMode::SnapshotWhole, 0, 3, subscribers(&["one"], 3));
        given.feed.apply(whole, EPOCH).await.unwrap();
        let later = DownRecord {
            kind: 999,
            id: Uuid::from_u128(9),
            version: 4,
            body: Some(vec![1, 2, 3]),
        };
        let body = later.body.as_deref();
        let weight = digest::row_hash(EPOCH, 999, later.id, 4, body);
        let mut changes = batch(FeedMode::Changes, 3, 4, subscribers(&["two"], 4));
        changes.records.insert(0, later);
        assert_eq!(given.feed.apply(changes, EPOCH).await, Ok(4));
        assert!(given.site.subscriber(b"two").is_some());
        let mut idle = batch(FeedMode::Changes, 4, 4, Vec::new());
        idle.digests = vec![(999, weight)];
        assert_eq!(given.feed.apply(idle, EPOCH).await, Ok(4));
        given.feed.stop();
        given.guard.close();
    }

    #[tokio::test]
    async fn a_restart_finds_what_was_applied() {
        let dir = tempfile::tempdir().unwrap();
        let first = given(dir.path());
        let whole = batch(FeedMode::SnapshotWhole, 0, 3, subscribers(&["one"], 3));
        first.feed.apply(whole, EPOCH).await.unwrap();
        let more = batch(FeedMode::Changes, 2, 4, subscribers(&["two"], 4));
        first.feed.apply(more, EPOCH).await.unwrap();
        first.feed.stop();
        first.guard.close();

        let again = given(dir.path());
        assert_eq!(again.feed.position().cursor, 4);
        assert!(again.site.subscriber(b"one").is_some() && again.site.subscriber(b"two").is_some());
        again.feed.stop();
        again.guard.close();
    }
}
