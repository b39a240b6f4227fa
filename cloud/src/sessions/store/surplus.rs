//! Who is online at several sites at once.

use easyisp_shared::id::{CustomerId, RouterId, SessionId, SiteId};
use easyisp_shared::time::Timestamp;

use crate::db::Tx;
use crate::sessions::surplus::Open;

/// Who of these customers has a session that goes on at another site than this one.
pub async fn elsewhere(
    tx: &mut Tx,
    site: SiteId,
    customers: &[CustomerId],
) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "select distinct customer_id
           from sessions
          where tenant_id = $1 and customer_id = any($3) and status = 'ACTIVE' and site_id <> $2",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(customers)
    .fetch_all(&mut **tx)
    .await
}

/// Locks a customer: how he is called, and how many devices he may have online. `None` when there is no such
/// customer.
pub async fn lock_allowed(
    tx: &mut Tx,
    customer: CustomerId,
) -> sqlx::Result<Option<(String, i32)>> {
    sqlx::query_as(
        "select c.name, coalesce(c.devices, p.devices, 1)
           from customers c
           left join packages p on p.tenant_id = $1 and p.id = c.package_id
          where c.tenant_id = $1 and c.id = $2 and c.deleted_at is null
            for update of c",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

#[derive(sqlx::FromRow)]
struct OpenRow {
    id: SessionId,
    site_id: SiteId,
    router_id: RouterId,
    acct_session_id: String,
    mac: Option<String>,
    started_at: Timestamp,
    last_seen_at: Timestamp,
}

/// A customer's sessions that go on and were heard of since then, at most 1000: neither those that are doubtful
/// nor those that are only silent yet.
pub async fn confirmed(
    tx: &mut Tx,
    customer: CustomerId,
    heard: Timestamp,
) -> sqlx::Result<Vec<Open>> {
    let rows: Vec<OpenRow> = sqlx::query_as(
        "select id, site_id, router_id, acct_session_id, mac, started_at, last_seen_at
           from sessions
          where tenant_id = $1 and customer_id = $2 and status = 'ACTIVE' and last_seen_at > $3
          order by started_at
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(heard)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Open {
            id: row.id,
            site: row.site_id,
            router: row.router_id,
            acct_session_id: row.acct_session_id,
            mac: row.mac,
            started: row.started_at,
            heard: row.last_seen_at,
        })
        .collect())
}
