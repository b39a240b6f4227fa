//! `/api/finance/income`: what came in, from customers and otherwise.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{EntryId, IncomeId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::{Idempotency, Json, Page, Path, Query, Sort, Success, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::error::{ApiError, Wrong};
use crate::finance::rules::{self, Moment};
use crate::finance::store::income::{self as store, By, Income, Line};
use crate::finance::{FinanceError, How, store as chart};
use crate::ledger::{self, AccountCode, AccountType, Entry, EntryKind, Leg, Transfer};
use crate::renewals::{self, Method};

/// Money that came in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncomeLine {
    id: Uuid,
    /// When the money moved.
    date: Timestamp,
    /// When it was booked: later than `date` when that day was closed.
    booked_at: Timestamp,
    /// Who paid; `Unallocated` for a payment that is nobody's yet.
    customer: String,
    description: String,
    amount: Cents,
    method: How,
    reference: String,
    /// `completed`, `refunded` or `voided`.
    status: String,
}

impl From<Line> for IncomeLine {
    fn from(line: Line) -> IncomeLine {
        IncomeLine {
            id: line.id,
            date: line.date,
            booked_at: line.booked_at,
            customer: line.customer,
            description: line.description,
            amount: line.amount,
            method: line.method.into(),
            reference: line.reference,
            status: line.status,
        }
    }
}

/// Sums over what the filter leaves, all pages of it; money that was taken back, or sent back in part, is not counted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncomeStats {
    total_income: Cents,
    mpesa_total: Cents,
    cash_total: Cents,
    total_transactions: i64,
}

/// A page of income.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncomePage {
    transactions: Vec<IncomeLine>,
    stats: IncomeStats,
    total: i64,
    page: u32,
    page_size: u32,
}

/// Which income.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Of customers' payments the beginning of a receipt, or the whole of an account, a phone or an invoice's reference, or
    /// the beginning of a word of a customer, and of the newest 10,000 a part of an account, or four characters of a receipt
    /// or phone, or a part of an invoice's number or reference; of what was typed by hand a part of customer, description or reference.
    search: Option<String>,
    /// `M-Pesa`, `Cash`, `Bank Transfer`, `Card` or `Other`.
    #[param(inline)]
    method: Option<How>,
    /// Not before this day or instant.
    #[param(value_type = Option<String>)]
    start_date: Option<Moment>,
    /// Not after this day or instant.
    #[param(value_type = Option<String>)]
    end_date: Option<Moment>,
}

/// `GET /api/finance/income`: what customers paid and what was typed by hand, newest first or sorted as asked.
#[utoipa::path(get, path = "/api/finance/income", tag = "Finance",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), Sort<By>, Filter),
    responses((status = 200, body = IncomePage)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    sort: Sort<By>,
    Query(filter): Query<Filter>,
) -> Result<Json<IncomePage>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let zone = ledger::zone(&mut tx).await?;
    let filter = store::Filter {
        id: None,
        search: filter.search,
        method: filter.method.map(Method::from),
        from: filter.start_date.map(|day| day.begins(&zone)),
        to: filter.end_date.map(|day| day.ends(&zone)),
    };
    let lines = store::page(&mut tx, &filter, sort, page).await?;
    let sums = store::sums(&mut tx, &filter, &zone).await?;
    Ok(Json(IncomePage {
        transactions: lines.into_iter().map(IncomeLine::from).collect(),
        stats: IncomeStats {
            total_income: sums.income,
            mpesa_total: sums.mpesa,
            cash_total: sums.cash,
            total_transactions: sums.standing,
        },
        total: sums.total,
        page: page.number,
        page_size: page.size,
    }))
}

/// Income as somebody typed it in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncomeRequest {
    /// Who paid: at most 200 characters.
    #[serde(default, deserialize_with = "blank::option")]
    customer_name: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    amount: Option<Cents>,
    #[serde(default, deserialize_with = "blank::option")]
    method: Option<How>,
    /// At most 100 characters.
    #[serde(default, deserialize_with = "blank::option")]
    reference: Option<String>,
    /// A day or an instant; now when it is not given.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    date: Option<Moment>,
    /// At most 500 characters.
    #[serde(default, deserialize_with = "blank::option")]
    description: Option<String>,
    /// The code of a revenue account; 4090 when it is not given. 2200 for vouchers of the house that were sold: who uses one
    /// makes it revenue, so that what is sold is owed until then.
    #[serde(default, deserialize_with = "blank::option")]
    account: Option<String>,
}

/// `POST /api/finance/income`: money that came and is no customer's payment. What a customer pays for his
/// service goes into his wallet instead: `POST /api/payments/manual`.
///
/// Of a day that is closed it is booked on the first open one: `bookedAt` says so. Repeating with the same
/// `Idempotency-Key` returns the first answer. Errors: 400 naming the fields, 409 `RECEIPT_KNOWN` when the
/// reference is an M-Pesa receipt that was booked by itself.
#[utoipa::path(post, path = "/api/finance/income", tag = "Finance", request_body = IncomeRequest,
    responses((status = 201, body = IncomeLine)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    mut idempotency: Idempotency,
    Json(request): Json<IncomeRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let income = draft(&mut tx, &operator, request, now).await?;
    if let Some(reference) = &income.reference
        && renewals::is_credited(&mut tx, reference).await?
    {
        return Err(FinanceError::ReceiptKnown.into());
    }
    let entry = Entry {
        id: income.entry,
        kind: EntryKind::Income,
        occurred_at: income.occurred_at,
        customer: None,
        source: format!("income {}", income.id),
        // Who paid and what for stands in its row, where it can be blanked.
        description: "Income".to_owned(),
        transfers: vec![transfer(&income.account, income.method, income.amount)?],
    };
    ledger::post(&mut tx, entry, now).await?;
    store::insert(&mut tx, &income, now).await?;
    let name = income.id.to_string();
    let line = Audit {
        details: income.amount.to_string(),
        ..Audit::new(Action::IncomeCreate, "income", income.id, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = find(&mut tx, income.id).await?;
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

async fn draft(
    tx: &mut Tx,
    operator: &Operator,
    request: IncomeRequest,
    now: Timestamp,
) -> Result<Income, ApiError> {
    if ledger::is_seller(tx, operator.id).await? {
        return Err(FinanceError::Seller.into());
    }
    let zone = ledger::zone(tx).await?;
    let known = chart::chart(tx).await?;
    let mut wrong = Wrong::default();
    if request.method.is_none() {
        wrong.add("method", "is required");
    }
    let account = match &request.account {
        None => AccountCode::OTHER_INCOME,
        Some(code) if code.trim() == AccountCode::VOUCHERS.as_str() => AccountCode::VOUCHERS,
        Some(code) => rules::account(&known, code, AccountType::Revenue, &mut wrong),
    };
    let reference = rules::text("reference", request.reference, 100, &mut wrong);
    let entropy = tx.entropy();
    let income = Income {
        id: IncomeId::new(now, &entropy),
        customer_name: rules::needed("customerName", request.customer_name, 200, &mut wrong),
        description: rules::text("description", request.description, 500, &mut wrong),
        amount: rules::amount("amount", request.amount, &mut wrong),
        method: request.method.map_or(Method::Cash, Method::from),
        reference: Some(reference).filter(|text| !text.is_empty()),
        account: account.as_str().to_owned(),
        occurred_at: rules::occurred_at(request.date, &zone, now, &mut wrong),
        entry: EntryId::new(now, &entropy),
        operator: operator.id,
    };
    wrong.none_or(income).map_err(ApiError::fields)
}

/// `DELETE /api/finance/income/{income}`: takes back income that was typed by hand. It is never deleted: the
/// same amount is booked the other way, and the list shows it as `voided`. A repeat changes nothing.
///
/// A customer's payment is taken back by `DELETE /api/payments/manual/{payment}`. Errors: 404.
#[utoipa::path(delete, path = "/api/finance/income/{income}", tag = "Finance",
    params(("income" = Uuid, Path)), responses((status = 200, body = Success)))]
pub async fn void(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(income): Path<IncomeId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let booked = store::lock(&mut tx, income).await?;
    let booked = booked.ok_or(FinanceError::Unknown("income"))?;
    if booked.reversal_id.is_some() {
        return Ok(Json(Success::YES));
    }
    let entry = Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::Correction,
        occurred_at: now,
        customer: None,
        source: format!("void of income {income}"),
        description: "Income taken back".to_owned(),
        transfers: vec![transfer(&booked.account, booked.method, booked.amount)?.reversed()],
    };
    let reversal = entry.id;
    ledger::post(&mut tx, entry, now).await?;
    store::void(&mut tx, income, reversal).await?;
    let name = income.to_string();
    let line = Audit {
        details: booked.amount.to_string(),
        ..Audit::new(Action::IncomeVoid, "income", income, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

async fn find(tx: &mut Tx, id: IncomeId) -> Result<IncomeLine, ApiError> {
    let filter = store::Filter {
        id: Some(id.0),
        ..store::Filter::default()
    };
    let lines = store::page(tx, &filter, Sort::default(), Page::new(Some(1), Some(1))).await?;
    let line = lines.into_iter().next();
    Ok(line.ok_or(FinanceError::Unknown("income"))?.into())
}

fn transfer(account: &str, method: Method, amount: Cents) -> Result<Transfer, ApiError> {
    let account = AccountCode::parse(account);
    let account =
        account.ok_or_else(|| ApiError::internal(anyhow::anyhow!("an account without a code")))?;
    Ok(Transfer {
        debit: Leg::account(method.account()),
        credit: Leg::account(account),
        amount,
    })
}
