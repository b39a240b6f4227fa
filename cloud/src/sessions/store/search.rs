//! Who had an address or a device, over years.

use easyisp_shared::time::Timestamp;

use super::Row;
use crate::db::Tx;
use crate::sessions::SILENCE;
use crate::sessions::rules::LOST;
use crate::sessions::search::{Moment, Searched};

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
            "select s.*, r.name as router_name, r.ip_address as router_address, c.name as customer_name
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

/// One page of who had it, the latest first.
pub async fn holders(
    tx: &mut Tx,
    searched: &Searched,
    moment: Moment,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<Row>> {
    let (text, ip, mac) = match searched {
        Searched::Address(ip, mac) => (page!(by_address!()), Some(ip), mac.as_ref()),
        Searched::Device(mac) => (page!(by_device!()), None, Some(mac)),
    };
    sqlx::query_as(text)
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
    let (text, ip, mac) = match searched {
        Searched::Address(ip, mac) => (
            concat!("select count(*)", by_address!()),
            Some(ip),
            mac.as_ref(),
        ),
        Searched::Device(mac) => (concat!("select count(*)", by_device!()), None, Some(mac)),
    };
    sqlx::query_scalar(text)
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

/// Removes up to `most` sessions that were over before `cutoff`, the oldest first; returns how many.
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
