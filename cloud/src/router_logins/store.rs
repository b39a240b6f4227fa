//! SQL on router logins.

use easyisp_shared::id::{RouterId, RouterLoginId, SiteId};
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use super::rules::Draft;
use crate::db::Tx;

/// A login as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stored {
    /// The login.
    pub id: RouterLoginId,
    /// What he types.
    pub username: String,
    /// Sealed for `router_logins.password`.
    pub password_sealed: Vec<u8>,
    /// The router's `/user group`.
    pub router_group: String,
    /// The only router.
    pub router_id: Option<RouterId>,
    /// When it was entered.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// Whether the tenant switched router logins on.
pub async fn is_on(tx: &mut Tx) -> sqlx::Result<bool> {
    sqlx::query_scalar("select router_logins from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await
}

/// Switches router logins on or off; locks the tenant's row until the transaction ends.
pub async fn switch(tx: &mut Tx, on: bool, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("update tenants set router_logins = $2, updated_at = $3 where tenant_id = $1")
        .bind(tx.tenant())
        .bind(on)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Waits for whoever changes the list, the switch, or the set of sites and routers: what sites know of a
/// login is made of all of them, and the list has an end.
pub async fn lock_list(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("select from tenants where tenant_id = $1 for no key update")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Every login, by name.
pub async fn list(tx: &mut Tx, most: i64) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as("select * from router_logins where tenant_id = $1 order by username limit $2")
        .bind(tx.tenant())
        .bind(most)
        .fetch_all(&mut **tx)
        .await
}

/// One login, locked until the transaction ends.
pub async fn lock(tx: &mut Tx, id: RouterLoginId) -> sqlx::Result<Option<Stored>> {
    sqlx::query_as("select * from router_logins where tenant_id = $1 and id = $2 for update")
        .bind(tx.tenant())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
}

/// Writes a login over the one before.
pub async fn put(
    tx: &mut Tx,
    id: RouterLoginId,
    draft: &Draft,
    sealed: &[u8],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into router_logins (tenant_id, id, username, password_sealed, router_group, router_id,
                created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7)
             on conflict (tenant_id, id) do update
            set username = excluded.username, password_sealed = excluded.password_sealed,
                router_group = excluded.router_group, router_id = excluded.router_id,
                updated_at = excluded.updated_at",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(&draft.username)
    .bind(sealed)
    .bind(&draft.group)
    .bind(draft.router)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets a login.
pub async fn delete(tx: &mut Tx, id: RouterLoginId) -> sqlx::Result<()> {
    sqlx::query("delete from router_logins where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A login that a site must know, and the site.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AtSite {
    /// The login.
    #[sqlx(flatten)]
    pub stored: Stored,
    /// One of the tenant's sites.
    pub site_id: SiteId,
}

/// The logins among `ids`, once for every site where they count; none while they are switched off.
pub async fn for_sites(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<AtSite>> {
    sqlx::query_as(
        "select s.id as site_id, l.*
           from router_logins l
           join tenants t on t.tenant_id = $1 and t.router_logins
           left join routers r on r.tenant_id = $1 and r.id = l.router_id and r.deleted_at is null
           join sites s on s.tenant_id = $1 and s.deleted_at is null
                and (l.router_id is null or s.id = r.site_id)
          where l.tenant_id = $1 and l.id = any($2)",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await
}

/// The ids of all logins, for comparing them with what sites know.
pub async fn every_id(tx: &mut Tx, after: Uuid, most: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select id from router_logins where tenant_id = $1 and id > $2 order by id limit $3",
    )
    .bind(tx.tenant())
    .bind(after)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
