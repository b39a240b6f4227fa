//! Tenants as the platform's own people see and change them.

use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use crate::auth::{Role, StandingRow, TenantStatus};
use crate::db::{Database, DirectoryTx, Tx};
use crate::tenants::terms::Terms;

/// A tenant in a list.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Listed {
    /// The tenant.
    pub id: TenantId,
    /// What identifies it to people.
    pub slug: String,
    /// What it calls itself.
    pub business_name: String,
    /// Where to write to it.
    pub email: String,
    /// Free text.
    pub phone: Option<String>,
    /// The stored status.
    pub status: TenantStatus,
    /// When it first became more than a trial.
    pub activated_at: Option<Timestamp>,
    /// When its trial ends.
    pub trial_ends_at: Option<Timestamp>,
    /// When what it paid ends; `None` = never.
    pub subscription_ends_at: Option<Timestamp>,
    /// When it began.
    pub created_at: Timestamp,
    /// Its people.
    pub users: i64,
    /// Its customers.
    pub customers: i64,
    /// Its routers.
    pub routers: i64,
}

impl Listed {
    /// What the platform agreed with it.
    pub fn terms(&self) -> Terms {
        Terms {
            status: self.status,
            activated_at: self.activated_at,
            trial_ends_at: self.trial_ends_at,
            subscription_ends_at: self.subscription_ends_at,
        }
    }

    /// What decides how it stands.
    pub fn standing(&self) -> StandingRow {
        StandingRow {
            status: self.status,
            trial_ends_at: self.trial_ends_at,
            subscription_ends_at: self.subscription_ends_at,
        }
    }
}

/// The tenants that were not deleted, newest first, at most `most`.
pub async fn live(directory: &mut DirectoryTx, most: i64) -> sqlx::Result<Vec<TenantId>> {
    sqlx::query_scalar(
        "select tenant_id from directory.tenants
          where deleted_at is null
          order by created_at desc, tenant_id
          limit $1",
    )
    .bind(most)
    .fetch_all(&mut **directory)
    .await
}

/// These tenants, in this order. Each is read under its own row security; afterwards the transaction is none's.
pub async fn listed(
    directory: &mut DirectoryTx,
    tenants: &[TenantId],
) -> sqlx::Result<Vec<Listed>> {
    let ids: Vec<uuid::Uuid> = tenants.iter().map(|tenant| tenant.0).collect();
    sqlx::query_as("select * from platform_tenants($1)")
        .bind(ids)
        .fetch_all(&mut **directory)
        .await
}

/// Locks the transaction's tenant until it ends. `false` when there is none, or it was deleted.
pub async fn lock_live(tx: &mut Tx) -> sqlx::Result<bool> {
    sqlx::query("select from tenants where tenant_id = $1 for no key update")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    // A statement of its own: who waited for the lock would read what was before the wait.
    let live: Option<bool> =
        sqlx::query_scalar("select deleted_at is null from directory.tenants where tenant_id = $1")
            .bind(tx.tenant())
            .fetch_optional(&mut **tx)
            .await?;
    Ok(live.unwrap_or(false))
}

/// Writes how the transaction's tenant stands.
pub async fn set_terms(tx: &mut Tx, terms: &Terms, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update tenants
            set status = $2, activated_at = $3, trial_ends_at = $4, subscription_ends_at = $5,
                updated_at = $6
          where tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(terms.status)
    .bind(terms.activated_at)
    .bind(terms.trial_ends_at)
    .bind(terms.subscription_ends_at)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The transaction's tenant in a list of its own.
pub async fn one(tx: &mut Tx) -> sqlx::Result<Option<Listed>> {
    sqlx::query_as("select * from platform_tenants(array[$1::uuid])")
        .bind(tx.tenant())
        .fetch_optional(&mut **tx)
        .await
}

/// What the platform knows of a tenant besides.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Rest {
    /// Free text.
    pub location: Option<String>,
    /// Path of its logo.
    pub logo: Option<String>,
    /// Where its clock is.
    pub time_zone: String,
    /// What it has paid the platform in advance.
    pub platform_balance: Cents,
    /// What is left of what it has paid for messages in advance.
    pub sms_balance: Cents,
    /// By whom its messages are sent.
    pub sms_provider: Option<String>,
    /// Whether there is a key for that.
    pub has_sms_key: bool,
    /// The name messages come from.
    pub sms_sender_id: Option<String>,
    /// Its packages.
    pub packages: i64,
    /// Its payments.
    pub payments: i64,
}

/// The rest of the transaction's tenant. Payments are counted up to 100,000.
pub async fn rest(tx: &mut Tx) -> sqlx::Result<Rest> {
    sqlx::query_as(
        "select t.location, t.logo, t.time_zone, t.platform_balance, t.sms_balance, t.sms_provider,
                t.sms_api_key_sealed is not null as has_sms_key, t.sms_sender_id,
                (select count(*) from packages p
                  where p.tenant_id = t.tenant_id and p.deleted_at is null) as packages,
                (select count(*) from (select from payments p
                                        where p.tenant_id = t.tenant_id limit 100000) p) as payments
           from tenants t
          where t.tenant_id = $1",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await
}

/// One of a tenant's people.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct PersonRow {
    /// Himself.
    pub id: OperatorId,
    /// How he signs in.
    pub email: String,
    /// For people.
    pub name: String,
    /// What he is.
    pub role: Role,
    /// Whether he may sign in.
    pub status: String,
    /// When he was entered.
    pub created_at: Timestamp,
}

/// The people of the transaction's tenant, at most 500: there are no more.
pub async fn people(tx: &mut Tx) -> sqlx::Result<Vec<PersonRow>> {
    sqlx::query_as(
        "select id, email, name, role, status, created_at
           from operators
          where tenant_id = $1 and deleted_at is null
          order by created_at, id
          limit 500",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await
}

/// Adds to what the tenant has paid in advance, in one statement.
pub async fn add_balance(
    tx: &mut Tx,
    wallet: Cents,
    sms: Cents,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update tenants
            set platform_balance = platform_balance + $2, sms_balance = sms_balance + $3,
                updated_at = $4
          where tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(wallet)
    .bind(sms)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How a tenant's messages are sent; `None` = unchanged, `Some(None)` = emptied.
#[derive(Default)]
pub struct SmsRow<'a> {
    pub provider: Option<Option<&'a str>>,
    pub api_key_sealed: Option<&'a [u8]>,
    pub sender_id: Option<Option<&'a str>>,
}

/// Changes what is mentioned.
pub async fn set_sms(tx: &mut Tx, change: &SmsRow<'_>, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update tenants
            set sms_provider = case when $2 then $3 else sms_provider end,
                sms_api_key_sealed = coalesce($4, sms_api_key_sealed),
                sms_sender_id = case when $5 then $6 else sms_sender_id end,
                updated_at = $7
          where tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(change.provider.is_some())
    .bind(change.provider.flatten())
    .bind(change.api_key_sealed)
    .bind(change.sender_id.is_some())
    .bind(change.sender_id.flatten())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks the transaction's tenant as deleted.
pub async fn delete(tx: &mut Tx, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("update directory.tenants set deleted_at = $2 where tenant_id = $1")
        .bind(tx.tenant())
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether a tenant was deleted by `cutoff` and is not purged yet.
pub async fn is_deleted(db: &Database, tenant: TenantId, cutoff: Timestamp) -> sqlx::Result<bool> {
    let mut tx = db.begin(tenant).await?;
    let deleted: Option<bool> = sqlx::query_scalar(
        "select deleted_at <= $2 and purged_at is null from directory.tenants where tenant_id = $1",
    )
    .bind(tenant)
    .bind(cutoff)
    .fetch_optional(&mut *tx)
    .await?
    .flatten();
    Ok(deleted.unwrap_or(false))
}

/// Notes that from now on a tenant's rows go, in a transaction of its own: what is read of it later is not whole.
pub async fn begin_purge(db: &Database, tenant: TenantId, now: Timestamp) -> sqlx::Result<()> {
    let mut tx = db.begin(tenant).await?;
    sqlx::query(
        "update directory.tenants set purge_began_at = $2 where tenant_id = $1 and purge_began_at is null",
    )
    .bind(tenant)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Whether rows of a tenant went already.
pub async fn is_begun(db: &Database, tenant: TenantId) -> sqlx::Result<bool> {
    let mut tx = db.begin(tenant).await?;
    sqlx::query_scalar(
        "select exists (select from directory.tenants where tenant_id = $1 and purge_began_at is not null)",
    )
    .bind(tenant)
    .fetch_one(&mut *tx)
    .await
}

/// Removes at most `most` rows of a tenant that was deleted by `cutoff`, in a transaction of its own; returns
/// how many, 0 when nothing is left.
pub async fn purge(
    db: &Database,
    tenant: TenantId,
    cutoff: Timestamp,
    most: i64,
) -> sqlx::Result<i64> {
    let mut tx = db.begin(tenant).await?;
    let gone = sqlx::query_scalar("select purge_tenant($1, $2, $3)")
        .bind(tenant)
        .bind(cutoff)
        .bind(most)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(gone)
}

/// Notes that nothing of a tenant is left but that he was here, in whosever transaction; `false` when that was noted
/// before.
pub async fn note_purged(tx: &mut Tx, tenant: TenantId, now: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "with checks as (
             delete from directory.book_checks where tenant_id = $1),
         listening as (
             delete from directory.listening where tenant_id = $1)
         update directory.tenants set purged_at = $2 where tenant_id = $1 and purged_at is null",
    )
    .bind(tenant)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
