//! With what, and where, the agents log in to a router.

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;

/// Enters a user, his sealed password and the port.
pub async fn put_login(
    tx: &mut Tx,
    router: RouterId,
    (user, password_sealed, port): (&str, &[u8], i32),
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers
            set api_username = $3, api_password_sealed = $4, api_port = $5, api_problem = null, version = version + 1, updated_at = $6
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(user)
    .bind(password_sealed)
    .bind(port)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Enters a new sealed password alone.
pub async fn renew_login(
    tx: &mut Tx,
    router: RouterId,
    password_sealed: &[u8],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers
            set api_password_sealed = $3, api_problem = null, version = version + 1, updated_at = $4
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(password_sealed)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Enters the port alone.
pub async fn put_api_port(
    tx: &mut Tx,
    router: RouterId,
    port: i32,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers set api_port = $3, api_problem = null, version = version + 1, updated_at = $4
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(port)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// When an agent got in by its API, if it did the last time that it tried, as far as was told.
pub async fn entered_at(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar(
        "select case when api_problem is null then api_asked_at end
           from routers
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_one(&mut **tx)
    .await
}

/// Whether no agent got in by its API so far, as far as was told.
pub async fn was_never_entered(tx: &mut Tx, router: RouterId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select api_asked_at is null or api_problem is not null and routeros_version is null
           from routers
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_one(&mut **tx)
    .await
}
