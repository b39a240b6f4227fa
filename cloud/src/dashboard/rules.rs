//! Days become months, weeks and years: pure, today is an argument.

use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use crate::error::ApiError;

/// Which months a trend shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    /// All months of the year, so far as they have come.
    ThisYear,
    /// The present month alone.
    ThisMonth,
    /// All months of the year before.
    LastYear,
}

impl Period {
    /// From the word in the address; nothing = this year.
    pub fn parse(text: Option<&str>) -> Result<Period, ApiError> {
        match text.map(str::trim) {
            None | Some("" | "this_year") => Ok(Period::ThisYear),
            Some("this_month") => Ok(Period::ThisMonth),
            Some("last_year") => Ok(Period::LastYear),
            Some(_) => Err(ApiError::field(
                "period",
                "must be this_year, this_month or last_year",
            )),
        }
    }
}

/// The twelve names, in English as the web client's charts have them.
pub const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// What days come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// January to December of the period.
    pub months: [i64; 12],
    /// Today.
    pub today: i64,
    /// Since Monday.
    pub this_week: i64,
    /// Since the first.
    pub this_month: i64,
    /// Since New Year.
    pub this_year: i64,
}

impl Sums {
    /// Adds days up; days after `today` have not come yet.
    pub fn of(days: &[(Date, i64)], today: Date, period: Period) -> Sums {
        let year = match period {
            Period::ThisYear | Period::ThisMonth => today.year(),
            Period::LastYear => today.year() - 1,
        };
        let month = (today.year(), today.month());
        let monday = monday(today);
        let mut sums = Sums::default();
        for &(day, amount) in days.iter().filter(|(day, _)| *day <= today) {
            let add = |sum: &mut i64| *sum = sum.saturating_add(amount);
            let of_month = (day.year(), day.month());
            let shown = day.year() == year && (period != Period::ThisMonth || of_month == month);
            let place = usize::try_from(day.month() - 1).unwrap_or(0);
            if let Some(sum) = sums.months.get_mut(place).filter(|_| shown) {
                add(sum);
            }
            if day == today {
                add(&mut sums.today);
            }
            if day >= monday {
                add(&mut sums.this_week);
            }
            if of_month == month {
                add(&mut sums.this_month);
            }
            if day.year() == today.year() {
                add(&mut sums.this_year);
            }
        }
        sums
    }
}

/// The first day of which anything is shown.
pub fn first_day(today: Date, period: Period) -> Date {
    let new_year = today.first_of_year();
    let shown = match period {
        Period::ThisYear | Period::ThisMonth => new_year,
        Period::LastYear => new_year.saturating_sub(1.year()),
    };
    shown.min(monday(today))
}

fn monday(day: Date) -> Date {
    let days = i64::from(day.weekday().since(Weekday::Monday));
    day.saturating_sub(days.days())
}

/// Which days a report covers, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
}

impl Stretch {
    /// From two dates like `2026-01-31`; without them the present month so far. At most 366 days.
    pub fn parse(from: Option<&str>, to: Option<&str>, today: Date) -> Result<Stretch, ApiError> {
        let date = |field: &str, text: Option<&str>| match text.map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse::<Date>()
                .ok()
                .filter(|date| (2000..=2200).contains(&date.year()) && text.len() == 10)
                .map(Some)
                .ok_or_else(|| ApiError::field(field, "must be a date such as 2026-01-31")),
        };
        let to = date("to", to)?;
        let from = date("from", from)?;
        let to = to.unwrap_or_else(|| from.map_or(today, |from| from.max(today)));
        let from = from.unwrap_or_else(|| to.first_of_month());
        if from > to {
            return Err(ApiError::field("from", "must not be after to"));
        }
        if from.saturating_add(366.days()) <= to {
            return Err(ApiError::field(
                "from",
                "must be at most 366 days before to; ask for a shorter stretch",
            ));
        }
        Ok(Stretch { from, to })
    }
}

/// When a day begins.
pub fn midnight(day: Date, zone: &TimeZone) -> Timestamp {
    let begins = day.to_zoned(zone.clone());
    begins.map_or(Timestamp::from_micros(i64::MAX), |begins| {
        Timestamp::from_jiff(begins.timestamp())
    })
}

/// How many customers began in one month and ended in another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lives {
    /// The first day of the month in which they came.
    pub came: Date,
    /// The first day of the month in which their service ended; `None` = it goes on.
    pub ended: Option<Date>,
    /// How many.
    pub customers: i64,
}

/// What a month did to the number of customers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Month {
    /// Its first day.
    pub first: Date,
    /// Who came before and was served when it began.
    pub at_start: i64,
    /// Who came in it.
    pub joined: i64,
    /// Whose service ended in it and did not go on since.
    pub lost: i64,
}

impl Month {
    /// Tenths of a percent of those at the start who were lost.
    pub fn lost_permille(&self) -> i64 {
        match self.at_start {
            0 => 0,
            n => self.lost.saturating_mul(1000) / n,
        }
    }
}

/// The last `months` months, the present one last.
pub fn churn(lives: &[Lives], today: Date, months: u32) -> Vec<Month> {
    let sum = |like: &dyn Fn(&Lives) -> bool| {
        lives
            .iter()
            .filter(|lives| like(lives))
            .map(|lives| lives.customers)
            .sum()
    };
    (0..i64::from(months))
        .rev()
        .map(|back| {
            let first = today.first_of_month().saturating_sub(back.months());
            Month {
                first,
                at_start: sum(&|lives: &Lives| {
                    lives.came < first && lives.ended.is_none_or(|ended| ended >= first)
                }),
                joined: sum(&|lives: &Lives| lives.came == first),
                lost: sum(&|lives: &Lives| lives.ended == Some(first)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_fall_into_their_month_week_and_year() {
        let today = date(2026, 3, 4); // a Wednesday
        let days = [
            (date(2025, 12, 31), 1),
            (date(2026, 1, 1), 10),
            (date(2026, 3, 1), 100),
            (date(2026, 3, 2), 1_000),
            (today, 10_000),
            (date(2026, 3, 5), 100_000),
        ];
        let year = Sums::of(&days, today, Period::ThisYear);
        assert_eq!(year.months[..3], [10, 0, 11_100]);
        assert_eq!(
            (year.today, year.this_week, year.this_month, year.this_year),
            (10_000, 11_000, 11_100, 11_110)
        );
        let month = Sums::of(&days, today, Period::ThisMonth);
        assert_eq!(month.months[..3], [0, 0, 11_100]);
        let last = Sums::of(&days, today, Period::LastYear);
        assert_eq!((last.months[11], last.this_year), (1, 11_110));
    }

    #[test]
    fn the_first_week_reaches_into_the_year_before() {
        let friday = date(2027, 1, 1);
        assert_eq!(first_day(friday, Period::ThisYear), date(2026, 12, 28));
        let sums = Sums::of(&[(date(2026, 12, 30), 7)], friday, Period::ThisYear);
        assert_eq!((sums.this_week, sums.this_year), (7, 0));
        assert_eq!(first_day(friday, Period::LastYear), date(2026, 1, 1));
    }

    #[test]
    fn a_stretch_is_at_most_a_year() {
        let today = date(2026, 3, 4);
        let parse = |from, to| Stretch::parse(from, to, today);
        let month = parse(None, Some("")).unwrap();
        assert_eq!((month.from, month.to), (date(2026, 3, 1), today));
        assert!(parse(Some("2025-03-04"), None).is_ok());
        for (from, to) in [
            (Some("2025-03-03"), None),
            (Some("2026-03-05"), Some("2026-03-04")),
            (Some("yesterday"), None),
            (None, Some("2026-02-30")),
        ] {
            assert!(parse(from, to).is_err(), "{from:?} {to:?}");
        }
    }

    #[test]
    fn who_was_lost_was_there_or_came_that_month() {
        let lives = [
            Lives {
                came: date(2025, 12, 1),
                ended: None,
                customers: 8,
            },
            Lives {
                came: date(2025, 12, 1),
                ended: Some(date(2026, 1, 1)),
                customers: 2,
            },
            Lives {
                came: date(2026, 1, 1),
                ended: Some(date(2026, 1, 1)),
                customers: 1,
            },
        ];
        let months = churn(&lives, date(2026, 2, 15), 2);
        let january = months.first().unwrap();
        assert_eq!((january.at_start, january.joined, january.lost), (10, 1, 3));
        assert_eq!(january.lost_permille(), 300);
        let february = months.last().unwrap();
        assert_eq!(
            (february.at_start, february.joined, february.lost),
            (8, 0, 0)
        );
    }

    proptest! {
        #[test]
        fn a_trend_of_the_year_sums_to_the_year(amounts in prop::collection::vec(-500i64..5_000, 400)) {
            let today = date(2026, 12, 31);
            let day = |back: usize| today.saturating_sub((i64::try_from(back).unwrap_or(0)).days());
            let days: Vec<(Date, i64)> =
                amounts.iter().enumerate().map(|(back, amount)| (day(back), *amount)).collect();
            let sums = Sums::of(&days, today, Period::ThisYear);
            prop_assert_eq!(sums.months.iter().sum::<i64>(), sums.this_year);
            prop_assert_eq!(sums.months[11], sums.this_month);
        }
    }
}
