//! A voucher becomes a period: what was owed for it becomes revenue and taxes, and nothing more is asked.

use std::time::Duration;

use easyisp_shared::id::{CustomerId, EntryId, PackageId, PeriodId, VoucherId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;
use crate::ledger::{AccountCode, Entry, EntryKind, Leg};

use super::deed::{Bought, Deed};
use super::rules::Purchase;
use super::{Period, RenewError, perform, store};

/// What a voucher is worth, as it was when it was made.
#[derive(Clone, Debug)]
pub struct Worth {
    /// The voucher.
    pub voucher: VoucherId,
    /// What it gives.
    pub package: PackageId,
    /// What it was sold for.
    pub price: Cents,
    /// How long it lasts.
    pub time: Duration,
}

/// What a voucher gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Redeemed {
    /// The period.
    pub period: PeriodId,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// Gives a customer the voucher's whole time, behind what he has paid already, never less and never more.
/// Locks the customer until the transaction ends; that the voucher is good and unused is the caller's
/// knowledge, under its lock.
///
/// # Errors
/// [`RenewError::NoPackage`] for a customer who was switched off, is on another's account or is billed afterwards, with nothing written.
pub async fn redeem(
    tx: &mut Tx,
    customer: CustomerId,
    worth: &Worth,
    used_at: Timestamp,
    now: Timestamp,
) -> Result<Redeemed, RenewError> {
    let account = store::lock(tx, customer, used_at).await?;
    let account = account.ok_or(RenewError::UnknownCustomer)?;
    if !account.open || account.child || account.postpaid {
        return Err(RenewError::NoPackage);
    }
    let account = account.resumed(now);
    let from = account.holding.paid_until.max(used_at);
    let until = from.plus(worth.time);
    let entropy = tx.entropy();
    let (transfers, taxes) = account.sold(
        &Leg::account(AccountCode::VOUCHERS),
        Purchase::of(worth.price),
    );
    let entry = worth.price.is_positive().then(|| Entry {
        id: EntryId::new(now, &entropy),
        kind: EntryKind::Period,
        occurred_at: used_at,
        customer: Some(customer),
        source: format!("voucher {}", worth.voucher),
        description: format!("Voucher until {until}"),
        transfers,
    });
    let bought = Bought {
        id: PeriodId::new(now, &entropy),
        package: worth.package,
        price: worth.price,
        written_off: Cents::ZERO,
        period: Period {
            starts_at: from,
            ends_at: until,
            anchor_day: until.in_zone(&account.zone).day(),
        },
        receipted: account.receipts && entry.is_some(),
        entry,
        taxes,
    };
    let period = bought.id;
    let mut deed = Deed::of(&account);
    deed.voucher = Some(worth.voucher);
    // The period is paid by the voucher: the wallet is what it was.
    deed.take(&account, account.balance, vec![bought], now);
    perform(tx, deed, now).await?;
    Ok(Redeemed {
        period,
        from,
        until,
    })
}
