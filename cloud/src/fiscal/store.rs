//! SQL on documents that are reported.

use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use super::rules::Outcome;
use super::words::{Provider, State};
use crate::api::Page;
use crate::db::Tx;
use crate::invoices::Document;

/// How a tenant reports.
#[derive(FromRow, Clone)]
pub struct Settings {
    pub provider: Provider,
    pub enabled: bool,
    pub production: bool,
    pub taxpayer: String,
    pub branch: String,
    pub control_unit: String,
    pub key_sealed: Vec<u8>,
    pub item_code: String,
    pub item_class: String,
    pub vat_name: String,
    pub invoice_year: i16,
    pub invoice_serial: i32,
    pub note_year: i16,
    pub note_serial: i32,
    pub last_serial: i64,
}

/// Reads it; `None` = the tenant reports to nobody.
pub async fn settings(tx: &mut Tx) -> sqlx::Result<Option<Settings>> {
    sqlx::query_as("select * from fiscal_settings where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_optional(&mut **tx)
        .await
}

/// Reads and locks it: numbers are given one after the other.
pub async fn lock_settings(tx: &mut Tx) -> sqlx::Result<Option<Settings>> {
    sqlx::query_as("select * from fiscal_settings where tenant_id = $1 for update")
        .bind(tx.tenant())
        .fetch_optional(&mut **tx)
        .await
}

/// Writes it.
pub async fn put_settings(tx: &mut Tx, wanted: &Settings, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into fiscal_settings (tenant_id, provider, enabled, production, taxpayer, branch, control_unit,
                key_sealed, item_code, item_class, vat_name, invoice_year, invoice_serial, note_year, note_serial,
                last_serial, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
             on conflict (tenant_id) do update
                set provider = excluded.provider, enabled = excluded.enabled, production = excluded.production,
                    taxpayer = excluded.taxpayer, branch = excluded.branch, control_unit = excluded.control_unit,
                    key_sealed = excluded.key_sealed, item_code = excluded.item_code,
                    item_class = excluded.item_class, vat_name = excluded.vat_name,
                    invoice_year = excluded.invoice_year, invoice_serial = excluded.invoice_serial,
                    note_year = excluded.note_year, note_serial = excluded.note_serial,
                    last_serial = excluded.last_serial, updated_at = excluded.updated_at",
    )
    .bind(tx.tenant())
    .bind(wanted.provider)
    .bind(wanted.enabled)
    .bind(wanted.production)
    .bind(&wanted.taxpayer)
    .bind(&wanted.branch)
    .bind(&wanted.control_unit)
    .bind(&wanted.key_sealed)
    .bind(&wanted.item_code)
    .bind(&wanted.item_class)
    .bind(&wanted.vat_name)
    .bind(wanted.invoice_year)
    .bind(wanted.invoice_serial)
    .bind(wanted.note_year)
    .bind(wanted.note_serial)
    .bind(wanted.last_serial)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// By which number a document is known there; `None` = it never was taken in.
pub async fn serial_of(tx: &mut Tx, document: Uuid) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "select serial from fiscal_documents where tenant_id = $1 and document_id = $2",
    )
    .bind(tx.tenant())
    .bind(document)
    .fetch_optional(&mut **tx)
    .await
}

/// Takes a document in, with its number for good.
pub async fn insert(
    tx: &mut Tx,
    document: &Document,
    (serial, original): (i64, Option<i64>),
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into fiscal_documents (tenant_id, document_id, kind, serial, number, original_serial, state, due_at,
                                       issued_at)
         values ($1, $2, case when $5::bigint is null then 'INVOICE' else 'CREDIT_NOTE' end, $3, $4, $5, 'WAITING',
                 $6, $7)",
    )
    .bind(tx.tenant())
    .bind(document.id)
    .bind(serial)
    .bind(&document.number)
    .bind(original)
    .bind(now)
    .bind(document.issued_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A document that is to be sent.
#[derive(FromRow, Clone, Debug)]
pub struct Open {
    pub document_id: Uuid,
    pub serial: i64,
    pub number: String,
    pub original_serial: Option<i64>,
    pub attempts: i32,
    pub answered: i32,
    pub due_at: Timestamp,
}

/// The first one that is open, locked. A credit note waits for the invoice that it takes back.
pub async fn first_open(tx: &mut Tx) -> sqlx::Result<Option<Open>> {
    sqlx::query_as(
        "select d.document_id, d.serial, d.number, d.original_serial, d.attempts, d.answered, d.due_at
           from fiscal_documents d
          where d.tenant_id = $1 and d.state in ('WAITING', 'UNKNOWN')
            and not exists (select from fiscal_documents o
                             where o.tenant_id = $1 and o.serial = d.original_serial and o.state = 'REFUSED')
          order by d.serial
          limit 1
            for update of d",
    )
    .bind(tx.tenant())
    .fetch_optional(&mut **tx)
    .await
}

/// Notes that a try begins, which is over by `until`: from now on it may be there.
pub async fn begin(tx: &mut Tx, document: Uuid, until: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update fiscal_documents
            set state = 'UNKNOWN', attempts = attempts + 1, due_at = $3,
                problem = 'a try began and was not heard of'
          where tenant_id = $1 and document_id = $2",
    )
    .bind(tx.tenant())
    .bind(document)
    .bind(until)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes what came of it, unless another try has said more meanwhile.
pub async fn conclude(
    tx: &mut Tx,
    document: Uuid,
    outcome: &Outcome,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update fiscal_documents
            set state = $3, problem = $4, due_at = coalesce($5, due_at), answered = answered + $7,
                settled_at = case when $3 in ('SIGNED', 'ACCEPTED') then $6 end
          where tenant_id = $1 and document_id = $2
            and (state in ('WAITING', 'UNKNOWN') or state = 'ACCEPTED' and $3 = 'SIGNED')",
    )
    .bind(tx.tenant())
    .bind(document)
    .bind(outcome.state)
    .bind(&outcome.problem)
    .bind(outcome.again)
    .bind(now)
    .bind(i32::from(outcome.odd))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Has a document that was refused, or is waited for, sent now. Its number; `None` = there is no such document, and
/// `Some(None)` = it is there already.
pub async fn again(
    tx: &mut Tx,
    document: Uuid,
    now: Timestamp,
) -> sqlx::Result<Option<Option<String>>> {
    let found: Option<(State, String)> = sqlx::query_as(
        "select state, number from fiscal_documents where tenant_id = $1 and document_id = $2 for update",
    )
    .bind(tx.tenant())
    .bind(document)
    .fetch_optional(&mut **tx)
    .await?;
    let Some((state, number)) = found else {
        return Ok(None);
    };
    if matches!(state, State::Signed | State::Accepted) {
        return Ok(Some(None));
    }
    sqlx::query(
        "update fiscal_documents
            set state = case state when 'REFUSED' then 'WAITING' else state end, due_at = $3, answered = 0
          where tenant_id = $1 and document_id = $2",
    )
    .bind(tx.tenant())
    .bind(document)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(Some(Some(number)))
}

/// Forgets what was reported, to report it anew; returns the first invoice of it.
pub async fn forget_reported(tx: &mut Tx) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar(
        "with gone as (
             delete from fiscal_documents where tenant_id = $1 returning document_id, kind, serial)
         select document_id from gone where kind = 'INVOICE' order by serial limit 1",
    )
    .bind(tx.tenant())
    .fetch_optional(&mut **tx)
    .await
}

/// A document as a list shows it.
#[derive(FromRow, Clone, Debug)]
pub struct Row {
    pub document_id: Uuid,
    pub kind: String,
    /// `None` = it was not taken in yet.
    pub serial: Option<i64>,
    pub number: String,
    pub state: State,
    pub attempts: i32,
    pub due_at: Timestamp,
    pub problem: Option<String>,
    pub issued_at: Timestamp,
    pub settled_at: Option<Timestamp>,
}

/// Why a document is not there: what was heard of it, or for a credit note that its invoice must be there first.
macro_rules! problem {
    ($document:literal) => {
        concat!(
            "coalesce(",
            $document,
            ".problem,
                      (select 'it takes back ' || o.number || ', which was refused: correct that one and retry it'
                         from fiscal_documents o
                        where o.tenant_id = $1 and o.serial = ",
            $document,
            ".original_serial and o.state = 'REFUSED' and ",
            $document,
            ".state in ('WAITING', 'UNKNOWN'))) as problem"
        )
    };
}

/// A page of documents, the newest first, and how many there are.
pub async fn page(tx: &mut Tx, state: Option<State>, page: Page) -> sqlx::Result<(Vec<Row>, i64)> {
    let rows = sqlx::query_as(concat!(
        "select d.document_id, d.kind, d.serial, d.number, d.state, d.attempts, d.due_at, ",
        problem!("d"),
        ", d.issued_at, d.settled_at
           from fiscal_documents d
          where d.tenant_id = $1 and ($2::text is null or d.state = $2)
          order by d.serial desc
          limit $3 offset $4"
    ))
    .bind(tx.tenant())
    .bind(state)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*) from fiscal_documents where tenant_id = $1 and ($2::text is null or state = $2)",
    )
    .bind(tx.tenant())
    .bind(state)
    .fetch_one(&mut **tx)
    .await?;
    Ok((rows, total))
}

/// What was issued between two moments, `$2` and `$3`, and is to be reported: invoices by their numbers, from the first one
/// that was taken in on, or behind the place where that begins; and what takes one of these back. With how each stands,
/// where it was taken in.
macro_rules! issued {
    () => {
        concat!(
            "with settings as (
             select coalesce(first.year, f.invoice_year) as year, coalesce(first.serial, f.invoice_serial + 1) as serial
               from fiscal_settings f
               left join lateral (select i.year, i.serial
                                    from fiscal_documents d
                                    join invoices i on i.tenant_id = $1 and i.id = d.document_id
                                   where d.tenant_id = $1 and d.kind = 'INVOICE'
                                   order by d.serial
                                   limit 1) first on true
              where f.tenant_id = $1),
         document as (
             select i.id, 'INVOICE' as kind, i.number, i.issued_at
               from settings s
               join invoices i on i.tenant_id = $1 and i.issued_at >= $2 and i.issued_at < $3
                              and (i.year, i.serial) >= (s.year, s.serial)
             union all
             select n.id, 'CREDIT_NOTE', n.number, n.issued_at
               from settings s
               join credit_notes n on n.tenant_id = $1 and n.issued_at >= $2 and n.issued_at < $3
               join invoices i on i.tenant_id = $1 and i.id = n.invoice_id
                              and (i.year, i.serial) >= (s.year, s.serial)),
         issued as (
             select d.id as document_id, d.kind, f.serial, d.number, coalesce(f.state, 'WAITING') as state,
                    coalesce(f.attempts, 0) as attempts, coalesce(f.due_at, d.issued_at) as due_at, ",
            problem!("f"),
            ",
                    d.issued_at, f.settled_at
               from document d
               left join fiscal_documents f on f.tenant_id = $1 and f.document_id = d.id)"
        )
    };
}

/// How many were issued between two moments, and how many of them are signed.
pub async fn counts(tx: &mut Tx, from: Timestamp, to: Timestamp) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(concat!(
        issued!(),
        " select count(*), count(*) filter (where state = 'SIGNED') from issued"
    ))
    .bind(tx.tenant())
    .bind(from)
    .bind(to)
    .fetch_one(&mut **tx)
    .await
}

/// Those of them that are not, oldest first.
pub async fn missing(
    tx: &mut Tx,
    from: Timestamp,
    to: Timestamp,
    most: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(concat!(
        issued!(),
        " select document_id, kind, serial, number, state, attempts, due_at, problem, issued_at, settled_at
            from issued
           where state <> 'SIGNED'
           order by serial nulls last, issued_at, number
           limit $4"
    ))
    .bind(tx.tenant())
    .bind(from)
    .bind(to)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
