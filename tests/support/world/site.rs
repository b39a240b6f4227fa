//! A site: an agent in this process, and a router with subscribers beside it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use easyisp_agent::config::Config;
use easyisp_agent::site::Subscriber;
use easyisp_agent::sync::{LinkStatus, enroll};
use easyisp_agent::{Agent, AgentOptions, Source, VERSION};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use serde_json::json;

mod pair;

pub use pair::Pair;

use super::{Provider, World, eventually, soon};
use crate::line::Line;
use crate::router::api::{Api, Face};
use crate::router::snmp::Snmp;
use crate::router::subscriber::{Dial, Method};
use crate::router::wiring::Lan;
use crate::router::{Router, Server, Settings};

/// The secret between router and agent.
const SECRET: &str = "a-long-shared-secret";
/// Where a script that sets the router up finds the agent.
const ON_THE_LAN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// The password of the agent's user at the router's API.
const API_PASSWORD: &str = "a-long-api-password";

/// By what the agent reads its router, beside RADIUS.
#[derive(Default)]
struct Doors {
    api: Option<Api>,
    snmp: Option<Snmp>,
}

/// An agent beside a router.
pub struct Site {
    /// The router.
    pub router: Router,
    /// The router's id at the API.
    pub router_id: String,
    config: Config,
    clock: Clock,
    agent: Option<Agent>,
}

impl Site {
    /// Installs an agent and a router at the provider's first site, and waits until both work.
    pub async fn open(world: &World, provider: &Provider) -> Result<Site> {
        let mut site = Site::prepare(world, provider).await?;
        site.start_agent().await?;
        site.caught_up().await?;
        eventually("the agent knows its router", async || {
            Ok((!site.agent().overview().site.routers().is_empty()).then_some(()))
        })
        .await?;
        Ok(site)
    }

    /// The same with the router's API set up.
    pub async fn open_with_api(world: &World, provider: &Provider) -> Result<Site> {
        Site::prepare_with_api(world, provider).await?.known().await
    }

    /// A router with a version of RouterOS that is watched over SNMP each minute, by the community `public`.
    pub async fn open_watched(world: &World, provider: &Provider, face: Face) -> Result<Site> {
        let doors = Doors {
            snmp: Some(Snmp::of(face, "public")),
            ..Doors::default()
        };
        let mut site = Site::prepare_at(world.agents(), world, provider, doors, None).await?;
        site.start_agent().await?;
        site.caught_up().await?;
        let port = site.router.snmp().context("its SNMP")?.port();
        let settings =
            json!({"nasId": site.router_id, "community": "public", "version": "v2c", "port": port});
        provider.owner.post("/snmp/settings", &settings).await?;
        Ok(site)
    }

    /// The same over a line that can be cut.
    pub async fn open_over(line: &Line, world: &World, provider: &Provider) -> Result<Site> {
        let doors = Doors::default();
        let mut site = Site::prepare_at(line.address, world, provider, doors, None).await?;
        site.start_agent().await?;
        site.caught_up().await?;
        Ok(site)
    }

    /// The same at another site of the provider's, with a router of this name.
    pub async fn open_at(
        world: &World,
        provider: &Provider,
        place: &str,
        name: &str,
    ) -> Result<Site> {
        let place = Some((place, name));
        let doors = Doors::default();
        let mut site = Site::prepare_at(world.agents(), world, provider, doors, place).await?;
        site.start_agent().await?;
        site.caught_up().await?;
        Ok(site)
    }

    /// The same up to a box that is enrolled and switched off.
    pub async fn prepare(world: &World, provider: &Provider) -> Result<Site> {
        Site::prepare_with(world, provider, None).await
    }

    /// The same with the router's API set up.
    pub async fn prepare_with_api(world: &World, provider: &Provider) -> Result<Site> {
        Site::prepare_with(world, provider, Some(Api::new("agent", API_PASSWORD))).await
    }

    /// The same with the API of a version of RouterOS.
    pub async fn open_with_face(world: &World, provider: &Provider, face: Face) -> Result<Site> {
        let api = Api::of(face, "agent", API_PASSWORD);
        Site::prepare_with(world, provider, Some(api))
            .await?
            .known()
            .await
    }

    /// Switches the box on, until it knows how to enter its router.
    async fn known(mut self) -> Result<Site> {
        self.start_agent().await?;
        self.caught_up().await?;
        eventually("the agent knows its router's API", async || {
            let routers = self.agent().overview().site.routers();
            Ok(routers
                .iter()
                .any(|router| router.api.is_some())
                .then_some(()))
        })
        .await?;
        Ok(self)
    }

    async fn prepare_with(world: &World, provider: &Provider, api: Option<Api>) -> Result<Site> {
        let doors = Doors {
            api,
            ..Doors::default()
        };
        Site::prepare_at(world.agents(), world, provider, doors, None).await
    }

    /// `cloud` is where the box dials; `place` is a site and its router's name, in place of the first.
    async fn prepare_at(
        cloud: SocketAddr,
        world: &World,
        provider: &Provider,
        doors: Doors,
        place: Option<(&str, &str)>,
    ) -> Result<Site> {
        let config = box_config(world)?;
        let clock = world.clock.clone();
        let server = Server {
            auth: config.radius.auth,
            acct: config.radius.acct,
        };
        let settings = Settings {
            api: doors.api,
            snmp: doors.snmp,
            lan: Lan::default()
                .with(ON_THE_LAN, server)
                .logging(ON_THE_LAN, config.syslog.listen),
            ..Settings::new(SECRET, config.radius.auth, config.radius.acct)
        };
        let router = Router::start_on(settings, clock.clone(), Entropy::system()).await?;
        let coa = router.incoming().context("the router takes CoA")?.port();
        let source = Ipv4Addr::LOCALHOST.to_string();
        let owner = &provider.owner;
        let router_id = match place {
            None => owner.add_router("Tower", &source, SECRET, coa).await?,
            Some((site, name)) => {
                owner
                    .add_router_at(site, name, &source, SECRET, coa)
                    .await?
            }
        };
        if let Some(api) = router.api() {
            owner
                .set_router_api(&router_id, "agent", API_PASSWORD, api.port())
                .await?;
        }

        let token = match place {
            None => owner.join_token().await?,
            Some((site, _)) => owner.join_token_of(site).await?,
        };
        let cloud = cloud.to_string();
        let folder = config.identity_folder();
        enroll(&cloud, &token, &folder, VERSION).await?;
        Ok(Site {
            router,
            router_id,
            config,
            clock,
            agent: None,
        })
    }

    /// Switches the box on: the first time, or again with its files.
    pub async fn start_agent(&mut self) -> Result<()> {
        self.start_agent_on(self.clock.clone()).await
    }

    /// The same with a clock of the box's own: one whose battery is empty, say.
    pub async fn start_agent_on(&mut self, clock: Clock) -> Result<()> {
        let options = AgentOptions {
            config: self.config.clone(),
            clock,
            entropy: Entropy::system(),
            source: Source::Enrolled,
        };
        self.agent = Some(Agent::start(options).await?);
        Ok(())
    }

    /// Changes the box's settings for its next start.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    /// The box's settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The running agent.
    ///
    /// # Panics
    /// While it is switched off.
    pub fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("the agent runs")
    }

    /// The secret between router and agent.
    pub fn secret(&self) -> &'static str {
        SECRET
    }

    /// Where accounting is answered, also while the box is off.
    pub fn accounting(&self) -> SocketAddr {
        self.config.radius.acct
    }

    /// Where logins are answered, also while the box is off.
    pub fn asked(&self) -> SocketAddr {
        self.config.radius.auth
    }

    /// Where the box keeps who it is.
    pub fn identity_folder(&self) -> PathBuf {
        self.config.identity_folder()
    }

    /// Leaves the box without any file but its identity.
    pub fn forget_files(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.config.data_dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Writes the box's settings to a file, for a process of its own.
    pub fn write_config(&self) -> Result<PathBuf> {
        let Config {
            data_dir,
            radius,
            portal,
            status,
            peers,
            ..
        } = &self.config;
        let file = data_dir.join("agent.toml");
        let text = format!(
            "data_dir = {data_dir:?}\n\
             [radius]\nauth = \"{}\"\nacct = \"{}\"\n\
             [portal]\nlisten = \"{}\"\n\
             [status]\nlisten = \"{}\"\n\
             [peers]\nlisten = \"{}\"\n\
             [site]\nranges = [\"127.0.0.0/8\"]\n",
            radius.auth, radius.acct, portal.listen, status.listen, peers.listen
        );
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// Waits until the link is up and everything the cloud had is applied.
    pub async fn caught_up(&self) -> Result<()> {
        self.link_is("caught up", |status| {
            matches!(
                status,
                LinkStatus::Up {
                    caught_up: true,
                    ..
                }
            )
        })
        .await
    }

    /// Waits until the agent has noticed that the link is down.
    pub async fn cut_off(&self) -> Result<()> {
        self.link_is("down", |status| matches!(status, LinkStatus::Down { .. }))
            .await
    }

    async fn link_is(&self, what: &str, like: impl Fn(&LinkStatus) -> bool) -> Result<()> {
        let link = self.agent().overview().link.clone();
        let mut link = link.context("the agent has a link")?;
        soon(
            &format!("the link is {what}"),
            link.wait_for(|status| like(status)),
        )
        .await??;
        Ok(())
    }

    /// Waits until the agent's own picture of a subscriber looks like that.
    pub async fn knows(
        &self,
        name: &str,
        what: &str,
        like: impl Fn(&Subscriber) -> bool,
    ) -> Result<Arc<Subscriber>> {
        let site = &self.agent().overview().site;
        eventually(&format!("the agent knows {name}: {what}"), async || {
            let known = site.subscriber(name.as_bytes());
            Ok(known.filter(|subscriber| like(subscriber)))
        })
        .await
    }

    /// Waits until the agent knows no subscriber of this name.
    pub async fn knows_nobody(&self, name: &str) -> Result<()> {
        let site = &self.agent().overview().site;
        eventually(&format!("the agent knows no {name}"), async || {
            Ok(site.subscriber(name.as_bytes()).is_none().then_some(()))
        })
        .await
    }

    /// Waits until everything that the agent reported has been taken by the cloud.
    pub async fn reported(&self) -> Result<()> {
        let mut last = None;
        let taken = eventually("the cloud has everything", async || {
            let overview = self.agent().overview().clone();
            let report = tokio::task::spawn_blocking(move || overview.report()).await?;
            let taken = report.waiting.values().all(|waiting| *waiting == 0);
            last = Some(report);
            Ok(taken.then_some(()))
        })
        .await;
        taken.with_context(|| format!("the agent says: {last:#?}"))
    }

    /// A subscriber, whose password is his name, dials once.
    pub async fn dial(&self, name: &str) -> Dial {
        let subscriber = self.router.subscriber(name, name, Method::MsChapV2);
        subscriber.dial().await
    }

    /// Switches the box off in order.
    pub async fn stop_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop().await;
        }
    }

    /// Switches the box off, and then the router.
    pub async fn stop(mut self) {
        self.stop_agent().await;
        self.router.stop().await;
    }
}

impl World {
    /// The settings of another box of this world, with a folder and ports of its own.
    pub fn box_config(&self) -> Result<Config> {
        box_config(self)
    }

    /// Joins another box with a token and switches it on; it has no router.
    pub async fn join(&self, token: &str) -> Result<Agent> {
        let (agent, _) = self.join_with(token, |_| {}).await?;
        Ok(agent)
    }

    /// The same with settings of the story's own; the box and its settings.
    pub async fn join_with(
        &self,
        token: &str,
        change: impl FnOnce(&mut Config),
    ) -> Result<(Agent, Config)> {
        let mut config = box_config(self)?;
        change(&mut config);
        let cloud = self.agents().to_string();
        enroll(&cloud, token, &config.identity_folder(), VERSION).await?;
        Ok((self.switch_on(config.clone()).await?, config))
    }

    /// Switches a box on that has joined.
    pub async fn switch_on(&self, config: Config) -> Result<Agent> {
        let options = AgentOptions {
            config,
            clock: self.clock.clone(),
            entropy: Entropy::system(),
            source: Source::Enrolled,
        };
        Ok(Agent::start(options).await?)
    }

    /// An address for a router that nobody else of this machine has.
    pub fn roof(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.host) | 0x0080_0000)
    }
}

fn box_config(world: &World) -> Result<Config> {
    let mut config = Config {
        data_dir: world.new_box(),
        ..Config::default()
    };
    config.radius.auth = world.free_port()?;
    config.radius.acct = world.free_port()?;
    config.status.listen = world.free_port()?;
    config.portal.listen = world.free_port()?;
    config.peers.listen = world.free_port()?;
    config.syslog.listen = world.free_port()?;
    config.site.ranges.push("127.0.0.0/8".parse()?);
    Ok(config)
}
