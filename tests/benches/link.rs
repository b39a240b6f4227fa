//! The link between sites and a node: how many session updates it takes, what an idle link costs in memory and in octets,
//! and how fast a payment is internet at the far end of a long and lossy line.

mod cloud;
mod crowd;
mod far;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::sync::{Identity, enroll};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::database::SOCKET_DIR;
use futures_util::{StreamExt, TryStreamExt, stream};

use self::cloud::Stage;
use self::crowd::{Crowd, Member};
use crate::child::{self, EVERY_CORE, Server, on_core};
use crate::table::{Row, millis};

pub use self::cloud::part as cloud_part;
pub use self::far::part as far_part;

/// How many sites report at once, each from one agent, and how many are online at each.
const SITES: usize = 200;
const ONLINE: u32 = 500;
/// How many agents are connected to one node.
const LINKS: usize = 2_000;
/// Handshakes at once: a door turns away a twenty-first of one address.
const HANDSHAKES: usize = 8;
/// A node lets 100 in a second.
const BETWEEN: Duration = Duration::from_millis(12);
/// What a link needs after it is up is freed by then.
const SETTLED: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(20);

/// Runs the agents, the node and the far site in processes of their own, on a PostgreSQL that syncs every commit.
pub fn measure(folder: &Path) -> Result<Vec<Row>> {
    let near = run(folder, "link", 2)?;
    let far = run(folder, "link-far", 4)?;
    let [updates, octets_of_memory] = near[..] else {
        anyhow::bail!("not two figures");
    };
    let [p50, p95, p99, a_day] = far[..] else {
        anyhow::bail!("not four figures");
    };
    let [p50, p95, p99] = [p50, p95, p99].map(Duration::from_micros);
    let kib = octets_of_memory as f64 / 1024.0;
    Ok(vec![
        Row::bound(
            &format!("session updates/s taken by a node, {SITES} agents with {ONLINE} online each"),
            &updates.to_string(),
            ">= 30000",
            updates >= 30_000,
        ),
        Row::bound(
            &format!("memory of an idle link at a node with {LINKS}"),
            &format!("{kib:.1} KiB"),
            "<= 60 KiB",
            kib <= 60.0,
        ),
        Row {
            beside: format!("p50 {}, p99 {}", millis(p50), millis(p99)),
            ..Row::bound(
                "payment callback to the agent's yes, 300 ms round trip, 2 % lost, p95",
                &millis(p95),
                "<= 1000 ms",
                p95 <= Duration::from_secs(1),
            )
        },
        Row::bound(
            "octets of an idle site a day, IP headers and keep-alives included",
            &format!("{:.2} MB", a_day as f64 / 1e6),
            "<= 1 MB",
            a_day <= 1_000_000,
        ),
    ])
}

/// Runs a part and gives the numbers in its last line.
fn run(folder: &Path, part: &str, figures: usize) -> Result<Vec<u64>> {
    let folder = folder.join(part);
    let (database, socket_dir) = Server::start_self("postgres", EVERY_CORE, &folder)?;
    // Every agent has a socket of its own.
    let output = on_core(EVERY_CORE, "prlimit")
        .arg("--nofile=16384")
        .arg(std::env::current_exe()?)
        .args(["part", part])
        .arg(&folder)
        .env(SOCKET_DIR, socket_dir)
        .stderr(Stdio::inherit())
        .output()?;
    database.stop()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the {part} failed:\n{said}");
    print!("{said}");
    let line = said.lines().last().context("it says what it measured")?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    ensure!(numbers.len() == figures, "not {figures} figures: {line}");
    Ok(numbers)
}

/// The part that is the agents; the node is a process of its own. Its last line: updates a second, and octets of memory
/// of an idle link.
pub fn part(folder: &Path) -> Result<()> {
    let begun = Instant::now();
    let (cloud, _ready) = Server::start_self("link-cloud", EVERY_CORE, folder)?;
    let stage = Stage::read(folder)?;
    println!(
        "  {} sites with {ONLINE} customers each in {:.0} s",
        stage.sites.len(),
        begun.elapsed().as_secs_f64()
    );
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut identities = enrol(&stage, folder).await?;
        let others = identities.split_off(SITES);
        let mut reporting = connect(&stage, identities).await?;
        tokio::time::sleep(SETTLED).await;
        let few = cloud.memory_with_children()?;
        let idle = connect(&stage, others).await?;
        tokio::time::sleep(SETTLED).await;
        let many = cloud.memory_with_children()?;
        let each = many.saturating_sub(few) * 1024 / idle.len() as u64;
        println!(
            "  a node with {} links has {few} KiB, with {LINKS} {many} KiB",
            reporting.len()
        );
        for member in idle {
            member.stop().await;
        }
        let updates = report(&cloud, &mut reporting).await?;
        for member in reporting {
            member.stop().await;
        }
        println!("{updates} {each}");
        anyhow::Ok(())
    })?;
    cloud.stop()
}

/// An agent, and at which of the sites.
type Enrolled = (Identity, usize);

/// Enrols all agents; they take turns at the sites.
async fn enrol(stage: &Stage, folder: &Path) -> Result<Vec<Enrolled>> {
    let begun = Instant::now();
    let identities = stream::iter(0..LINKS)
        .map(|nth| async move {
            let at = nth % stage.sites.len();
            let token = &stage.sites[at].tokens[nth / stage.sites.len()];
            let folder = folder.join(format!("agent{nth}"));
            anyhow::Ok((enroll(&stage.agents, token, &folder, "bench").await?, at))
        })
        .buffered(HANDSHAKES)
        .try_collect()
        .await?;
    println!(
        "  {LINKS} agents enrolled in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(identities)
}

/// Connects agents and waits until all have all that the cloud had for them.
async fn connect(stage: &Stage, identities: Vec<Enrolled>) -> Result<Vec<Member>> {
    let begun = Instant::now();
    let clock = Clock::system();
    let mut tick = tokio::time::interval(BETWEEN);
    let beats = stream::poll_fn(|context| tick.poll_tick(context).map(Some));
    let members: Vec<Member> = beats
        .zip(stream::iter(identities))
        .map(|(_, (identity, at))| {
            let crowd = Crowd::at(&stage.sites[at], clock.now().minus(BACK));
            let member = Member::link(&stage.agents, identity, crowd, clock.clone());
            async move {
                member.caught_up().await?;
                anyhow::Ok(member)
            }
        })
        .buffer_unordered(HANDSHAKES)
        .try_collect()
        .await?;
    println!(
        "  {} agents connected in {:.0} s",
        members.len(),
        begun.elapsed().as_secs_f64()
    );
    Ok(members)
}

/// When the sessions began: their updates are five minutes apart, and none is told before it was.
const BACK: Duration = Duration::from_secs(12 * 3600);

/// How many updates a second the node takes: all agents send whatever it takes of them, as after a night without a line.
/// The first of each session, which writes it, is not counted.
async fn report(cloud: &Server, members: &mut [Member]) -> Result<u64> {
    let begun = Instant::now();
    for member in members.iter() {
        member.crowd.begin();
    }
    for member in members.iter() {
        member.crowd.has_told(u64::from(ONLINE)).await?;
    }
    let sessions = members.len() as f64 * f64::from(ONLINE);
    println!(
        "  {sessions} sessions begun, {:.0}/s",
        sessions / begun.elapsed().as_secs_f64()
    );
    let told = |members: &[Member]| -> u64 {
        members
            .iter()
            .map(|member| member.crowd.acknowledged())
            .sum()
    };
    let ours = || -> Result<Duration> {
        let (user, system) = child::cpu()?;
        Ok(user + system)
    };
    let (before, of_agents, of_cloud) = (told(members), ours()?, cloud.cpu()?);
    let begun = Instant::now();
    tokio::time::sleep(WINDOW).await;
    let (took, taken) = (begun.elapsed(), told(members) - before);
    let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / took.as_secs_f64();
    println!(
        "  {taken} updates in {:.1} s; of a core the agents took {:.0} %, the node {:.0} %, PostgreSQL what is left of two",
        took.as_secs_f64(),
        share(ours()? - of_agents),
        share(cloud.cpu()? - of_cloud),
    );
    for member in members.iter() {
        member.crowd.rest();
    }
    Ok((taken as f64 / took.as_secs_f64()) as u64)
}

/// The time of now, for whoever judges certificates by it.
fn floor(clock: Clock) -> impl Fn() -> Timestamp + Send + Sync {
    move || clock.now()
}
