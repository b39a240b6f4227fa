//! Who is online, who was, how much was used, and why somebody could not log in.
//!
//! Agents report; this feature merges what they say and answers questions about it. It decides nothing:
//! who may be online is decided beside the router.

pub mod edge;
mod http;
mod quota;
mod rules;
mod search;
mod store;
mod trace;
mod words;

use std::time::Duration;

use easyisp_shared::id::{SiteId, TenantId};
use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::db::{Database, Tx};
use crate::permission::Permission::*;
use crate::tenants;

pub use trace::{Trace, Whereabouts, trace, whereabouts};
pub use words::Status;

/// The routes of this feature.
pub fn routes() -> Routes {
    const SEE: Access = Access::Any(&[DashboardActiveSessions]);
    const CUSTOMER: Access =
        Access::Any(&[PppoeView, PppoeDetailsView, HotspotView, HotspotDetailsView]);
    const LOGINS: Access = Access::Any(&[PppoeDetailsView, HotspotDetailsView, RoutersDetailsView]);
    const ROUTER: Access = Access::Any(&[RoutersDetailsView, RoutersView]);
    const END: Access = Access::Any(&[RoutersDisconnect]);

    Routes::new()
        .route(SEE, routes!(http::list))
        .route(SEE, routes!(http::stats))
        .route(
            Access::Any(&[OperatorsDetailsView]),
            routes!(http::search::search),
        )
        .route(SEE, routes!(http::get))
        .route(END, routes!(http::end))
        .route(END, routes!(http::cleanup))
        .route(END, routes!(http::sync::sync))
        .route(SEE, routes!(http::sync::outside))
        .route(ROUTER, routes!(http::router::sessions))
        .route(ROUTER, routes!(http::router::hotspot_users))
        .route(END, routes!(http::router::disconnect))
        .route(Access::Any(&[RoutersTest]), routes!(http::router::test))
        .route(SEE, routes!(http::radius::sessions))
        .route(SEE, routes!(http::radius::status))
        .route(SEE, routes!(http::radius::stats))
        .route(SEE, routes!(http::radius::accounting))
        .route(END, routes!(http::radius::disconnect))
        .route(LOGINS, routes!(http::customer::logins))
        .route(CUSTOMER, routes!(http::customer::live_status))
        .route(CUSTOMER, routes!(http::customer::bandwidth))
        .route(CUSTOMER, routes!(http::customer::auth_log))
}

/// Lets no report of accounting of a site apply until the transaction ends.
pub async fn hold_reports(tx: &mut Tx, site: SiteId) -> sqlx::Result<()> {
    store::lock_site(tx, site).await
}

/// Marks a tenant's open sessions unconfirmed that were silent for three intervals, and closes those that
/// were silent for a day; returns when to look again. Nobody is disconnected by it.
pub async fn doubt_silent(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> sqlx::Result<Timestamp> {
    let mut tx = db.begin(tenant).await?;
    store::doubt(&mut tx, now.minus(SILENCE)).await?;
    store::close_silent(&mut tx, now.minus(GONE)).await?;
    tx.commit().await?;
    Ok(now.plus(WATCH))
}

/// Forgets what is over for longer than the tenant keeps sessions, 500 a transaction; returns when to go on.
pub async fn forget_old(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> sqlx::Result<Timestamp> {
    for _ in 0..TURNS {
        let mut tx = db.begin(tenant).await?;
        let kept = tenants::session_retention(&mut tx).await?;
        let gone = store::forget(&mut tx, now.minus(kept), AT_ONCE).await?;
        tx.commit().await?;
        if gone < AT_ONCE.unsigned_abs() {
            return Ok(now.plus(DAY));
        }
    }
    Ok(now.plus(BREATH))
}

/// Rows that one transaction removes at most.
const AT_ONCE: i64 = 500;
/// Transactions in a row before other work has its turn: some seconds, a job's lease is a minute.
const TURNS: u32 = 20;
/// And how soon it goes on.
const BREATH: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// How often to look: once an interval.
const WATCH: Duration = Duration::from_secs(300);

/// Three interim updates of five minutes and their jitter.
const SILENCE: Duration = Duration::from_secs(990);
/// After a day of silence nobody will tell the end any more.
const GONE: Duration = Duration::from_secs(86_400);
