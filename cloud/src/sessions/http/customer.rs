//! Is he online, and if not, why: `/api/customers/{customer}/live-status` and the log of logins.

use std::time::Duration;

use axum::extract::State;
use easyisp_shared::diagnosis::UNCONFIRMED_AFTER;
use easyisp_shared::id::{CustomerId, RouterId, SessionId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::down::Whom;
use easyisp_shared::wire::question::{Question, Reply, SessionsV1};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::store::{self, LogRow, Presence};
use super::super::words::Status;
use crate::api::{Json, Page, Path, Query};
use crate::auth::Operator;
use crate::customers::{Deed, uptime};
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::sites::Live;

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
    error: Option<String>,
}

/// `GET /api/customers/{customer}/live-status`: whether he is online now: his site asks his router where
/// it can.
///
/// 200 also when site or router are silent: then it is what the site last told, and `error` says why.
#[utoipa::path(get, path = "/api/customers/{customer}/live-status", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = LiveStatus),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn live_status(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<LiveStatus>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let known = presence(&mut tx, &operator, customer).await?;
    tx.rollback().await?;
    let question = Question::Sessions(Whom::Customer(customer));
    let told = live.ask(operator.tenant, known.site_id, &question, PATIENCE, now);
    Ok(Json(match told.await {
        Ok(Reply::Sessions(told)) => LiveStatus::told(known, told, now),
        Ok(_) => LiveStatus::new(known, None, now),
        Err(why) => LiveStatus::new(known, Some(format!("{why}.")), now),
    }))
}

/// How much goes through a customer's session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    online: bool,
    /// To him, bits a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    download_bps: Option<u64>,
    /// From him, bits a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_bps: Option<u64>,
    /// `1.23`.
    #[serde(skip_serializing_if = "Option::is_none")]
    download_mbps: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_mbps: Option<String>,
}

/// `GET /api/customers/{customer}/bandwidth`: what goes through his session this second, as his router
/// measures it.
///
/// Errors: 503 when his site is away, 502 when his router's API cannot be read, 504 when it is silent.
#[utoipa::path(get, path = "/api/customers/{customer}/bandwidth", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Bandwidth),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn bandwidth(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Bandwidth>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let known = presence(&mut tx, &operator, customer).await?;
    tx.rollback().await?;
    let question = Question::Traffic(Whom::Customer(customer));
    let told = live
        .ask(
            operator.tenant,
            known.site_id,
            &question,
            PATIENCE,
            clock.now(),
        )
        .await?;
    let Reply::Traffic(told) = told else {
        return Err(ApiError::BadGateway {
            message: "The site answered something else".to_owned(),
        });
    };
    let online = told.online;
    Ok(Json(Bandwidth {
        online,
        download_bps: online.then_some(told.down_bps),
        upload_bps: online.then_some(told.up_bps),
        download_mbps: online.then(|| mbps(told.down_bps)),
        upload_mbps: online.then(|| mbps(told.up_bps)),
    }))
}

/// Megabits with two decimals, rounded down.
fn mbps(bps: u64) -> String {
    format!("{}.{:02}", bps / 1_000_000, bps % 1_000_000 / 10_000)
}

impl LiveStatus {
    /// What site and router say now.
    fn told(known: Presence, told: SessionsV1, now: Timestamp) -> LiveStatus {
        let Some(session) = told.sessions.into_iter().next() else {
            return LiveStatus {
                is_online: false,
                ip_address: None,
                mac_address: None,
                uptime: None,
                session_id: None,
                last_seen_ago: known
                    .last_seen_at
                    .map(|seen| ago(now.since(seen).as_secs())),
                error: told.doubt,
            };
        };
        let silent = now.since(session.seen);
        if !session.session.is_empty() && silent >= UNCONFIRMED_AFTER {
            let unheard = "His router has neither spoken of his session for longer than it may, nor said that it ended.";
            return LiveStatus {
                is_online: false,
                ip_address: None,
                mac_address: None,
                uptime: None,
                session_id: None,
                last_seen_ago: Some(ago(silent.as_secs())),
                error: told.doubt.or_else(|| Some(unheard.to_owned())),
            };
        }
        LiveStatus {
            is_online: true,
            ip_address: session.framed_ip.map(|address| address.to_string()),
            mac_address: session.mac.map(|mac| mac.to_string()),
            uptime: Some(uptime(now.since(session.started).as_secs())),
            session_id: known.session_id,
            last_seen_ago: Some(ago(now.since(session.seen).as_secs())),
            error: match (session.session.is_empty(), told.doubt) {
                (true, _) => Some(
                    "He is online at the router, but not through this system: see the sessions \
                     outside the system."
                        .to_owned(),
                ),
                (false, doubt) => doubt,
            },
        }
    }

    /// What the site last told, and why it cannot be asked.
    fn new(live: Presence, why: Option<String>, now: Timestamp) -> LiveStatus {
        let is_online = live.status == Some(Status::Active);
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
            error: why,
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

/// A page waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn megabits_have_two_decimals() {
        assert_eq!(mbps(1_239_999), "1.23");
        assert_eq!(mbps(0), "0.00");
    }

    #[test]
    fn how_long_ago_is_said_in_the_largest_unit() {
        assert_eq!(ago(5), "5s ago");
        assert_eq!(ago(900), "15m ago");
        assert_eq!(ago(7_200), "2h ago");
        assert_eq!(ago(200_000), "2d ago");
    }
}
