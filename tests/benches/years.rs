//! A provider with years behind him: how long his pages, searches and reports take over 100,000 customers and 5,000,000
//! payments, with 2,000 people online, 20,000 invoices and three years of traffic.

mod load;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_tests::database::SOCKET_DIR;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{Provider, World};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use crate::child::{EVERY_CORE, Server, on_core};
use crate::table::{Row, millis};

const CLIENTS: usize = 4;
const REQUESTS: i64 = 400;
const GOAL: Duration = Duration::from_millis(50);
const PAGES: [(&str, &str); 27] = [
    ("customers, a page", "/customers?page={page}&pageSize=20"),
    (
        "customers by name and family",
        "/customers?search=name{a}%20fam{b}&pageSize=20",
    ),
    (
        "customers by phone",
        "/customers?search=07{phone}&pageSize=20",
    ),
    (
        "customers by the end of a phone",
        "/customers?search={end}&pageSize=20",
    ),
    (
        "customers of a router",
        "/customers?nasId={router}&page={page}&pageSize=20",
    ),
    (
        "customers of the package that all have",
        "/customers?packageId={package}&page={page}&pageSize=20",
    ),
    (
        "customers with service",
        "/customers?status=ACTIVE&page={page}&pageSize=20",
    ),
    (
        "customers whose time is over",
        "/customers?status=EXPIRED&page={page}&pageSize=20",
    ),
    (
        "customers of a router whose time is over",
        "/customers?nasId={router}&status=EXPIRED&pageSize=20",
    ),
    ("sessions, a page", "/sessions?page={page}&pageSize=20"),
    ("dashboard", "/dashboard/stats"),
    ("dashboard, the year", "/dashboard/revenue"),
    (
        "dashboard, the year's traffic",
        "/dashboard/network-usage?period=this_year",
    ),
    (
        "payments, a page",
        "/payments/mpesa?page={page}&pageSize=20",
    ),
    (
        "payments by receipt",
        "/payments/mpesa?search={receipt}&pageSize=20",
    ),
    (
        "payments by name and family",
        "/payments/mpesa?search=name{a}%20fam{b}&pageSize=20",
    ),
    (
        "invoices, a page",
        "/finance/invoices?page={page}&pageSize=20",
    ),
    (
        "invoices by number",
        "/finance/invoices?search={invoice}&pageSize=20",
    ),
    (
        "invoices by name and family",
        "/finance/invoices?search=name{a}%20fam{b}&pageSize=20",
    ),
    ("income, a page", "/finance/income?page={page}&pageSize=20"),
    (
        "income of a month",
        "/finance/income?pageSize=20&startDate=2026-03-01&endDate=2026-03-31",
    ),
    (
        "report by package, a year",
        "/reports/revenue?by=package&from=2026-01-01&to=2026-12-31",
    ),
    (
        "report by router, a month",
        "/reports/revenue?by=router&from=2026-03-01&to=2026-03-31",
    ),
    (
        "report by method and operator, a year",
        "/reports/revenue?by={method}&from=2026-01-01&to=2026-12-31",
    ),
    (
        "whose time ends within 30 days",
        "/reports/expiring?days=30",
    ),
    ("who came and left, 12 months", "/reports/churn?months=12"),
    ("who owes", "/reports/arrears?page={page}&pageSize=20"),
];

/// Runs the product in a process of its own, on a PostgreSQL that syncs every commit.
pub fn measure(folder: &Path, customers: i64, payments: i64) -> Result<Vec<Row>> {
    let folder = folder.join("years");
    let (database, socket_dir) = Server::start_self("postgres", EVERY_CORE, &folder)?;
    let output = on_core(EVERY_CORE, std::env::current_exe()?)
        .args(["part", "years"])
        .arg(&folder)
        .args([customers.to_string(), payments.to_string()])
        .env(SOCKET_DIR, socket_dir)
        .stderr(Stdio::inherit())
        .output()?;
    database.stop()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the years failed:\n{said}");
    print!("{said}");
    let line = said.lines().last().context("it says what it measured")?;
    let figures: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    ensure!(
        figures.len() == 2 * PAGES.len(),
        "not two figures each: {line}"
    );
    let rows = PAGES.iter().zip(figures.chunks(2));
    Ok(rows
        .map(|((what, _), took)| {
            let [p50, p99] = [took[0], took[1]].map(Duration::from_micros);
            Row {
                beside: format!("p99 {}", millis(p99)),
                ..Row::bound(
                    &format!("{what}: of {customers} and {payments} payments, 4 at once, p50"),
                    &millis(p50),
                    "<= 50 ms",
                    p50 <= GOAL,
                )
            }
        })
        .collect())
}

/// The part that is the product with its operators. Its last line, in microseconds: p50 and p99 of each page.
pub fn part(sizes: &[i64]) -> Result<()> {
    let &[customers, payments] = sizes else {
        anyhow::bail!("how many customers and payments?");
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start().await?;
        let provider = Provider::sign_up(&world, "years").await?;
        provider.subscribe(&world).await?;
        let mut routers: Vec<uuid::Uuid> = Vec::new();
        for n in 0..10 {
            let router =
                json!({"name": format!("Router {n}"), "ipAddress": format!("10.0.0.{}", n + 1)});
            let router = provider.owner.post("/nas", &router).await?;
            routers.push(router["id"].as_str().context("a router")?.parse()?);
        }
        let begun = Instant::now();
        load::years(&world, &provider, &routers, (customers, payments)).await?;
        println!("  loaded in {:.0} s", begun.elapsed().as_secs_f64());
        let mut said = Vec::new();
        for (what, path) in PAGES {
            let path = path
                .replace("{package}", &provider.package)
                .replace("{router}", &routers[0].to_string());
            let took = ask(&provider.owner, &path, (customers, payments)).await?;
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

/// Asks for a page again and again, each time about somebody else; how long each took, the shortest first.
async fn ask(
    owner: &Operator,
    path: &str,
    (customers, payments): (i64, i64),
) -> Result<Vec<Duration>> {
    let mut took: Vec<Duration> = stream::iter(0..REQUESTS)
        .map(|nth| {
            let n = nth * 2_654_435_761 % customers;
            let phone = format!("{:08}", n * 7 % 100_000_000);
            let path = path
                .replace("{page}", &(n % 50 + 1).to_string())
                .replace("{a}", &(n % 997).to_string())
                .replace("{b}", &format!("ily{}", n / 97 % 1009))
                .replace("{phone}", &phone)
                .replace("{end}", &phone[2..])
                .replace("{receipt}", &load::receipt(n * 131 % payments))
                .replace("{invoice}", &load::invoice(n % load::INVOICES))
                .replace("{method}", ["method", "operator"][usize::from(n % 2 == 0)]);
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
