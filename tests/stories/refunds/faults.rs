//! M-Pesa does not answer, answers late, refuses, or the server stops in between: nothing is sent twice.

use std::time::Duration;

use anyhow::Result;
use easyisp_tests::scenario::{Callback, Errand, PushAnswer};
use easyisp_tests::world::{World, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{Shop, errand, given, refused, sendings};
use crate::c2b::{count, worked};
use crate::words::{HOUR, MINUTE};

fn keep() -> Value {
    json!({"service": "KEEP", "reason": "x"})
}

/// A part of the payment, which goes to the phone.
fn part() -> Value {
    json!({"amount": 400, "service": "KEEP", "reason": "x"})
}

async fn balanced(world: &World, shop: &Shop, aside: i64, back: i64) -> Result<()> {
    worked(world, &shop.isp).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    assert_eq!(shop.set_aside(world).await?, aside);
    assert_eq!(world.outside.mpesa.books().given_back(), back);
    Ok(())
}

/// M-Pesa takes it and never answers, or the result overtakes the answer: it went once.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_asked_after_and_never_sent_again() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let mpesa = &world.outside.mpesa;
    let payment = shop.paid(&world, "2000").await?;
    // The result comes, the answer does not.
    mpesa.script_errands(errand(PushAnswer::AcceptedThenSilence, Callback::Now));
    let refund = shop.sends_back(&payment, part()).await?;
    shop.until(&refund, "DONE").await?;
    balanced(&world, &shop, 0, 400).await?;

    // Neither comes, and it went: M-Pesa says so when it is asked.
    mpesa.script_errands(errand(PushAnswer::AcceptedThenSilence, Callback::Never));
    let refund = shop.sends_back(&payment, part()).await?;
    shop.until(&refund, "UNKNOWN").await?;
    balanced(&world, &shop, 40_000, 800).await?;
    mpesa.script_errands(Errand::default());
    world.clock.advance(2 * MINUTE);
    shop.until(&refund, "DONE").await?;
    assert_eq!(sendings(&world), 2);
    balanced(&world, &shop, 0, 800).await?;

    // It never came there: M-Pesa knows nothing of it, for a day; then a person says so, and another one than asked.
    mpesa.script_errands(errand(PushAnswer::Lost, Callback::Now));
    let refund = shop.sends_back(&payment, part()).await?;
    shop.until(&refund, "UNKNOWN").await?;
    mpesa.script_errands(Errand::default());
    for _ in 0..60 {
        world.clock.advance(HOUR);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eventually("it is for a person", async || {
        let shown = shop
            .isp
            .owner
            .get(&format!("/payments/refunds/{refund}"))
            .await?;
        Ok(shown["message"]
            .to_string()
            .contains("statement")
            .then_some(()))
    })
    .await?;
    shop.until(&refund, "UNKNOWN").await?;
    let path = format!("/payments/refunds/{refund}/outcome");
    let not_sent = json!({"sent": false});
    refused(
        &shop.clerk,
        &path,
        not_sent.clone(),
        StatusCode::FORBIDDEN,
        "OWN_REFUND",
    )
    .await?;
    let no_receipt = json!({"sent": true});
    refused(
        &shop.isp.owner,
        &path,
        no_receipt,
        StatusCode::BAD_REQUEST,
        "",
    )
    .await?;
    shop.isp.owner.post(&path, &not_sent).await?;
    shop.until(&refund, "FAILED").await?;
    refused(
        &shop.isp.owner,
        &path,
        not_sent,
        StatusCode::CONFLICT,
        "REFUND_KNOWN",
    )
    .await?;
    assert_eq!(sendings(&world), 2);
    balanced(&world, &shop, 0, 800).await?;
    world.stop().await
}

/// What M-Pesa refuses is its owner's again; what it is too busy for is sent later, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_its_owners_again() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let mpesa = &world.outside.mpesa;
    let payment = shop.paid(&world, "2000").await?;
    let wallet = shop.wallet().await?;
    let refused_at_once = errand(PushAnswer::Error("400.002.02".into()), Callback::Now);
    let no_money = Errand {
        code: Some((
            "1".into(),
            "The balance is insufficient for the transaction.".into(),
        )),
        ..Errand::default()
    };
    for fault in [refused_at_once, no_money] {
        mpesa.script_errands(fault);
        let refund = shop.sends_back(&payment, part()).await?;
        let failed = shop.until(&refund, "FAILED").await?;
        assert!(failed["message"].is_string(), "{failed}");
        assert_eq!(shop.wallet().await?, wallet);
        balanced(&world, &shop, 0, 0).await?;
    }
    mpesa.script_errands(errand(
        PushAnswer::Error("500.003.02".into()),
        Callback::Now,
    ));
    let refund = shop.sends_back(&payment, part()).await?;
    eventually("M-Pesa was too busy", async || {
        let shown = shop
            .isp
            .owner
            .get(&format!("/payments/refunds/{refund}"))
            .await?;
        Ok((shown["state"] == "APPROVED" && shown["message"].is_string()).then_some(()))
    })
    .await?;
    balanced(&world, &shop, 40_000, 0).await?;
    mpesa.script_errands(Errand::default());
    world.clock.advance(5 * MINUTE);
    shop.until(&refund, "DONE").await?;
    balanced(&world, &shop, 0, 400).await?;
    // An unknown code decides nothing: M-Pesa is asked, and has not done it.
    mpesa.script_errands(Errand {
        code: Some(("4711".into(), "Something new".into())),
        ..Errand::default()
    });
    let refund = shop.sends_back(&payment, part()).await?;
    shop.until(&refund, "UNKNOWN").await?;
    mpesa.script_errands(Errand::default());
    world.clock.advance(2 * MINUTE);
    shop.until(&refund, "FAILED").await?;
    balanced(&world, &shop, 0, 400).await?;
    world.stop().await
}

/// A reversal without an answer has no name by which to ask: the payment itself decides nothing, and M-Pesa's late
/// word or a person's does.
#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_that_nobody_saw_is_settled_by_a_late_word() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let mpesa = &world.outside.mpesa;
    let payment = shop.paid(&world, "1000").await?;
    let receipt = mpesa.books().direct()[0].receipt.clone();
    mpesa.script_errands(errand(PushAnswer::AcceptedThenSilence, Callback::Held));
    let refund = shop.sends_back(&payment, keep()).await?;
    shop.until(&refund, "UNKNOWN").await?;
    mpesa.script_errands(Errand::default());
    world.clock.advance(2 * MINUTE);
    let asked = "select count(*) from inquiries where state = 'UNDECIDED'";
    eventually("M-Pesa was asked", async || {
        Ok((count(&world, &shop.isp, asked).await? == 1).then_some(()))
    })
    .await?;
    shop.until(&refund, "UNKNOWN").await?;
    balanced(&world, &shop, 100_000, 1000).await?;
    mpesa.release(&receipt);
    shop.until(&refund, "DONE").await?;
    assert_eq!(sendings(&world), 1);
    balanced(&world, &shop, 0, 1000).await?;
    world.stop().await
}

/// M-Pesa did not come to it in time, says no, and then yes: what left is gone in the books too.
#[tokio::test(flavor = "multi_thread")]
async fn a_no_that_was_a_yes_is_booked() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let mpesa = &world.outside.mpesa;
    let payment = shop.paid(&world, "2000").await?;
    let late = Errand {
        late: true,
        ..Errand::default()
    };
    mpesa.script_errands(late);
    let refund = shop.sends_back(&payment, part()).await?;
    shop.until(&refund, "UNKNOWN").await?;
    mpesa.script_errands(Errand::default());
    world.clock.advance(2 * MINUTE);
    shop.until(&refund, "FAILED").await?;
    balanced(&world, &shop, 0, 0).await?;

    mpesa.script_errands(errand(PushAnswer::Accepted, Callback::Held));
    let refund = shop.sends_back(&payment, part()).await?;
    shop.until(&refund, "SENT").await?;
    eventually("M-Pesa has taken it", async || {
        let taken =
            "select count(*) from refunds where state = 'SENT' and conversation_id is not null";
        Ok((count(&world, &shop.isp, taken).await? == 1).then_some(()))
    })
    .await?;
    // Somebody says that it did not go, and it did.
    world.clock.advance(10 * MINUTE);
    mpesa.script_errands(errand(PushAnswer::Accepted, Callback::Never));
    shop.until(&refund, "UNKNOWN").await?;
    let path = format!("/payments/refunds/{refund}/outcome");
    shop.isp.owner.post(&path, &json!({"sent": false})).await?;
    balanced(&world, &shop, 0, 400).await?;
    mpesa.release("254712345601");
    shop.until(&refund, "DONE").await?;
    balanced(&world, &shop, 0, 400).await?;
    world.stop().await
}

/// The server stops between sending and hearing: who finds it written asks, and does not send it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_in_between_sends_nothing_twice() -> Result<()> {
    let mut world = World::start().await?;
    let shop = given(&world).await?;
    let payment = shop.paid(&world, "2000").await?;
    let silent = errand(PushAnswer::AcceptedThenSilence, Callback::Never);
    world.outside.mpesa.script_errands(silent);
    let refund = shop.sends_back(&payment, part()).await?;
    let sent = world
        .outside
        .mpesa
        .until(|books| books.errands().last().map(|_| ()));
    sent.await;
    let tenant = shop.isp.tenant().await?;
    world.stop_cloud().await?;
    // As a server that was killed leaves it: written as sent, and nobody heard anything.
    let mut owner = PgConnection::connect_with(&world.database.owner()).await?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(tenant.to_string())
        .execute(&mut owner)
        .await?;
    sqlx::query("update refunds set state = 'SENT', message = null, conversation_id = null")
        .execute(&mut owner)
        .await?;
    sqlx::query(
        "update directory.jobs set due_at = $1, lease_owner = null, lease_until = null where kind = 'payments.refund'",
    )
    .bind(world.clock.now())
    .execute(&mut owner)
    .await?;
    drop(owner);
    world.outside.mpesa.script_errands(Errand::default());
    world.clock.advance(5 * MINUTE);
    world.start_cloud().await?;
    shop.until(&refund, "DONE").await?;
    assert_eq!(sendings(&world), 1);
    balanced(&world, &shop, 0, 400).await?;
    assert_eq!(
        shop.isp.owner.get("/payments/refunds?state=DONE").await?["total"],
        1
    );
    world.stop().await
}
