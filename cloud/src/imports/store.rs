//! SQL on imports, the parts of them that wait, and their rows.

use easyisp_shared::id::{ImportId, OperatorId};
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::words::{OnExisting, Outcome, State, What};
use crate::db::Tx;
use crate::error::FieldError;

/// A file on its way in.
pub struct New<'a> {
    pub id: ImportId,
    pub what: What,
    pub format: &'static str,
    pub on_existing: OnExisting,
    pub total: i32,
    pub warnings: &'a [String],
    pub by: By,
}

/// Who sent it.
#[derive(FromRow, Clone, Debug)]
pub struct By {
    pub operator_id: OperatorId,
    pub operator_name: String,
    pub of_platform: bool,
    pub address: String,
    pub request_id: String,
}

/// Writes a file of which nothing is taken in yet.
pub async fn insert(tx: &mut Tx, new: &New<'_>, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into imports (tenant_id, id, what, format, on_existing, state, total, warnings, operator_id,
                operator_name, of_platform, address, request_id, created_at)
         values ($1, $2, $3, $4, $5, 'QUEUED', $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(tx.tenant())
    .bind(new.id)
    .bind(new.what)
    .bind(new.format)
    .bind(new.on_existing)
    .bind(new.total)
    .bind(Json(new.warnings))
    .bind(new.by.operator_id)
    .bind(&new.by.operator_name)
    .bind(new.by.of_platform)
    .bind(&new.by.address)
    .bind(&new.by.request_id)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A file that was sent in.
#[derive(FromRow, Clone, Debug)]
pub struct Import {
    pub id: ImportId,
    pub what: What,
    pub format: String,
    pub on_existing: OnExisting,
    pub state: State,
    pub total: i32,
    pub created: i32,
    pub updated: i32,
    pub skipped: i32,
    pub failed: i32,
    pub warnings: Json<Vec<String>>,
    pub error: Option<String>,
    #[sqlx(flatten)]
    pub by: By,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub undone_at: Option<Timestamp>,
    /// Who was erased while it waits.
    pub forgotten: Vec<Vec<u8>>,
}

impl Import {
    /// Rows that were looked at.
    pub fn done(&self) -> i32 {
        self.created + self.updated + self.skipped + self.failed
    }
}

/// One file; `None` when this tenant has no such import.
pub async fn find(tx: &mut Tx, import: ImportId) -> sqlx::Result<Option<Import>> {
    sqlx::query_as("select * from imports where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(import)
        .fetch_optional(&mut **tx)
        .await
}

/// The same, locked until the transaction ends: whoever takes rows in or out works alone.
pub async fn lock(tx: &mut Tx, import: ImportId) -> sqlx::Result<Option<Import>> {
    sqlx::query_as("select * from imports where tenant_id = $1 and id = $2 for update")
        .bind(tx.tenant())
        .bind(import)
        .fetch_optional(&mut **tx)
        .await
}

/// Reads and locks the files of which parts wait.
pub async fn lock_waiting(tx: &mut Tx) -> sqlx::Result<Vec<ImportId>> {
    sqlx::query_scalar(
        "select id from imports where tenant_id = $1 and finished_at is null order by id for update",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await
}

/// Notes that a row of a waiting file is not to be taken in.
pub async fn forbid(tx: &mut Tx, import: ImportId, digest: &[u8]) -> sqlx::Result<()> {
    sqlx::query(
        "update imports set forgotten = forgotten || $3::bytea where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(import)
    .bind(digest)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Files, the newest first, and how many there are.
pub async fn list(tx: &mut Tx, limit: i64, offset: i64) -> sqlx::Result<(Vec<Import>, i64)> {
    let imports = sqlx::query_as(
        "select * from imports where tenant_id = $1 order by created_at desc, id limit $2 offset $3",
    )
    .bind(tx.tenant())
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar("select count(*) from imports where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await?;
    Ok((imports, total))
}

/// Keeps parts for later, sealed, numbered from 0.
pub async fn insert_parts(tx: &mut Tx, import: ImportId, sealed: &[Vec<u8>]) -> sqlx::Result<()> {
    let numbers: Vec<i32> = (0..).take(sealed.len()).collect();
    sqlx::query(
        "insert into import_parts (tenant_id, import_id, part, rows_sealed)
         select $1, $2, p.part, p.sealed from unnest($3::integer[], $4::bytea[]) as p (part, sealed)",
    )
    .bind(tx.tenant())
    .bind(import)
    .bind(numbers)
    .bind(sealed)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes the first part that waits out of the table; `None` when none does.
pub async fn take_part(tx: &mut Tx, import: ImportId) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar(
        "delete from import_parts
          where tenant_id = $1 and import_id = $2
            and part = (select min(part) from import_parts where tenant_id = $1 and import_id = $2)
         returning rows_sealed",
    )
    .bind(tx.tenant())
    .bind(import)
    .fetch_optional(&mut **tx)
    .await
}

/// Forgets the parts that wait.
pub async fn drop_parts(tx: &mut Tx, import: ImportId) -> sqlx::Result<()> {
    sqlx::query("delete from import_parts where tenant_id = $1 and import_id = $2")
        .bind(tx.tenant())
        .bind(import)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What became of a row.
#[derive(FromRow, Clone, Debug)]
pub struct Line {
    pub line: i32,
    pub outcome: Outcome,
    pub subject_id: Option<Uuid>,
    pub name: String,
    pub errors: Json<Vec<FieldError>>,
    pub warnings: Json<Vec<FieldError>>,
    /// What a customer whom it changed was before, sealed; only on its way into the table.
    #[sqlx(skip)]
    pub before: Option<Vec<u8>>,
}

/// Writes what became of some rows, the first of which has this place in the file, and counts them.
///
/// One that was written before fails the transaction: no row is taken in twice.
pub async fn insert_lines(
    tx: &mut Tx,
    import: ImportId,
    first: i32,
    lines: &[Line],
    now: Timestamp,
) -> sqlx::Result<()> {
    let places: Vec<i32> = (first..).take(lines.len()).collect();
    let numbers: Vec<i32> = lines.iter().map(|line| line.line).collect();
    let outcomes: Vec<&str> = lines.iter().map(|line| line.outcome.word()).collect();
    let subjects: Vec<Option<Uuid>> = lines.iter().map(|line| line.subject_id).collect();
    let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    let errors: Vec<&Json<Vec<FieldError>>> = lines.iter().map(|line| &line.errors).collect();
    let warnings: Vec<&Json<Vec<FieldError>>> = lines.iter().map(|line| &line.warnings).collect();
    let befores: Vec<Option<&[u8]>> = lines.iter().map(|line| line.before.as_deref()).collect();
    sqlx::query(
        "with lines as (
             insert into import_rows (tenant_id, import_id, place, line, outcome, subject_id, name, errors,
                                      warnings, created_at, version, before_sealed)
             select $1, $2, l.place, l.line, l.outcome, l.subject_id, l.name, l.errors, l.warnings, $10,
                    (select c.version from customers c where c.tenant_id = $1 and c.id = l.subject_id), l.before
               from unnest($3::integer[], $4::integer[], $5::text[], $6::uuid[], $7::text[], $8::jsonb[],
                           $9::jsonb[], $11::bytea[])
                 as l (place, line, outcome, subject_id, name, errors, warnings, before)
             returning outcome)
         update imports i
            set created = i.created + n.created, updated = i.updated + n.updated,
                skipped = i.skipped + n.skipped, failed = i.failed + n.failed,
                state = case when i.state = 'QUEUED' then 'RUNNING' else i.state end
           from (select count(*) filter (where outcome = 'CREATED') as created,
                        count(*) filter (where outcome = 'UPDATED') as updated,
                        count(*) filter (where outcome = 'SKIPPED') as skipped,
                        count(*) filter (where outcome = 'FAILED') as failed
                   from lines) n
          where i.tenant_id = $1 and i.id = $2",
    )
    .bind(tx.tenant())
    .bind(import)
    .bind(places)
    .bind(numbers)
    .bind(outcomes)
    .bind(subjects)
    .bind(names)
    .bind(errors)
    .bind(warnings)
    .bind(now)
    .bind(befores)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Says that a file is done, or given up and why.
pub async fn finish(
    tx: &mut Tx,
    import: ImportId,
    state: State,
    error: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update imports
            set state = $3, error = $4, finished_at = $5, forgotten = '{}'
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(import)
    .bind(state)
    .bind(error)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Up to `most` rows in the order of the file; where there are more, those that failed first.
pub async fn lines(tx: &mut Tx, import: ImportId, most: i64) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as(
        "select line, outcome, subject_id, name, errors, warnings
           from (select * from import_rows
                  where tenant_id = $1 and import_id = $2
                  order by outcome <> 'FAILED', place
                  limit $3) l
          order by place",
    )
    .bind(tx.tenant())
    .bind(import)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Rows of one outcome, or of any, page by page in the order of the file.
pub async fn page(
    tx: &mut Tx,
    import: ImportId,
    outcome: Option<Outcome>,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as(
        "select line, outcome, subject_id, name, errors, warnings
           from import_rows
          where tenant_id = $1 and import_id = $2 and ($3::text is null or outcome = $3)
          order by place
          limit $4 offset $5",
    )
    .bind(tx.tenant())
    .bind(import)
    .bind(outcome.map(Outcome::word))
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await
}

/// Something that a file made or changed.
#[derive(FromRow, Clone, Debug)]
pub struct Made {
    pub place: i32,
    pub line: i32,
    pub subject_id: Uuid,
    pub name: String,
    /// Of a customer, when the file was done with him.
    pub version: Option<i64>,
    /// Of a customer whom it changed: what he was, sealed.
    #[sqlx(rename = "before_sealed")]
    pub before: Option<Vec<u8>>,
}

/// Whom it changed; of those whom it made those on another's account, who go before him, and all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    Changed,
    Children,
    Others,
}

/// Up to 500 things that a file made, or customers whom it changed, and that were not taken back, after this place.
pub async fn made(
    tx: &mut Tx,
    import: ImportId,
    which: Which,
    after: i32,
) -> sqlx::Result<Vec<Made>> {
    sqlx::query_as(
        "select place, line, subject_id, name, version, before_sealed
           from import_rows
          where tenant_id = $1 and import_id = $2 and place > $3 and outcome = $5
            and subject_id is not null and undone_at is null
            and ($4::boolean is null
                 or exists (select from customers c
                             where c.tenant_id = $1 and c.id = subject_id and c.parent_id is not null) = $4)
          order by place
          limit 500",
    )
    .bind(tx.tenant())
    .bind(import)
    .bind(after)
    .bind(match which {
        Which::Changed => None,
        Which::Children => Some(true),
        Which::Others => Some(false),
    })
    .bind(match which {
        Which::Changed => Outcome::Updated.word(),
        Which::Children | Which::Others => Outcome::Created.word(),
    })
    .fetch_all(&mut **tx)
    .await
}

/// Notes that these were taken back, and forgets what they were before.
pub async fn note_undone(
    tx: &mut Tx,
    import: ImportId,
    places: &[i32],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "with gone as (
             update import_rows set undone_at = $4, before_sealed = null
              where tenant_id = $1 and import_id = $2 and place = any($3))
         update imports set undone_at = $4 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(import)
    .bind(places)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How many of the rows of a file were taken back.
pub async fn undone(tx: &mut Tx, import: ImportId) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from import_rows
          where tenant_id = $1 and import_id = $2 and undone_at is not null",
    )
    .bind(tx.tenant())
    .bind(import)
    .fetch_one(&mut **tx)
    .await
}

/// Forgets up to `most` rows that are older than that, the oldest first; returns how many.
pub async fn forget(tx: &mut Tx, before: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from import_rows r
          using (select import_id, place from import_rows
                  where tenant_id = $1 and created_at < $2
                  order by created_at
                  limit $3) old
          where r.tenant_id = $1 and r.import_id = old.import_id and r.place = old.place",
    )
    .bind(tx.tenant())
    .bind(before)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
