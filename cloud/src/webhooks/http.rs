//! `/api/webhooks`.

pub mod deliveries;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use easyisp_shared::id::WebhookId;
use easyisp_shared::time::{Clock, Timestamp};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::rules::{self, MOST, ROTATION};
use super::store::{self, Stored};
use super::{Hooks, SECRET, jobs};
use crate::api::{Idempotency, Json, Path, Success, Version, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::error::{ApiError, Wrong};
use crate::outbound::{self, Unfit};
use crate::secrets::Secrets;

/// The tenant's webhooks.
#[derive(Serialize, ToSchema)]
pub struct Webhooks {
    /// The newest first, at most 20.
    webhooks: Vec<Webhook>,
    total: usize,
}

/// An address that is told what happens.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    id: WebhookId,
    url: String,
    description: Option<String>,
    /// What it is told: `payment.received`, `payment.refunded`, `refund.failed`, `customer.created`, `customer.expired`, `customer.renewed`,
    /// `router.down`, `router.up`, `router.configuration_changed`, `voucher.used`, `alert.raised`, `alert.cleared`.
    events: Vec<String>,
    /// Whether it is told anything.
    enabled: bool,
    /// Why it was switched off by itself; null = it was not.
    off_reason: Option<String>,
    /// Until when the secret before signs beside the new one.
    previous_secret_until: Option<Timestamp>,
    /// Since when nothing has got through; after three days it is switched off.
    failing_since: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Stored> for Webhook {
    fn from(row: Stored) -> Webhook {
        Webhook {
            id: row.id,
            url: row.url,
            description: row.description,
            events: row.events,
            enabled: row.enabled,
            off_reason: row.off_reason,
            previous_secret_until: row.previous_until,
            failing_since: row.failing_since,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A webhook and its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeWebhook {
    #[serde(flatten)]
    about: Webhook,
    /// Signs what is sent: `EasyISP-Signature: t=<unix seconds>,v1=<hex>` holds the HMAC-SHA256 of
    /// `<t>.<body>` under this text. Shown once.
    secret: String,
}

/// What a webhook is to be.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookRequest {
    /// `https://…`, at port 443 or one from 1024 on, on the public internet.
    #[serde(default, deserialize_with = "blank::option")]
    url: Option<String>,
    /// What it wants to be told; at least one.
    #[serde(default, deserialize_with = "blank::option")]
    events: Option<Vec<String>>,
    /// For people: at most 200 characters.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// Only in a change. Switching it on again forgets why it was off.
    #[serde(default, deserialize_with = "blank::option")]
    enabled: Option<bool>,
}

/// `GET /api/webhooks`: the tenant's webhooks.
#[utoipa::path(get, path = "/api/webhooks", tag = "Webhooks", responses((status = 200, body = Webhooks)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<Webhooks>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let rows = store::list(&mut tx, MOST).await?;
    Ok(Json(Webhooks {
        total: rows.len(),
        webhooks: rows.into_iter().map(Webhook::from).collect(),
    }))
}

/// `POST /api/webhooks`: an address that is told of `events` from now on, and the secret that signs.
///
/// Each event is sent as `{"id", "event", "createdAt", "tenantId", "data"}` until the address answers with
/// 2xx, ten times in three days at most; the same `id` may come twice, and events in any order. `data` of
/// `payment.received`: paymentId, customerId (null for money that nobody knows), amount, method, source
/// (`PAYMENT` or `RECHARGE`), receipt, paidAt; `payment.refunded` and `refund.failed`: refundId, paymentId,
/// customerId, amount, service, receipt (of the money that went back); `customer.created`: customerId, accountNumber, username,
/// connectionType, packageId, siteId, expiresAt; `customer.expired`: customerId, accountNumber, username,
/// packageId, expiredAt; `customer.renewed`: customerId, periodId, packageId, price, startsAt, endsAt,
/// paymentId, voucherId; `voucher.used`: voucherId, customerId, packageId, price, startsAt, endsAt;
/// `router.down` and `router.up`: routerId, name, siteId, lastSeen, siteLastSeen. A router is down when
/// nothing was heard of it for 15 minutes; whether its site was heard of meanwhile says whose fault it is.
/// `router.configuration_changed`, when somebody changed something at a router by hand or by another program:
/// routerId, name, configurationId, takenAt, linesAdded, linesRemoved.
/// `alert.raised` and `alert.cleared`: alertId, rule, severity, siteId, routerId, device, subject, value, message, raisedAt,
/// clearedAt, flaps.
///
/// For people only, who showed their password just now. Errors: 400 naming the fields, 403 `PERSON_ONLY` and
/// `FRESH_LOGIN_REQUIRED`, 409 `TOO_MANY_WEBHOOKS` over 20. Repeating with the same `Idempotency-Key` returns
/// the first answer.
#[utoipa::path(post, path = "/api/webhooks", tag = "Webhooks", request_body = WebhookRequest,
    responses((status = 201, body = MadeWebhook)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(hooks): State<Hooks>,
    mut idempotency: Idempotency,
    Json(request): Json<WebhookRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let address = address(&hooks, &request).await;
    let mut row = changed(None, request, address)?;
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    store::lock_list(&mut tx).await?;
    let mut all = store::list(&mut tx, MOST).await?;
    if all.len() == MOST {
        let what = format!("There are {MOST} webhooks already; delete one");
        return Err(ApiError::conflict("TOO_MANY_WEBHOOKS", what));
    }
    row.id = WebhookId::new(now, &tx.entropy());
    (row.created_at, row.updated_at) = (now, now);
    let secret = rules::new_secret(&tx.entropy());
    let sealed = seal(&mut tx, &secrets, row.id, &secret).await?;
    store::insert(&mut tx, &row, &sealed).await?;
    all.push(row.clone());
    jobs::begin(&mut tx, &all, now).await?;
    let name = outbound::origin(&row.url);
    let line = Audit {
        after: Some(facts(&row)),
        ..Audit::new(Action::WebhookCreate, "webhook", row.id, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = MadeWebhook {
        about: row.into(),
        secret: secret.expose_secret().to_owned(),
    };
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// `GET /api/webhooks/{webhook}`: one webhook; the `ETag` names this version of it. Errors: 404.
#[utoipa::path(get, path = "/api/webhooks/{webhook}", tag = "Webhooks",
    params(("webhook" = WebhookId, Path)), responses((status = 200, body = Webhook)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    Path(webhook): Path<WebhookId>,
) -> Result<Response, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(answer(find(&mut tx, webhook).await?))
}

/// `PUT /api/webhooks/{webhook}`: changes what is mentioned; `""` empties the description. What waits to be
/// sent goes to the new address; what is switched off is given up when its time comes, and can be replayed.
///
/// With `If-Match` only that version is changed, else 412. Errors: 400 naming the fields, 404; a new address
/// asks for a person who showed his password just now, 403 `PERSON_ONLY` and `FRESH_LOGIN_REQUIRED`.
#[utoipa::path(put, path = "/api/webhooks/{webhook}", tag = "Webhooks",
    params(("webhook" = WebhookId, Path)), request_body = WebhookRequest,
    responses((status = 200, body = Webhook)))]
pub async fn update(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(hooks): State<Hooks>,
    Path(webhook): Path<WebhookId>,
    headers: HeaderMap,
    Json(request): Json<WebhookRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let address = address(&hooks, &request).await;
    let mut tx = db.begin(operator.tenant).await?;
    store::lock_list(&mut tx).await?;
    let before = find(&mut tx, webhook).await?;
    Version(before.version).is_meant(&headers)?;
    let wanted = changed(Some(&before), request, address)?;
    if wanted.url != before.url {
        operator.fresh(now)?;
    }
    store::update(&mut tx, &wanted, now).await?;
    let all = store::list(&mut tx, MOST).await?;
    jobs::begin(&mut tx, &all, now).await?;
    let name = outbound::origin(&wanted.url);
    let line = Audit {
        before: Some(facts(&before)),
        after: Some(facts(&wanted)),
        ..Audit::new(Action::WebhookUpdate, "webhook", webhook, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let row = find(&mut tx, webhook).await?;
    tx.commit().await?;
    Ok(answer(row))
}

/// `DELETE /api/webhooks/{webhook}`: nothing is sent to it any more, also of what was tried before; its log
/// and its secret are gone. Errors: 404.
#[utoipa::path(delete, path = "/api/webhooks/{webhook}", tag = "Webhooks",
    params(("webhook" = WebhookId, Path)), responses((status = 200, body = Success)))]
pub async fn delete(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(webhook): Path<WebhookId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    store::lock_list(&mut tx).await?;
    let before = find(&mut tx, webhook).await?;
    store::delete(&mut tx, webhook, now).await?;
    let name = outbound::origin(&before.url);
    let line = Audit {
        before: Some(facts(&before)),
        ..Audit::new(Action::WebhookDelete, "webhook", webhook, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

/// A new secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    /// Signs from now on. Shown once.
    secret: String,
    /// Until when the secret before signs as well: a `v1` of its own in the same header.
    previous_secret_until: Timestamp,
}

/// `POST /api/webhooks/{webhook}/rotate-secret`: another secret, beside which the one before signs for 24
/// hours more. A second rotation within them ends the oldest at once.
///
/// Errors: 403 `PERSON_ONLY` and `FRESH_LOGIN_REQUIRED`, 404. Repeating with the same `Idempotency-Key` returns the first answer.
#[utoipa::path(post, path = "/api/webhooks/{webhook}/rotate-secret", tag = "Webhooks",
    params(("webhook" = WebhookId, Path)), responses((status = 200, body = Rotated)))]
pub async fn rotate_secret(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(webhook): Path<WebhookId>,
    mut idempotency: Idempotency,
) -> Result<Response, ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    store::lock_list(&mut tx).await?;
    let row = find(&mut tx, webhook).await?;
    let secret = rules::new_secret(&tx.entropy());
    let sealed = seal(&mut tx, &secrets, webhook, &secret).await?;
    let until = now.plus(ROTATION);
    store::rotate(&mut tx, webhook, &sealed, until, now).await?;
    let name = outbound::origin(&row.url);
    let line = Audit {
        details: format!("The one before signs until {until}"),
        ..Audit::new(Action::WebhookRotate, "webhook", webhook, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = Rotated {
        secret: secret.expose_secret().to_owned(),
        previous_secret_until: until,
    };
    let answer = idempotency.finish(&mut tx, StatusCode::OK, &body).await?;
    tx.commit().await?;
    Ok(answer)
}

/// The address that a request names, looked up: no transaction is open meanwhile.
async fn address(hooks: &Hooks, request: &WebhookRequest) -> Option<Result<Url, Unfit>> {
    let url = match outbound::typed(request.url.as_ref()?, hooks.reach) {
        Ok(url) => url,
        Err(unfit) => return Some(Err(unfit)),
    };
    let fit = outbound::leads_within(&url, hooks.reach).await;
    Some(fit.map(|()| url))
}

/// The webhook that a request makes of none or of `before`.
fn changed(
    before: Option<&Stored>,
    request: WebhookRequest,
    address: Option<Result<Url, Unfit>>,
) -> Result<Stored, ApiError> {
    let mut wrong = Wrong::default();
    let mut row = before.cloned().unwrap_or_else(nothing_yet);
    match address {
        Some(Ok(url)) if row.url != url.as_str() => {
            // Whatever did not get through, it was not to this one.
            (row.url, row.failing_since) = (url.into(), None);
        }
        Some(Ok(_)) => {}
        Some(Err(unfit)) => wrong.add("url", &unfit.to_string()),
        None if before.is_none() => wrong.add("url", "is required"),
        None => {}
    }
    match (request.events, before) {
        (Some(events), _) => row.events = rules::events(&events, &mut wrong),
        (None, None) => wrong.add("events", "is required"),
        (None, Some(_)) => {}
    }
    if let Some(description) = request.description {
        if description
            .as_ref()
            .is_some_and(|d| d.chars().count() > 200)
        {
            wrong.add("description", "must have at most 200 characters");
        }
        row.description = description;
    }
    match request.enabled {
        Some(true) if !row.enabled => {
            (row.enabled, row.off_reason, row.failing_since) = (true, None, None);
        }
        Some(false) if before.is_some() => row.enabled = false,
        Some(_) | None => {}
    }
    wrong.none_or(row).map_err(ApiError::fields)
}

fn nothing_yet() -> Stored {
    Stored {
        id: WebhookId(uuid::Uuid::nil()),
        url: String::new(),
        description: None,
        events: Vec::new(),
        enabled: true,
        off_reason: None,
        previous_until: None,
        failing_since: None,
        version: 1,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

async fn seal(
    tx: &mut Tx,
    secrets: &Secrets,
    webhook: WebhookId,
    secret: &SecretString,
) -> Result<Vec<u8>, ApiError> {
    let key = secrets.tenant(tx).await?;
    Ok(key.seal(SECRET, webhook.0, secret.expose_secret().as_bytes()))
}

async fn find(tx: &mut Tx, webhook: WebhookId) -> Result<Stored, ApiError> {
    let row = store::find(tx, webhook).await?;
    row.ok_or(ApiError::NotFound("webhook"))
}

fn answer(row: Stored) -> Response {
    Version(row.version).of(Webhook::from(row))
}

/// What the trail keeps of a webhook: of its address not what may hold a secret.
fn facts(row: &Stored) -> Value {
    json!({
        "origin": outbound::origin(&row.url),
        "events": row.events,
        "enabled": row.enabled,
    })
}
