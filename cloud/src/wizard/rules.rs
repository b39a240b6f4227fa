//! From what is known and chosen to a router's setup.

use std::net::{IpAddr, Ipv4Addr};

use easyisp_shared::id::TenantId;
use easyisp_shared::setup::{
    Alive, ApiLogin, Fault, GUESTS, Hotspot, LINE, Lan, NAME_SERVERS, PLAIN_API, Pages, Pool,
    Pppoe, Release, SERVICE_NAME, Setup, Snmp, Step, first_script, imported, mode, pasted,
    pasted_checked, script, wanted,
};
use ipnet::Ipv4Net;
use secrecy::SecretString;
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
    /// Where it is asked.
    pub snmp_port: u16,
    /// What it said of itself.
    pub version: Option<String>,
    /// Whether its DHCP servers ask for leases.
    pub dhcp_radius: bool,
    /// Of its tenant.
    pub time_zone: String,
    /// Where guests pay, where the tenant has such a page.
    pub portal_url: Option<String>,
    /// Where each agent of its site listens.
    pub agents: Vec<Vec<String>>,
    /// Where it is, as far as is known.
    pub address: Option<Ipv4Addr>,
    /// Its own networks, where it was asked for them.
    pub networks: Vec<Ipv4Net>,
    /// Whose it is.
    pub tenant: TenantId,
    /// What shows who it is where it tells that it lives.
    pub alive: SecretString,
}

/// What the caller chose.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Chosen {
    /// Both without it.
    pub services: Option<Services>,
    /// RouterOS 6 or 7; as the router said, else 7.
    pub release: Option<u8>,
    /// What it said it runs when it was configured: it counts while its record says nothing.
    pub ran: Option<u8>,
    /// The interface to the internet.
    pub wan: Option<String>,
    /// Further ones, of a router with several lines.
    pub more_wans: Vec<String>,
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
    /// Whether the first script leaves firewall and SNMP as they are: another system looks after them still.
    pub beside: bool,
    /// Where this server is for a router that tells by itself that it lives: as it was when it took its script.
    pub cloud: Option<String>,
    /// Whether its first script takes the hotspot's pages from there.
    pub pages: bool,
    /// Whether its device's mode knows no scheduler, so that it cannot tell that.
    pub mute: bool,
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

/// The script that a router fetches first: all but what serves subscribers, for either release. Who serves some
/// already goes on giving them the same addresses. It ends with a call of `callback`.
pub fn written_first(known: Known, chosen: Chosen, callback: &str) -> Result<String, Vec<Fault>> {
    let without = left_out(&chosen);
    let setup = checked(known, without_interfaces(chosen))?;
    Ok(first_script(&setup, without, callback))
}

/// What a router's first script is written by: what it serves already, with what is asked for now. One that moves in
/// keeps firewall and SNMP as they are unless somebody wants them.
pub fn begun(
    kept: Option<Chosen>,
    agents: Vec<String>,
    firewall: Option<bool>,
    moves_in: bool,
) -> Chosen {
    let usual = || Chosen {
        firewall: true,
        ..Chosen::default()
    };
    let kept = kept.unwrap_or_else(usual);
    Chosen {
        agents: match agents.is_empty() {
            true => kept.agents.clone(),
            false => agents,
        },
        firewall: firewall.unwrap_or(kept.firewall && !moves_in),
        beside: moves_in && firewall != Some(true),
        ..kept
    }
}

/// What the first script changes at a router, in words.
pub fn told_first(known: Known, chosen: Chosen) -> Result<String, Vec<Fault>> {
    let without = left_out(&chosen);
    let setup = checked(known, without_interfaces(chosen))?;
    let agents: Vec<String> = setup.agents.iter().map(Ipv4Addr::to_string).collect();
    let agents = agents.join(" and ");
    let user = setup
        .api
        .as_ref()
        .map_or("easyisp", |login| login.user.as_str());
    let mut told = format!(
        "It sets the router's name and clock; makes the login {user} (one that somebody made by that name stays as it \
         is) and opens api-ssl to {agents} alone; asks {agents} by RADIUS and takes CoA at port {}",
        setup.coa_port
    );
    if let Some(pppoe) = &setup.pppoe {
        told.push_str(&format!("; PPPoE gives out {}", pppoe.pool));
    }
    if let Some(hotspot) = &setup.hotspot {
        told.push_str(&format!("; the hotspot gives out {}", hotspot.pool));
    }
    told.push_str(match (without.is_empty(), setup.firewall) {
        (true, true) => {
            "; SNMP and its default community become ours; API, SNMP and CoA are closed to all others, fasttrack is \
             switched off"
        }
        (true, false) => {
            "; SNMP and its default community become ours; fasttrack is switched off, and nothing is closed"
        }
        (false, _) => "; firewall and SNMP stay as they are",
    });
    let pages = setup
        .hotspot
        .as_ref()
        .and_then(|hotspot| hotspot.pages.as_ref());
    if pages.is_some() {
        told.push_str("; the hotspot's pages become ours");
    }
    if setup.alive.is_some() {
        told.push_str("; it says here every five minutes that it lives");
    }
    told.push_str("; its log is sent to the agents.");
    Ok(told)
}

/// Where a router serves subscribers is nothing of its first script.
fn without_interfaces(chosen: Chosen) -> Chosen {
    Chosen {
        release: None,
        wan: None,
        more_wans: Vec::new(),
        pppoe: Vec::new(),
        hotspot: Vec::new(),
        dhcp_servers: Vec::new(),
        bridges: Vec::new(),
        ..chosen
    }
}

fn left_out(chosen: &Chosen) -> &'static [&'static str] {
    match chosen.beside {
        true => &[PLAIN_API, "SNMP", "firewall"],
        false => &[],
    }
}

/// What every menu of a router must hold, step by step. The login of whoever applies it is left alone: nobody saws
/// at the branch that he sits on.
pub fn planned(known: Known, chosen: Chosen) -> Result<Vec<Step>, Vec<Fault>> {
    planned_for(known, chosen).map(|(_, steps)| steps)
}

/// The same, and the agents for which it is planned.
pub fn planned_for(known: Known, chosen: Chosen) -> Result<(Vec<Ipv4Addr>, Vec<Step>), Vec<Fault>> {
    let release = release(&known, &chosen)?;
    let mut setup = checked(known, chosen)?;
    setup.api = None;
    let mut steps = wanted(&setup, release);
    steps.retain(|step| !step.items.is_empty());
    Ok((setup.agents, steps))
}

/// What a router is to be, and which release it has, or what is wrong with the choice.
pub fn looked_for(known: Known, chosen: Chosen) -> Result<(Setup, Release), Vec<Fault>> {
    let release = release(&known, &chosen)?;
    Ok((checked(known, chosen)?, release))
}

pub fn release(known: &Known, chosen: &Chosen) -> Result<Release, Vec<Fault>> {
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
        None => Ok(
            match (known.version.as_deref().and_then(Release::of), chosen.ran) {
                (Some(release), _) => release,
                (None, Some(6)) => Release::V6,
                (None, Some(_) | None) => Release::V7,
            },
        ),
    }
}

fn checked(known: Known, chosen: Chosen) -> Result<Setup, Vec<Fault>> {
    let is_left_alone = chosen.beside;
    let setup = setup(known, chosen)?;
    let mut faults = setup.faults();
    // It would be left out without a word, and the device be silent for ever.
    if !is_left_alone && setup.snmp.as_ref().is_some_and(|snmp| !snmp.is_known()) {
        faults.push(Fault {
            field: "authProtocol",
            message: "of its SNMP must be MD5 or SHA1: RouterOS has no other; change it (POST /api/snmp/settings)"
                .to_owned(),
        });
    }
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
        [] => NAME_SERVERS.to_vec(),
        named => named.to_vec(),
    };
    let bridges = chosen.bridges;
    let pages = chosen.cloud.clone().filter(|_| chosen.pages);
    let knows_cloud = chosen.cloud.is_some();
    // Its pages ask the cloud what there is to buy, and pay there.
    let open = known.portal_url.iter().chain(&chosen.cloud);
    let mut open_hosts: Vec<String> = open.filter_map(|url| host(url)).collect();
    open_hosts.dedup();
    let lan = |names| Lan::of(names, &bridges);
    let agents = match chosen.agents.as_slice() {
        [] => nearest(&known),
        asked => asked
            .iter()
            .map(|text| address(text))
            .collect::<Result<_, _>>()?,
    };
    Ok(Setup {
        identity: known.name,
        time_zone: known.time_zone,
        agents,
        radius_secret: known.secret.into(),
        coa_port: u16::try_from(known.coa_port).unwrap_or(3799),
        api: known.api.map(|(user, password)| ApiLogin {
            user,
            password: password.into(),
        }),
        snmp: known.snmp,
        snmp_port: known.snmp_port,
        wan: chosen.wan,
        more_wans: chosen.more_wans,
        pppoe: (services != Services::Hotspot).then(|| Pppoe {
            lan: lan(chosen.pppoe),
            service_name: chosen
                .service_name
                .unwrap_or_else(|| SERVICE_NAME.to_owned()),
            local_address,
            pool: line,
            dns: dns.clone(),
        }),
        hotspot: (services != Services::Pppoe).then(|| Hotspot {
            lan: lan(chosen.hotspot),
            gateway,
            pool: guests,
            dns: dns.clone(),
            open_hosts,
            opens_no_others: knows_cloud,
            pages: pages.map(|cloud| Pages {
                url: format!("{}{PAGES_AT}", cloud.trim_end_matches('/')),
                query: format!("tenantId={}", known.tenant),
            }),
        }),
        leases: known.dhcp_radius.then_some(chosen.dhcp_servers),
        firewall: chosen.firewall,
        alive: chosen.cloud.filter(|_| !chosen.mute).map(|url| Alive {
            url: format!("{}{TOLD_AT}", url.trim_end_matches('/')),
            token: known.alive,
        }),
    })
}

/// Where the hotspot's pages are.
const PAGES_AT: &str = "/provision/hotspot/";
/// Where routers tell that they live.
pub const TOLD_AT: &str = "/provision/alive";

/// One address of each agent, of two agents at the most: two of one agent would leave no room for the other. It is
/// the one in a network of the router, else the one that is nearest to where the router is, else the first.
pub fn nearest(known: &Known) -> Vec<Ipv4Addr> {
    let distance = |address: Ipv4Addr| {
        let router = known.address.filter(|router| !router.is_unspecified());
        let apart = |router: Ipv4Addr| (router.to_bits() ^ address.to_bits()).checked_ilog2();
        let is_beside = known.networks.iter().any(|net| net.contains(&address));
        (!is_beside, router.and_then(apart))
    };
    let of_one = |addresses: &Vec<String>| {
        let usable = addresses.iter().filter_map(|text| v4(text));
        usable.min_by_key(|address| distance(*address))
    };
    known.agents.iter().filter_map(of_one).take(2).collect()
}

/// Whether an agent listens at several addresses: which of them a router is to ask was chosen.
pub fn is_ambiguous(known: &Known) -> bool {
    let several =
        |addresses: &Vec<String>| addresses.iter().filter_map(|text| v4(text)).count() > 1;
    known.agents.iter().any(several)
}

/// `10.9.0.2` or `10.9.0.2:1814`; loopback is nowhere for a router.
pub fn v4(text: &str) -> Option<Ipv4Addr> {
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

/// What is pasted into a router's terminal: it believes whatever certificate it is shown. A router out of its box does
/// not know what time it is, and before 7.19 knows no authority, so that it could believe none.
pub fn command(public_url: &str, token: &str) -> String {
    pasted(&format!("{public_url}/provision/{token}"))
}

/// The same for a router that can tell our certificate from another's: from 7.19 on, and with the right time. `None`
/// where this server shows none.
pub fn checked_command(public_url: &str, token: &str) -> Option<String> {
    let shows_one = public_url.starts_with("https:");
    shows_one.then(|| pasted_checked(&format!("{public_url}/provision/{token}")))
}

/// What a router runs that enters itself: it says its serial number and imports what it is answered.
pub fn register_command(public_url: &str, token: &str) -> String {
    let mode = mode(public_url);
    format!(
        "/tool fetch mode={mode} url=\"{public_url}/provision/register\" http-method=post \
         http-header-field=\"Content-Type: application/json\" http-data=\"{{\\\"token\\\":\\\"{token}\\\",\
         \\\"serialNumber\\\":\\\"$[/system routerboard get serial-number]\\\",\\\"script\\\":true}}\" \
         dst-path=easyisp-register.rsc; :delay 2s; {}",
        imported("easyisp-register.rsc")
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::setup::Password;
    use easyisp_shared::wire::monitor::SnmpAuth;

    use super::*;

    fn known() -> Known {
        Known {
            name: "Tower 1".to_owned(),
            secret: "radius-secret".to_owned(),
            coa_port: 3799,
            dhcp_radius: false,
            api: None,
            snmp: None,
            snmp_port: 161,
            version: None,
            time_zone: "Africa/Nairobi".to_owned(),
            portal_url: Some("https://pay.example.net/now".to_owned()),
            agents: vec![vec![
                "127.0.0.1:1814".to_owned(),
                "10.9.0.2:1814".to_owned(),
            ]],
            address: None,
            networks: Vec::new(),
            tenant: TenantId(uuid::Uuid::from_u128(1)),
            alive: "a-token".into(),
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

    /// The pages of its hotspot ask the cloud, whatever pays elsewhere.
    #[test]
    fn guests_reach_the_cloud_before_they_log_in() {
        for (cloud, row) in [
            ("https://isp.example.com", "dst-host=\"isp.example.com\""),
            ("http://10.0.0.2:8080", "dst-address=\"10.0.0.2\""),
        ] {
            let chosen = Chosen {
                cloud: Some(cloud.to_owned()),
                ..Chosen::default()
            };
            let script = written(known(), chosen).unwrap();
            assert!(script.contains(row), "{script}");
            assert!(script.contains("dst-host=\"pay.example.net\""), "{script}");
        }
    }

    #[test]
    fn a_digest_that_no_routeros_has_is_refused_by_name() {
        let user = |by| Snmp::User {
            name: "watch".to_owned(),
            auth: Some(Password {
                by,
                password: "a-password".into(),
            }),
            privacy: None,
        };
        let watched = |by| Known {
            snmp: Some(user(by)),
            ..known()
        };
        let faults = written(watched(SnmpAuth::Sha256), Chosen::default()).unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["authProtocol"], "once");
        assert!(written(watched(SnmpAuth::Sha1), Chosen::default()).is_ok());
        // Whose SNMP is left to another system may be read in any way.
        let beside = || Chosen {
            beside: true,
            ..Chosen::default()
        };
        let callback = "https://isp.example.com/x?key=K";
        assert!(written_first(watched(SnmpAuth::Sha256), beside(), callback).is_ok());
        assert!(told_first(watched(SnmpAuth::Sha256), beside()).is_ok());
    }

    /// The pages on the router ask this server what is sold.
    #[test]
    fn guests_reach_where_they_pay_and_what_their_page_asks() {
        let chosen = |cloud: &str| Chosen {
            cloud: Some(cloud.to_owned()),
            ..Chosen::default()
        };
        let script = written(known(), chosen("https://isp.example.com/")).unwrap();
        for host in ["pay.example.net", "isp.example.com"] {
            assert!(
                script.contains(&format!("dst-host=\"{host}\"")),
                "{host}: {script}"
            );
        }
        let script = written(known(), chosen("http://192.0.2.9:8080")).unwrap();
        assert!(!script.contains("dst-host=\"192.0.2.9\""), "{script}");
    }

    #[test]
    fn the_release_is_what_the_router_said() {
        let ran = Chosen {
            ran: Some(6),
            ..Chosen::default()
        };
        assert!(written(known(), ran).unwrap().contains("for RouterOS 6"));
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
    fn a_certificate_is_checked_where_there_is_one_and_somebody_wants_it() {
        let (https, http) = ("https://isp.example.com", "http://10.0.0.2:8080");
        assert!(!command(https, "T").contains("check-certificate"));
        let checked = checked_command(https, "T").unwrap();
        assert!(
            checked.contains("/tool fetch mode=https check-certificate=yes url=\"https://isp"),
            "{checked}"
        );
        assert_eq!(checked_command(http, "T"), None);
    }

    /// Two boxes with two interfaces each are two agents, each at the address that the router reaches.
    #[test]
    fn each_agent_is_asked_at_one_address() {
        let list = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        let mut two = Known {
            agents: vec![
                list(["10.9.0.2:1814", "192.168.88.2:1814"]),
                list(["10.9.0.3:1814", "192.168.88.3:1814"]),
            ],
            ..known()
        };
        let asked = |known: &Known| {
            nearest(known)
                .iter()
                .map(Ipv4Addr::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(asked(&two), ["10.9.0.2", "10.9.0.3"]);
        assert!(is_ambiguous(&two) && !is_ambiguous(&known()));
        two.address = "192.168.88.1".parse().ok();
        assert_eq!(asked(&two), ["192.168.88.2", "192.168.88.3"]);
        two.networks = vec!["10.9.0.1/24".parse().unwrap()];
        assert_eq!(asked(&two), ["10.9.0.2", "10.9.0.3"]);
    }

    /// A new command for a router that serves customers leaves their addresses as they are.
    #[test]
    fn who_serves_already_goes_on_with_the_same_addresses() {
        let chosen = Chosen {
            services: Some(Services::Pppoe),
            wan: Some("ether1".to_owned()),
            pppoe: vec!["ether2".to_owned()],
            line: Range {
                address: "10.77.0.1".parse().ok(),
                first: "10.77.0.50".parse().ok(),
                last: "10.77.0.90".parse().ok(),
            },
            firewall: true,
            ..Chosen::default()
        };
        let callback = "https://isp.example.com/x?key=K";
        let script = written_first(known(), chosen.clone(), callback).unwrap();
        assert!(script.contains("ranges=10.77.0.50-10.77.0.90"), "{script}");
        assert!(
            !script.contains("10.10.10.") && !script.contains("10.5.50."),
            "{script}"
        );
        assert!(script.contains("service=ppp "), "{script}");
        assert!(!script.contains("ether"), "{script}");
        let told = told_first(known(), chosen).unwrap();
        assert!(
            told.contains("10.77.0.50-10.77.0.90") && !told.contains("hotspot"),
            "{told}"
        );
    }

    #[test]
    fn a_router_that_moves_in_keeps_its_firewall_and_its_community() {
        let chosen = Chosen {
            beside: true,
            ..Chosen::default()
        };
        let callback = "https://isp.example.com/x?key=K";
        let watched = || Known {
            snmp: Some(Snmp::Community("community".into())),
            ..known()
        };
        let script = written_first(watched(), chosen.clone(), callback).unwrap();
        assert!(
            !script.contains("/ip firewall filter") && !script.contains("/snmp"),
            "{script}"
        );
        assert!(
            told_first(watched(), chosen)
                .unwrap()
                .contains("stay as they are")
        );
        let script = written_first(watched(), Chosen::default(), callback).unwrap();
        assert!(
            script.contains("/ip firewall filter") && script.contains("/snmp"),
            "{script}"
        );
    }

    /// What holds secrets goes away also where it could not be imported.
    #[test]
    fn a_file_that_is_not_imported_is_removed_all_the_same() {
        for line in [
            command("https://isp.example.com", "T"),
            register_command("https://isp.example.com", "T"),
        ] {
            let (_, import) = line.split_once(":do { /import ").unwrap();
            let (_, after) = import.split_once("} on-error={").unwrap();
            let (_, after) = after.split_once("}; ").unwrap();
            assert!(
                after.starts_with("/file remove [find where name="),
                "{line}"
            );
        }
    }

    #[test]
    fn a_file_has_a_name_that_every_desktop_takes() {
        assert_eq!(file_name("Tower/1 é"), "Tower_1___config.rsc");
    }
}
