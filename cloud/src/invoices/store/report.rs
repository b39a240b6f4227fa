//! Documents as a state's own system is told of them, and what it answered.

use easyisp_shared::id::{CreditNoteId, CustomerId, InvoiceId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::Tx;
use crate::invoices::rules::Item;
use crate::ledger::Charged;

/// What the state's system answered: it stands on the document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiscalReceipt {
    /// The control unit's number of this document: `KRACU0100000001/7`.
    pub control_number: String,
    /// Its internal data.
    pub internal_data: String,
    /// Its signature.
    pub signature: String,
    /// When it signed, by its own clock.
    pub signed_at: Option<Timestamp>,
    /// Where anybody may check it; the code on the document leads there.
    pub check_url: String,
}

/// An invoice, or what takes one back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// The invoice's id, or the credit note's.
    pub id: Uuid,
    /// In which year, and which of it.
    pub place: (i16, i32),
    /// Its number, for people.
    pub number: String,
    /// The invoice that it takes back; `None` = it is one.
    pub takes_back: Option<InvoiceId>,
    /// Whose.
    pub customer: CustomerId,
    /// His name.
    pub customer_name: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Taxes included.
    pub amount: Cents,
    /// How the invoice was paid, where it was.
    pub paid_by: Option<String>,
    /// What was billed.
    pub items: Vec<Item>,
    /// The taxes in it.
    pub taxes: Vec<Charged>,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    year: i16,
    serial: i32,
    number: String,
    takes_back: Option<InvoiceId>,
    customer_id: CustomerId,
    customer_name: String,
    issued_at: Timestamp,
    amount: Cents,
    paid_by: Option<String>,
    items: Json<Vec<Item>>,
    taxes: Json<Vec<Charged>>,
}

impl From<Row> for Document {
    fn from(row: Row) -> Document {
        Document {
            id: row.id,
            place: (row.year, row.serial),
            number: row.number,
            takes_back: row.takes_back,
            customer: row.customer_id,
            customer_name: row.customer_name,
            issued_at: row.issued_at,
            amount: row.amount,
            paid_by: row.paid_by,
            items: row.items.0,
            taxes: row.taxes.0,
        }
    }
}

/// The invoices behind this place in their numbering, in its order: nothing is committed later in front of one that
/// is there, because numbers are given one after the other.
pub async fn invoices_after(
    tx: &mut Tx,
    (year, serial): (i16, i32),
    most: i64,
) -> sqlx::Result<Vec<Document>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select i.id, i.year, i.serial, i.number, null::uuid as takes_back, i.customer_id, c.name as customer_name,
                i.issued_at, i.amount, i.paid_by, i.items, i.taxes
           from invoices i
           join customers c on c.tenant_id = $1 and c.id = i.customer_id
          where i.tenant_id = $1 and (i.year, i.serial) > ($2, $3)
          order by i.year, i.serial
          limit $4",
    )
    .bind(tx.tenant())
    .bind(year)
    .bind(serial)
    .bind(most)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(Document::from).collect())
}

/// The same of credit notes.
pub async fn notes_after(
    tx: &mut Tx,
    (year, serial): (i16, i32),
    most: i64,
) -> sqlx::Result<Vec<Document>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select n.id, n.year, n.serial, n.number, i.id as takes_back, i.customer_id, c.name as customer_name,
                n.issued_at, coalesce(n.amount, i.amount) as amount, null::text as paid_by,
                coalesce(n.items, i.items) as items, coalesce(n.taxes, i.taxes) as taxes
           from credit_notes n
           join invoices i on i.tenant_id = $1 and i.id = n.invoice_id
           join customers c on c.tenant_id = $1 and c.id = i.customer_id
          where n.tenant_id = $1 and (n.year, n.serial) > ($2, $3)
          order by n.year, n.serial
          limit $4",
    )
    .bind(tx.tenant())
    .bind(year)
    .bind(serial)
    .bind(most)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(Document::from).collect())
}

/// One document, an invoice or a credit note.
pub async fn document(tx: &mut Tx, id: Uuid) -> sqlx::Result<Option<Document>> {
    let row: Option<Row> = sqlx::query_as(
        "select coalesce(n.id, i.id) as id, coalesce(n.year, i.year) as year, coalesce(n.serial, i.serial) as serial,
                coalesce(n.number, i.number) as number, n.invoice_id as takes_back, i.customer_id,
                c.name as customer_name, coalesce(n.issued_at, i.issued_at) as issued_at,
                coalesce(n.amount, i.amount) as amount, case when n.id is null then i.paid_by end as paid_by,
                coalesce(n.items, i.items) as items, coalesce(n.taxes, i.taxes) as taxes
           from invoices i
           join customers c on c.tenant_id = $1 and c.id = i.customer_id
           left join credit_notes n on n.tenant_id = $1 and n.invoice_id = i.id and n.id = $2
          where i.tenant_id = $1 and (i.id = $2 or n.id = $2)",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(Document::from))
}

/// The last places in the numberings of invoices and of credit notes.
pub async fn last_places(tx: &mut Tx) -> sqlx::Result<((i16, i32), (i16, i32))> {
    let places: (Option<i16>, Option<i32>, Option<i16>, Option<i32>) = sqlx::query_as(
        "select i.year, i.last, n.year, n.last
           from (select 1) one
           left join lateral (select year, last from invoice_numbers
                               where tenant_id = $1 order by year desc limit 1) i on true
           left join lateral (select year, last from credit_note_numbers
                               where tenant_id = $1 order by year desc limit 1) n on true",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await?;
    let (year, last, note_year, note_last) = places;
    let place = |year: Option<i16>, last: Option<i32>| (year.unwrap_or(0), last.unwrap_or(0));
    Ok((place(year, last), place(note_year, note_last)))
}

/// The place of an invoice among all; `None` when there is no such invoice.
pub async fn place_of(tx: &mut Tx, invoice: InvoiceId) -> sqlx::Result<Option<(i16, i32)>> {
    sqlx::query_as("select year, serial from invoices where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(invoice)
        .fetch_optional(&mut **tx)
        .await
}

/// Writes on an invoice what the state's system answered to it.
pub async fn note_fiscal(
    tx: &mut Tx,
    invoice: InvoiceId,
    receipt: &FiscalReceipt,
) -> sqlx::Result<()> {
    sqlx::query("update invoices set fiscal = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(invoice)
        .bind(Json(receipt))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The same on a credit note.
pub async fn note_fiscal_of_note(
    tx: &mut Tx,
    note: CreditNoteId,
    receipt: &FiscalReceipt,
) -> sqlx::Result<()> {
    sqlx::query("update credit_notes set fiscal = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(note)
        .bind(Json(receipt))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
