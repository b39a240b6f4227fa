//! Sessions that nobody hears of.

use easyisp_shared::time::Timestamp;

use crate::db::Tx;

/// Marks open sessions unconfirmed that were last heard of before `cutoff`; returns how many.
pub async fn doubt(tx: &mut Tx, cutoff: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "update sessions set status = 'UNCONFIRMED'
          where tenant_id = $1 and status = 'ACTIVE' and last_seen_at < $2",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Closes unconfirmed sessions that were last heard of before `cutoff`, at the moment they were last
/// heard of; returns how many. Only the cloud's record: nobody is disconnected by it.
pub async fn close_silent(tx: &mut Tx, cutoff: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "update sessions
            set status = 'COMPLETED', stopped_at = last_seen_at, terminate_cause = $3
          where tenant_id = $1 and status = 'UNCONFIRMED' and last_seen_at < $2",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(crate::sessions::rules::LOST)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
