//! `/api/sessions/search`: who had this address then?

use axum::extract::State;
use easyisp_shared::net::Mac;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Session;
use crate::api::{Json, Page, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::{ApiError, FieldError, Wrong};
use crate::sessions::search::{Asked, Moment, Searched};
use crate::sessions::store;

/// What is searched for, when, and why.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct SearchQuery {
    /// An address that a session had, of IPv4 or IPv6, or an IPv6 prefix (`2001:db8:1:100::/56`, 48 to 128 bits): then
    /// every session with a prefix or address in it, or around it. This or `mac` is required; with both, both must fit.
    #[param(value_type = Option<String>)]
    ip: Option<Asked>,
    /// A device's hardware address.
    #[param(value_type = Option<String>)]
    mac: Option<Mac>,
    /// A moment: sessions that were open then.
    #[param(value_type = Option<String>)]
    at: Option<Timestamp>,
    /// In place of `at`, the beginning of a window: sessions that were open at any moment of it.
    #[param(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// The end of the window, itself included.
    #[param(value_type = Option<String>)]
    to: Option<Timestamp>,
    /// Why it is searched, 5 to 500 characters: the number of the request, who made it. Kept in the trail.
    reason: String,
}

/// Who had it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    #[serde(flatten)]
    session: Session,
    /// False where the router had told of the session for the last time before the moment asked for
    /// (`lastSeen`) and never told its end: it may or may not have had the address still. The same where it had told
    /// an IPv6 prefix for the last time by then, or not yet, of a session that had others before or after.
    certain: bool,
}

/// One page of who had it, the latest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holders {
    sessions: Vec<Holder>,
    total: i64,
    page: u32,
    page_size: u32,
    total_pages: i64,
}

/// `GET /api/sessions/search`: whose sessions had an address or a device at a moment, or within a window.
///
/// A session has its address from its start until just before its end, so where it goes from one customer
/// to the next in one second, only the next one has it. Of IPv6 a session has what its router told: prefixes of the line
/// and behind it, with every address in them. What it told first is the session's from its start, for routers tell it
/// with a later record; where it changed, each has its time. It reveals who is behind an address, so it takes
/// `operators:details_view`, the permission that reads the audit trail, and not `dashboard:active_sessions`,
/// which everybody at the counter has. Every search is in the trail with its reason, also one that finds
/// nothing. Sessions are kept for the tenant's `sessionRetentionDays` after their end.
/// Errors: 400 names the field.
#[utoipa::path(get, path = "/api/sessions/search", tag = "Sessions", params(SearchQuery),
    responses((status = 200, body = Holders)))]
pub async fn search(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    page: Page,
    Query(query): Query<SearchQuery>,
) -> Result<Json<Holders>, ApiError> {
    let now = clock.now();
    let (searched, moment) = query.checked().map_err(ApiError::fields)?;
    let mut tx = db.begin(operator.tenant).await?;
    let total = store::count_holders(&mut tx, &searched, moment).await?;
    let rows = store::holders(&mut tx, &searched, moment, page.limit(), page.offset()).await?;
    let line = Audit {
        details: format!(
            "Searched who had {searched} {moment} and found {total}: {}",
            query.reason.trim()
        ),
        after: Some(json!({
            "ip": query.ip, "mac": query.mac, "from": moment.from, "to": moment.to,
            "reason": query.reason.trim(), "found": total, "page": page.number,
        })),
        ..Audit::new(
            Action::SessionSearch,
            "sessions",
            operator.tenant,
            "Sessions",
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    let holder = |found: store::Found| Holder {
        certain: found.certain && moment.is_certain(found.row.started_at, found.row.last_seen_at),
        session: Session::new(found.row, now),
    };
    Ok(Json(Holders {
        sessions: rows.into_iter().map(holder).collect(),
        total,
        page: page.number,
        page_size: page.size,
        total_pages: page.total_pages(total),
    }))
}

impl SearchQuery {
    fn checked(&self) -> Result<(Searched, Moment), Vec<FieldError>> {
        let mut wrong = Wrong::default();
        let searched = match (self.ip, self.mac) {
            (Some(ip), mac) => Some(Searched::Address(ip, mac)),
            (None, Some(mac)) => Some(Searched::Device(mac)),
            (None, None) => {
                wrong.add("ip", "or mac is required");
                None
            }
        };
        let moment = match (self.at, self.from, self.to) {
            (Some(at), None, None) => Some(Moment { from: at, to: at }),
            (None, Some(from), Some(to)) if from <= to => Some(Moment { from, to }),
            (None, Some(_), Some(_)) => {
                wrong.add("to", "must not be before from");
                None
            }
            (Some(_), _, _) => {
                wrong.add("at", "goes without from and to");
                None
            }
            (None, Some(_), None) => {
                wrong.add("to", "is required beside from");
                None
            }
            (None, None, Some(_)) => {
                wrong.add("from", "is required beside to");
                None
            }
            (None, None, None) => {
                wrong.add("at", "is required, or from and to");
                None
            }
        };
        if !(5..=500).contains(&self.reason.trim().chars().count()) {
            wrong.add("reason", "must have 5 to 500 characters");
        }
        let both = searched.zip(moment);
        wrong.none_or(())?;
        Ok(both.expect("what is missing was noted"))
    }
}
