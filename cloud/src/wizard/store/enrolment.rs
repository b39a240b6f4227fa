//! Tokens with which routers enter themselves, and the serial numbers that did.

use easyisp_shared::id::{RouterId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use sqlx::PgConnection;

use crate::db::Tx;

/// Keeps the digest of a new token; the tenant's that are over are forgotten.
pub async fn put_enrolment(
    tx: &mut Tx,
    site: SiteId,
    digest: &[u8],
    now: Timestamp,
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("delete from directory.enrolment_tokens where tenant_id = $1 and expires_at <= $2")
        .bind(tx.tenant())
        .bind(now)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "insert into directory.enrolment_tokens (token_digest, tenant_id, site_id, expires_at)
         values ($1, $2, $3, $4)",
    )
    .bind(digest)
    .bind(tx.tenant())
    .bind(site)
    .bind(expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Where the router with this token will stand; `None` when it is unknown or over.
pub async fn place_of_enrolment(
    directory: &mut PgConnection,
    digest: &[u8],
    now: Timestamp,
) -> sqlx::Result<Option<(TenantId, SiteId)>> {
    sqlx::query_as(
        "select tenant_id, site_id from directory.enrolment_tokens
          where token_digest = $1 and expires_at > $2",
    )
    .bind(digest)
    .bind(now)
    .fetch_optional(directory)
    .await
}

/// Uses a token up; `false` when somebody did before.
pub async fn take_enrolment(tx: &mut Tx, digest: &[u8]) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "delete from directory.enrolment_tokens where token_digest = $1 and tenant_id = $2",
    )
    .bind(digest)
    .bind(tx.tenant())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The router that registered with this serial number, or told of it since.
pub async fn with_serial(tx: &mut Tx, serial: &str) -> sqlx::Result<Option<(RouterId, String)>> {
    sqlx::query_as(
        "select r.id, r.name
           from routers r
           left join router_serials s on s.tenant_id = r.tenant_id and s.router_id = r.id
          where r.tenant_id = $1 and r.deleted_at is null
            and (s.serial = $2 or upper(r.serial_number) = $2)
          order by r.created_at, r.id
          limit 1",
    )
    .bind(tx.tenant())
    .bind(serial)
    .fetch_optional(&mut **tx)
    .await
}

/// Notes a router's serial number; `false` when another that was not deleted has it.
pub async fn put_serial(
    tx: &mut Tx,
    serial: &str,
    router: RouterId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into router_serials (tenant_id, serial, router_id, registered_at)
         values ($1, $2, $3, $4)
             on conflict (tenant_id, serial)
             do update set router_id = excluded.router_id, registered_at = excluded.registered_at
                  where exists (select from routers r
                                 where r.tenant_id = $1 and r.id = router_serials.router_id
                                   and r.deleted_at is not null)",
    )
    .bind(tx.tenant())
    .bind(serial)
    .bind(router)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    Ok(true)
}
