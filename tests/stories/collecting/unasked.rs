//! Payers send money to the platform's own short code by themselves: it finds the provider whose customer has the
//! account number that was typed, and what names nobody waits for a person of the platform.

mod ahead;
mod doubt;
mod pulled;
mod strays;

use anyhow::{Context, Result};
use easyisp_shared::id::TenantId;
use easyisp_tests::operator::Operator;
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::{Provider, World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{CENTRAL, Kiosk, given, given_world, refused};
use crate::c2b::{account, count, post, told, with_slip, worked};
use crate::words::{DAY, MINUTE};

const REGISTER: &str = "/super-admin/collecting/register-c2b";
const STRAY: &str = "/super-admin/collecting/stray";
/// Nobody's customer.
const STRANGER: &str = "0799000111";

/// A provider for whom the platform collects, and M-Pesa tells of what comes to the platform's short code.
async fn told_of(world: &World) -> Result<Kiosk> {
    let kiosk = given(world).await?;
    kiosk.switch(true).await?;
    register(&kiosk.platform, &json!({})).await?;
    Ok(kiosk)
}

async fn register(platform: &Operator, wish: &Value) -> Result<Value> {
    platform.confirm().await?;
    platform.post(REGISTER, wish).await
}

/// Somebody pays the platform's short code by himself, and M-Pesa tells of it; the receipt.
async fn pay(world: &World, amount: &str, reference: &str) -> Result<String> {
    let mpesa = &world.outside.mpesa;
    let receipt = mpesa.pay_bill(CENTRAL, STRANGER, amount, reference).await;
    let receipt = receipt.context("a validation refused it")?;
    let told = mpesa.until(|books| {
        let paid = books.direct().iter().find(|paid| paid.receipt == receipt)?;
        paid.confirmations.first().map(|told| told.status)
    });
    assert_eq!(soon("M-Pesa tells of it", told).await?, Some(200));
    Ok(receipt)
}

impl Kiosk {
    async fn number(&self) -> Result<String> {
        account(&self.isp, &self.amina).await
    }

    async fn platforms_tenant(&self) -> Result<TenantId> {
        let me = self.platform.get("/auth/me").await?;
        Ok(TenantId(me["tenantId"].as_str().context("an id")?.parse()?))
    }

    /// Has M-Pesa asked every ten minutes what has come, and waits until it was asked for the first time.
    async fn asks(&self, world: &World) -> Result<()> {
        register(&self.platform, &json!({"pullNumber": "0722000000"})).await?;
        eventually("it is asked", async || {
            Ok((!self.pulled(world).await?.is_empty()).then_some(()))
        })
        .await
    }

    /// Until when everything was asked for; empty before it was.
    async fn pulled(&self, world: &World) -> Result<String> {
        let mut tx = world.db().begin(self.platforms_tenant().await?).await?;
        let until = "select coalesce(pulled_until::text, '') from gateways where platform";
        Ok(sqlx::query_scalar(until).fetch_one(&mut *tx).await?)
    }

    /// Every report was worked on, the platform's own first: they go on from there.
    async fn all_worked(&self, world: &World) -> Result<()> {
        let platform = self.platforms_tenant().await?;
        eventually("every report of the platform is worked on", async || {
            let mut tx = world.db().begin(platform).await?;
            let left: i64 = sqlx::query_scalar(
                "select count(*) from payment_inbox where processed_at is null or body <> ''",
            )
            .fetch_one(&mut *tx)
            .await?;
            Ok((left == 0).then_some(()))
        })
        .await?;
        worked(world, &self.isp).await
    }

    /// Stray payments that stand so.
    async fn strays(&self, state: &str) -> Result<Vec<Value>> {
        let listed = self.platform.get(&format!("{STRAY}?state={state}")).await?;
        Ok(listed["payments"].as_array().context("payments")?.clone())
    }

    async fn becomes_stray(&self, receipt: &str, state: &str) -> Result<Value> {
        eventually("it is a stray payment", async || {
            let strays = self.strays(state).await?;
            Ok(strays.into_iter().find(|stray| stray["receipt"] == receipt))
        })
        .await
    }

    async fn assign(&self, receipt: &str, number: &str) -> Result<Value> {
        self.platform.confirm().await?;
        let path = format!("{STRAY}/{receipt}/assign");
        let wish = json!({"accountNumber": number, "reason": "Rang up: one digit wrong"});
        self.platform.post(&path, &wish).await
    }

    /// The same, which is refused.
    async fn assign_refused(&self, receipt: &str, number: &str, code: &str) -> Result<()> {
        self.platform.confirm().await?;
        let path = format!("{STRAY}/{receipt}/assign");
        let wish = json!({"accountNumber": number, "reason": "Rang up"});
        let at = (Method::POST, path.as_str());
        refused(&self.platform, at, wish, StatusCode::CONFLICT, code).await
    }

    /// Amina has so much more in her wallet, or is active by it, and the books say that it is held.
    async fn has(&self, world: &World, held: i64, payments: i64) -> Result<()> {
        eventually("it is held", async || {
            Ok((self.held().await? == held).then_some(()))
        })
        .await?;
        self.all_worked(world).await?;
        self.balanced(world, held, 0).await?;
        assert_eq!(self.account(world, "1040").await?, held * 100);
        let booked = "select count(*) from payments where status = 'completed'";
        assert_eq!(count(world, &self.isp, booked).await?, payments);
        Ok(())
    }
}

/// Who types a customer's account number pays to that customer's provider, once, as if he had been asked for it; it is
/// paid out with the rest. No address of ours has a word that M-Pesa refuses, and a repeat of the registration is none.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_number_finds_the_provider_whose_customer_it_is() -> Result<()> {
    let world = given_world().await?;
    let kiosk = told_of(&world).await?;
    // Nobody is told of money of the platform's short code but the platform.
    let forbidden = (Method::POST, REGISTER);
    let owner = &kiosk.isp.owner;
    let status = StatusCode::FORBIDDEN;
    refused(owner, forbidden, json!({}), status, "PLATFORM_ONLY").await?;
    let mpesa = &world.outside.mpesa;
    let (validation, confirmation) = mpesa.c2b_urls(CENTRAL).context("registered")?;
    for url in [&validation, &confirmation] {
        let path = url.split("/api/").nth(1).context("a path")?;
        for word in ["mpesa", "safaricom", "exe", "cmd", "sql", "query"] {
            assert!(!path.contains(word), "{path}");
        }
    }
    let again = register(&kiosk.platform, &json!({})).await?;
    assert_eq!(again["success"], true, "{again}");
    assert_eq!(
        mpesa.c2b_urls(CENTRAL),
        Some((validation.clone(), confirmation))
    );
    let trail = "select count(*) from audit where action = 'SETTINGS_UPDATE'";
    let mut tx = world.db().begin(kiosk.platforms_tenant().await?).await?;
    let lines: i64 = sqlx::query_scalar(trail).fetch_one(&mut *tx).await?;
    assert_eq!(lines, 2, "who asked stands in the platform's own trail");
    drop(tx);
    // The platform's own people see no gateway by which somebody could be asked for money.
    assert_eq!(kiosk.platform.get("/payment-gateways").await?, json!([]));

    // A validation asks for the short code and the amount, and for nothing else.
    mpesa.validate(CENTRAL, easyisp_tests::mpesa::c2b::Validation::On);
    let asked = async |code: &str, amount: &str| -> Result<Value> {
        let body = told("SJK4H7L2VA", json!(amount), "whoever", code);
        let sent = easyisp_tests::operator::http_client().post(&validation);
        Ok(sent.json(&body).send().await?.json().await?)
    };
    assert_eq!(asked(CENTRAL, "10").await?["ResultCode"], "0");
    assert_eq!(asked("600999", "10").await?["ResultCode"], "C2B00015");
    assert_eq!(asked(CENTRAL, "0").await?["ResultCode"], "C2B00013");

    let number = kiosk.number().await?;
    let receipt = pay(
        &world,
        "1000",
        &format!(" {} {} ", &number[..3], &number[3..]),
    )
    .await?;
    let active = |customer: &Value| customer["status"] == "ACTIVE";
    kiosk
        .isp
        .customer_becomes(&kiosk.amina, "paid", active)
        .await?;
    for _ in 0..3 {
        mpesa.confirm_again(&receipt).await;
    }
    kiosk.has(&world, 1000, 1).await?;
    assert_eq!(kiosk.strays("OPEN").await?, Vec::<Value>::new());
    world.clock.advance(DAY);
    kiosk.until(1, "DONE").await?;
    kiosk.balanced(&world, 0, 1000).await?;
    world.stop().await
}

/// A prompt's payment is told of twice: by its callback, and as money that came to the short code. Whichever comes first,
/// it is credited once, under the one receipt.
#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_and_its_confirmation_are_one_payment_in_either_order() -> Result<()> {
    let world = given_world().await?;
    let kiosk = told_of(&world).await?;
    let mpesa = &world.outside.mpesa;
    for (nth, (callback, confirmation)) in [
        (Callback::Held, Callback::Now),
        (Callback::Now, Callback::Held),
        (Callback::Never, Callback::Now),
    ]
    .into_iter()
    .enumerate()
    {
        mpesa.script_everybody(Payer {
            callback,
            confirmation,
            ..Payer::prompt()
        });
        let checkout = kiosk.isp.ask_to_pay(&kiosk.amina, 300).await?;
        let paid = mpesa.until(|books| books.find(&checkout)?.receipt().map(str::to_owned));
        let receipt = soon("the payer types his PIN", paid).await?;
        let (held, payments) = ((nth as i64 + 1) * 300, nth as i64 + 1);
        kiosk.has(&world, held, payments).await?;
        mpesa.release(&checkout);
        world.clock.advance(10 * MINUTE);
        let path = format!("/payments/mpesa/status/{checkout}");
        eventually("the prompt has its receipt", async || {
            let status = kiosk.isp.owner.get(&path).await?;
            let done = status["status"] == "completed" && status["receipt"] == receipt.as_str();
            Ok(done.then_some(()))
        })
        .await?;
        kiosk.has(&world, held, payments).await?;
        assert_eq!(kiosk.strays("OPEN").await?, Vec::<Value>::new());
    }
    world.stop().await
}

/// The server stops after the confirmation was answered and before it is handed on, and again before the provider's own
/// work on it: it is booked by who comes back, once; and handing it on twice is handing it on once.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_handed_on_and_booked_after_a_restart() -> Result<()> {
    let mut world = given_world().await?;
    let kiosk = told_of(&world).await?;
    let (_, door) = world
        .outside
        .mpesa
        .c2b_urls(CENTRAL)
        .context("registered")?;
    let number = kiosk.number().await?;
    let tenant = kiosk.isp.tenant().await?;
    let platform = kiosk.platforms_tenant().await?;
    let mut holder = PgConnection::connect_with(&world.database.anybody()).await?;
    for (nth, stop) in [
        // Nobody can ask whether a person gave it to somebody, which comes before all else.
        "lock table directory.stray_payments in access exclusive mode",
        // It is handed on, and nobody can book it.
        "select from customers for update",
    ]
    .into_iter()
    .enumerate()
    {
        let receipt = format!("SJK4H7L2P{nth}");
        let mut held = holder.begin().await?;
        sqlx::query(stop).execute(&mut *held).await?;
        let body = told(&receipt, json!("400"), &number, CENTRAL);
        assert_eq!(post(&door, &body).await?, 200);
        world.stop_cloud().await?;
        held.rollback().await?;
        let inbox =
            "select count(*) from payment_inbox where tenant_id = $1 and processed_at is null";
        for (whose, waits) in [(platform, 1 - nth as i64), (tenant, nth as i64)] {
            let waiting: i64 = sqlx::query_scalar(inbox)
                .bind(whose)
                .fetch_one(&mut holder)
                .await?;
            assert_eq!(waiting, waits, "{stop}");
        }
        world.start_cloud().await?;
        world.clock.advance(MINUTE);
        kiosk
            .has(&world, 400 * (nth as i64 + 1), nth as i64 + 1)
            .await?;
    }

    // As a server leaves it that stops between the provider's inbox and the platform's.
    let again = "update payment_inbox set processed_at = null, body = $2
                  where tenant_id = $1 returning id";
    let body = told("SJK4H7L2P1", json!("400"), &number, CENTRAL).to_string();
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(again)
        .bind(platform)
        .bind(body.as_bytes())
        .fetch_all(&mut holder)
        .await?;
    assert_eq!(ids.len(), 2);
    let payments = &world.cloud().app.payments;
    for id in ids {
        let id = easyisp_shared::id::InboxId(id);
        payments.work(platform, id, world.clock.now()).await?;
    }
    assert_eq!(
        count(&world, &kiosk.isp, "select count(*) from payment_inbox").await?,
        2
    );
    kiosk.has(&world, 800, 2).await?;
    world.stop().await
}

/// A provider with customers of his own, for whom the platform does not collect.
async fn stranger(world: &World) -> Result<(Provider, String)> {
    let isp = Provider::sign_up(world, "stall").await?;
    isp.subscribe(world).await?;
    let yesterday = world.clock.now().minus(DAY);
    let baraka = isp
        .add_subscriber("baraka", "254712345602", yesterday)
        .await?;
    let number = account(&isp, &baraka).await?;
    Ok((isp, number))
}

/// One digit of it is wrong.
fn slip(number: &str) -> String {
    with_slip(number)
}
