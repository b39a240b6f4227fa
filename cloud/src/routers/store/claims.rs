//! Who writes to a router: one at a time.

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;

/// Claims a router for a holder, or goes on holding it; `false` while somebody else does.
pub async fn claim(
    tx: &mut Tx,
    router: RouterId,
    holder: &str,
    until: Timestamp,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update routers set claimed_by = $3, claimed_until = $4
          where tenant_id = $1 and id = $2
            and (claimed_by is null or claimed_by = $3 or claimed_until <= $5)",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(holder)
    .bind(until)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives a router up that this holder has.
pub async fn release(tx: &mut Tx, router: RouterId, holder: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update routers set claimed_by = null, claimed_until = null
          where tenant_id = $1 and id = $2 and claimed_by = $3",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(holder)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Who holds a router; `None` while nobody does.
pub async fn holder(tx: &mut Tx, router: RouterId, now: Timestamp) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "select claimed_by from routers
          where tenant_id = $1 and id = $2 and claimed_by is not null and claimed_until > $3",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}
