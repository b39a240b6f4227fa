//! Many customers in one statement.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use easyisp_shared::account::AccountNumber;
use easyisp_shared::id::{CustomerId, PackageId, RouterId, SiteId};
use easyisp_shared::money::Cents;
use easyisp_shared::net::Mac;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use sqlx::types::Json;

use crate::customers::rules::Draft;
use crate::customers::words::{ConnectionType, Standing};
use crate::db::Tx;
use crate::packages::PackageType;

/// A customer on his way into the table; the names are the columns'.
#[derive(Serialize)]
pub struct NewRow<'a> {
    id: CustomerId,
    account_number: i32,
    paid_until: Timestamp,
    #[serde(flatten)]
    record: Record<'a>,
}

/// What a new and a changed row have in common.
#[derive(Serialize)]
struct Record<'a> {
    site_id: SiteId,
    username: &'a str,
    /// In hex digits.
    password: String,
    name: &'a str,
    email: Option<&'a str>,
    phone: Option<&'a str>,
    phone_number: Option<String>,
    phone_hash: Option<String>,
    connection_type: &'static str,
    standing: &'static str,
    package_id: Option<PackageId>,
    router_id: Option<RouterId>,
    auto_renew: bool,
    devices: Option<i32>,
    location: Option<&'a str>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    apartment_number: Option<&'a str>,
    house_number: Option<&'a str>,
    /// Minor units.
    installation_fee: i64,
    static_ip: Option<String>,
    macs: Vec<String>,
}

impl<'a> Record<'a> {
    fn new(site: SiteId, draft: &'a Draft, sealed: &[u8]) -> Record<'a> {
        let phone = draft.phone.as_deref().and_then(PhoneNumber::parse);
        Record {
            site_id: site,
            username: &draft.username,
            password: hex::encode(sealed),
            name: &draft.name,
            email: draft.email.as_deref(),
            phone: draft.phone.as_deref(),
            phone_number: phone.as_ref().map(|phone| phone.as_str().to_owned()),
            phone_hash: phone.as_ref().map(PhoneNumber::hash),
            connection_type: draft.connection_type.word(),
            standing: draft.standing.word(),
            package_id: draft.package,
            router_id: draft.router,
            auto_renew: draft.auto_renew,
            devices: draft.devices,
            location: draft.location.as_deref(),
            latitude: draft.latitude,
            longitude: draft.longitude,
            apartment_number: draft.apartment_number.as_deref(),
            house_number: draft.house_number.as_deref(),
            installation_fee: draft.installation_fee.minor(),
            static_ip: None,
            macs: Vec::new(),
        }
    }
}

impl<'a> NewRow<'a> {
    /// The row of somebody new.
    pub fn new(
        customer: CustomerId,
        number: AccountNumber,
        site: SiteId,
        draft: &'a Draft,
        sealed: &[u8],
        paid_until: Timestamp,
        (static_ip, macs): (Option<Ipv4Addr>, &[Mac]),
    ) -> NewRow<'a> {
        NewRow {
            id: customer,
            account_number: number.number(),
            paid_until,
            record: Record {
                static_ip: static_ip.map(|address| address.to_string()),
                macs: macs.iter().map(ToString::to_string).collect(),
                ..Record::new(site, draft, sealed)
            },
        }
    }
}

/// Writes new customers; returns those who are there now. One whose user name or address somebody else took
/// meanwhile is not.
pub async fn insert(
    tx: &mut Tx,
    rows: &[NewRow<'_>],
    now: Timestamp,
) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "insert into customers (tenant_id, id, account_number, site_id, username, password_sealed, name, email,
                phone, phone_number, phone_hash, connection_type, standing, package_id, router_id, paid_until,
                auto_renew, devices, location, latitude, longitude, apartment_number, house_number,
                installation_fee, static_ip, macs, created_at, updated_at)
         select $1, r.id, r.account_number, r.site_id, r.username, decode(r.password, 'hex'), r.name, r.email,
                r.phone, r.phone_number, r.phone_hash, r.connection_type, r.standing, r.package_id, r.router_id,
                r.paid_until, r.auto_renew, r.devices, r.location, r.latitude, r.longitude, r.apartment_number,
                r.house_number, r.installation_fee, r.static_ip, r.macs, $3, $3
           from jsonb_to_recordset($2) as r (
                id uuid, account_number integer, site_id uuid, username text, password text, name text,
                email text, phone text, phone_number text, phone_hash text, connection_type text, standing text,
                package_id uuid, router_id uuid, paid_until timestamptz, auto_renew boolean, devices integer,
                location text, latitude double precision, longitude double precision, apartment_number text,
                house_number text, installation_fee bigint, static_ip text, macs text[])
             on conflict do nothing
         returning id",
    )
    .bind(tx.tenant())
    .bind(Json(rows))
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}

/// A customer who was changed.
pub struct Edited {
    /// Who.
    pub id: CustomerId,
    /// His home site.
    pub site: SiteId,
    /// His record.
    pub draft: Draft,
    /// His password.
    pub sealed: Vec<u8>,
    /// Another end of his time.
    pub until: Option<Timestamp>,
    /// His address.
    pub static_ip: Option<String>,
    /// The devices he is locked to.
    pub macs: Vec<String>,
}

#[derive(Serialize)]
struct EditedRow<'a> {
    id: CustomerId,
    until: Option<Timestamp>,
    #[serde(flatten)]
    record: Record<'a>,
}

/// Writes the new content of customers who are locked.
pub async fn update(tx: &mut Tx, edited: &[Edited], now: Timestamp) -> sqlx::Result<()> {
    let rows: Vec<EditedRow<'_>> = edited
        .iter()
        .map(|one| EditedRow {
            id: one.id,
            until: one.until,
            record: Record {
                static_ip: one.static_ip.clone(),
                macs: one.macs.clone(),
                ..Record::new(one.site, &one.draft, &one.sealed)
            },
        })
        .collect();
    sqlx::query(
        "update customers c
            set site_id = r.site_id, username = r.username, password_sealed = decode(r.password, 'hex'),
                name = r.name, email = r.email, phone = r.phone, phone_number = r.phone_number,
                phone_hash = r.phone_hash, connection_type = r.connection_type, standing = r.standing,
                package_id = r.package_id, router_id = r.router_id, auto_renew = r.auto_renew,
                devices = r.devices, location = r.location, latitude = r.latitude, longitude = r.longitude,
                apartment_number = r.apartment_number, house_number = r.house_number,
                installation_fee = r.installation_fee, static_ip = r.static_ip, macs = r.macs,
                paid_until = coalesce(r.until, c.paid_until),
                anchor_day = case when r.until is null then c.anchor_day end,
                funded_until = case when c.parent_id is not null
                                         or r.until is null and c.package_id is not distinct from r.package_id
                                            and c.auto_renew = r.auto_renew
                                    then c.funded_until end,
                rate_up_mbps = case when c.package_id is not distinct from r.package_id then c.rate_up_mbps end,
                rate_down_mbps = case when c.package_id is not distinct from r.package_id then c.rate_down_mbps end,
                rate_until = case when c.package_id is not distinct from r.package_id then c.rate_until end,
                promised_from = case when r.until is null then c.promised_from end,
                promised_until = case when r.until is null then c.promised_until end,
                updated_at = $3, version = c.version + 1
           from jsonb_to_recordset($2) as r (
                id uuid, until timestamptz, site_id uuid, username text, password text, name text, email text,
                phone text, phone_number text, phone_hash text, connection_type text, standing text,
                package_id uuid, router_id uuid, auto_renew boolean, devices integer, location text,
                latitude double precision, longitude double precision, apartment_number text,
                house_number text, installation_fee bigint, static_ip text, macs text[])
          where c.tenant_id = $1 and c.id = r.id",
    )
    .bind(tx.tenant())
    .bind(Json(rows))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A locked customer.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Held {
    /// Who.
    pub id: CustomerId,
    /// His home site.
    pub site_id: SiteId,
    /// His password.
    pub password_sealed: Vec<u8>,
    /// The end of his time.
    pub paid_until: Timestamp,
    /// His address.
    pub static_ip: Option<String>,
    /// The devices he is locked to.
    pub macs: Vec<String>,
    username: String,
    name: String,
    email: Option<String>,
    phone: Option<String>,
    connection_type: ConnectionType,
    standing: Standing,
    package_id: Option<PackageId>,
    router_id: Option<RouterId>,
    location: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    apartment_number: Option<String>,
    house_number: Option<String>,
    installation_fee: Cents,
    auto_renew: bool,
    devices: Option<i32>,
    /// Whose account he is on.
    pub parent_id: Option<CustomerId>,
    /// Since when his time stands still.
    pub paused_at: Option<Timestamp>,
}

impl Held {
    /// The content of the record.
    pub fn draft(&self) -> Draft {
        Draft {
            username: self.username.clone(),
            name: self.name.clone(),
            email: self.email.clone(),
            phone: self.phone.clone(),
            connection_type: self.connection_type,
            standing: self.standing,
            package: self.package_id,
            router: self.router_id,
            site: Some(self.site_id),
            location: self.location.clone(),
            latitude: self.latitude,
            longitude: self.longitude,
            apartment_number: self.apartment_number.clone(),
            house_number: self.house_number.clone(),
            installation_fee: self.installation_fee,
            auto_renew: self.auto_renew,
            devices: self.devices,
            parent: self.parent_id,
        }
    }
}

/// Locks those of these customers who are there until the transaction ends, in the order of their ids.
pub async fn lock(tx: &mut Tx, customers: &[CustomerId]) -> sqlx::Result<Vec<Held>> {
    sqlx::query_as(
        "select id, site_id, password_sealed, paid_until, static_ip, macs, username, name, email, phone,
                connection_type, standing, package_id, router_id, location, latitude, longitude,
                apartment_number, house_number, installation_fee, auto_renew, devices, parent_id, paused_at
           from customers
          where tenant_id = $1 and id = any($2) and deleted_at is null
          order by id
            for update",
    )
    .bind(tx.tenant())
    .bind(customers)
    .fetch_all(&mut **tx)
    .await
}

/// The customers of these user names.
pub async fn named(tx: &mut Tx, usernames: &[String]) -> sqlx::Result<Vec<(String, CustomerId)>> {
    sqlx::query_as(
        "select username, id from customers
          where tenant_id = $1 and username = any($2) and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(usernames)
    .fetch_all(&mut **tx)
    .await
}

/// Customers by their account number, as text.
pub async fn numbered(tx: &mut Tx, numbers: &[String]) -> sqlx::Result<Vec<(String, CustomerId)>> {
    sqlx::query_as(
        "select account_number::text, id from customers
          where tenant_id = $1 and account_number::text = any($2) and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(numbers)
    .fetch_all(&mut **tx)
    .await
}

/// Puts a customer on another's account. What was promised him, and what his own wallet would pay, is over.
pub async fn put_under(
    tx: &mut Tx,
    child: CustomerId,
    parent: CustomerId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers
            set parent_id = $3, promised_from = null, promised_until = null, funded_until = null,
                updated_at = $4, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(child)
    .bind(parent)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Claims account numbers on the platform for good; returns whose was free.
pub async fn claim_account_numbers(
    tx: &mut Tx,
    customers: &[CustomerId],
    numbers: &[i32],
) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "insert into directory.account_numbers (number, tenant_id, customer_id)
         select n.number, $1, n.customer_id
           from unnest($2::uuid[], $3::integer[]) as n (customer_id, number)
             on conflict (number) do nothing
         returning customer_id",
    )
    .bind(tx.tenant())
    .bind(customers)
    .bind(numbers)
    .fetch_all(&mut **tx)
    .await
}

/// The types of those of these packages that there are, and whether they are sold; locked against deletion.
pub async fn packages(
    tx: &mut Tx,
    packages: &[PackageId],
) -> sqlx::Result<HashMap<PackageId, (PackageType, bool)>> {
    let rows: Vec<(PackageId, PackageType, bool)> = sqlx::query_as(
        "select id, type, is_active from packages
          where tenant_id = $1 and id = any($2) and deleted_at is null
          order by id
            for key share",
    )
    .bind(tx.tenant())
    .bind(packages)
    .fetch_all(&mut **tx)
    .await?;
    let rows = rows.into_iter();
    Ok(rows.map(|(id, kind, sold)| (id, (kind, sold))).collect())
}

/// Where those of these routers stand that there are; locked against deletion.
pub async fn routers(tx: &mut Tx, routers: &[RouterId]) -> sqlx::Result<HashMap<RouterId, SiteId>> {
    let rows: Vec<(RouterId, SiteId)> = sqlx::query_as(
        "select id, site_id from routers
          where tenant_id = $1 and id = any($2) and deleted_at is null
          order by id
            for key share",
    )
    .bind(tx.tenant())
    .bind(routers)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Which of these sites there are, and the tenant's first.
pub async fn sites(tx: &mut Tx, sites: &[SiteId]) -> sqlx::Result<(Vec<SiteId>, Option<SiteId>)> {
    sqlx::query_as(
        "select array(select id from sites
                       where tenant_id = $1 and id = any($2) and deleted_at is null),
                (select id from sites where tenant_id = $1 and deleted_at is null
                  order by created_at, id limit 1)",
    )
    .bind(tx.tenant())
    .bind(sites)
    .fetch_one(&mut **tx)
    .await
}

/// Who has these addresses, at which site.
pub async fn addresses(
    tx: &mut Tx,
    addresses: &[String],
) -> sqlx::Result<Vec<(SiteId, String, CustomerId)>> {
    sqlx::query_as(
        "select site_id, static_ip, id from customers
          where tenant_id = $1 and static_ip = any($2) and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(addresses)
    .fetch_all(&mut **tx)
    .await
}

/// Somebody, and what happened to him since he was made.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Unused {
    /// Who.
    pub id: CustomerId,
    /// How he is connected.
    pub connection_type: ConnectionType,
    is_deleted: bool,
    was_changed: bool,
    paid: bool,
    was_asked: bool,
    was_online: bool,
    used_a_voucher: bool,
    has_children: bool,
}

impl Unused {
    /// Why he cannot be taken back as if he had never been; `None` when he can.
    pub fn why_not(&self) -> Option<&'static str> {
        [
            (self.is_deleted, "was deleted already"),
            (self.paid, "has paid, or has money in the wallet"),
            (self.was_asked, "was asked for a payment"),
            (self.was_online, "has been online"),
            (self.used_a_voucher, "used a voucher"),
            (self.has_children, "has child accounts"),
            (self.was_changed, "was changed since"),
        ]
        .into_iter()
        .find_map(|(holds, why)| holds.then_some(why))
    }
}

/// What happened to these customers since they had these versions; who is not among the answers never was.
pub async fn unused(tx: &mut Tx, customers: &[(CustomerId, i64)]) -> sqlx::Result<Vec<Unused>> {
    sqlx::query_as(
        "select c.id, c.connection_type, c.deleted_at is not null as is_deleted,
                c.version > m.version as was_changed,
                exists (select from payments p where p.tenant_id = $1 and p.customer_id = c.id)
                    or exists (select from periods p where p.tenant_id = $1 and p.customer_id = c.id)
                    or exists (select from wallets w where w.tenant_id = $1 and w.customer_id = c.id
                                                       and w.balance <> 0) as paid,
                exists (select from intents i where i.tenant_id = $1 and i.customer_id = c.id) as was_asked,
                exists (select from sessions s where s.tenant_id = $1 and s.customer_id = c.id) as was_online,
                exists (select from vouchers v where v.tenant_id = $1 and v.customer_id = c.id)
                    as used_a_voucher,
                exists (select from customers k where k.tenant_id = $1 and k.parent_id = c.id
                                                  and k.deleted_at is null) as has_children
           from unnest($2::uuid[], $3::bigint[]) as m (id, version)
           join customers c on c.tenant_id = $1 and c.id = m.id",
    )
    .bind(tx.tenant())
    .bind(customers.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(
        customers
            .iter()
            .map(|(_, version)| *version)
            .collect::<Vec<_>>(),
    )
    .fetch_all(&mut **tx)
    .await
}

/// Marks customers deleted: their names and addresses are free again, their account numbers are not.
pub async fn hide_unused(
    tx: &mut Tx,
    customers: &[CustomerId],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers set deleted_at = $3, postpaid = false, updated_at = $3, version = version + 1
          where tenant_id = $1 and id = any($2)",
    )
    .bind(tx.tenant())
    .bind(customers)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Which of these customers have other labels than those.
pub async fn tagged_otherwise(
    tx: &mut Tx,
    wanted: &[(CustomerId, Vec<String>)],
) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "select w.id
           from jsonb_to_recordset($2) as w (id uuid, tags text[])
           left join (select customer_id, array_agg(tag order by tag collate \"C\") as tags
                        from customer_tags
                       where tenant_id = $1
                         and customer_id in (select id from jsonb_to_recordset($2) as w (id uuid))
                       group by customer_id) h on h.customer_id = w.id
          where coalesce(h.tags, '{}') <> w.tags",
    )
    .bind(tx.tenant())
    .bind(labels(wanted))
    .fetch_all(&mut **tx)
    .await
}

/// Gives customers these labels and no others.
pub async fn set_tags(tx: &mut Tx, wanted: &[(CustomerId, Vec<String>)]) -> sqlx::Result<()> {
    sqlx::query(
        "with wanted as (
             select w.id, t.tag
               from jsonb_to_recordset($2) as w (id uuid, tags text[])
               left join lateral unnest(w.tags) as t (tag) on true),
         gone as (
             delete from customer_tags c
              where c.tenant_id = $1 and c.customer_id in (select id from wanted)
                and not exists (select from wanted w where w.id = c.customer_id and w.tag = c.tag))
         insert into customer_tags (tenant_id, tag, customer_id)
         select $1, tag, id from wanted where tag is not null
             on conflict do nothing",
    )
    .bind(tx.tenant())
    .bind(labels(wanted))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn labels(wanted: &[(CustomerId, Vec<String>)]) -> Json<Vec<serde_json::Value>> {
    let row = |(id, tags): &(CustomerId, Vec<String>)| serde_json::json!({"id": id, "tags": tags});
    Json(wanted.iter().map(row).collect())
}
