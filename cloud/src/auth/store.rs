//! Operators, their logins and their sessions.

mod console;
mod factor;
mod keys;
mod recovery;
mod sessions;

use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::time::Timestamp;
use sqlx::PgConnection;

use super::sessions::{StandingRow, TenantStatus};
use crate::db::Tx;
use crate::permission::Role;

pub use console::*;
pub use factor::*;
pub use keys::*;
pub use recovery::*;
pub use sessions::*;

/// An operator who may sign in, with what decides what he may do.
#[derive(Clone, Debug)]
pub struct CallerRow {
    pub name: String,
    pub email: String,
    pub role: Role,
    pub added_permissions: Vec<String>,
    pub removed_permissions: Vec<String>,
    pub standing: StandingRow,
}

/// An operator's account as its owner sees it, and as signing in needs it.
#[derive(Clone)]
pub struct AccountRow {
    pub id: OperatorId,
    pub name: String,
    pub email: String,
    pub role: Role,
    pub added_permissions: Vec<String>,
    pub removed_permissions: Vec<String>,
    pub profile_picture: Option<String>,
    pub password_hash: String,
    /// Whether he must show a code as well.
    pub second_factor: bool,
    /// When the password ends that somebody else was told.
    pub password_expires_at: Option<Timestamp>,
    /// Whether he may sign in.
    pub active: bool,
    pub standing: StandingRow,
}

type CallerTuple = (
    String,
    String,
    Role,
    Vec<String>,
    Vec<String>,
    TenantStatus,
    Option<Timestamp>,
    Option<Timestamp>,
);

/// An operator and his tenant's standing. `None` when there is none, or he is disabled.
pub async fn active_operator(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<Option<CallerRow>> {
    let row: Option<CallerTuple> = sqlx::query_as(
        "select o.name, o.email, o.role, o.added_permissions, o.removed_permissions,
                t.status, t.trial_ends_at, t.subscription_ends_at
           from operators o
           join tenants t on t.tenant_id = o.tenant_id
          where o.tenant_id = $1 and o.id = $2 and o.status = 'ACTIVE' and o.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(operator)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(
        |(
            name,
            email,
            role,
            added_permissions,
            removed_permissions,
            status,
            trial,
            subscription,
        )| {
            CallerRow {
                name,
                email,
                role,
                added_permissions,
                removed_permissions,
                standing: StandingRow {
                    status,
                    trial_ends_at: trial,
                    subscription_ends_at: subscription,
                },
            }
        },
    ))
}

/// Who signs in with an e-mail address.
pub async fn login(
    directory: &mut PgConnection,
    email_digest: &[u8],
) -> sqlx::Result<Option<(TenantId, OperatorId)>> {
    sqlx::query_as("select tenant_id, operator_id from directory.logins where email_digest = $1")
        .bind(email_digest)
        .fetch_optional(directory)
        .await
}

/// An operator's account. `None` when there is none, or it was deleted.
pub async fn account(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<Option<AccountRow>> {
    use sqlx::Row;

    let row = sqlx::query(
        "select o.id, o.name, o.email, o.role, o.added_permissions, o.removed_permissions,
                o.profile_picture, o.password_hash, o.password_expires_at, o.totp_since is not null as second_factor, o.status = 'ACTIVE' as active,
                t.status, t.trial_ends_at, t.subscription_ends_at
           from operators o
           join tenants t on t.tenant_id = o.tenant_id
          where o.tenant_id = $1 and o.id = $2 and o.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(operator)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(AccountRow {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        email: row.try_get("email")?,
        role: row.try_get("role")?,
        added_permissions: row.try_get("added_permissions")?,
        removed_permissions: row.try_get("removed_permissions")?,
        profile_picture: row.try_get("profile_picture")?,
        password_hash: row.try_get("password_hash")?,
        second_factor: row.try_get("second_factor")?,
        password_expires_at: row.try_get("password_expires_at")?,
        active: row.try_get("active")?,
        standing: StandingRow {
            status: row.try_get("status")?,
            trial_ends_at: row.try_get("trial_ends_at")?,
            subscription_ends_at: row.try_get("subscription_ends_at")?,
        },
    }))
}

/// Locks an operator until the transaction ends and reads his password hash, so that what is decided by it
/// still holds at commit. `None` when there is none, or he was deleted.
///
/// Whoever ends an operator's sessions has changed his row first: a session that is begun under this lock
/// is either ended with the others or never begun.
pub async fn lock_account(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "select password_hash from operators
          where tenant_id = $1 and id = $2 and deleted_at is null
            for no key update",
    )
    .bind(tx.tenant())
    .bind(operator)
    .fetch_optional(&mut **tx)
    .await
}

/// A new operator.
pub struct NewOperatorRow<'a> {
    pub id: OperatorId,
    pub email: &'a str,
    pub name: &'a str,
    pub phone: Option<&'a str>,
    pub role: Role,
    pub password_hash: &'a str,
    pub added_permissions: &'a [String],
    pub removed_permissions: &'a [String],
}

/// Adds an operator.
pub async fn insert_operator(
    tx: &mut Tx,
    new: &NewOperatorRow<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into operators (tenant_id, id, email, name, phone, role, status, password_hash,
                                added_permissions, removed_permissions, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, 'ACTIVE', $7, $8, $9, $10, $10)",
    )
    .bind(tx.tenant())
    .bind(new.id)
    .bind(new.email)
    .bind(new.name)
    .bind(new.phone)
    .bind(new.role)
    .bind(new.password_hash)
    .bind(new.added_permissions)
    .bind(new.removed_permissions)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Claims an e-mail address on the platform. `false` when it is taken.
pub async fn claim_login(
    tx: &mut Tx,
    email_digest: &[u8],
    operator: OperatorId,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into directory.logins (email_digest, tenant_id, operator_id)
         values ($1, $2, $3)
             on conflict (email_digest) do nothing",
    )
    .bind(email_digest)
    .bind(tx.tenant())
    .bind(operator)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets an operator sign in with another e-mail address; violates `logins_pkey` when it is taken.
pub async fn move_login(
    tx: &mut Tx,
    operator: OperatorId,
    email_digest: &[u8],
) -> sqlx::Result<()> {
    sqlx::query(
        "update directory.logins set email_digest = $3 where operator_id = $1 and tenant_id = $2",
    )
    .bind(operator)
    .bind(tx.tenant())
    .bind(email_digest)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets how an operator signed in, and his right on the platform.
pub async fn forget_login(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<()> {
    sqlx::query(
        "delete from directory.platform_operators
          where operator_id = $1
            and operator_id in (select operator_id from directory.logins where tenant_id = $2)",
    )
    .bind(operator)
    .bind(tx.tenant())
    .execute(&mut **tx)
    .await?;
    sqlx::query("delete from directory.logins where operator_id = $1 and tenant_id = $2")
        .bind(operator)
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Gives an operator the platform's right.
pub async fn make_platform(tx: &mut Tx, operator: OperatorId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.platform_operators (operator_id, created_at) values ($1, $2)",
    )
    .bind(operator)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether an operator holds the platform's right.
pub async fn is_platform(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from directory.platform_operators where operator_id = $1)",
    )
    .bind(operator)
    .fetch_one(&mut **tx)
    .await
}

/// Takes the platform's right from one of the tenant's operators.
pub async fn end_platform(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<()> {
    sqlx::query(
        "delete from directory.platform_operators
          where operator_id = $1
            and operator_id in (select id from operators where tenant_id = $2)",
    )
    .bind(operator)
    .bind(tx.tenant())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores the path of an operator's picture.
pub async fn set_profile_picture(
    tx: &mut Tx,
    operator: OperatorId,
    path: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update operators set profile_picture = $3, updated_at = $4
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(path)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores a new password hash, good until then.
pub async fn set_password(
    tx: &mut Tx,
    operator: OperatorId,
    hash: &str,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update operators set password_hash = $3, password_expires_at = $4, updated_at = $5
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(hash)
    .bind(expires_at)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
