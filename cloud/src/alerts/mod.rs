//! What a person should know of sites and routers: told after it lasted, once, with an all-clear.
//!
//! Every minute a job compares what agents told last (SNMP, the routers' APIs, whether they are heard at all) with
//! rules that work without being set. A rule has a delay, two limits with a gap between them, and a time that
//! all must be well. A site that is away says for its routers that they cannot be seen, a router for what is measured of
//! it. What comes back within half an hour of its all-clear is told once more, and then counted until it has been well
//! for half an hour. Who is told: the owners, by SMS of what is critical and by mail of warnings too, unless the provider
//! says otherwise; and webhooks of all of it.

mod device;
mod http;
mod jobs;
mod rules;
mod store;
mod told;
mod words;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::*;

pub use jobs::{Ways, look};

/// The routes of this feature.
pub fn routes() -> Routes {
    const SEE: Access = Access::Any(&[RoutersDetailsView, RoutersView]);
    const SET: Access = Access::Any(&[RoutersConfig]);

    Routes::new()
        .route(SEE, routes!(http::list))
        .route(SET, routes!(http::acknowledge))
        .route(SEE, routes!(http::rules))
        .route(SET, routes!(http::set_rule))
        .route(SET, routes!(http::set_told))
}
