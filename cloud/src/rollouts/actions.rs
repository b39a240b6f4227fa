//! What can be done to many routers: a closed set, each with what it needs. No text of anybody's becomes a command.

use std::net::{IpAddr, Ipv4Addr};

use easyisp_shared::setup::Release;
use easyisp_shared::wire::drift::{RowOfV1, WantedV1, WantedValueV1};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Wrong;
use crate::wizard::Choice;

/// What is done to each router.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = RolloutAction)]
pub enum Action {
    /// Takes another release of RouterOS: a backup, the release, a start, and the board's firmware if wished.
    Upgrade(Upgrade),
    /// Starts anew.
    Reboot,
    /// Writes what differs from its script, and nothing else.
    Repair(Choice),
    /// Asks these servers for the time.
    SetNtp(TimeServers),
    /// Asks these servers for names.
    SetDns(NameServers),
    /// Puts an address on a list of its firewall.
    AddToList(Entry),
    /// Takes off what was put there so.
    RemoveFromList(Entry),
    /// Is called as its record here.
    SetIdentity,
    /// Says over SNMP whom to call.
    SetContact(Contact),
}

/// Which release.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = RolloutUpgrade)]
pub struct Upgrade {
    /// `stable`, `long-term`, `testing`, `development` or `upgrade` (6 to 7); null = the one that each is set to.
    pub channel: Option<String>,
    /// This release and no other: where the channel has another one nothing is done. Null = what the first router
    /// finds, which then holds for all of them.
    pub version: Option<String>,
    /// Also writes the board's firmware, with a second start.
    pub routerboard: bool,
    /// Also takes an older release.
    pub allow_downgrade: bool,
}

/// Servers of time.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RolloutTimeServers)]
pub struct TimeServers {
    /// One to four names or addresses.
    pub servers: Vec<String>,
}

/// Servers of names.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RolloutNameServers)]
pub struct NameServers {
    /// One to four addresses.
    #[schema(value_type = Vec<String>)]
    pub servers: Vec<IpAddr>,
}

/// An entry of an address list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RolloutListEntry)]
pub struct Entry {
    /// The list: letters, digits, `-`, `_` and `.`; not one that the agent keeps (`easyisp-…`).
    pub list: String,
    /// An address or a network.
    pub address: String,
}

/// Whom to call.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RolloutContact)]
pub struct Contact {
    /// At most 100 characters.
    pub contact: String,
}

impl Action {
    /// What cannot be meant.
    pub fn check(&self, wrong: &mut Wrong) {
        match self {
            Action::Upgrade(upgrade) => {
                let channel = upgrade.channel.as_deref();
                if channel.is_some_and(|channel| !CHANNELS.contains(&channel)) {
                    wrong.add(
                        "action.channel",
                        "must be stable, long-term, testing, development or upgrade",
                    );
                }
                if upgrade
                    .version
                    .as_deref()
                    .is_some_and(|text| !is_release(text))
                {
                    wrong.add("action.version", "must look like 7.18.2");
                }
            }
            Action::SetNtp(time) => {
                let good = time.servers.iter().all(|server| is_host(server));
                if !good || !(1..=4).contains(&time.servers.len()) {
                    wrong.add("action.servers", "must be one to four names or addresses");
                }
            }
            Action::SetDns(names) => {
                if !(1..=4).contains(&names.servers.len()) {
                    wrong.add("action.servers", "must be one to four addresses");
                }
            }
            Action::AddToList(entry) | Action::RemoveFromList(entry) => {
                if !is_list(&entry.list) {
                    wrong.add(
                        "action.list",
                        "must be 1 to 40 letters, digits, -, _ and ., and not begin with easyisp",
                    );
                }
                if network(&entry.address).is_none() {
                    wrong.add("action.address", "must be an IPv4 address or network");
                }
            }
            Action::SetContact(contact) => {
                let text = contact.contact.trim();
                if text.is_empty()
                    || text.chars().count() > 100
                    || text.chars().any(char::is_control)
                {
                    wrong.add("action.contact", "must be 1 to 100 characters");
                }
            }
            Action::Reboot | Action::Repair(_) | Action::SetIdentity => {}
        }
    }

    /// In a few words.
    pub fn named(&self) -> String {
        match self {
            Action::Upgrade(upgrade) => match (&upgrade.version, &upgrade.channel) {
                (Some(version), _) => format!("RouterOS {version}"),
                (None, Some(channel)) => format!("RouterOS of the channel {channel}"),
                (None, None) => "RouterOS of its channel".to_owned(),
            },
            Action::Reboot => "Restart".to_owned(),
            Action::Repair(_) => "Repair of what differs".to_owned(),
            Action::SetNtp(_) => "Servers of time".to_owned(),
            Action::SetDns(_) => "Servers of names".to_owned(),
            Action::AddToList(entry) => format!("{} onto {}", entry.address, entry.list),
            Action::RemoveFromList(entry) => format!("{} off {}", entry.address, entry.list),
            Action::SetIdentity => "Names of the routers".to_owned(),
            Action::SetContact(_) => "Contact".to_owned(),
        }
    }

    /// What a router called `name` is to hold afterwards; empty where that is not all of it.
    pub fn wanted(&self, name: &str, release: Release) -> Vec<WantedV1> {
        let plain =
            |name: &str, value: &str| (name.to_owned(), WantedValueV1::Plain(value.to_owned()));
        let menu = |menu: &str, fields| {
            vec![WantedV1 {
                menu: menu.to_owned(),
                which: RowOfV1::Menu,
                fields,
            }]
        };
        let listed = |entry: &Entry, is_wanted: bool| {
            let mark = format!("{LISTED} {} {}", entry.list, entry.address);
            let mark = ("comment".to_owned(), mark);
            let (which, fields) = match is_wanted {
                true => (
                    RowOfV1::Own(mark.0, mark.1),
                    vec![plain("list", &entry.list), plain("address", &entry.address)],
                ),
                false => (RowOfV1::Gone(mark.0, mark.1), Vec::new()),
            };
            vec![WantedV1 {
                menu: "/ip firewall address-list".to_owned(),
                which,
                fields,
            }]
        };
        match self {
            Action::SetNtp(time) => {
                let servers = match release {
                    Release::V6 => "server-dns-names",
                    Release::V7 => "servers",
                };
                let fields = vec![
                    plain("enabled", "yes"),
                    plain(servers, &time.servers.join(",")),
                ];
                menu("/system ntp client", fields)
            }
            Action::SetDns(names) => {
                let servers: Vec<String> = names.servers.iter().map(IpAddr::to_string).collect();
                menu("/ip dns", vec![plain("servers", &servers.join(","))])
            }
            Action::AddToList(entry) => listed(entry, true),
            Action::RemoveFromList(entry) => listed(entry, false),
            Action::SetIdentity => menu("/system identity", vec![plain("name", name)]),
            Action::SetContact(contact) => {
                menu("/snmp", vec![plain("contact", contact.contact.trim())])
            }
            Action::Upgrade(_) | Action::Reboot | Action::Repair(_) => Vec::new(),
        }
    }
}

fn is_release(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('.');
    starts && text.len() <= 20 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
}

fn is_host(text: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == ':';
    (1..=253).contains(&text.len()) && text.chars().all(named)
}

fn is_list(text: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    (1..=40).contains(&text.len()) && text.chars().all(named) && !text.starts_with("easyisp")
}

fn network(text: &str) -> Option<ipnet::Ipv4Net> {
    let alone = || Some(ipnet::Ipv4Net::from(text.parse::<Ipv4Addr>().ok()?));
    text.parse().ok().or_else(alone)
}

/// What MikroTik has.
pub const CHANNELS: [&str; 5] = ["stable", "long-term", "testing", "development", "upgrade"];
/// How an entry begins that was put on a list so; others are not taken off.
const LISTED: &str = "easyisp listed";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(action: Value) -> Result<Action, serde_json::Error> {
        serde_json::from_value(action)
    }

    #[test]
    fn nothing_but_what_is_known_becomes_an_action() {
        for action in [
            json!({"kind": "RUN", "command": "/system reset-configuration"}),
            json!({"kind": "SET_DNS", "servers": ["1.1.1.1; /user add"]}),
            json!({"kind": "SET_NTP"}),
        ] {
            assert!(read(action.clone()).is_err(), "{action}");
        }
        for action in [
            json!({"kind": "SET_NTP", "servers": ["a b"]}),
            json!({"kind": "SET_NTP", "servers": []}),
            json!({"kind": "SET_DNS", "servers": []}),
            json!({"kind": "ADD_TO_LIST", "list": "easyisp-allowed", "address": "10.0.0.1"}),
            json!({"kind": "ADD_TO_LIST", "list": "office", "address": "everybody"}),
            json!({"kind": "SET_CONTACT", "contact": "a\nb"}),
            json!({"kind": "UPGRADE", "channel": "nightly"}),
            json!({"kind": "UPGRADE", "version": "newest"}),
        ] {
            let mut wrong = Wrong::default();
            let known = read(action.clone());
            assert!(known.is_ok(), "{action}");
            if let Ok(known) = known {
                known.check(&mut wrong);
            }
            assert!(!wrong.is_empty(), "{action}");
        }
    }

    #[test]
    fn an_action_is_stored_as_it_was_asked_for() {
        for action in [
            json!({"kind": "UPGRADE", "channel": "stable", "version": null, "routerboard": true,
                "allowDowngrade": false}),
            json!({"kind": "REBOOT"}),
            json!({"kind": "ADD_TO_LIST", "list": "office", "address": "10.0.0.0/8"}),
        ] {
            let known = read(action.clone());
            assert_eq!(known.ok().map(|known| json!(known)), Some(action));
        }
    }

    #[test]
    fn each_release_is_told_in_its_own_words() {
        let time = Action::SetNtp(TimeServers {
            servers: vec!["pool.ntp.org".to_owned()],
        });
        let named = |release| {
            let wanted = time.wanted("Tower", release);
            wanted
                .into_iter()
                .flat_map(|one| one.fields)
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(named(Release::V6), ["enabled", "server-dns-names"]);
        assert_eq!(named(Release::V7), ["enabled", "servers"]);
    }
}
