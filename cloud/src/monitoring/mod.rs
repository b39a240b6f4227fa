//! Devices watched over SNMP: how to enter them, what they say, and graphs of it.
//!
//! Agents read; this feature tells them whom, keeps minutes for two days, hours for forty and days for two
//! years, and answers from that.

mod bucket;
pub mod edge;
mod graphs;
mod http;
mod rules;
mod scripted;
mod store;

use std::time::Duration;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::db::Database;
use crate::permission::Permission::*;

pub use scripted::{entered, watch};

/// The routes of this feature.
pub fn routes() -> Routes {
    const SEE: Access = Access::Any(&[RoutersDetailsView, RoutersView]);
    const SET: Access = Access::Any(&[RoutersConfig]);

    Routes::new()
        .route(SEE, routes!(http::status))
        .route(SEE, routes!(http::poll))
        .route(SEE, routes!(graphs::metrics))
        .route(SET, routes!(http::settings))
        .route(SET, routes!(http::forget))
}

/// Forgets rows that are older than rows of their length are kept; returns when to look again.
pub async fn forget_old(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> sqlx::Result<Timestamp> {
    for _ in 0..TURNS {
        let mut gone = 0;
        for (step, kept) in bucket::KEPT {
            let mut tx = db.begin(tenant).await?;
            gone += store::forget(&mut tx, step, now.minus(kept), AT_ONCE).await?;
            tx.commit().await?;
        }
        if gone == 0 {
            return Ok(now.plus(DAY));
        }
    }
    Ok(now.plus(BREATH))
}

/// Rows that one transaction removes at most.
const AT_ONCE: i64 = 500;
/// Rounds in a row before other work has its turn.
const TURNS: u32 = 20;
const BREATH: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Under which names secrets are sealed.
const COMMUNITY: &str = "monitored.community";
const AUTH: &str = "monitored.auth";
const PRIVACY: &str = "monitored.privacy";
