//! Hours with rules of their own: another speed, or data that does not count.
//!
//! A window is a span between two instants, made of wall times in the provider's zone on each of its days.
//! Whether it is on and when that changes follow from the same two instants, so the days on which clocks
//! are moved need no rule of their own: a wall time that does not exist is the one after the gap, one that
//! exists twice is the first.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::net::RateLimit;
use crate::time::Timestamp;

/// Hours of some days of the week.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Window {
    /// On which days it begins.
    pub days: Days,
    /// The minute of the day it begins with.
    pub from_minute: u16,
    /// The minute it ends before; at or before `from_minute` it is one of the next day.
    pub until_minute: u16,
    /// The speed meanwhile; `None` = the usual one.
    pub rate: Option<RateLimit>,
    /// Whether data used meanwhile counts.
    pub data: DataCounts,
}

/// Days of the week: bit 0 is Monday.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Days(pub u8);

/// Whether data counts against limits and fair use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum DataCounts {
    /// As always.
    Yes,
    /// It is free.
    No,
}

impl Days {
    /// Monday to Sunday.
    pub const ALL: Days = Days(0b111_1111);

    fn contains(self, weekday: civil::Weekday) -> bool {
        self.0 >> weekday.to_monday_zero_offset() & 1 == 1
    }
}

impl Window {
    /// When the window that begins on `day` begins and ends; `None` when it begins on no such day.
    fn on(&self, day: civil::Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        if !self.days.contains(day.weekday()) {
            return None;
        }
        let last = match self.until_minute > self.from_minute {
            true => day,
            false => day.tomorrow().ok()?,
        };
        let (from, until) = (
            instant(day, self.from_minute, zone)?,
            instant(last, self.until_minute, zone)?,
        );
        (from < until).then_some((from, until))
    }

    /// The spans of this window in the order they begin, from the day before `now`.
    fn spans(
        &self,
        now: Timestamp,
        zone: &TimeZone,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = now.in_zone(zone).date();
        (-1..=LOOK_AHEAD)
            .filter_map(move |days| today.checked_add(jiff::Span::new().days(days)).ok())
            .filter_map(|day| self.on(day, zone))
    }

    fn is_on(&self, now: Timestamp, zone: &TimeZone) -> bool {
        self.spans(now, zone)
            .take_while(|(from, _)| *from <= now)
            .any(|(_, until)| now < until)
    }

    fn next_edge(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.spans(now, zone)
            .flat_map(|(from, until)| [from, until])
            .find(|edge| *edge > now)
    }
}

/// Whether some of these hours are free.
pub fn any_free(windows: &[Window]) -> bool {
    windows.iter().any(|window| window.data == DataCounts::No)
}

/// The windows that are on at `now`, in their order.
pub fn on<'a>(
    windows: &'a [Window],
    now: Timestamp,
    zone: &TimeZone,
) -> impl Iterator<Item = &'a Window> {
    windows.iter().filter(move |window| window.is_on(now, zone))
}

/// The first instant after `now` at which a window begins or ends; `None` without windows.
pub fn next_change(windows: &[Window], now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    windows
        .iter()
        .filter_map(|window| window.next_edge(now, zone))
        .min()
}

/// How many of `bytes`, used evenly between two instants, were used while data is free.
///
/// A router tells of its bytes every five minutes; what lies between is nobody's knowledge.
pub fn free_bytes(
    windows: &[Window],
    zone: &TimeZone,
    from: Timestamp,
    until: Timestamp,
    bytes: u64,
) -> u64 {
    let free = |at: Timestamp| on(windows, at, zone).any(|window| window.data == DataCounts::No);
    if bytes == 0 || !any_free(windows) {
        return 0;
    }
    // Months of silence are told as their last days.
    let from = from.max(until.minus(MOST_SILENCE));
    let whole = until.since(from);
    if whole.is_zero() {
        return if free(until) { bytes } else { 0 };
    }
    let mut at = from;
    let mut free_time = Duration::ZERO;
    while at < until {
        let edge = next_change(windows, at, zone).map_or(until, |edge| edge.min(until));
        if free(at) {
            free_time += edge.since(at);
        }
        at = edge;
    }
    let share = u128::from(bytes) * free_time.as_micros() / whole.as_micros();
    u64::try_from(share).unwrap_or(bytes).min(bytes)
}

fn instant(day: civil::Date, minute: u16, zone: &TimeZone) -> Option<Timestamp> {
    let (day, minute) = match minute {
        0..1440 => (day, minute),
        _ => (day.tomorrow().ok()?, 0),
    };
    let hour = i8::try_from(minute / 60).ok()?;
    let wall = day.at(hour, i8::try_from(minute % 60).ok()?, 0, 0);
    let zoned = wall.to_zoned(zone.clone()).ok()?;
    Some(Timestamp::from_jiff(zoned.timestamp()))
}

/// A window of one day a week is at most so many days away.
const LOOK_AHEAD: i64 = 8;
const MOST_SILENCE: Duration = Duration::from_secs(10 * 86_400);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn window(days: u8, from_minute: u16, until_minute: u16) -> Window {
        Window {
            days: Days(days),
            from_minute,
            until_minute,
            rate: None,
            data: DataCounts::No,
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
        let nairobi = zone("Africa/Nairobi");
        let friday_night = [window(0b001_0000, 22 * 60, 6 * 60)];
        let is_on = |text| on(&friday_night, at(text), &nairobi).count() == 1;
        assert!(!is_on("2026-03-06T18:59:59Z"));
        assert!(is_on("2026-03-06T19:00:00Z"));
        assert!(is_on("2026-03-07T02:59:59Z"));
        assert!(!is_on("2026-03-07T03:00:00Z"));
        assert!(!is_on("2026-03-07T19:00:00Z"), "Saturday");
        let next = |text| next_change(&friday_night, at(text), &nairobi);
        assert_eq!(
            next("2026-03-07T03:00:00Z"),
            Some(at("2026-03-13T19:00:00Z"))
        );
        assert_eq!(
            next("2026-03-06T19:00:00Z"),
            Some(at("2026-03-07T03:00:00Z"))
        );
    }

    /// Clocks in Berlin went from 02:00 to 03:00 on 29 March 2026 and back from 03:00 to 02:00 on 25 October.
    #[test]
    fn moved_clocks_neither_lose_nor_double_a_window() {
        let berlin = zone("Europe/Berlin");
        let night = [window(Days::ALL.0, 2 * 60 + 30, 5 * 60)];
        let next = |text| next_change(&night, at(text), &berlin).unwrap();
        assert_eq!(next("2026-03-29T00:00:00Z"), at("2026-03-29T01:30:00Z"));
        assert_eq!(next("2026-03-29T01:30:00Z"), at("2026-03-29T03:00:00Z"));
        assert_eq!(next("2026-10-25T00:00:00Z"), at("2026-10-25T00:30:00Z"));
        assert_eq!(next("2026-10-25T00:30:00Z"), at("2026-10-25T04:00:00Z"));
        assert_eq!(on(&night, at("2026-10-25T01:15:00Z"), &berlin).count(), 1);
    }

    #[test]
    fn the_same_minute_twice_is_a_whole_day() {
        let always = [window(Days::ALL.0, 0, 0)];
        let now = at("2026-03-06T18:59:59Z");
        assert_eq!(on(&always, now, &TimeZone::UTC).count(), 1);
    }

    #[test]
    fn data_is_free_for_the_share_of_time_inside() {
        let nairobi = zone("Africa/Nairobi");
        let night = [window(Days::ALL.0, 22 * 60, 6 * 60)];
        let free = |from, until| free_bytes(&night, &nairobi, at(from), at(until), 1000);
        assert_eq!(free("2026-03-06T18:00:00Z", "2026-03-06T19:00:00Z"), 0);
        assert_eq!(free("2026-03-06T18:00:00Z", "2026-03-06T20:00:00Z"), 500);
        assert_eq!(free("2026-03-06T20:00:00Z", "2026-03-06T20:05:00Z"), 1000);
        assert_eq!(free("2026-03-06T20:00:00Z", "2026-03-06T20:00:00Z"), 1000);
        assert_eq!(free("2026-03-06T19:00:00Z", "2026-03-07T19:00:00Z"), 333);
    }
}
