//! Who is online, who was, how much was used, and why somebody could not log in.
//!
//! Agents report; this feature merges what they say and answers questions about it. It decides nothing:
//! who may be online is decided beside the router.

pub mod edge;
mod http;
mod rules;
mod store;
mod words;

use std::time::Duration;

use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::db::Tx;
use crate::permission::Permission::*;

pub use words::Status;

/// The routes of this feature.
pub fn routes() -> Routes {
    const SEE: Access = Access::Any(&[DashboardActiveSessions]);
    const CUSTOMER: Access =
        Access::Any(&[PppoeView, PppoeDetailsView, HotspotView, HotspotDetailsView]);
    const LOGINS: Access = Access::Any(&[PppoeDetailsView, HotspotDetailsView, RoutersDetailsView]);
    const END: Access = Access::Any(&[RoutersDisconnect]);

    Routes::new()
        .route(SEE, routes!(http::list))
        .route(SEE, routes!(http::stats))
        .route(SEE, routes!(http::get))
        .route(END, routes!(http::end))
        .route(END, routes!(http::cleanup))
        .route(SEE, routes!(http::radius::sessions))
        .route(SEE, routes!(http::radius::status))
        .route(SEE, routes!(http::radius::stats))
        .route(SEE, routes!(http::radius::accounting))
        .route(END, routes!(http::radius::disconnect))
        .route(LOGINS, routes!(http::customer::logins))
        .route(CUSTOMER, routes!(http::customer::live_status))
        .route(CUSTOMER, routes!(http::customer::auth_log))
}

/// Marks open sessions unconfirmed that were silent for three intervals, and closes those that were
/// silent for a day. Returns how many were marked and how many closed. Nobody is disconnected by it.
pub async fn doubt_silent(tx: &mut Tx, now: Timestamp) -> sqlx::Result<(u64, u64)> {
    let doubted = store::doubt(tx, now.minus(SILENCE)).await?;
    let closed = store::close_silent(tx, now.minus(GONE)).await?;
    Ok((doubted, closed))
}

/// Three interim updates of five minutes and their jitter.
const SILENCE: Duration = Duration::from_secs(990);
/// After a day of silence nobody will tell the end any more.
const GONE: Duration = Duration::from_secs(86_400);
