//! What reports ask. Each is answered from sums by day, or bounded by a stretch of days or a few of a tenant's customers
//! that an index serves.

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
use crate::dashboard::rules::{Lives, midnight};
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
        "select d.day::text, sum(e.n)::bigint, coalesce(sum(e.n * p.price), 0)::bigint, sum(e.funded)::bigint,
                coalesce(sum(e.funded * p.price), 0)::bigint
           from (select day::date, day at time zone $4 as begins, (day + interval '1 day') at time zone $4 as ends
                   from generate_series(date_trunc('day', $2 at time zone $4), $3 at time zone $4,
                                        interval '1 day') as day
                  limit 1000) d
          cross join lateral (
                select c.package_id, count(*) as n, count(*) filter (where c.funded_until > c.paid_until) as funded
                  from customers c
                 where c.tenant_id = $1 and c.deleted_at is null and c.standing = 'ACTIVE'
                   and c.parent_id is null and not c.postpaid
                   and c.paid_until >= greatest(d.begins, $2) and c.paid_until < least(d.ends, $3)
                 group by c.package_id) e
           left join packages p on p.tenant_id = $1 and p.id = e.package_id and p.deleted_at is null
          group by d.day
          order by d.day",
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

/// When customers came and when their service ended, by month; who came before the first of `months` came the day before
/// it. Deleting somebody ends his service too; a pause does not. Who came with a file that was taken back never came.
///
/// Those who are served, stopped and deleted are found each by an index of their own; of the first, who are nearly all, it
/// has everything that is asked.
pub async fn lives(
    tx: &mut Tx,
    kind: Option<ConnectionType>,
    months: &[Date],
    zone: &TimeZone,
    now: Timestamp,
) -> sqlx::Result<Vec<Lives>> {
    let begins: Vec<Timestamp> = months.iter().map(|month| midnight(*month, zone)).collect();
    let rows: Vec<(i32, Option<i32>, i64)> = sqlx::query_as(
        "with life as (
             select created_at, served_until as ended
               from customers
              where tenant_id = $1 and deleted_at is null and standing = 'ACTIVE' and served_until >= $2[1]
                and ($4::text is null or connection_type = $4)
              union all
             select created_at, case when paused_at is null then served_until else 'infinity' end
               from customers
              where tenant_id = $1 and deleted_at is null and standing <> 'ACTIVE'
                and (paused_at is not null or served_until >= $2[1])
                and ($4::text is null or connection_type = $4)
              union all
             select created_at, case when paused_at is null then least(served_until, deleted_at) else deleted_at end
               from customers
              where tenant_id = $1 and deleted_at >= $2[1] and (paused_at is not null or served_until >= $2[1])
                and ($4::text is null or connection_type = $4)
                and not exists (select from import_rows r
                                 where r.tenant_id = $1 and r.subject_id = customers.id and r.undone_at is not null
                                   and r.outcome = 'CREATED'))
         select width_bucket(created_at, $2) as came, case when ended <= $3 then width_bucket(ended, $2) end as ended,
                count(*)
           from life
          group by 1, 2
          limit 2000",
    )
    .bind(tx.tenant())
    .bind(&begins)
    .bind(now)
    .bind(kind.map(ConnectionType::word))
    .fetch_all(&mut **tx)
    .await?;
    let month = |bucket: i32| -> sqlx::Result<Date> {
        let of_them = usize::try_from(bucket).ok().and_then(|nth| match nth {
            0 => months.first()?.yesterday().ok(),
            nth => months.get(nth - 1).copied(),
        });
        of_them.ok_or_else(|| sqlx::Error::Decode("a month that was not asked for".into()))
    };
    rows.into_iter()
        .map(|(came, ended, customers)| {
            Ok(Lives {
                came: month(came)?,
                ended: ended.map(month).transpose()?,
                customers,
            })
        })
        .collect()
}

/// Somebody who owes, or is served on his word.
#[derive(Clone, Debug)]
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

/// Who owe money or a promise.
#[derive(Clone, Default, Debug)]
pub struct Debts {
    /// How many.
    pub n: i64,
    /// What they owe together.
    pub owed: Cents,
    /// Some of them, the largest debt first.
    pub page: Vec<Debtor>,
}

#[derive(FromRow)]
struct DebtRow {
    n: i64,
    together: Cents,
    id: Option<CustomerId>,
    username: Option<String>,
    name: Option<String>,
    phone: Option<String>,
    balance: Option<Cents>,
    promised_until: Option<Timestamp>,
    owed: Option<Cents>,
}

/// Who owe money or a promise at `now`, the largest debt first; how many, and what they owe together.
///
/// One statement adds all debts up once: what is missing in a wallet, the price of what was promised to be paid for, and
/// what is open of invoices.
pub async fn debts(tx: &mut Tx, page: Page, now: Timestamp) -> sqlx::Result<Debts> {
    let rows: Vec<DebtRow> = sqlx::query_as(
        "with part as (
             select w.customer_id as id, -w.balance as owed from wallets w where w.tenant_id = $1 and w.balance < 0
              union all
             select c.id, coalesce(p.price, 0)
               from customers c
               left join packages p on p.tenant_id = $1 and p.id = c.package_id
              where c.tenant_id = $1 and c.promised_until is not null and c.promised_from <= $2
              union all
             select i.customer_id, i.amount - i.credited
               from invoices i
              where i.tenant_id = $1 and i.status = 'PENDING' and i.amount > i.credited),
         debt as materialized (
             select p.id, sum(p.owed)::bigint as owed
               from part p
               join customers c on c.tenant_id = $1 and c.id = p.id and c.deleted_at is null
              group by p.id),
         page as (select id, owed from debt order by owed desc, id limit $3 offset $4)
         select t.n, t.together, c.id, c.username, c.name, c.phone, w.balance, c.promised_until, d.owed
           from (select count(*) as n, coalesce(sum(owed), 0)::bigint as together from debt) t
           left join page d on true
           left join customers c on c.tenant_id = $1 and c.id = d.id
           left join wallets w on w.tenant_id = $1 and w.customer_id = d.id
          order by d.owed desc, d.id",
    )
    .bind(tx.tenant())
    .bind(now)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let mut debts = Debts::default();
    for row in rows {
        (debts.n, debts.owed) = (row.n, row.together);
        if let (Some(id), Some(username), Some(name)) = (row.id, row.username, row.name) {
            debts.page.push(Debtor {
                id,
                username,
                name,
                phone: row.phone,
                balance: row.balance.unwrap_or_default(),
                promised_until: row.promised_until,
                owed: row.owed.unwrap_or_default(),
            });
        }
    }
    Ok(debts)
}
