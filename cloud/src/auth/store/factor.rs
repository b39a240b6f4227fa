//! The second factor of an account.

use easyisp_shared::id::OperatorId;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;

/// An account's second factor.
#[derive(sqlx::FromRow)]
pub struct Factor {
    /// The secret, sealed; also one that does not count yet.
    #[sqlx(rename = "totp_sealed")]
    pub sealed: Option<Vec<u8>>,
    /// Since when it counts.
    #[sqlx(rename = "totp_since")]
    pub since: Option<Timestamp>,
    /// The step of the last code used.
    #[sqlx(rename = "totp_step")]
    pub step: i64,
    /// Hashes of the recovery codes left.
    pub recovery_codes: Vec<Vec<u8>>,
}

/// Reads an operator's second factor and locks him until the transaction ends, so that a code is used once.
/// `None` when there is no such operator.
pub async fn lock_factor(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<Option<Factor>> {
    sqlx::query_as(
        "select totp_sealed, totp_since, totp_step, recovery_codes
           from operators
          where tenant_id = $1 and id = $2 and deleted_at is null
            for no key update",
    )
    .bind(tx.tenant())
    .bind(operator)
    .fetch_optional(&mut **tx)
    .await
}

/// Keeps a secret that does not count yet.
pub async fn set_factor_secret(
    tx: &mut Tx,
    operator: OperatorId,
    sealed: &[u8],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update operators set totp_sealed = $3, totp_step = 0, updated_at = $4
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(sealed)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets the secret count, with new recovery codes.
pub async fn enable_factor(
    tx: &mut Tx,
    operator: OperatorId,
    step: i64,
    recovery_codes: &[Vec<u8>],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update operators
            set totp_since = $5, totp_step = $3, recovery_codes = $4, updated_at = $5
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(step)
    .bind(recovery_codes)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that the code of this step was used.
pub async fn use_step(tx: &mut Tx, operator: OperatorId, step: i64) -> sqlx::Result<()> {
    sqlx::query("update operators set totp_step = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(operator)
        .bind(step)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets a recovery code: it was used.
pub async fn use_recovery_code(
    tx: &mut Tx,
    operator: OperatorId,
    digest: &[u8],
) -> sqlx::Result<()> {
    sqlx::query(
        "update operators set recovery_codes = array_remove(recovery_codes, $3)
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(digest)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets the second factor.
pub async fn clear_factor(tx: &mut Tx, operator: OperatorId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update operators
            set totp_sealed = null, totp_since = null, totp_step = 0, recovery_codes = '{}',
                updated_at = $3
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
