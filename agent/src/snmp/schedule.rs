//! When to ask whom: devices are spread over the interval by their ids, so that a thousand of them are asked
//! one after the other and not all at the full minute. One that does not answer is asked less and less often.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use easyisp_shared::id::RouterId;

/// Who is due when, in time since some beginning.
#[derive(Default)]
pub struct Schedule {
    due: BTreeSet<(Duration, RouterId)>,
    known: HashMap<RouterId, Entry>,
}

struct Entry {
    interval: Duration,
    failures: u32,
    /// `None` while it is being asked.
    due: Option<Duration>,
}

impl Schedule {
    /// Asks a device from now on at this interval. One that is known at another keeps its turn.
    pub fn set(&mut self, device: RouterId, interval: Duration, now: Duration) {
        let interval = interval.max(SHORTEST);
        match self.known.get_mut(&device) {
            Some(entry) => entry.interval = interval,
            None => {
                let due = slot(device, interval, now);
                self.due.insert((due, device));
                let entry = Entry {
                    interval,
                    failures: 0,
                    due: Some(due),
                };
                self.known.insert(device, entry);
            }
        }
    }

    /// Asks only these any more.
    pub fn keep(&mut self, wanted: impl Fn(RouterId) -> bool) {
        self.known.retain(|device, _| wanted(*device));
        self.due.retain(|(_, device)| wanted(*device));
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Who is due now, at most so many; each is out of turn until [`Schedule::done`].
    pub fn take(&mut self, now: Duration, most: usize) -> Vec<RouterId> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((due, device)) = self.due.first().copied()
            && due <= now
        {
            self.due.remove(&(due, device));
            if let Some(entry) = self.known.get_mut(&device) {
                entry.due = None;
                taken.push(device);
            }
        }
        taken
    }

    /// What came of asking one; it is due again at its own slot, after failures at a later one.
    pub fn done(&mut self, device: RouterId, answered: bool, now: Duration) {
        let Some(entry) = self.known.get_mut(&device) else {
            return;
        };
        entry.failures = if answered {
            0
        } else {
            entry.failures.saturating_add(1)
        };
        let later = entry.interval * (1u32 << entry.failures.min(8)) / 2;
        let later = match entry.failures {
            0 | 1 => Duration::ZERO,
            2.. => later
                .min(LONGEST.max(entry.interval))
                .saturating_sub(entry.interval),
        };
        let due = slot(device, entry.interval, now + later);
        if let Some(before) = entry.due.replace(due) {
            self.due.remove(&(before, device));
        }
        self.due.insert((due, device));
    }

    /// How many devices there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// The device's next turn after `now`: every interval has its place for it.
fn slot(device: RouterId, interval: Duration, now: Duration) -> Duration {
    let random = device.0.as_u128();
    // The random octets of a time-ordered id stand at its end.
    let random = (random as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let interval_millis = u64::try_from(interval.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let place = ((u128::from(random) * u128::from(interval_millis)) >> 64) as u64;
    let now_millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX - interval_millis);
    let begun = now_millis / interval_millis * interval_millis + place;
    let due = if begun > now_millis {
        begun
    } else {
        begun + interval_millis
    };
    Duration::from_millis(due)
}

/// What a small router can stand.
const SHORTEST: Duration = Duration::from_secs(10);
/// A device that was away for days is noticed after this.
const LONGEST: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn device(number: u64) -> RouterId {
        let random = number.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(17);
        RouterId(uuid::Uuid::from_u64_pair(0x0190_0000_0000_7000, random))
    }

    #[test]
    fn a_thousand_devices_are_asked_evenly_and_once_an_interval() {
        let mut schedule = Schedule::default();
        (0..1000).for_each(|number| schedule.set(device(number), MINUTE, Duration::ZERO));
        let mut asked: HashMap<RouterId, u32> = HashMap::new();
        let mut busiest = 0;
        for second in 1..=300 {
            let now = Duration::from_secs(second);
            let due = schedule.take(now, usize::MAX);
            busiest = busiest.max(due.len());
            for device in due {
                *asked.entry(device).or_default() += 1;
                schedule.done(device, true, now);
            }
        }
        assert_eq!(asked.len(), 1000);
        assert!(asked.values().all(|times| (4..=6).contains(times)));
        // 16.7 a second is even.
        assert!(busiest <= 40, "{busiest} in one second");
    }

    #[test]
    fn who_does_not_answer_is_asked_less_and_less_often() {
        let mut schedule = Schedule::default();
        schedule.set(device(1), MINUTE, Duration::ZERO);
        let mut gaps = Vec::new();
        let mut last = Duration::ZERO;
        for _ in 0..10 {
            let now = schedule.next().unwrap_or_default();
            assert_eq!(schedule.take(now, 9), [device(1)]);
            assert!(schedule.take(now + MINUTE, 9).is_empty());
            schedule.done(device(1), false, now);
            gaps.push((now - last).as_secs());
            last = now;
        }
        assert_eq!(gaps[1..=5], [60, 120, 240, 480, 900]);
        assert_eq!(gaps[9], 900);
        let now = schedule.next().unwrap_or_default();
        schedule.take(now, 1);
        schedule.done(device(1), true, now);
        assert_eq!(schedule.next(), Some(now + MINUTE));
        schedule.keep(|_| false);
        assert!(schedule.is_empty() && schedule.next().is_none());
    }
}
