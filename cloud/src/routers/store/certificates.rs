//! The RadSec certificates of routers.

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use crate::db::Tx;

/// A certificate as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Certificate {
    /// Whose.
    pub router_id: RouterId,
    /// In hex.
    pub serial: String,
    /// When it was made; `None` for one that the box made by itself.
    pub issued_at: Option<Timestamp>,
    /// From when on it is good.
    pub begins_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// When an operator ended it.
    pub revoked_at: Option<Timestamp>,
    /// Whether every one that begins earlier ended with it, known here or not.
    pub is_alone: bool,
}

/// A router whose certificates are asked for.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Holder {
    /// The router.
    pub id: RouterId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub site_id: SiteId,
}

/// The routers of a site, or this one, or all, by name; at most a thousand.
pub async fn holders(
    tx: &mut Tx,
    site: Option<SiteId>,
    router: Option<RouterId>,
) -> sqlx::Result<Vec<Holder>> {
    sqlx::query_as(
        "select id, name, site_id from routers
          where tenant_id = $1 and deleted_at is null
            and ($2::uuid is null or site_id = $2) and ($3::uuid is null or id = $3)
          order by name, id
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(router)
    .fetch_all(&mut **tx)
    .await
}

/// The certificates of these routers, the last to end first, at most [`MOST`] of each.
pub async fn certificates(tx: &mut Tx, routers: &[RouterId]) -> sqlx::Result<Vec<Certificate>> {
    let routers: Vec<Uuid> = routers.iter().map(|router| router.0).collect();
    sqlx::query_as(
        "select c.router_id, c.serial, c.issued_at, c.begins_at, c.ends_at, c.revoked_at, c.is_alone
           from unnest($2::uuid[]) as wanted (id)
          cross join lateral
                (select * from router_certificates
                  where tenant_id = $1 and router_id = wanted.id
                  order by ends_at desc, serial
                  limit $3) c
          order by c.router_id, c.ends_at desc, c.serial",
    )
    .bind(tx.tenant())
    .bind(routers)
    .bind(MOST)
    .fetch_all(&mut **tx)
    .await
}

/// Notes a certificate that was made; what ended before `cutoff` is forgotten.
pub async fn put_certificate(
    tx: &mut Tx,
    certificate: &Certificate,
    cutoff: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from router_certificates where tenant_id = $1 and router_id = $2 and ends_at < $3",
    )
    .bind(tx.tenant())
    .bind(certificate.router_id)
    .bind(cutoff)
    .execute(&mut **tx)
    .await?;
    insert(tx, certificate).await
}

/// Ends a certificate, also one that only its box knew of. One that was ended stays as it was.
pub async fn end_certificate(tx: &mut Tx, certificate: &Certificate) -> sqlx::Result<()> {
    insert(tx, certificate).await
}

async fn insert(tx: &mut Tx, certificate: &Certificate) -> sqlx::Result<()> {
    sqlx::query(
        "insert into router_certificates 
                (tenant_id, router_id, serial, issued_at, begins_at, ends_at, revoked_at, is_alone)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (tenant_id, router_id, serial) do update
            set revoked_at = coalesce(router_certificates.revoked_at, excluded.revoked_at)",
    )
    .bind(tx.tenant())
    .bind(certificate.router_id)
    .bind(&certificate.serial)
    .bind(certificate.issued_at)
    .bind(certificate.begins_at)
    .bind(certificate.ends_at)
    .bind(certificate.revoked_at)
    .bind(certificate.is_alone)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How many of a router are known at a time: an agent hears of each that was ended.
pub const MOST: i64 = 32;
