//! Tenants: the providers that run their business here, and how each wants its sites to behave.

pub mod edge;
mod enforcement;
pub mod governed;
mod http;
pub mod jobs;
pub mod lease;
pub mod purge;
mod rules;
mod signup;
mod store;
pub mod terms;

use std::time::Duration;

use easyisp_shared::entitlement::{SitePolicy, zone_of};
use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Permission;
use crate::db::{Database, Tx};
use crate::error::ApiError;

pub use signup::{NewTenant, TenantKind, create, create_platform_owner};
pub use store::Brand;

/// The routes of `/api/tenant`, and registration.
pub fn routes() -> Routes {
    Routes::new()
        .route(Access::Public, routes!(signup::register))
        .route(Access::SignedInEvenExpired, routes!(http::me))
        .route(
            Access::Any(&[Permission::SettingsGeneral]),
            routes!(http::settings),
        )
        .route(
            Access::Any(&[Permission::SettingsGeneral]),
            routes!(enforcement::get, enforcement::set),
        )
}

/// How the tenant's sites decide, for a forecast.
pub async fn site_policy(tx: &mut Tx) -> sqlx::Result<SitePolicy> {
    let policy = store::policy(tx).await?;
    Ok(SitePolicy {
        grace: Duration::from_secs(u64::from(edge::grace_secs(&policy))),
        refusal: policy.enforcement.refusal(),
        garden_for: policy.enforcement.reasons(),
        zone: zone_of(&policy.time_zone),
        bind: policy.enforcement.bind(),
    })
}

/// How long the tenant has sessions kept after their end.
pub async fn session_retention(tx: &mut Tx) -> sqlx::Result<Duration> {
    let days = store::session_retention_days(tx).await?;
    Ok(Duration::from_secs(u64::from(days.unsigned_abs()) * 86_400))
}

/// How long the tenant has lines of routers' logs kept.
pub async fn log_retention(tx: &mut Tx) -> sqlx::Result<Duration> {
    let days = store::log_retention_days(tx).await?;
    Ok(Duration::from_secs(u64::from(days.unsigned_abs()) * 86_400))
}

/// The name of the tenant's time zone.
pub async fn time_zone(tx: &mut Tx) -> sqlx::Result<String> {
    Ok(store::policy(tx).await?.time_zone)
}

/// How a tenant shows itself to guests; `None` where there is none.
pub async fn brand(tx: &mut Tx) -> sqlx::Result<Option<Brand>> {
    store::brand(tx).await
}

/// Where its people pay, where it has such a page.
pub async fn portal_url(tx: &mut Tx) -> sqlx::Result<Option<String>> {
    Ok(store::policy(tx).await?.enforcement.portal_url)
}

/// What identifies the tenant to people, in lower-case letters, digits and dashes.
pub async fn slug(tx: &mut Tx) -> sqlx::Result<String> {
    store::slug(tx).await
}

/// Gives the tenant a logo; returns what it calls itself.
pub async fn set_logo(tx: &mut Tx, path: &str, now: Timestamp) -> sqlx::Result<String> {
    store::set_logo(tx, path, now).await
}

/// Makes a tenant ACTIVE without end.
pub async fn activate_without_end(
    tx: &mut Tx,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), ApiError> {
    let name = store::activate(tx, now).await?;
    let line = Audit::new(Action::TenantActivate, "tenant", tx.tenant().0, &name);
    audit::record(tx, actor, line, now).await?;
    lease::write(tx, now).await?;
    Ok(())
}

/// What a new tenant's people and sites are known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Created {
    /// The tenant.
    pub tenant: TenantId,
    /// Its owner.
    pub owner: OperatorId,
}

/// Every tenant there is, in order of age: for work that walks all of them.
pub async fn all(db: &Database) -> sqlx::Result<Vec<TenantId>> {
    let mut directory = db.directory().await?;
    store::all(&mut directory).await
}
