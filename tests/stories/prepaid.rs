//! Periods that are paid ahead: the taxes in their prices, and a receipt for each sale, once the provider says so.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use easyisp_tests::world::eventually;
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::finance::Shop;
use crate::fiscal::settings;
use crate::vouchers::make;
use crate::words::DAY;

const PREPAID: &str = "/tenant/prepaid";

impl Shop {
    /// A provider with excise duty and value added tax on it, and a customer on a month for 1000.
    async fn taxes(name: &str) -> Result<(Shop, String)> {
        let shop = Shop::open(name).await?;
        let asha = shop.buyer("asha").await?;
        let taxes =
            json!({"taxes": [{"name": "Excise duty", "rate": 15}, {"name": "VAT", "rate": 16}]});
        shop.owner().put("/finance/taxes", &taxes).await?;
        Ok((shop, asha))
    }

    async fn buyer(&self, name: &str) -> Result<String> {
        let until = self.world.clock.now().plus(DAY);
        self.isp.add_subscriber(name, "254712345651", until).await
    }

    async fn pays(&self, customer: &str, amount: u32) -> Result<Value> {
        let paid = json!({"customerId": customer, "amount": amount});
        self.owner().post("/payments/manual", &paid).await
    }

    async fn on_account(&self, code: &str) -> Result<Option<f64>> {
        Ok(self.balance(code).await?.as_f64())
    }

    /// The receipts, the newest first, once there are so many.
    async fn receipts(&self, count: usize) -> Result<Vec<Value>> {
        eventually("the receipts are there", async || {
            let path = "/finance/invoices?receipts=true&pageSize=100";
            let mut page = self.owner().get(path).await?;
            let receipts: Vec<Value> = serde_json::from_value(page["invoices"].take())?;
            Ok((receipts.len() >= count).then_some(receipts))
        })
        .await
    }
}

/// Off as it was; on, a price is what it was and a part of it is owed to the state, to the cent; off again, no more.
#[tokio::test(flavor = "multi_thread")]
async fn the_taxes_in_a_price_are_owed_from_the_moment_the_provider_says_so() -> Result<()> {
    let (shop, asha) = Shop::taxes("taxed").await?;
    let owner = shop.owner();
    let off = owner.get(PREPAID).await?;
    assert_eq!(
        (&off["taxed"], &off["receipts"], &off["taxedSince"]),
        (&json!(false), &json!(false), &json!(null))
    );
    shop.pays(&asha, 1000).await?;
    assert_eq!(shop.on_account("4000").await?, Some(1000.0));
    assert_eq!(shop.on_account("2300").await?, Some(0.0));

    let on = owner.put(PREPAID, &json!({"taxed": true})).await?;
    assert_eq!(on["taxed"], true);
    let again = owner.put(PREPAID, &json!({"taxed": true})).await?;
    assert_eq!(again, on, "a repeat moves no moment");
    shop.pays(&asha, 1000).await?;
    // 1000 / 1.16 = 862.07, of it / 1.15 = 749.63.
    assert_eq!(shop.on_account("4000").await?, Some(1749.63));
    assert_eq!(shop.on_account("2300").await?, Some(250.37));
    let customer = shop.isp.customer(&asha).await?;
    assert_eq!(
        (&customer["walletBalance"], &customer["totalSpent"]),
        (&json!(0), &json!(2000))
    );
    let report = owner.get("/reports/revenue?by=package").await?;
    assert_eq!(report["total"].as_f64(), Some(1749.63), "{report}");
    let stats = owner.get("/dashboard/stats").await?;
    assert_eq!(stats["todayRevenue"].as_f64(), Some(1749.63), "{stats}");

    let off = owner.put(PREPAID, &json!({"taxed": false})).await?;
    assert_eq!(off["taxedSince"], json!(null));
    shop.pays(&asha, 1000).await?;
    assert_eq!(shop.on_account("4000").await?, Some(2749.63));
    assert_eq!(shop.on_account("2300").await?, Some(250.37));
    let none = owner.get("/finance/invoices").await?;
    assert_eq!(none["total"], 0, "{none}");
    shop.closes().await
}

/// A tax may stand on an account of its own, and that account may be gone: then it is owed on the one for all.
#[tokio::test(flavor = "multi_thread")]
async fn a_tax_is_owed_on_its_account_while_there_is_one() -> Result<()> {
    let (shop, asha) = Shop::taxes("own").await?;
    let owner = shop.owner();
    let account = json!({"code": "2310", "name": "VAT", "type": "Liability"});
    let account = owner.post("/finance/accounts", &account).await?;
    let taxes = json!({"taxes": [{"name": "VAT", "rate": 25, "account": "2310"}]});
    owner.put("/finance/taxes", &taxes).await?;
    owner.put(PREPAID, &json!({"taxed": true})).await?;
    let path = format!(
        "/finance/accounts/{}",
        account["id"].as_str().context("an id")?
    );
    owner.call(Method::DELETE, &path, None).await?;
    shop.pays(&asha, 1000).await?;
    assert_eq!(shop.on_account("2300").await?, Some(200.0));

    let account = json!({"code": "2310", "name": "VAT", "type": "Liability"});
    owner.post("/finance/accounts", &account).await?;
    shop.pays(&asha, 1000).await?;
    assert_eq!(shop.on_account("2310").await?, Some(200.0));
    assert_eq!(shop.on_account("2300").await?, Some(200.0));
    assert_eq!(shop.on_account("4000").await?, Some(1600.0));
    shop.closes().await
}

/// A sale's receipt is a paid invoice: it has a number, is signed by the state's system and says on paper what it is. It
/// moves nothing, and nobody takes it back by hand. A voucher's sale gets one when the voucher is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_gets_a_receipt_that_is_reported() -> Result<()> {
    let (shop, asha) = Shop::taxes("receipts").await?;
    let owner = shop.owner();
    owner.put("/fiscal/settings", &settings()).await?;
    shop.pays(&asha, 1000).await?; // before: none
    let both = json!({"taxed": true, "receipts": true});
    owner.put(PREPAID, &both).await?;
    shop.pays(&asha, 1300).await?;
    let receipt = shop.receipts(1).await?.remove(0);
    assert_eq!(
        (&receipt["id"], &receipt["status"], &receipt["paidBy"]),
        (&json!("INV-20270001"), &json!("paid"), &json!("WALLET"))
    );
    assert_eq!(
        (&receipt["amount"], &receipt["credited"]),
        (&json!(1000), &json!(0))
    );
    assert_eq!(receipt["taxes"][1]["amount"].as_f64(), Some(137.93));
    ensure!(receipt["periodId"].is_string(), "{receipt}");
    shop.document("INV-20270001", "SIGNED").await?;
    let sales = shop.world.outside.etims.sales();
    assert_eq!(sales.len(), 1, "{sales:?}");
    assert_eq!(
        (sales[0]["totAmt"].as_f64(), sales[0]["taxAmtB"].as_f64()),
        (Some(1000.0), Some(137.93))
    );
    let paper = shop.paper("/finance/invoices/INV-20270001/pdf").await?;
    ensure!(paper.contains("Receipt INV-20270001"), "{paper}");
    ensure!(paper.contains("SIGN000000000001"), "{paper}");
    for status in ["pending", "cancelled"] {
        let path = "/finance/invoices/INV-20270001/status";
        let refused = shop
            .refusal(Method::PUT, path, json!({"status": status}))
            .await?;
        let should = (StatusCode::CONFLICT, "INVOICE_IS_RECEIPT".to_owned());
        assert_eq!(refused, should);
    }
    assert_eq!(shop.on_account("4000").await?, Some(1749.63));
    assert_eq!(shop.on_account("1100").await?, Some(0.0));

    let batch = make(&shop.isp, 1).await?;
    let redeem = json!({"code": batch.codes[0]});
    owner.post("/vouchers/redeem", &redeem).await?;
    let second = shop.receipts(2).await?.remove(0);
    assert_eq!(
        (&second["id"], &second["paidBy"]),
        (&json!("INV-20270002"), &json!("VOUCHER"))
    );
    let income = owner.get("/finance/income?method=Other").await?;
    assert_eq!(income["total"], 0, "{income}");
    shop.document("INV-20270002", "SIGNED").await?;
    shop.closes().await
}

/// A hundred sales at once, and the cloud stops: each has one receipt when it is back, and the numbers have no gap.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sales_at_once_have_a_hundred_numbers_in_a_row() -> Result<()> {
    let (mut shop, asha) = Shop::taxes("crowd").await?;
    let both = json!({"taxed": true, "receipts": true});
    shop.owner().put(PREPAID, &both).await?;
    let mut buyers = vec![asha];
    for number in 0..19 {
        buyers.push(shop.buyer(&format!("buyer{number}")).await?);
    }
    let sales = (0..100).map(|number| shop.pays(&buyers[number % buyers.len()], 1000));
    try_join_all(sales).await?;
    shop.world.stop_cloud().await?;
    shop.world.start_cloud().await?;
    let receipts = shop.receipts(100).await?;
    let numbers: BTreeSet<&str> = receipts
        .iter()
        .filter_map(|receipt| receipt["id"].as_str())
        .collect();
    let should: Vec<String> = (1..=100).map(|n| format!("INV-2027{n:04}")).collect();
    assert_eq!(Vec::from_iter(numbers), should);
    let sold: BTreeSet<&str> = receipts
        .iter()
        .filter_map(|receipt| receipt["periodId"].as_str())
        .collect();
    assert_eq!(sold.len(), 100, "each sale has its own");
    assert_eq!(shop.on_account("2300").await?, Some(25_037.0));
    shop.closes().await
}
