//! `bench`: the numbers of design.md §5, measured here and now beside the named peers.
//!
//! Everything that serves is pinned to one core and everything that asks to another. Each figure is the
//! median of several windows, and a ratio is only ever taken within one run.

mod books;
mod child;
mod freeradius;
mod hands;
mod link;
mod live;
mod load;
mod logins;
mod logs;
mod office;
mod ours;
mod payment;
mod peers;
mod postgres;
mod proof;
mod radius;
mod snapshot;
mod snmp;
mod table;
mod years;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use self::radius::Effort;

/// Measures EasyISP beside its peers and prints goal and figure side by side.
#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    /// Measure only these: pap, chap, mschap, accounting, storm, memory, snapshot, payment, logins,
    /// books, office, years, logs, proof, snmp, hands, live, link.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Length of a window in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Windows per figure, of which the median is printed.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Subscribers that every server knows.
    #[arg(long, default_value_t = 100_000)]
    users: u32,
    /// Payments of the provider with years behind him, who has as many customers as there are users.
    #[arg(long, default_value_t = 5_000_000)]
    payments: u32,
    /// Lines that routers wrote in the month whose log is searched.
    #[arg(long, default_value_t = 5_000_000)]
    lines: u32,
    /// Leave the peers out: figures without ratios.
    #[arg(long)]
    alone: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// A process of the bench itself.
    #[command(hide = true)]
    Part {
        name: PartName,
        folder: PathBuf,
        sizes: Vec<i64>,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum PartName {
    Agent,
    Books,
    Hands,
    Link,
    LinkCloud,
    LinkFar,
    Live,
    Logins,
    Logs,
    Office,
    Payment,
    Postgres,
    Proof,
    Snapshot,
    Snmp,
    SnmpWalks,
    Years,
}

impl Cli {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Some(Part::Part {
        name,
        folder,
        sizes,
    }) = &cli.part
    {
        return match name {
            PartName::Agent => ours::part(folder),
            PartName::Books => books::part(),
            PartName::Hands => hands::part(),
            PartName::Link => link::part(folder),
            PartName::LinkCloud => link::cloud_part(folder),
            PartName::LinkFar => link::far_part(),
            PartName::Live => live::part(),
            PartName::Logins => logins::part(),
            PartName::Logs => logs::part(sizes),
            PartName::Office => office::part(),
            PartName::Payment => payment::part(),
            PartName::Postgres => postgres::part(folder),
            PartName::Proof => proof::part(),
            PartName::Snapshot => snapshot::part(folder),
            PartName::Snmp => snmp::part(folder),
            PartName::SnmpWalks => snmp::walks(),
            PartName::Years => years::part(sizes),
        };
    }
    if std::env::var_os(PINNED).is_none() {
        let mut again = child::on_core(child::LOAD_CORE, std::env::current_exe()?);
        again.args(std::env::args_os().skip(1)).env(PINNED, "1");
        return Err(again.exec()).context("the bench needs taskset and two cores");
    }
    bench(&cli)
}

/// Set once the bench runs on its own core.
const PINNED: &str = "EASYISP_BENCH_PINNED";

fn bench(cli: &Cli) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("easyisp-bench-")
        .tempdir()?;
    let effort = Effort {
        window: Duration::from_secs(cli.seconds),
        rounds: cli.rounds,
        users: cli.users,
    };
    let wants = |name: &str| cli.wants(name);

    let of_radius = ["pap", "chap", "mschap", "accounting", "storm"];
    let (sql, files) = if cli.alone || !of_radius.iter().any(|name| cli.wants(name)) {
        Default::default()
    } else {
        let sql = peers::with_postgres(folder.path(), wants, effort)?;
        (sql, peers::from_files(folder.path(), wants, effort)?)
    };
    let mut rows = Vec::new();
    if cli.wants("memory") || of_radius.iter().any(|name| cli.wants(name)) {
        let ours = ours::measure(folder.path(), wants, effort)?;
        rows.extend(radius::rows(&ours, &sql, &files));
        rows.push(radius::memory(&ours, &sql, effort.users));
    }
    if cli.wants("memory") {
        rows.extend(ours::ordinary_site(folder.path())?);
    }
    if cli.wants("snapshot") {
        rows.extend(snapshot::measure(folder.path(), effort)?);
    }
    if cli.wants("payment") {
        rows.extend(payment::measure(folder.path())?);
    }
    if cli.wants("logins") {
        rows.extend(logins::measure(folder.path())?);
    }
    if cli.wants("books") {
        rows.extend(books::measure(folder.path(), effort)?);
    }
    if cli.wants("proof") {
        rows.extend(proof::measure(folder.path())?);
    }
    if cli.wants("office") {
        rows.extend(office::measure(folder.path())?);
    }
    if cli.wants("years") {
        let (customers, payments) = (i64::from(cli.users), i64::from(cli.payments));
        rows.extend(years::measure(folder.path(), customers, payments)?);
    }
    if cli.wants("logs") {
        rows.extend(logs::measure(folder.path(), i64::from(cli.lines))?);
    }
    if cli.wants("snmp") {
        rows.extend(snmp::measure(folder.path())?);
    }
    if cli.wants("hands") {
        rows.extend(hands::measure(folder.path())?);
    }
    if cli.wants("live") {
        rows.extend(live::measure(folder.path())?);
    }
    if cli.wants("link") {
        rows.extend(link::measure(folder.path())?);
    }
    println!("\n{}", table::lay_out(&rows));
    Ok(())
}
