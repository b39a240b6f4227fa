//! M-Pesa tells of nothing by itself: it is asked every ten minutes what has come to the platform's short code.

use anyhow::{Context, Result};
use easyisp_tests::mpesa::App;
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::{CENTRAL, given, given_world, refused};
use super::{REGISTER, STRANGER, register, slip};
use crate::c2b::gateway;
use crate::words::MINUTE;

/// V3: with no confirmation at all each payment is found within ten minutes: booked for whose number was typed, kept as
/// nobody's otherwise, and asked after as a top-up where it came under their account. Once, however often it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_confirmation_told_of_is_found_by_asking() -> Result<()> {
    let world = given_world().await?;
    let kiosk = given(&world).await?;
    kiosk.switch(true).await?;
    let wrong = (Method::POST, REGISTER);
    let body = json!({"pullNumber": "12"});
    refused(&kiosk.platform, wrong, body, StatusCode::BAD_REQUEST, "").await?;
    // As a gateway of the platform's own, with keys, it would have two doors.
    let own = gateway(&App::paybill(CENTRAL));
    let own = kiosk.platform.post("/payment-gateways", &own).await?;
    let at = (Method::POST, REGISTER);
    let conflict = StatusCode::CONFLICT;
    refused(&kiosk.platform, at, json!({}), conflict, "OWN_SHORT_CODE").await?;
    let path = format!("/payment-gateways/{}", own["id"].as_str().context("an id")?);
    let (gone, _) = kiosk.platform.call(Method::DELETE, &path, None).await?;
    assert!(gone.is_success());
    kiosk.asks(&world).await?;
    let mpesa = &world.outside.mpesa;
    mpesa.script_everybody(Payer {
        callback: Callback::Never,
        confirmation: Callback::Never,
        ..Payer::prompt()
    });
    world.clock.advance(MINUTE);
    let number = kiosk.number().await?;
    let paid = async |amount: &str, reference: &str| -> Result<String> {
        let receipt = mpesa.pay_bill(CENTRAL, STRANGER, amount, reference).await;
        receipt.context("nobody refuses it")
    };
    paid("1000", &number).await?;
    let lost = paid("70", &slip(&number)).await?;
    let top_up = paid("500", "TopUp").await?;
    world.clock.advance(10 * MINUTE);
    kiosk.has(&world, 1000, 1).await?;
    let stray = kiosk.becomes_stray(&lost, "OPEN").await?;
    assert_eq!(stray["vouched"], true, "{stray}");
    assert_eq!(stray["paidAt"], "2026-01-31T09:01:00.000Z", "{stray}");
    kiosk.becomes_stray(&top_up, "TOP_UP").await?;
    kiosk.assign_refused(&top_up, &number, "TOP_UP").await?;

    kiosk.assign(&lost, &number).await?;
    kiosk.has(&world, 1070, 2).await?;
    for _ in 0..2 {
        let before = kiosk.pulled(&world).await?;
        world.clock.advance(10 * MINUTE);
        eventually("it is asked again", async || {
            Ok((kiosk.pulled(&world).await? > before).then_some(()))
        })
        .await?;
    }
    kiosk.has(&world, 1070, 2).await?;
    assert_eq!(kiosk.strays("OPEN").await?, Vec::<Value>::new());

    // Off is off.
    register(&kiosk.platform, &json!({"pullNumber": ""})).await?;
    let platform = kiosk.platforms_tenant().await?;
    eventually("nobody asks any more", async || {
        let mut tx = world.db().begin(platform).await?;
        let due =
            "select count(*) from directory.jobs where tenant_id = $1 and kind = 'payments.pull'";
        let due: i64 = sqlx::query_scalar(due)
            .bind(platform)
            .fetch_one(&mut *tx)
            .await?;
        Ok((due == 0).then_some(()))
    })
    .await?;
    world.stop().await
}
