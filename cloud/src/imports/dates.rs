//! Dates as people and programs write them.

use easyisp_shared::time::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// What comes first in a date of three numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DateOrder)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// `31/12/2026`.
    Dmy,
    /// `12/31/2026`.
    Mdy,
}

/// The instant that a text means in `zone`.
///
/// Taken are `2026-12-31T09:00:00Z` and with another offset; `2026-12-31`, `2026/12/31`, `31 Dec 2026`,
/// `Dec 31, 2026`, `dec/31/2026`, `31-Dec-2026`; `31/12/2026`, `31.12.2026` and `12/31/2026` where the number
/// above 12 tells which is the day, or `order` does. Each may be followed by a time such as `14:30`, `14:30:00`
/// or `2:30 PM`; a date alone lasts until the end of its day. The error continues a sentence that begins with
/// the field's name.
pub fn parse(text: &str, zone: &TimeZone, order: Option<Order>) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Some(instant) = Timestamp::parse(text) {
        return match (0..END).contains(&instant.secs()) {
            true => Ok(instant),
            false => Err(not_a_date()),
        };
    }
    let (date, time) = split(text).ok_or_else(not_a_date)?;
    let date = date_of(&date, order)?;
    let moment = match time {
        Some(time) => date.to_datetime(time),
        None => date
            .tomorrow()
            .map_err(|_| not_a_date())?
            .to_datetime(Time::midnight()),
    };
    let zoned = moment.to_zoned(zone.clone()).map_err(|_| not_a_date())?;
    Ok(Timestamp::from_jiff(zoned.timestamp()))
}

/// The three parts of the date, and the time if there is one.
fn split(text: &str) -> Option<([&str; 3], Option<Time>)> {
    let (text, half) = match text.to_ascii_lowercase() {
        lower if lower.ends_with("am") => (&text[..text.len() - 2], Some(0)),
        lower if lower.ends_with("pm") => (&text[..text.len() - 2], Some(12)),
        _ => (text, None),
    };
    let mut parts: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '/' | '-' | '.'))
        .filter(|part| !part.is_empty())
        .collect();
    // The T of ISO 8601 without an offset: 2026-12-31T09:00.
    if let Some(last) = parts.last().copied()
        && let Some((day, time)) = last.split_once('T')
        && is_number(day)
    {
        parts.pop();
        parts.extend([day, time]);
    }
    let time = match parts.iter().position(|part| part.contains(':')) {
        Some(3) => Some(time_of(parts[3], half)?),
        Some(_) => return None,
        None if half.is_some() => return None,
        None => None,
    };
    match parts.as_slice() {
        // A fraction of a second, split off at its point, is none that a date needs.
        [a, b, c] => Some(([a, b, c], time)),
        [a, b, c, _] if time.is_some() => Some(([a, b, c], time)),
        [a, b, c, _, fraction] if time.is_some() && is_number(fraction) => Some(([a, b, c], time)),
        _ => None,
    }
}

fn time_of(text: &str, half: Option<i8>) -> Option<Time> {
    let mut numbers = text.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute) = (numbers.next()??, numbers.next()??);
    let second = numbers.next().unwrap_or(Some(0))?;
    if numbers.next().is_some() {
        return None;
    }
    let hour = match half {
        Some(add) if (1..=12).contains(&hour) => hour % 12 + add,
        Some(_) => return None,
        None => hour,
    };
    Time::new(hour, minute, second, 0).ok()
}

fn date_of(parts: &[&str; 3], order: Option<Order>) -> Result<Date, String> {
    let number = |text: &str| text.parse::<i16>().ok().filter(|_| is_number(text));
    let month = |text: &str| {
        let name = text.to_ascii_lowercase();
        let known = MONTHS.iter().position(|month| {
            *month == name || name.len() >= 3 && month.starts_with(name.as_str())
        });
        known.and_then(|at| i16::try_from(at + 1).ok())
    };
    let (year, month, day) = match parts {
        [year, m, day] if year.len() == 4 && is_number(year) => {
            (number(year), number(m).or_else(|| month(m)), number(day))
        }
        [m, day, year] if month(m).is_some() => (number(year), month(m), number(day)),
        [day, m, year] if month(m).is_some() => (number(year), month(m), number(day)),
        [first, second, year] => {
            let (Some(a), Some(b)) = (number(first), number(second)) else {
                return Err(not_a_date());
            };
            let (day, m) = match (a, b, order) {
                (a, b, _) if a > 12 && b <= 12 => (a, b),
                (a, b, _) if b > 12 && a <= 12 => (b, a),
                (a, b, None) if a != b => return Err(ambiguous(parts)),
                (a, b, Some(Order::Mdy)) => (b, a),
                (a, b, Some(Order::Dmy) | None) => (a, b),
            };
            (number(year), Some(m), Some(day))
        }
    };
    let (Some(year), Some(month), Some(day)) = (year, month, day) else {
        return Err(not_a_date());
    };
    if !(1970..2200).contains(&year) {
        return Err(not_a_date());
    }
    let small = |n: i16| i8::try_from(n).map_err(|_| not_a_date());
    Date::new(year, small(month)?, small(day)?).map_err(|_| not_a_date())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn not_a_date() -> String {
    "must be a date such as 2026-12-31, 2026-12-31 14:30 or 31 Dec 2026".to_owned()
}

fn ambiguous(parts: &[&str; 3]) -> String {
    let [first, second, year] = parts;
    format!(
        "can be two days; write {year}-{second:0>2}-{first:0>2} or {year}-{first:0>2}-{second:0>2}, or send \
         dates=dmy or dates=mdy for all rows"
    )
}

/// The beginning of the year 2200: nobody pays so far ahead.
const END: i64 = 7_258_118_400;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, order: Option<Order>) -> Result<String, String> {
        let zone = TimeZone::fixed(jiff::tz::offset(3));
        parse(text, &zone, order).map(|instant| instant.to_string())
    }

    #[test]
    fn every_form_means_the_same_instant() {
        for text in [
            "2026-12-31T11:30:00Z",
            "2026-12-31T14:30:00+03:00",
            "2026-12-31T14:30",
            "2026-12-31 14:30:00",
            "2026-12-31 14:30:00.000",
            "2026/12/31 2:30 PM",
            "31 Dec 2026 14:30",
            "31-December-2026 14:30",
            "Dec 31, 2026 2:30pm",
            "dec/31/2026 14:30:00",
            "31/12/2026 14:30",
            "31.12.2026 14:30",
            "12/31/2026 14:30",
        ] {
            let read = read(text, None);
            assert_eq!(read.as_deref(), Ok("2026-12-31T11:30:00.000Z"), "{text}");
        }
    }

    #[test]
    fn a_date_alone_lasts_until_its_end() {
        let end = read("2026-12-31", None);
        assert_eq!(end.as_deref(), Ok("2026-12-31T21:00:00.000Z"));
        let midnight = read("2026-12-31 00:00", None);
        assert_eq!(midnight.as_deref(), Ok("2026-12-30T21:00:00.000Z"));
        let noon = read("2026-12-31 12:00 am", None);
        assert_eq!(noon, midnight);
    }

    #[test]
    fn what_can_be_two_days_is_refused_with_both() {
        let refused = read("03/04/2026", None).expect_err("two days");
        assert!(refused.contains("2026-04-03 or 2026-03-04"), "{refused}");
        assert!(refused.contains("dates=dmy"), "{refused}");
        let dmy = read("03/04/2026 03:00", Some(Order::Dmy));
        assert_eq!(dmy.as_deref(), Ok("2026-04-03T00:00:00.000Z"));
        let mdy = read("03/04/2026 03:00", Some(Order::Mdy));
        assert_eq!(mdy.as_deref(), Ok("2026-03-04T00:00:00.000Z"));
        assert!(read("05/05/2026", None).is_ok());
    }

    #[test]
    fn nonsense_is_refused_and_never_guessed() {
        for text in [
            "",
            "46082",
            "9999-12-31T00:00:00Z",
            "-009999-01-01T00:00:00Z",
            "tomorrow",
            "31/12/26",
            "2026-13-01",
            "2026-02-30",
            "0000-00-00",
            "1/2",
            "2026-12-31 25:00",
            "2026-12-31 14",
            "31/31/2026",
            "14:30",
            "2026-12-31 13:00 PM",
            "à é î",
        ] {
            assert!(read(text, Some(Order::Dmy)).is_err(), "{text}");
        }
    }
}
