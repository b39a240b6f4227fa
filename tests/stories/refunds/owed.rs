//! Money that paid an invoice is to go back: the invoice is owed again, and paid again with what comes back of it.

use anyhow::{Context, Result};
use easyisp_tests::scenario::{Callback, Errand, PushAnswer};
use easyisp_tests::world::{World, eventually};
use serde_json::{Value, json};

use super::{Shop, errand, given};

impl Shop {
    async fn asks_for(&self, amount: u32) -> Result<String> {
        let bill = json!({"customerId": self.amina, "amount": amount, "dueDate": "2027-01-20",
            "items": [{"description": "Cable", "amount": amount}]});
        let bill = self.isp.owner.post("/finance/invoices", &bill).await?;
        let number = bill["id"].as_str().context("a number")?;
        Ok(format!("/finance/invoices/{number}"))
    }

    async fn invoice_is(&self, invoice: &str, status: &str, wallet: i64) -> Result<()> {
        eventually(
            &format!("it is {status}, with {wallet} in the wallet"),
            async || {
                let shown = self.isp.owner.get(invoice).await?;
                let is_so = shown["status"] == status && self.wallet().await? == wallet;
                Ok(is_so.then_some(()))
            },
        )
        .await
    }

    /// Of a refund of which nobody knows what became of it, a person says it.
    async fn says(&self, world: &World, refund: &str, outcome: Value) -> Result<()> {
        self.until(refund, "UNKNOWN").await?;
        world.outside.mpesa.script_errands(Errand::default());
        let path = format!("/payments/refunds/{refund}/outcome");
        self.isp.owner.post(&path, &outcome).await?;
        Ok(())
    }
}

/// It did not go: all of it pays the invoice again. Of what went, what comes back of his time pays it.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_of_a_refund_pays_the_invoice_again() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let lost = || errand(PushAnswer::Lost, Callback::Now);

    let invoice = shop.asks_for(700).await?;
    let payment = shop.paid(&world, "700").await?;
    shop.invoice_is(&invoice, "paid", 0).await?;
    world.outside.mpesa.script_errands(lost());
    let all = json!({"service": "KEEP", "reason": "The wrong house"});
    let refund = shop.sends_back(&payment, all).await?;
    shop.invoice_is(&invoice, "pending", 0).await?;
    shop.says(&world, &refund, json!({"sent": false})).await?;
    shop.until(&refund, "FAILED").await?;
    shop.invoice_is(&invoice, "paid", 0).await?;

    // A month and an invoice; so much goes back as the invoice was, and is earned less of the month.
    let second = shop.asks_for(400).await?;
    let payment = shop.paid(&world, "1400").await?;
    shop.invoice_is(&second, "paid", 0).await?;
    world.outside.mpesa.script_errands(lost());
    let part = json!({"amount": 400, "service": "WAIVE", "reason": "A slow week"});
    let refund = shop.sends_back(&payment, part).await?;
    shop.invoice_is(&second, "pending", 0).await?;
    let sent = json!({"sent": true, "receipt": "SJK4H7L2PQ"});
    shop.says(&world, &refund, sent).await?;
    shop.invoice_is(&second, "paid", 0).await?;

    // What an operator took back stays so, whatever comes back.
    let third = shop.asks_for(300).await?;
    let payment = shop.paid(&world, "300").await?;
    shop.invoice_is(&third, "paid", 0).await?;
    world.outside.mpesa.script_errands(lost());
    let all = json!({"service": "KEEP", "reason": "Once more"});
    let refund = shop.sends_back(&payment, all).await?;
    shop.invoice_is(&third, "pending", 0).await?;
    let by_hand = json!({"status": "paid", "method": "Cash"});
    let status = format!("{third}/status");
    shop.isp.owner.put(&status, &by_hand).await?;
    let pending = json!({"status": "pending"});
    shop.isp.owner.put(&status, &pending).await?;
    shop.says(&world, &refund, json!({"sent": false})).await?;
    shop.invoice_is(&third, "pending", 300).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}
