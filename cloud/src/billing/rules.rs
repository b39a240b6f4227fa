//! When somebody is billed, for which days, and how much.

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{FieldError, Wrong};
use crate::invoices::Item;

/// When and how a tenant bills those who pay afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Billing {
    /// The day of the month: 1 to 28.
    pub billing_day: i8,
    /// How many days after that an invoice is due: 0 to 60.
    pub due_days: i16,
    /// How many days after the due one service stops: 0 to 90; null = never.
    pub stop_after_days: Option<i16>,
    /// Whether customers are told of their invoices, and of those that are overdue.
    pub tells: bool,
}

impl Default for Billing {
    fn default() -> Billing {
        Billing {
            billing_day: 1,
            due_days: 10,
            stop_after_days: Some(5),
            tells: true,
        }
    }
}

impl Billing {
    /// Names what cannot be.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut wrong = Wrong::default();
        if !(1..=28).contains(&self.billing_day) {
            wrong.add("billingDay", "must be 1 to 28, which every month has");
        }
        if !(0..=60).contains(&self.due_days) {
            wrong.add("dueDays", "must be 0 to 60");
        }
        if self
            .stop_after_days
            .is_some_and(|days| !(0..=90).contains(&days))
        {
            wrong.add("stopAfterDays", "must be 0 to 90, or null for never");
        }
        wrong.none_or(())
    }

    /// The first billing day after `day`.
    pub fn next(&self, day: Date) -> Date {
        let of_month = on_day(day, self.billing_day);
        match of_month > day {
            true => of_month,
            false => on_day(
                day.first_of_month().saturating_add(1.month()),
                self.billing_day,
            ),
        }
    }

    /// The last billing day that has come by `today`.
    pub fn last(&self, today: Date) -> Date {
        let of_month = on_day(today, self.billing_day);
        match of_month <= today {
            true => of_month,
            false => on_day(
                today.first_of_month().saturating_sub(1.month()),
                self.billing_day,
            ),
        }
    }

    /// Until when he is served whose oldest open invoice is overdue from `overdue` on, or who has none and is billed
    /// the next time on `next`.
    pub fn serves_until(
        &self,
        overdue: Option<Timestamp>,
        next: Date,
        zone: &TimeZone,
    ) -> Timestamp {
        let due = i64::from(self.due_days);
        match (self.stop_after_days, overdue) {
            (Some(patience), Some(overdue)) => {
                let day = overdue.in_zone(zone).date();
                midnight(day.saturating_add(i64::from(patience).days()), zone)
            }
            (Some(patience), None) => midnight(
                next.saturating_add((due + 1 + i64::from(patience)).days()),
                zone,
            ),
            // Behind the invoice after the next one: moved along every month.
            (None, _) => midnight(next.saturating_add((due + 62).days()), zone),
        }
    }
}

fn on_day(month: Date, day: i8) -> Date {
    month.with().day(day.clamp(1, 28)).build().unwrap_or(month)
}

/// The first instant of a day.
pub fn midnight(day: Date, zone: &TimeZone) -> Timestamp {
    let begins = day.to_zoned(zone.clone());
    begins.map_or(Timestamp::from_micros(i64::MAX), |begins| {
        Timestamp::from_jiff(begins.timestamp())
    })
}

/// What somebody had from a day on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// From then.
    pub from: Date,
    /// What it is called.
    pub name: String,
    /// What a period costs; nothing while he is paused.
    pub price: Cents,
    /// How long that is.
    pub period: Length,
}

/// How long a price lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// So many months.
    Months(i64),
    /// So many seconds.
    Secs(i64),
}

impl Plan {
    /// What `days` of a month cost that has `of_days`; rounded to the nearest cent (half up), here and nowhere else.
    fn costs(&self, days: i64, of_days: i64) -> Cents {
        let (part, whole) = match self.period {
            Length::Months(months) => (days, of_days.saturating_mul(months.max(1))),
            Length::Secs(secs) => (days.saturating_mul(86_400), secs.max(1)),
        };
        let (part, whole) = (i128::from(part), i128::from(whole.max(1)));
        let cents = (i128::from(self.price.minor()) * part * 2 + whole).div_euclid(whole * 2);
        Cents::new(i64::try_from(cents).unwrap_or(i64::MAX))
    }
}

/// The lines of an invoice for the days from `from` to before `to`, which belong to the month that ends before
/// `boundary`. A stretch that costs nothing is no line.
pub fn lines(plans: &[Plan], (from, to): (Date, Date), boundary: Date) -> Vec<Item> {
    let month = boundary.saturating_sub(1.month());
    let of_days = days(month, boundary);
    let mut lines = Vec::new();
    for (place, plan) in plans.iter().enumerate() {
        let begins = plan.from.max(from);
        let ends = plans.get(place + 1).map_or(to, |next| next.from.min(to));
        let count = days(begins, ends);
        if count <= 0 {
            continue;
        }
        let amount = plan.costs(count, of_days);
        if amount.is_positive() {
            lines.push(Item {
                description: format!(
                    "{}: {} to {}, {count} of {of_days} days",
                    plan.name,
                    begins.strftime("%-d %b"),
                    ends.saturating_sub(1.day()).strftime("%-d %b %Y")
                ),
                amount,
            });
        }
    }
    lines
}

fn days(from: Date, to: Date) -> i64 {
    i64::from(from.until(to).map_or(0, |span| span.get_days()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn plan(from: Date, price: i64) -> Plan {
        Plan {
            from,
            name: "Home".to_owned(),
            price: Cents::new(price),
            period: Length::Months(1),
        }
    }

    fn amounts(lines: &[Item]) -> Vec<i64> {
        lines.iter().map(|line| line.amount.minor()).collect()
    }

    #[test]
    fn a_whole_month_costs_its_price_whatever_its_length() {
        for (from, to) in [
            (date(2027, 1, 1), date(2027, 2, 1)),
            (date(2027, 2, 1), date(2027, 3, 1)),
            (date(2027, 1, 15), date(2027, 2, 15)),
        ] {
            let lines = lines(&[plan(date(2026, 1, 1), 99_950)], (from, to), to);
            assert_eq!(amounts(&lines), [99_950], "{from}");
        }
    }

    #[test]
    fn days_are_billed_from_the_start_to_a_change_and_to_the_end() {
        let to = date(2027, 2, 1);
        let start = lines(
            &[plan(date(2027, 1, 22), 31_000)],
            (date(2027, 1, 22), to),
            to,
        );
        assert_eq!(amounts(&start), [10_000]);
        assert_eq!(
            start[0].description,
            "Home: 22 Jan to 31 Jan 2027, 10 of 31 days"
        );

        let plans = [
            plan(date(2026, 5, 1), 31_000),
            plan(date(2027, 1, 11), 62_000),
        ];
        let change = lines(&plans, (date(2027, 1, 1), to), to);
        assert_eq!(amounts(&change), [10_000, 42_000]);

        // Paused from the 11th on, and gone on the 20th.
        let plans = [plan(date(2026, 5, 1), 31_000), plan(date(2027, 1, 11), 0)];
        let end = lines(&plans, (date(2027, 1, 1), date(2027, 1, 20)), to);
        assert_eq!(amounts(&end), [10_000]);
        // A week's price is one for seven days, in whatever month.
        let weekly = Plan {
            period: Length::Secs(7 * 86_400),
            ..plan(date(2026, 5, 1), 7_000)
        };
        assert_eq!(
            amounts(&lines(&[weekly], (date(2027, 1, 1), to), to)),
            [31_000]
        );
    }

    #[test]
    fn billing_days_are_found_from_any_day() {
        let billing = Billing {
            billing_day: 15,
            ..Billing::default()
        };
        assert_eq!(billing.next(date(2027, 1, 14)), date(2027, 1, 15));
        assert_eq!(billing.next(date(2027, 1, 15)), date(2027, 2, 15));
        assert_eq!(billing.last(date(2027, 1, 14)), date(2026, 12, 15));
        assert_eq!(billing.last(date(2027, 1, 15)), date(2027, 1, 15));
    }

    #[test]
    fn service_ends_after_the_patience_with_the_oldest_open_invoice() {
        let zone = TimeZone::get("Africa/Nairobi").unwrap();
        let billing = Billing::default();
        let overdue = midnight(date(2027, 2, 12), &zone);
        let until = |overdue| billing.serves_until(overdue, date(2027, 3, 1), &zone);
        assert_eq!(until(Some(overdue)), midnight(date(2027, 2, 17), &zone));
        assert_eq!(until(None), midnight(date(2027, 3, 17), &zone));
        let wrong = Billing {
            billing_day: 29,
            due_days: 61,
            stop_after_days: Some(-1),
            tells: true,
        };
        let fields: Vec<String> = wrong
            .check()
            .unwrap_err()
            .into_iter()
            .map(|one| one.field)
            .collect();
        assert_eq!(fields, ["billingDay", "dueDays", "stopAfterDays"]);
    }

    proptest! {
        /// However a month is cut by changes that change nothing, its parts are the month, to a cent a cut.
        #[test]
        fn the_parts_of_a_month_are_the_month(price in 0i64..10_000_000, cuts in prop::collection::btree_set(2i8..=31, 0..5)) {
            let to = date(2027, 2, 1);
            let mut plans = vec![plan(date(2027, 1, 1), price)];
            plans.extend(cuts.iter().map(|day| plan(date(2027, 1, *day), price)));
            let lines = lines(&plans, (date(2027, 1, 1), to), to);
            let sum: i64 = amounts(&lines).iter().sum();
            prop_assert!((sum - price).abs() <= plans.len() as i64, "{sum} of {price}");
        }
    }
}
