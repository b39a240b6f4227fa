//! A provider pays the platform ahead, by the platform's own short code.

use anyhow::Result;
use easyisp_tests::scenario::{Payer, PinResult, PushAnswer};
use easyisp_tests::world::{Provider, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::given_world;
use crate::words::{HOUR, MINUTE};

const TOP_UP: &str = "/tenant/wallet/topup";
const PHONE: &str = "254712345655";

async fn balance(isp: &Provider) -> Result<Value> {
    Ok(isp.owner.get("/tenant/me").await?["walletBalance"].clone())
}

/// As the client asks; what M-Pesa says was paid is in the wallet, once, and what was not paid never.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_is_topped_up_by_phone() -> Result<()> {
    let world = given_world().await?;
    let isp = Provider::sign_up(&world, "payer").await?;
    let (status, _) = isp
        .owner
        .call(Method::POST, TOP_UP, Some(&json!({"amount": 500})))
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "whose phone?");
    let settings = json!({"businessName": "Payer", "email": "", "location": "", "phone": PHONE});
    isp.owner.put("/tenant/settings", &settings).await?;
    for wrong in [json!({}), json!({"amount": 0}), json!({"amount": 250_001})] {
        let (status, answer) = isp.owner.call(Method::POST, TOP_UP, Some(&wrong)).await?;
        assert_eq!(
            (status, &answer["details"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!("amount"))
        );
    }
    let asked = isp.owner.post(TOP_UP, &json!({"amount": 499.5})).await?;
    assert_eq!(asked["success"], true, "{asked}");
    assert!(
        asked["checkoutRequestId"].is_string() && asked["message"].is_string(),
        "{asked}"
    );
    assert_eq!(
        asked["paymentUrl"],
        Value::Null,
        "a push has no page to open"
    );
    let (status, answer) = isp
        .owner
        .call(Method::POST, TOP_UP, Some(&json!({"amount": 500})))
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("PROMPT_OPEN"))
    );
    assert_eq!(balance(&isp).await?, 0);
    credited(&world, &isp, 500).await?;
    let paid = world.outside.mpesa.books().prompts(PHONE);
    assert_eq!(paid, 1);
    world.clock.advance(HOUR);

    // He does not type his PIN in time: nothing is credited, and he can ask anew.
    world.outside.mpesa.script(
        PHONE,
        Payer {
            result: PinResult::Code(1032),
            ..Payer::prompt()
        },
    );
    isp.owner.post(TOP_UP, &json!({"amount": 300})).await?;
    let again = json!({"amount": 200});
    world.outside.mpesa.script(PHONE, Payer::prompt());
    eventually("the cancelled one is over", async || {
        world.clock.advance(MINUTE);
        let (status, _) = isp.owner.call(Method::POST, TOP_UP, Some(&again)).await?;
        Ok((status == StatusCode::OK).then_some(()))
    })
    .await?;
    credited(&world, &isp, 700).await?;

    // M-Pesa refuses: told at once.
    let refusing = Payer {
        push: PushAnswer::Error("400.002.02".into()),
        ..Payer::prompt()
    };
    world.outside.mpesa.script(PHONE, refusing);
    let (status, _) = isp.owner.call(Method::POST, TOP_UP, Some(&again)).await?;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(balance(&isp).await?, 700);
    let trail = isp.owner.get("/audit-logs?action=TENANT_TOP_UP").await?;
    assert_eq!(trail["total"], 6, "four asked for, two credited: {trail}");
    world.stop().await
}

async fn credited(world: &World, isp: &Provider, wanted: i64) -> Result<()> {
    eventually("it is in the wallet", async || {
        world.clock.advance(MINUTE);
        Ok((balance(isp).await? == wanted).then_some(()))
    })
    .await
}

/// Where the platform has no short code, it says so.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_short_code_there_is_no_top_up() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "nobody").await?;
    let (status, answer) = isp
        .owner
        .call(Method::POST, TOP_UP, Some(&json!({"amount": 500})))
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("PLATFORM_GATEWAY")),
        "{answer}"
    );
    world.stop().await
}
