//! Time that was lost to an outage is given back, once, by itself.
//!
//! An outage is a site whose agents are silent (the box, its power or its way to the internet: the agent dials out
//! through the same line as the subscribers), a router that does not answer while its site's agent is heard, or a site
//! whose agents are heard, over a line of their own, and say that the internet is not reached from there. It is over
//! when they are heard again or say so; then a job walks everybody behind it, some hundred a transaction, and adds what
//! each of them lost to his paid time, as his package says. Who loses the same hour to his router and to its site
//! loses it once.
//!
//! Decided so: who had nothing paid gets nothing; who paid during the outage gets back what was left of it from
//! then on; whose time ran out during it gets what he lost from the moment that he is looked at; a pause costs
//! nothing, so nothing is given for it; who is stopped or switched off was not served anyway. Child accounts follow
//! their parent; who is billed afterwards has no paid time that could be longer. An operator may give hours to everybody
//! behind a site or a router in the same way.
//!
//! While the cloud itself was away nobody listened, and silence says nothing: looks that come too late begin anew. So do
//! those in which nearly all sites of all tenants, three of them at least, have fallen silent together: then it is the
//! cloud's own line, address or certificate that is away, while the sites serve on.

mod http;
mod jobs;
mod rules;
mod store;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::*;

pub use jobs::{REPAY, repay, watch};

/// The routes of this feature.
pub fn routes() -> Routes {
    const SEES: Access = Access::Any(&[RoutersView, RoutersDetailsView]);

    Routes::new()
        .route(SEES, routes!(http::list))
        .route(SEES, routes!(http::get))
        .route(
            Access::Any(&[CustomersEdit, PppoeChangeExpiry]),
            routes!(http::extend),
        )
}
