//! Money goes back to who paid it: asked for by one, approved by another, sent once, whatever M-Pesa answers.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::mpesa::books::ErrandKind;
use easyisp_tests::operator::Operator;
use easyisp_tests::scenario::{Callback, Errand, PushAnswer};
use easyisp_tests::world::{PASSWORD, Provider, World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::c2b::{count, lookup, pay, register, told, worked};
use crate::words::{DAY, HOUR, MINUTE};

mod family;
mod faults;
mod owed;
mod taxes;
mod told;

/// Who pays.
const PHONE: &str = "0712345601";

/// A provider with two people who may send money back, and a customer whose time is over.
struct Shop {
    isp: Provider,
    clerk: Operator,
    amina: String,
}

async fn given(world: &World) -> Result<Shop> {
    let isp = Provider::with_paybill(world, "savanna").await?;
    isp.subscribe(world).await?;
    isp.owner.name_initiator().await?;
    register(&isp).await?;
    let person = json!({"name": "Clerk", "email": "clerk@savanna.example", "password": PASSWORD, "role": "ADMIN"});
    isp.owner.post("/tenant/operators", &person).await?;
    let clerk = Operator::login(world.api(), "clerk@savanna.example", PASSWORD).await?;
    let amina = isp
        .add_subscriber("amina", "254712345601", world.clock.now().minus(DAY))
        .await?;
    Ok(Shop { isp, clerk, amina })
}

impl Shop {
    /// Amina pays; the payment's id.
    async fn paid(&self, world: &World, amount: &str) -> Result<String> {
        self.pays(world, amount, "amina").await
    }

    async fn pays(&self, world: &World, amount: &str, reference: &str) -> Result<String> {
        let receipt = pay(world, PHONE, amount, reference).await?;
        worked(world, &self.isp).await?;
        let known = lookup(&self.isp, &format!("receipt={receipt}")).await?;
        Ok(known["payments"][0]["id"]
            .as_str()
            .context("a payment")?
            .to_owned())
    }

    async fn asks(&self, payment: &str, body: Value) -> Result<String> {
        let asked = self
            .clerk
            .post(&format!("/payments/{payment}/refunds"), &body)
            .await?;
        Ok(asked["id"].as_str().context("a refund")?.to_owned())
    }

    async fn approves(&self, refund: &str) -> Result<Value> {
        let path = format!("/payments/refunds/{refund}/approve");
        self.isp.owner.post(&path, &json!({})).await
    }

    /// The clerk asks, the owner approves; the refund's id.
    async fn sends_back(&self, payment: &str, body: Value) -> Result<String> {
        let refund = self.asks(payment, body).await?;
        self.approves(&refund).await?;
        Ok(refund)
    }

    async fn until(&self, refund: &str, state: &str) -> Result<Value> {
        let path = format!("/payments/refunds/{refund}");
        eventually(&format!("the refund is {state}"), async || {
            let refund = self.isp.owner.get(&path).await?;
            Ok((refund["state"] == state).then_some(refund))
        })
        .await
    }

    async fn wallet(&self) -> Result<Value> {
        Ok(self.isp.customer(&self.amina).await?["walletBalance"].clone())
    }

    async fn expires(&self) -> Result<Value> {
        Ok(self.isp.customer(&self.amina).await?["expiresAt"].clone())
    }

    /// What is set aside for refunds, in cents.
    async fn set_aside(&self, world: &World) -> Result<i64> {
        let sum = "select coalesce(sum(case when credit_account = '2400' then amount else -amount end), 0)::bigint
                     from transfers where '2400' in (debit_account, credit_account)";
        count(world, &self.isp, sum).await
    }
}

/// How often M-Pesa was asked to send money back.
fn sendings(world: &World) -> usize {
    let books = world.outside.mpesa.books();
    let all = books.errands().iter();
    all.filter(|errand| errand.kind != ErrandKind::Status)
        .count()
}

async fn refused(
    who: &Operator,
    path: &str,
    body: Value,
    status: StatusCode,
    code: &str,
) -> Result<()> {
    let (got, answer) = who.call(Method::POST, path, Some(&body)).await?;
    assert_eq!(got, status, "{answer}");
    assert!(code.is_empty() || answer["code"] == code, "{answer}");
    Ok(())
}

/// C14: a whole payment is reversed after another person said so. What it had bought is taken back with it, and the
/// books are as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_goes_back_when_a_second_person_says_so() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let before = shop.expires().await?;
    let payment = shop.paid(&world, "1000").await?;
    assert_ne!(shop.expires().await?, before);
    let body = json!({"service": "TAKE_BACK", "reason": "Paid for the wrong house"});
    let refund = shop.asks(&payment, body.clone()).await?;
    // One at a time, nothing moves, and nobody approves his own.
    let again = format!("/payments/{payment}/refunds");
    refused(
        &shop.isp.owner,
        &again,
        body,
        StatusCode::CONFLICT,
        "REFUND_OPEN",
    )
    .await?;
    assert_eq!((shop.set_aside(&world).await?, sendings(&world)), (0, 0));
    let approve = format!("/payments/refunds/{refund}/approve");
    refused(
        &shop.clerk,
        &approve,
        json!({}),
        StatusCode::FORBIDDEN,
        "OWN_REFUND",
    )
    .await?;

    shop.approves(&refund).await?;
    let done = shop.until(&refund, "DONE").await?;
    assert!(done["receipt"].is_string(), "{done}");
    assert_eq!(shop.approves(&refund).await?["state"], "DONE");
    assert_eq!(world.outside.mpesa.books().given_back(), 1000);
    let known = shop
        .isp
        .owner
        .get("/payments/mpesa?status=refunded")
        .await?;
    assert_eq!(known["total"], 1, "{known}");
    let page = format!("/customers/{}/transactions", shop.amina);
    let page = shop.isp.owner.get(&page).await?;
    assert_eq!(
        page["mpesaTransactions"],
        json!([]),
        "he did not pay it any more"
    );
    assert_eq!(shop.wallet().await?, 0);
    let spent = "select total_spent from customers where username = 'amina'";
    assert_eq!(count(&world, &shop.isp, spent).await?, 0);
    // He is where he was when he paid: the period began then, for he had been cut off.
    let customer = shop.isp.customer(&shop.amina).await?;
    assert_eq!(customer["status"], "EXPIRED", "{customer}");
    // It cannot go back twice, to anybody.
    let more = json!({"service": "KEEP", "reason": "Once more"});
    refused(
        &shop.clerk,
        &again,
        more,
        StatusCode::CONFLICT,
        "NOT_REFUNDABLE",
    )
    .await?;
    assert_eq!(shop.set_aside(&world).await?, 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A part goes to the payer's phone. He keeps his time and owes for it, or owes nothing; parts add up to the whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_goes_back_to_the_phone_it_came_from() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let payment = shop.paid(&world, "1500").await?;
    assert_eq!(shop.wallet().await?, 500);
    let until = shop.expires().await?;
    for (amount, wrong) in [
        (json!(1600), "amount"),
        (json!(10.5), "amount"),
        (json!(5), "amount"),
        (json!(-1), "amount"),
    ] {
        let body = json!({"amount": amount, "service": "KEEP", "reason": "x"});
        let path = format!("/payments/{payment}/refunds");
        let (status, answer) = shop.clerk.call(Method::POST, &path, Some(&body)).await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer["details"].to_string().contains(wrong), "{answer}");
    }
    // What was left in the wallet; then some of what he has spent, and he owes it; then what he need not pay.
    for (amount, service, wallet) in [(500, "KEEP", 0), (200, "KEEP", -200), (300, "WAIVE", -200)] {
        let body = json!({"amount": amount, "service": service, "reason": "A slow week"});
        let refund = shop.sends_back(&payment, body).await?;
        shop.until(&refund, "DONE").await?;
        assert_eq!(shop.wallet().await?, wallet, "{amount}");
        assert_eq!(shop.expires().await?, until);
        assert_eq!(world.book_findings().await?, Vec::<String>::new());
    }
    // What was sent back is no income, in every report.
    let owner = &shop.isp.owner;
    let income = owner.get("/finance/income?page=1").await?;
    assert_eq!(income["stats"]["totalIncome"], 500, "{income}");
    assert_eq!(income["stats"]["mpesaTotal"], 500, "{income}");
    for by in ["method", "operator"] {
        let report = owner.get(&format!("/reports/revenue?by={by}")).await?;
        assert_eq!(report["total"], 500, "{report}");
    }
    let stats = owner.get("/payments/mpesa/stats").await?;
    assert_eq!(stats["thisMonthReceived"], 500, "{stats}");
    // Half of the period's price that is left takes half of its time.
    let body = json!({"amount": 500, "service": "TAKE_BACK", "reason": "Moved away"});
    let refund = shop.sends_back(&payment, body).await?;
    shop.until(&refund, "DONE").await?;
    assert_eq!(shop.wallet().await?, -200);
    assert_ne!(shop.expires().await?, until);
    // Of its 1,000 were 300 waived and 500 taken back.
    let sold = owner.get("/reports/revenue?by=package").await?;
    assert_eq!(sold["total"], 200, "{sold}");
    let stats = format!("/packages/{}/stats", shop.isp.package);
    assert_eq!(owner.get(&stats).await?["revenue"], 200);
    let books = world.outside.mpesa.books();
    assert_eq!(books.given_back(), 1500);
    let to: Vec<_> = books
        .errands()
        .iter()
        .filter_map(|errand| errand.phone.clone())
        .collect();
    assert_eq!(to, vec!["254712345601"; 4]);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    // He hears of it.
    let told = "select count(*) from messages where body like '%sent back to your M-Pesa%'";
    assert_eq!(count(&world, &shop.isp, told).await?, 4);
    world.stop().await
}

/// Money that is nobody's goes back whole; while it is on its way nobody gets it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_nobodys_goes_back_whole_and_to_nobody_else() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let payment = shop.pays(&world, "700", "12345").await?;
    let path = format!("/payments/{payment}/refunds");
    for body in [
        json!({"amount": 100, "service": "KEEP", "reason": "x"}),
        json!({"service": "TAKE_BACK", "reason": "x"}),
        json!({"service": "KEEP", "reason": "  "}),
    ] {
        refused(&shop.clerk, &path, body, StatusCode::BAD_REQUEST, "").await?;
    }
    let held = Errand {
        result: Callback::Never,
        ..Errand::default()
    };
    world.outside.mpesa.script_errands(held);
    let refund = shop
        .sends_back(&payment, json!({"service": "KEEP", "reason": "Not ours"}))
        .await?;
    shop.until(&refund, "SENT").await?;
    let allocate = format!("/payments/{payment}/allocate");
    let owner = json!({"customerId": shop.amina});
    refused(
        &shop.isp.owner,
        &allocate,
        owner,
        StatusCode::CONFLICT,
        "REFUND_OPEN",
    )
    .await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    // The answer never comes: M-Pesa is asked.
    world.outside.mpesa.script_errands(Errand::default());
    eventually("M-Pesa has taken it", async || {
        let taken = "select count(*) from refunds where conversation_id is not null";
        Ok((count(&world, &shop.isp, taken).await? == 1).then_some(()))
    })
    .await?;
    world.clock.advance(6 * MINUTE);
    shop.until(&refund, "DONE").await?;
    assert_eq!(sendings(&world), 1);
    let held = shop.isp.owner.get("/payments/unallocated").await?;
    assert_eq!(held["total"], 0, "{held}");
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// What is declined moves nothing; what is over the day's limit waits; a program approves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_declined_limited_and_never_a_programs() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let first = shop.paid(&world, "1000").await?;
    let second = shop.paid(&world, "900").await?;
    let keep = || json!({"service": "KEEP", "reason": "x"});
    let declined = shop.asks(&first, keep()).await?;
    let path = format!("/payments/refunds/{declined}/decline");
    assert_eq!(
        shop.isp.owner.post(&path, &json!({})).await?["state"],
        "DECLINED"
    );
    let approve = format!("/payments/refunds/{declined}/approve");
    refused(
        &shop.isp.owner,
        &approve,
        json!({}),
        StatusCode::CONFLICT,
        "REFUND_DECIDED",
    )
    .await?;

    let gateways = shop.isp.owner.get("/payment-gateways").await?;
    let gateway = gateways[0]["id"].as_str().context("a gateway")?;
    let gateway = format!("/payment-gateways/{gateway}");
    assert_eq!(gateways[0]["refundDayLimit"], 50_000, "{gateways}");
    shop.isp
        .owner
        .put(&gateway, &json!({"refundDayLimit": 1500}))
        .await?;
    let done = shop.sends_back(&first, keep()).await?;
    shop.until(&done, "DONE").await?;
    let over = shop.asks(&second, keep()).await?;
    let approve = format!("/payments/refunds/{over}/approve");
    refused(
        &shop.isp.owner,
        &approve,
        json!({}),
        StatusCode::CONFLICT,
        "REFUND_LIMIT",
    )
    .await?;
    world.clock.advance(25 * HOUR);
    // A key of the owner's is a program, whoever made it.
    let key = json!({"name": "Books", "permissions": ["payments:process"], "password": PASSWORD});
    let key = shop.isp.owner.post("/api-keys", &key).await?;
    let program = shop
        .isp
        .owner
        .with_key(key["key"].as_str().context("a key")?);
    refused(
        &program,
        &approve,
        json!({}),
        StatusCode::FORBIDDEN,
        "PERSON_NEEDED",
    )
    .await?;
    shop.approves(&over).await?;
    shop.until(&over, "DONE").await?;
    let trail = "select count(*) from audit where action like 'REFUND_%'";
    assert_eq!(count(&world, &shop.isp, trail).await?, 6);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// An old report of the same money changes nothing once it went back.
#[tokio::test(flavor = "multi_thread")]
async fn what_went_back_is_not_booked_again() -> Result<()> {
    let world = World::start().await?;
    let shop = given(&world).await?;
    let payment = shop.paid(&world, "1000").await?;
    let twice = Errand {
        result: Callback::Repeated {
            times: 3,
            apart: Duration::ZERO,
        },
        ..Errand::default()
    };
    world.outside.mpesa.script_errands(twice);
    let refund = shop
        .sends_back(&payment, json!({"service": "WAIVE", "reason": "x"}))
        .await?;
    shop.until(&refund, "DONE").await?;
    let (_, url) = world
        .outside
        .mpesa
        .c2b_urls(crate::c2b::CODE)
        .context("registered")?;
    let receipt = world.outside.mpesa.books().direct()[0].receipt.clone();
    let again = told(&receipt, json!("1000"), "amina", crate::c2b::CODE);
    assert_eq!(crate::c2b::post(&url, &again).await?, 200);
    worked(&world, &shop.isp).await?;
    assert_eq!(shop.wallet().await?, 0);
    assert_eq!(
        count(&world, &shop.isp, "select count(*) from payments").await?,
        1
    );
    assert_eq!(world.outside.mpesa.books().given_back(), 1000);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// Everything that a sending may meet.
fn errand(answer: PushAnswer, result: Callback) -> Errand {
    Errand {
        answer,
        result,
        ..Errand::default()
    }
}

/// The provider's own programs hear that money went back, or did not.
#[tokio::test(flavor = "multi_thread")]
async fn programs_hear_what_became_of_it() -> Result<()> {
    let receiver = easyisp_tests::hooks::Receiver::start().await?;
    let world = World::start_with(
        easyisp_shared::time::Clock::test(easyisp_tests::world::START),
        |config| config.webhooks.ca_file = Some(receiver.ca_file()),
    )
    .await?;
    let shop = given(&world).await?;
    let hook = json!({"url": receiver.url(), "events": ["payment.refunded", "refund.failed"],
        "description": "Books"});
    shop.isp.owner.post("/webhooks", &hook).await?;
    let payment = shop.paid(&world, "2000").await?;
    let part = json!({"amount": 400, "service": "KEEP", "reason": "x"});
    let refund = shop.sends_back(&payment, part.clone()).await?;
    let done = shop.until(&refund, "DONE").await?;
    let first = soon("it is told", receiver.takes(1)).await?.json()?;
    assert_eq!(first["event"], "payment.refunded", "{first}");
    assert_eq!(
        (
            &first["data"]["refundId"],
            &first["data"]["paymentId"],
            &first["data"]["amount"]
        ),
        (&json!(refund), &json!(payment), &json!(400)),
        "{first}"
    );
    assert_eq!(first["data"]["receipt"], done["receipt"]);
    let refused = errand(PushAnswer::Error("400.002.02".into()), Callback::Now);
    world.outside.mpesa.script_errands(refused);
    let refund = shop.sends_back(&payment, part).await?;
    shop.until(&refund, "FAILED").await?;
    let second = soon("it is told", receiver.takes(2)).await?.json()?;
    assert_eq!(
        (&second["event"], &second["data"]["refundId"]),
        (&json!("refund.failed"), &json!(refund))
    );
    world.stop().await
}
