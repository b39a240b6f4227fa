//! A card is copied while its box is off, and both are switched on: one identity at two boxes.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use easyisp_agent::Agent;
use easyisp_agent::sync::LinkStatus;
use easyisp_tests::world::{Provider, Site, World, soon};

use crate::words::DAY;

/// Both are shut out, and a person is told; nothing that either reports is taken any more, and both know everybody and
/// go on. (The links alone: `link::trust`.)
#[tokio::test(flavor = "multi_thread")]
async fn two_agents_of_one_copied_folder_are_shut_out_and_serve_on() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "copiedcard").await?;
    let mut site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("amani", "254712345680", until).await?;
    site.knows("amani", "at all", |_| true).await?;
    let online = site.dial("amani").await.online();
    online.started().await;
    ensure!(online.hang_up().await);
    site.reported().await?;
    site.stop_agent().await;

    let config = world.box_config()?;
    copy_folder(&site.config().data_dir, &config.data_dir)?;
    site.start_agent().await?;
    site.caught_up().await?;
    let copy = world.switch_on(config).await?;
    for agent in [&copy, site.agent()] {
        shut_out(agent).await?;
        let known = agent.overview().site.subscriber(b"amani");
        ensure!(known.is_some(), "he is known without the cloud");
    }

    // Its router is served, what happens is kept, and the cloud takes none of it from either.
    let online = site.dial("amani").await.online();
    online.started().await;
    ensure!(online.interim().await);
    for clock in 0..3 {
        world.clock.advance(DAY / 24);
        ensure!(online.interim().await, "hour {clock}");
    }
    let waiting = |agent: &Agent| {
        let overview = agent.overview().clone();
        tokio::task::spawn_blocking(move || overview.report().waiting.values().sum::<u64>())
    };
    ensure!(waiting(site.agent()).await? > 0, "nothing waits");
    for agent in [&copy, site.agent()] {
        shut_out(agent).await?;
    }
    let sessions = isp.sessions_of("amani").await?;
    ensure!(sessions.len() == 1, "{sessions:?}");
    copy.stop().await;
    site.stop().await;
    world.stop().await
}

async fn shut_out(agent: &Agent) -> Result<()> {
    let link = agent.overview().link.clone();
    let mut link = link.context("the agent has a link")?;
    let cloned = |status: &LinkStatus| match status {
        LinkStatus::Down { reason, .. } => reason.contains("Another box"),
        LinkStatus::Up { .. } => false,
    };
    soon("the link is refused", link.wait_for(cloned)).await??;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &to)?,
            false => drop(std::fs::copy(entry.path(), to)?),
        }
    }
    Ok(())
}
