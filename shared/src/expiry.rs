//! How near the end of a certificate is: people hear of it 30, 14 and 7 days before, and when it is over.

use std::time::Duration;

use crate::time::Timestamp;

/// How near an end is, the farthest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// 30 days or less are left.
    Month,
    /// 14 days or less are left.
    Fortnight,
    /// 7 days or less are left.
    Week,
    /// None is left.
    Over,
}

/// How near an end is; `None` while more than 30 days are left.
pub fn nearness(ends: Timestamp, now: Timestamp) -> Option<Nearness> {
    let within = |days| ends <= now.plus(Duration::from_secs(days * DAY));
    if ends <= now {
        Some(Nearness::Over)
    } else if within(7) {
        Some(Nearness::Week)
    } else if within(14) {
        Some(Nearness::Fortnight)
    } else {
        within(30).then_some(Nearness::Month)
    }
}

/// `1 day`, `12 days`: whole days until an end, a begun one too, so that who reads `1 day` acts today.
pub fn days_left(ends: Timestamp, now: Timestamp) -> String {
    match ends.since(now).as_secs().div_ceil(DAY) {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

const DAY: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_of_at_30_14_and_7_days() {
        let ends = Timestamp::from_secs(1_800_000_000);
        let before = |secs| nearness(ends, ends.minus(Duration::from_secs(secs)));
        assert_eq!(before(30 * DAY + 1), None);
        assert_eq!(before(30 * DAY), Some(Nearness::Month));
        assert_eq!(before(14 * DAY + 1), Some(Nearness::Month));
        assert_eq!(before(14 * DAY), Some(Nearness::Fortnight));
        assert_eq!(before(7 * DAY + 1), Some(Nearness::Fortnight));
        assert_eq!(before(7 * DAY), Some(Nearness::Week));
        assert_eq!(before(0), Some(Nearness::Over));
        let left = |secs| days_left(ends, ends.minus(Duration::from_secs(secs)));
        assert_eq!(
            (left(1), left(DAY + 1)),
            ("1 day".to_owned(), "2 days".to_owned())
        );
    }
}
