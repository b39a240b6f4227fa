//! `/api/finance/lock`: days on which nothing is booked any more.

use axum::extract::State;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{Json, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::finance::rules::{Moment, begin_of};
use crate::ledger::{self, Closing};
use crate::payments;

/// Which days are closed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lock {
    /// The first open day, as `2026-01-31`; null = every day is open.
    until: Option<String>,
    /// Its first instant: nothing is booked before it.
    open_from: Option<Timestamp>,
}

impl From<Option<Closing>> for Lock {
    fn from(closing: Option<Closing>) -> Lock {
        Lock {
            until: closing.map(|closing| closing.first_open.to_string()),
            open_from: closing.map(|closing| closing.open_from),
        }
    }
}

/// `GET /api/finance/lock`: which days are closed.
#[utoipa::path(get, path = "/api/finance/lock", tag = "Finance", responses((status = 200, body = Lock)))]
pub async fn get(operator: Operator, State(db): State<Database>) -> Result<Json<Lock>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(ledger::closing(&mut tx).await?.into()))
}

/// Which days to close.
#[derive(Deserialize, ToSchema)]
pub struct LockRequest {
    /// The first open day; null or empty opens every day.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    until: Option<Option<Moment>>,
}

/// `PUT /api/finance/lock`: closes every day before `until`. From then on what is posted with an earlier date,
/// whoever posts it, is booked at the beginning of that day, and its entry says of which day it is.
///
/// It waits for what is being posted at this moment. Errors: 400 a day that has not come, 409 `DAY_CLOSED` one that would
/// open what a statement closed (`POST /api/payments/days/reopen`), 503 when postings are
/// under way for longer; nothing was changed then.
#[utoipa::path(put, path = "/api/finance/lock", tag = "Finance", request_body = LockRequest,
    responses((status = 200, body = Lock)))]
pub async fn set(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Json(request): Json<LockRequest>,
) -> Result<Json<Lock>, ApiError> {
    let until = request
        .until
        .ok_or_else(|| ApiError::field("until", "is required: a day, or null to open every day"))?;
    let mut tx = db.begin(operator.tenant).await?;
    let zone = ledger::zone(&mut tx).await?;
    ledger::wait_for_postings(&mut tx).await?;
    let now = clock.now();
    let first_open = until.map(|moment| moment.day(&zone));
    if first_open.is_some_and(|day| day > now.in_zone(&zone).date()) {
        return Err(ApiError::field(
            "until",
            "must not be in the future: today's postings need an open day",
        ));
    }
    if let Some(day) = payments::last_closed_day(&mut tx, first_open).await? {
        return Err(ApiError::conflict(
            "DAY_CLOSED",
            format!("{day} was closed by M-Pesa's statement; open it again first"),
        ));
    }
    let before = ledger::closing(&mut tx).await?;
    let closing = first_open.map(|first_open| Closing {
        first_open,
        open_from: begin_of(first_open, &zone),
    });
    if before != closing {
        ledger::close(&mut tx, closing, operator.id, now).await?;
    }
    let say = |closing: Option<Closing>| match closing {
        Some(closing) => format!("open from {}", closing.first_open),
        None => "every day open".to_owned(),
    };
    let line = Audit {
        details: format!("{}; before: {}", say(closing), say(before)),
        ..Audit::new(Action::BooksLock, "books", operator.tenant, "Books")
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(closing.into()))
}
