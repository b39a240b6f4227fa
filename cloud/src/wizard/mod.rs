//! Bringing a router up: what it is to be, the script that makes it so, and the wizard that does it by itself.
//!
//! What a router is to be comes from what the cloud knows of it, its site and its tenant, and from what the caller
//! chose; `shared/src/setup` says what every menu must hold. An installer imports the script, or a router fetches a
//! first one with a token that is good once and calls back; what it serves is then configured through its site's
//! agent, a turn at a time, and undone when it fails. What is wanted and what stood there before is kept, sealed,
//! until one or the other holds: neither a node, nor a box, nor a router that dies half-way leaves it half-way.

mod alive;
mod back;
mod complete;
mod drift;
pub mod edge;
mod http;
mod plan;
mod rules;
mod run;
mod store;

pub use http::back::{Going, go as go_back, plan as plan_back};
pub use http::configure::Configured;
pub use http::{Choice, Differences, differences, is_configured, setup};
pub use rules::room;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::{RoutersAdd, RoutersConfig, RoutersDetailsView, RoutersView};

pub use complete::{complete, fetch_pages};
pub use run::{RUN, work};

/// The routes of this feature.
pub fn routes() -> Routes {
    // The script holds secrets: who may read how routers are set up in general may not.
    const CONFIG: Access = Access::Any(&[RoutersConfig]);
    const ADD: Access = Access::Any(&[RoutersAdd]);
    const SEE: Access = Access::Any(&[RoutersView, RoutersDetailsView]);

    Routes::new()
        .route(CONFIG, routes!(http::script))
        .route(CONFIG, routes!(http::config))
        .route(ADD, routes!(http::begin::start))
        .route(SEE, routes!(http::begin::status))
        .route(SEE, routes!(http::begin::verify))
        .route(SEE, routes!(http::system::system_info))
        .route(SEE, routes!(http::begin::resume))
        .route(ADD, routes!(http::begin::save_state))
        .route(ADD, routes!(http::begin::forget))
        .route(SEE, routes!(http::configure::interfaces))
        .route(CONFIG, routes!(http::configure::configure))
        .route(CONFIG, routes!(http::configure::auto_configure))
        .route(SEE, routes!(http::configure::test))
        .route(SEE, routes!(http::wireless::list))
        .route(CONFIG, routes!(http::wireless::configure))
        .route(ADD, routes!(http::register::token))
        .route(Access::Token, routes!(http::register::register))
        .route(Access::Token, routes!(http::called::complete))
        .route(Access::Token, routes!(http::alive::alive))
        .page(Access::Token, "/provision/{token}", http::called::script)
        .page(
            Access::Public,
            "/provision/hotspot/{file}",
            http::pages::file,
        )
        .page(
            Access::Public,
            "/provision/hotspot-config/{router}",
            http::pages::config,
        )
        .page(
            Access::Public,
            "/portal-preview/{file}",
            http::preview::file,
        )
}
