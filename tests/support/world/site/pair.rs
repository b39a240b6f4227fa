//! A site with two agents, each on a box of its own, and a router that asks the second when the first is silent.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_agent::config::Config;
use easyisp_agent::sync::{LinkStatus, enroll};
use easyisp_agent::{Agent, AgentOptions, Source, VERSION};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;

use super::{API_PASSWORD, SECRET, Site, box_config};
use crate::line::Line;
use crate::router::api::Api;
use crate::router::{Router, Server, Settings};
use crate::world::{Provider, World, eventually, soon};

/// A site and its second agent.
pub struct Pair {
    /// The site with its first agent.
    pub site: Site,
    /// The second one, when it is switched on.
    second: Option<Agent>,
    config: Config,
    clock: Clock,
    /// From each to the other.
    between: Vec<Line>,
    /// From each to the cloud.
    to_cloud: [Line; 2],
}

impl Site {
    /// A site with two agents, both caught up and in touch with each other.
    pub async fn open_pair(world: &World, provider: &Provider) -> Result<Pair> {
        let pair = Site::open_apart(world, provider, true, None).await?;
        pair.in_touch().await?;
        Ok(pair)
    }

    /// The same with the router's API set up.
    pub async fn open_pair_with_api(world: &World, provider: &Provider) -> Result<Pair> {
        let api = Api::new("agent", API_PASSWORD);
        let pair = Site::open_apart(world, provider, true, Some(api)).await?;
        pair.in_touch().await?;
        for agent in [pair.site.agent(), pair.second()] {
            eventually("an agent knows the router's API", async || {
                let routers = agent.overview().site.routers();
                let known = routers.iter().any(|router| router.api.is_some());
                Ok(known.then_some(()))
            })
            .await?;
        }
        Ok(pair)
    }

    /// The same, without a way from one to the other.
    pub async fn open_strangers(world: &World, provider: &Provider) -> Result<Pair> {
        Site::open_apart(world, provider, false, None).await
    }

    async fn open_apart(
        world: &World,
        provider: &Provider,
        beside: bool,
        api: Option<Api>,
    ) -> Result<Pair> {
        let (mut first, mut second) = (box_config(world)?, box_config(world)?);
        let to_cloud = [
            Line::to(world.agents(), 1).await?,
            Line::to(world.agents(), 2).await?,
        ];
        let mut between = Vec::new();
        for (config, line) in [&mut first, &mut second].into_iter().zip(&to_cloud) {
            config.cloud.address = Some(line.address.to_string());
            match beside {
                true => {
                    let line = Line::to(config.peers.listen, 3).await?;
                    config.peers.announce = Some(line.address);
                    between.push(line);
                }
                // They may not dial where the other one is.
                false => config.site.ranges.clear(),
            }
        }
        let clock = world.clock.clone();
        let mut settings = Settings {
            api,
            ..Settings::new(SECRET, first.radius.auth, first.radius.acct)
        };
        settings.servers.push(Server {
            auth: second.radius.auth,
            acct: second.radius.acct,
        });
        let router = Router::start_on(settings, clock.clone(), Entropy::system()).await?;
        let coa = router.incoming().context("the router takes CoA")?.port();
        let source = Ipv4Addr::LOCALHOST.to_string();
        let owner = &provider.owner;
        let router_id = owner.add_router("Tower", &source, SECRET, coa).await?;
        if let Some(api) = router.api() {
            owner
                .set_router_api(&router_id, "agent", API_PASSWORD, api.port())
                .await?;
        }
        let cloud = world.agents().to_string();
        for config in [&first, &second] {
            let (token, before) = (owner.join_token().await?, clock.now());
            enroll(&cloud, &token, &config.identity_folder(), VERSION).await?;
            // The earlier one lets vouchers in; at one instant of a clock that stands its id would decide.
            if clock.now() == before {
                clock.advance(Duration::from_secs(1));
            }
        }
        let mut site = Site {
            router,
            router_id,
            config: first,
            clock: clock.clone(),
            agent: None,
        };
        site.start_agent().await?;
        let mut pair = Pair {
            site,
            second: None,
            config: second,
            clock,
            between,
            to_cloud,
        };
        pair.start_second().await?;
        pair.site.caught_up().await?;
        for agent in [pair.site.agent(), pair.second()] {
            eventually("an agent knows its router", async || {
                Ok((!agent.overview().site.routers().is_empty()).then_some(()))
            })
            .await?;
        }
        Ok(pair)
    }
}

impl Pair {
    /// The second agent.
    ///
    /// # Panics
    /// While it is switched off.
    pub fn second(&self) -> &Agent {
        self.second.as_ref().expect("the second agent runs")
    }

    /// Switches the second box on.
    pub async fn start_second(&mut self) -> Result<()> {
        self.start_second_on(self.clock.clone()).await
    }

    /// The same with a clock of the box's own.
    pub async fn start_second_on(&mut self, clock: Clock) -> Result<()> {
        let options = AgentOptions {
            config: self.config.clone(),
            clock,
            entropy: Entropy::system(),
            source: Source::Enrolled,
        };
        self.second = Some(Agent::start(options).await?);
        Ok(())
    }

    /// Switches the second box off in order.
    pub async fn stop_second(&mut self) {
        if let Some(second) = self.second.take() {
            second.stop().await;
        }
    }

    /// Cuts the two off from each other, or joins them again.
    pub fn cut_between(&self, cut: bool) {
        for line in &self.between {
            line.cut(cut);
        }
    }

    /// Lets nothing more of what the other one says reach one of them (0 or 1), once its next answer has come
    /// back; until the two are cut off or joined.
    pub fn lose_after_next_answer(&self, agent: usize) {
        self.between[agent].lose_after_next_answer();
    }

    /// Cuts one of them (0 or 1) off from the cloud, or joins them again. It takes a minute of silence until
    /// either end notices.
    pub fn cut_from_cloud(&self, agent: usize, cut: bool) {
        self.to_cloud[agent].cut(cut);
    }

    /// Lets nothing of what the cloud says reach one of them (0 or 1), which the cloud still hears.
    pub fn lose_answers(&self, agent: usize, lost: bool) {
        self.to_cloud[agent].lose_answers(lost);
    }

    /// Waits until the two reach each other and both keep the site's vouchers.
    pub async fn in_touch(&self) -> Result<()> {
        eventually("the agents share the vouchers", async || {
            let both = [self.site.agent(), self.second()].map(|agent| {
                let overview = agent.overview();
                let touch = overview.peers.as_ref().map(|peers| peers.in_touch().len());
                let policy = overview.site.policy();
                let named = policy.row.as_ref().map(|row| row.keepers.agents.len());
                (touch, named)
            });
            Ok((both == [(Some(1), Some(2)); 2]).then_some(()))
        })
        .await
    }

    /// Waits until both know that they have no cloud.
    pub async fn cut_off(&self) -> Result<()> {
        self.site.cut_off().await?;
        let link = self.second().overview().link.clone();
        let mut link = link.context("the agent has a link")?;
        let down = link.wait_for(|status| matches!(status, LinkStatus::Down { .. }));
        soon("the second link is down", down).await??;
        Ok(())
    }

    /// Waits until both agents know a subscriber.
    pub async fn know(&self, name: &str) -> Result<()> {
        for agent in [self.site.agent(), self.second()] {
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
            let overview = self.second().overview().clone();
            let report = tokio::task::spawn_blocking(move || overview.report()).await?;
            let done = report.waiting.values().all(|waiting| *waiting == 0);
            Ok(done.then_some(()))
        })
        .await
    }

    /// Switches everything off.
    pub async fn stop(mut self) {
        self.stop_second().await;
        self.site.stop().await;
    }
}
