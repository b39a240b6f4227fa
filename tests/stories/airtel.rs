//! A second provider: a payer at Airtel Money pays by prompt, and his money moves exactly once, on nobody's word but
//! Airtel's own answer to our question.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::airtel::{Airtel, End, ID, Mood, SECRET, receipt};
use easyisp_tests::operator::{Operator, http_client};
use easyisp_tests::world::{PASSWORD, Provider, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::c2b::{count, worked};
use crate::words::DAY;

/// A number of Airtel's, and one of Safaricom's.
const AIRTEL: &str = "0733123456";
const SAFARICOM: &str = "0712345601";

struct Shop {
    world: World,
    isp: Provider,
    gateway: String,
    /// Where Airtel calls back.
    door: String,
    zawadi: String,
}

/// A provider with a paybill and an application at Airtel, and a customer with a number of Airtel's whose time is over.
async fn given() -> Result<Shop> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    isp.subscribe(&world).await?;
    let gateway = json!({"type": "AIRTEL_MONEY", "name": "Airtel", "consumerKey": ID, "consumerSecret": SECRET,
        "env": "sandbox"});
    let gateway = isp.owner.post("/payment-gateways", &gateway).await?;
    assert_eq!(gateway["isDefault"], false, "{gateway}");
    let door = gateway["callbackUrl"].as_str().context("an address")?;
    let before = world.clock.now().minus(DAY);
    let zawadi = isp.add_subscriber("zawadi", AIRTEL, before).await?;
    Ok(Shop {
        gateway: gateway["id"].as_str().context("an id")?.to_owned(),
        door: door.to_owned(),
        zawadi,
        isp,
        world,
    })
}

impl Shop {
    /// Asks for a month; Airtel's name of the prompt.
    async fn asks(&self) -> Result<String> {
        self.isp.owner.ask_to_pay(&self.zawadi, 1_000).await
    }

    async fn calls_back(&self, told: &Value) -> Result<StatusCode> {
        let answer = http_client().post(&self.door).json(told).send().await?;
        Ok(answer.status())
    }

    async fn status(&self, prompt: &str) -> Result<Value> {
        let path = format!("/payments/mpesa/status/{prompt}");
        self.isp.owner.get(&path).await
    }

    async fn until(&self, prompt: &str, status: &str) -> Result<Value> {
        eventually(&format!("the prompt is {status}"), async || {
            let told = self.status(prompt).await?;
            Ok((told["status"] == status).then_some(told))
        })
        .await
    }

    async fn credits(&self) -> Result<i64> {
        let sum = "select count(*) from payments where method = 'AIRTEL' and status = 'completed'";
        count(&self.world, &self.isp, sum).await
    }

    async fn close(self) -> Result<()> {
        assert_eq!(self.world.book_findings().await?, Vec::<String>::new());
        self.world.stop().await
    }
}

/// A call-back makes us ask and nothing else: a made-up one credits nobody, a true one that comes five times credits
/// once, with the receipt that Airtel names.
#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_at_airtel_becomes_time_once() -> Result<()> {
    let shop = given().await?;
    let prompt = shop.asks().await?;
    let asked = shop.world.outside.airtel.prompts_of("733123456");
    let [(name, seen)] = asked.as_slice() else {
        anyhow::bail!("one prompt: {asked:?}");
    };
    assert_eq!((name, seen.amount), (&prompt, 1_000));
    let account = shop.isp.customer(&shop.zawadi).await?["accountNumber"].clone();
    let account = account.as_str().context("an account number")?.to_owned();
    assert!(seen.reference.starts_with(&account), "{seen:?}");

    let lie = Airtel::call_back(&prompt, End::Paid);
    assert_eq!(shop.calls_back(&lie).await?, StatusCode::OK);
    worked(&shop.world, &shop.isp).await?;
    let pending = shop.until(&prompt, "pending").await?;
    assert_eq!(
        (shop.credits().await?, &pending["receipt"]),
        (0, &Value::Null)
    );

    // So soon after a question none is asked; the due work does it.
    shop.world.outside.airtel.end(&prompt, End::Paid);
    for _ in 0..5 {
        shop.calls_back(&lie).await?;
    }
    worked(&shop.world, &shop.isp).await?;
    shop.world.clock.advance(Duration::from_secs(10));
    let paid = shop.until(&prompt, "completed").await?;
    assert_eq!(paid["receipt"], receipt(&prompt).as_str());
    shop.world.clock.advance(Duration::from_secs(300));
    shop.calls_back(&lie).await?;
    worked(&shop.world, &shop.isp).await?;
    assert_eq!(shop.credits().await?, 1);
    let customer = shop.isp.customer(&shop.zawadi).await?;
    assert_eq!(
        (&customer["status"], &customer["walletBalance"]),
        (&json!("ACTIVE"), &json!(0))
    );

    let owner = &shop.isp.owner;
    let list = owner.get("/payments/mpesa?search=zawadi").await?;
    assert_eq!(list["total"], 1, "{list}");
    let trial = owner.get("/finance/trial-balance").await?;
    let accounts = trial["accounts"].as_array().context("accounts")?;
    let at_airtel = accounts.iter().find(|account| account["code"] == "1011");
    assert_eq!(at_airtel.context("1011")?["debit"], 1_000, "{trial}");
    let reviews = "select count(*) from intents where needs_review is not null";
    assert_eq!(count(&shop.world, &shop.isp, reviews).await?, 0);
    shop.close().await
}

/// The phone decides where is asked, unless the request names a gateway: a number may have moved to another network.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_is_asked_where_his_wallet_is() -> Result<()> {
    let shop = given().await?;
    let before = shop.world.clock.now().minus(DAY);
    let amina = shop.isp.add_subscriber("amina", SAFARICOM, before).await?;
    shop.isp.owner.ask_to_pay(&amina, 1_000).await?;
    assert_eq!(shop.world.outside.airtel.calls().0, 0);
    let moved = shop
        .isp
        .add_subscriber("moved", "0712345602", before)
        .await?;
    let wish = json!({"customerId": moved, "amount": 1_000, "gatewayId": shop.gateway});
    shop.isp.owner.post("/payments/mpesa/stk", &wish).await?;
    assert_eq!(shop.world.outside.airtel.prompts_of("712345602").len(), 1);
    // One that was taken out of use is not asked through.
    let path = format!("/payment-gateways/{}", shop.gateway);
    let (status, answer) = shop.isp.owner.call(Method::DELETE, &path, None).await?;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let other = shop
        .isp
        .add_subscriber("other", "0712345603", before)
        .await?;
    let wish = json!({"customerId": other, "amount": 1_000, "gatewayId": shop.gateway});
    let (status, answer) = shop
        .isp
        .owner
        .call(Method::POST, "/payments/mpesa/stk", Some(&wish))
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("NO_GATEWAY"))
    );
    // A number of Airtel's is asked through the paybill, where there is nothing else.
    let zawadi = shop.asks().await?;
    assert!(zawadi.starts_with("ws_CO"), "{zawadi}");
    shop.close().await
}

/// The answer to a prompt is lost, and no call-back ever comes: its name is ours, so it is asked after, and never asked
/// for again. What the payer declines ends, in words he understands; a busy Airtel takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_after_and_not_repeated() -> Result<()> {
    let shop = given().await?;
    let airtel = shop.world.outside.airtel.clone();
    airtel.script([Mood::LosesTheAnswer, Mood::Down, Mood::Refuses]);
    let prompt = shop.asks().await?;
    assert_eq!(airtel.prompts_of("733123456").len(), 1);
    airtel.end(&prompt, End::Paid);
    shop.world.clock.advance(Duration::from_secs(20));
    shop.until(&prompt, "completed").await?;
    assert_eq!((airtel.calls().0, shop.credits().await?), (1, 1));

    let wish = json!({"customerId": shop.zawadi, "amount": 1_000});
    for (code, status) in [
        ("UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
        ("", StatusCode::BAD_GATEWAY),
    ] {
        let (got, answer) = shop
            .isp
            .owner
            .call(Method::POST, "/payments/mpesa/stk", Some(&wish))
            .await?;
        assert_eq!(got, status, "{code} {answer}");
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("Airtel Money "), "{answer}");
    }
    // A gateway that gave up may have passed it on: it is asked after too.
    airtel.script([Mood::GivesUp]);
    shop.world.clock.advance(Duration::from_secs(700));
    let prompt = shop.asks().await?;
    airtel.end(&prompt, End::Paid);
    shop.world.clock.advance(Duration::from_secs(20));
    shop.until(&prompt, "completed").await?;
    assert_eq!(shop.credits().await?, 2);

    shop.world.clock.advance(Duration::from_secs(700));
    let prompt = shop.asks().await?;
    airtel.end(&prompt, End::Failed(1007));
    shop.world.clock.advance(Duration::from_secs(20));
    let failed = shop.until(&prompt, "failed").await?;
    assert_eq!(
        failed["message"],
        "There is not enough money in the Airtel Money account."
    );
    assert_eq!(shop.credits().await?, 2);
    shop.close().await
}

/// What only M-Pesa has is refused; keys are tried; a wrong one is said; nobody hears of the keys; a stranger's call-back
/// finds no door.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_at_airtel_is_set_up_and_tried() -> Result<()> {
    let shop = given().await?;
    let owner = &shop.isp.owner;
    let path = format!("/payment-gateways/{}", shop.gateway);
    let said = owner.post(&format!("{path}/test"), &json!({})).await?;
    assert_eq!(
        (&said["success"], &said["message"]),
        (
            &json!(true),
            &json!("Airtel Money accepts the consumer key and secret")
        )
    );
    owner
        .put(&path, &json!({"consumerSecret": "wrong"}))
        .await?;
    let said = owner.post(&format!("{path}/test"), &json!({})).await?;
    assert_eq!(said["success"], false, "{said}");
    assert!(
        said["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("Airtel Money does not accept")),
        "{said}"
    );
    for (field, value) in [
        ("pullEnabled", json!(true)),
        ("initiatorName", json!("me")),
        ("c2bVersion", json!("v1")),
        ("matchSuffix", json!(true)),
        ("type", json!("MPESA_API")),
    ] {
        let (status, answer) = owner
            .call(Method::PUT, &path, Some(&json!({field: value})))
            .await?;
        assert_eq!(
            (status, &answer["details"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{answer}"
        );
    }
    let (status, answer) = owner
        .call(
            Method::POST,
            &format!("{path}/register-c2b"),
            Some(&json!({})),
        )
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("MPESA_ONLY"))
    );
    let (status, answer) = owner
        .call(
            Method::POST,
            "/payment-gateways",
            Some(&json!({"type": "AIRTEL_MONEY"})),
        )
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let fields: Vec<&str> = answer["details"]
        .as_array()
        .context("details")?
        .iter()
        .filter_map(|error| error["field"].as_str())
        .collect();
    assert_eq!(fields, ["consumerKey", "consumerSecret"]);
    let list = owner.get("/payment-gateways").await?;
    assert!(!list.to_string().contains(ID), "{list}");
    let wrong = format!("{}x", shop.door);
    let answer = http_client().post(wrong).json(&json!({})).send().await?;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        shop.calls_back(&json!({"transaction": 7})).await?,
        StatusCode::OK
    );
    worked(&shop.world, &shop.isp).await?;
    shop.close().await
}

/// Airtel sends nothing back at our word: an approved refund waits for a person who did it in Airtel's portal, and is then
/// in the books.
#[tokio::test(flavor = "multi_thread")]
async fn money_goes_back_by_hand() -> Result<()> {
    let shop = given().await?;
    let prompt = shop.asks().await?;
    shop.world.outside.airtel.end(&prompt, End::Paid);
    shop.world.clock.advance(Duration::from_secs(20));
    shop.until(&prompt, "completed").await?;
    let owner = &shop.isp.owner;
    let person = json!({"name": "Clerk", "email": "clerk@savanna.example", "password": PASSWORD, "role": "ADMIN"});
    owner.post("/tenant/operators", &person).await?;
    let clerk = Operator::login(shop.world.api(), "clerk@savanna.example", PASSWORD).await?;
    let known = owner
        .get(&format!("/payments/lookup?receipt={}", receipt(&prompt)))
        .await?;
    let payment = known["payments"][0]["id"].as_str().context("a payment")?;
    let wish = json!({"service": "TAKE_BACK", "reason": "Moved away"});
    let refund = clerk
        .post(&format!("/payments/{payment}/refunds"), &wish)
        .await?;
    let path = format!(
        "/payments/refunds/{}",
        refund["id"].as_str().context("an id")?
    );
    owner.post(&format!("{path}/approve"), &json!({})).await?;
    let waiting = eventually("it is for a person", async || {
        let refund = owner.get(&path).await?;
        Ok((refund["state"] == "UNKNOWN").then_some(refund))
    })
    .await?;
    let told = waiting["message"].as_str().unwrap_or_default();
    assert!(told.contains("Airtel Money's own portal"), "{waiting}");
    shop.world.clock.advance(DAY);
    let outcome = json!({"sent": true, "receipt": "mp260116.9999.L00001"});
    let done = owner.post(&format!("{path}/outcome"), &outcome).await?;
    assert_eq!(
        (&done["state"], &done["receipt"]),
        (&json!("DONE"), &json!("MP260116.9999.L00001"))
    );
    let trial = owner.get("/finance/trial-balance").await?;
    let accounts = trial["accounts"].as_array().context("accounts")?;
    let at_airtel = accounts.iter().find(|account| account["code"] == "1011");
    let debit = at_airtel.map_or(json!(0), |account| account["debit"].clone());
    assert_eq!(debit, 0, "{trial}");
    let earned = accounts.iter().find(|account| account["code"] == "4000");
    let credit = earned.map_or(json!(0), |account| account["credit"].clone());
    assert_eq!(credit, 0, "what it had bought is taken back: {trial}");
    shop.close().await
}
