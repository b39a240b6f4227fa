//! A roof: a box that has joined, and beside it a router out of its box.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_agent::Agent;
use easyisp_agent::config::Config;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::setup::Release;
use easyisp_tests::line::Line;
use easyisp_tests::operator::http_client;
use easyisp_tests::router::api::{Api, Face};
use easyisp_tests::router::script::Machine;
use easyisp_tests::router::wiring::Lan;
use easyisp_tests::router::{Router, Server, Settings};
use easyisp_tests::world::{Provider, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Where the router finds its agent.
const AGENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

pub struct Roof {
    pub world: World,
    pub isp: Provider,
    pub router: Router,
    /// Where the router is.
    pub address: Ipv4Addr,
    agent: Option<Agent>,
    config: Config,
}

impl Roof {
    pub async fn open(name: &str) -> Result<Roof> {
        Roof::within(World::start().await?, name).await
    }

    /// The same with a router of this version.
    pub async fn open_at(face: Face, name: &str) -> Result<Roof> {
        let machine = unpacked(face);
        Roof::of(World::start().await?, name, (face, machine), |_| {}).await
    }

    /// The same in a world of the caller's own.
    pub async fn within(world: World, name: &str) -> Result<Roof> {
        let machine = unpacked(Face::Seven);
        Roof::of(world, name, (Face::Seven, machine), |_| {}).await
    }

    /// A box at the end of a line, beside a router that has no uplink yet.
    pub async fn at_the_end_of(line: &Line, world: World, name: &str) -> Result<Roof> {
        let address = line.address.to_string();
        let over = |config: &mut Config| config.cloud.address = Some(address);
        Roof::of(world, name, (Face::Seven, beside_its_box()), over).await
    }

    async fn of(
        world: World,
        name: &str,
        (face, machine): (Face, Machine),
        change: impl FnOnce(&mut Config),
    ) -> Result<Roof> {
        let isp = Provider::sign_up(&world, name).await?;
        let token = isp.owner.join_token().await?;
        let announce = (AGENT, 1814).into();
        let listen = world.free_port()?;
        let named = |config: &mut Config| {
            config.peers.announce = Some(announce);
            config.wizard.listen = listen;
            change(config);
        };
        let (agent, config) = world.join_with(&token, named).await?;
        let server = Server {
            auth: config.radius.auth,
            acct: config.radius.acct,
        };
        let address = world.roof();
        let api = Api {
            listen: (address, 8729).into(),
            tls: true,
            ..Api::of(face, "", "")
        };
        let settings = Settings {
            source: address,
            fresh: Some(machine),
            lan: Lan::default().with(AGENT, server).pages(AGENT, listen),
            incoming: Some((address, 3799).into()),
            api: Some(api),
            ..Settings::new("", server.auth, server.acct)
        };
        let router = Router::start_on(settings, world.clock.clone(), Entropy::system()).await?;
        Ok(Roof {
            world,
            isp,
            router,
            address,
            agent: Some(agent),
            config,
        })
    }

    /// Takes a command for a new router, as soon as the cloud knows where the agent listens.
    pub async fn start(&self, name: &str) -> Result<Value> {
        let body = json!({"name": name});
        eventually("the agent has said where it listens", async || {
            let (status, said) = self
                .isp
                .owner
                .call(Method::POST, "/wizard/start", Some(&body))
                .await?;
            match status {
                StatusCode::OK => Ok(Some(said)),
                _ if said["code"] == "NO_AGENT" => Ok(None),
                _ => anyhow::bail!("{status} {said}"),
            }
        })
        .await
    }

    /// The same, pasted, and the agent has entered the router; the router's id.
    pub async fn bring_up(&self, name: &str) -> Result<String> {
        let started = self.start(name).await?;
        let command = started["provisionCommand"].as_str().context("a command")?;
        let pasted = self.router.paste(command).await;
        anyhow::ensure!(
            pasted.is_ok(),
            "{pasted:?} {:?}",
            self.router.machine().caught
        );
        let id = started["routerId"].as_str().context("an id")?.to_owned();
        self.entered(&id).await?;
        Ok(id)
    }

    /// Waits until the agent enters the router.
    pub async fn entered(&self, id: &str) -> Result<()> {
        eventually("the agent enters it", async || {
            let verified = self.isp.owner.get(&format!("/wizard/{id}/verify")).await?;
            Ok((verified["apiReachable"] == true).then_some(()))
        })
        .await
    }

    /// Waits until the agent, as it looks at its routers every minute, told that it got in.
    pub async fn looked_in(&self, id: &str) -> Result<()> {
        eventually("its agent reads it", async || {
            self.world.clock.advance(Duration::from_secs(30));
            let router = self.isp.owner.get(&format!("/nas/{id}")).await?;
            Ok((router["boardName"] != Value::Null).then_some(()))
        })
        .await
    }

    /// Somebody without a login asks, from 127.0.0.1, and claims to come from somewhere else.
    pub async fn fetch(&self, path: &str) -> Result<(StatusCode, String)> {
        let url = format!("http://{}{path}", self.world.api());
        let request = http_client()
            .get(url)
            .header("x-forwarded-for", "198.51.100.7")
            .header("x-real-ip", "198.51.100.7");
        let answer = request.send().await?;
        Ok((answer.status(), answer.text().await?))
    }

    pub fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("the box is on")
    }

    /// Where the door for routers is, while it is open.
    pub fn door(&self) -> std::net::SocketAddr {
        self.config.wizard.listen
    }

    pub async fn switch_off(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop().await;
        }
    }

    pub async fn switch_on(&mut self) -> Result<()> {
        self.agent = Some(self.world.switch_on(self.config.clone()).await?);
        Ok(())
    }

    pub async fn close(mut self) -> Result<()> {
        self.switch_off().await;
        self.router.stop().await;
        self.world.stop().await
    }
}

/// From the factory, with its box at its last port and nothing else.
pub fn beside_its_box() -> Machine {
    let mut machine = Machine::new(Release::V7);
    machine.put_all("/system device-mode", "mode", "advanced");
    machine.put_all("/system device-mode", "hotspot", "yes");
    let lan = [("address", "10.9.0.1/24"), ("interface", "ether5")];
    machine.put("/ip address", &lan);
    machine
}

/// From the factory, with a line to the internet at its first port.
pub fn unpacked(face: Face) -> Machine {
    let mut machine = Machine::new(face.release());
    machine.put_all("/system device-mode", "mode", "advanced");
    machine.put_all("/system device-mode", "hotspot", "yes");
    machine.put(
        "/ip address",
        &[("address", "192.0.2.2/30"), ("interface", "ether1")],
    );
    machine.put(
        "/ip route",
        &[
            ("dst-address", "0.0.0.0/0"),
            ("gateway", "192.0.2.1"),
            ("immediate-gw", "192.0.2.1%ether1"),
            ("active", "yes"),
        ],
    );
    machine
}

/// Both services, each at ports of its own.
pub fn both() -> Value {
    json!({
        "serviceType": "both", "wanInterface": "ether1",
        "hotspotConfig": {"interfaces": ["ether3", "wlan1"], "gatewayIp": "", "dnsServers": ["9.9.9.9"]},
        "pppoeConfig": {"interfaces": ["ether2"], "serviceName": "Mzee's \"line\" $1; {é}"},
        "createBackup": true, "configureFirewall": true, "unknown": null,
    })
}

/// What a router is configured to be: without its files, the numbers of rows, and what is set to nothing.
pub fn plain(router: &Router) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    let mut state = router.machine().state();
    state.remove("/file");
    for row in state.values_mut().flatten() {
        row.retain(|name, value| !value.is_empty() && name != "run-count");
    }
    for rows in state.values_mut() {
        rows.sort();
    }
    state
}
