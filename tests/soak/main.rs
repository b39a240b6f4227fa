//! `soak [MINUTES]`: an agent in a process of its own, in a release build, with two thousand subscribers
//! online and time a hundred times as fast; says whether its memory, open files and disk stay flat.
//!
//! Runs beside `box` of the same build and wants a database (`with-database soak`).

mod town;
mod watch;

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::status::Report;
use easyisp_shared::time::Clock;
use easyisp_tests::operator::http_client;
use easyisp_tests::pace::Pace;
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use self::town::Town;
use self::watch::{Sample, Verdict};

/// Times as fast as the world: thirty minutes are two days.
const TIMES: u32 = 100;
const ONLINE: u64 = 2_000;
const CUSTOMERS: u64 = 10_000;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let minutes = match std::env::args().nth(1) {
        Some(minutes) => minutes.parse().context("usage: soak [MINUTES]")?,
        None => 30,
    };
    let verdict = soak(minutes).await?;
    print!("{verdict}");
    Ok(match verdict.passed() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn soak(minutes: u64) -> Result<Verdict> {
    let clock = Clock::test(Clock::system().now());
    let world = World::start_on(clock.clone()).await?;
    let isp = Provider::sign_up(&world, "soaked").await?;
    isp.subscribe(&world).await?;
    let mut site = Site::open(&world, &isp).await?;
    town::sign_up(&isp, CUSTOMERS, clock.now()).await?;
    site.caught_up().await?;
    let known = site.agent().overview().site.clone();
    eventually("the agent knows everybody", async || {
        Ok((known.subscriber_count() >= CUSTOMERS as usize).then_some(()))
    })
    .await?;
    drop(known);
    site.stop_agent().await;

    let pace = Pace::from_now(&clock, TIMES);
    let moving = tokio::spawn(pace.run(clock.clone()));
    let mut agent = start_box(&site, pace).await?;
    let process = agent.id().context("the box runs")?;
    let town = Town::come_online(&site, &clock, ONLINE).await?;
    println!(
        "{ONLINE} of {CUSTOMERS} customers online, {minutes} minutes at {TIMES} times the speed"
    );
    tokio::time::sleep(WARM_UP).await;
    let mut samples = Vec::new();
    for _ in 0..minutes * 60 {
        samples.push(Sample::take(process, &site.config().data_dir)?);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let passed = Duration::from_secs(minutes * 60) * TIMES;

    town.go_home().await?;
    let report = reported(&site).await?;
    agrees(&world, &isp, &site).await?;
    let ledger = site.router.ledger();
    let interims: u64 = ledger
        .accounts()
        .map(|account| u64::from(account.interims_acknowledged))
        .sum();
    println!(
        "{} sessions, {interims} interim updates, {:?}; the agent counted {:?}",
        ledger.accounts().count(),
        site.router.counters(),
        report.counters
    );
    drop(agent.stdin.take());
    soon("the box stops", agent.wait()).await??;
    moving.abort();
    site.stop().await;
    world.stop().await?;
    Ok(Verdict::on(&samples, passed))
}

/// The agent of this build's `box`.
async fn start_box(site: &Site, pace: Pace) -> Result<Child> {
    let program = std::env::current_exe()?.with_file_name("box");
    let mut child = Command::new(&program)
        .arg(site.write_config()?)
        .arg(pace.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    let stdout = child.stdout.take().context("standard output is piped")?;
    let line = soon(
        "the box is ready",
        BufReader::new(stdout).lines().next_line(),
    )
    .await??;
    ensure!(line.as_deref() == Some("ready"), "the box said {line:?}");
    Ok(child)
}

/// Waits until the cloud has taken everything.
async fn reported(site: &Site) -> Result<Report> {
    let http = http_client();
    let page = format!("http://{}/status.json", site.config().status.listen);
    eventually("the cloud has everything", async || {
        let answer = http.get(&page).send().await?.error_for_status()?;
        let report: Report = answer.json().await?;
        let done = report.waiting.values().all(|waiting| *waiting == 0);
        Ok(Some(report).filter(|_| done))
    })
    .await
}

/// V6 and V7: what the router was answered is in the cloud, to the byte.
async fn agrees(world: &World, isp: &Provider, site: &Site) -> Result<()> {
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let totals = sqlx::query_as(
        "select count(*), sum(bytes_in)::bigint, sum(bytes_out)::bigint
           from sessions
          where tenant_id = $1",
    )
    .bind(tx.tenant());
    let cloud: (i64, i64, i64) = totals.fetch_one(&mut *tx).await?;
    let ledger = site.router.ledger();
    let (mut count, mut up, mut down) = (0, 0, 0);
    for account in ledger.accounts() {
        count += 1;
        up += account.acknowledged.up;
        down += account.acknowledged.down;
    }
    let router = (i64::from(count), i64::try_from(up)?, i64::try_from(down)?);
    ensure!(
        cloud == router,
        "the cloud has {cloud:?}, the router {router:?}"
    );
    Ok(())
}

/// Everybody has logged in and reported a few times.
const WARM_UP: Duration = Duration::from_secs(60);
