//! SQL on prepaid sales: whether they are taxed and get a receipt, and the documents of one.

use easyisp_shared::id::{CreditNoteId, CustomerId, EntryId, InvoiceId, PeriodId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use sqlx::types::Json;

use crate::db::Tx;
use crate::invoices::rules::{Item, Number};
use crate::ledger::{Charged, total_tax};

/// Since when prepaid sales are taxed, and since when they get receipts. `None` = they are not, they do not.
#[derive(FromRow, Clone, PartialEq, Eq, Debug)]
pub struct Prepaid {
    #[sqlx(rename = "prepaid_taxed_from")]
    pub taxed_from: Option<Timestamp>,
    #[sqlx(rename = "prepaid_receipts_from")]
    pub receipts_from: Option<Timestamp>,
    pub business_name: String,
}

/// Reads and locks it.
pub async fn lock_prepaid(tx: &mut Tx) -> sqlx::Result<Prepaid> {
    sqlx::query_as(
        "select prepaid_taxed_from, prepaid_receipts_from, business_name
           from tenants
          where tenant_id = $1
            for no key update",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await
}

/// Reads it.
pub async fn prepaid(tx: &mut Tx) -> sqlx::Result<Prepaid> {
    sqlx::query_as(
        "select prepaid_taxed_from, prepaid_receipts_from, business_name from tenants where tenant_id = $1",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await
}

/// Writes it.
pub async fn set_prepaid(tx: &mut Tx, wanted: &Prepaid, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update tenants
            set prepaid_taxed_from = $2, prepaid_receipts_from = $3, updated_at = $4
          where tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(wanted.taxed_from)
    .bind(wanted.receipts_from)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A sale that gets a receipt.
#[derive(FromRow, Clone, Debug)]
pub struct Sale {
    pub customer_id: CustomerId,
    pub package: String,
    pub price: Cents,
    pub taxes: Option<Json<Vec<Charged>>>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub sold_at: Timestamp,
    pub entry_id: EntryId,
    /// A voucher paid for it, no wallet.
    pub by_voucher: bool,
    pub taken_back: Cents,
    pub reversal_id: Option<EntryId>,
}

/// Reads it; `None` = there is no such sale, or it gets no receipt.
pub async fn sale(tx: &mut Tx, period: PeriodId) -> sqlx::Result<Option<Sale>> {
    sqlx::query_as(
        "select p.customer_id, k.name as package, p.price, p.taxes, p.starts_at, p.ends_at,
                p.created_at as sold_at, p.entry_id, p.taken_back, p.reversal_id,
                exists (select from transfers t
                         where t.tenant_id = $1 and t.entry_id = p.entry_id and t.debit_account = '2200')
                    as by_voucher
           from periods p
           join packages k on k.tenant_id = $1 and k.id = p.package_id
          where p.tenant_id = $1 and p.id = $2 and p.receipted and p.entry_id is not null",
    )
    .bind(tx.tenant())
    .bind(period)
    .fetch_optional(&mut **tx)
    .await
}

/// Reads and locks the receipt of a sale, and what of it was given back by credit notes.
pub async fn lock_receipt(
    tx: &mut Tx,
    period: PeriodId,
) -> sqlx::Result<Option<(InvoiceId, Cents)>> {
    sqlx::query_as(
        "select id, credited from invoices where tenant_id = $1 and period_id = $2 for update",
    )
    .bind(tx.tenant())
    .bind(period)
    .fetch_optional(&mut **tx)
    .await
}

/// Locks a customer, whoever he is by now, so that nobody who issues waits for who holds him.
pub async fn hold(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<()> {
    sqlx::query("select from customers where tenant_id = $1 and id = $2 for key share")
        .bind(tx.tenant())
        .bind(customer)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes the receipt of a sale: paid when it was sold, by the entry that booked it.
pub async fn insert_receipt(
    tx: &mut Tx,
    (id, number): (InvoiceId, Number),
    (period, sale): (PeriodId, &Sale),
    item: &Item,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into invoices (tenant_id, id, year, serial, number, customer_id, amount, status, due_at,
                               overdue_from, items, taxes, issued_at, entry_id, settlement_id, paid_by, paid_at,
                               period_id)
         values ($1, $2, $3, $4, $5, $6, $7, 'PAID', $8, $8, $9, coalesce($10, '[]'::jsonb), $11, $12, $12,
                 case when $13 then 'VOUCHER' else 'WALLET' end, $8, $14)",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(number.year)
    .bind(number.serial)
    .bind(number.to_string())
    .bind(sale.customer_id)
    .bind(sale.price)
    .bind(sale.sold_at)
    .bind(Json([item]))
    .bind(&sale.taxes)
    .bind(now)
    .bind(sale.entry_id)
    .bind(sale.by_voucher)
    .bind(period)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A part of a receipt or an invoice that is given back.
#[derive(Clone, Debug)]
pub struct Part {
    pub amount: Cents,
    pub items: Vec<Item>,
    pub taxes: Vec<Charged>,
    pub entry: EntryId,
}

/// Writes the credit note of a part of a receipt or an invoice, and on that one that so much is given back.
pub async fn insert_part(
    tx: &mut Tx,
    (id, number): (CreditNoteId, Number),
    receipt: InvoiceId,
    part: &Part,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "with credited as (
             update invoices set credited = credited + $8, credited_tax = credited_tax + $12
              where tenant_id = $1 and id = $6)
         insert into credit_notes (tenant_id, id, year, serial, number, invoice_id, entry_id, amount, items, taxes,
                                   issued_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(number.year)
    .bind(number.serial)
    .bind(number.of_note())
    .bind(receipt)
    .bind(part.entry)
    .bind(part.amount)
    .bind(Json(&part.items))
    .bind(Json(&part.taxes))
    .bind(now)
    .bind(total_tax(&part.taxes))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
