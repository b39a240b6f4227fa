//! What customers buy: a speed, a period, a price.
//!
//! A package with customers can be edited (each site learns it in one row) but neither switched off nor
//! deleted. Deleting frees the name.

pub mod edge;
mod http;
mod offer;
pub mod rules;
mod store;
pub mod terms;
mod words;

use easyisp_shared::id::PackageId;
use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::db::{Kind, Tx};
use crate::due;
use crate::permission::Permission::*;
use crate::sites;

pub use offer::{Offer, offers};
pub use rules::{Change, Draft, draft};
pub use store::{Called, Stored, called, exported, is_sold_at, is_there, sold_at};
pub use terms::{PurchaseLimit, Span, Terms, Tolerance};
pub use words::{PackageType, Period, PeriodUnit};

/// The routes of this feature.
pub fn routes() -> Routes {
    Routes::new()
        .route(
            Access::Any(&[
                PackagesView,
                PppoeAddUser,
                HotspotAddUser,
                CustomersCreate,
                CustomersEdit,
            ]),
            routes!(http::list),
        )
        .route(
            Access::Any(&[PackagesAddPppoe, PackagesAddHotspot]),
            routes!(http::create),
        )
        .route(
            Access::Any(&[PackagesDetailsView, PackagesView]),
            routes!(http::get),
        )
        .route(Access::Any(&[PackagesEdit]), routes!(http::update))
        .route(Access::Any(&[PackagesDelete]), routes!(http::delete))
        .route(Access::Any(&[PackagesDetailsView]), routes!(http::stats))
        .route(
            Access::Any(&[PackagesDetailsView]),
            routes!(http::router_revenue),
        )
}

/// The kind of the job that looks who is carried on by his wallet after a package's price or period
/// changed; its subject is the package. Customers are another feature's: the application says who does it.
pub const REPRICED: &str = "packages.repriced";

/// The kind of the due job that tells every site, or only his own, of whoever has a package; its subject is the package.
/// Customers are another feature's: the application says who does it.
pub const ROAMS: &str = "packages.roams";

/// What a package allows, as its sites know it; `None` when this tenant has no such package.
pub async fn entitlement(
    tx: &mut Tx,
    package: PackageId,
) -> sqlx::Result<Option<easyisp_shared::entitlement::Package>> {
    let row = store::find(tx, package).await?;
    Ok(row.map(|row| edge::body(&row.stored).entitlement()))
}

/// Whether a package may be changed so while so many customers have it; why not, and what to do first.
pub fn refused_in_use(before: &Draft, after: &Draft, customers: i64) -> Option<String> {
    if customers == 0 {
        return None;
    }
    let wish = if before.is_active && !after.is_active {
        "switch it off"
    } else if before.kind != after.kind {
        "change its type"
    } else {
        return None;
    };
    Some(rules::in_use(customers, wish))
}

/// Changes a package that is locked, and makes due what follows from another price or period.
///
/// Fails with a unique violation of `package_name` when the tenant has another of that name and type.
pub async fn change(
    tx: &mut Tx,
    package: PackageId,
    before: &Draft,
    after: &Draft,
    now: Timestamp,
) -> sqlx::Result<()> {
    store::update(tx, package, after, now).await?;
    if (after.price, after.period) != (before.price, before.period) {
        due::at(tx, REPRICED, package, now).await?;
    }
    if after.terms.roams != before.terms.roams {
        due::at(tx, ROAMS, package, now).await?;
    }
    tx.changed(Kind::Package, package);
    Ok(())
}

/// Locks a package until the transaction ends, and all sites against being added to: its content, and how many
/// customers and vouchers it has. `None` when this tenant has no such package.
pub async fn lock(tx: &mut Tx, package: PackageId) -> sqlx::Result<Option<(Stored, i64, i64)>> {
    sites::stand_still(tx).await?;
    if !store::lock(tx, package).await? {
        return Ok(None);
    }
    let row = store::find(tx, package).await?;
    Ok(row.map(|row| (row.stored, row.customers, row.vouchers)))
}

/// Hides a package that is locked; every site forgets it with the same commit.
pub async fn hide(tx: &mut Tx, package: PackageId, now: Timestamp) -> sqlx::Result<()> {
    store::delete(tx, package, now).await?;
    tx.changed(Kind::Package, package);
    Ok(())
}

/// Makes a package and tells every site.
///
/// Fails with a unique violation of `package_name` when the tenant has one of that name and type.
pub async fn create(tx: &mut Tx, draft: &Draft, now: Timestamp) -> sqlx::Result<PackageId> {
    sites::stand_still(tx).await?;
    let package = PackageId::new(now, &tx.entropy());
    store::insert(tx, package, draft, now).await?;
    tx.changed(Kind::Package, package);
    Ok(package)
}
