//! How much of one tenant's work that waits for others is under way on this node: what is slow takes its own turns,
//! not those of others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use easyisp_shared::time::Timestamp;

/// What comes beyond its turns is spread so that it does not come back together: ten a second.
const APART: Duration = Duration::from_millis(100);

/// Who has how many under way. Cloning shares it.
#[derive(Clone)]
pub struct Turns<K> {
    at_once: usize,
    lanes: Arc<Mutex<HashMap<K, Lane>>>,
}

#[derive(Default)]
struct Lane {
    under_way: usize,
    /// When the last one that was sent away comes back.
    last: Option<Timestamp>,
}

impl<K: Copy + Eq + Hash> Turns<K> {
    /// So many at once for each.
    pub fn new(at_once: usize) -> Turns<K> {
        Turns {
            at_once,
            lanes: Arc::default(),
        }
    }

    /// A turn, or when to ask for one again.
    ///
    /// # Errors
    /// That time.
    pub fn take(&self, whose: K, now: Timestamp) -> Result<Turn<K>, Timestamp> {
        let mut lanes = self.lock();
        let lane = lanes.entry(whose).or_default();
        if lane.under_way < self.at_once {
            lane.under_way += 1;
            return Ok(Turn {
                turns: self.clone(),
                whose,
            });
        }
        let again = lane.last.map_or(now, |last| last.max(now)).plus(APART);
        lane.last = Some(again);
        Err(again)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Lane>> {
        self.lanes.lock().expect("no code panics under this lock")
    }
}

impl<K> std::fmt::Debug for Turns<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Turns({} at once)", self.at_once)
    }
}

/// One of somebody's turns, until it is dropped.
pub struct Turn<K: Copy + Eq + Hash> {
    turns: Turns<K>,
    whose: K,
}

impl<K: Copy + Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        let mut lanes = self.turns.lock();
        if let Some(lane) = lanes.get_mut(&self.whose) {
            lane.under_way -= 1;
            if lane.under_way == 0 {
                lanes.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_has_his_turns_and_another_has_his_own() {
        let turns = Turns::new(8);
        let now = Timestamp::from_secs(100);
        let taken: Vec<_> = (0..8).filter_map(|_| turns.take(1, now).ok()).collect();
        assert_eq!(taken.len(), 8);
        let first = turns.take(1, now).err();
        let second = turns.take(1, now).err();
        assert_eq!(first, Some(now.plus(APART)));
        assert_eq!(second, Some(now.plus(2 * APART)), "not all at once");
        assert!(turns.take(2, now).is_ok());

        drop(taken);
        assert!(turns.take(1, now).is_ok());
        assert!(turns.lock().is_empty(), "nobody is remembered for good");
    }
}
