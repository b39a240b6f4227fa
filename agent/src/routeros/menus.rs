//! The menus we ask, what each row of them says, and nothing more: every property is named.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::net::Mac;

use super::sentence::{Command, Row};
use super::values;
use crate::sessions::Service;

/// A line of the router's own list of who is online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// What names it in a `remove`.
    pub id: String,
    /// Which list it stands on.
    pub service: Service,
    /// Under which name, octet for octet.
    pub name: Vec<u8>,
    /// The device.
    pub mac: Option<Mac>,
    /// The subscriber's address.
    pub address: Option<Ipv4Addr>,
    /// For how long.
    pub uptime: Duration,
    /// PPP only: Acct-Session-Id, eight hexadecimal digits.
    pub session_id: Option<String>,
    /// Whether RADIUS let him in; `None` where the router does not say.
    pub radius: Option<bool>,
    /// Bytes from and to the subscriber, where the list has them.
    pub bytes: Option<(u64, u64)>,
    /// Hotspot only: what is left of it until the router ends it by itself.
    pub left: Option<Duration>,
}

/// Both of a router's lists of who is online.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roll {
    /// Their lines, each once.
    pub lines: Vec<Active>,
    /// Whose list came to its end with every row readable: only from such a one somebody can be missing.
    pub whole: Vec<Service>,
}

impl Roll {
    /// Takes the rows of one list. A router that is busy may tell one twice, or half of one.
    pub fn take(&mut self, service: Service, rows: &[Row]) {
        let read: Vec<Active> = rows
            .iter()
            .filter_map(|row| read_active(service, row))
            .collect();
        if read.len() == rows.len() {
            self.whole.push(service);
        }
        let mut seen = HashSet::new();
        let once = read.into_iter().filter(|line| seen.insert(line.id.clone()));
        self.lines.extend(once);
    }
}

/// Everybody on one of the router's lists, or only those of one name.
pub fn active(service: Service, name: Option<&[u8]>) -> Command {
    let (path, user, properties) = match service {
        // Who logs in nowhere stands on no list.
        Service::Ppp | Service::Line => (
            "/ppp/active/print",
            "name",
            ".id,name,service,caller-id,address,uptime,session-id,radius",
        ),
        Service::Hotspot => (
            "/ip/hotspot/active/print",
            "user",
            ".id,user,mac-address,address,uptime,radius,bytes-in,bytes-out,session-time-left",
        ),
    };
    let command = Command::new(path).only(properties);
    match name {
        Some(name) => command.having(user, name),
        None => command,
    }
}

/// Reads a row of [`active`]; `None` for a row without id or name.
pub fn read_active(service: Service, row: &Row) -> Option<Active> {
    let (user, device) = match service {
        Service::Ppp | Service::Line => ("name", "caller-id"),
        Service::Hotspot => ("user", "mac-address"),
    };
    let both = row.number("bytes-in").zip(row.number("bytes-out"));
    Some(Active {
        id: row.text(".id")?.to_owned(),
        service,
        name: row.octets(user)?.to_vec(),
        mac: row.text(device).and_then(Mac::parse),
        address: row.text("address").and_then(|text| text.parse().ok()),
        uptime: row
            .text("uptime")
            .and_then(values::duration)
            .unwrap_or_default(),
        session_id: row.text("session-id").map(session_id),
        radius: row.flag("radius"),
        bytes: both.filter(|_| service == Service::Hotspot),
        left: row.text("session-time-left").and_then(values::duration),
    })
}

/// `0x81100001` on the list is `81100001` in accounting.
fn session_id(text: &str) -> String {
    text.strip_prefix("0x").unwrap_or(text).to_ascii_lowercase()
}

/// Ends one session of a list.
pub fn remove(service: Service, id: &str) -> Command {
    let path = match service {
        Service::Ppp | Service::Line => "/ppp/active/remove",
        Service::Hotspot => "/ip/hotspot/active/remove",
    };
    Command::new(path).with(".id", id)
}

/// An entry of the router's own lists of users: whoever is on one is answered without RADIUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSecret {
    /// Which list.
    pub service: Service,
    /// The name, octet for octet.
    pub name: Vec<u8>,
}

/// The router's own users of one service, or only those of one name. Passwords are not asked for.
pub fn local_secrets(service: Service, name: Option<&[u8]>) -> Command {
    let (path, properties) = match service {
        Service::Ppp | Service::Line => ("/ppp/secret/print", "name,service,disabled"),
        Service::Hotspot => ("/ip/hotspot/user/print", "name,disabled"),
    };
    let command = Command::new(path).only(properties);
    match name {
        Some(name) => command.having("name", name),
        None => command,
    }
}

/// Reads a row of [`local_secrets`]; `None` for one that answers for no subscriber: it is switched off, is
/// for another service only, such as a tunnel's, or is the hotspot's `default-trial`.
pub fn read_local_secret(service: Service, row: &Row) -> Option<LocalSecret> {
    let name = row.octets("name")?.to_vec();
    let enabled = row.flag("disabled") != Some(true) && name != b"default-trial";
    let of_service = match (service, row.text("service")) {
        (Service::Ppp, Some(only)) => matches!(only, "any" | "pppoe"), // words of a router
        (Service::Ppp, None) | (Service::Hotspot | Service::Line, _) => true,
    };
    (enabled && of_service).then_some(LocalSecret { service, name })
}

/// How the router is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// Since its start.
    pub uptime: Duration,
    /// `7.16.1 (stable)`.
    pub version: String,
    /// `RB5009UG+S+`.
    pub board: String,
    /// Percent.
    pub cpu_load: Option<u32>,
    /// Octets.
    pub free_memory: Option<u64>,
    /// Octets.
    pub total_memory: Option<u64>,
}

/// Asks how the router is.
pub fn resource() -> Command {
    Command::new("/system/resource/print")
        .only("uptime,version,board-name,cpu-load,free-memory,total-memory")
}

/// Reads the answer to [`resource`]; `None` without an uptime.
pub fn read_resource(row: &Row) -> Option<Resource> {
    let text = |name| row.text(name).unwrap_or_default().to_owned();
    Some(Resource {
        uptime: values::duration(row.text("uptime")?)?,
        version: text("version"),
        board: text("board-name"),
        cpu_load: row.number("cpu-load").and_then(|load| load.try_into().ok()),
        free_memory: row.number("free-memory"),
        total_memory: row.number("total-memory"),
    })
}

/// The queue that carries a subscriber's rate: RouterOS names it after him.
pub fn queue(service: Service, name: &[u8]) -> Command {
    Command::new("/queue/simple/print")
        .only("name,max-limit,rate")
        .having("name", interface(service, name))
}

/// Bits a second, from and to the subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// From him.
    pub up_bps: u64,
    /// To him.
    pub down_bps: u64,
}

/// The limit in a row of [`queue`].
pub fn read_limit(row: &Row) -> Option<Rates> {
    read_rates(row, "max-limit")
}

/// The present rate in a row of [`queue`].
pub fn read_rate(row: &Row) -> Option<Rates> {
    read_rates(row, "rate")
}

fn read_rates(row: &Row, property: &str) -> Option<Rates> {
    let (up_bps, down_bps) = values::pair(row.text(property)?)?;
    Some(Rates { up_bps, down_bps })
}

/// What goes through a PPP subscriber's interface this second; it also counts what bypasses queues.
pub fn traffic(name: &[u8]) -> Command {
    Command::new("/interface/monitor-traffic")
        .with("interface", interface(Service::Ppp, name))
        .with("once", "")
        .only("rx-bits-per-second,tx-bits-per-second")
}

/// Reads the answer to [`traffic`]: what the router receives comes from the subscriber.
pub fn read_traffic(row: &Row) -> Option<Rates> {
    Some(Rates {
        up_bps: row.number("rx-bits-per-second")?,
        down_bps: row.number("tx-bits-per-second")?,
    })
}

/// `<pppoe-NAME>` or `<hotspot-NAME>`: what RouterOS calls a subscriber's interface and queue; and what we call
/// the queue of one who logs in nowhere.
fn interface(service: Service, name: &[u8]) -> Vec<u8> {
    let (before, after): (&[u8], &[u8]) = match service {
        Service::Ppp => (b"<pppoe-", b">"),
        Service::Hotspot => (b"<hotspot-", b">"),
        Service::Line => (LINE, b""),
    };
    [before, name, after].concat()
}

/// What the name of such a queue begins with.
pub const LINE: &[u8] = b"easyisp-";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::routeros::sentence::{Reply, read};

    fn row(words: &[&str]) -> Row {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        match read(&words).unwrap() {
            (_, Reply::Row(row)) => row,
            (_, other) => panic!("a row, not {other:?}"),
        }
    }

    #[test]
    fn both_lists_say_who_is_online_in_their_own_words() {
        let ppp = row(&[
            "!re",
            "=.id=*8A",
            "=name=demo001",
            "=service=pppoe",
            "=caller-id=AA:BB:CC:00:00:01",
            "=address=10.64.0.2",
            "=uptime=1h2m3s",
            "=session-id=0x81100001",
            "=radius=true",
        ]);
        let active = read_active(Service::Ppp, &ppp).unwrap();
        assert_eq!(active.session_id.as_deref(), Some("81100001"));
        assert_eq!(active.uptime, Duration::from_secs(3723));
        assert_eq!(active.mac, Mac::parse("AA:BB:CC:00:00:01"));
        assert_eq!((active.radius, active.bytes), (Some(true), None));

        let hotspot = row(&[
            "!re",
            "=.id=*1",
            "=user=jane",
            "=mac-address=AA:BB:CC:00:00:02",
            "=address=10.5.50.9",
            "=uptime=5s",
            "=radius=false",
            "=bytes-in=70",
            "=bytes-out=4294967296",
            "=session-time-left=1h30m",
        ]);
        let active = read_active(Service::Hotspot, &hotspot).unwrap();
        assert_eq!(active.bytes, Some((70, 4_294_967_296)));
        assert_eq!(active.left, Some(Duration::from_secs(5400)));
        assert_eq!((active.radius, active.session_id), (Some(false), None));
        assert_eq!(read_active(Service::Ppp, &hotspot), None);
    }

    #[test]
    fn a_row_told_twice_is_one_line_and_half_a_row_makes_no_whole_list() {
        let jane = || row(&["!re", "=.id=*1", "=name=jane"]);
        let mut roll = Roll::default();
        roll.take(Service::Ppp, &[jane(), jane()]);
        roll.take(
            Service::Hotspot,
            &[
                row(&["!re", "=.id=*1", "=user=joe"]),
                row(&["!re", "=.id=*2"]),
            ],
        );
        let names = roll.lines.iter().map(|line| &*line.name);
        assert_eq!(names.collect::<Vec<_>>(), [b"jane".as_slice(), b"joe"]);
        assert_eq!(roll.whole, [Service::Ppp]);
    }

    #[test]
    fn a_local_secret_hides_only_who_it_answers_for() {
        let secret = |disabled: &str, name: &str| {
            let (disabled, name) = (format!("=disabled={disabled}"), format!("=name={name}"));
            read_local_secret(Service::Ppp, &row(&["!re", &name, &disabled]))
        };
        let of = |only: &str| {
            read_local_secret(Service::Ppp, &row(&["!re", "=name=jane", only])).is_some()
        };
        assert!(of("=service=any") && of("=service=pppoe") && !of("=service=l2tp"));
        let jane = LocalSecret {
            service: Service::Ppp,
            name: b"jane".to_vec(),
        };
        assert_eq!(secret("false", "jane"), Some(jane));
        assert_eq!(secret("true", "jane"), None);
        assert_eq!(secret("false", "default-trial"), None);
    }

    #[test]
    fn limits_and_rates_are_read_as_up_and_down() {
        let queue = row(&["!re", "=max-limit=5000000/10000000", "=rate=12/3400"]);
        let rates = |up_bps, down_bps| Some(Rates { up_bps, down_bps });
        assert_eq!(read_limit(&queue), rates(5_000_000, 10_000_000));
        assert_eq!(read_rate(&queue), rates(12, 3400));
        let traffic = row(&["!re", "=rx-bits-per-second=7", "=tx-bits-per-second=9"]);
        assert_eq!(read_traffic(&traffic), rates(7, 9));
    }
}
