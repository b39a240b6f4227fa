//! SQL on packages and the routers they are sold at.

use easyisp_shared::id::{PackageId, RouterId, SiteId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::types::Json;
use uuid::Uuid;

use super::rules::Draft;
use super::terms::Terms;
use super::words::{PackageType, Period, PeriodUnit};
use crate::api::{Order, Sort, Sortable};
use crate::db::Tx;

/// A package as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stored {
    /// Its id.
    pub id: PackageId,
    name: String,
    #[sqlx(rename = "type")]
    kind: PackageType,
    price: Cents,
    download_mbps: i32,
    upload_mbps: i32,
    burst_download: Option<i32>,
    burst_upload: Option<i32>,
    period_count: i32,
    period_unit: PeriodUnit,
    data_limit: Option<i64>,
    devices: i32,
    is_active: bool,
    /// Silent sessions end after so many seconds.
    pub idle_timeout_secs: Option<i32>,
    terms: Json<Terms>,
    /// Grows with every change by a person.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Stored {
    /// The content.
    pub fn draft(&self) -> Draft {
        Draft {
            name: self.name.clone(),
            kind: self.kind,
            price: self.price,
            download_mbps: self.download_mbps,
            upload_mbps: self.upload_mbps,
            burst_download: self.burst_download,
            burst_upload: self.burst_upload,
            period: Period {
                count: self.period_count,
                unit: self.period_unit,
            },
            data_limit: self.data_limit,
            devices: self.devices,
            is_active: self.is_active,
            terms: self.terms.0.clone(),
        }
    }
}

/// A package with what a list shows beside it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    /// The package.
    #[sqlx(flatten)]
    pub stored: Stored,
    /// Customers who have it.
    pub customers: i64,
    /// Vouchers made for it that nobody took back.
    pub vouchers: i64,
    /// The routers it is sold at; none = all.
    pub router_ids: Vec<RouterId>,
    /// Their names, in the same order.
    pub router_names: Vec<String>,
}

/// What packages are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("createdAt", &["created_at", "id"]),
        ("name", &["name", "id"]),
        ("type", &["type", "name", "id"]),
        ("price", &["price", "id"]),
        ("customerCount", &["customers", "id"]),
    ];
    const USUAL: Order = Order::Desc;
}

/// The packages of one type (or both), sold or not (or both), newest first unless asked otherwise.
pub async fn list(
    tx: &mut Tx,
    kind: Option<PackageType>,
    active: Option<bool>,
    router: Option<RouterId>,
    sort: Sort<By>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(sort.text(
        "select p.*, c.customers, v.vouchers, r.router_ids, r.router_names
           from packages p
          cross join lateral (
                select count(*) as customers from customers c
                 where c.tenant_id = $1 and c.package_id = p.id and c.deleted_at is null) c
          cross join lateral (
                select count(*) as vouchers from vouchers v
                 where v.tenant_id = $1 and v.package_id = p.id and v.status <> 'REVOKED') v
          cross join lateral (
                select coalesce(array_agg(r.id order by r.name), '{}') as router_ids,
                       coalesce(array_agg(r.name order by r.name), '{}') as router_names
                  from package_routers pr
                  join routers r on r.tenant_id = $1 and r.id = pr.router_id and r.deleted_at is null
                 where pr.tenant_id = $1 and pr.package_id = p.id) r
          where p.tenant_id = $1 and p.deleted_at is null
            and ($2::text is null or p.type = $2)
            and ($3::boolean is null or p.is_active = $3)
            and ($5::uuid is null or r.router_ids = '{}' or $5 = any(r.router_ids))
          order by {order}
          limit $4",
    ))
    .bind(tx.tenant())
    .bind(kind)
    .bind(active)
    .bind(limit)
    .bind(router)
    .fetch_all(&mut **tx)
    .await
}

/// What a guest can buy at a router, or at any where none is named: sold hotspot packages, the cheapest first.
pub async fn offered(tx: &mut Tx, router: Option<RouterId>) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as(
        "select p.* from packages p
          where p.tenant_id = $1 and p.deleted_at is null and p.is_active and p.type = 'HOTSPOT'
            and ($2::uuid is null
                 or not exists (select from package_routers pr
                                  join routers r on r.tenant_id = $1 and r.id = pr.router_id and r.deleted_at is null
                                 where pr.tenant_id = $1 and pr.package_id = p.id)
                 or exists (select from package_routers pr
                             where pr.tenant_id = $1 and pr.package_id = p.id and pr.router_id = $2))
          order by p.price, p.name, p.id
          limit 100",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_all(&mut **tx)
    .await
}

/// One package; `None` when this tenant has no such package.
pub async fn find(tx: &mut Tx, package: PackageId) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(
        "select p.*, c.customers, v.vouchers, r.router_ids, r.router_names
           from packages p
          cross join lateral (
                select count(*) as customers from customers c
                 where c.tenant_id = $1 and c.package_id = p.id and c.deleted_at is null) c
          cross join lateral (
                select count(*) as vouchers from vouchers v
                 where v.tenant_id = $1 and v.package_id = p.id and v.status <> 'REVOKED') v
          cross join lateral (
                select coalesce(array_agg(r.id order by r.name), '{}') as router_ids,
                       coalesce(array_agg(r.name order by r.name), '{}') as router_names
                  from package_routers pr
                  join routers r on r.tenant_id = $1 and r.id = pr.router_id and r.deleted_at is null
                 where pr.tenant_id = $1 and pr.package_id = p.id) r
          where p.tenant_id = $1 and p.id = $2 and p.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(package)
    .fetch_optional(&mut **tx)
    .await
}

/// A package that somebody may mean by a word.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Called {
    /// The package.
    pub id: PackageId,
    /// Its name, in lower case.
    pub name: String,
    /// The profile that it names on routers, in lower case.
    pub profile: Option<String>,
    /// Whom it is for.
    #[sqlx(rename = "type")]
    pub kind: PackageType,
}

/// The packages that are called one of these words, in lower case, by name, profile or id.
pub async fn called(tx: &mut Tx, words: &[String]) -> sqlx::Result<Vec<Called>> {
    sqlx::query_as(
        "select id, lower(name) as name, lower(terms ->> 'routerProfile') as profile, type
           from packages
          where tenant_id = $1 and deleted_at is null
            and (lower(name) = any($2) or lower(terms ->> 'routerProfile') = any($2) or id::text = any($2))
          order by created_at, id
          limit 5000",
    )
    .bind(tx.tenant())
    .bind(words)
    .fetch_all(&mut **tx)
    .await
}

/// Up to `most` packages after this one, oldest first, for a file.
pub async fn exported(
    tx: &mut Tx,
    after: Option<PackageId>,
    most: i64,
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as(
        "select * from packages
          where tenant_id = $1 and deleted_at is null and ($2::uuid is null or id > $2)
          order by id
          limit $3",
    )
    .bind(tx.tenant())
    .bind(after)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// How many vouchers of a package can still be used. Under the package's lock, which who makes them waits for.
pub async fn usable_vouchers(tx: &mut Tx, package: PackageId, now: Timestamp) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from vouchers
          where tenant_id = $1 and package_id = $2 and status = 'AVAILABLE'
            and (expires_at is null or expires_at > $3)",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

/// Locks a package until the transaction ends; whether this tenant has it.
///
/// A customer being given this package waits (the foreign key takes a share of the same lock), so a
/// count made under it stays true.
pub async fn lock(tx: &mut Tx, package: PackageId) -> sqlx::Result<bool> {
    let found: Option<i32> = sqlx::query_scalar(
        "select 1 from packages where tenant_id = $1 and id = $2 and deleted_at is null for update",
    )
    .bind(tx.tenant())
    .bind(package)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// Writes a new package.
pub async fn insert(
    tx: &mut Tx,
    package: PackageId,
    draft: &Draft,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into packages (tenant_id, id, name, type, price, download_mbps, upload_mbps,
                burst_download, burst_upload, period_count, period_unit, data_limit, devices,
                idle_timeout_secs, is_active, created_at, updated_at, terms)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17)",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(&draft.name)
    .bind(draft.kind)
    .bind(draft.price)
    .bind(draft.download_mbps)
    .bind(draft.upload_mbps)
    .bind(draft.burst_download)
    .bind(draft.burst_upload)
    .bind(draft.period.count)
    .bind(draft.period.unit)
    .bind(draft.data_limit)
    .bind(draft.devices)
    .bind(idle_timeout(draft.kind))
    .bind(draft.is_active)
    .bind(now)
    .bind(Json(&draft.terms))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A phone that left the hotspot gives its place back after 15 minutes; a PPPoE line is never idle.
fn idle_timeout(kind: PackageType) -> Option<i32> {
    match kind {
        PackageType::Pppoe => None,
        PackageType::Hotspot => Some(900),
    }
}

/// Writes the new content of a package.
pub async fn update(
    tx: &mut Tx,
    package: PackageId,
    draft: &Draft,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update packages
            set name = $3, type = $4, price = $5, download_mbps = $6, upload_mbps = $7,
                burst_download = $8, burst_upload = $9, period_count = $10, period_unit = $11,
                data_limit = $12, devices = $13, idle_timeout_secs = $14, is_active = $15,
                version = version + 1, updated_at = $16, terms = $17
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(&draft.name)
    .bind(draft.kind)
    .bind(draft.price)
    .bind(draft.download_mbps)
    .bind(draft.upload_mbps)
    .bind(draft.burst_download)
    .bind(draft.burst_upload)
    .bind(draft.period.count)
    .bind(draft.period.unit)
    .bind(draft.data_limit)
    .bind(draft.devices)
    .bind(idle_timeout(draft.kind))
    .bind(draft.is_active)
    .bind(now)
    .bind(Json(&draft.terms))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Which of these routers this tenant has.
pub async fn known_routers(tx: &mut Tx, routers: &[RouterId]) -> sqlx::Result<Vec<RouterId>> {
    sqlx::query_scalar(
        "select id from routers where tenant_id = $1 and id = any($2) and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(routers)
    .fetch_all(&mut **tx)
    .await
}

/// Whether a package is sold at a router, or where there is none at some router of a site. One that names no routers is
/// sold everywhere.
pub async fn is_sold_at(
    tx: &mut Tx,
    package: PackageId,
    router: Option<RouterId>,
    site: SiteId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select count(*) = 0 or coalesce(bool_or(case when $3::uuid is null then r.site_id = $4 else r.id = $3 end), false)
           from package_routers pr
           join routers r on r.tenant_id = $1 and r.id = pr.router_id and r.deleted_at is null
          where pr.tenant_id = $1 and pr.package_id = $2",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(router)
    .bind(site)
    .fetch_one(&mut **tx)
    .await
}

/// Whether the tenant has this package, sold or not.
pub async fn is_there(tx: &mut Tx, package: PackageId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from packages where tenant_id = $1 and id = $2 and deleted_at is null)",
    )
    .bind(tx.tenant())
    .bind(package)
    .fetch_one(&mut **tx)
    .await
}

/// The routers and their sites at which these packages are sold; one that is not named is sold everywhere.
pub async fn sold_at(
    tx: &mut Tx,
    packages: &[PackageId],
) -> sqlx::Result<Vec<(PackageId, RouterId, SiteId)>> {
    sqlx::query_as(
        "select pr.package_id, r.id, r.site_id
           from package_routers pr
           join routers r on r.tenant_id = $1 and r.id = pr.router_id and r.deleted_at is null
          where pr.tenant_id = $1 and pr.package_id = any($2)",
    )
    .bind(tx.tenant())
    .bind(packages)
    .fetch_all(&mut **tx)
    .await
}

/// Sets the routers a package is sold at.
pub async fn set_routers(
    tx: &mut Tx,
    package: PackageId,
    routers: &[RouterId],
) -> sqlx::Result<()> {
    sqlx::query(
        "with gone as (
             delete from package_routers
              where tenant_id = $1 and package_id = $2 and router_id <> all($3))
         insert into package_routers (tenant_id, package_id, router_id)
         select $1, $2, id from unnest($3::uuid[]) as r (id)
             on conflict do nothing",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(routers)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks a package deleted; its name is free again.
pub async fn delete(tx: &mut Tx, package: PackageId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update packages set deleted_at = $3, updated_at = $3, is_active = false
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How a package does.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stats {
    /// Customers who have it.
    pub total: i64,
    /// Of these, paid and not stopped.
    pub active: i64,
    /// Whose time is over.
    pub expired: i64,
    /// Suspended or switched off.
    pub suspended: i64,
}

/// How a package does at `now`.
pub async fn stats(tx: &mut Tx, package: PackageId, now: Timestamp) -> sqlx::Result<Stats> {
    sqlx::query_as(
        "select count(*) as total,
                count(*) filter (where standing = 'ACTIVE' and online_until > $3) as active,
                count(*) filter (where standing = 'ACTIVE' and online_until <= $3) as expired,
                count(*) filter (where standing <> 'ACTIVE') as suspended
           from (select standing, served_until as online_until
                   from customers
                  where tenant_id = $1 and package_id = $2 and deleted_at is null) c",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

/// What a package brought in at each router that its buyers belonged to then, sold ahead or billed by the month, without
/// taxes and less what was taken back.
pub async fn router_revenue(
    tx: &mut Tx,
    package: PackageId,
) -> sqlx::Result<Vec<(RouterId, String, Cents)>> {
    sqlx::query_as(
        "with earned as (
             select router_id, price - taken_back - (tax - tax_taken_back) as amount
               from periods
              where tenant_id = $1 and package_id = $2
             union all
             select router_id, amount - credited - (taxes_of(taxes) - credited_tax)
               from invoices
              where tenant_id = $1 and package_id = $2 and period_id is null and status <> 'CANCELLED')
         select r.id, r.name, sum(e.amount)::bigint
           from earned e
           join routers r on r.tenant_id = $1 and r.id = e.router_id
          group by r.id, r.name
          order by sum(e.amount) desc, r.name
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(package)
    .fetch_all(&mut **tx)
    .await
}

/// A package and a site that must know it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SiteRow {
    /// The site.
    pub site_id: SiteId,
    /// The package.
    #[sqlx(flatten)]
    pub stored: Stored,
}

/// The packages among `ids` that exist, once for every site of the tenant.
pub async fn for_sites(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<SiteRow>> {
    sqlx::query_as(
        "select s.id as site_id, p.*
           from packages p
           join sites s on s.tenant_id = $1 and s.deleted_at is null
          where p.tenant_id = $1 and p.id = any($2) and p.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await
}

/// The ids of all packages, for comparing them with what sites know.
pub async fn every_id(tx: &mut Tx, after: Uuid, most: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select id from packages where tenant_id = $1 and id > $2 order by id limit $3",
    )
    .bind(tx.tenant())
    .bind(after)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
