//! What forbids to erase somebody: money that is on its way, or has not found its owner.

use easyisp_shared::id::CustomerId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;
use crate::payments::NO_ANSWER;

/// The amount of a payment that was asked of him and may still come in or be taken back: the provider is
/// asked about those made after `asked_after`. One that was credited without its receipt is waited for if
/// it was made after `patience`: the receipt may never come.
pub async fn open_payment(
    tx: &mut Tx,
    customer: CustomerId,
    asked_after: Timestamp,
    patience: Timestamp,
) -> sqlx::Result<Option<Cents>> {
    sqlx::query_scalar(
        "select i.amount
           from intents i
          where i.tenant_id = $1 and i.customer_id = $2
            and (i.state in ('CREATED', 'PENDING', 'UNKNOWN')
                 or i.created_at > $3
                    and (i.state = 'EXPIRED' or i.state = 'REFUSED' and i.result_code = $5
                         or i.state = 'POSTED' and i.confirmed_at is null)
                 or i.state = 'PROVISIONAL' and i.created_at > $4
                 or i.claimed_receipt is not null and i.state <> 'POSTED'
                 or exists (select from payment_inbox b
                             where b.tenant_id = $1 and b.intent_id = i.id
                               and b.processed_at is null))
          order by i.created_at
          limit 1",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(asked_after)
    .bind(patience)
    .bind(NO_ANSWER)
    .fetch_optional(&mut **tx)
    .await
}

/// The receipt of money that came from one of these phones (numbers, or their hashes as the provider tells
/// them), or for this account, and is nobody's yet.
pub async fn unallocated_payment(
    tx: &mut Tx,
    phones: &[String],
    hashes: &[String],
    account: &str,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "select coalesce(receipt, id::text)
           from payments
          where tenant_id = $1 and customer_id is null and status = 'completed'
            and (phone = any($2) or payer_hash = any($4) or account = $3)
          order by created_at
          limit 1",
    )
    .bind(tx.tenant())
    .bind(phones)
    .bind(account)
    .bind(hashes)
    .fetch_optional(&mut **tx)
    .await
}

/// What he owes for invoices, without what credit notes on parts gave back of them. `None` = nothing.
pub async fn open_debt(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Cents>> {
    sqlx::query_scalar(
        "select sum(amount - credited)::bigint
           from invoices
          where tenant_id = $1 and customer_id = $2 and status = 'PENDING'
         having sum(amount - credited) > 0",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}
