//! What a customer is billed: owed from the day it is issued, numbered without a gap, paid or taken back.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::http_client;
use easyisp_tests::world::{Provider, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::finance::Shop;
use crate::money::at;
use crate::words::DAY;

const INVOICES: &str = "/finance/invoices";

impl Shop {
    async fn customer(&self, name: &str) -> Result<String> {
        let until = self.world.clock.now().plus(DAY);
        self.isp.add_subscriber(name, "254712345601", until).await
    }

    async fn bill(&self, customer: &str, amount: u32) -> Result<Value> {
        self.owner().post(INVOICES, &bill(customer, amount)).await
    }

    async fn wallet(&self, customer: &str) -> Result<Value> {
        Ok(self.isp.customer(customer).await?["walletBalance"].clone())
    }

    async fn pay_in(&self, customer: &str, amount: u32) -> Result<()> {
        let paid = json!({"customerId": customer, "amount": amount});
        self.owner().post("/payments/manual", &paid).await?;
        Ok(())
    }
}

fn bill(customer: &str, amount: u32) -> Value {
    json!({"customerId": customer, "amount": amount, "dueDate": "2027-01-20",
        "items": [{"description": "Cable", "amount": amount - 1}, {"description": "Plug", "amount": 1}]})
}

fn status_of(invoice: &Value) -> String {
    format!(
        "{INVOICES}/{}/status",
        invoice["id"].as_str().unwrap_or_default()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_owed_with_its_taxes_until_the_wallet_pays_it() -> Result<()> {
    let shop = Shop::open("bills").await?;
    let owner = shop.owner();
    let asha = shop.customer("asha").await?;
    let taxes =
        json!({"taxes": [{"name": "Excise duty", "rate": 15}, {"name": "VAT", "rate": 16}]});
    owner.put("/finance/taxes", &taxes).await?;

    let invoice = shop.bill(&asha, 1334).await?;
    assert_eq!(invoice["id"], "INV-20270001");
    assert_eq!(
        (&invoice["status"], &invoice["dueDate"]),
        (&json!("pending"), &json!("2027-01-19T21:00:00.000Z"))
    );
    assert_eq!(
        (
            &invoice["taxes"][0]["amount"],
            &invoice["taxes"][1]["amount"]
        ),
        (&json!(150), &json!(184))
    );
    assert_eq!(
        invoice["items"][0],
        json!({"description": "Cable", "amount": 1333})
    );
    for (code, balance) in [("1100", 1334), ("4020", 1000), ("2300", 334)] {
        assert_eq!(shop.balance(code).await?, balance, "{code}");
    }
    let changed = json!({"taxes": []});
    owner.put("/finance/taxes", &changed).await?;
    let statement = owner.get(&format!("/customers/{asha}/statement")).await?;
    assert_eq!(statement["closingBalance"], -1334);

    let paid = json!({"status": "paid"});
    let from_wallet = json!({"status": "paid", "method": "Wallet"});
    let short = shop
        .refusal(Method::PUT, &status_of(&invoice), from_wallet)
        .await?;
    assert_eq!(short, (StatusCode::CONFLICT, "BALANCE_TOO_LOW".to_owned()));
    shop.pay_in(&asha, 2400).await?; // a month for 1000, 1400 stay
    let first = owner.put(&status_of(&invoice), &paid).await?;
    assert_eq!(
        (&first["id"], &first["status"]),
        (&invoice["id"], &json!("paid"))
    );
    let second = owner.put(&status_of(&invoice), &paid).await?;
    assert_eq!(first, second, "a repeat takes nothing");
    assert_eq!(shop.wallet(&asha).await?, 66);
    assert_eq!(shop.balance("1100").await?, 0);
    let statement = owner.get(&format!("/customers/{asha}/statement")).await?;
    assert_eq!(statement["closingBalance"], 66, "{statement}");
    let path = status_of(&invoice);
    let other = json!({"status": "cancelled"});
    let refused = shop.refusal(Method::PUT, &path, other).await?;
    assert_eq!(refused, (StatusCode::CONFLICT, "INVOICE_PAID".to_owned()));
    let derived = json!({"status": "overdue"});
    let refused = shop.refusal(Method::PUT, &path, derived).await?;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    shop.closes().await
}

/// What an invoice was paid with is taken back by hand: the wallet has it again, or what came over the counter is
/// gone, and the invoice is owed until it is paid anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_whose_payment_is_taken_back_is_owed_again() -> Result<()> {
    let shop = Shop::open("again").await?;
    let owner = shop.owner();
    let asha = shop.customer("asha").await?;
    let (paid, pending) = (json!({"status": "paid"}), json!({"status": "pending"}));
    let cash = json!({"status": "paid", "method": "Cash"});
    let invoice = shop.bill(&asha, 700).await?;
    shop.pay_in(&asha, 1800).await?; // a month for 1000, 800 stay
    for _ in 0..2 {
        owner.put(&status_of(&invoice), &paid).await?;
        assert_eq!(shop.wallet(&asha).await?, 100);
        let open = owner.put(&status_of(&invoice), &pending).await?;
        assert_eq!(
            (&open["status"], &open["paidAt"]),
            (&json!("pending"), &json!(null))
        );
        assert_eq!(shop.wallet(&asha).await?, 800);
        assert_eq!(shop.balance("1100").await?, 700);
        let repeated = owner.put(&status_of(&invoice), &pending).await?;
        assert_eq!(repeated, open, "a repeat gives nothing");
    }
    let till = shop.balance("1000").await?;
    owner.put(&status_of(&invoice), &cash).await?;
    assert_eq!(
        shop.balance("1000").await?.as_f64(),
        till.as_f64().map(|n| n + 700.0)
    );
    owner.put(&status_of(&invoice), &pending).await?;
    assert_eq!(shop.balance("1000").await?, till);
    let statement = owner.get(&format!("/customers/{asha}/statement")).await?;
    assert_eq!(statement["closingBalance"], 100, "800 less 700 owed");
    let income = owner.get("/finance/income").await?;
    let lines = income["transactions"].as_array().context("lines")?;
    assert_eq!(lines.len(), 1, "what was taken back is no income: {income}");
    let trail = owner.get("/audit-logs?action=INVOICE_UPDATE").await?;
    assert_eq!(trail["total"], 6);
    let cancelled = json!({"status": "cancelled"});
    owner.put(&status_of(&invoice), &cancelled).await?;
    assert_eq!(shop.balance("1100").await?, 0);
    shop.closes().await
}

/// A payment is taken back that had paid an invoice out of the wallet: the invoice is owed again by itself. One that
/// was paid before that money came stays paid.
#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_follows_the_payment_that_paid_it() -> Result<()> {
    let shop = Shop::open("follows").await?;
    let owner = shop.owner();
    let until = shop.world.clock.now().plus(DAY);
    let asha = shop
        .isp
        .add_subscriber("asha", "254712345601", until)
        .await?;
    let by_itself = json!({"packageId": ""});
    owner.put(&format!("/customers/{asha}"), &by_itself).await?;
    let paid = json!({"status": "paid"});
    let pay_in = async |amount: u32| -> Result<String> {
        shop.world.clock.advance(std::time::Duration::from_secs(60));
        let body = json!({"customerId": asha, "amount": amount});
        let made = owner.post("/payments/manual", &body).await?;
        shop.world.clock.advance(std::time::Duration::from_secs(60));
        Ok(made["id"].as_str().context("an id")?.to_owned())
    };
    let old = shop.bill(&asha, 300).await?;
    pay_in(300).await?;
    owner.put(&status_of(&old), &paid).await?;
    let payment = pay_in(1000).await?;
    let (first, second) = (shop.bill(&asha, 400).await?, shop.bill(&asha, 500).await?);
    for invoice in [&first, &second] {
        shop.world.clock.advance(std::time::Duration::from_secs(60));
        owner.put(&status_of(invoice), &paid).await?;
    }
    assert_eq!(shop.wallet(&asha).await?, 100);
    let statuses = async || -> Result<Vec<String>> {
        let mut all = Vec::new();
        for invoice in [&old, &first, &second] {
            let number = invoice["id"].as_str().context("a number")?;
            let shown = owner.get(&format!("{INVOICES}/{number}")).await?;
            all.push(shown["status"].as_str().context("a status")?.to_owned());
        }
        Ok(all)
    };
    assert_eq!(statuses().await?, ["paid", "paid", "paid"]);

    let path = format!("/payments/manual/{payment}");
    let (status, gone) = owner.call(Method::DELETE, &path, None).await?;
    assert_eq!(status, StatusCode::OK, "{gone}");
    easyisp_tests::world::eventually("what it paid is owed again", async || {
        let now = statuses().await?;
        Ok((now == ["paid", "pending", "pending"]).then_some(()))
    })
    .await?;
    // 100 less 1000, and 900 again.
    assert_eq!(shop.wallet(&asha).await?, 0);
    assert_eq!(shop.balance("1100").await?, 900);
    let trail = owner.get("/audit-logs?action=INVOICE_UPDATE").await?;
    let why = trail["logs"][0]["details"].as_str().context("why")?;
    assert!(why.contains("taken back"), "{trail}");
    shop.closes().await
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_came_by_hand_pays_without_the_wallet() -> Result<()> {
    let shop = Shop::open("counter").await?;
    let asha = shop.customer("asha").await?;
    let invoice = shop.bill(&asha, 500).await?;
    let mpesa = json!({"status": "paid", "method": "M-Pesa", "reference": "SJK4H7L2PQ"});
    let (status, _) = shop
        .refusal(Method::PUT, &status_of(&invoice), mpesa)
        .await?;
    assert_eq!(
        status,
        StatusCode::BAD_REQUEST,
        "M-Pesa arrives in the wallet by itself"
    );

    let cheque = json!({"status": "paid", "method": "Bank Transfer", "reference": "CHQ 12"});
    let uuid = invoice["uuid"].as_str().context("an id")?;
    shop.owner()
        .put(&format!("{INVOICES}/{uuid}/status"), &cheque)
        .await?;
    assert_eq!(shop.balance("1020").await?, 500);
    assert_eq!(shop.balance("1100").await?, 0);
    assert_eq!(shop.wallet(&asha).await?, 0);
    let shown = shop
        .owner()
        .get(&format!("{INVOICES}/inv-20270001"))
        .await?;
    assert_eq!(
        (&shown["paidBy"], &shown["reference"]),
        (&json!("BANK_TRANSFER"), &json!("CHQ 12"))
    );
    shop.closes().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_overdue_when_the_tenants_day_is_over_and_a_credit_note_takes_it_back()
-> Result<()> {
    let mut shop = Shop::open("late").await?;
    let asha = shop.customer("asha").await?;
    let invoice = shop.bill(&asha, 200).await?;
    shop.bill(&asha, 50).await?;
    let path = format!("{INVOICES}/{}", invoice["id"].as_str().context("a number")?);

    shop.go_to(at("2027-01-20T20:59:59Z")).await?;
    assert_eq!(shop.owner().get(&path).await?["status"], "pending");
    let early = shop
        .refusal(
            Method::PUT,
            &status_of(&invoice),
            json!({"status": "overdue"}),
        )
        .await?;
    assert_eq!(early.0, StatusCode::BAD_REQUEST);
    shop.go_to(at("2027-01-20T21:00:00Z")).await?;
    assert_eq!(shop.owner().get(&path).await?["status"], "overdue");
    let late = shop
        .owner()
        .get(&format!("{INVOICES}?page=1&pageSize=20&status=overdue"))
        .await?;
    assert_eq!(
        late["stats"],
        json!({"total": 250, "paid": 0, "pending": 0, "overdue": 250})
    );
    assert_eq!(late["total"], 2);

    let cancelled = json!({"status": "cancelled"});
    for _ in 0..2 {
        let answer = shop.owner().put(&status_of(&invoice), &cancelled).await?;
        assert_eq!(
            (&answer["status"], &answer["paidAt"]),
            (&json!("cancelled"), &Value::Null)
        );
    }
    assert_eq!(
        (shop.balance("1100").await?, shop.balance("4020").await?),
        (json!(50), json!(50))
    );
    let paid = shop
        .refusal(Method::PUT, &status_of(&invoice), json!({"status": "paid"}))
        .await?;
    assert_eq!(paid, (StatusCode::CONFLICT, "INVOICE_CANCELLED".to_owned()));
    let all = shop.owner().get(&format!("{INVOICES}?search=asha")).await?;
    assert_eq!(
        (&all["total"], &all["stats"]["total"]),
        (&json!(2), &json!(50))
    );
    shop.closes().await
}

/// Twenty pay and ten take back at once: one of them does it, and what it moves is moved once.
#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_paid_once_or_taken_back_once() -> Result<()> {
    let shop = Shop::open("once").await?;
    let asha = shop.customer("asha").await?;
    shop.pay_in(&asha, 1900).await?; // a month for 1000, 900 stay
    let invoice = shop.bill(&asha, 300).await?;
    let racers = (0..30).map(|racer| {
        let (owner, path) = (shop.owner().clone(), status_of(&invoice));
        let status = if racer % 3 == 0 { "cancelled" } else { "paid" };
        tokio::spawn(async move {
            let body = json!({"status": status});
            let (answer, _) = owner.call(Method::PUT, &path, Some(&body)).await?;
            ensure!(
                answer == StatusCode::OK || answer == StatusCode::CONFLICT,
                "{answer}"
            );
            anyhow::Ok((status, answer))
        })
    });
    let mut became = BTreeSet::new();
    for raced in futures_util::future::join_all(racers).await {
        let (status, answer) = raced??;
        if answer == StatusCode::OK {
            became.insert(status);
        }
    }
    assert_eq!(became.len(), 1, "{became:?}");
    let left = if became.contains("paid") { 600 } else { 900 };
    assert_eq!(shop.wallet(&asha).await?, left);
    assert_eq!(shop.balance("1100").await?, 0);
    shop.closes().await
}

/// A thousand from twenty at once, with requests between them that fail: a thousand numbers one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_invoices_have_a_thousand_consecutive_numbers() -> Result<()> {
    let shop = Shop::open("thousand").await?;
    let asha = shop.customer("asha").await?;
    let writers = (0..20).map(|writer| {
        let (owner, asha) = (shop.owner().clone(), asha.clone());
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for turn in 0..50 {
                let made = owner.post(INVOICES, &bill(&asha, 2 + turn)).await?;
                numbers.push(made["id"].as_str().context("a number")?.to_owned());
                if turn % 10 == writer % 10 {
                    let stranger = bill("0190e7a0-0000-7000-8000-000000000000", 5);
                    let (status, _) = owner.call(Method::POST, INVOICES, Some(&stranger)).await?;
                    ensure!(status == StatusCode::NOT_FOUND, "{status}");
                }
            }
            anyhow::Ok(numbers)
        })
    });
    let mut numbers = BTreeSet::new();
    for made in futures_util::future::join_all(writers).await {
        numbers.extend(made??);
    }
    let should: BTreeSet<String> = (1..=1000)
        .map(|serial| format!("INV-2027{serial:04}"))
        .collect();
    assert_eq!(numbers, should);
    shop.closes().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_has_the_first_number_and_numbers_are_each_providers_own() -> Result<()> {
    let shop = Shop::open("repeat").await?;
    let asha = shop.customer("asha").await?;
    let other = Provider::sign_up(&shop.world, "other").await?;
    let theirs = other
        .add_subscriber("zuri", "254712345602", shop.world.clock.now().plus(DAY))
        .await?;
    let made = other.owner.post(INVOICES, &bill(&theirs, 9)).await?;
    assert_eq!(made["id"], "INV-20270001");
    let uuid = made["uuid"].as_str().context("an id")?;
    for wanted in ["paid", "cancelled"] {
        let path = format!("{INVOICES}/{uuid}/status");
        let foreign = shop
            .refusal(Method::PUT, &path, json!({"status": wanted}))
            .await?;
        assert_eq!(foreign.0, StatusCode::NOT_FOUND);
    }

    for _ in 0..2 {
        let answer = http_client()
            .post(format!("http://{}/api{INVOICES}", shop.world.api()))
            .bearer_auth(shop.owner().token())
            .header("Idempotency-Key", "bill-1")
            .json(&bill(&asha, 9))
            .send()
            .await?;
        assert_eq!(answer.status(), StatusCode::CREATED);
        let body: Value = answer.json().await?;
        assert_eq!(body["id"], "INV-20270001");
    }
    assert_eq!(shop.bill(&asha, 9).await?["id"], "INV-20270002");

    let wrong = json!({"customerId": asha, "amount": 10, "dueDate": "2027-01-14", "items": []});
    let (status, answer) = shop
        .owner()
        .call(Method::POST, INVOICES, Some(&wrong))
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let fields: BTreeSet<&str> = answer["details"]
        .as_array()
        .context("details")?
        .iter()
        .filter_map(|detail| detail["field"].as_str())
        .collect();
    assert_eq!(fields, BTreeSet::from(["dueDate", "items"]));
    let mut uneven = bill(&asha, 10);
    uneven["amount"] = json!(11);
    let (_, answer) = shop
        .owner()
        .call(Method::POST, INVOICES, Some(&uneven))
        .await?;
    assert_eq!(answer["details"][0]["field"], "amount", "{answer}");
    shop.closes().await
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_begin_anew_with_the_tenants_year_and_taxes_on_their_day() -> Result<()> {
    let mut shop = Shop::open("newyear").await?;
    let asha = shop.customer("asha").await?;
    shop.bill(&asha, 5).await?;
    let from_new_year = json!({"from": "2028-01-01", "taxes": [{"name": "VAT", "rate": 16}]});
    shop.owner().put("/finance/taxes", &from_new_year).await?;
    let past = json!({"from": "2027-01-14", "taxes": []});
    assert_eq!(
        shop.refusal(Method::PUT, "/finance/taxes", past).await?.0,
        StatusCode::BAD_REQUEST
    );

    let bill = json!({"customerId": asha, "amount": 116, "dueDate": "2028-02-01",
        "items": [{"description": "Mast", "amount": 116}]});
    shop.go_to(at("2027-12-31T20:59:59Z")).await?;
    let last = shop.owner().post(INVOICES, &bill).await?;
    assert_eq!(
        (&last["id"], &last["taxes"]),
        (&json!("INV-20270002"), &json!([]))
    );
    shop.go_to(at("2027-12-31T21:00:00Z")).await?;
    let first = shop.owner().post(INVOICES, &bill).await?;
    assert_eq!(
        (&first["id"], &first["taxes"][0]["amount"]),
        (&json!("INV-20280001"), &json!(16))
    );
    shop.closes().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_can_be_printed() -> Result<()> {
    let shop = Shop::open("paper").await?;
    shop.owner().add_paybill().await?;
    let asha = shop.customer("asha").await?;
    let mut invoice = bill(&asha, 1234);
    invoice["items"][0]["description"] = json!("Câble (10 m)");
    let invoice = shop.owner().post(INVOICES, &invoice).await?;
    let path = format!(
        "{INVOICES}/{}/pdf",
        invoice["id"].as_str().context("a number")?
    );
    let answer = http_client()
        .get(format!("http://{}/api{path}", shop.world.api()))
        .bearer_auth(shop.owner().token())
        .send()
        .await?;
    assert_eq!(answer.headers()["content-type"], "application/pdf");
    let text = answer.text().await?;
    ensure!(
        text.starts_with("%PDF-1.4\n") && text.ends_with("%%EOF\n"),
        "{text}"
    );
    for said in [
        "(paper)",
        "(Invoice INV-20270001)",
        "(To: Customer asha)",
        "(C\\342ble \\(10 m\\))",
        "(1,234.00)",
        "(Due: 20 January 2027)",
        "pay bill",
    ] {
        ensure!(text.contains(said), "{said} is not in {text}");
    }
    // A code of some hundred squares says the same to a phone.
    assert!(text.matches(" re f").count() > 100);
    assert!(!text.contains("/Image"), "there is no logo yet");

    // What is left of it is asked for, and nothing once that is paid.
    let id = invoice["id"].as_str().context("a number")?;
    let part = json!({"amount": 234, "reason": "Shorter"});
    let credited = format!("{INVOICES}/{id}/credit-notes");
    let note = shop.owner().post(&credited, &part).await?;
    let printed = async |path: &str| -> Result<String> {
        let answer = http_client()
            .get(format!("http://{}/api{path}", shop.world.api()))
            .bearer_auth(shop.owner().token());
        Ok(answer.send().await?.text().await?)
    };
    let text = printed(&path).await?;
    for said in ["Still to be paid", "(1,000.00)", "pay bill"] {
        ensure!(text.contains(said), "{said} is not in {text}");
    }
    let number = note["id"].as_str().context("a number")?;
    let text = printed(&format!("/finance/credit-notes/{number}/pdf")).await?;
    ensure!(text.contains("Gives back of invoice"), "{text}");
    let paid = json!({"status": "paid", "method": "Cash"});
    shop.owner().put(&status_of(&invoice), &paid).await?;
    let text = printed(&path).await?;
    ensure!(!text.contains("pay bill"), "{text}");
    ensure!(!text.contains("Still to be paid"), "{text}");
    shop.closes().await
}

/// The business's logo stands on its paper, with the colours it has on white.
#[tokio::test(flavor = "multi_thread")]
async fn a_logo_stands_on_the_paper() -> Result<()> {
    let shop = Shop::open("letterhead").await?;
    let asha = shop.customer("asha").await?;
    let invoice = shop.owner().post(INVOICES, &bill(&asha, 1234)).await?;
    let mut png = Vec::new();
    let orange = image::RgbaImage::from_pixel(640, 320, image::Rgba([255, 102, 0, 255]));
    orange.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png)?;
    let mut form =
        b"--edge\r\nContent-Disposition: form-data; name=\"logo\"; filename=\"l.png\"\r\n\r\n"
            .to_vec();
    form.extend(png);
    form.extend(b"\r\n--edge--\r\n");
    let sent = http_client()
        .post(format!("http://{}/api/tenant/logo", shop.world.api()))
        .bearer_auth(shop.owner().token())
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(form)
        .send()
        .await?;
    ensure!(sent.status().is_success(), "{}", sent.text().await?);
    let path = format!(
        "http://{}/api{INVOICES}/{}/pdf",
        shop.world.api(),
        invoice["id"].as_str().context("a number")?
    );
    let paper = http_client().get(path).bearer_auth(shop.owner().token());
    let text = paper.send().await?.text().await?;

    // As a reader finds it: the page names the object, and what it draws.
    let (_, named) = text.split_once("/XObject << /Im1 ").context("a resource")?;
    let number = named.split(' ').next().context("a number")?;
    ensure!(
        text.contains("72 0 0 36 473 756 cm /Im1 Do"),
        "it is drawn in the corner: {text}"
    );
    let begins = format!("\n{number} 0 obj\n");
    let (_, object) = text.split_once(&begins).context("the object")?;
    let (about, stream) = object.split_once("\nstream\n").context("a stream")?;
    for said in ["/Subtype /Image", "/Width 240", "/Height 120", "/DeviceRGB"] {
        ensure!(about.contains(said), "{said} is not in {about}");
    }
    let digits = stream.split('>').next().context("its end")?;
    let packed: Vec<u8> = digits
        .as_bytes()
        .chunks(2)
        .map(|two| Ok(u8::from_str_radix(std::str::from_utf8(two)?, 16)?))
        .collect::<Result<_>>()?;
    let mut pixels = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::ZlibDecoder::new(packed.as_slice()),
        &mut pixels,
    )?;
    assert_eq!(pixels.len(), 240 * 120 * 3);
    assert_eq!(pixels[..3], [255, 102, 0]);
    shop.closes().await
}

/// The platform bills nobody: the page that the client shows is empty, and whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_owes_the_platform_nothing() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "debtor").await?;
    let path = "/tenant/invoices?page=1&pageSize=20&search=x";
    let nothing = json!({"invoices": [], "total": 0, "page": 1, "pageSize": 20});
    assert_eq!(isp.owner.get(path).await?, nothing);
    world.stop().await
}
