//! A dead man's guard: before a change that could shut its agent out the router itself is given an entry in its
//! scheduler that makes everything as it was, and that only who enters it anew afterwards calls off.
//!
//! Boards have no clock of their own, and a right one makes a jump: the entry goes by the time since the router
//! started. With `start-time=startup` and an interval it runs so often after every start, and never at the start
//! itself (`MikroTik`, Scheduler); a router that starts anew half-way waits for its agent anew. It needs no right
//! beyond those to read and to write, which `/system backup load` would, and ends nobody's session.

mod script;

use std::time::Duration;

use easyisp_shared::wire::drift::{RowOfV1, WantedV1, WantedValueV1};
use easyisp_shared::wire::setup::{BeforeV1, ItemV1, SetupToldV1, ValueV1, WhichV1};
use tracing::info;

use super::RouterApis;
use super::connection::{ApiError, Connection};
use super::guards::{self, Guards};
use super::rows;
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
        let script = script::script(self.apis.guards.mine(), stood, uptime);
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
