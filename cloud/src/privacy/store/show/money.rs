//! What he paid, and what he got for it.

use easyisp_shared::id::{
    CustomerId, EntryId, InboxId, IntentId, InvoiceId, PaymentId, PeriodId, VoucherId,
};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::db::Tx;

/// A payment.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectPayment)]
pub struct PaymentRow {
    id: PaymentId,
    paid_at: Timestamp,
    method: String,
    receipt: Option<String>,
    amount: Cents,
    status: String,
    phone: Option<String>,
    account: Option<String>,
    payer_name: Option<String>,
    description: String,
}

/// What he paid.
pub async fn payments(
    tx: &mut Tx,
    customer: CustomerId,
    most: i64,
) -> sqlx::Result<Vec<PaymentRow>> {
    sqlx::query_as(
        "select id, paid_at, method, receipt, amount, status, phone, account, payer_name,
                description
           from payments
          where tenant_id = $1 and customer_id = $2
          order by created_at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// A payment that was asked for on his phone.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectPrompt)]
pub struct PromptRow {
    id: IntentId,
    created_at: Timestamp,
    amount: Cents,
    phone: String,
    account: String,
    state: String,
    receipt: Option<String>,
    message: Option<String>,
}

/// What was asked of him.
pub async fn prompts(tx: &mut Tx, customer: CustomerId, most: i64) -> sqlx::Result<Vec<PromptRow>> {
    sqlx::query_as(
        "select id, created_at, amount, phone_number as phone, account_reference as account, state,
                receipt, message
           from intents
          where tenant_id = $1 and customer_id = $2
          order by created_at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// What the payment provider told us.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectCallback)]
pub struct CallbackRow {
    id: InboxId,
    received_at: Timestamp,
    kind: String,
    /// Word for word.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    body: Vec<u8>,
}

fn as_text<S: serde::Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(body))
}

/// What the provider told us of his payments.
pub async fn callbacks(
    tx: &mut Tx,
    customer: CustomerId,
    most: i64,
) -> sqlx::Result<Vec<CallbackRow>> {
    sqlx::query_as(
        "select id, received_at, kind, body
           from payment_inbox
          where tenant_id = $1
            and (intent_id in (select id from intents where tenant_id = $1 and customer_id = $2)
                 or receipt in (select receipt from payments where tenant_id = $1 and customer_id = $2))
          order by received_at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// A line of the journal that names him.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectJournal)]
pub struct JournalRow {
    entry: EntryId,
    occurred_at: Timestamp,
    kind: String,
    source: String,
    description: String,
    /// Positive: into his wallet.
    amount: Cents,
}

/// What went into his wallet and out of it.
pub async fn journal(
    tx: &mut Tx,
    customer: CustomerId,
    most: i64,
) -> sqlx::Result<Vec<JournalRow>> {
    sqlx::query_as(
        "select e.id as entry, e.occurred_at, e.kind, e.source, e.description, m.amount
           from (select entry_id, amount from transfers
                  where tenant_id = $1 and credit_account = '2000' and credit_party = $2
                 union all
                 select entry_id, -amount from transfers
                  where tenant_id = $1 and debit_account = '2000' and debit_party = $2) m
           join entries e on e.tenant_id = $1 and e.id = m.entry_id
          order by e.posted_at desc, e.id desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// What he was billed.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectInvoice)]
pub struct InvoiceRow {
    id: InvoiceId,
    number: String,
    amount: Cents,
    status: String,
    issued_at: Timestamp,
    due_at: Timestamp,
    paid_at: Option<Timestamp>,
    reference: Option<String>,
    /// What for, and how much each.
    #[sqlx(json)]
    #[schema(value_type = Vec<Object>)]
    items: Value,
}

/// What he was billed.
pub async fn invoices(
    tx: &mut Tx,
    customer: CustomerId,
    most: i64,
) -> sqlx::Result<Vec<InvoiceRow>> {
    sqlx::query_as(
        "select id, number, amount, status, issued_at, due_at, paid_at, reference, items
           from invoices
          where tenant_id = $1 and customer_id = $2
          order by issued_at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// A period of service.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectPeriod)]
pub struct PeriodRow {
    id: PeriodId,
    package: String,
    price: Cents,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

/// What he bought.
pub async fn periods(tx: &mut Tx, customer: CustomerId, most: i64) -> sqlx::Result<Vec<PeriodRow>> {
    sqlx::query_as(
        "select d.id, p.name as package, d.price, d.starts_at, d.ends_at
           from periods d
           join packages p on p.tenant_id = $1 and p.id = d.package_id
          where d.tenant_id = $1 and d.customer_id = $2
          order by d.starts_at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// A voucher he used. Its code is a secret.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectVoucher)]
pub struct VoucherRow {
    id: VoucherId,
    package: String,
    price: Cents,
    used_at: Option<Timestamp>,
    used_until: Option<Timestamp>,
}

/// The vouchers he used.
pub async fn vouchers(
    tx: &mut Tx,
    customer: CustomerId,
    most: i64,
) -> sqlx::Result<Vec<VoucherRow>> {
    sqlx::query_as(
        "select v.id, p.name as package, v.price, v.used_at, v.used_until
           from vouchers v
           join packages p on p.tenant_id = $1 and p.id = v.package_id
          where v.tenant_id = $1 and v.customer_id = $2
          order by v.used_at desc nulls last
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
