//! Vouchers that a site holds: what it tells of them, and what another site tells.

use anyhow::{Context, Result};
use easyisp_cloud::sites::agents::Agent;
use easyisp_cloud::sites::reports::{Report, Unusable};
use easyisp_shared::id::{AgentId, RouterId, SiteId};
use easyisp_shared::net::Mac;
use easyisp_shared::wire::up::RedemptionV1;
use easyisp_shared::wire::{Up, UpKind};
use serde_json::json;
use uuid::Uuid;

use super::{World, given_world, package, text};

/// A site lets in by what it holds. One that never held a voucher cannot have let anybody in by it.
#[tokio::test]
async fn only_who_held_a_voucher_tells_of_its_use() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let (main, hill) = (
        world.site().await?,
        owner.post("/sites", &json!({"name": "Hill"})).await?,
    );
    let hill: SiteId = text(&hill["id"]).parse()?;
    let mut hour = package("Hour");
    hour["type"] = json!("HOTSPOT");
    let made = owner.post("/packages", &hour).await?;
    let batch = json!({"packageId": made["id"], "count": 1, "siteId": main});
    let batch = owner.post("/vouchers", &batch).await?;
    let voucher = text(&batch["vouchers"][0]["id"]).to_owned();

    let elsewhere = report(&world, hill, &voucher).await?;
    assert_eq!(elsewhere.len(), 1);
    let why = &elsewhere.first().context("a reason")?.why;
    assert!(why.contains("never held"), "{why}");
    assert_eq!(status(&world).await?, "AVAILABLE");

    assert_eq!(report(&world, main, &voucher).await?, []);
    assert_eq!(status(&world).await?, "USED");
    world.stop().await
}

/// Of the only voucher.
async fn status(world: &World) -> Result<String> {
    let mut tx = world.cloud.app.db.begin(world.tenant).await?;
    let status = sqlx::query_scalar("select status from vouchers where tenant_id = $1");
    Ok(status.bind(world.tenant).fetch_one(&mut *tx).await?)
}

async fn report(world: &World, site: SiteId, voucher: &str) -> Result<Vec<Unusable>> {
    let app = &world.cloud.app;
    let appliers = easyisp_cloud::appliers(&app.secrets);
    let apply = appliers.of(UpKind::Redemption).context("it is taken")?;
    let agent = Agent {
        tenant: world.tenant,
        site,
        id: AgentId(Uuid::from_u128(1)),
    };
    let told = Report {
        sequence: 1,
        body: Up::Redemption(RedemptionV1 {
            voucher: voucher.parse()?,
            at: world.clock.now(),
            router: RouterId(Uuid::nil()),
            mac: Mac::parse("AA:BB:CC:00:00:01"),
        }),
    };
    let mut tx = app.db.begin(world.tenant).await?;
    let unusable = apply(&mut tx, &agent, &[told], world.clock.now()).await?;
    tx.commit().await?;
    Ok(unusable)
}
