//! Money goes back to who paid it: set aside when that is approved, gone when the provider has sent it, given back to
//! its owner when it has not.

use std::time::Duration;

use easyisp_shared::id::{CustomerId, EntryId, InvoiceId, PaymentId, RefundId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::db::{Kind, Tx};
use crate::due;
use crate::ledger::{self, AccountCode, Entry, EntryKind, Leg, Transfer, total_tax};
use crate::webhooks::{self, EventKind};

use super::correct::{Way, lock_all, lock_payer_of, shift};
use super::deed::{Account, Deed};
use super::shares::Open;
use super::store::{self, Sold};
use super::{Method, RenewError, SOLD, Till, message, perform, told};

/// What becomes of the time that the money had bought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = RefundService)]
pub enum Service {
    /// He keeps it and owes for it: his wallet may fall below zero.
    Keep,
    /// It is taken back, in proportion to the money. Who became a child account since has none of it left: his parent
    /// owes for it.
    TakeBack,
    /// He keeps it and owes nothing: we earned so much less.
    Waive,
}

/// Money that is to go back.
#[derive(Clone, Debug)]
pub struct Refund {
    /// Which.
    pub id: RefundId,
    /// Of which payment.
    pub payment: PaymentId,
    /// Whose it is; `None` = nobody's yet.
    pub owner: Option<CustomerId>,
    /// Out of whose wallet it was set aside, where that was not its owner's: his parent's.
    pub bearer: Option<CustomerId>,
    /// How much.
    pub amount: Cents,
    /// What becomes of the time it had bought.
    pub service: Service,
    /// How it came, and goes.
    pub method: Method,
    /// From whose short code it goes.
    pub till: Till,
    /// Since when it is set aside; `None` = it is not.
    pub since: Option<Timestamp>,
}

impl Refund {
    fn entry(
        &self,
        tx: &Tx,
        (kind, description): (EntryKind, &str),
        transfers: Vec<Transfer>,
        now: Timestamp,
    ) -> Entry {
        Entry {
            id: EntryId::new(now, &tx.entropy()),
            kind,
            occurred_at: now,
            customer: self.owner,
            source: format!("refund {}", self.id),
            description: description.to_owned(),
            transfers,
        }
    }

    fn owner(&self) -> Leg {
        match self.owner {
            Some(customer) => Leg::wallet(customer),
            None => Leg::account(AccountCode::SUSPENSE),
        }
    }

    fn set_aside(&self) -> Transfer {
        Transfer {
            debit: self.owner(),
            credit: Leg::account(AccountCode::REFUNDS),
            amount: self.amount,
        }
    }
}

/// Sets the money aside: it can be spent, allocated or sent back no more. Out of the wallet of its owner, or of whose
/// child account he became: that one is returned, for what comes back is his.
///
/// # Errors
/// [`RenewError::NotRefundable`] when so much of the payment is not there any more, or it is another's now.
pub async fn reserve(
    tx: &mut Tx,
    refund: &Refund,
    now: Timestamp,
) -> Result<Option<CustomerId>, RenewError> {
    if !store::add_refunded(tx, refund).await? {
        return Err(RenewError::NotRefundable);
    }
    let what = (EntryKind::Refund, "On its way back to the payer");
    let entry = refund.entry(tx, what, vec![refund.set_aside()], now);
    let rest = |balance: Cents| balance.minus(refund.amount);
    let parent = lock(tx, refund, now).await?;
    post(tx, refund, entry, rest, None, |_| None, now).await?;
    let (Some(owner), Some(parent)) = (refund.owner, parent) else {
        return Ok(None);
    };
    shift(tx, (owner, parent), Way::Down, refund.amount, now).await?;
    Ok(Some(parent))
}

/// Locks everybody whose wallet it moves. `Some` = another one than its owner pays, or gets what comes back: his parent,
/// or who was that when he paid.
async fn lock(
    tx: &mut Tx,
    refund: &Refund,
    now: Timestamp,
) -> Result<Option<CustomerId>, RenewError> {
    let Some(owner) = refund.owner else {
        return Ok(None);
    };
    let payer = match refund.bearer {
        Some(bearer) => {
            let payer = store::payer(tx, bearer).await?;
            lock_all(tx, payer, Some(owner), now).await?;
            payer
        }
        None => lock_payer_of(tx, owner, now).await?,
    };
    let payer = payer.ok_or(RenewError::UnknownCustomer)?;
    Ok(Some(payer).filter(|payer| *payer != owner))
}

/// What came back into the owner's wallet is the other's who gave it.
async fn pass_on(
    tx: &mut Tx,
    refund: &Refund,
    parent: Option<CustomerId>,
    amount: Cents,
    now: Timestamp,
) -> Result<(), RenewError> {
    if let (Some(owner), Some(parent)) = (refund.owner, parent)
        && amount.is_positive()
    {
        shift(tx, (owner, parent), Way::Up, amount, now).await?;
    }
    Ok(())
}

/// What came back pays the invoices again, as far as it goes, that are owed again because it was set aside. Who is billed
/// afterwards pays what he owes by himself.
async fn pay_again(
    tx: &mut Tx,
    refund: &Refund,
    parent: Option<CustomerId>,
    amount: Cents,
    now: Timestamp,
) -> Result<(), RenewError> {
    let (Some(payer), Some(since)) = (parent.or(refund.owner), refund.since) else {
        return Ok(());
    };
    let account = store::lock(tx, payer, now).await?;
    let account = account.ok_or(RenewError::UnknownCustomer)?;
    let open = account.owed.iter();
    let open: Vec<&Open> = open.filter(|one| !one.awaited && !one.billed).collect();
    if !amount.is_positive() || open.is_empty() {
        return Ok(());
    }
    let ids: Vec<InvoiceId> = open.iter().map(|one| one.id).collect();
    let again = store::owed_again(tx, &ids, since).await?;
    let mut left = amount.min(account.free());
    let mut deed = Deed::of(&account);
    for invoice in open.into_iter().filter(|one| again.contains(&one.id)) {
        let Some(rest) = left.pay(invoice.owed) else {
            break;
        };
        left = rest;
        deed.invoices.push(invoice.clone());
    }
    if !deed.invoices.is_empty() {
        deed.take(&account, account.balance, Vec::new(), now);
        perform(tx, deed, now).await?;
    }
    Ok(())
}

/// The provider has sent it: the money is gone, and with it the time it had bought, where that is wanted.
pub async fn complete(
    tx: &mut Tx,
    refund: &Refund,
    receipt: Option<&str>,
    now: Timestamp,
) -> Result<(), RenewError> {
    let gone = Transfer {
        debit: Leg::account(AccountCode::REFUNDS),
        credit: refund.till.leg(refund.method),
        amount: refund.amount,
    };
    let what = (EntryKind::Reversal, "Sent back to the payer");
    let mut entry = refund.entry(tx, what, vec![gone], now);
    let (mut back, mut moved) = (Cents::ZERO, None);
    let parent = lock(tx, refund, now).await?;
    if let (Some(customer), true) = (refund.owner, gives_back(tx, refund).await?) {
        for sold in store::sold_for(tx, refund.payment).await? {
            let rest = refund.amount.minus(back).unwrap_or_default();
            let part = rest.min(sold.left);
            if !part.is_positive() {
                continue;
            }
            give_back(tx, customer, &sold, part, &mut entry, now).await?;
            back = back.plus(part).ok_or(RenewError::TooMuch)?;
            if refund.service == Service::TakeBack {
                let more = Moved::of(&sold, part);
                moved = Some(moved.map_or(more, |moved: Moved| moved.and(more)));
            }
        }
    }
    store::refund_paid(tx, refund.payment).await?;
    let rest = |balance: Cents| balance.plus(back);
    let text = |account: &Account| Some(message::of_refund(account, refund.amount, receipt));
    post(tx, refund, entry, rest, moved, text, now).await?;
    pass_on(tx, refund, parent, back, now).await?;
    pay_again(tx, refund, parent, back, now).await?;
    tell(tx, EventKind::PaymentRefunded, refund, receipt, now).await
}

/// Whether what the money had bought is given back with it. The time of a child account is its parent's, and what it had
/// before is over: nothing of that can be taken back.
async fn gives_back(tx: &mut Tx, refund: &Refund) -> Result<bool, RenewError> {
    let Some(owner) = refund.owner else {
        return Ok(false);
    };
    Ok(match refund.service {
        Service::Keep => false,
        Service::Waive => true,
        Service::TakeBack => {
            refund.bearer.is_none() && store::payer(tx, owner).await? == Some(owner)
        }
    })
}

/// Gives a part of a period's price back, and of each tax in it what was in that part: adds to `entry` what that moves.
async fn give_back(
    tx: &mut Tx,
    customer: CustomerId,
    sold: &Sold,
    part: Cents,
    entry: &mut Entry,
    now: Timestamp,
) -> Result<(), RenewError> {
    let (net, taxes) = sold.given_back(part);
    let earned = (Leg::account(AccountCode::INTERNET), net);
    let owed = taxes.iter().map(|tax| (tax.leg(), tax.amount));
    let moves = std::iter::once(earned)
        .chain(owed)
        .filter(|(_, amount)| amount.is_positive());
    entry
        .transfers
        .extend(moves.map(|(debit, amount)| Transfer {
            debit,
            credit: Leg::wallet(customer),
            amount,
        }));
    let amounts = (part, total_tax(&taxes));
    store::take_back(tx, customer, sold.period, amounts, entry.id).await?;
    if sold.receipted {
        due::at(tx, SOLD, sold.period.0, now).await?;
    }
    Ok(())
}

/// The provider has not sent it and will not: it is its owner's again.
pub async fn release(tx: &mut Tx, refund: &Refund, now: Timestamp) -> Result<(), RenewError> {
    store::release_refunded(tx, refund).await?;
    let what = (EntryKind::Release, "Not sent back");
    let entry = refund.entry(tx, what, vec![refund.set_aside().reversed()], now);
    let rest = |balance: Cents| balance.plus(refund.amount);
    let parent = lock(tx, refund, now).await?;
    post(tx, refund, entry, rest, None, |_| None, now).await?;
    pass_on(tx, refund, parent, refund.amount, now).await?;
    pay_again(tx, refund, parent, refund.amount, now).await?;
    tell(tx, EventKind::RefundFailed, refund, None, now).await
}

async fn tell(
    tx: &mut Tx,
    kind: EventKind,
    refund: &Refund,
    receipt: Option<&str>,
    now: Timestamp,
) -> Result<(), RenewError> {
    let event = told::of_refund(tx.tenant(), kind, refund, receipt, now, &tx.entropy());
    Ok(webhooks::tell(tx, &[event], now).await?)
}

/// By how much a paid end moves.
#[derive(Clone, Copy, Debug)]
struct Moved {
    by: Duration,
    /// Whole periods: monthly ones return to the same day.
    whole: bool,
}

impl Moved {
    /// The part of a period that `back` had bought, to the second.
    fn of(sold: &Sold, back: Cents) -> Moved {
        let length = u128::from(sold.ends_at.since(sold.starts_at).as_secs());
        let part = u128::try_from(back.minor()).unwrap_or(0);
        let price = u128::try_from(sold.price.minor()).unwrap_or(1).max(1);
        Moved {
            by: Duration::from_secs(u64::try_from(length * part / price).unwrap_or(0)),
            whole: back == sold.price,
        }
    }

    fn and(self, more: Moved) -> Moved {
        Moved {
            by: self.by.saturating_add(more.by),
            whole: self.whole && more.whole,
        }
    }
}

/// Posts an entry where the money is: in a wallet, whose owner's service follows, or nobody's.
async fn post(
    tx: &mut Tx,
    refund: &Refund,
    entry: Entry,
    rest: impl FnOnce(Cents) -> Option<Cents>,
    moved: Option<Moved>,
    text: impl FnOnce(&Account) -> Option<String>,
    now: Timestamp,
) -> Result<(), RenewError> {
    let Some(customer) = refund.owner else {
        ledger::post(tx, entry, now).await?;
        return Ok(());
    };
    let account = store::lock(tx, customer, now).await?;
    let mut account = account.ok_or(RenewError::UnknownCustomer)?;
    if let Some(moved) = moved {
        let holding = &mut account.holding;
        holding.paid_until = holding.paid_until.minus(moved.by);
        holding.anchor_day = holding.anchor_day.filter(|_| moved.whole);
    }
    let rest = rest(account.balance).ok_or(RenewError::TooMuch)?;
    let mut deed = Deed::of(&account);
    deed.entries.push(entry);
    deed.take(&account, rest, Vec::new(), now);
    deed.message = text(&account).and_then(|body| account.text(body, now, &tx.entropy()));
    perform(tx, deed, now).await?;
    if moved.is_some() {
        tx.changed(Kind::Subscriber, customer);
    }
    Ok(())
}
