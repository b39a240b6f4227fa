//! Customers who log in nowhere (STATIC, DHCP): what their router has of them, and which address can be theirs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{CustomerId, RouterId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::line::{LinePlace, LineState, LineV1, Pools};
use easyisp_shared::wire::question::{Question, Reply};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::store;
use super::words::ConnectionType;
use crate::db::{Database, Tx};
use crate::error::{ApiError, FieldError};
use crate::routers;
use crate::sites::Live;
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};

/// Whether a router has what a line is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Enforcement {
    /// It has, read back.
    Enforced,
    /// The router, or a lease of it, is waited for.
    Waiting,
    /// It cannot be so, or the router says no.
    Refused,
}

/// How far a line reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Reach {
    /// The internet.
    Open,
    /// The pay page.
    Garden,
    /// Nowhere.
    Blocked,
}

/// What his router has of a customer who logs in nowhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    state: Enforcement,
    /// Why it is not as it should be.
    reason: Option<String>,
    /// In force at the router, as it was read back last.
    ip_address: Option<String>,
    reach: Option<Reach>,
    download_kbps: Option<i32>,
    upload_kbps: Option<i32>,
    nas_id: Option<RouterId>,
    /// When that was found; null = nothing was said yet.
    at: Option<Timestamp>,
}

/// A line as it is stored.
#[derive(Clone, Debug, Deserialize)]
pub struct Stored {
    router_id: RouterId,
    state: Enforcement,
    why: String,
    address: Option<String>,
    reach: Option<Reach>,
    up_kbps: Option<i32>,
    down_kbps: Option<i32>,
    at: Timestamp,
}

impl Line {
    /// What is shown of a customer; `None` for one who logs in.
    pub fn shown(
        kind: ConnectionType,
        router: Option<RouterId>,
        stored: Option<Stored>,
    ) -> Option<Line> {
        match kind {
            ConnectionType::Pppoe | ConnectionType::Hotspot => return None,
            ConnectionType::Dhcp | ConnectionType::Static => {}
        }
        Some(match stored {
            Some(stored) => Line {
                state: stored.state,
                reason: Some(stored.why).filter(|why| !why.is_empty()),
                ip_address: stored.address,
                reach: stored.reach,
                download_kbps: stored.down_kbps,
                upload_kbps: stored.up_kbps,
                nas_id: Some(stored.router_id),
                at: Some(stored.at),
            },
            None => Line {
                state: Enforcement::Waiting,
                reason: Some(match router {
                    Some(_) => "His router has not said anything of him yet.".to_owned(),
                    None => "No router has said anything of him yet; choose his (nasId) where \
                             his site has several."
                        .to_owned(),
                }),
                ip_address: None,
                reach: None,
                download_kbps: None,
                upload_kbps: None,
                nas_id: router,
                at: None,
            },
        })
    }
}

/// Takes what routers have of lines.
pub fn states() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take(tx, agent, reports, now)))
}

/// A site speaks of its own customers only; of each the last word counts.
async fn take(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let mut last: BTreeMap<CustomerId, (RouterId, Timestamp, &LineV1)> = BTreeMap::new();
    for report in reports {
        if let Up::Lines(told) = &report.body {
            let at = told.at.min(now);
            last.extend(
                told.lines
                    .iter()
                    .map(|line| (line.customer, (told.router, at, line))),
            );
        }
    }
    let (gone, there): (Vec<_>, Vec<_>) = last
        .into_values()
        .partition(|(_, _, line)| line.state == LineState::Gone);
    let gone: Vec<(CustomerId, RouterId)> = gone
        .into_iter()
        .map(|(router, _, line)| (line.customer, router))
        .collect();
    if !gone.is_empty() {
        store::forget_lines(tx, agent.site, &gone).await?;
    }
    let told: Vec<Told> = there.into_iter().filter_map(Told::of).collect();
    if !told.is_empty() {
        store::note_lines(tx, agent.site, &told).await?;
    }
    Ok(Vec::new())
}

/// A line as it is written.
#[derive(Clone, Debug)]
pub struct Told {
    /// Whose.
    pub customer: CustomerId,
    /// Where.
    pub router: RouterId,
    /// Whether it is as it should be.
    pub state: &'static str,
    /// Why not.
    pub why: String,
    /// What is in force.
    pub address: Option<String>,
    /// How far.
    pub reach: Option<&'static str>,
    /// From him.
    pub up_kbps: Option<i32>,
    /// To him.
    pub down_kbps: Option<i32>,
    /// When.
    pub at: Timestamp,
}

impl Told {
    fn of((router, at, line): (RouterId, Timestamp, &LineV1)) -> Option<Told> {
        let state = match line.state {
            LineState::InForce => "ENFORCED",
            LineState::Waiting => "WAITING",
            LineState::Refused => "REFUSED",
            LineState::Gone => return None,
        };
        let shape = line.shape.as_ref();
        let rate = shape.and_then(|shape| shape.rate);
        let kbps = |kbps: u32| i32::try_from(kbps).unwrap_or(i32::MAX);
        let why = line.why.chars().filter(|c| !c.is_control()).take(500);
        Some(Told {
            customer: line.customer,
            router,
            state,
            why: why.collect(),
            address: shape.map(|shape| shape.address.to_string()),
            reach: shape.map(|shape| match shape.place {
                LinePlace::Open => "OPEN",
                LinePlace::Garden => "GARDEN",
                LinePlace::Blocked => "BLOCKED",
            }),
            up_kbps: rate.map(|rate| kbps(rate.up_kbps)),
            down_kbps: rate.map(|rate| kbps(rate.down_kbps)),
            at,
        })
    }
}

/// Refuses an address that cannot be a customer's beside his router, as far as the router says so now. One that
/// cannot be asked refuses nothing: its agent looks again before it writes, and says what it found.
pub async fn fits_router(
    (db, live): (&Database, &Live),
    tenant: TenantId,
    (kind, router): (ConnectionType, Option<RouterId>),
    address: Ipv4Addr,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some(router) = router else {
        return Ok(());
    };
    let mut tx = db.begin(tenant).await?;
    let Some(site) = routers::site_of(&mut tx, router).await? else {
        return Ok(());
    };
    drop(tx);
    if !live.serves(tenant, site).await {
        return Ok(());
    }
    let question = Question::Router {
        router,
        ask: RouterAsk::AddressPlan,
    };
    let told = live.ask(tenant, site, &question, PATIENCE, now).await;
    let Ok(Reply::Router(RouterTold::AddressPlan(plan))) = told else {
        return Ok(());
    };
    let pools = match kind {
        ConnectionType::Dhcp => Pools::Shared,
        ConnectionType::Pppoe | ConnectionType::Hotspot | ConnectionType::Static => Pools::Avoided,
    };
    match plan.objection(address, pools) {
        None => Ok(()),
        Some(message) => Err(ApiError::fields(vec![FieldError {
            field: "ipAddress".to_owned(),
            message,
        }])),
    }
}

/// Somebody waits for the form.
const PATIENCE: Duration = Duration::from_secs(4);
