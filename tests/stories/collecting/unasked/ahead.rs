//! A provider pays the platform ahead by typing its short code himself.

use anyhow::{Context, Result};
use easyisp_tests::scenario::{Payer, Pin};
use easyisp_tests::world::eventually;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::super::{Kiosk, given_world, refused};
use super::{pay, told_of};
use crate::words::MINUTE;

/// He types what the prompt for it shows. A person gives it to his wallet, once; the payment of the prompt itself, which
/// was credited because M-Pesa was asked, is credited by nobody again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_pays_ahead_by_himself_is_in_his_wallet_once() -> Result<()> {
    let world = given_world().await?;
    let kiosk = told_of(&world).await?;
    let asked = json!({"amount": 500, "phone": "254712345655"});
    kiosk.isp.owner.post("/tenant/wallet/topup", &asked).await?;
    eventually("the prompt is credited", async || {
        world.clock.advance(MINUTE);
        Ok((wallet(&kiosk).await? == 500).then_some(()))
    })
    .await?;
    let of_prompt = eventually("M-Pesa tells of the prompt's payment", async || {
        Ok(kiosk.strays("TOP_UP").await?.into_iter().next())
    })
    .await?;
    let of_prompt = of_prompt["receipt"].as_str().context("a receipt")?;
    let by_hand = pay(&world, "500", "topup").await?;
    let more = pay(&world, "700", "for the kiosk's wallet").await?;
    kiosk.becomes_stray(&by_hand, "TOP_UP").await?;
    kiosk.becomes_stray(&more, "OPEN").await?;
    let number = kiosk.number().await?;
    kiosk.assign_refused(&by_hand, &number, "TOP_UP").await?;

    let path = format!("/super-admin/tenants/{}/topups", kiosk.isp.tenant().await?);
    let wish = |receipt: &str| json!({"receipt": receipt, "reason": "Rang up: it was they"});
    let at = || (Method::POST, path.as_str());
    for (wrong, status) in [
        (
            json!({"receipt": by_hand, "reason": " "}),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({"receipt": "?", "reason": "Rang up"}),
            StatusCode::BAD_REQUEST,
        ),
        (wish("SJK4H7L2ZZ"), StatusCode::NOT_FOUND),
    ] {
        refused(&kiosk.platform, at(), wrong, status, "").await?;
    }
    let given = kiosk.platform.post(&path, &wish(of_prompt)).await?;
    assert_eq!(given["phone"], "254712345655", "{given}");
    assert_eq!(
        (&given["receipt"], wallet(&kiosk).await?),
        (&json!(of_prompt), 500)
    );

    let given = kiosk.platform.post(&path, &wish(&by_hand)).await?;
    assert_eq!(
        (&given["state"], &given["phone"]),
        (&json!("DONE"), &json!("")),
        "{given}"
    );
    assert_eq!(wallet(&kiosk).await?, 1000);
    kiosk.platform.post(&path, &wish(&more)).await?;
    assert_eq!(wallet(&kiosk).await?, 1700);
    for receipt in [of_prompt, &by_hand, &more] {
        refused(
            &kiosk.platform,
            at(),
            wish(receipt),
            StatusCode::CONFLICT,
            "RECEIPT_USED",
        )
        .await?;
        kiosk.becomes_stray(receipt, "BOOKED").await?;
    }
    assert_eq!(wallet(&kiosk).await?, 1700);
    world.clock.advance(6 * MINUTE);
    let stale = "FRESH_LOGIN_REQUIRED";
    refused(
        &kiosk.platform,
        at(),
        wish(&more),
        StatusCode::FORBIDDEN,
        stale,
    )
    .await?;
    let trail = kiosk
        .isp
        .owner
        .get("/audit-logs?action=TOP_UP_SETTLE")
        .await?;
    assert_eq!(
        trail.to_string().matches("Rang up: it was they").count(),
        3,
        "{trail}"
    );
    world.stop().await
}

/// While M-Pesa is asked of a prompt for as much, nobody can tell whether this is its payment.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_may_be_an_open_prompts_waits() -> Result<()> {
    let world = given_world().await?;
    let kiosk = told_of(&world).await?;
    world.outside.mpesa.script_everybody(Payer {
        pin: Pin::Held,
        ..Payer::default()
    });
    let asked = json!({"amount": 500, "phone": "0799000111"});
    kiosk.isp.owner.post("/tenant/wallet/topup", &asked).await?;
    let by_hand = pay(&world, "500", "topup").await?;
    kiosk.becomes_stray(&by_hand, "TOP_UP").await?;
    let path = format!("/super-admin/tenants/{}/topups", kiosk.isp.tenant().await?);
    kiosk.platform.confirm().await?;
    let wish = json!({"receipt": by_hand, "reason": "Rang up"});
    let at = (Method::POST, path.as_str());
    refused(
        &kiosk.platform,
        at,
        wish,
        StatusCode::CONFLICT,
        "TOPUP_WAITING",
    )
    .await?;
    assert_eq!(wallet(&kiosk).await?, 0);
    world.stop().await
}

async fn wallet(kiosk: &Kiosk) -> Result<i64> {
    let me = kiosk.isp.owner.get("/tenant/me").await?;
    me["walletBalance"].as_i64().context("a balance")
}
