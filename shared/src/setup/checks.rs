//! What cannot be a router.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::wanted::MOST_WANS;
use super::{Lan, Pool, Setup};

/// Something that a router cannot be: which field, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// As the HTTP API calls it.
    pub field: &'static str,
    /// What is wrong and what to do, to be read after the field's name.
    pub message: String,
}

/// Networks wider than this are a mistake of typing.
const WIDEST: u8 = 16;

impl Setup {
    /// All its ways to the internet.
    fn ways(&self) -> impl Iterator<Item = &str> {
        self.wan.iter().chain(&self.more_wans).map(String::as_str)
    }

    /// Everything that is wrong with it; empty when a router can be like this. Whoever has it watched by SNMP also asks
    /// [`super::Snmp::is_known`]: one whose SNMP is left alone may have any.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |field, message: String| faults.push(Fault { field, message });

        let user = self
            .api
            .as_ref()
            .map(|login| ("apiUsername", &login.user, 32));
        for (field, text, most) in [("name", &self.identity, 64)].into_iter().chain(user) {
            let fits = (1..=most).contains(&text.len()) && !text.chars().any(char::is_control);
            if !fits {
                fault(
                    field,
                    format!("must be 1 to {most} bytes on one line; shorten it"),
                );
            }
        }
        if !(1..=2).contains(&self.agents.len()) {
            fault(
                "agents",
                "must be one or two addresses; enrol an agent at the router's site first"
                    .to_owned(),
            );
        }
        if self.pppoe.is_none() && self.hotspot.is_none() {
            fault(
                "serviceType",
                "must be hotspot, pppoe or both; choose one".to_owned(),
            );
        }

        let mut ways: Vec<&str> = self.ways().collect();
        ways.sort_unstable();
        let is_twice = ways.windows(2).any(|pair| pair[0] == pair[1]);
        if is_twice || ways.len() > MOST_WANS || self.wan.is_none() && !ways.is_empty() {
            fault(
                "wanInterfaces",
                format!("must be up to {MOST_WANS} different interfaces; name each once"),
            );
        }

        let lans = [
            (
                "pppoeConfig.interfaces",
                self.pppoe.as_ref().and_then(|it| it.lan.as_ref()),
            ),
            (
                "hotspotConfig.interfaces",
                self.hotspot.as_ref().and_then(|it| it.lan.as_ref()),
            ),
        ];
        for (field, lan) in lans {
            let Some(lan) = lan else { continue };
            let mut names = lan.names();
            if names.is_empty() {
                fault(field, "names no interface; choose one".to_owned());
            }
            match &self.wan {
                Some(_) if self.ways().any(|wan| names.contains(&wan)) => fault(
                    field,
                    format!(
                        "holds {:?}, which leads to the internet; leave it out, or choose another wanInterface",
                        self.ways().find(|wan| names.contains(wan)).unwrap_or_default()
                    ),
                ),
                Some(_) => {}
                None => fault(
                    "wanInterface",
                    "is needed where interfaces of subscribers are named; say which leads to the internet"
                        .to_owned(),
                ),
            }
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                fault(field, format!("names {:?} twice; once is enough", twice[0]));
            }
        }
        if let [(_, Some(pppoe)), (field, Some(hotspot))] = lans
            && !same(pppoe, hotspot)
            && let Some(shared) = hotspot
                .names()
                .into_iter()
                .find(|name| pppoe.names().contains(name))
        {
            fault(
                field,
                format!(
                    "shares {shared:?} with PPPoE but not all of them; give both the same interfaces, or none in \
                     common"
                ),
            );
        }

        let pppoe = self
            .pppoe
            .as_ref()
            .map(|it| ("pppoeConfig", it.local_address, it.pool));
        let hotspot = self
            .hotspot
            .as_ref()
            .map(|it| ("hotspotConfig", it.gateway, it.pool));
        let mut networks: Vec<Ipv4Net> = Vec::new();
        for (part, address, pool) in [pppoe, hotspot].into_iter().flatten() {
            let [address_field, pool_field] = match part {
                "pppoeConfig" => ["pppoeConfig.localAddress", "pppoeConfig.poolStart"],
                _ => ["hotspotConfig.gatewayIp", "hotspotConfig.poolStart"],
            };
            if pool.first > pool.last {
                fault(pool_field, "comes after poolEnd; swap them".to_owned());
                continue;
            }
            if pool.contains(address) {
                fault(
                    pool_field,
                    format!("holds the router's own {address}; begin after it"),
                );
            }
            let Some(network) = network(address, pool) else {
                fault(
                    pool_field,
                    format!("is too far from {address}: both must fit into a /{WIDEST}"),
                );
                continue;
            };
            if let Some(agent) = self.agents.iter().find(|agent| network.contains(*agent)) {
                fault(
                    address_field,
                    format!(
                        "makes a network {network} that holds the agent {agent}; choose another"
                    ),
                );
            }
            if networks
                .iter()
                .any(|other| other.contains(&network) || network.contains(other))
            {
                fault(
                    address_field,
                    format!("makes a network {network} that PPPoE uses; choose another"),
                );
            }
            networks.push(network);
        }

        let hosts = self.hotspot.iter().flat_map(|hotspot| &hotspot.open_hosts);
        for host in hosts {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
            if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
                fault(
                    "portal",
                    format!("is no host name: {host:?}; write it like pay.example.net"),
                );
            }
        }
        faults
    }
}

/// Whether two services come in at the same interfaces.
pub(super) fn same(one: &Lan, other: &Lan) -> bool {
    let sorted = |lan: &Lan| {
        let mut names: Vec<String> = lan.names().into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    sorted(one) == sorted(other)
}

/// The smallest network that holds an address and a pool, a `/24` at the least; `None` when they are too far apart.
pub fn network(address: Ipv4Addr, pool: Pool) -> Option<Ipv4Net> {
    (WIDEST..=24)
        .rev()
        .map(|prefix| Ipv4Net::new_assert(address, prefix).trunc())
        .find(|network| network.contains(&pool.first) && network.contains(&pool.last))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::wanted::tests::{both, hotspot, pppoe};
    use super::*;

    #[test]
    fn a_network_is_as_wide_as_its_pool() {
        let at = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let pool = |first, last| Pool {
            first: at(first),
            last: at(last),
        };
        let of = |address, pool| network(at(address), pool).map(|net| net.to_string());
        let near = pool("10.5.50.2", "10.5.50.254");
        assert_eq!(of("10.5.50.1", near).as_deref(), Some("10.5.50.0/24"));
        let wide = pool("10.10.0.2", "10.10.3.250");
        assert_eq!(of("10.10.0.1", wide).as_deref(), Some("10.10.0.0/22"));
        assert_eq!(of("10.10.0.1", pool("10.11.0.2", "10.11.0.9")), None);
    }

    #[test]
    fn what_can_be_is_not_refused() {
        for setup in [pppoe(), hotspot(), both()] {
            assert_eq!(setup.faults(), []);
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        let fields = |change: &dyn Fn(&mut Setup)| {
            let mut setup = both();
            change(&mut setup);
            let mut fields: Vec<_> = setup
                .faults()
                .into_iter()
                .map(|fault| fault.field)
                .collect();
            fields.dedup();
            fields
        };
        assert_eq!(fields(&|setup| setup.identity.clear()), ["name"]);
        assert_eq!(fields(&|setup| setup.identity.push('\n')), ["name"]);
        assert_eq!(fields(&|setup| setup.agents.clear()), ["agents"]);
        assert_eq!(
            fields(&|setup| (setup.pppoe, setup.hotspot) = (None, None)),
            ["serviceType"]
        );
        assert_eq!(fields(&|setup| setup.wan = None), ["wanInterface"]);
        assert_eq!(
            fields(&|setup| setup.wan = Some("ether3".to_owned())),
            ["hotspotConfig.interfaces"]
        );
        assert_eq!(
            fields(&|setup| setup.pppoe.as_mut().unwrap().lan =
                Some(Lan::Ports(vec!["ether3".to_owned()]))),
            ["hotspotConfig.interfaces"]
        );
        assert_eq!(
            fields(
                &|setup| setup.pppoe.as_mut().unwrap().local_address = Ipv4Addr::new(10, 10, 10, 9)
            ),
            ["pppoeConfig.poolStart"]
        );
        assert_eq!(
            fields(&|setup| {
                let pppoe = setup.pppoe.as_mut().unwrap();
                pppoe.local_address = Ipv4Addr::new(10, 5, 50, 1);
                pppoe.pool = Pool::beside(pppoe.local_address);
            }),
            ["hotspotConfig.gatewayIp"]
        );
        assert_eq!(
            fields(&|setup| setup
                .hotspot
                .as_mut()
                .unwrap()
                .open_hosts
                .push("a b".to_owned())),
            ["portal"]
        );
    }
}
