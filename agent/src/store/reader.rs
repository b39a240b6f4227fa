//! Reading the outbox beside its writer: what the link sends, what a start needs.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use easyisp_shared::id::CustomerId;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use rusqlite::Connection;

use super::open::{self, Pragmas};
use super::records::Kept;
use super::{StoreError, lines, outbox, records, redemptions, sessions};
use crate::sessions::{LineCounter, Session, SessionKey, Usage};
use crate::site::{Bind, Recalled, Redemption, Unlocked, Vote};

/// A read-only connection to `outbox.db`. Calls block on the disk: not for the RADIUS path.
pub struct OutboxReader {
    connection: Mutex<Connection>,
}

impl OutboxReader {
    pub(super) fn open(path: &Path) -> Result<OutboxReader, StoreError> {
        Ok(OutboxReader {
            connection: Mutex::new(open::open_reader(path)?),
        })
    }

    /// The records of `lane` after `after`: at most `most`, about `bytes` in all.
    pub fn records(
        &self,
        lane: u8,
        after: u64,
        most: usize,
        bytes: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        Ok(records::after(&self.lock(), lane, after, most, bytes)?)
    }

    /// The highest sequence of `lane` that the cloud acknowledged.
    pub fn acknowledged(&self, lane: u8) -> Result<u64, StoreError> {
        Ok(records::acknowledged(&self.lock(), lane)?)
    }

    /// How many records of `lane` the cloud has not acknowledged.
    pub fn waiting(&self, lane: u8) -> Result<u64, StoreError> {
        Ok(records::waiting(&self.lock(), lane)?)
    }

    /// Every open session, and those closed at `since` or later.
    pub fn sessions(&self, since: Timestamp) -> Result<Vec<Session>, StoreError> {
        Ok(sessions::since(&self.lock(), since)?)
    }

    /// The open sessions that are to end, whatever is known of their users.
    pub fn owed_cuts(&self) -> Result<Vec<SessionKey>, StoreError> {
        Ok(sessions::owed_cuts(&self.lock())?)
    }

    /// What every customer with a data limit used in his period.
    pub fn usage(&self) -> Result<Vec<(CustomerId, Usage)>, StoreError> {
        Ok(sessions::usage(&self.lock())?)
    }

    /// How far the queues of customers who log in nowhere had counted.
    pub fn line_counters(&self) -> Result<Vec<(CustomerId, LineCounter)>, StoreError> {
        Ok(lines::all(&self.lock())?)
    }

    /// Every voucher used here for the first time, lately.
    pub fn redemptions(&self) -> Result<Vec<Redemption>, StoreError> {
        Ok(redemptions::all(&self.lock())?)
    }

    /// The vouchers of whose first use here only the record was found.
    pub fn recalled(&self) -> Result<Vec<Recalled>, StoreError> {
        Ok(redemptions::recalled(&self.lock())?)
    }

    /// Every vote for a voucher's first use that was given here, lately.
    pub fn votes(&self) -> Result<Vec<Vote>, StoreError> {
        Ok(redemptions::votes(&self.lock())?)
    }

    /// The devices customers were seen with here for the first time, and when, oldest first.
    pub fn devices(&self) -> Result<Vec<(CustomerId, Mac, Timestamp)>, StoreError> {
        Ok(redemptions::devices(&self.lock())?)
    }

    /// The devices that customers were bound to here by first login, oldest first.
    pub fn binds(&self) -> Result<Vec<Bind>, StoreError> {
        Ok(redemptions::binds(&self.lock())?)
    }

    /// The codes from the phone that were used here.
    pub fn unlocks(&self) -> Result<Vec<Unlocked>, StoreError> {
        Ok(redemptions::unlocks(&self.lock())?)
    }

    /// A small fact by name.
    pub fn mark(&self, name: &str) -> Result<Option<i64>, StoreError> {
        Ok(outbox::mark(&self.lock(), name)?)
    }

    /// What follows `prefix` in the names of the small facts that begin with it.
    pub fn marks(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(outbox::marks(&self.lock(), prefix)?)
    }

    /// The settings of this connection, for `doctor`.
    pub fn pragmas(&self) -> Result<Pragmas, StoreError> {
        Ok(open::pragmas(&self.lock())?)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().expect("reading does not panic")
    }
}
