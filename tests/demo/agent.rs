//! `demo agent`: enrols with the token it is given, then runs.

use std::path::Path;

use anyhow::Result;
use easyisp_agent::config::Config;
use easyisp_agent::{Agent, AgentOptions, Source, VERSION, sync};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use serde_json::json;

use crate::child;
use crate::ports::{Ports, loopback};

/// Runs until the parent goes.
pub async fn run(data: &Path, ports: &Ports, token: Option<String>) -> Result<()> {
    child::log_to_stderr();
    let config = config(data, ports)?;
    let clock = Clock::system();
    if let Some(token) = token {
        let cloud = loopback(ports.quic).to_string();
        sync::enroll(&cloud, &token, &config.identity_folder(), VERSION).await?;
    }
    let options = AgentOptions {
        config,
        clock,
        entropy: Entropy::system(),
        source: Source::Enrolled,
    };
    let agent = Agent::start(options).await?;
    child::say_ready(&json!({}));
    child::asked_to_stop().await;
    agent.stop().await;
    Ok(())
}

fn config(data: &Path, ports: &Ports) -> Result<Config> {
    let mut config = Config {
        data_dir: data.to_owned(),
        ..Config::default()
    };
    config.radius.auth = loopback(ports.auth);
    config.radius.acct = loopback(ports.acct);
    config.portal.listen = loopback(ports.portal);
    config.status.listen = loopback(ports.agent_status);
    config.peers.listen = loopback(ports.peers);
    // The demo's routers are on this machine.
    config.site.ranges.push("127.0.0.0/8".parse()?);
    Ok(config)
}
