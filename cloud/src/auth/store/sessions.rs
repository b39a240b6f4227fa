//! Sessions, of which only the token's digest is kept.

use easyisp_shared::id::{OperatorId, SignInId, TenantId};
use easyisp_shared::time::Timestamp;
use sqlx::PgConnection;

use crate::db::{DirectoryTx, Tx};

/// Whose session a token is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SessionRow {
    /// In which tenant.
    pub tenant_id: TenantId,
    /// Whose.
    pub operator_id: OperatorId,
    /// Where his account is, when that is another tenant.
    pub home_tenant_id: Option<TenantId>,
    /// Whether he is the platform's.
    pub platform: bool,
    /// When it was noted that it was used.
    pub seen_at: Timestamp,
}

/// The session of a token's digest. `None` when there is none, or it has ended.
pub async fn session(
    directory: &mut PgConnection,
    digest: &[u8],
    now: Timestamp,
) -> sqlx::Result<Option<SessionRow>> {
    sqlx::query_as(
        "select s.tenant_id, s.operator_id, s.home_tenant_id, p.operator_id is not null as platform,
                coalesce(s.seen_at, s.created_at) as seen_at
           from directory.sessions s
           left join directory.platform_operators p using (operator_id)
          where s.token_digest = $1 and s.expires_at > $2",
    )
    .bind(digest)
    .bind(now)
    .fetch_optional(directory)
    .await
}

/// Notes that a token was used.
pub async fn touch_session(
    directory: &mut PgConnection,
    digest: &[u8],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("update directory.sessions set seen_at = $2 where token_digest = $1")
        .bind(digest)
        .bind(now)
        .execute(directory)
        .await?;
    Ok(())
}

/// A session of an operator, as he sees it.
#[derive(sqlx::FromRow)]
pub struct OwnSessionRow {
    #[sqlx(rename = "token_digest")]
    pub digest: Vec<u8>,
    pub created_at: Timestamp,
    pub seen_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    pub origin_sealed: Option<Vec<u8>>,
}

/// An operator's sessions that have not ended, the newest 200 first.
pub async fn sessions_of(
    tx: &mut Tx,
    operator: OperatorId,
    now: Timestamp,
) -> sqlx::Result<Vec<OwnSessionRow>> {
    sqlx::query_as(
        "select token_digest, created_at, seen_at, expires_at, origin_sealed
           from directory.sessions
          where operator_id = $1 and tenant_id = $2 and expires_at > $3
          order by created_at desc, token_digest
          limit 200",
    )
    .bind(operator)
    .bind(tx.tenant())
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}

/// Ends one of an operator's sessions; `false` when he has none of this id.
pub async fn delete_own_session(
    tx: &mut Tx,
    operator: OperatorId,
    session: SignInId,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "delete from directory.sessions
          where operator_id = $1 and tenant_id = $2 and substring(token_digest from 1 for 16) = $3",
    )
    .bind(operator)
    .bind(tx.tenant())
    .bind(session.as_bytes().as_slice())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A new session.
pub struct NewSessionRow<'a> {
    pub operator: OperatorId,
    /// Where his account is, when that is another tenant.
    pub home: Option<TenantId>,
    pub digest: &'a [u8],
    pub origin_sealed: &'a [u8],
    pub expires_at: Timestamp,
}

/// Stores a token's digest.
pub async fn insert_session(
    tx: &mut Tx,
    new: &NewSessionRow<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.sessions (token_digest, tenant_id, operator_id, created_at, expires_at,
                                         origin_sealed, home_tenant_id)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(new.digest)
    .bind(tx.tenant())
    .bind(new.operator)
    .bind(now)
    .bind(new.expires_at)
    .bind(new.origin_sealed)
    .bind(new.home)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets a token end earlier; `false` when it was ended meanwhile.
pub async fn shorten_session(tx: &mut Tx, digest: &[u8], end: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update directory.sessions set expires_at = least(expires_at, $3)
          where token_digest = $1 and tenant_id = $2",
    )
    .bind(digest)
    .bind(tx.tenant())
    .bind(end)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets one token.
pub async fn delete_session(tx: &mut Tx, digest: &[u8]) -> sqlx::Result<()> {
    sqlx::query("delete from directory.sessions where token_digest = $1 and tenant_id = $2")
        .bind(digest)
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets every token of an operator but `keep`.
pub async fn delete_sessions(
    tx: &mut Tx,
    operator: OperatorId,
    keep: Option<&[u8]>,
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from directory.sessions
          where operator_id = $1 and (tenant_id = $2 or home_tenant_id = $2)
            and ($3::bytea is null or token_digest <> $3)",
    )
    .bind(operator)
    .bind(tx.tenant())
    .bind(keep)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets every token of the transaction's tenant.
pub async fn delete_tenants_sessions(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("delete from directory.sessions where tenant_id = $1")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets tokens that ended before `before`, at most 500; returns how many.
pub async fn forget_sessions(directory: &mut DirectoryTx, before: Timestamp) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from directory.sessions
          where token_digest in (select token_digest from directory.sessions
                                  where expires_at < $1 limit 500)",
    )
    .bind(before)
    .execute(&mut **directory)
    .await?;
    Ok(done.rows_affected())
}

/// When an operator's password ends, where somebody else was told it.
pub async fn password_expires_at(
    tx: &mut Tx,
    operator: OperatorId,
) -> sqlx::Result<Option<Timestamp>> {
    let ends: Option<Option<Timestamp>> = sqlx::query_scalar(
        "select password_expires_at from operators where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(operator)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(ends.flatten())
}
