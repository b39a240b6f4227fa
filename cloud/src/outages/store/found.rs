//! Who is silent, and since when somebody listens.

use std::time::Duration;

use easyisp_shared::id::{OutageId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use crate::db::Tx;

/// Notes a look at `now`; returns since when there was one at least every `gap`. `None` where the tenant was deleted: what
/// is written while his rows go would be in their way.
pub async fn look(tx: &mut Tx, gap: Duration, now: Timestamp) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar(
        "insert into outage_watches as w (tenant_id, looked_at, awake_from)
         select $1, $2, $2
          where not exists (select from directory.tenants t where t.tenant_id = $1 and t.deleted_at is not null)
             on conflict (tenant_id) do update
                set looked_at = greatest(w.looked_at, $2),
                    awake_from = case when w.looked_at < $3 then $2 else w.awake_from end
         returning awake_from",
    )
    .bind(tx.tenant())
    .bind(now)
    .bind(now.minus(gap))
    .fetch_optional(&mut **tx)
    .await
}

/// How many sites there are, and how many of them are silent.
#[derive(FromRow, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Those that no outage is open of.
    pub sites: i64,
    /// Those of them that were not heard lately.
    pub silent: i64,
    /// Of how many providers those are.
    pub providers: i64,
}

/// Notes how many of this tenant's sites without an outage were not heard since `lately`, and returns the same of all
/// tenants that were looked at since `fresh`.
pub async fn heard_of_all(
    tx: &mut Tx,
    lately: Timestamp,
    fresh: Timestamp,
    now: Timestamp,
) -> sqlx::Result<Heard> {
    let own: Heard = sqlx::query_as(
        "insert into directory.listening as l (tenant_id, sites, silent, looked_at)
         select $1, count(*), count(*) filter (where a.last_seen < $2), $3
           from sites s
           join lateral (select max(last_seen_at) as last_seen from agents
                          where tenant_id = $1 and site_id = s.id and revoked_at is null) a
             on a.last_seen is not null
          where s.tenant_id = $1 and s.deleted_at is null
            and not exists (select from outages o
                             where o.tenant_id = $1 and o.site_id = s.id and o.router_id is null
                               and o.ended_at is null)
             on conflict (tenant_id) do update
                set sites = excluded.sites, silent = excluded.silent, looked_at = excluded.looked_at
         returning sites, silent, (silent > 0)::int::bigint as providers",
    )
    .bind(tx.tenant())
    .bind(lately)
    .bind(now)
    .fetch_one(&mut **tx)
    .await?;
    let others: Heard = sqlx::query_as(
        "select coalesce(sum(sites), 0)::bigint as sites, coalesce(sum(silent), 0)::bigint as silent,
                count(*) filter (where silent > 0) as providers
           from directory.listening
          where tenant_id <> $1 and looked_at >= $2",
    )
    .bind(tx.tenant())
    .bind(fresh)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Heard {
        sites: own.sites + others.sites,
        silent: own.silent + others.silent,
        providers: own.providers + others.providers,
    })
}

/// Notes that nobody could be heard before `now`.
pub async fn awake_since(tx: &mut Tx, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("update outage_watches set awake_from = $2 where tenant_id = $1")
        .bind(tx.tenant())
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends the outages of what was heard since `heard`, or is gone; returns which.
pub async fn end(tx: &mut Tx, heard: Timestamp) -> sqlx::Result<Vec<OutageId>> {
    sqlx::query_scalar(
        "with seen as (
             select o.id,
                    case when s.deleted_at is not null then s.deleted_at
                         when o.cause = 'UPSTREAM_DOWN' then
                              (select min((a.condition -> 'upstream' ->> 'since')::timestamptz) from agents a
                                where a.tenant_id = $1 and a.site_id = o.site_id and a.revoked_at is null
                                  and (a.condition -> 'upstream' ->> 'reached')::boolean
                                  and (a.condition -> 'upstream' ->> 'since')::timestamptz > o.began_at)
                         when o.router_id is null then
                              (select max(a.last_seen_at) from agents a
                                where a.tenant_id = $1 and a.site_id = o.site_id and a.revoked_at is null)
                         else coalesce(r.deleted_at, greatest(r.last_seen_at,
                                       case when r.api_problem is null then r.api_asked_at end))
                    end as at,
                    coalesce(s.deleted_at, r.deleted_at) is not null as gone
               from outages o
               join sites s on s.tenant_id = $1 and s.id = o.site_id
               left join routers r on r.tenant_id = $1 and r.id = o.router_id
              where o.tenant_id = $1 and o.ended_at is null)
         update outages o set ended_at = greatest(o.began_at, seen.at)
           from seen
          where o.tenant_id = $1 and o.id = seen.id and o.ended_at is null
            and (seen.gone or seen.at > o.began_at and (seen.at > $2 or o.cause = 'UPSTREAM_DOWN'))
         returning o.id",
    )
    .bind(tx.tenant())
    .bind(heard)
    .fetch_all(&mut **tx)
    .await
}

/// Something that is silent, or that nothing is reached from.
#[derive(FromRow, Clone, Debug)]
pub struct Silent {
    /// What its outage is called.
    pub cause: String,
    /// The site.
    pub site_id: SiteId,
    /// The router; `None` = the whole site.
    pub router_id: Option<RouterId>,
    /// When it was last heard, or last reached something.
    pub last_seen: Timestamp,
}

/// Sites none of whose agents was heard since `heard`, and that no outage is open of.
pub async fn silent_sites(tx: &mut Tx, heard: Timestamp) -> sqlx::Result<Vec<Silent>> {
    sqlx::query_as(
        "select 'AGENT_SILENT' as cause, s.id as site_id, null::uuid as router_id, a.last_seen
           from sites s
           join lateral (select max(last_seen_at) as last_seen from agents
                          where tenant_id = $1 and site_id = s.id and revoked_at is null) a on true
          where s.tenant_id = $1 and s.deleted_at is null and a.last_seen < $2
            and not exists (select from outages o
                             where o.tenant_id = $1 and o.site_id = s.id and o.router_id is null
                               and o.ended_at is null)
          limit 500",
    )
    .bind(tx.tenant())
    .bind(heard)
    .fetch_all(&mut **tx)
    .await
}

/// Sites from which the internet is not reached since before `heard`, as all of their agents say that were heard since
/// then and know; and that no outage is open of.
pub async fn sites_without_upstream(tx: &mut Tx, heard: Timestamp) -> sqlx::Result<Vec<Silent>> {
    sqlx::query_as(
        "select 'UPSTREAM_DOWN' as cause, s.id as site_id, null::uuid as router_id, a.since as last_seen
           from sites s
           join lateral (select max((condition -> 'upstream' ->> 'since')::timestamptz) as since,
                                bool_and(not (condition -> 'upstream' ->> 'reached')::boolean) as all_of_them
                           from agents
                          where tenant_id = $1 and site_id = s.id and revoked_at is null and last_seen_at > $2) a
             on a.all_of_them
          where s.tenant_id = $1 and s.deleted_at is null and a.since < $2
            and not exists (select from outages o
                             where o.tenant_id = $1 and o.site_id = s.id and o.router_id is null
                               and o.ended_at is null)
          limit 500",
    )
    .bind(tx.tenant())
    .bind(heard)
    .fetch_all(&mut **tx)
    .await
}

/// Routers that were not heard since `heard` although their site was, all the while. Nobody dialling is no
/// outage: the API is asked and does not answer, or somebody was online whose end was never told.
pub async fn silent_routers(tx: &mut Tx, heard: Timestamp) -> sqlx::Result<Vec<Silent>> {
    sqlx::query_as(
        "select 'ROUTER_SILENT' as cause, r.site_id, r.id as router_id, r.last_seen
           from (select *, greatest(last_seen_at, case when api_problem is null then api_asked_at end) as last_seen
                   from routers
                  where tenant_id = $1 and deleted_at is null) r
          where r.last_seen < $2
            and exists (select from agents a
                         where a.tenant_id = $1 and a.site_id = r.site_id and a.revoked_at is null
                           and a.last_seen_at > $2)
            and (r.api_problem is not null and r.api_asked_at > $2
                 or exists (select from sessions s
                             where s.tenant_id = $1 and s.router_id = r.id and s.status <> 'COMPLETED'))
            and not exists (select from outages o
                             where o.tenant_id = $1 and o.site_id = r.site_id
                               and (o.ended_at is null and coalesce(o.router_id, r.id) = r.id
                                    or o.router_id is null and o.ended_at > $2))
          limit 500",
    )
    .bind(tx.tenant())
    .bind(heard)
    .fetch_all(&mut **tx)
    .await
}

/// Opens outages, each once.
pub async fn open(
    tx: &mut Tx,
    found: &[(OutageId, Silent, Timestamp)],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into outages (tenant_id, id, cause, site_id, router_id, began_at, created_at)
         select $1, o.id, o.cause, o.site_id, o.router_id, o.began_at, $6
           from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $7::text[])
                as o (id, site_id, router_id, began_at, cause)
             on conflict do nothing",
    )
    .bind(tx.tenant())
    .bind(found.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
    .bind(
        found
            .iter()
            .map(|(_, one, _)| one.site_id)
            .collect::<Vec<_>>(),
    )
    .bind(
        found
            .iter()
            .map(|(_, one, _)| one.router_id)
            .collect::<Vec<_>>(),
    )
    .bind(found.iter().map(|(.., began)| *began).collect::<Vec<_>>())
    .bind(now)
    .bind(
        found
            .iter()
            .map(|(_, one, _)| one.cause.as_str())
            .collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
