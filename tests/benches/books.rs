//! Money per second: recharges and payments, each with its period and its place in the feed, beside what the same
//! PostgreSQL does of pgbench's TPC-B in the same run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_cloud::audit::{self, Action, Actor, Audit};
use easyisp_cloud::db::Database;
use easyisp_cloud::db::cluster::{Role, connect_options};
use easyisp_cloud::renewals::{Channel, Method, Receipt, receive};
use easyisp_shared::id::{CustomerId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::database::SOCKET_DIR;
use easyisp_tests::scenario::{Callback, Payer, Pin};
use easyisp_tests::world::{Provider, World, eventually, soon};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::oneshot;

use crate::child::{EVERY_CORE, Server, on_core};
use crate::radius::Effort;
use crate::table::Row;

/// Who asks at once, here and at pgbench.
const CLIENTS: usize = 8;
const CUSTOMERS: usize = 2_000;
const TENANTS: usize = 20;
const PAYMENTS: usize = 1_000;
/// About 150 MiB, as large as our own books.
const SCALE: &str = "10";
const WINDOW: Duration = Duration::from_secs(5);
const WINDOWS: usize = 3;

/// Runs pgbench, the product in a process of its own, and pgbench again, on a PostgreSQL that syncs every commit.
pub fn measure(folder: &Path, effort: Effort) -> Result<Vec<Row>> {
    let folder = folder.join("books");
    let (database, socket_dir) = Server::start_self("postgres", EVERY_CORE, &folder)?;
    let yardstick = Yardstick::prepare(&socket_dir)?;
    let mut rates = yardstick.rates(effort)?;
    let output = on_core(EVERY_CORE, std::env::current_exe()?)
        .args(["part", "books"])
        .arg(&folder)
        .env(SOCKET_DIR, &socket_dir)
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the books failed:\n{said}");
    print!("{said}");
    rates.extend(yardstick.rates(effort)?);
    database.stop()?;

    let line = said.lines().last().context("it says what it measured")?;
    let figures: Vec<f64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [one, many, asked, paid, begun, p50, p99] = figures[..] else {
        anyhow::bail!("not seven figures: {line}");
    };
    let tpcb = median(&mut rates);
    let beside = |what: &str, ours, goal| Row::ratio(what, ours, "TPC-B/s", Some(tpcb), goal);
    Ok(vec![
        beside("recharges/s, one tenant and site", one, Some(0.35)),
        beside("recharges/s, 20 tenants", many, Some(0.5)),
        beside("recharges/s over the API, one tenant", asked, None),
        beside("payments/s, callback to period and feed", paid, None),
        Row {
            ours: format!("{begun:.0}, p50 {p50:.0} ms, p99 {p99:.0} ms"),
            ..beside("payments/s, intent to period and feed", begun, None)
        },
    ])
}

/// pgbench on the server of our own books.
struct Yardstick {
    program: PathBuf,
    socket_dir: String,
}

impl Yardstick {
    fn prepare(socket_dir: &str) -> Result<Yardstick> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let admin = connect_options(Path::new(socket_dir), Role::Admin, "postgres");
            let mut admin = PgConnection::connect_with(&admin).await?;
            admin.execute("create database tpcb").await?;
            anyhow::Ok(admin.close().await?)
        })?;
        let mut programs: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")?
            .filter_map(|version| Some(version.ok()?.path().join("bin/pgbench")))
            .filter(|program| program.exists())
            .collect();
        programs.sort();
        let yardstick = Yardstick {
            program: programs
                .pop()
                .context("pgbench is missing: apt-get install postgresql")?,
            socket_dir: socket_dir.to_owned(),
        };
        yardstick.run(&["--initialize", "--quiet", "--scale", SCALE])?;
        Ok(yardstick)
    }

    /// Transactions a second, window by window.
    fn rates(&self, effort: Effort) -> Result<Vec<f64>> {
        let seconds = effort.window.as_secs().max(1).to_string();
        let clients = CLIENTS.to_string();
        let window = || {
            let said = self.run(&[
                "--client",
                &clients,
                "--jobs",
                "2",
                "--time",
                &seconds,
                "--protocol",
                "prepared",
                "--no-vacuum",
            ])?;
            let line = said.lines().find_map(|line| line.strip_prefix("tps = "));
            let rate = line.and_then(|line| line.split_whitespace().next());
            Ok(rate
                .with_context(|| format!("no rate in {said}"))?
                .parse()?)
        };
        (0..effort.rounds).map(|_| window()).collect()
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("taskset");
        let output = command
            .args(["--cpu-list", EVERY_CORE])
            .arg(&self.program)
            .args(["--host", &self.socket_dir, "--username", Role::Admin.name()])
            .args(arguments)
            .arg("tpcb")
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "pgbench: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(said)
    }
}

/// The part that is the product. Its last line: recharges a second of one tenant, of twenty, over the API; payments
/// a second from the PIN, and from the intent, and how many milliseconds of these half and 99 of a hundred took.
pub fn part() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start_on(Clock::test(easyisp_tests::world::START)).await?;
        let provider = Provider::with_paybill(&world, "bench").await?;
        provider.subscribe(&world).await?;
        let people = sign_up(&world, &provider, CUSTOMERS).await?;
        let tenant = provider.tenant().await?;
        let one: Vec<(TenantId, CustomerId)> = people.iter().map(|id| (tenant, *id)).collect();
        let mut many = Vec::new();
        for nth in 0..TENANTS {
            let other = Provider::sign_up(&world, &format!("bench{nth}")).await?;
            let tenant = other.tenant().await?;
            let people = sign_up(&world, &other, CUSTOMERS / TENANTS).await?;
            many.extend(people.into_iter().map(|id| (tenant, id)));
        }
        // One of each tenant after the other.
        many.sort_by_key(|(tenant, customer)| (customer.0.as_u128() & 0xffff, *tenant));
        settle(&world).await?;
        let one = recharges(world.db(), &one, world.clock.now()).await?;
        let many = recharges(world.db(), &many, world.clock.now()).await?;
        let asked = over_the_api(&provider, &people).await?;
        let (at_once, one_by_one) = people.split_at(PAYMENTS);
        let paid = payments(&world, &provider, tenant, at_once).await?;
        let (begun, took) = from_the_intent(&world, &provider, tenant, one_by_one).await?;
        let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
        let [p50, p99] = [0.5, 0.99].map(|share| at(share).as_secs_f64() * 1e3);
        let findings = world.book_findings().await?;
        ensure!(findings.is_empty(), "{findings:?}");
        println!("{one} {many} {asked} {paid} {begun} {p50} {p99}");
        world.stop().await
    })
}

/// What PostgreSQL does by itself within minutes, and pgbench once it has filled its tables.
async fn settle(world: &World) -> Result<()> {
    let admin = world.database.anybody();
    let mut admin = PgConnection::connect_with(&admin).await?;
    admin.execute("vacuum analyze").await?;
    Ok(admin.close().await?)
}

async fn sign_up(world: &World, provider: &Provider, many: usize) -> Result<Vec<CustomerId>> {
    let until = world.clock.now();
    stream::iter(0..many)
        .map(|nth| async move {
            let (name, phone) = (
                format!("user{nth:05}"),
                format!("2547{:08}", 10_000_000 + nth),
            );
            let id = provider.add_subscriber(&name, &phone, until).await?;
            anyhow::Ok(id.parse::<CustomerId>()?)
        })
        .buffered(CLIENTS)
        .try_collect()
        .await
}

/// Recharges a second as the product does one: money in, a period out, the site told, the trail written.
async fn recharges(
    db: &Database,
    people: &[(TenantId, CustomerId)],
    now: Timestamp,
) -> Result<f64> {
    let db = db.clone();
    let recharge = move |(tenant, customer): (TenantId, CustomerId)| {
        let db = db.clone();
        async move {
            let mut tx = db.begin(tenant).await?;
            let receipt = Receipt {
                customer,
                amount: Cents::whole(1_000),
                method: Method::Cash,
                till: Default::default(),
                channel: Channel::Recharge,
                receipt: None,
                proven: false,
                paid_at: now,
                intent: None,
                gateway: None,
                operator: None,
                phone: None,
                account: None,
                description: "Recharge".to_owned(),
            };
            let received = receive(&mut tx, receipt, now).await?;
            ensure!(received.period.is_some(), "it bought nothing");
            let line = Audit::new(
                Action::ManualRecharge,
                "customer",
                customer,
                &received.customer_name,
            );
            audit::record(&mut tx, &Actor::system(), line, now).await?;
            Ok(tx.commit().await?)
        }
    };
    rate(people, recharge).await
}

async fn over_the_api(provider: &Provider, people: &[CustomerId]) -> Result<f64> {
    let owner = provider.owner.clone();
    let recharge = move |customer: CustomerId| {
        let owner = owner.clone();
        async move {
            let path = format!("/customers/{customer}/recharge");
            owner.post(&path, &json!({"amount": 1000})).await?;
            Ok(())
        }
    };
    rate(people, recharge).await
}

/// How often a second this is done to one after the other, by as many at once as pgbench has clients: the median of
/// some windows.
async fn rate<T, F>(all: &[T], deed: impl Fn(T) -> F + Clone + Send + 'static) -> Result<f64>
where
    T: Copy + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let all: Arc<[T]> = all.into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut rates = Vec::new();
    // The first one warms up.
    for window in 0..=WINDOWS {
        let begun = Instant::now();
        let length = if window == 0 { WINDOW / 4 } else { WINDOW };
        let mut working = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let (all, next, deed) = (all.clone(), next.clone(), deed.clone());
            working.spawn(async move {
                let mut done = 0_u32;
                while begun.elapsed() < length {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    deed(all[nth % all.len()]).await?;
                    done += 1;
                }
                anyhow::Ok(done)
            });
        }
        let mut done = 0;
        while let Some(one) = working.join_next().await {
            done += one??;
        }
        if window > 0 {
            rates.push(f64::from(done) / begun.elapsed().as_secs_f64());
        }
    }
    Ok(median(&mut rates))
}

/// Prompts are open on a thousand phones; then all of them are paid at once. Until the last one has his
/// period and his site its row.
async fn payments(
    world: &World,
    provider: &Provider,
    tenant: TenantId,
    people: &[CustomerId],
) -> Result<f64> {
    let held = Payer {
        pin: Pin::Held,
        confirmation: Callback::Never,
        ..Payer::default()
    };
    world.outside.mpesa.script_everybody(held);
    let mut checkouts = Vec::new();
    for customer in people {
        // A provider may send 60 prompts a minute.
        world.clock.advance(Duration::from_millis(1_100));
        checkouts.push(provider.ask_to_pay(&customer.to_string(), 1_000).await?);
    }
    let credited = async || -> Result<i64> {
        let mut tx = world.db().begin(tenant).await?;
        let count = "select count(*) from payments p
                       join periods b on b.tenant_id = p.tenant_id and b.customer_id = p.customer_id
                                     and b.created_at = p.created_at
                       join feed f on f.tenant_id = p.tenant_id and f.id = p.customer_id
                      where p.method = 'MPESA'";
        Ok(sqlx::query_scalar(count).fetch_one(&mut *tx).await?)
    };
    ensure!(credited().await? == 0, "nobody has paid yet");
    let begun = Instant::now();
    for checkout in &checkouts {
        world.outside.mpesa.type_pin(checkout);
    }
    eventually("all are credited", async || {
        Ok((credited().await? >= i64::try_from(PAYMENTS)?).then_some(()))
    })
    .await?;
    Ok(PAYMENTS as f64 / begun.elapsed().as_secs_f64())
}

/// From the question for a prompt until he has his period and his site its row, as many at once as pgbench has clients:
/// how many a second, and how long each took, the quickest first. The PIN is typed as soon as the prompt is there.
async fn from_the_intent(
    world: &World,
    provider: &Provider,
    tenant: TenantId,
    people: &[CustomerId],
) -> Result<(f64, Vec<Duration>)> {
    let prompt = Payer {
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    world.outside.mpesa.script_everybody(prompt);
    let waiting: Mutex<HashMap<CustomerId, oneshot::Sender<()>>> = Mutex::default();
    let begun = Instant::now();
    let paying = stream::iter(people)
        .map(async |customer| {
            // A provider may send 60 prompts a minute; some of these are sent at one moment of the clock.
            world.clock.advance(Duration::from_secs(2));
            let (credited, told) = oneshot::channel();
            let begun = Instant::now();
            lock(&waiting).insert(*customer, credited);
            provider.ask_to_pay(&customer.to_string(), 1_000).await?;
            soon("he is credited", told).await??;
            anyhow::Ok(begun.elapsed())
        })
        .buffer_unordered(CLIENTS)
        .try_collect::<Vec<Duration>>();
    let mut took = tokio::select! {
        took = paying => took?,
        failed = tell_credited(world, tenant, &waiting) => return Err(failed.err().context("it ends")?),
    };
    let rate = took.len() as f64 / begun.elapsed().as_secs_f64();
    took.sort_unstable();
    Ok((rate, took))
}

/// Looks again and again who of those who wait has been credited, and tells him.
async fn tell_credited(
    world: &World,
    tenant: TenantId,
    waiting: &Mutex<HashMap<CustomerId, oneshot::Sender<()>>>,
) -> Result<()> {
    loop {
        let ids: Vec<CustomerId> = lock(waiting).keys().copied().collect();
        let mut tx = world.db().begin(tenant).await?;
        let credited: Vec<CustomerId> = sqlx::query_scalar(
            "select p.customer_id from payments p
               join periods b on b.tenant_id = p.tenant_id and b.customer_id = p.customer_id
                             and b.created_at = p.created_at
               join feed f on f.tenant_id = p.tenant_id and f.id = p.customer_id
              where p.tenant_id = $1 and p.customer_id = any($2) and p.method = 'MPESA'",
        )
        .bind(tenant)
        .bind(ids)
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await?;
        for customer in credited {
            if let Some(waits) = lock(waiting).remove(&customer) {
                let _gone = waits.send(());
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Small beside what a payment takes.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics under it")
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
