//! How fast something may go: pure arithmetic, for whoever then waits.

use std::time::Duration;

/// Octets a second, with what a tenth of a second makes of it at once.
#[derive(Debug)]
pub struct Pace {
    per_second: u64,
    /// When all that was let go would be through at that rate.
    through: Duration,
}

impl Pace {
    /// So many octets a second.
    pub fn new(per_second: u64) -> Pace {
        Pace {
            per_second: per_second.max(1),
            through: Duration::ZERO,
        }
    }

    /// Lets `octets` go at the monotonic reading `now`: how long to wait after them.
    pub fn passed(&mut self, octets: usize, now: Duration) -> Duration {
        let micros = (octets as u64).saturating_mul(1_000_000) / self.per_second;
        self.through = self
            .through
            .max(now)
            .saturating_add(Duration::from_micros(micros));
        self.through.saturating_sub(now.saturating_add(AT_ONCE))
    }
}

const AT_ONCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_a_second_is_what_it_says() {
        let mut pace = Pace::new(1000);
        let (mut now, mut passed) = (Duration::from_secs(7), 0);
        while now < Duration::from_secs(17) {
            let wait = pace.passed(100, now);
            passed += 100;
            now += wait.max(Duration::from_millis(1));
        }
        assert!((10_000..=10_300).contains(&passed), "{passed}");
        // A rest is not saved up.
        now += Duration::from_secs(3600);
        assert_eq!(pace.passed(100, now), Duration::ZERO);
        assert_eq!(pace.passed(100, now), Duration::from_millis(100));
    }
}
