//! When routers were heard of, and what they said of themselves by their API and over SNMP.

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::Timestamp;

use crate::db::Tx;
use crate::routers::rules::LocalSecrets;

/// Notes that routers were heard at `at`, unless that was noted since, so that a busy router's row rests; those of which
/// nothing was heard since `silent_since`.
pub async fn heard(
    tx: &mut Tx,
    routers: &[RouterId],
    at: Timestamp,
    (noted_since, silent_since): (Timestamp, Timestamp),
) -> sqlx::Result<Vec<RouterId>> {
    let heard: Vec<(RouterId, bool)> = sqlx::query_as(
        "update routers r set last_seen_at = greatest(r.last_seen_at, $3), status = 'ONLINE'
           from (select id, status <> 'ONLINE' or last_seen_at is null or last_seen_at < $5 as was_silent
                   from routers
                  where tenant_id = $1 and id = any($2)) before
          where r.tenant_id = $1 and r.id = before.id
            and (r.status <> 'ONLINE' or r.last_seen_at is null or r.last_seen_at < $4)
      returning r.id, before.was_silent",
    )
    .bind(tx.tenant())
    .bind(routers)
    .bind(at)
    .bind(noted_since)
    .bind(silent_since)
    .fetch_all(&mut **tx)
    .await?;
    let woken = heard.into_iter().filter(|(_, was_silent)| *was_silent);
    Ok(woken.map(|(router, _)| router).collect())
}

/// Notes that a router told by itself that it lives, unless that was noted since, or an agent of its site was heard
/// since.
pub async fn alive(
    tx: &mut Tx,
    router: RouterId,
    now: Timestamp,
    (noted_since, agent_since): (Timestamp, Timestamp),
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers r set last_seen_at = greatest(r.last_seen_at, $3), status = 'ONLINE'
          where r.tenant_id = $1 and r.id = $2 and r.deleted_at is null
            and (r.status <> 'ONLINE' or r.last_seen_at is null or r.last_seen_at < $4)
            and not exists (select 1 from agents a
                             where a.tenant_id = $1 and a.site_id = r.site_id
                               and a.revoked_at is null and a.last_seen_at > $5)",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(now)
    .bind(noted_since)
    .bind(agent_since)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The routers of a site, by name, and when each was last heard.
pub async fn heard_at(
    tx: &mut Tx,
    site: SiteId,
) -> sqlx::Result<Vec<(RouterId, String, Option<Timestamp>)>> {
    sqlx::query_as(
        "select id, name, last_seen_at
           from routers
          where tenant_id = $1 and site_id = $2 and deleted_at is null
          order by name
          limit 100",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_all(&mut **tx)
    .await
}

/// What a router's API said of it.
#[derive(Clone, Debug)]
pub struct Said {
    /// The router.
    pub router: RouterId,
    /// When.
    pub at: Timestamp,
    /// Why it could not be read.
    pub problem: Option<String>,
    /// RouterOS version.
    pub version: Option<String>,
    /// Board.
    pub board: Option<String>,
    /// Percent.
    pub cpu_load: Option<i32>,
    /// Memory in use, MB.
    pub memory_mb: Option<i32>,
    /// Memory in all, MB.
    pub memory_total_mb: Option<i32>,
    /// Since its start, for a person.
    pub uptime: Option<String>,
    /// Who is online outside the system.
    pub outside: serde_json::Value,
    /// How many those are.
    pub outside_count: i64,
}

/// Notes what a router of `site` said; what is older than what is known changes nothing. A router that
/// could not be read keeps what it said before, but for the problem. Whether it said anything and had said nothing since
/// `silent_since`, or could not be read the last time.
pub async fn note_said(
    tx: &mut Tx,
    site: SiteId,
    said: &Said,
    silent_since: Timestamp,
) -> sqlx::Result<bool> {
    let woken: Option<bool> = sqlx::query_scalar(
        "update routers r
            set api_asked_at = $4, api_problem = $5,
                routeros_version = coalesce($6, routeros_version),
                board_name = coalesce($7, board_name), cpu_load = coalesce($8, cpu_load),
                memory_usage_mb = coalesce($9, memory_usage_mb),
                memory_total_mb = coalesce($10, memory_total_mb), uptime = coalesce($11, uptime),
                outside = case when $5::text is null then $12 else outside end,
                outside_count = case when $5::text is null then $13 else outside_count end
           from (select id, api_problem is not null or api_asked_at is null or api_asked_at < $14 as was_silent
                   from routers
                  where tenant_id = $1 and id = $3) before
          where r.tenant_id = $1 and r.site_id = $2 and r.id = before.id
            and (r.api_asked_at is null or r.api_asked_at < $4)
      returning $5::text is null and before.was_silent",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(said.router)
    .bind(said.at)
    .bind(&said.problem)
    .bind(&said.version)
    .bind(&said.board)
    .bind(said.cpu_load)
    .bind(said.memory_mb)
    .bind(said.memory_total_mb)
    .bind(&said.uptime)
    .bind(&said.outside)
    .bind(said.outside_count)
    .bind(silent_since)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(woken.unwrap_or(false))
}

/// What a router said over SNMP.
#[derive(Clone, Debug)]
pub struct Read {
    /// RouterOS version.
    pub version: Option<String>,
    /// Board.
    pub board: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Percent.
    pub cpu_load: Option<i32>,
    /// Memory in use, MB.
    pub memory_mb: Option<i32>,
    /// Memory in all, MB.
    pub memory_total_mb: Option<i32>,
    /// Since its start, for a person.
    pub uptime: Option<String>,
}

/// Notes what a router said over SNMP; what its API said after `at` is left as it is. Version and board are worded
/// otherwise there: where its API ever told them they are what that says.
pub async fn note_reading(
    tx: &mut Tx,
    router: RouterId,
    read: &Read,
    at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers
            set routeros_version = case when api_asked_at is null then coalesce($4, routeros_version)
                                        else coalesce(routeros_version, $4) end,
                board_name = case when api_asked_at is null then coalesce($5, board_name)
                                  else coalesce(board_name, $5) end,
                serial_number = coalesce($6, serial_number),
                cpu_load = coalesce($7, cpu_load),
                memory_usage_mb = coalesce($8, memory_usage_mb),
                memory_total_mb = coalesce($9, memory_total_mb), uptime = coalesce($10, uptime)
          where tenant_id = $1 and id = $2 and (api_asked_at is null or api_asked_at < $3)",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(at)
    .bind(&read.version)
    .bind(&read.board)
    .bind(&read.serial)
    .bind(read.cpu_load)
    .bind(read.memory_mb)
    .bind(read.memory_total_mb)
    .bind(&read.uptime)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes the customers on a router's own lists; what is older than what is known changes nothing.
pub async fn note_local_secrets(
    tx: &mut Tx,
    site: SiteId,
    router: RouterId,
    found: &LocalSecrets,
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers
            set local_secrets = $4, local_secrets_count = $5, local_secrets_at = $6
          where tenant_id = $1 and site_id = $2 and id = $3
            and (local_secrets_at is null or local_secrets_at <= $6)",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(router)
    .bind(serde_json::to_value(&found.names).unwrap_or_default())
    .bind(found.count)
    .bind(found.at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The routers at which somebody is online outside the system, and who.
pub async fn outside(
    tx: &mut Tx,
) -> sqlx::Result<Vec<(RouterId, String, Option<Timestamp>, serde_json::Value)>> {
    sqlx::query_as(
        "select id, name, api_asked_at, outside
           from routers
          where tenant_id = $1 and deleted_at is null and outside_count > 0
          order by name
          limit 200",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await
}
