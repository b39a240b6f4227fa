//! API keys.

use easyisp_shared::id::{ApiKeyId, OperatorId, TenantId};
use easyisp_shared::time::Timestamp;
use sqlx::PgConnection;

use crate::db::Tx;

/// A key without itself.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct KeyRow {
    /// The key.
    pub id: ApiKeyId,
    /// In whose name.
    pub operator_id: OperatorId,
    /// What he is called.
    pub operator_name: String,
    /// What it is for.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// Names of what it may do, when he may.
    pub permissions: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used last.
    pub used_at: Option<Timestamp>,
}

/// Whose key has this digest.
pub async fn key_of(
    directory: &mut PgConnection,
    digest: &[u8],
) -> sqlx::Result<Option<(TenantId, ApiKeyId)>> {
    sqlx::query_as("select tenant_id, key_id from directory.api_keys where key_digest = $1")
        .bind(digest)
        .fetch_optional(directory)
        .await
}

/// A key that is good at this moment.
pub async fn good_key(tx: &mut Tx, key: ApiKeyId, now: Timestamp) -> sqlx::Result<Option<KeyRow>> {
    sqlx::query_as(
        "select k.id, k.operator_id, o.name as operator_name, k.name, k.prefix, k.permissions,
                k.created_at, k.expires_at, k.used_at
           from api_keys k
           join operators o on o.tenant_id = k.tenant_id and o.id = k.operator_id
          where k.tenant_id = $1 and k.id = $2 and k.revoked_at is null and k.expires_at > $3",
    )
    .bind(tx.tenant())
    .bind(key)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// The tenant's keys that nobody revoked, newest first.
pub async fn keys(tx: &mut Tx, most: i64) -> sqlx::Result<Vec<KeyRow>> {
    sqlx::query_as(
        "select k.id, k.operator_id, o.name as operator_name, k.name, k.prefix, k.permissions,
                k.created_at, k.expires_at, k.used_at
           from api_keys k
           join operators o on o.tenant_id = k.tenant_id and o.id = k.operator_id
          where k.tenant_id = $1 and k.revoked_at is null
          order by k.created_at desc, k.id desc
          limit $2",
    )
    .bind(tx.tenant())
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Waits for whoever makes a key: their number has an end.
pub async fn lock_keys(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("select from tenants where tenant_id = $1 for no key update")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Adds a key.
pub async fn insert_key(tx: &mut Tx, row: &KeyRow, digest: &[u8]) -> sqlx::Result<()> {
    sqlx::query(
        "with known as (
             insert into directory.api_keys (key_digest, tenant_id, key_id) values ($9, $1, $2))
         insert into api_keys (tenant_id, id, operator_id, name, prefix, permissions, created_at,
                               expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tx.tenant())
    .bind(row.id)
    .bind(row.operator_id)
    .bind(&row.name)
    .bind(&row.prefix)
    .bind(&row.permissions)
    .bind(row.created_at)
    .bind(row.expires_at)
    .bind(digest)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that a key was used.
pub async fn touch_key(tx: &mut Tx, key: ApiKeyId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("update api_keys set used_at = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(key)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Revokes a key; returns its name, `None` when there is none or it was revoked before.
pub async fn revoke_key(
    tx: &mut Tx,
    key: ApiKeyId,
    now: Timestamp,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "with known as (
             delete from directory.api_keys where key_id = $2 and tenant_id = $1)
         update api_keys set revoked_at = $3
          where tenant_id = $1 and id = $2 and revoked_at is null
         returning name",
    )
    .bind(tx.tenant())
    .bind(key)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// Revokes every key of an operator.
pub async fn revoke_keys_of(tx: &mut Tx, operator: OperatorId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "with gone as (
             update api_keys set revoked_at = $3
              where tenant_id = $1 and operator_id = $2 and revoked_at is null
          returning id)
         delete from directory.api_keys d using gone where d.tenant_id = $1 and d.key_id = gone.id",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
