//! What a configuration tells and takes over the API, what it means for who dials, and its way out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use easyisp_shared::setup::Release;
use md5::Digest;

use super::Machine;
use super::menus::{Menu, of};
use super::run::Value;

/// What a router's way out leads to: what stands at an address, or why nothing came. It sees the configuration as it
/// is when it is asked.
#[derive(Clone, Default)]
pub struct Outside(Option<Arc<Fetch>>);

type Fetch = dyn Fn(&Machine, &str) -> Result<String, String> + Send + Sync;

impl Outside {
    /// What `fetch` brings.
    pub fn new(
        fetch: impl Fn(&Machine, &str) -> Result<String, String> + Send + Sync + 'static,
    ) -> Outside {
        Outside(Some(Arc::new(fetch)))
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside")
    }
}

/// A row as the API tells it: its number, and property by property.
pub type ToldRow = (String, Vec<(&'static str, String)>);

impl Machine {
    /// `/tool fetch`: into a file, or nowhere.
    pub(super) fn fetch(&mut self, fields: &BTreeMap<String, String>) -> Result<Value, String> {
        let url = fields.get("url").ok_or("expected url")?.clone();
        // `ftp` from 7.13 on.
        if !self.may("test") || self.release == Release::V7 && !self.may("ftp") {
            return Err("not enough permissions (9)".to_owned());
        }
        if fields.get("http-method").is_some_and(|it| it == "post") && self.scheduled.is_some() {
            let of = |name: &str| fields.get(name).cloned().unwrap_or_default();
            self.posted
                .push((url, of("http-header-field"), of("http-data")));
            return Ok(Value::Nothing);
        }
        let Outside(outside) = self.outside.clone();
        let outside = outside.ok_or("failure: no route to host")?;
        let got = outside(self, &url)?;
        if fields.get("keep-result").is_none_or(|keep| keep != "no") {
            let file = fields.get("dst-path").ok_or("expected dst-path")?;
            self.write_file(&file.clone(), &got);
        }
        Ok(Value::Nothing)
    }

    /// Puts a file among the router's, in place of one of this name.
    pub fn write_file(&mut self, name: &str, contents: &str) {
        let files = self.menus.entry("/file".to_owned()).or_default();
        files.retain(|row| row.held.get("name").is_none_or(|held| held != name));
        let size = contents.len().to_string();
        let held = [("name", name), ("contents", contents), ("size", &size)];
        self.put("/file", &held);
    }

    /// The power was cut: on a board with a `flash` folder what lies beside it was in memory.
    pub(crate) fn forget_memory(&mut self) {
        let files = self.menus.entry("/file".to_owned()).or_default();
        let name = |row: &super::Row| row.held.get("name").cloned().unwrap_or_default();
        if files.iter().any(|row| name(row) == "flash") {
            files.retain(|row| name(row) == "flash" || name(row).starts_with("flash/"));
        }
    }

    /// A user gives himself another password.
    pub(crate) fn change_password(&mut self, name: &str, new: &str) {
        for row in self.menus.entry("/user".to_owned()).or_default() {
            if row.held.get("name").is_some_and(|held| held == name) {
                row.held.insert("password".to_owned(), new.to_owned());
            }
        }
    }

    /// Has a way out from here on.
    pub fn reaches(&mut self, outside: Outside) {
        self.outside = outside;
    }

    /// Takes every row out of a menu.
    pub fn clear(&mut self, menu: &str) {
        self.menus.entry(menu.to_owned()).or_default().clear();
    }

    /// Whether what runs may: who pastes may everything, an entry of the scheduler what its own policies say.
    pub(super) fn may(&self, policy: &str) -> bool {
        let of_entry = self.scheduled.as_ref();
        of_entry.is_none_or(|policies| policies.split(',').any(|one| one == policy))
    }

    /// Whether the device's mode keeps this off.
    pub(crate) fn forbids(&self, what: &str) -> bool {
        self.first("/system device-mode", what).as_deref() == Some("no")
    }

    /// An entry of the scheduler runs once more.
    pub(crate) fn counts(&mut self, id: &str) {
        let rows = self
            .menus
            .entry("/system scheduler".to_owned())
            .or_default();
        for row in rows.iter_mut().filter(|row| format!("*{:X}", row.id) == id) {
            let count = row.held.get("run-count").and_then(|it| it.parse().ok());
            let count: u64 = count.unwrap_or(0);
            row.held
                .insert("run-count".to_owned(), (count + 1).to_string());
        }
    }

    /// An entry of the scheduler is carried out by a router that runs so long: what it posted where, with which header.
    pub(crate) fn scheduled(
        &mut self,
        (event, policy): (&str, &str),
        uptime: std::time::Duration,
    ) -> Vec<(String, String, String)> {
        self.uptime = uptime;
        self.scheduled = Some(policy.to_owned());
        if let Err(why) = self.run_event(event) {
            self.logged.push(format!("script error: {why}"));
        }
        self.scheduled = None;
        std::mem::take(&mut self.posted)
    }

    /// A property of the first row of a menu.
    pub fn first(&self, menu: &str, name: &str) -> Option<String> {
        let rows = self.menus.get(menu)?;
        rows.first()?.held.get(name).cloned()
    }

    /// Sets a property of every row of a menu.
    pub fn put_all(&mut self, menu: &str, name: &str, value: &str) {
        for row in self.menus.entry(menu.to_owned()).or_default() {
            row.held.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Sets a property of the rows of a menu that have this name.
    pub fn put_named(&mut self, (menu, named): (&str, &str), name: &str, value: &str) {
        for row in self.menus.entry(menu.to_owned()).or_default() {
            if row.held.get("name").is_some_and(|held| held == named) {
                row.held.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The rows of a menu in the words of the API; `None` where it knows no such menu.
    pub fn told(&self, path: &str) -> Option<Vec<ToldRow>> {
        let kind = of(&spaced(path)).ok()?;
        let rows = self.menus.get(kind.path)?;
        let told = |(id, held): (u32, &BTreeMap<String, String>)| {
            let mut all: Vec<(&'static str, String)> = held
                .iter()
                .filter_map(|(name, value)| Some((name_of(kind, name)?, in_api(value))))
                .collect();
            for (name, usual) in usual(kind) {
                if !held.contains_key(*name) {
                    all.push((name, (*usual).to_owned()));
                }
            }
            (format!("*{id:X}"), all)
        };
        Some(
            rows.iter()
                .map(|row| (row.id, &row.held))
                .map(told)
                .collect(),
        )
    }

    /// Whether the menu has rows with numbers.
    pub fn is_list(path: &str) -> bool {
        of(&spaced(path)).is_ok_and(|kind| kind.rows)
    }

    /// `add` over the API: the new row's number.
    pub fn add_row<'a>(
        &mut self,
        path: &str,
        words: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<String, String> {
        let (kind, mut fields) = self.taken(path, words)?;
        let before = fields.remove("place-before");
        let forbidden = [
            ("/ip hotspot", "hotspot"),
            ("/system scheduler", "scheduler"),
        ];
        if forbidden
            .iter()
            .any(|(menu, what)| kind.path == *menu && self.forbids(what))
        {
            return Err("failure: not allowed by device-mode".to_owned());
        }
        match self.add(kind, fields, before.as_deref())? {
            Value::Rows(rows) => Ok(format!("*{:X}", rows[0])),
            _ => Err("no row".to_owned()), // add makes one
        }
    }

    /// `set` over the API, on the rows of these numbers; on the menu itself without any.
    pub fn set_rows<'a>(
        &mut self,
        path: &str,
        numbers: Option<&str>,
        words: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), String> {
        let (kind, fields) = self.taken(path, words)?;
        let rows = match numbers {
            Some(numbers) => self.numbered(kind, numbers)?,
            None if kind.rows => return Err("no such item".to_owned()),
            None => self.ids(kind.path)?,
        };
        self.change(kind, &rows, &fields)
    }

    /// `unset` over the API.
    pub fn unset_rows(&mut self, path: &str, numbers: &str, name: &str) -> Result<(), String> {
        let kind = of(&spaced(path))?;
        let rows = self.numbered(kind, numbers)?;
        for row in self.menus.entry(kind.path.to_owned()).or_default() {
            if rows.contains(&row.id) {
                row.held.remove(name);
            }
        }
        Ok(())
    }

    /// `move` over the API, in a list whose order means something.
    pub fn move_row(&mut self, path: &str, one: &str, before: &str) -> Result<(), String> {
        let kind = of(&spaced(path))?;
        let one = self.numbered(kind, one)?;
        let before = before.to_owned();
        self.relocate(
            kind,
            &one,
            Some(&before).filter(|before| !before.is_empty()),
        )
    }

    /// Before another row; to the end without one.
    pub(super) fn relocate(
        &mut self,
        kind: &Menu,
        one: &[u32],
        before: Option<&String>,
    ) -> Result<(), String> {
        if !kind.path.contains(" firewall ") {
            return Err("no such command".to_owned());
        }
        let before = before.map(|before| self.numbered(kind, before));
        let before = before.transpose()?.unwrap_or_default();
        let rows = self.menus.entry(kind.path.to_owned()).or_default();
        let place =
            |rows: &[super::Row], ids: &[u32]| rows.iter().position(|row| ids.contains(&row.id));
        let from = place(rows, one).ok_or("no such item")?;
        let row = rows.remove(from);
        let to = place(rows, &before).unwrap_or(rows.len());
        rows.insert(to, row);
        Ok(())
    }

    /// `remove` over the API.
    pub fn remove_rows(&mut self, path: &str, numbers: &str) -> Result<(), String> {
        let kind = of(&spaced(path))?;
        let rows = self.numbered(kind, numbers)?;
        self.remove(kind, &rows)
    }

    /// `/system backup save`: a file, in the clear without a password (since 6.43).
    pub fn save(&mut self, name: &str, password: Option<&str>) {
        let mut all = self.state();
        all.remove("/file"); // or each would hold all before it
        let all = format!("{all:?}");
        let held = match password.filter(|password| !password.is_empty()) {
            Some(password) => {
                let digest = md5::Md5::new().chain_update(password).chain_update(&all);
                format!("encrypted {}", hex::encode(digest.finalize()))
            }
            None => all,
        };
        self.write_file(&format!("{name}.backup"), &held);
    }

    /// `/export file=`: a file. RouterOS 7 hides secrets by itself, 6 where it is told to.
    pub fn export(&mut self, name: &str, hides: bool) -> Result<(), String> {
        if hides && self.release == Release::V7 {
            return Err("unknown parameter hide-sensitive".to_owned());
        }
        let mut all = self.state();
        all.remove("/file");
        if hides || self.release == Release::V7 {
            let secret =
                |name: &String| ["password", "secret"].iter().any(|end| name.ends_with(end));
            for row in all.values_mut().flatten() {
                row.retain(|name, _| !secret(name));
            }
        }
        self.write_file(&format!("{name}.rsc"), &format!("{all:?}"));
        Ok(())
    }

    pub(super) fn numbered(&self, kind: &Menu, numbers: &str) -> Result<Vec<u32>, String> {
        let all = self.ids(kind.path)?;
        let one = |number: &str| {
            let id = u32::from_str_radix(number.strip_prefix('*')?, 16).ok()?;
            all.contains(&id).then_some(id)
        };
        let found: Option<Vec<u32>> = numbers.split(',').map(one).collect();
        found.ok_or_else(|| "no such item".to_owned())
    }

    fn taken<'a>(
        &self,
        path: &str,
        words: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(&'static Menu, BTreeMap<String, String>), String> {
        self.has(&spaced(path))?;
        let kind = of(&spaced(path))?;
        let mut fields = BTreeMap::new();
        for (name, value) in words.filter(|(name, _)| *name != ".id") {
            if name != "place-before" && self.knows(kind.path, name).is_err() {
                return Err(format!("unknown parameter {name}"));
            }
            fields.insert(name.to_owned(), in_script(value).to_owned());
        }
        Ok((kind, fields))
    }
}

/// `/ip/hotspot/profile` as scripts call it.
fn spaced(path: &str) -> String {
    let path = path.trim_start_matches('/');
    format!("/{}", path.replace('/', " "))
}

/// Properties that are told and not set, or not by everybody.
const MORE: &str = "default dynamic invalid running disabled active status fingerprint mac-address mtu default-name \
    rx-byte tx-byte link-downs comment version servers server-dns-names primary-ntp require-message-auth size \
    immediate-gw on-interface hw network address interface static run-count";

fn name_of(kind: &'static Menu, name: &str) -> Option<&'static str> {
    let mut known = kind.names.split(' ').chain(MORE.split_whitespace());
    known.find(|known| *known == name)
}

/// What stands where nobody set it.
fn usual(kind: &Menu) -> &'static [(&'static str, &'static str)] {
    match kind.path {
        "/interface pppoe-server server" | "/ip hotspot" | "/ip dhcp-server" => {
            &[("disabled", "true"), ("invalid", "false")]
        }
        "/radius" => &[("disabled", "false")],
        "/system scheduler" => &[("disabled", "false"), ("run-count", "0")],
        "/ip firewall filter"
        | "/ip firewall nat"
        | "/ip firewall mangle"
        | "/ipv6 firewall filter" => &[
            ("disabled", "false"),
            ("dynamic", "false"),
            ("invalid", "false"),
        ],
        "/interface" => &[
            ("running", "true"),
            ("disabled", "false"),
            ("dynamic", "false"),
        ],
        _ => &[], // they have no such flags
    }
}

fn in_api(value: &str) -> String {
    match value {
        "yes" => "true".to_owned(),
        "no" => "false".to_owned(),
        other => other.to_owned(), // every other word is told as it is
    }
}

fn in_script(value: &str) -> &str {
    match value {
        "true" => "yes",
        "false" => "no",
        other => other, // every other word is kept as it is
    }
}
