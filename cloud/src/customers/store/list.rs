//! Lists of customers. What narrows one is served by an index where row security lets one serve.

use easyisp_shared::id::{CustomerId, PackageId, RouterId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use crate::api::{Order, Sort, Sortable};
use crate::customers::rules::beginning_of_phone;
use crate::customers::words::{ConnectionType, Standing, Status};
use crate::db::Tx;

/// Which customers a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// How they are connected: any of these.
    pub types: Vec<ConnectionType>,
    /// How they stand at the moment of the question.
    pub status: Option<Status>,
    /// Parts of words of user name, name or phone, or the beginnings of e-mail or account number.
    pub search: Option<String>,
    /// Whose router this is.
    pub router: Option<RouterId>,
    /// Who buy this.
    pub package: Option<PackageId>,
    /// Who have this label.
    pub tag: Option<String>,
}

impl Filter {
    /// The status that it is about, when it is about nothing else but the type.
    fn only_status(&self) -> Option<Status> {
        let alone = Filter {
            status: None,
            ..self.clone()
        };
        self.status.filter(|_| alone.only_types())
    }

    /// Whether it is about the type alone, for which totals are kept.
    fn only_types(&self) -> bool {
        self.status.is_none()
            && self.search.is_none()
            && self.router.is_none()
            && self.package.is_none()
            && self.tag.is_none()
    }
}

/// What customers are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("createdAt", &["created_at", "-id"]),
        ("username", &["username", "id"]),
        ("name", &["name", "id"]),
        ("expiresAt", &["served_until", "id"]),
        ("accountNumber", &["account_number", "id"]),
    ];
    const USUAL: Order = Order::Desc;
}

/// A customer as a list shows him.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ListRow {
    pub id: CustomerId,
    pub username: String,
    pub name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub connection_type: ConnectionType,
    pub standing: Standing,
    pub paid_until: Timestamp,
    /// The end of what is paid, carried by the wallet or promised.
    pub served_until: Timestamp,
    pub package_id: Option<PackageId>,
    pub package_name: Option<String>,
    pub package_price: Option<Cents>,
    pub router_id: Option<RouterId>,
    pub router_name: Option<String>,
    pub online_ip: Option<String>,
    pub online_mac: Option<String>,
    pub is_online: bool,
    pub balance: Cents,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One page of customers, newest first unless asked otherwise, and how many there are in all.
///
/// A total that no filter narrows is a kept count.
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    sort: Sort<By>,
    now: Timestamp,
    limit: i64,
    offset: i64,
) -> sqlx::Result<(Vec<ListRow>, i64)> {
    let types: Vec<&str> = filter.types.iter().map(|kind| kind.word()).collect();
    if filter.only_types() {
        let rows = page(tx, &types, sort, limit, offset).await?;
        let total = kept_total(tx, &filter.types).await?;
        return Ok((rows, total));
    }
    if filter.search.is_some() {
        return searched(tx, filter, &types, sort, now, limit, offset).await;
    }
    let rows = filtered(tx, filter, &types, sort, now, limit, offset).await?;
    let total = match filter.only_status() {
        Some(status) => status_total(tx, &types, status, now).await?,
        None => total(tx, filter, &types, now).await?,
    };
    Ok((rows, total))
}

/// A page of the customers that the given subquery selects as `c`.
///
/// What a page shows of packages, routers, wallets and sessions comes in the same statement: asked
/// feature by feature it would be five round trips a page. Wallets and sessions are subqueries of their
/// own, because a planner that does not know the limit would join them whole.
macro_rules! page_of {
    ($customers:literal) => {
        concat!(
            "select c.id, c.username, c.name, c.email, c.phone, c.connection_type, c.standing,
                    c.paid_until, c.served_until, c.package_id, p.name as package_name,
                    p.price as package_price, c.router_id, r.name as router_name,
                    s.framed_ip as online_ip, s.mac as online_mac, s.id is not null as is_online,
                    coalesce((select balance from wallets
                               where tenant_id = $1 and customer_id = c.id), 0) as balance,
                    c.created_at, c.updated_at, c.account_number, c.deleted_at
               from (",
            $customers,
            ") c
               left join packages p on p.tenant_id = $1 and p.id = c.package_id
               left join routers r on r.tenant_id = $1 and r.id = c.router_id
               left join lateral (
                    select id, framed_ip, mac from sessions
                     where tenant_id = $1 and customer_id = c.id and status <> 'COMPLETED'
                       and status = 'ACTIVE'
                     order by started_at desc
                     limit 1) s on true
              order by {order}"
        )
    };
}

/// The page that the web client opens: apart from [`filtered`], so that its plan walks the index.
async fn page(
    tx: &mut Tx,
    types: &[&str],
    sort: Sort<By>,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<ListRow>> {
    sqlx::query_as(sort.text(page_of!(
        "select * from customers
          where tenant_id = $1 and deleted_at is null and connection_type = any($2)
          order by {order}
          limit $3 offset $4"
    )))
    .bind(tx.tenant())
    .bind(types)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await
}

/// What a search finds, and how many: by the words that the database keeps of every customer.
async fn searched(
    tx: &mut Tx,
    filter: &Filter,
    types: &[&str],
    sort: Sort<By>,
    now: Timestamp,
    limit: i64,
    offset: i64,
) -> sqlx::Result<(Vec<ListRow>, i64)> {
    let search = filter.search.as_deref().unwrap_or_default();
    let (total, ids): (i64, Vec<CustomerId>) = sqlx::query_as(sort.text(
        "with found as materialized (
             select id, created_at, username, name, served_until, account_number from customers
              where tenant_id = $1 and deleted_at is null
                and id = any((select found_customers($1, $3, $4))::uuid[])
                and connection_type = any($2)
                and ($5::uuid is null or router_id = $5)
                and ($6::uuid is null or package_id = $6)
                and ($7::text is null
                     or $7 = 'ACTIVE' and standing = 'ACTIVE' and served_until > $8
                     or $7 = 'EXPIRED' and standing = 'ACTIVE' and served_until <= $8
                     or $7 in ('SUSPENDED', 'DISABLED') and standing <> 'ACTIVE' and standing = $7)
                and ($9::text is null
                     or id = any(array(select customer_id from customer_tags
                                        where tenant_id = $1 and tag = $9))))
         select (select count(*) from found),
                array(select id from found order by {order} limit $10 offset $11)",
    ))
    .bind(tx.tenant())
    .bind(types)
    .bind(search)
    .bind(beginning_of_phone(search))
    .bind(filter.router)
    .bind(filter.package)
    .bind(filter.status)
    .bind(now)
    .bind(&filter.tag)
    .bind(limit)
    .bind(offset)
    .fetch_one(&mut **tx)
    .await?;
    let rows = sqlx::query_as(sort.text(page_of!(
        "select * from customers where tenant_id = $1 and id = any($2)"
    )))
    .bind(tx.tenant())
    .bind(&ids)
    .fetch_all(&mut **tx)
    .await?;
    Ok((rows, total))
}

/// The page of what narrows more than the type. How somebody stands is asked of his columns, so that the planner knows how
/// many stand so: it walks the newest where most do, and an index of those where few do.
async fn filtered(
    tx: &mut Tx,
    filter: &Filter,
    types: &[&str],
    sort: Sort<By>,
    now: Timestamp,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<ListRow>> {
    sqlx::query_as(sort.text(page_of!(
        "select * from customers
          where tenant_id = $1 and deleted_at is null
            and connection_type = any($2)
            and ($3::uuid is null or router_id = $3)
            and ($4::uuid is null or package_id = $4)
            and ($5::text is null
                 or $5 = 'ACTIVE' and standing = 'ACTIVE' and served_until > $6
                 or $5 = 'EXPIRED' and standing = 'ACTIVE' and served_until <= $6
                 or $5 in ('SUSPENDED', 'DISABLED') and standing <> 'ACTIVE' and standing = $5)
            and ($7::text is null
                 or id = any(array(select customer_id from customer_tags
                                    where tenant_id = $1 and tag = $7)))
          order by {order}
          limit $8 offset $9"
    )))
    .bind(tx.tenant())
    .bind(types)
    .bind(filter.router)
    .bind(filter.package)
    .bind(filter.status)
    .bind(now)
    .bind(&filter.tag)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await
}

/// A page of customers who were deleted and not erased, the last one first unless asked otherwise, and how many
/// there are.
pub async fn deleted(
    tx: &mut Tx,
    types: &[ConnectionType],
    sort: Sort<By>,
    limit: i64,
    offset: i64,
) -> sqlx::Result<(Vec<ListRow>, i64)> {
    let types: Vec<&str> = types.iter().map(|kind| kind.word()).collect();
    let sort = sort.or_last_first(&["deleted_at", "-id"]);
    let rows = sqlx::query_as(sort.text(page_of!(
        "select * from customers
          where tenant_id = $1 and deleted_at is not null and erased_at is null
            and connection_type = any($2)
          order by {order}
          limit $3 offset $4"
    )))
    .bind(tx.tenant())
    .bind(&types)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*) from customers
          where tenant_id = $1 and deleted_at is not null and erased_at is null
            and connection_type = any($2)",
    )
    .bind(tx.tenant())
    .bind(&types)
    .fetch_one(&mut **tx)
    .await?;
    Ok((rows, total))
}

async fn kept_total(tx: &mut Tx, types: &[ConnectionType]) -> sqlx::Result<i64> {
    let counts: Vec<&str> = types.iter().map(|kind| kind.count()).collect();
    sqlx::query_scalar(
        "select coalesce(sum(n), 0)::bigint from counts where tenant_id = $1 and what = any($2)",
    )
    .bind(tx.tenant())
    .bind(counts)
    .fetch_one(&mut **tx)
    .await
}

async fn total(tx: &mut Tx, filter: &Filter, types: &[&str], now: Timestamp) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from customers
          where tenant_id = $1 and deleted_at is null
            and connection_type = any($2)
            and ($3::uuid is null or router_id = $3)
            and ($4::uuid is null or package_id = $4)
            and ($5::text is null
                 or $5 = 'ACTIVE' and standing = 'ACTIVE' and served_until > $6
                 or $5 = 'EXPIRED' and standing = 'ACTIVE' and served_until <= $6
                 or $5 in ('SUSPENDED', 'DISABLED') and standing <> 'ACTIVE' and standing = $5)
            and ($7::text is null
                 or id = any(array(select customer_id from customer_tags
                                    where tenant_id = $1 and tag = $7)))",
    )
    .bind(tx.tenant())
    .bind(types)
    .bind(filter.router)
    .bind(filter.package)
    .bind(filter.status)
    .bind(now)
    .bind(&filter.tag)
    .fetch_one(&mut **tx)
    .await
}

/// How many customers stand so; each is counted in an index of its own.
async fn status_total(
    tx: &mut Tx,
    types: &[&str],
    status: Status,
    now: Timestamp,
) -> sqlx::Result<i64> {
    let tenant = tx.tenant();
    let count = match status {
        Status::Active => sqlx::query_scalar(
            "select count(*) from customers
              where tenant_id = $1 and deleted_at is null and standing = 'ACTIVE'
                and connection_type = any($2) and served_until > $3",
        )
        .bind(tenant)
        .bind(types)
        .bind(now),
        Status::Expired => sqlx::query_scalar(
            "select count(*) from customers
              where tenant_id = $1 and deleted_at is null and standing = 'ACTIVE'
                and connection_type = any($2) and served_until <= $3",
        )
        .bind(tenant)
        .bind(types)
        .bind(now),
        Status::Suspended | Status::Disabled => sqlx::query_scalar(
            "select count(*) from customers
              where tenant_id = $1 and deleted_at is null and standing <> 'ACTIVE'
                and connection_type = any($2) and standing = $3",
        )
        .bind(tenant)
        .bind(types)
        .bind(status),
    };
    count.fetch_one(&mut **tx).await
}
