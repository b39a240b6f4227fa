//! How far a router's set-up is, and where it was found to be.

use std::net::IpAddr;

use easyisp_shared::id::RouterId;
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

/// Notes where a router is and where its requests come from.
pub async fn placed(
    tx: &mut Tx,
    router: RouterId,
    address: IpAddr,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers
            set ip_address = $3, source_network = $4, version = version + 1, updated_at = $5
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
