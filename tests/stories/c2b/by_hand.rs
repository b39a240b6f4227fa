//! A receipt that somebody typed beside money he booked by hand, and that M-Pesa tells of later.

use anyhow::{Context, Result};
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::{Provider, World, soon};
use serde_json::{Value, json};

use super::{CODE, count, post, register, told, worked};
use crate::words::DAY;

/// V2: typed with a payment, with other income or with an invoice, however it is spelt: when M-Pesa tells of it the
/// money is held, with words a person understands, and nobody gets it a second time. What was typed and taken back
/// does not count.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_was_typed_by_hand_is_held_when_it_arrives() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let (_, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;

    let payment =
        json!({"customerId": amina, "amount": 300, "method": "OTHER", "reference": " sjk4 h7l2pa"});
    isp.owner.post("/payments/manual", &payment).await?;
    let income = json!({"customerName": "Amina", "amount": 300, "method": "Other", "reference": "SJK4H7L2PB"});
    isp.owner.post("/finance/income", &income).await?;
    let bill = json!({"customerId": amina, "amount": 300, "dueDate": "2027-02-01",
        "items": [{"description": "Cable", "amount": 300}]});
    let invoice = isp.owner.post("/finance/invoices", &bill).await?;
    let id = invoice["id"].as_str().context("an invoice")?;
    let paid = json!({"status": "paid", "method": "Cash", "reference": "sjk4h7l2pc"});
    isp.owner
        .put(&format!("/finance/invoices/{id}/status"), &paid)
        .await?;
    let wrong =
        json!({"customerId": amina, "amount": 5, "method": "CASH", "reference": "SJK4H7L2PD"});
    let wrong = isp.owner.post("/payments/manual", &wrong).await?;
    let wrong = wrong["id"].as_str().context("a payment")?;
    let path = format!("/payments/manual/{wrong}");
    let (_, voided) = isp.owner.call(reqwest::Method::DELETE, &path, None).await?;
    assert_eq!(voided["clearedCount"], 1);
    let before = isp.customer(&amina).await?["walletBalance"].clone();

    for receipt in ["SJK4H7L2PA", "SJK4H7L2PB", "SJK4H7L2PC", "SJK4H7L2PD"] {
        let body = told(receipt, json!("300"), "amina", CODE);
        assert_eq!(post(&url, &body).await?, 200);
        assert_eq!(post(&url, &body).await?, 200, "told twice");
    }
    worked(&world, &isp).await?;
    assert_eq!(
        isp.customer(&amina).await?["walletBalance"].as_i64(),
        before.as_i64().map(|before| before + 300),
        "only what was taken back by hand is hers"
    );
    let held = isp.owner.get("/payments/unallocated").await?;
    assert_eq!(held["total"], 3, "{held}");
    for (receipt, what) in [
        ("SJK4H7L2PA", "with a payment"),
        ("SJK4H7L2PB", "with other income"),
        ("SJK4H7L2PC", "with an invoice"),
    ] {
        let mut lines = held["payments"].as_array().into_iter().flatten();
        let line = lines.find(|line| line["receipt"] == receipt);
        let why = line.and_then(|line| line["description"].as_str());
        let why = why.context("held")?;
        assert!(
            why.contains("may be credited already by hand") && why.contains(what),
            "{why}"
        );
    }
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// V2: the payment of a prompt too, whoever tells of it: the callback, or the confirmation.
#[tokio::test(flavor = "multi_thread")]
async fn the_payment_of_a_prompt_that_was_typed_by_hand_is_held() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let mpesa = &world.outside.mpesa;
    let yesterday = world.clock.now().minus(DAY);
    let ways = [
        (Callback::Held, Callback::Never),
        (Callback::Never, Callback::Held),
        (Callback::Held, Callback::Held),
    ];
    for (nth, (callback, confirmation)) in ways.into_iter().enumerate() {
        let phone = format!("25471234560{nth}");
        let payer = isp
            .add_subscriber(&format!("payer{nth}"), &phone, yesterday)
            .await?;
        let reports = [&callback, &confirmation].into_iter();
        let reports = reports.filter(|way| **way == Callback::Held).count();
        let script = Payer {
            callback: callback.clone(),
            confirmation: confirmation.clone(),
            ..Payer::prompt()
        };
        mpesa.script(&phone, script);
        let checkout = isp.ask_to_pay(&payer, 300).await?;
        let paid = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
        let receipt = soon("the payer types his PIN", paid).await?;
        let typed =
            json!({"customerId": payer, "amount": 300, "method": "OTHER", "reference": receipt});
        isp.owner.post("/payments/manual", &typed).await?;
        let before = isp.customer(&payer).await?["walletBalance"].clone();

        mpesa.release(&checkout);
        let told = mpesa.until(|books| {
            let known = books.find(&checkout)?;
            (known.confirmations.len() + known.callbacks.len() >= reports).then_some(())
        });
        soon("M-Pesa has told all", told).await?;
        worked(&world, &isp).await?;
        let after = isp.customer(&payer).await?["walletBalance"].clone();
        assert_eq!(after, before, "{nth}");
        let held = isp.owner.get("/payments/unallocated").await?;
        let mut lines = held["payments"].as_array().into_iter().flatten();
        let line = lines.find(|line| line["receipt"] == receipt.as_str());
        let why = line.map_or(&Value::Null, |line| &line["description"]);
        let why = why.as_str().context("held")?;
        assert!(why.contains("may be credited already by hand"), "{why}");
    }
    let credited = "select count(*) from payments where intent_id is not null";
    assert_eq!(count(&world, &isp, credited).await?, 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// Whoever types a receipt while it is being booked by itself waits, and then hears that it is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_typed_and_told_of_at_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let (_, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    for nth in 0..10 {
        let receipt = format!("SJK4H7L2Q{nth}");
        let typed =
            json!({"customerId": amina, "amount": 1, "method": "OTHER", "reference": receipt});
        let body = told(&receipt, json!("1"), "amina", CODE);
        let (typed, told) = tokio::join!(
            isp.owner
                .call(reqwest::Method::POST, "/payments/manual", Some(&typed)),
            post(&url, &body)
        );
        let (typed, _) = typed?;
        assert_eq!(told?, 200);
        assert!([201, 409].contains(&typed.as_u16()), "{typed}");
    }
    worked(&world, &isp).await?;
    let wallet = isp.customer(&amina).await?["walletBalance"].clone();
    assert_eq!(wallet, 10, "each was credited once");
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}
