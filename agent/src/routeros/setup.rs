//! Sets a router up over its API, and back again: reads a menu, does what `rows` says, reads it again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use easyisp_shared::setup::{Release, is_optional};
use easyisp_shared::wire::setup::{
    BeforeV1, ItemV1, RowV1, SetupAskV1, SetupToldV1, ValueV1, WhichV1,
};

use super::RouterApis;
use super::connection::ApiError;
use super::rows::{self, Act};
use super::sentence::Command;
use crate::site::Router;

impl RouterApis {
    /// Sets a router up, or tells how it is set up. What the router refuses is an answer; what keeps it from being
    /// asked is an error, after which nobody knows how far it came: asked again it goes on.
    pub async fn set_up(
        &self,
        router: &Router,
        ask: SetupAskV1,
        within: Duration,
    ) -> Result<SetupToldV1, ApiError> {
        let hands = self.hands(router, within);
        match ask {
            SetupAskV1::Look(items) => hands.look(&items).await,
            SetupAskV1::Save { name } => hands.save(&name).await,
            SetupAskV1::Apply(items) => hands.apply(&items).await,
            SetupAskV1::Restore(stood) => hands.restore(&stood).await,
            SetupAskV1::Check(items) => hands.check(&items).await,
            SetupAskV1::Uplinks => hands.uplinks().await,
            SetupAskV1::Guard(stood) => hands.guard(&stood).await.map(SetupToldV1::Guarded),
            SetupAskV1::CallOff(items) => hands.call_off(&items).await,
        }
    }

    pub(super) fn hands<'a>(&'a self, router: &'a Router, within: Duration) -> Hands<'a> {
        Hands {
            apis: self,
            router,
            until: Instant::now() + within,
        }
    }
}

/// Menus as they were read since the last change; `None` of one that the router may be without, and is.
type Menus = HashMap<String, Option<Vec<RowV1>>>;

/// Commands to one router, all within one deadline.
pub(super) struct Hands<'a> {
    pub(super) apis: &'a RouterApis,
    pub(super) router: &'a Router,
    until: Instant,
}

impl Hands<'_> {
    async fn look(&self, items: &[ItemV1]) -> Result<SetupToldV1, ApiError> {
        let mut before = Vec::new();
        let mut held = Menus::default();
        for item in items {
            let menu = match &item.which {
                // Of a hundred thousand that another protocol brought only those that are meant.
                WhichV1::Found { key, value, .. } if item.menu == ROUTES => {
                    let print = Command::new(&format!("{}/print", path(ROUTES)));
                    rows::read(&self.rows(print.having(key, value)).await?)
                }
                // Every other menu is short.
                _ => self
                    .menu(&mut held, &item.menu)
                    .await?
                    .unwrap_or_default()
                    .to_vec(),
            };
            before.push(rows::before(item, &menu));
        }
        let modes = Command::new("/system/device-mode/print");
        let modes = self.rows(modes).await?;
        Ok(SetupToldV1::Found {
            before,
            hotspot_allowed: modes.first().and_then(|row| row.flag("hotspot")),
        })
    }

    async fn save(&self, name: &str) -> Result<SetupToldV1, ApiError> {
        // What is not below `flash/` on boards that have it lies in memory, and is gone after the start for which it was
        // made.
        let name = format!("{}{name}", self.flash().await?);
        let mut backup = Command::new("/system/backup/save").with("name", &name);
        // Without a password it is in the clear since 6.43, and holds every secret of the router. This one is kept by
        // whoever could have to open it.
        if let Some(secret) = self.router.secrets.first() {
            backup = backup.with("password", secret.octets());
        }
        let mut export = Command::new("/export").with("file", &name);
        // RouterOS 7 hides secrets by itself, 6 where it is told to.
        if self.release().await? == Some(Release::V6) {
            export = export.with("hide-sensitive", "");
        }
        let saves = [backup, export];
        let mut problem = None;
        for save in saves {
            let saved = self.apis.ask(self.router, save, self.left()).await;
            match saved {
                Ok(_) => {}
                Err(ApiError::Refused(trap)) => problem = problem.or(Some(trap.message)),
                Err(cause) => return Err(cause),
            }
        }
        // Not its word counts but what is there.
        let mut files = Vec::new();
        for ending in ["backup", "rsc"] {
            let file = format!("{name}.{ending}");
            let found = Command::new("/file/print").only("name,size");
            let rows = self.rows(found.having("name", &file)).await?;
            if !rows.is_empty() {
                files.push(file);
            }
        }
        if !files.is_empty() {
            // What was saved is saved, whatever becomes of the old ones.
            let _stay = self.tidy(&name).await;
        }
        Ok(SetupToldV1::Saved { files, problem })
    }

    /// Removes what was saved earlier, but for the last two: flash is small. What does not go stays.
    async fn tidy(&self, name: &str) -> Result<(), ApiError> {
        let held = self
            .rows(Command::new("/file/print").only(".id,name"))
            .await?;
        let files = held.iter().filter_map(|row| {
            let id = row.text(".id")?.to_owned();
            Some((id, row.text("name")?.to_owned()))
        });
        for id in rows::superseded(files.collect(), name) {
            let remove = Command::new("/file/remove").with(".id", &id);
            refusal(self.ask(remove).await)?;
        }
        Ok(())
    }

    async fn apply(&self, items: &[ItemV1]) -> Result<SetupToldV1, ApiError> {
        let folder = self.folder(items).await?;
        let mut held = Menus::default();
        for (done, item) in items.iter().enumerate() {
            let Some(menu) = self.menu(&mut held, &item.menu).await? else {
                continue;
            };
            for act in rows::to_apply(item, menu, folder) {
                // One menu tells of another: what was read is old.
                held.clear();
                if let Some(refused) = self.act(&item.menu, act).await? {
                    return Ok(SetupToldV1::Applied {
                        done: u32::try_from(done).unwrap_or(u32::MAX),
                        refused: Some(format!("{}: {refused}", item.menu)),
                    });
                }
            }
        }
        Ok(SetupToldV1::Applied {
            done: u32::try_from(items.len()).unwrap_or(u32::MAX),
            refused: None,
        })
    }

    async fn restore(&self, stood: &[BeforeV1]) -> Result<SetupToldV1, ApiError> {
        let mut refusals = Vec::new();
        let mut held = Menus::default();
        for stood in stood.iter().rev() {
            let path = &stood.item.menu;
            let Some(menu) = self.menu(&mut held, path).await? else {
                continue;
            };
            for act in rows::to_restore(stood, menu) {
                held.clear();
                if let Some(refused) = self.act(path, act).await? {
                    refusals.push(format!("{path}: {refused}"));
                }
            }
        }
        // With all rows there, each rule that was moved goes back to its place.
        for moved in rows::moved(stood) {
            let path = &moved.stood.item.menu;
            let Some(menu) = self.menu(&mut held, path).await? else {
                continue;
            };
            if let Some(act) = moved.back(menu) {
                held.clear();
                if let Some(refused) = self.act(path, act).await? {
                    refusals.push(format!("{path}: {refused}"));
                }
            }
        }
        // It is as the guard would make it.
        refusals.extend(self.unguard().await?);
        Ok(SetupToldV1::Restored(refusals))
    }

    pub(super) async fn check(&self, items: &[ItemV1]) -> Result<SetupToldV1, ApiError> {
        let folder = self.folder(items).await?;
        let mut amiss = Vec::new();
        let mut held = Menus::default();
        for item in items {
            if let Some(menu) = self.menu(&mut held, &item.menu).await? {
                amiss.extend(rows::amiss(item, menu, folder));
            }
        }
        Ok(SetupToldV1::Checked(amiss))
    }

    async fn uplinks(&self) -> Result<SetupToldV1, ApiError> {
        let routes = Command::new("/ip/route/print").having("dst-address", "0.0.0.0/0");
        let mut names = rows::of_routes(&self.rows(routes).await?);
        let dialled = Command::new("/interface/pppoe-client/print").having("running", "true");
        let leased = Command::new("/ip/dhcp-client/print").having("status", "bound");
        for (command, name) in [(dialled, "name"), (leased, "interface")] {
            let rows = self.rows(command).await?;
            names.extend(
                rows.iter()
                    .filter_map(|row| row.text(name))
                    .map(str::to_owned),
            );
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(SetupToldV1::Uplinks(names))
    }

    /// Carries one change out; the router's words where it refuses.
    async fn act(&self, menu: &str, act: Act) -> Result<Option<String>, ApiError> {
        let path = path(menu);
        let with = |command: Command, fields: &[(String, Vec<u8>)]| {
            fields
                .iter()
                .fold(command, |command, (name, value)| command.with(name, value))
        };
        match act {
            Act::Set {
                id,
                fields,
                lenient,
            } => {
                let mut command = Command::new(&format!("{path}/set"));
                if !id.is_empty() {
                    command = command.with(".id", &id);
                }
                let refused = refusal(self.ask(with(command, &fields)).await)?;
                Ok(refused.filter(|words| !(lenient && unknown(words).is_some())))
            }
            Act::Unset { id, name } => {
                let numbered = |command: Command| match id.as_str() {
                    "" => command,
                    id => command.with(".id", id),
                };
                if !id.is_empty() {
                    let unset = numbered(Command::new(&format!("{path}/unset")));
                    let unset = self.ask(unset.with("value-name", &name)).await;
                    if refusal(unset)?.is_none() {
                        return Ok(None);
                    }
                }
                // Menus without rows, and rows that have no such command: nothing is as good as unset.
                let empty = numbered(Command::new(&format!("{path}/set"))).with(&name, "");
                let refused = refusal(self.ask(empty).await)?;
                Ok(refused.filter(|words| unknown(words).is_none()))
            }
            Act::Move { id, before } => {
                let mut command = Command::new(&format!("{path}/move")).with("numbers", &id);
                if let Some(before) = &before {
                    command = command.with("destination", before);
                }
                refusal(self.ask(command).await)
            }
            Act::Remove { id } => {
                let command = Command::new(&format!("{path}/remove")).with(".id", &id);
                let refused = refusal(self.ask(command).await)?;
                Ok(refused.filter(|words| !words.contains("no such item")))
            }
            Act::Add { mut fields, before } => loop {
                let mut command = with(Command::new(&format!("{path}/add")), &fields);
                if let Some(before) = &before {
                    command = command.with("place-before", before);
                }
                let left = self.left().min(COMMAND);
                let added = self.apis.ask_once(self.router, command, left).await;
                let Some(refused) = refusal(added)? else {
                    return Ok(None);
                };
                // What a menu tells and does not take is known to the router alone.
                let known = fields.len();
                fields.retain(|(name, _)| unknown(&refused) != Some(name));
                if fields.len() == known {
                    return Ok(Some(refused));
                }
            },
        }
    }

    /// `flash/` on boards that keep nothing else.
    async fn folder(&self, items: &[ItemV1]) -> Result<&'static str, ApiError> {
        let is_folder = |(_, value): &(String, ValueV1)| matches!(value, ValueV1::Folder(_));
        match items.iter().flat_map(|item| &item.fields).any(is_folder) {
            true => self.flash().await,
            false => Ok(""),
        }
    }

    async fn release(&self) -> Result<Option<Release>, ApiError> {
        let resource = Command::new("/system/resource/print").only("version");
        let rows = self.rows(resource).await?;
        let version = rows.first().and_then(|row| row.text("version"));
        Ok(version.and_then(Release::of))
    }

    pub(super) async fn flash(&self) -> Result<&'static str, ApiError> {
        let flash = Command::new("/file/print").only("name");
        let found = self.rows(flash.having("name", "flash")).await?;
        Ok(if found.is_empty() { "" } else { "flash/" })
    }

    /// The rows of a menu: as they were read, else read now. `None` where the router is without a menu that it may be
    /// without.
    async fn menu<'m>(
        &self,
        held: &'m mut Menus,
        menu: &str,
    ) -> Result<Option<&'m [RowV1]>, ApiError> {
        if !held.contains_key(menu) {
            let print = Command::new(&format!("{}/print", path(menu)));
            let rows = match self.ask(print).await {
                Ok(answer) => Some(rows::read(&answer.rows)),
                Err(ApiError::Refused(trap)) if trap.is_missing_command() => {
                    (!is_optional(menu)).then(Vec::new)
                }
                Err(cause) => return Err(cause),
            };
            held.insert(menu.to_owned(), rows);
        }
        Ok(held.get(menu).and_then(Option::as_deref))
    }

    /// The rows of a menu; none where the router has no such menu.
    pub(super) async fn rows(
        &self,
        command: Command,
    ) -> Result<Vec<super::sentence::Row>, ApiError> {
        match self.ask(command).await {
            Ok(answer) => Ok(answer.rows),
            Err(ApiError::Refused(trap)) if trap.is_missing_command() => Ok(Vec::new()),
            Err(cause) => Err(cause),
        }
    }

    pub(super) async fn ask(&self, command: Command) -> Result<super::calls::Answer, ApiError> {
        let within = self.left().min(COMMAND);
        self.apis.ask(self.router, command, within).await
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// How long one command may take, but for those that write a file.
const COMMAND: Duration = Duration::from_secs(8);

const ROUTES: &str = "/ip route";

fn path(menu: &str) -> String {
    menu.replace(' ', "/")
}

/// A refusal is an answer, in the router's words.
pub(super) fn refusal(
    answer: Result<super::calls::Answer, ApiError>,
) -> Result<Option<String>, ApiError> {
    match answer {
        Ok(_) => Ok(None),
        Err(ApiError::Refused(trap)) => Ok(Some(trap.message)),
        Err(cause) => Err(cause),
    }
}

/// Which property a release does not know: `unknown parameter hw`.
fn unknown(words: &str) -> Option<&str> {
    let (_, name) = words.split_once("unknown parameter ")?;
    Some(name.trim())
}
