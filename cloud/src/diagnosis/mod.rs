//! Why is this customer offline? One cause, its evidence, one thing to do.
//!
//! It stands below the things it asks (customers, sessions, routers, sites, vouchers) and among the doors, as
//! the dashboard does: a question across features that writes nothing and owns no table. It is no part of
//! `sessions/`, which decides nothing and cannot see vouchers. What is decided stands in
//! [`easyisp_shared::diagnosis`], because the box beside the router gives the same answer while the cloud is
//! gone; here the facts are brought together: what the cloud stores, and what the site tells when it is asked.

mod gather;
mod http;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::*;

/// The route of this feature. The handler narrows it by how the customer is connected.
pub fn routes() -> Routes {
    const VIEW: Access = Access::Any(&[PppoeDetailsView, HotspotDetailsView]);

    Routes::new().route(VIEW, routes!(http::diagnosis))
}
