//! A seller takes vouchers out of his float: what he paid for them is owed to who uses them.

use easyisp_shared::id::{EntryId, OperatorId, VoucherBatchId, VoucherId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use super::store;
use crate::db::Tx;
use crate::error::ApiError;
use crate::ledger::{self, AccountCode, Entry, EntryKind, Leg, Transfer};

/// Takes a batch of so many at this price out of a seller's float.
///
/// # Errors
/// 409 `FLOAT_USED_UP`; the transaction is then spent.
pub(super) async fn take(
    tx: &mut Tx,
    seller: OperatorId,
    batch: VoucherBatchId,
    (count, price): (u32, Cents),
    now: Timestamp,
) -> Result<(), ApiError> {
    let cost = price.minor().checked_mul(i64::from(count));
    let cost = cost.map(Cents::new);
    let cost = cost.ok_or_else(|| ApiError::field("count", "costs more than fits"))?;
    store::set_seller(tx, batch, seller).await?;
    let source = format!("voucher batch {batch}");
    let out = Transfer {
        debit: Leg::float(seller),
        credit: Leg::account(AccountCode::VOUCHERS),
        amount: cost,
    };
    let named = source.clone();
    post(tx, seller, (source, "Vouchers to sell"), out, now).await?;
    ledger::pay_commission(tx, seller, (&named, cost), now).await?;
    Ok(())
}

/// Gives a voucher that nobody used back into the float that it was taken out of, if it was.
pub(super) async fn give_back(
    tx: &mut Tx,
    voucher: VoucherId,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some((seller, price, batch, made)) = store::seller_of(tx, voucher).await? else {
        return Ok(());
    };
    let source = format!("revoked voucher {voucher}");
    let back = Transfer {
        debit: Leg::account(AccountCode::VOUCHERS),
        credit: Leg::float(seller),
        amount: price,
    };
    post(tx, seller, (source, "A voucher was revoked"), back, now).await?;
    let batch = format!("voucher batch {batch}");
    ledger::take_commission_back(tx, seller, (&batch, i64::from(made)), now).await?;
    Ok(())
}

/// A voucher that went back into a float was used all the same, at a site that had not heard that it was revoked: who sold
/// it owes what it costs.
pub(super) async fn owe(tx: &mut Tx, voucher: VoucherId, now: Timestamp) -> sqlx::Result<()> {
    let Some((seller, price, _, _)) = store::seller_of(tx, voucher).await? else {
        return Ok(());
    };
    if !price.is_positive() {
        return Ok(());
    }
    ledger::move_float(tx, seller, (Cents::ZERO, price), now).await?;
    let entry = Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::VoucherSale,
        occurred_at: now,
        customer: None,
        source: format!("used voucher {voucher}"),
        description: "A revoked voucher was used".to_owned(),
        transfers: vec![Transfer {
            debit: Leg::owed_by_seller(seller),
            credit: Leg::account(AccountCode::VOUCHERS),
            amount: price,
        }],
    };
    ledger::post(tx, entry, now).await?;
    Ok(())
}

async fn post(
    tx: &mut Tx,
    seller: OperatorId,
    (source, description): (String, &str),
    transfer: Transfer,
    now: Timestamp,
) -> Result<(), ApiError> {
    let amount = transfer.amount;
    if !amount.is_positive() {
        return Ok(());
    }
    let balance = match transfer.credit == Leg::float(seller) {
        true => amount,
        false => Cents::ZERO.minus(amount).unwrap_or_default(),
    };
    let moved = ledger::move_float(tx, seller, (balance, Cents::ZERO), now).await;
    moved.map_err(|error| match ledger::is_used_up(&error) {
        true => ApiError::conflict("FLOAT_USED_UP", ledger::FLOAT_USED_UP),
        false => error.into(),
    })?;
    let entry = Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::VoucherSale,
        occurred_at: now,
        customer: None,
        source,
        description: description.to_owned(),
        transfers: vec![transfer],
    };
    ledger::post(tx, entry, now).await?;
    Ok(())
}
