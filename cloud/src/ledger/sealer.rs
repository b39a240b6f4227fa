//! The sealer: numbers what was committed, chains it and adds it to the day's totals.
//!
//! One holder of a tenant's lease does it at a time, in one transaction per batch, so the money path
//! never waits for a place in the chain.

use std::collections::BTreeMap;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;

use crate::db::{Database, Tx};

use super::digest::{BEGINNING, link};
use super::rows::{self, Posted, Subject, SubjectKind};

/// The kind of the due job that seals a tenant's books; its subject is the tenant.
pub const SEAL: &str = "ledger.seal";

/// Most rows sealed in one transaction.
pub(super) const BATCH: usize = 500;

/// Seals everything of a tenant that was committed when it began; returns how many rows that were.
pub async fn seal_all(db: &Database, tenant: TenantId, now: Timestamp) -> sqlx::Result<usize> {
    let mut sealed = 0;
    loop {
        let mut tx = db.begin(tenant).await?;
        let batch = seal(&mut tx, now).await?;
        tx.commit().await?;
        sealed += batch;
        if batch < BATCH {
            return Ok(sealed);
        }
    }
}

/// Seals up to 500 rows in the caller's transaction; returns how many.
///
/// Of two sealers of one tenant that meet in spite of the lease, the later one's insert fails.
pub async fn seal(tx: &mut Tx, now: Timestamp) -> sqlx::Result<usize> {
    let waiting = rows::waiting(tx, BATCH).await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let zone = rows::zone(tx).await?;
    let (mut sequence, mut before) = rows::last_link(tx).await?.unwrap_or((0, BEGINNING));
    let contents = rows::contents(tx, &waiting).await?;

    let mut links = Links::default();
    let mut days = Days::default();
    for subject in waiting {
        let Some(posted) = contents.get(&subject) else {
            continue; // verify names a waiting id without a row
        };
        sequence += 1;
        before = link(&before, sequence, &posted.content);
        links.push(sequence, subject, before);
        days.add(posted, &zone);
    }
    let sealed = links.sequences.len();
    write(tx, &links, &days, now).await?;
    Ok(sealed)
}

/// Rows of the chain, column by column.
#[derive(Default)]
struct Links {
    sequences: Vec<i64>,
    kinds: Vec<&'static str>,
    subjects: Vec<uuid::Uuid>,
    digests: Vec<Vec<u8>>,
}

impl Links {
    fn push(&mut self, sequence: i64, subject: Subject, digest: super::digest::Digest) {
        self.sequences.push(sequence);
        self.kinds.push(subject.kind.as_str());
        self.subjects.push(subject.id);
        self.digests.push(digest.to_vec());
    }
}

/// Debits and credits by day and account. The day is the tenant's, of when the money moved.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Days {
    pub(super) sums: BTreeMap<(String, String), (i64, i64)>,
}

impl Days {
    /// Adds an entry's transfers; audit lines have none.
    pub(super) fn add(&mut self, posted: &Posted, zone: &TimeZone) {
        if posted.transfers.is_empty() {
            return;
        }
        let day = posted.occurred_at.in_zone(zone).date().to_string();
        for (debit, credit, amount) in &posted.transfers {
            let sums = &mut self.sums;
            let debits = sums.entry((day.clone(), debit.clone())).or_default();
            debits.0 = debits.0.saturating_add(*amount);
            let credits = sums.entry((day.clone(), credit.clone())).or_default();
            credits.1 = credits.1.saturating_add(*amount);
        }
    }
}

/// Writes chain rows and day totals and empties the queue, in one statement.
async fn write(tx: &mut Tx, links: &Links, days: &Days, now: Timestamp) -> sqlx::Result<()> {
    let columns = days.sums.iter();
    sqlx::query(
        "with link as (
             insert into chain (tenant_id, sequence, kind, subject_id, digest, sealed_at)
             select $1, c.sequence, c.kind, c.subject_id, c.digest, $6
               from unnest($2::bigint[], $3::text[], $4::uuid[], $5::bytea[])
                 as c (sequence, kind, subject_id, digest)),
         done as (
             delete from unsealed u
              using unnest($3::text[], $4::uuid[]) as c (kind, subject_id)
              where u.tenant_id = $1 and u.kind = c.kind and u.subject_id = c.subject_id)
         insert into day_totals (tenant_id, day, account, debits, credits)
         select $1, d.day::date, d.account, d.debits, d.credits
           from unnest($7::text[], $8::text[], $9::bigint[], $10::bigint[])
             as d (day, account, debits, credits)
             on conflict (tenant_id, day, account) do update
                set debits = day_totals.debits + excluded.debits,
                    credits = day_totals.credits + excluded.credits",
    )
    .bind(tx.tenant())
    .bind(&links.sequences)
    .bind(&links.kinds)
    .bind(&links.subjects)
    .bind(&links.digests)
    .bind(now)
    .bind(
        columns
            .clone()
            .map(|((day, _), _)| day.clone())
            .collect::<Vec<_>>(),
    )
    .bind(
        columns
            .clone()
            .map(|((_, account), _)| account.clone())
            .collect::<Vec<_>>(),
    )
    .bind(
        columns
            .clone()
            .map(|(_, (debits, _))| *debits)
            .collect::<Vec<_>>(),
    )
    .bind(
        columns
            .map(|(_, (_, credits))| *credits)
            .collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl SubjectKind {
    fn as_str(self) -> &'static str {
        match self {
            SubjectKind::Entry => "ENTRY",
            SubjectKind::Audit => "AUDIT",
        }
    }
}
