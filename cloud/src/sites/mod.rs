//! Sites: places with routers, and the agents that serve them.

pub mod agents;
pub mod authorities;
pub mod edge;
mod http;
pub mod live;
pub mod pki;
mod questions;
pub mod reports;
mod store;
pub mod warnings;

use easyisp_shared::id::SiteId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::auth::Permission;
use crate::db::{Kind, Tx};
use crate::due;
use crate::error::{ApiError, violated};
use crate::secrets::{SITE_KEY, TenantKey};

pub use live::{Live, Silence};
pub use questions::Questions;
pub use store::{Served, called, exists, first, ids, served, stand_still};
pub use warnings::Warning;

/// The kind of the due job that tells a new site who may log in at every site; its subject is the site. Customers are
/// another feature's: the application says who does it.
pub const ADDED: &str = "sites.added";

/// The routes of `/api/sites`.
pub fn routes() -> Routes {
    const VIEW: Access = Access::Any(&[Permission::RoutersView, Permission::RoutersDetailsView]);
    const ADD: Access = Access::Any(&[Permission::RoutersAdd]);

    Routes::new()
        .route(VIEW, routes!(http::list))
        .route(ADD, routes!(http::create))
        .route(VIEW, routes!(http::show))
        .route(ADD, routes!(http::join_token))
        .route(ADD, routes!(http::confirm))
        .route(ADD, routes!(http::revoke))
}

/// Ends the rights of every agent of the tenant for good, and every token to become one.
pub async fn revoke_all(tx: &mut Tx, now: Timestamp) -> sqlx::Result<()> {
    store::lock_set(tx).await?;
    agents::store::revoke_all(tx, now).await?;
    for site in ids(tx).await? {
        tx.changed(Kind::Policy, site);
    }
    Ok(())
}

/// Adds a site with its key and the counters of its feed; 409 when the name is taken.
pub async fn create(
    tx: &mut Tx,
    key: &TenantKey,
    name: &str,
    now: Timestamp,
) -> Result<SiteId, ApiError> {
    store::lock_set(tx).await?;
    let entropy = tx.entropy();
    let id = SiteId::new(now, &entropy);
    let site_key = SealKey::generate(&entropy);
    let sealed = key.seal(SITE_KEY, id.0, site_key.expose());
    store::insert(tx, id, name, &sealed, now)
        .await
        .map_err(|error| match violated(&error) {
            Some("site_name") => ApiError::conflict(
                "SITE_NAME_TAKEN",
                format!("There is already a site called {name:?}; choose another name"),
            ),
            Some(_) | None => error.into(),
        })?;
    store::insert_counters(tx, id).await?;
    tx.changed(Kind::Policy, id);
    // What every site knows: a site that comes later learns it now.
    for package in store::packages(tx).await? {
        tx.changed(Kind::Package, package);
    }
    for login in store::router_logins(tx).await? {
        tx.changed(Kind::RouterLogin, login);
    }
    due::at(tx, ADDED, id, now).await?;
    Ok(id)
}
