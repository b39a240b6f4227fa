//! A payer pays by M-Pesa; callbacks repeat, lie, come late or never, and money moves exactly once.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::config::Config;
use easyisp_cloud::ledger::{Scope, verify};
use easyisp_cloud::{Cloud, DatabaseSource, Options};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{IntentId, TenantId};
use easyisp_shared::time::Clock;
use easyisp_tests::database::{FreshDatabase, fresh_database};
use easyisp_tests::mpesa::books::Transaction;
use easyisp_tests::mpesa::callback;
use easyisp_tests::operator::{Operator, http_client};
use easyisp_tests::outside::Outside;
use easyisp_tests::scenario::{Callback, Paid, Payer, PinResult, PushAnswer, QueryAnswer};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::money::noon;

const PHONE: &str = "0712345678";
const STAMP: &str = "20260131120000";

/// A cloud, its owner, a package at 1000 and the pretend M-Pesa, all on one clock.
struct World {
    cloud: Cloud,
    outside: Outside,
    clock: Clock,
    owner: Operator,
    tenant: TenantId,
    package: String,
    database: FreshDatabase,
    _data: tempfile::TempDir,
}

async fn given_world() -> Result<World> {
    let database = fresh_database().await?;
    let data = tempfile::tempdir()?;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let clock = Clock::test(noon());
    let outside = Outside::start_on(anywhere, clock.clone(), Entropy::system()).await?;
    outside.mpesa.script_everybody(Payer::prompt());
    let mut config = Config {
        data_dir: data.path().to_owned(),
        ..Config::default()
    };
    config.http.listen = anywhere;
    config.agents.listen = anywhere;
    config.metrics.listen = anywhere;
    config.mpesa.base_url = Some(outside.url());
    let plenty = NonZeroU32::new(100_000).context("not zero")?;
    config.limits.user_per_second = plenty;
    config.limits.user_burst = plenty;
    config.limits.tenant_per_second = plenty;
    let cloud = Cloud::start(Options {
        config,
        clock: clock.clone(),
        entropy: Entropy::system(),
        database: DatabaseSource::Given {
            app: Box::new(database.app()),
            owner: Box::new(database.owner()),
        },
    })
    .await?;
    let owner = Operator::register(
        cloud.http_addr,
        "Acme",
        "owner@acme.example",
        "a-long-password",
    )
    .await?;
    let me = owner.get("/tenant/me").await?;
    let tenant = me["id"].as_str().context("the tenant has an id")?.parse()?;
    owner.add_paybill().await?;
    let package = owner.add_package("Home", 10, 1_000, 1).await?;
    Ok(World {
        cloud,
        outside,
        clock,
        owner,
        tenant,
        package,
        database,
        _data: data,
    })
}

impl World {
    /// A customer with this phone, paid until noon.
    async fn customer(&self, name: &str, phone: &str) -> Result<String> {
        self.owner
            .add_customer(name, &self.package, phone, "2026-01-31T09:00:00.000Z")
            .await
    }

    async fn status(&self, checkout: &str) -> Result<Value> {
        self.owner
            .get(&format!("/payments/mpesa/status/{checkout}"))
            .await
    }

    /// Waits until the payment stands so.
    async fn until(&self, checkout: &str, status: &str) -> Result<Value> {
        let mut last = Value::Null;
        for _ in 0..1_000 {
            last = self.status(checkout).await?;
            if last["status"] == status {
                return Ok(last);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("never {status}: {last}")
    }

    /// Waits until every report of a provider was worked on.
    async fn worked(&self) -> Result<()> {
        for _ in 0..1_000 {
            let waiting = self
                .count("select count(*) from payment_inbox where processed_at is null")
                .await?;
            if waiting == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("reports are still waiting")
    }

    /// What the tenant's rows say.
    async fn count(&self, sql: &'static str) -> Result<i64> {
        let mut tx = self.cloud.app.db.begin(self.tenant).await?;
        Ok(sqlx::query_scalar(sql).fetch_one(&mut *tx).await?)
    }

    async fn credits(&self) -> Result<i64> {
        self.count("select count(*) from payments").await
    }

    async fn wallet(&self, customer: &str) -> Result<Value> {
        let customer = self.owner.get(&format!("/customers/{customer}")).await?;
        Ok(customer["walletBalance"].clone())
    }

    async fn expires(&self, customer: &str) -> Result<String> {
        let customer = self.owner.get(&format!("/customers/{customer}")).await?;
        Ok(customer["expiresAt"].as_str().context("an end")?.to_owned())
    }

    async fn transaction(&self, checkout: &str) -> Result<Transaction> {
        let books = self.outside.mpesa.books();
        Ok(books.find(checkout).context("on the books")?.clone())
    }

    /// Sends a body to the address of a prompt's callbacks, as anybody who knows it could.
    async fn post(&self, url: &str, body: &Value) -> Result<u16> {
        Ok(http_client()
            .post(url)
            .json(body)
            .send()
            .await?
            .status()
            .as_u16())
    }

    async fn query(&self, checkout: &str) -> Result<()> {
        let mut tx = self.cloud.app.db.begin(self.tenant).await?;
        let id: IntentId =
            sqlx::query_scalar("select id from intents where checkout_request_id = $1")
                .bind(checkout)
                .fetch_one(&mut *tx)
                .await?;
        drop(tx);
        self.cloud
            .app
            .payments
            .query(self.tenant, id, self.clock.now())
            .await?;
        Ok(())
    }

    /// As the owner of the tables.
    async fn tamper(&self, sql: &'static str) -> Result<PgConnection> {
        let mut owner = PgConnection::connect_with(&self.database.owner()).await?;
        sqlx::query("select set_config('app.tenant', $1::text, false)")
            .bind(self.tenant.to_string())
            .execute(&mut owner)
            .await?;
        sqlx::query(sql).execute(&mut owner).await?;
        Ok(owner)
    }

    /// The books are in order, and everything stops in order.
    async fn end(self) -> Result<()> {
        let report = verify(&self.cloud.app.db, Scope::All, &mut |_| {}).await?;
        assert!(report.is_clean(), "{:?}", report.findings);
        self.outside.stop().await;
        self.cloud.stop().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_prompt_renews_the_customer() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;

    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let status = world.until(&checkout, "completed").await?;

    let transaction = world.transaction(&checkout).await?;
    assert_eq!(status["receipt"].as_str(), transaction.receipt());
    assert_eq!(world.expires(&jane).await?, "2026-02-28T09:00:00.000Z");
    assert_eq!(transaction.asked, 1_000);
    let number = transaction
        .account_reference
        .trim_end_matches(char::is_alphabetic);
    assert_eq!(transaction.account_reference.len(), number.len() + 2);

    let list = world.owner.get("/payments/mpesa").await?;
    assert_eq!(list["transactions"][0]["status"], "completed");
    assert_eq!(list["transactions"][0]["transactionId"], status["receipt"]);
    assert_eq!(list["transactions"][0]["customer"]["name"], "Customer jane");
    let stats = world.owner.get("/payments/mpesa/stats").await?;
    assert_eq!(stats["todayReceived"], 1_000);
    let paid = world
        .owner
        .get(&format!("/customers/{jane}/transactions"))
        .await?;
    assert_eq!(paid["mpesaTransactions"][0]["amount"], 1_000);

    // Our own query agrees afterwards.
    world.query(&checkout).await?;
    let confirmed =
        "select count(*) from intents where confirmed_at is not null and needs_review is null";
    assert_eq!(world.count(confirmed).await?, 1);
    world.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_prompt_says_why_and_may_be_repeated() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    world.outside.mpesa.script(PHONE, Payer::refusing(1032));

    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let status = world.until(&checkout, "failed").await?;
    assert_eq!(status["message"], "The prompt was cancelled.");

    world.outside.mpesa.script(PHONE, Payer::prompt());
    let again = world.owner.ask_to_pay(&jane, 1_000).await?;
    assert_ne!(again, checkout);
    world.until(&again, "completed").await?;
    world.end().await
}

/// C1: fifty copies of one callback at the same moment, and once more later, credit once.
#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_callback_credit_once() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let callback = Callback::Repeated {
        times: 50,
        apart: Duration::ZERO,
    };
    world.outside.mpesa.script(
        PHONE,
        Payer {
            callback,
            ..Payer::prompt()
        },
    );

    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let delivered = world.outside.mpesa.called_back(&checkout, 50).await;
    assert!(
        delivered
            .callbacks
            .iter()
            .all(|copy| copy.status == Some(200)),
        "{delivered:?}"
    );
    world.worked().await?;

    let body = callback::body(&delivered, STAMP).context("it ended")?;
    assert_eq!(world.post(&delivered.callback_url, &body).await?, 200);
    world.worked().await?;
    assert_eq!(world.credits().await?, 1);
    assert_eq!(world.expires(&jane).await?, "2026-02-28T09:00:00.000Z");
    assert_eq!(world.count("select count(*) from payment_inbox").await?, 51);
    world.end().await
}

/// C2: no callback ever comes; every paid prompt is settled by our own queries, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn without_callbacks_the_query_settles_everything() -> Result<()> {
    let world = given_world().await?;
    let never = |result| Payer {
        callback: Callback::Never,
        result,
        ..Payer::prompt()
    };
    world.outside.mpesa.script_everybody(never(PinResult::Paid));
    let mut paid = Vec::new();
    for number in 0..5 {
        let phone = format!("07123456{number:02}");
        let customer = world.customer(&format!("payer{number}"), &phone).await?;
        paid.push(world.owner.ask_to_pay(&customer, 1_000).await?);
    }
    world.outside.mpesa.script(PHONE, never(PinResult::Code(1)));
    let poor = world.customer("poor", PHONE).await?;
    let refused = world.owner.ask_to_pay(&poor, 1_000).await?;

    world.clock.advance(Duration::from_secs(10));
    for checkout in &paid {
        world.until(checkout, "completed").await?;
    }
    world.until(&refused, "failed").await?;
    assert_eq!(world.credits().await?, 5);
    world.end().await
}

/// C3: callback and query finish the payment at the same moment, in both orders; one credit, one period.
#[tokio::test(flavor = "multi_thread")]
async fn query_and_callback_together_credit_once() -> Result<()> {
    let world = given_world().await?;
    let rounds = match std::env::var_os("EASYISP_TEST_FULL") {
        Some(_) => 1_000,
        None => 20,
    };
    world.outside.mpesa.script_everybody(Payer {
        callback: Callback::Held,
        ..Payer::prompt()
    });
    for round in 0..rounds {
        let phone = format!("0712{round:06}");
        let customer = world.customer(&format!("payer{round}"), &phone).await?;
        let checkout = world.owner.ask_to_pay(&customer, 1_000).await?;
        world
            .outside
            .mpesa
            .until(|books| books.find(&checkout)?.receipt().map(str::to_owned))
            .await;
        match round % 3 {
            0 => {
                world.query(&checkout).await?;
                world.outside.mpesa.release(&checkout);
            }
            1 => {
                world.outside.mpesa.release(&checkout);
                world.query(&checkout).await?;
            }
            _ => {
                let query = world.query(&checkout);
                world.outside.mpesa.release(&checkout);
                query.await?;
            }
        }
        world.outside.mpesa.called_back(&checkout, 1).await;
        world.worked().await?;
        let status = world.until(&checkout, "completed").await?;
        let receipt = world.transaction(&checkout).await?;
        assert_eq!(
            status["receipt"].as_str(),
            receipt.receipt(),
            "round {round}"
        );
        world.clock.advance(Duration::from_secs(61));
    }
    assert_eq!(world.credits().await?, rounds);
    assert_eq!(world.count("select count(*) from periods").await?, rounds);
    assert_eq!(
        world
            .count("select count(*) from payments where receipt is null")
            .await?,
        0
    );
    let reviews = "select count(*) from intents where needs_review is not null";
    assert_eq!(world.count(reviews).await?, 0);
    world.end().await
}

/// C4: a success that comes ten minutes, a day or eight days late still credits and activates.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_success_is_not_refused() -> Result<()> {
    let world = given_world().await?;
    let silent = Payer {
        callback: Callback::Held,
        query: QueryAnswer::Error("503.001.01".into()),
        ..Payer::prompt()
    };
    world.outside.mpesa.script_everybody(silent);
    for (number, minutes) in [10, 24 * 60, 8 * 24 * 60].into_iter().enumerate() {
        let phone = format!("07123456{number:02}");
        let customer = world.customer(&format!("payer{number}"), &phone).await?;
        let before = world.expires(&customer).await?;
        let checkout = world.owner.ask_to_pay(&customer, 1_000).await?;
        world
            .outside
            .mpesa
            .until(|books| books.find(&checkout)?.receipt().map(str::to_owned))
            .await;
        world.clock.advance(Duration::from_secs(minutes * 60));
        // The owner's session ends after seven days.
        let owner = Operator::login(
            world.cloud.http_addr,
            "owner@acme.example",
            "a-long-password",
        );
        let world_owner = owner.await;
        world.outside.mpesa.release(&checkout);
        world.outside.mpesa.called_back(&checkout, 1).await;
        world.worked().await?;

        let credited = "select count(*) from intents where state = 'POSTED'";
        assert_eq!(
            world.count(credited).await?,
            number as i64 + 1,
            "{minutes} minutes"
        );
        if world_owner.is_ok() && minutes < 7 * 24 * 60 {
            assert_ne!(world.expires(&customer).await?, before, "{minutes} minutes");
        }
    }
    assert_eq!(world.count("select count(*) from periods").await?, 3);
    world.end().await
}

/// C5: what somebody forges credits nothing: a guessed secret, a wrong amount, an unknown prompt, an old
/// body again.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_callback_credits_nothing() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let held = Payer {
        callback: Callback::Never,
        result: PinResult::Code(1032),
        ..Payer::prompt()
    };
    world.outside.mpesa.script(PHONE, held);
    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let prompt = world.transaction(&checkout).await?;
    let url = prompt.callback_url.clone();
    let token = url.split('/').rev().nth(1).context("a token")?.to_owned();

    let body = callback::paid(&prompt, "SJK4H7L2PQ", "1000.0", STAMP);
    let guessed = url.replace(&token, &"0".repeat(64));
    assert_eq!(world.post(&guessed, &body).await?, 404);
    assert_eq!(world.count("select count(*) from payment_inbox").await?, 0);

    let other = Transaction {
        checkout_request_id: "ws_CO_unknown".into(),
        ..prompt.clone()
    };
    let unknown = callback::paid(&other, "SJK4H7L2PR", "1000.0", STAMP);
    let tokened = format!("http://{}/api/hooks/stk/{token}", world.cloud.http_addr);
    assert_eq!(world.post(&tokened, &unknown).await?, 200);
    assert_eq!(world.post(&url, &unknown).await?, 200);
    let wrong = callback::paid(&prompt, "SJK4H7L2PQ", "100000.0", STAMP);
    assert_eq!(world.post(&url, &wrong).await?, 200);
    assert_eq!(world.post(&url, &json!("nonsense")).await?, 200);
    world.worked().await?;
    assert_eq!(world.credits().await?, 0);

    // Our own query decides: it was cancelled.
    world.query(&checkout).await?;
    world.until(&checkout, "failed").await?;
    assert_eq!(world.credits().await?, 0);
    let review = "select count(*) from intents where needs_review is not null";
    assert_eq!(world.count(review).await?, 1);

    // A body that was true once is not true again, for whatever prompt it is sent.
    world.outside.mpesa.script(PHONE, Payer::prompt());
    let paid = world.owner.ask_to_pay(&jane, 1_000).await?;
    world.until(&paid, "completed").await?;
    let old = callback::body(&world.transaction(&paid).await?, STAMP).context("it ended")?;
    for address in [&url, &tokened] {
        assert_eq!(world.post(address, &old).await?, 200);
    }
    world.worked().await?;
    assert_eq!(world.credits().await?, 1);
    world.end().await
}

/// C6: whatever was paid is booked: less waits in the wallet, more stays there, and an amount that is none
/// is a person's question.
#[tokio::test(flavor = "multi_thread")]
async fn another_amount_than_the_price_is_booked_as_it_was_paid() -> Result<()> {
    let world = given_world().await?;
    for (number, (amount, wallet, periods, reviewed)) in [
        ("999", json!(999), 0, 0),
        ("1001.0", json!(1), 1, 0),
        ("\"1000.50\"", json!(0.5), 1, 0),
        ("0", json!(0), 1, 1),
        ("-5", json!(0), 1, 1),
        ("99999999999", json!(0), 1, 1),
        ("\"much\"", json!(0), 1, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let phone = format!("07123456{number:02}");
        let customer = world.customer(&format!("payer{number}"), &phone).await?;
        let paid = Paid::Exactly(amount.into());
        world.outside.mpesa.script(
            &phone,
            Payer {
                paid,
                ..Payer::prompt()
            },
        );
        let before = world.count("select count(*) from periods").await?;
        let reviews = "select count(*) from intents where needs_review is not null";
        let before_reviews = world.count(reviews).await?;

        let checkout = world.owner.ask_to_pay(&customer, 1_000).await?;
        world.outside.mpesa.called_back(&checkout, 1).await;
        world.worked().await?;
        // The callback alone is not believed; our query is.
        world.query(&checkout).await?;
        world.until(&checkout, "completed").await?;
        assert_eq!(world.wallet(&customer).await?, wallet, "{amount}");
        let bought = world.count("select count(*) from periods").await? - before;
        assert_eq!(bought, periods, "{amount}");
        assert_eq!(
            world.count(reviews).await? - before_reviews,
            reviewed,
            "{amount}"
        );
    }
    world.end().await
}

/// C8: the body is durable before the answer, and 503 when it is not; work that fails afterwards is done
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_kept_before_it_is_answered() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    world.outside.mpesa.script(
        PHONE,
        Payer {
            callback: Callback::Never,
            ..Payer::prompt()
        },
    );
    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    world
        .outside
        .mpesa
        .until(|books| books.find(&checkout)?.receipt().map(str::to_owned))
        .await;
    let prompt = world.transaction(&checkout).await?;
    let body = callback::body(&prompt, STAMP).context("it ended")?;

    world
        .tamper("revoke insert on payment_inbox from easyisp_app")
        .await?;
    assert_eq!(world.post(&prompt.callback_url, &body).await?, 503);
    world
        .tamper("grant insert on payment_inbox to easyisp_app")
        .await?;

    // Nobody can work on it while somebody else holds the payment; it is answered all the same.
    let mut holder = world.tamper("begin").await?;
    sqlx::query("select from intents for update")
        .execute(&mut holder)
        .await?;
    assert_eq!(world.post(&prompt.callback_url, &body).await?, 200);
    let waiting = "select count(*) from payment_inbox where processed_at is null";
    assert_eq!(world.count(waiting).await?, 1);
    // Longer than a statement waits for a lock: the work fails.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(world.credits().await?, 0);
    sqlx::query("rollback").execute(&mut holder).await?;

    world.clock.advance(Duration::from_secs(6));
    world.worked().await?;
    world.until(&checkout, "completed").await?;
    assert_eq!(world.credits().await?, 1);
    world.end().await
}

/// C9: M-Pesa takes the push and never answers it. That is no failure: the callback finds its payment by
/// the address it was given, and nobody is asked twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_without_an_answer_is_unknown_not_failed() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let silence = PushAnswer::AcceptedThenSilence;
    world.outside.mpesa.script(
        PHONE,
        Payer {
            push: silence,
            ..Payer::prompt()
        },
    );

    let owner = world.owner.clone();
    let asked = {
        let jane = jane.clone();
        tokio::spawn(async move { owner.ask_to_pay(&jane, 1_000).await })
    };
    let prompt = world.outside.mpesa.prompt(PHONE, 0).await;
    let checkout = prompt.checkout_request_id;
    world.outside.mpesa.called_back(&checkout, 1).await;
    world.worked().await?;
    world.until(&checkout, "completed").await?;
    assert_eq!(world.expires(&jane).await?, "2026-02-28T09:00:00.000Z");

    // Another one, and M-Pesa goes away: nothing is known, and nothing is tried again.
    let john = world.customer("john", "0712345679").await?;
    let lost = Payer {
        push: PushAnswer::Lost,
        ..Payer::prompt()
    };
    world.outside.mpesa.script("0712345679", lost);
    let owner = world.owner.clone();
    let unanswered = tokio::spawn(async move { owner.ask_to_pay(&john, 1_000).await });
    while world.count("select count(*) from intents").await? < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let World {
        cloud,
        outside,
        clock,
        owner,
        tenant,
        package,
        database,
        _data,
    } = world;
    let prompts = outside.mpesa.books().transactions().len();
    outside.stop().await;
    asked.await??;
    let id = unanswered.await??;
    let status = owner.get(&format!("/payments/mpesa/status/{id}")).await?;
    assert_eq!(status["status"], "pending");
    assert_eq!(prompts, 1);

    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let outside = Outside::start_on(anywhere, clock.clone(), Entropy::system()).await?;
    let world = World {
        cloud,
        outside,
        clock,
        owner,
        tenant,
        package,
        database,
        _data,
    };
    world.clock.advance(Duration::from_secs(301));
    world.until(&id, "expired").await?;
    assert_eq!(world.credits().await?, 1);
    assert_eq!(world.outside.mpesa.books().transactions().len(), 0);
    world.end().await
}

/// C10: twenty taps are one prompt, and every tap is told about it.
#[tokio::test(flavor = "multi_thread")]
async fn taps_in_a_row_are_one_prompt() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    world.outside.mpesa.script(
        PHONE,
        Payer {
            pin: easyisp_tests::scenario::Pin::Held,
            ..Payer::prompt()
        },
    );

    let taps = (0..20).map(|_| {
        let (owner, jane) = (world.owner.clone(), jane.clone());
        tokio::spawn(async move { owner.ask_to_pay(&jane, 1_000).await })
    });
    let mut told = Vec::new();
    for tap in futures_util::future::join_all(taps).await {
        told.push(tap??);
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(world.outside.mpesa.books().prompts("254712345678"), 1);

    world.outside.mpesa.type_pin(&told[0]);
    world.until(&told[0], "completed").await?;
    assert_eq!(world.credits().await?, 1);
    world.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_tested_masked_and_kept() -> Result<()> {
    let world = given_world().await?;
    let gateways = world.owner.get("/payment-gateways").await?;
    let gateway = gateways[0].clone();
    let id = gateway["id"].as_str().context("an id")?.to_owned();
    assert_eq!(gateway["consumerKey"], "********");
    assert_eq!(gateway["isDefault"], true);

    let tested = world
        .owner
        .post(&format!("/payment-gateways/{id}/test"), &json!({}))
        .await?;
    assert_eq!(tested["success"], true, "{tested}");
    // The form sends back what it was given: the keys stay.
    world
        .owner
        .put(&format!("/payment-gateways/{id}"), &gateway)
        .await?;
    let tested = world
        .owner
        .post(&format!("/payment-gateways/{id}/test"), &json!({}))
        .await?;
    assert_eq!(tested["success"], true, "{tested}");

    let wrong = json!({"consumerSecret": "wrong"});
    world
        .owner
        .put(&format!("/payment-gateways/{id}"), &wrong)
        .await?;
    let tested = world
        .owner
        .post(&format!("/payment-gateways/{id}/test"), &json!({}))
        .await?;
    assert_eq!(tested["success"], false, "{tested}");
    world.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_fetched_once_and_renewed_when_it_is_refused() -> Result<()> {
    let world = given_world().await?;
    for number in 0..3 {
        let phone = format!("07123456{number:02}");
        let customer = world.customer(&format!("payer{number}"), &phone).await?;
        let checkout = world.owner.ask_to_pay(&customer, 1_000).await?;
        world.until(&checkout, "completed").await?;
        if number == 1 {
            world.outside.mpesa.forget_tokens();
        }
    }
    assert_eq!(world.outside.mpesa.tokens_issued(), 2);
    world.end().await
}

/// The recharge button, the manual payment and their repeats.
#[tokio::test(flavor = "multi_thread")]
async fn operators_recharge_record_resolve_and_void() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let recharge = format!("/customers/{jane}/recharge");

    let half = world
        .owner
        .post(&recharge, &json!({"amount": 400.5}))
        .await?;
    assert_eq!(
        (&half["success"], &half["newBalance"]),
        (&json!(true), &json!(400.5))
    );
    let rest =
        json!({"customerId": jane, "amount": 600, "method": "BANK_TRANSFER", "reference": "T1"});
    let recorded = world.owner.post("/payments/manual", &rest).await?;
    assert_eq!(recorded["status"], "completed");
    assert_eq!(world.expires(&jane).await?, "2026-02-28T09:00:00.000Z");
    assert_eq!(world.wallet(&jane).await?, json!(0.5));

    let manual = world.owner.get("/payments/manual").await?;
    assert_eq!(manual.as_array().map(Vec::len), Some(2));
    // On a clock that stands both are of one instant, and either may come first.
    let mut rows = manual.as_array().into_iter().flatten();
    let transfer = rows.find(|row| row["ref"] == "T1");
    assert_eq!(transfer.context("the transfer")?["account"], "jane");
    let page = world
        .owner
        .get("/payments/manual?page=1&pageSize=1")
        .await?;
    assert_eq!(
        (
            &page["total"],
            page["transactions"].as_array().map(Vec::len)
        ),
        (&json!(2), Some(1))
    );

    let (status, _) = world
        .owner
        .call(
            reqwest::Method::POST,
            &recharge,
            Some(&json!({"amount": 0})),
        )
        .await?;
    assert_eq!(status.as_u16(), 400);
    let unknown = json!({"amount": 0, "description": "Resolved transaction: NOSUCHCODE"});
    let (status, _) = world
        .owner
        .call(reqwest::Method::POST, &recharge, Some(&unknown))
        .await?;
    assert_eq!(status.as_u16(), 404);

    let john = world.customer("john", "0712345679").await?;
    let checkout = world.owner.ask_to_pay(&john, 1_000).await?;
    let code = world.until(&checkout, "completed").await?["receipt"].clone();
    let resolved = json!({"amount": 0, "description": format!("Resolved transaction: {}", code.as_str().unwrap())});
    world.owner.post(&recharge, &resolved).await?;
    assert_eq!(world.wallet(&john).await?, json!(-1000));
    assert_eq!(world.expires(&jane).await?, "2026-03-31T09:00:00.000Z");

    let payment = recorded["id"].as_str().context("an id")?;
    let path = format!("/payments/manual/{payment}");
    for count in [1, 0] {
        let (_, voided) = world
            .owner
            .call(reqwest::Method::DELETE, &path, None)
            .await?;
        assert_eq!(voided["clearedCount"], count);
    }
    assert_eq!(world.wallet(&jane).await?, json!(-599.5));
    world.end().await
}
