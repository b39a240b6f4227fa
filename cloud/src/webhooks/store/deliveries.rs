//! SQL on what is told to each webhook.

use easyisp_shared::id::{DeliveryId, EventId, WebhookId};
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use crate::api::Page;
use crate::db::Tx;
use crate::webhooks::event::Event;
use crate::webhooks::rules::Heard;
use crate::webhooks::words::State;

/// A line of the log.
#[derive(FromRow, Clone, Debug)]
pub struct Line {
    /// The delivery.
    pub id: DeliveryId,
    /// What it tells.
    pub event_id: EventId,
    /// What that is.
    pub event: String,
    /// The bytes that are sent.
    pub payload: String,
    /// How it stands.
    pub state: State,
    /// Tries in all.
    pub attempts: i32,
    /// What the address answered last.
    pub last_status: Option<i32>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The beginning of the last answer.
    pub last_response: Option<String>,
    /// When it was tried last.
    pub last_attempt_at: Option<Timestamp>,
    /// When it is tried next.
    pub next_attempt_at: Option<Timestamp>,
    /// When the address took it.
    pub delivered_at: Option<Timestamp>,
    /// When it happened.
    pub created_at: Timestamp,
}

/// A delivery as the sender takes it.
#[derive(FromRow, Debug)]
pub struct Outgoing {
    /// Whose it is.
    pub webhook_id: WebhookId,
    /// Where to.
    pub url: String,
    /// What it is.
    pub event: String,
    /// The body.
    pub payload: String,
    /// Tries since it was written or replayed, this one too.
    pub tries: i32,
    /// What it is signed with.
    pub secret_sealed: Vec<u8>,
    /// And with this one too, while a rotation lasts.
    pub previous_secret_sealed: Option<Vec<u8>>,
}

/// Takes a delivery for one try and counts it. `None` when it is not to be tried: delivered, given up, or its
/// webhook is switched off, which a ping alone passes.
pub async fn take(
    tx: &mut Tx,
    delivery: DeliveryId,
    now: Timestamp,
) -> sqlx::Result<Option<Outgoing>> {
    sqlx::query_as(
        "update webhook_deliveries d
            set tries = d.tries + 1, attempts = d.attempts + 1, last_attempt_at = $3
           from webhooks w
          where d.tenant_id = $1 and d.id = $2 and d.state = 'PENDING'
            and w.tenant_id = $1 and w.id = d.webhook_id and w.deleted_at is null
            and (w.enabled or d.event = 'ping')
         returning d.webhook_id, w.url, d.event, d.payload, d.tries, w.secret_sealed,
                   case when w.previous_until > $3 then w.previous_secret_sealed end as previous_secret_sealed",
    )
    .bind(tx.tenant())
    .bind(delivery)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes down what became of a try: that one of `tries`, unless it was put back to be sent anew meanwhile;
/// `None` for one that is given up without a try.
pub async fn settle(
    tx: &mut Tx,
    (delivery, tries): (DeliveryId, Option<i32>),
    state: State,
    heard: &Heard,
    next: Option<Timestamp>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update webhook_deliveries
            set state = $3, last_status = $4, last_error = $5, last_response = $6, next_attempt_at = $7,
                delivered_at = case when $3 = 'DELIVERED' then $8 else delivered_at end
          where tenant_id = $1 and id = $2 and state = 'PENDING' and ($9::integer is null or tries = $9)",
    )
    .bind(tx.tenant())
    .bind(delivery)
    .bind(state)
    .bind(heard.status.map(i32::from))
    .bind(&heard.error)
    .bind(&heard.body)
    .bind(next)
    .bind(now)
    .bind(tries)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes an event for one webhook, whatever that wants.
pub async fn insert(
    tx: &mut Tx,
    delivery: DeliveryId,
    webhook: WebhookId,
    event: &Event,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into webhook_deliveries (tenant_id, id, webhook_id, event_id, event, payload, state,
                                         next_attempt_at, created_at)
         values ($1, $2, $3, $4, $5, $6, 'PENDING', $7, $7)",
    )
    .bind(tx.tenant())
    .bind(delivery)
    .bind(webhook)
    .bind(event.id)
    .bind(event.kind.name())
    .bind(&event.payload)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Puts a delivery back to be sent once more, as if it were new. `None` when the webhook has no such one.
pub async fn replay(
    tx: &mut Tx,
    webhook: WebhookId,
    delivery: DeliveryId,
    now: Timestamp,
) -> sqlx::Result<Option<Line>> {
    sqlx::query_as(
        "update webhook_deliveries
            set state = 'PENDING', tries = 0, next_attempt_at = $4
          where tenant_id = $1 and webhook_id = $2 and id = $3
         returning id, event_id, event, payload, state, attempts, last_status, last_error, last_response,
                   last_attempt_at, next_attempt_at, delivered_at, created_at",
    )
    .bind(tx.tenant())
    .bind(webhook)
    .bind(delivery)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// How many deliveries of a webhook there are, in this state, counted up to `most`.
pub async fn count(
    tx: &mut Tx,
    webhook: WebhookId,
    state: Option<State>,
    most: i64,
) -> sqlx::Result<i64> {
    let counted = match state {
        Some(state) => sqlx::query_scalar(
            "select count(*)
               from (select from webhook_deliveries
                      where tenant_id = $1 and webhook_id = $2 and state = $4 limit $3) as newest",
        )
        .bind(tx.tenant())
        .bind(webhook)
        .bind(most)
        .bind(state),
        None => sqlx::query_scalar(
            "select count(*)
               from (select from webhook_deliveries
                      where tenant_id = $1 and webhook_id = $2 limit $3) as newest",
        )
        .bind(tx.tenant())
        .bind(webhook)
        .bind(most),
    };
    counted.fetch_one(&mut **tx).await
}

/// Deliveries of a webhook, in this state, the newest first.
pub async fn page(
    tx: &mut Tx,
    webhook: WebhookId,
    state: Option<State>,
    page: Page,
) -> sqlx::Result<Vec<Line>> {
    let lines = match state {
        Some(state) => sqlx::query_as(
            "select id, event_id, event, payload, state, attempts, last_status, last_error, last_response,
                    last_attempt_at, next_attempt_at, delivered_at, created_at
               from webhook_deliveries
              where tenant_id = $1 and webhook_id = $2 and state = $5
              order by created_at desc, id
              limit $3 offset $4",
        )
        .bind(tx.tenant())
        .bind(webhook)
        .bind(page.limit())
        .bind(page.offset())
        .bind(state),
        None => sqlx::query_as(
            "select id, event_id, event, payload, state, attempts, last_status, last_error, last_response,
                    last_attempt_at, next_attempt_at, delivered_at, created_at
               from webhook_deliveries
              where tenant_id = $1 and webhook_id = $2
              order by created_at desc, id
              limit $3 offset $4",
        )
        .bind(tx.tenant())
        .bind(webhook)
        .bind(page.limit())
        .bind(page.offset()),
    };
    lines.fetch_all(&mut **tx).await
}

/// Forgets up to `most` deliveries that are older than `before`; returns how many.
pub async fn forget(tx: &mut Tx, before: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from webhook_deliveries
          where tenant_id = $1
            and id in (select id from webhook_deliveries
                        where tenant_id = $1 and created_at < $2
                        order by created_at
                        limit $3)",
    )
    .bind(tx.tenant())
    .bind(before)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
