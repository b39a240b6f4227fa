//! M-Pesa does not answer, answers twice, says one thing and then another, or the server stops in between: what is
//! collected is paid out once.

use anyhow::{Context, Result};
use easyisp_tests::operator::http_client;
use easyisp_tests::scenario::{Callback, Errand, PushAnswer};
use easyisp_tests::world::{World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::{Kiosk, given, given_world, pause, refused, sendings};
use crate::words::{DAY, HOUR, MINUTE};

fn errand(answer: PushAnswer, result: Callback) -> Errand {
    Errand {
        answer,
        result,
        ..Errand::default()
    }
}

async fn collecting(world: &World) -> Result<Kiosk> {
    let kiosk = given(world).await?;
    kiosk.switch(true).await?;
    Ok(kiosk)
}

/// The answer or the result is lost, or both; told twice; M-Pesa is busy or refuses: each shilling goes once, and what
/// did not go is in the next day's.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_mpesa_answers_each_shilling_goes_once() -> Result<()> {
    let world = given_world().await?;
    let kiosk = collecting(&world).await?;
    let mpesa = &world.outside.mpesa;
    let twice = Callback::Repeated {
        times: 2,
        apart: std::time::Duration::ZERO,
    };
    let mut settled = 0;
    for (nth, (script, asked)) in [
        (errand(PushAnswer::Accepted, twice), false),
        // The result comes, the answer does not.
        (
            errand(PushAnswer::AcceptedThenSilence, Callback::Now),
            false,
        ),
        // The answer comes, the result does not: M-Pesa says so when it is asked.
        (errand(PushAnswer::Accepted, Callback::Never), true),
    ]
    .into_iter()
    .enumerate()
    {
        mpesa.script_errands(script);
        kiosk.pays(&world, 100).await?;
        world.clock.advance(DAY);
        settled += 100;
        if asked {
            kiosk.until(nth + 1, "SENT").await?;
            mpesa.script_errands(Errand::default());
            for _ in 0..4 {
                world.clock.advance(5 * MINUTE);
                pause().await;
            }
        }
        kiosk.until(nth + 1, "DONE").await?;
        kiosk.balanced(&world, 0, settled).await?;
    }
    assert_eq!(sendings(&world).len(), 3);

    // Refused: it is held, and in the next day's.
    mpesa.script_errands(errand(
        PushAnswer::Error("400.002.02".into()),
        Callback::Now,
    ));
    kiosk.pays(&world, 100).await?;
    world.clock.advance(DAY);
    let failed = kiosk.until(4, "FAILED").await?;
    assert!(failed["message"].is_string(), "{failed}");
    kiosk.balanced(&world, 100, settled).await?;
    // Too busy: later, once.
    mpesa.script_errands(errand(
        PushAnswer::Error("500.003.02".into()),
        Callback::Now,
    ));
    kiosk.pays(&world, 100).await?;
    world.clock.advance(DAY);
    kiosk.until(5, "DUE").await?;
    mpesa.script_errands(Errand::default());
    for _ in 0..4 {
        world.clock.advance(5 * MINUTE);
        pause().await;
    }
    let done = kiosk.until(5, "DONE").await?;
    assert_eq!(done["amount"], 200);
    kiosk.balanced(&world, 0, settled + 200).await?;
    world.stop().await
}

/// Nobody saw whether M-Pesa took it, and it has no name to be asked by: a day later a person of the platform says what
/// the statement shows. Until then it is not sent again, and the next day's has it not in it.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_saw_is_for_a_person() -> Result<()> {
    let world = given_world().await?;
    let kiosk = collecting(&world).await?;
    let mpesa = &world.outside.mpesa;
    mpesa.script_errands(errand(PushAnswer::Lost, Callback::Now));
    kiosk.pays(&world, 100).await?;
    world.clock.advance(DAY);
    let unknown = kiosk.until(1, "UNKNOWN").await?;
    mpesa.script_errands(Errand::default());
    let id = unknown["id"].as_str().context("an id")?;
    let path = format!("{}/settlements/{id}/outcome", kiosk.path);
    let (post, conflict) = ((Method::POST, path.as_str()), StatusCode::CONFLICT);
    kiosk.platform.confirm().await?;
    let not_sent = json!({"sent": false});
    let early = refused(
        &kiosk.platform,
        post.clone(),
        not_sent.clone(),
        conflict,
        "SETTLEMENT_WAITING",
    );
    early.await?;
    // Somebody else's people are not asked.
    let forbidden = StatusCode::FORBIDDEN;
    refused(
        &kiosk.isp.owner,
        post.clone(),
        not_sent.clone(),
        forbidden,
        "PLATFORM_ONLY",
    )
    .await?;

    kiosk.pays(&world, 50).await?;
    for _ in 0..30 {
        world.clock.advance(HOUR);
        pause().await;
    }
    let name = format!(
        "Settlement of {}",
        unknown["day"].as_str().context("a day")?
    );
    // On a busy machine the next one is told of too, until its answer is there.
    let told = eventually("it is told", async || {
        world.clock.advance(std::time::Duration::from_secs(60));
        let shown = kiosk.isp.owner.get("/snmp/alerts").await?;
        let alerts = shown["alerts"].as_array().into_iter().flatten();
        let mut alerts = alerts.filter(|alert| alert["rule"] == "PAYOUT_UNKNOWN");
        Ok(alerts.find(|alert| alert["device"] == name).cloned())
    });
    let told = told.await?;
    assert_eq!(told["siteId"], json!(null), "{told}");
    let next = kiosk.until(2, "DONE").await?;
    assert_eq!(next["amount"], 50, "{next}");
    kiosk.until(1, "UNKNOWN").await?;
    kiosk.balanced(&world, 100, 50).await?;
    kiosk.platform.confirm().await?;
    let no_receipt = json!({"sent": true});
    refused(
        &kiosk.platform,
        post.clone(),
        no_receipt,
        StatusCode::BAD_REQUEST,
        "",
    )
    .await?;
    kiosk.platform.post(&path, &not_sent).await?;
    kiosk.until(1, "FAILED").await?;
    refused(
        &kiosk.platform,
        post,
        not_sent,
        conflict,
        "SETTLEMENT_KNOWN",
    )
    .await?;
    world.clock.advance(DAY);
    let last = kiosk.until(3, "DONE").await?;
    assert_eq!(last["amount"], 100);
    kiosk.balanced(&world, 0, 150).await?;
    world.stop().await
}

/// M-Pesa says that it did not go, and then that it did; and the other way: what went is gone in the books, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_no_that_was_a_yes_is_booked_and_a_yes_stays() -> Result<()> {
    let world = given_world().await?;
    let kiosk = collecting(&world).await?;
    let mpesa = &world.outside.mpesa;
    mpesa.script_errands(errand(PushAnswer::Accepted, Callback::Held));
    kiosk.pays(&world, 100).await?;
    world.clock.advance(DAY);
    kiosk.until(1, "SENT").await?;
    let sent = mpesa.until(|books| {
        let mut all = books.errands().iter();
        all.find(|errand| errand.organisation.is_some()).cloned()
    });
    let sent = sent.await;
    let told = async |code: u32, url: &str| -> Result<u16> {
        let body = json!({"Result": {"ResultType": 0, "ResultCode": code, "ResultDesc": "Said",
            "OriginatorConversationID": sent.name, "ConversationID": sent.conversation,
            "TransactionID": sent.receipt}});
        let answer = http_client().post(url).json(&body).send().await?;
        Ok(answer.status().as_u16())
    };
    assert_eq!(told(1, &sent.result_url).await?, 200);
    kiosk.until(1, "FAILED").await?;
    kiosk.balanced(&world, 100, 100).await?;
    mpesa.release(super::TILL);
    let done = kiosk.until(1, "DONE").await?;
    assert!(done["message"].is_string(), "{done}");
    kiosk.balanced(&world, 0, 100).await?;
    assert_eq!(told(1, &sent.result_url).await?, 200);
    crate::c2b::worked(&world, &kiosk.isp).await?;
    kiosk.until(1, "DONE").await?;
    // Whoever makes an address up is nobody.
    let made_up = sent.result_url.replace("/done/", "/done/0");
    assert_eq!(told(0, &made_up).await?, 404);
    kiosk.balanced(&world, 0, 100).await?;
    world.stop().await
}

/// The server stops between sending and hearing: who finds it written does not send it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_in_between_pays_out_once() -> Result<()> {
    let mut world = given_world().await?;
    let kiosk = collecting(&world).await?;
    let held = errand(PushAnswer::AcceptedThenSilence, Callback::Held);
    world.outside.mpesa.script_errands(held);
    kiosk.pays(&world, 100).await?;
    world.clock.advance(DAY);
    let sent = world
        .outside
        .mpesa
        .until(|books| books.errands().last().map(|_| ()));
    sent.await;
    let tenant = kiosk.isp.tenant().await?;
    world.stop_cloud().await?;
    // As a server that was killed leaves it: written as sent, and nobody heard anything.
    let mut owner = PgConnection::connect_with(&world.database.owner()).await?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(tenant.to_string())
        .execute(&mut owner)
        .await?;
    sqlx::query("update settlements set state = 'SENT', message = null, conversation_id = null")
        .execute(&mut owner)
        .await?;
    sqlx::query(
        "update directory.jobs set due_at = $1, lease_owner = null, lease_until = null
          where kind = 'payments.pay-out'",
    )
    .bind(world.clock.now())
    .execute(&mut owner)
    .await?;
    drop(owner);
    world.clock.advance(5 * MINUTE);
    world.start_cloud().await?;
    kiosk.until(1, "UNKNOWN").await?;
    world.outside.mpesa.release(super::TILL);
    kiosk.until(1, "DONE").await?;
    assert_eq!(sendings(&world).len(), 1);
    kiosk.balanced(&world, 0, 100).await?;
    world.stop().await
}
