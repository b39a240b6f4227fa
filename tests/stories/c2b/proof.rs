//! Whose a receipt is: what somebody makes up gives way to what M-Pesa says, and keeps nobody from his money.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_shared::time::Clock;
use easyisp_tests::mpesa::App;
use easyisp_tests::operator::http_client;
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::{Provider, START, World, eventually, soon};
use serde_json::{Value, json};

use super::{CODE, STRANGER, count, gateway, lookup, post, register, told, worked};
use crate::statement::compare;
use crate::words::{DAY, MINUTE};

/// A world whose M-Pesa is on the list, and others are told from it by their address.
async fn given_world() -> Result<World> {
    let proxied = |config: &mut easyisp_cloud::config::Config| {
        config.http.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    };
    World::start_with(Clock::test(START), proxied).await
}

/// Somebody who knows an address tells of money there.
async fn make_up(url: &str, body: &Value) -> Result<u16> {
    let request = http_client().post(url).json(body);
    let answer = request.header("X-Forwarded-For", "203.0.113.9").send();
    Ok(answer.await?.status().as_u16())
}

async fn held(isp: &Provider) -> Result<Vec<(String, Value)>> {
    let held = isp.owner.get("/payments/unallocated").await?;
    let rows = held["payments"].as_array().context("payments")?;
    let row = |row: &Value| {
        let receipt = row["receipt"].as_str().unwrap_or_default().to_owned();
        (receipt, row["amount"].clone())
    };
    Ok(rows.iter().map(row).collect())
}

/// The paid and the made-up payments.
async fn payments(world: &World, isp: &Provider) -> Result<(i64, i64)> {
    let standing = "select count(*) from payments where status = 'completed'";
    let voided = "select count(*) from payments where status = 'voided'";
    Ok((
        count(world, isp, standing).await?,
        count(world, isp, voided).await?,
    ))
}

/// Another amount was made up under a receipt: what M-Pesa confirms, answers to our question and calls back with
/// takes its place, without anybody's help.
#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_amount_gives_way_to_what_m_pesa_says() -> Result<()> {
    let world = given_world().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
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
    let mpesa = &world.outside.mpesa;
    let (_, url) = mpesa.c2b_urls(CODE).context("registered")?;

    // By a confirmation.
    let made_up = told("SJK4H7L2PQ", json!("5"), "baraka", CODE);
    assert_eq!(make_up(&url, &made_up).await?, 200);
    worked(&world, &isp).await?;
    assert_eq!(held(&isp).await?, [("SJK4H7L2PQ".to_owned(), json!(5))]);
    let right = told("SJK4H7L2PQ", json!("1000"), "amina", CODE);
    for _ in 0..2 {
        assert_eq!(post(&url, &right).await?, 200);
        worked(&world, &isp).await?;
    }
    let paid = isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE");
    assert_eq!(paid.await?["walletBalance"], 0);
    assert_eq!(held(&isp).await?, []);
    assert_eq!(payments(&world, &isp).await?, (1, 1));
    // Too late to change it.
    assert_eq!(make_up(&url, &made_up).await?, 200);
    worked(&world, &isp).await?;
    assert_eq!(payments(&world, &isp).await?, (1, 1));

    // By a callback to a prompt.
    let phone = "254712345602";
    let script = Payer {
        callback: Callback::Held,
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script(phone, script);
    let checkout = isp.ask_to_pay(&baraka, 1000).await?;
    let receipt = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
    let receipt = soon("the payer types his PIN", receipt).await?;
    let made_up = told(&receipt, json!("7"), "nobody", CODE);
    assert_eq!(make_up(&url, &made_up).await?, 200);
    worked(&world, &isp).await?;
    assert_eq!(held(&isp).await?, [(receipt.clone(), json!(7))]);
    mpesa.release(&checkout);
    let paid = isp.customer_becomes(&baraka, "paid", |customer| customer["status"] == "ACTIVE");
    assert_eq!(paid.await?["walletBalance"], 0);
    worked(&world, &isp).await?;
    let status = format!("/payments/mpesa/status/{checkout}");
    assert_eq!(isp.owner.get(&status).await?["receipt"], receipt.as_str());
    assert_eq!(held(&isp).await?, []);

    // By the answer to our question.
    let silent = Payer {
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script(STRANGER, silent);
    let lost = mpesa.pay_bill(CODE, STRANGER, "1000", "chege").await;
    let lost = lost.context("nobody refuses it")?;
    let made_up = told(&lost, json!("2000"), "amina", CODE);
    assert_eq!(make_up(&url, &made_up).await?, 200);
    worked(&world, &isp).await?;
    assert_eq!(held(&isp).await?, [(lost, json!(2000))]);
    let gateways = isp.owner.get("/payment-gateways").await?;
    let id = gateways[0]["id"].as_str().context("an id")?;
    let wish = json!({"pullEnabled": true, "pullNumber": "0722000000"});
    isp.owner
        .put(&format!("/payment-gateways/{id}"), &wish)
        .await?;
    world.clock.advance(Duration::from_secs(601));
    let paid = isp.customer_becomes(&chege, "paid", |customer| customer["status"] == "ACTIVE");
    assert_eq!(paid.await?["walletBalance"], 0);
    assert_eq!(held(&isp).await?, []);
    assert_eq!(payments(&world, &isp).await?, (3, 3));
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// M-Pesa's callbacks come from an address that is not on the list, and somebody made up another amount under the
/// receipt: who has paid by M-Pesa's answer has internet, and the receipt joins when M-Pesa tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_amount_is_in_no_payers_way() -> Result<()> {
    let world = World::start_with(Clock::test(START), |config| {
        config.mpesa.sources = Vec::new();
    });
    let world = world.await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let mpesa = &world.outside.mpesa;
    let script = Payer {
        callback: Callback::Held,
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script("254712345601", script);
    let checkout = isp.ask_to_pay(&amina, 1000).await?;
    let receipt = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
    let receipt = soon("the payer types his PIN", receipt).await?;
    let (_, url) = mpesa.c2b_urls(CODE).context("registered")?;
    assert_eq!(
        post(&url, &told(&receipt, json!("7"), "nobody", CODE)).await?,
        200
    );
    worked(&world, &isp).await?;
    mpesa.release(&checkout);
    let paid = isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE");
    assert_eq!(paid.await?["walletBalance"], 0);

    let gateways = isp.owner.get("/payment-gateways").await?;
    let id = gateways[0]["id"].as_str().context("an id")?;
    let wish = json!({"pullEnabled": true, "pullNumber": "0722000000"});
    isp.owner
        .put(&format!("/payment-gateways/{id}"), &wish)
        .await?;
    world.clock.advance(Duration::from_secs(601));
    let path = format!("receipt={receipt}");
    eventually("the receipt joins", async || {
        let known = lookup(&isp, &path).await?;
        let joined = known["payments"][0]["customerId"] == amina.as_str();
        Ok(joined.then_some(()))
    })
    .await?;
    assert_eq!(held(&isp).await?, []);
    assert_eq!(payments(&world, &isp).await?, (1, 1));
    assert_eq!(isp.customer(&amina).await?["walletBalance"], 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// Who knows another provider's receipt and tells of it at his own door, or types its short code as his own, keeps
/// it from nobody.
#[tokio::test(flavor = "multi_thread")]
async fn another_providers_word_blocks_no_receipt() -> Result<()> {
    let world = given_world().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let mallory = Provider::sign_up(&world, "mallory").await?;
    let own = App::paybill("600777");
    let mpesa = &world.outside.mpesa;
    mpesa.add_app(own.clone());
    mallory
        .owner
        .post("/payment-gateways", &gateway(&own))
        .await?;
    register(&mallory).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let (_, ours) = mpesa.c2b_urls(CODE).context("registered")?;
    let (_, theirs) = mpesa.c2b_urls("600777").context("registered")?;

    // At his own door, from anywhere and in the very words of M-Pesa.
    assert_eq!(
        make_up(&theirs, &told("SJK4H7L2PA", json!("1000"), "x", "600777")).await?,
        200
    );
    assert_eq!(
        post(&theirs, &told("SJK4H7L2PB", json!("1000"), "x", "600777")).await?,
        200
    );
    worked(&world, &mallory).await?;
    assert_eq!(held(&mallory).await?.len(), 2);

    // He calls our short code his.
    let gateways = mallory.owner.get("/payment-gateways").await?;
    let id = gateways[0]["id"].as_str().context("an id")?;
    let mine = json!({ "shortcode": CODE });
    mallory
        .owner
        .put(&format!("/payment-gateways/{id}"), &mine)
        .await?;
    assert_eq!(
        make_up(&theirs, &told("SJK4H7L2PC", json!("1000"), "x", CODE)).await?,
        200
    );
    worked(&world, &mallory).await?;
    // And so says a statement that he wrote himself.
    let statement = format!(
        "Organization Statement\r\nShort Code:,{CODE}\r\n\r\nReceipt No.,Completion Time,Details,\
         Transaction Status,Paid In,Withdrawn,Balance,Reason Type,Other Party Info,A/C No.\r\n\
         SJK4H7L2PD,15-01-2027 11:00:00,Pay Bill Online,Completed,100.00,,9000.00,Pay Bill Online,\
         254799000111 - JOHN DOE,x\r\n"
    );
    let (status, compared) = compare(&world, &mallory, "&dryRun=false", &statement).await?;
    assert_eq!(
        (status, &compared["booked"]),
        (200, &json!(1)),
        "{compared}"
    );

    for receipt in ["SJK4H7L2PA", "SJK4H7L2PB", "SJK4H7L2PC", "SJK4H7L2PD"] {
        let right = told(receipt, json!("100"), "amina", CODE);
        assert_eq!(post(&ours, &right).await?, 200);
    }
    worked(&world, &isp).await?;
    let paid = |customer: &Value| customer["walletBalance"] == 400;
    isp.customer_becomes(&amina, "four times a hundred", paid)
        .await?;
    assert_eq!(payments(&world, &isp).await?, (4, 0));
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// Two accounts of one business with one short code: what M-Pesa told one of them is not credited by the other.
#[tokio::test(flavor = "multi_thread")]
async fn one_short_code_credits_a_receipt_once() -> Result<()> {
    let world = given_world().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let twin = Provider::with_paybill(&world, "twin").await?;
    let mpesa = &world.outside.mpesa;
    register(&isp).await?;
    let (_, ours) = mpesa.c2b_urls(CODE).context("registered")?;
    mpesa.forget_c2b(CODE);
    register(&twin).await?;
    let (_, theirs) = mpesa.c2b_urls(CODE).context("registered")?;
    let yesterday = world.clock.now().minus(DAY);
    isp.add_subscriber("amina", "254712345601", yesterday)
        .await?;
    twin.add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let right = told("SJK4H7L2PQ", json!("100"), "amina", CODE);
    for url in [&theirs, &ours, &theirs] {
        assert_eq!(post(url, &right).await?, 200);
        worked(&world, &isp).await?;
        worked(&world, &twin).await?;
    }
    assert_eq!(payments(&world, &twin).await?, (1, 0));
    assert_eq!(payments(&world, &isp).await?, (0, 0));
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A gateway is deleted and set up again while a prompt waits: its short code is what it was, and what M-Pesa then
/// confirms is the prompt's, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_set_up_again_knows_its_prompts() -> Result<()> {
    let world = given_world().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let mpesa = &world.outside.mpesa;
    let script = Payer {
        callback: Callback::Never,
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script("254712345601", script);
    let checkout = isp.ask_to_pay(&amina, 1000).await?;
    let receipt = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
    let receipt = soon("the payer types his PIN", receipt).await?;
    let reference = "select count(*) from intents where state = 'PENDING'";
    assert_eq!(count(&world, &isp, reference).await?, 1);

    let gateways = isp.owner.get("/payment-gateways").await?;
    let id = gateways[0]["id"].as_str().context("an id")?;
    let path = format!("/payment-gateways/{id}");
    let gone = isp.owner.call(reqwest::Method::DELETE, &path, None).await?;
    assert_eq!(gone.0.as_u16(), 200, "{}", gone.1);
    mpesa.forget_c2b(CODE);
    isp.owner.add_paybill().await?;
    register(&isp).await?;
    let (_, url) = mpesa.c2b_urls(CODE).context("registered")?;
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let account: String = sqlx::query_scalar("select account_reference from intents")
        .fetch_one(&mut *tx)
        .await?;
    drop(tx);
    world.clock.advance(MINUTE);
    let right = told(&receipt, json!("1000"), &account, CODE);
    for _ in 0..2 {
        assert_eq!(post(&url, &right).await?, 200);
        worked(&world, &isp).await?;
    }
    let paid = isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE");
    assert_eq!(paid.await?["walletBalance"], 0);
    let status = isp
        .owner
        .get(&format!("/payments/mpesa/status/{checkout}"))
        .await?;
    assert_eq!(status["receipt"], receipt.as_str(), "{status}");
    assert_eq!(payments(&world, &isp).await?, (1, 0));
    assert_eq!(held(&isp).await?, []);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}
