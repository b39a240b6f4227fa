//! What a router is to be against what its menus say: what differs, and what mends only that.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use easyisp_shared::setup::{is_optional, same};
use easyisp_shared::wire::drift::{
    DriftFieldV1, DriftV1, NOT_LISTED, NOT_NOW, RowOfV1, WantedV1, WantedValueV1,
};
use ipnet::IpNet;
use tracing::info;

use super::RouterApis;
use super::connection::ApiError;
use super::guard;
use super::rows::{is_connection, is_there};
use super::sentence::{Command, Row};
use crate::site::Router;

/// The rows of each menu; why one could not be read, in no words where the router may be without it.
type Menus = HashMap<String, Result<Vec<Row>, String>>;

/// What differs, and the command that mends it.
struct Difference {
    field: DriftFieldV1,
    mend: Option<Mend>,
}

/// What mends a difference. Those of one row become one command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mend {
    /// Set on a row, or on the menu itself.
    Set(Option<String>, String, String),
    /// A row that is missing, with all its properties.
    Add(Vec<(String, String)>, Place),
    /// A row before another.
    Move(String, String),
    /// A row less.
    Remove(String),
}

/// What comes of asking a second time where an answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Harmless,
    /// There would be two rows.
    Doubles,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Last,
    BeforeOthers,
}

impl RouterApis {
    /// Compares a router with what it is to be.
    pub async fn drift(
        &self,
        router: &Router,
        wanted: &[WantedV1],
        within: Duration,
    ) -> Result<DriftV1, ApiError> {
        let menus = self.menus(router, wanted, within).await?;
        Ok(told(differences(wanted, &menus), &menus, wanted))
    }

    /// Writes what differs and nothing else; what differs still, read back.
    pub async fn repair(
        &self,
        router: &Router,
        wanted: &[WantedV1],
        within: Duration,
    ) -> Result<DriftV1, ApiError> {
        let until = Instant::now() + within;
        let left = || until.saturating_duration_since(Instant::now());
        let mut refused = Vec::new();
        let menus = self.menus(router, wanted, within).await?;
        if let Some(why) = self.shuts_out(router, wanted, &menus, left()).await? {
            let mut told = told(differences(wanted, &menus), &menus, wanted);
            told.problems.push((SERVICES.to_owned(), why));
            return Ok(told);
        }
        if let Some(name) = self.hands(router, left()).others_guard().await? {
            let mut told = told(differences(wanted, &menus), &menus, wanted);
            told.problems.push((
                "/system scheduler".to_owned(),
                format!(
                    "{NOT_NOW}{name}. That agent changed something within these ten minutes and was not heard of since. \
                     Where it cannot enter any more the router takes that back by itself: repair after that"
                ),
            ));
            return Ok(told);
        }
        let guarded = self.guard(router, wanted, &menus, left()).await?;
        if let Some(Some(why)) = &guarded {
            info!(router.id = %router.id, "Router {} is mended without a guard: {why}", router.name);
        }
        let mut menus = Menus::new();
        // What refers to something is written after it: a row that was missing makes the next ones possible.
        for item in wanted {
            let one = std::slice::from_ref(item);
            self.read(router, one, left(), &mut menus).await?;
            let found = differences(one, &menus);
            if is_of_logins(&item.menu) {
                // It would be refused: who may make logins may make himself more than he is.
                if !found.is_empty() {
                    refused.push((item.menu.clone(), OF_LOGINS.to_owned()));
                }
                continue;
            }
            let commands = mends(item, &found, &menus);
            if !commands.is_empty() {
                // One menu tells of another: what was read is old.
                menus.clear();
            }
            for (command, how) in commands {
                let asked = match how {
                    Again::Harmless => self.ask(router, command, left()).await,
                    Again::Doubles => self.ask_once(router, command, left()).await,
                };
                match asked {
                    Ok(_) => {}
                    Err(ApiError::Refused(trap)) => {
                        let lacks = trap.message.contains("not enough permissions");
                        let words = match lacks && item.menu == "/system scheduler" {
                            true => OF_ENTRIES.to_owned(),
                            false => trap.message,
                        };
                        refused.push((item.menu.clone(), words));
                    }
                    Err(cause) => return Err(cause),
                }
            }
        }
        if guarded == Some(None) {
            // Who cannot enter any more does not call it off.
            self.anew(router).await;
        }
        let mut told = self.drift(router, wanted, left()).await?;
        // Also the guard of a repair that came to no end: as it is now it is to stay.
        let holds_none = matches!(guarded, Some(Some(_)));
        if !holds_none && let Some(words) = self.hands(router, left()).unguard().await? {
            refused.push(("/system scheduler".to_owned(), words));
        }
        told.problems.extend(refused);
        told.problems.dedup();
        told.problems.truncate(MOST);
        Ok(told)
    }

    /// Why nothing is mended: what differs would close the router to the address from which its agent entered. Whoever let
    /// that one in by hand knows of it, and what is wanted does not.
    async fn shuts_out(
        &self,
        router: &Router,
        wanted: &[WantedV1],
        menus: &Menus,
        within: Duration,
    ) -> Result<Option<String>, ApiError> {
        let found = differences(wanted, menus);
        let mut closes = found.iter().map(|one| one.field.menu.as_str());
        let let_in = let_in(wanted);
        let user = router.api.as_ref().map(|api| api.access.user.as_str());
        let Some(user) = user.filter(|_| closes.any(closes_router) && !let_in.is_empty()) else {
            return Ok(None);
        };
        let entered = Command::new("/user/active/print").having("name", user);
        let rows = self.hands(router, within).rows(entered).await?;
        let over_api = |row: &&Row| row.text("via").is_some_and(|via| via.starts_with("api"));
        let entered = rows.iter().filter(over_api);
        let entered = entered.filter_map(|row| row.text("address")?.parse().ok());
        let entered: Vec<IpAddr> = entered.collect();
        let is_let_in = |from: &IpAddr| let_in.iter().any(|net| net.contains(from));
        Ok((!entered.iter().all(is_let_in)).then(|| {
            let list = |all: Vec<String>| all.join(" and ");
            format!(
                "{NOT_LISTED}{}, and would be closed to all but {}. Configure it by the wizard with that \
                 address (agents), or with configureFirewall: false",
                list(entered.iter().map(IpAddr::to_string).collect()),
                list(let_in.iter().map(|net| net.addr().to_string()).collect())
            )
        }))
    }

    /// Has the router guard itself where what differs may part it from its agent; why it does not, and `None` where
    /// it need not.
    async fn guard(
        &self,
        router: &Router,
        wanted: &[WantedV1],
        menus: &Menus,
        within: Duration,
    ) -> Result<Option<Option<String>>, ApiError> {
        let found = differences(wanted, menus);
        let mut mended = found.iter().map(|one| one.field.menu.as_str());
        if !mended.any(|menu| guard::parts(menu) && !is_of_logins(menu)) {
            return Ok(None);
        }
        let may = wanted.iter().filter(|item| !is_of_logins(&item.menu));
        let may: Vec<WantedV1> = may.cloned().collect();
        let stood = guard::before(&may, |menu| match menus.get(menu) {
            Some(Ok(rows)) => rows.clone(),
            Some(Err(_)) | None => Vec::new(),
        });
        let hands = self.hands(router, within);
        hands.guard(&stood).await.map(Some)
    }

    async fn menus(
        &self,
        router: &Router,
        wanted: &[WantedV1],
        within: Duration,
    ) -> Result<Menus, ApiError> {
        let mut menus = Menus::new();
        self.read(router, wanted, within, &mut menus).await?;
        Ok(menus)
    }

    /// Reads what of the menus was not read yet.
    async fn read(
        &self,
        router: &Router,
        wanted: &[WantedV1],
        within: Duration,
        menus: &mut Menus,
    ) -> Result<(), ApiError> {
        for item in wanted {
            if menus.contains_key(&item.menu) {
                continue;
            }
            let command = Command::new(&format!("{}/print", path(&item.menu)));
            let rows = match self.ask(router, command, within).await {
                Ok(answer) => Ok(answer.rows),
                Err(ApiError::Refused(trap))
                    if is_optional(&item.menu) && trap.is_missing_command() =>
                {
                    Err(String::new())
                }
                Err(ApiError::Refused(trap)) => Err(trap.message),
                Err(cause) => return Err(cause),
            };
            menus.insert(item.menu.clone(), rows);
        }
        Ok(())
    }
}

/// A change of this menu may shut out who is not listed.
fn closes_router(menu: &str) -> bool {
    [SERVICES, "/ip firewall filter"].contains(&menu)
}

/// Whom the services are to let in; nobody where none is to be closed.
fn let_in(wanted: &[WantedV1]) -> Vec<IpNet> {
    let of_services = wanted.iter().filter(|item| item.menu == SERVICES);
    let fields = of_services.flat_map(|item| &item.fields);
    let listed = fields.filter(|(name, _)| name == "address");
    let mut nets: Vec<IpNet> = Vec::new();
    for (_, value) in listed {
        nets.extend(
            clear(value)
                .split(',')
                .filter_map(|net| net.parse::<IpNet>().ok()),
        );
    }
    nets.sort_unstable();
    nets.dedup();
    nets
}

const SERVICES: &str = "/ip service";

/// `/ip hotspot profile` as the API calls it.
fn path(menu: &str) -> String {
    menu.replace(' ', "/")
}

fn told(found: Vec<Difference>, menus: &Menus, wanted: &[WantedV1]) -> DriftV1 {
    let problem = |(menu, rows): (&String, &Result<Vec<Row>, String>)| {
        let why = rows.as_ref().err().filter(|why| !why.is_empty())?;
        Some((menu.clone(), why.clone()))
    };
    let mut problems: Vec<(String, String)> = menus.iter().filter_map(problem).collect();
    problems.sort();
    let compared: usize = wanted.iter().map(|item| item.fields.len().max(1)).sum();
    DriftV1 {
        fields: found.into_iter().map(|one| one.field).take(MOST).collect(),
        problems,
        compared: u32::try_from(compared).unwrap_or(u32::MAX),
    }
}

fn differences(wanted: &[WantedV1], menus: &Menus) -> Vec<Difference> {
    let mut all = Vec::new();
    for item in wanted {
        if let Some(Ok(rows)) = menus.get(&item.menu) {
            compare(item, rows, &mut all);
        }
    }
    all
}

fn compare(item: &WantedV1, rows: &[Row], all: &mut Vec<Difference>) {
    let has = |row: &&Row, name: &str, value: &str| {
        let is_connection = is_connection(&item.menu, row.flag("dynamic") == Some(true));
        !is_connection && row.text(name).is_some_and(|found| same(value, found))
    };
    match &item.which {
        RowOfV1::Menu | RowOfV1::MenuWhereKnown => {
            let known = item.which == RowOfV1::MenuWhereKnown;
            if let Some(row) = rows.first() {
                fields(item, row, (String::new(), None), known, all);
            }
        }
        RowOfV1::Found(name, value) | RowOfV1::FoundWhereKnown(name, value) => {
            let known = matches!(item.which, RowOfV1::FoundWhereKnown(..));
            for row in rows.iter().filter(|row| has(row, name, value)) {
                let id = row.text(".id").map(str::to_owned);
                fields(item, row, (format!("{name}={value}"), id), known, all);
            }
            // Nothing of ours: nobody but who has the router can make it.
            if !known && is_there(name) && !rows.iter().any(|row| has(&row, name, value)) {
                all.push(Difference {
                    field: whole(item, format!("{name}={value}"), Some("there"), None),
                    mend: None,
                });
            }
        }
        RowOfV1::Own(name, value) | RowOfV1::OwnFirst(name, value) => {
            let named = format!("{name}={value}");
            let own = rows.iter().find(|row| has(row, name, value));
            match own {
                Some(row) => {
                    let id = row.text(".id").map(str::to_owned);
                    fields(item, row, (named.clone(), id), false, all);
                    if matches!(item.which, RowOfV1::OwnFirst(..)) {
                        all.extend(misplaced(item, row, rows, named));
                    }
                }
                None => {
                    let place = match item.which {
                        RowOfV1::OwnFirst(..) => Place::BeforeOthers,
                        _ => Place::Last, // every other row of ours
                    };
                    let key = (name.clone(), value.clone());
                    let rest = item
                        .fields
                        .iter()
                        .map(|(name, value)| (name.clone(), clear(value)));
                    all.push(Difference {
                        field: whole(item, named, Some("there"), None),
                        // Made here it would be unsigned: the router's script makes one and signs it.
                        mend: (item.menu != "/certificate")
                            .then(|| Mend::Add([key].into_iter().chain(rest).collect(), place)),
                    });
                }
            }
        }
        RowOfV1::Gone(name, value) => {
            for row in rows.iter().filter(|row| has(row, name, value)) {
                all.push(gone(item, row, format!("{name}={value}")));
            }
        }
        RowOfV1::GoneBut(comment, name, values) => {
            let ours = rows.iter().filter(|row| has(row, "comment", comment));
            for row in ours {
                let held = row.text(name).unwrap_or_default();
                if !values.iter().any(|value| same(value, held)) {
                    all.push(gone(item, row, format!("{name}={held}")));
                }
            }
        }
    }
}

/// A rule of ours that another decides before.
fn misplaced(item: &WantedV1, row: &Row, rows: &[Row], named: String) -> Option<Difference> {
    let rule: Vec<(String, String)> = of_rule(item);
    let other = rows.iter().find(|other| is_others(other, &rule))?;
    let (id, other) = (row.text(".id")?, other.text(".id")?);
    let place = |id: &str| rows.iter().position(|row| row.text(".id") == Some(id));
    (place(other) < place(id)).then(|| Difference {
        field: DriftFieldV1 {
            field: "place".to_owned(),
            ..whole(
                item,
                named,
                Some("before every rule that decides before it"),
                Some("after one"),
            )
        },
        mend: Some(Mend::Move(id.to_owned(), other.to_owned())),
    })
}

fn of_rule(item: &WantedV1) -> Vec<(String, String)> {
    let fields = item.fields.iter();
    fields
        .map(|(name, value)| (name.clone(), clear(value)))
        .collect()
}

fn gone(item: &WantedV1, row: &Row, named: String) -> Difference {
    Difference {
        field: whole(item, named, None, Some("there")),
        mend: row.text(".id").map(|id| Mend::Remove(id.to_owned())),
    }
}

fn whole(item: &WantedV1, row: String, wanted: Option<&str>, found: Option<&str>) -> DriftFieldV1 {
    DriftFieldV1 {
        menu: item.menu.clone(),
        row,
        field: String::new(),
        wanted: wanted.map(str::to_owned),
        found: found.map(str::to_owned),
    }
}

fn fields(
    item: &WantedV1,
    row: &Row,
    (named, id): (String, Option<String>),
    where_known: bool,
    all: &mut Vec<Difference>,
) {
    // Signed once, and never changed.
    if item.menu == "/certificate" {
        return;
    }
    for (name, value) in &item.fields {
        let found = row.text(name);
        let fits = match (value, found) {
            (WantedValueV1::Plain(wanted), Some(found)) => same(wanted, found),
            (WantedValueV1::Folder(wanted), Some(found)) => {
                found == wanted || found.strip_prefix("flash/") == Some(wanted)
            }
            (WantedValueV1::Secret(wanted), Some(found)) => wanted == found,
            // Passwords of users are shown to nobody, and what is not set is not shown.
            (WantedValueV1::Secret(_), None) => true,
            (WantedValueV1::Plain(wanted), None) => {
                where_known || wanted.is_empty() || wanted == "no"
            }
            (WantedValueV1::Folder(_), None) => false,
        };
        if fits {
            continue;
        }
        let shown = |text: &str| match value {
            WantedValueV1::Secret(_) => HIDDEN.to_owned(),
            // The API says by other words what people type.
            WantedValueV1::Plain(wanted) if ["yes", "no"].contains(&wanted.as_str()) => {
                match text {
                    "true" => "yes".to_owned(),
                    "false" => "no".to_owned(),
                    _ => text.to_owned(),
                }
            }
            WantedValueV1::Plain(_) | WantedValueV1::Folder(_) => text.to_owned(),
        };
        all.push(Difference {
            field: DriftFieldV1 {
                menu: item.menu.clone(),
                row: named.clone(),
                field: name.clone(),
                wanted: Some(shown(&clear(value))),
                found: found.map(shown),
            },
            mend: Some(Mend::Set(id.clone(), name.clone(), clear(value))),
        });
    }
}

fn clear(value: &WantedValueV1) -> String {
    match value {
        WantedValueV1::Plain(text) | WantedValueV1::Secret(text) | WantedValueV1::Folder(text) => {
            text.clone()
        }
    }
}

/// One command for each row that differs.
fn mends(item: &WantedV1, found: &[Difference], menus: &Menus) -> Vec<(Command, Again)> {
    let at = |verb: &str| Command::new(&format!("{}/{verb}", path(&item.menu)));
    let mut sets: Vec<(Option<String>, Command)> = Vec::new();
    let mut commands = Vec::new();
    for mend in found.iter().filter_map(|one| one.mend.clone()) {
        match mend {
            Mend::Set(id, name, value) => match sets.iter_mut().find(|(held, _)| *held == id) {
                Some((_, command)) => *command = command.clone().with(&name, value),
                None => {
                    let command = match &id {
                        Some(id) => at("set").with(".id", id),
                        None => at("set"),
                    };
                    sets.push((id, command.with(&name, value)));
                }
            },
            Mend::Add(fields, place) => {
                let mut command = fields.iter().fold(at("add"), |command, (name, value)| {
                    command.with(name, value)
                });
                if place == Place::BeforeOthers
                    && let Some(Ok(rows)) = menus.get(&item.menu)
                    && let Some(first) = rows.iter().find(|row| is_others(row, &fields))
                    && let Some(id) = first.text(".id")
                {
                    command = command.with("place-before", id);
                }
                commands.push((command, Again::Doubles));
            }
            Mend::Move(id, before) => {
                let command = at("move").with("numbers", id).with("destination", before);
                commands.push((command, Again::Harmless));
            }
            Mend::Remove(id) => {
                commands.push((at("remove").with(".id", id), Again::Harmless));
            }
        }
    }
    commands
        .into_iter()
        .chain(
            sets.into_iter()
                .map(|(_, command)| (command, Again::Harmless)),
        )
        .collect()
}

/// A rule before which this one has to stand: of its chain and not ours, and for what lets somebody in also one of ours
/// that does not. Those that the router makes itself stay first.
fn is_others(row: &Row, rule: &[(String, String)]) -> bool {
    let of_rule = |wanted: &str| {
        let held = rule.iter().find(|(name, _)| name == wanted);
        held.map(|(_, value)| value.as_str())
    };
    let ours = row
        .text("comment")
        .is_some_and(|text| text.starts_with("easyisp"));
    let passes =
        ours && !(of_rule("action") == Some("accept") && row.text("action") == Some("drop"));
    row.text("chain") == of_rule("chain") && row.flag("dynamic") != Some(true) && !passes
}

/// What nobody changes without the right `policy`, which the agents' login has not: it could make itself any other.
fn is_of_logins(menu: &str) -> bool {
    ["/user", "/user group"].contains(&menu)
}

/// What mends that.
const OF_LOGINS: &str = "the agents' login may not change logins: take a new command from the wizard and paste it on the \
                         router, or put it right there by hand";

/// What mends an entry that is to have a right which the agents' login has not: it may give none but its own.
const OF_ENTRIES: &str = "the agents' login has not every right that its entry is to have: take a new command from the \
                          wizard and paste it on the router";

const HIDDEN: &str = "********";
const MOST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer that is lost leaves nobody knowing: asked again a row would be there twice. A certificate is the
    /// script's, which signs it.
    #[test]
    fn a_row_is_added_once_and_a_certificate_never() {
        let missing = |menu: &str| {
            let item = WantedV1 {
                menu: menu.to_owned(),
                which: RowOfV1::Own("name".to_owned(), "ours".to_owned()),
                fields: Vec::new(),
            };
            let menus = Menus::from([(menu.to_owned(), Ok(Vec::new()))]);
            let found = differences(std::slice::from_ref(&item), &menus);
            assert_eq!(found.len(), 1, "{menu}: it is told");
            let commands = mends(&item, &found, &menus).into_iter();
            commands.map(|(_, again)| again).collect::<Vec<_>>()
        };
        assert_eq!(missing("/ip pool"), [Again::Doubles]);
        assert_eq!(missing("/certificate"), []);
    }

    #[test]
    fn the_words_of_a_router_are_understood() {
        for (wanted, found) in [
            ("yes", "true"),
            ("5m", "300s"),
            ("5m", "00:05:00"),
            ("10.9.0.2/32", "10.9.0.2"),
            ("api,read", "read,api,!ftp,!policy"),
            ("ppp,hotspot", "hotspot,ppp"),
            ("1812", "1812"),
        ] {
            assert!(same(wanted, found), "{wanted} {found}");
        }
        for (wanted, found) in [("yes", "no"), ("5m", "10m"), ("1812", "1813"), ("2", "3")] {
            assert!(!same(wanted, found), "{wanted} {found}");
        }
    }
}
