//! What reports call revenue: where it was earned, and with every tax in it.

use anyhow::{Context, Result, ensure};
use easyisp_tests::world::{Provider, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::finance::Shop;
use crate::money::at;
use crate::vouchers;
use crate::words::DAY;

/// What was sold at a router stays what that one brought in, wherever the buyer moves to.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_stays_with_the_router_at_which_it_was_made() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "moves").await?;
    let owner = &isp.owner;
    let mut routers = Vec::new();
    for name in ["Hill", "Valley"] {
        let router = json!({"name": name, "ipAddress": format!("10.0.0.{}", routers.len() + 1)});
        let router = owner.post("/nas", &router).await?;
        routers.push(router["id"].as_str().context("a router")?.to_owned());
    }
    let jane = isp
        .add_subscriber("jane", "254712345601", world.clock.now().minus(DAY))
        .await?;
    let path = format!("/customers/{jane}");
    owner.put(&path, &json!({"nasId": routers[0]})).await?;
    let money = json!({"amount": 1000});
    owner.post(&format!("{path}/recharge"), &money).await?;
    owner.put(&path, &json!({"nasId": routers[1]})).await?;
    let report = owner.get("/reports/revenue?by=router").await?;
    assert_eq!(
        (
            &report["rows"][0]["name"],
            &report["rows"][0]["amount"],
            &report["total"]
        ),
        (&json!("Hill"), &json!(1000), &json!(1000)),
        "{report}"
    );
    world.stop().await
}

/// Somebody who is billed by the month brings in what he was billed, without the taxes in it, for his package and at his
/// router; what is taken back of it counts no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_billed_month_is_revenue_of_its_package() -> Result<()> {
    let mut shop = Shop::open("afterwards").await?;
    let owner = shop.owner();
    let router = json!({"name": "Hill", "ipAddress": "10.0.0.1"});
    let router = owner.post("/nas", &router).await?;
    let taxes = json!({"taxes": [{"name": "VAT", "rate": 16}]});
    owner.put("/finance/taxes", &taxes).await?;
    let now = shop.world.clock.now();
    let asha = shop.isp.add_subscriber("asha", "254712345631", now).await?;
    let path = format!("/customers/{asha}");
    owner.put(&path, &json!({"nasId": router["id"]})).await?;
    let monthly = json!({"postpaid": true});
    owner.put(&format!("{path}/billing"), &monthly).await?;
    shop.go_to(at("2027-01-31T21:15:00Z")).await?;
    let invoice = eventually("the month is billed", async || {
        let page = shop.owner().get("/finance/invoices").await?;
        let first = page["invoices"].as_array().and_then(|all| all.first());
        Ok(first.cloned())
    })
    .await?;
    let (gross, tax) = (
        invoice["amount"].as_f64().context("an amount")?,
        invoice["taxes"][0]["amount"].as_f64().context("a tax")?,
    );
    let number = invoice["id"].as_str().context("a number")?.to_owned();
    shop.brings_in(gross - tax).await?;
    let part = json!({"amount": 11.6, "reason": "A day without"});
    let note = format!("/finance/invoices/{number}/credit-notes");
    shop.owner().post(&note, &part).await?;
    shop.brings_in(gross - tax - 10.0).await?;
    let cancelled = json!({"status": "cancelled"});
    let status = format!("/finance/invoices/{number}/status");
    shop.owner().put(&status, &cancelled).await?;
    shop.brings_in(0.0).await?;
    shop.closes().await
}

/// Vouchers of the house that are sold over the counter are owed, and earned when somebody uses one.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_of_the_house_is_earned_when_it_is_used() -> Result<()> {
    let shop = Shop::open("kiosk").await?;
    let owner = shop.owner();
    let batch = vouchers::make(&shop.isp, 2).await?;
    let package = owner.get(&format!("/packages/{}", batch.package)).await?;
    let price = package["price"].as_f64().context("a price")?;
    let sold = json!({"customerName": "Over the counter", "amount": 2.0 * price, "method": "Cash",
        "account": "2200", "description": "Two vouchers"});
    let sold = owner.post("/finance/income", &sold).await?;
    assert_eq!(
        (
            shop.balance("1000").await?.as_f64(),
            shop.balance("2200").await?.as_f64()
        ),
        (Some(2.0 * price), Some(2.0 * price)),
        "{sold}"
    );
    assert_eq!(shop.balance("4000").await?, 0);
    let code = json!({"code": batch.codes[0]});
    owner.post("/vouchers/redeem", &code).await?;
    assert_eq!(
        (
            shop.balance("2200").await?.as_f64(),
            shop.balance("4000").await?.as_f64()
        ),
        (Some(price), Some(price))
    );
    let liability = json!({"customerName": "x", "amount": 1, "method": "Cash", "account": "2000"});
    let refused = shop
        .refusal(Method::POST, "/finance/income", liability)
        .await?;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST, "no other debt");
    shop.closes().await
}

impl Shop {
    async fn brings_in(&self, amount: f64) -> Result<()> {
        let package = &self.isp.package;
        let stats = format!("/packages/{package}/stats");
        let stats = self.owner().get(&stats).await?;
        let same = |shown: &Value| shown.as_f64().is_some_and(|n| (n - amount).abs() < 0.005);
        ensure!(same(&stats["revenue"]), "{stats} is not {amount}");
        let routers = format!("/packages/{package}/router-revenue");
        let routers = self.owner().get(&routers).await?;
        let at_hill = routers.as_array().and_then(|all| all.first());
        let shown = at_hill.map_or(json!(0), |one| one["revenue"].clone());
        ensure!(same(&shown), "{routers} is not {amount}");
        Ok(())
    }
}

/// A tax that is owed on an account of its own is part of what was paid, as one on the common account is.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_counts_with_every_tax_in_it() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "taxed").await?;
    let owner = &isp.owner;
    let jane = isp
        .add_subscriber("jane", "254712345601", world.clock.now())
        .await?;
    let account = json!({"code": "2301", "name": "Excise duty", "type": "Liability"});
    owner.post("/finance/accounts", &account).await?;
    let taxes = json!({"taxes": [{"name": "Excise duty", "rate": 16, "account": "2301"}]});
    owner.put("/finance/taxes", &taxes).await?;
    let bill = json!({"customerId": jane, "amount": 116, "dueDate": "2027-01-20",
        "items": [{"description": "Cable", "amount": 116}]});
    let bill = owner.post("/finance/invoices", &bill).await?;
    assert_eq!(month(&isp).await?, json!(0), "billed is not paid");
    let status = format!(
        "/finance/invoices/{}/status",
        bill["id"].as_str().context("an invoice")?
    );
    let paid = json!({"status": "paid", "method": "Cash"});
    owner.put(&status, &paid).await?;
    assert_eq!(month(&isp).await?, json!(116));
    world.stop().await
}

async fn month(isp: &Provider) -> Result<Value> {
    Ok(isp.owner.get("/dashboard/stats").await?["monthlyRevenue"].clone())
}
