//! The bounded queue in front of the accounting thread, and what may wait in it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use easyisp_shared::id::{CustomerId, VoucherId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;

use super::Record;
use crate::sessions::{LineCounter, Session, SessionKey, Usage};
use crate::site::{Bind, Redemption, Unlocked, Vote};
use crate::sizes::Size;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is on stable storage.
    Yes,
    /// It is not, and nobody may be told that it is.
    No,
}

/// Called once from the accounting thread when a write's fate is known: it must not block.
pub type Done = Box<dyn FnOnce(Committed) + Send>;

/// Everything one report changes, written together or not at all.
pub struct Write {
    /// The sessions and records; most reports change one of each.
    pub changes: Vec<Change>,
    /// What is shed first when the disk cannot follow.
    pub urgency: Urgency,
    /// Told when the write is durable, or is not.
    pub done: Done,
}

/// One step of a write.
pub enum Change {
    /// A session's new state over the one before.
    Session(Box<Session>),
    /// What a customer used in the present period.
    Usage(CustomerId, Usage),
    /// A voucher's first use.
    Redemption(Box<Redemption>),
    /// A vote for a voucher's first use.
    Vote(Box<Vote>),
    /// Such a vote is forgotten: that did not happen.
    Withdraw(VoucherId),
    /// A device a customer was seen with, for the first time.
    Device(CustomerId, Mac, Timestamp),
    /// A device that a customer is bound to from then on.
    Bind(Bind),
    /// A code from the phone that was used.
    Unlock(Unlocked),
    /// How far the queue of a customer who logs in nowhere had counted.
    LineCounter(CustomerId, LineCounter),
    /// A first use is dated by a clock that nobody vouched for; see [`Job::Redate`].
    Doubt(VoucherId),
    /// A session that is to end, though nothing that is known of its user says so.
    OwedCut(SessionKey),
    /// A small fact by name.
    Mark(String, i64),
    /// What the cloud is told.
    Record(Record),
}

/// What is shed first when the disk cannot follow. The router repeats what it gets no answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The log of a login: worth keeping while there is room.
    Log,
    /// An interim update: the next one says the same and more.
    Interim,
    /// A start or stop, a redemption, a result.
    Kept,
}

/// Work for the accounting thread.
pub enum Job {
    /// Sessions and records.
    Write(Write),
    /// The cloud has everything of a lane up to this sequence.
    Acknowledge {
        /// The lane.
        lane: u8,
        /// The last sequence it has.
        seq: u64,
        /// Told when that is durable.
        done: Done,
    },
    /// What the cloud has of each lane; where that was never written, the file gets another name.
    Compare {
        /// The cloud's marks by lane.
        marks: Vec<(u8, u64)>,
        /// Told when that is durable.
        done: Done,
    },
    /// The cloud told the time: first uses that were dated by this box's own clock happened so much later, in the
    /// file and in what the cloud was not told of yet.
    Redate {
        /// How far the clock was behind.
        by: Duration,
        /// Told when that is durable.
        done: Done,
    },
    /// A small fact by name.
    Mark {
        /// Its name.
        name: String,
        /// Its value.
        value: i64,
        /// Told when that is durable.
        done: Done,
    },
    /// Forget these acknowledged records: later ones say the same and more.
    Forget {
        /// The lane.
        lane: u8,
        /// Their sequences.
        seqs: Vec<u64>,
    },
    /// Forget acknowledged records and closed sessions from before this instant, some at a time.
    Prune {
        /// Records older than this.
        records_before: Timestamp,
        /// Sessions closed before this.
        sessions_before: Timestamp,
    },
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too much waits already.
    Full,
    /// The store is closed.
    Closed,
}

/// How long a batch may fill before it is committed, so that a memory card is written less often (B1).
///
/// Nothing waits unless that is wished; then as long as the routers bear. One that asks again before it was
/// answered shows its time-out: from then on half of that is the most.
#[derive(Debug, Default)]
pub(super) struct Gather(AtomicU64);

impl Gather {
    /// From here on batches fill.
    pub(super) fn save_wear(&self) {
        self.0
            .store(MOST_GATHERED.as_millis() as u64, Ordering::Relaxed);
    }

    /// A router asked again after so long.
    pub(super) fn note_time_out(&self, seen: Duration) {
        // What the network doubled comes at once.
        if seen >= SHORTEST_TIME_OUT {
            let half = (seen / 2).max(LEAST_GATHERED).as_millis() as u64;
            let _shorter_already = self.0.fetch_min(half, Ordering::Relaxed);
        }
    }

    pub(super) fn wait(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// First in, first out, with a written answer for "full".
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue {
            waiting: Mutex::default(),
            filled: Condvar::new(),
        }
    }

    /// Takes a job unless too many wait; a refused one is given back.
    pub(super) fn push(&self, job: Job) -> Result<(), (Refused, Box<Job>)> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err((Refused::Closed, Box::new(job)));
        }
        if waiting.jobs.len() >= room(&job) {
            return Err((Refused::Full, Box::new(job)));
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Moves up to `most` waiting jobs into `batch`, sleeping while there are none, and from the first one on for
    /// `gather` while there are less than `most`. `false` when the queue is closed and empty.
    pub(super) fn take(&self, batch: &mut Vec<Job>, most: usize, gather: Duration) -> bool {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting = self
                .filled
                .wait(waiting)
                .expect("pushing and taking do not panic");
        }
        if !gather.is_zero() {
            let fills = |waiting: &mut Waiting| waiting.jobs.len() < most && !waiting.closed;
            (waiting, _) = self
                .filled
                .wait_timeout_while(waiting, gather, fills)
                .expect("pushing and taking do not panic");
        }
        let count = waiting.jobs.len().min(most);
        batch.extend(waiting.jobs.drain(..count));
        true
    }

    /// Refuses what comes from here on; what waits is still taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    pub(super) fn size(&self) -> Size {
        Size::new("jobs for the accounting thread", self.len(), CAPACITY)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting
            .lock()
            .expect("pushing and taking do not panic")
    }
}

/// How many may wait before `job` is refused. At 25,000 a second the whole queue is 160 ms of work,
/// well inside the shortest router time-out (300 ms); interims leave the last quarter to the rest.
fn room(job: &Job) -> usize {
    match job {
        Job::Write(Write {
            urgency: Urgency::Log,
            ..
        }) => CAPACITY / 4,
        Job::Write(Write {
            urgency: Urgency::Interim,
            ..
        })
        | Job::Forget { .. }
        | Job::Prune { .. } => CAPACITY / 4 * 3,
        Job::Write(Write {
            urgency: Urgency::Kept,
            ..
        })
        | Job::Acknowledge { .. }
        | Job::Compare { .. }
        | Job::Redate { .. }
        | Job::Mark { .. } => CAPACITY,
    }
}

const CAPACITY: usize = 4096;
/// What RouterOS ships with (300 ms) leaves a slow card the rest for its sync.
const MOST_GATHERED: Duration = Duration::from_millis(250);
/// Busy sites share a sync at this without any wish.
const LEAST_GATHERED: Duration = Duration::from_millis(25);
/// A copy that comes sooner was made by the network.
const SHORTEST_TIME_OUT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn job() -> Job {
        Job::Forget {
            lane: 1,
            seqs: Vec::new(),
        }
    }

    /// Where wear is saved a batch fills for its time, or until it is full; elsewhere it goes at once.
    #[test]
    fn a_batch_fills_where_wear_is_saved() {
        let queue = Queue::new();
        let taken = |gather: u64, most| {
            let (mut batch, began) = (Vec::new(), Instant::now());
            assert!(queue.take(&mut batch, most, Duration::from_millis(gather)));
            (batch.len(), began.elapsed())
        };
        assert!(queue.push(job()).is_ok());
        let (count, waited) = taken(40, 2);
        assert_eq!(count, 1);
        assert!(waited >= Duration::from_millis(40), "{waited:?}");
        for _ in 0..3 {
            assert!(queue.push(job()).is_ok());
        }
        let (count, waited) = taken(60_000, 2);
        assert!(count == 2 && waited < Duration::from_secs(30), "{waited:?}");
        let (count, waited) = taken(0, 2);
        assert!(count == 1 && waited < Duration::from_secs(30), "{waited:?}");
    }

    /// No router is kept until it gives up: the shortest time-out that was seen decides.
    #[test]
    fn routers_that_ask_again_are_answered_sooner() {
        let gather = Gather::default();
        let millis = Duration::from_millis;
        gather.note_time_out(millis(300));
        assert_eq!(gather.wait(), millis(0), "nobody wished to wait");
        gather.save_wear();
        assert_eq!(gather.wait(), millis(250));
        gather.note_time_out(millis(3));
        assert_eq!(gather.wait(), millis(250), "doubled on the way");
        gather.note_time_out(millis(1000));
        assert_eq!(gather.wait(), millis(250), "there is time");
        gather.note_time_out(millis(300));
        gather.note_time_out(millis(400));
        assert_eq!(gather.wait(), millis(150));
    }
}
