//! What the platform's own people change about tenants, at `/api/super-admin`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::TenantId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::read::Tenant;
use crate::api::{Idempotency, Json, Path, blank, is_masked};
use crate::audit::Actor;
use crate::auth::{Email, Operator, bad_email};
use crate::db::Database;
use crate::error::{ApiError, ErrorEnvelope, Wrong};
use crate::secrets::Secrets;
use crate::tenants::governed::{self, Deed, Settings};
use crate::tenants::terms::Longer;

/// A tenant after a deed.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformChanged)]
pub struct Changed {
    /// For people.
    message: String,
    tenant: Tenant,
}

/// Done, in words.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformDone)]
pub struct Message {
    pub(super) message: String,
}

/// How long a subscription begins with.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    /// 1 to 120; absent = without end.
    #[serde(default, deserialize_with = "blank::option")]
    subscription_months: Option<u32>,
}

/// `POST /api/super-admin/tenants/{tenant}/activate`: a subscription from now. Errors: 400, 404.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/activate", tag = "Platform",
    params(("tenant" = TenantId, Path)), request_body = Activation,
    responses((status = 200, body = Changed)))]
pub async fn activate(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    idempotency: Idempotency,
    Path(tenant): Path<TenantId>,
    Json(request): Json<Activation>,
) -> Result<Response, ApiError> {
    let months = request.subscription_months;
    if let Some(months) = months {
        within("subscriptionMonths", months, 120)?;
    }
    let deed = (Deed::Activate(months), "Activated");
    change(&db, &operator, idempotency, tenant, deed, clock.now()).await
}

/// `POST /api/super-admin/tenants/{tenant}/suspend`: everybody of it is out from the next request; its
/// subscribers keep what they paid for. Errors: 404, 409 `ALREADY_SUSPENDED`.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/suspend", tag = "Platform",
    params(("tenant" = TenantId, Path)), responses((status = 200, body = Changed),
        (status = 409, body = ErrorEnvelope)))]
pub async fn suspend(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    idempotency: Idempotency,
    Path(tenant): Path<TenantId>,
) -> Result<Response, ApiError> {
    let deed = (Deed::Suspend, "Suspended");
    change(&db, &operator, idempotency, tenant, deed, clock.now()).await
}

/// `POST /api/super-admin/tenants/{tenant}/reactivate`: as before it was suspended. Errors: 404, 409
/// `NOT_SUSPENDED`.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/reactivate", tag = "Platform",
    params(("tenant" = TenantId, Path)), responses((status = 200, body = Changed),
        (status = 409, body = ErrorEnvelope)))]
pub async fn reactivate(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    idempotency: Idempotency,
    Path(tenant): Path<TenantId>,
) -> Result<Response, ApiError> {
    let deed = (Deed::Reactivate, "Reactivated");
    change(&db, &operator, idempotency, tenant, deed, clock.now()).await
}

/// More of a trial.
#[derive(Deserialize, ToSchema)]
pub struct MoreTrial {
    /// 1 to 365.
    days: u32,
}

/// `POST /api/super-admin/tenants/{tenant}/extend-trial`: more days from the trial's end, or from now where
/// that has passed. Errors: 400, 404, 409 `PAST_TRIAL`.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/extend-trial", tag = "Platform",
    params(("tenant" = TenantId, Path)), request_body = MoreTrial,
    responses((status = 200, body = Changed), (status = 409, body = ErrorEnvelope)))]
pub async fn extend_trial(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    idempotency: Idempotency,
    Path(tenant): Path<TenantId>,
    Json(request): Json<MoreTrial>,
) -> Result<Response, ApiError> {
    within("days", request.days, 365)?;
    let deed = (Deed::ExtendTrial(request.days), "Trial extended");
    change(&db, &operator, idempotency, tenant, deed, clock.now()).await
}

/// More of a subscription: one of both.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MoreSubscription {
    /// 1 to 120 more.
    #[serde(default, deserialize_with = "blank::option")]
    months: Option<u32>,
    /// The new end.
    #[serde(default, deserialize_with = "blank::option")]
    subscription_ends_at: Option<Timestamp>,
}

/// `POST /api/super-admin/tenants/{tenant}/extend-subscription`: more months from its end, or a new end.
/// Errors: 400, 404, 409 `NEVER_ENDS`.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/extend-subscription", tag = "Platform",
    params(("tenant" = TenantId, Path)), request_body = MoreSubscription,
    responses((status = 200, body = Changed), (status = 409, body = ErrorEnvelope)))]
pub async fn extend_subscription(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    idempotency: Idempotency,
    Path(tenant): Path<TenantId>,
    Json(request): Json<MoreSubscription>,
) -> Result<Response, ApiError> {
    let longer = match (request.months, request.subscription_ends_at) {
        (Some(months), None) => {
            within("months", months, 120)?;
            Longer::Months(months)
        }
        (None, Some(end)) => Longer::Until(end),
        (_, _) => {
            let what = "must be given, or subscriptionEndsAt, and not both";
            return Err(ApiError::field("months", what));
        }
    };
    let deed = (Deed::Extend(longer), "Subscription extended");
    change(&db, &operator, idempotency, tenant, deed, clock.now()).await
}

async fn change(
    db: &Database,
    operator: &Operator,
    mut idempotency: Idempotency,
    tenant: TenantId,
    (deed, message): (Deed, &str),
    now: Timestamp,
) -> Result<Response, ApiError> {
    let mut tx = governed::begin(db, tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let row = governed::change(&mut tx, &Actor::from(operator), deed, now).await?;
    let body = Changed {
        message: format!("{message}: {}", row.business_name),
        tenant: Tenant::of(row, now),
    };
    let answer = idempotency.finish(&mut tx, StatusCode::OK, &body).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Money that a tenant paid in advance.
#[derive(Deserialize, ToSchema)]
pub struct TopUp {
    /// More than 0, at most 10,000,000.
    amount: Cents,
    /// What it is for.
    #[serde(rename = "type")]
    kind: Balance,
}

/// Which of a tenant's balances.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PlatformBalance)]
pub enum Balance {
    /// What it owes us.
    Wallet,
    /// Its messages.
    Sms,
}

/// `POST /api/super-admin/tenants/{tenant}/add-balance`: adds to a balance. With an `Idempotency-Key` a
/// repeat adds nothing. Errors: 400, 404.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/add-balance", tag = "Platform",
    params(("tenant" = TenantId, Path)), request_body = TopUp,
    responses((status = 200, body = Changed)))]
pub async fn add_balance(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    mut idempotency: Idempotency,
    Path(tenant): Path<TenantId>,
    Json(request): Json<TopUp>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    if !request.amount.is_positive() || request.amount > Cents::whole(10_000_000) {
        let what = "must be more than 0 and at most 10,000,000";
        return Err(ApiError::field("amount", what));
    }
    let amounts = match request.kind {
        Balance::Wallet => (request.amount, Cents::default()),
        Balance::Sms => (Cents::default(), request.amount),
    };
    let mut tx = governed::begin(&db, tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let actor = Actor::from(&operator);
    let row = governed::add_balance(&mut tx, &actor, amounts, now).await?;
    let body = Changed {
        message: format!("Added {} to {}", request.amount, row.business_name),
        tenant: Tenant::of(row, now),
    };
    let answer = idempotency.finish(&mut tx, StatusCode::OK, &body).await?;
    tx.commit().await?;
    Ok(answer)
}

/// A change of a tenant's own data; what is absent stays, phone, location and the message fields may be
/// emptied, a masked or empty key is unchanged.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlatformSettings)]
pub struct SettingsRequest {
    #[serde(default, deserialize_with = "blank::option")]
    business_name: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    email: Option<String>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    phone: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    location: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    sms_provider: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    sms_api_key: Option<SecretString>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    sms_sender_id: Option<Option<String>>,
}

/// `PUT /api/super-admin/tenants/{tenant}/settings`: changes what is mentioned. Errors: 400, 404.
#[utoipa::path(put, path = "/api/super-admin/tenants/{tenant}/settings", tag = "Platform",
    params(("tenant" = TenantId, Path)), request_body = SettingsRequest,
    responses((status = 200, body = Changed)))]
pub async fn settings(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(tenant): Path<TenantId>,
    Json(request): Json<SettingsRequest>,
) -> Result<Json<Changed>, ApiError> {
    let now = clock.now();
    let settings = checked(request)?;
    let mut tx = governed::begin(&db, tenant).await?;
    let actor = Actor::from(&operator);
    let row = governed::set(&mut tx, &secrets, &actor, &settings, now).await?;
    tx.commit().await?;
    Ok(Json(Changed {
        message: format!("Saved: {}", row.business_name),
        tenant: Tenant::of(row, now),
    }))
}

fn checked(request: SettingsRequest) -> Result<Settings, ApiError> {
    let mut wrong = Wrong::default();
    let business_name = request.business_name.map(|name| name.trim().to_owned());
    let length = business_name.as_deref().map(|name| name.chars().count());
    if length.is_some_and(|length| !(2..=100).contains(&length)) {
        wrong.add("businessName", "must have 2 to 100 characters");
    }
    for (field, text) in [
        ("phone", &request.phone),
        ("location", &request.location),
        ("smsProvider", &request.sms_provider),
        ("smsSenderId", &request.sms_sender_id),
    ] {
        let text = text.as_ref().and_then(Option::as_ref);
        if text.is_some_and(|text| text.chars().count() > 200) {
            wrong.add(field, "must have at most 200 characters");
        }
    }
    let key = request.sms_api_key;
    let key = key.filter(|key| !is_masked(key.expose_secret()));
    if key
        .as_ref()
        .is_some_and(|key| key.expose_secret().len() > 500)
    {
        wrong.add("smsApiKey", "must have at most 500 characters");
    }
    wrong.none_or(()).map_err(ApiError::fields)?;
    let email = request.email.as_deref();
    let email = email.map(|text| Email::parse(text).ok_or_else(|| bad_email("email")));
    Ok(Settings {
        business_name,
        email: email.transpose()?,
        phone: request.phone,
        location: request.location,
        sms_provider: request.sms_provider,
        sms_api_key: key,
        sms_sender_id: request.sms_sender_id,
    })
}

/// `DELETE /api/super-admin/tenants/{tenant}`: hidden and cut off at once: its people, their programs and its
/// boxes. Money that still arrives is booked. After 30 days its books go to a file in the server's data folder
/// and its rows for good. Errors: 404.
#[utoipa::path(delete, path = "/api/super-admin/tenants/{tenant}", tag = "Platform",
    params(("tenant" = TenantId, Path)), responses((status = 200, body = Message)))]
pub async fn delete(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(tenant): Path<TenantId>,
) -> Result<Json<Message>, ApiError> {
    let now = clock.now();
    let mut tx = governed::begin(&db, tenant).await?;
    governed::delete(&mut tx, &Actor::from(&operator), now).await?;
    tx.commit().await?;
    Ok(Json(Message {
        message: "Deleted: nobody of this tenant can sign in any more. In 30 days its books go to a file \
                  and its rows for good"
            .to_owned(),
    }))
}

fn within(field: &str, number: u32, most: u32) -> Result<(), ApiError> {
    match (1..=most).contains(&number) {
        true => Ok(()),
        false => Err(ApiError::field(field, format!("must be from 1 to {most}"))),
    }
}
