//! When somebody is reminded, in which words, and what may be promised: pure.

use std::time::Duration;

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{FieldError, Wrong};
use crate::messaging::daytime;

/// How a provider is with its subscribers around the end of their time. What is absent in a change is the
/// default.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Courtesy {
    /// Whether subscribers are reminded at all: each message costs money.
    pub reminders: bool,
    /// How many days before the end: 0 to 30, at most 8 of them; 0 is the day itself. Only those below half of what
    /// somebody buys at a time: who buys a week is not told seven days before, and who buys less than two days not
    /// at all.
    pub reminder_days: Vec<i16>,
    /// What a reminder says; null = the usual words. `{business}`, `{name}`, `{package}`, `{date}`, `{time}`,
    /// `{days}`, `{amount}` (what is missing in the wallet, with the currency) and `{account}` are filled in.
    pub reminder_text: Option<String>,
    /// The most days of one promise; 0 = none are taken.
    pub promise_days: i32,
    /// The most promises of one customer in a calendar month.
    pub promises_per_month: i32,
}

impl Default for Courtesy {
    fn default() -> Courtesy {
        Courtesy {
            reminders: false,
            reminder_days: vec![7, 3, 1, 0],
            reminder_text: None,
            promise_days: 3,
            promises_per_month: 1,
        }
    }
}

/// The words when the provider has none of its own.
const USUAL: &str = "{business}: your internet ends on {date} at {time}. Pay {amount} for account {account} \
                     to stay online.";

/// The words where nothing is known to be missing.
const END: &str = "{business}: your internet ends on {date} at {time}. Your account is {account}.";

/// What may be filled in.
const FILLED: [&str; 8] = [
    "business", "name", "package", "date", "time", "days", "amount", "account",
];

impl Courtesy {
    /// Names what cannot be.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut wrong = Wrong::default();
        let days = &self.reminder_days;
        if days.len() > 8 || days.iter().any(|days| !(0..=30).contains(days)) {
            wrong.add("reminderDays", "must be at most 8 numbers of 0 to 30");
        }
        if let Some(text) = &self.reminder_text {
            let length = text.trim().chars().count();
            if !(1..=400).contains(&length) || text.contains('\0') {
                wrong.add("reminderText", "must have 1 to 400 characters, or be null");
            } else if let Some(unknown) = unknown_placeholder(text) {
                let known = FILLED.map(|name| format!("{{{name}}}")).join(" ");
                wrong.add(
                    "reminderText",
                    &format!("knows no {{{unknown}}}; what is filled in: {known}"),
                );
            }
        }
        if !(0..=31).contains(&self.promise_days) {
            wrong.add("promiseDays", "must be 0 to 31");
        }
        if !(0..=31).contains(&self.promises_per_month) {
            wrong.add("promisesPerMonth", "must be 0 to 31");
        }
        wrong.none_or(())
    }

    /// The days on which ends are told of today, each with its distance, once.
    pub fn days_told(&self, today: Date) -> Vec<(i16, Date)> {
        let mut days = self.reminder_days.clone();
        days.sort_unstable();
        days.dedup();
        days.into_iter()
            .map(|days| (days, today.saturating_add(i64::from(days).days())))
            .collect()
    }

    /// What a reminder says. Nobody is asked to pay nothing: where it is not known what is missing, the end is told.
    pub fn text(&self, facts: &Facts<'_>) -> String {
        let own = self.reminder_text.as_deref().unwrap_or(USUAL).trim();
        let words = match facts.missing.is_positive() || !own.contains("{amount}") {
            true => own,
            false => END,
        };
        let end = facts.ends_at.in_zone(facts.zone);
        let amount = format!("{} {}", facts.currency, facts.missing);
        let mut text = String::with_capacity(words.len() + 40);
        let mut rest = words;
        // One pass: what is filled in is not filled in again.
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                text.push('{');
                rest = after;
                continue;
            };
            match name {
                "business" => text.push_str(facts.business),
                "name" => text.push_str(facts.name),
                "package" => text.push_str(facts.package),
                "date" => text.push_str(&end.strftime("%-d %b %Y").to_string()),
                "time" => text.push_str(&end.strftime("%H:%M").to_string()),
                "days" => text.push_str(&facts.days.to_string()),
                "amount" => text.push_str(&amount),
                "account" => text.push_str(&facts.account.to_string()),
                _ => text.push_str(&format!("{{{name}}}")), // a text from before it was checked
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }
}

/// What is filled into a reminder.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who writes.
    pub business: &'a str,
    /// To whom.
    pub name: &'a str,
    /// What he buys.
    pub package: &'a str,
    /// When it ends.
    pub ends_at: Timestamp,
    /// How many days are left.
    pub days: i16,
    /// What he must pay.
    pub missing: Cents,
    /// In which currency.
    pub currency: &'a str,
    /// For which account.
    pub account: i32,
    /// Where his clock is.
    pub zone: &'a TimeZone,
}

fn unknown_placeholder(text: &str) -> Option<&str> {
    let parts = text.split('{').skip(1);
    parts
        .filter_map(|part| part.split_once('}'))
        .map(|(name, _)| name)
        .find(|name| !FILLED.contains(name))
}

/// When to look again whose end is near.
pub fn next_look(now: Timestamp, zone: &TimeZone) -> Timestamp {
    daytime(now.plus(PAUSE), zone)
}

const PAUSE: Duration = Duration::from_secs(15 * 60);

/// From when to when somebody is served on his word: behind what he has, or behind the word he gave before. A
/// word that he has not kept counts on: it begins as much sooner as he was served on the one before.
pub fn promised(
    served_until: Timestamp,
    before: Option<(Timestamp, Timestamp)>,
    days: i32,
    now: Timestamp,
) -> (Timestamp, Timestamp) {
    let days = Duration::from_secs(86_400 * u64::from(days.unsigned_abs()));
    let from = served_until.max(now);
    match before {
        None => (from, from.plus(days)),
        Some((first, until)) if until > now => (first, until.plus(days)),
        Some((first, until)) => (from.minus(until.since(first)), from.plus(days)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use jiff::civil::date;

    use super::*;
    use crate::messaging::awake;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn nairobi() -> TimeZone {
        TimeZone::get("Africa/Nairobi").unwrap()
    }

    #[test]
    fn a_reminder_says_when_and_how_much_in_the_tenants_time() {
        let zone = nairobi();
        let facts = Facts {
            business: "Acme",
            name: "{date}",
            package: "Home 10",
            ends_at: at("2026-02-27T22:30:00Z"),
            days: 3,
            missing: Cents::new(99_950),
            currency: "KES",
            account: 1_234_567,
            zone: &zone,
        };
        assert_eq!(
            Courtesy::default().text(&facts),
            "Acme: your internet ends on 28 Feb 2026 at 01:30. Pay KES 999.5 for account 1234567 to stay online."
        );
        let nothing = Facts {
            missing: Cents::ZERO,
            ..facts
        };
        assert_eq!(
            Courtesy::default().text(&nothing),
            "Acme: your internet ends on 28 Feb 2026 at 01:30. Your account is 1234567."
        );
        let own = |text: &str| Courtesy {
            reminder_text: Some(text.to_owned()),
            ..Courtesy::default()
        };
        // What is filled in is not read again.
        assert_eq!(own("{name} {days}{").text(&facts), "{date} 3{");
        assert!(own("Hello {name}, {package}").check().is_ok());
        let wrong = own("Hello {nome}").check().unwrap_err();
        assert_eq!(wrong.first().unwrap().field, "reminderText");
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let wrong = Courtesy {
            reminder_days: vec![31],
            promise_days: 32,
            promises_per_month: -1,
            ..Courtesy::default()
        };
        let fields: Vec<String> = wrong
            .check()
            .unwrap_err()
            .into_iter()
            .map(|wrong| wrong.field)
            .collect();
        assert_eq!(fields, ["reminderDays", "promiseDays", "promisesPerMonth"]);
    }

    #[test]
    fn days_before_are_counted_on_the_calendar() {
        let courtesy = Courtesy {
            reminder_days: vec![3, 0, 3],
            ..Courtesy::default()
        };
        assert_eq!(
            courtesy.days_told(date(2026, 2, 26)),
            [(0, date(2026, 2, 26)), (3, date(2026, 3, 1))]
        );
    }

    #[test]
    fn nobody_is_woken() {
        let zone = nairobi();
        assert!(awake(at("2026-02-26T05:00:00Z"), &zone));
        assert!(!awake(at("2026-02-26T17:00:00Z"), &zone));
        let look = |text: &str| next_look(at(text), &zone).to_string();
        assert_eq!(look("2026-02-26T06:00:00Z"), "2026-02-26T06:15:00.000Z");
        assert_eq!(look("2026-02-26T16:50:00Z"), "2026-02-27T05:00:00.000Z");
        assert_eq!(look("2026-02-26T22:00:00Z"), "2026-02-27T05:00:00.000Z");
    }

    #[test]
    fn a_word_goes_behind_what_is_paid_and_behind_the_word_before() {
        let now = at("2026-02-26T06:00:00Z");
        let (sooner, later) = (at("2026-02-20T06:00:00Z"), at("2026-03-01T06:00:00Z"));
        assert_eq!(
            promised(sooner, None, 2, now),
            (now, at("2026-02-28T06:00:00Z"))
        );
        assert_eq!(
            promised(later, None, 2, now),
            (later, at("2026-03-03T06:00:00Z"))
        );
        let running = Some((sooner, later));
        assert_eq!(
            promised(later, running, 1, now),
            (sooner, at("2026-03-02T06:00:00Z"))
        );
        // Six days were served on a word that he did not keep.
        let broken = Some((at("2026-02-14T06:00:00Z"), sooner));
        assert_eq!(
            promised(sooner, broken, 2, now),
            (sooner, at("2026-02-28T06:00:00Z"))
        );
    }
}
