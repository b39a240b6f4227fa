//! What operators type in by hand, and take back.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::world::{PHONE, given_world};

/// The recharge button, the manual payment and their repeats.
#[tokio::test(flavor = "multi_thread")]
async fn operators_recharge_record_resolve_and_void() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let recharge = format!("/customers/{jane}/recharge");

    let half = world
        .owner
        .post(&recharge, &json!({"amount": 400.5}))
        .await?;
    assert_eq!(
        (&half["success"], &half["newBalance"]),
        (&json!(true), &json!(400.5))
    );
    let rest =
        json!({"customerId": jane, "amount": 600, "method": "BANK_TRANSFER", "reference": "T1"});
    let recorded = world.owner.post("/payments/manual", &rest).await?;
    assert_eq!(recorded["status"], "completed");
    assert_eq!(world.expires(&jane).await?, "2026-02-28T09:00:00.000Z");
    assert_eq!(world.wallet(&jane).await?, json!(0.5));

    let manual = world.owner.get("/payments/manual").await?;
    assert_eq!(manual.as_array().map(Vec::len), Some(2));
    // On a clock that stands both are of one instant, and either may come first.
    let mut rows = manual.as_array().into_iter().flatten();
    let transfer = rows.find(|row| row["ref"] == "T1");
    assert_eq!(transfer.context("the transfer")?["account"], "jane");
    let page = world
        .owner
        .get("/payments/manual?page=1&pageSize=1")
        .await?;
    assert_eq!(
        (
            &page["total"],
            page["transactions"].as_array().map(Vec::len)
        ),
        (&json!(2), Some(1))
    );

    let (status, _) = world
        .owner
        .call(
            reqwest::Method::POST,
            &recharge,
            Some(&json!({"amount": 0})),
        )
        .await?;
    assert_eq!(status.as_u16(), 400);
    let unknown = json!({"amount": 0, "description": "Resolved transaction: NOSUCHCODE"});
    let (status, _) = world
        .owner
        .call(reqwest::Method::POST, &recharge, Some(&unknown))
        .await?;
    assert_eq!(status.as_u16(), 404);

    let john = world.customer("john", "0712345679").await?;
    let checkout = world.owner.ask_to_pay(&john, 1_000).await?;
    let code = world.until(&checkout, "completed").await?["receipt"].clone();
    let typed = json!({"customerId": john, "amount": 1_000, "method": "OTHER", "reference": code});
    let (status, told) = world
        .owner
        .call(reqwest::Method::POST, "/payments/manual", Some(&typed))
        .await?;
    assert_eq!(
        (status.as_u16(), &told["code"]),
        (409, &json!("RECEIPT_KNOWN"))
    );
    let resolved = json!({"amount": 0, "description": format!("Resolved transaction: {}", code.as_str().unwrap())});
    world.owner.post(&recharge, &resolved).await?;
    assert_eq!(world.wallet(&john).await?, json!(-1000));
    assert_eq!(world.expires(&jane).await?, "2026-03-31T09:00:00.000Z");

    let payment = recorded["id"].as_str().context("an id")?;
    let path = format!("/payments/manual/{payment}");
    for count in [1, 0] {
        let (_, voided) = world
            .owner
            .call(reqwest::Method::DELETE, &path, None)
            .await?;
        assert_eq!(voided["clearedCount"], count);
    }
    assert_eq!(world.wallet(&jane).await?, json!(-599.5));
    world.end().await
}

/// A higher price reaches those whom their wallet carries on: it carries them as far as it pays.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_price_is_reckoned_for_everybody_who_renews_by_himself() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let renews = json!({"autoRenew": true});
    world
        .owner
        .put(&format!("/customers/{jane}"), &renews)
        .await?;
    let recharge = format!("/customers/{jane}/recharge");
    world
        .owner
        .post(&recharge, &json!({"amount": 3_000}))
        .await?;
    let carried = "select count(*) from customers where funded_until is not null";
    while world.count(carried).await? == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let package = format!("/packages/{}", world.package);
    world.owner.put(&package, &json!({"price": 2_500})).await?;
    for _ in 0..1_000 {
        if world.count(carried).await? == 0 {
            return world.end().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("a wallet of 2000 still carries her on at a price of 2500")
}
