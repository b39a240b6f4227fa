//! The platform collects for a provider who has no short code of his own, and pays out every day what it holds.

mod faults;
mod race;
mod topups;
mod unasked;

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::config::Config;
use easyisp_cloud::ledger;
use easyisp_shared::time::Clock;
use easyisp_tests::mpesa::App;
use easyisp_tests::mpesa::books::{Errand as Ran, ErrandKind};
use easyisp_tests::operator::Operator;
use easyisp_tests::scenario::Payer;
use easyisp_tests::world::{Provider, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::c2b::worked;
use crate::invoice_paper::says_nothing;
use crate::suspended::given_platform;
use crate::words::{DAY, HOUR, MINUTE};

/// The platform's own paybill, and the provider's till.
const CENTRAL: &str = "600100";
const TILL: &str = "5200123";

/// A provider without a short code, a customer of his, and the platform's people.
struct Kiosk {
    isp: Provider,
    amina: String,
    platform: Operator,
    path: String,
}

/// The settings of a server that has a short code of its own.
fn central(config: &mut Config) {
    let folder = config.data_dir.parent().expect("a folder").to_owned();
    let app = App::paybill(CENTRAL);
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, format!("{text}\n")).expect("a file is written");
        Some(path)
    };
    config.mpesa.shortcode = Some(CENTRAL.to_owned());
    config.mpesa.sandbox = true;
    config.mpesa.consumer_key_file = file("consumer-key", &app.key);
    config.mpesa.consumer_secret_file = file("consumer-secret", &app.secret);
    config.mpesa.passkey_file = file("passkey", &app.passkey);
    config.mpesa.initiator_name = Some(app.initiator);
    config.mpesa.initiator_password_file = file("initiator", &app.initiator_password);
}

async fn given_world() -> Result<World> {
    let world = World::start_with(Clock::test(crate::money::noon()), central).await?;
    world.outside.mpesa.add_app(App::paybill(CENTRAL));
    world.outside.mpesa.script_everybody(Payer::prompt());
    Ok(world)
}

async fn given(world: &World) -> Result<Kiosk> {
    let isp = Provider::sign_up(world, "kiosk").await?;
    isp.subscribe(world).await?;
    let amina = isp
        .add_subscriber("amina", "254712345601", world.clock.now().minus(DAY))
        .await?;
    let platform = given_platform(world).await?;
    let path = format!("/super-admin/tenants/{}", isp.tenant().await?);
    Ok(Kiosk {
        isp,
        amina,
        platform,
        path,
    })
}

impl Kiosk {
    async fn switch(&self, enabled: bool) -> Result<Value> {
        self.agree(enabled, 0, 0).await
    }

    async fn agree(&self, enabled: bool, reserve: u32, fee: u32) -> Result<Value> {
        let terms = json!({"enabled": enabled, "payoutKind": "BUYGOODS", "payoutNumber": TILL,
            "reserve": reserve, "feeBasisPoints": fee});
        self.platform.confirm().await?;
        let path = format!("{}/collecting", self.path);
        self.platform.put(&path, &terms).await
    }

    /// Amina is asked, and pays.
    async fn pays(&self, world: &World, amount: u32) -> Result<()> {
        let before = self.held().await?;
        self.isp.owner.ask_to_pay(&self.amina, amount).await?;
        eventually("it is held", async || {
            let held = self.held().await?;
            Ok((held == before + i64::from(amount)).then_some(()))
        })
        .await?;
        worked(world, &self.isp).await
    }

    async fn shown(&self) -> Result<Value> {
        self.isp.owner.get("/payments/settlements").await
    }

    /// What the platform holds, in shillings.
    async fn held(&self) -> Result<i64> {
        let held = self.shown().await?["held"].as_f64().context("an amount")?;
        Ok(held as i64)
    }

    /// Waits until the `nth` settlement, from 1 in the order of their days, stands so.
    async fn until(&self, nth: usize, state: &str) -> Result<Value> {
        let what = format!("settlement {nth} is {state}");
        eventually(&what, async || {
            let shown = self.shown().await?;
            let rows = shown["settlements"].as_array().context("settlements")?;
            let row = rows.iter().rev().nth(nth - 1);
            Ok(row.filter(|row| row["state"] == state).cloned())
        })
        .await
    }

    async fn balanced(&self, world: &World, held: i64, settled: i64) -> Result<()> {
        worked(world, &self.isp).await?;
        assert_eq!(world.book_findings().await?, Vec::<String>::new());
        assert_eq!(self.held().await?, held);
        assert_eq!(world.outside.mpesa.books().settled(TILL), settled);
        Ok(())
    }

    /// What stands on an account of the provider's, in cents.
    async fn account(&self, world: &World, code: &str) -> Result<i64> {
        let mut tx = world.db().begin(self.isp.tenant().await?).await?;
        let totals = ledger::totals(&mut tx, None, None).await?;
        let total = totals.into_iter().find(|total| total.account == code);
        let moved = |total: ledger::Total| total.debits.minor() - total.credits.minor();
        Ok(total.map_or(0, moved))
    }
}

/// What M-Pesa was asked to send to organisations.
fn sendings(world: &World) -> Vec<Ran> {
    let books = world.outside.mpesa.books();
    let all = books.errands().iter();
    all.filter(|errand| errand.kind == ErrandKind::Settlement)
        .cloned()
        .collect()
}

async fn refused(
    who: &Operator,
    (method, path): (Method, &str),
    body: Value,
    status: StatusCode,
    code: &str,
) -> Result<()> {
    let (got, answer) = who.call(method, path, Some(&body)).await?;
    assert_eq!(got, status, "{answer}");
    assert!(code.is_empty() || answer["code"] == code, "{answer}");
    Ok(())
}

/// Off until the platform's people switch it on; then what payers pay is held, and paid out the next day, once, less
/// reserve and fee. In the provider's books it is a claim on the platform until M-Pesa says that it went.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_collected_is_held_and_paid_out_the_next_day() -> Result<()> {
    let world = given_world().await?;
    let kiosk = given(&world).await?;
    let owner = &kiosk.isp.owner;
    let ask = json!({"customerId": kiosk.amina, "amount": 1000});
    let (stk, unprocessable) = (
        (Method::POST, "/payments/mpesa/stk"),
        StatusCode::UNPROCESSABLE_ENTITY,
    );
    refused(owner, stk.clone(), ask.clone(), unprocessable, "NO_GATEWAY").await?;
    let shown = kiosk.agree(true, 100, 200).await?;
    assert_eq!(shown["shortcode"], CENTRAL);
    assert_eq!(shown["held"], 0);

    // It is a gateway of his that he can use and not change.
    let gateways = owner.get("/payment-gateways").await?;
    assert_eq!(gateways[0]["platform"], true, "{gateways}");
    let gateway = format!(
        "/payment-gateways/{}",
        gateways[0]["id"].as_str().context("a gateway")?
    );
    for (method, path) in [
        (Method::PUT, gateway.clone()),
        (Method::POST, format!("{gateway}/default")),
        (Method::POST, format!("{gateway}/test")),
        (Method::POST, format!("{gateway}/register-c2b")),
        (Method::DELETE, gateway.clone()),
    ] {
        let conflict = StatusCode::CONFLICT;
        refused(
            owner,
            (method, &path),
            json!({}),
            conflict,
            "PLATFORM_GATEWAY",
        )
        .await?;
    }

    kiosk.pays(&world, 1000).await?;
    assert_eq!(kiosk.account(&world, "1040").await?, 100_000);
    assert_eq!(kiosk.account(&world, "1010").await?, 0);
    kiosk.balanced(&world, 1000, 0).await?;

    // 1,000 less 100 that stay: 882 go, 18 are the platform's.
    world.clock.advance(DAY);
    let done = kiosk.until(1, "DONE").await?;
    assert_eq!(
        (&done["amount"], &done["fee"], &done["held"], &done["day"]),
        (&json!(882), &json!(18), &json!(1000), &json!("2026-01-31"))
    );
    kiosk.balanced(&world, 100, 882).await?;
    assert_eq!(kiosk.account(&world, "1040").await?, 10_000);
    assert_eq!(kiosk.account(&world, "1010").await?, 88_200);
    assert_eq!(kiosk.account(&world, "5000").await?, 1_800);
    assert_eq!(
        sendings(&world)[0].organisation,
        Some((TILL.into(), "2026-01-31".into()))
    );

    // Another day without payers settles nothing; the same day is settled once, whoever comes.
    let tenant = kiosk.isp.tenant().await?;
    let payments = &world.cloud().app.payments;
    let now = world.clock.now();
    let (one, other) = tokio::join!(
        payments.settle_day(tenant, now),
        payments.settle_day(tenant, now)
    );
    assert_eq!(one?, other?);
    world.clock.advance(DAY);
    kiosk.pays(&world, 500).await?;
    let shown = kiosk.shown().await?;
    assert_eq!(shown["total"], 1, "{shown}");

    // Both sides can read it.
    let file = owner.get("/payments/settlements/export").await?;
    let file = file.as_str().context("a file")?;
    assert!(
        file.contains("2026-01-31,1000,882,18,DONE,5200123"),
        "{file}"
    );
    let all = kiosk
        .platform
        .get("/super-admin/settlements?state=DONE")
        .await?;
    assert_eq!(all["settlements"][0]["businessName"], "kiosk");
    assert_eq!(all["settlements"][0]["amount"], 882);
    let none = kiosk
        .platform
        .get("/super-admin/settlements?from=2026-02-01")
        .await?;
    assert_eq!(none["settlements"], json!([]));
    let file = kiosk
        .platform
        .get("/super-admin/settlements/export")
        .await?;
    let file = file.as_str().context("a file")?;
    assert!(file.contains("kiosk,2026-01-31"), "{file}");

    // His own short code takes its place; what was held is still his, the reserve too once it is switched off.
    owner.add_paybill().await?;
    world.clock.advance(MINUTE);
    owner.ask_to_pay(&kiosk.amina, 700).await?;
    eventually("it is in his own till", async || {
        Ok((kiosk.account(&world, "1010").await? == 158_200).then_some(()))
    })
    .await?;
    kiosk.switch(false).await?;
    world.clock.advance(DAY);
    kiosk.until(2, "DONE").await?;
    kiosk.balanced(&world, 0, 882 + 600).await?;
    world.clock.advance(31 * DAY);
    let jobs = "select count(*) from directory.jobs where kind = 'payments.settle'";
    eventually("nothing is to be settled any more", async || {
        let mut tx = world.db().begin(tenant).await?;
        let left: i64 = sqlx::query_scalar(jobs).fetch_one(&mut *tx).await?;
        Ok((left == 0).then_some(()))
    })
    .await?;
    world.stop().await
}

/// Who asks about a receipt of the shared short code that is another provider's is told nothing and given nothing;
/// what was paid out to a provider is not sent back from the platform's money.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_money_that_another_was_paid() -> Result<()> {
    let world = given_world().await?;
    let kiosk = given(&world).await?;
    kiosk.switch(true).await?;
    let mpesa = &world.outside.mpesa;
    // Somebody pays the platform's paybill by himself, and nobody was told of it: M-Pesa has no addresses yet.
    let stray = mpesa
        .pay_bill(CENTRAL, "0799000111", "900", "whoever")
        .await;
    let receipt = stray.context("a receipt")?;
    let owner = &kiosk.isp.owner;
    let asked = owner
        .post("/payments/inquiries", &json!({"receipt": receipt}))
        .await?;
    let path = format!(
        "/payments/inquiries/{}",
        asked["id"].as_str().context("an id")?
    );
    eventually("M-Pesa has answered", async || {
        Ok((owner.get(&path).await?["state"] == "UNDECIDED").then_some(()))
    })
    .await?;
    kiosk.balanced(&world, 0, 0).await?;
    // So no invoice sends anybody there.
    let bill = json!({"customerId": kiosk.amina, "amount": 900, "dueDate": "2027-01-20",
        "items": [{"description": "Cable", "amount": 900}]});
    let bill = owner.post("/finance/invoices", &bill).await?;
    let number = bill["id"].as_str().context("a number")?;
    says_nothing(&world, &kiosk.isp, number).await?;
    let path = format!("/finance/invoices/{number}/status");
    owner.put(&path, &json!({"status": "cancelled"})).await?;

    // What is held goes back to its payer; what was paid out is not.
    kiosk.pays(&world, 1000).await?;
    let clerk = json!({"name": "Clerk", "email": "clerk@kiosk.example",
        "password": easyisp_tests::world::PASSWORD, "role": "ADMIN"});
    owner.post("/tenant/operators", &clerk).await?;
    let email = "clerk@kiosk.example";
    let clerk = Operator::login(world.api(), email, easyisp_tests::world::PASSWORD).await?;
    let payment = async || -> Result<String> {
        let mut tx = world.db().begin(kiosk.isp.tenant().await?).await?;
        let newest = "select id::text from payments order by created_at desc limit 1";
        Ok(sqlx::query_scalar(newest).fetch_one(&mut *tx).await?)
    };
    let back = json!({"service": "KEEP", "reason": "Twice"});
    let asks = async |payment: &str| -> Result<String> {
        let refund = clerk
            .post(&format!("/payments/{payment}/refunds"), &back)
            .await?;
        Ok(refund["id"].as_str().context("a refund")?.to_owned())
    };
    let refund = asks(&payment().await?).await?;
    let approve = format!("/payments/refunds/{refund}/approve");
    owner.post(&approve, &json!({})).await?;
    eventually("it went back", async || {
        let shown = owner.get(&format!("/payments/refunds/{refund}")).await?;
        Ok((shown["state"] == "DONE").then_some(()))
    })
    .await?;
    kiosk.balanced(&world, 0, 0).await?;
    assert_eq!(kiosk.account(&world, "1010").await?, 0);

    world.clock.advance(10 * MINUTE);
    kiosk.pays(&world, 1000).await?;
    let refund = asks(&payment().await?).await?;
    world.clock.advance(DAY);
    kiosk.until(1, "DONE").await?;
    let approve = format!("/payments/refunds/{refund}/approve");
    let post = (Method::POST, approve.as_str());
    refused(owner, post, json!({}), StatusCode::CONFLICT, "NOT_HELD").await?;
    kiosk.balanced(&world, 0, 1000).await?;
    world.clock.advance(HOUR);
    world.stop().await
}

/// Long enough that what is due at once is done.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
