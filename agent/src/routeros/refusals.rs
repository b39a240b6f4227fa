//! When a router that refused the login is asked again (J4): the same password is refused again, each try stands in
//! its log, and some lock the address out.

use std::time::{Duration, Instant};

use easyisp_shared::id::RouterId;

/// How a router refused this login so far; another login begins with none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    count: u32,
    until: Option<Instant>,
}

impl Refusals {
    /// It refused once more.
    pub fn refused(&mut self, router: RouterId, now: Instant) {
        let whole = FIRST.saturating_mul(1 << self.count.min(16)).min(CAP);
        self.count = self.count.saturating_add(1);
        self.until = Some(now + whole - spread(router, self.count, whole));
    }

    /// It let us in.
    pub fn entered(&mut self) {
        *self = Refusals::default();
    }

    /// How long it is not to be asked yet.
    pub fn rest(&self, now: Instant) -> Option<Duration> {
        let rest = self.until?.saturating_duration_since(now);
        (!rest.is_zero()).then_some(rest)
    }
}

/// Up to a quarter less, by router and turn: the routers of a site whose password was changed everywhere are not
/// asked in one moment.
fn spread(router: RouterId, turn: u32, whole: Duration) -> Duration {
    let bytes = router.0.as_bytes();
    let seed = bytes.iter().fold(turn, |seed, byte| {
        seed.wrapping_mul(16_777_619) ^ u32::from(*byte)
    });
    (whole / 4).mul_f64(f64::from(seed.wrapping_mul(2_654_435_761) >> 16) / 65_536.0)
}

const FIRST: Duration = Duration::from_secs(2);
const CAP: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_routers_differ() {
        let begin = Instant::now();
        let waits = |router: u128| {
            let mut refusals = Refusals::default();
            let wait = |_| {
                refusals.refused(RouterId(Uuid::from_u128(router)), begin);
                refusals.rest(begin).unwrap_or_default()
            };
            (0..40).map(wait).collect::<Vec<Duration>>()
        };
        let one = waits(7);
        for (turn, wait) in one.iter().enumerate() {
            let whole = FIRST.saturating_mul(1 << turn.min(16)).min(CAP);
            assert!(*wait <= whole && *wait >= whole * 3 / 4, "{turn}: {wait:?}");
        }
        assert_ne!(one, waits(8));
    }

    #[test]
    fn who_is_let_in_begins_anew() {
        let begin = Instant::now();
        let router = RouterId(Uuid::from_u128(7));
        let mut refusals = Refusals::default();
        refusals.refused(router, begin);
        assert!(refusals.rest(begin).is_some());
        assert_eq!(refusals.rest(begin + FIRST), None);
        refusals.entered();
        assert_eq!(refusals, Refusals::default());
    }
}
