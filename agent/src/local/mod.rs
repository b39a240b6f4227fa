//! What the link finds at this site: the feed's sink, the outbox, answers to live questions.

mod diagnosis;
mod feed;
mod online;
mod questions;
mod router;
mod thrift;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use easyisp_shared::id::AccessGrantId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::question::{AskFailure, Question, Reply};
use easyisp_shared::wire::up::without_prefixes;
use easyisp_shared::wire::{FeedBatch, Lane, UpRecord};
use tokio::sync::{oneshot, watch};
use tracing::error;
use uuid::Uuid;

pub use feed::{Feed, Load};
pub use questions::Questions;

use crate::housekeeping;
use crate::site::SiteClock;
use crate::store::{Committed, Done, Job, Outbox, OutboxReader};
use crate::sync::{
    ApplyError, GenerationFile, IdentityError, Local, Pipe, PipeError, Position, Records, Terms,
    Unavailable,
};

/// This site, as the link sees it.
pub struct LocalSite {
    /// Where state goes.
    pub feed: Arc<Feed>,
    /// Where acknowledgements go.
    pub outbox: Outbox,
    /// Where records are read.
    pub reader: Arc<OutboxReader>,
    /// Changes with every commit of records.
    pub commits: watch::Receiver<u64>,
    /// Whom the cloud tells its time.
    pub clock: Arc<SiteClock>,
    /// Who answers what is asked.
    pub questions: Questions,
    /// The epoch of the link that is up.
    pub epoch: Mutex<Uuid>,
    /// The generation that this box holds.
    pub generation: GenerationFile,
    /// Whether every octet costs: only money, entitlement and sessions travel, interims once an hour.
    pub metered: bool,
    /// Whether the cloud of the link that is up reads sessions' prefixes.
    pub prefixes: AtomicBool,
}

impl Local for LocalSite {
    async fn position(&self) -> Result<Position, Unavailable> {
        let file = self.generation.clone();
        let generation = blocking(move || file.read()).await?;
        let held = self.feed.position();
        Ok(Position {
            outbox: Uuid::from_bytes(self.outbox.id()),
            generation,
            epoch: held.epoch,
            cursor: held.cursor,
        })
    }

    async fn wrote(&self, marks: &[(u8, u64)]) -> Result<bool, Unavailable> {
        let (before, marks) = (self.outbox.id(), marks.to_vec());
        // A disk that takes nothing is no reason to stay away: what the cloud has of it makes room.
        let _unknown = self.durably(|done| Job::Compare { marks, done }).await;
        let is_whole = self.outbox.id() == before;
        if !is_whole {
            // What began since the image that was put back is told to the cloud, and not known here.
            let sessions = self.questions.enforcer.sessions();
            sessions.serve_since(self.clock.now());
        }
        Ok(is_whole)
    }

    async fn welcomed(&self, terms: Terms) -> Result<(), Unavailable> {
        let now = terms.now.plus(terms.round_trip / 2);
        let behind = self.behind(now);
        if let Some(by) = behind {
            self.redate_uses(by).await;
        }
        self.set_clock(now);
        if let Some(by) = behind {
            // What was dated in between.
            self.redate_uses(by).await;
        }
        self.questions.poller.pack(terms.packed_metrics);
        self.questions.reconciler.tell_pools(terms.pools);
        self.prefixes.store(terms.prefixes, Ordering::Relaxed);
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = terms.epoch;
        let _refused_is_counted = self.outbox.submit(Job::Mark {
            name: CLOUD_MARK.into(),
            value: self.clock.floor().micros(),
            done: Box::new(|_| {}),
        });
        let file = self.generation.clone();
        blocking(move || file.hold(terms.generation)).await
    }

    fn cloud_time(&self, now: Timestamp, round_trip: Duration) {
        self.set_clock(now.plus(round_trip / 2));
    }

    fn caught_up(&self, now: bool) {
        let site = self.questions.enforcer.site();
        match now {
            true => site.begin_abreast(),
            false => site.end_abreast(self.clock.now()),
        }
    }

    fn shut_out(&self) {
        self.questions.enforcer.site().shut_out();
    }

    async fn apply(&self, batch: FeedBatch) -> Result<u64, ApplyError> {
        let epoch = *self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.feed.position();
        let cursor = self.feed.apply(batch, epoch).await?;
        let known = self.feed.position();
        if known != before {
            // Where it is refused, an older copy of the cache is not seen to be one.
            let _refused_is_counted = self.outbox.submit(Job::Mark {
                name: known_mark(known.epoch),
                value: i64::try_from(known.cursor).unwrap_or(i64::MAX),
                done: Box::new(|_| {}),
            });
        }
        Ok(cursor)
    }

    async fn next_batch(
        &self,
        lane: Lane,
        after: u64,
        most: usize,
        bytes: usize,
    ) -> Result<Records, Unavailable> {
        let code = lane.code();
        let mut kept = self
            .read(move |reader| reader.records(code, after, most, bytes))
            .await?;
        if self.metered && lane == Lane::Accounting {
            kept = thrift::fold(kept, most, self.clock.now());
        }
        let can_wait = kept.len() < most && thrift::is_interims(&kept);
        let all = self.prefixes.load(Ordering::Relaxed);
        let list = kept
            .into_iter()
            .map(|kept| {
                let record = kept.record;
                let less = match all {
                    true => None,
                    false => without_prefixes(record.kind, &record.body),
                };
                UpRecord {
                    kind: record.kind,
                    sequence: kept.seq,
                    body: less.unwrap_or(record.body),
                }
            })
            .collect();
        Ok(Records { list, can_wait })
    }

    async fn acknowledged(&self, lane: Lane, mark: u64) {
        // A mark that is not written is told again with the next batch.
        let _told_again = self
            .durably(|done| Job::Acknowledge {
                lane: lane.code(),
                seq: mark,
                done,
            })
            .await;
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    async fn answer(&self, question: Question, within: Duration) -> Result<Reply, AskFailure> {
        questions::answer(self, question, within).await
    }

    async fn through(&self, grant: AccessGrantId, pipe: Pipe) -> Result<(), PipeError> {
        self.questions.access.through(grant, pipe).await
    }
}

/// More than a round trip makes of it.
const AHEAD: Duration = Duration::from_secs(5);

impl LocalSite {
    /// The cloud told the time. How long a session was silent is counted by the same clock, and stays. A box that was
    /// ahead writes the right time down at once: it begins no earlier than what stands there.
    fn set_clock(&self, cloud: Timestamp) {
        let before = self.clock.now();
        self.clock.on_cloud_time(cloud);
        let after = self.clock.now();
        if before.since(after) > AHEAD {
            // What is refused is written within a minute.
            let _refused = self.outbox.submit(housekeeping::mark(&self.clock));
        }
        self.questions
            .enforcer
            .sessions()
            .clock_moved(before, after);
    }

    /// How far this box's own clock is behind, where the cloud tells the time for the first time since the agent started.
    fn behind(&self, cloud: Timestamp) -> Option<Duration> {
        let behind = self.clock.behind(cloud)?;
        // What the line makes of it is not worth a write of what is well dated.
        Some(if behind > AHEAD {
            behind
        } else {
            Duration::ZERO
        })
    }

    /// What began by this box's own clock while that was behind, began later. Before the clock is set, so that nobody's
    /// end is seen to have passed in between.
    async fn redate_uses(&self, by: Duration) {
        let redated = async {
            self.durably(|done| Job::Redate { by, done }).await?;
            if by > Duration::ZERO {
                let site = self.questions.enforcer.site();
                for used in self.read(|reader| reader.redemptions()).await? {
                    site.redate(used);
                }
            }
            Ok::<(), Unavailable>(())
        };
        if redated.await.is_err() {
            error!(
                "Cannot write down when vouchers were used first: it stays as this box's own clock said"
            );
        }
    }

    /// Reads the outbox off the async threads: it may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&OutboxReader) -> Result<T, crate::store::StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || read(&reader)).await;
        done.map_err(|_| Unavailable)?.map_err(|cause| {
            error!(%cause, "Cannot read the outbox");
            Unavailable
        })
    }

    /// Hands a job to the accounting thread and waits until it is on stable storage.
    async fn durably(&self, job: impl FnOnce(Done) -> Job) -> Result<(), Unavailable> {
        let (told, committed) = oneshot::channel();
        let done: Done = Box::new(move |outcome| {
            let _nobody_waits = told.send(outcome);
        });
        self.outbox.submit(job(done)).map_err(|_| Unavailable)?;
        match committed.await {
            Ok(Committed::Yes) => Ok(()),
            Ok(Committed::No) | Err(_) => Err(Unavailable),
        }
    }
}

/// Runs what waits for the disk off the async threads.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, IdentityError> + Send + 'static,
) -> Result<T, Unavailable> {
    let done = tokio::task::spawn_blocking(run).await;
    done.map_err(|_| Unavailable)?.map_err(|cause| {
        error!(%cause, "Cannot use the identity's generation");
        Unavailable
    })
}

/// The latest instant that the cloud told, for judging its certificate after a restart.
pub(crate) const CLOUD_MARK: &str = "cloud";

/// The name under which the outbox remembers up to where the cache had reached, in versions of this epoch: it is not
/// synced with every commit, and may be put back without the outbox.
pub(crate) fn known_mark(epoch: Uuid) -> String {
    format!("known/{epoch}")
}
