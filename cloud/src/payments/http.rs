//! Prompts and lists of electronic payments.

use axum::extract::State;
use axum::http::HeaderMap;
use easyisp_shared::id::{CustomerId, GatewayId};
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::{Clock, Timestamp};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::rules::State as PushState;
use super::store::lists::{self, By, Line};
use super::store::{self, Which};
use super::{Payments, PromptError, QUERY, Wish, prompt};
use crate::api::{Json, Page, Path, Query, Sort, blank};
use crate::audit::Actor;
use crate::auth::Operator;
use crate::db::Database;
use crate::due;
use crate::error::ApiError;

/// What is to be paid, by whom.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StkRequest {
    customer_id: CustomerId,
    amount: Cents,
    #[serde(default, deserialize_with = "blank::option")]
    phone: Option<String>,
    /// Through which payment gateway; the one that fits the phone's network and how he is connected when absent. Name
    /// it for a number that its owner took to another network.
    #[serde(default, deserialize_with = "blank::option")]
    gateway_id: Option<GatewayId>,
}

/// A prompt on its way.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StkAnswer {
    success: bool,
    checkout_request_id: String,
    message: &'static str,
}

/// `POST /api/payments/mpesa/stk`: puts an M-Pesa prompt on the customer's phone, or one of Airtel Money where the number
/// is of its blocks and a gateway at Airtel is set up.
///
/// Providers move whole shillings: the next one is asked for, the rest goes to the wallet. While a prompt is
/// open for this customer and package a repeat returns the first one, and so does a repeated
/// `Idempotency-Key`; another amount or phone is no repeat. When M-Pesa does not answer, the answer is a success too: the prompt may be on the
/// phone, and `GET /api/payments/mpesa/status/{checkout}` tells how it ended.
/// Errors: 400 bad amount or phone, 404 unknown customer, 409 `PROMPT_OPEN` or `IDEMPOTENCY_KEY_REUSED`, 422 no gateway, 429 too many
/// prompts, 502 M-Pesa refused, 503 M-Pesa is down.
#[utoipa::path(post, path = "/api/payments/mpesa/stk", tag = "Payments",
    request_body = StkRequest, responses((status = 200, body = StkAnswer),
        (status = 502, description = "The provider cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn stk(
    operator: Operator,
    State(payments): State<Payments>,
    headers: HeaderMap,
    Json(request): Json<StkRequest>,
) -> Result<Json<StkAnswer>, ApiError> {
    let phone = match request.phone.as_deref() {
        None => None,
        Some(text) => Some(PhoneNumber::parse(text).ok_or(PromptError::NoPhone)?),
    };
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let wish = Wish {
        customer: request.customer_id,
        amount: request.amount,
        phone,
        gateway: request.gateway_id,
        client_key: key.map(|key| format!("{}/{key}", operator.id)),
        by: Actor::from(&operator),
    };
    let asked = prompt::ask(&payments, operator.tenant, wish).await?;

    Ok(Json(match asked.checkout_request_id {
        Some(checkout_request_id) => StkAnswer {
            success: true,
            checkout_request_id,
            message: "The prompt is on its way to the phone",
        },
        None => StkAnswer {
            success: true,
            checkout_request_id: asked.intent.to_string(),
            message: "There is no answer yet; the prompt may still come. Do not pay twice",
        },
    }))
}

/// How a payment stands.
#[derive(Serialize, ToSchema)]
pub struct Status {
    status: StatusWord,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// How a payment stands, in a word.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusWord {
    /// The customer may still be typing.
    Pending,
    /// Paid and credited.
    Completed,
    /// Not paid.
    Failed,
    /// No news in time; a late payment still counts.
    Expired,
}

/// `GET /api/payments/mpesa/status/{checkout}`: how a payment stands, by the id that the prompt gave.
///
/// While it is open and the callback has not come, M-Pesa is asked in the background, at most every five
/// seconds. Errors: 404 unknown.
#[utoipa::path(get, path = "/api/payments/mpesa/status/{checkout}", tag = "Payments",
    params(("checkout" = String, Path)), responses((status = 200, body = Status)))]
pub async fn status(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(checkout): Path<String>,
) -> Result<Json<Status>, ApiError> {
    const EVERY: Duration = Duration::from_secs(5);

    let now = clock.now();
    let which = match checkout.parse() {
        Ok(id) => Which::Id(id),
        Err(_) => Which::Checkout(&checkout),
    };
    let mut tx = db.begin(operator.tenant).await?;
    let intent = store::find(&mut tx, which).await?;
    let intent = intent.ok_or(ApiError::NotFound("payment"))?;
    let asked = intent.queried_at.unwrap_or(intent.created_at.plus(EVERY));
    if intent.push().is_open() && asked.plus(EVERY) <= now {
        due::at(&mut tx, QUERY, intent.id, now).await?;
        tx.commit().await?;
    }
    let status = match intent.push().state {
        PushState::Created | PushState::Pending | PushState::Unknown => StatusWord::Pending,
        PushState::Provisional | PushState::Posted { .. } => StatusWord::Completed,
        PushState::Refused { .. } => StatusWord::Failed,
        PushState::Expired => StatusWord::Expired,
    };
    Ok(Json(Status {
        status,
        receipt: intent.receipt,
        message: intent.message,
    }))
}

/// Which payments to list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// `completed`, `pending`, `failed` or `refunded`.
    #[param(inline)]
    status: Option<Wanted>,
    /// The beginning of a receipt, or the whole of an account, a phone or M-Pesa's id of a prompt; or the beginning of a
    /// word of a customer. In the newest 10,000 payments and the newest 10,000 prompts also any part of an account, and
    /// four characters or more of a receipt, a phone or a prompt's id.
    search: Option<String>,
    /// `true`: only those that a person must look at.
    review: Option<bool>,
}

/// The status a list asks for.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// Paid and credited.
    Completed,
    /// Being paid.
    Pending,
    /// Not paid.
    Failed,
    /// Taken back.
    Refunded,
}

impl Wanted {
    fn as_str(self) -> &'static str {
        match self {
            Wanted::Completed => "completed",
            Wanted::Pending => "pending",
            Wanted::Failed => "failed",
            Wanted::Refunded => "refunded",
        }
    }
}

/// A payment or an attempt at one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    id: Uuid,
    /// The receipt; before there is one, M-Pesa's id of the prompt.
    transaction_id: String,
    amount: Cents,
    phone: Option<String>,
    account: Option<String>,
    status: String,
    customer: Option<Customer>,
    /// What a person must look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<String>,
    /// By which he says that he did, with `POST /api/payments/intents/{intent}/reviewed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    intent_id: Option<Uuid>,
    created_at: Timestamp,
}

/// Who paid.
#[derive(Serialize, ToSchema)]
pub struct Customer {
    id: CustomerId,
    name: String,
}

/// A page of payments.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transactions {
    transactions: Vec<Transaction>,
    total: i64,
    page: u32,
    page_size: u32,
}

impl From<Line> for Transaction {
    fn from(line: Line) -> Transaction {
        let customer = match (line.customer_id, line.customer_name) {
            (Some(id), Some(name)) => Some(Customer { id, name }),
            (_, _) => None, // nobody's
        };
        Transaction {
            id: line.id,
            transaction_id: line.transaction_id,
            amount: line.amount,
            phone: line.phone,
            account: line.account,
            status: line.status,
            customer,
            intent_id: line.intent_id.filter(|_| line.review.is_some()),
            review: line.review,
            created_at: line.created_at,
        }
    }
}

/// `GET /api/payments/mpesa`: M-Pesa payments and prompts that brought none, newest first or sorted as
/// asked. Without `page` the first 1,000. A search looks into the middle of accounts, receipts and phones as far back as
/// the newest 10,000; what is older is found by its beginning or as a whole.
#[utoipa::path(get, path = "/api/payments/mpesa", tag = "Payments",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query),
        Sort<By>, Filter),
    responses((status = 200, body = Transactions)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    sort: Sort<By>,
    Query(filter): Query<Filter>,
) -> Result<Json<Transactions>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let status = filter.status.map(Wanted::as_str);
    let search = filter.search.as_deref();
    let (lines, total) = match filter.review {
        Some(true) => lists::to_review(&mut tx, status, search, sort, page).await?,
        Some(false) | None => lists::electronic(&mut tx, status, search, sort, page).await?,
    };
    Ok(Json(Transactions {
        transactions: lines.into_iter().map(Transaction::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// `GET /api/payments/electronic`: another name of `GET /api/payments/mpesa`.
#[utoipa::path(get, path = "/api/payments/electronic", tag = "Payments",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query),
        Sort<By>, Filter),
    responses((status = 200, body = Transactions)))]
pub async fn electronic(
    operator: Operator,
    db: State<Database>,
    page: Page,
    sort: Sort<By>,
    filter: Query<Filter>,
) -> Result<Json<Transactions>, ApiError> {
    list(operator, db, page, sort, filter).await
}

/// Sums of electronic payments.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    today_received: Cents,
    today_transactions: i64,
    this_month_received: Cents,
    this_month_transactions: i64,
    /// Of this month's prompts that ended, how many were paid, in percent.
    success_rate: i64,
    pending_confirmations: i64,
    last_sync: Option<Timestamp>,
}

/// `GET /api/payments/mpesa/stats`: what came by M-Pesa today and this month, in the tenant's zone.
#[utoipa::path(get, path = "/api/payments/mpesa/stats", tag = "Payments",
    responses((status = 200, body = Stats)))]
pub async fn stats(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<Stats>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let zone = TimeZone::get(&lists::time_zone(&mut tx).await?).map_err(ApiError::internal)?;
    let today = clock.now().in_zone(&zone);
    let (day, month) = (today.date(), today.date().first_of_month());
    let begins = |date: jiff::civil::Date| {
        let midnight = date.to_zoned(zone.clone()).map_err(ApiError::internal)?;
        Ok::<_, ApiError>(Timestamp::from_jiff(midnight.timestamp()))
    };
    let sums = lists::sums(&mut tx, day, (month, begins(month)?)).await?;
    let ended = sums.paid + sums.failed;
    Ok(Json(Stats {
        today_received: sums.today,
        today_transactions: sums.today_count,
        this_month_received: sums.month,
        this_month_transactions: sums.month_count,
        success_rate: (sums.paid * 100).checked_div(ended).unwrap_or(0),
        pending_confirmations: sums.pending,
        last_sync: sums.last,
    }))
}
