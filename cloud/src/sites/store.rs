//! Sites and their counters.

pub mod authorities;

use easyisp_shared::id::{AgentId, PackageId, RouterId, RouterLoginId, SiteId};
use easyisp_shared::time::Timestamp;

use crate::api::Page;
use crate::db::Tx;

/// A site.
#[derive(sqlx::FromRow)]
pub struct SiteRow {
    pub id: SiteId,
    pub name: String,
    pub created_at: Timestamp,
    pub routers: i64,
}

/// An agent of a site.
#[derive(sqlx::FromRow)]
pub struct AgentRow {
    pub id: AgentId,
    pub site_id: SiteId,
    pub fingerprint: String,
    pub version: String,
    pub enrolled_at: Timestamp,
    pub last_seen_at: Option<Timestamp>,
    pub queue_depth: Option<i64>,
    pub clock_offset_ms: Option<i64>,
    /// The rest of its newest heartbeat.
    pub report: Option<serde_json::Value>,
    /// When another box was seen with its identity.
    pub cloned_at: Option<Timestamp>,
    /// What a person should look at, as it told last.
    pub condition: Option<serde_json::Value>,
    /// When the certificate ends by which it is known.
    pub certificate_ends_at: Option<Timestamp>,
    /// Its reports that could not be applied and are kept aside.
    pub set_aside: i64,
    /// The first of them.
    pub set_aside_at: Option<Timestamp>,
    /// Those that were only counted, because too many were kept.
    pub dropped_reports: i64,
    /// The first of these.
    pub dropped_at: Option<Timestamp>,
    /// Since when it is known that devices know it by another authority than its site's.
    pub stranger_since: Option<Timestamp>,
}

/// Adds a site.
pub async fn insert(
    tx: &mut Tx,
    id: SiteId,
    name: &str,
    key_sealed: &[u8],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into sites (tenant_id, id, name, key_sealed, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $5)",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(name)
    .bind(key_sealed)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The tenant's packages, which every site knows.
pub async fn packages(tx: &mut Tx) -> sqlx::Result<Vec<PackageId>> {
    sqlx::query_scalar("select id from packages where tenant_id = $1 and deleted_at is null")
        .bind(tx.tenant())
        .fetch_all(&mut **tx)
        .await
}

/// The router logins of the tenant: every site knows them.
pub async fn router_logins(tx: &mut Tx) -> sqlx::Result<Vec<RouterLoginId>> {
    sqlx::query_scalar("select id from router_logins where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_all(&mut **tx)
        .await
}

/// Locks the set of sites and their agents against [`stand_still`], before one is added or ends: a new site
/// then learns what the others know, nobody who changes that overlooks it, and a site's policy, which names
/// an agent, is made of all that there are.
pub async fn lock_set(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("select from tenants where tenant_id = $1 for no key update")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Lets no site be added until the transaction ends: for whoever changes what every site knows. Many may
/// hold it at once; a change of the tenant's own row holds as much.
pub async fn stand_still(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("select from tenants where tenant_id = $1 for share")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Begins a site's feed.
pub async fn insert_counters(tx: &mut Tx, id: SiteId) -> sqlx::Result<()> {
    sqlx::query("insert into site_counters (tenant_id, site_id) values ($1, $2)")
        .bind(tx.tenant())
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Every site of the tenant, oldest first.
pub async fn ids(tx: &mut Tx) -> sqlx::Result<Vec<SiteId>> {
    sqlx::query_scalar(
        "select id from sites where tenant_id = $1 and deleted_at is null order by created_at, id",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await
}

/// The tenant's first site: where things belong that name none.
pub async fn first(tx: &mut Tx) -> sqlx::Result<SiteId> {
    sqlx::query_scalar(
        "select id from sites where tenant_id = $1 and deleted_at is null
          order by created_at, id limit 1",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await
}

/// Whether the tenant has this site.
pub async fn exists(tx: &mut Tx, id: SiteId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from sites where tenant_id = $1 and id = $2 and deleted_at is null)",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_one(&mut **tx)
    .await
}

/// A page of sites, oldest first.
pub async fn page(tx: &mut Tx, page: &Page) -> sqlx::Result<Vec<SiteRow>> {
    sqlx::query_as(
        "select s.id, s.name, s.created_at,
                (select count(*) from routers r
                  where r.tenant_id = s.tenant_id and r.site_id = s.id and r.deleted_at is null) as routers
           from sites s
          where s.tenant_id = $1 and s.deleted_at is null
          order by s.created_at, s.id
          limit $2 offset $3",
    )
    .bind(tx.tenant())
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await
}

/// How many sites there are.
pub async fn count(tx: &mut Tx) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from sites where tenant_id = $1 and deleted_at is null")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await
}

/// One site.
pub async fn site(tx: &mut Tx, id: SiteId) -> sqlx::Result<Option<SiteRow>> {
    sqlx::query_as(
        "select s.id, s.name, s.created_at,
                (select count(*) from routers r
                  where r.tenant_id = s.tenant_id and r.site_id = s.id and r.deleted_at is null) as routers
           from sites s
          where s.tenant_id = $1 and s.id = $2 and s.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// The agents of some sites that were not revoked, the one seen last first.
pub async fn agents(tx: &mut Tx, sites: &[SiteId]) -> sqlx::Result<Vec<AgentRow>> {
    sqlx::query_as(
        "select id, site_id, fingerprint, version, enrolled_at, last_seen_at, queue_depth,
                clock_offset_ms, report, cloned_at, condition,
                (select max(c.expires_at) from directory.certificates c
                  where c.agent_id = agents.id and c.revoked_at is null) as certificate_ends_at,
                aside.set_aside, aside.set_aside_at, dropped_reports, dropped_at,
                (select s.told_at from site_authorities s
                  where s.tenant_id = $1 and s.site_id = agents.site_id
                    and sha256(s.certificate) <> agents.authority_digest) as stranger_since
           from agents
          cross join lateral (select count(*) as set_aside, min(q.at) as set_aside_at
                                from quarantine q
                               where q.tenant_id = $1 and q.agent_id = agents.id) aside
          where tenant_id = $1 and site_id = any($2) and revoked_at is null
          order by last_seen_at desc nulls last, id
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(sites)
    .fetch_all(&mut **tx)
    .await
}

/// What the routers of some sites are called.
pub async fn router_names(
    tx: &mut Tx,
    sites: &[SiteId],
) -> sqlx::Result<Vec<(RouterId, SiteId, String)>> {
    sqlx::query_as(
        "select id, site_id, name from routers
          where tenant_id = $1 and site_id = any($2) and deleted_at is null
          order by name, id
          limit 10000",
    )
    .bind(tx.tenant())
    .bind(sites)
    .fetch_all(&mut **tx)
    .await
}

/// A site and who serves it.
#[derive(sqlx::FromRow)]
pub struct Served {
    /// What people call it.
    pub name: String,
    /// When an agent of it was last heard of.
    pub last_seen: Option<Timestamp>,
    /// How many agents it has.
    pub agents: i64,
}

/// A site and who serves it.
pub async fn served(tx: &mut Tx, site: SiteId) -> sqlx::Result<Served> {
    sqlx::query_as(
        "select s.name, max(a.last_seen_at) as last_seen, count(a.id) as agents
           from sites s
           left join agents a on a.tenant_id = $1 and a.site_id = s.id and a.revoked_at is null
          where s.tenant_id = $1 and s.id = $2
          group by s.name",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_one(&mut **tx)
    .await
}

/// A site's name, and when an agent of it was last heard of; `None` when the tenant has no such site.
pub async fn last_heard(
    tx: &mut Tx,
    site: SiteId,
) -> sqlx::Result<Option<(String, Option<Timestamp>)>> {
    sqlx::query_as(
        "select s.name,
                (select max(a.last_seen_at) from agents a
                  where a.tenant_id = $1 and a.site_id = s.id and a.revoked_at is null)
           from sites s
          where s.tenant_id = $1 and s.id = $2",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_optional(&mut **tx)
    .await
}

/// The sites that are called one of these words, in lower case, by name or id: the word in lower case, and which.
pub async fn called(tx: &mut Tx, words: &[String]) -> sqlx::Result<Vec<(String, SiteId)>> {
    sqlx::query_as(
        "select case when lower(name) = any($2) then lower(name) else id::text end, id
           from sites
          where tenant_id = $1 and deleted_at is null
            and (lower(name) = any($2) or id::text = any($2))
          limit 5000",
    )
    .bind(tx.tenant())
    .bind(words)
    .fetch_all(&mut **tx)
    .await
}
