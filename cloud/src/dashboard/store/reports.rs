//! What reports ask. Each is answered from sums by day, or bounded by a stretch of days that an index serves or by one walk
//! over a tenant's customers.

use easyisp_shared::id::CustomerId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::FromRow;
use uuid::Uuid;

use super::{date, name};
use crate::api::Page;
use crate::customers::ConnectionType;
use crate::dashboard::rules::Lives;
use crate::db::Tx;

/// Money under one heading.
#[derive(FromRow, Clone, Debug)]
pub struct Share {
    /// What it is of; `None` = of nothing that has an id.
    pub id: Option<Uuid>,
    /// What people call it.
    pub name: Option<String>,
    /// How many times.
    pub count: i64,
    /// How much.
    pub amount: Cents,
}

/// Most headings of one report.
const MOST: i64 = 1000;

/// How many and how much of some tallies there are on these days, by a key of theirs, as the table `sum`.
macro_rules! sum_cte {
    ($key:literal, $what:literal) => {
        concat!(
            "sum as (
                 select ",
            $key,
            " as id, sum(n)::bigint as count, sum(amount)::bigint as amount
                   from (select method, subject, n, amount from tallies
                          where tenant_id = $1 and day >= $2::date and day <= $3::date and ",
            $what,
            "
                         union all
                         select method, subject, n, amount from untallied
                          where tenant_id = $1 and day >= $2::date and day <= $3::date and ",
            $what,
            ") t
                  group by 1
                 having sum(n) <> 0 or sum(amount) <> 0)"
        )
    };
}

/// What was sold or billed on these days, by package, without the taxes in it and less what was taken back of it.
pub async fn by_package(tx: &mut Tx, from: Date, to: Date) -> sqlx::Result<Vec<Share>> {
    sqlx::query_as(concat!(
        "with ",
        sum_cte!(
            "nullif(subject, '00000000-0000-0000-0000-000000000000')",
            "what = 'PACKAGE'"
        ),
        " select s.id, p.name, s.count, s.amount
           from sum s
           left join packages p on p.tenant_id = $1 and p.id = s.id
          order by s.amount desc, p.name
          limit $4"
    ))
    .bind(tx.tenant())
    .bind(from.to_string())
    .bind(to.to_string())
    .bind(MOST)
    .fetch_all(&mut **tx)
    .await
}

/// The same by the router that the buyer belonged to then.
pub async fn by_router(tx: &mut Tx, from: Date, to: Date) -> sqlx::Result<Vec<Share>> {
    sqlx::query_as(concat!(
        "with ",
        sum_cte!(
            "nullif(subject, '00000000-0000-0000-0000-000000000000')",
            "what = 'ROUTER'"
        ),
        " select s.id, r.name, s.count, s.amount
           from sum s
           left join routers r on r.tenant_id = $1 and r.id = s.id
          order by s.amount desc, r.name
          limit $4"
    ))
    .bind(tx.tenant())
    .bind(from.to_string())
    .bind(to.to_string())
    .bind(MOST)
    .fetch_all(&mut **tx)
    .await
}

/// What was paid on these days and stands, less what was sent back of it, by the way it came.
pub async fn by_method(tx: &mut Tx, from: Date, to: Date) -> sqlx::Result<Vec<Share>> {
    sqlx::query_as(concat!(
        "with ",
        sum_cte!(
            "method",
            "what in ('PAYMENT', 'SETTLED') and status = 'completed'"
        ),
        " select null::uuid as id, s.id as name, s.count, s.amount
           from sum s
          order by s.amount desc, s.id
          limit $4"
    ))
    .bind(tx.tenant())
    .bind(from.to_string())
    .bind(to.to_string())
    .bind(MOST)
    .fetch_all(&mut **tx)
    .await
}

/// What was paid on these days and stands, less what was sent back of it, by who wrote it down; nobody = the provider
/// told it.
pub async fn by_operator(tx: &mut Tx, from: Date, to: Date) -> sqlx::Result<Vec<Share>> {
    sqlx::query_as(concat!(
        "with ",
        sum_cte!(
            "nullif(subject, '00000000-0000-0000-0000-000000000000')",
            "what in ('PAYMENT', 'SETTLED') and status = 'completed'"
        ),
        " select s.id, o.name, s.count, s.amount
           from sum s
           left join operators o on o.tenant_id = $1 and o.id = s.id
          order by s.amount desc, o.name
          limit $4"
    ))
    .bind(tx.tenant())
    .bind(from.to_string())
    .bind(to.to_string())
    .bind(MOST)
    .fetch_all(&mut **tx)
    .await
}

/// What vouchers were worth that were used on these days: they are paid elsewhere, and no payment stands for
/// one.
pub async fn vouchers(tx: &mut Tx, from: Date, to: Date, zone: &TimeZone) -> sqlx::Result<Cents> {
    sqlx::query_scalar(
        "select coalesce(sum(price), 0)::bigint
           from vouchers
          where tenant_id = $1 and status = 'USED'
            and used_at >= $2::date::timestamp at time zone $4
            and used_at < ($3::date + 1)::timestamp at time zone $4",
    )
    .bind(tx.tenant())
    .bind(from.to_string())
    .bind(to.to_string())
    .bind(name(zone))
    .fetch_one(&mut **tx)
    .await
}

/// Whose paid time ends on one day.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The day.
    pub day: Date,
    /// How many.
    pub customers: i64,
    /// What their packages cost.
    pub amount: Cents,
    /// Those whose wallets carry them on.
    pub funded: i64,
    /// And with how much.
    pub funded_amount: Cents,
}

/// Whose paid time ends between two moments, by day. Those who were stopped, or are on another's account, are left
/// out: they do not pay. So are those who are billed afterwards: what they pay is on their invoices.
pub async fn endings(
    tx: &mut Tx,
    from: Timestamp,
    to: Timestamp,
    zone: &TimeZone,
) -> sqlx::Result<Vec<Ending>> {
    let rows: Vec<(String, i64, Cents, i64, Cents)> = sqlx::query_as(
        "select (c.paid_until at time zone $4)::date::text as day, count(*),
                coalesce(sum(p.price), 0)::bigint,
                count(*) filter (where c.funded_until > c.paid_until),
                coalesce(sum(p.price) filter (where c.funded_until > c.paid_until), 0)::bigint
           from customers c
           left join packages p on p.tenant_id = $1 and p.id = c.package_id and p.deleted_at is null
          where c.tenant_id = $1 and c.deleted_at is null and c.standing = 'ACTIVE'
            and c.parent_id is null and not c.postpaid and c.paid_until >= $2 and c.paid_until < $3
          group by 1
          order by 1
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(from)
    .bind(to)
    .bind(name(zone))
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|(day, customers, amount, funded, funded_amount)| {
            Ok(Ending {
                day: date(&day)?,
                customers,
                amount,
                funded,
                funded_amount,
            })
        })
        .collect()
}

/// When customers came and when their service ended, by month; who came before `first` came then. Deleting
/// somebody ends his service too; a pause does not. Who came with a file that was taken back never came.
pub async fn lives(
    tx: &mut Tx,
    kind: Option<ConnectionType>,
    first: Date,
    zone: &TimeZone,
    now: Timestamp,
) -> sqlx::Result<Vec<Lives>> {
    let rows: Vec<(String, Option<String>, i64)> = sqlx::query_as(
        "select greatest(date_trunc('month', created_at at time zone $3)::date,
                         ($2::date - 1))::text as came,
                case when ended <= $4
                     then greatest(date_trunc('month', ended at time zone $3)::date, $2::date - 1)::text
                end as ended,
                count(*)
           from (select created_at,
                        case when paused_at is null then least(served_until, deleted_at)
                             else coalesce(deleted_at, 'infinity') end as ended
                   from customers
                  where tenant_id = $1 and ($5::text is null or connection_type = $5)
                    and (deleted_at is null
                         or not exists (select from import_rows r
                                         where r.tenant_id = $1 and r.subject_id = customers.id
                                           and r.undone_at is not null))
                    and case when paused_at is null then least(served_until, deleted_at)
                             else coalesce(deleted_at, 'infinity') end
                        >= least($4, $2::date::timestamp at time zone $3)) c
          group by 1, 2
          limit 2000",
    )
    .bind(tx.tenant())
    .bind(first.to_string())
    .bind(name(zone))
    .bind(now)
    .bind(kind.map(ConnectionType::word))
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|(came, ended, customers)| {
            Ok(Lives {
                came: date(&came)?,
                ended: ended.map(|ended| date(&ended)).transpose()?,
                customers,
            })
        })
        .collect()
}

/// Somebody who owes, or is served on his word.
#[derive(FromRow, Clone, Debug)]
pub struct Debtor {
    /// Who.
    pub id: CustomerId,
    /// What he types.
    pub username: String,
    /// What he is called.
    pub name: String,
    /// Where to call.
    pub phone: Option<String>,
    /// What is in the wallet; below zero where money was taken back.
    pub balance: Cents,
    /// Until when he is served on his word.
    pub promised_until: Option<Timestamp>,
    /// What he must pay: what is missing in the wallet, the price of what he promised to pay for, and his invoices.
    pub owed: Cents,
}

/// Who owes money or a promise at `$2`, as the table `debt`.
macro_rules! debt_ctes {
    () => {
        "debtor as (
             select w.customer_id as id from wallets w where w.tenant_id = $1 and w.balance < 0
              union
             select c.id from customers c
              where c.tenant_id = $1 and c.promised_until is not null and c.promised_from <= $2
              union
             select i.customer_id from invoices i
              where i.tenant_id = $1 and i.status = 'PENDING' and i.amount > i.credited),
         debt as (
             select c.id, c.username, c.name, c.phone, w.balance, c.promised_until,
                    (greatest(0, -w.balance)
                     + case when c.promised_from <= $2 then coalesce(p.price, 0) else 0 end
                     + coalesce((select sum(i.amount - i.credited) from invoices i
                                  where i.tenant_id = $1 and i.customer_id = c.id and i.status = 'PENDING'),
                                0))::bigint as owed
               from debtor d
               join customers c on c.tenant_id = $1 and c.id = d.id and c.deleted_at is null
               join wallets w on w.tenant_id = $1 and w.customer_id = c.id
               left join packages p on p.tenant_id = $1 and p.id = c.package_id)"
    };
}

/// Who owes money or a promise at `now`, the largest debt first.
pub async fn debtors(tx: &mut Tx, page: Page, now: Timestamp) -> sqlx::Result<Vec<Debtor>> {
    sqlx::query_as(concat!(
        "with ",
        debt_ctes!(),
        " select * from debt
          order by owed desc, id
          limit $3 offset $4"
    ))
    .bind(tx.tenant())
    .bind(now)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await
}

/// How many owe money or a promise at `now`, and what they owe together.
pub async fn debt(tx: &mut Tx, now: Timestamp) -> sqlx::Result<(i64, Cents)> {
    sqlx::query_as(concat!(
        "with ",
        debt_ctes!(),
        " select count(*), coalesce(sum(owed), 0)::bigint from debt"
    ))
    .bind(tx.tenant())
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}
