//! Is he online, and if not, why: `/api/customers/{customer}/live-status` and the log of logins.

use axum::extract::State;
use easyisp_shared::id::{CustomerId, RouterId, SessionId};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::SILENCE;
use super::super::store::{self, LogRow, Presence};
use super::super::words::Status;
use crate::api::{Json, Page, Path, Query};
use crate::auth::Operator;
use crate::customers::{Deed, uptime};
use crate::db::{Database, Tx};
use crate::error::ApiError;

/// Whether a customer is online.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveStatus {
    is_online: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac_address: Option<String>,
    /// `2h 3m 4s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    /// `15m ago`.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_ago: Option<String>,
    /// Why this may not be the present truth.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// `GET /api/customers/{customer}/live-status`: whether he is online, as his site last told.
///
/// 200 also when the site is silent; `error` says so.
#[utoipa::path(get, path = "/api/customers/{customer}/live-status", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = LiveStatus)))]
pub async fn live_status(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<LiveStatus>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let live = presence(&mut tx, &operator, customer).await?;
    Ok(Json(LiveStatus::new(live, clock.now())))
}

impl LiveStatus {
    fn new(live: Presence, now: Timestamp) -> LiveStatus {
        let is_online = live.status == Some(Status::Active);
        let silent = live
            .agent_seen_at
            .is_none_or(|seen| seen < now.minus(SILENCE));
        LiveStatus {
            is_online,
            ip_address: live.framed_ip,
            mac_address: live.mac,
            uptime: live
                .started_at
                .filter(|_| is_online)
                .map(|since| uptime(now.since(since).as_secs())),
            session_id: live.session_id,
            last_seen_ago: live.last_seen_at.map(|seen| ago(now.since(seen).as_secs())),
            error: match (live.agent_seen_at, silent) {
                (None, _) => Some("No agent serves this customer's site yet."),
                (Some(_), true) => Some("The site's agent is silent; this is what it last told."),
                (Some(_), false) => None,
            },
        }
    }
}

/// `15m ago`: the largest unit that is not zero.
fn ago(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs}s ago"),
        60..3600 => format!("{}m ago", secs / 60),
        3600..86_400 => format!("{}h ago", secs / 3600),
        _ => format!("{}d ago", secs / 86_400),
    }
}

/// An attempt to log in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    id: Uuid,
    at: Timestamp,
    username: String,
    customer_id: Option<CustomerId>,
    mac_address: Option<String>,
    nas_id: Option<RouterId>,
    nas_name: Option<String>,
    accepted: bool,
    /// A sentence for the operator; the subscriber may have been told less.
    reason: String,
}

impl From<LogRow> for Login {
    fn from(row: LogRow) -> Login {
        Login {
            id: row.id,
            at: row.at,
            username: row.username,
            customer_id: row.customer_id,
            mac_address: row.mac,
            nas_id: row.router_id,
            nas_name: row.router_name,
            accepted: row.accepted,
            reason: row.reason,
        }
    }
}

/// Attempts to log in, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logins {
    logins: Vec<Login>,
    page: u32,
    page_size: u32,
}

/// `GET /api/customers/{customer}/auth-log`: why he is offline: his attempts to log in, newest first,
/// each with its reason. Without `page` the newest 1,000.
#[utoipa::path(get, path = "/api/customers/{customer}/auth-log", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Logins)))]
pub async fn auth_log(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Logins>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let live = presence(&mut tx, &operator, customer).await?;
    let rows = store::logins_of(
        &mut tx,
        customer,
        &live.username,
        page.limit(),
        page.offset(),
    )
    .await?;
    Ok(Json(Logins::new(rows, page)))
}

/// Which attempts.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct LoginsQuery {
    /// Exactly this name, also one that nobody has.
    username: Option<String>,
    /// Only those let in, or only those refused.
    accepted: Option<bool>,
}

/// `GET /api/radius/auth-log`: attempts to log in, newest first, also those of names that nobody has.
#[utoipa::path(get, path = "/api/radius/auth-log", tag = "Sessions", params(LoginsQuery),
    responses((status = 200, body = Logins)))]
pub async fn logins(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    Query(query): Query<LoginsQuery>,
) -> Result<Json<Logins>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let rows = store::logins(
        &mut tx,
        query.username.as_deref(),
        query.accepted,
        page.limit(),
        page.offset(),
    )
    .await?;
    Ok(Json(Logins::new(rows, page)))
}

impl Logins {
    fn new(rows: Vec<LogRow>, page: Page) -> Logins {
        Logins {
            logins: rows.into_iter().map(Login::from).collect(),
            page: page.number,
            page_size: page.size,
        }
    }
}

async fn presence(
    tx: &mut Tx,
    operator: &Operator,
    customer: CustomerId,
) -> Result<Presence, ApiError> {
    let live = store::live(tx, customer).await?;
    let live = live.ok_or(ApiError::NotFound("customer"))?;
    let list = Deed::List.permissions(live.connection_type);
    let view = Deed::View.permissions(live.connection_type);
    if !operator.permissions.has_any(list) {
        operator.require_any(view)?;
    }
    Ok(live)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_ago_is_said_in_the_largest_unit() {
        assert_eq!(ago(5), "5s ago");
        assert_eq!(ago(900), "15m ago");
        assert_eq!(ago(7_200), "2h ago");
        assert_eq!(ago(200_000), "2d ago");
    }
}
