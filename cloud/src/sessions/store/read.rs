//! Reading sessions.

use easyisp_shared::id::{CustomerId, RouterId, SessionId, SiteId};
use easyisp_shared::time::Timestamp;

use crate::api::{Order, Sort, Sortable};
use crate::customers::ConnectionType;
use crate::db::Tx;
use crate::sessions::words::Status;

/// A session as lists show it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    pub id: SessionId,
    pub site_id: SiteId,
    pub router_id: RouterId,
    pub router_name: Option<String>,
    pub router_address: Option<String>,
    pub acct_session_id: String,
    pub customer_id: Option<CustomerId>,
    pub customer_name: Option<String>,
    pub username: String,
    pub connection_type: Option<ConnectionType>,
    pub framed_ip: Option<String>,
    pub prefixes: Vec<String>,
    pub mac: Option<String>,
    pub status: Status,
    pub started_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub stopped_at: Option<Timestamp>,
    pub session_secs: i64,
    pub bytes_in: i64,
    pub bytes_out: i64,
    pub terminate_cause: Option<String>,
}

/// Which sessions a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Open ones, or those that are over.
    pub open: Option<bool>,
    /// Only those that are heard of, as counts of open sessions take them.
    pub confirmed: bool,
    /// Whose.
    pub customer: Option<CustomerId>,
    /// Where.
    pub router: Option<RouterId>,
    /// Part of the user name, or of the address or device of a session that is open: who had one before is
    /// personal, and asked for by `/api/sessions/search`.
    pub search: Option<String>,
    /// Begun then or later.
    pub from: Option<Timestamp>,
    /// Begun before.
    pub to: Option<Timestamp>,
}

/// What sessions are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("startTime", &["started_at", "-id"]),
        ("username", &["username", "id"]),
        ("bytesIn", &["bytes_in", "id"]),
        ("bytesOut", &["bytes_out", "id"]),
    ];
    const USUAL: Order = Order::Desc;
}

/// One page of sessions, newest first unless asked otherwise.
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    sort: Sort<By>,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(sort.text(
        "select s.*, r.name as router_name, r.ip_address as router_address, c.name as customer_name
           from (select * from sessions
                  where tenant_id = $1
                    and ($2::boolean is null or (status <> 'COMPLETED') = $2)
                    and (not $10 or status = 'ACTIVE')
                    and ($3::uuid is null or customer_id = $3)
                    and ($4::uuid is null or router_id = $4)
                    and ($5::text is null or username ilike $5
                         or status <> 'COMPLETED' and (framed_ip ilike $5 or mac ilike $5
                                                      or array_to_string(prefixes, ' ') ilike $5))
                    and ($6::timestamptz is null or started_at >= $6)
                    and ($7::timestamptz is null or started_at < $7)
                  order by {order}
                  limit $8 offset $9) s
           left join routers r on r.tenant_id = $1 and r.id = s.router_id
           left join customers c on c.tenant_id = $1 and c.id = s.customer_id
          order by {order}",
    ))
    .bind(tx.tenant())
    .bind(filter.open)
    .bind(filter.customer)
    .bind(filter.router)
    .bind(filter.search.as_deref().map(crate::db::like))
    .bind(filter.from)
    .bind(filter.to)
    .bind(limit)
    .bind(offset)
    .bind(filter.confirmed)
    .fetch_all(&mut **tx)
    .await
}

/// What a list adds up to.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Totals {
    /// How many.
    pub n: i64,
    /// From subscribers.
    pub bytes_in: i64,
    /// To subscribers.
    pub bytes_out: i64,
}

/// What the sessions of a filter add up to.
pub async fn sums(tx: &mut Tx, filter: &Filter) -> sqlx::Result<Totals> {
    sqlx::query_as(
        "select count(*) as n, coalesce(sum(bytes_in), 0)::bigint as bytes_in,
                coalesce(sum(bytes_out), 0)::bigint as bytes_out
           from sessions
          where tenant_id = $1
            and ($2::boolean is null or (status <> 'COMPLETED') = $2)
            and (not $8 or status = 'ACTIVE')
            and ($3::uuid is null or customer_id = $3)
            and ($4::uuid is null or router_id = $4)
            and ($5::text is null or username ilike $5
                 or status <> 'COMPLETED' and (framed_ip ilike $5 or mac ilike $5
                                                      or array_to_string(prefixes, ' ') ilike $5))
            and ($6::timestamptz is null or started_at >= $6)
            and ($7::timestamptz is null or started_at < $7)",
    )
    .bind(tx.tenant())
    .bind(filter.open)
    .bind(filter.customer)
    .bind(filter.router)
    .bind(filter.search.as_deref().map(crate::db::like))
    .bind(filter.from)
    .bind(filter.to)
    .bind(filter.confirmed)
    .fetch_one(&mut **tx)
    .await
}

/// One session; `None` when this tenant has no such session.
pub async fn find(tx: &mut Tx, session: SessionId) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(
        "select s.*, r.name as router_name, r.ip_address as router_address, c.name as customer_name
           from sessions s
           left join routers r on r.tenant_id = $1 and r.id = s.router_id
           left join customers c on c.tenant_id = $1 and c.id = s.customer_id
          where s.tenant_id = $1 and s.id = $2",
    )
    .bind(tx.tenant())
    .bind(session)
    .fetch_optional(&mut **tx)
    .await
}

/// The open sessions under a user name, or with this Acct-Session-Id.
pub async fn find_open(
    tx: &mut Tx,
    username: Option<&str>,
    acct_session_id: Option<&str>,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "select s.*, r.name as router_name, r.ip_address as router_address, c.name as customer_name
           from sessions s
           left join routers r on r.tenant_id = $1 and r.id = s.router_id
           left join customers c on c.tenant_id = $1 and c.id = s.customer_id
          where s.tenant_id = $1 and s.status <> 'COMPLETED'
            and (s.username = $2 or s.acct_session_id = $3)
          order by s.started_at desc
          limit 100",
    )
    .bind(tx.tenant())
    .bind(username)
    .bind(acct_session_id)
    .fetch_all(&mut **tx)
    .await
}

/// How many sessions began, and how many are open.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Live {
    pub open: i64,
    pub pppoe: i64,
    pub hotspot: i64,
    pub today: i64,
    pub this_week: i64,
    pub this_month: i64,
}

/// Open sessions, and sessions begun today, this week (from Monday) and this month in the tenant's zone.
pub async fn totals(tx: &mut Tx, now: Timestamp) -> sqlx::Result<Live> {
    sqlx::query_as(
        "with marks as (
             select date_trunc('day', $2 at time zone time_zone) at time zone time_zone as day,
                    date_trunc('week', $2 at time zone time_zone) at time zone time_zone as week,
                    date_trunc('month', $2 at time zone time_zone) at time zone time_zone as month
               from tenants where tenant_id = $1)
         select o.open, o.pppoe, o.hotspot, b.today, b.this_week, b.this_month
           from (select count(*) as open,
                        count(*) filter (where connection_type is distinct from 'HOTSPOT') as pppoe,
                        count(*) filter (where connection_type = 'HOTSPOT') as hotspot
                   from sessions
                  where tenant_id = $1 and status <> 'COMPLETED' and status = 'ACTIVE') o
          cross join lateral (
                select count(*) filter (where s.started_at >= m.day) as today,
                       count(*) filter (where s.started_at >= m.week) as this_week,
                       count(*) filter (where s.started_at >= m.month) as this_month
                  from marks m
                  left join sessions s on s.tenant_id = $1
                                      and s.started_at >= least(m.week, m.month)) b",
    )
    .bind(tx.tenant())
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

/// Open sessions router by router, the busiest first.
pub async fn by_router(tx: &mut Tx) -> sqlx::Result<Vec<(RouterId, Option<String>, i64)>> {
    sqlx::query_as(
        "select s.router_id, r.name, s.n
           from (select router_id, count(*) as n from sessions
                  where tenant_id = $1 and status <> 'COMPLETED' and status = 'ACTIVE'
                  group by router_id) s
           left join routers r on r.tenant_id = $1 and r.id = s.router_id
          order by s.n desc, r.name
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await
}

/// What is known of a customer's being online.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Presence {
    pub username: String,
    pub connection_type: ConnectionType,
    /// Where he is online, else his home site.
    pub site_id: SiteId,
    pub session_id: Option<SessionId>,
    pub status: Option<Status>,
    pub framed_ip: Option<String>,
    pub mac: Option<String>,
    pub started_at: Option<Timestamp>,
    pub last_seen_at: Option<Timestamp>,
}

/// A customer's newest open session and when he was last seen; `None` when there is no such customer.
pub async fn live(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Presence>> {
    sqlx::query_as(
        "select c.username, c.connection_type, coalesce(s.site_id, c.site_id) as site_id, s.id as session_id, s.status, s.framed_ip, s.mac,
                s.started_at, coalesce(s.last_seen_at, u.last_seen_at) as last_seen_at
           from customers c
           left join customer_usage u on u.tenant_id = $1 and u.customer_id = c.id
           left join lateral (
                select * from sessions
                 where tenant_id = $1 and customer_id = c.id and status <> 'COMPLETED'
                 order by (status = 'ACTIVE') desc, started_at desc
                 limit 1) s on true
          where c.tenant_id = $1 and c.id = $2 and c.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// Since when the tenant's longest-serving agent serves, and how many were heard after `since`.
pub async fn agents(tx: &mut Tx, since: Timestamp) -> sqlx::Result<(Option<Timestamp>, i64)> {
    sqlx::query_as(
        "select min(enrolled_at), count(*) filter (where last_seen_at >= $2)
           from agents
          where tenant_id = $1 and revoked_at is null",
    )
    .bind(tx.tenant())
    .bind(since)
    .fetch_one(&mut **tx)
    .await
}

/// The Acct-Session-Ids of who is online at a router under a name, whatever its case; at most 100.
pub async fn open_at(tx: &mut Tx, router: RouterId, username: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select acct_session_id from sessions
          where tenant_id = $1 and router_id = $2 and lower(username) = lower($3) and status <> 'COMPLETED'
          limit 100",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(username)
    .fetch_all(&mut **tx)
    .await
}
