//! SQL on what of payments and periods is given back.

use easyisp_shared::id::{CustomerId, PaymentId, PeriodId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::super::Refund;
use crate::db::Tx;

/// Takes so much of a payment as sent back or on its way. `false`: so much is not there, or not its owner's.
pub(in super::super) async fn add_refunded(tx: &mut Tx, refund: &Refund) -> sqlx::Result<bool> {
    let taken = sqlx::query(
        "update payments set refunded = refunded + $3
          where tenant_id = $1 and id = $2 and status = 'completed' and method in ('MPESA', 'AIRTEL')
            and customer_id is not distinct from $4 and refunded + $3 <= amount",
    )
    .bind(tx.tenant())
    .bind(refund.payment)
    .bind(refund.amount)
    .bind(refund.owner)
    .execute(&mut **tx)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// So much of it is there again.
pub(in super::super) async fn release_refunded(tx: &mut Tx, refund: &Refund) -> sqlx::Result<()> {
    sqlx::query("update payments set refunded = refunded - $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(refund.payment)
        .bind(refund.amount)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What is sent back is gone: a payment of which nothing is left is refunded.
pub(in super::super) async fn refund_paid(tx: &mut Tx, payment: PaymentId) -> sqlx::Result<()> {
    sqlx::query(
        "update payments set status = 'refunded'
          where tenant_id = $1 and id = $2 and refunded = amount",
    )
    .bind(tx.tenant())
    .bind(payment)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The period that a payment bought.
#[derive(FromRow, Clone, Copy, Debug)]
pub(in super::super) struct Sold {
    #[sqlx(rename = "id")]
    pub(in super::super) period: PeriodId,
    pub(in super::super) price: Cents,
    /// What of its price was not given back yet.
    pub(in super::super) left: Cents,
    pub(in super::super) starts_at: Timestamp,
    pub(in super::super) ends_at: Timestamp,
}

/// The period that this payment bought when it came or found its owner; `None` when it went into the wallet.
pub(in super::super) async fn sold_for(
    tx: &mut Tx,
    payment: PaymentId,
) -> sqlx::Result<Option<Sold>> {
    sqlx::query_as(
        "select p.id, p.price, p.price - p.taken_back as left, p.starts_at, p.ends_at
           from payments y
           join entries e on e.tenant_id = $1 and e.customer_id = y.customer_id and e.kind = 'PERIOD'
            and e.source in ('M-Pesa ' || y.receipt, 'resolved ' || y.receipt, 'payment ' || y.id)
           join periods p on p.tenant_id = $1 and p.entry_id = e.id
          where y.tenant_id = $1 and y.id = $2
          order by p.created_at desc
          limit 1",
    )
    .bind(tx.tenant())
    .bind(payment)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes what of a period's price is given back: its buyer has spent so much less.
pub(in super::super) async fn take_back(
    tx: &mut Tx,
    customer: CustomerId,
    period: PeriodId,
    amount: Cents,
) -> sqlx::Result<()> {
    sqlx::query(
        "with period as (
             update periods set taken_back = taken_back + $4 where tenant_id = $1 and id = $3)
         update customers set total_spent = total_spent - $4 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(period)
    .bind(amount)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
