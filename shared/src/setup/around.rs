//! Behind which of a router's interfaces its agents are, as the router's own tables say.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::modes::{DeviceMode, MENU as DEVICE_MODE};
use crate::wire::setup::{BeforeV1, ItemV1, RowV1, WhichV1};

/// What a router told of its surroundings.
#[derive(Default)]
pub struct Around(HashMap<String, Vec<RowV1>>);

impl Around {
    /// What to look at to find these agents, and those who came in as `user`.
    pub fn asked(agents: &[Ipv4Addr], user: Option<&str>) -> Vec<ItemV1> {
        let neighbours = agents
            .iter()
            .map(|agent| found("/ip arp", "address", agent.to_string()));
        let whole = [
            "/ip address",
            "/interface vlan",
            "/interface bonding",
            "/interface pppoe-client",
            "/interface bridge port",
            DEVICE_MODE,
        ];
        let entered = user.map(|user| found("/user active", "name", user.to_owned()));
        // Of a router with a hundred thousand routes only those that somebody wrote.
        let routes = found("/ip route", "static", "true".to_owned());
        neighbours
            .chain(whole.map(menu))
            .chain([routes])
            .chain(entered)
            .collect()
    }

    /// The same of the bridges behind which they are.
    pub fn hosts_asked(&self) -> Vec<ItemV1> {
        let devices = self
            .rows("/ip arp")
            .filter_map(|row| of(row, "mac-address"));
        devices
            .map(|mac| found("/interface bridge host", "mac-address", mac))
            .collect()
    }

    /// Takes what it told.
    pub fn take(&mut self, told: Vec<BeforeV1>) {
        for told in told {
            self.0.entry(told.item.menu).or_default().extend(told.rows);
        }
    }

    /// Its own networks.
    pub fn networks(&self) -> Vec<Ipv4Net> {
        self.addresses().map(|(net, _)| net).collect()
    }

    /// Whether its device's mode keeps it from running anything by itself.
    pub fn knows_no_scheduler(&self) -> bool {
        self.rows(DEVICE_MODE)
            .any(|row| DeviceMode::of(row).knows_no_scheduler())
    }

    /// From where its agents came in over the API, as it sees them.
    pub fn entered_from(&self) -> Vec<Ipv4Addr> {
        let over_api = |row: &&RowV1| of(row, "via").is_some_and(|via| via.starts_with("api"));
        let entered = self.rows("/user active").filter(over_api);
        entered
            .filter_map(|row| of(row, "address")?.parse().ok())
            .collect()
    }

    /// The interface by which it sends to an address: it is a neighbour, or in a network, or behind a route.
    pub fn towards(&self, address: Ipv4Addr) -> Option<String> {
        let text = address.to_string();
        let neighbour = self
            .rows("/ip arp")
            .find(|row| of(row, "address").as_ref() == Some(&text));
        neighbour
            .and_then(|row| of(row, "interface"))
            .or_else(|| self.connected(address))
            .or_else(|| self.routed(address))
    }

    /// All that is needed for packets to reach these interfaces: what they run over, down to the ports.
    pub fn beneath(&self, names: Vec<String>) -> Vec<String> {
        let mut all = names;
        let mut place = 0;
        while let Some(name) = all.get(place).cloned() {
            place += 1;
            let under = self.under(&name);
            for one in under {
                if !all.contains(&one) && all.len() < MOST {
                    all.push(one);
                }
            }
        }
        all
    }

    fn under(&self, name: &str) -> Vec<String> {
        let mut under = Vec::new();
        for menu in ["/interface vlan", "/interface pppoe-client"] {
            let named = self
                .rows(menu)
                .filter(|row| of(row, "name").as_deref() == Some(name));
            under.extend(named.filter_map(|row| of(row, "interface")));
        }
        let bonds = self
            .rows("/interface bonding")
            .filter(|row| of(row, "name").as_deref() == Some(name));
        for slaves in bonds.filter_map(|row| of(row, "slaves")) {
            under.extend(slaves.split(',').map(str::to_owned));
        }
        let in_bridge = |row: &RowV1| of(row, "bridge").as_deref() == Some(name);
        let ports = self
            .rows("/interface bridge port")
            .filter(|row| in_bridge(row));
        let ports: Vec<String> = ports.filter_map(|row| of(row, "interface")).collect();
        // Where the bridge has not heard them they may be at any of its ports.
        let hosts = self.rows("/interface bridge host");
        let heard: Vec<String> = hosts
            .filter_map(|row| of(row, "on-interface").or_else(|| of(row, "interface")))
            .filter(|port| ports.is_empty() || ports.contains(port))
            .collect();
        match heard.is_empty() {
            true => under.extend(ports),
            false => under.extend(heard),
        }
        under
    }

    fn connected(&self, address: Ipv4Addr) -> Option<String> {
        let holds = self.addresses().filter(|(net, _)| net.contains(&address));
        holds
            .max_by_key(|(net, _)| net.prefix_len())
            .map(|(_, name)| name)
    }

    fn routed(&self, address: Ipv4Addr) -> Option<String> {
        let route = |row: &RowV1| {
            let net: Ipv4Net = of(row, "dst-address")?.parse().ok()?;
            let is_on = of(row, "disabled").is_none_or(|it| it != "true")
                && of(row, "active").is_none_or(|it| it == "true");
            let immediate = of(row, "immediate-gw");
            let gateway = immediate
                .filter(|it| !it.is_empty())
                .or_else(|| of(row, "gateway"));
            (is_on && net.contains(&address)).then_some((net.prefix_len(), gateway?))
        };
        let routes = self.rows("/ip route").filter_map(route);
        let (_, gateway) = routes.max_by_key(|(length, _)| *length)?;
        match gateway.rsplit_once('%') {
            Some((_, name)) => Some(name.to_owned()),
            None => match gateway.parse() {
                Ok(next) => self.connected(next),
                Err(_) => Some(gateway), // the name of an interface
            },
        }
    }

    fn addresses(&self) -> impl Iterator<Item = (Ipv4Net, String)> {
        let rows = self.rows("/ip address");
        let on = rows.filter(|row| of(row, "disabled").is_none_or(|it| it != "true"));
        on.filter_map(|row| {
            let net = of(row, "address")?.parse().ok()?;
            let name = of(row, "actual-interface").or_else(|| of(row, "interface"))?;
            Some((net, name))
        })
    }

    fn rows(&self, menu: &str) -> impl Iterator<Item = &RowV1> {
        self.0.get(menu).into_iter().flatten()
    }
}

/// What a row of a router says of itself.
pub(super) fn of(row: &RowV1, name: &str) -> Option<String> {
    let held = row.fields.iter().find(|(held, _)| held == name);
    held.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

fn menu(menu: &str) -> ItemV1 {
    ItemV1 {
        menu: menu.to_owned(),
        which: WhichV1::Menu { lenient: true },
        fields: Vec::new(),
    }
}

fn found(menu: &str, key: &str, value: String) -> ItemV1 {
    ItemV1 {
        menu: menu.to_owned(),
        which: WhichV1::Found {
            key: key.to_owned(),
            value,
            lenient: false,
        },
        fields: Vec::new(),
    }
}

/// No router has as many ports.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    type Rows<'a> = &'a [(&'a str, &'a [(&'a str, &'a str)])];

    fn around(rows: Rows<'_>) -> Around {
        let mut around = Around::default();
        for (menu, fields) in rows {
            let field =
                |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
            let row = RowV1 {
                id: String::new(),
                next: None,
                fields: fields.iter().map(field).collect(),
            };
            around.take(vec![BeforeV1 {
                item: super::menu(menu),
                rows: vec![row],
            }]);
        }
        around
    }

    /// The ports by which an agent is reached, or nothing where nobody knows.
    fn ports(rows: Rows<'_>) -> Vec<String> {
        let around = around(rows);
        let first = around.towards(Ipv4Addr::new(10, 9, 0, 2));
        around.beneath(first.into_iter().collect())
    }

    #[test]
    fn an_agent_is_found_behind_a_vlan_a_bridge_and_a_bond() {
        let rows: Rows<'_> = &[
            (
                "/ip arp",
                &[("address", "10.9.0.2"), ("interface", "vlan9")],
            ),
            (
                "/interface vlan",
                &[("name", "vlan9"), ("interface", "bond1")],
            ),
            (
                "/interface bonding",
                &[("name", "bond1"), ("slaves", "ether2,ether3")],
            ),
        ];
        assert_eq!(ports(rows), ["vlan9", "bond1", "ether2", "ether3"]);
        let rows: Rows<'_> = &[
            (
                "/ip arp",
                &[("address", "10.9.0.2"), ("interface", "bridge")],
            ),
            (
                "/interface bridge port",
                &[("bridge", "bridge"), ("interface", "ether4")],
            ),
            (
                "/interface bridge port",
                &[("bridge", "bridge"), ("interface", "ether5")],
            ),
        ];
        assert_eq!(ports(rows), ["bridge", "ether4", "ether5"]);
        let heard: Rows<'_> = &[("/interface bridge host", &[("on-interface", "ether5")])];
        let both = [rows, heard].concat();
        assert_eq!(ports(&both), ["bridge", "ether5"]);
    }

    #[test]
    fn who_is_no_neighbour_is_behind_a_network_or_a_route() {
        let connected: Rows<'_> = &[
            (
                "/ip address",
                &[("address", "10.0.0.1/8"), ("interface", "ether1")],
            ),
            (
                "/ip address",
                &[("address", "10.9.0.1/24"), ("interface", "ether2")],
            ),
        ];
        assert_eq!(ports(connected), ["ether2"]);
        let route = |gateway: &'static [(&'static str, &'static str)]| {
            let rows: [(&str, &[(&str, &str)]); 2] = [
                (
                    "/ip address",
                    &[("address", "192.168.7.1/24"), ("interface", "vlan7")],
                ),
                ("/ip route", gateway),
            ];
            ports(&rows)
        };
        assert_eq!(
            route(&[("dst-address", "10.9.0.0/16"), ("gateway", "192.168.7.2")]),
            ["vlan7"]
        );
        assert_eq!(
            route(&[
                ("dst-address", "0.0.0.0/0"),
                ("immediate-gw", "192.0.2.1%ether1")
            ]),
            ["ether1"]
        );
        assert_eq!(
            route(&[("dst-address", "10.8.0.0/16"), ("gateway", "192.168.7.2")]),
            [""; 0]
        );
    }
}
