//! When to dial again (D8): full jitter from 1 s, at most 20 s when nobody answers.

use std::time::Duration;

use easyisp_shared::entropy::Entropy;

/// How often in a row it did not work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It did not work: how long to wait. Anything up to the bound is as likely, so that a fleet spreads.
    pub fn failed(&mut self, entropy: &Entropy) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(5)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(entropy.below(millis))
    }

    /// The cloud said when to come back: not before, and spread over half as long again.
    pub fn told(&mut self, after: Duration, entropy: &Entropy) -> Duration {
        let after = after.min(TOLD_CAP);
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        after + Duration::from_millis(entropy.below(millis / 2 + 1))
    }

    /// It worked.
    pub fn worked(&mut self) {
        self.failures = 0;
    }
}

const FIRST: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(20);
/// A cloud that asks for more than this is not believed.
const TOLD_CAP: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_are_spread() {
        let entropy = Entropy::seeded(1);
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..200).map(|_| backoff.failed(&entropy)).collect();

        assert!(waits[0] < FIRST);
        assert!(waits.iter().all(|wait| *wait < CAP));
        let late = &waits[10..];
        assert!(late.iter().any(|wait| *wait < CAP / 4));
        assert!(late.iter().any(|wait| *wait > CAP / 4 * 3));

        backoff.worked();
        assert!(backoff.failed(&entropy) < FIRST);
    }

    #[test]
    fn a_told_wait_is_kept() {
        let entropy = Entropy::seeded(2);
        let wait = Backoff::default().told(Duration::from_secs(30), &entropy);
        assert!(wait >= Duration::from_secs(30) && wait <= Duration::from_secs(45));
    }
}
