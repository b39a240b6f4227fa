//! SQL on how often somebody bought what may be bought so often only.

use easyisp_shared::id::{CustomerId, PackageId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use sqlx::types::Json;

use crate::db::Tx;
use crate::packages::PurchaseLimit;

/// A package that may be bought so often only, by its name and rules; `None` for every other.
pub(in super::super) async fn limits(
    tx: &mut Tx,
    package: PackageId,
) -> sqlx::Result<Option<(String, Vec<PurchaseLimit>)>> {
    let row: Option<(String, Json<Vec<PurchaseLimit>>)> = sqlx::query_as(
        "select name, terms -> 'purchaseLimits' from packages
          where tenant_id = $1 and id = $2 and jsonb_array_length(coalesce(terms -> 'purchaseLimits', '[]')) > 0",
    )
    .bind(tx.tenant())
    .bind(package)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|(name, limits)| (name, limits.0)))
}

/// By what somebody is known who buys.
#[derive(FromRow, Clone, Default, Debug)]
pub(in super::super) struct Identity {
    id: Option<CustomerId>,
    phone_number: Option<String>,
    macs: Vec<String>,
}

/// The phone and the devices of a customer, and the device that asks.
pub(in super::super) async fn identity(
    tx: &mut Tx,
    customer: Option<CustomerId>,
    mac: Option<Mac>,
) -> sqlx::Result<Identity> {
    let found: Option<Identity> = sqlx::query_as(
        "select c.id, c.phone_number,
                c.macs || c.remembered_macs || c.bound_macs
                       || array(select u.last_mac from customer_usage u
                                 where u.tenant_id = $1 and u.customer_id = c.id and u.last_mac is not null)
                    as macs
           from customers c
          where c.tenant_id = $1 and c.id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await?;
    let mut known = found.unwrap_or_default();
    known.macs.extend(mac.map(|mac| mac.to_string()));
    Ok(known)
}

/// Lets one purchase of a package by the same customer, phone or device happen after the other, until the
/// transaction ends.
pub(in super::super) async fn one_at_a_time(
    tx: &mut Tx,
    package: PackageId,
    known: &Identity,
) -> sqlx::Result<()> {
    let mut names: Vec<String> = known.macs.clone();
    names.extend(known.phone_number.clone());
    names.extend(known.id.map(|id| id.to_string()));
    let mut names: Vec<String> = names
        .into_iter()
        .map(|name| format!("purchase {package} {name}"))
        .collect();
    // In one order, so that two buyers who share a phone and a device do not wait for each other.
    names.sort();
    names.dedup();
    for name in names {
        sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(name)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// How often a package was bought since each of these moments, by the same customer, phone or device: each of them is
/// found by an index (`customer_devices`), however many customers there are.
pub(in super::super) async fn purchases(
    tx: &mut Tx,
    package: PackageId,
    known: &Identity,
    since: &[Timestamp],
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "with same as (
             select $3::uuid as id
             union
             select c.id from customers c where c.tenant_id = $1 and c.phone_number = $4
             union
             select d.customer_id from customer_devices d where d.tenant_id = $1 and d.mac = any($5))
         select (select count(*) from periods p
                  where p.tenant_id = $1 and p.package_id = $2 and p.created_at >= s.at
                    and p.customer_id in (select id from same))
           from unnest($6::timestamptz[]) with ordinality as s (at, place)
          order by s.place",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(known.id)
    .bind(&known.phone_number)
    .bind(&known.macs)
    .bind(since)
    .fetch_all(&mut **tx)
    .await
}
