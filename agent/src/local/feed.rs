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
        let same = |(kind, digest): &(u16, u128)| self.cache.digest(*kind) == *digest;
        if batch.last && !batch.digests.iter().all(same) {
            return Err(ApplyError::NeedSnapshot);
        }
        Ok(self.cache.position().cursor)
    }

    /// Some rows at a time, so that logins go on beside a snapshot of fifty thousand (A8): a row is
    /// some microseconds, most of it opening its secret.
    fn remember(&self, changed: &[DownRecord]) {
        for chunk in changed.chunks(ROWS_AT_ONCE) {
            for row in chunk {
                match self.site.apply(row) {
                    Touched::Nobody => {}
                    touched => {
                        // Closed only while the agent stops.
                        let _stopping = self.touched.blocking_send(touched);
                    }
                }
            }
            std::thread::yield_now();
        }
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
