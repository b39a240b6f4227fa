//! Questions about a router with 2,000 people online, asked as an operator asks them; and changes that waited for a
//! router which was away, from its first sign of life to the last row.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_tests::database::SOCKET_DIR;
use easyisp_tests::operator::http_client;
use easyisp_tests::world::{Provider, Site, World, eventually};

use crate::child::{EVERY_CORE, Server, on_core};
use crate::table::{Row, millis};

const ONLINE: usize = 2_000;
const TIMES: usize = 50;
const WAITING: usize = 500;
/// A question about now is answered within this time on the LAN.
const LIVE: Duration = Duration::from_millis(300);
const CONVERGED: Duration = Duration::from_secs(10);
const QUESTIONS: [&str; 10] = [
    "sessions",
    "sessions?type=hotspot",
    "hotspot-users",
    "system-stats",
    "interfaces",
    "queues",
    "logs",
    "dhcp-leases",
    "neighbours",
    "netwatch",
];

/// Measures in processes of its own.
pub fn measure(folder: &Path) -> Result<Vec<Row>> {
    let folder = folder.join("live");
    let (database, socket_dir) = Server::start_self("postgres", EVERY_CORE, &folder)?;
    let output = on_core(EVERY_CORE, std::env::current_exe()?)
        .args(["part", "live"])
        .arg(&folder)
        .env(SOCKET_DIR, socket_dir)
        .stderr(Stdio::inherit())
        .output()?;
    database.stop()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the questions failed:\n{said}");
    let line = said.lines().last().context("it says what it measured")?;
    let figures: Vec<Duration> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok().map(Duration::from_micros))
        .collect();
    let [changed, times @ ..] = &figures[..] else {
        anyhow::bail!("no figures: {line}");
    };
    ensure!(times.len() == 2 * QUESTIONS.len(), "not two figures each");
    let of_question = |(what, took): (&&str, &[Duration])| Row {
        beside: format!("p50 {}", millis(took[0])),
        ..Row::bound(
            &format!("{what} with 2,000 online, p99"),
            &millis(took[1]),
            "<= 300 ms",
            took[1] <= LIVE,
        )
    };
    let mut rows: Vec<Row> = QUESTIONS
        .iter()
        .zip(times.chunks(2))
        .map(of_question)
        .collect();
    rows.push(Row::bound(
        "500 changes from a router's first sign of life",
        &millis(*changed),
        "<= 10 s",
        *changed <= CONVERGED,
    ));
    Ok(rows)
}

/// The part that is the product, its operator and the router. Its last line, in microseconds: the changes, and p50 and
/// p99 of each question.
pub fn part() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start().await?;
        let isp = Provider::sign_up(&world, "live").await?;
        let site = Site::open_with_api(&world, &isp).await?;
        let until = world.clock.now().plus(Duration::from_secs(30 * 86_400));
        isp.add_subscriber("joyce", "254712345650", until).await?;
        site.knows("joyce", "at all", |_| true).await?;
        let changed = converge(&world, &isp, &site).await?;
        for number in 0..ONLINE {
            let mac = format!("02:00:00:00:{:02X}:{:02X}", number / 256, number % 256);
            site.router.dial_locally(&format!("user{number:05}"), &mac);
        }
        let mut said = vec![changed.as_micros().to_string()];
        for question in QUESTIONS {
            let path = format!("/mikrotik/{}/{question}", site.router_id);
            let mut took = Vec::new();
            for _ in 0..TIMES {
                let began = Instant::now();
                let told = isp.owner.get(&path).await?;
                took.push(began.elapsed());
                if question == "sessions" {
                    // And the one whose login was the router's sign of life.
                    let count = told.as_array().map(Vec::len);
                    ensure!(count == Some(ONLINE + 1), "{count:?} are shown");
                }
            }
            took.sort_unstable();
            let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
            said.extend([at(0.5), at(0.99)].map(|took| took.as_micros().to_string()));
        }
        println!("{}", said.join(" "));
        site.stop().await;
        world.stop().await
    })
}

/// The router is away, 500 lines are to be written there, and it comes back: how long until it has all of them.
async fn converge(world: &World, isp: &Provider, site: &Site) -> Result<Duration> {
    let router = &site.router;
    router.unplug(true);
    router.reboot();
    let mut file = "username,password,name,phone,type,package,expires,static ip\n".to_owned();
    for number in 0..WAITING {
        let (high, low) = (number / 250, number % 250 + 2);
        file.push_str(&format!(
            "line{number:03},line{number:03},Line {number},0712345601,static,Home 10,2027-12-01,10.30.{high}.{low}\n"
        ));
    }
    http_client()
        .post(format!("http://{}/api/customers/import", world.api()))
        .bearer_auth(isp.owner.token())
        .header("content-type", "text/csv")
        .body(file)
        .send()
        .await?
        .error_for_status()?;
    site.knows("line499", "at all", |_| true).await?;
    eventually("they wait for it", async || {
        world.clock.advance(Duration::from_secs(5));
        let found = isp.owner.get("/customers?search=line499").await?;
        let id = found["customers"][0]["id"].as_str().context("an id")?;
        let last = isp.owner.get(&format!("/customers/{id}")).await?;
        Ok((last["line"]["state"] == "WAITING").then_some(()))
    })
    .await?;
    router.unplug(false);
    let began = Instant::now();
    site.dial("joyce").await.online().started().await;
    eventually("all are written", async || {
        let kept = |menu| router.kept(menu).len();
        let all = kept("/queue/simple") == WAITING && kept("/ip/firewall/address-list") == WAITING;
        Ok(all.then_some(()))
    })
    .await?;
    Ok(began.elapsed())
}
