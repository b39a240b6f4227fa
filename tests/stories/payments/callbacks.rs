//! Callbacks repeat, lie, come late and fail half-way; money moves exactly once.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::mpesa::books::Transaction;
use easyisp_tests::mpesa::callback;
use easyisp_tests::operator::Operator;
use easyisp_tests::scenario::{Callback, Paid, Payer, Pin, PinResult, QueryAnswer};
use serde_json::json;

use super::world::{PHONE, STAMP, given_world, given_world_listing};

/// C1: fifty copies of one callback at the same moment, and once more later, credit once.
#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_callback_credit_once() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let callback = Callback::Repeated {
        times: 50,
        apart: Duration::ZERO,
    };
    world.outside.mpesa.script(
        PHONE,
        Payer {
            callback,
            ..Payer::prompt()
        },
    );

    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let delivered = world.outside.mpesa.called_back(&checkout, 50).await;
    assert!(
        delivered
            .callbacks
            .iter()
            .all(|copy| copy.status == Some(200)),
        "{delivered:?}"
    );
    world.worked().await?;

    let body = callback::body(&delivered, STAMP).context("it ended")?;
    assert_eq!(world.post(&delivered.callback_url, &body).await?, 200);
    world.worked().await?;
    assert_eq!(world.credits().await?, 1);
    assert_eq!(world.expires(&jane).await?, "2026-02-28T09:00:00.000Z");
    assert_eq!(world.count("select count(*) from payment_inbox").await?, 51);
    world.end().await
}

/// C4: a success that comes ten minutes, a day or eight days late still credits and activates.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_success_is_not_refused() -> Result<()> {
    let world = given_world().await?;
    let silent = Payer {
        callback: Callback::Held,
        query: QueryAnswer::Error("503.001.01".into()),
        ..Payer::prompt()
    };
    world.outside.mpesa.script_everybody(silent);
    for (number, minutes) in [10, 24 * 60, 8 * 24 * 60].into_iter().enumerate() {
        let phone = format!("07123456{number:02}");
        let customer = world.customer(&format!("payer{number}"), &phone).await?;
        let before = world.expires(&customer).await?;
        let checkout = world.owner.ask_to_pay(&customer, 1_000).await?;
        world
            .outside
            .mpesa
            .until(|books| books.find(&checkout)?.receipt().map(str::to_owned))
            .await;
        world.clock.advance(Duration::from_secs(minutes * 60));
        // The owner's session ends after seven days.
        let owner = Operator::login(
            world.cloud.http_addr,
            "owner@acme.example",
            "a-long-password",
        );
        let world_owner = owner.await;
        world.outside.mpesa.release(&checkout);
        world.outside.mpesa.called_back(&checkout, 1).await;
        world.worked().await?;

        let credited = "select count(*) from intents where state = 'POSTED'";
        assert_eq!(
            world.count(credited).await?,
            number as i64 + 1,
            "{minutes} minutes"
        );
        if world_owner.is_ok() && minutes < 7 * 24 * 60 {
            assert_ne!(world.expires(&customer).await?, before, "{minutes} minutes");
        }
    }
    assert_eq!(world.count("select count(*) from periods").await?, 3);
    world.end().await
}

/// C5: what somebody forges credits nothing: a guessed secret, a wrong amount, an unknown prompt, an old
/// body again.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_callback_credits_nothing() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let held = Payer {
        callback: Callback::Never,
        result: PinResult::Code(1032),
        ..Payer::prompt()
    };
    world.outside.mpesa.script(PHONE, held);
    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let prompt = world.transaction(&checkout).await?;
    let url = prompt.callback_url.clone();
    let token = url.split('/').rev().nth(1).context("a token")?.to_owned();

    let body = callback::paid(&prompt, "SJK4H7L2PQ", "1000.0", STAMP);
    let guessed = url.replace(&token, &"0".repeat(64));
    assert_eq!(world.post(&guessed, &body).await?, 404);
    assert_eq!(world.count("select count(*) from payment_inbox").await?, 0);

    let other = Transaction {
        checkout_request_id: "ws_CO_unknown".into(),
        ..prompt.clone()
    };
    let unknown = callback::paid(&other, "SJK4H7L2PR", "1000.0", STAMP);
    let tokened = format!("http://{}/api/hooks/stk/{token}", world.cloud.http_addr);
    assert_eq!(world.post(&tokened, &unknown).await?, 200);
    assert_eq!(world.post(&url, &unknown).await?, 200);
    let wrong = callback::paid(&prompt, "SJK4H7L2PQ", "100000.0", STAMP);
    assert_eq!(world.post(&url, &wrong).await?, 200);
    assert_eq!(world.post(&url, &json!("nonsense")).await?, 200);
    world.worked().await?;
    assert_eq!(world.credits().await?, 0);

    // Our own query decides: it was cancelled.
    world.query(&checkout).await?;
    world.until(&checkout, "failed").await?;
    assert_eq!(world.credits().await?, 0);
    let review = "select count(*) from intents where needs_review is not null";
    assert_eq!(world.count(review).await?, 1);

    // A body that was true once is not true again, for whatever prompt it is sent.
    world.outside.mpesa.script(PHONE, Payer::prompt());
    let paid = world.owner.ask_to_pay(&jane, 1_000).await?;
    world.until(&paid, "completed").await?;
    let old = callback::body(&world.transaction(&paid).await?, STAMP).context("it ended")?;
    for address in [&url, &tokened] {
        assert_eq!(world.post(address, &old).await?, 200);
    }
    world.worked().await?;
    assert_eq!(world.credits().await?, 1);
    world.end().await
}

/// C6: whatever was paid is booked: less waits in the wallet, more stays there, and an amount that is none
/// is a person's question.
#[tokio::test(flavor = "multi_thread")]
async fn another_amount_than_the_price_is_booked_as_it_was_paid() -> Result<()> {
    let world = given_world().await?;
    for (number, (amount, wallet, periods, reviewed)) in [
        ("999", json!(999), 0, 0),
        ("1001.0", json!(1), 1, 0),
        ("\"1000.50\"", json!(0.5), 1, 0),
        ("0", json!(0), 1, 1),
        ("-5", json!(0), 1, 1),
        ("99999999999", json!(0), 1, 1),
        ("\"much\"", json!(0), 1, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let phone = format!("07123456{number:02}");
        let customer = world.customer(&format!("payer{number}"), &phone).await?;
        let paid = Paid::Exactly(amount.into());
        world.outside.mpesa.script(
            &phone,
            Payer {
                paid,
                ..Payer::prompt()
            },
        );
        let before = world.count("select count(*) from periods").await?;
        let reviews = "select count(*) from intents where needs_review is not null";
        let before_reviews = world.count(reviews).await?;

        let checkout = world.owner.ask_to_pay(&customer, 1_000).await?;
        world.outside.mpesa.called_back(&checkout, 1).await;
        world.worked().await?;
        // The callback alone is not believed; our query is.
        world.query(&checkout).await?;
        world.until(&checkout, "completed").await?;
        assert_eq!(world.wallet(&customer).await?, wallet, "{amount}");
        let bought = world.count("select count(*) from periods").await? - before;
        assert_eq!(bought, periods, "{amount}");
        assert_eq!(
            world.count(reviews).await? - before_reviews,
            reviewed,
            "{amount}"
        );
    }
    world.end().await
}

/// C8: the body is durable before the answer, and 503 when it is not; work that fails afterwards is done
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_kept_before_it_is_answered() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    world.outside.mpesa.script(
        PHONE,
        Payer {
            callback: Callback::Never,
            ..Payer::prompt()
        },
    );
    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    world
        .outside
        .mpesa
        .until(|books| books.find(&checkout)?.receipt().map(str::to_owned))
        .await;
    let prompt = world.transaction(&checkout).await?;
    let body = callback::body(&prompt, STAMP).context("it ended")?;

    world
        .tamper("revoke insert on payment_inbox from easyisp_app")
        .await?;
    assert_eq!(world.post(&prompt.callback_url, &body).await?, 503);
    world
        .tamper("grant insert on payment_inbox to easyisp_app")
        .await?;

    // Nobody can work on it while somebody else holds the payment; it is answered all the same.
    let mut holder = world.tamper("begin").await?;
    sqlx::query("select from intents for update")
        .execute(&mut holder)
        .await?;
    assert_eq!(world.post(&prompt.callback_url, &body).await?, 200);
    let waiting = "select count(*) from payment_inbox where processed_at is null";
    assert_eq!(world.count(waiting).await?, 1);
    // Longer than a statement waits for a lock: the work fails.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(world.credits().await?, 0);
    sqlx::query("rollback").execute(&mut holder).await?;

    world.clock.advance(Duration::from_secs(6));
    world.worked().await?;
    world.until(&checkout, "completed").await?;
    assert_eq!(world.credits().await?, 1);
    world.end().await
}

/// Nobody is on an empty list: a callback waits for our own query, which is sent at once, and a refusal is
/// no more believed than a success.
#[tokio::test(flavor = "multi_thread")]
async fn from_an_unlisted_source_our_query_decides_at_once() -> Result<()> {
    let world = given_world_listing(&[]).await?;
    let jane = world.customer("jane", PHONE).await?;
    world.outside.mpesa.script(
        PHONE,
        Payer {
            pin: Pin::Held,
            callback: Callback::Held,
            ..Payer::prompt()
        },
    );
    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let prompt = world.transaction(&checkout).await?;
    let address = &prompt.callback_url;
    let forged = callback::paid(&prompt, "SJK4H7L2PQ", "1000.0", STAMP);
    let refused = callback::refused(&prompt, 1032);
    for body in [&forged, &refused] {
        assert_eq!(world.post(address, body).await?, 200);
        world.worked().await?;
        assert_eq!(world.status(&checkout).await?["status"], "pending");
        world.clock.advance(Duration::from_secs(3));
    }
    assert_eq!(world.credits().await?, 0);

    // The clock stands: no schedule asks, only the callback does.
    let john = world.customer("john", "0712345679").await?;
    let paid = world.owner.ask_to_pay(&john, 1_000).await?;
    let status = world.until(&paid, "completed").await?;
    let transaction = world.transaction(&paid).await?;
    assert_eq!(status["receipt"].as_str(), transaction.receipt());
    let confirmed = "select count(*) from intents where confirmed_at is not null";
    assert_eq!(world.count(confirmed).await?, 1);
    world.end().await
}

/// A prompt is paid once. A second receipt for it, and money at its address that names another prompt, are
/// a person's question and never his second credit.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_receipt_for_one_prompt_is_nobodys_until_a_person_decides() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    world.until(&checkout, "completed").await?;
    let prompt = world.transaction(&checkout).await?;

    let second = callback::paid(&prompt, "SJK4H7L2PQ", "1000.0", STAMP);
    assert_eq!(world.post(&prompt.callback_url, &second).await?, 200);
    world.worked().await?;
    assert_eq!(world.wallet(&jane).await?, json!(0));
    let held = "select count(*) from payments where customer_id is null and receipt = 'SJK4H7L2PQ'";
    assert_eq!(world.count(held).await?, 1);
    let reviews = "select count(*) from intents where needs_review is not null";
    assert_eq!(world.count(reviews).await?, 1);

    let john = world.customer("john", "0712345679").await?;
    let other = world.owner.ask_to_pay(&john, 1_000).await?;
    world.until(&other, "completed").await?;
    let address = world.transaction(&other).await?.callback_url;
    let lost = callback::paid(&prompt, "SJK4H7L2PR", "1000.0", STAMP);
    assert_eq!(world.post(&address, &lost).await?, 200);
    world.worked().await?;
    assert_eq!(world.count(reviews).await?, 2);
    assert_eq!(world.credits().await?, 3);
    world.end().await
}
