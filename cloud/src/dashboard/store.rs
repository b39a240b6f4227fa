//! What dashboards ask, from totals that their writers keep.

pub mod reports;

use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::FromRow;

use crate::db::Tx;

/// Counts at one moment.
#[derive(FromRow, Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Open sessions that were heard of lately.
    pub active_sessions: i64,
    /// Customers of any kind.
    pub customers: i64,
    /// Those who dial.
    pub pppoe: i64,
    /// Those of hotspots.
    pub hotspot: i64,
    /// Those with service left, and not stopped.
    pub active: i64,
    /// Codes nobody used, and that are still good.
    pub active_vouchers: i64,
    /// Codes that somebody used.
    pub used_vouchers: i64,
}

/// Counts at `now`: kept ones, and two that walk an index.
pub async fn counts(tx: &mut Tx, now: Timestamp) -> sqlx::Result<Counts> {
    sqlx::query_as(
        "select (select count(*) from sessions where tenant_id = $1 and status = 'ACTIVE') as active_sessions,
                k.customers, k.pppoe, k.hotspot,
                (select count(*) from customers
                  where tenant_id = $1 and deleted_at is null and standing = 'ACTIVE' and served_until > $2)
                    as active,
                v.active_vouchers, v.used_vouchers
           from (select coalesce(sum(n), 0)::bigint as customers,
                        coalesce(sum(n) filter (where what = 'customers.PPPOE'), 0)::bigint as pppoe,
                        coalesce(sum(n) filter (where what = 'customers.HOTSPOT'), 0)::bigint as hotspot
                   from counts
                  where tenant_id = $1 and what in ('customers.PPPOE', 'customers.HOTSPOT', 'customers.DHCP',
                                                    'customers.STATIC')) k
          cross join
                (select coalesce(sum(made - used - revoked)
                                 filter (where expires_at is null or expires_at > $2), 0)::bigint
                            as active_vouchers,
                        coalesce(sum(used), 0)::bigint as used_vouchers
                   from voucher_batches
                  where tenant_id = $1) v",
    )
    .bind(tx.tenant())
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

/// Money by day since `first`, minor units: what came from customers, less what was taken back. A voucher
/// counts when it is used.
///
/// That is what the wallets, the unallocated payments, the revenue accounts, what is owed on invoices and the
/// taxes in them gained together: a period bought or an invoice paid from a wallet moves money from one to
/// another and counts once, when it was paid. What was not asked for of a price is earned and written off, and no gain. Where prepaid sales are taxed, taxes are no gain: they are left out, and
/// count off on the day that they are owed. From day totals, and from the entries that are not sealed yet,
/// in one snapshot.
pub async fn takings(tx: &mut Tx, first: Date, zone: &TimeZone) -> sqlx::Result<Vec<(Date, i64)>> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "with ours as materialized (
             select a.code
               from accounts a
               join tenants o on o.tenant_id = $1
              where a.tenant_id = $1
                and (a.type = 'Revenue' or a.code in ('1100', '2000', '2100', '5090')
                     -- a tax may be owed on an account of its own
                     or o.prepaid_taxed_from is null
                        and (a.code = '2300'
                             or a.code in (select x ->> 'account'
                                             from tax_tables t
                                            cross join lateral jsonb_array_elements(t.taxes) x
                                            where t.tenant_id = $1)))),
         tail as (
             select (e.occurred_at at time zone $3)::date as day,
                    case when t.credit_account in (select code from ours) then t.amount else 0 end
                  - case when t.debit_account in (select code from ours) then t.amount else 0 end as amount
               from unsealed u
               join entries e on e.tenant_id = $1 and e.id = u.subject_id
               join transfers t on t.tenant_id = $1 and t.entry_id = e.id
              where u.tenant_id = $1 and u.kind = 'ENTRY')
         select day::text, sum(amount)::bigint
           from (select day, credits - debits as amount from day_totals
                  where tenant_id = $1 and day >= $2::date and account in (select code from ours)
                 union all
                 select day, amount from tail where day >= $2::date) d
          group by day
          order by day
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(first.to_string())
    .bind(name(zone))
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(dated).collect()
}

/// Bytes both ways by day since `first`.
pub async fn usage(tx: &mut Tx, first: Date) -> sqlx::Result<Vec<(Date, i64)>> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select day::text, sum(bytes_in + bytes_out)::bigint
           from site_usage
          where tenant_id = $1 and day >= $2::date
          group by day
          order by day
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(first.to_string())
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(dated).collect()
}

/// Where the tenant's days begin.
pub async fn zone(tx: &mut Tx) -> sqlx::Result<TimeZone> {
    let name: String = sqlx::query_scalar("select time_zone from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await?;
    TimeZone::get(&name).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A zone as SQL calls it.
pub fn name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

fn dated((day, amount): (String, i64)) -> sqlx::Result<(Date, i64)> {
    Ok((date(&day)?, amount))
}

/// A day as PostgreSQL writes it.
pub fn date(text: &str) -> sqlx::Result<Date> {
    text.parse()
        .map_err(|error: jiff::Error| sqlx::Error::Decode(error.into()))
}
