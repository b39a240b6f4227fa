//! SQL on what a provider pays the platform ahead.

use easyisp_shared::id::{OperatorId, TopupId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use crate::db::Tx;

/// How a top-up stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub(in super::super) enum State {
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

/// Writes a new top-up; `false` when another prompt is open.
pub(in super::super) async fn insert(
    tx: &mut Tx,
    id: TopupId,
    amount: Cents,
    phone: &str,
    operator: OperatorId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into topups (tenant_id, id, amount, phone, operator_id, state, created_at)
         values ($1, $2, $3, $4, $5, 'PENDING', $6)
             on conflict (tenant_id) where state = 'PENDING' do nothing",
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
