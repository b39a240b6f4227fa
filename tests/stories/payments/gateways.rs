//! The gateway behind the prompts: its keys, its test, its token.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::mpesa::{App, Kind};
use easyisp_tests::scenario::{Callback, Payer};
use reqwest::Method;
use serde_json::{Value, json};

use super::world::{PHONE, World, given_world};

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

/// A bank's paybill: every payer sees the bank's account, so nothing but the prompt says whose the money is. The callback
/// credits, our own question alone credits, and the same amount from the same phone is paid twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_banks_paybill_collects_under_the_banks_account() -> Result<()> {
    let world = given_world().await?;
    let bank = App {
        kind: Kind::Bank,
        ..App::paybill("522522")
    };
    world.outside.mpesa.add_app(bank.clone());
    let mut asked = gateway(&bank, "BANK");
    let (status, answer) = world
        .owner
        .call(Method::POST, "/payment-gateways", Some(&asked))
        .await?;
    assert_eq!(status.as_u16(), 400, "{answer}");
    assert_eq!(answer["details"][0]["field"], "accountNumber", "{answer}");
    asked["accountNumber"] = json!(ACCOUNT);
    asked["isDefault"] = json!(true);
    let id = added(&world, &asked).await?;
    let tested = world
        .owner
        .post(&format!("/payment-gateways/{id}/test"), &json!({}))
        .await?;
    assert_eq!(tested["success"], true, "{tested}");

    let phone = "0712345601";
    let amina = world.customer("amina", phone).await?;
    let begins = world.expires(&amina).await?;
    for _ in 0..2 {
        let checkout = world.owner.ask_to_pay(&amina, 1_000).await?;
        let paid = world.until(&checkout, "completed").await?;
        let known = world.transaction(&checkout).await?;
        assert_eq!(known.shortcode, "522522");
        assert_eq!(known.account_reference, ACCOUNT);
        assert_eq!(paid["receipt"].as_str(), known.receipt());
        world.clock.advance(Duration::from_secs(61));
    }
    assert_eq!(world.credits().await?, 2);
    assert_eq!(world.wallet(&amina).await?, 0);
    assert!(world.expires(&amina).await? > begins);

    world.outside.mpesa.script(
        PHONE,
        Payer {
            callback: Callback::Never,
            ..Payer::prompt()
        },
    );
    let baraka = world.customer("baraka", PHONE).await?;
    let checkout = world.owner.ask_to_pay(&baraka, 1_000).await?;
    world.clock.advance(Duration::from_secs(10));
    world.until(&checkout, "completed").await?;
    assert_eq!(world.credits().await?, 3);
    assert_eq!(world.count("select count(*) from periods").await?, 3);
    let reviews = "select count(*) from intents where needs_review is not null";
    assert_eq!(world.count(reviews).await?, 0);

    // More than a prompt shows is cut.
    let long = json!({"accountNumber": "0112345678901234567890"});
    let path = format!("/payment-gateways/{id}");
    world.owner.put(&path, &long).await?;
    let checkout = world.owner.ask_to_pay(&amina, 1_000).await?;
    world.until(&checkout, "completed").await?;
    let known = world.transaction(&checkout).await?;
    assert_eq!(known.account_reference, "01123456789012345678");
    world.end().await
}

/// Of several that would do, prompts come from the default; what is meant for how somebody is connected comes before it. When
/// the default goes, the oldest that is left is it.
#[tokio::test(flavor = "multi_thread")]
async fn the_default_asks_and_the_oldest_follows_it() -> Result<()> {
    let world = given_world().await?;
    let first = world.owner.get("/payment-gateways").await?[0]["id"].clone();
    let first = first.as_str().context("an id")?.to_owned();
    let mut made = Vec::new();
    for code in ["600011", "600012"] {
        let app = App::paybill(code);
        world.outside.mpesa.add_app(app.clone());
        world.clock.advance(Duration::from_secs(1));
        made.push(added(&world, &gateway(&app, "PAYBILL")).await?);
    }
    assert_eq!(defaults(&world).await?, [first.as_str()]);
    assert_eq!(asks(&world, 1).await?, "174379");

    world
        .owner
        .post(
            &format!("/payment-gateways/{}/default", made[1]),
            &json!({}),
        )
        .await?;
    assert_eq!(defaults(&world).await?, [made[1].as_str()]);
    assert_eq!(asks(&world, 2).await?, "600012");

    // He is at PPPoE: a default that is not meant for it gives way to the oldest that is.
    let path = format!("/payment-gateways/{}", made[1]);
    let hotspot = json!({"forPppoe": false});
    world.owner.put(&path, &hotspot).await?;
    assert_eq!(asks(&world, 3).await?, "174379");
    let both = json!({"forPppoe": true});
    world.owner.put(&path, &both).await?;
    assert_eq!(asks(&world, 4).await?, "600012");

    // One that is not the default goes, and nothing else changes; the default goes, and the oldest is it.
    let (status, answer) = world
        .owner
        .call(
            Method::DELETE,
            &format!("/payment-gateways/{}", made[0]),
            None,
        )
        .await?;
    assert!(status.is_success(), "{answer}");
    assert_eq!(defaults(&world).await?, [made[1].as_str()]);
    world.clock.advance(Duration::from_secs(1));
    let newest = App::paybill("600013");
    world.outside.mpesa.add_app(newest.clone());
    added(&world, &gateway(&newest, "PAYBILL")).await?;
    let (status, answer) = world.owner.call(Method::DELETE, &path, None).await?;
    assert!(status.is_success(), "{answer}");
    assert_eq!(defaults(&world).await?, [first.as_str()]);
    assert_eq!(asks(&world, 5).await?, "174379");
    world.end().await
}

/// The bank's own account behind its paybill, as long as a prompt shows.
const ACCOUNT: &str = "01123456789012345678";

fn gateway(app: &App, kind: &str) -> Value {
    json!({"type": "MPESA_API", "subType": kind, "shortcode": app.shortcode, "consumerKey": app.key,
        "consumerSecret": app.secret, "passkey": app.passkey, "env": "sandbox"})
}

async fn added(world: &World, gateway: &Value) -> Result<String> {
    let made = world.owner.post("/payment-gateways", gateway).await?;
    Ok(made["id"].as_str().context("an id")?.to_owned())
}

/// Every gateway that says it is the default.
async fn defaults(world: &World) -> Result<Vec<String>> {
    let listed = world.owner.get("/payment-gateways").await?;
    let all = listed.as_array().context("a list")?;
    let defaults = all.iter().filter(|gateway| gateway["isDefault"] == true);
    Ok(defaults
        .filter_map(|gateway| gateway["id"].as_str().map(str::to_owned))
        .collect())
}

/// Asks somebody new to pay, and he does: the short code that his prompt came from.
async fn asks(world: &World, number: u8) -> Result<String> {
    let phone = format!("07123457{number:02}");
    let customer = world.customer(&format!("payer{number}"), &phone).await?;
    let checkout = world.owner.ask_to_pay(&customer, 1_000).await?;
    world.until(&checkout, "completed").await?;
    Ok(world.transaction(&checkout).await?.shortcode)
}
