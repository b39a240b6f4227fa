//! SQL on what of payments and periods is given back.

use easyisp_shared::id::{CustomerId, EntryId, InvoiceId, PaymentId, PeriodId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use sqlx::types::Json;

use super::super::Refund;
use crate::db::Tx;
use crate::ledger::{Charged, given_back};

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

/// Which of these invoices are owed again because money was taken back, since then.
pub(in super::super) async fn owed_again(
    tx: &mut Tx,
    invoices: &[InvoiceId],
    since: Timestamp,
) -> sqlx::Result<Vec<InvoiceId>> {
    sqlx::query_scalar(
        "select invoice_id
           from (select distinct on (invoice_id) invoice_id, reopened_at, taken_back
                   from invoice_reopenings
                  where tenant_id = $1 and invoice_id = any($2)
                  order by invoice_id, reopened_at desc) last
          where taken_back and reopened_at >= $3",
    )
    .bind(tx.tenant())
    .bind(invoices)
    .bind(since)
    .fetch_all(&mut **tx)
    .await
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
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Sold {
    #[sqlx(rename = "id")]
    pub(in super::super) period: PeriodId,
    pub(in super::super) price: Cents,
    /// What of its price was not given back yet.
    pub(in super::super) left: Cents,
    pub(in super::super) starts_at: Timestamp,
    pub(in super::super) ends_at: Timestamp,
    /// What is in its price.
    taxes: Option<Json<Vec<Charged>>>,
    /// Whether it gets a receipt.
    pub(in super::super) receipted: bool,
}

impl Sold {
    /// What is earned and what are taxes in `back`, the next part of its price that is given back.
    pub(in super::super) fn given_back(&self, back: Cents) -> (Cents, Vec<Charged>) {
        let taxes = self.taxes.as_ref().map(|taxes| taxes.0.as_slice());
        given_back(self.left, taxes.unwrap_or_default(), back)
    }
}

/// The periods that this payment bought when it came or found its owner, the last one first; none when it went into the
/// wallet.
pub(in super::super) async fn sold_for(tx: &mut Tx, payment: PaymentId) -> sqlx::Result<Vec<Sold>> {
    sqlx::query_as(
        "select id, price, price - taken_back as left, starts_at, ends_at, taxes, receipted
           from (select p.*, rank() over (order by p.created_at desc) as place
                   from payments y
                   join entries e on e.tenant_id = $1 and e.customer_id = y.customer_id and e.kind = 'PERIOD'
                    and e.source in ('M-Pesa ' || y.receipt, 'Airtel Money ' || y.receipt, 'resolved ' || y.receipt,
                                     'payment ' || y.id)
                   join periods p on p.tenant_id = $1 and p.entry_id = e.id
                  where y.tenant_id = $1 and y.id = $2) d
          where place = 1
          order by starts_at desc
          limit 100",
    )
    .bind(tx.tenant())
    .bind(payment)
    .fetch_all(&mut **tx)
    .await
}

/// Writes what of a period's price is given back, of that `tax`, and by which entry: its buyer has spent so much less.
pub(in super::super) async fn take_back(
    tx: &mut Tx,
    customer: CustomerId,
    period: PeriodId,
    (amount, tax): (Cents, Cents),
    entry: EntryId,
) -> sqlx::Result<()> {
    sqlx::query(
        "with period as (
             update periods
                set taken_back = taken_back + $4, tax_taken_back = tax_taken_back + $5, reversal_id = $6
              where tenant_id = $1 and id = $3)
         update customers set total_spent = total_spent - $4 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(period)
    .bind(amount)
    .bind(tax)
    .bind(entry)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
