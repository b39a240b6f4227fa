//! The days of a statement: which of them it has whole, and what of each does not agree with what is booked.

use std::collections::{BTreeMap, HashSet};

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::mpesa::sheet::{Row, Statement, Told};
use super::statement::{RowOutcome, outcome};
use super::store::arrivals::{Booked, Extra};
use super::store::gateways::Keys;

/// The reference of a balance that does not go on from the day before.
const BALANCE: &str = "balance";
/// The reference of payments of ours that a statement lacks beside those that are listed.
pub(super) const MORE: &str = "more";
/// The reference of a day whose beginning a statement may lack.
const BEGIN: &str = "begin";
/// The reference of a day whose end it may lack.
const END: &str = "end";

/// What does not agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DifferenceKind {
    /// The statement has it, and we do not.
    Missing,
    /// We have it with another amount.
    Differs,
    /// We have it, and the statement does not.
    Extra,
    /// The statement does not begin with what the day before ended with: rows are missing between them.
    Balance,
    /// Nothing proves that the statement has the day from its beginning, or to its end.
    Partial,
}

impl DifferenceKind {
    /// As the database calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            DifferenceKind::Missing => "MISSING",
            DifferenceKind::Differs => "DIFFERS",
            DifferenceKind::Extra => "EXTRA",
            DifferenceKind::Balance => "BALANCE",
            DifferenceKind::Partial => "PARTIAL",
        }
    }
}

/// One thing that does not agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Difference {
    /// The receipt, or what stands for it.
    pub(super) reference: String,
    pub(super) kind: DifferenceKind,
    /// What the statement says.
    pub(super) stated: Option<Cents>,
    /// What we say.
    pub(super) booked: Option<Cents>,
}

impl Difference {
    pub(super) fn partial(reference: &str) -> Difference {
        Difference {
            reference: reference.to_owned(),
            kind: DifferenceKind::Partial,
            stated: None,
            booked: None,
        }
    }

    /// What a day begins with, if it is not what the day before ended with.
    pub(super) fn of_balance(opening: Option<Cents>, before: Option<Cents>) -> Option<Difference> {
        let (opening, before) = opening.zip(before)?;
        (opening != before).then(|| Difference {
            reference: BALANCE.to_owned(),
            kind: DifferenceKind::Balance,
            stated: Some(opening),
            booked: Some(before),
        })
    }
}

impl From<Extra> for Difference {
    fn from(extra: Extra) -> Difference {
        Difference {
            reference: extra.receipt.unwrap_or_else(|| extra.id.to_string()),
            kind: DifferenceKind::Extra,
            stated: None,
            booked: Some(extra.amount),
        }
    }
}

/// A day as a statement has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stated {
    pub(super) day: Date,
    /// What came.
    pub(super) received: Cents,
    /// The balance before its first row.
    pub(super) opening: Option<Cents>,
    /// The balance after its last row.
    pub(super) closing: Option<Cents>,
    pub(super) differences: Vec<Difference>,
}

/// The rows of one day of a statement, the oldest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DayOf<'a> {
    pub(super) day: Date,
    rows: Vec<&'a Row>,
    /// Which of its ends the statement may lack.
    lacks: Vec<&'static str>,
}

/// The days of a statement that have rows, the oldest first. `now` = when it is compared.
pub(super) fn days<'a>(
    statement: &'a Statement,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<DayOf<'a>> {
    let timed = || {
        let at = |row: &'a Row| row.at.map(|at| (at, row));
        statement.rows.iter().filter_map(at)
    };
    // The portal lists the newest first; rows of one second stay in their order.
    let newest_first = timed()
        .next()
        .zip(timed().next_back())
        .is_some_and(|((first, _), (last, _))| first > last);
    let mut days: BTreeMap<Date, Vec<&Row>> = BTreeMap::new();
    for (at, row) in timed() {
        days.entry(at.in_zone(zone).date()).or_default().push(row);
    }
    // It ends no later than when it was made, which is before it is compared: a span into the future says nothing.
    let told_to = statement.to.filter(|to| *to <= now);
    let oldest = timed().map(|(at, _)| at).min();
    let newest = timed().map(|(at, _)| at).max();
    let day_of = |(day, mut rows): (Date, Vec<&'a Row>)| {
        if newest_first {
            rows.reverse();
        }
        let (begin, end) = span(day, zone);
        let begun = statement.from.is_some_and(|from| from <= begin)
            || oldest.is_some_and(|oldest| oldest < begin);
        let ended =
            told_to.is_some_and(|to| end <= to) || newest.is_some_and(|newest| end <= newest);
        let lacks = [(begun, BEGIN), (ended, END)];
        DayOf {
            day,
            rows,
            lacks: lacks
                .into_iter()
                .filter_map(|(has, end)| (!has).then_some(end))
                .collect(),
        }
    };
    days.into_iter().map(day_of).collect()
}

impl DayOf<'_> {
    /// The day beside what we have. What moved before the gateway was set up here is nobody's difference. `seen` has the
    /// receipts of days before: a file may say a thing twice.
    pub(super) fn beside(
        &self,
        ours: &[Booked],
        gateway: &Keys,
        seen: &mut HashSet<String>,
    ) -> Stated {
        let first = self.rows.first().and_then(|row| row.balance.zip(row.moved));
        let mut stated = Stated {
            day: self.day,
            received: Cents::ZERO,
            opening: first.and_then(|(balance, moved)| balance.minus(moved)),
            closing: self.rows.last().and_then(|row| row.balance),
            differences: Vec::new(),
        };
        // What was before the gateway is of no matter.
        let begun = self
            .rows
            .first()
            .and_then(|row| row.at)
            .is_some_and(|at| at < gateway.created_at);
        let lacks = self.lacks.iter().filter(|end| !(begun && **end == BEGIN));
        let lacks = lacks.map(|end| Difference::partial(end));
        stated.differences.extend(lacks);
        for row in &self.rows {
            let Told::Came(arrival) = &row.told else {
                continue;
            };
            let outcome = outcome(row, gateway, ours);
            if outcome == RowOutcome::Before || !seen.insert(arrival.receipt.clone()) {
                continue;
            }
            let sum = stated.received.plus(arrival.amount);
            stated.received = sum.unwrap_or(stated.received);
            let kind = match outcome {
                RowOutcome::Missing => DifferenceKind::Missing,
                RowOutcome::Differs => DifferenceKind::Differs,
                _ => continue, // it agrees
            };
            let at = ours.binary_search_by(|one| one.receipt.as_str().cmp(&arrival.receipt));
            stated.differences.push(Difference {
                reference: arrival.receipt.clone(),
                kind,
                stated: Some(arrival.amount),
                booked: at.ok().and_then(|at| ours[at].amount),
            });
        }
        stated
    }

    /// The receipts of its rows.
    pub(super) fn receipts(&self) -> Vec<String> {
        self.rows.iter().copied().filter_map(receipt).collect()
    }
}

/// The receipt of a row on which money came.
pub(super) fn receipt(row: &Row) -> Option<String> {
    match &row.told {
        Told::Came(arrival) => Some(arrival.receipt.clone()),
        Told::Else | Told::Unreadable(_) => None,
    }
}

/// The first instant of a day, and that of the next.
pub(super) fn span(day: Date, zone: &TimeZone) -> (Timestamp, Timestamp) {
    (begin_of(day, zone), begin_of(next(day), zone))
}

/// The first instant of a day.
pub(super) fn begin_of(day: Date, zone: &TimeZone) -> Timestamp {
    let midnight = day.to_zoned(zone.clone());
    // Only days at the ends of the calendar have no instant.
    midnight.map_or(Timestamp::default(), |midnight| {
        Timestamp::from_jiff(midnight.timestamp())
    })
}

/// The day after.
pub(super) fn next(day: Date) -> Date {
    day.tomorrow().unwrap_or(day)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use jiff::tz::Offset;

    use super::super::mpesa::sheet::read_statement;
    use super::*;

    const NAMES: &str = "Receipt No.,Completion Time,Paid In,Balance\n";

    /// What of which day a statement with these lines before the names and these times may lack, two weeks later.
    fn lacks(before: &str, times: &[&str]) -> Vec<(String, Vec<&'static str>)> {
        let row = |(number, at): (usize, &&str)| format!("SJK4H7L2P{number},{at},10.00,1.00\n");
        let rows: String = times.iter().enumerate().map(row).collect();
        let statement = read_statement(format!("{before}{NAMES}{rows}").as_bytes()).unwrap();
        let zone = TimeZone::fixed(Offset::constant(3));
        let now = Timestamp::parse("2027-01-31T08:00:00Z").unwrap();
        days(&statement, &zone, now)
            .into_iter()
            .map(|day| (day.day.to_string(), day.lacks))
            .collect()
    }

    fn one(day: &str, lacks: &[&'static str]) -> (String, Vec<&'static str>) {
        (day.to_owned(), lacks.to_vec())
    }

    const NOON: &str = "15-01-2027 12:00:00";
    const NEXT: &str = "16-01-2027 09:00:00";

    #[test]
    fn rows_before_and_after_prove_a_day() {
        assert_eq!(lacks("", &[NOON]), [one("2027-01-15", &["begin", "end"])]);
        let three = ["14-01-2027 23:59:59", NOON, NEXT];
        let proven = [
            one("2027-01-14", &["begin"]),
            one("2027-01-15", &[]),
            one("2027-01-16", &["end"]),
        ];
        assert_eq!(lacks("", &three), proven);
        let newest_first = [NEXT, NOON, "14-01-2027 23:59:59"];
        assert_eq!(lacks("", &newest_first), proven);
    }

    #[test]
    fn a_span_proves_the_days_that_are_whole_in_it() {
        let whole = "Time Period:,From 15-01-2027 00:00:00 To 15-01-2027 23:59:59\n";
        assert_eq!(lacks(whole, &[NOON]), [one("2027-01-15", &[])]);
        let cut = "Time Period,15-01-2027 00:00:00,16-01-2027 10:00:00\n";
        assert_eq!(
            lacks(cut, &[NOON, NEXT]),
            [one("2027-01-15", &[]), one("2027-01-16", &["end"])]
        );
        let late = "Time Period: From 2027-01-15 06:00:00 To 2027-01-15 23:59:59\n";
        assert_eq!(lacks(late, &[NOON]), [one("2027-01-15", &["begin"])]);
        let dates = "Period:,From 15-01-2027 to 16-01-2027\n";
        assert_eq!(
            lacks(dates, &[NOON, NEXT]),
            [one("2027-01-15", &[]), one("2027-01-16", &[])]
        );
    }

    /// The span may be of a day that was not over when the statement was made.
    #[test]
    fn a_statement_ends_no_later_than_it_was_made() {
        let span = "Time Period:,From 15-01-2027 00:00:00 To 15-01-2027 23:59:59\n";
        let noon = format!("{span}Report Date:,15-01-2027 12:30:00\n");
        assert_eq!(lacks(&noon, &[NOON]), [one("2027-01-15", &["end"])]);
        let later = format!("Report Date:,16-01-2027 08:00:00\n{span}");
        assert_eq!(lacks(&later, &[NOON]), [one("2027-01-15", &[])]);
        let month = "Time Period:,From 01-01-2027 00:00:00 To 28-02-2027 23:59:59\n";
        assert_eq!(lacks(month, &[NOON]), [one("2027-01-15", &["end"])]);
        assert_eq!(
            lacks("Time Period:,From yesterday\n", &[NOON]),
            [one("2027-01-15", &["begin", "end"])]
        );
    }
}
