//! The documents of a prepaid sale: its receipt, and a credit note for what of it is given back. They are written after
//! the sale, which waits for no number, and move nothing: the sale's own entry did.

use easyisp_shared::id::{CreditNoteId, InvoiceId, PeriodId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;

use super::ISSUED;
use super::rules::Item;
use super::store::sale::{self, Part, Sale};
use super::store::{next_note_number, next_number};
use crate::db::Tx;
use crate::due;
use crate::ledger::{self, given_back};

/// Sees to the documents of a sale: the receipt, once, and a credit note for what was given back since. Repeating it
/// writes nothing. A sale that gets no receipt has none.
pub async fn document_sale(tx: &mut Tx, period: PeriodId, now: Timestamp) -> sqlx::Result<()> {
    let Some(sold) = sale::sale(tx, period).await? else {
        return Ok(());
    };
    let zone = ledger::zone(tx).await?;
    let (receipt, credited) = match sale::lock_receipt(tx, period).await? {
        Some(known) => known,
        None => (issue(tx, period, &sold, &zone, now).await?, Cents::ZERO),
    };
    let more = sold.taken_back.minus(credited).unwrap_or_default();
    if more.is_positive() {
        credit(tx, receipt, &sold, (credited, more), &zone, now).await?;
    }
    let tenant = tx.tenant();
    due::at(tx, ISSUED, tenant, now).await
}

async fn issue(
    tx: &mut Tx,
    period: PeriodId,
    sold: &Sale,
    zone: &TimeZone,
    now: Timestamp,
) -> sqlx::Result<InvoiceId> {
    sale::hold(tx, sold.customer_id).await?;
    let number = next_number(tx, now.in_zone(zone).date()).await?;
    let id = InvoiceId::new(now, &tx.entropy());
    let item = line(sold, sold.price, zone);
    sale::insert_receipt(tx, (id, number), (period, sold), &item, now).await?;
    Ok(id)
}

/// The credit note for `more` of a sale of which `credited` was given back before.
async fn credit(
    tx: &mut Tx,
    receipt: InvoiceId,
    sold: &Sale,
    (credited, more): (Cents, Cents),
    zone: &TimeZone,
    now: Timestamp,
) -> sqlx::Result<()> {
    let Some(entry) = sold.reversal_id else {
        return Ok(()); // given back before there were receipts
    };
    let left = sold.price.minus(credited).unwrap_or_default();
    let taxes = sold.taxes.as_ref().map(|taxes| taxes.0.as_slice());
    let (_, taxes) = given_back(left, taxes.unwrap_or_default(), more);
    let part = Part {
        amount: more,
        items: vec![line(sold, more, zone)],
        taxes,
        entry,
    };
    let number = next_note_number(tx, now.in_zone(zone).date()).await?;
    let id = CreditNoteId::new(now, &tx.entropy());
    sale::insert_part(tx, (id, number), receipt, &part, now).await
}

/// What was sold.
fn line(sold: &Sale, amount: Cents, zone: &TimeZone) -> Item {
    let at = |at: Timestamp| at.in_zone(zone).strftime("%-d %b %Y %H:%M").to_string();
    Item {
        description: format!(
            "{}, {} to {}",
            sold.package,
            at(sold.starts_at),
            at(sold.ends_at)
        ),
        amount,
    }
}
