//! What of a router differs from its set-up.

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;

/// Notes what differs, as long as anything does since it was first seen; `true` when it is the first time.
pub async fn note_drift(
    tx: &mut Tx,
    router: RouterId,
    (shown, count): (&[String], i64),
    now: Timestamp,
) -> sqlx::Result<bool> {
    let before: Option<Option<Timestamp>> = sqlx::query_scalar(
        "select drift_since from routers where tenant_id = $1 and id = $2 and deleted_at is null for update",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(before) = before else {
        return Ok(false);
    };
    sqlx::query(
        "update routers
            set drift = $3, drift_count = $4,
                drift_since = case when $4 > 0 then coalesce(drift_since, $5) end
          where tenant_id = $1 and id = $2
            and (drift, drift_count) is distinct from ($3, $4)",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(serde_json::json!(shown))
    .bind(count)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(before.is_none() && count > 0)
}
