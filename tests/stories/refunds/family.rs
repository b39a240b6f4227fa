//! Money whose customer became a child account since it came: his parent pays for him now, also what is taken back.

use anyhow::{Context, Result};
use easyisp_tests::scenario::{Callback, PushAnswer};
use easyisp_tests::world::{World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Shop, errand, given};
use crate::words::DAY;

/// Amina, and a mother whose account she may join.
struct Family {
    shop: Shop,
    mother: String,
}

impl Family {
    async fn given(world: &World) -> Result<Family> {
        let shop = given(world).await?;
        let end = world.clock.now().plus(300 * DAY);
        let mother = shop
            .isp
            .add_subscriber("mother", "254712345609", end)
            .await?;
        Ok(Family { shop, mother })
    }

    /// Amina's own time is over, and she joins.
    async fn join(&self, world: &World) -> Result<()> {
        let path = format!("/customers/{}", self.shop.amina);
        let over = json!({"expiresAt": world.clock.now().to_string()});
        let owner = &self.shop.isp.owner;
        owner.put(&format!("{path}/expiry"), &over).await?;
        let joined = owner.put(&path, &json!({"parentId": self.mother})).await?;
        assert_eq!(joined["parentId"], self.mother.as_str(), "{joined}");
        Ok(())
    }

    async fn leave(&self) -> Result<()> {
        let path = format!("/customers/{}", self.shop.amina);
        let left = self
            .shop
            .isp
            .owner
            .put(&path, &json!({"parentId": ""}))
            .await?;
        assert_eq!(left["parentId"], json!(null), "{left}");
        Ok(())
    }

    /// Amina's wallet and her mother's, with the books in order.
    async fn wallets(&self, world: &World) -> Result<(Value, Value)> {
        assert_eq!(world.book_findings().await?, Vec::<String>::new());
        let mother = self.shop.isp.customer(&self.mother).await?;
        Ok((self.shop.wallet().await?, mother["walletBalance"].clone()))
    }

    /// Amina has her mother's time, of which nothing was taken.
    async fn has_the_time(&self, until: &Value) -> Result<()> {
        let isp = &self.shop.isp;
        let has = |customer: &Value| customer["expiresAt"] == *until;
        let amina = isp.customer_becomes(&self.shop.amina, "served with her mother", has);
        amina.await?;
        assert_eq!(isp.customer(&self.mother).await?["expiresAt"], *until);
        Ok(())
    }

    async fn typed(&self, whose: &str, amount: u32) -> Result<String> {
        let body = json!({"customerId": whose, "amount": amount});
        let made = self.shop.isp.owner.post("/payments/manual", &body).await?;
        Ok(made["id"].as_str().context("an id")?.to_owned())
    }

    async fn void(&self, payment: &str) -> Result<()> {
        let path = format!("/payments/manual/{payment}");
        let (status, gone) = self
            .shop
            .isp
            .owner
            .call(Method::DELETE, &path, None)
            .await?;
        assert_eq!(status, StatusCode::OK, "{gone}");
        Ok(())
    }
}

/// V1: what was typed by hand for her and is taken back, and what turns out to be somebody else's, her mother owes; what
/// turns out to be her mother's moves nothing, and buys nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_of_a_child_account_its_parent_owes() -> Result<()> {
    let world = World::start().await?;
    let family = Family::given(&world).await?;
    let shop = &family.shop;
    let typed = family.typed(&shop.amina, 1000).await?;
    let receipts = ["1000", "1000"];
    let mut paid = Vec::new();
    for amount in receipts {
        let payment = shop.paid(&world, amount).await?;
        let shown = shop.isp.owner.get("/payments/mpesa?page=1").await?;
        let mut rows = shown["transactions"].as_array().into_iter().flatten();
        let row = rows.find(|row| row["id"] == payment.as_str());
        let receipt = row.context("a payment")?["transactionId"].clone();
        paid.push(receipt.as_str().context("a receipt")?.to_owned());
    }
    family.join(&world).await?;
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(0)));
    let until = shop.isp.customer(&family.mother).await?["expiresAt"].clone();

    family.void(&typed).await?;
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(-1000)));
    family.void(&typed).await?;
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(-1000)));

    let resolve = async |whose: &str, receipt: &str| {
        let words = format!("Resolved transaction: {receipt}");
        let body = json!({"amount": 0, "description": words});
        let path = format!("/customers/{whose}/recharge");
        shop.isp.owner.post(&path, &body).await
    };
    let over = world.clock.now().minus(DAY);
    let baraka = shop
        .isp
        .add_subscriber("baraka", "254712345608", over)
        .await?;
    resolve(&baraka, &paid[0]).await?;
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(-2000)));
    assert_eq!(shop.isp.customer(&baraka).await?["status"], "ACTIVE");

    // It is hers already.
    resolve(&family.mother, &paid[1]).await?;
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(-2000)));
    let mother = shop.isp.customer(&family.mother).await?;
    assert_eq!(mother["expiresAt"], until, "{mother}");
    family.has_the_time(&until).await?;
    world.stop().await
}

/// C14: what goes back to whoever paid for her is taken from her mother, who owes it unless it is waived: none of the
/// time that it had bought is left. What does not go is her mother's again, also when she has left her since.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_of_a_child_accounts_money_is_its_parents() -> Result<()> {
    let world = World::start().await?;
    let family = Family::given(&world).await?;
    let shop = &family.shop;
    let mut payments = Vec::new();
    for _ in 0..4 {
        payments.push(shop.paid(&world, "1000").await?);
    }
    family.join(&world).await?;
    let until = shop.isp.customer(&family.mother).await?["expiresAt"].clone();
    let body = |service: &str| json!({"service": service, "reason": "Moved in with her mother"});

    let refund = shop.sends_back(&payments[0], body("TAKE_BACK")).await?;
    shop.until(&refund, "DONE").await?;
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(-1000)));
    let refund = shop.sends_back(&payments[1], body("WAIVE")).await?;
    shop.until(&refund, "DONE").await?;
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(-1000)));

    // Set aside out of her mother's wallet, and given back to it though she is on her own by then.
    for (payment, sent) in [(&payments[2], false), (&payments[3], true)] {
        let lost = errand(PushAnswer::Lost, Callback::Now);
        world.outside.mpesa.script_errands(lost);
        let refund = shop.sends_back(payment, body("WAIVE")).await?;
        shop.until(&refund, "UNKNOWN").await?;
        assert_eq!(family.wallets(&world).await?, (json!(0), json!(-2000)));
        family.leave().await?;
        let outcome = json!({"sent": sent, "receipt": "SJK4H7L2PQ"});
        let path = format!("/payments/refunds/{refund}/outcome");
        shop.isp.owner.post(&path, &outcome).await?;
        assert_eq!(family.wallets(&world).await?, (json!(0), json!(-1000)));
        family.join(&world).await?;
    }
    family.has_the_time(&until).await?;
    assert_eq!(shop.set_aside(&world).await?, 0);
    world.stop().await
}

/// A debt goes along to who pays from then on, as money does.
#[tokio::test(flavor = "multi_thread")]
async fn who_joins_an_account_brings_what_he_owes() -> Result<()> {
    let world = World::start().await?;
    let family = Family::given(&world).await?;
    let typed = family.typed(&family.shop.amina, 1000).await?;
    family.void(&typed).await?;
    assert_eq!(family.wallets(&world).await?, (json!(-1000), json!(0)));
    family.join(&world).await?;
    eventually("her mother owes it", async || {
        let wallets = family.wallets(&world).await?;
        Ok((wallets == (json!(0), json!(-1000))).then_some(()))
    })
    .await?;
    world.stop().await
}

/// An invoice is owed again when the M-Pesa payment that paid it is sent back.
#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_owed_again_when_its_payment_is_sent_back() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let owner = &shop.isp.owner;
    let customer = format!("/customers/{}", shop.amina);
    owner.put(&customer, &json!({"packageId": ""})).await?;
    let payment = shop.paid(&world, "700").await?;
    let invoice = bill(&shop, &shop.amina, 700).await?;
    pay(&shop, &invoice).await?;
    assert_eq!(shop.wallet().await?, 0);

    let keep = json!({"service": "KEEP", "reason": "Paid twice"});
    let refund = shop.sends_back(&payment, keep).await?;
    shop.until(&refund, "DONE").await?;
    becomes(&shop, &invoice, "pending").await?;
    assert_eq!(shop.wallet().await?, 0, "what it was paid with is gone");
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    // It can be paid anew.
    shop.paid(&world, "700").await?;
    pay(&shop, &invoice).await?;
    assert_eq!(shop.wallet().await?, 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A child account's invoice is paid out of its parent's wallet, and owed again when what was in that is taken back: the
/// parent has it again that paid it, though the child is on its own by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_accounts_invoice_is_paid_by_its_parents_wallet() -> Result<()> {
    let world = World::start().await?;
    let family = Family::given(&world).await?;
    let shop = &family.shop;
    let owner = &shop.isp.owner;
    let mother = format!("/customers/{}", family.mother);
    owner.put(&mother, &json!({"packageId": ""})).await?;
    family.join(&world).await?;
    let first = family.typed(&family.mother, 700).await?;
    let invoice = bill(shop, &shop.amina, 500).await?;
    pay(shop, &invoice).await?;
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(200)));
    // Her mother's own is paid out of the same wallet; a third is not covered.
    let own = bill(shop, &family.mother, 200).await?;
    pay(shop, &own).await?;
    let third = bill(shop, &shop.amina, 1).await?;
    let by_wallet = json!({"status": "paid", "method": "Wallet"});
    let (status, answer) = owner
        .call(Method::PUT, &status_of(&third), Some(&by_wallet))
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("BALANCE_TOO_LOW")),
        "{answer}"
    );

    family.leave().await?;
    family.void(&first).await?;
    for invoice in [&own, &invoice] {
        becomes(shop, invoice, "pending").await?;
    }
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(0)));
    // And one that she paid herself is owed again when her mother owes for her.
    owner
        .put(
            &format!("/customers/{}", shop.amina),
            &json!({"packageId": ""}),
        )
        .await?;
    let hers = family.typed(&shop.amina, 500).await?;
    pay(shop, &invoice).await?;
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(0)));
    family.join(&world).await?;
    family.void(&hers).await?;
    becomes(shop, &invoice, "pending").await?;
    assert_eq!(family.wallets(&world).await?, (json!(0), json!(0)));
    world.stop().await
}

async fn bill(shop: &Shop, customer: &str, amount: u32) -> Result<String> {
    let body = json!({"customerId": customer, "amount": amount, "dueDate": "2027-02-20",
        "items": [{"description": "Cable", "amount": amount}]});
    let made = shop.isp.owner.post("/finance/invoices", &body).await?;
    Ok(made["id"].as_str().context("a number")?.to_owned())
}

fn status_of(invoice: &str) -> String {
    format!("/finance/invoices/{invoice}/status")
}

fn paid() -> Value {
    json!({"status": "paid"})
}

async fn pay(shop: &Shop, invoice: &str) -> Result<()> {
    let done = shop.isp.owner.put(&status_of(invoice), &paid()).await?;
    assert_eq!(done["status"], "paid", "{done}");
    Ok(())
}

async fn becomes(shop: &Shop, invoice: &str, status: &str) -> Result<()> {
    let path = format!("/finance/invoices/{invoice}");
    eventually(&format!("{invoice} is {status}"), async || {
        let shown = shop.isp.owner.get(&path).await?;
        Ok((shown["status"] == status).then_some(()))
    })
    .await
}
