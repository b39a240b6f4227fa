//! The keys of requests and the answers they got.

use easyisp_shared::id::OperatorId;
use easyisp_shared::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::db::Tx;

/// Takes the key for this transaction, or says that another has it.
pub async fn lock(tx: &mut Tx, operator: OperatorId, key: &str) -> sqlx::Result<bool> {
    let mut digest = Sha256::new();
    digest.update(tx.tenant().as_bytes());
    digest.update(operator.as_bytes());
    digest.update(key.as_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    let (number, _) = digest.split_first_chunk::<8>().expect("32 is over 8");
    sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
        .bind(i64::from_le_bytes(*number))
        .fetch_one(&mut **tx)
        .await
}

/// Digest of the request, status and sealed body of its answer.
pub type Stored = (Vec<u8>, Option<i16>, Option<Vec<u8>>);

/// What is known of a key.
pub async fn find(tx: &mut Tx, operator: OperatorId, key: &str) -> sqlx::Result<Option<Stored>> {
    sqlx::query_as(
        "select request_digest, status, body
           from idempotency_keys
          where tenant_id = $1 and operator_id = $2 and key = $3",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(key)
    .fetch_optional(&mut **tx)
    .await
}

/// Notes a key whose request is being worked on.
pub async fn insert(
    tx: &mut Tx,
    operator: OperatorId,
    key: &str,
    digest: &[u8; 32],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into idempotency_keys (tenant_id, operator_id, key, request_digest, created_at)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(key)
    .bind(digest.as_slice())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores the answer beside its key.
pub async fn answer(
    tx: &mut Tx,
    operator: OperatorId,
    key: &str,
    status: i16,
    body: &[u8],
) -> sqlx::Result<()> {
    sqlx::query(
        "update idempotency_keys set status = $4, body = $5
          where tenant_id = $1 and operator_id = $2 and key = $3",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(key)
    .bind(status)
    .bind(body)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets keys older than `before`, at most 500 at a time; returns how many.
pub async fn forget(tx: &mut Tx, before: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from idempotency_keys
          where tenant_id = $1
            and ctid in (select ctid from idempotency_keys
                          where tenant_id = $1 and created_at < $2 limit 500)",
    )
    .bind(tx.tenant())
    .bind(before)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
