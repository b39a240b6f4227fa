//! A box is stolen: the operator ends its rights.

use anyhow::{Context, Result, ensure};
use easyisp_agent::sync::LinkStatus;
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::json;

use crate::words::DAY;

/// The box is cut off while it is connected and stays so; at the site logins go on from what it knows, and
/// the list of agents no longer names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_box_is_cut_off_and_serves_on_from_what_it_knows() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "robbed").await?;
    let site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(DAY);
    isp.add_subscriber("paid", "254712345610", until).await?;
    site.knows("paid", "at all", |_| true).await?;
    let sites = isp.owner.get("/sites").await?;
    let shown = &sites["sites"][0];
    let (id, agent) = (shown["id"].as_str(), shown["agents"][0]["id"].as_str());
    let (id, agent) = (id.context("a site")?, agent.context("an agent")?);
    ensure!(shown["agents"][0]["clonedAt"].is_null(), "{shown}");

    let path = format!("/sites/{id}/agents/{agent}/revoke");
    isp.owner.post(&path, &json!({})).await?;
    isp.owner.post(&path, &json!({})).await?;
    eventually("the agent is told", async || {
        let link = site.agent().overview().link.clone();
        let link = link.context("the agent has a link")?;
        let told = matches!(&*link.borrow(), LinkStatus::Down { reason, .. } if reason.contains("revoked"));
        Ok(told.then_some(()))
    })
    .await?;
    site.dial("paid").await.online();
    let shown = isp.owner.get(&format!("/sites/{id}")).await?;
    ensure!(shown["agents"] == json!([]), "{shown}");

    site.stop().await;
    world.stop().await
}
