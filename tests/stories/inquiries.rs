//! "What became of this receipt?": M-Pesa is asked, and answers later, twice, late or never.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::mpesa::books::ErrandKind;
use easyisp_tests::operator::http_client;
use easyisp_tests::scenario::{Callback, Errand, Payer, PushAnswer, QueryAnswer};
use easyisp_tests::world::{Provider, World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::c2b::{CODE, count, lookup, post, register, told, worked};
use crate::words::{DAY, MINUTE};

/// Who pays and tells nobody.
const SILENT: &str = "0799000111";

async fn given(world: &World) -> Result<Provider> {
    let isp = Provider::with_paybill(world, "savanna").await?;
    isp.owner.name_initiator().await?;
    register(&isp).await?;
    let silent = Payer {
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    world.outside.mpesa.script(SILENT, silent);
    Ok(isp)
}

/// Money moves and nobody tells of it; the receipt.
async fn unheard(world: &World, amount: &str, reference: &str) -> Result<String> {
    let paid = world
        .outside
        .mpesa
        .pay_bill(CODE, SILENT, amount, reference);
    paid.await.context("nobody refuses it")
}

async fn ask(isp: &Provider, receipt: &str) -> Result<Value> {
    let asked = json!({"receipt": receipt});
    isp.owner.post("/payments/inquiries", &asked).await
}

/// Waits until the newest question about a receipt stands so.
async fn until(isp: &Provider, receipt: &str, state: &str) -> Result<Value> {
    eventually(&format!("{receipt} is {state}"), async || {
        let path = format!("/payments/inquiries?receipt={receipt}");
        let all = isp.owner.get(&path).await?;
        let newest = all["inquiries"][0].clone();
        Ok((newest["state"] == state).then_some(newest))
    })
    .await
}

/// How often M-Pesa was asked.
fn questions(world: &World) -> usize {
    let books = world.outside.mpesa.books();
    let all = books.errands().iter();
    all.filter(|errand| errand.kind == ErrandKind::Status)
        .count()
}

async fn owner_of(isp: &Provider, receipt: &str) -> Result<Value> {
    let known = lookup(isp, &format!("receipt={receipt}")).await?;
    Ok(known["payments"][0]["customerId"].clone())
}

/// Somebody tells of money under another short code: what is true of it is asked by itself, and proved, with its
/// owner; what is not is taken out of the books, and its receipt is M-Pesa's to use.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_on_nobodys_word_is_proved_or_taken_out() -> Result<()> {
    let world = World::start().await?;
    let isp = given(&world).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let (_, url) = world.outside.mpesa.c2b_urls(CODE).context("registered")?;

    let receipt = unheard(&world, "1000", "amina").await?;
    let true_one = told(&receipt, json!("1000"), "amina", "600000");
    let made_up = told("SJK4H7L2ZZ", json!("700"), "amina", "600000");
    for body in [&true_one, &made_up] {
        assert_eq!(post(&url, body).await?, 200);
    }
    let proved = until(&isp, &receipt, "CONFIRMED").await?;
    assert_eq!(proved["amount"], 1000, "{proved}");
    assert_eq!(owner_of(&isp, &receipt).await?, json!(amina));
    assert_eq!(isp.customer(&amina).await?["status"], "ACTIVE");
    until(&isp, "SJK4H7L2ZZ", "REFUTED").await?;
    let held = isp.owner.get("/payments/unallocated").await?;
    assert_eq!(held["total"], 0, "{held}");
    assert_eq!(world.book_findings().await?, Vec::<String>::new());

    let real = told("SJK4H7L2ZZ", json!("300"), "amina", CODE);
    assert_eq!(post(&url, &real).await?, 200);
    worked(&world, &isp).await?;
    let credited = "select sum(amount)::bigint from payments where customer_id is not null";
    assert_eq!(count(&world, &isp, credited).await?, 130_000);
    assert_eq!(isp.customer(&amina).await?["walletBalance"], 300);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// Nobody told of it and the payer shows his message: asking books it, once, as nobody's, and knows who it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_told_of_is_booked_by_asking() -> Result<()> {
    let world = World::start().await?;
    let isp = given(&world).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254799000111", yesterday)
        .await?;
    let receipt = unheard(&world, "1000", "who knows").await?;
    let twice = Errand {
        result: Callback::Repeated {
            times: 2,
            apart: Duration::ZERO,
        },
        ..Errand::default()
    };
    world.outside.mpesa.script_errands(twice);
    ask(&isp, &receipt).await?;
    until(&isp, &receipt, "CONFIRMED").await?;
    worked(&world, &isp).await?;
    // His phone is known, what he typed is not: who it was is a suggestion.
    let held = isp.owner.get("/payments/unallocated").await?;
    assert_eq!(held["total"], 1, "{held}");
    assert_eq!(
        held["payments"][0]["suggestions"][0]["customerId"],
        json!(amina),
        "{held}"
    );
    assert_eq!(held["payments"][0]["payerName"], "John Doe", "{held}");
    let id = held["payments"][0]["id"].as_str().context("an id")?;
    let owner = json!({"customerId": amina});
    isp.owner
        .post(&format!("/payments/{id}/allocate"), &owner)
        .await?;
    assert_eq!(isp.customer(&amina).await?["status"], "ACTIVE");
    // Asked once more: it is known.
    ask(&isp, &receipt).await?;
    until(&isp, &receipt, "CONFIRMED").await?;
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        1
    );
    // M-Pesa never heard of this one.
    ask(&isp, "SJK4H7L2PQ").await?;
    let none = until(&isp, "SJK4H7L2PQ", "REFUTED").await?;
    assert!(
        none["message"].to_string().contains("does not exist"),
        "{none}"
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// An answer that does not come is asked for again, and one that comes too late is heard all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_again_and_not_for_ever() -> Result<()> {
    let world = World::start().await?;
    let isp = given(&world).await?;
    let mpesa = &world.outside.mpesa;
    let receipt = unheard(&world, "50", "who knows").await?;
    let held = Errand {
        result: Callback::Held,
        ..Errand::default()
    };
    mpesa.script_errands(held);
    let first = ask(&isp, &receipt).await?;
    // Who asks again while it is open gets the same.
    assert_eq!(ask(&isp, &receipt).await?["id"], first["id"]);
    for asked in 1..=4 {
        let so_often = async || Ok((questions(&world) == asked).then_some(()));
        eventually("M-Pesa is asked again", so_often).await?;
        let id = first["id"].as_str().context("an id")?;
        let path = format!("/payments/inquiries/{id}");
        eventually("it is written down", async || {
            Ok((isp.owner.get(&path).await?["state"] == "ASKED").then_some(()))
        })
        .await?;
        world.clock.advance(61 * MINUTE);
    }
    until(&isp, &receipt, "UNANSWERED").await?;
    assert_eq!(questions(&world), 4);
    mpesa.release(&receipt);
    until(&isp, &receipt, "CONFIRMED").await?;
    worked(&world, &isp).await?;
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        1
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// M-Pesa does not come to it in time, is busy, does not answer, or refuses.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_in_time_is_no_answer() -> Result<()> {
    let world = World::start().await?;
    let isp = given(&world).await?;
    let mpesa = &world.outside.mpesa;
    let late = Errand {
        late: true,
        ..Errand::default()
    };
    let busy = Errand {
        answer: PushAnswer::Error("500.003.02".into()),
        ..Errand::default()
    };
    for (number, fault) in [late, busy].into_iter().enumerate() {
        let receipt = unheard(&world, "50", "who knows").await?;
        mpesa.script_errands(fault);
        ask(&isp, &receipt).await?;
        until(&isp, &receipt, "ASKED").await?;
        if number == 0 {
            let told = mpesa.until(|books| books.errands().last()?.results.first().copied());
            assert_eq!(
                soon("the other address is told", told).await?.status,
                Some(200)
            );
            worked(&world, &isp).await?;
        } else {
            // Written down once M-Pesa has refused it.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(
            until(&isp, &receipt, "ASKED").await?["answeredAt"],
            Value::Null
        );
        mpesa.script_errands(Errand::default());
        world.clock.advance(3 * MINUTE);
        until(&isp, &receipt, "CONFIRMED").await?;
    }
    // The answer overtakes the answer to the question, which never comes.
    let silent = Errand {
        answer: PushAnswer::AcceptedThenSilence,
        ..Errand::default()
    };
    mpesa.script_errands(silent);
    let receipt = unheard(&world, "50", "who knows").await?;
    ask(&isp, &receipt).await?;
    until(&isp, &receipt, "CONFIRMED").await?;
    let refused = Errand {
        answer: PushAnswer::Error("400.002.02".into()),
        ..Errand::default()
    };
    mpesa.script_errands(refused);
    ask(&isp, "SJK4H7L2PQ").await?;
    until(&isp, "SJK4H7L2PQ", "REFUSED").await?;
    worked(&world, &isp).await?;
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        3
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A large payment is claimed by a callback and M-Pesa's query decides nothing in a day: then the receipt is asked
/// about, by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_no_query_decides_is_asked_about() -> Result<()> {
    let world = World::start().await?;
    let isp = given(&world).await?;
    isp.subscribe(&world).await?;
    let phone = "254712345601";
    let amina = isp
        .add_subscriber("amina", phone, world.clock.now().minus(DAY))
        .await?;
    let undecided = Payer {
        query: QueryAnswer::Error("503.001.01".into()),
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    world.outside.mpesa.script(phone, undecided);
    let checkout = isp.ask_to_pay(&amina, 5000).await?;
    let called = world.outside.mpesa.called_back(&checkout, 1);
    soon("the callback comes", called).await?;
    worked(&world, &isp).await?;
    assert_eq!(
        count(&world, &isp, "select count(*) from payments").await?,
        0
    );
    for _ in 0..26 {
        world.clock.advance(60 * MINUTE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eventually("it is credited", async || {
        Ok((isp.customer(&amina).await?["walletBalance"] == 4000).then_some(()))
    })
    .await?;
    let path = format!("/payments/mpesa/status/{checkout}");
    assert_eq!(isp.owner.get(&path).await?["status"], "completed");
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// What keeps a question from being asked or an answer from being believed is said, with the remedy.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_ask_is_told_what_is_missing() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let asked = json!({"receipt": "SJK4H7L2PQ"});
    let (status, answer) = isp
        .owner
        .call(Method::POST, "/payments/inquiries", Some(&asked))
        .await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(answer["code"], "NO_INITIATOR", "{answer}");
    isp.owner.name_initiator().await?;
    let gateways = isp.owner.get("/payment-gateways").await?;
    assert_eq!(gateways[0]["initiatorPassword"], "********", "{gateways}");
    let id = gateways[0]["id"].as_str().context("a gateway")?;
    let tested = isp
        .owner
        .post(&format!("/payment-gateways/{id}/test"), &json!({}))
        .await?;
    assert_eq!(tested["success"], true, "{tested}");
    // Real money needs the other certificate.
    let production = json!({"env": "production"});
    isp.owner
        .put(&format!("/payment-gateways/{id}"), &production)
        .await?;
    let tested = isp
        .owner
        .post(&format!("/payment-gateways/{id}/test"), &json!({}))
        .await?;
    assert!(
        tested["message"].to_string().contains("certificate_file"),
        "{tested}"
    );
    // Without the secret nothing is heard.
    let forged = format!(
        "http://{}/api/hooks/done/{}/{id}",
        world.api(),
        "0".repeat(64)
    );
    let answer = http_client().post(forged).json(&json!({})).send().await?;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    world.stop().await
}

/// C15: a message that looks as M-Pesa's do, with a receipt in it, is a hint where to look and nothing else: typed in
/// anywhere it gives nobody service, and when M-Pesa is asked it says that there is no such payment.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_somebody_shows_is_no_proof() -> Result<()> {
    const RECEIPT: &str = "SJK4H7L2PQ";

    let world = World::start().await?;
    let isp = given(&world).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let text = format!(
        "{RECEIPT} Confirmed. Ksh1,000.00 sent to SAVANNA for account amina on 15/1/27 at 10:58 AM. \
         New M-PESA balance is Ksh12.00."
    );
    let before = isp.customer(&amina).await?;
    let recharge = format!("/customers/{amina}/recharge");
    for typed in [text.as_str(), RECEIPT] {
        let resolve = json!({"amount": 0, "description": format!("Resolved transaction: {typed}")});
        let (status, answer) = isp
            .owner
            .call(Method::POST, &recharge, Some(&resolve))
            .await?;
        assert!(status.is_client_error(), "{typed}: {status} {answer}");
    }
    let url = reqwest::Url::parse_with_params("http://x/", [("receipt", &text)])?;
    let path = format!("/payments/lookup?{}", url.query().unwrap_or_default());
    let (status, _) = isp.owner.call(Method::GET, &path, None).await?;
    assert_eq!(
        status,
        StatusCode::BAD_REQUEST,
        "a whole message is no receipt"
    );
    let known = lookup(&isp, &format!("receipt={RECEIPT}")).await?;
    assert_eq!(known["known"], false, "{known}");

    ask(&isp, RECEIPT).await?;
    until(&isp, RECEIPT, "REFUTED").await?;
    let after = isp.customer(&amina).await?;
    for field in ["walletBalance", "expiresAt", "status"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let payments = "select count(*) from payments";
    assert_eq!(count(&world, &isp, payments).await?, 0);
    world.stop().await
}
