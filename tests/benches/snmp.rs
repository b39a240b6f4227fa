//! A thousand devices of 30 interfaces read by an agent as it is, beside Net-SNMP's `snmpbulkwalk`.
//!
//! What counts is the reader's own CPU time, so each reads in a process of its own, pinned to the servers' core; the
//! devices answer from here. The agent's is all that it does meanwhile, and the writing of what it tells the cloud; that
//! is not packed, for which the cloud would have to be there. `snmpbulkwalk` is one process for each device, which
//! loads no MIB. The devices have no column that either does not read, and count what they said.

use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::config::Config;
use easyisp_agent::snmp::walk::Part;
use easyisp_agent::snmp::{Access, Exchange, Session, reading};
use easyisp_agent::status::Overview;
use easyisp_agent::{Agent, AgentOptions};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::monitor::MetricsV1;
use easyisp_shared::wire::{Lane, Up, UpKind};
use easyisp_tests::devices::{self, Switch, Switches};
use easyisp_tests::world::START;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::child::{SERVER_CORE, Server, cpu, serve_until_told};
use crate::table::Row;

const DEVICES: usize = 1_000;
const PORTS: u32 = 30;
/// Long beside how long it takes to read all; and two of them are over before the agent reads everything anew, which it
/// does once an hour.
const INTERVAL_SECS: u32 = 1_200;
/// `snmpbulkwalk`s at once.
const WALKS: usize = 8;
/// Who takes longer for all of them has no figure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads all devices for the first time, then again, then with `snmpbulkwalk`.
pub fn measure(folder: &Path) -> Result<[Row; 4]> {
    let folder = folder.join("snmp");
    std::fs::create_dir_all(&folder)?;
    // The devices answer while this thread listens to the readers.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let switch = Switch::new(PORTS)?;
    let all = switch.values() * DEVICES;
    let devices = runtime.block_on(Switches::start(switch, DEVICES))?;
    let changing = runtime.block_on(asked(&devices, all / DEVICES))? * DEVICES;
    let address = devices.address;
    devices.forget();

    let (mut agent, _) = Server::start_self("snmp", SERVER_CORE, &folder)?;
    let mut read = |word: &str, values: usize| -> Result<Spent> {
        agent.tell(word)?;
        let spent = Spent::parse(&agent.hear()?)?;
        told("our agent", &spent, &devices, values)?;
        Ok(spent)
    };
    let first = read(&address.to_string(), all)?;
    let steady = read("again", changing)?;
    agent.stop()?;

    let (mut walks, _) = Server::start_self("snmp-walks", SERVER_CORE, &folder)?;
    walks.tell(&address.to_string())?;
    let theirs = Spent::parse(&walks.hear()?)?;
    walks.stop()?;
    told("snmpbulkwalk", &theirs, &devices, all)?;

    let share = steady.cpu.as_secs_f64() / steady.polls * DEVICES as f64 / 60.0;
    Ok([
        Row::ratio(
            "SNMP: devices of 30 interfaces read a CPU second",
            first.a_cpu_second(),
            "snmpbulkwalk",
            Some(theirs.a_cpu_second()),
            Some(5.0),
        ),
        Row::ratio(
            "SNMP: first readings a second",
            first.a_second(),
            "snmpbulkwalk",
            Some(theirs.a_second()),
            None,
        ),
        Row::ratio(
            "SNMP: steady polls a CPU second",
            steady.a_cpu_second(),
            "snmpbulkwalk of all",
            Some(theirs.a_cpu_second()),
            None,
        ),
        Row::bound(
            "SNMP: CPU of 1,000 devices polled each minute",
            &format!("{:.1} %", share * 100.0),
            "<= 10 %",
            share <= 0.1,
        ),
    ])
}

/// Prints how many values a reader was told, each counted once; that no less were told is made sure.
fn told(who: &str, spent: &Spent, devices: &Switches, values: usize) -> Result<()> {
    let began = Instant::now();
    // Where somebody was asked twice meanwhile, the last ones are still on their way.
    while devices.said() < values && began.elapsed() < PATIENCE {
        std::thread::sleep(STEP);
    }
    let said = devices.said();
    println!("  {who}: {} devices, {said} values", spent.polls);
    ensure!(said >= values, "of {values} values {who} was told {said}");
    devices.forget();
    Ok(())
}

/// How many values are asked for at each poll; that a device has nothing but what is asked for at first is made sure.
async fn asked(devices: &Switches, values: usize) -> Result<usize> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let exchange = Exchange::new(here, Entropy::system(), CancellationToken::new());
    let community = devices::community(0).into_bytes();
    let mut session = Session::new(Arc::new(Access::Community(community.into())), 7);
    let walked = exchange
        .walk(&mut session, devices.address, reading::everything())
        .await?;
    ensure!(
        walked.values.len() == values,
        "a device has {values} values, and we read {} of them",
        walked.values.len()
    );
    let parts = reading::what_changes(&walked.values);
    let objects = parts.iter().map(|part| match part {
        Part::Objects(names) => names.len(),
        Part::Columns(_) => 0, // a router's
    });
    Ok(objects.sum())
}

/// What some readings took.
struct Spent {
    cpu: Duration,
    wall: Duration,
    polls: f64,
}

impl Spent {
    fn say(&self) -> String {
        let (cpu, wall) = (self.cpu.as_micros(), self.wall.as_micros());
        format!("{cpu} {wall} {}", self.polls)
    }

    fn parse(line: &str) -> Result<Spent> {
        let [cpu, wall, polls] = line.split(' ').collect::<Vec<_>>()[..] else {
            anyhow::bail!("it says {line}");
        };
        Ok(Spent {
            cpu: Duration::from_micros(cpu.parse()?),
            wall: Duration::from_micros(wall.parse()?),
            polls: polls.parse()?,
        })
    }

    fn a_second(&self) -> f64 {
        self.polls / self.wall.as_secs_f64()
    }

    fn a_cpu_second(&self) -> f64 {
        self.polls / self.cpu.as_secs_f64()
    }
}

/// The part that is the agent: reads all of them at the first word, which is where they answer, and again at the next.
pub fn part(folder: &Path) -> Result<()> {
    println!("ready");
    let address: SocketAddr = word()?.parse()?;
    let mut config = Config {
        data_dir: folder.to_owned(),
        ..Config::default()
    };
    config.radius.auth = (Ipv4Addr::LOCALHOST, 0).into();
    config.radius.acct = (Ipv4Addr::LOCALHOST, 0).into();
    config.status.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.portal.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.site.ranges.push("127.0.0.0/8".parse()?);
    let clock = Clock::test(START);
    let source = devices::site(address.port(), DEVICES, INTERVAL_SECS, devices::community)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let agent = runtime.block_on(Agent::start(AgentOptions {
        config,
        clock: clock.clone(),
        entropy: Entropy::system(),
        source,
    }))?;
    let overview = agent.overview();
    let first = runtime.block_on(round(overview, &clock, |told| told >= DEVICES))?;
    complete(overview)?;
    println!("{}", first.say());
    ensure!(word()? == "again", "a word");
    // What steady polls say waits for company: nothing more is told yet.
    let steady = runtime.block_on(round(overview, &clock, |_| true))?;
    serve_until_told(&steady.say())?;
    runtime.block_on(agent.stop());
    Ok(())
}

fn word() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Lets everybody's turn come, until all were read and `told` is as many as there should be.
async fn round(
    overview: &Arc<Overview>,
    clock: &Clock,
    told: impl Fn(usize) -> bool,
) -> Result<Spent> {
    let count = |name: &str| overview.counters.all().get(name).copied().unwrap_or(0);
    let (before, began) = (cpu()?.0, Instant::now());
    let read = count("snmp_read");
    let mut rest = Duration::from_secs(u64::from(INTERVAL_SECS));
    // Whose turn comes first shows that the agent knows them. The others' all come in the same interval.
    while count("snmp_read") == read {
        ensure!(began.elapsed() < PATIENCE, "nobody is read");
        clock.advance(NUDGE);
        rest = rest.saturating_sub(NUDGE);
        tokio::time::sleep(STEP).await;
    }
    let began = Instant::now();
    clock.advance(rest);
    while count("snmp_read") - read < DEVICES as u64 {
        ensure!(began.elapsed() < PATIENCE, "not all are read");
        tokio::time::sleep(STEP).await;
        // Whoever found no room has it once the clock moves.
        clock.advance(NUDGE);
    }
    let (polls, wall) = (count("snmp_read") - read, began.elapsed());
    while !told(told_of(overview)?) {
        ensure!(began.elapsed() < PATIENCE, "not all are told of");
        tokio::time::sleep(STEP).await;
    }
    ensure!(count("snmp_silent") == 0, "some did not answer");
    Ok(Spent {
        cpu: cpu()?.0 - before,
        wall,
        polls: polls as f64,
    })
}

/// How many devices were told of; less while there is not enough of anything.
fn told_of(overview: &Overview) -> Result<usize> {
    let lane = Lane::Metrics.code();
    if overview.reader.waiting(lane)? < DEVICES as u64 {
        return Ok(0);
    }
    let kept = overview.reader.records(lane, 0, 2 * DEVICES, usize::MAX)?;
    let metrics = UpKind::Metrics.code();
    Ok(kept
        .iter()
        .filter(|kept| kept.record.kind == metrics)
        .count())
}

/// Whether everything of every device was told.
fn complete(overview: &Overview) -> Result<()> {
    let lane = Lane::Metrics.code();
    let kept = overview.reader.records(lane, 0, 2 * DEVICES, usize::MAX)?;
    let mut told: Vec<MetricsV1> = Vec::new();
    for one in kept {
        // The others say how the agent is.
        if let Up::Metrics(metrics) = Up::decode(one.record.kind, &one.record.body)? {
            told.push(*metrics);
        }
    }
    for number in 0..DEVICES {
        let router = devices::router(number);
        let mut of_it = told.iter().filter(|told| told.router == router);
        let told = of_it
            .next()
            .with_context(|| format!("{number} is told of"))?;
        let facts = told.facts.as_ref().context("its facts")?;
        let sample = told.samples.first().context("a sample")?;
        let whole = facts.ports.iter().zip(&sample.ports).all(|(fact, port)| {
            let (name, alias) = (&fact.name, &fact.alias);
            *name == format!("ge-0/0/{}", fact.index)
                && *alias == format!("customer {}", fact.index)
                && (fact.kind, fact.enabled) == (6, Some(true))
                && (fact.speed_bps, port.status) == (Some(1_000_000_000), Some(1))
        });
        let ports = facts.ports.len().min(sample.ports.len());
        ensure!(whole && ports == PORTS as usize, "{number}: {told:?}");
        ensure!(
            sample.cpu == Some(7) && facts.location == "roof",
            "{told:?}"
        );
    }
    Ok(())
}

/// The part that starts `snmpbulkwalk` for each of them.
pub fn walks() -> Result<()> {
    println!("ready");
    let address: SocketAddr = word()?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (before, began) = (cpu()?.1, Instant::now());
    let values = runtime.block_on(async {
        let walks = stream::iter(0..DEVICES).map(|number| walk(address, number));
        let values = walks.buffer_unordered(WALKS);
        values
            .try_fold(0, async |sum, values| Ok(sum + values))
            .await
    })?;
    let spent = Spent {
        cpu: cpu()?.1 - before,
        wall: began.elapsed(),
        polls: DEVICES as f64,
    };
    let all = Switch::new(PORTS)?.values() * DEVICES;
    ensure!(values == all, "of {all} values {values} were printed");
    serve_until_told(&spent.say())
}

/// Everything that one has, in as large answers as it gives; how many values were printed.
async fn walk(address: SocketAddr, number: usize) -> Result<usize> {
    let walked = Command::new("snmpbulkwalk")
        .args(["-v2c", "-c", &devices::community(number)])
        .args(["-m", "", "-On", "-Cr50", "-t", "10"])
        .arg(format!("udp:{address}"))
        .arg("1.3.6.1.2.1")
        .stdin(Stdio::null())
        .output()
        .await
        .context("starting snmpbulkwalk (Debian package snmp)")?;
    let said = String::from_utf8_lossy(&walked.stderr);
    ensure!(walked.status.success(), "snmpbulkwalk: {said}");
    let lines = String::from_utf8(walked.stdout)?;
    let values = lines.lines().filter(|line| line.contains(" = "));
    // It says that there is no more as often as it was told.
    Ok(values.filter(|line| !line.contains(END)).count())
}

const END: &str = "No more variables left in this MIB View";
/// How often it is looked whether all are read, and how far the clock moves at each.
const STEP: Duration = Duration::from_millis(2);
const NUDGE: Duration = Duration::from_millis(20);
