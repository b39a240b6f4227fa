//! `/api/payments/days`: days of a gateway that were compared with M-Pesa's statement, and are closed once they agree
//! (`closing.rs`).

use axum::extract::State as With;
use easyisp_shared::id::{GatewayId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::closing::{Settled, close, shut_books};
use super::gateways::locked_at_mpesa;
use super::stated::{DifferenceKind, MORE, begin_of, next};
use super::store::days::{self as store, State};
use crate::api::{Json, Page, Query, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{Operator, Role};
use crate::db::Database;
use crate::error::{ApiError, Wrong};
use crate::ledger::{self, Closing};

/// A difference of a day.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DayDifference)]
pub struct ShownDifference {
    /// The receipt; the payment's id where it has none; `balance`; `begin` or `end` of a day that the statement may not
    /// have whole; `more` where it lacks more of our payments than are listed.
    reference: String,
    kind: DifferenceKind,
    /// What the statement says.
    stated: Option<Cents>,
    /// What the books say.
    booked: Option<Cents>,
    /// Why it is in order; null = nobody explained it.
    reason: Option<String>,
    explained_by: Option<OperatorId>,
    explained_at: Option<Timestamp>,
}

/// A day that was compared with a statement.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementDay {
    gateway_id: GatewayId,
    shortcode: String,
    /// The tenant's day, `2026-01-31`.
    day: String,
    state: State,
    /// What came, as the statement says.
    received: Cents,
    /// What came, as the books say.
    booked: Cents,
    /// The balance before the day's first row, where the statement tells.
    opening_balance: Option<Cents>,
    /// The balance after its last row.
    closing_balance: Option<Cents>,
    compared_at: Timestamp,
    compared_by: OperatorId,
    closed_at: Option<Timestamp>,
    closed_by: Option<OperatorId>,
    /// When and why it was opened again last.
    reopened_at: Option<Timestamp>,
    reopened_by: Option<OperatorId>,
    reopen_reason: Option<String>,
    differences: Vec<ShownDifference>,
}

/// Days, the newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementDays {
    days: Vec<StatementDay>,
    total: i64,
    page: u32,
    page_size: u32,
    /// Whether these days have more differences than the 5,000 that are shown: ask for a smaller page.
    more_differences: bool,
}

/// Which days.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct DaysQuery {
    /// Of this gateway alone.
    #[param(value_type = Option<String>)]
    gateway_id: Option<GatewayId>,
}

/// `GET /api/payments/days`: days that were compared with M-Pesa's statement (`POST /api/payments/statement`): open or
/// closed, by whom and when, what came by the statement and by the books, its balances, and what does not agree.
#[utoipa::path(get, path = "/api/payments/days", tag = "Payments",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), DaysQuery),
    responses((status = 200, body = StatementDays)))]
pub async fn list(
    operator: Operator,
    With(db): With<Database>,
    page: Page,
    Query(query): Query<DaysQuery>,
) -> Result<Json<StatementDays>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let bounds = (page.limit(), page.offset());
    let (days, total) = store::list(&mut tx, query.gateway_id, bounds).await?;
    let found = match (days.last(), days.first()) {
        (Some(from), Some(to)) => {
            let span = (from.day.as_str(), to.day.as_str());
            store::differences(&mut tx, span, MOST_SHOWN + 1).await?
        }
        (_, _) => Vec::new(),
    };
    let more_differences = i64::try_from(found.len()).is_ok_and(|count| count > MOST_SHOWN);
    let days = days.into_iter().map(|day| shown(day, &found)).collect();
    Ok(Json(StatementDays {
        days,
        total,
        page: page.number,
        page_size: page.size,
        more_differences,
    }))
}

/// Differences that one page of days shows.
const MOST_SHOWN: i64 = 5_000;

fn shown(day: store::Day, found: &[store::Found]) -> StatementDay {
    let of_day = |one: &&store::Found| one.gateway_id == day.gateway_id && one.day == day.day;
    let differences = found.iter().filter(of_day).map(|one| ShownDifference {
        reference: one.reference.clone(),
        kind: one.kind,
        stated: one.stated,
        booked: one.booked,
        reason: one.reason.clone(),
        explained_by: one.explained_by,
        explained_at: one.explained_at,
    });
    StatementDay {
        differences: differences.collect(),
        gateway_id: day.gateway_id,
        shortcode: day.shortcode,
        day: day.day,
        state: day.state,
        received: day.received,
        booked: day.booked,
        opening_balance: day.opening_balance,
        closing_balance: day.closing_balance,
        compared_at: day.compared_at,
        compared_by: day.compared_by,
        closed_at: day.closed_at,
        closed_by: day.closed_by,
        reopened_at: day.reopened_at,
        reopened_by: day.reopened_by,
        reopen_reason: day.reopen_reason,
    }
}

/// Why a difference is in order.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainRequest {
    /// The gateway of the day.
    #[serde(default, deserialize_with = "blank::option")]
    gateway_id: Option<GatewayId>,
    /// `2026-01-31`.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    day: Option<Date>,
    /// The difference's `reference`.
    #[serde(default, deserialize_with = "blank::option")]
    reference: Option<String>,
    /// At most 500 characters.
    #[serde(default, deserialize_with = "blank::option")]
    reason: Option<String>,
}

/// `POST /api/payments/days/explain`: says why a difference of an open day is in order; with the last one the day is
/// closed. A repeat writes the reason anew.
///
/// Errors: 400 naming the fields, 404 unknown gateway, day or difference, 409 `DAY_CLOSED`, or `COMPARE_AGAIN` for `more`:
/// nobody has seen what that stands for.
#[utoipa::path(post, path = "/api/payments/days/explain", tag = "Payments", request_body = ExplainRequest,
    responses((status = 200, body = Settled)))]
pub async fn explain(
    operator: Operator,
    With(db): With<Database>,
    With(clock): With<Clock>,
    Json(request): Json<ExplainRequest>,
) -> Result<Json<Settled>, ApiError> {
    let mut wrong = Wrong::default();
    let gateway = needed("gatewayId", request.gateway_id, &mut wrong);
    let day = needed("day", request.day, &mut wrong);
    let reference = needed("reference", request.reference, &mut wrong);
    let reason = reason(request.reason, &mut wrong);
    wrong.none_or(()).map_err(ApiError::fields)?;
    let (Some(gateway), Some(day), Some(reference), Some(reason)) =
        (gateway, day, reference, reason)
    else {
        return Err(ApiError::NotFound("day"));
    };
    let mut tx = db.begin(operator.tenant).await?;
    let gateway = locked_at_mpesa(&mut tx, gateway).await?;
    let zone = ledger::zone(&mut tx).await?;
    ledger::wait_for_postings(&mut tx).await?;
    let now = clock.now();
    match store::lock(&mut tx, gateway.id, day).await? {
        None => return Err(ApiError::NotFound("day")),
        Some(State::Closed) => return Err(closed(day)),
        Some(State::Open) => {}
    }
    if reference == MORE {
        return Err(ApiError::conflict(
            "COMPARE_AGAIN",
            "The statement lacks more of our payments than are listed; upload the one that has them",
        ));
    }
    let which = (gateway.id, day);
    if !store::explain(&mut tx, which, &reference, &reason, operator.id, now).await? {
        return Err(ApiError::NotFound("difference"));
    }
    let line = Audit {
        details: format!("{reference} of {day}: {reason}"),
        ..Audit::new(
            Action::PaymentProcess,
            "payment gateway",
            gateway.id,
            &gateway.shortcode,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let state = match store::unexplained(&mut tx, gateway.id, day).await? {
        0 => {
            close(&mut tx, &operator, &gateway, day, now).await?;
            shut_books(&mut tx, &operator, &zone, now).await?;
            State::Closed
        }
        _ => State::Open,
    };
    let waits_for = store::waits_for(&mut tx, gateway.id, day).await?;
    tx.commit().await?;
    Ok(Json(Settled::new(day, state, waits_for)))
}

/// Which day to open again.
#[derive(Deserialize, ToSchema)]
pub struct ReopenRequest {
    /// `2026-01-31`.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    day: Option<Date>,
    /// Why; at most 500 characters.
    #[serde(default, deserialize_with = "blank::option")]
    reason: Option<String>,
}

/// `POST /api/payments/days/reopen`: opens a closed day again, at every gateway, and the books from that day on. Only
/// the account's owner may, and the last day first. The next statement closes it.
///
/// Errors: 400 naming the fields, 403 `OWNER_ONLY`, 404 a day that is not closed, 409 `LATER_DAY_CLOSED`.
#[utoipa::path(post, path = "/api/payments/days/reopen", tag = "Payments", request_body = ReopenRequest,
    responses((status = 200, body = Settled)))]
pub async fn reopen(
    operator: Operator,
    With(db): With<Database>,
    With(clock): With<Clock>,
    Json(request): Json<ReopenRequest>,
) -> Result<Json<Settled>, ApiError> {
    if operator.role != Role::SuperAdmin {
        return Err(ApiError::forbidden(
            "OWNER_ONLY",
            "Only the account's owner may open a closed day again",
        ));
    }
    let mut wrong = Wrong::default();
    let day = needed("day", request.day, &mut wrong);
    let reason = reason(request.reason, &mut wrong);
    wrong.none_or(()).map_err(ApiError::fields)?;
    let (Some(day), Some(reason)) = (day, reason) else {
        return Err(ApiError::NotFound("day"));
    };
    let mut tx = db.begin(operator.tenant).await?;
    let zone = ledger::zone(&mut tx).await?;
    ledger::wait_for_postings(&mut tx).await?;
    let now = clock.now();
    if let Some(later) = store::last_closed(&mut tx, Some(next(day))).await? {
        return Err(ApiError::conflict(
            "LATER_DAY_CLOSED",
            format!("{later} is closed; open it first"),
        ));
    }
    if store::reopen(&mut tx, day, &reason, operator.id, now).await? == 0 {
        return Err(ApiError::NotFound("day"));
    }
    let before = ledger::closing(&mut tx).await?;
    if before.is_some_and(|before| before.first_open > day) {
        let closing = Closing {
            first_open: day,
            open_from: begin_of(day, &zone),
        };
        ledger::close(&mut tx, Some(closing), operator.id, now).await?;
    }
    let line = Audit {
        details: format!("Opened {day} again: {reason}"),
        ..Audit::new(Action::BooksLock, "books", operator.tenant, "Books")
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Settled::new(day, State::Open, Vec::new())))
}

fn closed(day: Date) -> ApiError {
    ApiError::conflict("DAY_CLOSED", format!("{day} is closed"))
}

fn needed<T>(field: &str, value: Option<T>, wrong: &mut Wrong) -> Option<T> {
    if value.is_none() {
        wrong.add(field, "is required");
    }
    value
}

pub(super) fn reason(value: Option<String>, wrong: &mut Wrong) -> Option<String> {
    let text = value.map(|text| text.trim().to_owned());
    let text = text.filter(|text| !text.is_empty());
    if text
        .as_ref()
        .is_some_and(|text| text.chars().count() > 500 || text.contains('\0'))
    {
        wrong.add("reason", "must have at most 500 characters");
    }
    needed("reason", text, wrong)
}
