//! Router logins: people who may log in to the routers themselves, with RADIUS in place of a user on each.
//!
//! Nobody may until the tenant switches it on and enters who; a subscriber never may. The routers have to be
//! told to ask: `/user aaa set use-radius=yes` and `service=login` at the site's RADIUS server. RouterOS asks
//! only about names that it has no user of its own for, so the way in by a local user stays.

pub mod edge;
mod http;
mod rules;
mod store;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::OperatorsManagePermissions;

/// The routes of this feature: for who may hand out rights.
pub fn routes() -> Routes {
    const MANAGE: Access = Access::Any(&[OperatorsManagePermissions]);

    Routes::new()
        .route(MANAGE, routes!(http::list, http::switch, http::create))
        .route(MANAGE, routes!(http::update, http::delete))
}

/// Under which name a password is sealed.
const PASSWORD: &str = "router_logins.password";
