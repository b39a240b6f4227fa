//! From the payer's PIN to internet: the provider's callback, the books, the feed, the agent's yes.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_tests::database::SOCKET_DIR;
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::{Provider, Site, World, eventually};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::child::{EVERY_CORE, Server, on_core};
use crate::table::{Row, millis};

/// What was measured, of whom, beside what.
pub const PAYMENTS: u32 = 1_000;
const CUSTOMERS: u32 = 10_000;
const BESIDE_A_SECOND: u32 = 20;

/// Runs the product in processes of its own, on a PostgreSQL that syncs every commit.
pub fn measure(folder: &Path) -> Result<[Row; 2]> {
    let folder = folder.join("payment");
    let (database, socket_dir) = Server::start_self("postgres", EVERY_CORE, &folder)?;
    let output = on_core(EVERY_CORE, std::env::current_exe()?)
        .args(["part", "payment"])
        .arg(&folder)
        .env(SOCKET_DIR, socket_dir)
        .stderr(Stdio::inherit())
        .output()?;
    database.stop()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the payments failed:\n{said}");
    print!("{said}");

    let line = said.lines().last().context("it says what it measured")?;
    let micros: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [p50, p95] = micros[..] else {
        anyhow::bail!("not two figures: {line}");
    };
    let row = |what: &str, micros: u64, bound: u64| {
        let took = Duration::from_micros(micros);
        let reached = took <= Duration::from_millis(bound);
        Row {
            beside: "peers poll every 30 s to 5 min".into(),
            ..Row::bound(what, &millis(took), &format!("<= {bound} ms"), reached)
        }
    };
    Ok([
        row("payment callback to the agent's yes, p50", p50, 30),
        row("payment callback to the agent's yes, p95", p95, 150),
    ])
}

/// The part that is the product with the world around it. Its last line: p50 and p95 in microseconds.
pub fn part() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start().await?;
        let provider = Provider::with_paybill(&world, "bench").await?;
        let held = Payer {
            callback: Callback::Held,
            confirmation: Callback::Never,
            ..Payer::prompt()
        };
        world.outside.mpesa.script_everybody(held);
        let site = Site::open(&world, &provider).await?;
        let customers = sign_up(&world, &provider).await?;
        let overview = site.agent().overview().clone();
        eventually("the agent knows everybody", async || {
            let known = overview.site.subscriber_count();
            Ok((known >= CUSTOMERS as usize).then_some(()))
        })
        .await?;

        let (payers, others) = customers.split_at(PAYMENTS as usize);
        let ended = Arc::new(AtomicBool::new(false));
        let beside = pay_beside(&world, &provider, others, ended.clone());
        let measured = async {
            let figures = pay(&world, &provider, &site, payers).await;
            ended.store(true, Ordering::Relaxed);
            figures
        };
        let (figures, beside) = futures_util::future::join(measured, beside).await;
        let (mut took, beside) = (figures?, beside?);

        took.sort_unstable();
        let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
        println!(
            "  {} payments beside {beside} others: p50 {}, p95 {}, p99 {}, longest {}",
            took.len(),
            millis(at(0.5)),
            millis(at(0.95)),
            millis(at(0.99)),
            millis(at(1.0)),
        );
        println!("{} {}", at(0.5).as_micros(), at(0.95).as_micros());
        site.stop().await;
        world.stop().await
    })
}

/// A customer: his name, and his id at the API.
pub type Customer = (String, String);

/// The first ones have run out, the others are paid.
async fn sign_up(world: &World, provider: &Provider) -> Result<Vec<Customer>> {
    let (now, day) = (world.clock.now(), Duration::from_secs(86_400));
    let begun = Instant::now();
    let customers = stream::iter(0..CUSTOMERS)
        .map(|number| async move {
            let name = format!("user{number:06}");
            let until = match number < PAYMENTS {
                true => now.minus(day),
                false => now.plus(20 * day),
            };
            let id = provider
                .add_subscriber(&name, &phone(number), until)
                .await?;
            anyhow::Ok((name, id))
        })
        .buffered(8)
        .try_collect()
        .await?;
    println!(
        "  {CUSTOMERS} customers signed up in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(customers)
}

fn phone(number: u32) -> String {
    format!("2547{:08}", 10_000_000 + number)
}

/// One after the other: from the callback's dispatch until the agent would let him in.
pub async fn pay(
    world: &World,
    provider: &Provider,
    site: &Site,
    payers: &[Customer],
) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for (number, (name, id)) in payers.iter().enumerate() {
        let checkout = ask(world, provider, id).await?;
        let (overview, clock) = (site.agent().overview().clone(), world.clock.clone());
        let watched = name.clone();
        let (mpesa, released) = (world.outside.mpesa.clone(), checkout.clone());
        let waiting = tokio::task::spawn_blocking(move || {
            let sent = Instant::now();
            mpesa.release(&released);
            while sent.elapsed() < Duration::from_secs(10) {
                let known = overview.site.subscriber(watched.as_bytes());
                if known.is_some_and(|known| clock.now() < known.entitlement.paid_until) {
                    return Some(sent.elapsed());
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            None
        });
        took.push(
            waiting
                .await?
                .with_context(|| format!("{name} paid in vain"))?,
        );
        if number % 100 == 0 {
            let dial = site.dial(name).await;
            let online = matches!(dial, Dial::Online(_));
            ensure!(online, "{name} paid and is not let in");
        }
    }
    Ok(took)
}

/// Puts a prompt on a customer's phone. A provider may send 60 a minute, so the world's clock, which
/// nothing measured here is read from, goes a second on.
async fn ask(world: &World, provider: &Provider, customer: &str) -> Result<String> {
    world.clock.advance(Duration::from_millis(1_100));
    provider.ask_to_pay(customer, 1000).await
}

/// Others pay meanwhile, so many a second; gives how many did.
async fn pay_beside(
    world: &World,
    provider: &Provider,
    others: &[Customer],
    ended: Arc<AtomicBool>,
) -> Result<u32> {
    let paid = AtomicU32::new(0);
    let mut tick = tokio::time::interval(Duration::from_secs(1) / BESIDE_A_SECOND);
    let beats = stream::poll_fn(|context| tick.poll_tick(context).map(Some));
    beats
        .zip(stream::iter(others.iter().cycle()))
        .take_while(|_| std::future::ready(!ended.load(Ordering::Relaxed)))
        .map(anyhow::Ok)
        .try_for_each_concurrent(8, |(_, (_, id))| {
            let paid = &paid;
            async move {
                let checkout = ask(world, provider, id).await?;
                world.outside.mpesa.release(&checkout);
                paid.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        })
        .await?;
    Ok(paid.into_inner())
}
