//! `/api/outages`: what was away, what was given back, and a present to everybody behind a place.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::{CustomerId, OutageId, RouterId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::REPAY;
use super::store::{self, Extension, Repayment, Row};
use crate::api::{Idempotency, Json, Page, Path, Query, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::due;
use crate::error::{ApiError, Wrong};
use crate::permission::Permission;

/// An outage, or time that was given without one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    id: OutageId,
    /// `AGENT_SILENT` = the whole site, `ROUTER_SILENT`, `UPSTREAM_DOWN` = its box is heard and reaches nobody on the
    /// internet, or `EXTENSION` = given by an operator.
    cause: String,
    site_id: SiteId,
    site_name: String,
    /// Null for a whole site.
    router_id: Option<RouterId>,
    router_name: Option<String>,
    began_at: Timestamp,
    /// Null while it goes on.
    ended_at: Option<Timestamp>,
    /// Hours that an operator gave.
    hours: Option<i64>,
    reason: String,
    /// When everybody behind it had been looked at.
    repaid_at: Option<Timestamp>,
    /// How many got time.
    customers: i32,
}

impl From<Row> for Outage {
    fn from(row: Row) -> Outage {
        Outage {
            id: row.id,
            cause: row.cause,
            site_id: row.site_id,
            site_name: row.site_name,
            router_id: row.router_id,
            router_name: row.router_name,
            began_at: row.began_at,
            ended_at: row.ended_at,
            hours: row.gift_secs.map(|secs| secs / 3600),
            reason: row.reason,
            repaid_at: row.repaid_at,
            customers: row.customers,
        }
    }
}

/// A page of outages.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutagePage {
    outages: Vec<Outage>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// Which outages.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Of this site and its routers.
    site_id: Option<SiteId>,
}

/// `GET /api/outages`: what was away and is, the newest first.
#[utoipa::path(get, path = "/api/outages", tag = "Sites",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), Filter),
    responses((status = 200, body = OutagePage)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    Query(filter): Query<Filter>,
) -> Result<Json<OutagePage>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let (rows, total) = store::page(&mut tx, None, filter.site_id, page).await?;
    Ok(Json(OutagePage {
        outages: rows.into_iter().map(Outage::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// What a customer was given.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    customer_id: CustomerId,
    customer_name: String,
    /// What he lost; null where he lost nothing.
    from: Option<Timestamp>,
    /// The end of that.
    to: Option<Timestamp>,
    /// How much longer he is served. Less than he lost where another outage had given some of it back.
    seconds: i64,
    paid_until_before: Timestamp,
    paid_until: Timestamp,
    at: Timestamp,
}

impl From<Repayment> for Given {
    fn from(row: Repayment) -> Given {
        Given {
            customer_id: row.customer_id,
            customer_name: row.customer_name,
            from: row.from_at,
            to: row.to_at,
            seconds: row.secs,
            paid_until_before: row.until_before,
            paid_until: row.until_after,
            at: row.created_at,
        }
    }
}

/// An outage with a page of those who got time for it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutageShown {
    #[serde(flatten)]
    outage: Outage,
    given: Vec<Given>,
    /// Of `given`; there are `customers` in all.
    page: u32,
    page_size: u32,
}

/// `GET /api/outages/{outage}`: one of them, and who got how much for it. Errors: 404.
#[utoipa::path(get, path = "/api/outages/{outage}", tag = "Sites",
    params(("outage" = OutageId, Path), ("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = OutageShown)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    Path(outage): Path<OutageId>,
    page: Page,
) -> Result<Json<OutageShown>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let first = Page::new(Some(1), Some(1));
    let (rows, _) = store::page(&mut tx, Some(outage), None, first).await?;
    let row = rows
        .into_iter()
        .next()
        .ok_or(ApiError::NotFound("outage"))?;
    let given = store::repayments(&mut tx, outage, page).await?;
    Ok(Json(OutageShown {
        outage: row.into(),
        given: given.into_iter().map(Given::from).collect(),
        page: page.number,
        page_size: page.size,
    }))
}

/// How much time to give, and to whom.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtendRequest {
    /// Everybody whose home is this site; this or `routerId`.
    #[serde(default, deserialize_with = "blank::option")]
    site_id: Option<SiteId>,
    /// Everybody who belongs to this router or, belonging to none, was online there within a day.
    #[serde(default, deserialize_with = "blank::option")]
    router_id: Option<RouterId>,
    /// 1 to 720.
    #[serde(default, deserialize_with = "blank::option")]
    hours: Option<i32>,
    /// Why: at most 200 characters, for the trail.
    #[serde(default, deserialize_with = "blank::option")]
    reason: Option<String>,
    /// Whether they are told by a message; yes unless said otherwise.
    #[serde(default, deserialize_with = "blank::option")]
    tell: Option<bool>,
    /// Only says how many it would be.
    #[serde(default, deserialize_with = "blank::option")]
    dry_run: Option<bool>,
}

/// What becomes of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Extending {
    success: bool,
    message: String,
    /// To be looked at under `/api/outages`; null for a dry run.
    id: Option<OutageId>,
    /// How many are behind it whose paid time is not over.
    customers: i64,
    dry_run: bool,
}

/// `POST /api/outages/extend`: gives everybody behind a site or a router some hours whose paid time is not over. A
/// job gives it, each customer once; they are told unless `tell` is false. With `dryRun` nothing happens. Who may change
/// the end of PPPoE subscribers alone (`pppoe:change_expiry` without `customers:edit`) gives nothing to those at a
/// hotspot.
///
/// Repeating with the same `Idempotency-Key` returns the first answer and gives nothing more. Errors: 400 naming
/// the fields, 404 unknown site or router.
#[utoipa::path(post, path = "/api/outages/extend", tag = "Sites", request_body = ExtendRequest,
    responses((status = 200, body = Extending, description = "What a dry run found"),
              (status = 202, body = Extending, description = "It is under way")))]
pub async fn extend(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    mut idempotency: Idempotency,
    Json(request): Json<ExtendRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut wrong = Wrong::default();
    if request.site_id.is_some() == request.router_id.is_some() {
        wrong.add("siteId", "or routerId is needed, and not both");
    }
    let hours = request.hours.unwrap_or(0);
    if !(1..=720).contains(&hours) {
        wrong.add("hours", "must be 1 to 720");
    }
    let reason = request.reason.unwrap_or_default().trim().to_owned();
    if reason.chars().count() > 200 || reason.contains('\0') {
        wrong.add("reason", "must have at most 200 characters");
    }
    wrong.none_or(()).map_err(ApiError::fields)?;

    let mut tx = db.begin(operator.tenant).await?;
    let dry_run = request.dry_run.unwrap_or(false);
    if !dry_run && let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let place = store::place(&mut tx, request.site_id, request.router_id).await?;
    let thing = if request.router_id.is_some() {
        "router"
    } else {
        "site"
    };
    let (site, name) = place.ok_or(ApiError::NotFound(thing))?;
    let but_hotspot = !operator.may(Permission::CustomersEdit);
    let customers = store::count(&mut tx, site, request.router_id, but_hotspot, now).await?;
    if dry_run {
        let body = Extending {
            success: true,
            message: format!("{customers} customers behind {name} would get {hours} hours"),
            id: None,
            customers,
            dry_run,
        };
        return Ok(Json(body).into_response());
    }
    let extension = Extension {
        id: OutageId::new(now, &tx.entropy()),
        site,
        router: request.router_id,
        longer: Duration::from_secs(3600 * u64::from(hours.unsigned_abs())),
        reason,
        tells: request.tell.unwrap_or(true),
        operator: operator.id,
        but_hotspot,
    };
    store::extend(&mut tx, &extension, now).await?;
    let line = Audit {
        details: format!(
            "{hours} hours to {customers} customers. {}",
            extension.reason
        ),
        ..Audit::new(
            Action::OutageExtend,
            thing,
            request.router_id.map_or(site.0, |id| id.0),
            &name,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    due::at(&mut tx, REPAY, extension.id, now).await?;
    let body = Extending {
        success: true,
        message: format!("{customers} customers behind {name} get {hours} hours"),
        id: Some(extension.id),
        customers,
        dry_run,
    };
    let answer = idempotency
        .finish(&mut tx, StatusCode::ACCEPTED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}
