//! How far a router's set-up is, and where it was found to be.

use std::net::IpAddr;

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::Timestamp;

use super::super::words::Provisioning;
use crate::db::Tx;

/// Notes how far a router's set-up is.
pub async fn provisioning(tx: &mut Tx, router: RouterId, how: Provisioning) -> sqlx::Result<()> {
    sqlx::query("update routers set provisioning_status = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(router)
        .bind(how)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Notes where a router is, and where its requests come from: a network that somebody entered, and that holds it, stays.
pub async fn placed(
    tx: &mut Tx,
    router: RouterId,
    address: IpAddr,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers
            set ip_address = $3,
                source_network = case
                    when source_network::cidr >>= $3::inet then source_network
                    else $4
                end,
                version = version + 1, updated_at = $5
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(address.to_string())
    .bind(ipnet::IpNet::from(address).to_string())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether there is a router of this id, or was one.
pub async fn was_entered(tx: &mut Tx, router: RouterId) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from routers where tenant_id = $1 and id = $2)")
        .bind(tx.tenant())
        .bind(router)
        .fetch_one(&mut **tx)
        .await
}

/// The router that is called so: its id, site, address and when it was heard of. Locks it. `None` when none is.
pub async fn lock_by_name(
    tx: &mut Tx,
    name: &str,
) -> sqlx::Result<Option<(RouterId, SiteId, String, Option<Timestamp>)>> {
    sqlx::query_as(
        "select id, site_id, ip_address, last_seen_at
           from routers
          where tenant_id = $1 and lower(name) = lower($2) and deleted_at is null
            for update",
    )
    .bind(tx.tenant())
    .bind(name)
    .fetch_optional(&mut **tx)
    .await
}
