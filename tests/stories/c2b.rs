//! Payers send money by themselves, typing what they remember; it finds its owner or waits for a person.

mod by_hand;
mod doors;
mod doubt;
mod invoices;
mod owners;
mod proof;
mod shared;
mod twice;

use anyhow::{Context, Result, ensure};
use easyisp_shared::phone::PhoneNumber;
use easyisp_tests::mpesa::{App, Kind};
use easyisp_tests::operator::http_client;
use easyisp_tests::world::{Provider, World, eventually, soon};
use serde_json::{Value, json};

/// The pay bill of [`Provider::with_paybill`].
pub(crate) const CODE: &str = "174379";
/// When worlds begin, as M-Pesa writes it.
const STAMP: &str = "20270115110000";
/// Somebody who is nobody's customer.
const STRANGER: &str = "0799000111";

/// Has M-Pesa tell the first gateway's addresses.
pub(crate) async fn register(isp: &Provider) -> Result<()> {
    let gateways = isp.owner.get("/payment-gateways").await?;
    let id = gateways[0]["id"].as_str().context("a gateway")?;
    let path = format!("/payment-gateways/{id}/register-c2b");
    isp.owner.post(&path, &json!({})).await?;
    Ok(())
}

/// Somebody pays and M-Pesa tells of it; the receipt.
pub(crate) async fn pay(
    world: &World,
    phone: &str,
    amount: &str,
    reference: &str,
) -> Result<String> {
    let mpesa = &world.outside.mpesa;
    let receipt = mpesa.pay_bill(CODE, phone, amount, reference).await;
    let receipt = receipt.context("a validation refused it")?;
    let told = mpesa.until(|books| {
        let mut direct = books.direct().iter();
        let paid = direct.find(|paid| paid.receipt == receipt)?;
        paid.confirmations.first().map(|told| told.status)
    });
    let status = soon("M-Pesa tells of it", told).await?;
    ensure!(status == Some(200), "answered {status:?}");
    Ok(receipt)
}

/// Every report was worked on, every receipt on M-Pesa's books is booked once, and the books are in order.
pub(crate) async fn all_is_booked(world: &World, isp: &Provider, receipts: usize) -> Result<()> {
    worked(world, isp).await?;
    let books = world.outside.mpesa.books();
    let mut theirs: Vec<&str> = books.receipts().collect();
    assert_eq!(theirs.len(), receipts);
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let ours: Vec<String> = sqlx::query_scalar(
        "select receipt from payments where receipt not like 'SJK4H7L2%' order by receipt",
    )
    .fetch_all(&mut *tx)
    .await?;
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    Ok(())
}

/// Waits until every report was worked on.
pub(crate) async fn worked(world: &World, isp: &Provider) -> Result<()> {
    let waiting = "select count(*) from payment_inbox where processed_at is null";
    eventually("every report is worked on", async || {
        Ok((count(world, isp, waiting).await? == 0).then_some(()))
    })
    .await
}

pub(crate) async fn count(world: &World, isp: &Provider, sql: &'static str) -> Result<i64> {
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    Ok(sqlx::query_scalar(sql).fetch_one(&mut *tx).await?)
}

pub(crate) async fn lookup(isp: &Provider, query: &str) -> Result<Value> {
    isp.owner.get(&format!("/payments/lookup?{query}")).await
}

pub(crate) async fn account(isp: &Provider, customer: &str) -> Result<String> {
    let customer = isp.customer(customer).await?;
    Ok(customer["accountNumber"]
        .as_str()
        .context("an account number")?
        .to_owned())
}

/// The same account number with one digit wrong.
pub(crate) fn with_slip(number: &str) -> String {
    let mut digits = number.as_bytes().to_vec();
    digits[3] = if digits[3] == b'9' {
        b'0'
    } else {
        digits[3] + 1
    };
    String::from_utf8(digits).expect("digits")
}

/// A gateway for this application.
pub(crate) fn gateway(app: &App) -> Value {
    let (kind, shortcode, store) = match &app.kind {
        Kind::Till(till) => ("BUYGOODS", till.as_str(), app.shortcode.as_str()),
        Kind::Paybill | Kind::Bank => ("PAYBILL", app.shortcode.as_str(), ""),
    };
    json!({"type": "MPESA_API", "subType": kind, "shortcode": shortcode, "storeNumber": store,
        "consumerKey": app.key, "consumerSecret": app.secret, "passkey": app.passkey, "env": "sandbox"})
}

/// A confirmation of money from somebody unknown, as anybody who knows the address could write it.
pub(crate) fn told(receipt: &str, amount: Value, reference: &str, shortcode: &str) -> Value {
    let stranger = PhoneNumber::parse(STRANGER).map(|phone| phone.hash());
    json!({"TransactionType": "Pay Bill", "TransID": receipt, "TransTime": STAMP, "TransAmount": amount,
        "BusinessShortCode": shortcode, "BillRefNumber": reference, "InvoiceNumber": "",
        "OrgAccountBalance": "49197.00", "ThirdPartyTransID": "", "MSISDN": stranger,
        "FirstName": "John", "MiddleName": "", "LastName": ""})
}

fn with(mut body: Value, changes: Value) -> Value {
    for (field, value) in changes.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    body
}

pub(crate) async fn post(url: &str, body: &Value) -> Result<u16> {
    let answer = http_client().post(url).json(body).send().await?;
    Ok(answer.status().as_u16())
}
