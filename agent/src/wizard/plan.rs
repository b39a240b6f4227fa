//! From what is wished and found to what the router is to be.

use std::net::Ipv4Addr;

use easyisp_shared::setup::{
    ApiLogin, GUESTS, Hotspot, LINE, Lan, NAME_SERVERS, Pool, Pppoe, SERVICE_NAME, Setup,
    free_ports,
};
use easyisp_shared::wire::brought::ServesV1;
use easyisp_shared::wire::router::InterfaceV1;
use secrecy::SecretString;

use super::draft::{COA_PORT, Wish};
use crate::site::Policy;

/// Everything that the first script leaves to the agent: all but the login.
pub(super) const LATER: [&str; 8] = [
    "name and time",
    "RADIUS",
    "PPPoE",
    "hotspot",
    "SNMP",
    "firewall",
    "log to the agents",
    "DHCP",
];

/// What a router told of itself.
pub(super) struct Found {
    pub interfaces: Vec<InterfaceV1>,
    /// The likeliest way to the internet first.
    pub uplinks: Vec<String>,
    /// By which it reaches this box, down to the ports.
    pub agent_at: Vec<String>,
    /// From where it saw this box come in.
    pub entered: Vec<Ipv4Addr>,
}

/// What it is to be, before anything is known of its interfaces.
pub(super) fn setup(wish: &Wish, agent: Ipv4Addr, policy: &Policy, api: Option<ApiLogin>) -> Setup {
    let row = policy.row.as_ref();
    let zone = row.map_or("UTC", |row| row.zone.as_str());
    let portal = row.and_then(|row| host(row.portal_url.as_deref()?));
    Setup {
        identity: wish.name.clone(),
        time_zone: zone.to_owned(),
        agents: vec![agent],
        radius_secret: SecretString::default(),
        coa_port: COA_PORT,
        api,
        snmp: None,
        snmp_port: 161,
        wan: None,
        more_wans: Vec::new(),
        pppoe: wish.pppoe.as_ref().map(|_| Pppoe {
            lan: None,
            service_name: SERVICE_NAME.to_owned(),
            local_address: LINE,
            pool: Pool::beside(LINE),
            dns: NAME_SERVERS.to_vec(),
        }),
        hotspot: wish.hotspot.as_ref().map(|_| Hotspot {
            lan: None,
            gateway: GUESTS,
            pool: Pool::beside(GUESTS),
            dns: NAME_SERVERS.to_vec(),
            open_hosts: portal.into_iter().collect(),
            opens_no_others: false, // the cloud may have opened its own
            pages: None,            // the cloud's, which is away
        }),
        leases: None,
        firewall: wish.firewall,
        alive: None, // only the cloud asks for that
    }
}

/// The whole of it. The login of whoever applies it is left alone.
pub(super) fn whole(wish: &Wish, serves: &ServesV1, policy: &Policy, secret: &str) -> Setup {
    let agent = serves
        .agents
        .first()
        .copied()
        .unwrap_or(Ipv4Addr::UNSPECIFIED);
    let mut setup = Setup {
        radius_secret: secret.to_owned().into(),
        wan: Some(serves.wan.clone()),
        ..setup(wish, agent, policy, None)
    };
    let lan = |names: &Option<Vec<String>>| Lan::of(names.clone()?, &serves.bridges);
    if let Some(pppoe) = &mut setup.pppoe {
        pppoe.lan = lan(&serves.pppoe);
    }
    if let Some(hotspot) = &mut setup.hotspot {
        hotspot.lan = lan(&serves.hotspot);
    }
    setup
}

/// What a router serves, and where: as it was wished, the rest as is likeliest. Why it cannot, in words.
pub(super) fn serves(wish: &Wish, agent: Ipv4Addr, found: &Found) -> Result<ServesV1, String> {
    let of = |name: &str| found.interfaces.iter().find(|one| one.name == name);
    let behind = |name: &str| found.agent_at.iter().any(|one| one == name);
    // Where no way out is seen the uplink is not there yet: it comes in at the first port, as the maker has it.
    let usual = of(USUAL_WAN)
        .map(|one| one.name.clone())
        .filter(|name| !behind(name));
    let wan = wish
        .wan
        .clone()
        .or_else(|| found.uplinks.first().cloned())
        .or(usual);
    let wan = wan.ok_or(
        "no way to the internet is seen, and ether1 is not free: say which interface it is (--wan)",
    )?;
    if found.agent_at.is_empty() {
        return Err(format!(
            "the router does not tell by which interface it reaches {agent}, so that nobody knows whether subscribers \
             there would cut this box off: see that it has an address in this box's network"
        ));
    }
    if wish.firewall && !found.entered.is_empty() && !found.entered.contains(&agent) {
        let seen: Vec<String> = found.entered.iter().map(Ipv4Addr::to_string).collect();
        return Err(format!(
            "the router sees this box at {}, and would be closed to all but {agent}: say the other address (--agent)",
            seen.join(" and ")
        ));
    }
    let named = [&wish.pppoe, &wish.hotspot].into_iter().flatten().flatten();
    let named: Vec<String> = named.cloned().collect();
    for name in named.iter().chain([&wan]) {
        if of(name).is_none() {
            return Err(format!("the router has no interface {name}"));
        }
    }
    if let Some(port) = named.iter().find(|name| behind(name)) {
        return Err(format!(
            "this box is reached by {port}: subscribers there would cut it off; choose other interfaces, or move the cable"
        ));
    }
    let mut free = free_ports(&found.interfaces, &wan, &found.agent_at);
    free.retain(|name| !named.contains(name));
    let place = |wished: &Option<Vec<String>>| {
        let wished = wished.as_ref()?;
        Some(if wished.is_empty() {
            free.clone()
        } else {
            wished.clone()
        })
    };
    let serves = ServesV1 {
        pppoe: place(&wish.pppoe),
        hotspot: place(&wish.hotspot),
        bridges: bridges(&found.interfaces, &named),
        wan,
        agents: vec![agent],
        firewall: wish.firewall,
    };
    let is_empty = |names: &Option<Vec<String>>| names.as_ref().is_some_and(Vec::is_empty);
    if is_empty(&serves.pppoe) || is_empty(&serves.hotspot) {
        return Err("no port is left for subscribers: name the interfaces".to_owned());
    }
    Ok(serves)
}

fn bridges(interfaces: &[InterfaceV1], named: &[String]) -> Vec<String> {
    let bridges = interfaces.iter().filter(|one| one.kind == "bridge");
    let chosen = bridges.filter(|one| named.contains(&one.name));
    chosen.map(|one| one.name.clone()).collect()
}

/// `pay.example.net` of `https://pay.example.net:8443/x`.
fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', ':', '?', '#']).unwrap_or(rest.len());
    let (host, _) = rest.split_at(end);
    (!host.is_empty() && !host.contains('@')).then(|| host.to_owned())
}

const USUAL_WAN: &str = "ether1";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const AGENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

    fn wish() -> Wish {
        Wish {
            name: "Tower".to_owned(),
            pppoe: Some(Vec::new()),
            hotspot: None,
            wan: None,
            agent: None,
            firewall: true,
            replaced: false,
        }
    }

    fn found() -> Found {
        let port = |name: &str| InterfaceV1 {
            name: name.to_owned(),
            kind: "ether".to_owned(),
            ..InterfaceV1::default()
        };
        Found {
            interfaces: ["ether1", "ether2", "ether3"].map(port).to_vec(),
            uplinks: Vec::new(),
            agent_at: vec!["ether2".to_owned()],
            entered: vec![AGENT],
        }
    }

    #[test]
    fn without_an_uplink_the_first_port_is_kept_for_it() {
        let serves = serves(&wish(), AGENT, &found()).unwrap();
        assert_eq!(
            (serves.wan.as_str(), serves.pppoe),
            ("ether1", Some(vec!["ether3".to_owned()]))
        );
        assert_eq!(serves.hotspot, None);
    }

    #[test]
    fn what_would_cut_this_box_off_is_refused() {
        let behind = Wish {
            pppoe: Some(vec!["ether2".to_owned()]),
            ..wish()
        };
        assert!(
            serves(&behind, AGENT, &found())
                .unwrap_err()
                .contains("ether2")
        );
        let nobody = Found {
            agent_at: Vec::new(),
            ..found()
        };
        assert!(serves(&wish(), AGENT, &nobody).is_err());
        let elsewhere = Found {
            entered: vec![Ipv4Addr::new(10, 9, 0, 7)],
            ..found()
        };
        assert!(
            serves(&wish(), AGENT, &elsewhere)
                .unwrap_err()
                .contains("10.9.0.7")
        );
        let first = Found {
            agent_at: vec!["ether1".to_owned()],
            ..found()
        };
        assert!(
            serves(&wish(), AGENT, &first)
                .unwrap_err()
                .contains("--wan")
        );
    }

    #[test]
    fn a_page_is_open_by_its_host() {
        assert_eq!(
            host("https://pay.example.net:8443/now").as_deref(),
            Some("pay.example.net")
        );
        assert_eq!(host("https://user@host/"), None);
        assert_eq!(host("pay.example.net"), None);
    }
}
