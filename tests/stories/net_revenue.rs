//! What reports call revenue: where it was earned, and with every tax in it.

use anyhow::{Context, Result};
use easyisp_tests::world::{Provider, World};
use serde_json::{Value, json};

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
