//! How often somebody may buy a package: counted for him, his phone and his devices, under whatever account.
//!
//! Asked before money is asked for, and again, locked, where it would buy. Money that came all the same stays in
//! the wallet. What a site gave out on a voucher that it holds stands: it was given.

use easyisp_shared::id::{CustomerId, PackageId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::RenewError;
use super::deed::Account;
use super::store;
use crate::db::Tx;
use crate::ledger;
use crate::packages::{PurchaseLimit, Span};

/// A rule that somebody has used up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Barred {
    /// The package.
    pub package: String,
    /// The rule.
    pub limit: PurchaseLimit,
    /// When he may buy it again; `None` = never.
    pub again: Option<Timestamp>,
}

impl std::fmt::Display for Barred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Barred {
            package,
            limit,
            again,
        } = self;
        let often = match limit.most {
            1 => "once".to_owned(),
            most => format!("{most} times"),
        };
        let per = match limit.per {
            Span::Day => " a day",
            Span::Week => " a week",
            Span::Month => " a month",
            Span::Ever => "",
        };
        write!(
            f,
            "{package} can be bought {often}{per} by one customer, phone or device"
        )?;
        match again {
            Some(again) => write!(f, "; again from {again} on"),
            None => write!(f, "; choose another package"),
        }
    }
}

/// Who buys.
#[derive(Clone, Debug, Default)]
pub struct Buyer {
    /// A customer there is; his phone and devices are known.
    pub customer: Option<CustomerId>,
    /// The device that asks.
    pub mac: Option<Mac>,
}

/// Refuses who may not buy this package now.
///
/// # Errors
/// [`RenewError::Barred`] naming the rule.
pub async fn may_buy(
    tx: &mut Tx,
    buyer: &Buyer,
    package: PackageId,
    now: Timestamp,
) -> Result<(), RenewError> {
    let Some((name, limits)) = store::limits(tx, package).await? else {
        return Ok(());
    };
    let zone = ledger::zone(tx).await?;
    match barred_by(tx, buyer, (package, &name), &limits, &zone, now).await? {
        Some(barred) => Err(RenewError::Barred(barred)),
        None => Ok(()),
    }
}

/// Refuses who may not buy what he is on, before money is asked for that would buy it.
pub async fn may_renew(
    tx: &mut Tx,
    customer: CustomerId,
    package: Option<PackageId>,
    now: Timestamp,
) -> Result<(), RenewError> {
    let Some(package) = package else {
        return Ok(());
    };
    let buyer = Buyer {
        customer: Some(customer),
        mac: None,
    };
    may_buy(tx, &buyer, package, now).await
}

/// The rule that keeps a locked account from buying its plan now.
pub(super) async fn barred(
    tx: &mut Tx,
    account: &Account,
    now: Timestamp,
) -> sqlx::Result<Option<Barred>> {
    let Some(plan) = account.plan().filter(|plan| !plan.limits.is_empty()) else {
        return Ok(None);
    };
    let buyer = Buyer {
        customer: Some(account.customer),
        mac: None,
    };
    let package = (plan.package, plan.name.as_str());
    barred_by(tx, &buyer, package, &plan.limits, &account.zone, now).await
}

async fn barred_by(
    tx: &mut Tx,
    buyer: &Buyer,
    (package, name): (PackageId, &str),
    limits: &[PurchaseLimit],
    zone: &TimeZone,
    now: Timestamp,
) -> sqlx::Result<Option<Barred>> {
    if limits.is_empty() {
        return Ok(None);
    }
    let known = store::identity(tx, buyer.customer, buyer.mac).await?;
    store::one_at_a_time(tx, package, &known).await?;
    let since: Vec<Timestamp> = limits
        .iter()
        .map(|limit| begins(limit.per, now, zone))
        .collect();
    let bought = store::purchases(tx, package, &known, &since).await?;
    let mut used_up: Vec<Barred> = limits
        .iter()
        .zip(bought)
        .filter(|(limit, bought)| *bought >= i64::from(limit.most))
        .map(|(limit, _)| Barred {
            package: name.to_owned(),
            limit: *limit,
            again: ends(limit.per, now, zone),
        })
        .collect();
    // The one that keeps him longest is the one to tell.
    used_up.sort_by_key(|barred| barred.again.map_or((1, Timestamp::default()), |at| (0, at)));
    Ok(used_up.pop())
}

/// When the count began that holds now.
fn begins(span: Span, now: Timestamp, zone: &TimeZone) -> Timestamp {
    first_day(span, now, zone).map_or(Timestamp::from_micros(0), |day| midnight(day, zone))
}

/// When the next one does.
fn ends(span: Span, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let first = first_day(span, now, zone)?;
    let next = match span {
        Span::Day => first.saturating_add(1.day()),
        Span::Week => first.saturating_add(7.days()),
        Span::Month => first.saturating_add(1.month()),
        Span::Ever => return None,
    };
    Some(midnight(next, zone))
}

fn first_day(span: Span, now: Timestamp, zone: &TimeZone) -> Option<Date> {
    let today = now.in_zone(zone).date();
    match span {
        Span::Day => Some(today),
        Span::Week => {
            let past = i64::from(today.weekday().to_monday_zero_offset());
            Some(today.saturating_sub(past.days()))
        }
        Span::Month => Some(today.first_of_month()),
        Span::Ever => None,
    }
}

fn midnight(day: Date, zone: &TimeZone) -> Timestamp {
    let begins = day.to_zoned(zone.clone());
    begins.map_or(Timestamp::from_micros(i64::MAX), |begins| {
        Timestamp::from_jiff(begins.timestamp())
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn days_weeks_and_months_are_the_providers() {
        let zone = TimeZone::get("Africa/Nairobi").unwrap();
        let now = Timestamp::parse("2027-01-15T22:30:00Z").unwrap(); // Saturday the 16th, 01:30
        let spans = |span| {
            let (from, to) = (begins(span, now, &zone), ends(span, now, &zone));
            (from.to_string(), to.map(|to| to.to_string()))
        };
        let both = |from: &str, to: &str| (from.to_owned(), Some(to.to_owned()));
        assert_eq!(
            spans(Span::Day),
            both("2027-01-15T21:00:00.000Z", "2027-01-16T21:00:00.000Z")
        );
        assert_eq!(
            spans(Span::Week),
            both("2027-01-10T21:00:00.000Z", "2027-01-17T21:00:00.000Z")
        );
        assert_eq!(
            spans(Span::Month),
            both("2026-12-31T21:00:00.000Z", "2027-01-31T21:00:00.000Z")
        );
        assert_eq!(spans(Span::Ever).1, None);
    }

    #[test]
    fn a_refusal_names_the_rule_and_when_it_is_over() {
        let barred = Barred {
            package: "Trial".to_owned(),
            limit: PurchaseLimit {
                most: 1,
                per: Span::Ever,
            },
            again: None,
        };
        assert_eq!(
            barred.to_string(),
            "Trial can be bought once by one customer, phone or device; choose another package"
        );
        let day = Barred {
            limit: PurchaseLimit {
                most: 3,
                per: Span::Day,
            },
            again: Some(Timestamp::from_secs(1_800_000_000)),
            ..barred
        };
        assert!(day.to_string().contains("3 times a day"));
        assert!(day.to_string().contains("again from 2027-01-15"));
    }
}
