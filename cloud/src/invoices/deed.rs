//! Issuing, paying and taking back: what moves in the books.

mod notes;

use std::time::Duration;

use easyisp_shared::id::{CustomerId, EntryId, InvoiceId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;

use super::InvoiceError;
use super::rules::{self, Because, Item, Number, Refusal, Step};
use super::store::{self, Issued, Locked, PaidByWallet, Which};
use super::words::Status;
use crate::audit::{self, Action, Actor, Audit};
use crate::customers::COLLECT;
use crate::db::Tx;
use crate::due;
use crate::error::FieldError;
use crate::finance::{self, Moment};
use crate::ledger::{self, AccountCode, Charged, Entry, EntryKind, Leg, Tax, Transfer, split};
use crate::renewals::{self, Method};

use notes::cancel;
pub use notes::credit;

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
/// With nothing written: [`InvoiceError::BalanceTooLow`] when the wallet does not cover it, [`InvoiceError::SetAside`] when it
/// does so only with what is set aside for others.
pub async fn pay_from_wallet(
    tx: &mut Tx,
    invoice: InvoiceId,
    now: Timestamp,
) -> Result<Stepped, InvoiceError> {
    change(tx, &Which::Id(invoice), Status::Paid, Money::Wallet, now).await
}

/// Pays an invoice with money that arrived for it and is set aside in the wallet; that is free again when it was taken back
/// meanwhile, or the invoice is not open any more.
pub async fn settle(tx: &mut Tx, invoice: InvoiceId, now: Timestamp) -> Result<(), InvoiceError> {
    let stepped = match pay_from_wallet(tx, invoice, now).await {
        Ok(stepped) if stepped.changed => stepped,
        Ok(_)
        | Err(InvoiceError::BalanceTooLow | InvoiceError::SetAside(_) | InvoiceError::Cancelled) => {
            if let Some(held) = store::lock(tx, &Which::Id(invoice), now).await? {
                let payer = payer(tx, held.customer_id).await?;
                renewals::let_go(tx, payer, invoice, now).await?;
                // It may pay another one that waits.
                due::at(tx, COLLECT, payer, now).await?;
            }
            return Ok(());
        }
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

/// As the database writes that a wallet paid.
const WALLET: &str = "WALLET";

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
    /// What it was.
    pub before: Facts,
    /// What it is.
    pub after: Facts,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
    /// Whether anything changed.
    pub changed: bool,
}

/// What is said of an invoice in the trail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Whether it is owed.
    pub status: Status,
    /// How it was paid: `WALLET`, `CASH` …
    pub paid_by: Option<String>,
    /// What the payer gave as reference, where it was paid by hand.
    pub reference: Option<String>,
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
    let before = Facts {
        status: invoice.status,
        paid_by: invoice.paid_by.clone(),
        reference: invoice.reference.clone(),
    };
    // What is back in the wallet of somebody who is or was billed pays it again at once: it is given back and taken back in
    // one.
    let in_one = wanted == Status::Cancelled
        && invoice.paid_by.as_deref() == Some(WALLET)
        && store::is_collected(tx, invoice.customer_id).await?;
    let mut invoice = invoice;
    if in_one {
        reopen(tx, &invoice, Because::Asked, now).await?;
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
    let unpaid = Facts {
        status: wanted,
        paid_by: None,
        reference: None,
    };
    let (paid_at, after) = match step {
        Step::Stay => (invoice.paid_at, before.clone()),
        Step::Pay => {
            let (paid_by, reference) = match &money {
                Money::Wallet => (WALLET, None),
                Money::Came {
                    method, reference, ..
                } => (method.as_str(), reference.clone()),
            };
            let paid = Facts {
                paid_by: Some(paid_by.to_owned()),
                reference,
                ..unpaid
            };
            pay(tx, &invoice, money, now).await?;
            (Some(now), paid)
        }
        Step::Cancel => {
            cancel(tx, &invoice, now).await?;
            (None, unpaid)
        }
        Step::Reopen => {
            reopen(tx, &invoice, Because::Asked, now).await?;
            (None, unpaid)
        }
    };
    if step != Step::Stay {
        due::at(tx, COLLECT, invoice.customer_id, now).await?;
    }
    Ok(Stepped {
        id: invoice.id,
        number: invoice.number,
        before,
        after,
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
            renewals::spend(tx, payer, invoice.id, entry, now).await?;
            store::pay(tx, invoice.id, settlement, (WALLET, None, None), now).await?;
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
    because: Because,
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
    store::reopen(tx, invoice.id, reversal, because, now).await?;
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
        let now_in_it = reopen(tx, invoice, Because::TakenBack, now).await?;
        balance = now_in_it.unwrap_or(balance);
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
