//! Whether this node's clock agrees with the database's.
//!
//! `now` is an argument of every statement, so a node with a wrong clock is believed by everybody: what it books,
//! closes and forgets is of another moment. The server's clock is read for this comparison alone, and is the only
//! clock that any SQL reads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use easyisp_shared::time::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;

use super::Database;

/// What was found of this node's clock. Cloning shares it.
#[derive(Clone, Default)]
pub struct Drift {
    found: Arc<Mutex<Found>>,
    looks: Arc<AtomicU32>,
}

#[derive(Clone, Copy, Default)]
struct Found {
    off: bool,
    /// How often in a row the other was measured.
    against: u32,
}

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What this node's clock showed when it asked.
    pub asked: Timestamp,
    /// What the server's clock showed.
    pub server: Timestamp,
    /// How long the answer took.
    pub round_trip: Duration,
}

impl Measured {
    /// How far the two are apart at least, whenever within the round trip the server looked.
    fn apart(&self) -> Duration {
        let answered = self.asked.plus(self.round_trip);
        self.asked
            .since(self.server)
            .max(self.server.since(answered))
    }
}

impl Drift {
    /// Whether this node's clock is off: then it takes no agents and no jobs.
    pub fn is_off(&self) -> bool {
        self.lock().off
    }

    /// How often it was compared.
    pub fn looks(&self) -> u32 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Takes a comparison down. One says nothing yet, neither that it is off nor that it is right again.
    pub fn note(&self, measured: Measured) {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let off = measured.apart() > MOST;
        let mut found = self.lock();
        found.against = match off == found.off {
            true => 0,
            false => found.against + 1,
        };
        if found.against < IN_A_ROW {
            return;
        }
        *found = Found { off, against: 0 };
        match off {
            true => tracing::error!(
                here = %measured.asked, database = %measured.server,
                "The clock of this node is {:?} away from the database's: it takes no agents and no jobs",
                measured.apart()
            ),
            false => tracing::warn!("The clock of this node agrees with the database's again"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().expect("no code panics under this lock")
    }
}

impl Database {
    /// What was found of this node's clock.
    pub fn drift(&self) -> &Drift {
        &self.inner.drift
    }

    /// What the server's clock shows: to compare ours with, and for nothing else.
    pub async fn server_time(&self) -> sqlx::Result<Timestamp> {
        sqlx::query_scalar("select clock_timestamp()")
            .fetch_one(&self.inner.pool)
            .await
    }

    /// Compares the system's clock with the server's, again after each `pause`, until `stop`. A clock that a test moves is
    /// compared with none.
    pub async fn watch_clock(self, clock: Clock, pause: Duration, stop: CancellationToken) {
        if !clock.is_system() {
            return;
        }
        loop {
            let (asked, began) = (clock.now(), clock.monotonic());
            match self.server_time().await {
                Ok(server) => self.drift().note(Measured {
                    asked,
                    server,
                    round_trip: clock.monotonic().saturating_sub(began),
                }),
                // Whatever else needs the database says so too.
                Err(cause) => tracing::debug!(%cause, "Cannot read the database's clock"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep(pause) => {}
            }
        }
    }
}

/// Below what anybody is billed or cut off by, above what time servers leave.
const MOST: Duration = Duration::from_secs(1);
/// A busy machine is late once, not three times.
const IN_A_ROW: u32 = 3;
/// How long the node's clock goes uncompared.
pub const EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(server_millis: i64, round_trip_millis: u64) -> Measured {
        Measured {
            asked: Timestamp::from_millis(1_800_000_000_000),
            server: Timestamp::from_millis(1_800_000_000_000 + server_millis),
            round_trip: Duration::from_millis(round_trip_millis),
        }
    }

    #[test]
    fn a_clock_is_off_after_three_findings_and_right_after_three() {
        for wrong in [measured(1_200, 100), measured(-1_100, 100)] {
            let drift = Drift::default();
            for _ in 0..2 {
                drift.note(wrong);
            }
            drift.note(measured(0, 1));
            for off in [false, false, true] {
                drift.note(wrong);
                assert_eq!(drift.is_off(), off);
            }
            for off in [true, true, false] {
                drift.note(measured(900, 0));
                assert_eq!(drift.is_off(), off);
            }
        }
    }

    /// A server that is slow to answer may have looked at any moment in between.
    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        let drift = Drift::default();
        for _ in 0..5 {
            drift.note(measured(4_000, 3_500));
        }
        assert!(!drift.is_off());
    }
}
