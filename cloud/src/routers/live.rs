//! `/api/nas/{router}/live-status`: how a router is, now if it can be asked.

use std::time::Duration;

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::question::{Question, Reply};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use serde::Serialize;
use utoipa::ToSchema;

use super::words::Status;
use super::{SILENCE, edge, store};
use crate::api::{Json, Path};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::sites::Live;
use crate::sites::live::Silence;

/// How a router is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveStatus {
    id: RouterId,
    name: String,
    status: Status,
    uptime: Option<String>,
    last_seen: Option<Timestamp>,
    /// Percent.
    cpu_load: Option<i64>,
    /// Megabytes.
    memory_usage: Option<i64>,
    /// Megabytes.
    memory_total: Option<i64>,
    active_sessions: ActiveSessions,
    /// Why it could not be asked now: the rest is then as it was last told.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Sessions open at a router.
#[derive(Serialize, ToSchema)]
pub struct ActiveSessions {
    pppoe: i64,
    hotspot: i64,
    total: i64,
}

/// `GET /api/nas/{router}/live-status`: how the router is now, and who is online at it as accounting tells.
///
/// 200 also when it cannot be asked: then with the reason, and as it was last told.
#[utoipa::path(get, path = "/api/nas/{router}/live-status", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = LiveStatus)))]
pub async fn live_status(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<LiveStatus>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = store::find(&mut tx, router, (now.minus(SILENCE), now)).await?;
    let row = row.ok_or(ApiError::NotFound("router"))?;
    drop(tx);
    let stored = row.stored;
    let has_api = stored.api_password_sealed.is_some();
    let mut status = LiveStatus {
        id: stored.id,
        status: row.present_status,
        uptime: stored.uptime.clone(),
        last_seen: stored.last_seen_at,
        cpu_load: stored.cpu_load.map(i64::from),
        memory_usage: stored.memory_usage_mb.map(i64::from),
        memory_total: stored.memory_total_mb.map(i64::from),
        active_sessions: ActiveSessions {
            pppoe: row.pppoe,
            hotspot: row.hotspot,
            total: row.pppoe + row.hotspot,
        },
        error: None,
        name: stored.name,
    };
    if !has_api {
        return Ok(Json(status));
    }
    let question = Question::Router {
        router,
        ask: RouterAsk::System,
    };
    let asked = live.ask(operator.tenant, stored.site_id, &question, PATIENCE, now);
    match asked.await {
        Ok(Reply::Router(RouterTold::System(told))) => {
            let mb = |octets: u64| i64::try_from(octets >> 20).ok();
            let used = told.total_memory.zip(told.free_memory);
            super::note_board(&db, operator.tenant, router, &told).await?;
            status.status = Status::Online;
            status.last_seen = Some(now);
            status.uptime = Some(edge::uptime(told.uptime_secs));
            status.cpu_load = told.cpu_load.map(i64::from);
            status.memory_usage = used.and_then(|(total, free)| mb(total.saturating_sub(free)));
            status.memory_total = told.total_memory.and_then(mb);
        }
        Ok(_) => status.error = Some("The site answered something else".to_owned()),
        Err(why) => status.error = Some(said(&why, status.last_seen)),
    }
    Ok(Json(status))
}

/// Why it could not be asked; and that it was heard of without its agent, where it was: by its own word.
fn said(why: &Silence, seen: Option<Timestamp>) -> String {
    match (why, seen) {
        (Silence::Offline { heard, .. }, Some(seen))
            if heard.is_none_or(|heard| seen > heard.plus(BY_ITSELF)) =>
        {
            format!(
                "{why}. The router lives, as it said by itself at {seen}: it is the agent that is away, or its way here"
            )
        }
        _ => why.to_string(), // nobody heard of the router since
    }
}

/// What came through an agent may be noted a little after the agent itself.
const BY_ITSELF: Duration = Duration::from_secs(60);

/// Somebody looks at a list of them.
const PATIENCE: Duration = Duration::from_secs(4);
