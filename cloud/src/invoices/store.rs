//! SQL on invoices, their numbers and taxes.

mod numbers;
mod paid;
pub mod report;
pub mod sale;
mod sums;

use easyisp_shared::id::{CreditNoteId, CustomerId, EntryId, InvoiceId, OperatorId, PeriodId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use sqlx::FromRow;
use sqlx::types::Json;

use super::rules::{Because, Item, Number};
use super::words::Status;
use crate::api::{Order, Page, Sort, Sortable};
use crate::customers::beginning_of_phone;
use crate::db::Tx;
use crate::ledger::{Charged, Tax};

pub use numbers::{next_note_number, next_number};
pub use paid::{PaidByWallet, lock_paid_by_wallet, paid_from};
use report::FiscalReceipt;
pub use sums::sums;

/// A customer who can be billed, locked so that he is not deleted meanwhile: his name.
pub async fn hold_customer(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "select name from customers
          where tenant_id = $1 and id = $2 and deleted_at is null and erased_at is null
            for key share",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes the document that takes an invoice back.
pub async fn insert_note(
    tx: &mut Tx,
    id: CreditNoteId,
    number: Number,
    (invoice, entry): (InvoiceId, EntryId),
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into credit_notes (tenant_id, id, year, serial, number, invoice_id, entry_id, issued_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(number.year)
    .bind(number.serial)
    .bind(number.of_note())
    .bind(invoice)
    .bind(entry)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A credit note as a list shows it.
#[derive(FromRow, Clone, Debug)]
pub struct NoteRow {
    pub id: CreditNoteId,
    pub number: String,
    pub invoice: String,
    pub customer_id: CustomerId,
    pub customer_name: String,
    pub amount: Cents,
    pub issued_at: Timestamp,
    pub fiscal: Option<Json<FiscalReceipt>>,
}

/// A page of credit notes, the newest first, and how many there are.
pub async fn notes(tx: &mut Tx, page: Page) -> sqlx::Result<(Vec<NoteRow>, i64)> {
    let rows = sqlx::query_as(
        "select n.id, n.number, i.number as invoice, i.customer_id, c.name as customer_name,
                coalesce(n.amount, i.amount) as amount, n.issued_at, n.fiscal
           from credit_notes n
           join invoices i on i.tenant_id = $1 and i.id = n.invoice_id
           join customers c on c.tenant_id = $1 and c.id = i.customer_id
          where n.tenant_id = $1
          order by n.issued_at desc, n.serial desc
          limit $2 offset $3",
    )
    .bind(tx.tenant())
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar("select count(*) from credit_notes where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await?;
    Ok((rows, total))
}

/// One of them.
pub async fn note_row(tx: &mut Tx, id: CreditNoteId) -> sqlx::Result<Option<NoteRow>> {
    sqlx::query_as(
        "select n.id, n.number, i.number as invoice, i.customer_id, c.name as customer_name,
                coalesce(n.amount, i.amount) as amount, n.issued_at, n.fiscal
           from credit_notes n
           join invoices i on i.tenant_id = $1 and i.id = n.invoice_id
           join customers c on c.tenant_id = $1 and c.id = i.customer_id
          where n.tenant_id = $1 and n.id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// A credit note and what it takes back; amount, lines and taxes where they are its own.
#[derive(FromRow, Clone, Debug)]
pub struct Note {
    pub invoice_id: InvoiceId,
    pub number: String,
    pub issued_at: Timestamp,
    pub amount: Option<Cents>,
    pub items: Option<Json<Vec<Item>>>,
    pub taxes: Option<Json<Vec<Charged>>>,
    pub fiscal: Option<Json<FiscalReceipt>>,
}

/// Reads it, by its id or its number.
pub async fn note(tx: &mut Tx, which: &Which) -> sqlx::Result<Option<Note>> {
    sqlx::query_as(
        "select invoice_id, number, issued_at, amount, items, taxes, fiscal
           from credit_notes
          where tenant_id = $1 and (id = $2 or number = $3)",
    )
    .bind(tx.tenant())
    .bind(which.id())
    .bind(which.number())
    .fetch_optional(&mut **tx)
    .await
}

/// Whether money in a customer's wallet pays his invoices by itself: he is billed once a month, or was.
pub async fn is_collected(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from billed_customers where tenant_id = $1 and customer_id = $2)",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_one(&mut **tx)
    .await
}

/// From when the oldest open invoice of a customer is overdue.
pub async fn oldest_open(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar(
        "select min(overdue_from) from invoices
          where tenant_id = $1 and customer_id = $2 and status = 'PENDING'",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_one(&mut **tx)
    .await
}

/// The open invoices of a customer, the one first that is due first.
pub async fn open(tx: &mut Tx, customer: CustomerId, most: i64) -> sqlx::Result<Vec<InvoiceId>> {
    sqlx::query_scalar(
        "select id from invoices
          where tenant_id = $1 and customer_id = $2 and status = 'PENDING'
          order by due_at, year, serial
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// An invoice as it is issued.
#[derive(Clone, Debug)]
pub struct Issued {
    pub id: InvoiceId,
    pub number: Number,
    pub customer: CustomerId,
    pub amount: Cents,
    pub due_at: Timestamp,
    pub overdue_from: Timestamp,
    pub items: Vec<Item>,
    pub taxes: Vec<Charged>,
    pub entry: EntryId,
    pub operator: Option<OperatorId>,
    pub period_from: Option<Date>,
    pub revenue: String,
}

/// What a customer is to be billed for his installation; `None` when he is gone, or was billed it.
pub async fn installation_to_bill(
    tx: &mut Tx,
    customer: CustomerId,
) -> sqlx::Result<Option<Cents>> {
    sqlx::query_scalar(
        "select c.installation_fee
           from customers c
          where c.tenant_id = $1 and c.id = $2 and c.deleted_at is null
            and not exists (select from invoices i
                             where i.tenant_id = $1 and i.customer_id = $2 and i.revenue = '4010')",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes it down.
pub async fn insert(tx: &mut Tx, invoice: &Issued, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into invoices (tenant_id, id, year, serial, number, customer_id, amount, status, due_at,
                               overdue_from, items, taxes, issued_at, entry_id, operator_id, period_from,
                               revenue, router_id, package_id)
         values ($1, $2, $3, $4, $5, $6, $7, 'PENDING', $8, $9, $10, $11, $12, $13, $14, $15::date, $16,
                 (select router_id from customers where tenant_id = $1 and id = $6),
                 (select package_id from customers where tenant_id = $1 and id = $6 and $15::text is not null))",
    )
    .bind(tx.tenant())
    .bind(invoice.id)
    .bind(invoice.number.year)
    .bind(invoice.number.serial)
    .bind(invoice.number.to_string())
    .bind(invoice.customer)
    .bind(invoice.amount)
    .bind(invoice.due_at)
    .bind(invoice.overdue_from)
    .bind(Json(&invoice.items))
    .bind(Json(&invoice.taxes))
    .bind(now)
    .bind(invoice.entry)
    .bind(invoice.operator)
    .bind(invoice.period_from.map(|day| day.to_string()))
    .bind(&invoice.revenue)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An invoice by its id or its number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    Id(InvoiceId),
    Number(String),
}

impl Which {
    /// What stands in a path: an id, or else a number.
    pub fn parse(text: &str) -> Which {
        match text.parse() {
            Ok(id) => Which::Id(id),
            Err(_) => Which::Number(text.to_ascii_uppercase()),
        }
    }

    fn id(&self) -> Option<InvoiceId> {
        match self {
            Which::Id(id) => Some(*id),
            Which::Number(_) => None,
        }
    }

    fn number(&self) -> Option<&str> {
        match self {
            Which::Id(_) => None,
            Which::Number(number) => Some(number),
        }
    }
}

/// An invoice.
#[derive(FromRow, Clone, Debug)]
pub struct Row {
    pub id: InvoiceId,
    pub number: String,
    pub customer_id: CustomerId,
    pub customer_name: String,
    pub amount: Cents,
    pub status: Status,
    pub due_at: Timestamp,
    pub items: Json<Vec<Item>>,
    pub taxes: Json<Vec<Charged>>,
    pub issued_at: Timestamp,
    pub paid_by: Option<String>,
    pub reference: Option<String>,
    pub paid_at: Option<Timestamp>,
    pub cancelled_at: Option<Timestamp>,
    /// The number of the document that took it back.
    pub credit_note: Option<String>,
    /// What the state's system answered to it.
    pub fiscal: Option<Json<FiscalReceipt>>,
    /// The sale whose receipt it is.
    pub period_id: Option<PeriodId>,
    /// What of it was given back by credit notes on parts.
    pub credited: Cents,
}

impl Row {
    /// What is still to be paid of it; `None` = nothing: it was paid, taken back, or is the receipt of a sale.
    pub fn open(&self) -> Option<Cents> {
        let is_open = match self.status {
            Status::Pending | Status::Overdue => self.period_id.is_none(),
            Status::Paid | Status::Cancelled => false,
        };
        let owed = self.amount.minus(self.credited)?;
        (is_open && owed.is_positive()).then_some(owed)
    }
}

/// Reads an invoice.
pub async fn find(tx: &mut Tx, which: &Which, now: Timestamp) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(
        "select i.id, i.number, i.customer_id, c.name as customer_name, i.amount,
                case when i.status = 'PENDING' and i.overdue_from <= $4 then 'OVERDUE' else i.status end as status,
                i.due_at, i.items, i.taxes, i.issued_at, i.paid_by, i.reference, i.paid_at, i.cancelled_at,
                n.number as credit_note, i.fiscal, i.period_id, i.credited
           from invoices i
           join customers c on c.tenant_id = $1 and c.id = i.customer_id
           left join lateral (select number from credit_notes n
                               where n.tenant_id = $1 and n.invoice_id = i.id
                               order by n.year desc, n.serial desc
                               limit 1) n on true
          where i.tenant_id = $1 and (i.id = $2 or i.number = $3)",
    )
    .bind(tx.tenant())
    .bind(which.id())
    .bind(which.number())
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// What decides what becomes of an invoice.
#[derive(FromRow, Clone, Debug)]
pub struct Locked {
    pub id: InvoiceId,
    pub number: String,
    pub customer_id: CustomerId,
    pub amount: Cents,
    pub status: Status,
    pub taxes: Json<Vec<Charged>>,
    pub paid_at: Option<Timestamp>,
    pub paid_by: Option<String>,
    pub reference: Option<String>,
    pub settlement_id: Option<EntryId>,
    pub period_id: Option<PeriodId>,
    pub revenue: String,
    pub credited: Cents,
}

impl Locked {
    /// What of it was not taken back by credit notes on parts.
    pub fn owed(&self) -> Cents {
        self.amount.minus(self.credited).unwrap_or_default()
    }
}

/// Reads and locks an invoice: before its customer and his wallet, like every intent.
pub async fn lock(tx: &mut Tx, which: &Which, now: Timestamp) -> sqlx::Result<Option<Locked>> {
    sqlx::query_as(
        "select id, number, customer_id, amount,
                case when status = 'PENDING' and overdue_from <= $4 then 'OVERDUE' else status end as status,
                taxes, paid_at, paid_by, reference, settlement_id, period_id, revenue, credited
           from invoices
          where tenant_id = $1 and (id = $2 or number = $3)
            for update",
    )
    .bind(tx.tenant())
    .bind(which.id())
    .bind(which.number())
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes that an invoice was paid, by which entry and how, and who took the money where it went through no wallet.
pub async fn pay(
    tx: &mut Tx,
    id: InvoiceId,
    settlement: EntryId,
    (paid_by, reference, taken_by): (&str, Option<&str>, Option<OperatorId>),
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update invoices
            set status = 'PAID', settlement_id = $3, paid_by = $4, reference = $5, paid_at = $6, settled_by = $7
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(settlement)
    .bind(paid_by)
    .bind(reference)
    .bind(now)
    .bind(taken_by)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes that what an invoice was paid with was taken back, by which entry and why.
pub async fn reopen(
    tx: &mut Tx,
    id: InvoiceId,
    reversal: EntryId,
    because: Because,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into invoice_reopenings (tenant_id, invoice_id, settlement_id, reversal_id, paid_by, paid_at,
                                         reopened_at, taken_back)
         select tenant_id, id, settlement_id, $3, paid_by, paid_at, $4, $5
           from invoices where tenant_id = $1 and id = $2 and status = 'PAID'",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(reversal)
    .bind(now)
    .bind(because == Because::TakenBack)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "update invoices
            set status = 'PENDING', settlement_id = null, paid_by = null, reference = null, paid_at = null,
                settled_by = null
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes that an invoice was taken back, and by which entry.
pub async fn cancel(
    tx: &mut Tx,
    id: InvoiceId,
    credit_note: EntryId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update invoices
            set status = 'CANCELLED', credit_note_id = $3, cancelled_at = $4
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(credit_note)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Which invoices to list.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    pub search: Option<String>,
    pub status: Option<Status>,
    pub receipts: Option<bool>,
}

/// What invoices are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("createdAt", &["issued_at", "serial"]),
        ("dueDate", &["due_at", "serial"]),
        ("amount", &["amount", "serial"]),
    ];
    const USUAL: Order = Order::Desc;
}

/// A page of invoices, the newest first unless asked otherwise.
pub async fn page(
    tx: &mut Tx,
    filter: &Filter,
    sort: Sort<By>,
    page: Page,
    now: Timestamp,
) -> sqlx::Result<Vec<Row>> {
    let search = crate::db::sought(filter.search.as_deref());
    sqlx::query_as(sort.text(
        "select i.id, i.number, i.customer_id, c.name as customer_name, i.amount,
                case when i.status = 'PENDING' and i.overdue_from <= $4 then 'OVERDUE' else i.status end as status,
                i.due_at, i.items, i.taxes, i.issued_at, i.paid_by, i.reference, i.paid_at, i.cancelled_at,
                i.serial, n.number as credit_note, i.fiscal, i.period_id, i.credited
           from invoices i
           join customers c on c.tenant_id = $1 and c.id = i.customer_id
           left join lateral (select number from credit_notes n
                               where n.tenant_id = $1 and n.invoice_id = i.id
                               order by n.year desc, n.serial desc
                               limit 1) n on true
          where i.tenant_id = $1
            and ($2::text is null or i.id = any((select found_invoices($1, $2, $8))::uuid[]))
            and ($3::text is null
                 or $3 = case when i.status = 'PENDING' and i.overdue_from <= $4 then 'OVERDUE' else i.status end)
            and ($7::boolean is null or $7 = (i.period_id is not null))
          order by {order}
          limit $5 offset $6",
    ))
    .bind(tx.tenant())
    .bind(&search)
    .bind(filter.status)
    .bind(now)
    .bind(page.limit())
    .bind(page.offset())
    .bind(filter.receipts)
    .bind(search.as_deref().and_then(beginning_of_phone))
    .fetch_all(&mut **tx)
    .await
}

/// Taxes that are in force from a day on.
#[derive(Clone, Debug)]
pub struct TaxTable {
    pub first_day: Date,
    pub taxes: Vec<Tax>,
}

#[derive(FromRow)]
struct TaxRow {
    first_day: String,
    taxes: Json<Vec<Tax>>,
}

impl TaxRow {
    fn table(self) -> sqlx::Result<TaxTable> {
        let first_day = self
            .first_day
            .parse()
            .map_err(|error: jiff::Error| sqlx::Error::Decode(error.into()))?;
        Ok(TaxTable {
            first_day,
            taxes: self.taxes.0,
        })
    }
}

/// The taxes in force on a day. `None` = none was ever set.
pub async fn taxes_on(tx: &mut Tx, day: Date) -> sqlx::Result<Option<TaxTable>> {
    let row: Option<TaxRow> = sqlx::query_as(
        "select first_day::text as first_day, taxes
           from tax_tables
          where tenant_id = $1 and first_day <= $2::date
          order by first_day desc
          limit 1",
    )
    .bind(tx.tenant())
    .bind(day.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    row.map(TaxRow::table).transpose()
}

/// All tables, the newest first, at most `most`.
pub async fn tax_tables(tx: &mut Tx, most: i64) -> sqlx::Result<Vec<TaxTable>> {
    let rows: Vec<TaxRow> = sqlx::query_as(
        "select first_day::text as first_day, taxes
           from tax_tables
          where tenant_id = $1
          order by first_day desc
          limit $2",
    )
    .bind(tx.tenant())
    .bind(most)
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(TaxRow::table).collect()
}

/// Writes what is in force from a day on, in place of what was written for that day before.
pub async fn set_taxes(
    tx: &mut Tx,
    table: &TaxTable,
    operator: OperatorId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into tax_tables (tenant_id, first_day, taxes, operator_id, set_at)
         values ($1, $2::date, $3, $4, $5)
             on conflict (tenant_id, first_day) do update
                set taxes = excluded.taxes, operator_id = excluded.operator_id, set_at = excluded.set_at",
    )
    .bind(tx.tenant())
    .bind(table.first_day.to_string())
    .bind(Json(&table.taxes))
    .bind(operator)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What an invoice on paper says of the two parties.
#[derive(FromRow, Clone, Debug)]
pub struct Letterhead {
    pub business_name: String,
    pub email: String,
    pub phone: Option<String>,
    pub location: Option<String>,
    pub currency: String,
    pub time_zone: String,
    pub account_number: i32,
    pub hotspot: bool,
}

/// Reads it.
pub async fn letterhead(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Letterhead> {
    sqlx::query_as(
        "select t.business_name, t.email, t.phone, t.location, t.currency, t.time_zone, c.account_number,
                c.connection_type = 'HOTSPOT' as hotspot
           from tenants t
           join customers c on c.tenant_id = $1 and c.id = $2
          where t.tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_one(&mut **tx)
    .await
}
