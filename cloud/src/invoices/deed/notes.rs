//! Taking an invoice back, or a part of it: credit notes.

use easyisp_shared::id::{CreditNoteId, EntryId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use super::super::InvoiceError;
use super::super::rules::Item;
use super::super::store::sale::Part;
use super::super::store::{self, Locked, Which};
use super::super::words::Status;
use super::{ISSUED, account, billed};
use crate::customers::COLLECT;
use crate::db::Tx;
use crate::due;
use crate::error::FieldError;
use crate::ledger::{self, Entry, EntryKind, Transfer, given_back};

/// The credit note: what was billed, the other way, and a document that says so. Its number is the last lock, like
/// an invoice's.
pub(super) async fn cancel(
    tx: &mut Tx,
    invoice: &Locked,
    now: Timestamp,
) -> Result<(), InvoiceError> {
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
