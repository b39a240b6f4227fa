//! Proves the books by itself: every few minutes what was sealed since and what is cheap to ask, every night the whole.
//!
//! What is wrong stays written beside the tenant until a whole proof finds nothing; it is logged as well, and counted
//! in the metrics.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::FromRow;

use crate::db::Database;
use crate::due;

use super::checks;
use super::digest::BEGINNING;
use super::rows;
use super::verify::{Place, Report, prove_chain, snapshot, verify_tail, verify_tenant};

/// The kind of the job that proves what was sealed lately; its subject is the tenant.
pub const CHECK: &str = "ledger.check";

/// The kind of the job that proves a tenant's whole books every night; its subject is the tenant.
pub const PROVE: &str = "ledger.prove";

/// How often.
const OFTEN: Duration = Duration::from_secs(300);
/// Rows of the chain that one check proves at most: a job's lease is a minute.
const MOST_ROWS: u64 = 20_000;
/// Findings that are kept; more say nothing more.
const MOST_KEPT: usize = 100;
/// The nights' proofs begin an hour after midnight, and are spread over four.
const NIGHT: Duration = Duration::from_secs(3600);
const SPREAD: u64 = 4 * 3600;

/// How a tenant's books stand.
#[derive(FromRow, Clone, Debug)]
pub struct Proof {
    /// Whose.
    pub tenant_id: TenantId,
    /// Rows of the chain that are proved.
    pub sequence: i64,
    /// When that was last looked at.
    pub checked_at: Timestamp,
    /// When the whole was proved last.
    pub proved_at: Option<Timestamp>,
    /// What is wrong.
    pub findings: Vec<String>,
    /// Since when that is known.
    pub found_at: Option<Timestamp>,
    digest: Vec<u8>,
}

/// How a tenant's books stand; `None` when nobody has looked yet.
pub async fn proof(db: &Database, tenant: TenantId) -> sqlx::Result<Option<Proof>> {
    let mut tx = db.directory().await?;
    sqlx::query_as(
        "select tenant_id, sequence, digest, checked_at, proved_at, findings, found_at
           from directory.book_checks
          where tenant_id = $1",
    )
    .bind(tenant)
    .fetch_optional(&mut *tx)
    .await
}

/// The books that do not prove, those first that are known of the longest: `most` at most.
pub async fn unproved(db: &Database, most: i64) -> sqlx::Result<Vec<Proof>> {
    let mut tx = db.directory().await?;
    sqlx::query_as(
        "select b.tenant_id, b.sequence, b.digest, b.checked_at, b.proved_at, b.findings, b.found_at
           from directory.book_checks b
           join directory.tenants t on t.tenant_id = b.tenant_id and t.purged_at is null
          where b.found_at is not null
          order by b.found_at, b.tenant_id
          limit $1",
    )
    .bind(most)
    .fetch_all(&mut *tx)
    .await
}

/// How many tenants' books do not prove.
pub async fn count_unproved(db: &Database) -> sqlx::Result<i64> {
    let mut tx = db.directory().await?;
    sqlx::query_scalar(
        "select count(*)
           from directory.book_checks b
           join directory.tenants t on t.tenant_id = b.tenant_id and t.purged_at is null
          where b.found_at is not null",
    )
    .fetch_one(&mut *tx)
    .await
}

/// Proves what was sealed since the last time, that the day totals balance, the wallets that moved, what is held for
/// nobody, the tallies of the day, and the unsealed tail; returns when to do it again. `None` = the tenant was purged.
pub async fn check(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    let known = proof(db, tenant).await?;
    let mut place = known.as_ref().map_or(Place::BEGINNING, |known| Place {
        sequence: known.sequence,
        digest: rows::to_digest(&known.digest),
    });
    let mut report = Report::default();
    let mut tx = snapshot(db, tenant).await?;
    let zone = match rows::zone(&mut tx).await {
        Err(sqlx::Error::RowNotFound) => return Ok(None),
        zone => zone?,
    };
    let is = digest_at(&mut tx, place.sequence).await?;
    if is.as_deref() != Some(place.digest.as_slice()) && place.sequence > 0 {
        let number = place.sequence;
        let what = format!(
            "number {number} of the chain, or a row before it, is another than the one that was proved"
        );
        report.found(tenant, what);
        // What the chain says goes on, so that one change is one finding.
        place.digest = is.map_or(BEGINNING, |digest| rows::to_digest(&digest));
    }
    let from = place.sequence;
    prove_chain(
        &mut tx,
        &zone,
        (&mut place, MOST_ROWS),
        &mut report,
        &mut |_| {},
    )
    .await?;
    let more = place.sequence - from >= i64::try_from(MOST_ROWS).unwrap_or(i64::MAX);
    checks::trial_balance(&mut tx, &mut report).await?;
    let since = known.as_ref().map(|known| known.checked_at.minus(OFTEN));
    checks::moved_wallets(&mut tx, since, &mut report).await?;
    checks::suspense(&mut tx, &mut report).await?;
    // What is written of an earlier day is looked at in the night.
    let today = known
        .as_ref()
        .map_or(now, |known| known.checked_at)
        .minus(OFTEN);
    checks::tallies::sums(&mut tx, Some(today), &mut report).await?;
    verify_tail(&mut tx, &mut report).await?;
    tx.rollback().await?;

    let findings: Vec<String> = sentences(&report).take(MOST_KEPT).collect();
    tell(tenant, &report);
    note(db, tenant, (&place, None), &findings, now).await?;
    Ok(Some(if more { now } else { now.plus(OFTEN) }))
}

/// Proves the whole of a tenant's books. The next night's proof is made due first: over a million payments this takes
/// longer than a job's lease, and then nobody else begins it as well.
pub async fn prove(db: &Database, tenant: TenantId, now: Timestamp) -> sqlx::Result<()> {
    let mut tx = db.begin(tenant).await?;
    let zone = match rows::zone(&mut tx).await {
        Err(sqlx::Error::RowNotFound) => return Ok(()), // it was purged
        zone => zone?,
    };
    due::at(&mut tx, PROVE, tenant, next_night(tenant, now, &zone)).await?;
    tx.commit().await?;

    let mut report = Report::default();
    let mut tx = snapshot(db, tenant).await?;
    let place = verify_tenant(&mut tx, &mut report, &mut |_| {}).await?;
    tx.rollback().await?;
    tell(tenant, &report);
    let findings: Vec<String> = sentences(&report).take(MOST_KEPT).collect();
    note(db, tenant, (&place, Some(now)), &findings, now).await
}

/// When a tenant's books are proved next: between one and five in his night, each at a moment of his own.
pub(super) fn next_night(tenant: TenantId, now: Timestamp, zone: &TimeZone) -> Timestamp {
    let mut hash = DefaultHasher::new();
    tenant.0.hash(&mut hash);
    let own = NIGHT + Duration::from_secs(hash.finish() % SPREAD);
    // Only days at the ends of the calendar have no instant.
    let of = |day: Date| {
        let midnight = day.to_zoned(zone.clone());
        midnight.map_or(now.plus(OFTEN), |midnight| {
            Timestamp::from_jiff(midnight.timestamp()).plus(own)
        })
    };
    let today = now.in_zone(zone).date();
    let this = of(today);
    match this > now {
        true => this,
        false => of(today.saturating_add(1.day())),
    }
}

fn sentences(report: &Report) -> impl Iterator<Item = String> {
    report.findings.iter().map(|finding| finding.what.clone())
}

fn tell(tenant: TenantId, report: &Report) {
    if let Some(first) = report.findings.first() {
        tracing::error!(
            tenant.id = %tenant, findings = report.findings.len(),
            "The books of tenant {tenant} do not prove: {}", first.what
        );
    }
}

async fn digest_at(tx: &mut crate::db::Tx, sequence: i64) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("select digest from chain where tenant_id = $1 and sequence = $2")
        .bind(tx.tenant())
        .bind(sequence)
        .fetch_optional(&mut **tx)
        .await
}

/// Writes how far the books are proved and what is wrong: beside what was found before, unless the whole was proved.
/// The place does not go back.
async fn note(
    db: &Database,
    tenant: TenantId,
    (place, proved_at): (&Place, Option<Timestamp>),
    findings: &[String],
    now: Timestamp,
) -> sqlx::Result<()> {
    let mut tx = db.directory().await?;
    sqlx::query(
        "insert into directory.book_checks as b
                (tenant_id, sequence, digest, checked_at, proved_at, findings, found_at)
         values ($1, $2, $3, $4, $5, $6, case when $6::text[] = '{}' then null else $4::timestamptz end)
             on conflict (tenant_id) do update
                set digest = case when b.sequence > excluded.sequence then b.digest else excluded.digest end,
                    sequence = greatest(b.sequence, excluded.sequence),
                    checked_at = excluded.checked_at,
                    proved_at = coalesce(excluded.proved_at, b.proved_at),
                    findings = case when excluded.proved_at is not null then excluded.findings
                                    else (b.findings || array(select f from unnest(excluded.findings) f
                                                               where f <> all (b.findings)))[1:100] end,
                    found_at = case when excluded.proved_at is not null and excluded.found_at is null then null
                                    else coalesce(b.found_at, excluded.found_at) end",
    )
    .bind(tenant)
    .bind(place.sequence)
    .bind(place.digest.as_slice())
    .bind(now)
    .bind(proved_at)
    .bind(findings)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn everybody_is_proved_in_his_own_night_at_his_own_moment() {
        let zone = TimeZone::get("Africa/Nairobi").unwrap();
        let at = |text| Timestamp::parse(text).unwrap();
        let tenant = |n: u128| TenantId(uuid::Uuid::from_u128(n));
        let (noon, evening) = (at("2027-01-15T09:00:00Z"), at("2027-01-15T20:59:59Z"));
        let mut moments = std::collections::BTreeSet::new();
        for n in 0..100 {
            let next = next_night(tenant(n), noon, &zone);
            assert!(at("2027-01-15T22:00:00Z") <= next && next < at("2027-01-16T02:00:00Z"));
            assert_eq!(next_night(tenant(n), evening, &zone), next);
            assert!(next_night(tenant(n), next, &zone) > next, "once a night");
            moments.insert(next);
        }
        assert!(moments.len() > 90);
    }
}
