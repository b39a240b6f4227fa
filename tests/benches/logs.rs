//! What routers wrote in a month, 5,000,000 lines: how long an operator looks for something in them.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_cloud::logs::edge;
use easyisp_cloud::sites::agents::Agent;
use easyisp_cloud::sites::reports::Report;
use easyisp_shared::id::{AgentId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::logs::{LogsV1, WrittenV1, encode_lines};
use easyisp_tests::database::SOCKET_DIR;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{Provider, World};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::child::{EVERY_CORE, Server, on_core};
use crate::table::{Row, millis};

const ROUTERS: usize = 10;
const MONTH: Duration = Duration::from_secs(30 * 86_400);
/// Lines of one report: an agent tells as many when it was away for a while.
const TOLD: u64 = 500;
/// Names that lines speak of.
const NAMES: u64 = 2_000;
/// Of so many lines one says what no other does.
const RARE: u64 = 10_000;
/// To write all of it: a machine that takes longer says nothing about searches either.
const LOADED: Duration = Duration::from_secs(1_800);
const CLIENTS: usize = 4;
const REQUESTS: u64 = 400;
const GOAL: Duration = Duration::from_millis(50);
/// What is looked for; `{cursor}` is the end of a first page, which is not counted.
const SEARCHES: [(&str, &str); 7] = [
    ("the latest", "pageSize=100"),
    ("a customer's name", "q=user{name}"),
    ("a name and a word", "q=user{name}%20terminating"),
    ("what was said once", "q=fault-{rare}"),
    ("an hour of a router", "nasId={router}&from={from}&to={to}"),
    (
        "a word at a router in a day",
        "nasId={router}&from={day}&to={to}&q=authenticated",
    ),
    ("the next page of a word", "q=assigned&to={to}{cursor}"),
];

/// Runs the product in a process of its own, on a PostgreSQL that syncs every commit.
pub fn measure(folder: &Path, lines: i64) -> Result<Vec<Row>> {
    let folder = folder.join("logs");
    let (database, socket_dir) = Server::start_self("postgres", EVERY_CORE, &folder)?;
    let output = on_core(EVERY_CORE, std::env::current_exe()?)
        .args(["part", "logs"])
        .arg(&folder)
        .arg(lines.to_string())
        .env(SOCKET_DIR, socket_dir)
        .stderr(Stdio::inherit())
        .output()?;
    database.stop()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the logs failed:\n{said}");
    print!("{said}");
    let line = said.lines().last().context("it says what it measured")?;
    let figures: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    ensure!(
        figures.len() == 2 * SEARCHES.len(),
        "not two figures each: {line}"
    );
    let rows = SEARCHES.iter().zip(figures.chunks(2));
    Ok(rows
        .map(|((what, _), took)| {
            let [p50, p99] = [took[0], took[1]].map(Duration::from_micros);
            Row {
                beside: format!("p50 {}", millis(p50)),
                ..Row::bound(
                    &format!("{what}: in {lines} lines of routers, 4 at once, p99"),
                    &millis(p99),
                    "<= 50 ms",
                    p99 <= GOAL,
                )
            }
        })
        .collect())
}

/// The part that is the product with its operators. Its last line, in microseconds: p50 and p99 of each search.
pub fn part(sizes: &[i64]) -> Result<()> {
    let &[lines] = sizes else {
        anyhow::bail!("how many lines?");
    };
    let each = u64::try_from(lines)? / ROUTERS as u64;
    ensure!(each >= TOLD, "so few are no month");
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start().await?;
        let provider = Provider::sign_up(&world, "logs").await?;
        provider.subscribe(&world).await?;
        let kept = json!({"logRetentionDays": 90});
        provider.owner.put("/tenant/settings", &kept).await?;
        let mut routers = Vec::new();
        for n in 0..ROUTERS {
            let router =
                json!({"name": format!("Router {n}"), "ipAddress": format!("10.0.0.{}", n + 1)});
            let router = provider.owner.post("/nas", &router).await?;
            let id: Uuid = router["id"].as_str().context("a router")?.parse()?;
            routers.push(RouterId(id));
        }
        let begun = Instant::now();
        load(&world, &provider, &routers, each).await?;
        println!("  loaded in {:.0} s", begun.elapsed().as_secs_f64());
        let month = Month {
            routers,
            each,
            ends: world.clock.now(),
        };
        let mut said = Vec::new();
        for (what, search) in SEARCHES {
            let (took, found) = ask(&provider.owner, search, &month).await?;
            let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
            println!(
                "  {what}: p50 {}, p99 {}, {found} lines found in all",
                millis(at(0.5)),
                millis(at(0.99))
            );
            ensure!(found > 0, "nothing was found by {search}");
            said.extend([at(0.5), at(0.99)].map(|took| took.as_micros().to_string()));
        }
        println!("{}", said.join(" "));
        world.stop().await
    })
}

/// What was written.
struct Month {
    routers: Vec<RouterId>,
    /// Lines of each.
    each: u64,
    ends: Timestamp,
}

/// Writes it as an agent's reports are written, the routers beside each other.
async fn load(world: &World, provider: &Provider, routers: &[RouterId], each: u64) -> Result<()> {
    let tenant = provider.tenant().await?;
    let mut tx = world.db().begin(tenant).await?;
    let site: Uuid = sqlx::query_scalar("select site_id from routers limit 1")
        .fetch_one(&mut *tx)
        .await?;
    drop(tx);
    let agent = Agent {
        tenant,
        site: SiteId(site),
        id: AgentId(Uuid::from_u128(1)),
    };
    let (begun, ends) = (Instant::now(), world.clock.now());
    let writing = stream::iter(routers.iter().enumerate()).map(|(nth, router)| async move {
        let take = edge::lines();
        let mut first = 0;
        while first < each {
            let to = (first + TOLD).min(each);
            let these: Vec<WrittenV1> = (first..to)
                .map(|line| said((nth as u64, *router), line, each, ends))
                .collect();
            let told = Report {
                sequence: first,
                body: Up::Logs(deflated(&these)?),
            };
            let mut tx = world.db().begin(tenant).await?;
            let unusable = take(&mut tx, &agent, &[told], ends).await?;
            ensure!(unusable.is_empty(), "{unusable:?}");
            tx.commit().await?;
            ensure!(begun.elapsed() < LOADED, "loading takes too long");
            first = to;
        }
        println!(
            "  {each} lines of a router in {:.0} s",
            begun.elapsed().as_secs_f64()
        );
        anyhow::Ok(())
    });
    writing
        .buffer_unordered(CLIENTS)
        .try_collect::<Vec<()>>()
        .await?;
    let mut admin = PgConnection::connect_with(&world.database.anybody()).await?;
    let written: i64 = sqlx::query_scalar("select count(*) from router_logs where tenant_id = $1")
        .bind(tenant)
        .fetch_one(&mut admin)
        .await?;
    ensure!(
        u64::try_from(written)? == each * routers.len() as u64,
        "{written} lines were written"
    );
    admin.execute("vacuum analyze").await?;
    Ok(admin.close().await?)
}

fn deflated(lines: &[WrittenV1]) -> Result<LogsV1> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&encode_lines(lines))?;
    Ok(LogsV1 {
        deflated: encoder.finish()?,
    })
}

/// One line of a router, of so many in the month, as busy routers write them.
fn said((nth, router): (u64, RouterId), line: u64, each: u64, ends: Timestamp) -> WrittenV1 {
    let seen = line * ROUTERS as u64 + nth;
    let mixed = seen.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17;
    // What it says and of whom are drawn apart.
    let name = format!("user{:04}", mixed / 10 % NAMES);
    let (high, low) = (mixed / 7 % 200, mixed / 1_400 % 250 + 2);
    let address = format!("10.{}.{high}.{low}", 64 + nth);
    let mac = format!(
        "02:00:{:02X}:{high:02X}:{low:02X}:{:02X}",
        64 + nth,
        mixed % 251
    );
    let (severity, topics, message) = match mixed % 10 {
        _ if seen.is_multiple_of(RARE) => (
            4,
            "system,warning",
            format!("fault-{:06} at sensor {low}", seen / RARE),
        ),
        0 => (
            6,
            "pppoe,ppp,info",
            format!("<pppoe-{name}>: authenticated"),
        ),
        1 => (6, "pppoe,ppp,info", format!("<pppoe-{name}>: connected")),
        2 => (
            6,
            "pppoe,ppp,info",
            format!("<pppoe-{name}>: terminating... - peer is not responding"),
        ),
        3 | 4 => (
            6,
            "dhcp,info",
            format!("homes assigned {address} for {mac} device-{low}"),
        ),
        5 => (
            6,
            "hotspot,account,info",
            format!("{name} ({address}): trying to log in by mac-cookie"),
        ),
        6 => (
            3,
            "system,error,critical",
            format!("login failure for user admin from {address} via ssh"),
        ),
        7 => (
            6,
            "firewall,info",
            format!(
                "forward: in:ether1 out:bridge, proto TCP, {address}:{}->192.0.2.{low}:443, len 52",
                1024 + mixed % 60_000
            ),
        ),
        8 => (
            6,
            "interface,info",
            format!("ether{} link up (speed 1G, full duplex)", mixed % 8 + 1),
        ),
        _ => (
            4,
            "wireless,warning",
            format!(
                "{mac}@wlan1: disconnected, extensive data loss, signal -{}",
                low % 60 + 40
            ),
        ),
    };
    WrittenV1::Said {
        router,
        at: at(line, each, ends),
        severity,
        topics: topics.to_owned(),
        message,
    }
}

fn at(line: u64, each: u64, ends: Timestamp) -> Timestamp {
    let ago = MONTH.as_micros() as u64 / each * (each - line);
    ends.minus(Duration::from_micros(ago))
}

/// Asks again and again, each time for something else; how long each took, the shortest first, and how many lines
/// all of them found.
async fn ask(owner: &Operator, search: &str, month: &Month) -> Result<(Vec<Duration>, u64)> {
    let asked: Vec<(Duration, u64)> = stream::iter(0..REQUESTS)
        .map(|nth| {
            let n = nth.wrapping_mul(2_654_435_761);
            // Each some hours into the month, and never the same.
            let to = at(
                n % (month.each * 9 / 10) + month.each / 10,
                month.each,
                month.ends,
            );
            let hours = |hours: u64| to.minus(Duration::from_secs(hours * 3600)).to_string();
            let rare = n % (month.each * ROUTERS as u64 / RARE);
            let router = month.routers[n as usize % month.routers.len()];
            let search = search
                .replace("{name}", &format!("{:04}", n % NAMES))
                .replace("{rare}", &format!("{rare:06}"))
                .replace("{router}", &router.to_string())
                .replace("{from}", &hours(1))
                .replace("{day}", &hours(24))
                .replace("{to}", &to.to_string());
            async move {
                let path = match search.strip_suffix("{cursor}") {
                    None => format!("/logs?{search}"),
                    Some(first) => {
                        let page = owner.get(&format!("/logs?{first}")).await?;
                        let next = page["nextCursor"].as_str().context("a second page")?;
                        format!("/logs?{first}&cursor={next}")
                    }
                };
                let begun = Instant::now();
                let page: Value = owner.get(&path).await?;
                let took = begun.elapsed();
                let lines = page["logs"].as_array().context("lines")?.len();
                anyhow::Ok((took, lines as u64))
            }
        })
        .buffer_unordered(CLIENTS)
        .try_collect()
        .await?;
    let found = asked.iter().map(|(_, lines)| lines).sum::<u64>();
    let mut took: Vec<Duration> = asked.into_iter().map(|(took, _)| took).collect();
    took.sort_unstable();
    Ok((took, found))
}
