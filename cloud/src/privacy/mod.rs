//! What is kept of one subscriber: shown to him whole, taken out on his wish, and gone with its time.
//!
//! Personal data stand in many features' tables. This is the one place that names all of them: in
//! [`KEPT`], and in the statements of `store/`, which read and blank what other folders own. What counts
//! money stays, under ids; who erased whom, and why, is in the trail.

mod document;
mod erase;
mod http;
mod jobs;
mod rules;
mod store;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::*;

pub use jobs::forget_old;
pub use rules::{KEPT, Keep, Kept};

/// The routes of this feature. The first narrows what the route allows by how the customer is connected.
pub fn routes() -> Routes {
    Routes::new()
        .route(
            Access::Any(&[CustomersEdit, PppoeEdit]),
            routes!(http::data),
        )
        .route(Access::Any(&[CustomersDelete]), routes!(http::erase))
        .route(Access::Any(&[SettingsGeneral]), routes!(http::retention))
}
