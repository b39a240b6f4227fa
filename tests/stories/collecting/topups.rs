//! A provider pays the platform ahead, by the platform's own short code.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::scenario::{Payer, PinResult, PushAnswer, QueryAnswer};
use easyisp_tests::world::{Provider, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{given_world, refused};
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

/// M-Pesa did not even say that it was asked: a person of the platform says, from the statement, whether it was paid. The
/// receipt is the evidence, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_m_pesa_never_told_of_a_person_says_once() -> Result<()> {
    let world = given_world().await?;
    let platform = super::given_platform(&world).await?;
    let isp = Provider::sign_up(&world, "silent").await?;
    let tenant = isp.tenant().await?;
    let lost = Payer {
        push: PushAnswer::Lost,
        ..Payer::prompt()
    };
    world.outside.mpesa.script(PHONE, lost);
    let wish = json!({"amount": 500, "phone": PHONE});
    isp.owner.post(TOP_UP, &wish).await?;
    let (post, conflict) = (Method::POST, StatusCode::CONFLICT);
    let all = async || -> Result<Value> {
        Ok(platform.get("/super-admin/topups").await?["topups"].take())
    };
    let path = |topup: &Value| -> Result<String> {
        let id = topup["id"].as_str().context("an id")?;
        Ok(format!("/super-admin/tenants/{tenant}/topups/{id}/outcome"))
    };
    let paid = |receipt: &str| json!({"paid": true, "receipt": receipt});
    let first = all().await?[0].clone();
    assert_eq!(
        (&first["state"], &first["businessName"], &first["amount"]),
        (&json!("PENDING"), &json!("silent"), &json!(500)),
        "{first}"
    );
    let first = path(&first)?;
    platform.confirm().await?;
    let yes = paid("SJK4H7L2PQ");
    refused(
        &platform,
        (post.clone(), &first),
        yes.clone(),
        conflict,
        "TOPUP_WAITING",
    )
    .await?;
    unknown(&world, &all, 1).await?;
    assert_eq!(balance(&isp).await?, 0);

    refused(
        &isp.owner,
        (post.clone(), &first),
        yes.clone(),
        StatusCode::FORBIDDEN,
        "PLATFORM_ONLY",
    )
    .await?;
    platform.confirm().await?;
    for wrong in [json!({"paid": true}), paid("no receipt")] {
        refused(
            &platform,
            (post.clone(), &first),
            wrong,
            StatusCode::BAD_REQUEST,
            "",
        )
        .await?;
    }
    let done = platform.post(&first, &yes).await?;
    assert_eq!(
        (&done["state"], &done["receipt"]),
        (&json!("DONE"), &json!("SJK4H7L2PQ")),
        "{done}"
    );
    assert!(
        done["settledBy"].is_string() && done["settledAt"].is_string(),
        "{done}"
    );
    assert_eq!(balance(&isp).await?, 500);
    for again in [yes.clone(), json!({"paid": false})] {
        refused(
            &platform,
            (post.clone(), &first),
            again,
            conflict,
            "TOPUP_KNOWN",
        )
        .await?;
    }

    // The same receipt does not pay another one; that one was not paid.
    isp.owner.post(TOP_UP, &wish).await?;
    let second = path(&unknown(&world, &all, 1).await?)?;
    platform.confirm().await?;
    refused(
        &platform,
        (post.clone(), &second),
        yes,
        conflict,
        "RECEIPT_USED",
    )
    .await?;
    let none = platform.post(&second, &json!({"paid": false})).await?;
    assert_eq!(
        (&none["state"], &none["receipt"]),
        (&json!("FAILED"), &Value::Null)
    );
    assert_eq!(balance(&isp).await?, 500);
    let waiting = platform.get("/super-admin/topups?state=UNKNOWN").await?;
    assert_eq!(waiting["topups"], json!([]));
    let trail = isp.owner.get("/audit-logs?action=TOP_UP_SETTLE").await?;
    assert_eq!(trail["total"], 2, "{trail}");
    world.stop().await
}

/// M-Pesa says that nobody typed a PIN, and takes the money all the same: it is asked on, and credits it. Who does not
/// want to wait for that asks for another prompt; that one is asked after too.
#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_is_typed_late_is_not_lost_and_stops_nobody() -> Result<()> {
    let world = given_world().await?;
    let platform = super::given_platform(&world).await?;
    let isp = Provider::sign_up(&world, "late").await?;
    let says = |query: QueryAnswer| Payer {
        query,
        ..Payer::prompt()
    };
    let mpesa = &world.outside.mpesa;
    mpesa.script(PHONE, says(QueryAnswer::Code(1037)));
    let wish = json!({"amount": 500, "phone": PHONE});
    let asks = async || isp.owner.call(Method::POST, TOP_UP, Some(&wish)).await;
    assert_eq!(asks().await?.0, StatusCode::OK);
    let first = async || -> Result<Value> {
        let mut all = platform.get("/super-admin/topups").await?["topups"].take();
        let all = all.as_array_mut().context("a list")?;
        Ok(all.pop().unwrap_or_default())
    };
    eventually("nobody typed his PIN", async || {
        world.clock.advance(Duration::from_secs(5));
        Ok(first().await?["message"].is_string().then_some(()))
    })
    .await?;
    assert_eq!(first().await?["state"], "PENDING");
    // Another one, of which M-Pesa says nothing at all: for five minutes it is the one that is open.
    mpesa.script(PHONE, says(QueryAnswer::Error("500.003.02".into())));
    assert_eq!(asks().await?.0, StatusCode::OK);
    let (status, answer) = asks().await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("PROMPT_OPEN"))
    );
    world.clock.advance(MINUTE * 6);
    assert_eq!(asks().await?.0, StatusCode::OK, "nobody waits for M-Pesa");
    assert_eq!(balance(&isp).await?, 0);
    mpesa.script(PHONE, Payer::prompt());
    credited(&world, &isp, 1500).await?;
    assert_eq!(mpesa.books().prompts(PHONE), 3);
    world.stop().await
}

/// Waits until so many are for a person; the newest of them.
async fn unknown(
    world: &World,
    all: &impl AsyncFn() -> Result<Value>,
    wanted: usize,
) -> Result<Value> {
    eventually("nobody knows", async || {
        world.clock.advance(MINUTE);
        let all = all().await?;
        let topups = all.as_array().into_iter().flatten();
        let unknown: Vec<&Value> = topups.filter(|one| one["state"] == "UNKNOWN").collect();
        Ok((unknown.len() == wanted).then(|| unknown[0].clone()))
    })
    .await
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
