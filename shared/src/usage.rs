//! Which growth of a session's counters is believed: by the agent, who decides by it, and by the cloud, which
//! books it.

use std::time::Duration;

/// Whether a session can have moved `bytes` one way within `elapsed`.
///
/// A counter that cannot is a router's mistake or a forged packet; taken once, it would use up what a customer
/// bought and stand in every sum of its day. Generous: no access line is as fast as 100 Gbit/s, an event's moment
/// is off by as much as a router tries, and no session is older than a year.
pub fn is_plausible(bytes: u64, elapsed: Duration) -> bool {
    let secs = elapsed.min(LONGEST).as_secs() + GRACE_SECS;
    bytes <= secs.saturating_mul(FASTEST)
}

/// The most octets that are ever summed up: sums of several stay within 63 bits.
pub const MOST_BYTES: u64 = (1 << 60) - 1;

/// 100 Gbit/s, in octets a second.
const FASTEST: u64 = 12_500_000_000;
/// A quarter of an hour: three interims.
const GRACE_SECS: u64 = 900;
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_line_is_believed_and_a_full_counter_is_not() {
        let five_minutes = Duration::from_secs(300);
        assert!(is_plausible(10 * 300 * 1_250_000_000, five_minutes));
        assert!(!is_plausible(1 << 45, five_minutes));
        // Gigawords 0xffffffff, and a session that says to be as old as can be said.
        assert!(!is_plausible(
            u64::MAX - (u64::from(u32::MAX)),
            Duration::from_secs(u64::from(u32::MAX))
        ));
        assert!(!is_plausible(MOST_BYTES, Duration::MAX));
    }
}
