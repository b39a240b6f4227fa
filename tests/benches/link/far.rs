//! Two sites at the far end of a line: one whose customers pay, and one where nobody is.

use std::time::{Duration, Instant};

use anyhow::Result;
use easyisp_shared::wire::Lane;
use easyisp_tests::line::Line;
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::{Provider, Site, World, eventually};

use crate::payment;
use crate::table::millis;

const ONE_WAY: Duration = Duration::from_millis(150);
const LOST_PERCENT: usize = 2;
const PAYMENTS: u32 = 150;
/// Eight keep-alives.
const QUIET: Duration = Duration::from_secs(120);
const HEARTBEAT: Duration = Duration::from_secs(300);
const HEARTBEATS: u32 = 4;
const DAY: Duration = Duration::from_secs(86_400);
/// How often a day an agent asks for the cloud's time: every 20 minutes, and a question costs no more than a heartbeat.
const QUESTIONS_A_DAY: f64 = 72.0;

/// The part that is both sites with their clouds. Its last line: p50, p95 and p99 of the payments in microseconds, and the
/// octets of the idle site a day.
pub fn part() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let (took, octets) = tokio::try_join!(payments(), idle())?;
        let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(at);
        println!(
            "  {} payments, 300 ms there and back, {LOST_PERCENT} % lost: p50 {}, p95 {}, p99 {}, longest {}",
            took.len(),
            millis(p50),
            millis(p95),
            millis(p99),
            millis(at(1.0)),
        );
        let [p50, p95, p99] = [p50, p95, p99].map(|took| took.as_micros());
        println!("{p50} {p95} {p99} {octets}");
        Ok(())
    })
}

async fn payments() -> Result<Vec<Duration>> {
    let world = World::start().await?;
    let provider = Provider::with_paybill(&world, "far").await?;
    let held = Payer {
        callback: Callback::Held,
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    world.outside.mpesa.script_everybody(held);
    let line = Line::to(world.agents(), 300).await?;
    let site = Site::open_over(&line, &world, &provider).await?;
    let yesterday = world.clock.now().minus(DAY);
    let mut payers = Vec::new();
    for number in 0..PAYMENTS {
        let name = format!("user{number:06}");
        let phone = format!("2547{:08}", 10_000_000 + number);
        let id = provider.add_subscriber(&name, &phone, yesterday).await?;
        payers.push((name, id));
    }
    let overview = site.agent().overview().clone();
    eventually("the agent knows everybody", async || {
        let known = overview.site.subscriber_count();
        Ok((known >= PAYMENTS as usize).then_some(()))
    })
    .await?;
    line.delay(ONE_WAY);
    line.lose(LOST_PERCENT);
    let mut took = payment::pay(&world, &provider, &site, &payers).await?;
    took.sort_unstable();
    line.delay(Duration::ZERO);
    line.lose(0);
    site.stop().await;
    world.stop().await?;
    Ok(took)
}

/// Keep-alives go by the machine's time, heartbeats by the world's: each is let go by alone.
async fn idle() -> Result<u64> {
    let world = World::start().await?;
    let provider = Provider::sign_up(&world, "quiet").await?;
    provider.subscribe(&world).await?;
    let line = Line::to(world.agents(), 1).await?;
    let site = Site::open_over(&line, &world, &provider).await?;
    site.reported().await?;
    tokio::time::sleep(Duration::from_secs(10)).await;

    let before = line.octets();
    tokio::time::sleep(QUIET).await;
    let kept_alive = (line.octets() - before) as f64 / QUIET.as_secs_f64();

    let (begun, before) = (Instant::now(), line.octets());
    for _ in 0..HEARTBEATS {
        let mark = told(&world, &provider).await?;
        world.clock.advance(HEARTBEAT);
        eventually("a heartbeat", async || {
            Ok((told(&world, &provider).await? > mark).then_some(()))
        })
        .await?;
    }
    let meanwhile = kept_alive * begun.elapsed().as_secs_f64();
    let heartbeat = ((line.octets() - before) as f64 - meanwhile) / f64::from(HEARTBEATS);
    let heartbeats = DAY.as_secs_f64() / HEARTBEAT.as_secs_f64();
    let day = kept_alive * DAY.as_secs_f64() + heartbeat * (heartbeats + QUESTIONS_A_DAY);
    println!(
        "  an idle site: {kept_alive:.1} octets a second to keep the line open, {heartbeat:.0} a heartbeat, {:.2} MB a day",
        day / 1e6
    );
    site.stop().await;
    world.stop().await?;
    Ok(day as u64)
}

/// How many metrics and heartbeats the cloud has.
async fn told(world: &World, provider: &Provider) -> Result<i64> {
    let mut tx = world.db().begin(provider.tenant().await?).await?;
    let mark = "select coalesce(max(mark), 0) from uplink_marks where tenant_id = $1 and lane = $2";
    let mark = sqlx::query_scalar(mark)
        .bind(tx.tenant())
        .bind(i16::from(Lane::Metrics.code()))
        .fetch_one(&mut *tx)
        .await?;
    Ok(mark)
}
