//! Customers with more devices online than they may have.

use easyisp_shared::id::{CustomerId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;

use crate::db::Tx;

/// A session that is going on.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct OpenDevice {
    /// At which site.
    pub site_id: SiteId,
    /// At which router.
    pub router_id: RouterId,
    /// Acct-Session-Id.
    pub acct_session_id: String,
    /// Its device; all without an address count as one.
    pub mac: Option<String>,
    /// How many its customer may have.
    pub most: i32,
}

/// Those of `customers` who have more devices online than they may, by sessions heard of since `heard`.
pub async fn too_many(
    tx: &mut Tx,
    customers: &[CustomerId],
    heard: Timestamp,
) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "select c.id
           from customers c
           join packages p on p.tenant_id = $1 and p.id = c.package_id
          where c.tenant_id = $1 and c.id = any($2)
            and coalesce(c.devices, p.devices)
                < (select count(distinct coalesce(s.mac, ''))
                     from sessions s
                    where s.tenant_id = $1 and s.customer_id = c.id and s.status = 'ACTIVE'
                      and s.last_seen_at >= $3)",
    )
    .bind(tx.tenant())
    .bind(customers)
    .bind(heard)
    .fetch_all(&mut **tx)
    .await
}

/// The sessions of a customer that were heard of since `heard`, the one that began last first. Empty for who
/// has no time left: he is in the walled garden, where places are not counted.
pub async fn open_devices(
    tx: &mut Tx,
    customer: CustomerId,
    heard: Timestamp,
    now: Timestamp,
) -> sqlx::Result<Vec<OpenDevice>> {
    sqlx::query_as(
        "select s.site_id, s.router_id, s.acct_session_id, s.mac, coalesce(c.devices, p.devices) as most
           from sessions s
           join customers c on c.tenant_id = $1 and c.id = s.customer_id
           join packages p on p.tenant_id = $1 and p.id = c.package_id
          where s.tenant_id = $1 and s.customer_id = $2 and s.status = 'ACTIVE' and s.last_seen_at >= $3
            and greatest(c.paid_until, c.funded_until) > $4
          order by s.started_at desc, s.id desc
          limit 200",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(heard)
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}
