//! Tenants and their counts.

pub mod platform;

use easyisp_shared::id::TenantId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::Row;
use sqlx::types::Json;

use super::enforcement::Enforcement;
use crate::auth::{StandingRow, TenantStatus};
use crate::db::{DirectoryTx, Tx};

/// A new tenant.
pub struct NewTenantRow<'a> {
    pub slug: &'a str,
    pub business_name: &'a str,
    pub email: &'a str,
    pub phone: Option<&'a str>,
    pub status: TenantStatus,
    pub trial_ends_at: Option<Timestamp>,
}

/// Adds the transaction's tenant.
pub async fn insert(tx: &mut Tx, new: &NewTenantRow<'_>, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("insert into directory.tenants (tenant_id, created_at) values ($1, $2)")
        .bind(tx.tenant())
        .bind(now)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "insert into tenants (tenant_id, slug, business_name, email, phone, status, trial_ends_at,
                              time_zone, currency, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, 'Africa/Nairobi', 'KES', $8, $8)",
    )
    .bind(tx.tenant())
    .bind(new.slug)
    .bind(new.business_name)
    .bind(new.email)
    .bind(new.phone)
    .bind(new.status)
    .bind(new.trial_ends_at)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Begins the counts of a new tenant.
pub async fn insert_counts(tx: &mut Tx, what: &[&str]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into counts (tenant_id, what, n)
         select $1, what, 0 from unnest($2::text[]) as w (what)",
    )
    .bind(tx.tenant())
    .bind(what)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A tenant as it sees itself.
pub struct TenantRow {
    pub slug: String,
    pub business_name: String,
    pub email: String,
    pub phone: Option<String>,
    pub location: Option<String>,
    pub logo: Option<String>,
    pub primary_color: Option<String>,
    pub status: TenantStatus,
    pub trial_ends_at: Option<Timestamp>,
    pub subscription_ends_at: Option<Timestamp>,
    pub platform_balance: Cents,
    pub mac_login: bool,
    pub remembered_macs: i32,
    pub confirm_agents: bool,
    pub session_retention_days: i32,
    pub log_retention_days: i32,
    pub time_zone: String,
    pub currency: String,
    pub created_at: Timestamp,
    pub operators: i64,
    pub active_users: i64,
}

/// The transaction's tenant with its figures; `now` decides which customers are active.
pub async fn me(tx: &mut Tx, now: Timestamp) -> sqlx::Result<TenantRow> {
    let row = sqlx::query(
        "select t.slug, t.business_name, t.email, t.phone, t.location, t.logo, t.primary_color, t.status,
                t.trial_ends_at, t.subscription_ends_at, t.platform_balance, t.mac_login,
                t.remembered_macs, t.confirm_agents, t.session_retention_days, t.log_retention_days, t.time_zone, t.currency,
                t.created_at,
                (select count(*) from operators o
                  where o.tenant_id = t.tenant_id and o.deleted_at is null) as operators,
                (select count(*) from customers c
                  where c.tenant_id = t.tenant_id and c.deleted_at is null
                    and c.standing = 'ACTIVE' and c.served_until > $2) as active_users
           from tenants t
          where t.tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(now)
    .fetch_one(&mut **tx)
    .await?;
    Ok(TenantRow {
        slug: row.try_get("slug")?,
        business_name: row.try_get("business_name")?,
        email: row.try_get("email")?,
        phone: row.try_get("phone")?,
        location: row.try_get("location")?,
        logo: row.try_get("logo")?,
        primary_color: row.try_get("primary_color")?,
        status: row.try_get("status")?,
        trial_ends_at: row.try_get("trial_ends_at")?,
        subscription_ends_at: row.try_get("subscription_ends_at")?,
        platform_balance: row.try_get("platform_balance")?,
        mac_login: row.try_get("mac_login")?,
        remembered_macs: row.try_get("remembered_macs")?,
        confirm_agents: row.try_get("confirm_agents")?,
        session_retention_days: row.try_get("session_retention_days")?,
        log_retention_days: row.try_get("log_retention_days")?,
        time_zone: row.try_get("time_zone")?,
        currency: row.try_get("currency")?,
        created_at: row.try_get("created_at")?,
        operators: row.try_get("operators")?,
        active_users: row.try_get("active_users")?,
    })
}

/// How a tenant shows itself to guests.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Brand {
    /// Its name.
    #[sqlx(rename = "business_name")]
    pub name: String,
    /// Whom to call.
    pub phone: Option<String>,
    /// Of its pages, as it was entered.
    #[sqlx(rename = "primary_color")]
    pub colour: Option<String>,
}

/// The transaction's tenant as guests see it; `None` where there is none.
pub async fn brand(tx: &mut Tx) -> sqlx::Result<Option<Brand>> {
    sqlx::query_as("select business_name, phone, primary_color from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_optional(&mut **tx)
        .await
}

/// The tenant's slug.
pub async fn slug(tx: &mut Tx) -> sqlx::Result<String> {
    sqlx::query_scalar("select slug from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await
}

/// Stores the path of the tenant's logo; returns what it calls itself.
pub async fn set_logo(tx: &mut Tx, path: &str, now: Timestamp) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "update tenants set logo = $2, updated_at = $3 where tenant_id = $1
         returning business_name",
    )
    .bind(tx.tenant())
    .bind(path)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

/// A change of settings; `None` = unchanged, `Some(None)` = emptied.
pub struct SettingsRow<'a> {
    pub business_name: Option<&'a str>,
    pub email: Option<&'a str>,
    pub phone: Option<Option<&'a str>>,
    pub location: Option<Option<&'a str>>,
    pub primary_color: Option<Option<&'a str>>,
    pub mac_login: Option<bool>,
    pub remembered_macs: Option<i32>,
    pub confirm_agents: Option<bool>,
    pub session_retention_days: Option<i32>,
    pub log_retention_days: Option<i32>,
    pub time_zone: Option<&'a str>,
    pub currency: Option<&'a str>,
}

/// What a tenant has begun with.
#[derive(sqlx::FromRow)]
pub struct Begun {
    /// Whether any money was booked.
    pub entries: bool,
    /// Whether he ever had a customer.
    pub customers: bool,
}

/// What the transaction's tenant has begun with.
pub async fn begun(tx: &mut Tx) -> sqlx::Result<Begun> {
    sqlx::query_as(
        "select exists (select from entries where tenant_id = $1) as entries,
                exists (select from customers where tenant_id = $1) as customers",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await
}

/// Changes what is mentioned.
pub async fn update(tx: &mut Tx, change: &SettingsRow<'_>, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update tenants
            set business_name = coalesce($2, business_name),
                email = coalesce($3, email),
                phone = case when $4 then $5 else phone end,
                location = case when $6 then $7 else location end,
                mac_login = coalesce($9, mac_login),
                remembered_macs = coalesce($10, remembered_macs),
                session_retention_days = coalesce($11, session_retention_days),
                time_zone = coalesce($12, time_zone),
                currency = coalesce($13, currency),
                primary_color = case when $14 then $15 else primary_color end,
                confirm_agents = coalesce($16, confirm_agents),
                log_retention_days = coalesce($17, log_retention_days),
                updated_at = $8
          where tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(change.business_name)
    .bind(change.email)
    .bind(change.phone.is_some())
    .bind(change.phone.flatten())
    .bind(change.location.is_some())
    .bind(change.location.flatten())
    .bind(now)
    .bind(change.mac_login)
    .bind(change.remembered_macs)
    .bind(change.session_retention_days)
    .bind(change.time_zone)
    .bind(change.currency)
    .bind(change.primary_color.is_some())
    .bind(change.primary_color.flatten())
    .bind(change.confirm_agents)
    .bind(change.log_retention_days)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes the tenant ACTIVE without end; returns its name.
pub async fn activate(tx: &mut Tx, now: Timestamp) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "update tenants
            set status = 'ACTIVE', activated_at = coalesce(activated_at, $2), trial_ends_at = null,
                subscription_ends_at = null, updated_at = $2
          where tenant_id = $1
         returning business_name",
    )
    .bind(tx.tenant())
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

/// What the sites' policy is made of.
pub struct PolicyRow {
    pub enforcement: Enforcement,
    pub time_zone: String,
    pub business_name: String,
    pub mac_login: bool,
    pub remembered_macs: i32,
    /// Until when sites go on without hearing from the cloud.
    pub lease_until: Option<Timestamp>,
}

/// The tenant's policy.
pub async fn policy(tx: &mut Tx) -> sqlx::Result<PolicyRow> {
    let row = sqlx::query(
        "select grace_secs, enforcement, time_zone, business_name, mac_login, remembered_macs,
                lease_until
           from tenants
          where tenant_id = $1",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await?;
    let grace_secs: i32 = row.try_get("grace_secs")?;
    let Json(enforcement): Json<Enforcement> = row.try_get("enforcement")?;
    Ok(PolicyRow {
        enforcement: Enforcement {
            grace_minutes: grace_secs / 60,
            ..enforcement
        },
        time_zone: row.try_get("time_zone")?,
        business_name: row.try_get("business_name")?,
        mac_login: row.try_get("mac_login")?,
        remembered_macs: row.try_get("remembered_macs")?,
        lease_until: row.try_get("lease_until")?,
    })
}

/// How the transaction's tenant stands with the platform, and its sites' lease; locks its row.
pub async fn lock_lease(tx: &mut Tx) -> sqlx::Result<(StandingRow, Option<Timestamp>)> {
    let row = sqlx::query(
        "select status, trial_ends_at, subscription_ends_at, lease_until
           from tenants
          where tenant_id = $1
            for no key update",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await?;
    let standing = StandingRow {
        status: row.try_get("status")?,
        trial_ends_at: row.try_get("trial_ends_at")?,
        subscription_ends_at: row.try_get("subscription_ends_at")?,
    };
    Ok((standing, row.try_get("lease_until")?))
}

/// Writes until when the tenant's sites go on without hearing from the cloud.
pub async fn set_lease(tx: &mut Tx, until: Timestamp) -> sqlx::Result<()> {
    sqlx::query("update tenants set lease_until = $2 where tenant_id = $1")
        .bind(tx.tenant())
        .bind(until)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Days for which the tenant has lines of routers' logs kept.
pub async fn log_retention_days(tx: &mut Tx) -> sqlx::Result<i32> {
    sqlx::query_scalar("select log_retention_days from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await
}

/// Days for which the tenant has sessions kept after their end.
pub async fn session_retention_days(tx: &mut Tx) -> sqlx::Result<i32> {
    sqlx::query_scalar("select session_retention_days from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await
}

/// Changes how sites treat who may not be online.
pub async fn set_enforcement(
    tx: &mut Tx,
    wanted: &Enforcement,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update tenants set grace_secs = $2, enforcement = $3, updated_at = $4 where tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(wanted.grace_minutes.saturating_mul(60))
    .bind(Json(wanted))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The reserved tenant of the platform, which is the one its people belong to; `None` before the first.
pub async fn platform(directory: &mut DirectoryTx) -> sqlx::Result<Option<TenantId>> {
    sqlx::query_scalar(
        "select l.tenant_id
           from directory.platform_operators p
           join directory.logins l using (operator_id)
          order by p.created_at
          limit 1",
    )
    .fetch_optional(&mut **directory)
    .await
}

/// Every tenant, oldest first.
pub async fn all(directory: &mut DirectoryTx) -> sqlx::Result<Vec<TenantId>> {
    sqlx::query_scalar("select tenant_id from directory.tenants order by created_at, tenant_id")
        .fetch_all(&mut **directory)
        .await
}
