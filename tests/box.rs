//! `box FILE`: an enrolled agent in a process of its own, for stories that kill it.
//!
//! The file is the agent's configuration. Says `ready` once it answers; stops when standard input ends.

use std::io::Read;

use anyhow::{Context, Result};
use easyisp_agent::config::Config;
use easyisp_agent::{Agent, AgentOptions, Source};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;

#[tokio::main]
async fn main() -> Result<()> {
    let file = std::env::args_os().nth(1).context("usage: box FILE")?;
    let agent = Agent::start(AgentOptions {
        config: Config::read(&std::fs::read_to_string(file)?, [])?,
        clock: Clock::system(),
        entropy: Entropy::system(),
        source: Source::Enrolled,
    })
    .await?;
    println!("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    agent.stop().await;
    Ok(())
}
