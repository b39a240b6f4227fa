//! What guests of a hotspot can buy, in words.

use easyisp_shared::id::{PackageId, RouterId};
use easyisp_shared::money::Cents;
use serde::Serialize;
use utoipa::ToSchema;

use super::store::{self, Stored};
use super::words::{Period, PeriodUnit};
use crate::db::Tx;

/// A package as a guest reads of it.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Offer {
    /// The package.
    pub id: PackageId,
    /// Its name.
    pub name: String,
    /// What it costs.
    pub price: Cents,
    /// `8/4 Mbps`: to the guest, and from him.
    pub speed: String,
    /// `1 hours`.
    pub duration: String,
    /// `2.0 GB`, or `Unlimited`.
    pub data: String,
}

/// What is sold to guests at a router, or at any where none is named: the cheapest first.
pub async fn offers(tx: &mut Tx, router: Option<RouterId>) -> sqlx::Result<Vec<Offer>> {
    let sold = store::offered(tx, router).await?;
    Ok(sold.iter().map(Offer::of).collect())
}

impl Offer {
    fn of(stored: &Stored) -> Offer {
        let draft = stored.draft();
        Offer {
            id: stored.id,
            name: draft.name,
            price: draft.price,
            speed: format!("{}/{} Mbps", draft.download_mbps, draft.upload_mbps),
            duration: lasting(draft.period),
            data: draft
                .data_limit
                .map_or_else(|| "Unlimited".to_owned(), much),
        }
    }
}

fn lasting(period: Period) -> String {
    let unit = match period.unit {
        PeriodUnit::Minutes if period.count % 60 == 0 => {
            return format!("{} hours", period.count / 60);
        }
        PeriodUnit::Minutes => "minutes",
        PeriodUnit::Hours => "hours",
        PeriodUnit::Days => "days",
        PeriodUnit::Weeks => "weeks",
        PeriodUnit::Months => "months",
    };
    format!("{} {unit}", period.count)
}

/// Tenths of a GB, as bundles are sold; below one of these MB.
fn much(bytes: i64) -> String {
    const MB: i64 = 1 << 20;
    const GB: i64 = 1 << 30;
    match bytes {
        less if less < GB / 10 => format!("{} MB", (less / MB).max(1)),
        more => {
            let tenths = (more * 10 + GB / 2) / GB;
            format!("{}.{} GB", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_reads_hours_and_gigabytes() {
        let period = |count, unit| lasting(Period { count, unit });
        assert_eq!(period(60, PeriodUnit::Minutes), "1 hours");
        assert_eq!(period(90, PeriodUnit::Minutes), "90 minutes");
        assert_eq!(period(30, PeriodUnit::Days), "30 days");
        assert_eq!(much(2 << 30), "2.0 GB");
        assert_eq!(much(1_610_612_736), "1.5 GB");
        assert_eq!(much(50 << 20), "50 MB");
    }
}
