//! What is too old, the oldest first, so much at once.

use easyisp_shared::id::CustomerId;
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use crate::db::Tx;

/// Removes logins before `cutoff`; returns how many.
pub async fn forget_logins(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from auth_log l
          using (select at, id from auth_log
                  where tenant_id = $1 and at < $2
                  order by at
                  limit $3) old
          where l.tenant_id = $1 and l.at = old.at and l.id = old.id",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes hours of usage before `cutoff`; returns how many.
pub async fn forget_usage(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from usage u
          using (select customer_id, at, session_id from usage
                  where tenant_id = $1 and at < $2
                  order by at
                  limit $3) old
          where u.tenant_id = $1 and u.customer_id = old.customer_id and u.at = old.at
            and u.session_id = old.session_id",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes messages before `cutoff`, sent or not; returns how many.
pub async fn forget_messages(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from messages
          where tenant_id = $1
            and id in (select id from messages
                        where tenant_id = $1 and created_at < $2
                        order by created_at
                        limit $3)",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes what a provider told us before `cutoff`, once it was worked on; returns how many.
pub async fn forget_callbacks(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from payment_inbox
          where tenant_id = $1
            and id in (select id from payment_inbox
                        where tenant_id = $1 and received_at < $2 and processed_at is not null
                        order by id
                        limit $3)",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes reports that could not be applied before `cutoff`, and forgets how many more there were since then; returns
/// how many were removed.
pub async fn forget_unusable(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from quarantine q
          using (select agent_id, outbox_id, lane, sequence from quarantine
                  where tenant_id = $1 and at < $2
                  order by at
                  limit $3) old
          where q.tenant_id = $1 and q.agent_id = old.agent_id and q.outbox_id = old.outbox_id
            and q.lane = old.lane and q.sequence = old.sequence",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "update agents set dropped_reports = 0, dropped_at = null where tenant_id = $1 and dropped_at < $2",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Lines of the trail before `cutoff` that still say something: who did it has no name once they do not.
pub async fn old_lines(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select id from audit
          where tenant_id = $1 and at < $2 and actor_name <> '' and action <> $4
          order by at
          limit $3",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .bind(crate::ledger::VOUCHES)
    .fetch_all(&mut **tx)
    .await
}

/// Customers who were deleted before `cutoff`, are not erased, owe and have nothing, and do not wait.
pub async fn gone(
    tx: &mut Tx,
    cutoff: Timestamp,
    now: Timestamp,
    most: i64,
) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "select c.id
           from customers c
           left join wallets w on w.tenant_id = $1 and w.customer_id = c.id
          where c.tenant_id = $1 and c.deleted_at < $2 and c.erased_at is null
            and coalesce(w.balance, 0) = 0 and (c.erase_after is null or c.erase_after <= $4)
          order by c.deleted_at
          limit $3",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}

/// Notes that a customer cannot be erased before `then`.
pub async fn erase_later(tx: &mut Tx, customer: CustomerId, then: Timestamp) -> sqlx::Result<()> {
    sqlx::query("update customers set erase_after = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(customer)
        .bind(then)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Customers who were erased and of whom a provider told something since.
pub async fn named_again(tx: &mut Tx, most: i64) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "select c.id
           from customers c
          where c.tenant_id = $1 and c.erased_at is not null
            and (exists (select from intents i
                          where i.tenant_id = $1 and i.customer_id = c.id
                            and (i.phone_number <> '' or i.checkout_request_id is not null
                                 or exists (select from payment_inbox b
                                             where b.tenant_id = $1 and b.intent_id = i.id
                                               and b.body <> '' and b.processed_at is not null)))
                 or exists (select from payments p
                             where p.tenant_id = $1 and p.customer_id = c.id
                               and (p.phone is not null
                                    or exists (select from payment_inbox b
                                                where b.tenant_id = $1 and b.receipt = p.receipt
                                                  and b.body <> '' and b.processed_at is not null))))
          limit $2",
    )
    .bind(tx.tenant())
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Removes ways that were opened before `cutoff`; returns how many.
pub async fn forget_access(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from access_grants
          where tenant_id = $1
            and id in (select id from access_grants
                        where tenant_id = $1 and opened_at < $2
                        order by opened_at
                        limit $3)",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
