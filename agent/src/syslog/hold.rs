//! Lines that wait, within bounds; what is not taken, or has to go, is counted and told in their place.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::logs::{MissingWhy, WrittenV1};

/// What waits.
#[derive(Default)]
pub(super) struct Hold {
    lines: VecDeque<WrittenV1>,
    octets: usize,
    allowances: BTreeMap<RouterId, Allowance>,
    missing: BTreeMap<(RouterId, MissingWhy), u64>,
}

/// What is taken of one router: a bucket of lines that fills as time goes by.
#[derive(Clone, Copy)]
struct Allowance {
    lines: u32,
    filled: Duration,
}

impl Hold {
    /// Whether one more line of this router is taken at the monotonic reading `now`; else it is counted.
    pub(super) fn admits(&mut self, router: RouterId, now: Duration) -> bool {
        if self.allowances.len() >= MOST_ROUTERS && !self.allowances.contains_key(&router) {
            self.allowances.clear();
        }
        let full = Allowance {
            lines: AT_ONCE,
            filled: now,
        };
        let allowance = self.allowances.entry(router).or_insert(full);
        let gone = now.saturating_sub(allowance.filled);
        let more = gone.as_secs().saturating_mul(u64::from(A_SECOND));
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(AT_ONCE);
            allowance.lines = allowance.lines.saturating_add(more).min(AT_ONCE);
            allowance.filled += Duration::from_secs(gone.as_secs());
        }
        match allowance.lines.checked_sub(1) {
            Some(left) => {
                allowance.lines = left;
                true
            }
            None => {
                self.miss(router, MissingWhy::TooMany, 1);
                false
            }
        }
    }

    /// Takes a line; the oldest go for it where there is no room.
    pub(super) fn push(&mut self, line: WrittenV1) {
        self.octets += octets(&line);
        self.lines.push_back(line);
        while self.lines.len() > MOST_LINES || self.octets > MOST_OCTETS {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.octets -= octets(&oldest);
            match oldest {
                WrittenV1::Said { router, .. } => self.miss(router, MissingWhy::NoRoom, 1),
                WrittenV1::Missing {
                    router, why, lines, ..
                } => self.miss(router, why, lines),
            }
        }
    }

    /// Counts lines that are not there.
    pub(super) fn miss(&mut self, router: RouterId, why: MissingWhy, lines: u64) {
        let counted = self.missing.entry((router, why)).or_default();
        *counted = counted.saturating_add(lines);
    }

    /// Puts what was counted since the last time among the lines.
    pub(super) fn tell_missing(&mut self, at: Timestamp) {
        for ((router, why), lines) in std::mem::take(&mut self.missing) {
            self.push(WrittenV1::Missing {
                router,
                at,
                why,
                lines,
            });
        }
    }

    /// Whether anything was counted since.
    pub(super) fn misses(&self) -> bool {
        !self.missing.is_empty()
    }

    /// The oldest, as many as travel together; they wait here no longer.
    pub(super) fn take(&mut self) -> Vec<WrittenV1> {
        let mut taken = Vec::new();
        let mut size = 0;
        while let Some(line) = self.lines.front() {
            size += octets(line);
            if taken.len() >= TOGETHER || size > TOGETHER_OCTETS {
                break;
            }
            self.octets -= octets(line);
            taken.extend(self.lines.pop_front());
        }
        taken
    }

    /// They could not be handed on: they wait again, before all others, where there is room.
    pub(super) fn give_back(&mut self, lines: Vec<WrittenV1>) {
        let mut newer = std::mem::take(&mut self.lines);
        self.octets = 0;
        for line in lines.into_iter().chain(newer.drain(..)) {
            self.push(line);
        }
    }
}

fn octets(line: &WrittenV1) -> usize {
    match line {
        WrittenV1::Said {
            topics, message, ..
        } => OVERHEAD + topics.len() + message.len(),
        WrittenV1::Missing { .. } => OVERHEAD,
    }
}

/// What a line costs beside its words.
const OVERHEAD: usize = 64;
/// Some hours of a busy router, at a few megabytes.
const MOST_LINES: usize = 20_000;
const MOST_OCTETS: usize = 4 << 20;
const MOST_ROUTERS: usize = 4096;
/// A rush, as when all dial again; then as much as a router says that was told to say too much.
const AT_ONCE: u32 = 500;
const A_SECOND: u32 = 50;
/// Of one record.
const TOGETHER: usize = 500;
const TOGETHER_OCTETS: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const TOWER: RouterId = RouterId(uuid::Uuid::from_u128(1));
    const OTHER: RouterId = RouterId(uuid::Uuid::from_u128(2));

    fn said(number: usize) -> WrittenV1 {
        WrittenV1::Said {
            router: TOWER,
            at: Timestamp::from_secs(1_800_000_000),
            severity: 6,
            topics: "system,info".to_owned(),
            message: format!("line {number}"),
        }
    }

    fn missing(hold: &mut Hold) -> Vec<(MissingWhy, u64)> {
        hold.tell_missing(Timestamp::from_secs(1_800_000_001));
        let told = std::iter::from_fn(|| Some(hold.take()).filter(|taken| !taken.is_empty()));
        let told: Vec<WrittenV1> = told.flatten().collect();
        told.into_iter()
            .filter_map(|line| match line {
                WrittenV1::Missing { why, lines, .. } => Some((why, lines)),
                WrittenV1::Said { .. } => None,
            })
            .collect()
    }

    /// One that talks too much is heard less, and another no less for it.
    #[test]
    fn a_flood_of_one_router_is_cut_and_counted() {
        let mut hold = Hold::default();
        let mut at = Duration::from_secs(100);
        let taken = (0..2000).filter(|_| hold.admits(TOWER, at)).count();
        assert_eq!(taken, 500);
        assert!(hold.admits(OTHER, at));
        at += Duration::from_millis(1900);
        assert_eq!((0..200).filter(|_| hold.admits(TOWER, at)).count(), 50);
        at += Duration::from_millis(100);
        assert_eq!((0..200).filter(|_| hold.admits(TOWER, at)).count(), 50);
        assert!(hold.misses());
        assert_eq!(missing(&mut hold), [(MissingWhy::TooMany, 1800)]);
        assert!(!hold.misses());
    }

    /// Everything that was said is there or counted, whichever way it went.
    #[test]
    fn the_oldest_go_first_and_nothing_goes_uncounted() {
        let mut hold = Hold::default();
        (0..MOST_LINES + 300).for_each(|number| hold.push(said(number)));
        let taken = hold.take();
        assert_eq!((taken.len(), &taken[0]), (TOGETHER, &said(300)));
        // While they were away, others came: there is no room for all of them again.
        (0..200).for_each(|number| hold.push(said(number)));
        hold.give_back(taken);
        assert_eq!(hold.lines.len(), MOST_LINES);
        assert_eq!(hold.take()[0], said(500));
        assert_eq!(missing(&mut hold), [(MissingWhy::NoRoom, 500)]);
        assert_eq!((hold.lines.len(), hold.octets), (0, 0));
    }
}
