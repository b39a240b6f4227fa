//! How long a lease lasts and how long a failed job rests.

use std::time::Duration;

/// How long a claim holds. A holder that needs longer loses the job to the next one.
pub const LEASE: Duration = Duration::from_secs(60);

/// Jobs under way at once on one node, where nothing else is said.
pub const AT_ONCE: usize = 16;

/// How long a job rests after its `attempts`-th failure in a row: 1, 2, 4 … seconds, 5 minutes at most.
pub fn rest(attempts: u32) -> Duration {
    let secs = 1u64
        .checked_shl(attempts.saturating_sub(1).min(32))
        .unwrap_or(u64::MAX);
    Duration::from_secs(secs.min(300))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_up_to_five_minutes() {
        let secs: Vec<u64> = [1, 2, 3, 9, 10, 99]
            .map(|attempts| rest(attempts).as_secs())
            .into();
        assert_eq!(secs, [1, 2, 4, 256, 300, 300]);
    }
}
