//! SQL on commands.

use easyisp_shared::id::{CommandId, CustomerId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::CommandV1;
use uuid::Uuid;

use super::{encode, kind};
use crate::db::{Projection, Tx};
use crate::sites::agents::Agent;

/// What came of a command.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Outcome {
    /// A sentence, once an agent answered.
    pub result: Option<String>,
    /// When it was answered.
    pub finished_at: Option<Timestamp>,
}

/// Writes a new command.
pub async fn insert(
    tx: &mut Tx,
    site: SiteId,
    command: &CommandV1,
    customer: Option<CustomerId>,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into commands (tenant_id, id, site_id, kind, customer_id, body, issued_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tx.tenant())
    .bind(command.command)
    .bind(site)
    .bind(kind(&command.order))
    .bind(customer)
    .bind(encode(command))
    .bind(command.issued)
    .bind(command.expires)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What came of one command; `None` when there is none of that id.
pub async fn outcome(tx: &mut Tx, command: CommandId) -> sqlx::Result<Option<Outcome>> {
    sqlx::query_as("select result, finished_at from commands where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(command)
        .fetch_optional(&mut **tx)
        .await
}

/// The commands among `ids` that wait for an answer, as their sites must know them.
pub async fn waiting(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<Projection>> {
    let rows: Vec<(Uuid, SiteId, Vec<u8>)> = sqlx::query_as(
        "select id, site_id, body
           from commands
          where tenant_id = $1 and id = any($2) and finished_at is null",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, site, body)| Projection { id, site, body })
        .collect())
}

/// Notes answers to commands of `site`; returns the ids of those that were waiting.
///
/// A second answer, or one to another site's command, changes nothing.
pub async fn finish(
    tx: &mut Tx,
    site: SiteId,
    ids: &[CommandId],
    results: &[String],
    at: &[Timestamp],
) -> sqlx::Result<Vec<CommandId>> {
    sqlx::query_scalar(
        "update commands c
            set result = r.result, finished_at = r.at
           from (select distinct on (id) id, result, at
                   from unnest($3::uuid[], $4::text[], $5::timestamptz[]) as r (id, result, at)) r
          where c.tenant_id = $1 and c.site_id = $2 and c.id = r.id and c.finished_at is null
         returning c.id",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(ids)
    .bind(results)
    .bind(at)
    .fetch_all(&mut **tx)
    .await
}

/// Notes that an agent found nothing to do for some commands of its site; returns those that wait and for
/// which every agent of the site said so that ever came.
pub async fn nothing_there(
    tx: &mut Tx,
    agent: &Agent,
    ids: &[CommandId],
) -> sqlx::Result<Vec<CommandId>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_scalar(
        "with noted as (
             update commands
                set nothing_there = array_append(array_remove(nothing_there, $3), $3)
              where tenant_id = $1 and site_id = $2 and id = any($4) and finished_at is null
          returning id, nothing_there)
         select id from noted
          where not exists (select from agents
                             where tenant_id = $1 and site_id = $2 and revoked_at is null
                               and generation > 0 and id <> all(noted.nothing_there))",
    )
    .bind(tx.tenant())
    .bind(agent.site)
    .bind(agent.id)
    .bind(ids)
    .fetch_all(&mut **tx)
    .await
}

/// Ends commands of a site that expired unanswered, some at a time; returns them. An agent that found nothing
/// waits for the others no longer than a command lives.
pub async fn expire(tx: &mut Tx, site: SiteId, now: Timestamp) -> sqlx::Result<Vec<CommandId>> {
    sqlx::query_scalar(
        "update commands
            set finished_at = $3, result = $4
          where tenant_id = $1 and id in (
                select id from commands
                 where tenant_id = $1 and site_id = $2 and finished_at is null and expires_at <= $3
                 order by expires_at
                 limit 100
                   for update skip locked)
         returning id",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(now)
    .bind(NOT_IN_TIME)
    .fetch_all(&mut **tx)
    .await
}

/// Forgets commands that expired before `cutoff`, some at a time, answered or not; returns them.
pub async fn forget(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<Vec<CommandId>> {
    sqlx::query_scalar(
        "delete from commands
          where tenant_id = $1 and id in (
                select id from commands
                 where tenant_id = $1 and expires_at < $2
                 order by expires_at
                 limit $3
                   for update skip locked)
         returning id",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

const NOT_IN_TIME: &str =
    "An agent of the site that may have had the session did not come back in time.";

/// The ids of all commands, for comparing them with what sites know.
pub async fn every_id(tx: &mut Tx, after: Uuid, most: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select id from commands where tenant_id = $1 and id > $2 order by id limit $3",
    )
    .bind(tx.tenant())
    .bind(after)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
