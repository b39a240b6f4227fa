//! Payers send money by themselves, typing what they remember; it finds its owner or waits for a person.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Clock;
use easyisp_tests::mpesa::c2b::Validation;
use easyisp_tests::mpesa::{App, C2b, Kind};
use easyisp_tests::operator::http_client;
use easyisp_tests::scenario::{Callback, Payer, Pin, PushAnswer};
use easyisp_tests::world::{Provider, START, Site, World, eventually, soon};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::words::DAY;

/// The pay bill of [`Provider::with_paybill`].
pub(crate) const CODE: &str = "174379";
/// When worlds begin, as M-Pesa writes it.
const STAMP: &str = "20270115110000";
/// Somebody who is nobody's customer.
const STRANGER: &str = "0799000111";

#[tokio::test(flavor = "multi_thread")]
async fn money_finds_its_owner_by_what_the_payer_typed() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let site = Site::open(&world, &isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let phone = |nth: usize| format!("25471234560{nth}");
    let mut customers = Vec::new();
    for nth in 0..5 {
        let name = format!("amina{nth}");
        let id = isp.add_subscriber(&name, &phone(nth), yesterday).await?;
        customers.push((id, name));
    }
    let number = account(&isp, &customers[0].0).await?;
    let typed = [
        (
            format!(" {} {} ", &number[..3], &number[3..]),
            STRANGER.to_owned(),
        ),
        ("AMINA 1".to_owned(), STRANGER.to_owned()),
        ("0712-345 602".to_owned(), STRANGER.to_owned()),
        // Somebody else's word, nobody's word: the phone it came from is known.
        ("internet".to_owned(), phone(3)),
        (String::new(), phone(4)),
    ];
    for ((reference, payer), (id, name)) in typed.iter().zip(&customers) {
        let receipt = pay(&world, payer, "1000", reference).await?;
        let paid = isp.customer_becomes(id, reference, |customer| customer["status"] == "ACTIVE");
        assert_eq!(paid.await?["walletBalance"], 0, "{reference:?}");
        let now = world.clock.now();
        site.knows(name, "as paid", |known| known.entitlement.paid_until > now)
            .await?;
        let known = lookup(&isp, &format!("receipt={receipt}")).await?;
        assert_eq!(known["payments"][0]["customerId"], id.as_str(), "{known}");
    }
    // Version 2 tells a hash; the phone that is shown is the customer's own.
    let shown = lookup(&isp, &format!("phone={}", phone(3))).await?;
    assert_eq!(shown["payments"][0]["phone"], phone(3).as_str(), "{shown}");
    all_is_booked(&world, &isp, 5).await?;
    site.stop().await;
    world.stop().await
}

/// An application with the first product tells the payer's number itself, which nobody has to know before.
#[tokio::test(flavor = "multi_thread")]
async fn the_product_that_the_application_has_is_found_out() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "savanna").await?;
    let app = App {
        c2b: C2b::V1,
        ..App::paybill("600001")
    };
    world.outside.mpesa.add_app(app.clone());
    let gateway = isp.owner.post("/payment-gateways", &gateway(&app)).await?;
    let path = format!(
        "/payment-gateways/{}",
        gateway["id"].as_str().context("an id")?
    );
    let register = format!("{path}/register-c2b");

    // Set to the other one it is not tried, and the answer says what to do.
    isp.owner.put(&path, &json!({"c2bVersion": "v2"})).await?;
    let (status, refused) = isp
        .owner
        .call(Method::POST, &register, Some(&json!({})))
        .await?;
    assert_eq!(
        (status.as_u16(), &refused["code"]),
        (422, &json!("C2B_NOT_IN_APP"))
    );
    isp.owner.put(&path, &json!({"c2bVersion": ""})).await?;
    let registered = isp.owner.post(&register, &json!({})).await?;
    assert_eq!(registered["c2bVersion"], "v1", "{registered}");
    let again = isp.owner.post(&register, &json!({})).await?;
    assert_eq!(again["registeredAt"], registered["registeredAt"], "{again}");

    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let paid = world
        .outside
        .mpesa
        .pay_bill("600001", "0712345601", "1000", "")
        .await;
    paid.context("nobody refuses it")?;
    isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE")
        .await?;

    // A secret that became known: M-Pesa must have forgotten the address first. Then both are heard.
    let (status, refused) = isp
        .owner
        .call(Method::POST, &register, Some(&json!({"newSecret": true})))
        .await?;
    assert_eq!(
        (status.as_u16(), &refused["code"]),
        (409, &json!("C2B_REGISTERED"))
    );
    let (_, old) = world
        .outside
        .mpesa
        .c2b_urls("600001")
        .context("registered")?;
    world.outside.mpesa.forget_c2b("600001");
    isp.owner.post(&register, &json!({})).await?;
    let (_, new) = world
        .outside
        .mpesa
        .c2b_urls("600001")
        .context("registered")?;
    assert_ne!(old, new);
    for (number, url) in [old, new].iter().enumerate() {
        let receipt = format!("SJK4H7L2P{number}");
        let body = told(&receipt, json!("1000"), "amina", "600001");
        assert_eq!(post(url, &body).await?, 200);
        eventually("booked", async || {
            let known = lookup(&isp, &format!("receipt={receipt}")).await?;
            Ok(Some(()).filter(|()| known["known"] == true))
        })
        .await?;
    }
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// C7: a phone that two customers share, an account number with a slip and another provider's account are
/// nobody's. A person says whose the money is, and only then is it somebody's internet.
#[tokio::test(flavor = "multi_thread")]
async fn what_fits_nobody_or_two_waits_for_a_person() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let other = Provider::sign_up(&world, "rift").await?;
    register(&isp).await?;
    let site = Site::open(&world, &isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let shared = "254712345601";
    let amina = isp.add_subscriber("amina", shared, yesterday).await?;
    let baraka = isp.add_subscriber("baraka", shared, yesterday).await?;
    let theirs = other
        .add_subscriber("chege", "254712345609", yesterday)
        .await?;
    let number = account(&isp, &amina).await?;
    let slip = with_slip(&number);
    let foreign = account(&other, &theirs).await?;

    let of_two = pay(&world, shared, "1000", "").await?;
    let slipped = pay(&world, STRANGER, "1000", &slip).await?;
    let astray = pay(&world, STRANGER, "1000", &foreign).await?;
    // The payer's phone is one customer's there, and here nobody's.
    let abroad = pay(&world, "254712345609", "1000", "").await?;
    let (_, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;
    let masked = json!({"MSISDN": "2547*****601"});
    let masked = with(told("SJK4H7L2PQ", json!("1000"), "house 7", CODE), masked);
    assert_eq!(post(&url, &masked).await?, 200);
    let waiting = eventually("all of it waits for a person", async || {
        let answer = isp
            .owner
            .get("/payments/unallocated?page=1&pageSize=10")
            .await?;
        Ok(Some(answer).filter(|answer| answer["total"] == 5))
    })
    .await?;
    let held = |receipt: &str| -> Result<Value> {
        let mut all = waiting["payments"].as_array().into_iter().flatten();
        let found = all.find(|payment| payment["receipt"] == receipt);
        Ok(found.context("held")?.clone())
    };
    let suggested = |receipt: &str| -> Result<Vec<(String, String)>> {
        let held = held(receipt)?;
        let of = |one: &Value| {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            (text("username"), text("reason"))
        };
        let mut all: Vec<_> = held["suggestions"]
            .as_array()
            .context("a list")?
            .iter()
            .map(of)
            .collect();
        all.sort();
        Ok(all)
    };
    let both = |reason: &str| {
        ["amina", "baraka"]
            .map(|name| (name.to_owned(), reason.to_owned()))
            .to_vec()
    };
    assert_eq!(suggested(&of_two)?, both("PHONE"));
    assert!(suggested(&slipped)?.contains(&("amina".into(), "SIMILAR_ACCOUNT".into())));
    assert_eq!(suggested(&astray)?, []);
    assert_eq!(suggested(&abroad)?, []);
    assert_eq!(suggested("SJK4H7L2PQ")?, both("MASKED_PHONE"));
    assert_eq!(held(&of_two)?["payerName"], "John");
    for customer in [&amina, &baraka] {
        assert_eq!(isp.customer(customer).await?["status"], "EXPIRED");
    }
    assert_eq!(other.customer(&theirs).await?["status"], "EXPIRED");
    let found = isp
        .owner
        .get(&format!("/payments/unallocated?search={slip}"))
        .await?;
    assert_eq!(found["payments"][0]["receipt"], slipped.as_str(), "{found}");

    // Two people at once: one of them says whose it is, and the other one reads who.
    let path = format!(
        "/payments/{}/allocate",
        held(&of_two)?["id"].as_str().context("an id")?
    );
    let say = |customer: &String| {
        let (owner, path, body) = (
            isp.owner.clone(),
            path.clone(),
            json!({"customerId": customer}),
        );
        async move { owner.call(Method::POST, &path, Some(&body)).await }
    };
    let answers = join_all([say(&amina), say(&baraka)]).await;
    let answers: Vec<_> = answers.into_iter().collect::<Result<_>>()?;
    let (taken, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|(status, _)| status.is_success());
    assert_eq!((taken.len(), refused.len()), (1, 1), "{answers:?}");
    assert_eq!(refused[0].1["code"], "ALREADY_ALLOCATED", "{refused:?}");
    assert_eq!(taken[0].1["newBalance"], 0, "{taken:?}");
    let mut active = Vec::new();
    for (id, name) in [(&amina, "amina"), (&baraka, "baraka")] {
        if isp.customer(id).await?["status"] == "ACTIVE" {
            active.push(name);
        }
    }
    assert_eq!(active.len(), 1);
    let said = refused[0].1["message"].as_str().context("a message")?;
    assert!(said.contains(active[0]), "{said}");
    let now = world.clock.now();
    site.knows(active[0], "as paid", |known| {
        known.entitlement.paid_until > now
    })
    .await?;
    let trail = isp
        .owner
        .get("/audit-logs?page=1&pageSize=20&action=TRANSACTION_RESOLVE")
        .await?;
    assert!(
        trail
            .to_string()
            .contains(&format!("Allocated payment {of_two}")),
        "{trail}"
    );

    // A repeat by its key is the first answer; without one it is refused.
    let path = format!(
        "/payments/{}/allocate",
        held(&slipped)?["id"].as_str().context("an id")?
    );
    let once = async || -> Result<(u16, Value)> {
        let answer = http_client()
            .post(format!("http://{}/api{path}", world.api()))
            .bearer_auth(isp.owner.token())
            .header("Idempotency-Key", "once")
            .json(&json!({"customerId": amina}))
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    };
    let first = once().await?;
    assert_eq!((first.0, &first), (200, &once().await?));
    let body = json!({"customerId": amina});
    let (status, _) = isp.owner.call(Method::POST, &path, Some(&body)).await?;
    assert_eq!(status.as_u16(), 409);
    // The other provider's customer is nobody here.
    let path = format!(
        "/payments/{}/allocate",
        held(&astray)?["id"].as_str().context("an id")?
    );
    let (status, _) = isp
        .owner
        .call(Method::POST, &path, Some(&json!({"customerId": theirs})))
        .await?;
    assert_eq!(status.as_u16(), 404);
    let rest = isp.owner.get("/payments/unallocated").await?;
    assert_eq!(rest["total"], 3, "{rest}");
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// A prompt on a short code with addresses is told of twice, with one receipt, in either order or both at
/// once; and once more by our own query. It is one payment.
#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_is_also_confirmed_credits_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let mpesa = &world.outside.mpesa;
    let ways = [
        (Callback::Now, Callback::Held),
        (Callback::Held, Callback::Now),
        (Callback::Held, Callback::Held),
        // The callback never comes, and our query knows no receipt.
        (Callback::Never, Callback::Held),
        (Callback::Never, Callback::Now),
    ];
    for (nth, (callback, confirmation)) in ways.into_iter().enumerate() {
        let phone = format!("25471234560{nth}");
        let name = format!("payer{nth}");
        let payer = isp.add_subscriber(&name, &phone, yesterday).await?;
        let by_query = callback == Callback::Never && confirmation == Callback::Held;
        let script = Payer {
            callback,
            confirmation,
            ..Payer::prompt()
        };
        mpesa.script(&phone, script);
        let checkout = isp.ask_to_pay(&payer, 1000).await?;
        let paid = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
        let receipt = soon("the payer types his PIN", paid).await?;
        if by_query {
            world.clock.advance(Duration::from_secs(11));
        }
        if nth != 2 {
            isp.customer_becomes(&payer, "paid", |customer| customer["status"] == "ACTIVE")
                .await?;
        }
        mpesa.release(&checkout);
        let told = mpesa.until(|books| {
            let known = books.find(&checkout)?;
            let both = known.confirmations.len() + known.callbacks.len();
            (both >= if nth >= 3 { 1 } else { 2 }).then_some(())
        });
        soon("M-Pesa has told all", told).await?;
        worked(&world, &isp).await?;
        let paid = isp
            .customer_becomes(&payer, "paid", |customer| customer["status"] == "ACTIVE")
            .await?;
        assert_eq!(paid["walletBalance"], 0, "{nth}");
        assert_eq!(
            paid["expiresAt"].as_str().map(|at| &at[..10]),
            Some("2027-02-15"),
            "{nth}"
        );
        let status = isp
            .owner
            .get(&format!("/payments/mpesa/status/{checkout}"))
            .await?;
        assert_eq!(status["receipt"], receipt.as_str(), "{nth}: {status}");
        let count = count(&world, &isp, "select count(*) from payments").await?;
        assert_eq!(count, i64::try_from(nth)? + 1, "{nth}");
    }
    let reviews = "select count(*) from intents where needs_review is not null";
    assert_eq!(count(&world, &isp, reviews).await?, 0);
    all_is_booked(&world, &isp, 5).await?;
    world.stop().await
}

/// A till's payer types no account: his prompt is found by his phone and the amount. And money that came to be
/// nobody's before the prompt's own report is the prompt's as soon as that comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_without_an_account_finds_its_prompt() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "savanna").await?;
    let app = App {
        kind: Kind::Till("700001".to_owned()),
        ..App::paybill("600002")
    };
    world.outside.mpesa.add_app(app.clone());
    isp.owner.post("/payment-gateways", &gateway(&app)).await?;
    register(&isp).await?;
    let mpesa = &world.outside.mpesa;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let baraka = isp
        .add_subscriber("baraka", "254712345602", yesterday)
        .await?;

    // Without a prompt it is nobody's: a hint is not enough at a till.
    let receipt = mpesa.pay_bill("600002", "0712345601", "1000", "").await;
    let receipt = receipt.context("nobody refuses it")?;
    let held = eventually("it waits for a person", async || {
        let answer = isp.owner.get("/payments/unallocated").await?;
        Ok(Some(answer).filter(|answer| answer["total"] == 1))
    })
    .await?;
    assert_eq!(held["payments"][0]["receipt"], receipt.as_str());
    assert_eq!(held["payments"][0]["suggestions"][0]["username"], "amina");

    let confirmed = Payer {
        callback: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script("254712345601", confirmed);
    let checkout = isp.ask_to_pay(&amina, 1000).await?;
    isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE")
        .await?;
    let status = isp
        .owner
        .get(&format!("/payments/mpesa/status/{checkout}"))
        .await?;
    assert_eq!(status["status"], "completed", "{status}");

    let late = Payer {
        callback: Callback::Held,
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script("254712345602", late);
    let checkout = isp.ask_to_pay(&baraka, 1000).await?;
    let paid = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
    let receipt = soon("the payer types his PIN", paid).await?;
    let (_, url) = mpesa.c2b_urls("600002").context("registered")?;
    assert_eq!(
        post(&url, &told(&receipt, json!("1000"), "", "600002")).await?,
        200
    );
    worked(&world, &isp).await?;
    let known = lookup(&isp, &format!("receipt={receipt}")).await?;
    assert_eq!(known["payments"][0]["customerId"], Value::Null, "{known}");
    mpesa.release(&checkout);
    isp.customer_becomes(&baraka, "paid", |customer| customer["status"] == "ACTIVE")
        .await?;
    let status = isp
        .owner
        .get(&format!("/payments/mpesa/status/{checkout}"))
        .await?;
    assert_eq!(status["receipt"], receipt.as_str(), "{status}");
    let reviews = "select count(*) from intents where needs_review is not null";
    assert_eq!(count(&world, &isp, reviews).await?, 0);
    all_is_booked(&world, &isp, 3).await?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_of_a_confirmation_credit_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let phone = "254712345601";
    let amina = isp.add_subscriber("amina", phone, yesterday).await?;
    let confirmation = Callback::Repeated {
        times: 50,
        apart: Duration::ZERO,
    };
    world.outside.mpesa.script(
        phone,
        Payer {
            confirmation,
            ..Payer::prompt()
        },
    );
    let mpesa = &world.outside.mpesa;
    let receipt = mpesa.pay_bill(CODE, phone, "1000", "amina").await;
    let receipt = receipt.context("nobody refuses it")?;
    let all = mpesa.until(|books| {
        let mut direct = books.direct().iter();
        let copies = &direct.find(|paid| paid.receipt == receipt)?.confirmations;
        (copies.len() == 50).then(|| copies.clone())
    });
    let copies = soon("M-Pesa has told it fifty times", all).await?;
    assert!(
        copies.iter().all(|copy| copy.status == Some(200)),
        "{copies:?}"
    );
    worked(&world, &isp).await?;
    let paid = isp.customer(&amina).await?;
    assert_eq!(
        (&paid["status"], &paid["walletBalance"]),
        (&json!("ACTIVE"), &json!(0))
    );
    assert_eq!(
        paid["expiresAt"].as_str().map(|at| &at[..10]),
        Some("2027-02-15")
    );
    assert_eq!(
        count(&world, &isp, "select count(*) from payment_inbox").await?,
        50
    );
    all_is_booked(&world, &isp, 1).await?;
    world.stop().await
}

/// What somebody makes up: a guessed address, another short code, amounts that nobody moved. And one that is
/// right but came from elsewhere is no internet before a person has looked.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_up_credits_nothing() -> Result<()> {
    let elsewhere = vec!["10.99.0.0/16".parse()?];
    let world = World::start_with(Clock::test(START), |config| {
        config.mpesa.sources = elsewhere
    });
    let world = world.await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let (validation, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;

    let guessed = format!("http://{}/api/hooks/c2b/{}/c", world.api(), "0".repeat(64));
    assert_eq!(
        post(&guessed, &told("SJK4H7L2PQ", json!("1000"), "amina", CODE)).await?,
        404
    );
    let wrong = [
        told("SJK4H7L2PQ", json!("1000"), "amina", "600000"),
        told("SJK4H7L2PQ", json!("0"), "amina", CODE),
        told("SJK4H7L2PQ", json!("-1000"), "amina", CODE),
        told("SJK4H7L2PQ", json!("99999999999999999999"), "amina", CODE),
        told("SJK4H7L2PQ", json!("1000001"), "amina", CODE),
        told("", json!("1000"), "amina", CODE),
        told("'; drop table", json!("1000"), "amina", CODE),
        json!({"TransID": "SJK4H7L2PQ"}),
        json!([]),
    ];
    for body in &wrong {
        assert_eq!(post(&url, body).await?, 200, "{body}");
    }
    worked(&world, &isp).await?;
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        0
    );
    let kept = "select count(*) from payment_inbox where outcome <> 'done'";
    assert_eq!(
        count(&world, &isp, kept).await?,
        i64::try_from(wrong.len())?
    );
    let known = lookup(&isp, "receipt=sjk4h7l2pq").await?;
    assert_eq!(known["known"], false, "{known}");

    // All of it fits, but the address it came from.
    let right = told("SJK4H7L2PR", json!("1000.00"), "amina", CODE);
    assert_eq!(post(&url, &right).await?, 200);
    worked(&world, &isp).await?;
    assert_eq!(isp.customer(&amina).await?["status"], "EXPIRED");
    let held = isp.owner.get("/payments/unallocated").await?;
    let why = held["payments"][0]["description"].as_str().context("why")?;
    assert!(why.contains("not on the list"), "{held}");

    // A validation moves nothing, whatever it says; what M-Pesa hears is exactly so.
    for (body, code) in [
        (&right, "0"),
        (&wrong[0], "C2B00015"),
        (&wrong[2], "C2B00013"),
    ] {
        let answer = http_client().post(&validation).json(body).send().await?;
        assert_eq!(answer.status().as_u16(), 200);
        let heard: Value = answer.json().await?;
        assert_eq!(heard["ResultCode"], code, "{heard}");
    }
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        1
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A shilling is a shilling in every spelling, and less than a price waits in the wallet; validation is asked
/// where the provider has switched it on, and money comes without it too.
#[tokio::test(flavor = "multi_thread")]
async fn any_amount_that_moved_is_booked_as_it_is() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    world.outside.mpesa.validate(CODE, Validation::On);
    let mut expected = 0.0;
    for (amount, worth) in [("1", 1.0), ("1.00", 1.0), ("0.50", 0.5), ("997.5", 997.5)] {
        pay(&world, STRANGER, amount, "amina").await?;
        expected += worth;
        isp.customer_becomes(&amina, amount, |customer| {
            let wallet = customer["walletBalance"].as_f64();
            wallet == Some(expected) || expected >= 1000.0 && wallet == Some(0.0)
        })
        .await?;
    }
    let paid = isp.customer(&amina).await?;
    assert_eq!(paid["status"], "ACTIVE");
    let asked = "select count(*) from payment_inbox where kind = 'C2B_VALIDATION'";
    assert_eq!(count(&world, &isp, asked).await?, 4);
    // The aliases are the same doors.
    let (_, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;
    let token = url.split('/').nth_back(1).context("a secret")?;
    ensure!(token.len() == 64, "256 bits: {token}");
    let base = format!("http://{}/api/webhooks/mpesa/c2b", world.api());
    let body = told("SJK4H7L2PQ", json!(20), "amina", CODE);
    for (door, heard) in [
        (
            "validation",
            json!({"ResultCode": "0", "ResultDesc": "Accepted"}),
        ),
        (
            "confirmation",
            json!({"ResultCode": 0, "ResultDesc": "Success"}),
        ),
    ] {
        let answer = http_client()
            .post(format!("{base}/{door}/{token}"))
            .json(&body);
        assert_eq!(answer.send().await?.json::<Value>().await?, heard);
    }
    isp.customer_becomes(&amina, "told by the alias", |customer| {
        customer["walletBalance"] == 20
    })
    .await?;
    all_is_booked(&world, &isp, 4).await?;
    world.stop().await
}

/// The body is durable, and the cloud is gone before it is booked: who comes back books it.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_was_answered_is_booked_after_a_restart() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let (_, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;
    let tenant = isp.tenant().await?;
    let mut holder = PgConnection::connect_with(&world.database.owner()).await?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(tenant.to_string())
        .execute(&mut holder)
        .await?;

    // Without the right to keep it, it is not answered: M-Pesa comes again.
    sqlx::query("revoke insert on payment_inbox from easyisp_app")
        .execute(&mut holder)
        .await?;
    let body = told("SJK4H7L2PQ", json!("1000"), "amina", CODE);
    assert_eq!(post(&url, &body).await?, 503);
    sqlx::query("grant insert on payment_inbox to easyisp_app")
        .execute(&mut holder)
        .await?;

    // Nobody can book it while somebody holds the customer; it is answered all the same.
    sqlx::query("begin").execute(&mut holder).await?;
    sqlx::query("select from customers for update")
        .execute(&mut holder)
        .await?;
    assert_eq!(post(&url, &body).await?, 200);
    world.stop_cloud().await?;
    sqlx::query("rollback").execute(&mut holder).await?;
    world.start_cloud().await?;
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        0
    );
    let known = lookup(&isp, "receipt=SJK4H7L2PQ").await?;
    assert!(
        known["message"]
            .as_str()
            .is_some_and(|said| said.contains("being booked")),
        "{known}"
    );

    world.clock.advance(Duration::from_secs(6));
    isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE")
        .await?;
    worked(&world, &isp).await?;
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        1
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// From the inbox to the feed it is one short transaction, also where it answers a prompt.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_renews_takes_eight_statements() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let site = Site::open(&world, &isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let confirmed = Payer {
        callback: Callback::Never,
        ..Payer::prompt()
    };
    world.outside.mpesa.script_everybody(confirmed);
    world.listen_in().await?;
    for number in 1..=4 {
        let name = format!("payer{number}");
        let phone = format!("25471234560{number}");
        let payer = isp.add_subscriber(&name, &phone, yesterday).await?;
        match number % 2 {
            0 => drop(isp.ask_to_pay(&payer, 1000).await?),
            _ => drop(pay(&world, &phone, "1000", "").await?),
        }
        let now = world.clock.now();
        site.knows(&name, "as paid", |known| known.entitlement.paid_until > now)
            .await?;
    }
    let spoken = world.spoken();
    let is_first_use =
        |one: &String| one.contains("pg_catalog") || one.starts_with("select key_sealed");
    let booked: Vec<Vec<String>> = spoken
        .into_iter()
        .filter(|said| said.iter().any(|one| one.contains("update payment_inbox")))
        .map(|said| said.into_iter().filter(|one| !is_first_use(one)).collect())
        .collect();
    assert_eq!(booked.len(), 4, "one transaction a confirmation");
    let counts: Vec<usize> = booked.iter().map(Vec::len).collect();
    println!("statements of a confirmation: {counts:?}");
    for said in booked {
        assert!(said.len() <= 8, "{said:#?}");
    }
    site.stop().await;
    world.stop().await
}

/// "I have paid": the operator sees what is known of a receipt and of a phone, and what he sees is no proof.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_asks_whether_somebody_has_paid() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let phone = "254712345601";
    let amina = isp.add_subscriber("amina", phone, yesterday).await?;
    let nothing = lookup(&isp, "phone=0712345601").await?;
    assert_eq!(
        (&nothing["known"], &nothing["payments"]),
        (&json!(false), &json!([]))
    );
    let held = Payer {
        push: PushAnswer::Accepted,
        pin: Pin::Held,
        ..Payer::prompt()
    };
    world.outside.mpesa.script(phone, held);
    isp.ask_to_pay(&amina, 1000).await?;
    let open = lookup(&isp, "phone=0712345601").await?;
    assert_eq!(open["prompts"][0]["amount"], 1000, "{open}");
    for number in 1..=21 {
        pay(&world, phone, &number.to_string(), "amina").await?;
    }
    worked(&world, &isp).await?;
    let known = lookup(&isp, "phone=0712345601").await?;
    assert_eq!(
        known["payments"].as_array().map(Vec::len),
        Some(20),
        "{known}"
    );
    let other = Provider::sign_up(&world, "rift").await?;
    let receipt = known["payments"][0]["receipt"]
        .as_str()
        .context("a receipt")?;
    let ours = lookup(&isp, &format!("receipt={}", receipt.to_lowercase())).await?;
    assert_eq!(
        ours["payments"][0]["customerName"], "Customer amina",
        "{ours}"
    );
    let theirs = lookup(&other, &format!("receipt={receipt}")).await?;
    assert_eq!(theirs["known"], false, "{theirs}");
    for wrong in [
        "",
        "receipt=SJ",
        "phone=12",
        "receipt=SJK4H7L2PQ&phone=0712345601",
    ] {
        let path = format!("/payments/lookup?{wrong}");
        let (status, answer) = isp.owner.call(Method::GET, &path, None).await?;
        assert_eq!(status.as_u16(), 400, "{wrong}: {answer}");
    }
    world.stop().await
}

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

async fn account(isp: &Provider, customer: &str) -> Result<String> {
    let customer = isp.customer(customer).await?;
    Ok(customer["accountNumber"]
        .as_str()
        .context("an account number")?
        .to_owned())
}

/// The same account number with one digit wrong.
fn with_slip(number: &str) -> String {
    let mut digits = number.as_bytes().to_vec();
    digits[3] = if digits[3] == b'9' {
        b'0'
    } else {
        digits[3] + 1
    };
    String::from_utf8(digits).expect("digits")
}

/// A gateway for this application.
fn gateway(app: &App) -> Value {
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
