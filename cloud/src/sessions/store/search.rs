//! Who had an address or a device, over years.

use easyisp_shared::ipv6::{alone, around, text};
use easyisp_shared::time::Timestamp;
use ipnet::Ipv6Net;

use super::Row;
use crate::db::Tx;
use crate::sessions::SILENCE;
use crate::sessions::rules::LOST;
use crate::sessions::search::{Asked, Moment, Searched};

/// Sessions of the tenant `$1` that were open between `$4` and `$5`. One whose end nobody saw may have
/// gone on for as long as silence is no end, so `$6` takes the place of `$4` for it.
///
/// Two texts and not one with alternatives: each meets its index, whatever the planner knows of the values.
macro_rules! opened {
    ($found_by:literal) => {
        concat!(
            " from sessions where tenant_id = $1 and ",
            $found_by,
            " and started_at <= $5
              and (stopped_at is null or started_at >= $4
                   or stopped_at > case when terminate_cause = $7 then $6 else $4 end)"
        )
    };
}

macro_rules! by_address {
    () => {
        opened!("framed_ip = $2 and ($3::text is null or mac = $3)")
    };
}

macro_rules! by_device {
    () => {
        opened!("mac = $3 and ($2::text is null or framed_ip = $2)")
    };
}

macro_rules! page {
    ($which:expr) => {
        concat!(
            "select s.*, true as certain, r.name as router_name, r.ip_address as router_address, c.name as customer_name
               from (select *",
            $which,
            " order by started_at desc, id
              limit $8 offset $9) s
               left join routers r on r.tenant_id = $1 and r.id = s.router_id
               left join customers c on c.tenant_id = $1 and c.id = s.customer_id
              order by s.started_at desc, s.id"
        )
    };
}

/// Sessions of the tenant `$1` with a prefix that is one of `$2`, which are around what is searched, or lies behind `$8`
/// and up to `$9`, which is within it; each once. Certain where it was told of it at a moment between the window's ends.
///
/// Two parts and not one with alternatives, and neither by containment: each meets the index, see migration 0104. Each
/// session is looked up by itself: a planner that does not know the values would rather read all there are.
macro_rules! by_prefix {
    () => {
        " from (select s.id, s.started_at, bool_or(case when p.since is null then s.started_at else p.told_at end <= $5
                                     and coalesce(p.last_at, s.last_seen_at) >= $4) as certain
                  from (select session_id, told_at, since, last_at, until from session_prefixes
                         where tenant_id = $1 and prefix = any($2::text[]::cidr[])
                        union all
                        select session_id, told_at, since, last_at, until from session_prefixes
                         where tenant_id = $1 and prefix > $8::text::cidr and prefix <= $9::text::cidr) p
                 cross join lateral (select * from sessions where tenant_id = $1 and id = p.session_id limit 1) s
                 where ($3::text is null or s.mac = $3)
                   and s.started_at <= $5 and (p.since is null or p.since <= $5)
                   and (p.until is null or p.until > $4)
                   and (s.stopped_at is null or s.started_at >= $4
                        or s.stopped_at > case when s.terminate_cause = $7 then $6 else $4 end)
                 group by s.id, s.started_at) f"
    };
}

/// A session, and whether its prefix was its own beyond doubt; of IPv4 there is no doubt but its session's.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Found {
    #[sqlx(flatten)]
    pub row: Row,
    pub certain: bool,
}

/// One page of who had it, the latest first.
pub async fn holders(
    tx: &mut Tx,
    searched: &Searched,
    moment: Moment,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<Found>> {
    let (statement, ip, mac) = match searched {
        Searched::Address(Asked::V6(prefix), mac) => {
            let bounds = Bounds::of(*prefix);
            return sqlx::query_as(concat!(
                "select s.*, f.certain, r.name as router_name, r.ip_address as router_address, c.name as customer_name
                   from (select *",
                by_prefix!(),
                " order by started_at desc, id
                  limit $10 offset $11) f
                   join sessions s on s.tenant_id = $1 and s.id = f.id
                   left join routers r on r.tenant_id = $1 and r.id = s.router_id
                   left join customers c on c.tenant_id = $1 and c.id = s.customer_id
                  order by s.started_at desc, s.id"
            ))
            .bind(tx.tenant())
            .bind(bounds.around)
            .bind(mac.map(|mac| mac.to_string()))
            .bind(moment.from)
            .bind(moment.to)
            .bind(moment.from.minus(SILENCE))
            .bind(LOST)
            .bind(bounds.first)
            .bind(bounds.last)
            .bind(limit)
            .bind(offset)
            .fetch_all(&mut **tx)
            .await;
        }
        Searched::Address(Asked::V4(ip), mac) => (page!(by_address!()), Some(ip), mac.as_ref()),
        Searched::Device(mac) => (page!(by_device!()), None, Some(mac)),
    };
    sqlx::query_as(statement)
        .bind(tx.tenant())
        .bind(ip.map(ToString::to_string))
        .bind(mac.map(ToString::to_string))
        .bind(moment.from)
        .bind(moment.to)
        .bind(moment.from.minus(SILENCE))
        .bind(LOST)
        .bind(limit)
        .bind(offset)
        .fetch_all(&mut **tx)
        .await
}

/// How many sessions had it.
pub async fn count_holders(tx: &mut Tx, searched: &Searched, moment: Moment) -> sqlx::Result<i64> {
    let (statement, ip, mac) = match searched {
        Searched::Address(Asked::V6(prefix), mac) => {
            let bounds = Bounds::of(*prefix);
            return sqlx::query_scalar(concat!("select count(*)", by_prefix!()))
                .bind(tx.tenant())
                .bind(bounds.around)
                .bind(mac.map(|mac| mac.to_string()))
                .bind(moment.from)
                .bind(moment.to)
                .bind(moment.from.minus(SILENCE))
                .bind(LOST)
                .bind(bounds.first)
                .bind(bounds.last)
                .fetch_one(&mut **tx)
                .await;
        }
        Searched::Address(Asked::V4(ip), mac) => (
            concat!("select count(*)", by_address!()),
            Some(ip),
            mac.as_ref(),
        ),
        Searched::Device(mac) => (concat!("select count(*)", by_device!()), None, Some(mac)),
    };
    sqlx::query_scalar(statement)
        .bind(tx.tenant())
        .bind(ip.map(ToString::to_string))
        .bind(mac.map(ToString::to_string))
        .bind(moment.from)
        .bind(moment.to)
        .bind(moment.from.minus(SILENCE))
        .bind(LOST)
        .fetch_one(&mut **tx)
        .await
}

/// Where a searched prefix stands among all of them, which are in the order of their first addresses, the longer after
/// the shorter.
struct Bounds {
    /// It and those it is in.
    around: Vec<String>,
    /// It: those that are in it come after.
    first: String,
    /// The last of those.
    last: String,
}

impl Bounds {
    fn of(prefix: Ipv6Net) -> Bounds {
        Bounds {
            around: around(prefix).map(text).collect(),
            first: text(prefix),
            last: text(alone(prefix.broadcast())),
        }
    }
}

/// Removes up to `most` sessions that were over before `cutoff`, the oldest first, and which prefixes they had; returns how many.
pub async fn forget(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from sessions
          where tenant_id = $1
            and id in (select id from sessions
                        where tenant_id = $1 and status = 'COMPLETED' and stopped_at < $2
                        order by stopped_at
                        limit $3)",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
