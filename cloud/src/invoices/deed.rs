//! Issuing, paying and taking back: what moves in the books.

use std::time::Duration;

use easyisp_shared::id::{CreditNoteId, CustomerId, EntryId, InvoiceId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;

use super::InvoiceError;
use super::rules::{self, Item, Number, Refusal, Step};
use super::store::sale::Part;
use super::store::{self, Issued, Locked, PaidByWallet, Which};
use super::words::Status;
use crate::audit::{self, Action, Actor, Audit};
use crate::customers::COLLECT;
use crate::db::Tx;
use crate::due;
use crate::error::FieldError;
use crate::finance::{self, Moment};
use crate::ledger::{
    self, AccountCode, Charged, Entry, EntryKind, Leg, Tax, Transfer, given_back, split,
};
use crate::renewals::{self, Method};

/// What a customer is to be billed.
#[derive(Clone, Debug)]
pub struct Bill {
    /// Whom.
    pub customer: CustomerId,
    /// What for: at least one, and together `amount`.
    pub items: Vec<Item>,
    /// How much, taxes included.
    pub amount: Cents,
    /// When it is due.
    pub due_at: Timestamp,
    /// When the tenant's day after that begins.
    pub overdue_from: Timestamp,
    /// Who bills; `None` = the month.
    pub operator: Option<OperatorId>,
    /// The first day of the month that it bills, if it does: each once.
    pub period_from: Option<Date>,
    /// The account of what is earned with it.
    pub revenue: AccountCode,
}

/// Issues an invoice: the customer owes it from now on, and what it says does not change any more.
///
/// The number is the transaction's last lock; what comes after it only inserts.
pub async fn issue(
    tx: &mut Tx,
    bill: Bill,
    now: Timestamp,
) -> Result<(InvoiceId, Number), InvoiceError> {
    let held = store::hold_customer(tx, bill.customer).await?;
    held.ok_or(InvoiceError::UnknownCustomer)?;
    let zone = ledger::zone(tx).await?;
    let today = now.in_zone(&zone).date();
    let taxes = taxes(tx, today).await?;
    let (net, charged) = split(bill.amount, &taxes);
    let number = store::next_number(tx, today).await?;
    let entropy = tx.entropy();
    let invoice = Issued {
        id: InvoiceId::new(now, &entropy),
        number,
        customer: bill.customer,
        amount: bill.amount,
        due_at: bill.due_at,
        overdue_from: bill.overdue_from,
        items: bill.items,
        taxes: charged,
        entry: EntryId::new(now, &entropy),
        operator: bill.operator,
        period_from: bill.period_from,
        revenue: bill.revenue.as_str().to_owned(),
    };
    let entry = Entry {
        id: invoice.entry,
        kind: EntryKind::Invoice,
        occurred_at: now,
        customer: Some(bill.customer),
        source: format!("invoice {number}"),
        description: format!("Invoice {number}"),
        transfers: billed(bill.customer, (bill.revenue, net), &invoice.taxes),
    };
    ledger::post(tx, entry, now).await?;
    store::insert(tx, &invoice, now).await?;
    due::at(tx, COLLECT, invoice.customer, now).await?;
    let tenant = tx.tenant();
    due::at(tx, ISSUED, tenant, now).await?;
    Ok((invoice.id, number))
}

/// The taxes of a day. One whose account is gone is owed on the one for all.
async fn taxes(tx: &mut Tx, today: Date) -> sqlx::Result<Vec<Tax>> {
    let table = store::taxes_on(tx, today).await?;
    let mut taxes = table.map(|table| table.taxes).unwrap_or_default();
    if taxes.is_empty() {
        return Ok(taxes);
    }
    let chart = finance::chart(tx).await?;
    for tax in &mut taxes {
        if !chart.iter().any(|known| known.code.as_str() == tax.account) {
            tax.account = AccountCode::TAXES.as_str().to_owned();
        }
    }
    Ok(taxes)
}

/// What an invoice moves: what he owes, against what was earned and what is owed to the state.
fn billed(
    customer: CustomerId,
    (revenue, net): (AccountCode, Cents),
    taxes: &[Charged],
) -> Vec<Transfer> {
    let earned = (Leg::account(revenue), net);
    let owed = taxes.iter().map(|tax| (tax.leg(), tax.amount));
    std::iter::once(earned)
        .chain(owed)
        .filter(|(_, amount)| amount.is_positive())
        .map(|(credit, amount)| Transfer {
            debit: Leg::receivable(customer),
            credit,
            amount,
        })
        .collect()
}

/// An account as the database has it.
fn account(code: &str) -> sqlx::Result<AccountCode> {
    let account = AccountCode::parse(code);
    account.ok_or_else(|| sqlx::Error::Decode(format!("account {code}").into()))
}

/// Bills the installation of a new customer, once, due in a week; nothing when he is gone or nothing is asked for it.
pub async fn install(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> Result<(), InvoiceError> {
    let fee = store::installation_to_bill(tx, customer).await?;
    let Some(amount) = fee.filter(|fee| fee.is_positive()) else {
        return Ok(());
    };
    let zone = ledger::zone(tx).await?;
    let day = Moment::At(now.plus(INSTALLATION_DUE)).day(&zone);
    let bill = Bill {
        customer,
        items: vec![Item {
            description: "Installation".to_owned(),
            amount,
        }],
        amount,
        due_at: Moment::Day(day).begins(&zone),
        overdue_from: Moment::Day(day).ends(&zone),
        operator: None,
        period_from: None,
        revenue: AccountCode::INSTALLATION,
    };
    let (id, number) = match issue(tx, bill, now).await {
        Ok(issued) => issued,
        Err(InvoiceError::UnknownCustomer) => return Ok(()), // deleted meanwhile
        Err(error) => return Err(error),
    };
    let number = number.to_string();
    let line = Audit {
        details: format!("Installation, {amount}"),
        ..Audit::new(Action::InvoiceCreate, "invoice", id, &number)
    };
    audit::record(tx, &Actor::system(), line, now).await?;
    Ok(())
}

/// How long a new customer has to pay for his installation.
const INSTALLATION_DUE: Duration = Duration::from_secs(7 * 86_400);

/// The kind of the due job that looks at documents that were issued; its subject is the tenant. Who must be told of
/// them is another feature's: the application says who does it.
pub const ISSUED: &str = "invoices.issued";

/// Takes an open invoice out of its customer's wallet.
///
/// # Errors
/// [`InvoiceError::BalanceTooLow`] with nothing written when the wallet does not cover it.
pub async fn pay_from_wallet(
    tx: &mut Tx,
    invoice: InvoiceId,
    now: Timestamp,
) -> Result<Stepped, InvoiceError> {
    change(tx, &Which::Id(invoice), Status::Paid, Money::Wallet, now).await
}

/// Pays an invoice of a prepaid customer with money that arrived for it and waits in the wallet; nothing when it is gone
/// for something else meanwhile, or the invoice is not open any more.
pub async fn settle(tx: &mut Tx, invoice: InvoiceId, now: Timestamp) -> Result<(), InvoiceError> {
    let stepped = match pay_from_wallet(tx, invoice, now).await {
        Ok(stepped) if stepped.changed => stepped,
        Ok(_) | Err(InvoiceError::BalanceTooLow | InvoiceError::Cancelled) => return Ok(()),
        Err(error) => return Err(error),
    };
    let line = Audit {
        details: "paid from the wallet".to_owned(),
        ..Audit::new(
            Action::InvoiceUpdate,
            "invoice",
            stepped.id,
            &stepped.number,
        )
    };
    audit::record(tx, &Actor::system(), line, now).await?;
    Ok(())
}

/// How an invoice is paid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Money {
    /// Out of the customer's wallet, which must cover it.
    Wallet,
    /// It came by hand, and no wallet has it.
    Came {
        /// How.
        method: Method,
        /// What the payer gave as reference.
        reference: Option<String>,
        /// Who took it.
        by: OperatorId,
    },
}

/// What became of an invoice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stepped {
    /// Its id.
    pub id: InvoiceId,
    /// Its number.
    pub number: String,
    /// What it is.
    pub status: Status,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
    /// Whether anything changed.
    pub changed: bool,
}

/// Makes an invoice `wanted`, with what that moves. A repeat changes nothing.
pub async fn change(
    tx: &mut Tx,
    which: &Which,
    wanted: Status,
    money: Money,
    now: Timestamp,
) -> Result<Stepped, InvoiceError> {
    let invoice = store::lock(tx, which, now).await?;
    let invoice = invoice.ok_or(InvoiceError::Unknown)?;
    if invoice.period_id.is_some() && invoice.status != wanted {
        return Err(InvoiceError::Receipt);
    }
    // What is back in the wallet of somebody who is billed pays it again at once: it is given back and taken back in one.
    let in_one = wanted == Status::Cancelled
        && invoice.paid_by.as_deref() == Some("WALLET")
        && store::is_billed(tx, invoice.customer_id).await?;
    let mut invoice = invoice;
    if in_one {
        reopen(tx, &invoice, now).await?;
        (invoice.status, invoice.settlement_id) = (Status::Pending, None);
    }
    let step = rules::step(invoice.status, wanted).map_err(|refusal| match refusal {
        Refusal::Paid => InvoiceError::Paid,
        Refusal::Cancelled => InvoiceError::Cancelled,
        Refusal::Derived => InvoiceError::Fields(vec![FieldError {
            field: "status".to_owned(),
            message: "must be paid or cancelled: the due day alone makes an invoice overdue"
                .to_owned(),
        }]),
    })?;
    let paid_at = match step {
        Step::Stay => invoice.paid_at,
        Step::Pay => {
            pay(tx, &invoice, money, now).await?;
            Some(now)
        }
        Step::Cancel => {
            cancel(tx, &invoice, now).await?;
            None
        }
        Step::Reopen => {
            reopen(tx, &invoice, now).await?;
            None
        }
    };
    if step != Step::Stay {
        due::at(tx, COLLECT, invoice.customer_id, now).await?;
    }
    Ok(Stepped {
        id: invoice.id,
        number: invoice.number,
        status: wanted,
        paid_at,
        changed: step != Step::Stay,
    })
}

/// Whose wallet has what was paid for him: a child account's money is its parent's.
async fn payer(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<CustomerId> {
    Ok(renewals::payer(tx, customer).await?.unwrap_or(customer))
}

async fn pay(
    tx: &mut Tx,
    invoice: &Locked,
    money: Money,
    now: Timestamp,
) -> Result<(), InvoiceError> {
    let customer = invoice.customer_id;
    let payer = payer(tx, customer).await?;
    let from = match &money {
        Money::Wallet => Leg::wallet(payer),
        Money::Came { method, .. } => Leg::account(method.account()),
    };
    let number = &invoice.number;
    let entry = Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::Settlement,
        occurred_at: now,
        customer: Some(customer),
        source: format!("payment of {number}"),
        description: match money {
            Money::Wallet => format!("Invoice {number} paid from the wallet"),
            Money::Came { .. } => format!("Invoice {number} paid"),
        },
        transfers: vec![Transfer {
            debit: from,
            credit: Leg::receivable(customer),
            amount: invoice.owed(),
        }],
    };
    let settlement = entry.id;
    match money {
        Money::Wallet => {
            renewals::spend(tx, payer, entry, now).await?;
            store::pay(tx, invoice.id, settlement, ("WALLET", None, None), now).await?;
        }
        Money::Came {
            method,
            reference,
            by,
        } => {
            let reference = reference.as_deref();
            if renewals::is_credited(tx, reference.unwrap_or_default()).await? {
                return Err(InvoiceError::ReceiptKnown);
            }
            ledger::post(tx, entry, now).await?;
            let how = method.as_str();
            store::pay(tx, invoice.id, settlement, (how, reference, Some(by)), now).await?;
        }
    }
    Ok(())
}

/// What an invoice was paid with, the other way: the wallet has it again that paid it, or the parent's of whose it is,
/// or what came by hand is gone. Returns what is in the wallet, when it was that.
async fn reopen(
    tx: &mut Tx,
    invoice: &Locked,
    now: Timestamp,
) -> Result<Option<Cents>, InvoiceError> {
    let customer = invoice.customer_id;
    let paid_from = store::paid_from(tx, invoice.settlement_id).await?;
    let payer = payer(tx, paid_from.unwrap_or(customer)).await?;
    let by_hand = by_hand(invoice.paid_by.as_deref());
    let number = &invoice.number;
    let entry = Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::Reopening,
        occurred_at: now,
        customer: Some(customer),
        source: match invoice.settlement_id {
            Some(settlement) => format!("payment of {number} taken back ({settlement})"),
            None => format!("payment of {number} taken back"),
        },
        description: format!("Invoice {number} is owed again"),
        transfers: vec![Transfer {
            debit: Leg::receivable(customer),
            credit: match by_hand {
                Some(method) => Leg::account(method.account()),
                None => Leg::wallet(payer),
            },
            amount: invoice.owed(),
        }],
    };
    let reversal = entry.id;
    let balance = match by_hand {
        Some(_) => {
            ledger::post(tx, entry, now).await?;
            None
        }
        None => Some(renewals::give_back(tx, payer, entry, now).await?),
    };
    store::reopen(tx, invoice.id, reversal, now).await?;
    due::never(tx, renewals::SETTLE, invoice.id).await?; // nor is it paid again by what came before
    Ok(balance)
}

/// How money came that no wallet had.
fn by_hand(paid_by: Option<&str>) -> Option<Method> {
    let ways = [
        Method::Cash,
        Method::BankTransfer,
        Method::Card,
        Method::Other,
    ];
    ways.into_iter()
        .find(|method| paid_by == Some(method.as_str()))
}

/// Money was taken back from a customer or a child account of his, and his wallet stands below zero: the invoices that
/// were paid out of the same wallet while that money was in it are owed again, the last one first, until it does not.
pub async fn owed_again(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> Result<(), InvoiceError> {
    let paid = store::lock_paid_by_wallet(tx, customer).await?;
    let taken_back = renewals::taken_back(tx, customer).await?;
    let Some(mut balance) = renewals::locked_balance(tx, customer, now).await? else {
        return Ok(());
    };
    let paid_with = |paid: &&PaidByWallet| {
        let at = paid.invoice.paid_at;
        let money = taken_back
            .iter()
            .filter(|money| money.wallet == paid.wallet);
        let mut money = money.map(|money| (money.came, money.gone));
        at.is_some_and(|at| money.any(|span| rules::paid_with(at, span)))
    };
    for PaidByWallet { invoice, .. } in paid.iter().filter(paid_with) {
        if balance >= Cents::ZERO {
            break;
        }
        balance = reopen(tx, invoice, now).await?.unwrap_or(balance);
        due::at(tx, COLLECT, invoice.customer_id, now).await?; // his service stops with what is overdue
        let line = Audit {
            details: "pending: what it was paid with was taken back".to_owned(),
            ..Audit::new(
                Action::InvoiceUpdate,
                "invoice",
                invoice.id,
                &invoice.number,
            )
        };
        audit::record(tx, &Actor::system(), line, now).await?;
    }
    Ok(())
}

/// The credit note: what was billed, the other way, and a document that says so. Its number is the last lock, like
/// an invoice's.
async fn cancel(tx: &mut Tx, invoice: &Locked, now: Timestamp) -> Result<(), InvoiceError> {
    if invoice.credited.is_positive() {
        let rest = Item {
            description: format!("The rest of {}", invoice.number),
            amount: invoice.owed(),
        };
        part(tx, invoice, vec![rest], now).await?;
        return Ok(());
    }
    let taxes = &invoice.taxes.0;
    let net = invoice.amount.minus(ledger::total_tax(taxes));
    let earned = (account(&invoice.revenue)?, net.unwrap_or(invoice.amount));
    let billed = billed(invoice.customer_id, earned, taxes);
    let number = &invoice.number;
    let entry = Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::CreditNote,
        occurred_at: now,
        customer: Some(invoice.customer_id),
        source: format!("credit note on {number}"),
        description: format!("Invoice {number} taken back"),
        transfers: billed.iter().map(Transfer::reversed).collect(),
    };
    let credit_note = entry.id;
    ledger::post(tx, entry, now).await?;
    store::cancel(tx, invoice.id, credit_note, now).await?;
    let zone = ledger::zone(tx).await?;
    let number = store::next_note_number(tx, now.in_zone(&zone).date()).await?;
    let id = CreditNoteId::new(now, &tx.entropy());
    store::insert_note(tx, id, number, (invoice.id, credit_note), now).await?;
    let tenant = tx.tenant();
    due::at(tx, ISSUED, tenant, now).await?;
    Ok(())
}

/// Takes back what `items` say of an open invoice, with a credit note of its own; with the last of it the invoice is
/// cancelled. `items` are not empty.
///
/// # Errors
/// [`InvoiceError::Fields`] when more than is left would be taken back.
pub async fn credit(
    tx: &mut Tx,
    which: &Which,
    items: Vec<Item>,
    now: Timestamp,
) -> Result<Credited, InvoiceError> {
    let invoice = store::lock(tx, which, now).await?;
    let invoice = invoice.ok_or(InvoiceError::Unknown)?;
    if invoice.period_id.is_some() {
        return Err(InvoiceError::Receipt);
    }
    match invoice.status {
        Status::Pending | Status::Overdue => {}
        Status::Paid => return Err(InvoiceError::Paid),
        Status::Cancelled => return Err(InvoiceError::Cancelled),
    }
    let (id, number) = part(tx, &invoice, items, now).await?;
    due::at(tx, COLLECT, invoice.customer_id, now).await?;
    Ok(Credited {
        id,
        number,
        invoice: invoice.number,
    })
}

/// A credit note on a part of an invoice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credited {
    /// Its id.
    pub id: CreditNoteId,
    /// Its number.
    pub number: String,
    /// The invoice's number.
    pub invoice: String,
}

/// What is left carries the taxes that it would carry by itself, so that parts come to the whole, to the cent.
async fn part(
    tx: &mut Tx,
    invoice: &Locked,
    items: Vec<Item>,
    now: Timestamp,
) -> Result<(CreditNoteId, String), InvoiceError> {
    let left = invoice.owed();
    let sum = items
        .iter()
        .try_fold(Cents::ZERO, |sum, item| sum.plus(item.amount));
    let amount = sum.unwrap_or_default();
    if amount > left || !amount.is_positive() {
        return Err(InvoiceError::Fields(vec![FieldError {
            field: "amount".to_owned(),
            message: format!("must be more than nothing, and at most the {left} that are left"),
        }]));
    }
    let (net, taxes) = given_back(left, &invoice.taxes.0, amount);
    let billed = billed(
        invoice.customer_id,
        (account(&invoice.revenue)?, net),
        &taxes,
    );
    let of = &invoice.number;
    let entry = Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::CreditNote,
        occurred_at: now,
        customer: Some(invoice.customer_id),
        source: format!("credit note on a part of {of}"),
        description: format!("A part of invoice {of} taken back"),
        transfers: billed.iter().map(Transfer::reversed).collect(),
    };
    let credit_note = entry.id;
    ledger::post(tx, entry, now).await?;
    if amount == left {
        store::cancel(tx, invoice.id, credit_note, now).await?;
    }
    let zone = ledger::zone(tx).await?;
    let number = store::next_note_number(tx, now.in_zone(&zone).date()).await?;
    let id = CreditNoteId::new(now, &tx.entropy());
    let part = Part {
        amount,
        items,
        taxes,
        entry: credit_note,
    };
    store::sale::insert_part(tx, (id, number), invoice.id, &part, now).await?;
    let tenant = tx.tenant();
    due::at(tx, ISSUED, tenant, now).await?;
    Ok((id, number.of_note()))
}
