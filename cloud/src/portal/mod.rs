//! What pages of hotspots ask, on phones that are not online yet: nobody is signed in, and any origin may.

mod http;

use crate::api::{Access, Routes, routes};

/// The routes of this feature.
pub fn routes() -> Routes {
    Routes::new().route(Access::Public, routes!(http::packages))
}
