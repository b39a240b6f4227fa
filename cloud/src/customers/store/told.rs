//! Whose time ended, and which ends were told.

use easyisp_shared::id::{CustomerId, PackageId};
use easyisp_shared::time::Timestamp;

use crate::db::Tx;

/// Somebody whose time is over.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Ended {
    /// Who.
    pub id: CustomerId,
    /// His account number.
    pub account_number: i32,
    /// His user name.
    pub username: String,
    /// What he bought.
    pub package_id: Option<PackageId>,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// Up to `most` customers whose time ended after `since` and until now, and of whom that was not told; paid
/// until after `back`, which keeps to the end of an index.
pub async fn ended(
    tx: &mut Tx,
    since: Timestamp,
    back: Timestamp,
    now: Timestamp,
    most: i64,
) -> sqlx::Result<Vec<Ended>> {
    sqlx::query_as(
        "select c.id, c.account_number, c.username, c.package_id,
                c.served_until as ended_at
           from customers c
           left join told_expiries t on t.tenant_id = $1 and t.customer_id = c.id
          where c.tenant_id = $1 and c.deleted_at is null and c.standing = 'ACTIVE'
            and c.paid_until > $3 and c.paid_until <= $4
            and c.served_until > $2
            and c.served_until <= $4
            and t.ended_at is distinct from c.served_until
          order by c.paid_until
          limit $5",
    )
    .bind(tx.tenant())
    .bind(since)
    .bind(back)
    .bind(now)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Notes that these ends are told, and forgets those before `back`: they are not looked at again.
pub async fn note_told(tx: &mut Tx, ended: &[Ended], back: Timestamp) -> sqlx::Result<()> {
    let ids: Vec<CustomerId> = ended.iter().map(|ended| ended.id).collect();
    let ends: Vec<Timestamp> = ended.iter().map(|ended| ended.ended_at).collect();
    sqlx::query(
        "with gone as (
             delete from told_expiries
              where tenant_id = $1 and ended_at < $4 and customer_id <> all($2))
         insert into told_expiries (tenant_id, customer_id, ended_at)
         select $1, e.customer_id, e.ended_at
           from unnest($2::uuid[], $3::timestamptz[]) as e (customer_id, ended_at)
             on conflict (tenant_id, customer_id) do update set ended_at = excluded.ended_at",
    )
    .bind(tx.tenant())
    .bind(ids)
    .bind(ends)
    .bind(back)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
