//! Writing customers. Every write raises the version. What the wallet covers depends on package, end and
//! wish to renew: a write that changes one of them forgets it, and [`crate::customers::RECKON`] is due.

use easyisp_shared::account::AccountNumber;
use easyisp_shared::id::{CustomerId, PackageId, SiteId};
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;

use crate::customers::networks::Networks;
use crate::customers::rules::Draft;
use crate::customers::words::{ConnectionType, Standing};
use crate::db::Tx;
use crate::webhooks::{Columns, Event, event_cte};

/// Claims an account number on the platform for good; `false` when another customer has it.
pub async fn claim_account_number(
    tx: &mut Tx,
    number: AccountNumber,
    customer: CustomerId,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into directory.account_numbers (number, tenant_id, customer_id)
         values ($1, $2, $3)
             on conflict (number) do nothing",
    )
    .bind(number.number())
    .bind(tx.tenant())
    .bind(customer)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Writes a new customer, and what is told of it.
#[expect(clippy::too_many_arguments, reason = "the parts of one row")]
pub async fn insert(
    tx: &mut Tx,
    customer: CustomerId,
    number: AccountNumber,
    site: SiteId,
    draft: &Draft,
    password_sealed: &[u8],
    paid_until: Timestamp,
    event: &Event,
    now: Timestamp,
) -> sqlx::Result<()> {
    let phone = draft.phone.as_deref().and_then(PhoneNumber::parse);
    let told = Columns::of(std::slice::from_ref(event));
    sqlx::query(concat!(
        "with customer as (
             insert into customers (tenant_id, id, account_number, site_id, username, password_sealed,
                    name, email, phone, phone_number, phone_hash, connection_type, standing, package_id,
                    router_id, paid_until, auto_renew, devices, location, latitude, longitude,
                    apartment_number, house_number, installation_fee, created_at, updated_at, parent_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
                     $20, $21, $22, $23, $24, $25, $25, $29)), ",
        event_cte!("$1", "$25", "$26", "$27", "$28"),
        " select 1"
    ))
    .bind(tx.tenant())
    .bind(customer)
    .bind(number.number())
    .bind(site)
    .bind(&draft.username)
    .bind(password_sealed)
    .bind(&draft.name)
    .bind(&draft.email)
    .bind(&draft.phone)
    .bind(phone.as_ref().map(PhoneNumber::as_str))
    .bind(phone.as_ref().map(PhoneNumber::hash))
    .bind(draft.connection_type)
    .bind(draft.standing)
    .bind(draft.package)
    .bind(draft.router)
    .bind(paid_until)
    .bind(draft.auto_renew)
    .bind(draft.devices)
    .bind(&draft.location)
    .bind(draft.latitude)
    .bind(draft.longitude)
    .bind(&draft.apartment_number)
    .bind(&draft.house_number)
    .bind(draft.installation_fee)
    .bind(now)
    .bind(&told.ids)
    .bind(&told.names)
    .bind(&told.payloads)
    .bind(draft.parent)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the new content of a customer's record. On another's account he is carried on by the other's wallet,
/// and not any longer than he is on it. A speed that was set by hand was set on the package he had.
pub async fn update(
    tx: &mut Tx,
    customer: CustomerId,
    site: SiteId,
    draft: &Draft,
    password_sealed: &[u8],
    now: Timestamp,
) -> sqlx::Result<()> {
    let phone = draft.phone.as_deref().and_then(PhoneNumber::parse);
    sqlx::query(
        "update customers
            set site_id = $3, username = $4, password_sealed = $5, name = $6, email = $7, phone = $8,
                phone_number = $9, phone_hash = $10, connection_type = $11, standing = $12,
                package_id = $13, router_id = $14, auto_renew = $15, devices = $16, location = $17,
                funded_until = case when parent_id is distinct from $24 then null
                                    when parent_id is not null then funded_until
                                    when package_id is not distinct from $13 and auto_renew = $15
                                    then funded_until end,
                rate_up_mbps = case when package_id is not distinct from $13 then rate_up_mbps end,
                rate_down_mbps = case when package_id is not distinct from $13 then rate_down_mbps end,
                rate_until = case when package_id is not distinct from $13 then rate_until end,
                promised_from = case when parent_id is not distinct from $24 then promised_from end,
                promised_until = case when parent_id is not distinct from $24 then promised_until end,
                latitude = $18, longitude = $19, apartment_number = $20, house_number = $21,
                installation_fee = $22, updated_at = $23, parent_id = $24, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(site)
    .bind(&draft.username)
    .bind(password_sealed)
    .bind(&draft.name)
    .bind(&draft.email)
    .bind(&draft.phone)
    .bind(phone.as_ref().map(PhoneNumber::as_str))
    .bind(phone.as_ref().map(PhoneNumber::hash))
    .bind(draft.connection_type)
    .bind(draft.standing)
    .bind(draft.package)
    .bind(draft.router)
    .bind(draft.auto_renew)
    .bind(draft.devices)
    .bind(&draft.location)
    .bind(draft.latitude)
    .bind(draft.longitude)
    .bind(&draft.apartment_number)
    .bind(&draft.house_number)
    .bind(draft.installation_fee)
    .bind(now)
    .bind(draft.parent)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Changes a kept total of customers by `by`; the last lock before the site counters.
pub async fn count(tx: &mut Tx, kind: ConnectionType, by: i64) -> sqlx::Result<()> {
    sqlx::query(
        "insert into counts (tenant_id, what, n)
         values ($1, $2, greatest($3, 0))
             on conflict (tenant_id, what) do update set n = counts.n + $3",
    )
    .bind(tx.tenant())
    .bind(kind.count())
    .bind(by)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks a customer deleted: his name and address are free again, his account number is not.
pub async fn delete(tx: &mut Tx, customer: CustomerId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update customers set deleted_at = $3, updated_at = $3, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Sets how a customer stands.
pub async fn set_standing(
    tx: &mut Tx,
    customer: CustomerId,
    standing: Standing,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers set standing = $3, updated_at = $4, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(standing)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Sets the end of a customer's time by hand; the next renewal takes its anchor from there, and asks for nothing
/// that was promised before.
pub async fn set_expiry(
    tx: &mut Tx,
    customer: CustomerId,
    paid_until: Timestamp,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers
            set paid_until = $3, anchor_day = null, funded_until = null, promised_from = null,
                promised_until = null, updated_at = $4, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(paid_until)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a customer another package; a speed set by hand belonged to the one before and goes with it.
pub async fn set_package(
    tx: &mut Tx,
    customer: CustomerId,
    package: PackageId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers
            set package_id = $3, funded_until = case when parent_id is not null then funded_until end,
                rate_up_mbps = null, rate_down_mbps = null, rate_until = null,
                updated_at = $4, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(package)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A speed in place of the package's.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Mbit/s from the subscriber.
    pub up_mbps: i32,
    /// Mbit/s to the subscriber.
    pub down_mbps: i32,
    /// The end of a boost.
    pub until: Option<Timestamp>,
}

/// Sets or takes away a customer's own speed.
pub async fn set_rate(
    tx: &mut Tx,
    customer: CustomerId,
    rate: Option<Rate>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers
            set rate_up_mbps = $3, rate_down_mbps = $4, rate_until = $5, updated_at = $6,
                version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(rate.map(|rate| rate.up_mbps))
    .bind(rate.map(|rate| rate.down_mbps))
    .bind(rate.and_then(|rate| rate.until))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a customer an address of his own, or takes it away.
pub async fn set_static_ip(
    tx: &mut Tx,
    customer: CustomerId,
    address: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers set static_ip = $3, updated_at = $4, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(address)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Locks a customer to devices; none = any. What first logins bound him to is freed.
pub async fn set_macs(
    tx: &mut Tx,
    customer: CustomerId,
    macs: &[String],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers
            set macs = $3, remembered_macs = '{}', bound_macs = '{}', unbound_at = $4, updated_at = $4,
                version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(macs)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes to which devices first logins bound a customer, oldest first.
pub async fn set_bound(
    tx: &mut Tx,
    customer: CustomerId,
    macs: &[String],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers set bound_macs = $3, updated_at = $4, version = version + 1
          where tenant_id = $1 and id = $2 and bound_macs <> $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(macs)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Counts a customer's data from `since` on: what was used before is no longer his period's.
pub async fn start_counting(
    tx: &mut Tx,
    customer: CustomerId,
    since: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers set bytes_used_since = $3, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(since)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Adds a device to those a customer was seen with, unless it is among them; the oldest makes room when
/// the tenant's number is reached. `false` when nothing changed: one seen before he was freed is not told again by
/// a report that comes late.
pub async fn remember_device(
    tx: &mut Tx,
    customer: CustomerId,
    site: SiteId,
    (mac, seen): &(String, Timestamp),
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update customers c
            set remembered_macs = (
                    select coalesce(array_agg(d.mac order by d.place), '{}')
                      from unnest(c.remembered_macs || $3) with ordinality as d (mac, place)
                     where d.place > cardinality(c.remembered_macs) + 1 - t.remembered_macs),
                version = c.version + 1, updated_at = $4
           from tenants t
          where t.tenant_id = $1 and c.tenant_id = $1 and c.id = $2 and c.site_id = $5 and c.deleted_at is null
            and t.remembered_macs > 0 and not $3 = any(c.remembered_macs)
            and (c.unbound_at is null or c.unbound_at < $6)",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(mac)
    .bind(now)
    .bind(site)
    .bind(seen)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Sets the networks of a customer's line.
pub async fn set_networks(
    tx: &mut Tx,
    customer: CustomerId,
    networks: &Networks,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers set networks = $3, updated_at = $4, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(sqlx::types::Json(networks))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
