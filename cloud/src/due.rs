//! The queue of work that is due. A feature puts work in with its own transaction; `jobs/` takes it out.

use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use crate::db::Tx;

/// The common table expression that queues work beside a statement of a feature: `due_cte!("$1", "$2",
/// "$3", "$4")` with the tenant and the columns kind `text[]`, subject `uuid[]` and due `timestamptz[]`.
macro_rules! due_cte {
    ($tenant:literal, $kinds:literal, $subjects:literal, $whens:literal) => {
        concat!(
            "due as (
                 insert into directory.jobs (tenant_id, kind, subject, due_at)
                 select ", $tenant, ", d.kind, d.subject, d.due_at
                   from unnest(", $kinds, "::text[], ", $subjects, "::uuid[], ", $whens, "::timestamptz[])
                     as d (kind, subject, due_at)
                     on conflict (tenant_id, kind, subject)
                     do update set due_at = excluded.due_at, lease_owner = null, lease_until = null,
                                   fence = jobs.fence + 1, attempts = 0, last_error = null)"
        )
    };
}
pub(crate) use due_cte;

/// Work of `kind` on `subject` is due at `when`; moves it when it was due at another time. Work that is
/// being done at this moment is done once more: its fence has moved on.
pub async fn at(
    tx: &mut Tx,
    kind: &'static str,
    subject: impl Into<Uuid>,
    when: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.jobs (tenant_id, kind, subject, due_at)
         values ($1, $2, $3, $4)
             on conflict (tenant_id, kind, subject)
             do update set due_at = excluded.due_at, lease_owner = null, lease_until = null,
                           fence = jobs.fence + 1, attempts = 0, last_error = null",
    )
    .bind(tx.tenant())
    .bind(kind)
    .bind(subject.into())
    .bind(when)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Work of `kind` is due at `when` on each of these subjects.
pub async fn at_once<T: Copy + Into<Uuid>>(
    tx: &mut Tx,
    kind: &'static str,
    subjects: &[T],
    when: Timestamp,
) -> sqlx::Result<()> {
    let subjects: Vec<Uuid> = subjects.iter().map(|subject| (*subject).into()).collect();
    sqlx::query(concat!(
        "with ",
        due_cte!("$1", "$2", "$3", "$4"),
        " select 1"
    ))
    .bind(tx.tenant())
    .bind(vec![kind; subjects.len()])
    .bind(&subjects)
    .bind(vec![when; subjects.len()])
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Work of these kinds that waits on one of these subjects for a later time is due at `when`. What is being done at this
/// moment is done once more when its lease ends: what it found out may be of before.
pub async fn sooner<T: Copy + Into<Uuid>>(
    tx: &mut Tx,
    kinds: &[&'static str],
    subjects: &[T],
    when: Timestamp,
) -> sqlx::Result<()> {
    if subjects.is_empty() {
        return Ok(());
    }
    let subjects: Vec<Uuid> = subjects.iter().map(|subject| (*subject).into()).collect();
    sqlx::query(
        // Locked in the order in which jobs are taken out.
        "with woken as materialized (
             select tenant_id, kind, subject
               from directory.jobs
              where tenant_id = $1 and kind = any($2) and subject = any($3)
                and (due_at > $4 or lease_until is not null)
              order by tenant_id, kind, subject
                for update)
         update directory.jobs j
            set due_at = least(j.due_at, $4), fence = j.fence + 1
           from woken w
          where j.tenant_id = w.tenant_id and j.kind = w.kind and j.subject = w.subject",
    )
    .bind(tx.tenant())
    .bind(kinds)
    .bind(&subjects)
    .bind(when)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Work of `kind` on `subject` is not due any more.
pub async fn never(tx: &mut Tx, kind: &'static str, subject: impl Into<Uuid>) -> sqlx::Result<()> {
    sqlx::query("delete from directory.jobs where tenant_id = $1 and kind = $2 and subject = $3")
        .bind(tx.tenant())
        .bind(kind)
        .bind(subject.into())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
