//! What names nobody is kept, and a person of the platform says whose it is.

use anyhow::{Context, Result};
use easyisp_tests::scenario::{Callback, Payer, Pin};
use easyisp_tests::world::{World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::{Kiosk, given_world, refused};
use super::{STRAY, pay, slip, stranger, told_of};
use crate::words::MINUTE;

/// A slip is nobody's, is seen by the platform's people alone and given to somebody once, with a reason that stands in
/// the provider's own trail; M-Pesa may say it as often as it likes.
#[tokio::test(flavor = "multi_thread")]
async fn a_slip_is_nobodys_until_a_person_gives_it_to_somebody() -> Result<()> {
    let world = given_world().await?;
    let kiosk = told_of(&world).await?;
    let (stall, his_number) = stranger(&world).await?;
    let number = kiosk.number().await?;
    let receipt = pay(&world, "1000", &slip(&number)).await?;
    let words = pay(&world, "20", "the kiosk").await?;
    let stray = kiosk.becomes_stray(&receipt, "OPEN").await?;
    assert_eq!(stray["account"], slip(&number), "{stray}");
    assert_eq!(
        (&stray["amount"], &stray["vouched"], &stray["accountNumber"]),
        (&json!(1000), &json!(true), &Value::Null),
        "{stray}"
    );
    kiosk.becomes_stray(&words, "OPEN").await?;
    kiosk.has(&world, 0, 0).await?;
    let paged = format!("{STRAY}?page=2&pageSize=1");
    let page = kiosk.platform.get(&paged).await?;
    assert_eq!(
        (&page["total"], &page["page"]),
        (&json!(2), &json!(2)),
        "{page}"
    );
    assert_eq!(page["payments"].as_array().map(Vec::len), Some(1), "{page}");

    // No provider sees it or gives it to himself.
    let path = format!("{STRAY}/{receipt}/assign");
    let wish = json!({"accountNumber": number, "reason": "Mine"});
    for owner in [&kiosk.isp.owner, &stall.owner] {
        for (method, path) in [(Method::GET, STRAY), (Method::POST, path.as_str())] {
            let at = (method, path);
            refused(
                owner,
                at,
                wish.clone(),
                StatusCode::FORBIDDEN,
                "PLATFORM_ONLY",
            )
            .await?;
        }
    }
    // Nor does a person of the platform without his password, a reason, or a customer of somebody it collects for.
    world.clock.advance(6 * MINUTE);
    let post = || (Method::POST, path.as_str());
    let fresh = "FRESH_LOGIN_REQUIRED";
    refused(
        &kiosk.platform,
        post(),
        wish.clone(),
        StatusCode::FORBIDDEN,
        fresh,
    )
    .await?;
    kiosk.platform.confirm().await?;
    for wish in [
        json!({"accountNumber": number, "reason": "  "}),
        json!({"accountNumber": slip(&number), "reason": "Rang up"}),
        json!({"accountNumber": nobodys(&number, &his_number), "reason": "Rang up"}),
    ] {
        refused(&kiosk.platform, post(), wish, StatusCode::BAD_REQUEST, "").await?;
    }
    kiosk
        .assign_refused(&receipt, &his_number, "NOT_COLLECTED")
        .await?;
    let unknown = format!("{STRAY}/SJK4H7L2ZZ/assign");
    let at = (Method::POST, unknown.as_str());
    refused(&kiosk.platform, at, wish.clone(), StatusCode::NOT_FOUND, "").await?;
    kiosk.has(&world, 0, 0).await?;

    let given = kiosk.assign(&receipt, &number).await?;
    assert_eq!(
        (&given["state"], &given["accountNumber"]),
        (&json!("ASSIGNED"), &json!(number)),
        "{given}"
    );
    let active = |customer: &Value| customer["status"] == "ACTIVE";
    kiosk
        .isp
        .customer_becomes(&kiosk.amina, "paid", active)
        .await?;
    kiosk.has(&world, 1000, 1).await?;
    kiosk.assign_refused(&receipt, &number, "ASSIGNED").await?;
    world.outside.mpesa.confirm_again(&receipt).await;
    kiosk.has(&world, 1000, 1).await?;
    assert_eq!(kiosk.strays("ASSIGNED").await?.len(), 1);
    assert_eq!(kiosk.strays("OPEN").await?.len(), 1);
    assert_eq!(told_in_trail(&world, &kiosk).await?, 1);
    world.stop().await
}

/// Money for a provider whom the platform does not collect for is nobody's, until it does; and what is booked by another
/// way, as a prompt of before is, cannot be given to anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_who_is_off_gets_nothing_by_himself() -> Result<()> {
    let world = given_world().await?;
    let kiosk = told_of(&world).await?;
    let number = kiosk.number().await?;
    let mpesa = &world.outside.mpesa;

    // A prompt is paid, and its confirmation overtakes its callback and the end of collecting.
    mpesa.script_everybody(Payer {
        pin: Pin::Held,
        callback: Callback::Held,
        ..Payer::default()
    });
    let checkout = kiosk.isp.ask_to_pay(&kiosk.amina, 200).await?;
    kiosk.switch(false).await?;
    mpesa.type_pin(&checkout);
    let paid = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
    let prompted = soon("the payer types his PIN", paid).await?;
    kiosk.becomes_stray(&prompted, "OPEN").await?;
    mpesa.release(&checkout);
    kiosk.becomes_stray(&prompted, "BOOKED").await?;
    kiosk.has(&world, 200, 1).await?;

    let receipt = pay(&world, "1000", &number).await?;
    kiosk.becomes_stray(&receipt, "OPEN").await?;
    kiosk.has(&world, 200, 1).await?;
    kiosk
        .assign_refused(&receipt, &number, "NOT_COLLECTED")
        .await?;
    kiosk.switch(true).await?;
    kiosk
        .assign_refused(&prompted, &number, "RECEIPT_USED")
        .await?;
    kiosk.assign(&receipt, &number).await?;
    kiosk.has(&world, 1200, 2).await?;
    assert_eq!(kiosk.strays("OPEN").await?, Vec::<Value>::new());
    world.stop().await
}

/// A prompt whose callback never came was credited by asking, while its confirmation is nobody's, as its provider was off
/// by then: who gives that to the customer who has it already gives him nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_prompt_brought_is_given_to_nobody_twice() -> Result<()> {
    let world = given_world().await?;
    let kiosk = told_of(&world).await?;
    let number = kiosk.number().await?;
    let mpesa = &world.outside.mpesa;
    mpesa.script_everybody(Payer {
        pin: Pin::Held,
        callback: Callback::Never,
        ..Payer::default()
    });
    let checkout = kiosk.isp.ask_to_pay(&kiosk.amina, 200).await?;
    kiosk.switch(false).await?;
    mpesa.type_pin(&checkout);
    let paid = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
    let prompted = soon("the payer types his PIN", paid).await?;
    kiosk.becomes_stray(&prompted, "OPEN").await?;
    eventually("it is credited by asking", async || {
        world.clock.advance(MINUTE);
        let customer = kiosk.isp.customer(&kiosk.amina).await?;
        Ok((customer["walletBalance"] == 200).then_some(()))
    })
    .await?;
    kiosk.switch(true).await?;
    kiosk.assign(&prompted, &number).await?;
    kiosk.has(&world, 200, 1).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// An account number that is right and nobody's.
fn nobodys(one: &str, other: &str) -> String {
    let taken = [one, other];
    let all = (0..100_000).map(easyisp_shared::account::AccountNumber::nth);
    let mut free = all.map(|number| number.to_string());
    free.find(|number| !taken.contains(&number.as_str()))
        .expect("not all of them are taken")
}

async fn told_in_trail(world: &World, kiosk: &Kiosk) -> Result<i64> {
    let mut tx = world.db().begin(kiosk.isp.tenant().await?).await?;
    let lines = sqlx::query_scalar(
        "select count(*) from audit
          where action = 'STRAY_ASSIGN' and actor_kind = 'PLATFORM' and actor_id is not null
            and details like '%Rang up: one digit wrong%'",
    );
    lines.fetch_one(&mut *tx).await.context("the trail")
}
