//! Recharges and payments typed by hand.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::{CustomerId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::store::{self, By, ManualRow};
use super::{
    Channel, Method, Receipt, Received, RenewError, Till, is_credited, receive, resolve,
    resolved_code, void,
};
use crate::api::{Idempotency, Json, Page, Path, Sort, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{Operator, Permission};
use crate::db::{Database, Tx};
use crate::error::ApiError;

/// What an operator puts into a wallet.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RechargeRequest {
    amount: Cents,
    #[serde(default, deserialize_with = "blank::option")]
    description: Option<String>,
}

/// What a recharge gave.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recharged {
    success: bool,
    new_balance: Cents,
    payment_id: PaymentId,
    expires_at: Timestamp,
}

impl From<&Received> for Recharged {
    fn from(received: &Received) -> Recharged {
        Recharged {
            success: true,
            new_balance: received.balance,
            payment_id: received.payment,
            expires_at: received.paid_until,
        }
    }
}

/// `POST /api/customers/{customer}/recharge`: puts money into the wallet; when it then covers the price of
/// the package, one period is bought and the rest stays.
///
/// With `amount` 0 and the description `Resolved transaction: CODE` the M-Pesa payment with that receipt
/// moves to this customer. Repeating a request (same `Idempotency-Key` header) returns the first answer
/// and books nothing. Errors: 400 another amount of 0, 404 unknown customer or code, 409 `FLOAT_USED_UP` for a seller
/// whose float does not cover it.
#[utoipa::path(post, path = "/api/customers/{customer}/recharge", tag = "Payments",
    params(("customer" = CustomerId, Path)), request_body = RechargeRequest,
    responses((status = 200, body = Recharged)))]
pub async fn recharge(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    mut idempotency: Idempotency,
    Json(request): Json<RechargeRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let description = request.description.unwrap_or_default();
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let received = match (request.amount, resolved_code(&description)) {
        (Cents::ZERO, Some(code)) => {
            operator.require_any(&[Permission::PppoeResolve, Permission::PaymentsProcess])?;
            let moved = resolve(&mut tx, &code, customer, now).await?;
            let moved = moved.ok_or(ApiError::NotFound("transaction"))?;
            let action = Action::TransactionResolve;
            note(&mut tx, &operator, action, &moved, description, now).await?;
            moved
        }
        (amount, _) => {
            operator.require(Permission::PaymentsProcess)?;
            let receipt = Receipt {
                description: or_else(description, "Recharge"),
                ..manual(
                    &operator,
                    customer,
                    amount,
                    Method::Cash,
                    Channel::Recharge,
                    now,
                )
            };
            let details = format!("{}: {amount}", receipt.description);
            let received = receive(&mut tx, receipt, now).await?;
            let action = Action::ManualRecharge;
            note(&mut tx, &operator, action, &received, details, now).await?;
            received
        }
    };
    let body = Recharged::from(&received);
    let answer = idempotency.finish(&mut tx, StatusCode::OK, &body).await?;
    tx.commit().await?;
    Ok(answer)
}

/// A payment as somebody typed it in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManualRequest {
    customer_id: CustomerId,
    amount: Cents,
    #[serde(default, deserialize_with = "blank::option")]
    method: Option<ManualMethod>,
    #[serde(default, deserialize_with = "blank::option")]
    reference: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    description: Option<String>,
}

/// How money came that somebody typed in.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ManualMethod {
    Cash,
    BankTransfer,
    Card,
    Other,
}

impl From<ManualMethod> for Method {
    fn from(method: ManualMethod) -> Method {
        match method {
            ManualMethod::Cash => Method::Cash,
            ManualMethod::BankTransfer => Method::BankTransfer,
            ManualMethod::Card => Method::Card,
            ManualMethod::Other => Method::Other,
        }
    }
}

/// What was recorded.
#[derive(Serialize, ToSchema)]
pub struct Recorded {
    id: PaymentId,
    amount: Cents,
    method: Method,
    status: &'static str,
}

/// `POST /api/payments/manual`: records money that came in cash, by bank or card. It goes into the wallet
/// and renews like a recharge; open invoices of a customer who pays ahead get their share: first the one that the reference
/// names or that asks for exactly this amount (where that is not the price of his package), and what is overdue where his
/// service lasts for a week yet, else one period and then the invoices, the oldest first. When the reference is an M-Pesa receipt and M-Pesa tells of it later, that money is
/// not credited by itself: it waits in `GET /api/payments/unallocated`.
///
/// Repeating a request (same `Idempotency-Key` header) returns the first answer and books nothing.
/// Errors: 400 an amount of nothing, 404 unknown customer, 409 `RECEIPT_KNOWN` when the reference is an
/// M-Pesa receipt that was credited by itself, `FLOAT_USED_UP` for a seller whose float does not cover it.
#[utoipa::path(post, path = "/api/payments/manual", tag = "Payments",
    request_body = ManualRequest, responses((status = 201, body = Recorded)))]
pub async fn record(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    mut idempotency: Idempotency,
    Json(request): Json<ManualRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let method = request.method.map_or(Method::Cash, Method::from);
    let customer = request.customer_id;
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let reference = request.reference.as_deref().unwrap_or_default();
    if is_credited(&mut tx, reference).await? {
        return Err(RenewError::ReceiptKnown.into());
    }
    let receipt = Receipt {
        account: request.reference,
        description: request.description.unwrap_or_default(),
        ..manual(
            &operator,
            customer,
            request.amount,
            method,
            Channel::Payment,
            now,
        )
    };
    let received = receive(&mut tx, receipt, now).await?;
    let details = format!("Recorded a payment of {}", request.amount);
    let action = Action::PaymentProcess;
    note(&mut tx, &operator, action, &received, details, now).await?;
    let body = Recorded {
        id: received.payment,
        amount: request.amount,
        method,
        status: "completed",
    };
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// A payment typed by hand, as the page without parameters shows it.
#[derive(Serialize, ToSchema)]
pub struct ManualLine {
    id: PaymentId,
    #[serde(rename = "ref")]
    reference: String,
    account: String,
    amount: Cents,
    description: String,
    date: String,
}

/// A payment typed by hand, on a page.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManualPayment {
    id: PaymentId,
    amount: Cents,
    method: Method,
    description: String,
    customer: Option<Payer>,
    created_at: Timestamp,
}

/// Who paid.
#[derive(Serialize, ToSchema)]
pub struct Payer {
    id: CustomerId,
    name: String,
}

/// A page of payments typed by hand.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManualPayments {
    transactions: Vec<ManualPayment>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// `GET /api/payments/manual`: payments typed by hand that stand, newest first or sorted as asked.
/// Without `page` a bare list of the first 1,000.
#[utoipa::path(get, path = "/api/payments/manual", tag = "Payments",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), Sort<By>),
    responses((status = 200, body = ManualPayments)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    sort: Sort<By>,
) -> Result<Response, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let (rows, total) = store::manual(&mut tx, sort, page).await?;
    if !page.asked {
        let lines: Vec<ManualLine> = rows.into_iter().map(line).collect();
        return Ok(Json(lines).into_response());
    }
    let transactions = rows.into_iter().map(payment).collect();
    let (page, page_size) = (page.number, page.size);
    Ok(Json(ManualPayments {
        transactions,
        total,
        page,
        page_size,
    })
    .into_response())
}

/// What was taken back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cleared {
    success: bool,
    cleared_count: u64,
}

/// `DELETE /api/payments/manual/{payment}`: takes back a payment typed by hand. It is never deleted: a
/// reversal is posted and the wallet pays it back, below zero if it must. A repeat changes nothing.
#[utoipa::path(delete, path = "/api/payments/manual/{payment}", tag = "Payments",
    params(("payment" = PaymentId, Path)), responses((status = 200, body = Cleared)))]
pub async fn void_one(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(payment): Path<PaymentId>,
) -> Result<Json<Cleared>, ApiError> {
    let voided = take_back(&db, &operator, payment, clock.now()).await?;
    let voided = voided.ok_or(ApiError::NotFound("payment"))?;
    Ok(Json(Cleared {
        success: true,
        cleared_count: u64::from(voided),
    }))
}

/// `DELETE /api/payments/manual`: takes back every payment typed by hand, each as
/// `DELETE /api/payments/manual/{payment}` does.
#[utoipa::path(delete, path = "/api/payments/manual", tag = "Payments",
    responses((status = 200, body = Cleared)))]
pub async fn void_all(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<Cleared>, ApiError> {
    let mut cleared_count = 0;
    loop {
        let mut tx = db.begin(operator.tenant).await?;
        let some = store::some_manual(&mut tx, 500).await?;
        drop(tx);
        if some.is_empty() {
            return Ok(Json(Cleared {
                success: true,
                cleared_count,
            }));
        }
        for payment in some {
            let voided = take_back(&db, &operator, payment, clock.now()).await?;
            cleared_count += u64::from(voided == Some(true));
        }
    }
}

async fn take_back(
    db: &Database,
    operator: &Operator,
    payment: PaymentId,
    now: Timestamp,
) -> Result<Option<bool>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let voided = void(&mut tx, payment, now).await?;
    if voided == Some(true) {
        let name = payment.to_string();
        let audit = Audit::new(Action::PaymentRefund, "payment", payment, &name);
        audit::record(&mut tx, &Actor::from(operator), audit, now).await?;
    }
    tx.commit().await?;
    Ok(voided)
}

/// Writes the operator's line of the trail.
async fn note(
    tx: &mut Tx,
    operator: &Operator,
    action: Action,
    received: &Received,
    details: String,
    now: Timestamp,
) -> Result<(), ApiError> {
    let audit = Audit {
        details,
        ..Audit::new(
            action,
            "customer",
            received.customer,
            &received.customer_name,
        )
    };
    audit::record(tx, &Actor::from(operator), audit, now).await?;
    Ok(())
}

/// Money an operator says he has.
fn manual(
    operator: &Operator,
    customer: CustomerId,
    amount: Cents,
    method: Method,
    channel: Channel,
    now: Timestamp,
) -> Receipt {
    Receipt {
        customer,
        amount,
        method,
        till: Till::Own,
        channel,
        receipt: None,
        proven: false,
        paid_at: now,
        intent: None,
        gateway: None,
        operator: Some(operator.id),
        phone: None,
        account: None,
        description: String::new(),
    }
}

fn line(row: ManualRow) -> ManualLine {
    let zone = TimeZone::get(&row.time_zone).unwrap_or(TimeZone::UTC);
    let short = row.id.to_string();
    let short = short.rsplit('-').next().unwrap_or_default().to_uppercase();
    ManualLine {
        id: row.id,
        reference: row.reference.unwrap_or(short),
        account: row.username.unwrap_or_default(),
        amount: row.amount,
        description: row.description,
        date: row
            .created_at
            .in_zone(&zone)
            .strftime("%-d %b %Y %H:%M")
            .to_string(),
    }
}

fn payment(row: ManualRow) -> ManualPayment {
    let customer = match (row.customer_id, row.customer_name) {
        (Some(id), Some(name)) => Some(Payer { id, name }),
        (_, _) => None, // nobody's
    };
    ManualPayment {
        id: row.id,
        amount: row.amount,
        method: row.method,
        description: row.description,
        customer,
        created_at: row.created_at,
    }
}

fn or_else(text: String, default: &str) -> String {
    match text.trim() {
        "" => default.to_owned(),
        _ => text,
    }
}
