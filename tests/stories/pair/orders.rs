//! An operator's orders at a site with two agents, of which one alone knows the session that is meant.

use anyhow::{Context, Result};
use easyisp_shared::id::TenantId;
use easyisp_tests::router::session::Cause;
use easyisp_tests::world::{Pair, Provider, Site, World, eventually, soon};
use reqwest::Method;
use serde_json::json;

use super::{FIRST, SECOND, device, one_device};
use crate::words::{DAY, MINUTE};

/// Whichever agent was told of a session, an operator ends it at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_a_session_that_either_agent_knows_alone() -> Result<()> {
    let world = World::start().await?;
    let isp = one_device(&world, "eitherends").await?;
    let pair = Site::open_pair(&world, &isp).await?;
    pair.know("jane").await?;
    for (agent, number) in [(FIRST, 1), (SECOND, 2)] {
        let online = device(&pair, agent, number).dial().await.online();
        soon("the Start is answered", online.started()).await?;
        let session = shown(&pair, &isp).await?;
        let path = format!("/sessions/{session}");
        let (status, answer) = isp.owner.call(Method::DELETE, &path, None).await?;
        assert_eq!(status.as_u16(), 200, "{answer}");
        assert_eq!(answer["message"], "1 session was ended.", "{agent}");
        assert_eq!(soon("it ends", online.ended()).await?.0, Cause::AdminReset);
    }
    pair.stop().await;
    world.stop().await
}

/// The agent that knows a session is away when it is to end: the other one finds nobody, and the order waits
/// until the first is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_the_agent_that_has_the_session() -> Result<()> {
    let world = World::start().await?;
    let isp = one_device(&world, "waitsfor").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    pair.know("jane").await?;
    let online = device(&pair, SECOND, 1).dial().await.online();
    soon("the Start is answered", online.started()).await?;
    let session = shown(&pair, &isp).await?;
    pair.stop_second().await;
    let path = format!("/sessions/{session}");
    eventually("the second is known to be away", async || {
        let (_, answer) = isp.owner.call(Method::DELETE, &path, None).await?;
        let message = answer["message"].as_str().unwrap_or_default();
        Ok(message
            .contains("an agent of this site is away")
            .then_some(()))
    })
    .await?;
    eventually("the first finds nobody", async || {
        let orders = orders(&world, &isp).await?;
        let waits = |order: &(String, i32)| *order == ("waits".to_owned(), 1);
        Ok((!orders.is_empty() && orders.iter().all(waits)).then_some(()))
    })
    .await?;
    world.clock.advance(10 * MINUTE);
    assert!(online.session().is_some(), "nobody asked the router");
    pair.start_second().await?;
    assert_eq!(soon("it ends", online.ended()).await?.0, Cause::AdminReset);
    eventually("the order is done", async || {
        let orders = orders(&world, &isp).await?;
        let done = |(result, _): &(String, i32)| result == "Done for 1 session.";
        Ok(orders.iter().any(done).then_some(()))
    })
    .await?;

    // Of one that nobody came back for in time the next order says so.
    pair.stop_second().await;
    let found = isp.owner.get("/customers?search=jane").await?;
    let jane = found["customers"][0]["id"].as_str().context("jane")?;
    let path = format!("/customers/{jane}/disconnect");
    let disconnect = async || {
        let (_, answer) = isp
            .owner
            .call(Method::POST, &path, Some(&json!({})))
            .await?;
        let message = answer["message"].as_str().unwrap_or_default();
        anyhow::Ok(message.contains("an agent of this site is away"))
    };
    eventually("the second is known to be away", async || {
        Ok(disconnect().await?.then_some(()))
    })
    .await?;
    eventually("the first found nobody", async || {
        let orders = orders(&world, &isp).await?;
        let open = |(result, found): &(String, i32)| result == "waits" && *found == 0;
        Ok((!orders.iter().any(open)).then_some(()))
    })
    .await?;
    world.clock.advance(DAY + MINUTE);
    eventually("it is given up", async || {
        disconnect().await?;
        let orders = orders(&world, &isp).await?;
        let given_up = |(result, _): &(String, i32)| result.contains("did not come back in time");
        Ok(orders.iter().any(given_up).then_some(()))
    })
    .await?;
    pair.stop().await;
    world.stop().await
}

/// The id of the session that is going on, once the cloud knows it.
async fn shown(pair: &Pair, isp: &Provider) -> Result<String> {
    pair.site.reported().await?;
    pair.second_reported().await?;
    eventually("the cloud shows the session", async || {
        let sessions = isp.sessions_of("jane").await?;
        let open = |row: &&serde_json::Value| row["status"] == "active";
        let id = sessions.iter().find(open).map(|row| row["id"].clone());
        Ok(id.and_then(|id| id.as_str().map(str::to_owned)))
    })
    .await
}

/// The tenant's orders: what came of each, and how many agents found nothing to do for it.
async fn orders(world: &World, isp: &Provider) -> Result<Vec<(String, i32)>> {
    let me = isp.owner.get("/tenant/me").await?;
    let tenant = me["id"].as_str().context("the tenant's id")?.parse()?;
    let mut tx = world.db().begin(TenantId(tenant)).await?;
    let orders = sqlx::query_as(
        "select coalesce(result, 'waits'), cardinality(nothing_there) from commands order by issued_at",
    );
    Ok(orders.fetch_all(&mut *tx).await?)
}
