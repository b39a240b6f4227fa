//! A site with two agents, each on a box of its own, and a router that asks the second when the first is silent.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use easyisp_agent::sync::enroll;
use easyisp_agent::{Agent, AgentOptions, Source, VERSION};
use easyisp_shared::entropy::Entropy;

use super::{SECRET, Site, box_config};
use crate::router::{Router, Server, Settings};
use crate::world::{Provider, World, eventually};

/// A site and its second agent.
pub struct Pair {
    /// The site with its first agent.
    pub site: Site,
    /// The second one.
    pub second: Agent,
}

impl Site {
    /// A site with two agents, both caught up.
    pub async fn open_pair(world: &World, provider: &Provider) -> Result<Pair> {
        let (first, second) = (box_config(world)?, box_config(world)?);
        let clock = world.clock.clone();
        let mut settings = Settings::new(SECRET, first.radius.auth, first.radius.acct);
        settings.servers.push(Server {
            auth: second.radius.auth,
            acct: second.radius.acct,
        });
        let router = Router::start_on(settings, clock.clone(), Entropy::system()).await?;
        let coa = router.incoming().context("the router takes CoA")?.port();
        let source = Ipv4Addr::LOCALHOST.to_string();
        let owner = &provider.owner;
        let router_id = owner.add_router("Tower", &source, SECRET, coa).await?;
        let cloud = world.agents().to_string();
        for config in [&first, &second] {
            let token = owner.join_token().await?;
            enroll(&cloud, &token, &config.identity_folder(), VERSION).await?;
        }
        let options = AgentOptions {
            config: second,
            clock: clock.clone(),
            entropy: Entropy::system(),
            source: Source::Enrolled,
        };
        let mut site = Site {
            router,
            router_id,
            config: first,
            clock,
            agent: None,
        };
        site.start_agent().await?;
        let second = Agent::start(options).await?;
        site.caught_up().await?;
        for agent in [site.agent(), &second] {
            eventually("an agent knows its router", async || {
                Ok((!agent.overview().site.routers().is_empty()).then_some(()))
            })
            .await?;
        }
        Ok(Pair { site, second })
    }
}

impl Pair {
    /// Waits until both agents know a subscriber.
    pub async fn know(&self, name: &str) -> Result<()> {
        for agent in [self.site.agent(), &self.second] {
            let site = &agent.overview().site;
            eventually(&format!("an agent knows {name}"), async || {
                Ok(site.subscriber(name.as_bytes()).map(|_| ()))
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until everything that the second agent reported has been taken by the cloud.
    pub async fn second_reported(&self) -> Result<()> {
        eventually("the cloud has everything of the second", async || {
            let overview = self.second.overview().clone();
            let report = tokio::task::spawn_blocking(move || overview.report()).await?;
            let done = report.waiting.values().all(|waiting| *waiting == 0);
            Ok(done.then_some(()))
        })
        .await
    }

    /// Switches everything off.
    pub async fn stop(self) {
        self.second.stop().await;
        self.site.stop().await;
    }
}
