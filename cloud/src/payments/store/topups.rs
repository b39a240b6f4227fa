//! SQL on what a provider pays the platform ahead.

use easyisp_shared::id::{OperatorId, TenantId, TopupId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use crate::db::{DirectoryTx, Tx};

/// How a top-up stands.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
    sqlx::Type,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = TopupState)]
pub enum State {
    /// The payer may still be typing, or M-Pesa does not say yet.
    Pending,
    /// Paid and credited.
    Done,
    /// Not paid.
    Failed,
    /// M-Pesa did not say for a day, or never named the prompt.
    Unknown,
}

/// A top-up, as its row has it.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Topup {
    pub(in super::super) amount: Cents,
    pub(in super::super) state: State,
    pub(in super::super) checkout_request_id: Option<String>,
    pub(in super::super) created_at: Timestamp,
}

/// The number of who asks, and the business's.
pub(in super::super) async fn phones(
    tx: &mut Tx,
    operator: OperatorId,
) -> sqlx::Result<(Option<String>, Option<String>)> {
    sqlx::query_as(
        "select (select phone from operators where tenant_id = $1 and id = $2), t.phone
           from tenants t
          where t.tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(operator)
    .fetch_one(&mut **tx)
    .await
}

/// Writes a new top-up; `false` when another prompt is open, which none is that was begun before `stale`.
pub(in super::super) async fn insert(
    tx: &mut Tx,
    id: TopupId,
    amount: Cents,
    phone: &str,
    operator: OperatorId,
    (now, stale): (Timestamp, Timestamp),
) -> sqlx::Result<bool> {
    sqlx::query(
        "update topups set is_open = false
          where tenant_id = $1 and state = 'PENDING' and is_open and created_at <= $2",
    )
    .bind(tx.tenant())
    .bind(stale)
    .execute(&mut **tx)
    .await?;
    let done = sqlx::query(
        "insert into topups (tenant_id, id, amount, phone, operator_id, state, created_at)
         values ($1, $2, $3, $4, $5, 'PENDING', $6)
             on conflict (tenant_id) where state = 'PENDING' and is_open do nothing",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(amount)
    .bind(phone)
    .bind(operator)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes M-Pesa's name of a prompt.
pub(in super::super) async fn note(tx: &mut Tx, id: TopupId, checkout: &str) -> sqlx::Result<()> {
    sqlx::query("update topups set checkout_request_id = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(id)
        .bind(checkout)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Has another prompt follow one that is on the phone no more, and says why; what becomes of it is asked on.
pub(in super::super) async fn free(tx: &mut Tx, id: TopupId, why: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update topups set is_open = false, message = $3
          where tenant_id = $1 and id = $2 and state = 'PENDING'",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(why)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Locks a top-up. `None` when this tenant has no such one.
pub(in super::super) async fn lock(tx: &mut Tx, id: TopupId) -> sqlx::Result<Option<Topup>> {
    sqlx::query_as(
        "select amount, state, checkout_request_id, created_at
           from topups
          where tenant_id = $1 and id = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes how a top-up ended.
pub(in super::super) async fn end(
    tx: &mut Tx,
    id: TopupId,
    state: State,
    message: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update topups set state = $3, message = $4, ended_at = $5
          where tenant_id = $1 and id = $2 and state = 'PENDING'",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(state)
    .bind(message)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a person says of a top-up that nobody knew of.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Said<'a> {
    /// Paid with this receipt.
    Paid(&'a str),
    /// Not paid, and why that is known.
    NotPaid(&'a str),
}

/// Claims a receipt of the platform's short code, which `code` is with its environment, for a top-up. One that was claimed before violates `receipts_pkey` or
/// `receipt_at_shortcode`.
pub(in super::super) async fn claim(
    tx: &mut Tx,
    id: TopupId,
    receipt: &str,
    code: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.receipts (provider, receipt, tenant_id, payment_id, shortcode)
         values ('MPESA', $3, $1, $2, $4)",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(receipt)
    .bind(code)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what a person says of a top-up that nobody knows of.
pub(in super::super) async fn settle(
    tx: &mut Tx,
    id: TopupId,
    said: Said<'_>,
    by: OperatorId,
    now: Timestamp,
) -> sqlx::Result<()> {
    let (state, receipt, message) = match said {
        Said::Paid(receipt) => (State::Done, Some(receipt), None),
        Said::NotPaid(why) => (State::Failed, None, Some(why)),
    };
    sqlx::query(
        "update topups set state = $3, receipt = $4, message = $5, settled_by = $6, settled_at = $7
          where tenant_id = $1 and id = $2 and state = 'UNKNOWN'",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(state)
    .bind(receipt)
    .bind(message)
    .bind(by)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a person says of money that nobody asked for.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct ByHand<'a> {
    pub(in super::super) amount: Cents,
    pub(in super::super) receipt: &'a str,
    pub(in super::super) reason: &'a str,
    pub(in super::super) by: OperatorId,
}

/// A prompt of which no receipt is known.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Prompted {
    pub(in super::super) id: TopupId,
    pub(in super::super) phone: String,
    pub(in super::super) state: State,
}

/// Locks the top-ups for as much of which no receipt is known and which may have been paid, asked for between these
/// times, the oldest first.
pub(in super::super) async fn without_receipt(
    tx: &mut Tx,
    amount: Cents,
    (from, until): (Timestamp, Timestamp),
) -> sqlx::Result<Vec<Prompted>> {
    sqlx::query_as(
        "select id, phone, state
           from topups
          where tenant_id = $1 and amount = $2 and created_at between $3 and $4 and receipt is null and state <> 'FAILED'
          order by created_at
          limit 100
            for update",
    )
    .bind(tx.tenant())
    .bind(amount)
    .bind(from)
    .bind(until)
    .fetch_all(&mut **tx)
    .await
}

/// Writes the receipt of one that was credited without.
pub(in super::super) async fn prove(
    tx: &mut Tx,
    id: TopupId,
    said: &ByHand<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update topups set receipt = $3, message = $4, settled_by = $5, settled_at = $6
          where tenant_id = $1 and id = $2 and state = 'DONE' and receipt is null",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(said.receipt)
    .bind(said.reason)
    .bind(said.by)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes one that nobody asked for, by no phone that is known.
pub(in super::super) async fn insert_by_hand(
    tx: &mut Tx,
    id: TopupId,
    said: &ByHand<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into topups (tenant_id, id, amount, phone, operator_id, state, message, created_at, ended_at, receipt,
                             settled_by, settled_at)
         values ($1, $2, $3, '', $6, 'DONE', $5, $7, $7, $4, $6, $7)",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(said.amount)
    .bind(said.receipt)
    .bind(said.reason)
    .bind(said.by)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A top-up in the platform's own list.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Listed {
    pub(in super::super) tenant_id: TenantId,
    pub(in super::super) business_name: String,
    pub(in super::super) id: TopupId,
    pub(in super::super) amount: Cents,
    pub(in super::super) phone: String,
    pub(in super::super) state: State,
    pub(in super::super) message: Option<String>,
    pub(in super::super) created_at: Timestamp,
    pub(in super::super) ended_at: Option<Timestamp>,
    pub(in super::super) receipt: Option<String>,
    pub(in super::super) settled_by: Option<OperatorId>,
    pub(in super::super) settled_at: Option<Timestamp>,
}

/// Reads a top-up that is there.
pub(in super::super) async fn find(tx: &mut Tx, id: TopupId) -> sqlx::Result<Listed> {
    sqlx::query_as(
        "select t.tenant_id, t.business_name, s.id, s.amount, s.phone, s.state, s.message, s.created_at, s.ended_at,
                s.receipt, s.settled_by, s.settled_at
           from topups s
           join tenants t on t.tenant_id = $1
          where s.tenant_id = $1 and s.id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_one(&mut **tx)
    .await
}

/// Those of these tenants, the newest first. Each is read under its own row security; afterwards the transaction is
/// none's.
pub(in super::super) async fn of_all(
    directory: &mut DirectoryTx,
    tenants: &[TenantId],
    state: Option<State>,
    most: i64,
) -> sqlx::Result<Vec<Listed>> {
    let ids: Vec<uuid::Uuid> = tenants.iter().map(|tenant| tenant.0).collect();
    sqlx::query_as(
        "select tenant_id, business_name, id, amount, phone, state, message, created_at, ended_at, receipt, settled_by,
                settled_at
           from platform_topups($1, $2, $3) s
          order by s.created_at desc, s.id desc
          limit $3",
    )
    .bind(ids)
    .bind(state)
    .bind(most)
    .fetch_all(&mut **directory)
    .await
}
