//! What is given back of a sale takes its taxes back, and its receipt gets credit notes.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::world::{World, eventually};
use serde_json::{Value, json};

use super::given;
use crate::fiscal::settings;

/// Half of a sale is half of its taxes, to the cent; both halves are all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_is_given_back_takes_its_taxes_back() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let owner = &shop.isp.owner;
    let taxes =
        json!({"taxes": [{"name": "Excise duty", "rate": 15}, {"name": "VAT", "rate": 16}]});
    owner.put("/finance/taxes", &taxes).await?;
    owner.put("/fiscal/settings", &settings()).await?;
    let both = json!({"taxed": true, "receipts": true});
    owner.put("/tenant/prepaid", &both).await?;
    let payment = shop.paid(&world, "1000").await?;
    let owed = async || -> Result<Option<f64>> {
        let accounts = owner.get("/finance/accounts").await?;
        let accounts = accounts.as_array().context("a list")?;
        let taxes = accounts.iter().find(|account| account["code"] == "2300");
        Ok(taxes.context("the account")?["balance"].as_f64())
    };
    assert_eq!(owed().await?, Some(250.37));
    // 500 / 1.16 = 431.03, of it / 1.15 = 374.81: 125.19 are left.
    for (service, left, credited) in [("TAKE_BACK", 125.19, 500), ("WAIVE", 0.0, 1000)] {
        let body = json!({"amount": 500, "service": service, "reason": "A slow month"});
        let refund = shop.sends_back(&payment, body).await?;
        // Where the answer met the sale's receipt it is worked on again a little later.
        let soon = tokio::time::timeout(Duration::from_secs(5), shop.until(&refund, "DONE"));
        if soon.await.is_err() {
            world.clock.advance(Duration::from_secs(6));
            shop.until(&refund, "DONE").await?;
        }
        assert_eq!(owed().await?, Some(left));
        assert_eq!(shop.wallet().await?, 0);
        assert_eq!(world.book_findings().await?, Vec::<String>::new());
        eventually("the receipt says so", async || {
            let receipt = owner.get("/finance/invoices?receipts=true").await?;
            let receipt = &receipt["invoices"][0];
            Ok((receipt["credited"] == credited).then_some(()))
        })
        .await?;
    }
    let notes = owner.get("/finance/credit-notes").await?;
    let notes: Vec<(&Value, &Value, &Value)> = notes["creditNotes"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|note| (&note["id"], &note["invoice"], &note["amount"]))
        .collect();
    let note = |id: &str| (json!(id), json!("INV-20270001"), json!(500));
    let should = [note("CN-20270002"), note("CN-20270001")];
    let should: Vec<_> = should.iter().map(|(a, b, c)| (a, b, c)).collect();
    assert_eq!(notes, should);
    eventually("all three are reported", async || {
        Ok((world.outside.etims.sales().len() == 3).then_some(()))
    })
    .await?;
    let sales = world.outside.etims.sales();
    for (sale, vat) in [(&sales[0], 137.93), (&sales[1], 68.96), (&sales[2], 68.97)] {
        assert_eq!(sale["taxAmtB"].as_f64().map(f64::abs), Some(vat), "{sale}");
    }
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}
