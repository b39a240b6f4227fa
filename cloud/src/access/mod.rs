//! Ways through a site's agent to one of its devices: WinBox of a router, the page of a router or of a customer's
//! device, for a limited time, on the trail with who, why and how much went through.
//!
//! Off until `[access] listen` says where operators come in. A way has a port of its own there, which takes the address
//! alone that it was opened from: the browser meets an origin with nothing of the console's, and the device's own login
//! follows. The agent decides once more where it leads, and what it leads to for how long. Each TCP connection is a pipe
//! of the link that gives way to everything else. Another node of the cloud may hold the agent: then octets go by it.
//!
//! A page is not led to octet for octet: who shares the operator's address could come along, and a browser keeps what one
//! device says for the next. HTTP stands before it (`page`), which asks for the way's own secret once (`lock`) and lets
//! pass what is of this page alone (`names`).

mod carry;
mod desk;
mod http;
mod lock;
mod names;
mod page;
mod rules;
mod store;
mod tls;
mod words;

pub use desk::Desk;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::*;

/// The routes of this feature.
pub fn routes() -> Routes {
    const OPEN: Access = Access::Any(&[RoutersConfig]);

    Routes::new()
        .route(OPEN, routes!(http::to_router))
        .route(OPEN, routes!(http::to_customer))
        .route(OPEN, routes!(http::list))
        .route(OPEN, routes!(http::close))
}
