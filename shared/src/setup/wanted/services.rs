//! What subscribers and guests come in by.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::super::checks::{network, same};
use super::super::{Hotspot, Lan, Pool, Pppoe, Setup};
use super::item::{Item, OURS, Value, Which, found, gone, list, marked, menu, own, text, word};

/// Where a router's PPPoE servers are: it serves by PPPoE where it has one of ours.
pub const PPPOE_SERVERS: &str = "/interface pppoe-server server";

/// Where its hotspots are.
pub const HOTSPOTS: &str = "/ip hotspot";

/// The list of the addresses that get everything.
pub const ALLOWED: &str = "easyisp-allowed";
/// The list of the addresses that get nothing; the agents keep it.
pub const BLOCKED: &str = "easyisp-blocked";
/// Addresses of whoever may not share his line: what goes to them leaves the router with a TTL of 1, which a second
/// router or a phone's hotspot behind them does not pass on.
pub const ANTI_SHARING: &str = "easyisp-anti-sharing";
pub(super) const PPPOE_BRIDGE: &str = "easyisp-pppoe";
pub(super) const HOTSPOT_BRIDGE: &str = "easyisp-hotspot";

pub(super) fn pppoe(setup: &Setup) -> Vec<Item> {
    let name = "easyisp-pppoe";
    let nat = marked("nat-pppoe");
    let Some(pppoe) = &setup.pppoe else {
        let server = PPPOE_SERVERS;
        let mut items = vec![
            gone(server, ("default-profile", name)),
            gone("/ppp profile", ("name", name)),
            gone("/ip pool", ("name", name)),
            gone("/ip firewall nat", ("comment", &nat)),
        ];
        items.extend(further(&nat).map(|mark| gone("/ip firewall nat", ("comment", &mark))));
        items.extend(no_bridge(PPPOE_BRIDGE));
        return items;
    };
    let mut items = settings(pppoe, name);
    if let Some(lan) = &pppoe.lan {
        let (interface, of_bridge) = match setup
            .hotspot
            .as_ref()
            .and_then(|hotspot| hotspot.lan.as_ref())
        {
            // One bridge for both.
            Some(guests) if same(guests, lan) => {
                let (interface, mut items) = bridge(guests, HOTSPOT_BRIDGE);
                items.extend(no_bridge(PPPOE_BRIDGE));
                (interface, items)
            }
            Some(_) | None => bridge(lan, PPPOE_BRIDGE),
        };
        // A bridge goes when nothing is served there any more.
        let (last, first): (Vec<Item>, Vec<Item>) = of_bridge.into_iter().partition(is_bridge_gone);
        items.splice(0..0, first);
        // The router's own questions: where a heart-beat goes, what time it is. Only guests are answered by it.
        items.push(menu("/ip dns", vec![("servers", word(list(&pppoe.dns)))]));
        items.push(server(pppoe, &interface, name));
        items.extend(last);
    }
    items.extend(masquerade(setup, &nat, pppoe.local_address, pppoe.pool));
    items
}

fn settings(pppoe: &Pppoe, name: &str) -> Vec<Item> {
    vec![
        own(
            "/ip pool",
            ("name", name),
            vec![("ranges", word(pppoe.pool))],
        ),
        own(
            "/ppp profile",
            ("name", name),
            vec![
                ("local-address", word(pppoe.local_address)),
                ("remote-address", word(name)),
                ("dns-server", word(list(&pppoe.dns))),
                ("change-tcp-mss", word("yes")),
                ("use-encryption", word("no")),
            ],
        ),
        menu(
            "/ppp aaa",
            vec![
                ("use-radius", word("yes")),
                ("accounting", word("yes")),
                ("interim-update", word("5m")),
            ],
        ),
    ]
}

/// It has no comment and no name: its profile is ours alone.
fn server(pppoe: &Pppoe, interface: &str, name: &str) -> Item {
    own(
        PPPOE_SERVERS,
        ("default-profile", name),
        vec![
            ("service-name", text(&pppoe.service_name)),
            ("interface", text(interface)),
            ("authentication", word("pap,chap,mschap2")),
            ("one-session-per-host", word("yes")),
            ("keepalive-timeout", word("10")),
            ("max-mtu", word("1480")),
            ("max-mru", word("1480")),
            ("disabled", word("no")),
        ],
    )
}

pub(super) fn hotspot(setup: &Setup) -> Vec<Item> {
    let name = "easyisp-hotspot";
    let [mark, nat, garden] = ["hotspot", "nat-hotspot", "garden"].map(marked);
    let Some(hotspot) = &setup.hotspot else {
        let mut items = vec![
            gone(HOTSPOTS, ("name", name)),
            gone("/ip hotspot profile", ("name", name)),
            gone(GARDEN, ("comment", &garden)),
            gone(GARDEN, ("comment", &marked("garden-address"))),
            gone("/ip dhcp-server", ("name", name)),
            gone("/ip dhcp-server network", ("comment", &mark)),
            gone("/ip pool", ("name", name)),
            gone("/ip firewall nat", ("comment", &nat)),
            gone("/ip address", ("comment", &mark)),
        ];
        items.extend(further(&nat).map(|mark| gone("/ip firewall nat", ("comment", &mark))));
        items.extend(no_bridge(HOTSPOT_BRIDGE));
        return items;
    };
    let mut items = guests(hotspot, name, &mark);
    if let Some(lan) = &hotspot.lan {
        let (interface, of_bridge) = bridge(lan, HOTSPOT_BRIDGE);
        let (last, first): (Vec<Item>, Vec<Item>) = of_bridge.into_iter().partition(is_bridge_gone);
        items.splice(0..0, first);
        items.extend(served(hotspot, &interface, name, &mark));
        items.extend(last);
    }
    items.extend(open(hotspot));
    items.extend(masquerade(setup, &nat, hotspot.gateway, hotspot.pool));
    items
}

const GARDEN: &str = "/ip hotspot walled-garden ip";

/// Where guests get without a login: hosts by name, and those that have none by their address.
fn open(hotspot: &Hotspot) -> Vec<Item> {
    let hosts = &hotspot.open_hosts;
    let (addresses, names): (Vec<&String>, Vec<&String>) = hosts
        .iter()
        .partition(|host| host.parse::<Ipv4Addr>().is_ok());
    let of = |key: &'static str, mark: &str, hosts: &[&String]| {
        let mark = marked(mark);
        let one = |host: &&String| {
            own(
                GARDEN,
                (key, host.as_str()),
                vec![("action", word("accept")), ("comment", word(&mark))],
            )
        };
        let mut items: Vec<Item> = hosts.iter().map(one).collect();
        if hotspot.opens_no_others {
            let kept = hosts.iter().map(|host| (*host).clone()).collect();
            items.push(Item {
                menu: GARDEN,
                which: Which::GoneBut(mark, key, kept),
                fields: Vec::new(),
            });
        }
        items
    };
    let mut items = of("dst-host", "garden", &names);
    items.extend(of("dst-address", "garden-address", &addresses));
    items
}

fn guests(hotspot: &Hotspot, name: &str, mark: &str) -> Vec<Item> {
    let network = around(hotspot.gateway, hotspot.pool);
    vec![
        own(
            "/ip pool",
            ("name", name),
            vec![("ranges", word(hotspot.pool))],
        ),
        own(
            "/ip dhcp-server network",
            ("comment", mark),
            vec![
                ("address", word(network)),
                ("gateway", word(hotspot.gateway)),
                ("dns-server", word(hotspot.gateway)),
            ],
        ),
        own(
            "/ip hotspot profile",
            ("name", name),
            vec![
                ("hotspot-address", word(hotspot.gateway)),
                ("html-directory", Value::Folder("hotspot")),
                ("login-by", word("http-pap,mac-cookie")),
                ("use-radius", word("yes")),
                ("radius-accounting", word("yes")),
                // By what the agent says, package by package.
                ("radius-interim-update", word("received")),
                ("nas-port-type", word("wireless-802.11")),
            ],
        ),
        found(
            "/ip hotspot user profile",
            ("default", "yes"),
            vec![
                ("add-mac-cookie", word("yes")),
                ("mac-cookie-timeout", word("3d")),
                ("keepalive-timeout", word("2m")),
            ],
        ),
    ]
}

fn served(hotspot: &Hotspot, interface: &str, name: &str, mark: &str) -> Vec<Item> {
    let network = around(hotspot.gateway, hotspot.pool);
    vec![
        menu(
            "/ip dns",
            vec![
                ("servers", word(list(&hotspot.dns))),
                ("allow-remote-requests", word("yes")),
            ],
        ),
        own(
            "/ip address",
            ("comment", mark),
            vec![
                (
                    "address",
                    word(format!("{}/{}", hotspot.gateway, network.prefix_len())),
                ),
                ("interface", text(interface)),
            ],
        ),
        own(
            "/ip dhcp-server",
            ("name", name),
            vec![
                ("interface", text(interface)),
                ("address-pool", word(name)),
                ("lease-time", word("1h")),
                ("disabled", word("no")),
            ],
        ),
        own(
            HOTSPOTS,
            ("name", name),
            vec![
                ("interface", text(interface)),
                ("address-pool", word(name)),
                ("profile", word(name)),
                ("addresses-per-mac", word("2")),
                ("disabled", word("no")),
            ],
        ),
    ]
}

pub(super) fn is_bridge_gone(item: &Item) -> bool {
    item.menu == "/interface bridge" && matches!(item.which, Which::Gone(..))
}

/// The interface to serve on, and what makes it.
pub(super) fn bridge(lan: &Lan, ours: &'static str) -> (String, Vec<Item>) {
    let ports = match lan {
        Lan::Bridge(name) => return (name.clone(), no_bridge(ours)),
        Lan::Ports(ports) => ports,
    };
    let mark = format!("{OURS}:port-of-{ours}");
    let mut items = vec![own(
        "/interface bridge",
        ("name", ours),
        vec![("comment", word(marked("bridge")))],
    )];
    items.push(Item {
        menu: "/interface bridge port",
        which: Which::GoneBut(mark.clone(), "interface", ports.clone()),
        fields: Vec::new(),
    });
    items.extend(ports.iter().map(|port| {
        own(
            "/interface bridge port",
            ("interface", port),
            vec![("bridge", word(ours)), ("comment", word(&mark))],
        )
    }));
    (ours.to_owned(), items)
}

pub(super) fn no_bridge(ours: &str) -> Vec<Item> {
    let mark = format!("{OURS}:port-of-{ours}");
    vec![
        gone("/interface bridge port", ("comment", &mark)),
        gone("/interface bridge", ("name", ours)),
    ]
}

/// One rule for each way to the internet: the router chooses the way, and the rule of that way gives the address.
pub(super) fn masquerade(setup: &Setup, mark: &str, address: Ipv4Addr, pool: Pool) -> Vec<Item> {
    const NAT: &str = "/ip firewall nat";
    let Some(wan) = &setup.wan else {
        return Vec::new();
    };
    let one = |mark: &str, wan: &str| {
        own(
            NAT,
            ("comment", mark),
            vec![
                ("chain", word("srcnat")),
                ("action", word("masquerade")),
                ("src-address", word(around(address, pool))),
                ("out-interface", text(wan)),
            ],
        )
    };
    let more = further(mark).enumerate();
    let more = more.map(|(place, mark)| match setup.more_wans.get(place) {
        Some(wan) => one(&mark, wan),
        None => gone(NAT, ("comment", &mark)),
    });
    [one(mark, wan)].into_iter().chain(more).collect()
}

/// How what is made for every further way to the internet is called.
pub(super) fn further(mark: &str) -> impl Iterator<Item = String> + use<'_> {
    (2..=MOST_WANS).map(move |place| format!("{mark}:{place}"))
}

/// Ways to the internet of one router.
pub(in crate::setup) const MOST_WANS: usize = 4;

/// The network of both; what is too far apart was refused by [`Setup::faults`].
pub(super) fn around(address: Ipv4Addr, pool: Pool) -> Ipv4Net {
    network(address, pool).unwrap_or_else(|| Ipv4Net::new_assert(address, 24).trunc())
}
