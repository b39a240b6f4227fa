//! Sources that are no router of this site: counted, bounded, told once a minute each (A6).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::sizes::Size;

/// How often each unknown source spoke.
#[derive(Default)]
pub struct UnknownSources {
    sources: Mutex<HashMap<IpAddr, Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    count: u64,
    last: Duration,
    told: Duration,
}

impl UnknownSources {
    /// Counts a datagram at the monotonic reading `now`; whether it should be told in the log.
    pub fn note(&self, source: IpAddr, now: Duration) -> bool {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = sources.get_mut(&source) {
            seen.count = seen.count.saturating_add(1);
            seen.last = now;
            let due = now.saturating_sub(seen.told) >= TOLD_EVERY;
            if due {
                seen.told = now;
            }
            return due;
        }
        if sources.len() >= MOST {
            forget_some(&mut sources);
        }
        let seen = Seen {
            count: 1,
            last: now,
            told: now,
        };
        sources.insert(source, seen);
        sources.len() < TOLD_AT_MOST
    }

    /// The loudest sources that the site does not know by now.
    pub fn strangers(&self, knows: impl Fn(IpAddr) -> bool) -> Vec<(IpAddr, u64)> {
        let mut strangers = self.loudest(MOST_SHOWN * 4);
        strangers.retain(|(source, _)| !knows(*source));
        strangers.truncate(MOST_SHOWN);
        strangers
    }

    /// The loudest sources, at most `most`.
    pub fn loudest(&self, most: usize) -> Vec<(IpAddr, u64)> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut loudest: Vec<_> = sources.iter().map(|(ip, seen)| (*ip, seen.count)).collect();
        loudest.sort_unstable_by_key(|(ip, count)| (std::cmp::Reverse(*count), *ip));
        loudest.truncate(most);
        loudest
    }
}

impl UnknownSources {
    pub(crate) fn size(&self) -> Size {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        Size::new("unknown sources", sources.len(), MOST)
    }
}

/// Half are forgotten at once, the longest silent first: a flood then costs little per datagram.
fn forget_some(sources: &mut HashMap<IpAddr, Seen>) {
    let mut last: Vec<Duration> = sources.values().map(|seen| seen.last).collect();
    let middle = last.len() / 2;
    let (_, pivot, _) = last.select_nth_unstable(middle);
    let pivot = *pivot;
    sources.retain(|_, seen| seen.last > pivot);
}

const MOST: usize = 4096;
/// As many as a person reads.
const MOST_SHOWN: usize = 16;
const TOLD_AT_MOST: usize = 64;
const TOLD_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_sources_is_bounded_and_told_seldom() {
        let unknown = UnknownSources::default();
        let told = (0..100_000u32)
            .filter(|n| {
                unknown.note(
                    IpAddr::from(n.to_be_bytes()),
                    Duration::from_micros(u64::from(*n)),
                )
            })
            .count();
        assert!(told <= TOLD_AT_MOST, "{told}");
        assert!(
            unknown
                .sources
                .lock()
                .is_ok_and(|sources| sources.len() <= MOST)
        );
    }

    #[test]
    fn one_source_is_told_once_a_minute() {
        let unknown = UnknownSources::default();
        let source = IpAddr::from([10, 0, 0, 1]);
        let told = (0..180).filter(|secs| unknown.note(source, Duration::from_secs(*secs)));
        assert_eq!(told.count(), 3);
        assert_eq!(unknown.loudest(5), [(source, 180)]);
    }
}
