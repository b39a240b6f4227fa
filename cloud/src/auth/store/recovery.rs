//! Tokens for a forgotten password, of which only digests are kept.

use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::time::Timestamp;
use sqlx::PgConnection;

use crate::db::{DirectoryTx, Tx};

/// Gives an operator one token, in place of an earlier one.
pub async fn insert_reset(
    tx: &mut Tx,
    operator: OperatorId,
    digest: &[u8],
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    delete_resets(tx, operator).await?;
    sqlx::query(
        "insert into directory.reset_tokens (token_digest, tenant_id, operator_id, expires_at)
         values ($1, $2, $3, $4)",
    )
    .bind(digest)
    .bind(tx.tenant())
    .bind(operator)
    .bind(expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whose password a token resets. `None` when it is unknown or over.
pub async fn reset_of(
    directory: &mut PgConnection,
    digest: &[u8],
    now: Timestamp,
) -> sqlx::Result<Option<(TenantId, OperatorId)>> {
    sqlx::query_as(
        "select tenant_id, operator_id from directory.reset_tokens
          where token_digest = $1 and expires_at > $2",
    )
    .bind(digest)
    .bind(now)
    .fetch_optional(directory)
    .await
}

/// Uses a token up; `false` when somebody did before.
pub async fn take_reset(tx: &mut Tx, digest: &[u8]) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "delete from directory.reset_tokens where token_digest = $1 and tenant_id = $2",
    )
    .bind(digest)
    .bind(tx.tenant())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets an operator's token.
pub async fn delete_resets(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<()> {
    sqlx::query("delete from directory.reset_tokens where operator_id = $1 and tenant_id = $2")
        .bind(operator)
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets tokens that ended before `before`, at most 500.
pub async fn forget_resets(directory: &mut DirectoryTx, before: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "delete from directory.reset_tokens
          where token_digest in (select token_digest from directory.reset_tokens
                                  where expires_at < $1 limit 500)",
    )
    .bind(before)
    .execute(&mut **directory)
    .await?;
    Ok(())
}
