//! Wrong voucher codes: five a minute from one device, thirty a minute at one router, then nobody is
//! looked up until the minute is over.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::net::Mac;

use crate::sizes::Size;

/// Who guessed wrong lately. Bounded: when too many devices are remembered, the oldest minute goes.
#[derive(Debug, Default)]
pub struct Guesses {
    devices: Minutes<Option<Mac>>,
    routers: Minutes<RouterId>,
}

impl Guesses {
    /// Whether a device may try another code; `now` is monotonic.
    pub fn may_try(&self, device: Option<Mac>, now: Duration) -> bool {
        self.devices.count(&device, now) < PER_DEVICE
    }

    /// Whether a code that is not known here may be looked up elsewhere. A code that is known is let in whatever others
    /// guess at its router: with fifty bits to a code, nobody guesses one.
    pub fn may_look_up(&self, router: RouterId, now: Duration) -> bool {
        self.routers.count(&router, now) < PER_ROUTER
    }

    /// A code was wrong.
    pub fn note(&mut self, device: Option<Mac>, router: RouterId, now: Duration) {
        self.devices.note(device, now);
        self.routers.note(router, now);
    }

    pub(super) fn sizes(&self) -> [Size; 2] {
        let (devices, routers) = (self.devices.0.len(), self.routers.0.len());
        [
            Size::new("devices that guess codes", devices, MOST_REMEMBERED),
            Size::new(
                "routers at which codes are guessed",
                routers,
                MOST_REMEMBERED,
            ),
        ]
    }
}

/// Counts within a minute that begins with the first.
#[derive(Debug)]
struct Minutes<K>(HashMap<K, (Duration, u32)>);

impl<K> Default for Minutes<K> {
    fn default() -> Minutes<K> {
        Minutes(HashMap::new())
    }
}

impl<K: Hash + Eq> Minutes<K> {
    fn count(&self, key: &K, now: Duration) -> u32 {
        let held = self.0.get(key);
        held.filter(|(begun, _)| now.saturating_sub(*begun) < MINUTE)
            .map_or(0, |(_, count)| *count)
    }

    fn note(&mut self, key: K, now: Duration) {
        if self.0.len() >= MOST_REMEMBERED && !self.0.contains_key(&key) {
            self.0
                .retain(|_, (begun, _)| now.saturating_sub(*begun) < MINUTE);
            if self.0.len() >= MOST_REMEMBERED {
                // Forged addresses: the router's own count still holds.
                return;
            }
        }
        let held = self.0.entry(key).or_insert((now, 0));
        if now.saturating_sub(held.0) >= MINUTE {
            *held = (now, 0);
        }
        held.1 = held.1.saturating_add(1);
    }
}

const PER_DEVICE: u32 = 5;
const PER_ROUTER: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);
const MOST_REMEMBERED: usize = 4096;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HERE: RouterId = RouterId(Uuid::from_u128(1));
    const THERE: RouterId = RouterId(Uuid::from_u128(2));

    fn device(number: u32) -> Option<Mac> {
        let [a, b, c, d] = number.to_be_bytes();
        Some(Mac::new([2, 0, a, b, c, d]))
    }

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_device_has_five_tries_a_minute() {
        let mut guesses = Guesses::default();
        for second in 0..5 {
            assert!(guesses.may_try(device(1), at(second)));
            guesses.note(device(1), HERE, at(second));
        }
        assert!(!guesses.may_try(device(1), at(59)));
        assert!(guesses.may_try(device(2), at(59)), "another device");
        assert!(guesses.may_try(device(1), at(60)), "a minute later");
    }

    #[test]
    fn a_router_has_thirty_however_many_devices_take_part() {
        let mut guesses = Guesses::default();
        for number in 0..30 {
            guesses.note(device(number), HERE, at(0));
        }
        assert!(!guesses.may_look_up(HERE, at(1)));
        assert!(guesses.may_look_up(THERE, at(1)));
        assert!(guesses.may_try(device(99), at(1)), "what is known here");
    }

    #[test]
    fn memory_is_bounded() {
        let mut guesses = Guesses::default();
        for number in 0..100_000 {
            guesses.note(device(number), HERE, at(0));
        }
        assert!(guesses.devices.0.len() <= MOST_REMEMBERED);
    }
}
