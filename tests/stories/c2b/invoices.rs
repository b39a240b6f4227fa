//! An invoice's number is typed as account: its owner is known by it, and it is what is paid.

use anyhow::{Context, Result};
use easyisp_tests::world::{Provider, World, eventually};
use serde_json::{Value, json};

use super::{STRANGER, lookup, pay, register, worked};

/// However it is spelled; the one of two that is named, of who is billed afterwards too. What names no open invoice of this
/// provider waits for a person.
#[tokio::test(flavor = "multi_thread")]
async fn money_finds_the_invoice_whose_number_was_typed() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let other = Provider::sign_up(&world, "rift").await?;
    register(&isp).await?;
    let now = world.clock.now();
    let amina = isp.add_subscriber("amina", "254712345601", now).await?;
    let baraka = isp.add_subscriber("baraka", "254712345602", now).await?;
    let theirs = other.add_subscriber("chege", "254712345603", now).await?;
    let monthly = json!({"postpaid": true});
    let billing = format!("/customers/{baraka}/billing");
    isp.owner.put(&billing, &monthly).await?;
    let fee = bill(&isp, &amina, 700).await?;
    let oldest = bill(&isp, &baraka, 300).await?;
    let named = bill(&isp, &baraka, 400).await?;
    let mut foreign = String::new();
    for _ in 0..4 {
        foreign = bill(&other, &theirs, 250).await?;
    }

    let typed = fee.replace("INV-2027", "inv 2027 ");
    let receipt = pay(&world, STRANGER, "700", &typed).await?;
    is(&isp, &fee, "paid").await?;
    let known = lookup(&isp, &format!("receipt={receipt}")).await?;
    assert_eq!(
        known["payments"][0]["customerId"],
        amina.as_str(),
        "{known}"
    );
    pay(&world, STRANGER, "400", &named.replace('-', "")).await?;
    is(&isp, &named, "paid").await?;
    is(&isp, &oldest, "pending").await?;
    assert_eq!(isp.customer(&baraka).await?["walletBalance"], 0);

    // It is paid; there is none; it is another provider's.
    for typed in [&*fee, "INV-20279999", &*foreign] {
        pay(&world, STRANGER, "250", typed).await?;
    }
    worked(&world, &isp).await?;
    let waiting = isp.owner.get("/payments/unallocated").await?;
    assert_eq!(waiting["total"], 3, "{waiting}");
    is(&other, &foreign, "pending").await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

async fn bill(isp: &Provider, customer: &str, amount: u32) -> Result<String> {
    let bill = json!({"customerId": customer, "amount": amount, "dueDate": "2027-01-20",
        "items": [{"description": "Cable", "amount": amount}]});
    let bill: Value = isp.owner.post("/finance/invoices", &bill).await?;
    Ok(bill["id"].as_str().context("a number")?.to_owned())
}

async fn is(isp: &Provider, invoice: &str, status: &str) -> Result<()> {
    let path = format!("/finance/invoices/{invoice}");
    eventually(&format!("{invoice} is {status}"), async || {
        Ok((isp.owner.get(&path).await?["status"] == status).then_some(()))
    })
    .await
}
