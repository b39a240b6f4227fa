//! `/api/radius`: the same sessions in RADIUS terms.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::{RouterId, SessionId};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::store::{self, Filter, Row};
use super::{Begun, ByNas, Customer, Nas, by_nas, find, note_end};
use crate::api::{Json, Page, Query, Sort, blank};
use crate::auth::Operator;
use crate::commands;
use crate::customers::ConnectionType;
use crate::db::Database;
use crate::error::ApiError;
use crate::sites::Live;

/// An open session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RadiusSession {
    id: SessionId,
    username: String,
    nas_id: RouterId,
    nas_ip_address: Option<String>,
    framed_ip_address: Option<String>,
    calling_station_id: Option<String>,
    session_id: String,
    start_time: Timestamp,
    connection_type: Option<ConnectionType>,
}

impl From<Row> for RadiusSession {
    fn from(row: Row) -> RadiusSession {
        RadiusSession {
            id: row.id,
            username: row.username,
            nas_id: row.router_id,
            nas_ip_address: row.router_address,
            framed_ip_address: row.framed_ip,
            calling_station_id: row.mac,
            session_id: row.acct_session_id,
            start_time: row.started_at,
            connection_type: row.connection_type,
        }
    }
}

/// One page of open sessions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RadiusSessions {
    sessions: Vec<RadiusSession>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// `GET /api/radius/sessions`: open sessions that are heard of, as many as `activeSessions` says; a bare list of the newest 1,000, or with `page` an
/// envelope.
#[utoipa::path(get, path = "/api/radius/sessions", tag = "Sessions",
    responses((status = 200, body = RadiusSessions)))]
pub async fn sessions(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
) -> Result<Response, ApiError> {
    let filter = Filter {
        open: Some(true),
        confirmed: true,
        ..Filter::default()
    };
    let mut tx = db.begin(operator.tenant).await?;
    let rows = store::list(
        &mut tx,
        &filter,
        Sort::default(),
        page.limit(),
        page.offset(),
    )
    .await?;
    let sessions: Vec<RadiusSession> = rows.into_iter().map(RadiusSession::from).collect();
    if !page.asked {
        return Ok(Json(sessions).into_response());
    }
    Ok(Json(RadiusSessions {
        sessions,
        total: store::sums(&mut tx, &filter).await?.n,
        page: page.number,
        page_size: page.size,
    })
    .into_response())
}

/// How RADIUS is served.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RadiusStatus {
    /// `running` while at least one site's agent is heard; `offline` when none is.
    status: &'static str,
    version: &'static str,
    /// How long ago the first of the present agents joined, in seconds; null without agents.
    uptime: Option<u64>,
    active_sessions: i64,
    stats: StatusStats,
    ports: Ports,
}

/// Sessions begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusStats {
    today: i64,
    this_month: i64,
}

/// Where agents listen.
#[derive(Serialize, ToSchema)]
pub struct Ports {
    auth: u16,
    acct: u16,
}

/// `GET /api/radius/status`: whether sites' agents are heard. RADIUS itself is answered beside the
/// routers.
#[utoipa::path(get, path = "/api/radius/status", tag = "Sessions",
    responses((status = 200, body = RadiusStatus)))]
pub async fn status(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<RadiusStatus>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let live = store::totals(&mut tx, now).await?;
    let (first, heard) = store::agents(&mut tx, now.minus(super::SILENCE)).await?;
    Ok(Json(RadiusStatus {
        status: if heard > 0 { "running" } else { "offline" },
        version: env!("CARGO_PKG_VERSION"),
        uptime: first.map(|first| now.since(first).as_secs()),
        active_sessions: live.open,
        stats: StatusStats {
            today: live.today,
            this_month: live.this_month,
        },
        ports: Ports {
            auth: 1812,
            acct: 1813,
        },
    }))
}

/// Open sessions in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RadiusStats {
    active_sessions: i64,
    sessions: Begun,
    by_nas: Vec<ByNas>,
}

/// `GET /api/radius/stats`.
#[utoipa::path(get, path = "/api/radius/stats", tag = "Sessions",
    responses((status = 200, body = RadiusStats)))]
pub async fn stats(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<RadiusStats>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let live = store::totals(&mut tx, clock.now()).await?;
    let by_nas = by_nas(&mut tx).await?;
    Ok(Json(RadiusStats {
        active_sessions: live.open,
        sessions: Begun::new(&live),
        by_nas,
    }))
}

/// An accounting record: a session from its beginning to its end.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    id: SessionId,
    session_id: String,
    username: String,
    customer: Option<Customer>,
    nas: Nas,
    start_time: Timestamp,
    stop_time: Option<Timestamp>,
    /// Seconds.
    session_time: i64,
    bytes_in: i64,
    bytes_out: i64,
    terminate_cause: Option<String>,
}

/// One page of accounting records.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Records {
    records: Vec<Record>,
    summary: Summary,
    total: i64,
    page: u32,
    page_size: u32,
}

/// What all records of the range add up to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    total_bytes_in: i64,
    total_bytes_out: i64,
    total_records: i64,
}

/// Which records.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct RecordsQuery {
    /// Begun then or later.
    #[param(value_type = Option<String>)]
    start_date: Option<Timestamp>,
    /// Begun before.
    #[param(value_type = Option<String>)]
    end_date: Option<Timestamp>,
}

/// `GET /api/radius/accounting`: sessions by when they began, and what they add up to.
#[utoipa::path(get, path = "/api/radius/accounting", tag = "Sessions", params(RecordsQuery),
    responses((status = 200, body = Records)))]
pub async fn accounting(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    Query(query): Query<RecordsQuery>,
) -> Result<Json<Records>, ApiError> {
    let filter = Filter {
        from: query.start_date,
        to: query.end_date,
        ..Filter::default()
    };
    let mut tx = db.begin(operator.tenant).await?;
    let rows = store::list(
        &mut tx,
        &filter,
        Sort::default(),
        page.limit(),
        page.offset(),
    )
    .await?;
    let sums = store::sums(&mut tx, &filter).await?;
    Ok(Json(Records {
        records: rows.into_iter().map(Record::from).collect(),
        summary: Summary {
            total_bytes_in: sums.bytes_in,
            total_bytes_out: sums.bytes_out,
            total_records: sums.n,
        },
        total: sums.n,
        page: page.number,
        page_size: page.size,
    }))
}

impl From<Row> for Record {
    fn from(row: Row) -> Record {
        Record {
            id: row.id,
            session_id: row.acct_session_id,
            username: row.username,
            customer: match (row.customer_id, row.customer_name) {
                (Some(id), Some(name)) => Some(Customer { id, name }),
                (None, _) | (_, None) => None,
            },
            nas: Nas {
                id: row.router_id,
                name: row.router_name,
            },
            start_time: row.started_at,
            stop_time: row.stopped_at,
            session_time: row.session_secs,
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
            terminate_cause: row.terminate_cause,
        }
    }
}

/// Whose session is to end.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisconnectRequest {
    /// The session's id or its Acct-Session-Id.
    #[serde(default, deserialize_with = "blank::option")]
    session_id: Option<String>,
    /// All sessions under this name.
    #[serde(default, deserialize_with = "blank::option")]
    username: Option<String>,
}

/// What was asked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disconnected {
    success: bool,
    message: String,
    session_id: String,
}

/// `POST /api/radius/disconnect`: ends a session, or all under a name, and says what the routers made of it.
///
/// Errors: 400 when neither is named, 404 when nothing of the kind is open; 503 when the site is away: then
/// it is done as soon as the site can.
#[utoipa::path(post, path = "/api/radius/disconnect", tag = "Sessions",
    request_body = DisconnectRequest, responses((status = 200, body = Disconnected),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn disconnect(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Json(request): Json<DisconnectRequest>,
) -> Result<Json<Disconnected>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let id = request
        .session_id
        .as_deref()
        .and_then(|id| id.parse::<SessionId>().ok());
    let open = match (id, &request.session_id, &request.username) {
        (Some(id), _, _) => vec![find(&mut tx, id).await?],
        (None, Some(session), _) => store::find_open(&mut tx, None, Some(session)).await?,
        (None, None, Some(username)) => store::find_open(&mut tx, Some(username), None).await?,
        (None, None, None) => {
            return Err(ApiError::field("sessionId", "is required, or username"));
        }
    };
    let Some(first) = open.first() else {
        return Err(ApiError::NotFound("open session"));
    };
    let mut ends = Vec::with_capacity(open.len());
    for row in &open {
        ends.push(note_end(&mut tx, &operator, row, now).await?);
    }
    tx.commit().await?;
    let ended = commands::end_now(&db, &live, &ends, now).await?;
    Ok(Json(Disconnected {
        success: true,
        message: ended.sentence(),
        session_id: first.acct_session_id.clone(),
    }))
}
