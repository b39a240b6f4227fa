//! Whoever may call the API may send anything: every route answers in its own words and none fails.

mod garbage;
mod routes;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use easyisp_cloud::config::Config;
use easyisp_cloud::{Cloud, DatabaseSource, Options};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use easyisp_tests::database::{FreshDatabase, fresh_database};
use easyisp_tests::operator::{Operator, http_client};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use self::garbage::Garbage;
use self::routes::{Route, Routes};

/// An owner calls every route of the description with everything but what belongs there: nothing is
/// answered with a failure of ours, and every refusal is the envelope.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_makes_the_cloud_fail() -> Result<()> {
    let target = Arc::new(given_target().await?);
    let seed: u64 = rand::random();
    println!("seed {seed}");

    let callers: Vec<_> = (0..CALLERS)
        .map(|number| tokio::spawn(call(target.clone(), seed + number, count() / CALLERS)))
        .collect();
    for caller in callers {
        caller.await??;
    }

    let answered = target
        .answered
        .each_ref()
        .map(|count| count.load(Ordering::Relaxed));
    println!("answered 2xx, 3xx, 4xx, 5xx (502 to 504 only): {answered:?}");
    let fresh = target.register().await?;
    assert!(fresh.get("/customers").await?["customers"].is_array() || answered[0] > 0);
    let target = Arc::into_inner(target).context("every caller has ended")?;
    target.cloud.stop().await
}

const CALLERS: u64 = 8;

fn count() -> u64 {
    match std::env::var_os("EASYISP_TEST_FULL") {
        Some(_) => 100_000,
        None => 4_000,
    }
}

/// A cloud, what it says it serves, and who calls it.
struct Target {
    cloud: Cloud,
    routes: Routes,
    registered: AtomicUsize,
    /// By hundreds of the status, from 2xx on.
    answered: [AtomicUsize; 4],
    /// Ids that exist, so that paths lead somewhere.
    ids: Mutex<Vec<String>>,
    _data: tempfile::TempDir,
    _database: FreshDatabase,
}

impl Target {
    async fn register(&self) -> Result<Operator> {
        let number = self.registered.fetch_add(1, Ordering::Relaxed);
        let email = format!("owner{number}@hostile.example");
        Operator::register(self.cloud.http_addr, "Hostile", &email, "a-long-password").await
    }
}

/// One caller: signs in anew whenever what it sent has signed it out.
async fn call(target: Arc<Target>, seed: u64, count: u64) -> Result<()> {
    let mut random = SmallRng::seed_from_u64(seed);
    let http = http_client();
    let mut owner = target.register().await?;
    for number in 0..count {
        let route = target.routes.any(&mut random).clone();
        let (path, body) = {
            let ids = target.ids.lock().expect("no code panics under this lock");
            let mut garbage = Garbage::new(&mut random, &target.routes, &ids);
            (garbage.path(&route), garbage.body(&route))
        };
        let url = format!("http://{}{path}", target.cloud.http_addr);
        let shown = format!("{} {path} of seed {seed}, request {number}", route.method);

        let mut request = http
            .request(route.method.clone(), url)
            .bearer_auth(owner.token());
        if let Some((kind, bytes)) = &body {
            request = request.header(CONTENT_TYPE, *kind).body(bytes.clone());
        }
        let answer = request.send().await.with_context(|| shown.clone())?;
        let status = answer.status();
        let bytes = answer.bytes().await.with_context(|| shown.clone())?;
        judge(&route, status, &bytes).with_context(|| {
            let body = body.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned());
            format!("{shown} with the body {body:?}")
        })?;

        let hundreds = usize::from(status.as_u16() / 100).saturating_sub(2).min(3);
        target.answered[hundreds].fetch_add(1, Ordering::Relaxed);
        if status.is_success() {
            target.remember(&bytes, &mut random);
        }
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN && number % 50 == 0
        {
            owner = target.register().await?;
        }
    }
    Ok(())
}

/// A failure of ours is 500. What could not be reached (an agent, a provider) may be told as such.
fn judge(route: &Route, status: StatusCode, body: &[u8]) -> Result<()> {
    let unreached = [
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    ensure!(
        !status.is_server_error() || unreached.contains(&status),
        "answered {status}: {}",
        String::from_utf8_lossy(body)
    );
    if status.as_u16() < 400 || route.method == Method::HEAD {
        return Ok(());
    }
    let envelope: Value = serde_json::from_slice(body).with_context(|| {
        format!(
            "{status} without envelope: {:?}",
            String::from_utf8_lossy(body)
        )
    })?;
    let sound = envelope["statusCode"] == status.as_u16()
        && envelope["message"].is_string()
        && envelope["error"] == envelope["message"]
        && envelope["code"].is_string();
    ensure!(sound, "{status} with a poor envelope: {envelope}");
    Ok(())
}

impl Target {
    fn remember(&self, answer: &[u8], random: &mut SmallRng) {
        let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
            return;
        };
        let Some(id) = answer["id"].as_str() else {
            return;
        };
        let mut ids = self.ids.lock().expect("no code panics under this lock");
        if ids.len() < 200 {
            ids.push(id.to_owned());
        } else {
            let place = random.random_range(0..ids.len());
            ids[place] = id.to_owned();
        }
    }
}

async fn given_target() -> Result<Target> {
    let database = fresh_database().await?;
    let data = tempfile::tempdir()?;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = Config {
        data_dir: data.path().to_owned(),
        ..Config::default()
    };
    config.http.listen = anywhere;
    config.agents.listen = anywhere;
    config.metrics.listen = anywhere;
    // What is tried here is not the limits.
    let limits = &mut config.limits;
    limits.password_millis = 0;
    for limit in [
        &mut limits.user_per_second,
        &mut limits.user_burst,
        &mut limits.tenant_per_second,
        &mut limits.address_per_second,
        &mut limits.address_burst,
        &mut limits.account_failures,
        &mut limits.address_failures,
        &mut limits.registrations,
    ] {
        *limit = NonZeroU32::new(1_000_000).context("a million is not zero")?;
    }
    let cloud = Cloud::start(Options {
        config,
        clock: Clock::system(),
        entropy: Entropy::system(),
        database: DatabaseSource::Given {
            app: Box::new(database.app()),
            owner: Box::new(database.owner()),
        },
    })
    .await?;
    let description = http_client()
        .get(format!("http://{}/api/openapi.json", cloud.http_addr))
        .send()
        .await?
        .text()
        .await?;
    let routes = Routes::read(&serde_json::from_str(&description)?);
    ensure!(
        routes.len() > 30,
        "the description has {} routes",
        routes.len()
    );
    Ok(Target {
        cloud,
        routes,
        registered: AtomicUsize::new(0),
        answered: Default::default(),
        ids: Mutex::default(),
        _data: data,
        _database: database,
    })
}
