//! From what is known and chosen to a router's setup.

use std::net::{IpAddr, Ipv4Addr};

use easyisp_shared::setup::{
    ApiLogin, Fault, Hotspot, Lan, Pool, Pppoe, Release, Setup, Snmp, Step, first_script, script,
    wanted,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a router is to serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Services {
    /// Guests who meet a page.
    Hotspot,
    /// Subscribers who dial.
    Pppoe,
    /// Both.
    Both,
}

/// What the cloud knows of a router.
pub struct Known {
    /// How it is called.
    pub name: String,
    /// The RADIUS secret.
    pub secret: String,
    /// Where it listens for CoA.
    pub coa_port: i32,
    /// With what the agents log in.
    pub api: Option<(String, String)>,
    /// How its agents read it over SNMP.
    pub snmp: Option<Snmp>,
    /// What it said of itself.
    pub version: Option<String>,
    /// Whether its DHCP servers ask for leases.
    pub dhcp_radius: bool,
    /// Of its tenant.
    pub time_zone: String,
    /// Where guests pay, where the tenant has such a page.
    pub portal_url: Option<String>,
    /// Where the agents of its site listen.
    pub agents: Vec<String>,
}

/// What the caller chose.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Chosen {
    /// Both without it.
    pub services: Option<Services>,
    /// RouterOS 6 or 7; as the router said, else 7.
    pub release: Option<u8>,
    /// The interface to the internet.
    pub wan: Option<String>,
    /// Where subscribers dial.
    pub pppoe: Vec<String>,
    /// Where guests come in.
    pub hotspot: Vec<String>,
    /// DHCP servers that are to ask for leases, where the router's may.
    pub dhcp_servers: Vec<String>,
    /// Agents at other addresses than those that they listen at.
    pub agents: Vec<String>,
    /// Whether API, SNMP and CoA are closed to all but the agents.
    pub firewall: bool,
    /// Interfaces that are bridges at the router: they are used as they are.
    pub bridges: Vec<String>,
    /// What the line of PPPoE is called to those who ask.
    pub service_name: Option<String>,
    /// Addresses of PPPoE.
    pub line: Range,
    /// Addresses of the hotspot.
    pub guests: Range,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
}

/// The router's address and those that it gives out; what is left out follows from the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Range {
    /// The router's own.
    pub address: Option<Ipv4Addr>,
    /// The lowest.
    pub first: Option<Ipv4Addr>,
    /// The highest.
    pub last: Option<Ipv4Addr>,
}

impl Range {
    fn or(self, usual: Ipv4Addr) -> (Ipv4Addr, Pool) {
        let address = self.address.unwrap_or(usual);
        let beside = Pool::beside(address);
        let pool = Pool {
            first: self.first.unwrap_or(beside.first),
            last: self.last.unwrap_or(beside.last),
        };
        (address, pool)
    }
}

/// How many addresses a router that was set up by this choice gives out: by PPPoE, and to guests.
pub fn room(choice: serde_json::Value) -> (Option<u32>, Option<u32>) {
    let Ok(chosen) = serde_json::from_value::<Chosen>(choice) else {
        return (None, None);
    };
    let services = chosen.services.unwrap_or(Services::Both);
    let count = |(_, pool): (Ipv4Addr, Pool)| {
        u32::from(pool.last).saturating_sub(u32::from(pool.first)) + 1
    };
    let line = chosen.line.or(LINE);
    let guests = chosen.guests.or(GUESTS);
    (
        (services != Services::Hotspot).then(|| count(line)),
        (services != Services::Pppoe).then(|| count(guests)),
    )
}

/// The script of a router, or what is wrong with the choice.
pub fn written(known: Known, chosen: Chosen) -> Result<String, Vec<Fault>> {
    let release = release(&known, &chosen)?;
    Ok(script(&checked(known, chosen)?, release))
}

/// The script that a router fetches first: all but what serves subscribers, for either release. It ends with a call
/// of `callback`.
pub fn written_first(known: Known, chosen: Chosen, callback: &str) -> Result<String, Vec<Fault>> {
    let chosen = Chosen {
        agents: chosen.agents,
        firewall: true,
        ..Chosen::default()
    };
    Ok(first_script(&checked(known, chosen)?, callback))
}

/// What every menu of a router must hold, step by step. The login of whoever applies it is left alone: nobody saws
/// at the branch that he sits on.
pub fn planned(known: Known, chosen: Chosen) -> Result<Vec<Step>, Vec<Fault>> {
    let release = release(&known, &chosen)?;
    let mut setup = checked(known, chosen)?;
    setup.api = None;
    let mut steps = wanted(&setup, release);
    steps.retain(|step| !step.items.is_empty());
    Ok(steps)
}

/// What a router is to be, and which release it has, or what is wrong with the choice.
pub fn looked_for(known: Known, chosen: Chosen) -> Result<(Setup, Release), Vec<Fault>> {
    let release = release(&known, &chosen)?;
    Ok((checked(known, chosen)?, release))
}

fn release(known: &Known, chosen: &Chosen) -> Result<Release, Vec<Fault>> {
    match chosen.release {
        Some(6) => Ok(Release::V6),
        Some(7) => Ok(Release::V7),
        Some(_) => {
            let message = "must be 6 or 7; leave it out for what the router said".to_owned();
            Err(vec![Fault {
                field: "release",
                message,
            }])
        }
        None => Ok(known
            .version
            .as_deref()
            .and_then(Release::of)
            .unwrap_or(Release::V7)),
    }
}

fn checked(known: Known, chosen: Chosen) -> Result<Setup, Vec<Fault>> {
    let setup = setup(known, chosen)?;
    let faults = setup.faults();
    if faults.is_empty() {
        Ok(setup)
    } else {
        Err(faults)
    }
}

fn setup(known: Known, chosen: Chosen) -> Result<Setup, Vec<Fault>> {
    let services = chosen.services.unwrap_or(Services::Both);
    let (local_address, line) = chosen.line.or(LINE);
    let (gateway, guests) = chosen.guests.or(GUESTS);
    let dns = match chosen.dns.as_slice() {
        [] => vec![Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(1, 1, 1, 1)],
        named => named.to_vec(),
    };
    let bridges = chosen.bridges;
    let lan = |names: Vec<String>| match names.as_slice() {
        [] => None,
        [one] if bridges.contains(one) => Some(Lan::Bridge(one.clone())),
        _ => Some(Lan::Ports(names)),
    };
    Ok(Setup {
        identity: known.name,
        time_zone: known.time_zone,
        agents: match chosen.agents.as_slice() {
            [] => known
                .agents
                .iter()
                .filter_map(|text| v4(text))
                .take(2)
                .collect(),
            asked => asked
                .iter()
                .map(|text| address(text))
                .collect::<Result<_, _>>()?,
        },
        radius_secret: known.secret.into(),
        coa_port: u16::try_from(known.coa_port).unwrap_or(3799),
        api: known.api.map(|(user, password)| ApiLogin {
            user,
            password: password.into(),
        }),
        snmp: known.snmp,
        wan: chosen.wan,
        pppoe: (services != Services::Hotspot).then(|| Pppoe {
            lan: lan(chosen.pppoe),
            service_name: chosen
                .service_name
                .unwrap_or_else(|| "easyisp-pppoe".to_owned()),
            local_address,
            pool: line,
            dns: dns.clone(),
        }),
        hotspot: (services != Services::Pppoe).then(|| Hotspot {
            lan: lan(chosen.hotspot),
            gateway,
            pool: guests,
            dns: dns.clone(),
            open_hosts: known
                .portal_url
                .iter()
                .filter_map(|url| host(url))
                .collect(),
        }),
        leases: known.dhcp_radius.then_some(chosen.dhcp_servers),
        firewall: chosen.firewall,
    })
}

/// `10.9.0.2` or `10.9.0.2:1814`; loopback is nowhere for a router.
fn v4(text: &str) -> Option<Ipv4Addr> {
    let address = text
        .parse::<std::net::SocketAddr>()
        .map(|socket| socket.ip())
        .or_else(|_| text.parse::<IpAddr>())
        .ok()?;
    match address {
        IpAddr::V4(address) if !address.is_loopback() && !address.is_unspecified() => Some(address),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn address(text: &str) -> Result<Ipv4Addr, Vec<Fault>> {
    v4(text.trim()).ok_or_else(|| {
        let message = format!("must be addresses like 10.9.0.2, not {text:?}");
        vec![Fault {
            field: "agents",
            message,
        }]
    })
}

fn host(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    url.host_str().map(str::to_owned)
}

/// What is pasted into a router's terminal.
pub fn command(public_url: &str, token: &str) -> String {
    let mode = match public_url.split_once(':') {
        Some(("http", _)) => "http",
        _ => "https", // what is public has a certificate
    };
    format!(
        "/tool fetch mode={mode} url=\"{public_url}/provision/{token}\" dst-path=easyisp.rsc; :delay 2s; /import \
         easyisp.rsc; /file remove [find where name=\"easyisp.rsc\"];"
    )
}

/// What a router runs that enters itself: it says its serial number and imports what it is answered.
pub fn register_command(public_url: &str, token: &str) -> String {
    let mode = match public_url.split_once(':') {
        Some(("http", _)) => "http",
        _ => "https", // what is public has a certificate
    };
    format!(
        "/tool fetch mode={mode} url=\"{public_url}/provision/register\" http-method=post \
         http-header-field=\"Content-Type: application/json\" http-data=\"{{\\\"token\\\":\\\"{token}\\\",\
         \\\"serialNumber\\\":\\\"$[/system routerboard get serial-number]\\\",\\\"script\\\":true}}\" \
         dst-path=easyisp-register.rsc; :delay 2s; /import easyisp-register.rsc; \
         /file remove [find where name=\"easyisp-register.rsc\"];"
    )
}

/// A serial number in one form; `None` for what is none.
pub fn serial(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    let fits = (4..=32).contains(&text.len())
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    fits.then_some(text)
}

/// The name of the file that holds a router's script: what a router's file list and every desktop take.
pub fn file_name(router: &str) -> String {
    let safe = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '_'
        }
    };
    let name: String = router.chars().map(safe).collect();
    format!("{name}_config.rsc")
}

/// Where PPPoE ends, unless it is said.
const LINE: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 1);
/// Where guests find the hotspot, unless it is said.
const GUESTS: Ipv4Addr = Ipv4Addr::new(10, 5, 50, 1);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn known() -> Known {
        Known {
            name: "Tower 1".to_owned(),
            secret: "radius-secret".to_owned(),
            coa_port: 3799,
            dhcp_radius: false,
            api: None,
            snmp: None,
            version: None,
            time_zone: "Africa/Nairobi".to_owned(),
            portal_url: Some("https://pay.example.net/now".to_owned()),
            agents: vec!["127.0.0.1:1814".to_owned(), "10.9.0.2:1814".to_owned()],
        }
    }

    #[test]
    fn without_a_choice_it_is_all_but_the_interfaces() {
        let script = written(known(), Chosen::default()).unwrap();
        assert!(script.contains("address=10.9.0.2"), "{script}");
        assert!(script.contains("dst-host=\"pay.example.net\""), "{script}");
        assert!(script.contains("for RouterOS 7"), "{script}");
        assert!(!script.contains("pppoe-server"), "{script}");
        assert!(!script.contains("127.0.0.1"), "{script}");
    }

    #[test]
    fn the_release_is_what_the_router_said() {
        let six = Known {
            version: Some("6.49.10 (long-term)".to_owned()),
            ..known()
        };
        assert!(
            written(six, Chosen::default())
                .unwrap()
                .contains("for RouterOS 6")
        );
    }

    #[test]
    fn without_an_agent_there_is_nobody_to_ask() {
        let alone = Known {
            agents: Vec::new(),
            ..known()
        };
        let faults = written(alone, Chosen::default()).unwrap_err();
        assert_eq!(faults[0].field, "agents");
        let chosen = Chosen {
            agents: vec!["10.9.0.7".to_owned()],
            ..Chosen::default()
        };
        let alone = Known {
            agents: Vec::new(),
            ..known()
        };
        assert!(written(alone, chosen).unwrap().contains("address=10.9.0.7"));
    }

    #[test]
    fn a_file_has_a_name_that_every_desktop_takes() {
        assert_eq!(file_name("Tower/1 é"), "Tower_1___config.rsc");
    }
}
