//! How a router is configured, as text, from the rows of its menus.
//!
//! `/export` answers nothing over the API: it writes a file, and its file is read back in pieces of 4 KiB on
//! RouterOS 6 and, to 7.12, not beyond 60 KiB; it wears the flash, needs the right to write, and on RouterOS 6 holds
//! every password. Rows need `read` alone, come in the same words from 6.43 on, and secrets in them are known by
//! their names. What a login may not see (`sensitive`) is not there, and is no change.

use std::time::Duration;

use easyisp_shared::setup::text::{Fields, Verb, line};
use easyisp_shared::wire::configuration::{CONFIGURATION_CAP, CONFIGURATION_LINES};
use futures_util::StreamExt;
use futures_util::stream;

use super::connection::ApiError;
use super::guard;
use super::lines::MARK;
use super::sentence::{Command, Row};
use super::{RouterApis, live};
use crate::site::{Router, Site};

/// How a router is configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configured {
    /// Without a secret.
    pub text: String,
    /// Lines that had no room.
    pub left_out: u32,
    /// Another one where anything differs, a secret too.
    pub digest: [u8; 32],
}

/// The rows of a menu, or why they could not be read.
type Found = (&'static Menu, Result<Vec<Row>, String>);

/// Digests a text at a place under the site's key.
type Digest<'a> = &'a dyn Fn(&[u8], &[u8]) -> [u8; 32];

impl RouterApis {
    /// Reads how a router is configured: all its menus that hold what people set.
    pub async fn configuration(
        &self,
        router: &Router,
        site: &Site,
        within: Duration,
    ) -> Result<Configured, ApiError> {
        let reading = async {
            let version = self.ask(router, live::resource(), within).await?;
            let version = version.rows.first().and_then(|row| row.text("version"));
            let version = version.unwrap_or_default().to_owned();
            let asked = stream::iter(0..MENUS.len()).map(|at| self.menu_at(router, at, within));
            let mut menus: Vec<Found> = Vec::new();
            let mut answers = asked.buffered(AT_ONCE);
            while let Some(answer) = answers.next().await {
                menus.extend(answer?);
            }
            Ok((version, menus))
        };
        match tokio::time::timeout(within, reading).await {
            Ok(Ok((version, menus))) => {
                let digest = |place: &[u8], text: &[u8]| site.digest(place, text);
                Ok(written(&version, &menus, &digest))
            }
            Ok(Err(cause)) => Err(cause),
            Err(_) => Err(ApiError::TimedOut),
        }
    }

    /// One of [`MENUS`]; `None` where the router does not have it.
    async fn menu_at(
        &self,
        router: &Router,
        at: usize,
        within: Duration,
    ) -> Result<Option<Found>, ApiError> {
        let Some(menu) = MENUS.get(at) else {
            return Ok(None);
        };
        let command = format!("{}/print", menu.path.replace(' ', "/"));
        let answer = self.ask(router, Command::new(&command), within).await;
        match answer {
            Ok(answer) => Ok(Some((menu, Ok(answer.rows)))),
            Err(ApiError::Refused(trap)) if trap.is_missing_command() => Ok(None),
            Err(ApiError::Refused(trap)) => Ok(Some((menu, Err(trap.message)))),
            Err(cause @ ApiError::TooMuch) => Ok(Some((menu, Err(cause.to_string())))),
            Err(cause) => Err(cause),
        }
    }
}

fn written(version: &str, menus: &[Found], digest: Digest<'_>) -> Configured {
    let mut writer = Writer {
        all: format!("# RouterOS {}\n", clean(version)),
        secrets: Vec::new(),
        digest,
    };
    for (menu, rows) in menus {
        match rows {
            Ok(rows) => writer.menu(menu, rows),
            Err(why) => {
                let why = clean(why);
                writer
                    .all
                    .push_str(&format!("{}\n# cannot be read: {why}\n", menu.path));
            }
        }
    }
    let Writer { all, secrets, .. } = writer;
    let whole = [all.as_bytes(), &secrets].concat();
    let digest = digest(b"configuration", &whole);
    let mut text = String::new();
    let mut left_out = 0;
    for (number, line) in all.split_inclusive('\n').enumerate() {
        let fits = text.len() + line.len() <= CONFIGURATION_CAP && number < CONFIGURATION_LINES;
        match fits && left_out == 0 {
            true => text.push_str(line),
            false => left_out += 1,
        }
    }
    Configured {
        text,
        left_out,
        digest,
    }
}

struct Writer<'a> {
    all: String,
    /// The digests of all secrets.
    secrets: Vec<u8>,
    digest: Digest<'a>,
}

impl Writer<'_> {
    fn menu(&mut self, menu: &Menu, rows: &[Row]) {
        let mut lines = String::new();
        for row in rows.iter().filter(|row| !is_passing(menu, row)) {
            let fields = self.fields(menu, row);
            let name = |name: &str| row.octets(name).unwrap_or_default().to_vec();
            let text = match menu.kind {
                Kind::One => line(Verb::Set, &fields),
                Kind::Fixed(key) => line(Verb::SetWhere(key, &name(key)), &fields),
                Kind::List if row.flag("default") == Some(true) => {
                    line(Verb::SetWhere("default", b"yes"), &fields)
                }
                Kind::List => line(Verb::Add, &fields),
            };
            lines.push_str(&text);
            lines.push('\n');
        }
        if !lines.is_empty() {
            self.all.push_str(menu.path);
            self.all.push('\n');
            self.all.push_str(&lines);
        }
    }

    /// What somebody set of a row, by name.
    fn fields(&mut self, menu: &Menu, row: &Row) -> Fields {
        let mut fields = Fields::new();
        for (name, held) in row.all() {
            if held.is_empty() || is_told(menu, name) {
                continue;
            }
            let held = match held {
                b"true" => b"yes".to_vec(),
                b"false" => b"no".to_vec(),
                held if is_secret(menu, name) => self.masked(menu, row, name, held),
                held if SCRIPTS.contains(&name) => self.masked_words(menu, row, name, held),
                held => held.to_vec(),
            };
            fields.push((name.to_owned(), held));
        }
        fields.sort();
        fields
    }

    /// Stars, and six digits that change when the secret does: of its place too, so that two equal ones differ.
    fn masked(&mut self, menu: &Menu, row: &Row, name: &str, held: &[u8]) -> Vec<u8> {
        let named = ["name", "comment", "address", "interface", "public-key"];
        let key = named
            .into_iter()
            .find(|key| !is_secret(menu, key) && row.octets(key).is_some());
        let key = key.and_then(|key| row.octets(key)).unwrap_or_default();
        let place = [menu.path.as_bytes(), b"\0", key, b"\0", name.as_bytes()].concat();
        let digest = (self.digest)(&place, held);
        self.secrets.extend_from_slice(&digest);
        let (shown, _) = digest.split_at(3);
        format!("{STARS} {}", hex::encode(shown)).into_bytes()
    }

    /// A script whose passwords are masked: what stands after `password=` and its like.
    fn masked_words(&mut self, menu: &Menu, row: &Row, name: &str, held: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = held;
        while let Some((before, secret, after)) = split_secret(rest) {
            out.extend_from_slice(before);
            let masked = self.masked(menu, row, name, secret);
            out.extend_from_slice(&masked);
            rest = after;
        }
        out.extend_from_slice(rest);
        out
    }
}

/// The next `password=word`: up to the word, the word, and what follows it.
fn split_secret(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let lower = text.to_ascii_lowercase();
    let place = |word: &&str| {
        let found = lower
            .windows(word.len())
            .position(|part| part == word.as_bytes());
        found.map(|at| at + word.len())
    };
    let mut start = WORDS.iter().filter_map(place).min()?;
    let ends: &[u8] = match text.get(start..)? {
        [b'\\', b'"', ..] => {
            start += 2;
            b"\\\""
        }
        [b'"', ..] => {
            start += 1;
            b"\""
        }
        _ => b" \t\r\n;&\"'\\)]}",
    };
    let (before, secret) = text.split_at_checked(start)?;
    let end = secret.iter().position(|byte| ends.contains(byte));
    let (secret, after) = secret.split_at_checked(end.unwrap_or(secret.len()))?;
    Some((before, secret, after))
}

/// Rows that a session, a service or the agents keep: they come and go with customers.
fn is_passing(menu: &Menu, row: &Row) -> bool {
    row.flag("dynamic") == Some(true)
        || row
            .text("comment")
            .is_some_and(|comment| comment.starts_with(MARK))
        || menu.path == "/user" && row.flag("expired") == Some(true)
        || menu.path == "/system scheduler"
            && row
                .text("name")
                .is_some_and(|name| name.starts_with(guard::NAME))
}

/// Told of a row and set by nobody.
fn is_told(menu: &Menu, name: &str) -> bool {
    let counts = |name: &str| {
        let counted = [
            "byte", "bytes", "packet", "packets", "drop", "error", "errors",
        ];
        ["rx-", "tx-", "driver-"]
            .iter()
            .any(|way| name.starts_with(way))
            && counted.iter().any(|what| name.ends_with(what))
    };
    name.starts_with('.') || menu.told.contains(&name) || TOLD.contains(&name) || counts(name)
}

/// By its name, so that one of a menu that nobody thought of is masked too.
fn is_secret(menu: &Menu, name: &str) -> bool {
    let parts = [
        "password",
        "secret",
        "passphrase",
        "private-key",
        "shared-key",
        "auth-key",
        "md5-key",
        "static-key",
    ];
    parts.iter().any(|part| name.contains(part))
        || ["key", "pin", "sim-pin"].contains(&name)
        || (menu.path, name) == ("/snmp community", "name")
}

/// One line, whatever a router says.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

struct Menu {
    path: &'static str,
    kind: Kind,
    /// Beside [`TOLD`].
    told: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Kind {
    /// Properties and no rows.
    One,
    /// Rows.
    List,
    /// Rows that are always there, known by this property.
    Fixed(&'static str),
}

const fn one(path: &'static str) -> Menu {
    menu(path, Kind::One, &[])
}

const fn list(path: &'static str) -> Menu {
    menu(path, Kind::List, &[])
}

const fn menu(path: &'static str, kind: Kind, told: &'static [&'static str]) -> Menu {
    Menu { path, kind, told }
}

/// In the order in which they can be written; what a router does not have is passed over.
const MENUS: &[Menu] = &[
    one("/system identity"),
    one("/system clock"),
    one("/system ntp client"),
    one("/system note"),
    list("/certificate"),
    list("/user group"),
    list("/user"),
    one("/user aaa"),
    menu(
        "/interface ethernet",
        Kind::Fixed("default-name"),
        &["mac-address"],
    ),
    menu("/interface bridge", Kind::List, &["mac-address", "l2mtu"]),
    menu("/interface vlan", Kind::List, &["mac-address", "l2mtu"]),
    menu("/interface bonding", Kind::List, &["mac-address"]),
    list("/interface list"),
    list("/interface list member"),
    list("/interface bridge port"),
    list("/interface bridge vlan"),
    menu(
        "/interface wireless",
        Kind::Fixed("default-name"),
        &["mac-address"],
    ),
    list("/interface wireless security-profiles"),
    list("/interface wifi"),
    list("/interface wifi security"),
    list("/interface wireguard"),
    list("/interface wireguard peers"),
    list("/interface pppoe-client"),
    list("/interface l2tp-client"),
    list("/interface sstp-client"),
    list("/interface ovpn-client"),
    list("/interface eoip"),
    list("/interface gre"),
    list("/ip ipsec profile"),
    list("/ip ipsec peer"),
    list("/ip ipsec proposal"),
    list("/ip ipsec identity"),
    list("/ip ipsec policy"),
    list("/ip pool"),
    list("/ppp profile"),
    list("/ppp secret"),
    one("/ppp aaa"),
    list("/interface pppoe-server server"),
    one("/interface l2tp-server server"),
    list("/radius"),
    one("/radius incoming"),
    menu("/ip address", Kind::List, &["network"]),
    menu(
        "/ip dhcp-client",
        Kind::List,
        &[
            "address",
            "gateway",
            "dhcp-server",
            "primary-dns",
            "secondary-dns",
            "primary-ntp",
        ],
    ),
    list("/ip dhcp-server"),
    list("/ip dhcp-server network"),
    list("/ip dhcp-server option"),
    list("/ip dhcp-server lease"),
    one("/ip dns"),
    list("/ip dns static"),
    list("/ip hotspot profile"),
    list("/ip hotspot user profile"),
    list("/ip hotspot"),
    list("/ip hotspot user"),
    list("/ip hotspot ip-binding"),
    list("/ip hotspot walled-garden"),
    list("/ip hotspot walled-garden ip"),
    list("/queue type"),
    list("/queue tree"),
    list("/queue simple"),
    list("/ip firewall address-list"),
    list("/ip firewall filter"),
    list("/ip firewall mangle"),
    list("/ip firewall nat"),
    list("/ip firewall raw"),
    list("/ipv6 address"),
    list("/ipv6 firewall filter"),
    menu(
        "/ip route",
        Kind::List,
        &["scope", "target-scope", "vrf-interface"],
    ),
    menu("/ip service", Kind::Fixed("name"), &["vrf"]),
    one("/snmp"),
    list("/snmp community"),
    list("/tool netwatch"),
    list("/system logging action"),
    list("/system logging"),
    list("/system scheduler"),
    list("/system script"),
];

/// Told by more than one menu, or of a name that nobody sets anywhere.
const TOLD: &[&str] = &[
    "active",
    "active-address",
    "active-client-id",
    "active-mac-address",
    "active-server",
    "actual-interface",
    "actual-mtu",
    "age",
    "available",
    "blocked",
    "builtin",
    "bytes",
    "bytes-in",
    "bytes-out",
    "cache-used",
    "connect",
    "creation-time",
    "current-endpoint-address",
    "current-endpoint-port",
    "date",
    "debug-info",
    "default",
    "designated-bridge",
    "designated-cost",
    "designated-port-number",
    "done-tests",
    "dropped",
    "dst-active",
    "dynamic",
    "dynamic-servers",
    "ecmp",
    "edge-port",
    "engine-id",
    "expired",
    "expires-after",
    "external-fdb-status",
    "failed-tests",
    "fast-forward-bytes",
    "fast-forward-packets",
    "forwarding",
    "freq-drift",
    "gateway-status",
    "gmt-offset",
    "hits",
    "host-name",
    "hw-offload",
    "hw-offload-group",
    "hw-offloaded",
    "immediate-gw",
    "inactive",
    "invalid",
    "invalid-after",
    "invalid-before",
    "last-caller-id",
    "last-disconnect-reason",
    "last-handshake",
    "last-link-down-time",
    "last-link-up-time",
    "last-logged-in",
    "last-logged-out",
    "last-seen",
    "last-started",
    "learning",
    "link-downs",
    "loss-count",
    "loss-percent",
    "next-run",
    "offset",
    "owner",
    "packet-rate",
    "packets",
    "packets-in",
    "packets-out",
    "ph2-state",
    "point-to-point-port",
    "port-number",
    "queued-bytes",
    "queued-packets",
    "rate",
    "response-count",
    "role",
    "root-path-cost",
    "root-port",
    "rtt-avg",
    "rtt-jitter",
    "rtt-max",
    "rtt-min",
    "rtt-stdev",
    "run-count",
    "running",
    "rx",
    "sending-rstp",
    "sent-count",
    "since",
    "slave",
    "static",
    "status",
    "synced-server",
    "synced-stratum",
    "system-offset",
    "time",
    "total",
    "total-bytes",
    "total-dropped",
    "total-packet-rate",
    "total-packets",
    "total-queued-bytes",
    "total-queued-packets",
    "total-rate",
    "tx",
    "uptime",
    "used",
];

/// Where people write programs.
const SCRIPTS: &[&str] = &[
    "source",
    "on-event",
    "on-login",
    "on-logout",
    "on-up",
    "on-down",
    "up-script",
    "down-script",
    "test-script",
    "lease-script",
    "script",
];
/// What a secret follows there.
const WORDS: &[&str] = &[
    "password=",
    "passphrase=",
    "secret=",
    "token=",
    // JSON in the quotes of RouterOS.
    r#"token\22:\22"#,
    "apikey=",
    "api-key=",
    "private-key=",
];
const STARS: &str = "***";
/// Commands under way at once.
const AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::routeros::sentence::{Reply, read};

    fn row(words: &[&str]) -> Row {
        let words = ["!re"].iter().chain(words);
        let words: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).collect();
        match read(&words).unwrap() {
            (_, Reply::Row(row)) => row,
            (_, other) => panic!("a row, not {other:?}"),
        }
    }

    fn of(found: &[(&str, Vec<Row>)]) -> Configured {
        let digest = |place: &[u8], text: &[u8]| -> [u8; 32] {
            let hash = Sha256::new().chain_update(place).chain_update([0]);
            hash.chain_update(text).finalize().into()
        };
        let menu = |path: &str| MENUS.iter().find(|menu| menu.path == path).unwrap();
        let found = found
            .iter()
            .map(|(path, rows)| (menu(path), Ok(rows.clone())));
        written("7.16.1 (stable)", &found.collect::<Vec<_>>(), &digest)
    }

    #[test]
    fn what_people_set_is_written_and_what_passes_is_not() {
        let queue = |rate: &str| {
            row(&[
                "=.id=*1",
                "=name=office",
                "=target=10.0.0.9/32",
                "=disabled=false",
                "=dynamic=false",
                "=comment=",
                &format!("=rate={rate}"),
            ])
        };
        let passing = row(&["=.id=*2", "=name=<pppoe-jane>", "=dynamic=true"]);
        let kept = row(&["=.id=*3", "=name=x", &format!("=comment={MARK}7")]);
        let slow = of(&[("/queue simple", vec![queue("0/0"), passing, kept])]);
        assert_eq!(
            slow.text,
            "# RouterOS 7.16.1 (stable)\n/queue simple\n\
             add disabled=no name=office target=10.0.0.9/32\n"
        );
        assert_eq!(slow, of(&[("/queue simple", vec![queue("7/9")])]));
    }

    #[test]
    fn a_secret_is_nowhere_and_another_one_is_another_configuration() {
        let radius = |secret: &str| {
            let secret = format!("=secret={secret}");
            of(&[("/radius", vec![row(&["=.id=*1", "=comment=x", &secret])])])
        };
        let (one, other) = (radius("swordfish"), radius("marlin"));
        assert!(one.text.contains("secret=\"*** "), "{}", one.text);
        assert!(!one.text.contains("swordfish"), "{}", one.text);
        assert_ne!((&one.text, one.digest), (&other.text, other.digest));
        assert_eq!(one, radius("swordfish"));

        let script = "=source=/tool fetch password=\"sword fish\" url=x?token=marlin&a=b";
        let written = of(&[("/system script", vec![row(&["=name=s", script])])]);
        assert!(
            !written.text.contains("fish") && !written.text.contains("marlin"),
            "{}",
            written.text
        );
        assert!(written.text.contains("&a=b"), "{}", written.text);
    }

    #[test]
    fn a_community_is_a_secret_and_a_default_row_is_found() {
        let community = row(&["=name=nobody-knows", "=default=true", "=read-access=true"]);
        let text = of(&[("/snmp community", vec![community])]).text;
        assert!(!text.contains("nobody-knows"), "{text}");
        assert!(text.contains("set [ find default=yes ] name="), "{text}");
    }

    #[test]
    fn what_has_no_room_is_counted_and_still_seen() {
        let rows = |last: &str| {
            let mut rows: Vec<Row> = (0..CONFIGURATION_LINES)
                .map(|number| row(&[&format!("=name=n{number}")]))
                .collect();
            rows.push(row(&[&format!("=name={last}")]));
            of(&[("/ip pool", rows)])
        };
        let (one, other) = (rows("a"), rows("b"));
        assert_eq!(one.text, other.text);
        assert_ne!(one.digest, other.digest);
        assert_eq!(
            (one.left_out, one.text.lines().count()),
            (3, CONFIGURATION_LINES)
        );
    }
}
