//! `/api/payments/days`: days of a gateway that were compared with M-Pesa's statement, and are closed once they agree.
//!
//! A day agrees when the statement and our payments are the same, receipt by receipt; what is not is a difference that
//! goes away when it is posted or taken back, or that a person explains. A closed day moves the books' first open day
//! behind it, unless another day up to it is open: what is posted later with its date is booked behind it.

use std::collections::BTreeMap;

use axum::extract::State as With;
use easyisp_shared::id::{GatewayId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::book::HEARSAY;
use super::gateways::locked_at_mpesa;
use super::mpesa::sheet::{Row, Told};
use super::statement::{RowOutcome, outcome};
use super::store::arrivals::{self, Booked};
use super::store::days::{self as store, State};
use super::store::gateways::Keys;
use crate::api::{Json, Page, Query, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{Operator, Role};
use crate::db::{Database, Tx};
use crate::error::{ApiError, Wrong};
use crate::ledger::{self, Closing};

/// Most days that one statement closes: two months.
const MOST_DAYS: usize = 62;
/// Most payments of ours that are looked for because the statement does not have them.
const MOST_EXTRA: i64 = 1_000;
/// The reference of a balance that does not go on from the day before.
const BALANCE: &str = "balance";

/// What does not agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DifferenceKind {
    /// The statement has it, and we do not.
    Missing,
    /// We have it with another amount.
    Differs,
    /// We have it, and the statement does not.
    Extra,
    /// The statement does not begin with what the day before ended with: rows are missing between them.
    Balance,
}

impl DifferenceKind {
    /// As the database calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            DifferenceKind::Missing => "MISSING",
            DifferenceKind::Differs => "DIFFERS",
            DifferenceKind::Extra => "EXTRA",
            DifferenceKind::Balance => "BALANCE",
        }
    }
}

/// One thing that does not agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Difference {
    /// The receipt, or what stands for it.
    pub(super) reference: String,
    pub(super) kind: DifferenceKind,
    /// What the statement says.
    pub(super) stated: Option<Cents>,
    /// What we say.
    pub(super) booked: Option<Cents>,
}

/// A day as a statement has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stated {
    pub(super) day: Date,
    /// What came.
    pub(super) received: Cents,
    /// The balance before its first row.
    pub(super) opening: Option<Cents>,
    /// The balance after its last row.
    pub(super) closing: Option<Cents>,
    pub(super) differences: Vec<Difference>,
}

/// The days of a statement, beside what we have. What moved before the gateway was set up here is nobody's difference.
fn stated(rows: &[Row], gateway: &Keys, ours: &[Booked], zone: &TimeZone) -> Vec<Stated> {
    let timed = || {
        rows.iter()
            .filter_map(|row| row.at.map(|at| (at.in_zone(zone).date(), at, row)))
    };
    // The portal lists the newest first; rows of one second stay in their order.
    let first_and_last = timed().next().zip(timed().next_back());
    let newest_first = first_and_last.is_some_and(|((_, first, _), (_, last, _))| first > last);
    let mut days: BTreeMap<Date, Vec<&Row>> = BTreeMap::new();
    for (day, _, row) in timed() {
        days.entry(day).or_default().push(row);
    }
    let mut seen = std::collections::HashSet::new();
    days.into_iter()
        .map(|(day, mut rows)| {
            if newest_first {
                rows.reverse();
            }
            let first = rows.first().and_then(|row| row.balance.zip(row.moved));
            let mut stated = Stated {
                day,
                received: Cents::ZERO,
                opening: first.and_then(|(balance, moved)| balance.minus(moved)),
                closing: rows.last().and_then(|row| row.balance),
                differences: Vec::new(),
            };
            for row in rows {
                let Told::Came(arrival) = &row.told else {
                    continue;
                };
                let outcome = outcome(row, gateway, ours);
                let before = outcome == RowOutcome::Before;
                if before || !seen.insert(arrival.receipt.as_str()) {
                    continue;
                }
                let sum = stated.received.plus(arrival.amount);
                stated.received = sum.unwrap_or(stated.received);
                let known = ours.iter().find(|one| one.receipt == arrival.receipt);
                let kind = match outcome {
                    RowOutcome::Missing => DifferenceKind::Missing,
                    RowOutcome::Differs => DifferenceKind::Differs,
                    _ => continue, // it agrees
                };
                stated.differences.push(Difference {
                    reference: arrival.receipt.clone(),
                    kind,
                    stated: Some(arrival.amount),
                    booked: known.and_then(|known| known.amount),
                });
            }
            stated
        })
        .collect()
}

/// Compares the days that a statement has with what is booked now, and closes those that agree; how each stands then.
///
/// Only days that are over. Locks the books against postings of other days until the transaction ends.
pub(super) async fn settle(
    tx: &mut Tx,
    operator: &Operator,
    gateway: &Keys,
    rows: &[Row],
    clock: &Clock,
) -> Result<Vec<Settled>, ApiError> {
    // What cannot be read may be of any day.
    if rows
        .iter()
        .any(|row| matches!(row.told, Told::Unreadable(_)))
    {
        return Ok(Vec::new());
    }
    let zone = ledger::zone(tx).await?;
    ledger::wait_for_postings(tx).await?;
    let now = clock.now();
    let today = now.in_zone(&zone).date();
    let receipts: Vec<String> = rows.iter().filter_map(receipt).collect();
    let ours = arrivals::booked(tx, gateway.id, &receipts, &HEARSAY).await?;
    let days = stated(rows, gateway, &ours, &zone);
    let over = days.into_iter().filter(|stated| stated.day < today);
    let mut settled = Vec::new();
    for mut stated in over.take(MOST_DAYS) {
        let state = match store::lock(tx, gateway.id, stated.day).await? {
            Some(State::Closed) => State::Closed,
            Some(State::Open) | None => {
                let (from, to) = span(stated.day, &zone);
                let last = to.minus(INSTANT);
                let extra =
                    arrivals::extra(tx, gateway.id, from, last, &receipts, MOST_EXTRA).await?;
                stated
                    .differences
                    .extend(extra.into_iter().map(Difference::from));
                let before = store::balance_before(tx, gateway.id, stated.day).await?;
                if let (Some(opening), Some(before)) = (stated.opening, before)
                    && opening != before
                {
                    stated.differences.push(Difference {
                        reference: BALANCE.to_owned(),
                        kind: DifferenceKind::Balance,
                        stated: Some(opening),
                        booked: Some(before),
                    });
                }
                let booked = store::booked(tx, gateway.id, from, to).await?;
                let open = store::write(tx, gateway.id, &stated, booked, operator.id, now).await?;
                match open {
                    0 => {
                        close(tx, operator, gateway, stated.day, now).await?;
                        State::Closed
                    }
                    _ => State::Open,
                }
            }
        };
        settled.push(Settled {
            day: stated.day.to_string(),
            state,
        });
    }
    shut_books(tx, operator, &zone, now).await?;
    Ok(settled)
}

fn receipt(row: &Row) -> Option<String> {
    match &row.told {
        Told::Came(arrival) => Some(arrival.receipt.clone()),
        Told::Else | Told::Unreadable(_) => None,
    }
}

/// The smallest step of a stored instant.
const INSTANT: std::time::Duration = std::time::Duration::from_micros(1);

/// The first instant of a day, and that of the next.
fn span(day: Date, zone: &TimeZone) -> (Timestamp, Timestamp) {
    (begin_of(day, zone), begin_of(next(day), zone))
}

fn begin_of(day: Date, zone: &TimeZone) -> Timestamp {
    let midnight = day.to_zoned(zone.clone());
    // Only days at the ends of the calendar have no instant.
    midnight.map_or(Timestamp::default(), |midnight| {
        Timestamp::from_jiff(midnight.timestamp())
    })
}

fn next(day: Date) -> Date {
    day.tomorrow().unwrap_or(day)
}

impl From<arrivals::Extra> for Difference {
    fn from(extra: arrivals::Extra) -> Difference {
        Difference {
            reference: extra.receipt.unwrap_or_else(|| extra.id.to_string()),
            kind: DifferenceKind::Extra,
            stated: None,
            booked: Some(extra.amount),
        }
    }
}

async fn close(
    tx: &mut Tx,
    operator: &Operator,
    gateway: &Keys,
    day: Date,
    now: Timestamp,
) -> Result<(), ApiError> {
    store::close(tx, gateway.id, day, operator.id, now).await?;
    let line = Audit {
        details: format!("Closed {day}: the statement and the books agree, or it was explained"),
        ..Audit::new(
            Action::BooksLock,
            "payment gateway",
            gateway.id,
            &gateway.shortcode,
        )
    };
    audit::record(tx, &Actor::from(operator), line, now).await?;
    Ok(())
}

/// Moves the books' first open day behind the days that are closed.
async fn shut_books(
    tx: &mut Tx,
    operator: &Operator,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some(last) = store::closed_through(tx).await? else {
        return Ok(());
    };
    let first_open = next(last);
    let before = ledger::closing(tx).await?;
    if before.is_some_and(|before| before.first_open >= first_open) {
        return Ok(());
    }
    let closing = Closing {
        first_open,
        open_from: begin_of(first_open, zone),
    };
    ledger::close(tx, Some(closing), operator.id, now).await?;
    Ok(())
}

/// The last day from `from` on (`None` = of all) that a statement closed.
pub async fn last_closed_day(tx: &mut Tx, from: Option<Date>) -> sqlx::Result<Option<Date>> {
    store::last_closed(tx, from).await
}

/// How a day stands after a comparison.
#[derive(Serialize, ToSchema)]
pub struct Settled {
    day: String,
    state: State,
}

/// A difference of a day.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DayDifference)]
pub struct ShownDifference {
    /// The receipt; the payment's id where it has none; `balance`.
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
        (Some(from), Some(to)) => store::differences(&mut tx, &from.day, &to.day).await?,
        (_, _) => Vec::new(),
    };
    let days = days.into_iter().map(|day| shown(day, &found)).collect();
    Ok(Json(StatementDays {
        days,
        total,
        page: page.number,
        page_size: page.size,
    }))
}

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
/// Errors: 400 naming the fields, 404 unknown gateway, day or difference, 409 `DAY_CLOSED`.
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
    tx.commit().await?;
    Ok(Json(Settled {
        day: day.to_string(),
        state,
    }))
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
    Ok(Json(Settled {
        day: day.to_string(),
        state: State::Open,
    }))
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

fn reason(value: Option<String>, wrong: &mut Wrong) -> Option<String> {
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
