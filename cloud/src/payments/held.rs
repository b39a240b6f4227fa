//! What the platform holds for a tenant, and the day's settlement: what of it is paid out to him.

use std::time::Duration;

use easyisp_shared::id::{SettlementId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Payments;
use super::payout::{PAY_OUT, State};
use super::store::settlements::{self as store, Collecting, Settlement};
use crate::db::Tx;
use crate::due;
use crate::ledger::{self, AccountCode};

/// The kind of the due job that reckons a tenant's settlement every day; its subject is the gateway.
pub const SETTLE: &str = "payments.settle";

/// How long after midnight a day is settled: late word of its last payments has come then.
const AFTER_MIDNIGHT: Duration = Duration::from_secs(3600);
/// How long after it was switched off word of payments may still come.
const STRAGGLERS: Duration = Duration::from_secs(30 * 86_400);
/// What is not worth a transfer stays for the next day.
const LEAST: Cents = Cents::whole(10);

/// What goes to the tenant and what the platform keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Split {
    pub(super) amount: Cents,
    pub(super) fee: Cents,
}

/// Splits what is free, less the reserve: whole shillings to the tenant, and the platform's part of what it pays out,
/// rounded down to the cent. What does not fit stays held. `None` = nothing worth a transfer.
pub(super) fn split(
    free: Cents,
    reserve: Cents,
    fee_basis_points: i32,
    most: Cents,
) -> Option<Split> {
    const WHOLE: i128 = 10_000;

    let due = i128::from(free.minus(reserve)?.minor());
    let fee = i128::from(fee_basis_points.clamp(0, 5_000));
    let net = (due * (WHOLE - fee) / WHOLE).min(i128::from(most.minor()));
    let amount = net - net.rem_euclid(100);
    if amount < i128::from(LEAST.minor()) {
        return None;
    }
    let fee = amount * fee / (WHOLE - fee);
    Some(Split {
        amount: Cents::new(i64::try_from(amount).ok()?),
        fee: Cents::new(i64::try_from(fee).ok()?),
    })
}

/// What stands on the account: what came until the end of a day (or at all), less all that has left it.
pub(super) async fn standing(tx: &mut Tx, came_until: Option<Date>) -> sqlx::Result<Cents> {
    let code = AccountCode::HELD;
    let of = |totals: Vec<ledger::Total>| {
        let mut totals = totals.into_iter();
        totals.find(|total| total.account == code.as_str())
    };
    let all = of(ledger::totals(tx, None, None).await?);
    let came = match came_until {
        Some(day) => of(ledger::totals(tx, None, Some(day)).await?),
        None => all.clone(),
    };
    let came = came.map_or(Cents::ZERO, |total| total.debits);
    let left = all.map_or(Cents::ZERO, |total| total.credits);
    Ok(came.minus(left).unwrap_or(Cents::ZERO))
}

/// What is held and is not on its way to anybody.
///
/// What is under way is read first: what arrives in between is taken off twice for a moment. The other way round it would
/// be neither under way nor gone, and go a second time.
pub(super) async fn free(tx: &mut Tx, came_until: Option<Date>) -> sqlx::Result<Cents> {
    let under_way = store::under_way(tx).await?;
    let held = standing(tx, came_until).await?;
    let rest = held.minus(under_way.settlements);
    Ok(rest
        .and_then(|rest| rest.minus(under_way.refunds))
        .unwrap_or(Cents::ZERO))
}

impl Payments {
    /// Reckons the settlement of the tenant's day that is over, once, and makes its payout due. `Some` = when the
    /// next day is settled; `None` = nothing is collected any more, nothing is held, and no word of a payment can come.
    pub async fn settle_day(
        &self,
        tenant: TenantId,
        now: Timestamp,
    ) -> sqlx::Result<Option<Timestamp>> {
        let mut tx = self.db.begin(tenant).await?;
        let Some(agreed) = store::lock_collecting(&mut tx).await? else {
            return Ok(None);
        };
        let zone = ledger::zone(&mut tx).await?;
        let today = now.in_zone(&zone).date();
        let day = today.yesterday().unwrap_or(today);
        if now >= time_of(today, &zone) && !store::is_settled(&mut tx, day).await? {
            settle(&mut tx, &agreed, day, now).await?;
        }
        let over = !agreed.enabled
            && now.since(agreed.updated_at) > STRAGGLERS
            && standing(&mut tx, None).await? == Cents::ZERO;
        tx.commit().await?;
        Ok((!over).then(|| next(now, &zone)))
    }
}

async fn settle(tx: &mut Tx, agreed: &Collecting, day: Date, now: Timestamp) -> sqlx::Result<()> {
    let free = free(tx, Some(day)).await?;
    // Who is collected for no longer gets the reserve too.
    let reserve = match agreed.enabled {
        true => agreed.reserve,
        false => Cents::ZERO,
    };
    let Some(split) = split(free, reserve, agreed.fee_basis_points, agreed.most) else {
        return Ok(());
    };
    let new = Settlement {
        id: SettlementId::new(now, &tx.entropy()),
        gateway_id: agreed.gateway_id,
        day: day.to_string(),
        held: free,
        amount: split.amount,
        fee: split.fee,
        payout_kind: agreed.payout_kind,
        payout_number: agreed.payout_number.clone(),
        payout_account: agreed.payout_account.clone(),
        state: State::Due,
        message: None,
        attempts: 0,
        asked: 0,
        created_at: now,
        sent_at: None,
        ended_at: None,
        originator_conversation_id: None,
        conversation_id: None,
        receipt: None,
    };
    if store::insert(tx, &new).await? {
        due::at(tx, PAY_OUT, new.id, now).await?;
    }
    Ok(())
}

/// When a day is settled after `now`.
pub(super) fn next(now: Timestamp, zone: &TimeZone) -> Timestamp {
    let today = now.in_zone(zone).date();
    let this = time_of(today, zone);
    match now < this {
        true => this,
        false => time_of(today.saturating_add(1.day()), zone),
    }
}

/// When the day before this one is settled.
fn time_of(day: Date, zone: &TimeZone) -> Timestamp {
    // Only days at the ends of the calendar have no instant.
    let midnight = day.to_zoned(zone.clone());
    midnight.map_or(Timestamp::default(), |midnight| {
        Timestamp::from_jiff(midnight.timestamp()).plus(AFTER_MIDNIGHT)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_reserve_and_the_fee_stay_and_shillings_go() {
        let split = |free, reserve, fee, most| {
            let cents = Cents::new;
            super::split(cents(free), cents(reserve), fee, cents(most))
        };
        let is = |amount, fee| {
            Some(Split {
                amount: Cents::new(amount),
                fee: Cents::new(fee),
            })
        };
        assert_eq!(split(100_000, 20_000, 0, 1_000_000), is(80_000, 0));
        // 2 % of 1,000.00: 980.00 go, and 20.00 stay with the platform.
        assert_eq!(split(100_000, 0, 200, 1_000_000), is(98_000, 2_000));
        assert_eq!(split(100_099, 0, 0, 1_000_000), is(100_000, 0));
        assert_eq!(split(100_000, 0, 0, 50_000), is(50_000, 0));
        assert_eq!(split(999, 0, 0, 50_000), None);
        assert_eq!(split(50_000, 50_000, 0, 50_000), None);
        assert_eq!(split(-50_000, 0, 0, 50_000), None);
    }

    proptest! {
        /// Nothing is given away that is not there, and nothing but whole shillings.
        #[test]
        fn no_more_than_what_is_free_leaves(
            free in -1_000_000_000_000_i64..1_000_000_000_000,
            reserve in 0_i64..1_000_000_000,
            fee in 0_i32..=5_000,
            most in 1_000_i64..1_000_000_000_000,
        ) {
            let (held, kept) = (Cents::new(free), Cents::new(reserve));
            if let Some(split) = split(held, kept, fee, Cents::new(most)) {
                let (amount, fee) = (split.amount.minor(), split.fee.minor());
                prop_assert!(amount % 100 == 0 && amount >= 1_000 && amount <= most && fee >= 0);
                prop_assert!(amount + fee + reserve <= free);
            }
        }
    }
}
