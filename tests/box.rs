//! `box FILE [PACE]`: an enrolled agent in a process of its own, for stories that kill it.
//!
//! The file is the agent's configuration; with a pace (see [`Pace`]) its time runs faster than the world's.
//! Says `ready` once it answers; stops when standard input ends.

use std::io::Read;

use anyhow::{Context, Result};
use easyisp_agent::config::Config;
use easyisp_agent::{Agent, AgentOptions, Source};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use easyisp_tests::pace::Pace;

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let file = words.next().context("usage: box FILE [PACE]")?;
    let clock = match words.next() {
        None => Clock::system(),
        Some(pace) => {
            let pace: Pace = pace.parse()?;
            let clock = pace.clock();
            tokio::spawn(pace.run(clock.clone()));
            clock
        }
    };
    let agent = Agent::start(AgentOptions {
        config: Config::read(&std::fs::read_to_string(file)?, [])?,
        clock,
        entropy: Entropy::system(),
        source: Source::Enrolled,
    })
    .await?;
    println!("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    agent.stop().await;
    Ok(())
}
