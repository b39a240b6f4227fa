//! Who may look, who may come in, and who reads the log.

use super::super::{Setup, Snmp, digest};
use super::item::{Item, OURS, Value, Which, agents, found, gone, marked, menu, own, text, word};
use super::services::{ANTI_SHARING, BLOCKED, further};
use crate::wire::monitor::SnmpPrivacy;

pub(super) fn snmp(setup: &Setup) -> Vec<Item> {
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

pub(super) fn firewall(setup: &Setup) -> Vec<Item> {
    const FILTER: &str = "/ip firewall filter";
    const FILTER6: &str = "/ipv6 firewall filter";
    let mut asked = vec![161, setup.snmp_port, setup.coa_port];
    asked.sort_unstable();
    asked.dedup();
    let asked: Vec<String> = asked.iter().map(u16::to_string).collect();
    let coa = asked.join(",");
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
    // Agents come in by IPv4 alone: by IPv6 nobody does.
    for (name, protocol, list) in [
        (guarded[0], "tcp", "8728,8729"),
        (guarded[1], "udp", coa.as_str()),
    ] {
        items.push(match setup.firewall {
            true => Item {
                menu: FILTER6,
                ..rule(name, ports("drop", protocol, list))
            },
            false => gone(FILTER6, ("comment", &marked(name))),
        });
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
pub(super) fn logging(setup: &Setup) -> Vec<Item> {
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
