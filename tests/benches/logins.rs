//! A morning on which a thousand people sign in at once, and somebody who is at work meanwhile.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_cloud::config::Limits;
use easyisp_shared::time::Clock;
use easyisp_tests::database::SOCKET_DIR;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, START, World};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::child::{EVERY_CORE, Server, on_core};
use crate::table::{Row, mebibytes, millis};

const AT_ONCE: usize = 1_000;
const CUSTOMERS: u32 = 1_000;
const QUIET: usize = 2_000;

/// Runs the product and its clients in a process of their own, with passwords hashed as they are shipped.
pub fn measure(folder: &Path) -> Result<[Row; 2]> {
    let folder = folder.join("logins");
    let (database, socket_dir) = Server::start_self("postgres", EVERY_CORE, &folder)?;
    // Both ends of every connection are this process's.
    let output = on_core(EVERY_CORE, "prlimit")
        .arg("--nofile=16384")
        .arg(std::env::current_exe()?)
        .args(["part", "logins"])
        .arg(&folder)
        .env(SOCKET_DIR, socket_dir)
        .stderr(Stdio::inherit())
        .output()?;
    database.stop()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the logins failed:\n{said}");
    print!("{said}");

    let line = said.lines().last().context("it says what it measured")?;
    let figures: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [quiet, rush, grown] = figures[..] else {
        anyhow::bail!("not three figures: {line}");
    };
    let (quiet, rush) = (Duration::from_micros(quiet), Duration::from_micros(rush));
    Ok([
        Row {
            beside: format!("{} when nobody does", millis(quiet)),
            ..Row::bound(
                "GET /api/customers p99 while 1,000 sign in",
                &millis(rush),
                "<= 50 ms",
                rush <= Duration::from_millis(50),
            )
        },
        Row::bound(
            "memory that 1,000 logins at once take, both ends",
            &mebibytes(grown),
            "<= 256 MiB",
            grown <= 256 * 1024,
        ),
    ])
}

/// The part that is the product with its clients. Its last line: p99 in microseconds when all is quiet and
/// during the rush, and by how many KiB the process grew.
pub fn part() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start_with(Clock::test(START), |config| {
            config.limits.password_millis = Limits::default().password_millis;
            config.limits.address_failures = config.limits.registrations;
        })
        .await?;
        let provider = Provider::sign_up(&world, "morning").await?;
        let until = world.clock.now().plus(Duration::from_secs(86_400));
        for number in 0..CUSTOMERS {
            let (name, phone) = (format!("user{number:04}"), format!("2547{number:08}"));
            provider.add_subscriber(&name, &phone, until).await?;
        }
        let quiet = work(&provider.owner, |done| done < QUIET).await?;

        let before = peak_kib()?;
        let mut rush = tokio::task::JoinSet::new();
        let (owner, email) = (provider.owner.clone(), provider.email());
        for number in 0..AT_ONCE {
            let owner = owner.clone();
            // Every second one is nobody: both cost the same.
            let email = match number % 2 {
                0 => email.clone(),
                _ => format!("nobody{number}@morning.example"),
            };
            rush.spawn(async move {
                let body = json!({"email": email, "password": PASSWORD});
                owner.call(Method::POST, "/auth/login", Some(&body)).await
            });
        }
        let (mut checked, mut put_off) = (0, 0);
        let counted = async {
            while let Some(answer) = rush.join_next().await {
                match answer??.0 {
                    StatusCode::OK | StatusCode::UNAUTHORIZED => checked += 1,
                    StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => put_off += 1,
                    other => anyhow::bail!("a login answered {other}"),
                }
            }
            anyhow::Ok(())
        };
        let begun = Instant::now();
        let mut counted = Box::pin(counted);
        let mut took = Vec::new();
        loop {
            let asked = Instant::now();
            tokio::select! {
                biased;
                over = &mut counted => { over?; break }
                page = page(&owner) => { page?; took.push(asked.elapsed()) }
            }
        }
        drop(counted);
        let lasted = begun.elapsed();
        ensure!(took.len() >= 20, "only {} pages were asked for meanwhile", took.len());
        took.sort_unstable();
        let grown = peak_kib()?.saturating_sub(before);
        println!(
            "  {AT_ONCE} logins in {:.1} s: {checked} checked, {put_off} told to come back; {} pages \
             meanwhile: p50 {}, p99 {}, longest {}",
            lasted.as_secs_f64(),
            took.len(),
            millis(at(&took, 0.5)),
            millis(at(&took, 0.99)),
            millis(at(&took, 1.0)),
        );
        println!(
            "{} {} {grown}",
            at(&quiet, 0.99).as_micros(),
            at(&took, 0.99).as_micros()
        );
        world.stop().await
    })
}

/// Asks for one page after the other; gives how long each took, the quickest first.
async fn work(owner: &Operator, goes_on: impl Fn(usize) -> bool) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    while goes_on(took.len()) {
        let asked = Instant::now();
        page(owner).await?;
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    Ok(took)
}

async fn page(owner: &Operator) -> Result<()> {
    owner.get("/customers?page=1&pageSize=20").await?;
    Ok(())
}

fn at(took: &[Duration], share: f64) -> Duration {
    took[((took.len() as f64 * share) as usize).min(took.len() - 1)]
}

/// The most memory that this process ever had.
fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let words = line.context("VmHWM")?.split_whitespace().nth(1);
    Ok(words.context("a figure")?.parse()?)
}
