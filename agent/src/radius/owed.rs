//! Ends of sessions that could not be written when they came about.
//!
//! Who reported an end asks again until it is written; nobody asks again about the sessions that it proved over,
//! nor about those that were given up. Memory has them ended, so they are written later.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sessions::{Session, SessionKey};
use crate::sizes::Size;

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

    pub(super) fn size(&self) -> Size {
        Size::new("ends that are owed to the disk", self.lock().len(), MOST)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A site's sessions of some days; beyond that a restart finds them open, and gives them up after a day.
const MOST: usize = 20_000;
/// Rows of one transaction, which answers wait for.
const AT_ONCE: usize = 1000;

#[cfg(test)]
mod tests {
    use easyisp_shared::id::RouterId;
    use easyisp_shared::ipv6::Prefixes;
    use easyisp_shared::time::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::sessions::{Cause, Closed, Service};

    /// A disk that takes nothing for days takes no memory without bound, and no transaction without bound once it
    /// takes something again; who owes an end already goes on owing it, as it was told last.
    #[test]
    fn what_is_owed_is_bounded_and_is_as_it_was_last() {
        let owed = Owed::default();
        let all = (0..MOST).map(|number| ended(number, 1)).collect();
        owed.keep(all);
        owed.keep(vec![ended(MOST, 1), ended(7, 2)]);

        let mut taken = Vec::new();
        loop {
            let some = owed.take();
            assert!(some.len() <= AT_ONCE);
            if some.is_empty() {
                break;
            }
            taken.extend(some);
        }
        assert_eq!(taken.len(), MOST);
        assert!(taken.contains(&ended(7, 2)) && !taken.contains(&ended(7, 1)));
        assert!(!taken.contains(&ended(MOST, 1)));
    }

    fn ended(number: usize, secs: u32) -> Session {
        let at = Timestamp::from_secs(i64::from(secs));
        Session {
            key: SessionKey {
                router: RouterId(Uuid::nil()),
                acct_session_id: number.to_be_bytes().into(),
                class: Box::default(),
            },
            customer: None,
            username: Box::default(),
            service: Service::Ppp,
            mac: None,
            framed_ip: None,
            prefixes: Prefixes::default(),
            port: Box::default(),
            started_at: Timestamp::default(),
            seen_at: at,
            secs,
            bytes_in: 0,
            bytes_out: 0,
            bytes_free: 0,
            grant: None,
            closed: Some(Closed {
                at,
                cause: Cause::Lost,
            }),
        }
    }
}
