//! What every menu of a router must hold, in the order in which it can be written.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use secrecy::{ExposeSecret, SecretString};

use super::checks::{network, same};
use super::{Alive, Hotspot, Lan, Pool, Pppoe, Release, Setup, Snmp, digest, quote};
use crate::wire::monitor::SnmpPrivacy;

/// Things that are written together: done, or named as failed.
#[derive(Clone, Debug)]
pub struct Step {
    /// For people.
    pub name: &'static str,
    /// In the order in which they can be written.
    pub items: Vec<Item>,
}

/// What is to be in a menu.
#[derive(Clone, Debug)]
pub struct Item {
    /// Like `/ip hotspot profile`.
    pub menu: &'static str,
    /// Its rows.
    pub which: Which,
    /// Property and value; empty for what is to be gone.
    pub fields: Vec<(&'static str, Value)>,
}

impl Item {
    /// The chain of a rule of a firewall.
    pub fn chain(&self) -> &str {
        let chain = self.fields.iter().find(|(name, _)| *name == "chain");
        match chain {
            Some((_, Value::Word(chain))) => chain,
            _ => "input",
        }
    }
}

/// Which rows of a menu.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// The menu itself has properties, no rows.
    Menu,
    /// The same, and a release that does not know the property is as good.
    MenuWhereKnown,
    /// Rows that are there already; none is fine.
    Found(&'static str, String),
    /// The same, and a release that does not know the property is as good.
    FoundWhereKnown(&'static str, String),
    /// Our row: made where it is missing.
    Own(&'static str, String),
    /// Our row by its name and our comment, made where no row has the name. One of this name without the comment is
    /// somebody's own, and stays as it is.
    OwnMarked(&'static str, String, String),
    /// Our row in an ordered list, made before the first of its chain that is not ours.
    OwnFirst(&'static str, String),
    /// Rows of ours that are not wanted.
    Gone(&'static str, String),
    /// Rows with this comment, but for those that have one of these values in this property.
    GoneBut(String, &'static str, Vec<String>),
}

/// What a property is set to.
#[derive(Clone, Debug)]
pub enum Value {
    /// Our own words, numbers and addresses.
    Word(String),
    /// Words of people: quoted.
    Text(String),
    /// Quoted, and never shown.
    Secret(SecretString),
    /// A folder: below `flash/` on boards that lose the rest at a reboot.
    Folder(&'static str),
}

/// Every thing of ours is called so, or carries a comment that begins so.
const OURS: &str = "easyisp";
/// `MikroTik`, User: without `policy`, so that this login cannot make others.
const API_POLICY: &str = "api,read,write,test,sensitive,reboot,password";
/// Servers of time: boards have no clock of their own.
const TIME: &str = "time.cloudflare.com,pool.ntp.org";

/// What every menu must hold, in the order in which it can be written.
pub fn wanted(setup: &Setup, release: Release) -> Vec<Step> {
    let step = |name, items| Step { name, items };
    let mut steps = vec![
        step("name and time", name_and_time(setup, release)),
        step("login of the agents", api(setup)),
        step("RADIUS", radius(setup)),
        step("PPPoE", pppoe(setup)),
        step("hotspot", hotspot(setup)),
        step("SNMP", snmp(setup)),
        step("firewall", firewall(setup)),
        step("log to the agents", logging(setup)),
    ];
    if let Some(servers) = &setup.leases {
        steps.push(step("DHCP", leases(servers)));
    }
    if let Some(alive) = &setup.alive {
        steps.push(step(ALIVE, vec![heartbeat(alive)]));
    }
    steps
}

/// How the step is called in which a router learns to tell that it lives.
pub(super) const ALIVE: &str = "heart-beat";

/// Every five minutes, counted from its start: boards know no time of day. What answers, and whether, is nothing to it.
fn heartbeat(alive: &Alive) -> Item {
    let mode = match alive.url.split_once(':') {
        Some(("http", _)) => "http",
        _ => "https", // what is public has a certificate
    };
    let token = format!("{{\"token\":\"{}\"}}", alive.token.expose_secret());
    let event = format!(
        ":do {{ /tool fetch mode={mode} url={} http-method=post http-header-field=\"Content-Type: application/json\" \
         http-data={} keep-result=no }} on-error={{ }}",
        quote(&alive.url),
        quote(&token)
    );
    own(
        "/system scheduler",
        ("name", &marked("heartbeat")),
        vec![
            ("start-time", word("startup")),
            ("interval", word("5m")),
            ("policy", word("read,write,test")),
            ("on-event", Value::Secret(event.into())),
            ("comment", word(marked("heartbeat"))),
            ("disabled", word("no")),
        ],
    )
}

fn name_and_time(setup: &Setup, release: Release) -> Vec<Item> {
    let time = match release {
        Release::V6 => "server-dns-names",
        Release::V7 => "servers",
    };
    vec![
        menu("/system identity", vec![("name", text(&setup.identity))]),
        menu(
            "/system clock",
            // The router else asks the maker's cloud where it is, and takes that for its zone.
            vec![
                ("time-zone-autodetect", word("no")),
                ("time-zone-name", word(&setup.time_zone)),
            ],
        ),
        menu(
            "/system ntp client",
            vec![("enabled", word("yes")), (time, word(TIME))],
        ),
    ]
}

fn api(setup: &Setup) -> Vec<Item> {
    let Some(login) = &setup.api else {
        return Vec::new();
    };
    let name = format!("{OURS}-api");
    let mark = marked("user");
    vec![
        own(
            "/user group",
            ("name", OURS),
            vec![("policy", word(API_POLICY))],
        ),
        // Whose login was entered here goes on being his: taken into our group nobody would get in as him any more.
        Item {
            menu: "/user",
            fields: vec![
                ("group", word(OURS)),
                ("password", Value::Secret(login.password.clone())),
                ("address", word(agents(setup))),
                ("comment", word(&mark)),
            ],
            which: Which::OwnMarked("name", login.user.clone(), mark),
        },
        own(
            "/certificate",
            ("name", &name),
            vec![
                ("common-name", word(&name)),
                ("key-size", word("2048")),
                ("days-valid", word("3650")),
                (
                    "key-usage",
                    word("digital-signature,key-encipherment,tls-server"),
                ),
            ],
        ),
        found(
            "/ip service",
            ("name", "api-ssl"),
            vec![
                ("certificate", word(&name)),
                ("address", word(agents(setup))),
                ("disabled", word("no")),
            ],
        ),
    ]
}

fn radius(setup: &Setup) -> Vec<Item> {
    let services: Vec<&str> = [
        setup.pppoe.as_ref().map(|_| "ppp"),
        setup.hotspot.as_ref().map(|_| "hotspot"),
        setup.leases.as_ref().map(|_| "dhcp"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let spare = marked("radius:2");
    let watch = marked("watch");
    let is_alone = setup.agents.len() < 2;
    let mut items = Vec::new();
    if is_alone {
        // Before the entry that it switched off is switched on.
        items.push(gone("/tool netwatch", ("comment", &watch)));
    }
    for (place, agent) in setup.agents.iter().enumerate() {
        let mark = marked(&format!("radius:{}", place + 1));
        let mut fields = vec![
            ("service", word(services.join(","))),
            ("address", word(agent)),
            ("secret", Value::Secret(setup.radius_secret.clone())),
            ("authentication-port", word("1812")),
            ("accounting-port", word("1813")),
            ("timeout", word("2s")),
        ];
        // The first of two is the watch's: it is off while its agent is away.
        if is_alone || place > 0 {
            fields.push(("disabled", word("no")));
        }
        items.push(own("/radius", ("comment", &mark), fields));
        items.push(Item {
            menu: "/radius",
            which: Which::FoundWhereKnown("comment", mark),
            fields: vec![("require-message-auth", word("yes-for-request-resp"))],
        });
    }
    match setup.agents.as_slice() {
        // A dead first one would cost every login its time-out.
        [first, _second] => {
            let first_one = marked("radius:1");
            let script = |verb| {
                Value::Text(format!(
                    "/radius {verb} [find where comment=\"{first_one}\"]"
                ))
            };
            items.push(own(
                "/tool netwatch",
                ("comment", &watch),
                vec![
                    ("host", word(first)),
                    ("interval", word("10s")),
                    ("up-script", script("enable")),
                    ("down-script", script("disable")),
                ],
            ));
        }
        _ => items.push(gone("/radius", ("comment", &spare))),
    }
    items.push(menu(
        "/radius incoming",
        vec![("accept", word("yes")), ("port", word(setup.coa_port))],
    ));
    items
}

/// The list of the addresses that get everything.
pub const ALLOWED: &str = "easyisp-allowed";
/// The list of the addresses that get nothing; the agents keep it.
pub const BLOCKED: &str = "easyisp-blocked";
/// Addresses of whoever may not share his line: what goes to them leaves the router with a TTL of 1, which a second
/// router or a phone's hotspot behind them does not pass on.
pub const ANTI_SHARING: &str = "easyisp-anti-sharing";
const PPPOE_BRIDGE: &str = "easyisp-pppoe";
const HOTSPOT_BRIDGE: &str = "easyisp-hotspot";

fn pppoe(setup: &Setup) -> Vec<Item> {
    let name = "easyisp-pppoe";
    let nat = marked("nat-pppoe");
    let Some(pppoe) = &setup.pppoe else {
        let server = "/interface pppoe-server server";
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
        "/interface pppoe-server server",
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

fn hotspot(setup: &Setup) -> Vec<Item> {
    let name = "easyisp-hotspot";
    let [mark, nat, garden] = ["hotspot", "nat-hotspot", "garden"].map(marked);
    let Some(hotspot) = &setup.hotspot else {
        let mut items = vec![
            gone("/ip hotspot", ("name", name)),
            gone("/ip hotspot profile", ("name", name)),
            gone("/ip hotspot walled-garden ip", ("comment", &garden)),
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
    items.extend(hotspot.open_hosts.iter().map(|host| {
        own(
            "/ip hotspot walled-garden ip",
            ("dst-host", host),
            vec![("action", word("accept")), ("comment", word(&garden))],
        )
    }));
    items.push(Item {
        menu: "/ip hotspot walled-garden ip",
        which: Which::GoneBut(garden, "dst-host", hotspot.open_hosts.clone()),
        fields: Vec::new(),
    });
    items.extend(masquerade(setup, &nat, hotspot.gateway, hotspot.pool));
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
                ("radius-interim-update", word("5m")),
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
            "/ip hotspot",
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

/// They are there already, with their networks: they only ask. Without an entry that a lease makes nobody is reached by
/// whoever lost his, where the interface answers for those entries alone (`arp=reply-only`).
fn leases(servers: &[String]) -> Vec<Item> {
    let asks = |server: &String| {
        let fields = vec![("use-radius", word("yes")), ("add-arp", word("yes"))];
        found("/ip dhcp-server", ("name", server), fields)
    };
    let told = Item {
        menu: "/ip dhcp-server config",
        which: Which::MenuWhereKnown,
        fields: vec![("accounting", word("yes")), ("interim-update", word("5m"))],
    };
    servers.iter().map(asks).chain([told]).collect()
}

fn snmp(setup: &Setup) -> Vec<Item> {
    let Some(snmp) = setup.snmp.as_ref().filter(|snmp| snmp.is_known()) else {
        return Vec::new();
    };
    let (name, security, keys) = match snmp {
        Snmp::Community(community) => (community.clone(), "none", Vec::new()),
        Snmp::User {
            name,
            auth,
            privacy,
        } => {
            let security = match (auth, privacy) {
                (_, Some(_)) => "private",
                (Some(_), None) => "authorized",
                (None, None) => "none",
            };
            let mut keys = Vec::new();
            if let Some(auth) = auth {
                let protocol = digest(auth.by).unwrap_or_default();
                keys.push(("authentication-protocol", word(protocol)));
                let password = Value::Secret(auth.password.clone());
                keys.push(("authentication-password", password));
            }
            if let Some(privacy) = privacy {
                let protocol = match privacy.by {
                    SnmpPrivacy::Des => "DES",
                    SnmpPrivacy::Aes128 => "AES",
                };
                keys.push(("encryption-protocol", word(protocol)));
                let password = Value::Secret(privacy.password.clone());
                keys.push(("encryption-password", password));
            }
            (name.as_str().into(), security, keys)
        }
    };
    let mut fields = vec![
        ("name", Value::Secret(name)),
        ("addresses", word(agents(setup))),
        ("security", word(security)),
        ("read-access", word("yes")),
        ("write-access", word("no")),
    ];
    fields.extend(keys);
    vec![
        // The default one cannot be removed: it becomes ours, so that no `public` stays open.
        found("/snmp community", ("default", "yes"), fields),
        menu("/snmp", vec![("enabled", word("yes"))]),
    ]
}

fn firewall(setup: &Setup) -> Vec<Item> {
    const FILTER: &str = "/ip firewall filter";
    let coa = format!("161,{}", setup.coa_port);
    let rule_of = |chain, name: &str, fields: Vec<(&'static str, Value)>| Item {
        menu: FILTER,
        which: Which::OwnFirst("comment", marked(name)),
        fields: [("chain", word(chain))].into_iter().chain(fields).collect(),
    };
    let rule = |name: &str, fields| rule_of("input", name, fields);
    let ports = |action, protocol, ports: &str| {
        vec![
            ("action", word(action)),
            ("protocol", word(protocol)),
            ("dst-port", word(ports)),
        ]
    };
    // What it hides from the queues would have no speed limit.
    let mut items = vec![found(
        FILTER,
        ("action", "fasttrack-connection"),
        vec![("disabled", word("yes"))],
    )];
    let guarded = ["fw-api", "fw-udp"];
    for (place, agent) in setup.agents.iter().enumerate() {
        for (name, protocol, list) in [("tcp", "tcp", "8728,8729"), ("udp", "udp", coa.as_str())] {
            let name = format!("fw-agent-{}-{name}", place + 1);
            if setup.firewall {
                let mut fields = ports("accept", protocol, list);
                fields.push(("src-address", word(agent)));
                items.push(rule(&name, fields));
            } else {
                items.push(gone(FILTER, ("comment", &marked(&name))));
            }
        }
    }
    if setup.agents.len() < 2 {
        for name in ["fw-agent-2-tcp", "fw-agent-2-udp"] {
            items.push(gone(FILTER, ("comment", &marked(name))));
        }
    }
    if setup.firewall {
        items.push(rule(guarded[0], ports("drop", "tcp", "8728,8729")));
        items.push(rule(guarded[1], ports("drop", "udp", &coa)));
    } else {
        items.extend(guarded.map(|name| gone(FILTER, ("comment", &marked(name)))));
    }
    // Guests ask the router for names; the internet must not.
    for (name, protocol) in [("fw-dns-udp", "udp"), ("fw-dns-tcp", "tcp")] {
        let closed = |name: &str, wan: &str| {
            let mut fields = ports("drop", protocol, "53");
            fields.push(("in-interface", text(wan)));
            rule(name, fields)
        };
        match (&setup.hotspot, &setup.wan) {
            (Some(_), Some(wan)) => {
                items.push(closed(name, wan));
                for (place, more) in further(name).enumerate() {
                    items.push(match setup.more_wans.get(place) {
                        Some(wan) => closed(&more, wan),
                        None => gone(FILTER, ("comment", &marked(&more))),
                    });
                }
            }
            (Some(_), None) => {}
            (None, _) => {
                items.push(gone(FILTER, ("comment", &marked(name))));
                let more = further(name);
                items.extend(more.map(|more| gone(FILTER, ("comment", &marked(&more)))));
            }
        }
    }
    // Who logs in nowhere and whose time is over: the agents put his address into this list.
    for (name, side) in [
        ("fw-blocked-out", "src-address-list"),
        ("fw-blocked-in", "dst-address-list"),
    ] {
        let fields = vec![("action", word("drop")), (side, word(BLOCKED))];
        items.push(rule_of("forward", name, fields));
    }
    items.push(own(
        "/ip firewall mangle",
        ("comment", &marked("anti-sharing")),
        vec![
            ("chain", word("postrouting")),
            ("action", word("change-ttl")),
            ("new-ttl", word("set:1")),
            ("dst-address-list", word(ANTI_SHARING)),
        ],
    ));
    items
}

/// Where agents hear what routers write to their logs.
pub const SYSLOG_PORT: u16 = 5514;

/// Everything but what is for debugging goes to each agent, in RouterOS's own format: topics and words. How it is
/// called has no hyphen: a name of an action is letters and digits.
fn logging(setup: &Setup) -> Vec<Item> {
    const ACTION: &str = "/system logging action";
    const RULE: &str = "/system logging";
    let mut items = Vec::new();
    for place in 0..2 {
        let name = format!("{OURS}{}", place + 1);
        match setup.agents.get(place) {
            Some(agent) => {
                let fields = vec![
                    ("target", word("remote")),
                    ("remote", word(agent)),
                    ("remote-port", word(SYSLOG_PORT)),
                ];
                items.push(own(ACTION, ("name", &name), fields));
                let fields = vec![("topics", word("!debug"))];
                items.push(own(RULE, ("action", &name), fields));
            }
            None => {
                items.push(gone(RULE, ("action", &name)));
                items.push(gone(ACTION, ("name", &name)));
            }
        }
    }
    items
}

fn is_bridge_gone(item: &Item) -> bool {
    item.menu == "/interface bridge" && matches!(item.which, Which::Gone(..))
}

/// The interface to serve on, and what makes it.
fn bridge(lan: &Lan, ours: &'static str) -> (String, Vec<Item>) {
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

fn no_bridge(ours: &str) -> Vec<Item> {
    let mark = format!("{OURS}:port-of-{ours}");
    vec![
        gone("/interface bridge port", ("comment", &mark)),
        gone("/interface bridge", ("name", ours)),
    ]
}

/// One rule for each way to the internet: the router chooses the way, and the rule of that way gives the address.
fn masquerade(setup: &Setup, mark: &str, address: Ipv4Addr, pool: Pool) -> Vec<Item> {
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
fn further(mark: &str) -> impl Iterator<Item = String> + use<'_> {
    (2..=MOST_WANS).map(move |place| format!("{mark}:{place}"))
}

/// Ways to the internet of one router.
pub(super) const MOST_WANS: usize = 4;

/// The network of both; what is too far apart was refused by [`Setup::faults`].
fn around(address: Ipv4Addr, pool: Pool) -> Ipv4Net {
    network(address, pool).unwrap_or_else(|| Ipv4Net::new_assert(address, 24).trunc())
}

fn agents(setup: &Setup) -> String {
    let hosts: Vec<String> = setup
        .agents
        .iter()
        .map(|agent| format!("{agent}/32"))
        .collect();
    hosts.join(",")
}

fn list(addresses: &[Ipv4Addr]) -> String {
    let texts: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
    texts.join(",")
}

fn marked(what: &str) -> String {
    format!("{OURS}:{what}")
}

fn word(value: impl ToString) -> Value {
    Value::Word(value.to_string())
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn menu(menu: &'static str, fields: Vec<(&'static str, Value)>) -> Item {
    Item {
        menu,
        which: Which::Menu,
        fields,
    }
}

fn own(
    menu: &'static str,
    (key, value): (&'static str, &str),
    fields: Vec<(&'static str, Value)>,
) -> Item {
    Item {
        menu,
        which: Which::Own(key, value.to_owned()),
        fields,
    }
}

fn found(
    menu: &'static str,
    (key, value): (&'static str, &str),
    fields: Vec<(&'static str, Value)>,
) -> Item {
    Item {
        menu,
        which: Which::Found(key, value.to_owned()),
        fields,
    }
}

fn gone(menu: &'static str, (key, value): (&'static str, &str)) -> Item {
    Item {
        menu,
        which: Which::Gone(key, value.to_owned()),
        fields: Vec::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::ApiLogin;
    use super::*;

    fn at(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn bare() -> Setup {
        Setup {
            identity: "site-001".to_owned(),
            time_zone: "Africa/Nairobi".to_owned(),
            agents: vec![at("10.9.0.2"), at("10.9.0.3")],
            radius_secret: "radius-secret".into(),
            coa_port: 3799,
            api: Some(ApiLogin {
                user: "easyisp".to_owned(),
                password: "api-password".into(),
            }),
            snmp: Some(Snmp::Community("community".into())),
            wan: Some("ether1".to_owned()),
            more_wans: Vec::new(),
            pppoe: None,
            hotspot: None,
            leases: None,
            firewall: true,
            alive: None,
        }
    }

    pub(in super::super) fn pppoe() -> Setup {
        let local_address = at("10.10.10.1");
        Setup {
            pppoe: Some(Pppoe {
                lan: Some(Lan::Ports(vec!["ether2".to_owned()])),
                service_name: "easyisp-pppoe".to_owned(),
                local_address,
                pool: Pool::beside(local_address),
                dns: vec![at("8.8.8.8"), at("1.1.1.1")],
            }),
            ..bare()
        }
    }

    pub(in super::super) fn hotspot() -> Setup {
        let gateway = at("10.5.50.1");
        Setup {
            hotspot: Some(Hotspot {
                lan: Some(Lan::Ports(vec!["ether3".to_owned(), "wlan1".to_owned()])),
                gateway,
                pool: Pool::beside(gateway),
                dns: vec![at("8.8.8.8"), at("1.1.1.1")],
                open_hosts: vec!["pay.example.net".to_owned()],
                pages: None,
            }),
            ..bare()
        }
    }

    pub(in super::super) fn both() -> Setup {
        Setup {
            hotspot: hotspot().hotspot,
            ..pppoe()
        }
    }

    fn rows<'a>(steps: &'a [Step], menu: &str) -> Vec<&'a Which> {
        let items = steps.iter().flat_map(|step| &step.items);
        items
            .filter(|item| item.menu == menu)
            .map(|item| &item.which)
            .collect()
    }

    #[test]
    fn a_service_that_is_not_wanted_goes_away() {
        for (setup, server) in [
            (hotspot(), "/interface pppoe-server server"),
            (pppoe(), "/ip hotspot"),
        ] {
            let steps = wanted(&setup, Release::V7);
            assert!(
                matches!(rows(&steps, server)[..], [Which::Gone(..)]),
                "{server}"
            );
        }
    }

    /// The watch may have switched off the entry that is left when one of two agents goes.
    #[test]
    fn the_only_agent_is_asked_whatever_the_watch_did_to_it() {
        let says_on = |agents: &[&str]| {
            let setup = Setup {
                agents: agents.iter().map(|text| at(text)).collect(),
                ..both()
            };
            let steps = wanted(&setup, Release::V7);
            let items = steps.into_iter().flat_map(|step| step.items);
            let ours =
                items.filter(|item| item.menu == "/radius" && matches!(item.which, Which::Own(..)));
            let on = |item: Item| {
                item.fields.iter().any(|(name, value)| {
                    *name == "disabled" && matches!(value, Value::Word(word) if word == "no")
                })
            };
            ours.map(on).collect::<Vec<bool>>()
        };
        assert_eq!(says_on(&["10.9.0.3"]), [true]);
        assert_eq!(says_on(&["10.9.0.2", "10.9.0.3"]), [false, true]);
    }

    #[test]
    fn both_services_at_the_same_interfaces_share_a_bridge() {
        let mut setup = both();
        setup.pppoe.as_mut().unwrap().lan = setup.hotspot.as_ref().unwrap().lan.clone();
        assert_eq!(setup.faults(), []);
        let steps = wanted(&setup, Release::V7);
        let bridges = rows(&steps, "/interface bridge");
        let own: Vec<_> = bridges
            .iter()
            .filter(|which| matches!(which, Which::Own(..)))
            .collect();
        assert!(
            own.iter()
                .all(|which| ***which == Which::Own("name", HOTSPOT_BRIDGE.to_owned()))
        );
        assert!(bridges.contains(&&Which::Gone("name", PPPOE_BRIDGE.to_owned())));
    }

    /// What is left of a line that was given up would go on giving its address.
    #[test]
    fn every_way_to_the_internet_has_a_rule_and_no_other() {
        let mut setup = both();
        setup.more_wans = vec!["ether5".to_owned(), "lte1".to_owned()];
        assert_eq!(setup.faults(), []);
        let steps = wanted(&setup, Release::V7);
        let items = steps.iter().flat_map(|step| &step.items);
        let ways: Vec<(&str, bool)> = items
            .filter(|item| item.menu == "/ip firewall nat")
            .map(|item| match &item.which {
                Which::Own(_, mark) => (mark.as_str(), true),
                Which::Gone(_, mark) => (mark.as_str(), false),
                other => panic!("{other:?}"),
            })
            .collect();
        let of = |service| {
            [
                (format!("easyisp:nat-{service}"), true),
                (format!("easyisp:nat-{service}:2"), true),
                (format!("easyisp:nat-{service}:3"), true),
                (format!("easyisp:nat-{service}:4"), false),
            ]
        };
        let expected: Vec<(String, bool)> = [of("pppoe"), of("hotspot")].concat();
        let ways: Vec<(String, bool)> = ways
            .into_iter()
            .map(|(mark, there)| (mark.to_owned(), there))
            .collect();
        assert_eq!(ways, expected);
        setup.more_wans.push("ether1".to_owned());
        assert_eq!(setup.faults()[0].field, "wanInterfaces");
        setup.more_wans = vec!["ether3".to_owned()];
        assert_eq!(setup.faults()[0].field, "hotspotConfig.interfaces");
    }

    #[test]
    fn nobody_but_the_agents_reaches_the_api_and_the_internet_no_name_server() {
        for release in [Release::V6, Release::V7] {
            let rules = wanted(&both(), release);
            let own = |which: &&&Which| matches!(which, Which::OwnFirst(..));
            let filter = rows(&rules, "/ip firewall filter");
            // Two agents, two protocols each; two that drop; two of the name server; two of who is blocked.
            assert_eq!(filter.iter().filter(own).count(), 10);
        }
    }
}
