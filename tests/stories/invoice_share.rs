//! Money that arrives for somebody who pays ahead and has open invoices: what it buys, and what it pays.

use anyhow::{Context, Result};
use easyisp_tests::world::eventually;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::finance::Shop;
use crate::words::{DAY, HOUR, MINUTE};

/// A new customer pays for his installation what the paper asks for, then his month, then both of another invoice and
/// a month. Each time it is what he means; what is taken back is owed again.
#[tokio::test(flavor = "multi_thread")]
async fn money_that_arrives_pays_what_the_payer_means() -> Result<()> {
    let shop = Shop::open("shares").await?;
    let owner = shop.owner();
    let jane = json!({"username": "jane", "password": "jane", "name": "Jane", "phone": "0712345601",
        "connectionType": "PPPOE", "packageId": shop.isp.package, "installationFee": 1500,
        "expiresAt": shop.world.clock.now().to_string()});
    let jane = owner.post("/customers", &jane).await?;
    let jane = jane["id"].as_str().context("a customer")?.to_owned();
    let invoice = eventually("she is billed", async || {
        let listed = owner.get("/finance/invoices").await?;
        Ok(listed["invoices"]
            .as_array()
            .and_then(|all| all.first().cloned()))
    })
    .await?;
    assert_eq!(invoice["status"], "pending", "{invoice}");

    shop.world.clock.advance(HOUR);
    let paid = shop.hands_over(&jane, json!({"amount": 1500})).await?;
    shop.invoice_is(&invoice, "paid").await?;
    let shown = shop.isp.customer(&jane).await?;
    assert_eq!(
        (&shown["walletBalance"], &shown["status"]),
        (&json!(0), &json!("EXPIRED")),
        "{shown}"
    );
    let invoice = owner.get(&path_of(&invoice)).await?;
    assert_eq!(invoice["paidBy"], "WALLET");
    let told = shop.told_last(&jane).await?;
    assert!(told.contains("KES 1500 for INV-20270001."), "{told}");

    // The price of a month buys one, whatever else is open.
    let old = shop.asks_for(&jane, 700).await?;
    shop.hands_over(&jane, json!({"amount": 1000})).await?;
    let month = shop.isp.customer(&jane).await?;
    assert_eq!(
        (&month["walletBalance"], &month["status"]),
        (&json!(0), &json!("ACTIVE")),
        "{month}"
    );
    shop.invoice_is(&old, "pending").await?;
    // Both at once: the month first, the rest for the invoice.
    shop.hands_over(&jane, json!({"amount": 1800})).await?;
    shop.invoice_is(&old, "paid").await?;
    let both = shop.isp.customer(&jane).await?;
    assert_eq!(both["walletBalance"], 100, "{both}");
    assert!(
        both["expiresAt"].as_str() > month["expiresAt"].as_str(),
        "{both}"
    );

    // One of two is named.
    let (first, named) = (
        shop.asks_for(&jane, 300).await?,
        shop.asks_for(&jane, 400).await?,
    );
    let number = named["id"].as_str().context("a number")?.to_lowercase();
    shop.hands_over(
        &jane,
        json!({"amount": 1000, "reference": format!("Pole, {number}")}),
    )
    .await?;
    shop.invoice_is(&named, "paid").await?;
    // 100 and 1000, less 400: not enough for a month, and enough for the other one.
    shop.invoice_is(&first, "paid").await?;
    assert_eq!(shop.isp.customer(&jane).await?["walletBalance"], 400);

    owner.confirm().await?;
    let (status, answer) = owner
        .call(Method::DELETE, &format!("/payments/manual/{paid}"), None)
        .await?;
    assert!(status.is_success(), "{answer}");
    eventually("what the first one paid is owed again", async || {
        let wallet = shop.isp.customer(&jane).await?["walletBalance"].as_f64();
        Ok(wallet.is_some_and(|wallet| wallet >= 0.0).then_some(()))
    })
    .await?;
    shop.closes().await
}

/// Who has paid for weeks ahead and pays a month's price once more pays what is overdue; in his last days he renews.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_invoice_stops_nobodys_service() -> Result<()> {
    let mut shop = Shop::open("overdue").await?;
    let now = shop.world.clock.now();
    let early = shop
        .isp
        .add_subscriber("early", "254712345601", now.plus(30 * DAY))
        .await?;
    let late = shop
        .isp
        .add_subscriber("late", "254712345602", now.plus(12 * DAY))
        .await?;
    let (of_early, of_late) = (
        shop.asks_for(&early, 1000).await?,
        shop.asks_for(&late, 1000).await?,
    );
    shop.go_to(now.plus(10 * DAY)).await?;
    shop.invoice_is(&of_early, "overdue").await?;
    shop.hands_over(&early, json!({"amount": 1000})).await?;
    shop.invoice_is(&of_early, "paid").await?;
    let ends = shop.isp.customer(&late).await?["expiresAt"].clone();
    shop.hands_over(&late, json!({"amount": 1000})).await?;
    let renewed = shop.isp.customer(&late).await?;
    assert_ne!(renewed["expiresAt"], ends, "{renewed}");
    shop.invoice_is(&of_late, "overdue").await?;
    shop.closes().await
}

/// Until the work is done that pays it, what arrived for an invoice buys nothing else: neither more money that comes, nor
/// his wish to renew. It is his to spend again when the invoice is taken back meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_for_an_invoice_buys_nothing_else() -> Result<()> {
    let shop = Shop::open("setaside").await?;
    let now = shop.world.clock.now();
    shop.settles_an_hour_later().await?;
    let jane = shop.isp.add_subscriber("jane", "254712345601", now).await?;
    let asha = shop.isp.add_subscriber("asha", "254712345602", now).await?;
    let path = format!("/customers/{asha}");
    let renews = json!({"autoRenew": true});
    shop.owner().put(&path, &renews).await?;
    let (of_jane, of_asha) = (
        shop.asks_for(&jane, 1500).await?,
        shop.asks_for(&asha, 1500).await?,
    );
    shop.world.clock.advance(MINUTE);
    for who in [&jane, &asha] {
        shop.hands_over(who, json!({"amount": 1500})).await?;
        shop.hands_over(who, json!({"amount": 600})).await?;
        let between = shop.isp.customer(who).await?;
        assert_eq!(
            (&between["walletBalance"], &between["status"]),
            (&json!(2100), &json!("EXPIRED")),
            "{between}"
        );
    }
    let told = shop.told_last(&jane).await?;
    assert!(told.contains("KES 400 more renews"), "{told}");
    shop.owner().put(&path, &renews).await?; // reckoned anew
    let cancelled = json!({"status": "cancelled"});
    let status = format!("{}/status", path_of(&of_asha));
    shop.owner().put(&status, &cancelled).await?;
    assert_eq!(shop.isp.customer(&asha).await?["status"], "EXPIRED");

    shop.world.clock.advance(HOUR);
    shop.invoice_is(&of_jane, "paid").await?;
    assert_eq!(shop.isp.customer(&jane).await?["walletBalance"], 600);
    let renewed = shop
        .isp
        .customer_becomes(&asha, "renewed", |asha| asha["status"] == "ACTIVE");
    assert_eq!(renewed.await?["walletBalance"], 1100);
    shop.closes().await
}

/// Who says that an invoice is paid, and not how, means his wallet's money. Where that is set aside for another invoice nobody
/// has handed over anything: no cash is booked, and he is told what to do.
#[tokio::test(flavor = "multi_thread")]
async fn paid_with_what_is_set_aside_for_another_books_no_cash() -> Result<()> {
    let shop = Shop::open("nocash").await?;
    shop.settles_an_hour_later().await?;
    let now = shop.world.clock.now();
    let jane = shop.isp.add_subscriber("jane", "254712345601", now).await?;
    let (first, second) = (
        shop.asks_for(&jane, 1500).await?,
        shop.asks_for(&jane, 700).await?,
    );
    shop.world.clock.advance(MINUTE);
    shop.hands_over(&jane, json!({"amount": 1500})).await?;

    let status = |invoice: &Value| format!("{}/status", path_of(invoice));
    let number = first["id"].as_str().context("a number")?;
    for said in [
        json!({"status": "paid"}),
        json!({"status": "paid", "method": "Wallet"}),
    ] {
        let (code, answer) = shop
            .owner()
            .call(Method::PUT, &status(&second), Some(&said))
            .await?;
        assert_eq!(code.as_u16(), 409, "{answer}");
        assert_eq!(answer["code"], "SET_ASIDE", "{answer}");
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(number) && message.contains("method: Cash"),
            "{answer}"
        );
    }
    shop.invoice_is(&second, "pending").await?;
    assert_eq!(shop.isp.customer(&jane).await?["walletBalance"], 1500);

    // The one that it is set aside for may have it before its work is done.
    let paid = json!({"status": "paid"});
    shop.owner().put(&status(&first), &paid).await?;
    let shown = shop.owner().get(&path_of(&first)).await?;
    assert_eq!(shown["paidBy"], "WALLET", "{shown}");
    assert_eq!(shop.isp.customer(&jane).await?["walletBalance"], 0);
    // With nothing in the wallet "paid" means what came by hand, and so it does with too little.
    shop.owner().put(&status(&second), &paid).await?;
    let shown = shop.owner().get(&path_of(&second)).await?;
    assert_eq!(shown["paidBy"], "OTHER", "{shown}");
    shop.closes().await
}

/// Who is billed afterwards and names an invoice pays that one, and what is left pays the oldest.
#[tokio::test(flavor = "multi_thread")]
async fn the_invoice_that_is_named_is_paid_before_the_oldest() -> Result<()> {
    let shop = Shop::open("named").await?;
    let now = shop.world.clock.now();
    let asha = shop.isp.add_subscriber("asha", "254712345601", now).await?;
    let monthly = json!({"postpaid": true});
    let billing = format!("/customers/{asha}/billing");
    shop.owner().put(&billing, &monthly).await?;
    let (oldest, middle, named) = (
        shop.asks_for(&asha, 300).await?,
        shop.asks_for(&asha, 400).await?,
        shop.asks_for(&asha, 500).await?,
    );
    let number = named["id"].as_str().context("a number")?.replace('-', " ");
    shop.hands_over(&asha, json!({"amount": 850, "reference": number}))
        .await?;
    shop.invoice_is(&named, "paid").await?;
    shop.invoice_is(&oldest, "paid").await?;
    shop.invoice_is(&middle, "pending").await?;
    assert_eq!(shop.isp.customer(&asha).await?["walletBalance"], 50);
    shop.closes().await
}

impl Shop {
    /// Somebody at the counter; the payment's id.
    async fn hands_over(&self, customer: &str, mut payment: Value) -> Result<String> {
        payment["customerId"] = json!(customer);
        let made = self.owner().post("/payments/manual", &payment).await?;
        Ok(made["id"].as_str().context("an id")?.to_owned())
    }

    /// The work that pays an invoice with money which arrived for it comes an hour later.
    async fn settles_an_hour_later(&self) -> Result<()> {
        let mut psql = PgConnection::connect_with(&self.world.database.anybody()).await?;
        sqlx::raw_sql(
            "create function later() returns trigger language plpgsql as $$
             begin
                 new.due_at := new.due_at + interval '1 hour';
                 return new;
             end $$;
             create trigger later before insert on directory.jobs
                 for each row when (new.kind = 'renewals.settle') execute function later();",
        )
        .execute(&mut psql)
        .await?;
        Ok(())
    }

    async fn asks_for(&self, customer: &str, amount: u32) -> Result<Value> {
        let bill = json!({"customerId": customer, "amount": amount, "dueDate": "2027-01-20",
            "items": [{"description": "Cable", "amount": amount}]});
        self.owner().post("/finance/invoices", &bill).await
    }

    async fn invoice_is(&self, invoice: &Value, status: &str) -> Result<()> {
        eventually(&format!("it is {status}"), async || {
            let shown = self.owner().get(&path_of(invoice)).await?;
            Ok((shown["status"] == status).then_some(()))
        })
        .await
    }

    /// What he was told last.
    async fn told_last(&self, customer: &str) -> Result<String> {
        let mut tx = self.world.db().begin(self.isp.tenant().await?).await?;
        let newest = "select body from messages where customer_id = $1::uuid order by created_at desc, id desc limit 1";
        Ok(sqlx::query_scalar(newest)
            .bind(customer)
            .fetch_one(&mut *tx)
            .await?)
    }
}

fn path_of(invoice: &Value) -> String {
    format!(
        "/finance/invoices/{}",
        invoice["id"].as_str().unwrap_or_default()
    )
}
