//! Pictures: a tenant's logo and its people's portraits.
//!
//! What is uploaded is decoded under limits and encoded anew; only that is kept and shown, under a random
//! name, at an address of its own to which no cookie and no token belongs.

mod http;
mod rules;
mod store;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::SettingsGeneral;

/// The routes of this feature.
pub fn routes() -> Routes {
    Routes::new()
        .route(Access::SignedIn, routes!(http::portrait))
        .route(Access::Any(&[SettingsGeneral]), routes!(http::logo))
        .page(Access::Public, "/uploads/{name}", http::show)
}
