//! One payment told of twice, late or half-way is one payment.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::mpesa::{App, Kind};
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{CODE, all_is_booked, count, gateway, lookup, pay, post, register, told, worked};
use crate::words::DAY;

/// A prompt on a short code with addresses is told of twice, with one receipt, in either order or both at
/// once; and once more by our own query. It is one payment.
#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_is_also_confirmed_credits_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let mpesa = &world.outside.mpesa;
    let ways = [
        (Callback::Now, Callback::Held),
        (Callback::Held, Callback::Now),
        (Callback::Held, Callback::Held),
        // The callback never comes, and our query knows no receipt.
        (Callback::Never, Callback::Held),
        (Callback::Never, Callback::Now),
    ];
    for (nth, (callback, confirmation)) in ways.into_iter().enumerate() {
        let phone = format!("25471234560{nth}");
        let name = format!("payer{nth}");
        let payer = isp.add_subscriber(&name, &phone, yesterday).await?;
        let by_query = callback == Callback::Never && confirmation == Callback::Held;
        let script = Payer {
            callback,
            confirmation,
            ..Payer::prompt()
        };
        mpesa.script(&phone, script);
        let checkout = isp.ask_to_pay(&payer, 1000).await?;
        let paid = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
        let receipt = soon("the payer types his PIN", paid).await?;
        if by_query {
            world.clock.advance(Duration::from_secs(11));
        }
        if nth != 2 {
            isp.customer_becomes(&payer, "paid", |customer| customer["status"] == "ACTIVE")
                .await?;
        }
        mpesa.release(&checkout);
        let told = mpesa.until(|books| {
            let known = books.find(&checkout)?;
            let both = known.confirmations.len() + known.callbacks.len();
            (both >= if nth >= 3 { 1 } else { 2 }).then_some(())
        });
        soon("M-Pesa has told all", told).await?;
        worked(&world, &isp).await?;
        let paid = isp
            .customer_becomes(&payer, "paid", |customer| customer["status"] == "ACTIVE")
            .await?;
        assert_eq!(paid["walletBalance"], 0, "{nth}");
        assert_eq!(
            paid["expiresAt"].as_str().map(|at| &at[..10]),
            Some("2027-02-15"),
            "{nth}"
        );
        let status = isp
            .owner
            .get(&format!("/payments/mpesa/status/{checkout}"))
            .await?;
        assert_eq!(status["receipt"], receipt.as_str(), "{nth}: {status}");
        let count = count(&world, &isp, "select count(*) from payments").await?;
        assert_eq!(count, i64::try_from(nth)? + 1, "{nth}");
    }
    let reviews = "select count(*) from intents where needs_review is not null";
    assert_eq!(count(&world, &isp, reviews).await?, 0);
    all_is_booked(&world, &isp, 5).await?;
    world.stop().await
}

/// A till's payer types no account: his prompt is found by his phone and the amount. And money that came to be
/// nobody's before the prompt's own report is the prompt's as soon as that comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_without_an_account_finds_its_prompt() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "savanna").await?;
    let app = App {
        kind: Kind::Till("700001".to_owned()),
        ..App::paybill("600002")
    };
    world.outside.mpesa.add_app(app.clone());
    isp.owner.post("/payment-gateways", &gateway(&app)).await?;
    register(&isp).await?;
    let mpesa = &world.outside.mpesa;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let baraka = isp
        .add_subscriber("baraka", "254712345602", yesterday)
        .await?;

    // Without a prompt it is nobody's: a hint is not enough at a till.
    let receipt = mpesa.pay_bill("600002", "0712345601", "1000", "").await;
    let receipt = receipt.context("nobody refuses it")?;
    let held = eventually("it waits for a person", async || {
        let answer = isp.owner.get("/payments/unallocated").await?;
        Ok(Some(answer).filter(|answer| answer["total"] == 1))
    })
    .await?;
    assert_eq!(held["payments"][0]["receipt"], receipt.as_str());
    assert_eq!(held["payments"][0]["suggestions"][0]["username"], "amina");

    // What came before a prompt is not its money.
    world.clock.advance(Duration::from_secs(60));
    let confirmed = Payer {
        callback: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script("254712345601", confirmed);
    let checkout = isp.ask_to_pay(&amina, 1000).await?;
    isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE")
        .await?;
    let status = isp
        .owner
        .get(&format!("/payments/mpesa/status/{checkout}"))
        .await?;
    assert_eq!(status["status"], "completed", "{status}");

    let late = Payer {
        callback: Callback::Held,
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script("254712345602", late);
    let checkout = isp.ask_to_pay(&baraka, 1000).await?;
    let paid = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
    let receipt = soon("the payer types his PIN", paid).await?;
    let (_, url) = mpesa.c2b_urls("600002").context("registered")?;
    assert_eq!(
        post(&url, &told(&receipt, json!("1000"), "", "600002")).await?,
        200
    );
    worked(&world, &isp).await?;
    let known = lookup(&isp, &format!("receipt={receipt}")).await?;
    assert_eq!(known["payments"][0]["customerId"], Value::Null, "{known}");
    mpesa.release(&checkout);
    isp.customer_becomes(&baraka, "paid", |customer| customer["status"] == "ACTIVE")
        .await?;
    let status = isp
        .owner
        .get(&format!("/payments/mpesa/status/{checkout}"))
        .await?;
    assert_eq!(status["receipt"], receipt.as_str(), "{status}");
    let reviews = "select count(*) from intents where needs_review is not null";
    assert_eq!(count(&world, &isp, reviews).await?, 0);
    all_is_booked(&world, &isp, 3).await?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_of_a_confirmation_credit_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let phone = "254712345601";
    let amina = isp.add_subscriber("amina", phone, yesterday).await?;
    let confirmation = Callback::Repeated {
        times: 50,
        apart: Duration::ZERO,
    };
    world.outside.mpesa.script(
        phone,
        Payer {
            confirmation,
            ..Payer::prompt()
        },
    );
    let mpesa = &world.outside.mpesa;
    let receipt = mpesa.pay_bill(CODE, phone, "1000", "amina").await;
    let receipt = receipt.context("nobody refuses it")?;
    let all = mpesa.until(|books| {
        let mut direct = books.direct().iter();
        let copies = &direct.find(|paid| paid.receipt == receipt)?.confirmations;
        (copies.len() == 50).then(|| copies.clone())
    });
    let copies = soon("M-Pesa has told it fifty times", all).await?;
    assert!(
        copies.iter().all(|copy| copy.status == Some(200)),
        "{copies:?}"
    );
    worked(&world, &isp).await?;
    let paid = isp.customer(&amina).await?;
    assert_eq!(
        (&paid["status"], &paid["walletBalance"]),
        (&json!("ACTIVE"), &json!(0))
    );
    assert_eq!(
        paid["expiresAt"].as_str().map(|at| &at[..10]),
        Some("2027-02-15")
    );
    assert_eq!(
        count(&world, &isp, "select count(*) from payment_inbox").await?,
        50
    );
    all_is_booked(&world, &isp, 1).await?;
    world.stop().await
}

/// The body is durable, and the cloud is gone before it is booked: who comes back books it.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_was_answered_is_booked_after_a_restart() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let (_, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;
    let tenant = isp.tenant().await?;
    let mut holder = PgConnection::connect_with(&world.database.owner()).await?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(tenant.to_string())
        .execute(&mut holder)
        .await?;

    // Without the right to keep it, it is not answered: M-Pesa comes again.
    sqlx::query("revoke insert on payment_inbox from easyisp_app")
        .execute(&mut holder)
        .await?;
    let body = told("SJK4H7L2PQ", json!("1000"), "amina", CODE);
    assert_eq!(post(&url, &body).await?, 503);
    sqlx::query("grant insert on payment_inbox to easyisp_app")
        .execute(&mut holder)
        .await?;

    // Nobody can book it while somebody holds the customer; it is answered all the same.
    sqlx::query("begin").execute(&mut holder).await?;
    sqlx::query("select from customers for update")
        .execute(&mut holder)
        .await?;
    assert_eq!(post(&url, &body).await?, 200);
    world.stop_cloud().await?;
    sqlx::query("rollback").execute(&mut holder).await?;
    world.start_cloud().await?;
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        0
    );
    let known = lookup(&isp, "receipt=SJK4H7L2PQ").await?;
    assert!(
        known["message"]
            .as_str()
            .is_some_and(|said| said.contains("being booked")),
        "{known}"
    );

    world.clock.advance(Duration::from_secs(6));
    isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE")
        .await?;
    worked(&world, &isp).await?;
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        1
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// From the inbox to the feed it is one short transaction, also where it answers a prompt.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_renews_takes_eight_statements() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let site = Site::open(&world, &isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let confirmed = Payer {
        callback: Callback::Never,
        ..Payer::prompt()
    };
    world.outside.mpesa.script_everybody(confirmed);
    world.listen_in().await?;
    for number in 1..=4 {
        let name = format!("payer{number}");
        let phone = format!("25471234560{number}");
        let payer = isp.add_subscriber(&name, &phone, yesterday).await?;
        match number % 2 {
            0 => drop(isp.ask_to_pay(&payer, 1000).await?),
            _ => drop(pay(&world, &phone, "1000", "").await?),
        }
        let now = world.clock.now();
        site.knows(&name, "as paid", |known| known.entitlement.paid_until > now)
            .await?;
    }
    let spoken = world.spoken();
    let is_first_use =
        |one: &String| one.contains("pg_catalog") || one.starts_with("select key_sealed");
    let booked: Vec<Vec<String>> = spoken
        .into_iter()
        .filter(|said| said.iter().any(|one| one.contains("update payment_inbox")))
        .map(|said| said.into_iter().filter(|one| !is_first_use(one)).collect())
        .collect();
    assert_eq!(booked.len(), 4, "one transaction a confirmation");
    let counts: Vec<usize> = booked.iter().map(Vec::len).collect();
    println!("statements of a confirmation: {counts:?}");
    for said in booked {
        assert!(said.len() <= 8, "{said:#?}");
    }
    site.stop().await;
    world.stop().await
}
