//! What every menu of a router must hold, in the order in which it can be written.

mod closed;
mod item;
mod services;

use secrecy::ExposeSecret;

use super::{Alive, Release, Setup, quote};

pub use closed::SYSLOG_PORT;
pub use item::{Item, Step, Value, Which};
pub use services::{ALLOWED, ANTI_SHARING, BLOCKED, HOTSPOTS, PPPOE_SERVERS};

pub(super) use services::MOST_WANS;

use closed::{firewall, logging, snmp};
use item::{OURS, agents, found, gone, marked, menu, own, text, word};
use services::{hotspot, pppoe};

/// `MikroTik`, User: without `policy`, so that this login cannot make others. `ftp` is the right to files, without which
/// no backup is saved and none is removed; who owns the entry of the heart-beat has to have it too.
const API_POLICY: &str = "api,read,write,test,ftp,sensitive,reboot,password";
/// What the heart-beat's entry of the scheduler may: `/tool fetch` is `test`'s, and from 7.13 on `ftp`'s too.
const ALIVE_POLICY: &str = "read,write,test,ftp";
/// Servers of time: boards have no clock of their own.
const TIME: &str = "time.cloudflare.com,pool.ntp.org";

/// What every menu must hold, in the order in which it can be written.
pub fn wanted(setup: &Setup, release: Release) -> Vec<Step> {
    let step = |name, items| Step { name, items };
    let mut steps = vec![
        step("name and time", name_and_time(setup, release)),
        step("login of the agents", api(setup)),
        step(PLAIN_API, plain_api(setup)),
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

/// How the step is called in which the API without TLS is shut to all but the agents.
pub const PLAIN_API: &str = "API without TLS";

/// Passwords travel there in the clear, and whoever may try them may guess. It is not switched off: an agent may enter
/// by it still. Where nothing is to be closed, it stays open to whoever else enters by it.
fn plain_api(setup: &Setup) -> Vec<Item> {
    if !setup.firewall {
        return Vec::new();
    }
    let address = word(agents(setup));
    vec![found(
        "/ip service",
        ("name", "api"),
        vec![("address", address)],
    )]
}

/// How the step is called in which a router learns to tell that it lives.
pub const ALIVE: &str = "heart-beat";

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
            ("policy", word(ALIVE_POLICY)),
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

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;

    use super::super::{ApiLogin, Hotspot, Lan, Pool, Pppoe, Snmp};
    use super::services::{HOTSPOT_BRIDGE, PPPOE_BRIDGE};
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
            snmp_port: 161,
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
                opens_no_others: true,
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

    /// The agents read it where its record says.
    #[test]
    fn another_port_of_snmp_is_opened_and_closed_like_the_usual_one() {
        let ports = |snmp_port, coa_port| {
            let setup = Setup {
                snmp_port,
                coa_port,
                ..both()
            };
            let items = wanted(&setup, Release::V7)
                .into_iter()
                .flat_map(|step| step.items);
            let udp = items
                .filter(|item| item.chain() == "input")
                .flat_map(|item| item.fields);
            let mut lists: Vec<String> = udp
                .filter_map(|(name, value)| match value {
                    Value::Word(word) if name == "dst-port" && word.contains("161") => Some(word),
                    _ => None, // other rules
                })
                .collect();
            assert_eq!(lists.len(), 4, "two agents, and two that drop");
            lists.dedup();
            lists
        };
        assert_eq!(ports(161, 3799), ["161,3799"]);
        assert_eq!(ports(1161, 3799), ["161,1161,3799"]);
        assert_eq!(ports(1161, 161), ["161,1161"], "each once");
    }

    /// A host without a name is no `dst-host`.
    #[test]
    fn guests_reach_hosts_by_name_and_by_address() {
        let mut setup = hotspot();
        let hosts = &mut setup.hotspot.as_mut().unwrap().open_hosts;
        hosts.push("203.0.113.9".to_owned());
        assert_eq!(setup.faults(), []);
        let steps = wanted(&setup, Release::V7);
        let garden = rows(&steps, "/ip hotspot walled-garden ip");
        let kept = |mark: &str, key, host: &str| {
            Which::GoneBut(mark.to_owned(), key, vec![host.to_owned()])
        };
        for expected in [
            Which::Own("dst-host", "pay.example.net".to_owned()),
            kept("easyisp:garden", "dst-host", "pay.example.net"),
            Which::Own("dst-address", "203.0.113.9".to_owned()),
            kept("easyisp:garden-address", "dst-address", "203.0.113.9"),
        ] {
            assert!(garden.contains(&&expected), "{expected:?}");
        }
    }

    #[test]
    fn a_service_that_is_not_wanted_goes_away() {
        for (setup, server) in [(hotspot(), PPPOE_SERVERS), (pppoe(), HOTSPOTS)] {
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

    /// Another system may enter by it: whoever chose that nothing is closed was told so.
    #[test]
    fn where_nothing_is_closed_the_plain_api_stays_open() {
        let names_it = |firewall, api: Option<ApiLogin>| {
            let setup = Setup {
                firewall,
                api,
                ..both()
            };
            let steps = wanted(&setup, Release::V7);
            let plain = Which::Found("name", "api".to_owned());
            rows(&steps, "/ip service").contains(&&plain)
        };
        for api in [None, both().api] {
            assert!(!names_it(false, api.clone()), "{api:?}");
            assert!(names_it(true, api.clone()), "{api:?}");
        }
    }

    #[test]
    fn nobody_but_the_agents_reaches_the_api_and_the_internet_no_name_server() {
        for release in [Release::V6, Release::V7] {
            let rules = wanted(&both(), release);
            let own = |which: &&&Which| matches!(which, Which::OwnFirst(..));
            let filter = rows(&rules, "/ip firewall filter");
            // Two agents, two protocols each; two that drop; two of the name server; two of who is blocked.
            assert_eq!(filter.iter().filter(own).count(), 10);
            // By IPv6 nobody at all; and who guesses passwords in the clear is an agent.
            let filter6 = rows(&rules, "/ipv6 firewall filter");
            assert_eq!(filter6.iter().filter(own).count(), 2);
            let services = rows(&rules, "/ip service");
            assert!(services.contains(&&Which::Found("name", "api".to_owned())));
        }
    }
}
