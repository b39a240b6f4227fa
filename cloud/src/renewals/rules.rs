//! When a period begins and ends, and what a wallet buys.

use std::time::Duration;

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// How long a period is. Minutes to weeks are exact; months follow the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Term {
    /// How many.
    pub count: u32,
    /// Of what.
    pub unit: Unit,
}

/// A length of service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// 60 seconds.
    Minutes,
    /// 3,600 seconds.
    Hours,
    /// 86,400 seconds, also on the day the clocks change.
    Days,
    /// Seven days.
    Weeks,
    /// To the same day of a later month, in the tenant's zone.
    Months,
}

impl Unit {
    /// From the database's word.
    pub fn parse(text: &str) -> Option<Unit> {
        Some(match text {
            "MINUTES" => Unit::Minutes,
            "HOURS" => Unit::Hours,
            "DAYS" => Unit::Days,
            "WEEKS" => Unit::Weeks,
            "MONTHS" => Unit::Months,
            _ => return None, // text from outside
        })
    }
}

/// What a customer has, at the moment money arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holding {
    /// End of the paid time.
    pub paid_until: Timestamp,
    /// The day of the month that monthly periods return to.
    pub anchor_day: Option<i8>,
    /// Since when he is a customer.
    pub since: Timestamp,
    /// Service he gets after the paid end.
    pub grace: Duration,
    /// Service he promised to pay for.
    pub promised: Option<Promised>,
}

/// Service on a customer's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Promised {
    /// From the paid end on, or from the moment of the promise where that was later.
    pub from: Timestamp,
    /// Until then, and the days of grace after it.
    pub until: Timestamp,
}

/// A period of service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// Its first instant.
    pub starts_at: Timestamp,
    /// The first instant after it.
    pub ends_at: Timestamp,
    /// The day of the month that the next monthly periods return to.
    pub anchor_day: i8,
}

/// The period that money buys which moved at `paid_at`.
///
/// Early: it is added to the end and keeps the anchor, where the end is on that day: weeks, vouchers and lost time
/// moved it elsewhere otherwise. Late: it starts when the money moved, less the
/// grace and the promised days that were used, with a new anchor. A term of at most twice the grace is sold
/// whole: who buys an hour gets an hour. Promised days never take more than half of it.
pub fn next_period(term: Term, holding: Holding, paid_at: Timestamp, zone: &TimeZone) -> Period {
    let (starts_at, anchor_day) = if holding.paid_until >= paid_at {
        let date = holding.paid_until.in_zone(zone).date();
        let is_there = |day: &i8| on_day(date.first_of_month(), *day) == date;
        (holding.paid_until, holding.anchor_day.filter(is_there))
    } else {
        (
            paid_at.minus(used_unpaid(term, holding, paid_at, zone)),
            None,
        )
    };
    let anchor_day = anchor_day.unwrap_or_else(|| starts_at.in_zone(zone).day());
    Period {
        starts_at,
        ends_at: end_of(term, starts_at, anchor_day, zone),
        anchor_day,
    }
}

/// From when money counts that moved at `paid_at` and was told to us at `now`.
///
/// News that took more than a fiftieth of the term is no fault of the payer: the term begins when we
/// learnt of it, so that who pays for an hour gets an hour.
pub fn counts_from(term: Term, paid_at: Timestamp, now: Timestamp, zone: &TimeZone) -> Timestamp {
    let anchor = paid_at.in_zone(zone).day();
    let length = end_of(term, paid_at, anchor, zone).since(paid_at);
    if now.since(paid_at) > length / 50 {
        now
    } else {
        paid_at
    }
}

/// For how long a late payer was served unpaid: his grace, what he promised to pay for, and the grace after it.
fn used_unpaid(term: Term, holding: Holding, paid_at: Timestamp, zone: &TimeZone) -> Duration {
    let anchor = paid_at.in_zone(zone).day();
    let length = end_of(term, paid_at, anchor, zone).since(paid_at);
    let grace = if length <= holding.grace.saturating_mul(2) {
        Duration::ZERO
    } else {
        holding.grace
    };
    let served_from = holding.paid_until.max(holding.since);
    let Some(promised) = holding.promised else {
        return paid_at.since(served_from).min(grace);
    };
    let before = paid_at.min(promised.from).since(served_from).min(grace);
    let after = paid_at.min(promised.until.plus(grace)).since(promised.from);
    before.saturating_add(after).min(length / 2)
}

/// The end of a term that starts at `start`. Months keep the wall-clock time and return to `anchor_day`
/// where the month has it, else to its last day.
fn end_of(term: Term, start: Timestamp, anchor_day: i8, zone: &TimeZone) -> Timestamp {
    let seconds =
        |each: u64| start.plus(Duration::from_secs(each.saturating_mul(term.count.into())));
    match term.unit {
        Unit::Minutes => seconds(60),
        Unit::Hours => seconds(3_600),
        Unit::Days => seconds(86_400),
        Unit::Weeks => seconds(7 * 86_400),
        Unit::Months => {
            let local = start.in_zone(zone);
            let months = i64::from(term.count).min(12 * 1_000);
            let month = local
                .date()
                .first_of_month()
                .saturating_add(months.months());
            let end = on_day(month, anchor_day).to_datetime(local.time());
            let end = end.to_zoned(zone.clone());
            end.map_or(Timestamp::from_micros(i64::MAX), |end| {
                Timestamp::from_jiff(end.timestamp())
            })
        }
    }
}

/// That day of the month, or its last one.
fn on_day(month: Date, day: i8) -> Date {
    let day = day.clamp(1, month.days_in_month());
    month.with().day(day).build().unwrap_or(month)
}

/// What remains in the wallet when it buys one period of this price, or `None` when it cannot.
pub fn buy(balance: Cents, price: Cents) -> Option<Cents> {
    balance.pay(price)
}

/// One period that is bought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Purchase {
    /// What is paid for it.
    pub paid: Cents,
    /// What of its price is not, and is not asked for.
    pub written_off: Cents,
}

impl Purchase {
    /// A period that is paid in full.
    pub fn of(price: Cents) -> Purchase {
        Purchase {
            paid: price,
            written_off: Cents::ZERO,
        }
    }
}

/// The periods that `balance` buys when money arrives, `most` at once, each at `price`. The last one may lack so much as
/// is tolerated; then nothing is left. What is free is bought once.
pub fn purchases(balance: Cents, price: Cents, tolerance: Cents, most: usize) -> Vec<Purchase> {
    let most = if price.is_positive() {
        most
    } else {
        most.min(1)
    };
    let mut rest = balance;
    let mut bought = Vec::new();
    while bought.len() < most {
        if let Some(left) = buy(rest, price) {
            rest = left;
            bought.push(Purchase::of(price));
            continue;
        }
        let written_off = price.minus(rest).unwrap_or(price);
        if rest.is_positive() && written_off <= tolerance {
            bought.push(Purchase {
                paid: rest,
                written_off,
            });
        }
        break;
    }
    bought
}

/// The code of "Resolved transaction: CODE", an operator's way to move a payment to this customer.
pub fn resolved_code(description: &str) -> Option<String> {
    const MARK: &str = "resolved transaction:";
    let text = description.trim();
    let head = text.get(..MARK.len())?;
    let code = text.get(MARK.len()..)?.trim();
    (head.eq_ignore_ascii_case(MARK) && !code.is_empty()).then(|| code.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn nairobi() -> TimeZone {
        TimeZone::get("Africa/Nairobi").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn months(count: u32) -> Term {
        Term {
            count,
            unit: Unit::Months,
        }
    }

    /// Paid until then, without grace.
    fn until(paid_until: Timestamp) -> Holding {
        Holding {
            paid_until,
            anchor_day: None,
            since: Timestamp::from_secs(0),
            grace: Duration::ZERO,
            promised: None,
        }
    }

    /// F4: for every day of four years and 1 to 24 months, a period ends on the same day at the same
    /// time, or on the last day of a shorter month; the next one returns to the day.
    #[test]
    fn calendar_months_clamp_to_the_end_of_the_month_and_come_back() {
        let zone = nairobi();
        let mut day = jiff::civil::date(2026, 1, 1);
        while day < jiff::civil::date(2030, 1, 1) {
            let start = day.to_datetime(jiff::civil::time(13, 45, 7, 0));
            let start = Timestamp::from_jiff(start.to_zoned(zone.clone()).unwrap().timestamp());
            for count in 1..=24 {
                let period = next_period(months(count), until(start), start, &zone);
                let end = period.ends_at.in_zone(&zone);

                let should = day
                    .first_of_month()
                    .checked_add(i64::from(count).months())
                    .unwrap();
                assert_eq!(
                    (end.year(), end.month()),
                    (should.year(), should.month()),
                    "{day}"
                );
                assert_eq!(
                    end.day(),
                    day.day().min(should.days_in_month()),
                    "{day} + {count}"
                );
                assert_eq!(end.time(), jiff::civil::time(13, 45, 7, 0));
                assert!(
                    period.ends_at.since(start)
                        >= Duration::from_secs(28 * 86_400 * u64::from(count))
                );

                let holding = Holding {
                    anchor_day: Some(period.anchor_day),
                    ..until(period.ends_at)
                };
                let next = next_period(months(1), holding, start, &zone);
                let end = next.ends_at.in_zone(&zone);
                assert_eq!(
                    end.day(),
                    day.day().min(end.days_in_month()),
                    "{day} + {count} + 1"
                );
            }
            day = day.tomorrow().unwrap();
        }
    }

    #[test]
    fn the_thirty_first_goes_by_february_to_the_thirty_first_of_march() {
        let zone = nairobi();
        let start = at("2026-01-31T09:00:00Z");
        let february = next_period(months(1), until(start), start, &zone);
        assert_eq!(february.ends_at, at("2026-02-28T09:00:00Z"));

        let holding = Holding {
            anchor_day: Some(february.anchor_day),
            ..until(february.ends_at)
        };
        let march = next_period(months(1), holding, start, &zone);
        assert_eq!(march.ends_at, at("2026-03-31T09:00:00Z"));
    }

    #[test]
    fn the_day_is_the_tenants_not_greenwichs() {
        let start = at("2026-01-30T22:30:00Z"); // 01:30 on the 31st in Nairobi
        let period = next_period(months(1), until(start), start, &nairobi());
        assert_eq!(period.anchor_day, 31);
        assert_eq!(period.ends_at, at("2026-02-27T22:30:00Z"));
    }

    #[test]
    fn an_early_renewal_is_added_to_the_end() {
        let holding = Holding {
            anchor_day: Some(31),
            ..until(at("2026-02-28T09:00:00Z"))
        };
        let period = next_period(months(1), holding, at("2026-02-10T05:00:00Z"), &nairobi());
        assert_eq!(period.starts_at, holding.paid_until);
        assert_eq!(period.ends_at, at("2026-03-31T09:00:00Z"));
        assert_eq!(period.anchor_day, 31);
    }

    #[test]
    fn a_late_renewal_starts_when_the_money_moved_with_a_new_anchor() {
        let holding = Holding {
            anchor_day: Some(31),
            ..until(at("2026-02-28T09:00:00Z"))
        };
        let paid_at = at("2026-03-05T10:11:12Z");
        let period = next_period(months(1), holding, paid_at, &nairobi());
        assert_eq!(period.starts_at, paid_at);
        assert_eq!(period.ends_at, at("2026-04-05T10:11:12Z"));
        assert_eq!(period.anchor_day, 5);
    }

    /// Weeks, vouchers and lost time move the end off the day that months return to: a month from there is a month.
    #[test]
    fn a_month_is_a_month_wherever_the_end_was_moved_to() {
        for (paid_until, anchor_day, ends_at) in [
            ("2026-01-29T09:00:00Z", 1, "2026-02-28T09:00:00Z"),
            ("2026-02-03T09:00:00Z", 28, "2026-03-03T09:00:00Z"),
            ("2026-05-31T09:00:00Z", 1, "2026-06-30T09:00:00Z"),
            // On the last day of a short month, and in the night that is already the day in Nairobi.
            ("2026-02-28T09:00:00Z", 31, "2026-03-31T09:00:00Z"),
            ("2026-03-30T22:00:00Z", 31, "2026-04-29T22:00:00Z"),
        ] {
            let holding = Holding {
                anchor_day: Some(anchor_day),
                ..until(at(paid_until))
            };
            let period = next_period(months(1), holding, at("2026-01-02T09:00:00Z"), &nairobi());
            assert_eq!(period.ends_at, at(ends_at), "{paid_until}, {anchor_day}");
        }
    }

    #[test]
    fn grace_that_was_used_belongs_to_the_next_period() {
        let grace = Duration::from_secs(2 * 86_400);
        let holding = Holding {
            grace,
            ..until(at("2026-03-01T09:00:00Z"))
        };
        let within = next_period(months(1), holding, at("2026-03-02T09:00:00Z"), &nairobi());
        assert_eq!(within.starts_at, holding.paid_until);
        let after = next_period(months(1), holding, at("2026-03-20T09:00:00Z"), &nairobi());
        assert_eq!(after.starts_at, at("2026-03-18T09:00:00Z"));

        let hour = Term {
            count: 1,
            unit: Unit::Hours,
        };
        let paid_at = at("2026-03-02T09:00:00Z");
        let whole = next_period(hour, holding, paid_at, &nairobi());
        assert_eq!(whole.starts_at, paid_at);
    }

    #[test]
    fn promised_days_that_were_used_are_the_first_of_the_next_period() {
        let end = at("2026-03-01T09:00:00Z");
        let promised = |from: &str, until: &str| Holding {
            promised: Some(Promised {
                from: at(from),
                until: at(until),
            }),
            ..until_with_grace(end)
        };
        let starts = |holding, paid_at: &str| {
            next_period(months(1), holding, at(paid_at), &nairobi()).starts_at
        };
        // From the paid end on: all of it, and the day of grace after it.
        let at_once = promised("2026-03-01T09:00:00Z", "2026-03-04T09:00:00Z");
        assert_eq!(starts(at_once, "2026-03-03T09:00:00Z"), end);
        assert_eq!(starts(at_once, "2026-03-05T09:00:00Z"), end);
        let later = at("2026-03-06T09:00:00Z");
        assert_eq!(starts(at_once, "2026-03-10T09:00:00Z"), later);
        // Given after days without service: those are not asked for, but for the first, of grace.
        let late = promised("2026-03-08T09:00:00Z", "2026-03-10T09:00:00Z");
        assert_eq!(
            starts(late, "2026-03-09T09:00:00Z"),
            at("2026-03-07T09:00:00Z")
        );
        // Early: nothing was used.
        assert_eq!(starts(at_once, "2026-02-20T09:00:00Z"), end);
        // Who buys a day keeps half of it.
        let day = Term {
            count: 1,
            unit: Unit::Days,
        };
        let paid_at = at("2026-03-04T09:00:00Z");
        let half = next_period(day, at_once, paid_at, &nairobi());
        assert_eq!(half.starts_at, at("2026-03-03T21:00:00Z"));
    }

    /// The same with a day of grace.
    fn until_with_grace(paid_until: Timestamp) -> Holding {
        Holding {
            grace: Duration::from_secs(86_400),
            ..until(paid_until)
        }
    }

    #[test]
    fn days_and_hours_are_exact_where_clocks_change() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let start = at("2026-03-28T12:00:00Z");
        let day = Term {
            count: 1,
            unit: Unit::Days,
        };
        let period = next_period(day, until(start), start, &zone);
        assert_eq!(period.ends_at.since(start), Duration::from_secs(86_400));
    }

    #[test]
    fn a_resolved_transaction_is_recognised_by_its_code() {
        assert_eq!(
            resolved_code("Resolved transaction: sjk4h7l2pq"),
            Some("SJK4H7L2PQ".to_owned())
        );
        for other in ["", "Resolved transaction:", "paid", "Resolved", "ä"] {
            assert_eq!(resolved_code(other), None, "{other}");
        }
    }

    #[test]
    fn money_buys_one_period_or_as_many_as_the_package_says() {
        let buys = |balance, tolerance, most| {
            let (balance, tolerance) = (Cents::whole(balance), Cents::whole(tolerance));
            let bought = purchases(balance, Cents::whole(1000), tolerance, most);
            let cents = |cents: Cents| cents.minor() / 100;
            let parts = bought
                .iter()
                .map(|one| (cents(one.paid), cents(one.written_off)));
            parts.collect::<Vec<_>>()
        };
        assert_eq!(buys(990, 0, 1), []);
        assert_eq!(buys(990, 10, 1), [(990, 10)]);
        assert_eq!(buys(989, 10, 1), []);
        assert_eq!(buys(3500, 0, 1), [(1000, 0)]);
        assert_eq!(buys(3500, 0, 12), [(1000, 0); 3]);
        assert_eq!(buys(3500, 0, 2), [(1000, 0); 2]);
        assert_eq!(buys(1995, 10, 1), [(1000, 0)]);
        assert_eq!(buys(1995, 10, 2), [(1000, 0), (995, 5)]);
        assert_eq!(buys(-5, 500, 2), []);
        assert_eq!(
            purchases(Cents::ZERO, Cents::ZERO, Cents::ZERO, 12).len(),
            1
        );
    }

    proptest! {
        #[test]
        fn what_is_bought_is_paid_but_for_what_is_tolerated(
            balance in -1_000_000i64..5_000_000,
            price in 1i64..500_000,
            tolerated in 0i64..100,
            most in 0usize..30,
        ) {
            let tolerance = price * tolerated / 200;
            let bought = purchases(Cents::new(balance), Cents::new(price), Cents::new(tolerance), most);
            prop_assert!(bought.len() <= most);
            let paid: i64 = bought.iter().map(|one| one.paid.minor()).sum();
            prop_assert!(paid <= balance.max(0));
            for (place, one) in bought.iter().enumerate() {
                prop_assert_eq!(one.paid.minor() + one.written_off.minor(), price);
                prop_assert!(one.paid.is_positive());
                prop_assert!((0..=tolerance).contains(&one.written_off.minor()));
                if one.written_off.is_positive() {
                    prop_assert_eq!(place + 1, bought.len());
                    prop_assert_eq!(paid, balance);
                }
            }
            // Nothing that it could buy is left.
            if bought.len() < most {
                prop_assert!(balance - paid < price - tolerance || balance == paid);
            }
        }

        #[test]
        fn a_month_is_never_short_and_later_money_never_ends_sooner(
            start in 1_700_000_000i64..2_000_000_000,
            later in 0i64..5_000_000,
            count in 1u32..=24,
        ) {
            let zone = nairobi();
            let (one, two) = (Timestamp::from_secs(start), Timestamp::from_secs(start + later));
            let first = next_period(months(count), until(one), one, &zone);
            let second = next_period(months(count), until(two), two, &zone);
            prop_assert!(first.ends_at.since(one) >= Duration::from_secs(28 * 86_400));
            // A day clamped to the end of a month keeps its time of day.
            let day = Duration::from_secs(86_400);
            prop_assert!(second.ends_at.plus(day) > first.ends_at);
        }
    }
}
