//! A router that comes and goes.

use anyhow::{Result, ensure};
use easyisp_tests::world::{Provider, Site, World};
use serde_json::json;
use uuid::Uuid;

use super::{Box, given_watch, minutes, names, pass, told};

const RULE: &str = "/snmp/alert-rules/ROUTER_DOWN";

/// Lets time pass until the agent has told that the router answers, or does not, and a look has seen it.
async fn seen(world: &World, isp: &Provider, router: &str, answers: bool) -> Result<()> {
    let (tenant, id) = (isp.tenant().await?, router.parse::<Uuid>()?);
    for _ in 0..60 {
        let mut tx = world.db().begin(tenant).await?;
        let told: Option<bool> = sqlx::query_scalar(
            "select api_problem is null from routers where id = $1 and api_asked_at is not null",
        )
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
        drop(tx);
        pass(world, isp, Box::On).await?;
        if told == Some(answers) {
            for _ in 0..2 {
                pass(world, isp, Box::On).await?;
            }
            return Ok(());
        }
    }
    anyhow::bail!("half an hour, and it is not told that it answers: {answers}")
}

/// What comes back within the delay is told to nobody; what was told and comes back before its all-clear is the same
/// alert, counted; the all-clear comes once, when it lasts.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_comes_and_goes_is_one_alert_and_one_all_clear() -> Result<()> {
    let (world, isp) = given_watch("flaps").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let router = site.router_id.as_str();
    let patient = json!({"delaySecs": 3_600, "clearSecs": 3_600});
    isp.owner.put(RULE, &patient).await?;
    seen(&world, &isp, router, true).await?;
    for _ in 0..2 {
        site.router.unplug(true);
        seen(&world, &isp, router, false).await?;
        site.router.unplug(false);
        seen(&world, &isp, router, true).await?;
    }
    let all = isp.owner.get("/snmp/alerts?all=true").await?;
    assert_eq!(all["alerts"], json!([]), "within its delay: {all}");

    site.router.unplug(true);
    seen(&world, &isp, router, false).await?;
    let eager = json!({"delaySecs": 60, "clearSecs": 3_600});
    isp.owner.put(RULE, &eager).await?;
    let shown = minutes(&world, &isp, Box::On, "it is told", |shown| {
        names(shown) == ["ROUTER_DOWN"]
    })
    .await?;
    let id = shown["alerts"][0]["id"].clone();
    for flaps in 1..=2 {
        site.router.unplug(false);
        seen(&world, &isp, router, true).await?;
        site.router.unplug(true);
        minutes(&world, &isp, Box::On, "it is counted", |shown| {
            shown["alerts"][0]["flaps"] == flaps
        })
        .await?;
    }
    let all = isp.owner.get("/snmp/alerts?all=true").await?;
    assert_eq!(all["alerts"].as_array().map(Vec::len), Some(1), "{all}");
    assert_eq!(
        (&all["alerts"][0]["id"], &all["alerts"][0]["clearedAt"]),
        (&id, &json!(null)),
        "{all}"
    );
    assert_eq!(told(&world).len(), 1, "{:?}", told(&world));

    let usual = json!({"delaySecs": 60, "clearSecs": 60});
    isp.owner.put(RULE, &usual).await?;
    site.router.unplug(false);
    minutes(&world, &isp, Box::On, "it is over", |shown| {
        names(shown).is_empty()
    })
    .await?;
    let texts = super::texts_of(&world, 2).await?;
    ensure!(texts[1].contains("it came back 2 times"), "{texts:?}");
    let all = isp.owner.get("/snmp/alerts?all=true").await?;
    assert_eq!(all["alerts"].as_array().map(Vec::len), Some(1), "{all}");
    site.stop().await;
    world.stop().await
}
