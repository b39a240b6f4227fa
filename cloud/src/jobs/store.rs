//! The queue's rows.

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::{Database, Tx};

use super::Job;
use super::rules::{LEASE, told};

/// Claims up to `most` due jobs of these kinds, the longest due first. Rows that another node is claiming
/// are passed over, not waited for.
pub(super) async fn claim(
    db: &Database,
    kinds: &[&'static str],
    owner: Uuid,
    most: usize,
    now: Timestamp,
) -> sqlx::Result<Vec<Job>> {
    let mut alone = db.alone().await?;
    let rows: Vec<(TenantId, String, Uuid, i64, i32)> = sqlx::query_as(
        "with due as (
             select tenant_id, kind, subject
               from directory.jobs
              where due_at <= $1 and (lease_until is null or lease_until <= $1) and kind = any($2)
              order by due_at
              limit $3
                for update skip locked)
         update directory.jobs j
            set lease_owner = $4, lease_until = $5, fence = fence + 1
           from due d
          where j.tenant_id = d.tenant_id and j.kind = d.kind and j.subject = d.subject
         returning j.tenant_id, j.kind, j.subject, j.fence, j.attempts",
    )
    .bind(now)
    .bind(kinds)
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .bind(owner)
    .bind(now.plus(LEASE))
    .fetch_all(&mut *alone)
    .await?;
    let known = |name: &str| kinds.iter().find(|kind| **kind == name).copied();
    Ok(rows
        .into_iter()
        .filter_map(|(tenant, kind, subject, fence, attempts)| {
            let attempts = u32::try_from(attempts).unwrap_or(0);
            Some(Job {
                tenant,
                subject,
                attempts,
                kind: known(&kind)?,
                fence,
            })
        })
        .collect())
}

/// Makes claims longer that still stand, and that nobody is changing at this moment; returns those.
pub(super) async fn renew(
    db: &Database,
    jobs: &[Job],
    until: Timestamp,
    now: Timestamp,
) -> sqlx::Result<Vec<(TenantId, String, Uuid)>> {
    let mut alone = db.alone().await?;
    sqlx::query_as(
        "with held as materialized (
             select j.tenant_id, j.kind, j.subject
               from directory.jobs j
               join unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[]) as d (tenant_id, kind, subject, fence)
                 on j.tenant_id = d.tenant_id and j.kind = d.kind and j.subject = d.subject and j.fence = d.fence
              where j.lease_until > $6
              order by j.tenant_id, j.kind, j.subject
                for update of j skip locked)
         update directory.jobs j
            set lease_until = $5
           from held h
          where j.tenant_id = h.tenant_id and j.kind = h.kind and j.subject = h.subject
         returning j.tenant_id, j.kind, j.subject",
    )
    .bind(jobs.iter().map(|job| job.tenant).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.kind).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.subject).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.fence).collect::<Vec<_>>())
    .bind(until)
    .bind(now)
    .fetch_all(&mut *alone)
    .await
}

/// When the next job of these kinds is due, or its lease ends; `None` when the queue is empty.
pub(super) async fn next_due(
    db: &Database,
    kinds: &[&'static str],
) -> sqlx::Result<Option<Timestamp>> {
    let mut alone = db.alone().await?;
    sqlx::query_scalar(
        "select min(greatest(due_at, coalesce(lease_until, due_at))) from directory.jobs where kind = any($1)",
    )
    .bind(kinds)
    .fetch_one(&mut *alone)
    .await
}

/// Takes finished jobs out, but for those that were made due again meanwhile.
///
/// Their rows are locked in the order of their key: another node may be taking out the same ones.
pub(super) async fn finish(db: &Database, jobs: &[Job]) -> sqlx::Result<()> {
    let mut alone = db.alone().await?;
    sqlx::query(
        "with done as materialized (
             select j.tenant_id, j.kind, j.subject
               from directory.jobs j
               join unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[]) as d (tenant_id, kind, subject, fence)
                 on j.tenant_id = d.tenant_id and j.kind = d.kind and j.subject = d.subject and j.fence = d.fence
              order by j.tenant_id, j.kind, j.subject
                for update of j)
         delete from directory.jobs j
          using done d
          where j.tenant_id = d.tenant_id and j.kind = d.kind and j.subject = d.subject",
    )
    .bind(jobs.iter().map(|job| job.tenant).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.kind).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.subject).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.fence).collect::<Vec<_>>())
    .execute(&mut *alone)
    .await?;
    Ok(())
}

/// Puts a job back for later, unless it was made due again meanwhile; with an error, as one more attempt.
pub(super) async fn put_back(
    db: &Database,
    job: &Job,
    due_at: Timestamp,
    error: Option<&str>,
) -> sqlx::Result<()> {
    let mut alone = db.alone().await?;
    sqlx::query(
        "update directory.jobs
            set due_at = $5, lease_owner = null, lease_until = null, last_error = $6,
                attempts = case when $6::text is null then 0 else attempts + 1 end
          where tenant_id = $1 and kind = $2 and subject = $3 and fence = $4",
    )
    .bind(job.tenant)
    .bind(job.kind)
    .bind(job.subject)
    .bind(job.fence)
    .bind(due_at)
    .bind(error)
    .execute(&mut *alone)
    .await?;
    Ok(())
}

/// Whether the job's claim still stands; locks its row.
pub(super) async fn is_held(tx: &mut Tx, job: &Job) -> sqlx::Result<bool> {
    let row: Option<bool> = sqlx::query_scalar(
        "select true from directory.jobs
          where tenant_id = $1 and kind = $2 and subject = $3 and fence = $4
            for update",
    )
    .bind(job.tenant)
    .bind(job.kind)
    .bind(job.subject)
    .bind(job.fence)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.is_some())
}

/// Work of one kind that happens by itself.
#[derive(Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Background {
    kind: String,
    /// How much is waiting for its time.
    waiting: i64,
    /// And of that, how much failed when it was tried last and is tried again.
    failing: i64,
    /// How often what failed most has failed in a row.
    attempts: i32,
    /// Why it failed then, without what may name anybody or open anything; null = nothing fails.
    last_error: Option<String>,
    next_run_at: Timestamp,
}

/// What waits in the tenant's queue, by kind.
pub(super) async fn waiting(tx: &mut Tx) -> sqlx::Result<Vec<Background>> {
    let mut waiting: Vec<Background> = sqlx::query_as(
        "select kind, count(*) as waiting, count(*) filter (where attempts > 0) as failing,
                max(attempts) as attempts,
                (array_agg(last_error order by attempts desc, due_at) filter (where attempts > 0))[1] as last_error,
                min(due_at) as next_run_at
           from directory.jobs
          where tenant_id = $1
          group by kind
          order by kind",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for background in &mut waiting {
        let error = background.last_error.take();
        background.last_error = error.map(|error| told(&error));
    }
    Ok(waiting)
}
