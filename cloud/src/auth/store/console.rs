//! The console's sessions: families of tokens, of which only digests are kept.

use std::time::Duration;

use easyisp_shared::id::{OperatorId, SignInId, TenantId};
use easyisp_shared::time::Timestamp;
use sqlx::{PgConnection, Row};

use crate::db::Tx;

/// A new family.
pub struct NewFamilyRow<'a> {
    pub id: SignInId,
    pub operator: OperatorId,
    /// Unused for so long it ends.
    pub idle: Option<Duration>,
    pub ends_at: Timestamp,
    pub origin_sealed: &'a [u8],
}

/// Adds a family; the password was shown just now.
pub async fn insert_family(
    tx: &mut Tx,
    new: &NewFamilyRow<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let idle = new
        .idle
        .map(|idle| i32::try_from(idle.as_secs()).unwrap_or(i32::MAX));
    sqlx::query(
        "insert into directory.families (id, tenant_id, operator_id, created_at, seen_at, proved_at,
                                         idle_secs, ends_at, origin_sealed)
         values ($1, $2, $3, $4, $4, $4, $5, $6, $7)",
    )
    .bind(new.id)
    .bind(tx.tenant())
    .bind(new.operator)
    .bind(now)
    .bind(idle)
    .bind(new.ends_at)
    .bind(new.origin_sealed)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whose family a refresh token is of. `None` when nobody knows it.
pub async fn family_of(
    directory: &mut PgConnection,
    digest: &[u8],
) -> sqlx::Result<Option<(TenantId, OperatorId)>> {
    sqlx::query_as(
        "select f.tenant_id, f.operator_id
           from directory.refresh_tokens r
           join directory.families f on f.id = r.family_id
          where r.token_digest = $1",
    )
    .bind(digest)
    .fetch_optional(directory)
    .await
}

/// A refresh token and its family.
#[derive(Debug)]
pub struct HeldRefresh {
    pub family: SignInId,
    /// Unused for so long it ends.
    pub idle: Option<Duration>,
    /// When a token of the family was used, to within five minutes.
    pub seen_at: Timestamp,
    /// The family's end.
    pub ends_at: Timestamp,
    /// The token's own.
    pub expires_at: Timestamp,
    pub origin_sealed: Vec<u8>,
    /// When another one took its place.
    pub replaced_at: Option<Timestamp>,
}

/// A refresh token of the transaction's tenant; locks its family. `None` when it has ended.
pub async fn lock_refresh(tx: &mut Tx, digest: &[u8]) -> sqlx::Result<Option<HeldRefresh>> {
    sqlx::query(
        "select from directory.families
          where tenant_id = $2
            and id = (select family_id from directory.refresh_tokens where token_digest = $1)
            for update",
    )
    .bind(digest)
    .bind(tx.tenant())
    .execute(&mut **tx)
    .await?;
    // A statement of its own: who waited for the lock would read what was before the wait.
    let row = sqlx::query(
        "select f.id, f.idle_secs, f.seen_at, f.ends_at, f.origin_sealed, r.expires_at, r.replaced_at
           from directory.refresh_tokens r
           join directory.families f on f.id = r.family_id
          where r.token_digest = $1 and f.tenant_id = $2",
    )
    .bind(digest)
    .bind(tx.tenant())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let idle: Option<i32> = row.try_get("idle_secs")?;
    Ok(Some(HeldRefresh {
        family: row.try_get("id")?,
        idle: idle.map(|secs| Duration::from_secs(secs.unsigned_abs().into())),
        seen_at: row.try_get("seen_at")?,
        ends_at: row.try_get("ends_at")?,
        expires_at: row.try_get("expires_at")?,
        origin_sealed: row.try_get("origin_sealed")?,
        replaced_at: row.try_get("replaced_at")?,
    }))
}

/// Notes that another one takes a refresh token's place.
pub async fn replace_refresh(tx: &mut Tx, digest: &[u8], now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("update directory.refresh_tokens set replaced_at = $2 where token_digest = $1")
        .bind(digest)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether a refresh token was shown, or the access token that goes with it: whose holder has both.
pub async fn refresh_used(tx: &mut Tx, digest: &[u8]) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select coalesce(bool_or(used_at is not null or replaced_at is not null), false)
           from directory.refresh_tokens where token_digest = $1",
    )
    .bind(digest)
    .fetch_one(&mut **tx)
    .await
}

/// Stores a refresh token's digest; where it is there, it is good for longer.
pub async fn keep_refresh(
    tx: &mut Tx,
    family: SignInId,
    digest: &[u8],
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.refresh_tokens (token_digest, family_id, expires_at)
         values ($1, $2, $3)
             on conflict (token_digest) do update set expires_at = excluded.expires_at",
    )
    .bind(digest)
    .bind(family)
    .bind(expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores the digest of an access token beside that of its refresh token; where it is there, it is good for
/// longer.
pub async fn keep_access(
    tx: &mut Tx,
    (operator, family): (OperatorId, SignInId),
    (access, refresh): (&[u8], &[u8]),
    now: Timestamp,
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.sessions (token_digest, tenant_id, operator_id, created_at, expires_at,
                                         family_id, refresh_digest)
         values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (token_digest) do update set expires_at = excluded.expires_at",
    )
    .bind(access)
    .bind(tx.tenant())
    .bind(operator)
    .bind(now)
    .bind(expires_at)
    .bind(family)
    .bind(refresh)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends a family with all its tokens.
pub async fn delete_family(tx: &mut Tx, family: SignInId) -> sqlx::Result<()> {
    sqlx::query("delete from directory.families where id = $1 and tenant_id = $2")
        .bind(family)
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
