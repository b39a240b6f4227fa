//! SQL on outages and what was given back for them.

mod found;

use std::time::Duration;

use easyisp_shared::id::{CustomerId, MessageId, OperatorId, OutageId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::rules::{Given, Served, Stretch};
use crate::api::Page;
use crate::db::Tx;
use crate::due::due_cte;
use crate::messaging::{SEND, message_cte};

pub use found::{
    Silent, awake_since, end, heard_of_all, look, open, silent_routers, silent_sites,
    sites_without_upstream,
};

/// What an operator gives.
#[derive(Clone, Debug)]
pub struct Extension {
    pub id: OutageId,
    pub site: SiteId,
    pub router: Option<RouterId>,
    pub longer: Duration,
    pub reason: String,
    pub tells: bool,
    pub operator: OperatorId,
    /// Nobody at a hotspot gets anything.
    pub but_hotspot: bool,
}

/// Writes it down.
pub async fn extend(tx: &mut Tx, one: &Extension, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into outages (tenant_id, id, cause, site_id, router_id, began_at, ended_at, gift_secs, reason,
                              tells, operator_id, created_at, but_hotspot)
         values ($1, $2, 'EXTENSION', $3, $4, $5, $5, $6, $7, $8, $9, $5, $10)",
    )
    .bind(tx.tenant())
    .bind(one.id)
    .bind(one.site)
    .bind(one.router)
    .bind(now)
    .bind(secs(one.longer))
    .bind(&one.reason)
    .bind(one.tells)
    .bind(one.operator)
    .bind(one.but_hotspot)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn secs(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// The place of a site or router, by name: the router where one is meant, else the site. `None` = this tenant has
/// none such.
pub async fn place(
    tx: &mut Tx,
    site: Option<SiteId>,
    router: Option<RouterId>,
) -> sqlx::Result<Option<(SiteId, String)>> {
    sqlx::query_as(
        "select s.id, coalesce(r.name, s.name)
           from sites s
           left join routers r
             on r.tenant_id = $1 and r.site_id = s.id and r.id = $3 and r.deleted_at is null
          where s.tenant_id = $1 and s.deleted_at is null
            and ($2::uuid is null or s.id = $2) and ($3::uuid is null or r.id is not null)
          limit 1",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(router)
    .fetch_optional(&mut **tx)
    .await
}

/// The condition that a customer `c` is behind the router `$2`, or behind the site `$3` where that is null: he
/// belongs to it or, belonging to none, was online at it within the day before `$4`. Where `$but_hotspot`, nobody at a
/// hotspot is meant.
macro_rules! behind {
    ($but_hotspot:literal) => {
        concat!("not (", $but_hotspot, " and c.connection_type = 'HOTSPOT')
            and c.tenant_id = $1 and c.deleted_at is null and c.parent_id is null and not c.postpaid and c.site_id = $3
            and ($2::uuid is null or c.router_id = $2
                 or c.router_id is null
                    and exists (select from sessions s
                                 where s.tenant_id = $1 and s.customer_id = c.id and s.router_id = $2
                                   and s.started_at <= $4
                                   and s.last_seen_at >= $4::timestamptz - interval '1 day'))")
    };
}

/// How many are behind it whose paid time is not over at `now`.
pub async fn count(
    tx: &mut Tx,
    site: SiteId,
    router: Option<RouterId>,
    but_hotspot: bool,
    now: Timestamp,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(concat!(
        "select count(*) from customers c
          where (c.standing = 'ACTIVE' or c.paused_at is not null)
            and c.paid_until > coalesce(c.paused_at, $4) and ",
        behind!("$5")
    ))
    .bind(tx.tenant())
    .bind(router)
    .bind(site)
    .bind(now)
    .bind(but_hotspot)
    .fetch_one(&mut **tx)
    .await
}

/// An outage that is over and not repaid, locked.
#[derive(FromRow, Clone, Debug)]
pub struct Over {
    pub site_id: SiteId,
    pub router_id: Option<RouterId>,
    /// What was away, by name.
    pub name: String,
    pub began_at: Timestamp,
    pub ended_at: Timestamp,
    pub gift_secs: Option<i64>,
    pub tells: bool,
    pub but_hotspot: bool,
    pub looked_to: Option<CustomerId>,
    pub customers: i32,
    pub business_name: String,
    pub time_zone: String,
}

/// Reads and locks it; `None` when it goes on or everybody was looked at.
pub async fn lock(tx: &mut Tx, outage: OutageId) -> sqlx::Result<Option<Over>> {
    sqlx::query_as(
        "select o.site_id, o.router_id, coalesce(r.name, s.name) as name, o.began_at, o.ended_at, o.gift_secs,
                o.tells, o.but_hotspot, o.looked_to, o.customers, t.business_name, t.time_zone
           from outages o
           join tenants t on t.tenant_id = $1
           join sites s on s.tenant_id = $1 and s.id = o.site_id
           left join routers r on r.tenant_id = $1 and r.id = o.router_id
          where o.tenant_id = $1 and o.id = $2 and o.ended_at is not null and o.repaid_at is null
            for update of o",
    )
    .bind(tx.tenant())
    .bind(outage)
    .fetch_optional(&mut **tx)
    .await
}

/// The next customers behind it, locked in the order of their ids.
pub async fn next(tx: &mut Tx, over: &Over, most: i64) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(concat!(
        "select c.id from customers c
          where ($5::uuid is null or c.id > $5) and c.paid_until > $4::timestamptz - interval '400 days' and ",
        behind!("$7"),
        " order by c.id limit $6 for update"
    ))
    .bind(tx.tenant())
    .bind(over.router_id)
    .bind(over.site_id)
    .bind(over.began_at)
    .bind(over.looked_to)
    .bind(most)
    .bind(over.but_hotspot)
    .fetch_all(&mut **tx)
    .await
}

#[derive(FromRow)]
struct ServedRow {
    id: CustomerId,
    phone_number: Option<String>,
    open: bool,
    paid_until: Timestamp,
    served_from: Option<Timestamp>,
    paused_at: Option<Timestamp>,
    least_minutes: Option<i32>,
    repaid_from: Vec<Timestamp>,
    repaid_to: Vec<Timestamp>,
}

/// Somebody behind an outage.
#[derive(Clone, Debug)]
pub struct Behind {
    pub customer: CustomerId,
    pub phone: Option<String>,
    /// The shortest outage that his package gives back; `None` = it gives none.
    pub least: Option<Duration>,
    pub served: Served,
}

/// Reads customers who are locked. What began during the outage late, after a gap, is what they are served from.
pub async fn served(
    tx: &mut Tx,
    customers: &[CustomerId],
    outage: Stretch,
    least: i32,
) -> sqlx::Result<Vec<Behind>> {
    let rows: Vec<ServedRow> = sqlx::query_as(
        "select c.id, c.phone_number, c.standing = 'ACTIVE' or c.paused_at is not null as open,
                c.paid_until, c.paused_at,
                (select max(p.starts_at) from periods p
                  where p.tenant_id = $1 and p.customer_id = c.id
                    and p.starts_at > $3 and p.starts_at < $4 and p.starts_at <= p.created_at
                    and not exists (select from periods q
                                     where q.tenant_id = $1 and q.customer_id = c.id
                                       and q.starts_at < p.starts_at and q.ends_at >= p.starts_at))
                    as served_from,
                case when not coalesce((k.terms ->> 'keepsOutages')::boolean, false)
                     then coalesce((k.terms ->> 'outageMinutes')::integer, $5) end as least_minutes,
                array(select r.from_at from repayments r
                       where r.tenant_id = $1 and r.customer_id = c.id and r.from_at < $4 and r.to_at > $3
                       order by r.from_at, r.outage_id) as repaid_from,
                array(select r.to_at from repayments r
                       where r.tenant_id = $1 and r.customer_id = c.id and r.from_at < $4 and r.to_at > $3
                       order by r.from_at, r.outage_id) as repaid_to
           from customers c
           left join packages k on k.tenant_id = $1 and k.id = c.package_id
          where c.tenant_id = $1 and c.id = any($2)
          order by c.id",
    )
    .bind(tx.tenant())
    .bind(customers)
    .bind(outage.from)
    .bind(outage.to)
    .bind(least)
    .fetch_all(&mut **tx)
    .await?;
    let behind = |row: ServedRow| Behind {
        customer: row.id,
        phone: row.phone_number,
        least: row
            .least_minutes
            .map(|minutes| Duration::from_secs(60 * u64::from(minutes.unsigned_abs()))),
        served: Served {
            open: row.open,
            paid_until: row.paid_until,
            served_from: row.served_from,
            paused_at: row.paused_at,
            repaid: row
                .repaid_from
                .into_iter()
                .zip(row.repaid_to)
                .map(|(from, to)| Stretch { from, to })
                .collect(),
        },
    };
    Ok(rows.into_iter().map(behind).collect())
}

/// Somebody who got time.
#[derive(FromRow, Clone, Debug)]
pub struct Got {
    pub customer_id: CustomerId,
    pub name: String,
    /// When his time would have ended.
    pub before: Timestamp,
    /// When it ends.
    pub after: Timestamp,
    /// Whether he has bought ahead.
    pub ahead: bool,
}

/// Gives time to customers who are locked, once for this outage; returns who got it, in the order of their ids.
pub async fn give(
    tx: &mut Tx,
    outage: OutageId,
    given: &[(CustomerId, Given)],
    zone: &str,
    now: Timestamp,
) -> sqlx::Result<Vec<Got>> {
    sqlx::query_as(
        "with wish as (
             select * from unnest($3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::bigint[],
                                  $7::timestamptz[]) as w (customer_id, from_at, to_at, secs, until_at)),
         note as (
             insert into repayments (tenant_id, outage_id, customer_id, from_at, to_at, secs, until_before,
                                     until_after, created_at)
             select $1, $2, w.customer_id, w.from_at, w.to_at, w.secs, c.paid_until, w.until_at, $8
               from wish w
               join customers c on c.tenant_id = $1 and c.id = w.customer_id
                 on conflict do nothing
             returning customer_id, secs, until_before, until_after),
         later as (
             update periods p
                set starts_at = p.starts_at + make_interval(secs => n.secs),
                    ends_at = p.ends_at + make_interval(secs => n.secs)
               from note n
              where p.tenant_id = $1 and p.customer_id = n.customer_id and p.starts_at > $8
             returning p.customer_id),
         longer as (
             update customers c
                set paid_until = n.until_after,
                    anchor_day = case when (c.paid_until at time zone $9)::date = (n.until_after at time zone $9)::date
                                      then c.anchor_day end,
                    updated_at = $8, version = c.version + 1
               from note n
              where c.tenant_id = $1 and c.id = n.customer_id)
         select n.customer_id, c.name, n.until_before as before, n.until_after as after,
                exists (select from later l where l.customer_id = n.customer_id) as ahead
           from note n
           join customers c on c.tenant_id = $1 and c.id = n.customer_id
          order by 1",
    )
    .bind(tx.tenant())
    .bind(outage)
    .bind(given.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(given.iter().map(|(_, one)| one.lost.map(|lost| lost.from)).collect::<Vec<_>>())
    .bind(given.iter().map(|(_, one)| one.lost.map(|lost| lost.to)).collect::<Vec<_>>())
    .bind(given.iter().map(|(_, one)| secs(one.longer)).collect::<Vec<_>>())
    .bind(given.iter().map(|(_, one)| one.until).collect::<Vec<_>>())
    .bind(now)
    .bind(zone)
    .fetch_all(&mut **tx)
    .await
}

/// Notes how far was looked, and whether that was everybody.
pub async fn looked(
    tx: &mut Tx,
    outage: OutageId,
    last: Option<CustomerId>,
    customers: i32,
    repaid_at: Option<Timestamp>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update outages
            set looked_to = coalesce($3, looked_to), customers = customers + $4, repaid_at = $5
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(outage)
    .bind(last)
    .bind(customers)
    .bind(repaid_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A message on its way into the outbox.
#[derive(Clone, Debug)]
pub struct Note {
    pub id: MessageId,
    pub to: String,
    pub body: String,
    pub customer: CustomerId,
}

/// Writes messages into the outbox, to be sent at `when`.
pub async fn tell(
    tx: &mut Tx,
    notes: &[Note],
    when: Timestamp,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(concat!(
        "with ",
        message_cte!("$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8"),
        ", ",
        due_cte!("$1", "$9", "$3", "$10"),
        " select 1"
    ))
    .bind(tx.tenant())
    .bind(now)
    .bind(notes.iter().map(|note| note.id).collect::<Vec<_>>())
    .bind(
        notes
            .iter()
            .map(|note| note.to.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        notes
            .iter()
            .map(|note| note.body.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(vec!["outage"; notes.len()])
    .bind(notes.iter().map(|note| note.customer).collect::<Vec<_>>())
    .bind(vec!["system"; notes.len()])
    .bind(vec![SEND; notes.len()])
    .bind(vec![when; notes.len()])
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An outage as a list shows it.
#[derive(FromRow, Clone, Debug)]
pub struct Row {
    pub id: OutageId,
    pub cause: String,
    pub site_id: SiteId,
    pub site_name: String,
    pub router_id: Option<RouterId>,
    pub router_name: Option<String>,
    pub began_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub gift_secs: Option<i64>,
    pub reason: String,
    pub repaid_at: Option<Timestamp>,
    pub customers: i32,
}

/// A page of outages, the newest first, or the one that is meant; and how many there are.
pub async fn page(
    tx: &mut Tx,
    one: Option<OutageId>,
    site: Option<SiteId>,
    page: Page,
) -> sqlx::Result<(Vec<Row>, i64)> {
    let rows = sqlx::query_as(
        "select o.id, o.cause, o.site_id, s.name as site_name, o.router_id, r.name as router_name, o.began_at,
                o.ended_at, o.gift_secs, o.reason, o.repaid_at, o.customers
           from outages o
           join sites s on s.tenant_id = $1 and s.id = o.site_id
           left join routers r on r.tenant_id = $1 and r.id = o.router_id
          where o.tenant_id = $1 and ($2::uuid is null or o.id = $2) and ($3::uuid is null or o.site_id = $3)
          order by o.began_at desc, o.id desc
          limit $4 offset $5",
    )
    .bind(tx.tenant())
    .bind(one)
    .bind(site)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*) from outages o
          where o.tenant_id = $1 and ($2::uuid is null or o.id = $2) and ($3::uuid is null or o.site_id = $3)",
    )
    .bind(tx.tenant())
    .bind(one)
    .bind(site)
    .fetch_one(&mut **tx)
    .await?;
    Ok((rows, total))
}

/// What somebody was given.
#[derive(FromRow, Clone, Debug)]
pub struct Repayment {
    pub customer_id: CustomerId,
    pub customer_name: String,
    pub from_at: Option<Timestamp>,
    pub to_at: Option<Timestamp>,
    pub secs: i64,
    pub until_before: Timestamp,
    pub until_after: Timestamp,
    pub created_at: Timestamp,
}

/// A page of what was given for an outage.
pub async fn repayments(tx: &mut Tx, outage: OutageId, page: Page) -> sqlx::Result<Vec<Repayment>> {
    sqlx::query_as(
        "select r.customer_id, c.name as customer_name, r.from_at, r.to_at, r.secs, r.until_before,
                r.until_after, r.created_at
           from repayments r
           join customers c on c.tenant_id = $1 and c.id = r.customer_id
          where r.tenant_id = $1 and r.outage_id = $2
          order by r.customer_id
          limit $3 offset $4",
    )
    .bind(tx.tenant())
    .bind(outage)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await
}
