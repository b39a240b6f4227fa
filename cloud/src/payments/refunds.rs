//! `/api/payments/…/refunds`: money back to who paid it, asked for by one operator and approved by another.

use axum::extract::State as With;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{CustomerId, OperatorId, PaymentId, RefundId};
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

use super::Payments;
use super::book::HEARSAY;
use super::held;
use super::prompt::PromptError;
use super::refund::{self, REFUND, State};
use super::said;
use super::store::refunds::{self as store, Refund, Refundable};
use super::store::{gateways, inquiries, settlements};
use crate::api::{Idempotency, Json, Page, Path, Query, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{Operator, Via};
use crate::db::{Database, Tx};
use crate::due;
use crate::error::{ApiError, violated};
use crate::renewals::{self, Service};

/// Over which time the limit of a short code counts.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What M-Pesa sends to a phone at least and at most.
const PAYOUTS: (Cents, Cents) = (Cents::whole(10), Cents::whole(250_000));
/// The longest reason, in characters.
const MOST_REASON: usize = 500;

/// What is to go back.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefundRequest {
    /// How much; empty = all that is left of the payment. The whole payment is reversed, a part is sent to the
    /// payer's phone, in whole shillings.
    #[serde(default, deserialize_with = "blank::option")]
    amount: Option<Cents>,
    /// What becomes of the time that the money had bought.
    service: Service,
    /// Why, for who approves it and for the trail.
    reason: String,
}

/// A refund as the API shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Refund)]
pub struct Shown {
    id: RefundId,
    payment_id: PaymentId,
    customer_id: Option<CustomerId>,
    amount: Cents,
    service: Service,
    reason: String,
    state: State,
    /// For people.
    message: Option<String>,
    requested_by: OperatorId,
    requested_at: Timestamp,
    decided_by: Option<OperatorId>,
    decided_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    /// M-Pesa's receipt of the money that went back.
    receipt: Option<String>,
}

impl From<Refund> for Shown {
    fn from(row: Refund) -> Shown {
        Shown {
            id: row.id,
            payment_id: row.payment_id,
            customer_id: row.customer_id,
            amount: row.amount,
            service: row.service,
            reason: row.reason,
            state: row.state,
            message: row.message,
            requested_by: row.requested_by,
            requested_at: row.requested_at,
            decided_by: row.decided_by,
            decided_at: row.decided_at,
            ended_at: row.ended_at,
            receipt: row.receipt,
        }
    }
}

/// `POST /api/payments/{payment}/refunds`: asks for money to go back to who paid it. Nothing moves before another
/// operator approves it.
///
/// Repeating a request (same `Idempotency-Key` header) returns the first answer. Errors: 400 amount, reason or
/// service, 404 unknown payment, 409 `NOT_REFUNDABLE` or `REFUND_OPEN`, 422 `NO_PHONE`, `NO_GATEWAY`, `NO_INITIATOR`,
/// `NO_CERTIFICATE`, `NO_SOURCES`, `NO_PUBLIC_URL` or `PUBLIC_URL_REFUSED`.
#[utoipa::path(post, path = "/api/payments/{payment}/refunds", tag = "Refunds",
    params(("payment" = PaymentId, Path)), request_body = RefundRequest,
    responses((status = 201, body = Shown)))]
pub async fn request(
    operator: Operator,
    With(payments): With<Payments>,
    Path(payment): Path<PaymentId>,
    mut idempotency: Idempotency,
    Json(request): Json<RefundRequest>,
) -> Result<Response, ApiError> {
    let now = payments.clock.now();
    let reason = reason(&request.reason)?;
    let mut tx = payments.db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let found = store::lock_payment(&mut tx, payment).await?;
    let found = found.ok_or(ApiError::NotFound("payment"))?;
    let receipt = refundable(&found)?;
    let amount = amount(&found, &request)?;
    let gateway = match found.gateway_id {
        Some(gateway) => gateway,
        None => {
            let gateway = inquiries::gateway_of(&mut tx, &receipt).await?;
            gateway.ok_or(PromptError::NoGateway)?
        }
    };
    let keys = gateways::find(&mut tx, gateway).await?;
    let keys = keys.ok_or(PromptError::NoGateway)?;
    if keys.kind.sends_back() {
        // What would keep it from being sent is said now.
        payments.asking(&mut tx, gateway).await?;
    }
    let refund = Refund {
        id: RefundId::new(now, payments.db.entropy()),
        payment_id: payment,
        gateway_id: gateway,
        customer_id: found.customer,
        bearer_id: None,
        amount,
        whole: amount == found.amount,
        service: request.service,
        reason,
        state: State::Requested,
        message: None,
        requested_by: operator.id,
        requested_at: now,
        decided_by: None,
        decided_at: None,
        attempts: 0,
        asked: 0,
        sent_at: None,
        ended_at: None,
        originator_conversation_id: None,
        conversation_id: None,
        receipt: None,
        paid_receipt: Some(receipt),
        phone: found.phone,
        platform: keys.platform,
        provider: keys.kind,
    };
    store::insert(&mut tx, &refund)
        .await
        .map_err(|cause| match violated(&cause) {
            Some("refund_open") => ApiError::conflict(
                "REFUND_OPEN",
                "A refund of this payment is open already; it must be decided first",
            ),
            Some(_) | None => cause.into(),
        })?;
    let what = format!("Asked for {amount} to be sent back: {}", refund.reason);
    note(
        &mut tx,
        &operator,
        Action::RefundRequest,
        &refund,
        what,
        now,
    )
    .await?;
    let shown = Shown::from(refund);
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &shown)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// The receipt of a payment that can be sent back.
fn refundable(found: &Refundable) -> Result<String, ApiError> {
    let not = |why: &str| Err(ApiError::conflict("NOT_REFUNDABLE", why));
    match &found.receipt {
        _ if found.status != "completed" => not("This payment was sent or taken back already"),
        _ if HEARSAY.contains(&found.description.as_str()) => {
            not("M-Pesa has not said that this payment came; ask about its receipt first")
        }
        None => not("M-Pesa has not told the receipt of this payment yet; wait for it"),
        Some(receipt) => Ok(receipt.clone()),
    }
}

/// How much goes back.
fn amount(found: &Refundable, request: &RefundRequest) -> Result<Cents, ApiError> {
    let wrong = |what: String| Err(ApiError::field("amount", what));
    let left = found.amount.minus(found.refunded).unwrap_or(Cents::ZERO);
    let amount = request.amount.unwrap_or(left);
    if !left.is_positive() {
        return Err(ApiError::conflict(
            "NOT_REFUNDABLE",
            "Nothing is left of this payment",
        ));
    }
    if !amount.is_positive() || amount > left {
        return wrong(format!(
            "must be more than nothing and at most {left}, what is left of the payment"
        ));
    }
    if amount.rounded_up_to_whole() != amount {
        return wrong("must be whole shillings: M-Pesa moves nothing less".to_owned());
    }
    if found.customer.is_none() && request.service != Service::Keep {
        return Err(ApiError::field(
            "service",
            "must be KEEP: it is nobody's, and bought no time",
        ));
    }
    if amount == found.amount {
        return Ok(amount);
    }
    if found.customer.is_none() {
        return wrong(
            "must be the whole payment, or allocate it first: it is nobody's yet".to_owned(),
        );
    }
    if amount < PAYOUTS.0 || amount > PAYOUTS.1 {
        return wrong(
            "must be between 10 and 250000: M-Pesa sends to phones no less and no more".to_owned(),
        );
    }
    if found
        .phone
        .as_deref()
        .and_then(PhoneNumber::parse)
        .is_none()
    {
        return Err(ApiError::unprocessable(
            "NO_PHONE",
            "M-Pesa did not tell the payer's whole number, so a part cannot be sent to him; send all of it back",
        ));
    }
    Ok(amount)
}

fn reason(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= MOST_REASON && !text.contains('\0');
    fits.then(|| text.to_owned()).ok_or_else(|| {
        ApiError::field(
            "reason",
            format!("must say why, in at most {MOST_REASON} characters"),
        )
    })
}

/// Which refunds to list.
#[derive(Deserialize, IntoParams)]
pub struct Filter {
    /// Those that stand so.
    #[param(inline)]
    state: Option<State>,
}

/// A page of refunds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refunds {
    refunds: Vec<Shown>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// `GET /api/payments/refunds`: refunds, newest first. Without `page` the newest 1,000.
#[utoipa::path(get, path = "/api/payments/refunds", tag = "Refunds",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), Filter),
    responses((status = 200, body = Refunds)))]
pub async fn list(
    operator: Operator,
    With(db): With<Database>,
    page: Page,
    Query(filter): Query<Filter>,
) -> Result<Json<Refunds>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let (rows, total) = store::list(&mut tx, filter.state, page).await?;
    Ok(Json(Refunds {
        refunds: rows.into_iter().map(Shown::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// `GET /api/payments/refunds/{refund}`: how a refund stands.
#[utoipa::path(get, path = "/api/payments/refunds/{refund}", tag = "Refunds",
    params(("refund" = RefundId, Path)), responses((status = 200, body = Shown)))]
pub async fn one(
    operator: Operator,
    With(db): With<Database>,
    Path(refund): Path<RefundId>,
) -> Result<Json<Shown>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let found = store::find(&mut tx, refund).await?;
    Ok(Json(found.ok_or(ApiError::NotFound("refund"))?.into()))
}

/// `POST /api/payments/refunds/{refund}/approve`: another operator says yes. The money is set aside and sent.
///
/// Repeating it changes nothing. Errors: 403 `OWN_REFUND` for who asked for it, 403 `PERSON_NEEDED` for a program and
/// for somebody of the platform, 404, 409 `REFUND_DECIDED`, `NOT_REFUNDABLE`, `REFUND_LIMIT`, or `NOT_HELD` where the
/// platform collected the money and has paid it out to the tenant since.
#[utoipa::path(post, path = "/api/payments/refunds/{refund}/approve", tag = "Refunds",
    params(("refund" = RefundId, Path)), responses((status = 200, body = Shown)))]
pub async fn approve(
    operator: Operator,
    With(payments): With<Payments>,
    Path(refund): Path<RefundId>,
) -> Result<Json<Shown>, ApiError> {
    let now = payments.clock.now();
    operator.fresh_in_console(now)?;
    let mut tx = payments.db.begin(operator.tenant).await?;
    let mut refund = locked(&mut tx, refund).await?;
    second_person(&operator, &refund)?;
    match refund.state {
        State::Requested => {}
        State::Approved | State::Sent | State::Unknown | State::Done | State::Failed
            if refund.decided_by == Some(operator.id) =>
        {
            return Ok(Json(refund.into()));
        }
        State::Approved
        | State::Sent
        | State::Unknown
        | State::Done
        | State::Failed
        | State::Declined => return Err(decided()),
    }
    let left = store::left_of_day(&mut tx, refund.gateway_id, now.minus(DAY)).await?;
    if left.is_none_or(|left| left < refund.amount) {
        return Err(ApiError::conflict(
            "REFUND_LIMIT",
            "More would be sent back in 24 hours than refundDayLimit of the payment gateway allows; wait, or raise it",
        ));
    }
    if refund.platform {
        // What was paid out to the tenant is not the platform's to send back.
        settlements::lock_collecting(&mut tx).await?;
        if held::free(&mut tx, None).await? < refund.amount {
            return Err(ApiError::conflict(
                "NOT_HELD",
                "The platform does not hold so much for you any more: it was paid out to you. Pay this back yourself, \
                 or wait until more has come in",
            ));
        }
    }
    refund.bearer_id = renewals::reserve(&mut tx, &refund.money(), now).await?;
    refund.state = State::Approved;
    (refund.decided_by, refund.decided_at) = (Some(operator.id), Some(now));
    store::save(&mut tx, &refund).await?;
    due::at(&mut tx, REFUND, refund.id, now).await?;
    let what = format!("Approved that {} is sent back", refund.amount);
    note(
        &mut tx,
        &operator,
        Action::RefundApprove,
        &refund,
        what,
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(refund.into()))
}

/// `POST /api/payments/refunds/{refund}/decline`: it is not approved, or whoever asked for it takes it back. Nothing
/// moves. Repeating it changes nothing. Errors: 404, 409 `REFUND_DECIDED`.
#[utoipa::path(post, path = "/api/payments/refunds/{refund}/decline", tag = "Refunds",
    params(("refund" = RefundId, Path)), responses((status = 200, body = Shown)))]
pub async fn decline(
    operator: Operator,
    With(payments): With<Payments>,
    Path(refund): Path<RefundId>,
) -> Result<Json<Shown>, ApiError> {
    let now = payments.clock.now();
    let mut tx = payments.db.begin(operator.tenant).await?;
    let mut refund = locked(&mut tx, refund).await?;
    match refund.state {
        State::Requested => {}
        State::Declined => return Ok(Json(refund.into())),
        State::Approved | State::Sent | State::Unknown | State::Done | State::Failed => {
            return Err(decided());
        }
    }
    refund.state = State::Declined;
    (refund.decided_by, refund.decided_at) = (Some(operator.id), Some(now));
    refund.ended_at = Some(now);
    store::save(&mut tx, &refund).await?;
    let what = format!("Declined that {} is sent back", refund.amount);
    note(
        &mut tx,
        &operator,
        Action::RefundDecline,
        &refund,
        what,
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(refund.into()))
}

/// What M-Pesa's statement shows.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeRequest {
    /// True: the money went.
    sent: bool,
    /// M-Pesa's receipt of it; required where it went.
    #[serde(default, deserialize_with = "blank::option")]
    receipt: Option<String>,
}

/// `POST /api/payments/refunds/{refund}/outcome`: a person says, from M-Pesa's statement, whether the money went, where
/// M-Pesa itself does not. Who asked for the refund does not say it.
///
/// Errors: 400 no receipt, 403 `OWN_REFUND` or `PERSON_NEEDED`, 404, 409 `REFUND_KNOWN` when it is known, or M-Pesa's
/// answer is waited for.
#[utoipa::path(post, path = "/api/payments/refunds/{refund}/outcome", tag = "Refunds",
    params(("refund" = RefundId, Path)), request_body = OutcomeRequest,
    responses((status = 200, body = Shown)))]
pub async fn outcome(
    operator: Operator,
    With(payments): With<Payments>,
    Path(refund): Path<RefundId>,
    Json(request): Json<OutcomeRequest>,
) -> Result<Json<Shown>, ApiError> {
    let now = payments.clock.now();
    operator.fresh_in_console(now)?;
    let mut tx = payments.db.begin(operator.tenant).await?;
    let mut refund = locked(&mut tx, refund).await?;
    let provider = refund.provider;
    let read = |text: &str| provider.receipt_of(text);
    let (typed, form) = (request.receipt.as_deref(), provider.form_of_receipt());
    let receipt = said::receipt(request.sent, typed, read, form)?;
    second_person(&operator, &refund)?;
    if refund.state != State::Unknown {
        return Err(ApiError::conflict(
            "REFUND_KNOWN",
            "What became of this refund is known, or M-Pesa's answer is waited for; nothing is to be said",
        ));
    }
    let what = match &receipt {
        Some(receipt) => format!(
            "Said that {} went back with receipt {receipt}",
            refund.amount
        ),
        None => format!("Said that {} did not go back", refund.amount),
    };
    match receipt {
        Some(receipt) => refund::done(&mut tx, &mut refund, Some(receipt), now).await?,
        None => {
            let why = format!(
                "Not in {}'s statement, as a person says",
                refund.provider.name()
            );
            refund::fail(&mut tx, &mut refund, why, now).await?;
        }
    }
    note(&mut tx, &operator, Action::RefundSettle, &refund, what, now).await?;
    tx.commit().await?;
    Ok(Json(refund.into()))
}

async fn locked(tx: &mut Tx, refund: RefundId) -> Result<Refund, ApiError> {
    let found = store::lock(tx, refund).await?;
    found.ok_or(ApiError::NotFound("refund"))
}

/// Nobody decides his own, and only a person of the tenant decides: neither a program nor the platform's support.
fn second_person(operator: &Operator, refund: &Refund) -> Result<(), ApiError> {
    let forbidden = |code, message: &str| {
        Err(ApiError::Forbidden {
            code,
            message: message.to_owned(),
        })
    };
    match operator.via {
        Via::Key(_) | Via::Visit => forbidden(
            "PERSON_NEEDED",
            "A person of this provider must sign in to decide about a refund",
        ),
        Via::Session | Via::Console if refund.requested_by == operator.id => forbidden(
            "OWN_REFUND",
            "You asked for this refund; another operator must decide about it",
        ),
        Via::Session | Via::Console => Ok(()),
    }
}

fn decided() -> ApiError {
    ApiError::conflict("REFUND_DECIDED", "This refund is decided already")
}

async fn note(
    tx: &mut Tx,
    operator: &Operator,
    action: Action,
    refund: &Refund,
    details: String,
    now: Timestamp,
) -> Result<(), ApiError> {
    let receipt = refund.paid_receipt.as_deref().unwrap_or_default();
    let line = Audit {
        details,
        ..Audit::new(action, "payment", refund.payment_id, receipt)
    };
    audit::record(tx, &Actor::from(operator), line, now).await?;
    Ok(())
}
