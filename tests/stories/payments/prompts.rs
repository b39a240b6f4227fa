//! A prompt is asked for once, and whoever asks learns what became of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_shared::entropy::Entropy;
use easyisp_tests::operator::http_client;
use easyisp_tests::outside::Outside;
use easyisp_tests::scenario::{Payer, Pin, PushAnswer};
use serde_json::{Value, json};

use super::world::{PHONE, World, given_world};

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_prompt_renews_the_customer() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;

    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let status = world.until(&checkout, "completed").await?;

    let transaction = world.transaction(&checkout).await?;
    assert_eq!(status["receipt"].as_str(), transaction.receipt());
    assert_eq!(world.expires(&jane).await?, "2026-02-28T09:00:00.000Z");
    assert_eq!(transaction.asked, 1_000);
    let number = transaction
        .account_reference
        .trim_end_matches(char::is_alphabetic);
    assert_eq!(transaction.account_reference.len(), number.len() + 2);

    let list = world.owner.get("/payments/mpesa").await?;
    assert_eq!(list["transactions"][0]["status"], "completed");
    assert_eq!(list["transactions"][0]["transactionId"], status["receipt"]);
    assert_eq!(list["transactions"][0]["customer"]["name"], "Customer jane");
    let stats = world.owner.get("/payments/mpesa/stats").await?;
    assert_eq!(stats["todayReceived"], 1_000);
    let paid = world
        .owner
        .get(&format!("/customers/{jane}/transactions"))
        .await?;
    assert_eq!(paid["mpesaTransactions"][0]["amount"], 1_000);

    // Our own query agrees afterwards.
    world.query(&checkout).await?;
    let confirmed =
        "select count(*) from intents where confirmed_at is not null and needs_review is null";
    assert_eq!(world.count(confirmed).await?, 1);
    world.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_prompt_says_why_and_may_be_repeated() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    world.outside.mpesa.script(PHONE, Payer::refusing(1032));

    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let status = world.until(&checkout, "failed").await?;
    assert_eq!(status["message"], "The prompt was cancelled.");

    world.outside.mpesa.script(PHONE, Payer::prompt());
    let again = world.owner.ask_to_pay(&jane, 1_000).await?;
    assert_ne!(again, checkout);
    world.until(&again, "completed").await?;
    world.end().await
}

/// C9: M-Pesa takes the push and never answers it. That is no failure: the callback finds its payment by
/// the address it was given, and nobody is asked twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_without_an_answer_is_unknown_not_failed() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let silence = PushAnswer::AcceptedThenSilence;
    world.outside.mpesa.script(
        PHONE,
        Payer {
            push: silence,
            ..Payer::prompt()
        },
    );

    let owner = world.owner.clone();
    let asked = {
        let jane = jane.clone();
        tokio::spawn(async move { owner.ask_to_pay(&jane, 1_000).await })
    };
    let prompt = world.outside.mpesa.prompt(PHONE, 0).await;
    let checkout = prompt.checkout_request_id;
    world.outside.mpesa.called_back(&checkout, 1).await;
    world.worked().await?;
    world.until(&checkout, "completed").await?;
    assert_eq!(world.expires(&jane).await?, "2026-02-28T09:00:00.000Z");

    // Another one, and M-Pesa goes away: nothing is known, and nothing is tried again.
    let john = world.customer("john", "0712345679").await?;
    let lost = Payer {
        push: PushAnswer::Lost,
        ..Payer::prompt()
    };
    world.outside.mpesa.script("0712345679", lost);
    let owner = world.owner.clone();
    let unanswered = tokio::spawn(async move { owner.ask_to_pay(&john, 1_000).await });
    world.outside.mpesa.lost("0712345679").await;
    let World {
        cloud,
        outside,
        clock,
        owner,
        tenant,
        package,
        database,
        _data,
    } = world;
    let prompts = outside.mpesa.books().transactions().len();
    outside.stop().await;
    asked.await??;
    let id = unanswered.await??;
    let status = owner.get(&format!("/payments/mpesa/status/{id}")).await?;
    assert_eq!(status["status"], "pending");
    assert_eq!(prompts, 1);

    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let outside = Outside::start_on(anywhere, clock.clone(), Entropy::system()).await?;
    let world = World {
        cloud,
        outside,
        clock,
        owner,
        tenant,
        package,
        database,
        _data,
    };
    world.clock.advance(Duration::from_secs(301));
    world.until(&id, "expired").await?;
    assert_eq!(world.credits().await?, 1);
    assert_eq!(world.outside.mpesa.books().transactions().len(), 0);
    world.end().await
}

/// C10: twenty taps are one prompt, and every tap is told about it.
#[tokio::test(flavor = "multi_thread")]
async fn taps_in_a_row_are_one_prompt() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    world.outside.mpesa.script(
        PHONE,
        Payer {
            pin: Pin::Held,
            ..Payer::prompt()
        },
    );

    let taps = (0..20).map(|_| {
        let (owner, jane) = (world.owner.clone(), jane.clone());
        tokio::spawn(async move { owner.ask_to_pay(&jane, 1_000).await })
    });
    let mut told = Vec::new();
    for tap in futures_util::future::join_all(taps).await {
        told.push(tap??);
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(world.outside.mpesa.books().prompts("254712345678"), 1);

    world.outside.mpesa.type_pin(&told[0]);
    world.until(&told[0], "completed").await?;
    assert_eq!(world.credits().await?, 1);
    world.end().await
}

/// A repeat is the same wish once more. Another amount while one is open, or a used key for somebody else,
/// is told and never taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn another_wish_is_not_answered_with_the_first_prompt() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let john = world.customer("john", "0712345679").await?;
    let held = Payer {
        pin: Pin::Held,
        ..Payer::prompt()
    };
    world.outside.mpesa.script_everybody(held);
    let ask = async |customer: &str, amount: u32| -> Result<(u16, Value)> {
        let asked = http_client()
            .post(format!(
                "http://{}/api/payments/mpesa/stk",
                world.cloud.http_addr
            ))
            .bearer_auth(world.owner.token())
            .header("Idempotency-Key", "tap-1")
            .json(&json!({"customerId": customer, "amount": amount}))
            .send()
            .await?;
        Ok((asked.status().as_u16(), asked.json().await?))
    };
    let (status, first) = ask(&jane, 500).await?;
    assert_eq!(status, 200, "{first}");
    let (status, again) = ask(&jane, 500).await?;
    assert_eq!(
        (status, &again["checkoutRequestId"]),
        (200, &first["checkoutRequestId"])
    );
    let (status, other) = ask(&john, 500).await?;
    assert_eq!(
        (status, &other["code"]),
        (409, &json!("IDEMPOTENCY_KEY_REUSED"))
    );

    let wish = json!({"customerId": jane, "amount": 1_000});
    let (status, other) = world
        .owner
        .call(reqwest::Method::POST, "/payments/mpesa/stk", Some(&wish))
        .await?;
    assert_eq!(
        (status.as_u16(), &other["code"]),
        (409, &json!("PROMPT_OPEN"))
    );
    let asked = "select count(*) from audit where action = 'PAYMENT_PROCESS'";
    assert_eq!(world.count(asked).await?, 1);

    let checkout = first["checkoutRequestId"].as_str().context("an id")?;
    let found = world
        .owner
        .get(&format!("/payments/mpesa?page=1&search={checkout}"))
        .await?;
    assert_eq!(found["total"], 1, "{found}");
    world.end().await
}
