//! Who is online, who was, how much was used, and why somebody could not log in.
//!
//! Agents report; this feature merges what they say and answers questions about it. It decides nothing:
//! who may be online is decided beside the router.

pub mod edge;
mod http;
mod lines;
mod prefixes;
mod quota;
mod rules;
mod search;
mod store;
mod surplus;
mod trace;
mod words;

use std::time::Duration;

use easyisp_shared::id::{CustomerId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{Order, Whom};

use crate::api::{Access, Routes, routes};
use crate::audit::{self, Action, Actor, Audit};
use crate::commands;
use crate::db::{Database, Tx};
use crate::permission::Permission::*;
use crate::tenants;
use surplus::Finding;

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

/// Marks a tenant's open sessions unconfirmed that were silent for three intervals (of an hour where the line is paid by
/// the octet), and closes those that
/// were silent for a day; returns when to look again. Nobody is disconnected by it.
pub async fn doubt_silent(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> sqlx::Result<Timestamp> {
    let mut tx = db.begin(tenant).await?;
    store::doubt(&mut tx, now.minus(SILENCE), now.minus(METERED_SILENCE)).await?;
    store::close_silent(&mut tx, now.minus(GONE)).await?;
    tx.commit().await?;
    Ok(now.plus(WATCH))
}

/// The kind of the due job that ends what somebody has online beyond his devices at several sites; its subject is the
/// customer. Due once a session of his begins at another site than one that goes on.
pub const SURPLUS: &str = "sessions.surplus";

/// Ends the sessions of the devices that came last where a customer has more online at all sites together than he
/// may, and both are proved. `Some` = when to look again: as long as he is online at several sites with too many.
///
/// The order and its line in the trail are of one transaction, and the order is the site's own as any other.
pub async fn end_surplus(
    db: &Database,
    tenant: TenantId,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    let mut tx = db.begin(tenant).await?;
    let Some((name, allowed)) = store::lock_allowed(&mut tx, customer).await? else {
        return Ok(None);
    };
    let open = store::confirmed(&mut tx, customer, now.minus(SILENCE)).await?;
    let devices = usize::try_from(allowed).unwrap_or(1);
    let sessions = match surplus::find(&open, devices, now) {
        Finding::Fits => return Ok(None),
        Finding::Doubtful => return Ok(Some(now.plus(AGAIN))),
        Finding::End(sessions) => sessions,
    };
    for session in &sessions {
        let whom = Whom::Session {
            router: session.router,
            session: session.acct_session_id.clone().into_bytes(),
        };
        commands::issue(
            &mut tx,
            session.site,
            Order::Disconnect(whom),
            Some(customer),
            now,
        )
        .await?;
        let device = session.mac.as_deref().unwrap_or("without an address");
        let line = Audit {
            details: format!(
                "Session {}: online at several sites with more devices than {allowed}; {device} came last",
                session.acct_session_id
            ),
            after: Some(serde_json::json!({"routerId": session.router})),
            ..Audit::new(Action::CustomerDisconnect, "customer", customer, &name)
        };
        audit::record(&mut tx, &Actor::system(), line, now).await?;
    }
    tx.commit().await?;
    Ok(Some(now.plus(ORDERED)))
}

/// How soon what is not proved is looked at again.
const AGAIN: Duration = Duration::from_secs(60);
/// How long an order has before it is given again.
const ORDERED: Duration = Duration::from_secs(300);

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
/// The same where interims are told once an hour: two of them.
const METERED_SILENCE: Duration = Duration::from_secs(2 * 3600 + 990);
/// After a day of silence nobody will tell the end any more.
const GONE: Duration = Duration::from_secs(86_400);
