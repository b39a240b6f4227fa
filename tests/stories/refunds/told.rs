//! A refund of which nobody knows what became of it is told to people.

use anyhow::Result;
use easyisp_tests::scenario::{Callback, Errand, PushAnswer};
use easyisp_tests::world::{World, eventually};
use serde_json::{Value, json};

use super::{Shop, errand, given};
use crate::c2b::count;
use crate::words::MINUTE;

/// For an hour it is nobody's worry; then it is told once, and once more when M-Pesa has said what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_hour_without_a_word_is_told_and_so_is_its_end() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let mpesa = &world.outside.mpesa;
    let payment = shop.paid(&world, "2000").await?;
    mpesa.script_errands(errand(PushAnswer::AcceptedThenSilence, Callback::Never));
    let part = json!({"amount": 400, "service": "KEEP", "reason": "Too much"});
    let refund = shop.sends_back(&payment, part).await?;
    shop.until(&refund, "UNKNOWN").await?;

    for minutes in [15, 15, 15, 14] {
        world.clock.advance(minutes * MINUTE);
        looked(&world, &shop).await?;
    }
    let shown = shop.isp.owner.get("/snmp/alerts").await?;
    assert_eq!(shown["alerts"], json!([]), "{shown}");
    world.clock.advance(2 * MINUTE);
    let told = eventually("it is told", async || {
        let shown = shop.isp.owner.get("/snmp/alerts").await?;
        let alert = shown["alerts"][0].clone();
        Ok((!alert.is_null()).then_some(alert))
    })
    .await?;
    assert_eq!(
        (&told["rule"], &told["device"], &told["subject"]),
        (&json!("PAYOUT_UNKNOWN"), &json!("Refund"), &json!("400")),
        "{told}"
    );
    assert_eq!(
        (&told["siteId"], &told["severity"]),
        (&Value::Null, &json!("warning"))
    );

    mpesa.script_errands(Errand::default());
    eventually("M-Pesa says what became of it", async || {
        world.clock.advance(10 * MINUTE);
        let shown = shop
            .isp
            .owner
            .get(&format!("/payments/refunds/{refund}"))
            .await?;
        Ok((shown["state"] == "DONE").then_some(()))
    })
    .await?;
    let over = eventually("it is over", async || {
        world.clock.advance(MINUTE);
        let shown = shop.isp.owner.get("/snmp/alerts?all=true").await?;
        let alert = shown["alerts"][0].clone();
        Ok(alert["clearedAt"].is_string().then_some(shown))
    })
    .await?;
    assert_eq!(
        over["alerts"].as_array().map(Vec::len),
        Some(1),
        "once: {over}"
    );
    world.stop().await
}

/// Waits until somebody looked at this moment.
async fn looked(world: &World, shop: &Shop) -> Result<()> {
    let sql = "select extract(epoch from looked_at)::bigint from alert_looks";
    let now = world.clock.now().secs();
    eventually("somebody looks", async || {
        Ok((count(world, &shop.isp, sql).await? >= now).then_some(()))
    })
    .await
}
