//! What a webhook was told: its log, a test, and once more.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::{DeliveryId, EventId, WebhookId};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::find;
use crate::api::{Json, Page, Path, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::due;
use crate::error::ApiError;
use crate::outbound;
use crate::webhooks::store::deliveries::{self, Line};
use crate::webhooks::words;
use crate::webhooks::{Event, EventKind, SEND};

/// Deliveries that can be counted and reached.
const MOST: i64 = 10_000;

/// Some of a webhook's log, the newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeliveries)]
#[serde(rename_all = "camelCase")]
pub struct Deliveries {
    deliveries: Vec<Delivery>,
    /// How many there are, counted up to 10,000.
    total: i64,
    page: u32,
    page_size: u32,
}

/// One event on its way to a webhook. Kept for 30 days.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// As in the header `EasyISP-Delivery`.
    id: DeliveryId,
    /// As `id` in the body: the same in every try and at every webhook.
    event_id: EventId,
    event: String,
    state: words::State,
    /// How often it was tried.
    attempts: i32,
    /// What the address answered last; null = nothing.
    last_status: Option<i32>,
    last_error: Option<String>,
    /// The beginning of the last answer.
    last_response: Option<String>,
    last_attempt_at: Option<Timestamp>,
    /// Null = it is not tried again.
    next_attempt_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
    created_at: Timestamp,
    /// The body, byte for byte.
    #[schema(value_type = Object)]
    payload: Box<RawValue>,
}

impl TryFrom<Line> for Delivery {
    type Error = ApiError;

    fn try_from(line: Line) -> Result<Delivery, ApiError> {
        Ok(Delivery {
            id: line.id,
            event_id: line.event_id,
            event: line.event,
            state: line.state,
            attempts: line.attempts,
            last_status: line.last_status,
            last_error: line.last_error,
            last_response: line.last_response.filter(|text| !text.is_empty()),
            last_attempt_at: line.last_attempt_at,
            next_attempt_at: line.next_attempt_at,
            delivered_at: line.delivered_at,
            created_at: line.created_at,
            payload: RawValue::from_string(line.payload).map_err(ApiError::internal)?,
        })
    }
}

/// Which deliveries.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct DeliveryQuery {
    /// Only those that stand so: `PENDING`, `DELIVERED` or `FAILED`.
    state: Option<words::State>,
}

/// `GET /api/webhooks/{webhook}/deliveries`: what it was told, the newest first.
///
/// Pages reach the newest 10,000. Errors: 400 naming the parameter, 404.
#[utoipa::path(get, path = "/api/webhooks/{webhook}/deliveries", tag = "Webhooks",
    params(("webhook" = WebhookId, Path), DeliveryQuery, ("page" = Option<u32>, Query),
        ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = Deliveries)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    Path(webhook): Path<WebhookId>,
    page: Page,
    Query(query): Query<DeliveryQuery>,
) -> Result<Json<Deliveries>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    find(&mut tx, webhook).await?;
    if page.offset() + page.limit() > MOST {
        let what = "must stay within the newest 10,000 deliveries";
        return Err(ApiError::field("page", what));
    }
    let total = deliveries::count(&mut tx, webhook, query.state, MOST).await?;
    let lines = deliveries::page(&mut tx, webhook, query.state, page).await?;
    let deliveries = lines.into_iter().map(Delivery::try_from);
    Ok(Json(Deliveries {
        deliveries: deliveries.collect::<Result<_, _>>()?,
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// What was put on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookPing)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// Which line of the log tells what became of it.
    delivery_id: DeliveryId,
}

/// `POST /api/webhooks/{webhook}/test`: sends the event `ping`, once, also while the webhook is switched off.
/// What became of it stands in the log. Errors: 404.
#[utoipa::path(post, path = "/api/webhooks/{webhook}/test", tag = "Webhooks",
    params(("webhook" = WebhookId, Path)), responses((status = 202, body = Sent)))]
pub async fn test(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(webhook): Path<WebhookId>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Ping {
        webhook_id: WebhookId,
    }

    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, webhook).await?;
    let entropy = tx.entropy();
    let data = Ping {
        webhook_id: webhook,
    };
    let event = Event::new(operator.tenant, EventKind::Ping, &data, now, &entropy);
    let delivery = DeliveryId::new(now, &entropy);
    deliveries::insert(&mut tx, delivery, webhook, &event, now).await?;
    due::at(&mut tx, SEND, delivery, now).await?;
    let name = outbound::origin(&row.url);
    let line = Audit::new(Action::WebhookTest, "webhook", webhook, &name);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    let sent = Sent {
        delivery_id: delivery,
    };
    Ok((StatusCode::ACCEPTED, Json(sent)).into_response())
}

/// `POST /api/webhooks/{webhook}/deliveries/{delivery}/replay`: sends it once more, the same bytes with the
/// same `id`, and tries as long as a new one. Errors: 404, 409 `WEBHOOK_OFF`.
#[utoipa::path(post, path = "/api/webhooks/{webhook}/deliveries/{delivery}/replay", tag = "Webhooks",
    params(("webhook" = WebhookId, Path), ("delivery" = DeliveryId, Path)),
    responses((status = 202, body = Delivery)))]
pub async fn replay(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path((webhook, delivery)): Path<(WebhookId, DeliveryId)>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, webhook).await?;
    if !row.enabled {
        return Err(ApiError::conflict(
            "WEBHOOK_OFF",
            "The webhook is switched off; switch it on first",
        ));
    }
    let line = deliveries::replay(&mut tx, webhook, delivery, now).await?;
    let line = line.ok_or(ApiError::NotFound("delivery"))?;
    due::at(&mut tx, SEND, delivery, now).await?;
    let name = outbound::origin(&row.url);
    let noted = Audit {
        details: format!("{} {}", line.event, line.event_id),
        ..Audit::new(Action::WebhookReplay, "webhook", webhook, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), noted, now).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(Delivery::try_from(line)?)).into_response())
}
