//! Comparing with the routers themselves: `/api/sessions/sync`, and who is online outside the system.

use std::time::Duration;

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::question::{Question, ReconciledV1, Reply};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Json;
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers::{self, Outside};
use crate::sites::{self, Live};

/// What came of comparing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Synced {
    success: bool,
    /// Sessions that their routers do not list any more.
    closed: u32,
    /// Sessions that had been given up and go on.
    opened: u32,
    timestamp: Timestamp,
    /// Routers that were asked and answered.
    routers: u32,
    /// Online at a router and no session of ours.
    outside: usize,
    /// Sites and routers that could not be asked, and why.
    problems: Vec<String>,
}

/// `POST /api/sessions/sync`: asks every site to compare what it believes with its routers' own lists of
/// who is online, now. Sessions that a router does not list are closed at the moment they were last heard of.
///
/// Errors: 422 `NO_ROUTER_API` when no router of a connected site has an API user; 503 when no site is
/// connected.
#[utoipa::path(post, path = "/api/sessions/sync", tag = "Sessions",
    responses((status = 200, body = Synced),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn sync(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
) -> Result<Json<Synced>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let sites = sites::ids(&mut tx).await?;
    tx.rollback().await?;

    let question = Question::Reconcile { router: None };
    let ask = |site| live.ask(operator.tenant, site, &question, PATIENCE, now);
    let told = futures_util::future::join_all(sites.into_iter().map(ask)).await;
    let mut all = ReconciledV1::default();
    let mut problems = Vec::new();
    let mut silent = None;
    let mut answered = false;
    for told in told {
        match told {
            Ok(Reply::Reconciled(one)) => {
                answered = true;
                all.asked += one.asked;
                all.closed += one.closed;
                all.opened += one.opened;
                all.outside.extend(one.outside);
                all.problems.extend(one.problems);
            }
            Ok(_) => problems.push("A site answered something else".to_owned()),
            Err(why) => {
                problems.push(why.to_string());
                silent = Some(why);
            }
        }
    }
    if !answered {
        return Err(silent.map_or(ApiError::NotFound("site"), ApiError::from));
    }
    problems.extend(all.problems.iter().map(|(_, why)| why.clone()));
    if all.asked == 0 && all.problems.is_empty() {
        return Err(ApiError::unprocessable(
            "NO_ROUTER_API",
            "No router can be compared with: enter an API user and password for them",
        ));
    }
    let mut tx = db.begin(operator.tenant).await?;
    let audit = Audit {
        details: format!("{} closed, {} go on after all", all.closed, all.opened),
        ..Audit::new(
            Action::SessionSync,
            "sessions",
            operator.tenant,
            "All sessions",
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    tx.commit().await?;
    Ok(Json(Synced {
        success: all.asked > 0,
        closed: all.closed,
        opened: all.opened,
        timestamp: now,
        routers: all.asked,
        outside: all.outside.len(),
        problems,
    }))
}

/// Who is online outside the system.
#[derive(Serialize, ToSchema)]
pub struct OutsideSessions {
    sessions: Vec<OutsideSession>,
    total: usize,
}

/// Somebody online at a router who is no session of ours.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutsideSession {
    nas_id: RouterId,
    nas_name: String,
    username: String,
    ip_address: Option<String>,
    mac_address: Option<String>,
    /// `2h 3m 4s`, when it was seen.
    uptime: String,
    /// `pppoe` or `hotspot`.
    #[serde(rename = "type")]
    kind: String,
    /// `LOCAL`, `UNKNOWN` or `UNREPORTED`.
    reason: String,
    /// What that means and what to do.
    message: &'static str,
    /// When the router listed it.
    seen_at: Option<Timestamp>,
}

/// `GET /api/sessions/outside`: who is online at the routers and is no session of ours, as the routers
/// last listed them: let in by a secret on the router itself, by another RADIUS server, or not reported.
#[utoipa::path(get, path = "/api/sessions/outside", tag = "Sessions",
    responses((status = 200, body = OutsideSessions)))]
pub async fn outside(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<OutsideSessions>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let mut sessions = Vec::new();
    for router in routers::outside(&mut tx).await? {
        let (nas_id, nas_name, seen_at) = (router.id, router.name, router.seen_at);
        sessions.extend(router.sessions.into_iter().map(|one| OutsideSession {
            nas_id,
            nas_name: nas_name.clone(),
            message: meaning(&one),
            username: one.username,
            ip_address: one.ip_address,
            mac_address: one.mac_address,
            uptime: crate::customers::uptime(one.uptime_secs),
            kind: one.kind,
            reason: one.reason,
            seen_at,
        }));
    }
    Ok(Json(OutsideSessions {
        total: sessions.len(),
        sessions,
    }))
}

fn meaning(one: &Outside) -> &'static str {
    match one.reason.as_str() {
        "LOCAL" => {
            "A secret or user on the router itself let him in: RADIUS was not asked, nothing is \
             counted and nothing ends it. Remove it from the router."
        }
        "UNREPORTED" => {
            "A customer of yours whose session the router does not report: switch accounting on."
        }
        _ => "Some RADIUS server let him in, and nobody of this name is a customer of yours.", // text of a row
    }
}

/// A list of a thousand takes a small router some seconds.
const PATIENCE: Duration = Duration::from_secs(20);
