//! A dead man's guard: before a change that could shut its agent out the router itself is given an entry in its
//! scheduler that makes everything as it was, and that only who enters it anew afterwards calls off.
//!
//! Boards have no clock of their own, and a right one makes a jump: the entry goes by the time since the router
//! started. With `start-time=startup` and an interval it runs so often after every start, and never at the start
//! itself (`MikroTik`, Scheduler); a router that starts anew half-way waits for its agent anew. It needs no right
//! beyond those to read and to write, which `/system backup load` would, and ends nobody's session.

use std::time::Duration;

use easyisp_shared::setup::{is_optional, quote, text};
use easyisp_shared::wire::drift::{RowOfV1, WantedV1, WantedValueV1};
use easyisp_shared::wire::setup::{BeforeV1, ItemV1, RowV1, SetupToldV1, ValueV1, WhichV1};
use tracing::info;

use super::RouterApis;
use super::connection::{ApiError, Connection};
use super::guards::{self, Guards};
use super::rows::{self, Above};
use super::sentence::{Command, Row};
use super::setup::{Hands, refusal};
use super::values;
use crate::site::Router;

/// How the entry is called, with which agent's it is behind it: what one guards, another one of the site, which enters
/// for the first time just then, leaves alone. Who carries on what that one began, and ends it, calls it off.
pub const NAME: &str = "easyisp:guard";

/// How long an agent has to come back: longer than a configuration waits for a router that starts anew.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// More than a router is sure to keep in one property.
const MOST: usize = 32 * 1024;

const MENU: &str = "/system/scheduler";

/// What the entry of this name runs once a minute, held since the router was `uptime` old. A row that held a secret it
/// cannot make again: that is said in the router's log, and its agent puts it back once it enters.
pub fn script(name: &str, stood: &[BeforeV1], uptime: Duration) -> String {
    let (now, patience) = (uptime.as_secs(), PATIENCE.as_secs());
    let mut script = format!(
        ":local up [/system resource get uptime]\n\
         :if (($up >= {}s) or (($up >= {patience}s) and ($up < {now}s))) do={{\n\
         :log warning \"easyisp: nobody called the guard off, so that all becomes as it was before\"\n",
        now + patience
    );
    for line in stood.iter().rev().flat_map(taken_back) {
        script.push_str(&line);
        script.push('\n');
    }
    for line in rows::moved(stood).iter().filter_map(moved_back) {
        script.push_str(&line);
        script.push('\n');
    }
    for line in stood.iter().flat_map(left_out) {
        script.push_str(&line);
        script.push('\n');
    }
    script.push_str(&format!(
        "/system scheduler remove [find where name={}]\n}}\n",
        quote(name)
    ));
    script
}

/// Says of an item that it may not be as it was, where it was changed: nobody is to read its secret here.
fn left_out(stood: &BeforeV1) -> Vec<String> {
    let (item, menu) = (&stood.item, stood.item.menu.as_str());
    let said = |which: &str| {
        let words = format!("easyisp: {menu} {which} held a secret, and may not be as it was");
        format!(":log warning {}", quote(&words))
    };
    let holds = |row: &&RowV1| {
        let mut fields = rows::lasting(row).into_iter();
        fields.any(|(name, held)| !held.is_empty() && is_secret(menu, &name))
    };
    let mut held = stood.rows.iter().filter(holds);
    match &item.which {
        WhichV1::Gone { key, value } => {
            let which = is(key, value);
            let gone = held.next().map(|_| missing(menu, &which, &[said(&which)]));
            gone.into_iter().collect()
        }
        WhichV1::GoneBut { comment, key, .. } => {
            let comment = is("comment", comment);
            held.filter_map(|row| {
                Some(format!(
                    "{comment} and {key}={}",
                    text::value(of(row, key)?)
                ))
            })
            .map(|which| missing(menu, &which, &[said(&comment)]))
            .collect()
        }
        WhichV1::Own { key, value, .. } => {
            let is_another = |row: &&RowV1| {
                let mut fields = item.fields.iter();
                fields.any(|(name, wanted)| {
                    let (ValueV1::Text(wanted) | ValueV1::Folder(wanted)) = wanted;
                    is_secret(menu, name) && of(row, name) != Some(wanted.as_bytes())
                })
            };
            let changed = held.next().filter(is_another);
            changed.map(|_| said(&is(key, value))).into_iter().collect()
        }
        // What is always there keeps what was written.
        WhichV1::Menu { .. } | WhichV1::Found { .. } => Vec::new(),
    }
}

/// What makes one item as it was, whether it was changed already or not.
fn taken_back(stood: &BeforeV1) -> Vec<String> {
    let (item, menu) = (&stood.item, stood.item.menu.as_str());
    // Signed once, and of no harm.
    if menu == "/certificate" {
        return Vec::new();
    }
    match &item.which {
        WhichV1::Menu { .. } => {
            let rows = stood.rows.iter();
            rows.flat_map(|row| set_back(item, row, "")).collect()
        }
        WhichV1::Found { .. } => {
            let rows = stood.rows.iter();
            rows.flat_map(|row| set_back(item, row, &format!(" {}", row.id)))
                .collect()
        }
        WhichV1::Own { key, value, .. } => {
            let found = format!("[find where {}]", is(key, value));
            let Some(row) = stood.rows.first() else {
                return vec![tried(&format!("{menu} remove {found}"))];
            };
            let mut lines = vec![missing(menu, &is(key, value), &made(menu, row))];
            lines.extend(set_back(item, row, &format!(" {found}")));
            lines
        }
        WhichV1::Gone { key, value } => {
            let all: Vec<String> = stood.rows.iter().flat_map(|row| made(menu, row)).collect();
            vec![missing(menu, &is(key, value), &all)]
        }
        WhichV1::GoneBut { comment, key, .. } => {
            let one = |row: &RowV1| {
                let held = of(row, key)?;
                let both = format!("{} and {key}={}", is("comment", comment), text::value(held));
                Some(missing(menu, &both, &made(menu, row)))
            };
            stood.rows.iter().filter_map(one).collect()
        }
    }
}

/// Brings a rule back to where it stood, whether it was moved or not: above the row that followed it, which may have been
/// made again; else above the first one below that is not ours. Every release can move rules, so that it need not be
/// parsed when it is reached: that would make it twice as long.
fn moved_back(moved: &rows::Moved<'_>) -> Option<String> {
    let menu = &moved.stood.item.menu;
    let one = format!("{menu} move {}", only(moved.stood)?);
    let command = |above: &Above<'_>| match above {
        Above::Row(id, stood) => {
            let again = stood.and_then(only);
            format!("{one} destination={}", again.as_deref().unwrap_or(id))
        }
        // Without a destination a row goes to the end (`MikroTik`, Console).
        Above::Nothing => one.clone(),
    };
    let all = moved.above();
    let (first, last) = (command(all.first()?), command(all.last()?));
    let further = match first == last {
        true => String::new(),
        false => format!(" :do {{ {last} }} on-error={{ }}"),
    };
    let moves = format!(":do {{ {first} }} on-error={{{further} }}");
    Some(match is_optional(menu) {
        true => tried(&moves),
        false => moves,
    })
}

/// How the only row of an item is found, also where it was made again.
fn only(stood: &BeforeV1) -> Option<String> {
    match (&stood.item.which, stood.rows.as_slice()) {
        (WhichV1::Own { key, value, .. } | WhichV1::Gone { key, value }, [_]) => Some(format!(
            "[{} find where {}]",
            stood.item.menu,
            is(key, value)
        )),
        (_, _) => None, // several, or none that has a name
    }
}

/// What an item may have changed of a row, changed back; a secret stays as it is.
fn set_back(item: &ItemV1, row: &RowV1, which: &str) -> Vec<String> {
    let menu = &item.menu;
    let mut held = String::new();
    let mut lines = Vec::new();
    for (name, value) in &item.fields {
        let wanted = match value {
            ValueV1::Text(wanted) | ValueV1::Folder(wanted) => wanted.as_bytes(),
        };
        match of(row, name) {
            _ if is_secret(menu, name) => {}
            Some(was) if rows::is_same(Some(was), wanted) => {}
            Some(was) => held.push_str(&format!(" {name}={}", word(was))),
            None if wanted.is_empty() => {}
            None => {
                let unset = format!("{menu} unset{which} value-name={name}");
                let empty = format!("{menu} set{which} {name}=\"\"");
                lines.push(match which.is_empty() {
                    true => tried(&empty),
                    false => format!(
                        ":do {{ {} }} on-error={{ {} }}",
                        known(&unset),
                        tried(&empty)
                    ),
                });
            }
        }
    }
    if !held.is_empty() {
        lines.insert(0, tried(&format!("{menu} set{which}{held}")));
    }
    lines
}

/// The commands that make a row that was there; none where it held a secret, which nobody is to read here.
fn made(menu: &str, row: &RowV1) -> Vec<String> {
    let fields = rows::lasting(row);
    if fields.iter().any(|(name, _)| is_secret(menu, name)) {
        return Vec::new();
    }
    let fields: String = fields
        .iter()
        .filter(|(_, held)| !held.is_empty())
        .map(|(name, held)| format!(" {name}={}", word(held)))
        .collect();
    let add = format!("{menu} add{fields}");
    vec![match &row.next {
        // The one after it may be gone.
        Some(next) => format!(
            ":do {{ {} }} on-error={{ {} }}",
            known(&format!("{add} place-before={next}")),
            tried(&add)
        ),
        None => tried(&add),
    }]
}

/// Carries commands out where no row is like this.
fn missing(menu: &str, like: &str, commands: &[String]) -> String {
    if commands.is_empty() {
        return String::new();
    }
    let commands = commands.join("; ");
    format!(":if ([:len [{menu} find where {like}]] = 0) do={{ {commands} }}")
}

/// Parsed when it is reached: what a release does not know keeps nothing else from being taken back.
fn known(command: &str) -> String {
    format!(":local known [:parse {}]; $known", quote(command))
}

fn tried(command: &str) -> String {
    format!(":do {{ {} }} on-error={{ }}", known(command))
}

fn is(key: &str, value: &str) -> String {
    match (key, value) {
        ("default", value) => format!("{key}={value}"),
        (key, value) => format!("{key}={}", quote(value)),
    }
}

/// A value as it is typed: the API says by other words what people type.
fn word(held: &[u8]) -> String {
    match held {
        b"true" => "yes".to_owned(),
        b"false" => "no".to_owned(),
        held => text::value(held),
    }
}

fn of<'a>(row: &'a RowV1, name: &str) -> Option<&'a [u8]> {
    let held = row.fields.iter().find(|(held, _)| held == name);
    held.map(|(_, value)| value.as_slice())
}

fn is_secret(menu: &str, name: &str) -> bool {
    ["secret", "password", "passphrase", "key"]
        .iter()
        .any(|part| name.contains(part))
        || (menu, name) == ("/snmp community", "name")
        || (menu, name) == ("/system scheduler", "on-event")
}

/// Menus in which a change may part a router from its agent.
const PARTING: &[&str] = &[
    "/user",
    "/user group",
    "/certificate",
    "/ip service",
    "/interface bridge",
    "/interface bridge port",
    "/ip address",
    "/ip hotspot",
    "/ip firewall filter",
    "/ipv6 firewall filter",
];

/// Whether a change of this menu may part a router from its agent.
pub fn parts(menu: &str) -> bool {
    PARTING.contains(&menu)
}

/// What stands where these go.
pub fn before(wanted: &[WantedV1], rows_of: impl Fn(&str) -> Vec<Row>) -> Vec<BeforeV1> {
    let stood =
        |wanted: &WantedV1| rows::before(&item(wanted), &rows::read(&rows_of(&wanted.menu)));
    wanted.iter().map(stood).collect()
}

fn item(wanted: &WantedV1) -> ItemV1 {
    let found = |(key, value): (&String, &String), lenient| WhichV1::Found {
        key: key.clone(),
        value: value.clone(),
        lenient,
    };
    let own = |(key, value): (&String, &String), first| WhichV1::Own {
        key: key.clone(),
        value: value.clone(),
        first,
    };
    let which = match &wanted.which {
        RowOfV1::Menu => WhichV1::Menu { lenient: false },
        RowOfV1::MenuWhereKnown => WhichV1::Menu { lenient: true },
        RowOfV1::Found(key, value) => found((key, value), false),
        RowOfV1::FoundWhereKnown(key, value) => found((key, value), true),
        RowOfV1::Own(key, value) => own((key, value), false),
        RowOfV1::OwnFirst(key, value) => own((key, value), true),
        RowOfV1::Gone(key, value) => WhichV1::Gone {
            key: key.clone(),
            value: value.clone(),
        },
        RowOfV1::GoneBut(comment, key, kept) => WhichV1::GoneBut {
            comment: comment.clone(),
            key: key.clone(),
            kept: kept.clone(),
        },
    };
    let value = |value: &WantedValueV1| match value {
        WantedValueV1::Plain(text) | WantedValueV1::Secret(text) => ValueV1::Text(text.clone()),
        WantedValueV1::Folder(name) => ValueV1::Folder(name.clone()),
    };
    let fields = wanted.fields.iter();
    ItemV1 {
        menu: wanted.menu.clone(),
        which,
        fields: fields
            .map(|(name, held)| (name.clone(), value(held)))
            .collect(),
    }
}

impl Hands<'_> {
    /// Gives the router its guard, or the one that it has another deadline; why it holds none, else `None`.
    pub(super) async fn guard(&self, stood: &[BeforeV1]) -> Result<Option<String>, ApiError> {
        let resource = Command::new("/system/resource/print").only("uptime");
        let resource = self.rows(resource).await?;
        let uptime = resource.first().and_then(|row| row.text("uptime"));
        let Some(uptime) = uptime.and_then(values::duration) else {
            return Ok(Some("the router does not say how long it runs".to_owned()));
        };
        let script = script(self.apis.guards.mine(), stood, uptime);
        if script.len() > MOST {
            let why = format!("{} bytes are too much for one of its scripts", script.len());
            return Ok(Some(why));
        }
        let held = self.rows(held(self.apis.guards.mine())).await?;
        let entry = match held.first().and_then(|row| row.text(".id")) {
            Some(id) => Command::new(&format!("{MENU}/set")).with(".id", id),
            None => Command::new(&format!("{MENU}/add")).with("name", self.apis.guards.mine()),
        };
        let entry = entry
            .with("start-time", "startup")
            .with("interval", "1m")
            .with("policy", "read,write,test")
            .with("on-event", &script)
            .with("disabled", "no");
        if let Some(words) = refusal(self.ask(entry).await)? {
            return Ok(Some(words));
        }
        // Not its word counts but what is there, and a device's mode may keep it from running.
        let why = match self
            .rows(held_as_told(self.apis.guards.mine()))
            .await?
            .first()
        {
            None => "the entry is not there".to_owned(),
            Some(row) if row.flag("disabled") == Some(true) => "the entry is disabled".to_owned(),
            Some(row) => match guards::kept_off(row) {
                Some(words) => words.to_owned(),
                // What another agent of the site held would go off in the midst of this.
                None => return self.leave(self.apis.guards.mine()).await.map(|()| None),
            },
        };
        self.unguard().await?;
        Ok(Some(why))
    }

    /// Who enters anew and finds all as it is to be is not shut out: the guard goes. What is otherwise, in words.
    pub(super) async fn call_off(&self, items: &[ItemV1]) -> Result<SetupToldV1, ApiError> {
        self.apis.anew(self.router).await;
        let SetupToldV1::Checked(mut amiss) = self.check(items).await? else {
            return Ok(SetupToldV1::Checked(Vec::new()));
        };
        if amiss.is_empty() {
            amiss.extend(self.unguard().await?);
        }
        Ok(SetupToldV1::Checked(amiss))
    }

    /// The guard of another living agent of the site: what it changed may be taken back still, and nobody else has it. One
    /// that does not go off takes nothing back, and nobody waits for it.
    pub(super) async fn others_guard(&self) -> Result<Option<String>, ApiError> {
        let entries = Command::new(&format!("{MENU}/print")).only(".id,name,disabled,comment");
        let held = match self.rows(entries).await {
            Ok(held) => held,
            Err(ApiError::Refused(_)) => return Ok(None), // who may not read them holds none
            Err(cause) => return Err(cause),
        };
        Ok(self.apis.guards.anothers(&held).map(str::to_owned))
    }

    /// Takes every guard away but this.
    async fn leave(&self, mine: &str) -> Result<(), ApiError> {
        let held = self.rows(named()).await?;
        for (id, _) in guards::all(&held).filter(|(_, name)| *name != mine) {
            let remove = Command::new(&format!("{MENU}/remove")).with(".id", id);
            // Gone by itself meanwhile, or called off with all of them at the end.
            let _stays = refusal(self.ask(remove).await)?;
        }
        Ok(())
    }

    /// Takes every guard away, also those of the site's other agents, read back; what the router says where one stays.
    pub(super) async fn unguard(&self) -> Result<Option<String>, ApiError> {
        for (id, name) in guards::all(&self.rows(named()).await?) {
            let remove = Command::new(&format!("{MENU}/remove")).with(".id", id);
            let refused = refusal(self.ask(remove).await)?;
            if let Some(words) = refused.filter(|words| !words.contains("no such item")) {
                return Ok(Some(format!("/system scheduler: {name}: {words}")));
            }
        }
        let held = self.rows(named()).await?;
        let left = guards::all(&held).next();
        Ok(left.map(|(_, name)| format!("/system scheduler: {name} is still there")))
    }
}

impl RouterApis {
    /// The next command goes over a connection that is made anew.
    pub(super) async fn anew(&self, router: &Router) {
        let line = self.lines().get(&router.id).cloned();
        if let Some(line) = line {
            line.state.lock().await.connection = None;
        }
    }
}

/// An agent that just began, and enters, is not shut out: what it left to guard before it was started is called off. What
/// was changed half-way is told as a difference, or the wizard goes on and has it guarded again.
pub(super) async fn sweep(guards: &Guards, connection: &Connection, router: &Router) {
    let swept = async {
        for (id, _) in guards.to_call_off(&connection.ask(named()).await?.rows) {
            let remove = Command::new(&format!("{MENU}/remove")).with(".id", id);
            connection.ask(remove).await?;
            info!(router.id = %router.id, "Called off a guard that was left on router {}", router.name);
        }
        Ok::<(), ApiError>(())
    };
    // It goes off by itself else.
    let _left = tokio::time::timeout(SWEEP, swept).await;
}

/// How long who enters looks for a guard that was left.
const SWEEP: Duration = Duration::from_secs(2);

/// The names of all entries.
fn named() -> Command {
    Command::new(&format!("{MENU}/print")).only(".id,name")
}

fn held(name: &str) -> Command {
    let print = Command::new(&format!("{MENU}/print")).only(".id");
    print.having("name", name)
}

fn held_as_told(name: &str) -> Command {
    let print = Command::new(&format!("{MENU}/print")).only(".id,disabled,comment");
    print.having("name", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str) -> (String, Vec<u8>) {
        (name.to_owned(), value.as_bytes().to_vec())
    }

    fn stood(menu: &str, which: WhichV1, rows: &[&[(&str, &str)]]) -> BeforeV1 {
        let row = |fields: &&[(&str, &str)]| RowV1 {
            id: "*7".to_owned(),
            next: None,
            fields: fields
                .iter()
                .map(|(name, held)| field(name, held))
                .collect(),
        };
        let text = |text: &str| ValueV1::Text(text.to_owned());
        BeforeV1 {
            item: ItemV1 {
                menu: menu.to_owned(),
                which,
                fields: vec![
                    ("secret".to_owned(), text("new")),
                    ("disabled".to_owned(), text("yes")),
                    ("address".to_owned(), text("10.0.0.1")),
                ],
            },
            rows: rows.iter().map(row).collect(),
        }
    }

    fn own() -> WhichV1 {
        WhichV1::Own {
            key: "comment".to_owned(),
            value: "easyisp:x".to_owned(),
            first: false,
        }
    }

    #[test]
    fn what_was_made_goes_what_was_changed_goes_back_and_no_secret_is_in_it() {
        let mine = format!("{NAME}:7");
        let script = script(
            &mine,
            &[
                stood("/radius", own(), &[]),
                stood(
                    "/ip service",
                    WhichV1::Menu { lenient: false },
                    &[&[
                        ("disabled", "false"),
                        ("secret", "old"),
                        ("address", "10.0.0.1/32"),
                    ]],
                ),
            ],
            Duration::from_secs(86_400),
        );
        let lines: Vec<&str> = script.lines().collect();
        assert_eq!(
            lines[1],
            ":if (($up >= 87000s) or (($up >= 600s) and ($up < 86400s))) do={"
        );
        // The last first, and of what differs alone.
        assert_eq!(lines[3], tried("/ip service set disabled=no"), "{script}");
        assert_eq!(
            lines[4],
            tried("/radius remove [find where comment=\"easyisp:x\"]"),
            "{script}"
        );
        assert!(
            !script.contains("old") && !script.contains("new"),
            "{script}"
        );
        assert_eq!(
            lines[5],
            "/system scheduler remove \
             [find where name=\"easyisp:guard:7\"]"
        );
    }

    /// Above the row that it stood above, else above the one after that, which was changed as well.
    #[test]
    fn a_rule_that_was_moved_is_moved_back_at_the_end() {
        let rule = |mark: &str, id: &str, next: Option<&str>| {
            let which = WhichV1::Own {
                key: "comment".to_owned(),
                value: mark.to_owned(),
                first: true,
            };
            let mut stood = stood("/ip firewall filter", which, &[&[("comment", mark)]]);
            stood.rows[0].id = id.to_owned();
            stood.rows[0].next = next.map(str::to_owned);
            stood
        };
        let all = [
            rule("easyisp:a", "*2", Some("*3")),
            rule("easyisp:b", "*3", None),
        ];
        let script = script(NAME, &all, Duration::from_secs(9));
        let find = |mark: &str| format!("[/ip firewall filter find where comment=\"{mark}\"]");
        let to = |mark: &str, place: &str| {
            let found = find(mark);
            format!(":do {{ /ip firewall filter move {found}{place} }} on-error={{")
        };
        let last = format!("{} }}", to("easyisp:b", ""));
        let above = format!(
            "{} {} }} }}",
            to("easyisp:a", &format!(" destination={}", find("easyisp:b"))),
            to("easyisp:a", "")
        );
        let both = format!("{last}\n{above}\n/system scheduler remove");
        assert!(script.contains(&both), "{script}");
    }

    /// What cannot be taken back is said where people look, and no secret with it.
    #[test]
    fn of_what_held_a_secret_the_log_speaks() {
        let gone = WhichV1::Gone {
            key: "comment".to_owned(),
            value: "easyisp:x".to_owned(),
        };
        let said = |which: WhichV1, secret: &str| {
            let row = [("comment", "easyisp:x"), ("secret", secret)];
            let stood = stood("/radius", which, &[&row]);
            script(NAME, &[stood], Duration::from_secs(9))
        };
        let words =
            "easyisp: /radius comment=\"easyisp:x\" held a secret, and may not be as it was";
        let words = quote(words);
        for which in [gone, own()] {
            let told = said(which.clone(), "old");
            assert_eq!(told.matches(&words).count(), 1, "{told}");
            assert!(!told.contains("old"), "{told}");
            let empty = said(which, "");
            assert!(!empty.contains(&words), "{empty}");
        }
        let same = said(own(), "new");
        assert!(!same.contains(&words), "it is written again: {same}");
    }

    /// A secret would be read by whoever may read the scheduler.
    #[test]
    fn a_row_with_a_secret_is_not_made_again() {
        let gone = |fields: &[(&str, &str)]| {
            let which = WhichV1::Gone {
                key: "comment".to_owned(),
                value: "easyisp:x".to_owned(),
            };
            taken_back(&stood("/radius", which, &[fields])).join("\n")
        };
        assert_eq!(gone(&[("comment", "easyisp:x"), ("secret", "old")]), "");
        let plain = gone(&[
            ("comment", "easyisp:x"),
            ("dynamic", "false"),
            ("service", "ppp"),
        ]);
        assert_eq!(
            plain,
            format!(
                ":if ([:len [/radius find where comment=\"easyisp:x\"]] = 0) do={{ {} }}",
                tried("/radius add comment=easyisp:x service=ppp")
            )
        );
    }
}
