//! One pay bill for several services of a provider: each has its gateway, and the short code is one.

use anyhow::{Context, Result};
use easyisp_tests::mpesa::App;
use easyisp_tests::mpesa::books::{Books, Direct};
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::{Provider, World, eventually, soon};
use reqwest::Method;
use serde_json::{Value, json};

use super::{all_is_booked, count, gateway, lookup, post, told, worked};
use crate::statement::{compare, csv};
use crate::words::DAY;

const CODE: &str = "600001";

/// A provider whose homes and hotspots have a gateway each, at one pay bill; their ids.
async fn given(world: &World) -> Result<(Provider, Vec<String>)> {
    let isp = Provider::sign_up(world, "savanna").await?;
    let app = App::paybill(CODE);
    world.outside.mpesa.add_app(app.clone());
    let mut gateways = Vec::new();
    for hotspot in [false, true] {
        let mut body = gateway(&app);
        (body["forHotspot"], body["forPppoe"]) = (json!(hotspot), json!(!hotspot));
        let made = isp.owner.post("/payment-gateways", &body).await?;
        gateways.push(made["id"].as_str().context("an id")?.to_owned());
    }
    Ok((isp, gateways))
}

async fn register(isp: &Provider, gateway: &str) -> Result<Value> {
    let path = format!("/payment-gateways/{gateway}/register-c2b");
    isp.owner.post(&path, &json!({})).await
}

/// V2: prompts of either gateway and money that comes by itself, told of at either one's address, twice or by the
/// statement of one of them: everything is booked once, for whom it is, and one statement closes the day of both.
#[tokio::test(flavor = "multi_thread")]
async fn a_pay_bill_that_two_services_share_books_each_receipt_once() -> Result<()> {
    let world = World::start().await?;
    let (isp, gateways) = given(&world).await?;
    register(&isp, &gateways[0]).await?;
    // M-Pesa takes one address for a short code, and it is ours.
    let second = register(&isp, &gateways[1]).await?;
    assert_eq!(second["success"], true, "{second}");
    let yesterday = world.clock.now().minus(DAY);
    let phones = ["254712345601", "254712345602"];
    let amina = isp.add_subscriber("amina", phones[0], yesterday).await?;
    let hour = json!({"name": "Evening", "type": "HOTSPOT", "price": 50, "downloadSpeed": 4, "uploadSpeed": 2,
        "sessionTime": 300});
    let hour = isp.owner.post("/packages", &hour).await?;
    let guest = json!({"username": "baraka", "password": "baraka", "name": "Baraka", "phone": phones[1],
        "connectionType": "HOTSPOT", "packageId": hour["id"], "expiresAt": yesterday.to_string()});
    let baraka = isp.owner.post("/customers", &guest).await?;
    let baraka = baraka["id"].as_str().context("an id")?.to_owned();

    // Both are told of at the first one's address; the guest's prompt only there.
    let mpesa = &world.outside.mpesa;
    for (nth, (customer, amount)) in [(&amina, 1000), (&baraka, 50)].into_iter().enumerate() {
        let callback = match nth {
            0 => Callback::Now,
            _ => Callback::Never,
        };
        let script = Payer {
            callback,
            ..Payer::prompt()
        };
        mpesa.script(phones[nth], script);
        let checkout = isp.ask_to_pay(customer, amount).await?;
        paid(&world, &isp, &checkout).await?;
    }
    let asked = "select count(distinct gateway_id) from payments";
    assert_eq!(count(&world, &isp, asked).await?, 2, "each service its own");

    let mut direct = Vec::new();
    for (amount, reference, owner) in [("70", "amina", &amina), ("30", "BARAKA", &baraka)] {
        let receipt = mpesa
            .pay_bill(CODE, super::STRANGER, amount, reference)
            .await;
        let receipt = receipt.context("nobody refuses it")?;
        booked(&isp, &receipt, owner).await?;
        direct.push(receipt);
    }

    // Another time M-Pesa was given the second one's address: what it repeats there is known, and a prompt of the first
    // is confirmed there.
    mpesa.forget_c2b(CODE);
    let (_, first) = (register(&isp, &gateways[1]).await?, mpesa.c2b_urls(CODE));
    let (_, door) = first.context("registered")?;
    for receipt in &direct {
        mpesa.confirm_again(receipt).await;
    }
    let again = told(&direct[0], json!("70"), "amina", CODE);
    assert_eq!(post(&door, &again).await?, 200);
    let script = Payer {
        callback: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script(phones[0], script);
    let checkout = isp.ask_to_pay(&amina, 500).await?;
    paid(&world, &isp, &checkout).await?;
    all_is_booked(&world, &isp, 5).await?;

    // One statement has it all, whichever gateway it is compared for.
    let statement = csv(CODE, &everything(&mpesa.books()));
    world.clock.advance(DAY);
    let compared = compare(&world, &isp, "&dryRun=false", &statement).await?.1;
    assert_eq!(
        (
            &compared["matched"],
            &compared["booked"],
            &compared["extra"]
        ),
        (&json!(5), &json!(0), &json!([])),
        "{compared}"
    );
    let days = isp.owner.get("/payments/days").await?["days"].take();
    assert_eq!(
        (&days[0]["state"], &days[0]["received"], &days[0]["booked"]),
        (&json!("CLOSED"), &json!(1650), &json!(1650)),
        "{days}"
    );
    let lock = isp.owner.get("/finance/lock").await?;
    assert_eq!(
        lock["until"], "2027-01-16",
        "nothing is left to close: {lock}"
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// What one gateway has that no statement of the short code has is a difference, whichever it is compared for.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_shared_statement_lacks_keeps_the_day_open() -> Result<()> {
    let world = World::start().await?;
    let (isp, gateways) = given(&world).await?;
    let mpesa = &world.outside.mpesa;
    register(&isp, &gateways[1]).await?;
    let receipt = mpesa.pay_bill(CODE, super::STRANGER, "70", "nobody").await;
    receipt.context("nobody refuses it")?;
    let (_, door) = mpesa.c2b_urls(CODE).context("registered")?;
    let made_up = told("SJK4H7L2PQ", json!("55"), "nobody", CODE);
    assert_eq!(post(&door, &made_up).await?, 200);
    worked(&world, &isp).await?;
    world.clock.advance(DAY);
    let statement = csv(CODE, mpesa.books().direct());
    // The first gateway's, which was told nothing.
    let listed = isp.owner.get("/payment-gateways").await?;
    assert_eq!(listed[0]["id"], gateways[0].as_str(), "{listed}");
    let compared = compare(&world, &isp, "&dryRun=false", &statement).await?.1;
    assert_eq!(compared["days"][0]["state"], "OPEN", "{compared}");
    assert_eq!(compared["extra"][0]["receipt"], "SJK4H7L2PQ", "{compared}");
    let (status, answer) = isp
        .owner
        .call(Method::PUT, "/finance/lock", Some(&json!({"until": null})))
        .await?;
    assert!(status.is_success(), "nothing is closed: {answer}");
    world.stop().await
}

/// Waits until a prompt is paid and booked with its receipt.
async fn paid(world: &World, isp: &Provider, checkout: &str) -> Result<()> {
    let mpesa = &world.outside.mpesa;
    let told = mpesa.until(|books| {
        let known = books.find(checkout)?;
        known.confirmations.first()?;
        known.receipt().map(str::to_owned)
    });
    let receipt = soon("M-Pesa tells of it", told).await?;
    worked(world, isp).await?;
    let path = format!("/payments/mpesa/status/{checkout}");
    eventually("the prompt is paid", async || {
        let status = isp.owner.get(&path).await?;
        let done = status["status"] == "completed" && status["receipt"] == receipt.as_str();
        Ok(done.then_some(()))
    })
    .await
}

async fn booked(isp: &Provider, receipt: &str, owner: &str) -> Result<()> {
    eventually("it is booked", async || {
        let known = lookup(isp, &format!("receipt={receipt}")).await?;
        Ok((known["payments"][0]["customerId"] == owner).then_some(()))
    })
    .await
}

/// All that moved to the short code, prompts too.
fn everything(books: &Books) -> Vec<Direct> {
    let mut all = books.direct().to_vec();
    all.extend(books.paid().filter_map(|paid| {
        let outcome = paid.outcome.as_ref()?;
        Some(Direct {
            receipt: outcome.receipt.clone()?,
            shortcode: paid.shortcode.clone(),
            phone: paid.phone.clone(),
            amount: outcome
                .amount
                .as_deref()?
                .trim_matches('"')
                .split('.')
                .next()?
                .to_owned(),
            reference: paid.account_reference.clone(),
            at: outcome.at,
            confirmations: Vec::new(),
        })
    }));
    all
}
