//! Which routers are heard of, and what of it was told.

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use sqlx::types::Json;

use crate::db::Tx;
use crate::routers::rules::Pool;

/// A router that is another than was told.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Changed {
    /// The router.
    pub id: RouterId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub site_id: SiteId,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// When an agent of its site was.
    pub site_last_seen: Option<Timestamp>,
    /// Whether it is silent.
    pub is_down: bool,
    /// Whether nothing was told of it yet.
    pub is_new: bool,
}

/// Up to `most` routers that are other than was told since `since`; silent are those that were not heard of
/// since `heard`.
pub async fn changed(
    tx: &mut Tx,
    since: Timestamp,
    heard: Timestamp,
    most: i64,
) -> sqlx::Result<Vec<Changed>> {
    sqlx::query_as(
        "select r.id, r.name, r.site_id, r.last_seen,
                (select max(a.last_seen_at) from agents a
                  where a.tenant_id = $1 and a.site_id = r.site_id) as site_last_seen,
                r.last_seen < $3 as is_down,
                t.router_id is null or t.told_at < $2 as is_new
           from (select id, name, site_id,
                        greatest(last_seen_at, case when api_problem is null then api_asked_at end)
                            as last_seen
                   from routers
                  where tenant_id = $1 and deleted_at is null) r
           left join told_routers t on t.tenant_id = $1 and t.router_id = r.id
          where r.last_seen is not null
            and (t.is_down is distinct from (r.last_seen < $3) or t.told_at < $2)
          order by r.id
          limit $4",
    )
    .bind(tx.tenant())
    .bind(since)
    .bind(heard)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Notes that this is told of these routers.
pub async fn note_told(tx: &mut Tx, routers: &[Changed], now: Timestamp) -> sqlx::Result<()> {
    let ids: Vec<RouterId> = routers.iter().map(|router| router.id).collect();
    let down: Vec<bool> = routers.iter().map(|router| router.is_down).collect();
    sqlx::query(
        "insert into told_routers (tenant_id, router_id, is_down, told_at)
         select $1, r.id, r.is_down, $4
           from unnest($2::uuid[], $3::boolean[]) as r (id, is_down)
             on conflict (tenant_id, router_id)
             do update set is_down = excluded.is_down, told_at = excluded.told_at",
    )
    .bind(tx.tenant())
    .bind(ids)
    .bind(down)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes how full the pools of a router of `site` are.
pub async fn note_pools(
    tx: &mut Tx,
    site: SiteId,
    router: RouterId,
    pools: &[Pool],
    at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers
            set pools = $4, pools_at = $5
          where tenant_id = $1 and site_id = $2 and id = $3 and (pools_at is null or pools_at <= $5)",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(router)
    .bind(Json(pools))
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes a router's model and serial number as its API says them; what it does not say stays.
pub async fn note_board(
    tx: &mut Tx,
    router: RouterId,
    model: Option<&str>,
    serial: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers set model = coalesce($3, model), serial_number = coalesce($4, serial_number)
          where tenant_id = $1 and id = $2
            and (model, serial_number) is distinct from (coalesce($3, model), coalesce($4, serial_number))",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(model)
    .bind(serial)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
