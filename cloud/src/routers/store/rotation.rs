//! Since when a router has its secret, whether it was seen to use it, and the one before.

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;

/// Begins a rotation: nobody has seen the new secret in use.
pub async fn begin_rotation(tx: &mut Tx, router: RouterId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update routers set secret_changed_at = $3, secret_seen = null where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes whether the secret that a router has since `changed` is in use; `false` where it has another one by now.
pub async fn note_secret(
    tx: &mut Tx,
    router: RouterId,
    changed: Option<Timestamp>,
    is_seen: bool,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update routers set secret_seen = $4
          where tenant_id = $1 and id = $2 and secret_changed_at is not distinct from $3",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(changed)
    .bind(is_seen)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a rotation: the secret before is taken no longer. Whether there was one.
pub async fn forget_previous_secret(tx: &mut Tx, router: RouterId) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update routers set previous_secret_sealed = null
          where tenant_id = $1 and id = $2 and previous_secret_sealed is not null",
    )
    .bind(tx.tenant())
    .bind(router)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
