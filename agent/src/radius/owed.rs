//! Ends of sessions that could not be written when they came about.
//!
//! Who reported an end asks again until it is written; nobody asks again about the sessions that it proved over,
//! nor about those that were given up. Memory has them ended, so they are written later.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sessions::{Session, SessionKey};

/// What the disk did not take.
#[derive(Default)]
pub(super) struct Owed(Mutex<BTreeMap<SessionKey, Session>>);

impl Owed {
    /// Some ends were not written. Called by the accounting thread, and under the register's lock: it takes none
    /// but its own.
    pub(super) fn keep(&self, ended: Vec<Session>) {
        let mut owed = self.lock();
        for session in ended {
            if owed.len() < MOST || owed.contains_key(&session.key) {
                owed.insert(session.key.clone(), session);
            }
        }
    }

    /// Some of what is owed, to be written now.
    pub(super) fn take(&self) -> Vec<Session> {
        let mut owed = self.lock();
        let mut taken = Vec::new();
        while taken.len() < AT_ONCE {
            let Some((_, session)) = owed.pop_first() else {
                break;
            };
            taken.push(session);
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A site's sessions of some days; beyond that a restart finds them open, and gives them up after a day.
const MOST: usize = 20_000;
/// Rows of one transaction, which answers wait for.
const AT_ONCE: usize = 1000;
