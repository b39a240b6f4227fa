//! SQL on webhooks, and the expression by which others write what is to be told.

pub mod deliveries;

use easyisp_shared::id::WebhookId;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::event::{Columns, Event};
use super::words::Watch;
use crate::db::Tx;

/// The common table expressions that tell events beside a statement of a feature: `event_cte!("$1", "$2",
/// "$3", "$4", "$5")` with tenant, now, and the columns id `uuid[]`, event `text[]` and payload `text[]` of
/// [`Columns`]. Each event is written once for every webhook that wants it, and its sending is due work of
/// kind [`super::SEND`]; where nobody wants it nothing is written. Webhooks are only read: nobody waits.
///
/// SQL draws no ids: a delivery's is made of its webhook's and its event's.
macro_rules! event_cte {
    ($tenant:literal, $now:literal, $ids:literal, $events:literal, $payloads:literal) => {
        concat!(
            "told as (
                 insert into webhook_deliveries (tenant_id, id, webhook_id, event_id, event, payload, state,
                                                 next_attempt_at, created_at)
                 select ", $tenant, ",
                        encode(substr(sha256(uuid_send(w.id) || uuid_send(e.id)), 1, 16), 'hex')::uuid,
                        w.id, e.id, e.event, e.payload, 'PENDING', ", $now, ", ", $now, "
                   from unnest(", $ids, "::uuid[], ", $events, "::text[], ", $payloads, "::text[])
                     as e (id, event, payload)
                   join webhooks w on w.tenant_id = ", $tenant, " and w.enabled and e.event = any(w.events)
                 returning id),
             telling as (
                 insert into directory.jobs (tenant_id, kind, subject, due_at)
                 select ", $tenant, ", 'webhooks.send', id, ", $now, " from told)"
        )
    };
}
pub(crate) use event_cte;

/// Tells events in a statement of their own.
pub async fn tell(tx: &mut Tx, events: &[Event], now: Timestamp) -> sqlx::Result<()> {
    let columns = Columns::of(events);
    sqlx::query(concat!(
        "with ",
        event_cte!("$1", "$2", "$3", "$4", "$5"),
        " select 1"
    ))
    .bind(tx.tenant())
    .bind(now)
    .bind(&columns.ids)
    .bind(&columns.names)
    .bind(&columns.payloads)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A webhook without its secrets.
#[derive(FromRow, Clone, Debug)]
pub struct Stored {
    /// The webhook.
    pub id: WebhookId,
    /// Where it is.
    pub url: String,
    /// For people.
    pub description: Option<String>,
    /// Names of what it wants.
    pub events: Vec<String>,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why it was switched off by itself.
    pub off_reason: Option<String>,
    /// Until when the secret before signs as well.
    pub previous_until: Option<Timestamp>,
    /// Since when nothing has got through.
    pub failing_since: Option<Timestamp>,
    /// Grows with every change by a person.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// Waits for whoever makes or changes webhooks: their number has an end, and what is watched follows from all
/// of them.
pub async fn lock_list(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("select from tenants where tenant_id = $1 for no key update")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The tenant's webhooks, the newest first.
pub async fn list(tx: &mut Tx, most: usize) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as(
        "select id, url, description, events, enabled, off_reason, previous_until, failing_since, version,
                created_at, updated_at
           from webhooks
          where tenant_id = $1 and deleted_at is null
          order by created_at desc, id desc
          limit $2",
    )
    .bind(tx.tenant())
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(&mut **tx)
    .await
}

/// One webhook. `None` when this tenant has none of this id.
pub async fn find(tx: &mut Tx, webhook: WebhookId) -> sqlx::Result<Option<Stored>> {
    sqlx::query_as(
        "select id, url, description, events, enabled, off_reason, previous_until, failing_since, version,
                created_at, updated_at
           from webhooks
          where tenant_id = $1 and id = $2 and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(webhook)
    .fetch_optional(&mut **tx)
    .await
}

/// Adds a webhook, switched on.
pub async fn insert(tx: &mut Tx, row: &Stored, secret_sealed: &[u8]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into webhooks (tenant_id, id, url, description, events, enabled, secret_sealed, created_at,
                               updated_at)
         values ($1, $2, $3, $4, $5, true, $6, $7, $7)",
    )
    .bind(tx.tenant())
    .bind(row.id)
    .bind(&row.url)
    .bind(&row.description)
    .bind(&row.events)
    .bind(secret_sealed)
    .bind(row.created_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what a person may change.
pub async fn update(tx: &mut Tx, row: &Stored, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update webhooks
            set url = $3, description = $4, events = $5, enabled = $6, off_reason = $7, failing_since = $8,
                version = version + 1, updated_at = $9
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(row.id)
    .bind(&row.url)
    .bind(&row.description)
    .bind(&row.events)
    .bind(row.enabled)
    .bind(&row.off_reason)
    .bind(row.failing_since)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Signs with another secret from now on, and with the one before as well until `until`.
pub async fn rotate(
    tx: &mut Tx,
    webhook: WebhookId,
    secret_sealed: &[u8],
    until: Timestamp,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update webhooks
            set previous_secret_sealed = secret_sealed, previous_until = $4, secret_sealed = $3,
                version = version + 1, updated_at = $5
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(webhook)
    .bind(secret_sealed)
    .bind(until)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes a webhook: nothing is told it any more, its secrets are gone, its log goes when its time is over.
pub async fn delete(tx: &mut Tx, webhook: WebhookId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update webhooks
            set enabled = false, secret_sealed = null, previous_secret_sealed = null, previous_until = null,
                deleted_at = $3, updated_at = $3
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(webhook)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that something got through to this address of the webhook.
pub async fn heals(tx: &mut Tx, (webhook, url): (WebhookId, &str)) -> sqlx::Result<()> {
    sqlx::query(
        "update webhooks set failing_since = null
          where tenant_id = $1 and id = $2 and url = $3 and failing_since is not null",
    )
    .bind(tx.tenant())
    .bind(webhook)
    .bind(url)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that something did not, unless it was noted before.
pub async fn fails(
    tx: &mut Tx,
    (webhook, url): (WebhookId, &str),
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update webhooks set failing_since = $4
          where tenant_id = $1 and id = $2 and url = $3 and failing_since is null",
    )
    .bind(tx.tenant())
    .bind(webhook)
    .bind(url)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Switches a webhook off for a reason; with `deaf_since` only when nothing has got through since then.
/// Whether it was on.
pub async fn switch_off(
    tx: &mut Tx,
    (webhook, url): (WebhookId, &str),
    reason: &str,
    deaf_since: Option<Timestamp>,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update webhooks
            set enabled = false, off_reason = $3, version = version + 1, updated_at = $5
          where tenant_id = $1 and id = $2 and url = $6 and enabled
            and ($4::timestamptz is null or failing_since <= $4)",
    )
    .bind(tx.tenant())
    .bind(webhook)
    .bind(reason)
    .bind(deaf_since)
    .bind(now)
    .bind(url)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Watches for these things and no others; returns since when. A watch that is kept goes on.
pub async fn watch(
    tx: &mut Tx,
    what: &[Watch],
    now: Timestamp,
) -> sqlx::Result<Vec<(Watch, Timestamp)>> {
    sqlx::query_as(
        "with ended as (
             delete from webhook_watches where tenant_id = $1 and what <> all($2)),
         begun as (
             insert into webhook_watches (tenant_id, what, since)
             select $1, w.what, $3 from unnest($2::text[]) as w (what)
                 on conflict (tenant_id, what) do nothing
             returning what, since)
         select what, since from begun
          union all
         select what, since from webhook_watches where tenant_id = $1 and what = any($2)",
    )
    .bind(tx.tenant())
    .bind(what.iter().map(|what| what.name()).collect::<Vec<_>>())
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}

/// Forgets secrets that sign no longer, and webhooks that were deleted before `before` and have no log left.
pub async fn forget(tx: &mut Tx, before: Timestamp, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "with over as (
             update webhooks set previous_secret_sealed = null, previous_until = null
              where tenant_id = $1 and previous_until <= $3 and deleted_at is null)
         delete from webhooks w
          where w.tenant_id = $1 and w.deleted_at < $2
            and not exists (select from webhook_deliveries d
                             where d.tenant_id = $1 and d.webhook_id = w.id)",
    )
    .bind(tx.tenant())
    .bind(before)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
