//! SQL on pictures.

use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::time::Timestamp;
use sqlx::PgConnection;

use super::rules::Picture;
use crate::db::Tx;

/// Keeps a portrait, or the tenant's logo, in place of the one before.
pub async fn put(
    tx: &mut Tx,
    name: &[u8],
    operator: Option<OperatorId>,
    picture: &Picture,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "with gone as (
             delete from pictures
              where tenant_id = $1 and operator_id is not distinct from $2
             returning name)
         delete from directory.pictures where tenant_id = $1 and name in (select name from gone)",
    )
    .bind(tx.tenant())
    .bind(operator)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "with known as (insert into directory.pictures (name, tenant_id) values ($2, $1))
         insert into pictures (tenant_id, name, operator_id, content_type, bytes, created_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tx.tenant())
    .bind(name)
    .bind(operator)
    .bind(picture.kind.content_type())
    .bind(&picture.bytes)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whose picture has this name.
pub async fn tenant_of(
    directory: &mut PgConnection,
    name: &[u8],
) -> sqlx::Result<Option<TenantId>> {
    sqlx::query_scalar("select tenant_id from directory.pictures where name = $1")
        .bind(name)
        .fetch_optional(directory)
        .await
}

/// A picture: its content type and its bytes.
pub async fn find(tx: &mut Tx, name: &[u8]) -> sqlx::Result<Option<(String, Vec<u8>)>> {
    sqlx::query_as("select content_type, bytes from pictures where tenant_id = $1 and name = $2")
        .bind(tx.tenant())
        .bind(name)
        .fetch_optional(&mut **tx)
        .await
}

/// The bytes of the tenant's logo. `None` when there is none.
pub async fn logo(tx: &mut Tx) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("select bytes from pictures where tenant_id = $1 and operator_id is null")
        .bind(tx.tenant())
        .fetch_optional(&mut **tx)
        .await
}
