//! `node FILE`: a node of a cloud in a process of its own, for stories that kill it.
//!
//! The file is the cloud's configuration, with the database's addresses. Says `ready` once it serves; stops when
//! standard input ends.

use std::io::Read;

use anyhow::{Context, Result};
use easyisp_cloud::config::Config;
use easyisp_cloud::{Cloud, Options};

#[tokio::main]
async fn main() -> Result<()> {
    let file = std::env::args().nth(1).context("usage: node FILE")?;
    let config = Config::read(&std::fs::read_to_string(file)?, [])?;
    let cloud = Cloud::start(Options::new(config)).await?;
    println!("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    cloud.stop().await
}
