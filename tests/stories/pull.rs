//! Money that no callback told of is found by asking.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::mpesa::App;
use easyisp_tests::scenario::{Callback, Outage, Payer, QueryAnswer};
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use reqwest::Method;
use serde_json::json;

use crate::c2b::{CODE, all_is_booked, count, lookup, pay, register};
use crate::words::{DAY, HOUR, MINUTE};

/// Nobody is told of anything; every payment is found all the same, by asking every ten minutes, page after
/// page, and each is booked once.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_callback_told_of_is_found_by_asking() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    isp.subscribe(&world).await?;
    let site = Site::open(&world, &isp).await?;
    let silent = Payer {
        callback: Callback::Never,
        confirmation: Callback::Never,
        query: QueryAnswer::Error("503.001.01".into()),
        ..Payer::prompt()
    };
    world.outside.mpesa.script_everybody(silent);
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let baraka = isp
        .add_subscriber("baraka", "254712345602", yesterday)
        .await?;
    let chege = isp
        .add_subscriber("chege", "254712345603", yesterday)
        .await?;
    switch_on(&isp).await?;
    pulled_until(&isp).await?;

    world.clock.advance(MINUTE);
    let mpesa = &world.outside.mpesa;
    let direct = mpesa.pay_bill(CODE, "0799000111", "1000", "AMINA").await;
    direct.context("nobody refuses it")?;
    let lost = mpesa.pay_bill(CODE, "0799000111", "70", "who knows").await;
    let lost = lost.context("nobody refuses it")?;
    let checkout = isp.ask_to_pay(&baraka, 1000).await?;
    let paid = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
    let receipt = soon("the payer types his PIN", paid).await?;
    // More than fits on two pages.
    for _ in 0..45 {
        let part = mpesa.pay_bill(CODE, "0799000111", "20", "chege").await;
        part.context("nobody refuses it")?;
    }
    world.clock.advance(10 * MINUTE);
    let now = world.clock.now();
    for (id, name) in [(&amina, "amina"), (&baraka, "baraka")] {
        isp.customer_becomes(id, "paid", |customer| customer["status"] == "ACTIVE")
            .await?;
        site.knows(name, "as paid", |known| known.entitlement.paid_until > now)
            .await?;
    }
    isp.customer_becomes(&chege, "all of it", |customer| {
        customer["walletBalance"] == 900
    })
    .await?;
    let status = isp
        .owner
        .get(&format!("/payments/mpesa/status/{checkout}"))
        .await?;
    assert_eq!(status["receipt"], receipt.as_str(), "{status}");
    // When the money moved counts, not when it was found.
    let known = lookup(&isp, &format!("receipt={lost}")).await?;
    assert_eq!(
        known["payments"][0]["paidAt"], "2027-01-15T08:01:00.000Z",
        "{known}"
    );
    assert_eq!(known["payments"][0]["customerId"], json!(null), "{known}");

    // What was asked for is asked for again, and changes nothing.
    for _ in 0..3 {
        let before = pulled_until(&isp).await?;
        world.clock.advance(10 * MINUTE);
        until_pulled(&isp, &before).await?;
    }
    all_is_booked(&world, &isp, 48).await?;
    site.stop().await;
    world.stop().await
}

/// A confirmation and the answer to our question tell of one payment.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_of_and_asked_for_is_booked_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    switch_on(&isp).await?;
    let before = pulled_until(&isp).await?;
    for number in 0..6 {
        world.clock.advance(Duration::from_secs(99));
        pay(&world, "0799000111", &format!("{}", 10 + number), "amina").await?;
    }
    world.clock.advance(10 * MINUTE);
    until_pulled(&isp, &before).await?;
    isp.customer_becomes(&amina, "all of it", |customer| {
        customer["walletBalance"] == 75
    })
    .await?;
    all_is_booked(&world, &isp, 6).await?;
    world.stop().await
}

/// M-Pesa is away for a day: what moved meanwhile is found when it is back, and what moved before the gateway
/// was ours is not ours. Off is off.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_answers_is_made_up_for() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "savanna").await?;
    isp.subscribe(&world).await?;
    let mpesa = &world.outside.mpesa;
    let older = mpesa.pay_bill(CODE, "0799000111", "500", "amina").await;
    let older = older.context("nobody refuses it")?;
    world.clock.advance(MINUTE);
    isp.owner.add_paybill().await?;
    let until = world.clock.now().minus(DAY);
    let amina = isp.add_subscriber("amina", "254712345601", until).await?;

    let gateway = gateway_path(&isp).await?;
    let wish = json!({"pullEnabled": true});
    let (status, answer) = isp.owner.call(Method::PUT, &gateway, Some(&wish)).await?;
    assert_eq!(
        (status.as_u16(), &answer["details"][0]["field"]),
        (400, &json!("pullNumber"))
    );
    switch_on(&isp).await?;
    let before = pulled_until(&isp).await?;
    mpesa.outage(Outage::Error("503.001.01".into()));
    for _ in 0..10 {
        world.clock.advance(2 * HOUR);
        let paid = mpesa.pay_bill(CODE, "0799000111", "10", "amina").await;
        paid.context("nobody refuses it")?;
    }
    mpesa.outage(Outage::None);
    world.clock.advance(11 * MINUTE);
    until_pulled(&isp, &before).await?;
    isp.customer_becomes(&amina, "all of it", |customer| {
        customer["walletBalance"] == 100
    })
    .await?;
    let known = lookup(&isp, &format!("receipt={older}")).await?;
    assert_eq!(known["known"], false, "{known}");

    isp.owner
        .put(&gateway, &json!({"pullEnabled": false}))
        .await?;
    let due = "select count(*) from directory.jobs where kind = 'payments.pull'";
    eventually("nobody asks any more", async || {
        Ok((count(&world, &isp, due).await? == 0).then_some(()))
    })
    .await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

async fn gateway_path(isp: &Provider) -> Result<String> {
    let gateways = isp.owner.get("/payment-gateways").await?;
    let id = gateways[0]["id"].as_str().context("a gateway")?;
    Ok(format!("/payment-gateways/{id}"))
}

async fn switch_on(isp: &Provider) -> Result<()> {
    assert_eq!(App::demo().shortcode, CODE);
    let path = gateway_path(isp).await?;
    let wish = json!({"pullEnabled": true, "pullNumber": "0722000000"});
    let answer = isp.owner.put(&path, &wish).await?;
    assert_eq!(answer["pullNumber"], "254722000000", "{answer}");
    Ok(())
}

/// Until when everything was asked for, once something was.
async fn pulled_until(isp: &Provider) -> Result<String> {
    until_pulled(isp, "").await
}

/// Waits until more was asked for than `before`.
async fn until_pulled(isp: &Provider, before: &str) -> Result<String> {
    eventually("M-Pesa was asked what has moved", async || {
        let gateways = isp.owner.get("/payment-gateways").await?;
        let until = gateways[0]["pulledUntil"].as_str().map(str::to_owned);
        Ok(until.filter(|until| until.as_str() > before))
    })
    .await
}
