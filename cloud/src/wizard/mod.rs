//! Bringing a router up: what it is to be, and the script that makes it so.
//!
//! The script comes from what the cloud knows of the router, its site and its tenant, and from what the caller
//! chose; `shared/src/setup` says what every menu must hold.

mod http;
mod rules;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::RoutersConfig;

/// The routes of this feature.
pub fn routes() -> Routes {
    // The script holds secrets: who may read how routers are set up in general may not.
    const CONFIG: Access = Access::Any(&[RoutersConfig]);

    Routes::new()
        .route(CONFIG, routes!(http::script))
        .route(CONFIG, routes!(http::config))
}
