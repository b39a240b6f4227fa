//! Pictures: a tenant's logo and its people's portraits.
//!
//! What is uploaded is decoded under limits and encoded anew; only that is kept and shown, under a random
//! name, at an address of its own to which no cookie and no token belongs.

mod http;
mod rules;
mod store;

use crate::api::{Access, Routes, routes};
use crate::db::Tx;
use crate::permission::Permission::SettingsGeneral;

pub use rules::Pixels;

/// The tenant's logo for paper: small, and on white. `None` when there is none, or it cannot be read.
pub async fn logo(tx: &mut Tx) -> sqlx::Result<Option<Pixels>> {
    let Some(bytes) = store::logo(tx).await? else {
        return Ok(None);
    };
    // Decoding takes milliseconds: off the threads that serve requests.
    let pixels = tokio::task::spawn_blocking(move || rules::pixels(&bytes)).await;
    Ok(pixels.ok().flatten())
}

/// The routes of this feature.
pub fn routes() -> Routes {
    Routes::new()
        .route(Access::SignedIn, routes!(http::portrait))
        .route(Access::Any(&[SettingsGeneral]), routes!(http::logo))
        .page(Access::Public, "/uploads/{name}", http::show)
}
