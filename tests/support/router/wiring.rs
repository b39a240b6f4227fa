//! What a router's configuration means for who dials: whom it asks, under which secret, what it serves, who may
//! enter its API. One state: what a script or the API changed is how the router behaves from then on.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use easyisp_agent::radius::Secret;
use easyisp_shared::setup::SYSLOG_PORT;

use super::script::{Machine, Outside};
use super::senses::Link;
use super::session::Service;
use super::{Router, Server, Settings};

/// Where the addresses of a router's network really are: all of a world is on loopback.
#[derive(Clone, Debug, Default)]
pub struct Lan {
    leads: HashMap<SocketAddr, SocketAddr>,
    comes: Vec<(IpAddr, IpAddr)>,
}

impl Lan {
    /// What is asked at `address` is answered by `server`.
    pub fn with(mut self, address: Ipv4Addr, server: Server) -> Lan {
        self.leads.insert((address, 1812).into(), server.auth);
        self.leads.insert((address, 1813).into(), server.acct);
        // Who dials on loopback comes from its first address.
        for real in [server.auth.ip(), Ipv4Addr::LOCALHOST.into()] {
            self.comes.push((real, address.into()));
        }
        self
    }

    /// Pages at this address and port are served by `agent`.
    pub fn pages(mut self, address: Ipv4Addr, agent: SocketAddr) -> Lan {
        self.leads.insert((address, agent.port()).into(), agent);
        self
    }

    /// Where a page really is.
    fn real(&self, url: &str) -> String {
        let Ok(mut real) = reqwest::Url::parse(url) else {
            return url.to_owned();
        };
        let named = real.host_str().and_then(|host| host.parse().ok());
        if let (Some(address), Some(port)) = (named, real.port_or_known_default()) {
            let leads = self.leads(address, port);
            // Of another kind than the address that it had, never.
            let _is_an_address = real.set_ip_host(leads.ip());
            let _has_a_port = real.set_port(Some(leads.port()));
        }
        real.into()
    }

    /// What is logged at `address` is heard at `agent`.
    pub fn logging(mut self, address: Ipv4Addr, agent: SocketAddr) -> Lan {
        self.leads.insert((address, SYSLOG_PORT).into(), agent);
        self
    }

    pub(super) fn leads(&self, address: IpAddr, port: u16) -> SocketAddr {
        let named = SocketAddr::new(address, port);
        self.leads.get(&named).copied().unwrap_or(named)
    }

    /// What the router calls who comes from there.
    fn names(&self, source: IpAddr) -> Vec<IpAddr> {
        let known = self.comes.iter().filter(|(real, _)| *real == source);
        known.map(|(_, named)| *named).chain([source]).collect()
    }
}

/// What a configuration means.
pub(super) struct Wiring {
    /// `/radius`, in order.
    pub(super) servers: Vec<Server>,
    pub(super) secret: Arc<Secret>,
    pub(super) secret_text: String,
    /// `/radius incoming`.
    pub(super) incoming: Option<u16>,
    pub(super) identity: String,
    pppoe: bool,
    hotspot: bool,
}

impl Wiring {
    pub(super) fn of(machine: &Machine, lan: &Lan) -> Wiring {
        let on = |menu: &str| -> Vec<HashMap<&'static str, String>> {
            let rows = machine.told(menu).unwrap_or_default().into_iter();
            let rows = rows.map(|(_, fields)| fields.into_iter().collect());
            let is_on =
                |row: &HashMap<&str, String>| row.get("disabled").is_none_or(|it| it != "true");
            rows.filter(is_on).collect()
        };
        let radius = on("/radius");
        let server = |row: &HashMap<&str, String>| {
            let address: IpAddr = row.get("address")?.parse().ok()?;
            let port = |name, usual| {
                row.get(name)
                    .and_then(|it| it.parse().ok())
                    .unwrap_or(usual)
            };
            Some(Server {
                auth: lan.leads(address, port("authentication-port", 1812)),
                acct: lan.leads(address, port("accounting-port", 1813)),
            })
        };
        let secret_text = radius.first().and_then(|row| row.get("secret"));
        let secret_text = secret_text.cloned().unwrap_or_default();
        let asks = |menu: &str| machine.first(menu, "use-radius").as_deref() == Some("yes");
        let accepts = machine.first("/radius incoming", "accept").as_deref() == Some("yes");
        let port = machine.first("/radius incoming", "port");
        let profiles = on("/ip/hotspot/profile");
        let by_radius = |row: &HashMap<&str, String>| {
            profiles.iter().any(|profile| {
                profile.get("name") == row.get("profile")
                    && profile.get("use-radius").is_some_and(|it| it == "true")
            })
        };
        Wiring {
            servers: radius.iter().filter_map(server).collect(),
            secret: Arc::new(Secret::new(secret_text.as_bytes())),
            secret_text,
            incoming: port.filter(|_| accepts).and_then(|port| port.parse().ok()),
            identity: machine
                .first("/system identity", "name")
                .unwrap_or_default(),
            pppoe: asks("/ppp aaa") && !on("/interface/pppoe-server/server").is_empty(),
            hotspot: on("/ip/hotspot").iter().any(by_radius),
        }
    }

    /// Whether somebody answers who dials.
    pub(super) fn serves(&self, service: Service) -> bool {
        match service {
            Service::Pppoe => self.pppoe,
            Service::Hotspot => self.hotspot,
        }
    }
}

impl Machine {
    /// A router that somebody set up long ago, as these settings say.
    pub(super) fn running(settings: &Settings, coa: Option<u16>) -> Machine {
        let mut machine = Machine::new(settings.face().release());
        machine.clear("/interface");
        for (number, port) in (0xf0..).zip(settings.ports()) {
            let yes = |is: bool| if is { "yes" } else { "no" };
            machine.put(
                "/interface",
                &[
                    ("name", &port.name),
                    ("default-name", &port.name),
                    ("mtu", "1500"),
                    ("mac-address", &format!("02:00:00:00:00:{number:02X}")),
                    ("rx-byte", &port.passed.down.to_string()),
                    ("tx-byte", &port.passed.up.to_string()),
                    ("link-downs", "2"),
                    ("comment", &port.comment),
                    ("type", port.word),
                    ("running", yes(port.link == Link::Up)),
                    ("disabled", yes(port.link == Link::Off)),
                ],
            );
        }
        machine.put_all("/system identity", "name", &settings.identity);
        for server in &settings.servers {
            let (auth, acct) = (
                server.auth.port().to_string(),
                server.acct.port().to_string(),
            );
            machine.put(
                "/radius",
                &[
                    ("service", "ppp,hotspot"),
                    ("address", &server.auth.ip().to_string()),
                    ("secret", &settings.secret),
                    ("authentication-port", &auth),
                    ("accounting-port", &acct),
                ],
            );
        }
        if let Some(port) = coa {
            machine.put_all("/radius incoming", "accept", "yes");
            machine.put_all("/radius incoming", "port", &port.to_string());
        }
        machine.put_all("/ppp aaa", "use-radius", "yes");
        machine.put(
            "/interface pppoe-server server",
            &[
                ("service-name", "pppoe"),
                ("interface", "ether1"),
                ("disabled", "no"),
            ],
        );
        machine.put(
            "/ip hotspot profile",
            &[("name", "hotspot1"), ("use-radius", "yes")],
        );
        machine.put(
            "/ip hotspot",
            &[
                ("name", "hotspot1"),
                ("interface", "ether1"),
                ("profile", "hotspot1"),
                ("disabled", "no"),
            ],
        );
        if let Some(snmp) = &settings.snmp {
            machine.put_all("/snmp", "enabled", "yes");
            let community = [("name", snmp.community.as_str()), ("read-access", "yes")];
            machine.put("/snmp community", &community);
        }
        if let Some(api) = &settings.api {
            machine.put(
                "/user",
                &[
                    ("name", &api.user),
                    ("password", &api.password),
                    ("group", "full"),
                ],
            );
            machine.put_all("/ip service", "certificate", "its own");
        }
        machine
    }

    /// The password of a user who may come from one of these addresses.
    pub(super) fn password(&self, name: &str, from: &[IpAddr]) -> Option<String> {
        let user = self.rows("/user", "name", name).into_iter().next()?;
        let may = user.get("address").is_none_or(|nets| {
            let mut nets = nets
                .split(',')
                .filter_map(|net| net.parse::<ipnet::IpNet>().ok());
            nets.any(|net| from.iter().any(|from| net.contains(from)))
        });
        user.get("password").filter(|_| may).cloned()
    }

    /// Which key `api-ssl` is spoken under; `None` while it cannot be.
    pub(super) fn api_key(&self) -> Option<String> {
        let mut rows = self.rows("/ip service", "name", "api-ssl").into_iter();
        let service = rows.find(|row| !row.contains_key("dynamic"))?;
        let name = service.get("certificate")?;
        if service.get("disabled").is_some_and(|it| it == "yes") {
            return None;
        }
        let mut held = self.rows("/certificate", "name", name);
        let made = held.pop().and_then(|mut row| row.remove("fingerprint"));
        Some(made.unwrap_or_default())
    }
}

impl super::State {
    /// Whether nothing of the agent's arrives: the cable is out, or its port is a bridge's.
    pub(super) fn is_cut(&self) -> bool {
        let in_bridge = |port: &String| {
            let ports = self
                .machine
                .rows("/interface bridge port", "interface", port);
            !ports.is_empty()
        };
        self.unplugged || self.agent_port.as_ref().is_some_and(in_bridge)
    }
}

impl Router {
    /// The configuration as it is.
    pub fn machine(&self) -> Machine {
        self.state().machine.clone()
    }

    /// Changes the configuration: it is how the router behaves from here on.
    pub fn configure<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let lan = &self.shared.settings.lan;
        self.change(|state| {
            let done = change(&mut state.machine);
            state.wiring = Arc::new(Wiring::of(&state.machine, lan));
            done
        })
    }

    pub(super) fn wiring(&self) -> Arc<Wiring> {
        self.state().wiring.clone()
    }

    /// Who the router takes for whoever comes from there.
    pub(super) fn names(&self, source: IpAddr) -> Vec<IpAddr> {
        self.shared.settings.lan.names(source)
    }

    /// Somebody pastes a line into the router's terminal. Fetching goes out for real, from the router's own address;
    /// what stands at its end is what the terminal says when it stops at an error.
    pub async fn paste(&self, line: &str) -> Result<(), String> {
        let client = self.client()?;
        let runtime = tokio::runtime::Handle::current();
        let lan = self.shared.settings.lan.clone();
        let (router, line) = (self.clone(), line.to_owned());
        let typed = tokio::task::spawn_blocking(move || {
            let mut machine = router.machine();
            let adopting = router.clone();
            machine.reaches(Outside::new(move |machine, url| {
                // Who is called now may look at the router at once.
                adopting.configure(|held| *held = machine.clone());
                runtime.block_on(got(&client, &lan.real(url)))
            }));
            let done = machine.import(&line);
            machine.reaches(Outside::default());
            router.configure(|held| *held = machine);
            done
        });
        typed.await.map_err(|error| error.to_string())?
    }

    /// `/tool/fetch` over the API, by the same way out, into a file.
    pub(super) async fn fetch(&self, url: &str, file: &str) -> Result<(), String> {
        if self.machine().forbids("fetch") {
            return Err("failure: not allowed by device-mode".to_owned());
        }
        let lan = &self.shared.settings.lan;
        let text = got(&self.client()?, &lan.real(url)).await?;
        self.configure(|machine| machine.write_file(file, &text));
        Ok(())
    }

    /// Its way out, from its own address.
    fn client(&self) -> Result<reqwest::Client, String> {
        reqwest::Client::builder()
            .local_address(IpAddr::V4(self.shared.settings.source))
            .no_proxy()
            .build()
            .map_err(|error| error.to_string())
    }
}

async fn got(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let answer = client.get(url).send().await;
    let answer = answer.map_err(|_| "failure: no answer")?;
    match answer.status().is_success() {
        true => answer
            .text()
            .await
            .map_err(|_| "failure: cut off".to_owned()),
        false => Err(format!(
            "failure: Fetch failed with status {}",
            answer.status().as_u16()
        )),
    }
}
