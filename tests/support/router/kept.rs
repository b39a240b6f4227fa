//! Rows that stay until somebody changes them: simple queues made by hand, leases, neighbours, netwatch, the
//! log.

use super::Router;

/// A row of a menu, property by property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRow {
    /// `*1A`.
    pub id: String,
    /// The rest.
    pub properties: Vec<(&'static str, String)>,
}

impl KeptRow {
    /// A property.
    pub fn value(&self, name: &str) -> Option<&str> {
        let held = self.properties.iter().find(|(held, _)| *held == name);
        held.map(|(_, value)| value.as_str())
    }

    pub(super) fn put(&mut self, name: &'static str, value: &str) {
        self.properties.retain(|(held, _)| *held != name);
        self.properties.push((name, value.to_owned()));
    }
}

/// The rows of all such menus.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    last: u32,
    rows: Vec<(&'static str, KeptRow)>,
}

/// What a menu takes: its path, what may be set, and what stands there when nobody set it.
pub(super) struct Menu {
    pub(super) path: &'static str,
    settable: &'static [&'static str],
    fresh: &'static [(&'static str, &'static str)],
}

pub(super) const QUEUES: Menu = Menu {
    path: "/queue/simple",
    settable: &[
        "name",
        "target",
        "max-limit",
        "burst-limit",
        "burst-threshold",
        "burst-time",
        "disabled",
        "comment",
    ],
    fresh: &[
        ("target", ""),
        ("parent", "none"),
        ("packet-marks", ""),
        ("priority", "8/8"),
        ("max-limit", "0/0"),
        ("burst-limit", "0/0"),
        ("burst-threshold", "0/0"),
        ("burst-time", "0s/0s"),
        ("bytes", "0/0"),
        ("rate", "0/0"),
        ("invalid", "false"),
        ("dynamic", "false"),
        ("disabled", "false"),
    ],
};
pub(super) const LEASES: Menu = Menu {
    path: "/ip/dhcp-server/lease",
    settable: &[
        "address",
        "mac-address",
        "server",
        "disabled",
        "comment",
        "dynamic",
    ],
    fresh: &[
        ("server", "all"),
        ("status", "waiting"),
        ("dynamic", "false"),
        ("blocked", "false"),
        ("disabled", "false"),
    ],
};
pub(super) const LISTS: Menu = Menu {
    path: "/ip/firewall/address-list",
    settable: &["list", "address", "disabled", "comment"],
    fresh: &[("dynamic", "false"), ("disabled", "false")],
};
pub(super) const POOLS: Menu = read_only("/ip/pool");
pub(super) const ADDRESSES: Menu = read_only("/ip/address");
pub(super) const NEIGHBOURS: Menu = read_only("/ip/neighbor");
pub(super) const NETWATCH: Menu = read_only("/tool/netwatch");
pub(super) const LOG: Menu = read_only("/log");
pub(super) const MENUS: [Menu; 8] = [
    QUEUES, LEASES, LISTS, POOLS, ADDRESSES, NEIGHBOURS, NETWATCH, LOG,
];

const fn read_only(path: &'static str) -> Menu {
    Menu {
        path,
        settable: &[],
        fresh: &[],
    }
}

impl Kept {
    /// What a router has that ran for a while.
    pub(super) fn used() -> Kept {
        let mut kept = Kept {
            last: 0x10,
            rows: Vec::new(),
        };
        kept.enter(
            LEASES.path,
            &[
                ("address", "192.168.88.254"),
                ("mac-address", "02:00:00:00:01:01"),
                ("server", "defconf"),
                ("status", "bound"),
                ("expires-after", "9m30s"),
                ("last-seen", "30s"),
                ("active-address", "192.168.88.254"),
                ("active-mac-address", "02:00:00:00:01:01"),
                ("active-server", "defconf"),
                ("host-name", "printer"),
                ("dynamic", "true"),
                ("blocked", "false"),
                ("disabled", "false"),
            ],
        );
        kept.enter(
            NEIGHBOURS.path,
            &[
                ("interface", "ether1"),
                ("address", "192.168.88.2"),
                ("address4", "192.168.88.2"),
                ("mac-address", "02:00:00:00:02:02"),
                ("identity", "roof-radio"),
                ("platform", "MikroTik"),
                ("version", "7.18.2 (stable)"),
                ("board", "RBSXTsqG-5acD"),
                ("uptime", "2d20h12m20s"),
            ],
        );
        kept.enter(
            NETWATCH.path,
            &[
                ("host", "192.0.2.1"),
                ("type", "simple"),
                ("interval", "10s"),
                ("timeout", "1s"),
                ("status", "down"),
                ("since", "2027-01-15 08:00:00"),
                ("disabled", "false"),
            ],
        );
        for (time, topics, message) in [
            ("2027-01-15 07:59:58", "system,info", "router rebooted"),
            (
                "2027-01-15 08:00:03",
                "interface,info",
                "ether1 link up (speed 1G, full duplex)",
            ),
            (
                "2027-01-15 08:00:09",
                "system,error,critical",
                "login failure for user admin",
            ),
        ] {
            let row = [("time", time), ("topics", topics), ("message", message)];
            kept.enter(LOG.path, &row);
        }
        kept
    }

    pub(super) fn enter(
        &mut self,
        menu: &'static str,
        properties: &[(&'static str, &str)],
    ) -> String {
        self.last += 1;
        let id = format!("*{:X}", self.last);
        let mut row = KeptRow {
            id: id.clone(),
            properties: Vec::new(),
        };
        for (name, value) in properties {
            row.put(name, value);
        }
        self.rows.push((menu, row));
        id
    }

    /// Changes rows without a command.
    pub(super) fn rows_of(&mut self, menu: &str) -> impl Iterator<Item = &mut KeptRow> {
        let rows = self.rows.iter_mut().filter(move |(held, _)| *held == menu);
        rows.map(|(_, row)| row)
    }

    /// Whether there is such a row.
    pub(super) fn has(&self, menu: &str, id: &str) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|(held, row)| *held == menu && row.id == id)
    }

    pub(super) fn of(&self, menu: &str) -> Vec<KeptRow> {
        let rows = self.rows.iter().filter(|(held, _)| *held == menu);
        rows.map(|(_, row)| row.clone()).collect()
    }

    /// `add`: the new row's id.
    pub(super) fn add<'a>(
        &mut self,
        menu: &Menu,
        words: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<String, String> {
        let mut said = menu.check(words)?;
        let numbered = format!("queue{}", self.of(menu.path).len() + 1);
        if menu.path == QUEUES.path && !said.iter().any(|(name, _)| *name == "name") {
            said.push(("name", numbered));
        }
        self.is_free(menu, &said, None)?;
        let id = self.enter(menu.path, menu.fresh);
        self.put(&id, &said);
        Ok(id)
    }

    /// `set` on one row.
    pub(super) fn set<'a>(
        &mut self,
        menu: &Menu,
        id: &str,
        words: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), String> {
        let said = menu.check(words)?;
        if !self
            .rows
            .iter()
            .any(|(held, row)| *held == menu.path && row.id == id)
        {
            return Err("no such item".to_owned());
        }
        self.is_free(menu, &said, Some(id))?;
        self.put(id, &said);
        Ok(())
    }

    /// `remove` of one row; `false` when it is not there.
    pub(super) fn remove(&mut self, menu: &str, id: &str) -> bool {
        let before = self.rows.len();
        self.rows
            .retain(|(held, row)| *held != menu || row.id != id);
        self.rows.len() < before
    }

    pub(super) fn put(&mut self, id: &str, said: &[(&'static str, String)]) {
        if let Some((_, row)) = self.rows.iter_mut().find(|(_, row)| row.id == id) {
            for (name, value) in said {
                row.put(name, value);
            }
        }
    }

    fn is_free(
        &self,
        menu: &Menu,
        said: &[(&'static str, String)],
        but: Option<&str>,
    ) -> Result<(), String> {
        let name = said.iter().find(|(name, _)| *name == "name");
        let taken = |row: &KeptRow| {
            but != Some(row.id.as_str()) && row.value("name") == name.map(|(_, name)| name.as_str())
        };
        let same_entry = |row: &KeptRow| {
            let value = |wanted| said.iter().find(|(name, _)| *name == wanted);
            menu.path == LISTS.path
                && but != Some(row.id.as_str())
                && ["list", "address"].iter().all(|name| {
                    value(*name).is_some_and(|(_, value)| row.value(name) == Some(value.as_str()))
                })
        };
        let rows = || self.rows.iter().filter(|(held, _)| *held == menu.path);
        if name.is_some() && rows().any(|(_, row)| taken(row)) {
            return Err("failure: already have such name".to_owned());
        }
        match rows().any(|(_, row)| same_entry(row)) {
            true => Err("failure: already have such entry".to_owned()),
            false => Ok(()),
        }
    }
}

impl Menu {
    /// What stands in a row when nobody set it.
    pub(super) fn fresh(&self) -> &'static [(&'static str, &'static str)] {
        self.fresh
    }

    /// Whether commands change it.
    pub(super) fn is_settable(&self) -> bool {
        !self.settable.is_empty()
    }

    /// The words of a command as RouterOS keeps them: `yes` becomes `true`, `5M` becomes `5000000`.
    fn check<'a>(
        &self,
        words: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let mut said = Vec::new();
        for (name, value) in words.filter(|(name, _)| *name != ".id") {
            let known = self.settable.iter().find(|known| **known == name);
            let known = known.ok_or_else(|| format!("unknown parameter {name}"))?;
            let value = match (*known, value) {
                ("disabled", "yes" | "true") => "true".to_owned(),
                ("disabled", "no" | "false") => "false".to_owned(),
                ("max-limit" | "burst-limit" | "burst-threshold", value) => {
                    let both = value.split_once('/').unwrap_or((value, value));
                    let plain = |text: &str| {
                        let text = text.replace('M', "000000").replace('k', "000");
                        text.parse::<u64>()
                            .map_err(|_| format!("invalid value for argument {known}"))
                    };
                    format!("{}/{}", plain(both.0)?, plain(both.1)?)
                }
                (_, value) => value.to_owned(),
            };
            said.push((*known, value));
        }
        Ok(said)
    }
}

impl Router {
    /// Somebody adds a row by hand; its id.
    pub fn add_by_hand(&self, menu: &str, words: &[(&str, &str)]) -> Result<String, String> {
        let menu = by_hand(menu)?;
        self.change(|state| state.kept.add(&menu, words.iter().copied()))
    }

    /// Somebody changes a row by hand.
    pub fn set_by_hand(&self, menu: &str, id: &str, words: &[(&str, &str)]) -> Result<(), String> {
        let menu = by_hand(menu)?;
        self.change(|state| state.kept.set(&menu, id, words.iter().copied()))
    }

    /// The rows that stay in a menu, such as `/queue/simple`.
    pub fn kept(&self, menu: &str) -> Vec<KeptRow> {
        self.state().kept.of(menu)
    }
}

fn by_hand(menu: &str) -> Result<Menu, String> {
    let known = MENUS.into_iter().find(|known| known.path == menu);
    let known = known.filter(Menu::is_settable);
    known.ok_or_else(|| "no such command prefix".to_owned())
}
