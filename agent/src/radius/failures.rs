//! Wrong passwords, counted by calling station and by user name, never by router (A9).
//!
//! The first five of a station cost nothing: people mistype. After that its rejects come later, and what
//! it shows is looked at only now and then; the same holds for a name that many stations guess at. Being
//! looked at and being refused read the same. A device that was let in under the name answers for its own
//! failures alone, so nobody is kept out of his line by somebody who guesses at his name.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use easyisp_shared::net::Mac;

use crate::sizes::Size;

/// Who shows a password.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Calling-Station-Id as it came, where one did.
    pub station: Option<&'a [u8]>,
    /// The device it names. Other stations may be addresses that many share, so they are never barred.
    pub device: Option<Mac>,
    /// User-Name.
    pub name: &'a [u8],
    /// Whether this device was let in under this name.
    pub familiar: bool,
}

/// Who failed lately, and who was let in. Bounded: of too many the ones unheard for longest go.
#[derive(Debug, Default)]
pub struct Failures {
    stations: Lately<Record>,
    names: Lately<Record>,
    pairs: Lately<Record>,
    familiar: Lately<()>,
    hashes: RandomState,
}

impl Failures {
    /// Whether what is shown is not looked at; `now` is monotonic.
    pub fn is_barred(&self, attempt: Attempt<'_>, now: Duration) -> bool {
        let bars = |record: Option<&Record>| record.is_some_and(|record| now < record.barred_until);
        if attempt.familiar {
            return bars(self.pairs.find(self.pair(attempt)));
        }
        let station = attempt.device.and(self.station(attempt));
        bars(station.and_then(|station| self.stations.find(station)))
            || bars(self.names.find(self.name(attempt)))
    }

    /// A password was wrong, or the name unknown: the one must read as the other. Returns until when
    /// somebody is barred by it.
    pub fn note(&mut self, attempt: Attempt<'_>, now: Duration) -> Option<Duration> {
        let mut until = self.names.touch(self.name(attempt)).fail(FREE_A_NAME, now);
        if let Some(station) = self.station(attempt) {
            let station = self.stations.touch(station).fail(FREE_A_STATION, now);
            until = until.max(station);
        }
        if attempt.familiar {
            let pair = self.pairs.touch(self.pair(attempt));
            until = until.max(pair.fail(FREE_A_STATION, now));
        }
        until
    }

    /// How long the reject waits: nothing for a station's first five, then more with each, at most
    /// [`LONGEST`]. Who names no station is told from others by his user name alone.
    pub fn delay(&self, attempt: Attempt<'_>, now: Duration) -> Option<Duration> {
        let record = match self.station(attempt) {
            Some(station) => self.stations.find(station),
            None => self.names.find(self.name(attempt)),
        };
        let record = record.filter(|record| !record.is_forgotten(now))?;
        let over = record.count.checked_sub(FREE_A_STATION + 1)?;
        Some(LONGEST / (8 >> over.min(3)))
    }

    /// The password was right: this device belongs to this name.
    pub fn let_in(&mut self, name: &[u8], device: Mac) {
        let key = self.hashes.hash_one((name, device));
        self.familiar.touch(key);
    }

    /// Whether this device was let in under this name.
    pub fn knows(&self, name: &[u8], device: Mac) -> bool {
        let key = self.hashes.hash_one((name, device));
        self.familiar.find(key).is_some()
    }

    fn station(&self, attempt: Attempt<'_>) -> Option<u64> {
        match (attempt.device, attempt.station) {
            // However it is written.
            (Some(device), _) => Some(self.hashes.hash_one(device)),
            (None, Some(station)) => Some(self.hashes.hash_one(station)),
            (None, None) => None,
        }
    }

    fn name(&self, attempt: Attempt<'_>) -> u64 {
        self.hashes.hash_one(attempt.name)
    }

    pub(super) fn sizes(&self) -> [Size; 4] {
        [
            Size::new("stations that failed", self.stations.len(), 2 * HALF),
            Size::new("names that failed", self.names.len(), 2 * HALF),
            Size::new(
                "devices that failed under a name",
                self.pairs.len(),
                2 * HALF,
            ),
            Size::new(
                "devices known by their names",
                self.familiar.len(),
                2 * HALF,
            ),
        ]
    }

    fn pair(&self, attempt: Attempt<'_>) -> u64 {
        self.hashes.hash_one((attempt.name, attempt.device))
    }
}

/// Failures of one.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    count: u32,
    last: Duration,
    barred_until: Duration,
}

impl Record {
    /// One more. What is shown while barred is not counted, so the bar ends whatever happens meanwhile.
    fn fail(&mut self, free: u32, now: Duration) -> Option<Duration> {
        if self.is_forgotten(now) {
            *self = Record::default();
        }
        self.count = self.count.saturating_add(1);
        self.last = now;
        let over = self.count.checked_sub(free + 1)?;
        let bar = Duration::from_secs(1 << over.min(5)).min(LONGEST_BAR);
        self.barred_until = now + bar;
        Some(self.barred_until)
    }

    fn is_forgotten(&self, now: Duration) -> bool {
        now.saturating_sub(self.last) >= FORGOTTEN
    }
}

/// What was touched lately, in two halves: when the younger is full it becomes the older, which goes.
#[derive(Debug)]
struct Lately<T> {
    young: HashMap<u64, T>,
    old: HashMap<u64, T>,
}

impl<T> Default for Lately<T> {
    fn default() -> Lately<T> {
        Lately {
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }
}

impl<T: Default> Lately<T> {
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn find(&self, key: u64) -> Option<&T> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    fn touch(&mut self, key: u64) -> &mut T {
        let before = self.old.remove(&key);
        if self.young.len() >= HALF && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young
            .entry(key)
            .or_insert_with(|| before.unwrap_or_default())
    }
}

/// The longest wait of a reject: half of a router's time-out. RouterOS ships 300 ms on most builds, and
/// where it is 100 ms the request is sent twice but never given up, for that takes four of them.
pub const LONGEST: Duration = Duration::from_millis(150);
/// Failures of a station that cost nothing.
const FREE_A_STATION: u32 = 5;
/// Failures under a name, from wherever: twice a station's, for a household has several devices.
const FREE_A_NAME: u32 = 10;
/// What is shown is looked at once in so long at the least: who corrects his password waits no longer.
const LONGEST_BAR: Duration = Duration::from_secs(30);
/// After so long without a failure the earlier ones count no more.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Half of what each table holds; some 600 kB each when full.
const HALF: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u32) -> Mac {
        let [a, b, c, d] = number.to_be_bytes();
        Mac::new([2, 0, a, b, c, d])
    }

    fn attempt(number: u32, name: &[u8]) -> Attempt<'_> {
        Attempt {
            station: Some(b"02:00"),
            device: Some(device(number)),
            name,
            familiar: false,
        }
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// How many of `count` guesses, one every `step`, are looked at.
    fn looked_at<'a>(count: u32, step: Duration, guess: impl Fn(u32) -> Attempt<'a>) -> u32 {
        let mut failures = Failures::default();
        let mut looked_at = 0;
        for number in 0..count {
            let now = at(1000) + step * number;
            if !failures.is_barred(guess(number), now) {
                failures.note(guess(number), now);
                looked_at += 1;
            }
        }
        looked_at
    }

    #[test]
    fn of_ten_thousand_guesses_hardly_any_is_looked_at() {
        let step = at(10);
        assert_eq!(looked_at(10_000, step, |_| attempt(1, b"jane")), 13);
        // From as many devices: the name is what is guessed at.
        assert_eq!(looked_at(10_000, step, |n| attempt(n, b"jane")), 18);
        let names: Vec<String> = (0..10_000).map(|n| format!("user{n}")).collect();
        let spray = |n: u32| attempt(1, names[n as usize].as_bytes());
        assert_eq!(looked_at(10_000, step, spray), 13, "one device, any names");
    }

    #[test]
    fn five_failures_cost_nothing_and_a_reject_never_waits_longer_than_half_a_time_out() {
        let mut failures = Failures::default();
        let mut delays = Vec::new();
        for number in 0..12 {
            let now = at(60_000 * number);
            assert!(!failures.is_barred(attempt(1, b"jane"), now), "{number}");
            failures.note(attempt(1, b"jane"), now);
            let delay = failures.delay(attempt(1, b"jane"), now);
            delays.push(delay.map_or(0, |delay| delay.as_micros()));
        }
        let expected = [0, 0, 0, 0, 0, 18_750, 37_500, 75_000];
        assert_eq!(delays[..8], expected);
        assert!(delays[8..].iter().all(|delay| *delay == 150_000));
    }

    #[test]
    fn a_bar_ends_whatever_is_shown_meanwhile_and_all_is_forgotten_after_ten_minutes() {
        let mut failures = Failures::default();
        for _ in 0..50 {
            failures.note(attempt(1, b"jane"), at(0));
        }
        assert!(failures.is_barred(attempt(1, b"jane"), at(29_999)));
        assert!(!failures.is_barred(attempt(1, b"jane"), at(30_000)));
        assert_eq!(failures.note(attempt(1, b"jane"), at(600_000)), None);
        assert_eq!(failures.delay(attempt(1, b"jane"), at(600_000)), None);
    }

    #[test]
    fn a_familiar_device_answers_for_itself_alone() {
        let mut failures = Failures::default();
        failures.let_in(b"jane", device(7));
        assert!(failures.knows(b"jane", device(7)));
        assert!(!failures.knows(b"jane", device(8)) && !failures.knows(b"john", device(7)));
        for number in 0..1000 {
            failures.note(attempt(number, b"jane"), at(0));
            failures.note(attempt(7, b"john"), at(0));
        }
        let own = Attempt {
            familiar: true,
            ..attempt(7, b"jane")
        };
        assert!(failures.is_barred(attempt(7, b"jane"), at(0)));
        assert!(!failures.is_barred(own, at(0)));
        for _ in 0..6 {
            failures.note(own, at(0));
        }
        assert!(failures.is_barred(own, at(0)), "an address can be forged");
    }

    #[test]
    fn a_shared_address_bars_nobody_but_the_name() {
        let mut failures = Failures::default();
        let shared = |name| Attempt {
            station: Some(b"203.0.113.7"),
            device: None,
            name,
            familiar: false,
        };
        for _ in 0..50 {
            failures.note(shared(b"jane"), at(0));
        }
        assert!(failures.is_barred(shared(b"jane"), at(0)));
        assert!(!failures.is_barred(shared(b"john"), at(0)));
        assert_eq!(failures.delay(shared(b"john"), at(0)), Some(LONGEST));
    }

    #[test]
    fn memory_is_bounded_and_who_goes_on_is_not_pushed_out() {
        let mut failures = Failures::default();
        let names: Vec<String> = (0..100_000).map(|n| format!("user{n}")).collect();
        for (number, name) in (0..).zip(&names) {
            failures.note(attempt(number, name.as_bytes()), at(0));
            failures.let_in(name.as_bytes(), device(number));
            if number % 1000 == 0 {
                failures.note(attempt(number, b"jane"), at(0));
            }
        }
        assert!(failures.is_barred(attempt(0, b"jane"), at(1)));
        for table in [&failures.stations, &failures.names, &failures.pairs] {
            assert!(table.young.len() <= HALF && table.old.len() <= HALF);
        }
        assert!(failures.familiar.young.len() + failures.familiar.old.len() <= 2 * HALF);
    }
}
