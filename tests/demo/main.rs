//! `cargo demo`: the whole product on loopback, with the outside world pretended.

mod agent;
mod banner;
mod child;
mod cloud;
mod ports;
mod seed;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::ports::Ports;

/// Starts EasyISP on this machine: cloud, agent, a pretend MikroTik, a pretend M-Pesa and SMS gateway, on
/// loopback, with a private PostgreSQL and a small provider to look at.
///
/// Prints addresses, logins and three commands to paste, then `EasyISP demo ready`, and runs until
/// Ctrl-C. Nothing outside its own folder is touched; without --data the folder is temporary and removed
/// at the end.
#[derive(Parser)]
#[command(name = "cargo demo", version, max_term_width = 100)]
struct Args {
    /// Keep the demo's state in this folder, and find it again next time (it is seeded only once).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Put every port at N and above: N HTTP, +1 QUIC, +2 RADIUS auth, +3 acct, +4 portal, +5 agent
    /// status, +6 M-Pesa and SMS, +7 router API, +8 SNMP, +9 CoA, +10 metrics.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=65_000))]
    base_port: Option<u16>,

    /// Leave the pretend router out: bring your own, from any loopback address, secret `demo-secret`.
    #[arg(long)]
    no_router: bool,

    #[command(subcommand)]
    part: Option<Part>,
}

/// The demo's own child processes.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Cloud {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        base_port: Option<u16>,
        #[arg(long)]
        invite_agent: bool,
    },
    #[command(hide = true)]
    Agent {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        base_port: Option<u16>,
        #[arg(long)]
        token: Option<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.part {
        None => {
            let ports = Ports::new(args.base_port);
            stage::run(args.data, ports, args.base_port, args.no_router).await
        }
        Some(Part::Cloud {
            data,
            base_port,
            invite_agent,
        }) => cloud::run(&data, &Ports::new(base_port), invite_agent).await,
        Some(Part::Agent {
            data,
            base_port,
            token,
        }) => agent::run(&data, &Ports::new(base_port), token).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
