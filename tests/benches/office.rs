//! An office with 100,000 customers: how they come in by files, and how long a page of them takes.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_tests::database::SOCKET_DIR;
use easyisp_tests::operator::{Operator, http_client};
use easyisp_tests::world::{Provider, World};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::child::{EVERY_CORE, Server, on_core};
use crate::table::{Row, millis};

/// As many as a file may have.
const ROWS: u32 = 20_000;
const FILES: u32 = 5;
const CLIENTS: usize = 4;
const REQUESTS: u32 = 400;
const PAGES: [(&str, &str); 4] = [
    ("list, page of 20", "/customers?page={page}&pageSize=20"),
    ("search by name", "/customers?search=user{n}&pageSize=20"),
    ("search by phone", "/customers?search=7{phone}&pageSize=20"),
    ("dashboard", "/dashboard/stats"),
];

/// Runs the product and its operators in a process of their own, on a PostgreSQL that syncs every commit.
pub fn measure(folder: &Path) -> Result<Vec<Row>> {
    let folder = folder.join("office");
    let (database, socket_dir) = Server::start_self("postgres", EVERY_CORE, &folder)?;
    let output = on_core(EVERY_CORE, std::env::current_exe()?)
        .args(["part", "office"])
        .arg(&folder)
        .env(SOCKET_DIR, socket_dir)
        .stderr(Stdio::inherit())
        .output()?;
    database.stop()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the office failed:\n{said}");
    print!("{said}");
    let line = said.lines().last().context("it says what it measured")?;
    let figures: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [import, pages @ ..] = &figures[..] else {
        anyhow::bail!("no figures: {line}");
    };
    ensure!(
        pages.len() == 2 * PAGES.len(),
        "not two figures each: {line}"
    );
    let import = Duration::from_micros(*import);
    let mut rows = vec![Row::bound(
        "import of 20,000 customers, the slowest of five files",
        &format!("{:.1} s", import.as_secs_f64()),
        "<= 60 s",
        import <= Duration::from_secs(60),
    )];
    for ((what, _), took) in PAGES.iter().zip(pages.chunks(2)) {
        let (p50, p99) = (
            Duration::from_micros(took[0]),
            Duration::from_micros(took[1]),
        );
        rows.push(Row {
            beside: format!("p50 {}", millis(p50)),
            ..Row::bound(
                &format!("{what} of 100,000, 4 at once, p99"),
                &millis(p99),
                "<= 50 ms",
                p99 <= Duration::from_millis(50),
            )
        });
    }
    Ok(rows)
}

/// The part that is the product with its operators. Its last line, in microseconds: the slowest file, and p50 and
/// p99 of each page.
pub fn part() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start().await?;
        let provider = Provider::sign_up(&world, "office").await?;
        provider.subscribe(&world).await?;
        let mut slowest = Duration::ZERO;
        for nth in 0..FILES {
            let begun = Instant::now();
            let told = take_in(&world, &provider.owner, nth * ROWS).await?;
            let took = begun.elapsed();
            println!(
                "  {ROWS} customers in {:.1} s, told {told} times how far",
                took.as_secs_f64()
            );
            ensure!(told >= 5, "it did not tell how far it was");
            slowest = slowest.max(took);
        }
        let mut said = vec![slowest.as_micros().to_string()];
        for (what, path) in PAGES {
            let took = ask(&provider.owner, path).await?;
            let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
            println!(
                "  {what}: p50 {}, p99 {}",
                millis(at(0.5)),
                millis(at(0.99))
            );
            said.extend([at(0.5), at(0.99)].map(|took| took.as_micros().to_string()));
        }
        println!("{}", said.join(" "));
        world.stop().await
    })
}

/// Sends a file and waits until all of it is taken in; how many different numbers its progress showed.
async fn take_in(world: &World, owner: &Operator, from: u32) -> Result<usize> {
    let mut file = String::from("username,password,name,phone,type,plan\n");
    for n in from..from + ROWS {
        file += &format!("user{n:06},word-{n},User {n},{},PPPOE,Home 10\n", phone(n));
    }
    let answer = http_client()
        .post(format!("http://{}/api/customers/import", world.api()))
        .bearer_auth(owner.token())
        .header("content-type", "text/csv")
        .body(file)
        .send()
        .await?;
    let answer: Value = answer.json().await?;
    let job = answer["jobId"]
        .as_str()
        .with_context(|| format!("a job: {answer}"))?;
    let mut shown = std::collections::BTreeSet::new();
    loop {
        let job = owner.get(&format!("/jobs/{job}")).await?;
        shown.insert(job["done"].as_i64());
        if job["finishedAt"] != Value::Null {
            ensure!(job["done"] == ROWS && job["failed"] == 0, "{job}");
            return Ok(shown.len());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn phone(n: u32) -> String {
    format!("07{:08}", 10_000_000 + n * 7)
}

/// Asks for a page again and again, each time about somebody else; how long each took, the shortest first.
async fn ask(owner: &Operator, path: &str) -> Result<Vec<Duration>> {
    let many = ROWS * FILES;
    let mut took: Vec<Duration> = stream::iter(0..REQUESTS)
        .map(|nth| {
            // All over the customers, and never twice.
            let n = nth.wrapping_mul(2_654_435_761) % many;
            let path = path
                .replace("{page}", &(n / 20 % 200 + 1).to_string())
                .replace("{n}", &format!("{n:06}"))
                .replace("7{phone}", &phone(n)[1..]);
            async move {
                let begun = Instant::now();
                owner.get(&path).await?;
                anyhow::Ok(begun.elapsed())
            }
        })
        .buffer_unordered(CLIENTS)
        .try_collect()
        .await?;
    took.sort_unstable();
    Ok(took)
}
