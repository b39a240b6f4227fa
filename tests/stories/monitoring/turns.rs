//! Who changes how a device is read, while it is told of.

use anyhow::{Context, Result};
use easyisp_shared::id::{RouterId, TenantId};
use easyisp_tests::net_snmp::Snmpd;
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::words::MINUTE;

/// What is told waits for who holds the router, and meanwhile holds nothing that he will want: neither waits for the
/// other for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_device_never_waits_across_its_settings() -> Result<()> {
    let server = Snmpd::start(&[]).await?;
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "turns").await?;
    let site = Site::open(&world, &isp).await?;
    let me = isp.owner.get("/tenant/me").await?;
    let tenant: TenantId = me["id"].as_str().context("a tenant")?.parse()?;
    let router: RouterId = site.router_id.parse()?;
    let settings = json!({"nasId": site.router_id, "community": "public", "version": "v2c",
        "port": server.address.port()});
    isp.owner.post("/snmp/settings", &settings).await?;

    // Somebody else changes it: what `POST /api/snmp/settings` locks first, and then.
    let mut changing = world.db().begin(tenant).await?;
    sqlx::query("select 1 from routers where tenant_id = $1 and id = $2 for update")
        .bind(tenant)
        .bind(router)
        .execute(&mut *changing)
        .await?;
    let mut looking = PgConnection::connect_with(&world.database.owner()).await?;
    eventually("its first reading waits", async || {
        world.clock.advance(MINUTE / 12);
        let waits: bool = sqlx::query_scalar(
            "select exists (select from pg_locks l join pg_stat_activity a using (pid)
                             where not l.granted and a.datname = current_database())",
        )
        .fetch_one(&mut looking)
        .await?;
        Ok(waits.then_some(()))
    })
    .await?;
    sqlx::query(
        "select 1 from monitored where tenant_id = $1 and router_id = $2 for update nowait",
    )
    .bind(tenant)
    .bind(router)
    .execute(&mut *changing)
    .await
    .context("the reading holds what the settings need")?;
    changing.commit().await?;
    eventually("it is told of", async || {
        let shown = isp.owner.get("/snmp/status").await?;
        Ok((shown["stats"]["online"] == 1).then_some(()))
    })
    .await?;
    looking.close().await?;
    server.stop().await?;
    site.stop().await;
    world.stop().await
}
