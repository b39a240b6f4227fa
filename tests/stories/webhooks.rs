//! A tenant's own program hears what happens, once, signed, and until it has heard it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Clock;
use easyisp_tests::hooks::{Received, Receiver, Reply};
use easyisp_tests::world::{PASSWORD, Provider, START, Site, World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::cloud::given_cloud;
use crate::vouchers::{held, make, phone};
use crate::words::{DAY, HOUR, MINUTE};

const HOOKS: &str = "/webhooks";
const SECOND: Duration = Duration::from_secs(1);

/// A provider whose own program listens.
struct Listening {
    world: World,
    isp: Provider,
    receiver: Receiver,
}

/// A webhook and what it is signed with.
struct Hook {
    path: String,
    secret: String,
}

impl Listening {
    async fn given(name: &str) -> Result<Listening> {
        let receiver = Receiver::start().await?;
        let world = World::start_with(Clock::test(START), |config| {
            config.webhooks.ca_file = Some(receiver.ca_file());
        })
        .await?;
        let isp = Provider::sign_up(&world, name).await?;
        Ok(Listening {
            world,
            isp,
            receiver,
        })
    }

    async fn hook(&self, events: &[&str]) -> Result<Hook> {
        let body = json!({"url": self.receiver.url(), "events": events, "description": "Books"});
        let made = self.isp.owner.post(HOOKS, &body).await?;
        Ok(Hook {
            path: format!("{HOOKS}/{}", text(&made, "id")?),
            secret: text(&made, "secret")?,
        })
    }

    /// Waits for the request after `seen` others.
    async fn next(&self, seen: usize) -> Result<Received> {
        let told = soon("the program is told", self.receiver.takes(seen + 1)).await;
        told.with_context(|| format!("so far: {:#?}", self.receiver.received()))
    }

    /// The log's only line, once it looks like that.
    async fn line(&self, hook: &Hook, what: &str, like: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(what, async || {
            let log = self
                .isp
                .owner
                .get(&format!("{}/deliveries", hook.path))
                .await?;
            ensure!(log["total"] == 1, "{log}");
            let line = &log["deliveries"][0];
            Ok(like(line).then(|| line.clone()))
        })
        .await
    }

    /// Waits until so many deliveries are over: what is under way when the clock leaps loses its lease.
    async fn delivered(&self, hook: &Hook, count: usize) -> Result<()> {
        let path = format!("{}/deliveries?state=DELIVERED", hook.path);
        eventually("all is delivered", async || {
            let log = self.isp.owner.get(&path).await?;
            Ok((log["total"] == count).then_some(()))
        })
        .await
    }

    async fn customer(&self, name: &str, after: Duration) -> Result<String> {
        let until = self.world.clock.now().plus(after);
        self.isp.add_subscriber(name, "254712345690", until).await
    }
}

/// Everything there is to tell arrives once, with its facts and a signature that others can check.
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_once_and_signed() -> Result<()> {
    let here = Listening::given("teller").await?;
    let hook = here
        .hook(&[
            "payment.received",
            "customer.created",
            "customer.expired",
            "customer.renewed",
            "voucher.used",
        ])
        .await?;
    let owner = &here.isp.owner;
    let until = here.world.clock.now().plus(HOUR);
    let customer = here.customer("imani", HOUR).await?;
    let pays = json!({"customerId": customer, "amount": 1000.5, "method": "CASH"});
    let paid = owner.post("/payments/manual", &pays).await?;
    let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    let hour = owner.post("/packages", &hour).await?;
    let batch = json!({"count": 1, "packageId": hour["id"]});
    let batch = owner.post("/vouchers", &batch).await?;
    let code = json!({"code": batch["vouchers"][0]["code"]});
    let redeemed = owner.post("/vouchers/redeem", &code).await?;
    let guest = text(&redeemed, "customerId")?;
    // created, paid, renewed; created, used, renewed
    here.next(5).await?;
    here.delivered(&hook, 6).await?;
    here.world.clock.advance(2 * HOUR);
    // The guest's hour is over; Imani has paid for a month.
    let last = here.next(6).await?;
    assert_eq!(last.json()?["event"], "customer.expired");

    let tenant = here.isp.tenant().await?.to_string();
    let mut told: BTreeMap<(String, String), Value> = BTreeMap::new();
    for received in here.receiver.received() {
        assert!(received.is_signed_with(&hook.secret), "{received:?}");
        assert!(!received.is_signed_with("whsec_other"));
        assert_eq!(received.path, "/hook");
        assert_eq!(received.header("content-type"), "application/json");
        let body = received.json()?;
        assert_eq!(body["event"], received.header("easyisp-event"));
        assert_eq!(body["tenantId"], tenant);
        assert!(!received.body.contains("254712345690"), "no phone");
        let key = (
            text(&body, "event")?,
            body["data"]["customerId"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
        let before = told.insert(key, body["data"].clone());
        assert!(before.is_none(), "told twice: {body}");
    }
    let of = |event: &str, customer: &str| {
        let key = (event.to_owned(), customer.to_owned());
        told.get(&key)
            .cloned()
            .with_context(|| format!("{event} of {customer}: {told:?}"))
    };
    assert_eq!(told.len(), 7, "{told:?}");
    let created = of("customer.created", &customer)?;
    assert_eq!(created["username"], "imani");
    assert_eq!(created["expiresAt"], until.to_string());
    let received = of("payment.received", &customer)?;
    assert_eq!(received["amount"], json!(1000.5));
    assert_eq!(received["paymentId"], paid["id"]);
    assert_eq!(received["source"], "PAYMENT");
    let renewed = of("customer.renewed", &customer)?;
    assert_eq!(renewed["paymentId"], paid["id"]);
    assert_eq!(renewed["price"], json!(1000));
    assert_eq!(renewed["startsAt"], until.to_string());
    assert_eq!(
        here.isp.customer(&customer).await?["expiresAt"],
        renewed["endsAt"]
    );
    let used = of("voucher.used", &guest)?;
    assert_eq!(used["voucherId"], redeemed["voucherId"]);
    assert_eq!(
        of("customer.renewed", &guest)?["voucherId"],
        used["voucherId"]
    );
    assert_eq!(of("customer.expired", &guest)?["expiredAt"], used["endsAt"]);

    // Looked at again and again, an end is told once.
    let recharge = json!({"amount": 5});
    for minute in 0..3 {
        here.delivered(&hook, 7 + minute).await?;
        here.world.clock.advance(2 * MINUTE);
        let path = format!("/customers/{customer}/recharge");
        owner.post(&path, &recharge).await?;
        let next = here.next(7 + minute).await?;
        assert_eq!(next.json()?["data"]["source"], "RECHARGE");
    }
    here.world.stop().await
}

/// A code that its site let in by itself is told of once the site tells the cloud.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_used_at_its_site_is_told_of() -> Result<()> {
    let here = Listening::given("kibanda").await?;
    let site = Site::open(&here.world, &here.isp).await?;
    let batch = make(&here.isp, 1).await?;
    held(&site, 1).await?;
    here.hook(&["voucher.used"]).await?;
    let code = &batch.codes[0];
    let shown = phone(&site, 1, &format!("V-{code}"), code);
    shown.dial().await.online();
    let told = here.next(0).await?;
    let used = told.json()?;
    assert_eq!(used["event"], "voucher.used");
    assert_eq!(used["data"]["voucherId"], batch.ids[0].as_str());
    assert_eq!(used["data"]["customerId"], batch.ids[0].as_str());
    assert!(!told.body.contains(code.as_str()), "the code is no fact");
    site.stop().await;
    here.world.stop().await
}

/// An address that fails hears of it again, later each time; replayed, it hears the same bytes.
#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_tried_again_and_replayed_as_it_was() -> Result<()> {
    let here = Listening::given("again").await?;
    let hook = here.hook(&["customer.created"]).await?;
    let elsewhere = format!("{}/elsewhere", here.receiver.url());
    here.receiver.answer([
        Reply {
            body: "no\u{7}t yet".to_owned(),
            ..Reply::of(500)
        },
        Reply {
            location: Some(elsewhere),
            ..Reply::of(302)
        },
    ]);
    here.customer("amina", DAY).await?;
    let first = here.next(0).await?;
    let line = here
        .line(&hook, "a first try", |line| line["lastStatus"] == 500)
        .await?;
    assert_eq!(line["state"], "PENDING");
    assert_eq!(line["lastResponse"], "not yet");
    assert_eq!(line["attempts"], 1);
    here.world.clock.advance(12 * SECOND);
    here.next(1).await?;
    let line = here
        .line(&hook, "a second try", |line| line["lastStatus"] == 302)
        .await?;
    assert!(text(&line, "lastError")?.contains("redirects are not followed"));
    assert_eq!(here.receiver.received().len(), 2, "no redirect is followed");
    here.world.clock.advance(70 * SECOND);
    let third = here.next(2).await?;
    let line = here
        .line(&hook, "success", |line| line["state"] == "DELIVERED")
        .await?;
    assert_eq!(line["attempts"], 3);
    assert_eq!(line["nextAttemptAt"], Value::Null);
    assert_eq!(line["payload"].to_string(), first.json()?.to_string());

    let delivery = text(&line, "id")?;
    here.world.clock.advance(HOUR);
    let replay = format!("{}/deliveries/{delivery}/replay", hook.path);
    here.isp.owner.post(&replay, &json!({})).await?;
    let again = here.next(3).await?;
    assert_eq!((&third.body, &again.body), (&first.body, &first.body));
    assert_eq!(again.header("easyisp-delivery"), delivery);
    assert!(again.is_signed_with(&hook.secret));
    assert_ne!(
        again.header("easyisp-signature"),
        first.header("easyisp-signature"),
        "signed at its own time"
    );
    here.line(&hook, "delivered again", |line| line["attempts"] == 4)
        .await?;
    let failed = format!("{}/deliveries?state=FAILED", hook.path);
    assert_eq!(here.isp.owner.get(&failed).await?["total"], 0);
    here.world.stop().await
}

/// For a day two secrets sign; none is in a row, and nobody else sees or touches anything of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_without_a_gap_and_nobody_elses() -> Result<()> {
    let here = Listening::given("rotate").await?;
    let hook = here.hook(&["customer.created"]).await?;
    let owner = &here.isp.owner;
    let rotated = owner
        .post(&format!("{}/rotate-secret", hook.path), &json!({}))
        .await?;
    let new = text(&rotated, "secret")?;
    here.customer("onyango", DAY).await?;
    let both = here.next(0).await?;
    assert!(both.is_signed_with(&new) && both.is_signed_with(&hook.secret));
    here.delivered(&hook, 1).await?;
    here.world.clock.advance(DAY);
    owner
        .post(&format!("{}/test", hook.path), &json!({}))
        .await?;
    let ping = here.next(1).await?;
    assert_eq!(ping.json()?["event"], "ping");
    assert!(ping.is_signed_with(&new) && !ping.is_signed_with(&hook.secret));

    let shown = owner.get(HOOKS).await?;
    assert_eq!(shown["total"], 1);
    let mut app = PgConnection::connect_with(&here.world.database.app()).await?;
    sqlx::query("select set_config('app.tenant', $1, false)")
        .bind(here.isp.tenant().await?.to_string())
        .execute(&mut app)
        .await?;
    let rows: Vec<String> = sqlx::query_scalar(
        "select w::text from webhooks w union all select d::text from webhook_deliveries d
          union all select a::text from audit a",
    )
    .fetch_all(&mut app)
    .await?;
    assert!(rows.len() >= 6, "{rows:?}");
    for secret in [&hook.secret, &new] {
        assert!(!shown.to_string().contains(secret.as_str()));
        assert!(rows.iter().all(|row| !row.contains(&secret[6..])));
    }

    let stranger = Provider::sign_up(&here.world, "stranger").await?.owner;
    assert_eq!(stranger.get(HOOKS).await?["total"], 0);
    for (method, path) in [
        (Method::GET, hook.path.clone()),
        (Method::PUT, hook.path.clone()),
        (Method::DELETE, hook.path.clone()),
        (Method::GET, format!("{}/deliveries", hook.path)),
        (Method::POST, format!("{}/test", hook.path)),
        (Method::POST, format!("{}/rotate-secret", hook.path)),
    ] {
        let body = (method != Method::GET).then(|| json!({}));
        let (status, _) = stranger.call(method, &path, body.as_ref()).await?;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    let key = json!({"name": "Books", "permissions": ["settings:general"], "password": PASSWORD});
    let key = owner.post("/api-keys", &key).await?;
    let program = owner.with_key(&text(&key, "key")?);
    let body = json!({"url": here.receiver.url(), "events": ["router.up"]});
    let refused = program.post(HOOKS, &body).await;
    assert!(refused.unwrap_err().to_string().contains("PERSON_ONLY"));
    assert_eq!(program.get(HOOKS).await?["total"], 1);
    here.world.stop().await
}

/// Deleted, switched off, gone by its own word or deaf for three days: nothing more is sent.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_off_hears_nothing_more() -> Result<()> {
    let here = Listening::given("off").await?;
    here.isp.subscribe(&here.world).await?;
    let owner = &here.isp.owner;
    let deleted = here.hook(&["customer.created"]).await?;
    here.receiver.answer([Reply::of(503)]);
    here.customer("onyango", DAY).await?;
    here.next(0).await?;
    here.line(&deleted, "a failed try", |line| line["lastStatus"] == 503)
        .await?;
    let shown = owner.get(&deleted.path).await?;
    assert!(shown["failingSince"].is_string(), "{shown}");
    let moved = json!({"url": format!("{}/elsewhere", here.receiver.url())});
    let shown = owner.put(&deleted.path, &moved).await?;
    assert_eq!(shown["failingSince"], Value::Null, "not this address");
    owner.call(Method::DELETE, &deleted.path, None).await?;
    let (gone, _) = owner.call(Method::GET, &deleted.path, None).await?;
    assert_eq!(gone, StatusCode::NOT_FOUND);

    let gone = here.hook(&["customer.created"]).await?;
    here.world.clock.advance(12 * SECOND);
    here.receiver.answer([Reply::of(410)]);
    here.customer("tumaini", DAY).await?;
    let second = here.next(1).await?;
    assert!(
        second.body.contains("\"tumaini\""),
        "nothing of Onyango: {second:?}"
    );
    let off = eventually("it is off", async || {
        let shown = owner.get(&gone.path).await?;
        Ok((shown["enabled"] == false).then_some(shown))
    })
    .await?;
    assert!(text(&off, "offReason")?.contains("410"));
    let logs = owner.get("/audit-logs?action=WEBHOOK_OFF").await?;
    assert_eq!(logs["total"], 1);
    here.customer("thuku", DAY).await?;
    let on = owner.put(&gone.path, &json!({"enabled": true})).await?;
    assert_eq!(on["offReason"], Value::Null);
    owner.call(Method::DELETE, &gone.path, None).await?;

    let deaf = here.hook(&["customer.created"]).await?;
    here.receiver.answer((0..11).map(|_| Reply::of(500)));
    here.customer("fatuma", 10 * DAY).await?;
    let rests = [10, 60, 300, 1800, 7200, 21_600, 43_200, 86_400, 86_400];
    for (tries, rest) in rests.into_iter().enumerate() {
        let heard = here.next(2 + tries).await?;
        assert!(heard.body.contains("\"fatuma\""));
        let tried = tries + 1;
        here.line(&deaf, "one try more", |line| {
            line["lastStatus"] == 500
                && line["attempts"] == tried
                && line["nextAttemptAt"].is_string()
        })
        .await?;
        here.world
            .clock
            .advance(Duration::from_secs(rest + rest / 10 + 1));
    }
    here.next(11).await?;
    let line = here
        .line(&deaf, "given up", |line| line["state"] == "FAILED")
        .await?;
    assert_eq!(line["attempts"], 10);
    let off = owner.get(&deaf.path).await?;
    assert_eq!(off["enabled"], false, "{off}");
    assert!(text(&off, "offReason")?.contains("three days"));
    let replay = format!("{}/deliveries/{}/replay", deaf.path, text(&line, "id")?);
    let (status, answer) = owner.call(Method::POST, &replay, None).await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("WEBHOOK_OFF"))
    );
    assert_eq!(here.receiver.received().len(), 12);
    here.world.stop().await
}

/// Refused when it is typed, and when it is called: the settings or a name may have changed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_inside_is_refused_when_typed_and_when_called() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("inside").await?;
    for url in [
        "https://127.0.0.1/hook",
        "https://2130706433/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost:8443/hook",
        "http://8.8.8.8/hook",
        "https://8.8.8.8:22/hook",
        "https://who:what@8.8.8.8/hook",
        &format!("https://8.8.8.8/{}", "é".repeat(700)),
    ] {
        let body = json!({"url": url, "events": ["router.up"]});
        let refused = owner.post("/api/webhooks", &body).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{url}");
        assert_eq!(refused.body["details"][0]["field"], "url");
    }
    for (field, body) in [
        (
            "events",
            json!({"url": "https://8.8.8.8/", "events": ["router.eaten"]}),
        ),
        ("events", json!({"url": "https://8.8.8.8/", "events": []})),
        ("url", json!({"events": ["router.up"]})),
    ] {
        let refused = owner.post("/api/webhooks", &body).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(refused.body["details"][0]["field"], field);
    }

    let receiver = Receiver::start().await?;
    let body = json!({"url": "https://8.8.8.8/hook", "events": ["router.up"]});
    let made = owner.post("/api/webhooks", &body).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let path = format!("/api/webhooks/{}", text(&made.body, "id")?);
    let tenant = owner.get("/api/tenant/me").await?;
    for url in [
        receiver.url(),
        receiver.url().replace("127.0.0.1", "localhost"),
    ] {
        let mut tx = ours
            .cloud
            .app
            .db
            .begin(text(&tenant.body, "id")?.parse()?)
            .await?;
        sqlx::query("update webhooks set url = $1")
            .bind(&url)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        let sent = owner.post(&format!("{path}/test"), &json!({})).await?;
        assert_eq!(sent.status, StatusCode::ACCEPTED);
        let line = eventually("the ping failed", async || {
            let log = owner.get(&format!("{path}/deliveries")).await?.body;
            let line = log["deliveries"].as_array().and_then(|lines| {
                let ping = lines
                    .iter()
                    .find(|line| line["id"] == sent.body["deliveryId"]);
                ping.filter(|line| line["state"] == "FAILED").cloned()
            });
            Ok(line)
        })
        .await?;
        assert!(
            text(&line, "lastError")?.contains("public address"),
            "{line}"
        );
        assert_eq!(line["lastStatus"], Value::Null);
    }
    assert_eq!(receiver.received(), Vec::new());

    let all = json!({"url": "https://8.8.8.8/hook", "events": ["router.up"]});
    for _ in 1..20 {
        let made = owner.post("/api/webhooks", &all).await?;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    }
    let refused = owner.post("/api/webhooks", &all).await?;
    assert_eq!(refused.code(), "TOO_MANY_WEBHOOKS");

    let shown = owner.get(&path).await?;
    let stale = owner
        .request(Method::PUT, &path)
        .header("If-Match", "\"77\"")
        .json(&json!({"description": "x"}));
    assert_eq!(
        owner.send(stale).await?.status,
        StatusCode::PRECONDITION_FAILED
    );
    let fresh = owner
        .request(Method::PUT, &path)
        .header("If-Match", &shown.headers["etag"])
        .json(&json!({"description": "Kitabu"}));
    assert_eq!(owner.send(fresh).await?.body["description"], "Kitabu");
    Ok(())
}

/// A router that falls silent is told of once, and once when it is heard of again.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_falls_silent_is_told_of() -> Result<()> {
    let here = Listening::given("mast").await?;
    let site = Site::open(&here.world, &here.isp).await?;
    here.customer("juma", DAY).await?;
    site.knows("juma", "at all", |_| true).await?;
    heard(&site).await?;
    let hook = here.hook(&["router.down", "router.up"]).await?;
    // The first look takes the router as it is.
    eventually("the router is known", async || {
        let mut tx = here.world.db().begin(here.isp.tenant().await?).await?;
        let known: i64 = sqlx::query_scalar("select count(*) from told_routers where not is_down")
            .fetch_one(&mut *tx)
            .await?;
        Ok((known == 1).then_some(()))
    })
    .await?;

    here.world.clock.advance(16 * MINUTE);
    let down = here.next(0).await?.json()?;
    assert_eq!(down["event"], "router.down");
    here.delivered(&hook, 1).await?;
    assert_eq!(down["data"]["routerId"], site.router_id.as_str());
    assert_eq!(down["data"]["name"], "Tower");
    heard(&site).await?;
    here.world.clock.advance(MINUTE);
    let up = here.next(1).await?.json()?;
    assert_eq!(up["event"], "router.up");
    assert_eq!(up["data"]["routerId"], site.router_id.as_str());
    site.stop().await;
    here.world.stop().await
}

/// Somebody logs in and out.
async fn heard(site: &Site) -> Result<()> {
    let online = site.dial("juma").await.online();
    online.started().await;
    online.hang_up().await;
    site.reported().await
}

fn text(value: &Value, field: &str) -> Result<String> {
    let text = value[field].as_str();
    Ok(text
        .with_context(|| format!("{field} in {value}"))?
        .to_owned())
}
