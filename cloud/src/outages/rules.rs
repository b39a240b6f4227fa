//! What an outage cost somebody, and what he reads about it.

use std::time::Duration;

use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;

/// From one instant to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// Its first instant.
    pub from: Timestamp,
    /// The first one after it.
    pub to: Timestamp,
}

impl Stretch {
    /// How long it is.
    pub fn lasts(&self) -> Duration {
        self.to.since(self.from)
    }

    /// What is left of it without the times of `others`, in whatever order and however they overlap.
    fn without(self, others: &[Stretch]) -> Duration {
        let mut others: Vec<Stretch> = others.to_vec();
        others.sort_by_key(|other| other.from);
        let (mut left, mut at) = (Duration::ZERO, self.from);
        for other in others {
            let begins = other.from.clamp(at, self.to);
            left = left.saturating_add(begins.since(at));
            at = at.max(other.to.min(self.to));
        }
        left.saturating_add(self.to.since(at))
    }
}

/// Somebody behind an outage, as he is when he is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Served {
    /// Neither stopped nor switched off; a pause is none of both.
    pub open: bool,
    /// The end of his paid time.
    pub paid_until: Timestamp,
    /// When what is paid began, where that was during the outage.
    pub served_from: Option<Timestamp>,
    /// Since when his time stands still.
    pub paused_at: Option<Timestamp>,
    /// What he was given back already.
    pub repaid: Vec<Stretch>,
}

/// What somebody is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Given {
    /// What he lost, in one piece; `None` = nothing, it is a present.
    pub lost: Option<Stretch>,
    /// How much longer he is served.
    pub longer: Duration,
    /// Until when.
    pub until: Timestamp,
}

/// Whether so many silent ones of all sites say that it is this end that hears nobody: all but a few, of three providers at
/// least. One provider's sites go dark together when his town does.
pub fn is_deaf(providers: i64, sites: i64, silent: i64) -> bool {
    providers >= 3 && silent * 5 >= sites * 4
}

/// What an outage cost him; `None` when nothing, or less than a minute.
pub fn lost(outage: Stretch, served: &Served, now: Timestamp) -> Option<Given> {
    let from = outage.from.max(served.served_from.unwrap_or(outage.from));
    let to = [Some(outage.to), Some(served.paid_until), served.paused_at];
    let to = to.into_iter().flatten().min()?;
    if !served.open || to <= from {
        return None;
    }
    let stretch = Stretch { from, to };
    let longer = stretch.without(&served.repaid);
    (longer >= Duration::from_secs(60)).then(|| Given {
        lost: Some(stretch),
        longer,
        until: behind(served, longer, now),
    })
}

/// A present to somebody whose paid time is not over; `None` to everybody else.
pub fn gift(longer: Duration, served: &Served, now: Timestamp) -> Option<Given> {
    let still = served.paused_at.unwrap_or(now);
    (served.open && served.paid_until > still).then(|| Given {
        lost: None,
        longer,
        until: behind(served, longer, now),
    })
}

/// Behind what is paid; from now where that is over, for time in the past is worth nothing.
fn behind(served: &Served, longer: Duration, now: Timestamp) -> Timestamp {
    let from = match served.paused_at {
        Some(_) => served.paid_until,
        None => served.paid_until.max(now),
    };
    from.plus(longer)
}

/// What somebody reads who was given time; `what` is that was away.
pub fn text(business: &str, what: Option<&str>, given: &Given, zone: &TimeZone) -> String {
    let longer = span(given.longer);
    let until = given.until.in_zone(zone).strftime("%-d %b %Y %H:%M");
    match what {
        Some(what) => format!(
            "{business}: sorry that {what} was offline. {longer} were added: internet until {until}."
        ),
        None => format!("{business}: {longer} were added to your time: internet until {until}."),
    }
}

/// `2 d 3 h`, `2 h 10 min`, `45 min`.
pub fn span(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "min")];
    let said: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    match said.is_empty() {
        true => "0 min".to_owned(),
        false => said.join(" "),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + hour * 3600)
    }

    fn hours(count: u64) -> Duration {
        Duration::from_secs(count * 3600)
    }

    fn stretch(from: i64, to: i64) -> Stretch {
        Stretch {
            from: at(from),
            to: at(to),
        }
    }

    fn paid_until(hour: i64) -> Served {
        Served {
            open: true,
            paid_until: at(hour),
            served_from: None,
            paused_at: None,
            repaid: Vec::new(),
        }
    }

    #[test]
    fn who_hears_nearly_nobody_is_deaf_himself() {
        assert!(is_deaf(3, 3, 3) && is_deaf(3, 10, 8));
        assert!(!is_deaf(1, 5, 5) && !is_deaf(2, 9, 9) && !is_deaf(3, 10, 7) && !is_deaf(0, 0, 0));
    }

    #[test]
    fn what_was_lost_is_added_behind_what_is_paid() {
        let given = lost(stretch(0, 3), &paid_until(100), at(4)).unwrap();
        assert_eq!((given.longer, given.until), (hours(3), at(103)));
        // Whose time ran out after an hour of it: that hour, from now.
        let given = lost(stretch(0, 3), &paid_until(1), at(4)).unwrap();
        assert_eq!((given.longer, given.until), (hours(1), at(5)));
        assert_eq!(given.lost, Some(stretch(0, 1)));
    }

    #[test]
    fn nothing_is_given_for_what_was_not_paid_stopped_or_paused() {
        assert_eq!(lost(stretch(0, 3), &paid_until(0), at(4)), None);
        let stopped = Served {
            open: false,
            ..paid_until(100)
        };
        assert_eq!(lost(stretch(0, 3), &stopped, at(4)), None);
        assert_eq!(gift(hours(1), &stopped, at(4)), None);
        let paused = |hour| Served {
            paused_at: Some(at(hour)),
            ..paid_until(100)
        };
        assert_eq!(lost(stretch(0, 3), &paused(0), at(4)), None);
        let given = lost(stretch(0, 3), &paused(2), at(4)).unwrap();
        assert_eq!((given.longer, given.until), (hours(2), at(102)));
        // Away for long, with an hour left: his time is not over.
        let away = Served {
            paid_until: at(3),
            ..paused(2)
        };
        assert_eq!(gift(hours(1), &away, at(50)).unwrap().until, at(4));
        assert_eq!(gift(hours(1), &paid_until(3), at(4)), None);
    }

    #[test]
    fn who_paid_during_it_lost_what_came_after() {
        let late = Served {
            served_from: Some(at(2)),
            ..paid_until(722)
        };
        let given = lost(stretch(0, 3), &late, at(4)).unwrap();
        assert_eq!((given.longer, given.until), (hours(1), at(723)));
    }

    #[test]
    fn an_hour_is_given_back_once() {
        let twice = Served {
            repaid: vec![stretch(2, 5), stretch(-1, 1), stretch(0, 1)],
            ..paid_until(100)
        };
        let given = lost(stretch(0, 4), &twice, at(6)).unwrap();
        assert_eq!(given.longer, hours(1));
        assert_eq!(lost(stretch(2, 4), &twice, at(6)), None);
    }

    #[test]
    fn a_message_says_what_was_added_in_the_tenants_time() {
        let zone = TimeZone::get("Africa/Nairobi").unwrap();
        let given = Given {
            lost: None,
            longer: Duration::from_secs(7_800),
            until: Timestamp::parse("2027-01-16T22:30:00Z").unwrap(),
        };
        assert_eq!(
            text("Acme", Some("Hilltop"), &given, &zone),
            "Acme: sorry that Hilltop was offline. 2 h 10 min were added: internet until 17 Jan 2027 01:30."
        );
        assert_eq!(span(Duration::from_secs(90_000)), "1 d 1 h");
    }

    proptest! {
        /// However outages overlap and in whatever order they are repaid: every minute once.
        #[test]
        fn overlapping_outages_give_their_union(mut outages in prop::collection::vec((0i64..50, 1i64..20), 1..6), last in 0usize..6) {
            let known = outages.len();
            outages.rotate_left(last % known);
            let (mut given, mut repaid) = (Duration::ZERO, Vec::new());
            for (from, lasts) in &outages {
                let served = Served { repaid: repaid.clone(), ..paid_until(1_000) };
                if let Some(one) = lost(stretch(*from, from + lasts), &served, at(200)) {
                    given += one.longer;
                    repaid.extend(one.lost);
                }
            }
            let union = (0..80).filter(|hour| outages.iter().any(|(from, lasts)| (*from..from + lasts).contains(hour)));
            prop_assert_eq!(given, hours(union.count() as u64));
        }
    }
}
