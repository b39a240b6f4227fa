//! SQL on vouchers and their batches.

use easyisp_shared::id::{
    AgentId, CustomerId, OperatorId, PackageId, SiteId, VoucherBatchId, VoucherId,
};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use super::rules::{Batch, Status};
use super::words::Stored;
use crate::api::{Order, Page, Sort, Sortable};
use crate::db::{Kind, Tx};
use crate::packages::PeriodUnit;

/// What a package gives a new batch.
#[derive(FromRow, Clone, Debug)]
pub(super) struct Sold {
    pub(super) name: String,
    pub(super) price: Cents,
    pub(super) period_count: i32,
    pub(super) period_unit: PeriodUnit,
    pub(super) data_limit: Option<i64>,
    pub(super) hotspot: bool,
    pub(super) is_active: bool,
}

/// A package as it is sold today; locked against being taken away meanwhile. `None` when there is none.
pub(super) async fn sold(tx: &mut Tx, package: PackageId) -> sqlx::Result<Option<Sold>> {
    sqlx::query_as(
        "select name, price, period_count, period_unit, data_limit, type = 'HOTSPOT' as hotspot,
                is_active
           from packages
          where tenant_id = $1 and id = $2 and deleted_at is null
            for share",
    )
    .bind(tx.tenant())
    .bind(package)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes a new batch, with nothing made yet.
pub(super) async fn insert_batch(
    tx: &mut Tx,
    id: VoucherBatchId,
    batch: &Batch,
    sold: &Sold,
    secs: i64,
    holder: Option<SiteId>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into voucher_batches (tenant_id, id, package_id, site_id, quantity, prefix, code_length,
                price, secs, data_limit, expires_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(batch.package)
    .bind(holder)
    .bind(i32::try_from(batch.quantity).unwrap_or(i32::MAX))
    .bind(&batch.prefix)
    .bind(i16::from(batch.code_length))
    .bind(sold.price)
    .bind(secs)
    .bind(sold.data_limit)
    .bind(batch.expires_at)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes out of whose float a new batch is taken.
pub(super) async fn set_seller(
    tx: &mut Tx,
    batch: VoucherBatchId,
    seller: OperatorId,
) -> sqlx::Result<()> {
    sqlx::query("update voucher_batches set seller_id = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(batch)
        .bind(seller)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Out of whose float a voucher was taken, for how much, and in which batch of how many; `None` = out of nobody's.
pub(super) async fn seller_of(
    tx: &mut Tx,
    voucher: VoucherId,
) -> sqlx::Result<Option<(OperatorId, Cents, VoucherBatchId, i32)>> {
    sqlx::query_as(
        "select b.seller_id, v.price, b.id, b.quantity
           from vouchers v
           join voucher_batches b on b.tenant_id = $1 and b.id = v.batch_id
          where v.tenant_id = $1 and v.id = $2 and b.seller_id is not null",
    )
    .bind(tx.tenant())
    .bind(voucher)
    .fetch_optional(&mut **tx)
    .await
}

/// A batch that is being made.
#[derive(FromRow, Clone, Debug)]
pub(super) struct BatchRow {
    pub(super) quantity: i32,
    pub(super) made: i32,
    pub(super) prefix: String,
    pub(super) code_length: i16,
    pub(super) site_id: Option<SiteId>,
}

/// Reads and locks a batch: two makers of one batch work one after the other.
pub(super) async fn lock_batch(
    tx: &mut Tx,
    batch: VoucherBatchId,
) -> sqlx::Result<Option<BatchRow>> {
    sqlx::query_as(
        "select quantity, made, prefix, code_length, site_id
           from voucher_batches
          where tenant_id = $1 and id = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(batch)
    .fetch_optional(&mut **tx)
    .await
}

/// A code on its way into the table.
pub(super) struct Drawn {
    pub(super) id: VoucherId,
    pub(super) digest: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

/// Writes codes of a batch and counts them; returns those that were new in the tenant.
pub(super) async fn insert(
    tx: &mut Tx,
    batch: VoucherBatchId,
    drawn: &[Drawn],
    now: Timestamp,
) -> sqlx::Result<Vec<VoucherId>> {
    let ids: Vec<VoucherId> = drawn.iter().map(|drawn| drawn.id).collect();
    let digests: Vec<&[u8]> = drawn.iter().map(|drawn| drawn.digest.as_slice()).collect();
    let sealed: Vec<&[u8]> = drawn.iter().map(|drawn| drawn.sealed.as_slice()).collect();
    sqlx::query_scalar(
        "with new as (
             insert into vouchers (tenant_id, id, batch_id, package_id, digest, code_sealed, status,
                                   holder_id, price, secs, data_limit, expires_at, created_at, updated_at)
             select $1, d.id, b.id, b.package_id, d.digest, d.sealed, 'AVAILABLE', b.site_id, b.price,
                    b.secs, b.data_limit, b.expires_at, $6, $6
               from unnest($3::uuid[], $4::bytea[], $5::bytea[]) as d (id, digest, sealed)
               join voucher_batches b on b.tenant_id = $1 and b.id = $2
                 on conflict on constraint voucher_digest do nothing
             returning id),
         counted as (
             update voucher_batches set made = made + (select count(*) from new)
              where tenant_id = $1 and id = $2)
         select id from new",
    )
    .bind(tx.tenant())
    .bind(batch)
    .bind(ids)
    .bind(digests)
    .bind(sealed)
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}

/// A voucher that somebody shows.
#[derive(FromRow, Clone, Debug)]
pub(super) struct Row {
    pub(super) id: VoucherId,
    pub(super) package_id: PackageId,
    pub(super) digest: Vec<u8>,
    pub(super) status: Stored,
    pub(super) holder_id: Option<SiteId>,
    pub(super) price: Cents,
    pub(super) secs: i64,
    pub(super) data_limit: Option<i64>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) customer_id: Option<CustomerId>,
    pub(super) used_at: Option<Timestamp>,
    pub(super) used_until: Option<Timestamp>,
}

/// Reads and locks the voucher with this digest: of two who show one code, one is first.
pub(super) async fn lock_shown(tx: &mut Tx, digest: &[u8]) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(
        "select id, package_id, digest, status, holder_id, price, secs, data_limit, expires_at,
                customer_id, used_at, used_until
           from vouchers
          where tenant_id = $1 and digest = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(digest)
    .fetch_optional(&mut **tx)
    .await
}

/// Reads and locks a voucher by its id.
pub(super) async fn lock(tx: &mut Tx, voucher: VoucherId) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(
        "select id, package_id, digest, status, holder_id, price, secs, data_limit, expires_at,
                customer_id, used_at, used_until
           from vouchers
          where tenant_id = $1 and id = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(voucher)
    .fetch_optional(&mut **tx)
    .await
}

/// Whether a site's feed says that it holds a voucher, or held it not long ago.
pub(super) async fn was_at(tx: &mut Tx, voucher: VoucherId, site: SiteId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from feed
                         where tenant_id = $1 and site_id = $2 and kind = $3 and id = $4)",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(i16::try_from(Kind::Voucher.code()).unwrap_or(0))
    .bind(voucher)
    .fetch_one(&mut **tx)
    .await
}

/// How a voucher stands, until when it is good, and which site holds it; `None` when there is none.
pub(super) async fn find(
    tx: &mut Tx,
    voucher: VoucherId,
) -> sqlx::Result<Option<(Stored, Option<Timestamp>, Option<SiteId>)>> {
    sqlx::query_as(
        "select status, expires_at, holder_id from vouchers where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(voucher)
    .fetch_optional(&mut **tx)
    .await
}

/// What a first use writes down.
pub(super) struct Use {
    pub(super) customer: CustomerId,
    pub(super) holder: SiteId,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) agent: Option<AgentId>,
}

/// Marks a locked voucher as used, and counts it in its batch.
pub(super) async fn set_used(
    tx: &mut Tx,
    voucher: VoucherId,
    used: &Use,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "with was as (
             select batch_id, status from vouchers where tenant_id = $1 and id = $2),
         counted as (
             update voucher_batches b
                set used = b.used + case when was.status = 'USED' then 0 else 1 end,
                    revoked = b.revoked - case when was.status = 'REVOKED' then 1 else 0 end
               from was
              where b.tenant_id = $1 and b.id = was.batch_id)
         update vouchers
            set status = 'USED', customer_id = $3, holder_id = $4, used_at = $5, used_until = $6,
                used_agent = $7, updated_at = $8
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(voucher)
    .bind(used.customer)
    .bind(used.holder)
    .bind(used.from)
    .bind(used.until)
    .bind(used.agent)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks a locked voucher that nobody used as revoked, and counts it in its batch.
pub(super) async fn set_revoked(
    tx: &mut Tx,
    voucher: VoucherId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "with was as (
             select batch_id, status from vouchers where tenant_id = $1 and id = $2),
         counted as (
             update voucher_batches b
                set revoked = b.revoked + 1
               from was
              where b.tenant_id = $1 and b.id = was.batch_id and was.status = 'AVAILABLE')
         update vouchers set status = 'REVOKED', updated_at = $3 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(voucher)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The vouchers among `ids` that a site must know: those nobody used where they are held, and those whose users came
/// with nothing but the code where these are at home.
pub(super) async fn at_sites(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "select v.id, v.package_id, v.digest, v.status, v.price, v.secs, v.data_limit,
                case v.status when 'USED' then c.site_id else v.holder_id end as holder_id,
                v.expires_at, v.customer_id, v.used_at, v.used_until
           from vouchers v
           left join customers c on c.tenant_id = $1 and c.id = v.id and c.deleted_at is null
          where v.tenant_id = $1 and v.id = any($2) and v.holder_id is not null
            and (v.status = 'AVAILABLE' or v.status = 'USED' and v.customer_id = v.id and c.id is not null)",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await
}

/// Which vouchers a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) status: Option<Status>,
    pub(super) package: Option<PackageId>,
    pub(super) batch: Option<VoucherBatchId>,
    /// A whole code, as its digest.
    pub(super) digest: Option<Vec<u8>>,
    /// Part of the user's name.
    pub(super) name: Option<String>,
}

/// A voucher as a list shows it.
#[derive(FromRow, Clone, Debug)]
pub(super) struct ListRow {
    pub(super) id: VoucherId,
    pub(super) code_sealed: Vec<u8>,
    pub(super) status: Stored,
    pub(super) package_id: PackageId,
    pub(super) package_name: String,
    pub(super) price: Cents,
    pub(super) batch_id: VoucherBatchId,
    pub(super) customer_id: Option<CustomerId>,
    pub(super) customer_name: Option<String>,
    pub(super) used_at: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
}

/// What vouchers are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("createdAt", &["created_at", "id"]),
        ("usedAt", &["used_at", "id"]),
        ("expiresAt", &["expires_at", "id"]),
    ];
    const USUAL: Order = Order::Desc;
}

/// A page of vouchers, newest first unless asked otherwise.
pub(super) async fn list(
    tx: &mut Tx,
    filter: &Filter,
    sort: Sort<By>,
    page: Page,
    now: Timestamp,
) -> sqlx::Result<Vec<ListRow>> {
    sqlx::query_as(sort.text(
        "select v.id, v.code_sealed, v.status, v.package_id, p.name as package_name, v.price,
                v.batch_id, v.customer_id, c.name as customer_name, v.used_at, v.expires_at, v.created_at
           from vouchers v
           join packages p on p.tenant_id = $1 and p.id = v.package_id
           left join customers c on c.tenant_id = $1 and c.id = v.customer_id
          where v.tenant_id = $1
            and ($2::text is null or $2 = case when v.status = 'AVAILABLE' and v.expires_at <= $7
                                               then 'EXPIRED' else v.status end)
            and ($3::uuid is null or v.package_id = $3)
            and ($4::uuid is null or v.batch_id = $4)
            and (($5::bytea is null and $6::text is null) or v.digest = $5
                 or strpos(lower(c.name), lower($6)) > 0)
          order by {order}
          limit $8 offset $9",
    ))
    .bind(tx.tenant())
    .bind(filter.status.map(Status::as_str))
    .bind(filter.package)
    .bind(filter.batch)
    .bind(&filter.digest)
    .bind(&filter.name)
    .bind(now)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await
}

/// How many vouchers a list would show in all.
pub(super) async fn count(tx: &mut Tx, filter: &Filter, now: Timestamp) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*)
           from vouchers v
           left join customers c on c.tenant_id = $1 and c.id = v.customer_id
          where v.tenant_id = $1
            and ($2::text is null or $2 = case when v.status = 'AVAILABLE' and v.expires_at <= $7
                                               then 'EXPIRED' else v.status end)
            and ($3::uuid is null or v.package_id = $3)
            and ($4::uuid is null or v.batch_id = $4)
            and (($5::bytea is null and $6::text is null) or v.digest = $5
                 or strpos(lower(c.name), lower($6)) > 0)",
    )
    .bind(tx.tenant())
    .bind(filter.status.map(Status::as_str))
    .bind(filter.package)
    .bind(filter.batch)
    .bind(&filter.digest)
    .bind(&filter.name)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

/// How many vouchers stand how.
#[derive(FromRow, Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) total: i64,
    pub(super) available: i64,
    pub(super) used: i64,
    pub(super) expired: i64,
    pub(super) revoked: i64,
}

/// All vouchers of the tenant by how they stand.
pub(super) async fn totals(tx: &mut Tx, now: Timestamp) -> sqlx::Result<Totals> {
    sqlx::query_as(
        "select count(*) as total,
                count(*) filter (where status = 'AVAILABLE'
                                   and (expires_at is null or expires_at > $2)) as available,
                count(*) filter (where status = 'USED') as used,
                count(*) filter (where status = 'AVAILABLE' and expires_at <= $2) as expired,
                count(*) filter (where status = 'REVOKED') as revoked
           from vouchers
          where tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}
