//! Money finds its owner by what the payer typed, or waits for a person.

use anyhow::{Context, Result};
use easyisp_tests::operator::http_client;
use easyisp_tests::scenario::{Payer, Pin, PushAnswer};
use easyisp_tests::world::{Provider, Site, World, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    CODE, STRANGER, account, all_is_booked, lookup, pay, post, register, told, with, with_slip,
    worked,
};
use crate::words::DAY;

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
        // Rows and their count are two looks: what comes between them is in one alone.
        let rows = answer["payments"].as_array().map_or(0, Vec::len);
        Ok((answer["total"] == 5 && rows == 5).then_some(answer))
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
    assert!(suggested(&astray)?.is_empty());
    assert!(suggested(&abroad)?.is_empty());
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

/// Where the rule is on, the end of a name or number, or something before it, is enough when it fits one customer;
/// where it fits two, or the rule is off, the money waits.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_what_was_typed_finds_one_or_nobody() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("net-amina01", "254712345601", yesterday)
        .await?;
    let baraka = isp
        .add_subscriber("net-baraka02", "254712345602", yesterday)
        .await?;
    isp.add_subscriber("web-baraka02", "254712345603", yesterday)
        .await?;
    let number = account(&isp, &baraka).await?;
    let owner = async |typed: &str| {
        let receipt = pay(&world, STRANGER, "20", typed).await?;
        worked(&world, &isp).await?;
        let known = lookup(&isp, &format!("receipt={receipt}")).await?;
        anyhow::Ok(known["payments"][0]["customerId"].clone())
    };
    assert_eq!(owner("AMINA01").await?, json!(null));
    let gateways = isp.owner.get("/payment-gateways").await?;
    let id = gateways[0]["id"].as_str().context("a gateway")?;
    let on = json!({"matchSuffix": true});
    isp.owner
        .put(&format!("/payment-gateways/{id}"), &on)
        .await?;
    let prefixed = format!("ACC-{number}");
    for (typed, whose) in [
        ("AMINA01", json!(amina)),
        ("Acc net-amina01", json!(amina)),
        (prefixed.as_str(), json!(baraka)),
        ("net-baraka02", json!(baraka)),
        // Two of them end so, too short to say, and nobody.
        ("baraka02", json!(null)),
        ("a01", json!(null)),
        ("amina02", json!(null)),
        ("", json!(null)),
    ] {
        assert_eq!(owner(typed).await?, whose, "{typed}");
    }
    all_is_booked(&world, &isp, 9).await?;
    world.stop().await
}
