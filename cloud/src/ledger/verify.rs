//! Proves the books: chain, day totals, wallets, periods and payments; then the unsealed tail.
//!
//! Each tenant is read in one snapshot, so that what is posted meanwhile is no finding.

use easyisp_shared::id::TenantId;
use jiff::tz::TimeZone;

use crate::db::{Database, Tx};

use super::checks;
use super::digest::{BEGINNING, Digest, link};
use super::redact;
use super::rows::{self, Subject};
use super::sealer::{BATCH, Days};

/// Whose books to prove.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// One tenant's.
    Tenant(TenantId),
    /// Everybody's.
    All,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The tenant whose books are being read.
    pub tenant: TenantId,
    /// Tenants done before it.
    pub done: usize,
    /// Tenants in all.
    pub tenants: usize,
    /// Rows of this tenant's chain proved so far.
    pub rows: u64,
}

/// What was found.
#[derive(Clone, Default, Debug)]
pub struct Report {
    /// Tenants proved.
    pub tenants: usize,
    /// Rows of chains proved.
    pub rows: u64,
    /// Rows that were committed and not sealed yet.
    pub tail: u64,
    /// What is wrong, the first thousand. None = the books are proved.
    pub findings: Vec<Finding>,
}

/// Something that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Whose books.
    pub tenant: TenantId,
    /// What, in one sentence.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tenant {}: {}", self.tenant, self.what)
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn found(&mut self, tenant: TenantId, what: String) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding { tenant, what });
        }
    }
}

/// Why the books could not be read.
pub type VerifyError = sqlx::Error;

/// Enough to see what happened; more would only scroll.
const MOST_FINDINGS: usize = 1_000;

/// Proves the books in `scope` and reports everything that is wrong with them.
pub async fn verify(
    db: &Database,
    scope: Scope,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, VerifyError> {
    let tenants = match scope {
        Scope::Tenant(tenant) => vec![tenant],
        Scope::All => all_tenants(db).await?,
    };
    let mut report = Report::default();
    for (done, tenant) in tenants.iter().copied().enumerate() {
        let told = |rows| Progress {
            tenant,
            done,
            tenants: tenants.len(),
            rows,
        };
        let mut tell = |rows| progress(told(rows));
        tell(0);
        let mut tx = snapshot(db, tenant).await?;
        verify_tenant(&mut tx, &mut report, &mut tell).await?;
        tx.rollback().await?;
        report.tenants += 1;
    }
    Ok(report)
}

/// Whether there is such a tenant, or was one.
pub async fn is_tenant(db: &Database, tenant: TenantId) -> sqlx::Result<bool> {
    let mut tx = db.directory().await?;
    sqlx::query_scalar("select exists (select from directory.tenants where tenant_id = $1)")
        .bind(tenant)
        .fetch_one(&mut *tx)
        .await
}

async fn all_tenants(db: &Database) -> sqlx::Result<Vec<TenantId>> {
    let mut tx = db.directory().await?;
    sqlx::query_scalar("select tenant_id from directory.tenants order by created_at, tenant_id")
        .fetch_all(&mut *tx)
        .await
}

/// A transaction that sees one instant and writes nothing.
pub(super) async fn snapshot(db: &Database, tenant: TenantId) -> sqlx::Result<Tx> {
    let mut tx = db.begin(tenant).await?;
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *tx)
        .await?;
    // A fold over all of a tenant's transfers may take its time.
    sqlx::query("set local statement_timeout = '10min'")
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}

/// Proves everything there is; returns the last row of the chain.
pub(super) async fn verify_tenant(
    tx: &mut Tx,
    report: &mut Report,
    tell: &mut (dyn FnMut(u64) + Send),
) -> sqlx::Result<Place> {
    let zone = rows::zone(tx).await?;
    let mut place = Place::BEGINNING;
    let days = prove_chain(tx, &zone, (&mut place, u64::MAX), report, tell).await?;
    checks::day_totals(tx, &days, report).await?;
    redact::verify(tx, report).await?;
    checks::queue(tx, report).await?;
    checks::entries(tx, report).await?;
    checks::wallets(tx, report).await?;
    checks::floors(tx, report).await?;
    checks::periods(tx, report).await?;
    checks::payments(tx, report).await?;
    checks::voids(tx, report).await?;
    checks::prompts(tx, report).await?;
    checks::suspense(tx, report).await?;
    checks::by_hand::incomes(tx, report).await?;
    checks::by_hand::expenses(tx, report).await?;
    checks::by_hand::corrections(tx, report).await?;
    checks::by_hand::closed_days(tx, report).await?;
    checks::invoices::entries(tx, report).await?;
    checks::invoices::numbers(tx, report).await?;
    checks::invoices::notes(tx, report).await?;
    checks::invoices::receipts(tx, report).await?;
    checks::invoices::debts(tx, report).await?;
    checks::refunds::entries(tx, report).await?;
    checks::refunds::payments(tx, report).await?;
    checks::refunds::periods(tx, report).await?;
    checks::floats::balances(tx, report).await?;
    checks::floats::entries(tx, report).await?;
    checks::floats::commissions(tx, report).await?;
    checks::held::payouts(tx, report).await?;
    checks::held::balance(tx, report).await?;
    checks::kept::spent(tx, report).await?;
    checks::kept::counts(tx, report).await?;
    checks::tallies::sums(tx, None, report).await?;
    verify_tail(tx, report).await?;
    Ok(place)
}

/// A row of the chain, up to which it is proved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) sequence: i64,
    pub(super) digest: Digest,
}

impl Place {
    pub(super) const BEGINNING: Place = Place {
        sequence: 0,
        digest: BEGINNING,
    };
}

/// Computes the digests after a place again, in order, `most` of them or a few more; the place moves on. Returns the
/// day totals that those entries give.
pub(super) async fn prove_chain(
    tx: &mut Tx,
    zone: &TimeZone,
    (place, most): (&mut Place, u64),
    report: &mut Report,
    tell: &mut (dyn FnMut(u64) + Send),
) -> sqlx::Result<Days> {
    let tenant = tx.tenant();
    let mut days = Days::default();
    let Place {
        sequence: last,
        digest: before,
    } = place;
    let mut rows = 0;
    loop {
        let batch = links_after(tx, *last).await?;
        if batch.is_empty() || rows >= most {
            report.rows += rows;
            return Ok(days);
        }
        let subjects: Vec<Subject> = batch.iter().map(|(_, subject, _)| *subject).collect();
        let contents = rows::contents(tx, &subjects).await?;
        let blanked = redact::left(tx, &subjects).await?;
        for (sequence, subject, digest) in batch {
            if sequence != *last + 1 {
                let what = format!("the chain jumps from number {last} to {sequence}");
                report.found(tenant, what);
            }
            match contents.get(&subject) {
                None => report.found(tenant, format!("{subject} (number {sequence}) is gone")),
                Some(posted) => {
                    let left = blanked.get(&subject);
                    if left.is_some_and(|left| !left.contains(&posted.left())) {
                        let what = format!(
                            "{subject} (number {sequence}) was changed after it was blanked"
                        );
                        report.found(tenant, what);
                    }
                    let is_proved = left.is_none() || posted.words_digest().is_some();
                    if is_proved && link(before, sequence, &posted.content()) != digest {
                        let what = format!(
                            "{subject} (number {sequence}) or the row before it was changed: \
                             its digest is not the chain's"
                        );
                        report.found(tenant, what);
                    }
                    days.add(posted, zone)?;
                }
            }
            // What the chain says goes on, so that one change is one finding.
            (*last, *before) = (sequence, digest);
            rows += 1;
        }
        tell(rows);
    }
}

async fn links_after(tx: &mut Tx, sequence: i64) -> sqlx::Result<Vec<(i64, Subject, Digest)>> {
    use sqlx::Row;

    let rows = sqlx::query(
        "select sequence, kind, subject_id, digest
           from chain
          where tenant_id = $1 and sequence > $2
          order by sequence
          limit $3",
    )
    .bind(tx.tenant())
    .bind(sequence)
    .bind(i64::try_from(BATCH).unwrap_or(i64::MAX))
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            let digest: Vec<u8> = row.try_get("digest")?;
            let subject = Subject::from_row(row)?;
            Ok((row.try_get("sequence")?, subject, rows::to_digest(&digest)))
        })
        .collect()
}

/// What waits for its number must exist.
pub(super) async fn verify_tail(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let tenant = tx.tenant();
    let mut last = None;
    loop {
        let subjects = rows::waiting_after(tx, last, BATCH).await?;
        let contents = rows::contents(tx, &subjects).await?;
        for subject in &subjects {
            report.tail += 1;
            if !contents.contains_key(subject) {
                report.found(
                    tenant,
                    format!("{subject} waits for its number and is gone"),
                );
            }
        }
        last = subjects.last().copied();
        if last.is_none() {
            return Ok(());
        }
    }
}
