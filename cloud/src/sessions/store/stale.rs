//! Sessions that nobody hears of.

use easyisp_shared::time::Timestamp;

use crate::db::Tx;

/// Marks open sessions unconfirmed that were last heard of before `cutoff`, at sites of which an agent tells them once
/// an hour before `metered`; returns how many.
pub async fn doubt(tx: &mut Tx, cutoff: Timestamp, metered: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "update sessions s set status = 'UNCONFIRMED'
          where s.tenant_id = $1 and s.status = 'ACTIVE' and s.last_seen_at < $2
            and (s.last_seen_at < $3
                 or not exists (select from agents a
                                 where a.tenant_id = $1 and a.site_id = s.site_id and a.metered
                                   and a.revoked_at is null))",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(metered)
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
