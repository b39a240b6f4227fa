//! Who is online at one router, as the router itself says: `/api/mikrotik/{router}/…`.

use std::time::{Duration, Instant};

use axum::extract::State;
use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::down::Whom;
use easyisp_shared::wire::question::{
    AskFailure, LiveSessionV1, OnlineAskV1, OnlinePlaceV1, Question, Reply,
};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{Json, Path, Query, Said, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::commands::{self, End, Ended};
use crate::customers::uptime;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers;
use crate::sessions::rules::text_of;
use crate::sessions::store;
use crate::sites::{Live, Silence};

/// Somebody online at a router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouterSession {
    /// Acct-Session-Id; `outside:NAME` for one that is no session of ours.
    id: String,
    username: String,
    ip_address: Option<String>,
    mac_address: Option<String>,
    /// `2h 3m 4s`.
    uptime: String,
    /// `pppoe` or `hotspot`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// From the subscriber, bytes.
    bytes_in: u64,
    /// To the subscriber, bytes.
    bytes_out: u64,
    /// Online at the router, but no session of ours.
    outside: bool,
}

/// Which sessions.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct SessionsQuery {
    /// `pppoe` or `hotspot`.
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// `GET /api/mikrotik/{router}/sessions`: who is online there now; a bare list.
///
/// The router's own list where its API is set up, else what it reports. Errors: 503 when the site is
/// away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/mikrotik/{router}/sessions", tag = "Routers",
    params(("router" = RouterId, Path), SessionsQuery),
    responses((status = 200, body = Vec<RouterSession>),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn sessions(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Query(query): Query<SessionsQuery>,
) -> Result<Json<Vec<RouterSession>>, ApiError> {
    let now = clock.now();
    let site = site_of(&db, &operator, router).await?;
    let hotspot = match query.kind.as_deref() {
        None | Some("") => None,
        Some("hotspot") => Some(true),
        Some("pppoe") => Some(false),
        Some(_) => return Ok(Json(Vec::new())), // nobody is online in another way
    };
    let online = online(&live, &operator, (site, router), hotspot, now).await?;
    let rows = online.into_iter().map(|one| RouterSession::new(one, now));
    Ok(Json(rows.collect()))
}

impl RouterSession {
    fn new(one: LiveSessionV1, now: Timestamp) -> RouterSession {
        let username = text_of(&one.username);
        let outside = one.session.is_empty();
        RouterSession {
            id: match outside {
                true => format!("{OUTSIDE}{username}"),
                false => text_of(&one.session),
            },
            username,
            ip_address: one.framed_ip.map(|address| address.to_string()),
            mac_address: one.mac.map(|mac| mac.to_string()),
            uptime: uptime(now.since(one.started).as_secs()),
            kind: if one.hotspot { "hotspot" } else { "pppoe" },
            bytes_in: one.bytes_up,
            bytes_out: one.bytes_down,
            outside,
        }
    }
}

/// Somebody at the hotspot, in RouterOS's own words.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HotspotUser {
    name: String,
    address: Option<String>,
    uptime: String,
    mac_address: Option<String>,
    bytes_in: u64,
    bytes_out: u64,
}

/// `GET /api/mikrotik/{router}/hotspot-users`: who is online at the hotspot; a bare list, empty when the
/// router cannot be reached.
#[utoipa::path(get, path = "/api/mikrotik/{router}/hotspot-users", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Vec<HotspotUser>),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn hotspot_users(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Vec<HotspotUser>>, ApiError> {
    let now = clock.now();
    let site = site_of(&db, &operator, router).await?;
    let online = online(&live, &operator, (site, router), Some(true), now).await;
    let online = online.unwrap_or_default().into_iter();
    let users = online.map(|one| HotspotUser {
        name: text_of(&one.username),
        address: one.framed_ip.map(|address| address.to_string()),
        uptime: uptime(now.since(one.started).as_secs()),
        mac_address: one.mac.map(|mac| mac.to_string()),
        bytes_in: one.bytes_up,
        bytes_out: one.bytes_down,
    });
    Ok(Json(users.collect()))
}

/// Whom to disconnect.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisconnectRequest {
    #[serde(default, deserialize_with = "blank::option")]
    username: Option<String>,
    /// Acct-Session-Id.
    #[serde(default, deserialize_with = "blank::option")]
    session_id: Option<String>,
}

/// `POST /api/mikrotik/{router}/disconnect`: ends a session of this router, or all of this router under a name: also who
/// is online there and is no session of ours (`outside:…` of its list), taken off the router's own list.
///
/// 200 either way; `success` is whether anybody's session ended, and `message` says whose. Errors: 400 when neither is
/// named; 503 when the site is away: then it is done once it is back, but for who is no session of ours.
#[utoipa::path(post, path = "/api/mikrotik/{router}/disconnect", tag = "Routers",
    params(("router" = RouterId, Path)), request_body = DisconnectRequest,
    responses((status = 200, body = Said),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn disconnect(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Json(request): Json<DisconnectRequest>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let site = site_of(&db, &operator, router).await?;
    let (named, name) = match (request.session_id, request.username) {
        (Some(session), _) => match session.strip_prefix(OUTSIDE) {
            Some(name) => (Named::Outside, name.to_owned()),
            None => (Named::Session, session),
        },
        (None, Some(username)) => (Named::User, username),
        (None, None) => return Err(ApiError::field("username", "is required, or sessionId")),
    };
    let mut tx = db.begin(operator.tenant).await?;
    let audit = Audit::new(Action::CustomerDisconnect, "router", router, &name);
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    let mut ours: Vec<String> = match named {
        Named::Session => vec![name.clone()],
        Named::Outside => Vec::new(),
        Named::User => store::open_at(&mut tx, router, &name).await?,
    };
    tx.commit().await?;
    if let Named::User = named
        && let Ok(told) = online(&live, &operator, (site, router), None, now).await
    {
        // Whoever came a moment ago is known there alone.
        let his = |one: &&LiveSessionV1| {
            !one.session.is_empty() && text_of(&one.username).eq_ignore_ascii_case(&name)
        };
        ours.extend(told.iter().filter(his).map(|one| text_of(&one.session)));
        ours.sort_unstable();
        ours.dedup();
    }
    let outside = match named {
        Named::Session => Ok(0),
        Named::User | Named::Outside => {
            end_outside(&live, &operator, (site, router), &name, now).await
        }
    };
    let end = |session: String| End {
        tenant: operator.tenant,
        site,
        whom: Whom::Session {
            router,
            session: session.into_bytes(),
        },
        customer: None,
    };
    let ends: Vec<End> = ours.into_iter().map(end).collect();
    let is_ours = !ends.is_empty();
    let ended = match is_ours {
        true => commands::end_now(&db, &live, &ends, now).await?,
        false => Ended::default(),
    };
    let outside = match (named, outside) {
        (_, Ok(outside)) => outside,
        // Of ours it is known what came of it; nothing was found out of others.
        (Named::User, Err(_)) if is_ours => 0,
        (_, Err(why)) => return Err(why.into()),
    };
    Ok(Json(said_of(ended, outside, &name)))
}

/// Ends who is online at a router under a name and is no session of ours; how many those were.
async fn end_outside(
    live: &Live,
    operator: &Operator,
    (site, router): (SiteId, RouterId),
    name: &str,
    now: Timestamp,
) -> Result<u32, Silence> {
    let ask = RouterAsk::EndOutside {
        username: name.as_bytes().to_vec(),
    };
    let question = Question::Router { router, ask };
    let told = live.ask(operator.tenant, site, &question, PATIENCE, now);
    match told.await {
        Ok(Reply::Router(RouterTold::Ended { ended })) => Ok(ended),
        Ok(_) => Ok(0), // an answer to something else
        // Without an API there is no list of its own.
        Err(Silence::Failed {
            failure: AskFailure::Refused(_),
            ..
        }) => Ok(0),
        Err(why) => Err(why),
    }
}

fn said_of(ended: Ended, outside: u32, name: &str) -> Said {
    let beside = match outside {
        0 => None,
        1 => Some(format!(
            "{name} was taken off the router's own list: no session of ours"
        )),
        many => Some(format!(
            "{many} of {name} were taken off the router's own list: no sessions of ours"
        )),
    };
    let message = match (ended.ended + ended.unconfirmed, beside) {
        (0, Some(beside)) => format!("{beside}."),
        (_, Some(beside)) => format!("{} {beside}.", ended.sentence()),
        (_, None) => ended.sentence(),
    };
    match ended.ended + outside > 0 {
        true => Said::done(message),
        false => Said::failed(message),
    }
}

/// Who is meant.
#[derive(Clone, Copy)]
enum Named {
    /// One session of ours.
    Session,
    /// Who is no session of ours.
    Outside,
    /// Everybody under a name.
    User,
}

/// Before the name of who is no session of ours, in place of a session's id.
const OUTSIDE: &str = "outside:";

/// Whether a router answers.
#[derive(Serialize, ToSchema)]
pub struct Tested {
    success: bool,
    message: String,
    /// Milliseconds until it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<u32>,
}

/// `POST /api/nas/{router}/test`: tries the router's CoA port and its API from the site. 200 either way.
#[utoipa::path(post, path = "/api/nas/{router}/test", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Tested),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn test(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Tested>, ApiError> {
    let site = site_of(&db, &operator, router).await?;
    let question = Question::TestConnection { router };
    let told = live
        .ask(operator.tenant, site, &question, PATIENCE, clock.now())
        .await;
    Ok(Json(match told {
        Ok(Reply::Connection(told)) => Tested {
            success: told.millis.is_some(),
            message: told.detail,
            latency: told.millis,
        },
        Ok(_) => Tested {
            success: false,
            message: "The site answered something else".to_owned(),
            latency: None,
        },
        Err(why) => Tested {
            success: false,
            message: why.to_string(),
            latency: None,
        },
    }))
}

/// Everybody online at a router, the latest first, page by page.
async fn online(
    live: &Live,
    operator: &Operator,
    (site, router): (SiteId, RouterId),
    hotspot: Option<bool>,
    now: Timestamp,
) -> Result<Vec<LiveSessionV1>, ApiError> {
    let began = Instant::now();
    let put = async |question: &Question| {
        let rest = PATIENCE.saturating_sub(began.elapsed());
        live.ask(operator.tenant, site, question, rest, now).await
    };
    let other = || ApiError::BadGateway {
        // A reply of another question.
        message: "The site answered something else".to_owned(),
    };
    let mut all: Vec<LiveSessionV1> = Vec::new();
    let mut after: Option<OnlinePlaceV1> = None;
    loop {
        let ask = OnlineAskV1 {
            router,
            hotspot,
            after: after.take(),
        };
        match put(&Question::OnlinePage(ask)).await {
            Ok(Reply::OnlinePage(page)) => {
                all.extend(page.sessions);
                after = page.next;
            }
            // An older agent tells all at once, as far as an answer holds them.
            Err(Silence::Failed {
                failure: AskFailure::NotUnderstood,
                ..
            }) if all.is_empty() => {
                let router = Some(router);
                let Reply::LiveSessions(told) = put(&Question::LiveSessions { router }).await?
                else {
                    return Err(other());
                };
                all = told;
                all.retain(|one| hotspot.is_none_or(|hotspot| hotspot == one.hotspot));
            }
            Err(silence) => return Err(silence.into()),
            Ok(_) => return Err(other()),
        }
        if after.is_none() {
            break;
        }
    }
    all.sort_by_key(|one| std::cmp::Reverse(one.started));
    Ok(all)
}

async fn site_of(db: &Database, operator: &Operator, router: RouterId) -> Result<SiteId, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let site = routers::site_of(&mut tx, router).await?;
    site.ok_or(ApiError::NotFound("router"))
}

const PATIENCE: Duration = Duration::from_secs(10);
