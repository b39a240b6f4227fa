//! Money that nobody vouches for waits for a person, and money that somebody vouches for is never lost to a prompt,
//! nor booked twice.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_shared::time::Clock;
use easyisp_tests::mpesa::{App, Kind};
use easyisp_tests::operator::http_client;
use easyisp_tests::scenario::{Callback, Paid, Payer, Pin, PushAnswer, QueryAnswer};
use easyisp_tests::world::{Provider, START, World, eventually, soon};
use serde_json::{Value, json};

use super::{CODE, STRANGER, account, count, gateway, lookup, pay, post, register, told, worked};
use crate::words::DAY;

/// The account of the newest prompt of a customer, as his phone shows it.
async fn reference(world: &World, isp: &Provider) -> Result<String> {
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let newest = "select account_reference from intents order by created_at desc limit 1";
    Ok(sqlx::query_scalar(newest).fetch_one(&mut *tx).await?)
}

/// A prompt that M-Pesa says nobody answered, and a confirmation with its account: of the amount, however large,
/// it is the prompt's; of another amount it is its owner's all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_answers_a_prompt_is_booked_whatever_the_query_says() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let phone = "254712345601";
    let amina = isp.add_subscriber("amina", phone, yesterday).await?;
    let unanswered = Payer {
        push: PushAnswer::Accepted,
        pin: Pin::Held,
        query: QueryAnswer::Code(1037),
        ..Payer::prompt()
    };
    world.outside.mpesa.script(phone, unanswered);
    isp.ask_to_pay(&amina, 5000).await?;
    let named = reference(&world, &isp).await?;
    let (_, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;
    for (receipt, amount) in [("SJK4H7L2PA", "300"), ("SJK4H7L2PB", "5000")] {
        let body = told(receipt, json!(amount), &named, CODE);
        assert_eq!(post(&url, &body).await?, 200);
        worked(&world, &isp).await?;
        let known = lookup(&isp, &format!("receipt={receipt}")).await?;
        assert_eq!(known["payments"][0]["customerId"], json!(amina), "{known}");
    }
    world.clock.advance(Duration::from_secs(11));
    worked(&world, &isp).await?;
    let sum = "select sum(amount)::bigint from payments where customer_id is not null";
    assert_eq!(count(&world, &isp, sum).await?, 530_000);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A prompt is credited on a query's word, which names no amount, and M-Pesa then tells of another one under its
/// account; or the other way round. It is credited once, and a person looks at what remains.
#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_was_paid_with_another_amount_is_credited_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let silent = Payer {
        callback: Callback::Never,
        confirmation: Callback::Held,
        ..Payer::prompt()
    };
    for (name, phone, asked_first) in [
        ("amina", "254712345601", true),
        ("baraka", "254712345602", false),
    ] {
        let id = isp.add_subscriber(name, phone, yesterday).await?;
        let paid = Payer {
            paid: Paid::Exactly("99".to_owned()),
            ..silent.clone()
        };
        world.outside.mpesa.script(phone, paid);
        let checkout = isp.ask_to_pay(&id, 100).await?;
        let receipt = world.outside.mpesa.until(|books| {
            let receipt = books.find(&checkout)?.receipt()?;
            Some(receipt.to_owned())
        });
        let receipt = soon("the payer types his PIN", receipt).await?;
        let confirm = async || {
            world.outside.mpesa.release(&checkout);
            let told = world.outside.mpesa.until(|books| {
                let known = books.find(&checkout)?;
                known.confirmations.first().map(|told| told.status)
            });
            soon("M-Pesa tells of it", told).await?;
            worked(&world, &isp).await
        };
        if !asked_first {
            confirm().await?;
        }
        world.clock.advance(Duration::from_secs(11));
        let reviewed =
            "select count(*) from intents where needs_review is not null or state = 'PROVISIONAL'";
        let so_far = if asked_first { 1 } else { 2 };
        eventually("M-Pesa was asked", async || {
            Ok((count(&world, &isp, reviewed).await? == so_far).then_some(()))
        })
        .await?;
        if asked_first {
            confirm().await?;
        }
        let credited = "select count(*) from payments where customer_id is not null";
        assert_eq!(count(&world, &isp, credited).await?, so_far, "{name}");
        let wallet = if asked_first { 100 } else { 99 };
        assert_eq!(isp.customer(&id).await?["walletBalance"], wallet, "{name}");
        let known = lookup(&isp, &format!("receipt={receipt}")).await?;
        let owner = if asked_first { json!(null) } else { json!(id) };
        assert_eq!(known["payments"][0]["customerId"], owner, "{known}");
        let doubtful = "select count(*) from intents where needs_review is not null";
        assert_eq!(
            count(&world, &isp, doubtful).await?,
            so_far,
            "a person looks"
        );
    }
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// Without a list of addresses the secret alone books nothing. The statement's word takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_vouches_for_waits_until_somebody_does() -> Result<()> {
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
    let number = account(&isp, &amina).await?;
    let receipt = pay(&world, STRANGER, "1000", &number).await?;
    worked(&world, &isp).await?;
    let held = isp.owner.get("/payments/unallocated").await?;
    assert_eq!(held["payments"][0]["receipt"], receipt.as_str(), "{held}");
    assert_eq!(isp.customer(&amina).await?["status"], "EXPIRED");

    // M-Pesa's own list has it, with its owner.
    let gateways = isp.owner.get("/payment-gateways").await?;
    let id = gateways[0]["id"].as_str().context("an id")?;
    let wish = json!({"pullEnabled": true, "pullNumber": "0722000000"});
    isp.owner
        .put(&format!("/payment-gateways/{id}"), &wish)
        .await?;
    world.clock.advance(Duration::from_secs(601));
    let paid = isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE");
    assert_eq!(paid.await?["walletBalance"], 0);
    let held = isp.owner.get("/payments/unallocated").await?;
    assert_eq!(held["total"], 0, "{held}");
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        1
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A till's payer lets a prompt pass and pays the next one: one customer's prompts are not in each other's way, and
/// he is credited once.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_at_a_till_credits_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "savanna").await?;
    let app = App {
        kind: Kind::Till("700001".to_owned()),
        ..App::paybill("600002")
    };
    world.outside.mpesa.add_app(app.clone());
    isp.owner.post("/payment-gateways", &gateway(&app)).await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let phone = "254712345601";
    let amina = isp.add_subscriber("amina", phone, yesterday).await?;
    let mpesa = &world.outside.mpesa;
    mpesa.script(phone, Payer::refusing(1037));
    isp.ask_to_pay(&amina, 1000).await?;
    eventually("nobody answered it", async || {
        let refused = "select count(*) from intents where state = 'REFUSED'";
        Ok((count(&world, &isp, refused).await? == 1).then_some(()))
    })
    .await?;
    world.clock.advance(Duration::from_secs(60));
    let confirmed = Payer {
        callback: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script(phone, confirmed);
    let checkout = isp.ask_to_pay(&amina, 1000).await?;
    let paid = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
    let receipt = soon("the payer types his PIN", paid).await?;
    let paid = isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE");
    assert_eq!(paid.await?["walletBalance"], 0);
    let joined = eventually("its receipt is known", async || {
        let known = lookup(&isp, &format!("receipt={receipt}")).await?;
        Ok(Some(known).filter(|known| known["known"] == true))
    });
    assert_eq!(joined.await?["payments"][0]["customerId"], amina.as_str());
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        1
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// The gateway got another short code, and M-Pesa goes on telling of the one before: its money waits for a person.
#[tokio::test(flavor = "multi_thread")]
async fn money_to_a_short_code_of_before_is_held() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let (_, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;
    let body = told("SJK4H7L2PQ", json!("1000"), "amina", "600000");
    assert_eq!(post(&url, &body).await?, 200);
    worked(&world, &isp).await?;
    let known = lookup(&isp, "receipt=SJK4H7L2PQ").await?;
    assert_eq!(known["payments"][0]["customerId"], Value::Null, "{known}");
    assert_eq!(isp.customer(&amina).await?["status"], "EXPIRED");
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// What waits for a person is what stands in suspense: money that is on the list and not there, or there and not on
/// the list, is named. Whoever gets his money in the end is told of it.
#[tokio::test(flavor = "multi_thread")]
async fn suspense_is_what_waits_for_a_person() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let (waits, moved) = (
        pay(&world, STRANGER, "70", "who knows").await?,
        pay(&world, STRANGER, "1000", "who knows").await?,
    );
    worked(&world, &isp).await?;
    let told = "select count(*) from messages where purpose = 'receipt'";
    assert_eq!(count(&world, &isp, told).await?, 0);
    let resolve = json!({"amount": 0, "description": format!("Resolved transaction: {moved}")});
    for _ in 0..2 {
        let path = format!("/customers/{amina}/recharge");
        isp.owner.post(&path, &resolve).await?;
    }
    assert_eq!(isp.customer(&amina).await?["status"], "ACTIVE");
    assert_eq!(count(&world, &isp, told).await?, 1);
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let body: String = sqlx::query_scalar("select body from messages where purpose = 'receipt'")
        .fetch_one(&mut *tx)
        .await?;
    assert!(
        body.contains(&format!("{moved}: KES 1000 received. Internet until")),
        "{body}"
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());

    // On the list again, and not in suspense; off the list, and in it.
    for (receipt, customer, is, should) in [
        (&moved, None, 0, 100_000),
        (&waits, Some(amina.as_str()), 7_000, 0),
    ] {
        let was: Option<uuid::Uuid> =
            sqlx::query_scalar("select customer_id from payments where receipt = $1")
                .bind(receipt)
                .fetch_one(&mut *tx)
                .await?;
        let customer: Option<uuid::Uuid> = customer.map(str::parse).transpose()?;
        let set = "update payments set customer_id = $2 where receipt = $1 returning id";
        let id: uuid::Uuid = sqlx::query_scalar(set)
            .bind(receipt)
            .bind(customer)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        let wanted =
            format!("payment {id} stands in suspense with {is} where {should} waits for a person");
        let found = world.book_findings().await?;
        assert!(found.iter().any(|what| what.contains(&wanted)), "{found:?}");
        tx = world.db().begin(isp.tenant().await?).await?;
        sqlx::query("update payments set customer_id = $2 where receipt = $1")
            .bind(receipt)
            .bind(was)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        tx = world.db().begin(isp.tenant().await?).await?;
    }
    drop(tx);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// Without a list of addresses somebody who knows a prompt's secret names a receipt of his own making, and the prompt is
/// paid: our query names no receipt. The true one is not credited a second time; a person sees both.
#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_receipt_of_a_paid_prompt_credits_nothing_twice() -> Result<()> {
    let world = World::start_with(Clock::test(START), |config| {
        config.mpesa.sources = Vec::new();
    });
    let world = world.await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let mpesa = &world.outside.mpesa;
    mpesa.script_everybody(Payer {
        pin: Pin::Held,
        callback: Callback::Never,
        confirmation: Callback::Never,
        ..Payer::prompt()
    });
    let checkout = isp.ask_to_pay(&amina, 1000).await?;
    let prompt = mpesa.prompt("0712345601", 0).await;
    let made_up = json!({"Body": {"stkCallback": {"MerchantRequestID": prompt.merchant_request_id,
        "CheckoutRequestID": checkout, "ResultCode": 0, "ResultDesc": "Done",
        "CallbackMetadata": {"Item": [{"Name": "Amount", "Value": 1000},
            {"Name": "MpesaReceiptNumber", "Value": "SJK4H7L2PQ"}]}}}});
    let told = http_client().post(&prompt.callback_url).json(&made_up);
    assert_eq!(told.send().await?.status().as_u16(), 200);
    worked(&world, &isp).await?;
    mpesa.type_pin(&checkout);
    mpesa
        .until(|books| books.find(&checkout)?.receipt().map(str::to_owned))
        .await;
    for _ in 0..4 {
        world.clock.advance(Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let paid = isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE");
    assert_eq!(paid.await?["walletBalance"], 0);

    let gateways = isp.owner.get("/payment-gateways").await?;
    let id = gateways[0]["id"].as_str().context("an id")?;
    let wish = json!({"pullEnabled": true, "pullNumber": "0722000000"});
    isp.owner
        .put(&format!("/payment-gateways/{id}"), &wish)
        .await?;
    world.clock.advance(Duration::from_secs(601));
    let held = eventually("the true receipt is held", async || {
        let held = isp.owner.get("/payments/unallocated").await?;
        Ok((held["total"] == 1).then_some(held))
    })
    .await?;
    let why = held["payments"][0]["description"].to_string();
    assert!(why.contains("credited already"), "{held}");
    assert_eq!(isp.customer(&amina).await?["walletBalance"], 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}
