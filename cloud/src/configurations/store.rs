//! SQL on the versions of routers' configurations.

use easyisp_shared::id::{ConfigurationId, RouterId};
use easyisp_shared::time::Timestamp;

use super::words::Reason;
use crate::db::Tx;

/// A version with its text.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Version {
    /// Its id.
    pub id: ConfigurationId,
    /// When the agent read it.
    pub taken_at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// Another one where anything differs.
    pub digest: Vec<u8>,
    /// How many lines the text has.
    pub lines: i32,
    /// Lines that had no room.
    pub left_out: i32,
    /// Lines more than in the version before.
    pub added: i32,
    /// Lines less.
    pub removed: i32,
    /// The text.
    pub body: String,
}

/// A version as a list shows it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Brief {
    /// Its id.
    pub id: ConfigurationId,
    /// When the agent read it.
    pub taken_at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// Another one where anything differs.
    pub digest: Vec<u8>,
    /// How many lines the text has.
    pub lines: i32,
    /// Octets of it.
    pub size: i32,
    /// Lines that had no room.
    pub left_out: i32,
    /// Lines more than in the version before.
    pub added: i32,
    /// Lines less.
    pub removed: i32,
}

/// The newest version of a router.
pub async fn newest(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<Version>> {
    sqlx::query_as(
        "select id, taken_at, reason, digest, lines, left_out, added, removed, body
           from router_configurations
          where tenant_id = $1 and router_id = $2
          order by taken_at desc, id desc
          limit 1",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_optional(&mut **tx)
    .await
}

/// One version of a router; `None` where it has no such one.
pub async fn find(
    tx: &mut Tx,
    router: RouterId,
    id: ConfigurationId,
) -> sqlx::Result<Option<Version>> {
    sqlx::query_as(
        "select id, taken_at, reason, digest, lines, left_out, added, removed, body
           from router_configurations
          where tenant_id = $1 and router_id = $2 and id = $3",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// The version before one of a router; `None` where that is the oldest that is kept.
pub async fn before(
    tx: &mut Tx,
    router: RouterId,
    version: &Version,
) -> sqlx::Result<Option<Version>> {
    sqlx::query_as(
        "select id, taken_at, reason, digest, lines, left_out, added, removed, body
           from router_configurations
          where tenant_id = $1 and router_id = $2 and (taken_at, id) < ($3, $4)
          order by taken_at desc, id desc
          limit 1",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(version.taken_at)
    .bind(version.id)
    .fetch_optional(&mut **tx)
    .await
}

/// A page of a router's versions, the newest first, and how many there are.
pub async fn list(
    tx: &mut Tx,
    router: RouterId,
    limit: i64,
    offset: i64,
) -> sqlx::Result<(Vec<Brief>, i64)> {
    let total = sqlx::query_scalar(
        "select count(*) from router_configurations where tenant_id = $1 and router_id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_one(&mut **tx)
    .await?;
    let page = sqlx::query_as(
        "select id, taken_at, reason, digest, lines, octet_length(body) as size, left_out, added, removed
           from router_configurations
          where tenant_id = $1 and router_id = $2
          order by taken_at desc, id desc
          limit $3 offset $4",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await?;
    Ok((page, total))
}

/// Keeps a version.
pub async fn insert(
    tx: &mut Tx,
    router: RouterId,
    version: &Version,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into router_configurations (tenant_id, id, router_id, taken_at, arrived_at, reason, digest, body,
                                            lines, left_out, added, removed)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(tx.tenant())
    .bind(version.id)
    .bind(router)
    .bind(version.taken_at)
    .bind(now)
    .bind(version.reason)
    .bind(&version.digest)
    .bind(&version.body)
    .bind(version.lines)
    .bind(version.left_out)
    .bind(version.added)
    .bind(version.removed)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets a router's versions beyond the newest `most`, and those before `cutoff` that are not the newest.
pub async fn forget(
    tx: &mut Tx,
    router: RouterId,
    most: i64,
    cutoff: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from router_configurations
          where tenant_id = $1 and router_id = $2
            and id in (select id
                         from (select id, taken_at, row_number() over (order by taken_at desc, id desc) as place
                                 from router_configurations
                                where tenant_id = $1 and router_id = $2) as versions
                        where place > $3 or (place > 1 and taken_at < $4))",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(most)
    .bind(cutoff)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
