//! The menus: what they know, what they refer to, and what a factory leaves in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use easyisp_shared::setup::Release;

use super::run::{Value, text};
use super::{Machine, Outside, Row};

/// A menu that has properties of its own, or rows.
pub(super) struct Menu {
    pub(super) path: &'static str,
    pub(super) rows: bool,
    /// What may be set; a property that is the key of its rows first.
    pub(super) names: &'static str,
    /// Property, and the menu whose rows it names.
    refers: &'static [(&'static str, &'static str)],
}

const fn menu(path: &'static str, names: &'static str) -> Menu {
    Menu {
        path,
        rows: false,
        names,
        refers: &[],
    }
}

const fn list(
    path: &'static str,
    names: &'static str,
    refers: &'static [(&'static str, &'static str)],
) -> Menu {
    Menu {
        path,
        rows: true,
        names,
        refers,
    }
}

const INTERFACE: (&str, &str) = ("interface", "/interface");

/// The first name of a list is unique in it, unless it is `comment`.
const MENUS: &[Menu] = &[
    menu("/system identity", "name"),
    menu("/system clock", "time-zone-name time-zone-autodetect"),
    menu("/system resource", ""),
    menu("/system ntp client", "enabled"),
    menu("/radius incoming", "accept port"),
    menu("/ppp aaa", "use-radius accounting interim-update"),
    menu(
        "/ip dhcp-server config",
        "accounting interim-update store-leases-disk",
    ),
    menu("/ip dns", "servers allow-remote-requests"),
    menu("/snmp", "enabled location contact trap-version"),
    menu("/system device-mode", "mode hotspot scheduler fetch"),
    list(
        "/system scheduler",
        "name comment start-date start-time interval on-event policy disabled",
        &[],
    ),
    menu(
        "/tool",
        "mode url dst-path keep-result check-certificate http-method http-data http-header-field",
    ),
    menu("/", "file"),
    menu("/system backup", "name"),
    list("/file", "name", &[]),
    list("/interface", "name type", &[]),
    list("/ip route", "comment dst-address gateway", &[]),
    list("/ip dhcp-client", "interface", &[]),
    list("/interface pppoe-client", "name interface", &[]),
    list("/interface vlan", "name interface vlan-id", &[]),
    list(
        "/interface wireless security-profiles",
        "name mode authentication-types unicast-ciphers group-ciphers wpa2-pre-shared-key",
        &[],
    ),
    list(
        "/interface wireless",
        "name ssid mode band frequency country security-profile hide-ssid disabled",
        &[("security-profile", "/interface wireless security-profiles")],
    ),
    list(
        "/interface wifi security",
        "name authentication-types passphrase",
        &[],
    ),
    list(
        "/interface wifi",
        "name configuration.ssid configuration.mode configuration.hide-ssid configuration.country channel.band \
         security disabled",
        &[("security", "/interface wifi security")],
    ),
    list("/ip arp", "comment address interface", &[]),
    list("/interface bridge host", "comment on-interface", &[]),
    list("/user group", "name policy", &[]),
    list(
        "/user",
        "name group password address comment",
        &[("group", "/user group")],
    ),
    list(
        "/certificate",
        "name common-name key-size days-valid key-usage",
        &[],
    ),
    list(
        "/ip service",
        "name port certificate address disabled",
        &[("certificate", "/certificate")],
    ),
    list(
        "/radius",
        "comment service address secret authentication-port accounting-port timeout disabled",
        &[],
    ),
    list(
        "/tool netwatch",
        "comment host interval up-script down-script",
        &[],
    ),
    list("/interface bridge", "name comment", &[]),
    list(
        "/interface bridge port",
        "interface bridge comment",
        &[INTERFACE, ("bridge", "/interface")],
    ),
    list("/ip pool", "name ranges", &[]),
    list(
        "/ppp profile",
        "name local-address remote-address dns-server change-tcp-mss use-encryption",
        &[("remote-address", "/ip pool")],
    ),
    list(
        "/interface pppoe-server server",
        "interface default-profile service-name authentication one-session-per-host keepalive-timeout max-mtu max-mru disabled",
        &[INTERFACE, ("default-profile", "/ppp profile")],
    ),
    list(
        "/system logging action",
        "name target remote remote-port",
        &[],
    ),
    list(
        "/system logging",
        "action topics prefix disabled",
        &[("action", "/system logging action")],
    ),
    list("/ip address", "comment address interface", &[INTERFACE]),
    list(
        "/ip dhcp-server",
        "name interface address-pool lease-time use-radius add-arp disabled",
        &[INTERFACE, ("address-pool", "/ip pool")],
    ),
    list(
        "/ip dhcp-server network",
        "address comment gateway dns-server",
        &[],
    ),
    list(
        "/ip hotspot profile",
        "name hotspot-address html-directory login-by use-radius radius-accounting radius-interim-update nas-port-type",
        &[],
    ),
    list(
        "/ip hotspot user profile",
        "name add-mac-cookie mac-cookie-timeout keepalive-timeout",
        &[],
    ),
    list(
        "/ip hotspot",
        "name interface address-pool profile addresses-per-mac disabled",
        &[
            INTERFACE,
            ("address-pool", "/ip pool"),
            ("profile", "/ip hotspot profile"),
        ],
    ),
    list(
        "/ip hotspot walled-garden ip",
        "comment dst-host dst-address action",
        &[],
    ),
    list(
        "/snmp community",
        "name addresses security read-access write-access authentication-protocol authentication-password \
         encryption-protocol encryption-password",
        &[],
    ),
    list(
        "/ip firewall filter",
        "comment chain action protocol dst-port src-address src-address-list dst-address-list in-interface connection-state disabled",
        &[("in-interface", "/interface")],
    ),
    list(
        "/ipv6 firewall filter",
        "comment chain action protocol dst-port src-address in-interface connection-state disabled",
        &[("in-interface", "/interface")],
    ),
    list(
        "/ip firewall mangle",
        "comment chain action new-ttl dst-address-list src-address-list passthrough disabled",
        &[],
    ),
    list(
        "/ip firewall nat",
        "comment chain action src-address out-interface",
        &[("out-interface", "/interface")],
    ),
];

/// What each of the groups that cannot be deleted may (`MikroTik`, User).
const EVERYBODY: &str =
    "local,telnet,ssh,reboot,read,test,winbox,password,web,sniff,sensitive,api,romon";

/// Its services, and who is connected to one.
const SERVICES: &str = "/ip service";

/// A menu that a router of RouterOS 6 has with its package alone.
const IPV6: &str = "/ipv6 firewall filter";

/// What only some releases know.
fn newer(menu: &str, name: &str, release: Release) -> bool {
    matches!(
        (menu, name, release),
        ("/system ntp client", "servers", Release::V7)
            | (
                "/system ntp client",
                "primary-ntp" | "secondary-ntp" | "server-dns-names",
                Release::V6
            )
            | ("/radius", "require-message-auth", Release::V7)
    )
}

pub(super) fn of(path: &str) -> Result<&'static Menu, String> {
    let found = MENUS.iter().find(|menu| menu.path == path);
    found.ok_or_else(|| format!("no such menu {path}"))
}

impl Machine {
    /// As it leaves the factory: five ports, and what the release's default configuration has of rules.
    pub fn new(release: Release) -> Machine {
        let mut machine = Machine {
            release,
            menus: MENUS
                .iter()
                .map(|menu| (menu.path.to_owned(), Vec::new()))
                .collect(),
            next: 1,
            globals: HashMap::new(),
            signing: HashMap::new(),
            outside: Outside::default(),
            uptime: std::time::Duration::ZERO,
            scheduled: None,
            posted: Vec::new(),
            printed: Vec::new(),
            logged: Vec::new(),
            caught: Vec::new(),
        };
        for menu in MENUS.iter().filter(|menu| !menu.rows) {
            machine.put(menu.path, &[]);
        }
        if release == Release::V6 {
            machine.without(IPV6); // a package, which the factory leaves off
        }
        let version = match release {
            Release::V6 => "6.49.10 (long-term)",
            Release::V7 => "7.16.1 (stable)",
        };
        machine
            .menus
            .get_mut("/system resource")
            .into_iter()
            .flatten()
            .for_each(|row| {
                row.held.insert("version".to_owned(), version.to_owned());
            });
        for port in ["ether1", "ether2", "ether3", "ether4", "ether5"] {
            machine.put("/interface", &[("name", port), ("type", "ether")]);
        }
        machine.put("/interface", &[("name", "wlan1"), ("type", "wlan")]);
        machine.put(
            "/interface wireless security-profiles",
            &[("name", "default"), ("default", "yes"), ("mode", "none")],
        );
        machine.put(
            "/interface wireless",
            &[
                ("name", "wlan1"),
                ("ssid", "MikroTik"),
                ("mode", "station"),
                ("band", "2ghz-b/g/n"),
                ("security-profile", "default"),
                ("disabled", "yes"),
            ],
        );
        for (service, port) in [("api", "8728"), ("api-ssl", "8729"), ("winbox", "8291")] {
            // Who is connected stands there by the same name, from 7.20 on; where among them is not written down.
            if release == Release::V7 && service != "winbox" {
                let connection = [("name", service), ("port", port), ("dynamic", "yes")];
                machine.put(SERVICES, &connection);
            }
            machine.put(SERVICES, &[("name", service), ("port", port)]);
        }
        for action in ["memory", "disk", "echo", "remote"] {
            let target = [("name", action), ("target", action)];
            machine.put("/system logging action", &target);
        }
        for (topics, action) in [
            ("info", "memory"),
            ("error", "memory"),
            ("warning", "memory"),
            ("critical", "echo"),
        ] {
            machine.put("/system logging", &[("topics", topics), ("action", action)]);
        }
        for (group, more) in [
            ("read", "!ftp,!write,!policy"),
            ("write", "write,!ftp,!policy"),
            ("full", "ftp,write,policy"),
        ] {
            let policy = format!("{EVERYBODY},{more}");
            machine.put("/user group", &[("name", group), ("policy", &policy)]);
        }
        machine.put("/user", &[("name", "admin"), ("group", "full")]);
        for menu in [
            "/ip hotspot profile",
            "/ip hotspot user profile",
            "/ppp profile",
        ] {
            machine.put(menu, &[("name", "default"), ("default", "yes")]);
        }
        machine.put(
            "/snmp community",
            &[
                ("name", "public"),
                ("default", "yes"),
                ("read-access", "yes"),
            ],
        );
        for (action, state, comment) in [
            (
                "accept",
                "established,related",
                "defconf: accept established",
            ),
            ("drop", "", "defconf: drop the rest"),
        ] {
            machine.put(
                "/ip firewall filter",
                &[
                    ("chain", "input"),
                    ("action", action),
                    ("connection-state", state),
                    ("comment", comment),
                    ("dynamic", "no"),
                ],
            );
        }
        machine.put(
            "/ip firewall filter",
            &[
                ("chain", "forward"),
                ("action", "fasttrack-connection"),
                ("comment", "defconf: fasttrack"),
                ("dynamic", "no"),
            ],
        );
        machine
    }

    /// Has no such menu: its package is not installed.
    pub fn without(&mut self, menu: &str) {
        self.menus.remove(menu);
    }

    /// Whether it has the menu.
    pub(super) fn has(&self, menu: &str) -> Result<(), String> {
        match menu == IPV6 && !self.menus.contains_key(menu) {
            true => Err(format!("bad command name: no such command prefix {menu}")),
            false => Ok(()),
        }
    }

    /// Something that is there before anybody configures: a port, a rule, a folder.
    pub fn put(&mut self, menu: &str, held: &[(&str, &str)]) {
        let row = Row {
            id: self.next,
            held: held
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        self.next += 1;
        self.menus.entry(menu.to_owned()).or_default().push(row);
    }

    pub(super) fn knows(&self, menu: &str, name: &str) -> Result<(), String> {
        let known = of(menu)?.names.split(' ').any(|known| known == name);
        if known || newer(menu, name, self.release) {
            return Ok(());
        }
        Err(format!("expected end of command: {menu} knows no {name}"))
    }

    pub(super) fn ids(&self, menu: &str) -> Result<Vec<u32>, String> {
        self.has(menu)?;
        of(menu)?;
        Ok(self
            .menus
            .get(menu)
            .into_iter()
            .flatten()
            .map(|row| row.id)
            .collect())
    }

    pub(super) fn property(&self, menu: &str, id: u32, name: &str) -> String {
        let mut rows = self.menus.get(menu).into_iter().flatten();
        let row = rows.find(|row| row.id == id);
        row.and_then(|row| row.held.get(name))
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn act(
        &mut self,
        menu: &str,
        verb: &str,
        plain: &[Value],
        named: Vec<(String, Value)>,
    ) -> Result<Value, String> {
        self.has(menu)?;
        let kind = of(menu)?;
        let mut fields: BTreeMap<String, String> = named
            .into_iter()
            .map(|(name, value)| (name, text(&value)))
            .collect();
        let before = fields.remove("place-before");
        match (menu, verb) {
            ("/tool", "fetch") if self.forbids("fetch") => {
                return Err("failure: not allowed by device-mode".to_owned());
            }
            ("/user" | "/user group", "add" | "set" | "remove") if !self.may("policy") => {
                return Err("not enough permissions (9)".to_owned());
            }
            ("/tool", "fetch") => return self.fetch(&fields),
            ("/system resource", "get") if *plain == [Value::Text("uptime".to_owned())] => {
                return Ok(Value::Text(format!("{}s", self.uptime.as_secs())));
            }
            ("/system scheduler", "add") if self.forbids("scheduler") => {
                return Err("failure: not allowed by device-mode".to_owned());
            }
            ("/", "import") => {
                let file = text(plain.first().ok_or("expected a file")?);
                let rows = self.ids("/file")?;
                let held = rows
                    .into_iter()
                    .find(|row| self.property("/file", *row, "name") == file);
                let held = held.ok_or("no such file")?;
                let script = self.property("/file", held, "contents");
                return self.import(&script).map(|()| Value::Nothing);
            }
            ("/ip hotspot", "add") if self.forbids("hotspot") => {
                return Err("failure: not allowed by device-mode".to_owned());
            }
            _ => {}
        }
        match verb {
            "add" if kind.rows => self.add(kind, fields, before.as_deref()),
            "set" if !kind.rows => {
                self.change(kind, &self.ids(menu)?, &fields)?;
                Ok(Value::Nothing)
            }
            "set" | "remove" | "move" | "sign" => {
                let rows = self.named(kind, plain.first().ok_or("no such item")?)?;
                match verb {
                    "set" => self.change(kind, &rows, &fields)?,
                    "remove" => self.remove(kind, &rows)?,
                    "move" => self.relocate(kind, &rows, fields.get("destination"))?,
                    _ => self.signing.extend(rows.into_iter().map(|row| (row, 5))),
                }
                Ok(Value::Nothing)
            }
            "get" => {
                let (row, name) = match (plain, kind.rows) {
                    ([name], false) => (self.ids(menu)?, name),
                    ([row, name], true) => (self.named(kind, row)?, name),
                    _ => return Err("expected a property".to_owned()),
                };
                let row = row.first().ok_or("no such item")?;
                Ok(Value::Text(self.property(menu, *row, &text(name))))
            }
            _ => Err(format!("{menu} has no {verb}")),
        }
    }

    /// By ids, or by the value of their key.
    fn named(&self, kind: &Menu, value: &Value) -> Result<Vec<u32>, String> {
        if let Value::Rows(rows) = value {
            return Ok(rows.clone());
        }
        if text(value).starts_with('*') {
            return self.numbered(kind, &text(value));
        }
        let key = kind.names.split(' ').next().unwrap_or_default();
        let wanted = text(value);
        let rows = self.ids(kind.path)?;
        let found: Vec<u32> = rows
            .into_iter()
            .filter(|row| self.property(kind.path, *row, key) == wanted)
            .collect();
        if found.is_empty() {
            Err("no such item".to_owned())
        } else {
            Ok(found)
        }
    }

    pub(super) fn add(
        &mut self,
        kind: &Menu,
        fields: BTreeMap<String, String>,
        before: Option<&str>,
    ) -> Result<Value, String> {
        self.refers(kind, &fields)?;
        let key = kind.names.split(' ').next().unwrap_or_default();
        let value = fields.get(key).cloned().unwrap_or_default();
        let taken = self
            .ids(kind.path)?
            .iter()
            .any(|row| self.property(kind.path, *row, key) == value);
        if key != "comment" && taken {
            return Err(format!(
                "failure: already have {key} {value:?} in {}",
                kind.path
            ));
        }
        let id = self.next;
        self.next += 1;
        if kind.path == "/interface bridge" {
            let name = value.as_str();
            self.put("/interface", &[("name", name), ("type", "bridge")]);
        }
        let mut held = fields;
        if ["/ip firewall filter", IPV6].contains(&kind.path) {
            held.insert("dynamic".to_owned(), "no".to_owned());
        }
        let rows = self.menus.entry(kind.path.to_owned()).or_default();
        let place = before
            .and_then(|before| {
                rows.iter()
                    .position(|row| format!("*{:X}", row.id) == before)
            })
            .unwrap_or(rows.len());
        rows.insert(place, Row { id, held });
        Ok(Value::Rows(vec![id]))
    }

    pub(super) fn change(
        &mut self,
        kind: &Menu,
        rows: &[u32],
        fields: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        self.refers(kind, fields)?;
        let connected = |row: &u32| self.property(kind.path, *row, "dynamic") == "yes";
        if kind.path == SERVICES && rows.iter().any(connected) {
            return Err("failure: a connection cannot be changed".to_owned());
        }
        for row in self.menus.entry(kind.path.to_owned()).or_default() {
            if rows.contains(&row.id) {
                row.held.extend(fields.clone());
            }
        }
        Ok(())
    }

    /// What others refer to stays.
    pub(super) fn remove(&mut self, kind: &Menu, rows: &[u32]) -> Result<(), String> {
        for row in rows {
            let name = self.property(kind.path, *row, "name");
            let target = if kind.path == "/interface bridge" {
                "/interface"
            } else {
                kind.path
            };
            let user = MENUS.iter().find(|menu| {
                menu.refers.iter().any(|(property, to)| {
                    *to == target
                        && self
                            .menus
                            .get(menu.path)
                            .into_iter()
                            .flatten()
                            .any(|other| {
                                other
                                    .held
                                    .get(*property)
                                    .is_some_and(|held| !name.is_empty() && *held == name)
                            })
                })
            });
            if let Some(user) = user {
                return Err(format!("failure: {name:?} is used in {}", user.path));
            }
            if kind.path == "/interface bridge" {
                let interfaces = self.menus.entry("/interface".to_owned()).or_default();
                interfaces.retain(|interface| interface.held.get("name") != Some(&name));
            }
        }
        let held = self.menus.entry(kind.path.to_owned()).or_default();
        held.retain(|row| !rows.contains(&row.id));
        Ok(())
    }

    fn refers(&self, kind: &Menu, fields: &BTreeMap<String, String>) -> Result<(), String> {
        for (property, menu) in kind.refers {
            let Some(value) = fields.get(*property) else {
                continue;
            };
            let there = self
                .ids(menu)?
                .iter()
                .any(|row| self.property(menu, *row, "name") == *value);
            if !there {
                return Err(format!(
                    "input does not match any value of {property}: {value:?}"
                ));
            }
            if *menu == "/certificate" {
                let row = self.named(of(menu)?, &Value::Text(value.clone()))?;
                if self.property(menu, row[0], "fingerprint").is_empty() {
                    return Err("the certificate is not signed".to_owned());
                }
            }
        }
        Ok(())
    }

    /// A second goes by: keys are being made.
    pub(super) fn second(&mut self) {
        let mut done = Vec::new();
        for (row, left) in &mut self.signing {
            *left = left.saturating_sub(1);
            if *left == 0 {
                done.push(*row);
            }
        }
        for row in done {
            self.signing.remove(&row);
            // No two keys are the same, whatever was reset in between.
            let key = KEYS_MADE.fetch_add(1, Ordering::Relaxed);
            let certificates = self.menus.entry("/certificate".to_owned()).or_default();
            for certificate in certificates.iter_mut().filter(|held| held.id == row) {
                certificate
                    .held
                    .insert("fingerprint".to_owned(), format!("{key:064x}"));
            }
        }
    }
}

static KEYS_MADE: AtomicU64 = AtomicU64::new(0);
