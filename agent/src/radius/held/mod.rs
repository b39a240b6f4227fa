//! Rejects that wait (A9): their slots stay open, so a router's copies are dropped meanwhile, and the octets
//! that are sent at last are the ones it gets for a later copy. No thread waits for them.

pub(super) mod driver;

use std::collections::BTreeMap;
use std::time::Instant;

pub(super) use driver::{Answer, Held};

use crate::sizes::Size;

/// What waits, by when it is due.
struct Queue<T> {
    waiting: BTreeMap<(Instant, u64), T>,
    taken: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue {
            waiting: BTreeMap::new(),
            taken: 0,
        }
    }
}

impl<T> Queue<T> {
    fn put(&mut self, due: Instant, thing: T) -> Result<(), T> {
        if self.waiting.len() >= MOST {
            return Err(thing);
        }
        self.taken += 1;
        self.waiting.insert((due, self.taken), thing);
        Ok(())
    }

    fn next_due(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    fn take_due(&mut self, now: Instant) -> Vec<T> {
        let later = self.waiting.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut self.waiting, later);
        due.into_values().collect()
    }

    fn size(&self) -> Size {
        Size::new("rejects that wait", self.waiting.len(), MOST)
    }

    fn into_all(self) -> Vec<T> {
        self.waiting.into_values().collect()
    }
}

/// Half a megabyte of answers; more failures than that in 150 ms are no people.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_the_rest_waits() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let at = |millis| now + Duration::from_millis(millis);
        for (millis, thing) in [(150, "c"), (20, "a"), (150, "d"), (75, "b")] {
            queue.put(at(millis), thing).unwrap();
        }
        assert_eq!(queue.next_due(), Some(at(20)));
        assert_eq!(queue.take_due(at(19)), Vec::<&str>::new());
        assert_eq!(queue.take_due(at(75)), ["a", "b"]);
        assert_eq!(queue.next_due(), Some(at(150)));
        assert_eq!(queue.into_all(), ["c", "d"]);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for number in 0..MOST {
            queue.put(now, number).unwrap();
        }
        assert_eq!(queue.put(now, MOST), Err(MOST));
        assert_eq!(queue.take_due(now).len(), MOST);
        assert_eq!(queue.put(now, 1), Ok(()));
    }
}
