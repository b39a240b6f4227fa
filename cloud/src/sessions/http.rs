//! `/api/sessions`.

pub mod customer;
pub mod radius;
pub mod router;
pub mod search;
pub mod sync;

use std::time::Duration;

use axum::extract::State;
use easyisp_shared::id::{CustomerId, RouterId, SessionId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::down::Whom;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::store::{self, By, Filter, Row};
use super::words::Status;
use super::{METERED_SILENCE, SILENCE};
use crate::api::{Json, Page, Path, Query, Said, Sort, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::commands::{self, End};
use crate::customers::uptime;
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::sites::Live;

/// A session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    id: SessionId,
    /// The router's name for it (Acct-Session-Id).
    session_id: String,
    username: String,
    customer: Option<Customer>,
    nas: Nas,
    framed_ip: Option<String>,
    /// What it has of IPv6, or had last: prefixes of the line and behind it, and addresses as prefixes of 128 bits.
    ipv6_prefixes: Vec<String>,
    mac_address: Option<String>,
    status: Status,
    start_time: Timestamp,
    stop_time: Option<Timestamp>,
    /// `2h 3m 4s`.
    duration: String,
    duration_seconds: i64,
    /// From the subscriber, bytes.
    bytes_in: i64,
    /// To the subscriber, bytes.
    bytes_out: i64,
    last_seen: Timestamp,
    terminate_cause: Option<String>,
}

/// Whose session.
#[derive(Serialize, ToSchema)]
pub struct Customer {
    id: CustomerId,
    name: String,
}

/// Where.
#[derive(Serialize, ToSchema)]
pub struct Nas {
    id: RouterId,
    /// Null when the router was deleted for good.
    name: Option<String>,
}

impl Session {
    fn new(row: Row, now: Timestamp) -> Session {
        let secs = length(&row, now);
        Session {
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
            framed_ip: row.framed_ip,
            ipv6_prefixes: row.prefixes,
            mac_address: row.mac,
            status: row.status,
            start_time: row.started_at,
            stop_time: row.stopped_at,
            duration: uptime(secs.unsigned_abs()),
            duration_seconds: secs,
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
            last_seen: row.last_seen_at,
            terminate_cause: row.terminate_cause,
        }
    }
}

/// Seconds online: as the router told it, and for an open session the time since it began.
fn length(row: &Row, now: Timestamp) -> i64 {
    match row.status {
        Status::Active => {
            i64::try_from(now.since(row.started_at).as_secs()).unwrap_or(row.session_secs)
        }
        Status::Unconfirmed | Status::Completed => row.session_secs,
    }
}

/// One page of sessions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sessions {
    sessions: Vec<Session>,
    total: i64,
    page: u32,
    page_size: u32,
    total_pages: i64,
}

/// Which sessions.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// `active` (also the unconfirmed ones) or `completed`.
    status: Option<Status>,
    #[param(value_type = Option<String>)]
    customer_id: Option<CustomerId>,
    #[param(value_type = Option<String>)]
    nas_id: Option<RouterId>,
    /// Part of the user name, or of the address or device of an open session. Whose an address was is
    /// asked for, with a reason, by `GET /api/sessions/search`.
    search: Option<String>,
}

/// `GET /api/sessions`: sessions, newest first or sorted as asked; by anything but `startTime` those that are open
/// (`status=active`), for there is no end of the others.
#[utoipa::path(get, path = "/api/sessions", tag = "Sessions", params(ListQuery, Sort<By>),
    responses((status = 200, body = Sessions)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    page: Page,
    sort: Sort<By>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Sessions>, ApiError> {
    let now = clock.now();
    let filter = Filter {
        open: query.status.map(|status| match status {
            Status::Active | Status::Unconfirmed => true,
            Status::Completed => false,
        }),
        customer: query.customer_id,
        router: query.nas_id,
        search: query.search,
        ..Filter::default()
    };
    if filter.open != Some(true) && sort.by().is_some_and(|by| by != "startTime") {
        let what = "must be startTime, or ask for open sessions alone with status=active";
        return Err(ApiError::field("sortBy", what));
    }
    let mut tx = db.begin(operator.tenant).await?;
    let rows = store::list(&mut tx, &filter, sort, page.limit(), page.offset()).await?;
    let total = store::sums(&mut tx, &filter).await?.n;
    Ok(Json(Sessions {
        sessions: rows.into_iter().map(|row| Session::new(row, now)).collect(),
        total,
        page: page.number,
        page_size: page.size,
        total_pages: page.total_pages(total),
    }))
}

/// `GET /api/sessions/{session}`. 404 when this tenant has no such session.
#[utoipa::path(get, path = "/api/sessions/{session}", tag = "Sessions",
    params(("session" = SessionId, Path)), responses((status = 200, body = Session)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(session): Path<SessionId>,
) -> Result<Json<Session>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, session).await?;
    Ok(Json(Session::new(row, clock.now())))
}

/// Sessions in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Open now.
    total: i64,
    pppoe: i64,
    hotspot: i64,
    sessions: Begun,
    by_nas: Vec<ByNas>,
}

/// Sessions begun, in the tenant's time zone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    today: i64,
    /// From Monday.
    this_week: i64,
    this_month: i64,
}

/// Open sessions of one router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ByNas {
    nas_id: RouterId,
    nas_name: Option<String>,
    count: i64,
}

/// `GET /api/sessions/stats`: how many are online, and where.
#[utoipa::path(get, path = "/api/sessions/stats", tag = "Sessions",
    responses((status = 200, body = Stats)))]
pub async fn stats(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<Stats>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let live = store::totals(&mut tx, clock.now()).await?;
    let by_nas = by_nas(&mut tx).await?;
    Ok(Json(Stats {
        total: live.open,
        pppoe: live.pppoe,
        hotspot: live.hotspot,
        sessions: Begun::new(&live),
        by_nas,
    }))
}

impl Begun {
    fn new(live: &store::Live) -> Begun {
        Begun {
            today: live.today,
            this_week: live.this_week,
            this_month: live.this_month,
        }
    }
}

async fn by_nas(tx: &mut Tx) -> Result<Vec<ByNas>, ApiError> {
    let rows = store::by_router(tx).await?;
    let entry = |(nas_id, nas_name, count)| ByNas {
        nas_id,
        nas_name,
        count,
    };
    Ok(rows.into_iter().map(entry).collect())
}

/// `DELETE /api/sessions/{session}`: ends this session, and says what its router made of it.
///
/// Errors: 409 `SESSION_OVER` when it is over already; 503 when its site is away (named, with since when):
/// then it is done as soon as the site can.
#[utoipa::path(delete, path = "/api/sessions/{session}", tag = "Sessions",
    params(("session" = SessionId, Path)), responses((status = 200, body = Said),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn end(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(session): Path<SessionId>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, session).await?;
    if row.status == Status::Completed {
        return Err(ApiError::conflict(
            "SESSION_OVER",
            "This session is over already",
        ));
    }
    let end = note_end(&mut tx, &operator, &row, now).await?;
    tx.commit().await?;
    let ended = commands::end_now(&db, &live, &[end], now).await?;
    Ok(Json(Said::done(ended.sentence())))
}

/// How long a session may be silent.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanupRequest {
    /// 10 to 10,080; 16.5 minutes (three intervals) when left out.
    #[serde(default, deserialize_with = "blank::option")]
    max_age_minutes: Option<u64>,
}

/// What was cleaned up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    success: bool,
    cleaned_count: u64,
    cutoff_time: Timestamp,
}

/// `POST /api/sessions/cleanup`: marks open sessions unconfirmed that were silent for too long.
///
/// Silence is not an end: nobody is disconnected, the next update of such a session takes it back, and
/// only after a day of silence it counts as over. This runs by itself too.
#[utoipa::path(post, path = "/api/sessions/cleanup", tag = "Sessions", request_body = CleanupRequest,
    responses((status = 200, body = Cleanup)))]
pub async fn cleanup(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Json(request): Json<CleanupRequest>,
) -> Result<Json<Cleanup>, ApiError> {
    let (age, metered) = match request.max_age_minutes {
        None => (SILENCE, METERED_SILENCE),
        Some(minutes @ 10..=10_080) => {
            let asked = Duration::from_secs(minutes * 60);
            (asked, asked)
        }
        Some(_) => return Err(ApiError::field("maxAgeMinutes", "must be 10 to 10080")),
    };
    let cutoff_time = clock.now().minus(age);
    let mut tx = db.begin(operator.tenant).await?;
    let metered = clock.now().minus(metered);
    let cleaned_count = store::doubt(&mut tx, cutoff_time, metered).await?;
    let audit = Audit {
        details: format!("Doubted {cleaned_count} sessions that were silent since {cutoff_time}"),
        ..Audit::new(Action::InfoUpdate, "sessions", operator.tenant, "Sessions")
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, clock.now()).await?;
    tx.commit().await?;
    Ok(Json(Cleanup {
        success: true,
        cleaned_count,
        cutoff_time,
    }))
}

async fn find(tx: &mut Tx, session: SessionId) -> Result<Row, ApiError> {
    let row = store::find(tx, session).await?;
    row.ok_or(ApiError::NotFound("session"))
}

/// Notes who wants a session to end; what has to be ended for it.
async fn note_end(
    tx: &mut Tx,
    operator: &Operator,
    row: &Row,
    now: Timestamp,
) -> Result<End, ApiError> {
    let audit = Audit {
        details: format!("Session {}", row.acct_session_id),
        ..match row.customer_id {
            Some(customer) => Audit::new(
                Action::CustomerDisconnect,
                "customer",
                customer,
                &row.username,
            ),
            None => Audit::new(Action::CustomerDisconnect, "session", row.id, &row.username),
        }
    };
    audit::record(tx, &Actor::from(operator), audit, now).await?;
    Ok(End {
        tenant: operator.tenant,
        site: row.site_id,
        whom: Whom::Session {
            router: row.router_id,
            session: row.acct_session_id.clone().into_bytes(),
        },
        customer: row.customer_id,
    })
}
