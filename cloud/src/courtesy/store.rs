//! SQL on reminders and promises.

use easyisp_shared::id::{CustomerId, MessageId, OperatorId, PromiseId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use sqlx::types::Json;

use super::rules::Courtesy;
use crate::db::Tx;
use crate::due::due_cte;
use crate::messaging::{SEND, message_cte};

/// How the tenant is with its subscribers, and what its messages begin with.
#[derive(Clone, Debug)]
pub struct House {
    /// Its wishes.
    pub courtesy: Courtesy,
    /// What it calls itself.
    pub business_name: String,
    /// In which its customers pay.
    pub currency: String,
    /// Where its clock is.
    pub time_zone: String,
    /// Neither stopped by the platform nor deleted.
    pub stands: bool,
}

/// The tenant's wishes.
pub async fn house(tx: &mut Tx) -> sqlx::Result<House> {
    let (Json(courtesy), business_name, currency, time_zone, stands): (Json<Courtesy>, _, _, _, _) =
        sqlx::query_as(
            "select t.courtesy, t.business_name, t.currency, t.time_zone,
                    t.status <> 'SUSPENDED' and d.deleted_at is null
               from tenants t
               join directory.tenants d on d.tenant_id = t.tenant_id
              where t.tenant_id = $1",
        )
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await?;
    Ok(House {
        courtesy,
        business_name,
        currency,
        time_zone,
        stands,
    })
}

/// Writes the tenant's wishes.
pub async fn set(tx: &mut Tx, courtesy: &Courtesy, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("update tenants set courtesy = $2, updated_at = $3 where tenant_id = $1")
        .bind(tx.tenant())
        .bind(Json(courtesy))
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Days on which ends are looked for.
#[derive(Clone, Debug, Default)]
pub struct Days {
    /// How far they are.
    pub days: Vec<i16>,
    /// Their first instants.
    pub from: Vec<Timestamp>,
    /// The first instants after them.
    pub to: Vec<Timestamp>,
}

/// Somebody whose end is near and who was not told.
#[derive(FromRow, Clone, Debug)]
pub struct Near {
    /// Who.
    pub customer_id: CustomerId,
    /// What he is called.
    pub name: String,
    /// Where to write.
    pub phone_number: String,
    /// His account number.
    pub account_number: i32,
    /// What he buys.
    pub package: Option<String>,
    /// What is missing in his wallet for another period.
    pub missing: Cents,
    /// When his service ends.
    pub ends_at: Timestamp,
    /// How many days before that.
    pub days: i16,
}

/// Up to `most` customers whose service ends on one of these days, and who were not told of that end at that
/// distance. Who is on another's account is not told: the other pays. Nor is who buys less than two days at a
/// time, or less than twice the distance: he would be told of what he has just bought. Nor is who is billed afterwards:
/// he pays his invoices, and is told of those.
///
/// What is missing is the price of a period behind those that his wallet pays already, and what he owes.
pub async fn near(tx: &mut Tx, days: &Days, now: Timestamp, most: i64) -> sqlx::Result<Vec<Near>> {
    sqlx::query_as(
        "select c.id as customer_id, c.name, c.phone_number, c.account_number, p.name as package,
                case when p.price is null then 0
                     when c.funded_until > c.paid_until and w.balance > 0 and p.price > 0
                     then p.price - w.balance % p.price
                     else greatest(p.price - coalesce(w.balance, 0), 0) end as missing,
                c.served_until as ends_at, d.days
           from unnest($2::smallint[], $3::timestamptz[], $4::timestamptz[]) as d (days, from_at, to_at)
           join customers c
             on c.tenant_id = $1 and c.deleted_at is null and c.standing = 'ACTIVE'
            and c.served_until >= d.from_at and c.served_until < d.to_at and c.served_until > $6
           left join packages p on p.tenant_id = $1 and p.id = c.package_id and p.deleted_at is null
           left join wallets w on w.tenant_id = $1 and w.customer_id = c.id
          cross join lateral (
                select coalesce(
                    (select b.ends_at - b.starts_at from periods b
                      where b.tenant_id = $1 and b.customer_id = c.id
                      order by b.starts_at desc
                      limit 1),
                    p.period_count * case p.period_unit when 'MINUTES' then interval '1 minute'
                                                        when 'HOURS' then interval '1 hour'
                                                        when 'DAYS' then interval '1 day'
                                                        when 'WEEKS' then interval '7 days'
                                                        when 'MONTHS' then interval '30 days' end,
                    interval '30 days') as length) s
          where c.phone_number is not null and c.parent_id is null and not c.postpaid
            and s.length >= interval '2 days' and make_interval(days => d.days) < s.length / 2
            and not exists (select from reminders r
                             where r.tenant_id = $1 and r.customer_id = c.id
                               and r.ends_at = c.served_until and r.days = d.days)
          order by c.served_until, c.id
          limit $5",
    )
    .bind(tx.tenant())
    .bind(&days.days)
    .bind(&days.from)
    .bind(&days.to)
    .bind(most)
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}

/// Notes that these are told, with the messages that do it; returns the messages of those who were not told
/// meanwhile by somebody else.
pub async fn note_told(
    tx: &mut Tx,
    near: &[Near],
    messages: &[MessageId],
    now: Timestamp,
) -> sqlx::Result<Vec<MessageId>> {
    sqlx::query_scalar(
        "insert into reminders (tenant_id, customer_id, ends_at, days, message_id, created_at)
         select $1, n.customer_id, n.ends_at, n.days, n.message_id, $6
           from unnest($2::uuid[], $3::timestamptz[], $4::smallint[], $5::uuid[])
                as n (customer_id, ends_at, days, message_id)
          order by 2, 3, 4
             on conflict do nothing
         returning message_id",
    )
    .bind(tx.tenant())
    .bind(near.iter().map(|near| near.customer_id).collect::<Vec<_>>())
    .bind(near.iter().map(|near| near.ends_at).collect::<Vec<_>>())
    .bind(near.iter().map(|near| near.days).collect::<Vec<_>>())
    .bind(messages)
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}

/// A reminder on its way into the outbox.
#[derive(Clone, Debug)]
pub struct Reminder {
    /// Its id.
    pub id: MessageId,
    /// To which number.
    pub to: String,
    /// What it says.
    pub body: String,
    /// To whom.
    pub customer: CustomerId,
}

/// Writes reminders into the outbox and makes their sending due.
pub async fn send(tx: &mut Tx, reminders: &[Reminder], now: Timestamp) -> sqlx::Result<()> {
    let each = || reminders.iter();
    sqlx::query(concat!(
        "with ",
        message_cte!("$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8"),
        ", ",
        due_cte!("$1", "$9", "$3", "$10"),
        " select 1"
    ))
    .bind(tx.tenant())
    .bind(now)
    .bind(each().map(|reminder| reminder.id).collect::<Vec<_>>())
    .bind(
        each()
            .map(|reminder| reminder.to.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        each()
            .map(|reminder| reminder.body.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(vec!["reminder"; reminders.len()])
    .bind(each().map(|reminder| reminder.customer).collect::<Vec<_>>())
    .bind(vec!["system"; reminders.len()])
    .bind(vec![SEND; reminders.len()])
    .bind(vec![now; reminders.len()])
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets up to `most` notes on ends before `cutoff`: they are not looked for any more.
pub async fn forget(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<()> {
    sqlx::query(
        "delete from reminders r
          using (select customer_id, ends_at, days from reminders
                  where tenant_id = $1 and ends_at < $2
                  order by ends_at
                  limit $3) old
          where r.tenant_id = $1 and r.customer_id = old.customer_id and r.ends_at = old.ends_at
            and r.days = old.days",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How many promises a customer gave since `since`.
pub async fn promises_since(
    tx: &mut Tx,
    customer: CustomerId,
    since: Timestamp,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from promises
          where tenant_id = $1 and customer_id = $2 and created_at >= $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(since)
    .fetch_one(&mut **tx)
    .await
}

/// A promise that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// Its id.
    pub id: PromiseId,
    /// Whose.
    pub customer: CustomerId,
    /// How many days.
    pub days: i32,
    /// From when he is served on it.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who took it.
    pub operator: OperatorId,
}

/// Writes a promise down.
pub async fn insert_promise(tx: &mut Tx, promise: &Promise, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into promises (tenant_id, id, customer_id, days, from_at, until_at, operator_id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tx.tenant())
    .bind(promise.id)
    .bind(promise.customer)
    .bind(promise.days)
    .bind(promise.from)
    .bind(promise.until)
    .bind(promise.operator)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
