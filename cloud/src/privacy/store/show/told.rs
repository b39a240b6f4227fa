//! What he was told, and what was done to him.

use easyisp_shared::id::{AuditId, CustomerId, DeliveryId, ImportId, MessageId, NoteId};
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::db::Tx;

/// A message to him.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectMessage)]
pub struct MessageRow {
    id: MessageId,
    created_at: Timestamp,
    sent_at: Option<Timestamp>,
    channel: String,
    recipient: String,
    body: String,
    purpose: String,
    state: String,
}

/// Messages about him, and those to his number that are about nobody.
pub async fn messages(
    tx: &mut Tx,
    customer: CustomerId,
    phone: Option<&str>,
    most: i64,
) -> sqlx::Result<Vec<MessageRow>> {
    sqlx::query_as(
        "select id, created_at, sent_at, channel, recipient, body, purpose, state
           from messages
          where tenant_id = $1
            and (customer_id = $2 or customer_id is null and recipient = $3)
          order by created_at desc
          limit $4",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(phone)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// What a program of the provider's was told of him.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectTold)]
pub struct ToldRow {
    id: DeliveryId,
    created_at: Timestamp,
    event: String,
    state: String,
    /// Word for word.
    body: String,
}

/// What the provider's own programs were told of him.
pub async fn told(tx: &mut Tx, customer: CustomerId, most: i64) -> sqlx::Result<Vec<ToldRow>> {
    sqlx::query_as(
        "select id, created_at, event, state, payload as body
           from webhook_deliveries
          where tenant_id = $1 and position($2 in payload) > 0
          order by created_at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer.to_string())
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// What was written about him. By whom is another person's data.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectNote)]
pub struct NoteRow {
    id: NoteId,
    text: String,
    created_at: Timestamp,
}

/// Notes on him.
pub async fn notes(tx: &mut Tx, customer: CustomerId, most: i64) -> sqlx::Result<Vec<NoteRow>> {
    sqlx::query_as(
        "select id, body as text, created_at from customer_notes
          where tenant_id = $1 and customer_id = $2
          order by created_at desc, id desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Something that was done to him. By whom is another person's data: the trail says it.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectDeed)]
pub struct DeedRow {
    id: AuditId,
    at: Timestamp,
    /// `OPERATOR`, `PLATFORM`, `AGENT`, `PROVIDER` or `SYSTEM`.
    by: String,
    action: String,
    details: String,
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
}

/// What was done to him, as the trail has it.
pub async fn deeds(tx: &mut Tx, customer: CustomerId, most: i64) -> sqlx::Result<Vec<DeedRow>> {
    sqlx::query_as(
        "select id, at, actor_kind as by, action, details, before, after
           from audit
          where tenant_id = $1 and target_id = $2
          order by at desc, id desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// A row of a file that was about him.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectFileRow)]
pub struct FileRow {
    import_id: ImportId,
    at: Timestamp,
    username: String,
    /// `CREATED`, `UPDATED`, `SKIPPED` or `FAILED`.
    outcome: String,
}

/// The rows of files that were about him.
pub async fn file_rows(tx: &mut Tx, customer: CustomerId, most: i64) -> sqlx::Result<Vec<FileRow>> {
    sqlx::query_as(
        "select import_id, created_at as at, name as username, outcome
           from import_rows
          where tenant_id = $1 and subject_id = $2
          order by created_at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
