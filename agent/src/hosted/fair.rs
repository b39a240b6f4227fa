//! Bounded queues that are served in turn, so that one site's storm costs only that site.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// One queue a site; whoever takes gets one thing of each site that has something, in turn.
pub(crate) struct Fair<T> {
    lines: Mutex<Lines<T>>,
    filled: Condvar,
}

struct Lines<T> {
    waiting: Vec<VecDeque<T>>,
    /// The sites that have something, the next one first; each stands here once.
    turns: VecDeque<usize>,
    closed: bool,
}

impl<T> Fair<T> {
    /// Empty queues of `sites` sites.
    pub(crate) fn new(sites: usize) -> Fair<T> {
        Fair {
            lines: Mutex::new(Lines {
                waiting: (0..sites).map(|_| VecDeque::new()).collect(),
                turns: VecDeque::new(),
                closed: false,
            }),
            filled: Condvar::new(),
        }
    }

    /// Adds a thing to its site's queue; `false` when that one is full. The others are not touched.
    pub(crate) fn push(&self, site: usize, thing: T) -> bool {
        let mut lines = self.lock();
        let Lines { waiting, turns, .. } = &mut *lines;
        let Some(line) = waiting.get_mut(site).filter(|line| line.len() < LENGTH) else {
            return false;
        };
        if line.is_empty() {
            turns.push_back(site);
        }
        line.push_back(thing);
        drop(lines);
        self.filled.notify_one();
        true
    }

    /// The next thing, waiting for one; `None` once closed.
    pub(crate) fn take(&self) -> Option<(usize, T)> {
        let mut lines = self.lock();
        loop {
            if lines.closed {
                return None;
            }
            if let Some(taken) = lines.take() {
                return Some(taken);
            }
            lines = self
                .filled
                .wait(lines)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends all taking. What waits is forgotten: routers ask again.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Lines<T>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lines<T> {
    fn take(&mut self) -> Option<(usize, T)> {
        let site = self.turns.pop_front()?;
        let line = self.waiting.get_mut(site)?;
        let thing = line.pop_front()?;
        if !line.is_empty() {
            self.turns.push_back(site);
        }
        Some((site, thing))
    }
}

/// At 10 µs a login this is 5 ms of one core: a site that waits longer has more than its share.
const LENGTH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_at_one_site_delays_another_by_one_turn_and_is_shed_at_its_own_queue() {
        let fair = Fair::new(3);
        let taken = (0..10_000).filter(|n| fair.push(0, *n)).count();
        assert_eq!(taken, LENGTH);
        assert!(fair.push(2, 7) && fair.push(2, 8));

        let order: Vec<usize> = (0..5)
            .filter_map(|_| fair.take())
            .map(|(site, _)| site)
            .collect();
        assert_eq!(order, [0, 2, 0, 2, 0]);
        assert!(fair.push(0, 1), "room again");
        fair.close();
        assert_eq!(fair.take(), None);
    }

    #[test]
    fn a_sites_own_things_stay_in_order() {
        let fair = Fair::new(2);
        for number in 0..100 {
            fair.push(number % 2, number);
        }
        let mut last = [None, None];
        for _ in 0..100 {
            let (site, number) = fair.take().expect("it was put in");
            assert!(last[site] < Some(number));
            last[site] = Some(number);
        }
    }
}
