//! No secret is where it is not needed: every secret is a canary, and everything written is searched.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::fmt::Debug;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use easyisp_agent::doctor;
use easyisp_agent::sync::enroll;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Clock;
use easyisp_tests::mpesa::App;
use easyisp_tests::operator::{Operator, http_client};
use easyisp_tests::router::subscriber::{Dial, Method as Auth};
use easyisp_tests::scenario::Payer;
use easyisp_tests::world::{Provider, START, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;
use tracing_subscriber::fmt::MakeWriter;

/// Stands in every secret that a person may choose, and nowhere else.
const MARK: &str = "kanari7";
const OPERATOR: &str = "kanari7-operator-pass";
const SUBSCRIBER: &str = "kanari7-subscriber";
const ROUTER: &str = "kanari7-router-secret";
const API: &str = "kanari7-api-pass";
const SMS: &str = "kanari7-sms-key";
const OLD_SERVER: &str = "kanari7-old-server";
/// What the world's own site is installed with.
const SITE_ROUTER: &str = "a-long-shared-secret";

/// H8: secrets go through cloud, agent, router, payment and message provider, and errors are provoked all
/// along the way, with everything logged that any crate can log. Nothing logged, stored, measured, audited
/// or answered in an error holds one of them, as it is or as hex, base64 or a list of bytes.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_stored_measured_or_told_in_an_error() -> Result<()> {
    let logged = Logged::everything();
    let keys = TempDir::new()?;
    let sms = keys.path().join("sms.key");
    std::fs::write(&sms, SMS)?;
    let world = World::start_with(Clock::test(START), |config| {
        config.sms.api_key_file = Some(sms);
    })
    .await?;
    let master = std::fs::read_to_string(world.folder().join("cloud/keys/master.key"))?;
    logged.canaries.add("the master key", master.trim());
    logged.canaries.add("the site's router secret", SITE_ROUTER);

    let isp = Isp::sign_up(&world, &logged.canaries).await?;
    let mut site = isp.site(&world, &logged.canaries).await?;
    isp.pay(&world, &logged.canaries).await?;
    isp.log_in(&site).await?;
    isp.ways_in(&logged.canaries).await?;
    isp.provoke(&world).await?;
    let shown = told(&world, &site, &isp).await?;
    for (what, text) in &shown {
        logged.canaries.miss(what, text.as_bytes())?;
    }
    isp.search_tables(&world, &logged.canaries).await?;
    site.stop_agent().await;
    let searched = search_files(world.folder(), &logged.canaries)?;
    ensure!(searched > 5, "the files of cloud and agent, not {searched}");

    site.stop().await;
    world.stop().await?;
    logged.is_clean()
}

/// A provider whose every secret is a canary.
struct Isp {
    owner: Operator,
    tenant: TenantId,
    customer: String,
    package: String,
    router: String,
    gateway: String,
}

impl Isp {
    async fn sign_up(world: &World, canaries: &Canaries) -> Result<Isp> {
        let email = "owner@canary.example";
        let owner = Operator::register(world.api(), "canary", email, OPERATOR).await?;
        canaries.add("a bearer token", owner.token());
        let wrong = Operator::login(world.api(), email, "kanari7-wrong-pass").await;
        miss_error(canaries, "a failed sign-in", wrong.err())?;
        let other = Operator::login(world.api(), email, OPERATOR).await?;
        canaries.add("another bearer token", other.token());
        let change = json!({"oldPassword": OPERATOR, "newPassword": "kanari7-second-pass"});
        owner.put("/auth/password", &change).await?;

        let package = owner.add_package("Home 10", 10, 1000, 2).await?;
        let router = json!({"name": "Mast", "ipAddress": "10.0.0.7", "secret": ROUTER,
            "apiUsername": "api", "apiPassword": API});
        let router = id(&owner.post("/nas", &router).await?)?;
        let moving = json!({"mode": "SHADOW", "copyAccounting": true,
            "oldServer": {"address": "10.0.0.8", "secret": OLD_SERVER}});
        owner.put(&format!("/nas/{router}/moving"), &moving).await?;
        let app = App {
            key: "kanari7-key".to_owned(),
            secret: "kanari7-secret".to_owned(),
            passkey: "kanari7-passkey".to_owned(),
            initiator_password: "kanari7-initiator".to_owned(),
            ..App::paybill("600777")
        };
        world.outside.mpesa.add_app(app.clone());
        let gateway = json!({
            "type": "MPESA_API", "subType": "PAYBILL", "name": "Pay bill", "shortcode": app.shortcode,
            "consumerKey": app.key, "consumerSecret": app.secret, "passkey": app.passkey,
            "env": "sandbox", "isDefault": true, "forHotspot": true, "forPppoe": true,
            "initiatorName": app.initiator, "initiatorPassword": app.initiator_password,
        });
        let gateway = id(&owner.post("/payment-gateways", &gateway).await?)?;
        let customer = json!({"username": "wanjiku", "password": SUBSCRIBER, "name": "Wanjiku",
            "phone": "254712345678", "connectionType": "PPPOE", "packageId": package});
        let made = repeatable(world, &owner, "once", &customer).await?;
        ensure!(made["password"] == SUBSCRIBER, "shown to who made him");
        let again = repeatable(world, &owner, "once", &customer).await?;
        ensure!(again == made, "the stored answer is the answer");
        let me = owner.get("/auth/me").await?;
        Ok(Isp {
            tenant: TenantId(me["tenantId"].as_str().context("a tenant")?.parse()?),
            customer: id(&made)?,
            owner,
            package,
            router,
            gateway,
        })
    }

    /// What people and programs get in by: shown once, and never again.
    async fn ways_in(&self, canaries: &Canaries) -> Result<()> {
        let text = |value: &Value, field: &str| -> Result<String> {
            Ok(value[field].as_str().context("a secret")?.to_owned())
        };
        let person = json!({"name": "Amina", "email": "amina@canary.example",
            "password": "kanari7-amina-pass", "role": "STAFF"});
        let person = id(&self.owner.post("/tenant/operators", &person).await?)?;
        let reset = format!("/tenant/operators/{person}/reset-password");
        let reset = self.owner.post(&reset, &json!({})).await?;
        canaries.add("a temporary password", &text(&reset, "temporaryPassword")?);
        let key = json!({"name": "Books", "permissions": ["pppoe:view"],
            "password": "kanari7-second-pass"});
        let key = self.owner.post("/api-keys", &key).await?;
        canaries.add("an API key", &text(&key, "key")?);
        let factor = json!({"password": "kanari7-second-pass"});
        let factor = self.owner.post("/auth/second-factor", &factor).await?;
        canaries.add("a second factor", &text(&factor, "secret")?);
        let hook = json!({"url": "https://127.0.0.1:1024/hook", "events": ["customer.created"]});
        let hook = self.owner.post("/webhooks", &hook).await?;
        canaries.add("a webhook's secret", &text(&hook, "secret")?);
        let path = format!("/webhooks/{}", id(&hook)?);
        let rotate = format!("{path}/rotate-secret");
        let rotated = self.owner.post(&rotate, &json!({})).await?;
        canaries.add("its next secret", &text(&rotated, "secret")?);
        self.owner.post(&format!("{path}/test"), &json!({})).await?;
        Ok(())
    }

    /// A box that joined with a canary and serves a router.
    async fn site(&self, world: &World, canaries: &Canaries) -> Result<Site> {
        let token = self.owner.join_token().await?;
        canaries.add("a join token", &token);
        let folder = TempDir::new()?;
        let (once, twice) = (folder.path().join("once"), folder.path().join("twice"));
        let cloud = world.agents().to_string();
        enroll(&cloud, &token, &once, "0").await?;
        let used = enroll(&cloud, &token, &twice, "0").await;
        miss_error(canaries, "a used token", used.err())?;

        let provider = Provider::of(self.owner.clone(), &self.package);
        let site = Site::open(world, &provider).await?;
        site.knows("wanjiku", "at all", |_| true).await?;
        Ok(site)
    }

    /// A payment: its callbacks carry a secret in their path, and the message about it is refused.
    async fn pay(&self, world: &World, canaries: &Canaries) -> Result<()> {
        let phone = "254712345678";
        world.outside.mpesa.script(phone, Payer::prompt());
        let checkout = self.owner.ask_to_pay(&self.customer, 1000).await?;
        let paid = world.outside.mpesa.called_back(&checkout, 1).await;
        let secret = paid.callback_url.split('/').find(|part| part.len() == 64);
        canaries.add(
            "a callback's secret",
            secret.context("a secret in the path")?,
        );
        eventually("the message is refused", async || {
            let mut tx = world.db().begin(self.tenant).await?;
            let failed = "select count(*) from messages where state = 'FAILED'";
            let failed: i64 = sqlx::query_scalar(failed).fetch_one(&mut *tx).await?;
            Ok((failed > 0).then_some(()))
        })
        .await
    }

    async fn log_in(&self, site: &Site) -> Result<()> {
        for method in [Auth::Pap, Auth::Chap, Auth::MsChapV2] {
            let online = site
                .router
                .subscriber("wanjiku", SUBSCRIBER, method)
                .dial()
                .await
                .online();
            online.started().await;
            online.hang_up().await;
            for name in ["wanjiku", "nobody"] {
                let wrong = site
                    .router
                    .subscriber(name, "kanari7-mistyped", method)
                    .dial()
                    .await;
                ensure!(
                    matches!(wrong, Dial::Rejected(_)),
                    "{name} with a wrong password"
                );
            }
        }
        Ok(())
    }

    /// Everything that goes wrong with a secret in hand.
    async fn provoke(&self, world: &World) -> Result<()> {
        let customer = json!({"username": "another", "password": "kanari7-another", "name": "Another",
            "connectionType": "PPPOE"});
        let odd = json!({"username": "another", "password": {"is": MARK}, "connectionType": MARK});
        let gateway = json!({"consumerSecret": "kanari7-revoked"});
        self.fails(Method::POST, "/customers", &odd, 400).await?;
        self.fails(Method::POST, "/customers", &json!(["kanari7-list"]), 400)
            .await?;
        self.fails(
            Method::POST,
            "/nas",
            &json!({"secret": ["kanari7-list"]}),
            400,
        )
        .await?;
        let path = format!(
            "/hooks/stk/{}",
            hex::encode(format!("{MARK}-guessed-callback-secret-00"))
        );
        self.owner
            .call(Method::POST, &path, Some(&json!({"Body": 1})))
            .await?;

        let asked = json!({"receipt": "SJK4H7L2PQ"});
        self.owner.post("/payments/inquiries", &asked).await?;
        let path = format!("/payment-gateways/{}", self.gateway);
        self.owner.put(&path, &gateway).await?;
        let test = self.owner.post(&format!("{path}/test"), &json!({})).await?;
        ensure!(
            test["success"] == false && !test.to_string().contains(MARK),
            "{test}"
        );
        let push = json!({"customerId": self.customer, "amount": 10});
        let (status, answer) = self
            .owner
            .call(Method::POST, "/payments/mpesa/stk", Some(&push))
            .await?;
        ensure!(
            !status.is_success() && !answer.to_string().contains(MARK),
            "{status} {answer}"
        );

        let mut admin = PgConnection::connect_with(&world.database.owner()).await?;
        admin
            .execute("alter table customers rename to hidden")
            .await?;
        self.fails(Method::POST, "/customers", &customer, 500)
            .await?;
        admin
            .execute("alter table hidden rename to customers")
            .await?;

        self.mast_is_at(world, "nowhere").await?;
        let path = format!("/nas/{}", self.router);
        let panics = json!({"secret": "kanari7-next-secret"});
        self.fails(Method::PUT, &path, &panics, 500).await?;
        self.mast_is_at(world, "10.0.0.7").await
    }

    /// Writes an address that no handler would.
    async fn mast_is_at(&self, world: &World, address: &str) -> Result<()> {
        let mut tx = world.db().begin(self.tenant).await?;
        sqlx::query("update routers set ip_address = $1 where name = 'Mast'")
            .bind(address)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    async fn fails(&self, method: Method, path: &str, body: &Value, status: u16) -> Result<()> {
        let (answered, answer) = self.owner.call(method, path, Some(body)).await?;
        ensure!(
            answered.as_u16() == status,
            "{path} {body}: {answered} {answer}"
        );
        // What is no secret's field may be quoted back.
        let quoted = answer["details"].as_array().is_some_and(|details| {
            details
                .iter()
                .any(|detail| detail["field"] == "connectionType")
        });
        ensure!(
            quoted || !answer.to_string().contains(MARK),
            "{path}: {answer}"
        );
        Ok(())
    }

    /// Every row there is, as text: bytes are hex there.
    async fn search_tables(&self, world: &World, canaries: &Canaries) -> Result<()> {
        let mut tx = world.db().begin(self.tenant).await?;
        let tables: Vec<(String, String)> = sqlx::query_as(
            "select t.name,
                    query_to_xml('select r::text from ' || t.name || ' r', true, false, '')::text
               from (select format('%I.%I', n.nspname, c.relname) as name
                       from pg_class c
                       join pg_namespace n on n.oid = c.relnamespace
                      where n.nspname in ('public', 'directory') and c.relkind in ('r', 'p')
                        and not c.relispartition and c.relname <> '_sqlx_migrations') t",
        )
        .fetch_all(&mut *tx)
        .await?;
        ensure!(tables.len() > 30, "{} tables", tables.len());
        for (table, rows) in tables {
            let seen = table != "public.customers" || rows.contains("wanjiku");
            ensure!(seen, "the rows are not visible");
            canaries.miss(&table, rows.as_bytes())?;
        }
        Ok(())
    }
}

/// What cloud and agent say to who asks how they are.
async fn told(world: &World, site: &Site, isp: &Isp) -> Result<Vec<(String, String)>> {
    let cloud = format!("http://{}", world.api());
    let metrics = format!("http://{}/metrics", world.cloud().metrics_addr);
    let agent = format!("http://{}", site.agent().status());
    let mut told = Vec::new();
    for url in [
        metrics,
        format!("{cloud}/api/openapi.json"),
        format!("{cloud}/health/ready"),
        format!("{agent}/"),
        format!("{agent}/status.json"),
        format!("{agent}/why/wanjiku"),
    ] {
        let answer = http_client().get(&url).send().await?;
        ensure!(
            answer.status() == StatusCode::OK,
            "{url}: {}",
            answer.status()
        );
        told.push((url, answer.text().await?));
    }
    for path in [
        "/payment-gateways",
        "/nas",
        "/sites",
        "/customers",
        "/sessions",
    ] {
        told.push((path.to_owned(), isp.owner.get(path).await?.to_string()));
    }
    let findings = doctor::examine(site.config(), &world.clock).await;
    told.push(("doctor".to_owned(), format!("{findings:?}")));
    told.push((
        "the cloud's value".to_owned(),
        format!("{:?}", world.cloud()),
    ));
    Ok(told)
}

async fn repeatable(world: &World, owner: &Operator, key: &str, body: &Value) -> Result<Value> {
    let request = http_client()
        .post(format!("http://{}/api/customers", world.api()))
        .bearer_auth(owner.token())
        .header("idempotency-key", key)
        .json(body);
    Ok(request.send().await?.error_for_status()?.json().await?)
}

fn miss_error(canaries: &Canaries, what: &str, error: Option<impl Debug>) -> Result<()> {
    let error = error.with_context(|| format!("{what} is an error"))?;
    canaries.miss(what, format!("{error:?}").as_bytes())
}

/// Searches every file under `folder`; returns how many there were. The master key's own file is its place.
fn search_files(folder: &Path, canaries: &Canaries) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            count += search_files(&path, canaries)?;
        } else if path.is_file() && !path.ends_with("master.key") {
            canaries.miss(&path.display().to_string(), &std::fs::read(&path)?)?;
            count += 1;
        }
    }
    Ok(count)
}

/// What must not be found, in the forms in which it could be.
#[derive(Clone, Default)]
struct Canaries(Arc<Mutex<Vec<Canary>>>);

/// Its form in words, and its octets.
type Canary = (String, Vec<u8>);

impl Canaries {
    fn of_the_mark() -> Canaries {
        let canaries = Canaries::default();
        let base64 = |before: &str, from: usize| {
            let text = STANDARD.encode(format!("{before}{MARK}"));
            text[from..text.len() / 4 * 4 - 4].to_owned()
        };
        let numbers: Vec<String> = MARK.bytes().map(|byte| byte.to_string()).collect();
        for form in [
            MARK.to_owned(),
            hex::encode(MARK),
            hex::encode_upper(MARK),
            base64("", 0),
            base64("x", 2),
            base64("xx", 3),
            numbers.join(", "),
            numbers.join(","),
        ] {
            canaries.add("a chosen secret", &form);
        }
        canaries
    }

    fn add(&self, what: &str, text: &str) {
        let mut all = self.0.lock().unwrap();
        all.push((what.to_owned(), text.as_bytes().to_vec()));
    }

    fn find(&self, bytes: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(bytes);
        let all = self.0.lock().unwrap();
        let found = all
            .iter()
            .find(|(_, canary)| text.contains(std::str::from_utf8(canary).unwrap()));
        found.map(|(what, canary)| format!("{what} ({})", String::from_utf8_lossy(canary)))
    }

    fn miss(&self, place: &str, bytes: &[u8]) -> Result<()> {
        match self.find(bytes) {
            Some(found) => anyhow::bail!("{place} holds {found}"),
            None => Ok(()),
        }
    }
}

/// All that is logged in this process, searched as it is written.
#[derive(Clone)]
struct Logged {
    canaries: Canaries,
    lines: Arc<Mutex<(usize, Vec<String>)>>,
}

impl Logged {
    fn everything() -> Logged {
        let logged = Logged {
            canaries: Canaries::of_the_mark(),
            lines: Arc::default(),
        };
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(logged.clone())
            .init();
        logged
    }

    fn is_clean(&self) -> Result<()> {
        let (count, bad) = &*self.lines.lock().unwrap();
        println!("{count} lines");
        ensure!(*count > 1000, "only {count} lines were logged");
        ensure!(bad.is_empty(), "{} lines hold secrets: {bad:#?}", bad.len());
        Ok(())
    }
}

impl Write for Logged {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let found = self.canaries.find(line);
        let mut lines = self.lines.lock().unwrap();
        lines.0 += 1;
        if let Some(found) = found.filter(|_| lines.1.len() < 20) {
            lines
                .1
                .push(format!("{found}: {}", String::from_utf8_lossy(line)));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Logged;

    fn make_writer(&'a self) -> Logged {
        self.clone()
    }
}

fn id(thing: &Value) -> Result<String> {
    Ok(thing["id"].as_str().context("an id")?.to_owned())
}
