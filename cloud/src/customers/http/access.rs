//! May he be online now, and on what terms? The function that the agents ask, asked by the cloud.

use axum::extract::State;
use easyisp_shared::entitlement::Answer;
use easyisp_shared::id::CustomerId;
use easyisp_shared::time::{Clock, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::networks::Networks;
use super::super::rules::Deed;
use super::super::{Asks, forecast, store};
use super::{find, locked, note};
use crate::api::{Json, Path, Said};
use crate::audit::Action;
use crate::auth::Operator;
use crate::db::{Database, Kind};
use crate::error::ApiError;

/// What a customer's site decides at the moment, as far as the cloud knows.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// `ACCEPT`, `WALLED_GARDEN` or `REJECT`.
    answer: &'static str,
    /// `ENTITLED`, `EXPIRED`, `QUOTA`, `TIME`, `SUSPENDED` …
    reason: &'static str,
    /// The reason in a sentence.
    message: &'static str,
    /// Mikrotik-Rate-Limit, upload first; null when refused.
    rate_limit: Option<String>,
    /// Bytes left in the period; null = unlimited, or refused.
    bytes_left: Option<u64>,
    /// Seconds online left in the period; null = unlimited, or refused.
    seconds_left: Option<u64>,
    /// When the answer or the speed may change without anybody's doing.
    next_change: Option<Timestamp>,
    /// When service ends if nothing is paid.
    ends_at: Option<Timestamp>,
}

/// `GET /api/customers/{customer}/access`: whether he may be online now, why, how fast and until when.
///
/// The same function as at his site, with the usage that the cloud knows; device and router are not asked.
#[utoipa::path(get, path = "/api/customers/{customer}/access", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Access)))]
pub async fn access(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Access>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, customer, now).await?;
    operator.require_any(Deed::View.permissions(row.row.connection_type))?;
    let forecast = forecast(&mut tx, customer, Asks::default(), now).await?;
    let verdict = forecast.ok_or(ApiError::NotFound("customer"))?.verdict;
    Ok(Json(Access {
        answer: match verdict.answer {
            Answer::Accept => "ACCEPT",
            Answer::WalledGarden => "WALLED_GARDEN",
            Answer::Reject => "REJECT",
        },
        reason: verdict.reason.code(),
        message: verdict.reason.sentence(),
        rate_limit: verdict.rate.map(|rate| rate.to_mikrotik()),
        bytes_left: verdict.bytes_left,
        seconds_left: verdict.secs_left,
        next_change: verdict.next_change,
        ends_at: verdict.end,
    }))
}

/// `PUT /api/customers/{customer}/networks`: routes behind his line and IPv6 prefixes, from the next login
/// on. The object is replaced as a whole; `{}` takes everything away.
#[utoipa::path(put, path = "/api/customers/{customer}/networks", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = Networks,
    responses((status = 200, body = Said)))]
pub async fn networks(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<Networks>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let networks = request.checked().map_err(ApiError::fields)?;
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::StaticIp, now).await?;
    store::set_networks(&mut tx, customer, &networks, now).await?;
    tx.changed(Kind::Subscriber, customer);
    let details = format!("{} routes", networks.routes.len());
    note(
        &mut tx,
        &operator,
        Action::AssignStaticIp,
        &row,
        details,
        now,
    )
    .await?;
    tx.commit().await?;
    let name = &row.row.name;
    Ok(Json(Said::done(format!(
        "{name} gets his networks with the next login"
    ))))
}
