//! A wallet pays an invoice, or has its money again.

use easyisp_shared::id::{CustomerId, InvoiceId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;
use crate::ledger::Entry;

use super::deed::Deed;
use super::shares::Open;
use super::{RenewError, perform, rules, store};

/// Takes what `entry` moves out of a customer's wallet for an invoice; what the wallet carries him on to is reckoned
/// anew. Returns what is left.
///
/// # Errors
/// With nothing written: [`RenewError::BalanceTooLow`] when the wallet does not cover it, [`RenewError::SetAside`] when it
/// does so only with what is set aside for other invoices.
pub async fn spend(
    tx: &mut Tx,
    customer: CustomerId,
    invoice: InvoiceId,
    entry: Entry,
    now: Timestamp,
) -> Result<Cents, RenewError> {
    let account = store::lock(tx, customer, now).await?;
    let mut account = account.ok_or(RenewError::UnknownCustomer)?;
    let amount = entry.total().ok_or(RenewError::TooMuch)?;
    let rest = rules::buy(account.balance, amount).ok_or(RenewError::BalanceTooLow)?;
    let is_own = |open: &Open| open.id == invoice && open.awaited;
    if !account.owed.iter().any(is_own) && rules::buy(account.free(), amount).is_none() {
        return Err(RenewError::SetAside(account.set_aside_for()));
    }
    account.owed.retain(|open| open.id != invoice);
    let mut deed = Deed::of(&account);
    deed.entries.push(entry);
    deed.take(&account, rest, Vec::new(), now);
    perform(tx, deed, now).await
}

/// What was set aside for an invoice is its owner's to spend: it will not be paid with it.
pub async fn let_go(
    tx: &mut Tx,
    customer: CustomerId,
    invoice: InvoiceId,
    now: Timestamp,
) -> Result<(), RenewError> {
    let account = store::lock(tx, customer, now).await?;
    let mut account = account.ok_or(RenewError::UnknownCustomer)?;
    account.owed.retain(|open| open.id != invoice);
    let mut deed = Deed::of(&account);
    deed.take(&account, account.balance, Vec::new(), now);
    perform(tx, deed, now).await?;
    Ok(())
}

/// Puts what `entry` moves into a customer's wallet again that was taken out of it by [`spend`]. Returns what is in
/// it then.
pub async fn give_back(
    tx: &mut Tx,
    customer: CustomerId,
    entry: Entry,
    now: Timestamp,
) -> Result<Cents, RenewError> {
    let account = store::lock(tx, customer, now).await?;
    let account = account.ok_or(RenewError::UnknownCustomer)?;
    let amount = entry.total().ok_or(RenewError::TooMuch)?;
    let balance = account.balance.plus(amount).ok_or(RenewError::TooMuch)?;
    let mut deed = Deed::of(&account);
    deed.entries.push(entry);
    deed.take(&account, balance, Vec::new(), now);
    perform(tx, deed, now).await
}

/// What is in a customer's wallet, which stays locked until the transaction ends; `None` when there is no such
/// customer.
pub async fn locked_balance(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<Option<Cents>> {
    let account = store::lock(tx, customer, now).await?;
    Ok(account.map(|account| account.balance))
}
