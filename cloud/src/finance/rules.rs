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
