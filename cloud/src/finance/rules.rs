//! What may be booked, on which account and on which day.

use std::time::Duration;

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};

use crate::error::Wrong;
use crate::ledger::{AccountCode, AccountType};

/// A day of the tenant's, or an instant: what a client may write for a date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// `2026-01-31`.
    Day(Date),
    /// `2026-01-31T09:00:00.000Z`.
    At(Timestamp),
}

impl Moment {
    /// Its first instant.
    pub fn begins(self, zone: &TimeZone) -> Timestamp {
        match self {
            Moment::Day(day) => begin_of(day, zone),
            Moment::At(at) => at,
        }
    }

    /// The first instant after it.
    pub fn ends(self, zone: &TimeZone) -> Timestamp {
        match self {
            Moment::Day(day) => begin_of(next(day), zone),
            Moment::At(at) => at.plus(Duration::from_micros(1)),
        }
    }

    /// The tenant's day.
    pub fn day(self, zone: &TimeZone) -> Date {
        match self {
            Moment::Day(day) => day,
            Moment::At(at) => at.in_zone(zone).date(),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        let text = String::deserialize(deserializer)?;
        let text = text.trim();
        let day = (text.len() == 10).then(|| text.parse().ok()).flatten();
        let moment = day.filter(|day| is_near(*day)).map(Moment::Day);
        let instant = || {
            let at = Timestamp::parse(text)?;
            is_near(at.in_zone(&TimeZone::UTC).date()).then_some(Moment::At(at))
        };
        moment.or_else(instant).ok_or_else(|| {
            serde::de::Error::custom(
                "must be a day like 2026-01-31 or an instant like 2026-01-31T09:00:00.000Z",
            )
        })
    }
}

/// No business has books from before or plans for after.
fn is_near(day: Date) -> bool {
    (1970..=2199).contains(&day.year())
}

/// The first instant of a day.
pub fn begin_of(day: Date, zone: &TimeZone) -> Timestamp {
    let midnight = day.to_zoned(zone.clone());
    // Only days at the ends of the calendar have no instant.
    midnight.map_or(Timestamp::default(), |midnight| {
        Timestamp::from_jiff(midnight.timestamp())
    })
}

/// A stretch of time as whole days of a tenant, and what is left of it before and after them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WholeDays {
    /// The first one, and the one after the last; none where the stretch has no end on that side. `None` = it has no
    /// whole day.
    pub days: Option<(Option<Date>, Option<Date>)>,
    /// From when on, and before when.
    pub edges: Vec<(Timestamp, Timestamp)>,
}

impl WholeDays {
    /// What lies from the one moment on and before the other.
    pub fn of(from: Option<Timestamp>, to: Option<Timestamp>, zone: &TimeZone) -> WholeDays {
        let first = from.map(|from| {
            let day = from.in_zone(zone).date();
            if begin_of(day, zone) == from {
                day
            } else {
                next(day)
            }
        });
        let end = to.map(|to| to.in_zone(zone).date());
        if let (Some(from), Some(to), Some(first), Some(end)) = (from, to, first, end)
            && first >= end
        {
            return WholeDays {
                days: None,
                edges: Vec::from_iter((from < to).then_some((from, to))),
            };
        }
        let before = from.zip(first.map(|first| begin_of(first, zone)));
        let after = end.map(|end| begin_of(end, zone)).zip(to);
        let edges = [before, after].into_iter().flatten();
        WholeDays {
            days: Some((first, end)),
            edges: edges.filter(|(from, to)| from < to).collect(),
        }
    }
}

fn next(day: Date) -> Date {
    day.tomorrow().unwrap_or(day)
}

/// The same day of the next month; its last one where it is shorter. `anchor` is the day it returns to.
pub fn next_month(day: Date, anchor: i8) -> Date {
    let month = day.first_of_month().saturating_add(1.month());
    let day = anchor.clamp(1, month.days_in_month());
    month.with().day(day).build().unwrap_or(month)
}

/// When something that was typed with this date was: today it is now, on an earlier day it began.
///
/// Notes a day that has not come.
pub fn occurred_at(
    date: Option<Moment>,
    zone: &TimeZone,
    now: Timestamp,
    wrong: &mut Wrong,
) -> Timestamp {
    let today = now.in_zone(zone).date();
    match date {
        None => now,
        Some(date) if date.day(zone) > today => {
            wrong.add("date", "must not be in the future");
            now
        }
        Some(Moment::Day(day)) if day == today => now,
        Some(date) => date.begins(zone).min(now),
    }
}

/// The tenant's day a year ago.
pub fn a_year_before(now: Timestamp, zone: &TimeZone) -> Date {
    now.in_zone(zone).date().saturating_sub(1.year())
}

/// A text of at most `most` characters, without spaces around it; notes one that is longer.
pub fn text(field: &str, value: Option<String>, most: usize, wrong: &mut Wrong) -> String {
    let text = value.unwrap_or_default().trim().to_owned();
    if text.chars().count() > most {
        wrong.add(field, &format!("must have at most {most} characters"));
    }
    text
}

/// The same, and there must be one.
pub fn needed(field: &str, value: Option<String>, most: usize, wrong: &mut Wrong) -> String {
    let text = text(field, value, most, wrong);
    if text.is_empty() {
        wrong.add(field, "is required");
    }
    text
}

/// An amount of more than nothing.
pub fn amount(field: &str, value: Option<Cents>, wrong: &mut Wrong) -> Cents {
    match value {
        None => wrong.add(field, "is required"),
        Some(amount) if !amount.is_positive() => wrong.add(field, "must be more than nothing"),
        Some(_) => {}
    }
    value.unwrap_or_default()
}

/// An account as the chart has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its code.
    pub code: AccountCode,
    /// What people call it.
    pub name: String,
    /// Its kind.
    pub kind: AccountType,
}

/// On which account an expense is booked: the one of this code, else the expense account that is called like
/// the category or has it as its code, else the one for all others.
pub fn expense_account(
    chart: &[Known],
    code: Option<&str>,
    category: &str,
    wrong: &mut Wrong,
) -> AccountCode {
    if let Some(code) = code {
        return account(chart, code, AccountType::Expense, wrong);
    }
    let is_meant = |known: &&Known| {
        known.kind == AccountType::Expense
            && (known.name.to_lowercase() == category.to_lowercase()
                || known.code.as_str() == category)
    };
    let meant = chart.iter().find(is_meant);
    meant.map_or(AccountCode::EXPENSES, |known| known.code.clone())
}

/// The account of this code, which must be of `kind`.
pub fn account(chart: &[Known], code: &str, kind: AccountType, wrong: &mut Wrong) -> AccountCode {
    let found = chart
        .iter()
        .find(|known| known.code.as_str() == code.trim() && known.kind == kind);
    match found {
        Some(known) => known.code.clone(),
        None => {
            let what = format!(
                "must be the code of an account of type {}; GET /api/finance/accounts lists them",
                kind.as_str()
            );
            wrong.add("account", &what);
            AccountCode::EXPENSES
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use jiff::civil::date;

    use super::*;

    fn nairobi() -> TimeZone {
        TimeZone::get("Africa/Nairobi").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_stretch_is_whole_days_and_what_is_left_of_it() {
        let of = |from: Option<&str>, to: Option<&str>| {
            WholeDays::of(from.map(at), to.map(at), &nairobi())
        };
        let whole = |from, to, edges: &[(&str, &str)]| WholeDays {
            days: Some((from, to)),
            edges: edges.iter().map(|(from, to)| (at(from), at(to))).collect(),
        };
        let (midnight, noon) = ("2027-01-14T21:00:00Z", "2027-01-15T09:00:00Z");
        let (next, later) = ("2027-01-15T21:00:00Z", "2027-01-17T09:00:00Z");
        let (first, second) = (Some(date(2027, 1, 15)), Some(date(2027, 1, 16)));
        assert_eq!(of(None, None), whole(None, None, &[]));
        assert_eq!(of(Some(midnight), Some(next)), whole(first, second, &[]));
        assert_eq!(of(Some(noon), None), whole(second, None, &[(noon, next)]));
        assert_eq!(
            of(None, Some(noon)),
            whole(None, first, &[(midnight, noon)])
        );
        let third = Some(date(2027, 1, 17));
        let last = "2027-01-16T21:00:00Z";
        assert_eq!(
            of(Some(noon), Some(later)),
            whole(second, third, &[(noon, next), (last, later)])
        );
        for (from, to) in [
            (midnight, noon),
            (noon, next),
            (noon, "2027-01-15T23:00:00Z"),
        ] {
            let rows = WholeDays {
                days: None,
                edges: vec![(at(from), at(to))],
            };
            assert_eq!(of(Some(from), Some(to)), rows);
        }
        let nothing = WholeDays {
            days: None,
            edges: Vec::new(),
        };
        assert_eq!(of(Some(next), Some(noon)), nothing);
    }

    #[test]
    fn a_month_later_is_clamped_and_comes_back() {
        let mut day = date(2028, 1, 31);
        let mut days = Vec::new();
        for _ in 0..4 {
            day = next_month(day, 31);
            days.push(day);
        }
        let should = [
            date(2028, 2, 29),
            date(2028, 3, 31),
            date(2028, 4, 30),
            date(2028, 5, 31),
        ];
        assert_eq!(days, should);
        assert_eq!(next_month(date(2026, 12, 5), 5), date(2027, 1, 5));
    }

    #[test]
    fn a_date_is_a_day_or_an_instant() {
        let parse = |text: &str| serde_json::from_value::<Moment>(text.into());
        assert_eq!(parse("2026-01-31").unwrap(), Moment::Day(date(2026, 1, 31)));
        assert_eq!(
            parse("2026-01-31T09:00:00Z").unwrap(),
            Moment::At(at("2026-01-31T09:00:00Z"))
        );
        for wrong in ["", "31.1.2026", "2026-02-30", "0001-01-01", "9999-12-31"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_day_is_the_tenants_and_today_is_now() {
        let zone = nairobi();
        let now = at("2026-01-31T22:30:00Z"); // 01:30 on the 1st
        let mut wrong = Wrong::default();
        let mut when = |day: Date| occurred_at(Some(Moment::Day(day)), &zone, now, &mut wrong);
        assert_eq!(when(date(2026, 2, 1)), now);
        assert_eq!(when(date(2026, 1, 31)), at("2026-01-30T21:00:00Z"));
        assert!(wrong.is_empty());
        occurred_at(Some(Moment::Day(date(2026, 2, 2))), &zone, now, &mut wrong);
        assert!(!wrong.is_empty());
        let day = Moment::Day(date(2026, 1, 31));
        assert_eq!(day.ends(&zone), at("2026-01-31T21:00:00Z"));
    }

    #[test]
    fn a_category_leads_to_the_account_that_is_called_like_it() {
        let known = |code: &str, name: &str, kind| Known {
            code: AccountCode::parse(code).unwrap(),
            name: name.to_owned(),
            kind,
        };
        let chart = [
            known("1000", "Fuel", AccountType::Asset),
            known("5000", "Expenses", AccountType::Expense),
            known("5100", "Fuel", AccountType::Expense),
        ];
        let mut wrong = Wrong::default();
        let mut of = |code, category| {
            let code = expense_account(&chart, code, category, &mut wrong);
            code.as_str().to_owned()
        };
        assert_eq!(of(None, "fuel"), "5100");
        assert_eq!(of(None, "5100"), "5100");
        assert_eq!(of(None, "Rent"), "5000");
        assert_eq!(of(Some("5100"), "Rent"), "5100");
        of(Some("1000"), "Rent");
        assert!(!wrong.is_empty());
    }
}
