//! What an operator says of an invoice: that one was wrong that a wallet paid, and that one is paid.

use anyhow::{Context, Result, ensure};
use easyisp_tests::world::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::finance::Shop;
use crate::words::{DAY, MINUTE};

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

/// The same of somebody who was billed once and pays ahead by now: what his wallet has again would pay it again as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_invoice_of_who_was_billed_once_is_cancelled_too() -> Result<()> {
    let shop = Shop::open("once").await?;
    let owner = shop.owner();
    let now = shop.world.clock.now();
    let asha = shop.isp.add_subscriber("asha", "254712345631", now).await?;
    let billing = format!("/customers/{asha}/billing");
    for postpaid in [true, false] {
        owner.put(&billing, &json!({"postpaid": postpaid})).await?;
    }
    let money = json!({"amount": 700});
    owner
        .post(&format!("/customers/{asha}/recharge"), &money)
        .await?;
    let bill = json!({"customerId": asha, "amount": 500, "dueDate": "2027-01-20",
        "items": [{"description": "Cable", "amount": 500}]});
    let wrong = owner.post("/finance/invoices", &bill).await?;
    let wrong = format!(
        "/finance/invoices/{}",
        wrong["id"].as_str().context("a number")?
    );
    eventually("the wallet pays it", async || {
        Ok((owner.get(&wrong).await?["status"] == "paid").then_some(()))
    })
    .await?;
    let cancelled = json!({"status": "cancelled"});
    owner.put(&format!("{wrong}/status"), &cancelled).await?;
    let shown = owner.get(&wrong).await?;
    ensure!(shown["creditNote"].is_string(), "{shown}");
    assert_eq!(
        shop.isp.customer(&asha).await?["walletBalance"],
        667.74,
        "less the day for which he was billed"
    );
    assert_eq!(shop.balance("1100").await?, json!(0));
    shop.closes().await
}

/// Who says that an invoice is paid, and how, stands in the trail with what it was before; and who takes that back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_an_invoice_is_in_the_trail() -> Result<()> {
    let shop = Shop::open("trail").await?;
    let owner = shop.owner();
    let until = shop.world.clock.now().plus(DAY);
    let asha = shop
        .isp
        .add_subscriber("asha", "254712345601", until)
        .await?;
    let bill = json!({"customerId": asha, "amount": 700, "dueDate": "2027-01-20",
        "items": [{"description": "Cable", "amount": 700}]});
    let invoice = owner.post("/finance/invoices", &bill).await?;
    let number = invoice["id"].as_str().context("a number")?;
    let path = format!("/finance/invoices/{number}/status");
    let cheque = json!({"status": "paid", "method": "Bank Transfer", "reference": "CHQ 7"});
    for said in [&cheque, &cheque, &json!({"status": "pending"})] {
        owner.put(&path, said).await?;
    }
    let uuid = invoice["uuid"].as_str().context("an id")?;
    let trail = format!("/audit-logs?action=INVOICE_UPDATE&targetId={uuid}");
    let trail = owner.get(&trail).await?;
    let lines = trail["logs"].as_array().context("lines")?;
    let open = json!({"status": "pending", "paidBy": null, "reference": null});
    let paid = json!({"status": "paid", "paidBy": "BANK_TRANSFER", "reference": "CHQ 7"});
    let shown: Vec<[&Value; 2]> = lines
        .iter()
        .map(|line| [&line["before"], &line["after"]])
        .collect();
    assert_eq!(shown, [[&paid, &open], [&open, &paid]], "{trail}");
    assert_eq!(lines[1]["details"], "paid, BANK_TRANSFER, CHQ 7");
    assert_eq!(lines[1]["operator"]["email"], shop.isp.email());
    shop.closes().await
}
