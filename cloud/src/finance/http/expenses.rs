//! `/api/finance/expenses`: what was spent, by category.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::ExpenseId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{Idempotency, Json, Page, Path, Query, Sort, Success, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::error::{ApiError, Wrong};
use crate::finance::recurring::{self, Booking, Voided};
use crate::finance::rules::{self, Moment};
use crate::finance::store::expenses::{self as store, About, By, Line, Sum};
use crate::finance::{FinanceError, How, store as chart};
use crate::ledger;
use crate::renewals::Method;

/// An expense.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpenseLine {
    id: ExpenseId,
    description: String,
    category: String,
    vendor: String,
    amount: Cents,
    payment_method: How,
    date: Timestamp,
    /// When it was booked: later than `date` when that day was closed.
    booked_at: Timestamp,
    /// On which account: its code.
    account: String,
    notes: String,
    is_recurring: bool,
    /// The day on which the next one is booked by itself; null = no more are.
    next_on: Option<String>,
}

impl From<Line> for ExpenseLine {
    fn from(line: Line) -> ExpenseLine {
        ExpenseLine {
            id: line.id,
            description: line.about.description,
            category: line.about.category,
            vendor: line.about.vendor,
            amount: line.about.amount,
            payment_method: line.about.method.into(),
            date: line.date,
            booked_at: line.booked_at,
            account: line.about.account,
            notes: line.about.notes,
            is_recurring: line.is_recurring,
            next_on: line.next_on,
        }
    }
}

/// Sums over what the filter leaves, all pages of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpenseStats {
    total_expenses: Cents,
    /// The sum of each category; of more than 100 the least are summed as `…`.
    by_category: BTreeMap<String, Cents>,
}

/// A page of expenses.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpensePage {
    expenses: Vec<ExpenseLine>,
    stats: ExpenseStats,
    total: i64,
    page: u32,
    page_size: u32,
}

/// Which expenses.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// A part of description, vendor or category.
    search: Option<String>,
    /// One category.
    category: Option<String>,
    /// Not before this day or instant.
    #[param(value_type = Option<String>)]
    start_date: Option<Moment>,
    /// Not after this day or instant.
    #[param(value_type = Option<String>)]
    end_date: Option<Moment>,
}

/// `GET /api/finance/expenses`: what was spent, newest first or sorted as asked. What was taken back is not shown.
#[utoipa::path(get, path = "/api/finance/expenses", tag = "Finance",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), Sort<By>, Filter),
    responses((status = 200, body = ExpensePage)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    sort: Sort<By>,
    Query(filter): Query<Filter>,
) -> Result<Json<ExpensePage>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let zone = ledger::zone(&mut tx).await?;
    let filter = store::Filter {
        id: None,
        search: filter.search,
        category: filter.category.map(|category| category.trim().to_owned()),
        from: filter.start_date.map(|day| day.begins(&zone)),
        to: filter.end_date.map(|day| day.ends(&zone)),
    };
    let lines = store::page(&mut tx, &filter, sort, page).await?;
    let sums = store::sums(&mut tx, &filter).await?;
    Ok(Json(ExpensePage {
        expenses: lines.into_iter().map(ExpenseLine::from).collect(),
        total: sums.iter().map(|sum| sum.n).sum(),
        stats: stats(sums)?,
        page: page.number,
        page_size: page.size,
    }))
}

fn stats(sums: Vec<Sum>) -> Result<ExpenseStats, ApiError> {
    const MOST: usize = 100;

    let too_much = || ApiError::internal(anyhow::anyhow!("the expenses' sum does not fit"));
    let mut stats = ExpenseStats {
        total_expenses: Cents::ZERO,
        by_category: BTreeMap::new(),
    };
    for (place, sum) in sums.into_iter().enumerate() {
        let total = stats.total_expenses.plus(sum.amount);
        stats.total_expenses = total.ok_or_else(too_much)?;
        let name = if place < MOST {
            sum.category
        } else {
            "…".to_owned()
        };
        let kept = stats.by_category.entry(name).or_default();
        *kept = kept.plus(sum.amount).ok_or_else(too_much)?;
    }
    Ok(stats)
}

/// An expense as somebody typed it in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpenseRequest {
    /// At most 500 characters.
    #[serde(default, deserialize_with = "blank::option")]
    description: Option<String>,
    /// At most 100 characters. It is booked on the expense account of this name, else on 5000.
    #[serde(default, deserialize_with = "blank::option")]
    category: Option<String>,
    /// At most 200 characters.
    #[serde(default, deserialize_with = "blank::option")]
    vendor: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    amount: Option<Cents>,
    /// A day or an instant.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    date: Option<Moment>,
    /// `Cash` when it is not given.
    #[serde(default, deserialize_with = "blank::option")]
    payment_method: Option<How>,
    /// Whether it comes again on the same day of every month (the last one of shorter months).
    #[serde(default, deserialize_with = "blank::option")]
    is_recurring: Option<bool>,
    /// At most 2,000 characters.
    #[serde(default, deserialize_with = "blank::option")]
    notes: Option<String>,
    /// The code of an expense account, in place of the one that the category leads to.
    #[serde(default, deserialize_with = "blank::option")]
    account: Option<String>,
}

/// `POST /api/finance/expenses`: money that was spent. With `isRecurring` the same is booked by itself every
/// month from then on, at the beginning of its day in the tenant's zone, until it is stopped.
///
/// Of a day that is closed it is booked on the first open one: `bookedAt` says so. Repeating with the same
/// `Idempotency-Key` returns the first answer. Errors: 400 naming the fields.
#[utoipa::path(post, path = "/api/finance/expenses", tag = "Finance", request_body = ExpenseRequest,
    responses((status = 201, body = ExpenseLine)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    mut idempotency: Idempotency,
    Json(request): Json<ExpenseRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let booking = draft(&mut tx, &operator, request, now).await?;
    let about = booking.about.clone();
    let id = recurring::book(&mut tx, booking, now).await?;
    let line = Audit {
        details: about.amount.to_string(),
        ..Audit::new(Action::ExpenseCreate, "expense", id, &about.category)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = find(&mut tx, id).await?;
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

async fn draft(
    tx: &mut Tx,
    operator: &Operator,
    request: ExpenseRequest,
    now: Timestamp,
) -> Result<Booking, ApiError> {
    let zone = ledger::zone(tx).await?;
    let known = chart::chart(tx).await?;
    let mut wrong = Wrong::default();
    if request.date.is_none() {
        wrong.add("date", "is required");
    }
    let category = rules::needed("category", request.category, 100, &mut wrong);
    let code = request.account.as_deref();
    let account = rules::expense_account(&known, code, &category, &mut wrong);
    let occurred_at = rules::occurred_at(request.date, &zone, now, &mut wrong);
    let day = request.date.map(|date| date.day(&zone));
    let every_month_from = day.filter(|_| request.is_recurring == Some(true));
    if every_month_from.is_some_and(|day| day < rules::a_year_before(now, &zone)) {
        wrong.add(
            "date",
            "must be at most a year ago for what comes every month: each month since then is booked",
        );
    }
    let booking = Booking {
        about: About {
            description: rules::needed("description", request.description, 500, &mut wrong),
            category,
            vendor: rules::text("vendor", request.vendor, 200, &mut wrong),
            amount: rules::amount("amount", request.amount, &mut wrong),
            method: request.payment_method.map_or(Method::Cash, Method::from),
            notes: rules::text("notes", request.notes, 2_000, &mut wrong),
            account: account.as_str().to_owned(),
        },
        occurred_at,
        every_month_from,
        operator: operator.id,
    };
    wrong.none_or(booking).map_err(ApiError::fields)
}

/// `DELETE /api/finance/expenses/{expense}`: takes an expense back. It is never deleted: the same amount is
/// booked the other way. Taking back the first one of those that come every month ends them; the later ones
/// stay. A repeat changes nothing. Errors: 404.
#[utoipa::path(delete, path = "/api/finance/expenses/{expense}", tag = "Finance",
    params(("expense" = ExpenseId, Path)), responses((status = 200, body = Success)))]
pub async fn void(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(expense): Path<ExpenseId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let voided = recurring::void(&mut tx, expense, now).await?;
    if let Voided::Now(name) = voided.ok_or(FinanceError::Unknown("expense"))? {
        let line = Audit::new(Action::ExpenseVoid, "expense", expense, &name);
        audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
        tx.commit().await?;
    }
    Ok(Json(Success::YES))
}

/// `POST /api/finance/expenses/{expense}/stop`: no more are booked by themselves of the series that this expense
/// belongs to; those that were stay. A repeat changes nothing.
///
/// Errors: 404, 409 `NOT_RECURRING`.
#[utoipa::path(post, path = "/api/finance/expenses/{expense}/stop", tag = "Finance",
    params(("expense" = ExpenseId, Path)), responses((status = 200, body = Success)))]
pub async fn stop(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(expense): Path<ExpenseId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let booked = store::lock(&mut tx, expense).await?;
    let booked = booked.ok_or(FinanceError::Unknown("expense"))?;
    let series = booked.recurring_id.ok_or(FinanceError::NotRecurring)?;
    if recurring::end(&mut tx, series, now).await? {
        let name = booked.about.category;
        let line = Audit::new(Action::ExpenseStop, "expense", series, &name);
        audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
        tx.commit().await?;
    }
    Ok(Json(Success::YES))
}

async fn find(tx: &mut Tx, id: ExpenseId) -> Result<ExpenseLine, ApiError> {
    let filter = store::Filter {
        id: Some(id),
        ..store::Filter::default()
    };
    let lines = store::page(tx, &filter, Sort::default(), Page::new(Some(1), Some(1))).await?;
    let line = lines.into_iter().next();
    Ok(line.ok_or(FinanceError::Unknown("expense"))?.into())
}
