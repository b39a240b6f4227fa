//! The provider's wishes, a customer's word, and a message to him.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{CustomerId, MessageId, PromiseId};
use easyisp_shared::time::{Clock, Timestamp};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::REMIND;
use super::rules::{Courtesy, promised};
use super::store::{self, Promise};
use crate::api::{Idempotency, Json, Path, Said};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::customers::{self, Deed, Standing};
use crate::db::Database;
use crate::due;
use crate::error::ApiError;
use crate::messaging::{self, Message};

/// `GET /api/tenant/courtesy`: whether and how subscribers are reminded, and what they may promise.
#[utoipa::path(get, path = "/api/tenant/courtesy", tag = "Tenant",
    responses((status = 200, body = Courtesy)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<Courtesy>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(store::house(&mut tx).await?.courtesy))
}

/// `PUT /api/tenant/courtesy`: changes it as a whole. Reminders go out between 8 and 20 o'clock, each once for
/// one end at one distance; an end that moves is told of anew. Errors: 400 naming the fields.
#[utoipa::path(put, path = "/api/tenant/courtesy", tag = "Tenant", request_body = Courtesy,
    responses((status = 200, body = Courtesy)))]
pub async fn set(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Json(wanted): Json<Courtesy>,
) -> Result<Json<Courtesy>, ApiError> {
    let now = clock.now();
    wanted.check().map_err(ApiError::fields)?;
    let mut tx = db.begin(operator.tenant).await?;
    let before = store::house(&mut tx).await?;
    store::set(&mut tx, &wanted, now).await?;
    let line = Audit {
        before: Some(json!(before.courtesy)),
        after: Some(json!(wanted)),
        ..Audit::new(
            Action::SettingsUpdate,
            "tenant",
            operator.tenant,
            &before.business_name,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    match wanted.reminders {
        true => due::at(&mut tx, REMIND, operator.tenant, now).await?,
        false => due::never(&mut tx, REMIND, operator.tenant).await?,
    }
    tx.commit().await?;
    Ok(Json(wanted))
}

/// For how long a customer promises to pay.
#[derive(Deserialize, ToSchema)]
pub struct PromiseRequest {
    /// 1 to as many as the provider allows.
    days: i32,
}

/// A promise that was taken.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promising {
    success: bool,
    message: String,
    promised_until: Timestamp,
    /// How many more he may give this month.
    left_this_month: i64,
}

/// `POST /api/customers/{customer}/promise`: serves him for some days more on his word to pay, behind what is
/// paid. What he pays later begins with the days he was served, unless his package says that they are free.
///
/// Repeating with the same `Idempotency-Key` returns the first answer. Errors: 400 naming `days`; 409
/// `PROMISE_LIMIT` when he gave as many this month as the provider allows, `NOT_ACTIVE` for who is stopped or
/// paused, `FOLLOWS_PARENT` for a child account.
#[utoipa::path(post, path = "/api/customers/{customer}/promise", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = PromiseRequest,
    responses((status = 200, body = Promising)))]
pub async fn promise(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    mut idempotency: Idempotency,
    Json(request): Json<PromiseRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let known = customers::reach(&mut tx, &operator, customer, Deed::ChangeExpiry, now).await?;
    let house = store::house(&mut tx).await?;
    let most = house.courtesy.promise_days;
    if !(1..=most).contains(&request.days) {
        return Err(ApiError::field(
            "days",
            match most {
                0 => "cannot be: the provider takes no promises".to_owned(),
                most => format!("must be 1 to {most}"),
            },
        ));
    }
    if known.child {
        return Err(ApiError::conflict(
            "FOLLOWS_PARENT",
            "A child account has its parent's time; take the parent's word",
        ));
    }
    if known.standing != Standing::Active {
        return Err(ApiError::conflict(
            "NOT_ACTIVE",
            "Only an active customer is served on his word; activate or resume him first",
        ));
    }
    let zone = TimeZone::get(&house.time_zone).map_err(ApiError::internal)?;
    let first = now.in_zone(&zone).date().first_of_month();
    let first = first.to_zoned(zone).map_err(ApiError::internal)?;
    let month = Timestamp::from_jiff(first.timestamp());
    let given = store::promises_since(&mut tx, customer, month).await?;
    let left = i64::from(house.courtesy.promises_per_month) - given;
    if left <= 0 {
        return Err(ApiError::conflict(
            "PROMISE_LIMIT",
            format!(
                "He gave his word {given} times this month, which is as often as the provider takes it"
            ),
        ));
    }
    let (from, until) = promised(known.served_until, known.promised, request.days, now);
    let taken = Promise {
        id: PromiseId::new(now, &tx.entropy()),
        customer,
        days: request.days,
        from,
        until,
        operator: operator.id,
    };
    store::insert_promise(&mut tx, &taken, now).await?;
    customers::promise(&mut tx, customer, from, until, now).await?;
    let line = Audit {
        details: format!("{} days, until {until}", request.days),
        ..Audit::new(Action::CustomerPromise, "customer", customer, &known.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = Promising {
        success: true,
        message: format!("{} is served until {until} on his word", known.name),
        promised_until: until,
        left_this_month: left - 1,
    };
    let answer = idempotency.finish(&mut tx, StatusCode::OK, &body).await?;
    tx.commit().await?;
    Ok(answer)
}

/// What to write to a customer.
#[derive(Deserialize, ToSchema)]
pub struct MessageRequest {
    /// 1 to 500 characters.
    message: String,
}

/// `POST /api/customers/{customer}/send-message`: a text message to him, sent through the outbox.
///
/// Repeating with the same `Idempotency-Key` returns the first answer and sends nothing more. Errors: 400
/// naming `message`, 422 `NO_PHONE` when no number of his is known.
#[utoipa::path(post, path = "/api/customers/{customer}/send-message", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = MessageRequest,
    responses((status = 200, body = Said)))]
pub async fn send_message(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    mut idempotency: Idempotency,
    Json(request): Json<MessageRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let body = request.message.trim();
    let length = body.chars().count();
    if !(1..=500).contains(&length) || body.contains('\0') {
        return Err(ApiError::field("message", "must have 1 to 500 characters"));
    }
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let known = customers::reach(&mut tx, &operator, customer, Deed::SendMessage, now).await?;
    let Some(to) = known.phone else {
        return Err(ApiError::unprocessable(
            "NO_PHONE",
            "No phone number of his is known; enter one first",
        ));
    };
    let message = Message {
        id: MessageId::new(now, &tx.entropy()),
        to,
        body: body.to_owned(),
        purpose: "message",
        customer: Some(customer),
        initiator: operator.name.clone(),
    };
    messaging::enqueue(&mut tx, &message, now).await?;
    let line = Audit {
        details: format!("{length} characters"),
        ..Audit::new(Action::SendMessage, "customer", customer, &known.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let said = Said::done(format!("The message to {} is on its way", known.name));
    let answer = idempotency.finish(&mut tx, StatusCode::OK, &said).await?;
    tx.commit().await?;
    Ok(answer)
}
