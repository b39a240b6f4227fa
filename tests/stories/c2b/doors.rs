//! The addresses that M-Pesa is given, and what is heard there.

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Clock;
use easyisp_tests::mpesa::c2b::Validation;
use easyisp_tests::mpesa::{App, C2b};
use easyisp_tests::operator::http_client;
use easyisp_tests::world::{Provider, START, World, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    CODE, STRANGER, all_is_booked, count, gateway, lookup, pay, post, register, told, worked,
};
use crate::words::DAY;

/// An application with the first product tells the payer's number itself, which nobody has to know before.
#[tokio::test(flavor = "multi_thread")]
async fn the_product_that_the_application_has_is_found_out() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "savanna").await?;
    let app = App {
        c2b: C2b::V1,
        ..App::paybill("600001")
    };
    world.outside.mpesa.add_app(app.clone());
    let gateway = isp.owner.post("/payment-gateways", &gateway(&app)).await?;
    let path = format!(
        "/payment-gateways/{}",
        gateway["id"].as_str().context("an id")?
    );
    let register = format!("{path}/register-c2b");

    // Set to the other one it is not tried, and the answer says what to do.
    isp.owner.put(&path, &json!({"c2bVersion": "v2"})).await?;
    let (status, refused) = isp
        .owner
        .call(Method::POST, &register, Some(&json!({})))
        .await?;
    assert_eq!(
        (status.as_u16(), &refused["code"]),
        (422, &json!("C2B_NOT_IN_APP"))
    );
    isp.owner.put(&path, &json!({"c2bVersion": ""})).await?;
    let registered = isp.owner.post(&register, &json!({})).await?;
    assert_eq!(registered["c2bVersion"], "v1", "{registered}");
    let again = isp.owner.post(&register, &json!({})).await?;
    assert_eq!(again["registeredAt"], registered["registeredAt"], "{again}");

    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let paid = world
        .outside
        .mpesa
        .pay_bill("600001", "0712345601", "1000", "")
        .await;
    paid.context("nobody refuses it")?;
    isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE")
        .await?;

    // A secret that became known: M-Pesa must have forgotten the address first. Then both are heard, and what
    // comes under the old one is nobody's before a person has looked.
    let (status, refused) = isp
        .owner
        .call(Method::POST, &register, Some(&json!({"newSecret": true})))
        .await?;
    assert_eq!(
        (status.as_u16(), &refused["code"]),
        (409, &json!("C2B_REGISTERED"))
    );
    let (_, old) = world
        .outside
        .mpesa
        .c2b_urls("600001")
        .context("registered")?;
    world.outside.mpesa.forget_c2b("600001");
    isp.owner.post(&register, &json!({})).await?;
    let (_, new) = world
        .outside
        .mpesa
        .c2b_urls("600001")
        .context("registered")?;
    assert_ne!(old, new);
    for (number, url) in [old, new].iter().enumerate() {
        let receipt = format!("SJK4H7L2P{number}");
        let body = told(&receipt, json!("1000"), "amina", "600001");
        assert_eq!(post(url, &body).await?, 200);
        eventually("booked", async || {
            let known = lookup(&isp, &format!("receipt={receipt}")).await?;
            let owner = match number {
                0 => Value::Null,
                _ => json!(amina),
            };
            let booked = known["known"] == true && known["payments"][0]["customerId"] == owner;
            Ok(Some(()).filter(|()| booked))
        })
        .await?;
    }
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// What somebody makes up: a guessed address, amounts that nobody moved. And one that is
/// right but came from elsewhere is no internet before a person has looked.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_up_credits_nothing() -> Result<()> {
    let world = World::start_with(Clock::test(START), |config| {
        config.mpesa.sources = vec!["10.99.0.0/16".parse().expect("a network")];
    });
    let world = world.await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let (validation, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;

    let guessed = format!("http://{}/api/hooks/c2b/{}/c", world.api(), "0".repeat(64));
    assert_eq!(
        post(&guessed, &told("SJK4H7L2PQ", json!("1000"), "amina", CODE)).await?,
        404
    );
    let wrong = [
        told("SJK4H7L2PQ", json!("0"), "amina", CODE),
        told("SJK4H7L2PQ", json!("-1000"), "amina", CODE),
        told("SJK4H7L2PQ", json!("99999999999999999999"), "amina", CODE),
        told("SJK4H7L2PQ", json!("1000001"), "amina", CODE),
        told("", json!("1000"), "amina", CODE),
        told("'; drop table", json!("1000"), "amina", CODE),
        json!({"TransID": "SJK4H7L2PQ"}),
        json!([]),
    ];
    for body in &wrong {
        assert_eq!(post(&url, body).await?, 200, "{body}");
    }
    worked(&world, &isp).await?;
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        0
    );
    let kept = "select count(*) from payment_inbox where outcome <> 'done'";
    assert_eq!(
        count(&world, &isp, kept).await?,
        i64::try_from(wrong.len())?
    );
    let known = lookup(&isp, "receipt=sjk4h7l2pq").await?;
    assert_eq!(known["known"], false, "{known}");

    // All of it fits, but the address it came from.
    let right = told("SJK4H7L2PR", json!("1000.00"), "amina", CODE);
    assert_eq!(post(&url, &right).await?, 200);
    worked(&world, &isp).await?;
    assert_eq!(isp.customer(&amina).await?["status"], "EXPIRED");
    let held = isp.owner.get("/payments/unallocated").await?;
    let why = held["payments"][0]["description"].as_str().context("why")?;
    assert!(why.contains("not on the list"), "{held}");

    // A validation moves nothing, whatever it says; what M-Pesa hears is exactly so.
    for (body, code) in [
        (&right, "0"),
        (
            &told("SJK4H7L2PQ", json!("1000"), "amina", "600000"),
            "C2B00015",
        ),
        (&wrong[1], "C2B00013"),
    ] {
        let answer = http_client().post(&validation).json(body).send().await?;
        assert_eq!(answer.status().as_u16(), 200);
        let heard: Value = answer.json().await?;
        assert_eq!(heard["ResultCode"], code, "{heard}");
    }
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        1
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A shilling is a shilling in every spelling, and less than a price waits in the wallet; validation is asked
/// where the provider has switched it on, and money comes without it too.
#[tokio::test(flavor = "multi_thread")]
async fn any_amount_that_moved_is_booked_as_it_is() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    world.outside.mpesa.validate(CODE, Validation::On);
    let mut expected = 0.0;
    for (amount, worth) in [("1", 1.0), ("1.00", 1.0), ("0.50", 0.5), ("997.5", 997.5)] {
        pay(&world, STRANGER, amount, "amina").await?;
        expected += worth;
        isp.customer_becomes(&amina, amount, |customer| {
            let wallet = customer["walletBalance"].as_f64();
            wallet == Some(expected) || expected >= 1000.0 && wallet == Some(0.0)
        })
        .await?;
    }
    let paid = isp.customer(&amina).await?;
    assert_eq!(paid["status"], "ACTIVE");
    let asked = "select count(*) from payment_inbox where kind = 'C2B_VALIDATION'";
    assert_eq!(count(&world, &isp, asked).await?, 4);
    // The aliases are the same doors.
    let (_, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;
    let token = url.split('/').nth_back(1).context("a secret")?;
    ensure!(token.len() == 64, "256 bits: {token}");
    let base = format!("http://{}/api/webhooks/mpesa/c2b", world.api());
    let body = told("SJK4H7L2PQ", json!(20), "amina", CODE);
    for (door, heard) in [
        (
            "validation",
            json!({"ResultCode": "0", "ResultDesc": "Accepted"}),
        ),
        (
            "confirmation",
            json!({"ResultCode": 0, "ResultDesc": "Success"}),
        ),
    ] {
        let answer = http_client()
            .post(format!("{base}/{door}/{token}"))
            .json(&body);
        assert_eq!(answer.send().await?.json::<Value>().await?, heard);
    }
    isp.customer_becomes(&amina, "told by the alias", |customer| {
        customer["walletBalance"] == 20
    })
    .await?;
    all_is_booked(&world, &isp, 4).await?;
    world.stop().await
}
