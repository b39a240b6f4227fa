//! Reading customers.

use easyisp_shared::id::{CustomerId, PackageId, RouterId, SiteId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use super::list::ListRow;
use crate::customers::lines;
use crate::customers::networks::Networks;
use crate::customers::rules::{Draft, Place};
use crate::customers::words::{ConnectionType, Standing};
use crate::db::{Database, Tx};
use crate::packages::{PackageType, Period, PeriodUnit};

/// Up to 500 customers who renew this package by themselves, in the order of their ids.
pub async fn renewing(
    tx: &mut Tx,
    package: PackageId,
    after: Option<CustomerId>,
) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "select id from customers
          where tenant_id = $1 and package_id = $2 and auto_renew and deleted_at is null
            and ($3::uuid is null or id > $3)
          order by id
          limit 500",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(after)
    .fetch_all(&mut **tx)
    .await
}

/// Whose customer has, or had, this account number: it is unique on the platform and given out once. `None` = nobody's.
pub async fn of_account(db: &Database, number: i32) -> sqlx::Result<Option<TenantId>> {
    let mut directory = db.glance().await?;
    sqlx::query_scalar("select tenant_id from directory.account_numbers where number = $1")
        .bind(number)
        .fetch_optional(&mut *directory)
        .await
}

/// Up to 200 customers who have this package, or, where none is named, may log in at every site; locked, in the order
/// of their ids.
pub async fn roaming(
    tx: &mut Tx,
    package: Option<PackageId>,
    after: Option<CustomerId>,
) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "select c.id
           from customers c
           join packages p on p.tenant_id = $1 and p.id = c.package_id
          where c.tenant_id = $1 and c.deleted_at is null
            and case when $2::uuid is null then (p.terms ->> 'roams')::boolean else p.id = $2 end
            and ($3::uuid is null or c.id > $3)
          order by c.id
          limit 200
            for update of c",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(after)
    .fetch_all(&mut **tx)
    .await
}

/// Everything of one customer.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Full {
    #[sqlx(flatten)]
    pub row: ListRow,
    pub account_number: i32,
    pub site_id: SiteId,
    pub password_sealed: Vec<u8>,
    pub location: Option<String>,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    pub apartment_number: Option<String>,
    pub house_number: Option<String>,
    pub installation_fee: Cents,
    pub total_spent: Cents,
    pub auto_renew: bool,
    pub devices: Option<i32>,
    pub static_ip: Option<String>,
    pub macs: Vec<String>,
    pub bound_macs: Vec<String>,
    pub rate_up_mbps: Option<i32>,
    pub rate_down_mbps: Option<i32>,
    pub rate_until: Option<Timestamp>,
    pub bytes_used_since: Option<Timestamp>,
    pub version: i64,
    pub package: Option<sqlx::types::Json<PackageBrief>>,
    pub online_since: Option<Timestamp>,
    pub last_ip: Option<String>,
    pub last_mac: Option<String>,
    pub bytes_used: i64,
    pub month_up: i64,
    pub month_down: i64,
    pub tags: Vec<String>,
    pub paused_at: Option<Timestamp>,
    pub paused_until: Option<Timestamp>,
    pub promised_from: Option<Timestamp>,
    pub promised_until: Option<Timestamp>,
    pub parent_id: Option<CustomerId>,
    pub line: Option<sqlx::types::Json<lines::Stored>>,
}

/// What a customer's page shows of his package.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct PackageBrief {
    pub id: PackageId,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: PackageType,
    /// Minor units.
    pub price: i64,
    pub download_mbps: i32,
    pub upload_mbps: i32,
    pub period_count: i32,
    pub period_unit: PeriodUnit,
    pub data_limit: Option<i64>,
    pub is_active: bool,
}

impl PackageBrief {
    /// How long one payment lasts.
    pub fn period(&self) -> Period {
        Period {
            count: self.period_count,
            unit: self.period_unit,
        }
    }
}

impl Full {
    /// The content of the record.
    pub fn draft(&self) -> Draft {
        let row = self.row.clone();
        Draft {
            username: row.username,
            name: row.name,
            email: row.email,
            phone: row.phone,
            connection_type: row.connection_type,
            standing: row.standing,
            package: row.package_id,
            router: row.router_id,
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

/// Everything of one customer; usage of the calendar month in the tenant's zone. `None` when this tenant
/// has no such customer.
pub async fn find(tx: &mut Tx, customer: CustomerId, now: Timestamp) -> sqlx::Result<Option<Full>> {
    sqlx::query_as(
        "select c.*, p.name as package_name, p.price as package_price,
                case when p.id is not null then jsonb_build_object(
                    'id', p.id, 'name', p.name, 'type', p.type, 'price', p.price,
                    'download_mbps', p.download_mbps, 'upload_mbps', p.upload_mbps,
                    'period_count', p.period_count, 'period_unit', p.period_unit,
                    'data_limit', p.data_limit, 'is_active', p.is_active) end as package,
                r.name as router_name, s.framed_ip as online_ip, s.mac as online_mac,
                s.id is not null as is_online, s.started_at as online_since,
                coalesce(w.balance, 0) as balance, u.last_ip, u.last_mac,
                case when u.since is not distinct from c.bytes_used_since
                     then coalesce(u.bytes_up + u.bytes_down - u.bytes_free, 0) else 0 end
                    as bytes_used,
                m.month_up, m.month_down,
                array(select tag from customer_tags
                       where tenant_id = $1 and customer_id = c.id order by tag) as tags,
                (select to_jsonb(l) from customer_lines l
                  where l.tenant_id = $1 and l.customer_id = c.id) as line
           from customers c
           join tenants t on t.tenant_id = $1
           left join packages p on p.tenant_id = $1 and p.id = c.package_id
           left join routers r on r.tenant_id = $1 and r.id = c.router_id
           left join wallets w on w.tenant_id = $1 and w.customer_id = c.id
           left join customer_usage u on u.tenant_id = $1 and u.customer_id = c.id
           left join lateral (
                select id, framed_ip, mac, started_at from sessions
                 where tenant_id = $1 and customer_id = c.id and status <> 'COMPLETED'
                   and status = 'ACTIVE'
                 order by started_at desc
                 limit 1) s on true
          cross join lateral (
                select coalesce(sum(bytes_in), 0)::bigint as month_up,
                       coalesce(sum(bytes_out), 0)::bigint as month_down
                  from usage
                 where tenant_id = $1 and customer_id = c.id
                   and at >= date_trunc('month', $3 at time zone t.time_zone) at time zone t.time_zone)
                m
          where c.tenant_id = $1 and c.id = $2 and c.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// Locks a customer until the transaction ends; whether this tenant has him.
pub async fn lock(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<bool> {
    let found: Option<i32> = sqlx::query_scalar(
        "select 1 from customers where tenant_id = $1 and id = $2 and deleted_at is null for update",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// Locks customers until the transaction ends, in the order of their ids; those who are not there are passed over.
pub async fn lock_all(tx: &mut Tx, customers: &[CustomerId]) -> sqlx::Result<()> {
    sqlx::query(
        "select 1 from customers where tenant_id = $1 and id = any($2) order by id for update",
    )
    .bind(tx.tenant())
    .bind(customers)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Locks those of `customers` whom nobody changes at the moment, until the transaction ends; waits for nobody.
pub async fn lock_idle(tx: &mut Tx, customers: &[CustomerId]) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "select id from customers
          where tenant_id = $1 and id = any($2) and deleted_at is null
          order by id
            for no key update skip locked",
    )
    .bind(tx.tenant())
    .bind(customers)
    .fetch_all(&mut **tx)
    .await
}

/// Looks up the sites for a router and a wish.
///
/// The router is locked against deletion, so that whoever counts its customers counts this one.
pub async fn place(
    tx: &mut Tx,
    router: Option<RouterId>,
    asked: Option<SiteId>,
) -> sqlx::Result<Place> {
    let router_site: Option<SiteId> = match router {
        None => None,
        Some(router) => {
            sqlx::query_scalar(
                "select site_id from routers
                  where tenant_id = $1 and id = $2 and deleted_at is null
                    for key share",
            )
            .bind(tx.tenant())
            .bind(router)
            .fetch_optional(&mut **tx)
            .await?
        }
    };
    let (asked_site, first_site) = sqlx::query_as(
        "select (select id from sites where tenant_id = $1 and id = $2 and deleted_at is null),
                (select id from sites where tenant_id = $1 and deleted_at is null
                  order by created_at, id limit 1)",
    )
    .bind(tx.tenant())
    .bind(asked)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Place {
        router_site,
        asked_site,
        first_site,
    })
}

/// The type of a package that is sold, locked against deletion; `None` when there is no such package.
pub async fn package_type(
    tx: &mut Tx,
    package: PackageId,
) -> sqlx::Result<Option<(PackageType, bool)>> {
    sqlx::query_as(
        "select type, is_active from packages
          where tenant_id = $1 and id = $2 and deleted_at is null
            for key share",
    )
    .bind(tx.tenant())
    .bind(package)
    .fetch_optional(&mut **tx)
    .await
}

/// The device a customer was last seen with: that of his newest session.
pub async fn known_mac(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<String>> {
    let mac: Option<Option<String>> = sqlx::query_scalar(
        "select coalesce(
                (select mac from sessions
                  where tenant_id = $1 and customer_id = $2 and mac is not null
                  order by started_at desc limit 1),
                (select last_mac from customer_usage where tenant_id = $1 and customer_id = $2))",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(mac.flatten())
}

/// What a customer is called, and his home site.
pub async fn name_and_home(
    tx: &mut Tx,
    customer: CustomerId,
) -> sqlx::Result<Option<(String, SiteId)>> {
    sqlx::query_as(
        "select name, site_id from customers
          where tenant_id = $1 and id = $2 and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// The sites where a customer has open sessions.
pub async fn sites_online(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Vec<SiteId>> {
    sqlx::query_scalar(
        "select distinct site_id from sessions
          where tenant_id = $1 and customer_id = $2 and status <> 'COMPLETED'",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_all(&mut **tx)
    .await
}

/// What a site must know of a customer.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Edge {
    pub id: CustomerId,
    /// The site that must know it.
    pub site_id: SiteId,
    /// The site's key, sealed.
    pub site_key_sealed: Vec<u8>,
    /// Whether that is his home.
    pub home: bool,
    /// Whether he may log in at every site.
    pub roams: bool,
    pub account_number: i32,
    pub username: String,
    pub password_sealed: Vec<u8>,
    pub connection_type: ConnectionType,
    pub standing: Standing,
    pub package_id: Option<PackageId>,
    pub router_id: Option<RouterId>,
    pub paid_until: Timestamp,
    pub funded_until: Option<Timestamp>,
    pub bytes_used_since: Option<Timestamp>,
    pub static_ip: Option<String>,
    pub macs: Vec<String>,
    pub remembered_macs: Vec<String>,
    pub bound_macs: Vec<String>,
    pub unbound_at: Option<Timestamp>,
    pub devices: Option<i32>,
    pub rate_up_mbps: Option<i32>,
    pub rate_down_mbps: Option<i32>,
    pub rate_until: Option<Timestamp>,
    pub networks: sqlx::types::Json<Networks>,
    pub told_bytes: i64,
    pub told_secs: i64,
    pub created_at: Timestamp,
}

/// The customers among `ids` that exist, as sites must know them: each as his home site must, and after it, where his
/// package lets him roam, as every other site.
pub async fn edge(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<Edge>> {
    sqlx::query_as(
        "select c.id, s.id as site_id, s.key_sealed as site_key_sealed, s.id = c.site_id as home, r.roams, c.account_number, c.username, c.password_sealed, c.connection_type,
                c.standing, c.package_id, c.router_id, c.paid_until,
                greatest(c.funded_until, c.promised_until) as funded_until,
                c.bytes_used_since, c.static_ip, c.macs, c.remembered_macs, c.bound_macs, c.unbound_at, c.devices, c.rate_up_mbps,
                c.rate_down_mbps, c.rate_until, c.networks, c.created_at,
                case when u.told_since is not distinct from c.bytes_used_since
                     then coalesce(u.told_bytes, 0) else 0 end as told_bytes,
                case when u.told_since is not distinct from c.bytes_used_since
                     then coalesce(u.told_secs, 0) else 0 end as told_secs
           from customers c
           left join customer_usage u on u.tenant_id = $1 and u.customer_id = c.id
           left join packages p on p.tenant_id = $1 and p.id = c.package_id
          cross join lateral (
                select c.connection_type in ('PPPOE', 'HOTSPOT')
                       and coalesce((p.terms ->> 'roams')::boolean, false) as roams) r
           join sites s on s.tenant_id = $1 and (s.id = c.site_id or r.roams and s.deleted_at is null)
          where c.tenant_id = $1 and c.id = any($2) and c.deleted_at is null
          order by c.id, home desc, s.id",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await
}

/// What decides whether a voucher fits a customer.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AtHotspot {
    /// Where he is at home.
    pub site_id: SiteId,
    /// How he is connected.
    pub connection_type: ConnectionType,
    /// What he buys.
    pub package_id: Option<PackageId>,
    /// The end of his time.
    pub paid_until: Timestamp,
    /// The devices he is locked to.
    pub macs: Vec<String>,
    /// Whether his time is another's.
    pub child: bool,
    /// Whether his time is billed afterwards.
    pub postpaid: bool,
}

/// What decides whether a voucher fits a customer; `None` when this tenant has no such customer.
pub async fn at_hotspot(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<AtHotspot>> {
    sqlx::query_as(
        "select site_id, connection_type, package_id, paid_until, macs, parent_id is not null as child, postpaid
           from customers
          where tenant_id = $1 and id = $2 and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// Whether a customer is billed once a month, afterwards.
pub async fn is_postpaid(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<bool> {
    let postpaid: Option<bool> =
        sqlx::query_scalar("select postpaid from customers where tenant_id = $1 and id = $2")
            .bind(tx.tenant())
            .bind(customer)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(postpaid.unwrap_or(false))
}

/// Which of these user names are customers'.
pub async fn taken(tx: &mut Tx, names: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select username from customers
          where tenant_id = $1 and username = any($2) and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(names)
    .fetch_all(&mut **tx)
    .await
}

/// The ids of all customers, for comparing them with what sites know.
pub async fn every_id(tx: &mut Tx, after: Uuid, most: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select id from customers where tenant_id = $1 and id > $2 order by id limit $3",
    )
    .bind(tx.tenant())
    .bind(after)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// What a customer used in his present period, at all sites.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct PeriodUsage {
    /// Bytes both ways, without free ones.
    pub bytes: i64,
    /// Seconds online.
    pub secs: i64,
}

/// What a customer used in his present period.
pub async fn used(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<PeriodUsage> {
    sqlx::query_as(
        "select coalesce(max(u.bytes_up + u.bytes_down - u.bytes_free), 0)::bigint as bytes,
                coalesce(max(u.secs), 0)::bigint as secs
           from customer_usage u
           join customers c on c.tenant_id = $1 and c.id = u.customer_id
          where u.tenant_id = $1 and u.customer_id = $2
            and u.since is not distinct from c.bytes_used_since",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_one(&mut **tx)
    .await
}
