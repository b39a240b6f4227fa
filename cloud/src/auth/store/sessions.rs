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
    /// The signing-in at the console that it came of; `None` for a bearer token.
    pub family: Option<SignInId>,
    /// When the password was shown last.
    pub proved_at: Option<Timestamp>,
    /// It came of a signing-in at the console, and is used for the first time.
    pub first_use: bool,
}

/// The session of a token's digest. `None` when there is none, or it has ended.
pub async fn session(
    directory: &mut PgConnection,
    digest: &[u8],
    now: Timestamp,
) -> sqlx::Result<Option<SessionRow>> {
    sqlx::query_as(
        "select s.tenant_id, s.operator_id, s.home_tenant_id, p.operator_id is not null as platform,
                coalesce(f.seen_at, s.seen_at, s.created_at) as seen_at, s.family_id as family,
                coalesce(f.proved_at, s.proved_at) as proved_at,
                s.family_id is not null and s.seen_at is null as first_use
           from directory.sessions s
           left join directory.platform_operators p using (operator_id)
           left join directory.families f on f.id = s.family_id
          where s.token_digest = $1 and s.expires_at > $2",
    )
    .bind(digest)
    .bind(now)
    .fetch_optional(directory)
    .await
}

/// Whether a signing-in at the console has not ended.
pub async fn is_family(
    directory: &mut PgConnection,
    family: SignInId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from directory.families
                         where id = $1 and ends_at > $2
                           and (idle_secs is null or seen_at + make_interval(secs => idle_secs) > $2))",
    )
    .bind(family)
    .bind(now)
    .fetch_one(directory)
    .await
}

/// Notes that a token was used: its family, and the refresh token that goes with it, were too.
pub async fn touch_session(
    directory: &mut PgConnection,
    digest: &[u8],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "with used as (
             update directory.sessions set seen_at = $2 where token_digest = $1
             returning family_id, refresh_digest),
         known as (
             update directory.refresh_tokens set used_at = $2
              where token_digest in (select refresh_digest from used) and used_at is null)
         update directory.families set seen_at = $2 where id in (select family_id from used)",
    )
    .bind(digest)
    .bind(now)
    .execute(directory)
    .await?;
    Ok(())
}

/// Notes that the password was shown in a session.
pub async fn prove_session(tx: &mut Tx, digest: &[u8], now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "with shown as (
             update directory.sessions set proved_at = $3
              where token_digest = $1 and tenant_id = $2
             returning family_id)
         update directory.families set proved_at = $3 where id in (select family_id from shown)",
    )
    .bind(digest)
    .bind(tx.tenant())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A session of an operator, as he sees it.
#[derive(sqlx::FromRow)]
pub struct OwnSessionRow {
    pub id: SignInId,
    /// Whether it is the one that asks.
    pub current: bool,
    pub console: bool,
    pub created_at: Timestamp,
    pub seen_at: Timestamp,
    pub expires_at: Timestamp,
    pub origin_sealed: Option<Vec<u8>>,
}

/// An operator's sessions that have not ended, the newest 200 first; `asking` is a token of the one that asks.
pub async fn sessions_of(
    tx: &mut Tx,
    operator: OperatorId,
    asking: &[u8],
    now: Timestamp,
) -> sqlx::Result<Vec<OwnSessionRow>> {
    sqlx::query_as(
        "select encode(substring(token_digest from 1 for 16), 'hex')::uuid as id,
                token_digest = $4 as current, false as console, created_at,
                coalesce(seen_at, created_at) as seen_at, expires_at, origin_sealed
           from directory.sessions
          where operator_id = $1 and tenant_id = $2 and expires_at > $3 and family_id is null
          union all
         select f.id, exists (select from directory.sessions s
                               where s.token_digest = $4 and s.family_id = f.id),
                true, f.created_at, f.seen_at, f.ends_at, f.origin_sealed
           from directory.families f
          where f.operator_id = $1 and f.tenant_id = $2 and f.ends_at > $3
            and exists (select from directory.refresh_tokens r
                         where r.family_id = f.id and r.replaced_at is null and r.expires_at > $3)
            and (f.idle_secs is null or f.seen_at + make_interval(secs => f.idle_secs) > $3)
          order by created_at desc, id
          limit 200",
    )
    .bind(operator)
    .bind(tx.tenant())
    .bind(now)
    .bind(asking)
    .fetch_all(&mut **tx)
    .await
}

/// Ends one of an operator's sessions; `false` when he has none of this id.
pub async fn delete_own_session(
    tx: &mut Tx,
    operator: OperatorId,
    session: SignInId,
) -> sqlx::Result<bool> {
    let gone: bool = sqlx::query_scalar(
        "with bearer as (
             delete from directory.sessions
              where operator_id = $1 and tenant_id = $2 and family_id is null
                and substring(token_digest from 1 for 16) = $3
             returning 1),
         console as (
             delete from directory.families
              where operator_id = $1 and tenant_id = $2 and id = $4
             returning 1)
         select exists (select from bearer) or exists (select from console)",
    )
    .bind(operator)
    .bind(tx.tenant())
    .bind(session.as_bytes().as_slice())
    .bind(session)
    .fetch_one(&mut **tx)
    .await?;
    Ok(gone)
}

/// A new session.
pub struct NewSessionRow<'a> {
    pub operator: OperatorId,
    /// Where his account is, when that is another tenant.
    pub home: Option<TenantId>,
    pub digest: &'a [u8],
    pub origin_sealed: &'a [u8],
    pub expires_at: Timestamp,
    /// When the password was shown last.
    pub proved_at: Option<Timestamp>,
}

/// Stores a token's digest.
pub async fn insert_session(
    tx: &mut Tx,
    new: &NewSessionRow<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.sessions (token_digest, tenant_id, operator_id, created_at, expires_at,
                                         origin_sealed, home_tenant_id, proved_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(new.digest)
    .bind(tx.tenant())
    .bind(new.operator)
    .bind(now)
    .bind(new.expires_at)
    .bind(new.origin_sealed)
    .bind(new.home)
    .bind(new.proved_at)
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
        "with kept as (select family_id from directory.sessions where token_digest = $3),
         console as (
             delete from directory.families
              where operator_id = $1 and tenant_id = $2
                and id not in (select family_id from kept where family_id is not null))
         delete from directory.sessions
          where operator_id = $1 and (tenant_id = $2 or home_tenant_id = $2)
            and ($3::bytea is null or token_digest <> $3) and family_id is null",
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
    sqlx::query(
        "with console as (delete from directory.families where tenant_id = $1)
         delete from directory.sessions where tenant_id = $1 and family_id is null",
    )
    .bind(tx.tenant())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets tokens and signings-in that ended before `before`, at most 500 of each; returns how many. The end is asked
/// twice: one that is put off at this moment is looked at again when its row is had, what was chosen by it is not.
pub async fn forget_sessions(directory: &mut DirectoryTx, before: Timestamp) -> sqlx::Result<u64> {
    let tokens = sqlx::query(
        "delete from directory.sessions
          where expires_at < $1
            and token_digest in (select token_digest from directory.sessions
                                  where expires_at < $1 limit 500)",
    )
    .bind(before)
    .execute(&mut **directory)
    .await?;
    let families = sqlx::query(
        "delete from directory.families
          where ends_at < $1
            and id in (select id from directory.families where ends_at < $1 limit 500)",
    )
    .bind(before)
    .execute(&mut **directory)
    .await?;
    Ok(tokens.rows_affected() + families.rows_affected())
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
