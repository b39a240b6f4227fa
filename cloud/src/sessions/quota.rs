//! When a site must hear what a customer used elsewhere: a second agent, another site, a new box.
//!
//! An agent counts what it sees and takes the larger of that and what the cloud told. Telling at every
//! report would write a feed row per interim; at every twentieth of a limit and every step of fair use it
//! is at most a few dozen per customer and period, and no agent is further behind than a twentieth.

use crate::packages::Terms;

/// What was used in a period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Used {
    /// Bytes both ways, without those that were free.
    pub bytes: i64,
    /// Seconds online.
    pub secs: i64,
}

/// Whether the site must hear of `used`, having heard of `told`.
pub fn worth_telling(told: Used, used: Used, data_limit: Option<i64>, terms: &Terms) -> bool {
    let secs_limit = terms.time_limit.map(|minutes| minutes.saturating_mul(60));
    let steps = |used: Used| {
        terms
            .fair_use
            .iter()
            .filter(|step| step.after_bytes <= used.bytes)
            .count()
    };
    twentieths(told.bytes, data_limit) < twentieths(used.bytes, data_limit)
        || twentieths(told.secs, secs_limit) < twentieths(used.secs, secs_limit)
        || steps(told) < steps(used)
}

fn twentieths(used: i64, limit: Option<i64>) -> i128 {
    limit
        .filter(|limit| *limit > 0)
        .map_or(0, |limit| i128::from(used) * 20 / i128::from(limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::terms::FairUse;

    #[test]
    fn a_site_hears_of_every_twentieth_and_every_step() {
        let terms = Terms {
            time_limit: Some(10),
            fair_use: vec![FairUse {
                after_bytes: 42,
                download_speed: 1,
                upload_speed: 1,
            }],
            ..Terms::default()
        };
        let used = |bytes, secs| Used { bytes, secs };
        let worth = |told, used| worth_telling(told, used, Some(100), &terms);
        assert!(!worth(used(0, 0), used(4, 29)));
        assert!(worth(used(0, 0), used(5, 0)));
        assert!(!worth(used(5, 0), used(9, 0)));
        assert!(worth(used(40, 0), used(42, 0)), "a step");
        assert!(worth(used(0, 0), used(0, 30)), "half a minute of ten");
        assert!(!worth_telling(
            used(0, 0),
            used(i64::MAX, 0),
            None,
            &Terms::default()
        ));
    }
}
