//! An invoice that was wrong, of somebody who is billed afterwards and has money in his wallet.

use anyhow::{Context, Result};
use easyisp_tests::world::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::finance::Shop;
use crate::words::MINUTE;

/// His wallet pays it when it is issued, and would pay it again when that was taken back: cancelled, he has his money, and
/// nothing is owed. What came over the counter is taken back first.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_invoice_that_a_wallet_paid_is_cancelled_in_one() -> Result<()> {
    let shop = Shop::open("wrong").await?;
    let owner = shop.owner();
    let now = shop.world.clock.now();
    let asha = shop.isp.add_subscriber("asha", "254712345631", now).await?;
    let monthly = json!({"postpaid": true});
    owner
        .put(&format!("/customers/{asha}/billing"), &monthly)
        .await?;
    let money = json!({"amount": 700});
    owner
        .post(&format!("/customers/{asha}/recharge"), &money)
        .await?;
    let bill = async |amount: u32| -> Result<String> {
        let bill = json!({"customerId": asha, "amount": amount, "dueDate": "2027-01-20",
            "items": [{"description": "Cable", "amount": amount}]});
        let made = owner.post("/finance/invoices", &bill).await?;
        let number = made["id"].as_str().context("a number")?;
        Ok(format!("/finance/invoices/{number}"))
    };
    let wallet =
        async || -> Result<Value> { Ok(shop.isp.customer(&asha).await?["walletBalance"].clone()) };
    let wrong = bill(500).await?;
    eventually("the wallet pays it", async || {
        Ok((owner.get(&wrong).await?["status"] == "paid").then_some(()))
    })
    .await?;
    assert_eq!(wallet().await?, 200);
    shop.world.clock.advance(MINUTE);
    let cancelled = json!({"status": "cancelled"});
    for _ in 0..2 {
        let answer = owner.put(&format!("{wrong}/status"), &cancelled).await?;
        assert_eq!(
            (&answer["status"], &answer["paidAt"]),
            (&json!("cancelled"), &Value::Null)
        );
    }
    assert_eq!(wallet().await?, 700);
    assert_eq!(
        (shop.balance("1100").await?, shop.balance("4020").await?),
        (json!(0), json!(0))
    );

    let dear = bill(900).await?;
    let cash = json!({"status": "paid", "method": "Cash"});
    owner.put(&format!("{dear}/status"), &cash).await?;
    let refused = shop
        .refusal(Method::PUT, &format!("{dear}/status"), cancelled)
        .await?;
    assert_eq!(refused, (StatusCode::CONFLICT, "INVOICE_PAID".to_owned()));
    shop.closes().await
}
