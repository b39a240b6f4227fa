//! The gateway behind the prompts: its keys, its test, its token.

use anyhow::{Context, Result};
use serde_json::json;

use super::world::given_world;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_tested_masked_and_kept() -> Result<()> {
    let world = given_world().await?;
    let gateways = world.owner.get("/payment-gateways").await?;
    let gateway = gateways[0].clone();
    let id = gateway["id"].as_str().context("an id")?.to_owned();
    assert_eq!(gateway["consumerKey"], "********");
    assert_eq!(gateway["isDefault"], true);

    let tested = world
        .owner
        .post(&format!("/payment-gateways/{id}/test"), &json!({}))
        .await?;
    assert_eq!(tested["success"], true, "{tested}");
    // The form sends back what it was given: the keys stay.
    world
        .owner
        .put(&format!("/payment-gateways/{id}"), &gateway)
        .await?;
    let tested = world
        .owner
        .post(&format!("/payment-gateways/{id}/test"), &json!({}))
        .await?;
    assert_eq!(tested["success"], true, "{tested}");

    assert_eq!(gateway["confirmAbove"], 1000);
    let path = format!("/payment-gateways/{id}");
    let always = json!({"confirmAbove": 0});
    world.owner.put(&path, &always).await?;
    let gateways = world.owner.get("/payment-gateways").await?;
    assert_eq!(gateways[0]["confirmAbove"], 0, "M-Pesa is always asked");
    let (status, _) = world
        .owner
        .call(
            reqwest::Method::PUT,
            &path,
            Some(&json!({"confirmAbove": -1})),
        )
        .await?;
    assert_eq!(status.as_u16(), 400);

    let wrong = json!({"consumerSecret": "wrong"});
    world
        .owner
        .put(&format!("/payment-gateways/{id}"), &wrong)
        .await?;
    let tested = world
        .owner
        .post(&format!("/payment-gateways/{id}/test"), &json!({}))
        .await?;
    assert_eq!(tested["success"], false, "{tested}");
    world.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_fetched_once_and_renewed_when_it_is_refused() -> Result<()> {
    let world = given_world().await?;
    for number in 0..3 {
        let phone = format!("07123456{number:02}");
        let customer = world.customer(&format!("payer{number}"), &phone).await?;
        let checkout = world.owner.ask_to_pay(&customer, 1_000).await?;
        world.until(&checkout, "completed").await?;
        if number == 1 {
            world.outside.mpesa.forget_tokens();
        }
    }
    assert_eq!(world.outside.mpesa.tokens_issued(), 2);
    world.end().await
}
