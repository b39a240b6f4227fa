//! One timer per session, or line: when to look at it again.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use easyisp_shared::time::Timestamp;
use tokio::sync::Notify;

use crate::sessions::SessionKey;

/// The timers of all sessions. Armed from any thread, awaited by one task.
pub struct Timers<K = SessionKey> {
    due: Mutex<Due<K>>,
    earlier: Notify,
    disarmed: Notify,
}

struct Due<K> {
    order: BTreeSet<(Timestamp, u64)>,
    numbers: HashMap<K, (Timestamp, u64)>,
    keys: HashMap<u64, K>,
    next_number: u64,
}

impl<K> Default for Timers<K> {
    fn default() -> Timers<K> {
        let due = Due {
            order: BTreeSet::new(),
            numbers: HashMap::new(),
            keys: HashMap::new(),
            next_number: 0,
        };
        Timers {
            due: Mutex::new(due),
            earlier: Notify::default(),
            disarmed: Notify::default(),
        }
    }
}

impl<K: Clone + Eq + Hash> Due<K> {
    /// Whether it is the first now.
    fn set(&mut self, key: &K, at: Timestamp) -> bool {
        self.remove(key);
        let number = self.next_number;
        self.next_number += 1;
        self.order.insert((at, number));
        self.numbers.insert(key.clone(), (at, number));
        self.keys.insert(number, key.clone());
        self.order.first() == Some(&(at, number))
    }

    fn remove(&mut self, key: &K) {
        if let Some(held) = self.numbers.remove(key) {
            self.order.remove(&held);
            self.keys.remove(&held.1);
        }
    }
}

impl<K: Clone + Eq + Hash> Timers<K> {
    /// Sets the session's timer, in place of the one it had. `None` takes it away.
    pub fn arm(&self, key: &K, at: Option<Timestamp>) {
        let mut due = self.lock();
        match at {
            Some(at) => {
                let is_first = due.set(key, at);
                drop(due);
                if is_first {
                    self.earlier.notify_one();
                }
            }
            None => {
                due.remove(key);
                drop(due);
                self.disarmed.notify_waiters();
            }
        }
    }

    /// Sets the session's timer where it has none that is due before. Whoever looked goes by what was known then: what
    /// was used meanwhile may have set another.
    pub fn arm_by(&self, key: &K, at: Option<Timestamp>) {
        let mut due = self.lock();
        let held = due.numbers.get(key).map(|(held, _)| *held);
        let Some(at) = at.filter(|at| held.is_none_or(|held| *at < held)) else {
            return;
        };
        let is_first = due.set(key, at);
        drop(due);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// When the first timer is due.
    pub fn first(&self) -> Option<Timestamp> {
        self.lock().order.first().map(|(at, _)| *at)
    }

    /// Takes up to `most` sessions whose timers are due at `now`.
    pub fn take(&self, now: Timestamp, most: usize) -> Vec<K> {
        let mut due = self.lock();
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((at, number)) = due.order.first().copied()
            && at <= now
        {
            due.order.remove(&(at, number));
            if let Some(key) = due.keys.remove(&number) {
                due.numbers.remove(&key);
                taken.push(key);
            }
        }
        taken
    }

    /// Returns when a timer was set that is due before all others.
    pub async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// Completes when some session's timer is taken away, as happens when it ends. Counts from now, not
    /// from when it is first awaited.
    pub fn disarmed(&self) -> impl Future<Output = ()> + '_ {
        self.disarmed.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Due<K>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use easyisp_shared::id::RouterId;

    use super::*;

    fn key(name: u8) -> SessionKey {
        SessionKey {
            router: RouterId(uuid::Uuid::nil()),
            acct_session_id: [name].into(),
            class: Box::default(),
        }
    }

    #[test]
    fn a_session_has_one_timer_and_the_last_setting_holds() {
        let timers: Timers = Timers::default();
        let at = Timestamp::from_secs;
        timers.arm(&key(1), Some(at(50)));
        timers.arm(&key(2), Some(at(20)));
        timers.arm(&key(1), Some(at(10)));
        timers.arm(&key(3), Some(at(5)));
        timers.arm(&key(3), None);

        assert_eq!(timers.first(), Some(at(10)));
        assert_eq!(timers.take(at(9), 10), []);
        assert_eq!(timers.take(at(60), 10), [key(1), key(2)]);
        assert_eq!(timers.first(), None);
        assert!(timers.lock().keys.is_empty() && timers.lock().numbers.is_empty());
    }

    #[test]
    fn a_timer_that_is_due_before_stays() {
        let timers: Timers = Timers::default();
        let at = Timestamp::from_secs;
        timers.arm_by(&key(1), Some(at(50)));
        timers.arm_by(&key(1), Some(at(10)));
        timers.arm_by(&key(1), Some(at(20)));
        timers.arm_by(&key(1), None);
        assert_eq!(timers.first(), Some(at(10)));
        assert_eq!(timers.take(at(60), 10), [key(1)]);
        assert_eq!(timers.take(at(60), 10), []);
    }
}
