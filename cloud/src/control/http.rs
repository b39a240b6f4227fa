//! `/api/mikrotik/{router}/…`: how a router is, now.

use std::net::IpAddr;

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::router::{RouterAsk, RouterTold, RowsOf};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shown::{Interface, Lease, LogLine, Neighbour, Pinged, SystemStats, Watch};
use super::{Extent, RowsQuery, ask, other_answer, rows};
use crate::api::{Json, Path, Query, Said};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers;
use crate::sites::Live;

/// `GET /api/mikrotik/{router}/system-stats`: how the router is, asked of it now: by its API, or over SNMP
/// where it has none and is watched.
///
/// Errors: 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/mikrotik/{router}/system-stats", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = SystemStats),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn system_stats(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<SystemStats>, ApiError> {
    match ask(
        &db,
        &live,
        &operator,
        router,
        RouterAsk::System,
        clock.now(),
    )
    .await?
    {
        RouterTold::System(told) => {
            routers::note_board(&db, operator.tenant, router, &told).await?;
            Ok(Json(SystemStats::from(*told)))
        }
        _ => Err(other_answer()), // an answer to something else
    }
}

/// The interfaces of a router.
#[derive(Serialize, ToSchema)]
pub struct Interfaces {
    /// Those that last before those of sessions, at most 1000.
    interfaces: Vec<Interface>,
    #[serde(flatten)]
    extent: Extent,
}

/// `GET /api/mikrotik/{router}/interfaces`: its interfaces and what goes through them, asked of it now: by its
/// API, or over SNMP where it has none and is watched.
///
/// Errors: 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/mikrotik/{router}/interfaces", tag = "Routers",
    params(("router" = RouterId, Path), RowsQuery), responses((status = 200, body = Interfaces),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn interfaces(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Query(query): Query<RowsQuery>,
) -> Result<Json<Interfaces>, ApiError> {
    let of = (RowsOf::Interfaces, &query);
    match rows(&db, &live, &operator, router, of, clock.now()).await? {
        (RouterTold::Interfaces(told), extent) => Ok(Json(Interfaces {
            interfaces: told.into_iter().map(Interface::from).collect(),
            extent,
        })),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// How much of the log.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct LogQuery {
    /// How many lines, 1 to 500; 100 when it is not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u16>,
}

/// The end of a router's log.
#[derive(Serialize, ToSchema)]
pub struct Log {
    /// The newest last.
    logs: Vec<LogLine>,
}

/// `GET /api/mikrotik/{router}/logs`: the last lines of its log.
///
/// Errors: 400 for a limit outside 1 to 500, 422 without an API user, 503 when the site is away, 502 or 504
/// when the router is.
#[utoipa::path(get, path = "/api/mikrotik/{router}/logs", tag = "Routers",
    params(("router" = RouterId, Path), LogQuery), responses((status = 200, body = Log),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn log(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Query(query): Query<LogQuery>,
) -> Result<Json<Log>, ApiError> {
    let most = query.limit.unwrap_or(100);
    if !(1..=500).contains(&most) {
        return Err(ApiError::field("limit", "must be 1 to 500"));
    }
    match ask(
        &db,
        &live,
        &operator,
        router,
        RouterAsk::Log { most },
        clock.now(),
    )
    .await?
    {
        RouterTold::Log(told) => Ok(Json(Log {
            logs: told.into_iter().map(LogLine::from).collect(),
        })),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// The DHCP leases of a router.
#[derive(Serialize, ToSchema)]
pub struct Leases {
    /// At most 1000.
    leases: Vec<Lease>,
    #[serde(flatten)]
    extent: Extent,
}

/// `GET /api/mikrotik/{router}/dhcp-leases`: who has an address of its DHCP servers.
///
/// Errors: 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/mikrotik/{router}/dhcp-leases", tag = "Routers",
    params(("router" = RouterId, Path), RowsQuery), responses((status = 200, body = Leases),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn leases(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Query(query): Query<RowsQuery>,
) -> Result<Json<Leases>, ApiError> {
    let of = (RowsOf::Leases, &query);
    match rows(&db, &live, &operator, router, of, clock.now()).await? {
        (RouterTold::Leases(told), extent) => Ok(Json(Leases {
            leases: told.into_iter().map(Lease::from).collect(),
            extent,
        })),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// The devices around a router.
#[derive(Serialize, ToSchema)]
pub struct Neighbours {
    /// At most 1000.
    neighbours: Vec<Neighbour>,
    #[serde(flatten)]
    extent: Extent,
}

/// `GET /api/mikrotik/{router}/neighbours`: the devices it sees around it.
///
/// Errors: 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/mikrotik/{router}/neighbours", tag = "Routers",
    params(("router" = RouterId, Path), RowsQuery), responses((status = 200, body = Neighbours),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn neighbours(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Query(query): Query<RowsQuery>,
) -> Result<Json<Neighbours>, ApiError> {
    let of = (RowsOf::Neighbours, &query);
    match rows(&db, &live, &operator, router, of, clock.now()).await? {
        (RouterTold::Neighbours(told), extent) => Ok(Json(Neighbours {
            neighbours: told.into_iter().map(Neighbour::from).collect(),
            extent,
        })),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// What a router watches itself.
#[derive(Serialize, ToSchema)]
pub struct Netwatch {
    /// At most 1000.
    watches: Vec<Watch>,
    #[serde(flatten)]
    extent: Extent,
}

/// `GET /api/mikrotik/{router}/netwatch`: what it watches itself, and how that is.
///
/// Errors: 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/mikrotik/{router}/netwatch", tag = "Routers",
    params(("router" = RouterId, Path), RowsQuery), responses((status = 200, body = Netwatch),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn netwatch(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Query(query): Query<RowsQuery>,
) -> Result<Json<Netwatch>, ApiError> {
    let of = (RowsOf::Netwatch, &query);
    match rows(&db, &live, &operator, router, of, clock.now()).await? {
        (RouterTold::Netwatch(told), extent) => Ok(Json(Netwatch {
            watches: told.into_iter().map(Watch::from).collect(),
            extent,
        })),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// Whom to ping.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct PingQuery {
    /// An address; 8.8.8.8 when it is not said.
    address: Option<String>,
    /// How often, 1 to 20; 4 when it is not said.
    #[param(minimum = 1, maximum = 20)]
    count: Option<u8>,
}

/// `GET /api/mikrotik/{router}/ping`: pings an address from the router: does its uplink work?
///
/// The router waits 200 ms between two of them, so that four, which is usual, take 0.6 s and the last one's round trip;
/// twenty take 4 s. With `count=1` it is as quick as every other question.
///
/// 200 also when nothing came back. Errors: 400 naming the field, 422 without an API user, 503 when the site
/// is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/mikrotik/{router}/ping", tag = "Routers",
    params(("router" = RouterId, Path), PingQuery), responses((status = 200, body = Pinged),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn ping(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Query(query): Query<PingQuery>,
) -> Result<Json<Pinged>, ApiError> {
    let address = query.address.as_deref().unwrap_or("8.8.8.8").trim();
    let address: IpAddr = address
        .parse()
        .map_err(|_| ApiError::field("address", "must be an address such as 8.8.8.8"))?;
    let count = query.count.unwrap_or(4);
    if !(1..=20).contains(&count) {
        return Err(ApiError::field("count", "must be 1 to 20"));
    }
    let wish = RouterAsk::Ping { address, count };
    match ask(&db, &live, &operator, router, wish, clock.now()).await? {
        RouterTold::Pinged(told) => Ok(Json(Pinged::new(told, address.to_string()))),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// `POST /api/mikrotik/{router}/reboot`: starts the router anew. Everybody behind it is offline meanwhile.
///
/// Not repeated when the router does not answer: then nobody knows whether it does. Errors: 422 without an
/// API user or when it refuses, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(post, path = "/api/mikrotik/{router}/reboot", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Said),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn reboot(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::lock_named(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    let audit = Audit::new(Action::RouterReboot, "router", router, &name);
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    tx.commit().await?;
    match ask(&db, &live, &operator, router, RouterAsk::Reboot, now).await? {
        RouterTold::Done => Ok(Json(Said::done(format!("{name} starts anew.")))),
        _ => Err(other_answer()), // an answer to something else
    }
}
