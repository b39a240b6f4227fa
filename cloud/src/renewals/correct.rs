//! Corrections: a payment moves to its rightful owner, or a payment typed by hand is taken back. Entries
//! stay; what was wrong is posted the other way.

use std::collections::BTreeSet;

use easyisp_shared::id::{CustomerId, EntryId, IntentId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;
use crate::due;
use crate::ledger::{self, AccountCode, Entry, EntryKind, Leg, Transfer};

use super::deed::{Account, Deed};
use super::store::{self, Payment, PaymentStatus};
use super::{
    AccountName, Arrived, Received, RenewError, SHORT, Spent, Unallocated, message, perform,
    reckon, spend_on, told,
};

/// Moves the payment with this receipt to `customer`, who did pay it: out of suspense or out of the wallet
/// it was credited to, whose balance may fall below zero. His wallet then buys a period when it covers one.
///
/// What belongs to a child account is its parent's, and what is taken from one is taken from its parent: between the
/// two nothing is bought. Who gets the money is told of it. Repeating it changes nothing.
/// `None` when the tenant has no such payment.
pub async fn resolve(
    tx: &mut Tx,
    receipt: &str,
    customer: CustomerId,
    now: Timestamp,
) -> Result<Option<Received>, RenewError> {
    let Some(payment) = store::lock_receipt(tx, receipt).await? else {
        return Ok(None);
    };
    if payment.status != PaymentStatus::Completed {
        return Ok(None);
    }
    if payment.refunded.is_positive() {
        return Err(RenewError::GoesBack);
    }
    let customer = store::payer(tx, customer).await?;
    let customer = customer.ok_or(RenewError::UnknownCustomer)?;
    let loser = match payment.customer {
        Some(had) => store::payer(tx, had).await?,
        None => None,
    };
    let payers = [Some(customer), loser].into_iter().flatten();
    let accounts = lock_all(tx, payers, payment.customer, now).await?;
    let loser = match payment.customer {
        Some(had) => lock_payer_of(tx, had, now).await?,
        None => None,
    };
    let mut found = accounts
        .into_iter()
        .filter(|account| account.customer == customer);
    let account = found.next().ok_or(RenewError::UnknownCustomer)?;
    if payment.customer == Some(customer) {
        return Ok(Some(Received {
            customer,
            payment: payment.id,
            balance: account.balance,
            paid_until: account.holding.paid_until,
            period: None,
            customer_name: account.name,
        }));
    }

    let source = format!("resolved {receipt}");
    let balance = account
        .balance
        .plus(payment.amount)
        .ok_or(RenewError::TooMuch)?;
    // His child's money is his already.
    let is_news = loser != Some(customer);
    let arrived = Arrived {
        amount: payment.amount,
        reference: payment.account.as_deref(),
        paid_at: payment.paid_at,
        balance: account.free().plus(payment.amount).unwrap_or(balance),
    };
    let spent = match is_news {
        true => spend_on(tx, account, arrived, &source, now).await?,
        false => Spent::nothing(account),
    };
    let Spent {
        account,
        bought,
        invoices,
        barred,
    } = spent;
    let mut deed = Deed::of(&account);
    deed.invoices = invoices;
    let entry = EntryId::new(now, &tx.entropy());
    let (from, to) = (owner(payment.customer), Leg::wallet(customer));
    deed.entries.push(Entry {
        id: entry,
        kind: EntryKind::Adjustment,
        occurred_at: now,
        customer: Some(customer),
        source: source.clone(),
        description: format!("Payment {receipt} found its owner"),
        transfers: vec![Transfer {
            debit: from,
            credit: to,
            amount: payment.amount,
        }],
    });
    store::give_payment(tx, payment.id, customer).await?;
    let rest = deed.take(&account, balance, bought, now);
    let entropy = tx.entropy();
    deed.message = message::of_receipt(
        &account,
        (payment.amount, Some(receipt)),
        &deed,
        rest,
        barred.as_ref(),
    )
    .filter(|_| is_news)
    .and_then(|body| account.text(body, now, &entropy));
    let (period, paid_until) = (deed.period_id(), deed.paid_until);
    let mut balance = perform(tx, deed, now).await?;
    // What was his carries the other one no further.
    match (payment.customer, loser) {
        (Some(child), Some(parent)) if child != parent => {
            let rest = shift(tx, (child, parent), Way::Down, payment.amount, now).await?;
            balance = if is_news { balance } else { rest };
        }
        (Some(had), _) => {
            reckon(tx, had, now).await?;
            due::at(tx, SHORT, had, now).await?;
        }
        (None, _) => {}
    }
    let customer_name = account.name;
    Ok(Some(Received {
        customer,
        payment: payment.id,
        balance,
        paid_until,
        period,
        customer_name,
    }))
}

/// Moves what is in the wallet of a child account into its parent's, which buys a period when it covers one. What is
/// missing in it the parent owes.
pub(super) async fn hand_over(
    tx: &mut Tx,
    child: CustomerId,
    parent: CustomerId,
    now: Timestamp,
) -> Result<(), RenewError> {
    let accounts = lock_all(tx, [parent], Some(child), now).await?;
    let of = |whose| accounts.iter().find(|account| account.customer == whose);
    let (Some(from), Some(to)) = (of(child), of(parent)) else {
        return Err(RenewError::UnknownCustomer);
    };
    let amount = from.balance;
    if amount < Cents::ZERO {
        let debt = Cents::ZERO.minus(amount).ok_or(RenewError::TooMuch)?;
        shift(tx, (child, parent), Way::Down, debt, now).await?;
    }
    if !amount.is_positive() {
        return Ok(());
    }
    let entry = shifted(tx, (child, parent), Way::Up, amount, now);
    let balance = to.balance.plus(amount).ok_or(RenewError::TooMuch)?;
    let arrived = Arrived {
        amount,
        reference: None,
        paid_at: now,
        balance: to.free().plus(amount).unwrap_or(balance),
    };
    let spent = spend_on(tx, to.clone(), arrived, &entry.source, now).await?;
    let (account, bought) = (spent.account, spent.bought);
    let mut deed = Deed::of(&account);
    deed.invoices = spent.invoices;
    deed.entries.push(entry);
    deed.take(&account, balance, bought, now);
    perform(tx, deed, now).await?;
    Ok(())
}

/// Which way money moves between the wallets of a child account and of its parent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// The parent gets what the child has.
    Up,
    /// The parent pays what the child owes.
    Down,
}

/// Moves `amount` between the wallets of a child account and of its parent, or of who was that; it buys nothing, and
/// what it is moved out of may fall below zero. Returns what is left there.
pub(super) async fn shift(
    tx: &mut Tx,
    (child, parent): (CustomerId, CustomerId),
    way: Way,
    amount: Cents,
    now: Timestamp,
) -> Result<Cents, RenewError> {
    let (from, to) = match way {
        Way::Up => (child, parent),
        Way::Down => (parent, child),
    };
    let accounts = lock_all(tx, [parent], Some(child), now).await?;
    let of = |whose| accounts.iter().find(|account| account.customer == whose);
    let (Some(loses), Some(gets)) = (of(from), of(to)) else {
        return Err(RenewError::UnknownCustomer);
    };
    let rest = loses.balance.minus(amount).ok_or(RenewError::TooMuch)?;
    let balance = gets.balance.plus(amount).ok_or(RenewError::TooMuch)?;
    let mut deed = Deed::of(loses);
    deed.entries
        .push(shifted(tx, (child, parent), way, amount, now));
    deed.take(loses, rest, Vec::new(), now);
    perform(tx, deed, now).await?;
    let mut deed = Deed::of(gets);
    deed.take(gets, balance, Vec::new(), now);
    perform(tx, deed, now).await?;
    Ok(rest)
}

fn shifted(
    tx: &Tx,
    (child, parent): (CustomerId, CustomerId),
    way: Way,
    amount: Cents,
    now: Timestamp,
) -> Entry {
    let (debit, credit, why) = match way {
        Way::Up => (child, parent, "A child account's wallet is its parent's"),
        Way::Down => (parent, child, "What a child account owes its parent owes"),
    };
    Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::Adjustment,
        occurred_at: now,
        customer: Some(parent),
        source: format!("wallet of child account {child}"),
        description: why.to_owned(),
        transfers: vec![Transfer {
            debit: Leg::wallet(debit),
            credit: Leg::wallet(credit),
            amount,
        }],
    }
}

/// Locks who pays in the order of their ids, and then the child account of one of them, as whoever gives children their
/// parent's time: opposite moves do not deadlock.
pub(super) async fn lock_all(
    tx: &mut Tx,
    payers: impl IntoIterator<Item = CustomerId>,
    child: Option<CustomerId>,
    now: Timestamp,
) -> sqlx::Result<Vec<Account>> {
    let payers: BTreeSet<CustomerId> = payers.into_iter().collect();
    let child = child.filter(|child| !payers.contains(child));
    let mut accounts = Vec::with_capacity(payers.len() + 1);
    for party in payers.into_iter().chain(child) {
        accounts.extend(store::lock(tx, party, now).await?);
    }
    Ok(accounts)
}

/// Locks a customer and who pays for him, who is returned; `None` = there is no such customer.
pub(super) async fn lock_payer_of(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<Option<CustomerId>> {
    let before = store::payer(tx, customer).await?;
    lock_all(tx, before, Some(customer), now).await?;
    let payer = store::payer(tx, customer).await?; // somebody else's child account meanwhile
    if payer != before {
        lock_all(tx, payer, None, now).await?;
    }
    Ok(payer)
}

/// Takes back a payment that was typed by hand: a reversal entry, and the wallet pays it back, below zero
/// if it must; for who became a child account since, his parent's. A period it bought stays. `None` when there is no
/// such payment; `Some(false)` when it was taken back before.
pub async fn void(
    tx: &mut Tx,
    payment: PaymentId,
    now: Timestamp,
) -> Result<Option<bool>, RenewError> {
    let Some(payment) = store::lock_payment(tx, payment).await? else {
        return Ok(None);
    };
    match (payment.method, payment.status) {
        (method, _) if method.is_told() => return Ok(None), // the provider's word is not ours to take back
        (_, PaymentStatus::Voided | PaymentStatus::Refunded) => return Ok(Some(false)),
        (_, PaymentStatus::Completed) => {}
    }
    let entry = void_entry(tx, &payment, now);
    let id = entry.id;
    let payer = match payment.customer {
        Some(customer) => lock_payer_of(tx, customer, now).await?, // before the float, as whoever pays
        None => None,
    };
    if let (Some(seller), Some(_)) = (payment.seller_id, payment.customer) {
        ledger::move_float(tx, seller, (payment.amount, Cents::ZERO), now).await?;
        let source = format!("payment {}", payment.id);
        ledger::take_commission_back(tx, seller, (&source, 1), now).await?;
    }
    match payment.customer {
        None => {
            ledger::post(tx, entry, now).await?;
        }
        Some(customer) => {
            let account = store::lock(tx, customer, now).await?;
            let account = account.ok_or(RenewError::UnknownCustomer)?;
            let mut deed = Deed::of(&account);
            let rest = account
                .balance
                .minus(payment.amount)
                .ok_or(RenewError::TooMuch)?;
            deed.entries.push(entry);
            deed.take(&account, rest, Vec::new(), now);
            perform(tx, deed, now).await?;
            if let Some(parent) = payer.filter(|payer| *payer != customer) {
                shift(tx, (customer, parent), Way::Down, payment.amount, now).await?;
            }
        }
    }
    store::void_payment(tx, payment.id, id).await?;
    Ok(Some(true))
}

/// Takes a payment out of the books that was held on nobody's word and that there never was: the provider says so.
/// Its receipt is free again. Nothing when it is somebody's, or was taken back.
pub async fn refute(tx: &mut Tx, payment: PaymentId, now: Timestamp) -> Result<(), RenewError> {
    let Some(payment) = store::lock_payment(tx, payment).await? else {
        return Ok(());
    };
    if payment.customer.is_some()
        || payment.status != PaymentStatus::Completed
        || payment.refunded.is_positive()
    {
        return Ok(());
    }
    let entry = void_entry(tx, &payment, now);
    let id = entry.id;
    ledger::post(tx, entry, now).await?;
    store::void_payment(tx, payment.id, id).await?;
    store::free_receipt(tx, payment.id).await?;
    Ok(())
}

fn void_entry(tx: &Tx, payment: &Payment, now: Timestamp) -> Entry {
    Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::Void,
        occurred_at: now,
        customer: payment.customer,
        source: format!("void of payment {}", payment.id),
        description: "Taken back".to_owned(),
        transfers: vec![Transfer {
            debit: owner(payment.customer),
            credit: payment.till().leg(payment.method),
            amount: payment.amount,
        }],
    }
}

/// Takes back money that was held for nobody and never was: the entry is posted the other way, and its receipt is
/// free for what the provider says of it. `description` = what is to be read beside it. `false` when it is not
/// held, or somebody's.
pub async fn retract(
    tx: &mut Tx,
    payment: PaymentId,
    description: &str,
    now: Timestamp,
) -> Result<bool, RenewError> {
    let Some(payment) = store::lock_payment(tx, payment).await? else {
        return Ok(false);
    };
    let held = payment.customer.is_none()
        && payment.status == PaymentStatus::Completed
        && !payment.refunded.is_positive();
    if !payment.method.is_told() || !held {
        return Ok(false);
    }
    let entry = void_entry(tx, &payment, now);
    let id = entry.id;
    ledger::post(tx, entry, now).await?;
    store::retract_payment(tx, payment.id, id, description).await?;
    Ok(true)
}

/// Books money that belongs to nobody known, for a person to allocate.
///
/// # Errors
/// [`RenewError::ReceiptKnown`] when the receipt was booked before; the transaction is then spent.
pub async fn hold(
    tx: &mut Tx,
    receipt: Unallocated,
    now: Timestamp,
) -> Result<PaymentId, RenewError> {
    if !receipt.amount.is_positive() {
        return Err(RenewError::NothingPaid);
    }
    let entropy = tx.entropy();
    let (payment, entry) = (PaymentId::new(now, &entropy), EntryId::new(now, &entropy));
    let posting = Entry {
        id: entry,
        kind: EntryKind::Payment,
        occurred_at: receipt.paid_at,
        customer: None,
        source: format!("{} {}", AccountName(receipt.method), receipt.receipt),
        description: receipt.description.clone(),
        transfers: vec![Transfer {
            debit: receipt.till.leg(receipt.method),
            credit: Leg::account(AccountCode::SUSPENSE),
            amount: receipt.amount,
        }],
    };
    ledger::post(tx, posting, now).await?;
    let event = told::of_unallocated(tx.tenant(), payment, &receipt, now, &entropy);
    store::insert_unallocated(tx, payment, entry, &receipt, &event, now).await?;
    Ok(payment)
}

/// Whether this is the receipt of an M-Pesa payment that was booked by itself, so that nobody books it again by
/// hand. Until the transaction ends none is booked under it.
pub async fn is_credited(tx: &mut Tx, reference: &str) -> sqlx::Result<bool> {
    let receipt: String = reference.split_whitespace().collect();
    if receipt.is_empty() {
        return Ok(false);
    }
    // What it was typed beside before is not asked for: one receipt may pay for several things.
    store::typed_by_hand(tx, &receipt).await?;
    let known = store::lock_receipt(tx, &receipt.to_ascii_uppercase()).await?;
    Ok(known.is_some())
}

/// Writes the provider's receipt on a payment that was credited before it was known; `proven` = whether the
/// provider itself says so.
///
/// # Errors
/// [`RenewError::ReceiptKnown`] when it was credited elsewhere; the transaction is then spent.
pub async fn join_receipt(
    tx: &mut Tx,
    intent: IntentId,
    receipt: &str,
    proven: bool,
) -> Result<(), RenewError> {
    Ok(store::join_receipt(tx, intent, receipt, proven).await?)
}

fn owner(customer: Option<CustomerId>) -> Leg {
    match customer {
        Some(customer) => Leg::wallet(customer),
        None => Leg::account(AccountCode::SUSPENSE),
    }
}
