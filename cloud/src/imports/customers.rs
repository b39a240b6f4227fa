//! Rows of customers: whom they mean, and what is done.

use std::collections::{HashMap, HashSet};

use easyisp_shared::id::{CustomerId, PackageId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::types::Json;

use super::formats::beginning;
use super::row::{Reading, Row, Wish, wish};
use super::store::Line;
use super::words::{OnExisting, Outcome};
use crate::billing::{self, Begun};
use crate::customers::many::{self, Depth, Edit, Newcomer, OwnTime, Updated};
use crate::customers::{self, ChangeError, ConnectionType, New};
use crate::db::Tx;
use crate::error::FieldError;
use crate::packages::{self, Called, PackageType};
use crate::secrets::Secrets;
use crate::{routers, sites};

/// Marks rows whose user name an earlier row has: one file says of each once what is wanted.
pub fn mark_repeats(rows: &mut [Row]) {
    let mut first: HashMap<String, u32> = HashMap::with_capacity(rows.len());
    for row in rows {
        let username = row.username().to_owned();
        if username.is_empty() {
            continue;
        }
        match first.get(&username) {
            Some(line) => {
                let message = format!("stands in line {line} already; leave one of the two out");
                row.error("username", message);
            }
            None => {
                first.insert(username, row.line);
            }
        }
    }
}

/// Takes up to 500 rows in; what became of each, in their order, and whose end was moved from when to when: for
/// the trail.
///
/// With [`Depth::Look`] nothing is written, and no row has an id that was not there before.
pub async fn take_in(
    tx: &mut Tx,
    secrets: &Secrets,
    rows: &[Row],
    (reading, on_existing): (&Reading, OnExisting),
    depth: Depth,
    now: Timestamp,
) -> Result<(Vec<Line>, Vec<Value>), ChangeError> {
    let wishes: Vec<(Wish, Vec<FieldError>)> = rows.iter().map(|row| wish(row, reading)).collect();
    let names = Names::of(tx, wishes.iter().map(|(wish, _)| wish)).await?;
    let usernames: Vec<String> = rows.iter().map(|row| row.username().to_owned()).collect();
    let existing: HashMap<String, CustomerId> =
        many::named(tx, &usernames).await?.into_iter().collect();
    let parents = parents(tx, wishes.iter().map(|(wish, _)| wish)).await?;

    let mut lines = Vec::with_capacity(rows.len());
    let (mut newcomers, mut edits) = (Vec::new(), Vec::new());
    let mut tagged: Vec<(usize, Vec<String>)> = Vec::new();
    let mut accounts: Vec<(usize, Account)> = Vec::new();
    for (row, (mut wish, mut errors)) in rows.iter().zip(wishes) {
        let said = wish.change.connection_type;
        names.fill_in(&mut wish, reading, &mut errors);
        let there = existing.get(row.username()).copied();
        let stays = there.is_some() && matches!(on_existing, OnExisting::Skip);
        if let Some(tags) = wish.tags.take().filter(|_| !stays) {
            tagged.push((lines.len(), tags));
        }
        let account = Account {
            parent: wish.parent.take().filter(|_| !stays),
            postpaid: wish.postpaid == Some(true) && !stays,
        };
        // Who stands in this part of the file is there before he is named.
        if let Some(named) = &account.parent
            && !parents.contains_key(named)
            && !usernames.contains(named)
        {
            let message = "is no customer of yours by this user name or account number; put him before this row";
            errors.push(error("parentId", message));
        }
        if account.parent.is_some() && account.postpaid {
            errors.push(error(
                "postpaid",
                "is his parent's matter, on whose account he is",
            ));
        }
        if account.parent.is_some() || account.postpaid {
            accounts.push((lines.len(), account));
        }
        let mut line = Line {
            line: i32::try_from(row.line).unwrap_or(i32::MAX),
            outcome: Outcome::Failed,
            subject_id: there.map(|customer| customer.0),
            name: row.username().chars().take(64).collect(),
            errors: Json(Vec::new()),
            warnings: Json(row.warnings.clone()),
            before: None,
        };
        match (there, on_existing) {
            (Some(_), OnExisting::Skip) => {
                line.outcome = Outcome::Skipped;
                errors.clear();
            }
            (Some(_), OnExisting::Fail) => {
                let message = "is another customer's; choose another, or send onExisting=skip or \
                               onExisting=update";
                errors.push(error("username", message));
            }
            (Some(customer), OnExisting::Update) if errors.is_empty() => {
                wish.change.username = None;
                // Neither a package nor what holds for newcomers changes how somebody is connected.
                wish.change.connection_type = said;
                edits.push((lines.len(), edit(customer, wish)));
            }
            (Some(_), OnExisting::Update) => {}
            (None, OnExisting::Skip | OnExisting::Update | OnExisting::Fail) => {
                match newcomer(wish, &mut errors) {
                    Some(newcomer) if errors.is_empty() => {
                        newcomers.push((lines.len(), newcomer));
                    }
                    Some(_) | None => {}
                }
            }
        }
        *line.errors = errors;
        lines.push(line);
    }

    // Who is there first: customers are locked before the counts, which newcomers change.
    let mut ends = Vec::new();
    let (places, edits): (Vec<usize>, Vec<Edit>) = edits.into_iter().unzip();
    let before = match depth {
        Depth::Write => {
            let ids: Vec<CustomerId> = edits.iter().map(|edit| edit.customer).collect();
            many::remember(tx, &ids).await?
        }
        Depth::Look => HashMap::new(),
    };
    let updated = many::update(tx, secrets, &edits, depth, now).await?;
    for ((place, edit), updated) in places.into_iter().zip(&edits).zip(updated) {
        match updated {
            Ok(Updated::Changed(moved)) => {
                lines[place].outcome = Outcome::Updated;
                ends.extend(
                    moved.map(|(was, is)| json!({ "id": edit.customer, "was": was, "is": is })),
                );
            }
            Ok(Updated::Same) => lines[place].outcome = Outcome::Skipped,
            Err(errors) => *lines[place].errors = errors,
        }
    }
    let (places, newcomers): (Vec<usize>, Vec<Newcomer>) = newcomers.into_iter().unzip();
    let made = many::create(tx, secrets, &newcomers, depth, now).await?;
    for (place, made) in places.into_iter().zip(made) {
        match made {
            Ok(customer) => {
                lines[place].outcome = Outcome::Created;
                lines[place].subject_id = (depth == Depth::Write).then_some(customer.0);
            }
            Err(errors) => *lines[place].errors = errors,
        }
    }
    tag(tx, &mut lines, &tagged, depth).await?;
    if depth == Depth::Write {
        // On whose account he is and how he is billed is more than his own fields: an undo leaves it.
        let mut before = before;
        for moved in settle(tx, &mut lines, &accounts, parents, now).await? {
            before.remove(&moved);
        }
        keep_before(tx, secrets, &mut lines, before).await?;
    }
    for line in &mut lines {
        for said in [&mut *line.errors, &mut *line.warnings] {
            said.truncate(MOST_SAID);
            for one in said {
                one.field = beginning(&one.field, 64);
                one.message = beginning(&one.message, 300);
            }
        }
    }
    Ok((lines, ends))
}

/// Under which name it is sealed what somebody was before a row changed him.
pub const BEFORE: &str = "import_rows.before";

/// What somebody was before a row changed him, and as what it left him.
#[derive(Serialize, Deserialize)]
pub struct Before {
    pub was: Value,
    pub left: Value,
}

/// Puts that beside the rows that changed somebody: sealed, as passwords are among it.
async fn keep_before(
    tx: &mut Tx,
    secrets: &Secrets,
    lines: &mut [Line],
    mut before: HashMap<CustomerId, Value>,
) -> Result<(), ChangeError> {
    let changed = |line: &&mut Line| line.outcome == Outcome::Updated;
    let ids = lines.iter_mut().filter(changed);
    let ids: Vec<CustomerId> = ids
        .filter_map(|line| Some(CustomerId(line.subject_id?)))
        .collect();
    let mut left = many::remember(tx, &ids).await?;
    if left.is_empty() {
        return Ok(());
    }
    let key = secrets.tenant(tx).await?;
    for line in lines.iter_mut().filter(changed) {
        let Some(customer) = line.subject_id.map(CustomerId) else {
            continue;
        };
        if let (Some(was), Some(left)) = (before.remove(&customer), left.remove(&customer)) {
            let kept = json!(Before { was, left }).to_string();
            line.before = Some(key.seal(BEFORE, customer.0, kept.as_bytes()));
        }
    }
    Ok(())
}

/// Gives those who were made, or may be changed, the labels that their rows name.
async fn tag(
    tx: &mut Tx,
    lines: &mut [Line],
    tagged: &[(usize, Vec<String>)],
    depth: Depth,
) -> sqlx::Result<()> {
    let mut wanted = Vec::new();
    let mut places = HashMap::new();
    for (place, tags) in tagged {
        let line = &lines[*place];
        // Skipped is here who was so already.
        let fits = match line.outcome {
            Outcome::Created | Outcome::Updated | Outcome::Skipped => true,
            Outcome::Failed => false,
        };
        if let Some(customer) = line.subject_id.filter(|_| fits) {
            places.insert(customer, *place);
            wanted.push((CustomerId(customer), tags.clone()));
        }
    }
    for changed in many::tag(tx, &wanted, depth).await? {
        if let Some(place) = places.get(&changed.0)
            && lines[*place].outcome == Outcome::Skipped
        {
            lines[*place].outcome = Outcome::Updated;
        }
    }
    Ok(())
}

/// On whose account somebody is, and how he is billed.
struct Account {
    parent: Option<String>,
    postpaid: bool,
}

/// Who is there of those whom rows name as parents.
async fn parents(
    tx: &mut Tx,
    wishes: impl Iterator<Item = &Wish>,
) -> sqlx::Result<HashMap<String, CustomerId>> {
    let named: HashSet<String> = wishes.filter_map(|wish| wish.parent.clone()).collect();
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let named: Vec<String> = named.into_iter().collect();
    let mut known: HashMap<String, CustomerId> =
        many::numbered(tx, &named).await?.into_iter().collect();
    // A user name that looks like a number is meant as one.
    known.extend(many::named(tx, &named).await?);
    Ok(known)
}

/// Puts those who were made or may be changed on their parents' accounts, and has them billed; of whom that is new. What
/// cannot be is said beside the row, whose customer is there all the same.
async fn settle(
    tx: &mut Tx,
    lines: &mut [Line],
    accounts: &[(usize, Account)],
    mut parents: HashMap<String, CustomerId>,
    now: Timestamp,
) -> Result<Vec<CustomerId>, ChangeError> {
    let mut moved = Vec::new();
    let made: Vec<(String, CustomerId)> = lines
        .iter()
        .filter_map(|line| Some((line.name.clone(), CustomerId(line.subject_id?))))
        .collect();
    parents.extend(made);
    for (place, account) in accounts {
        let line = &mut lines[*place];
        let own = match line.outcome {
            Outcome::Created => OwnTime::Given,
            Outcome::Updated | Outcome::Skipped => OwnTime::Paid,
            Outcome::Failed => continue,
        };
        let Some(customer) = line.subject_id.map(CustomerId) else {
            continue;
        };
        let mut changed = false;
        if let Some(named) = &account.parent {
            match parents.get(named) {
                Some(parent) => match many::put_under(tx, customer, *parent, own, now).await {
                    Ok(new) => changed |= new,
                    Err(ChangeError::Wrong(why)) => line.warnings.extend(why),
                    Err(other) => return Err(other),
                },
                None => line.warnings.push(error(
                    "parentId",
                    "could not be made; name him at the customer",
                )),
            }
        }
        if account.postpaid {
            match billing::begin_for(tx, customer, now).await? {
                Begun::Now => changed = true,
                Begun::Before => {}
                Begun::FollowsParent => {
                    let why = "is his parent's matter, on whose account he is";
                    line.warnings.push(error("postpaid", why));
                }
                Begun::NoPackage | Begun::Nobody => {
                    let why = "has no package to be billed for; give him one first";
                    line.warnings.push(error("postpaid", why));
                }
            }
        }
        if changed {
            moved.push(customer);
            if line.outcome == Outcome::Skipped {
                line.outcome = Outcome::Updated;
            }
        }
    }
    Ok(moved)
}

/// Errors and warnings of one row.
const MOST_SAID: usize = 30;

fn edit(customer: CustomerId, wish: Wish) -> Edit {
    Edit {
        customer,
        change: wish.change,
        password: wish.password,
        expires_at: wish.expires_at,
        static_ip: wish.static_ip,
        macs: wish.macs,
    }
}

/// The customer that a row wishes, by the same rules as `POST /api/customers`; adds what is wrong, once a field.
fn newcomer(wish: Wish, errors: &mut Vec<FieldError>) -> Option<Newcomer> {
    let password = wish.password.unwrap_or_default();
    let mut found = Vec::new();
    let draft = match customers::draft(wish.change, None) {
        Ok(draft) => Some(draft),
        Err(wrong) => {
            found.extend(wrong);
            None
        }
    };
    found.extend(customers::password(&password).err());
    let named: HashSet<String> = errors.iter().map(|error| error.field.clone()).collect();
    errors.extend(
        found
            .into_iter()
            .filter(|error| !named.contains(&error.field)),
    );
    Some(Newcomer {
        new: New {
            draft: draft?,
            password,
            expires_at: wish.expires_at,
        },
        static_ip: wish.static_ip,
        macs: wish.macs.unwrap_or_default(),
    })
}

/// What the names in some rows stand for.
struct Names {
    packages: Vec<Called>,
    routers: HashMap<String, RouterId>,
    sites: HashMap<String, SiteId>,
}

impl Names {
    async fn of(tx: &mut Tx, wishes: impl Iterator<Item = &Wish> + Clone) -> sqlx::Result<Names> {
        fn words<'a>(named: impl Iterator<Item = &'a String>) -> Vec<String> {
            let words: HashSet<String> = named.map(|word| word.to_lowercase()).collect();
            words.into_iter().collect()
        }
        let packages = words(wishes.clone().filter_map(|wish| wish.package.as_ref()));
        let routers = words(wishes.clone().filter_map(|wish| wish.router.as_ref()));
        let sites = words(wishes.filter_map(|wish| wish.site.as_ref()));
        Ok(Names {
            packages: match packages.is_empty() {
                true => Vec::new(),
                false => packages::called(tx, &packages).await?,
            },
            routers: match routers.is_empty() {
                true => HashMap::new(),
                false => routers::called(tx, &routers).await?.into_iter().collect(),
            },
            sites: match sites.is_empty() {
                true => HashMap::new(),
                false => sites::called(tx, &sites).await?.into_iter().collect(),
            },
        })
    }

    /// Puts ids in the place of names, and says how somebody is connected of whom only his package says it.
    fn fill_in(&self, wish: &mut Wish, reading: &Reading, errors: &mut Vec<FieldError>) {
        if let Some(name) = &wish.package {
            match self.package(name, wish.change.connection_type) {
                Some(package) => {
                    wish.change.package = Some(Some(package.id));
                    let kind = match package.kind {
                        PackageType::Pppoe => ConnectionType::Pppoe,
                        PackageType::Hotspot => ConnectionType::Hotspot,
                    };
                    let known = wish.change.connection_type.or(reading.connection_type);
                    wish.change.connection_type = known.or(Some(kind));
                }
                None => errors.push(error(
                    "packageId",
                    &format!(
                        "is no package of yours: {name:?}; make one of that name, or of that router profile, first"
                    ),
                )),
            }
        }
        if wish.change.connection_type.is_none() {
            wish.change.connection_type = reading.connection_type;
        }
        if let Some(name) = &wish.router {
            match self.routers.get(&name.to_lowercase()) {
                Some(router) => wish.change.router = Some(Some(*router)),
                None => errors.push(error(
                    "nasId",
                    &format!(
                        "is no router of yours: {name:?}; add it first, or leave the cell empty"
                    ),
                )),
            }
        }
        if let Some(name) = &wish.site {
            match self.sites.get(&name.to_lowercase()) {
                Some(site) => wish.change.site = Some(*site),
                None => errors.push(error(
                    "siteId",
                    &format!(
                        "is no site of yours: {name:?}; add it first, or leave the cell empty"
                    ),
                )),
            }
        }
    }

    /// The package of this id or name, else of this router profile; of two of one name that for how he is
    /// connected.
    fn package(&self, word: &str, kind: Option<ConnectionType>) -> Option<&Called> {
        let word = word.to_lowercase();
        let id: Option<PackageId> = word.parse().ok();
        let best = |fits: &dyn Fn(&Called) -> bool| {
            let mut fitting: Vec<&Called> = self.packages.iter().filter(|p| fits(p)).collect();
            let wanted = kind.map(ConnectionType::package_type);
            fitting.sort_by_key(|package| wanted.is_some_and(|wanted| wanted != package.kind));
            fitting.first().copied()
        };
        best(&|package| Some(package.id) == id)
            .or_else(|| best(&|package| package.name == word))
            .or_else(|| best(&|package| package.profile.as_deref() == Some(word.as_str())))
    }
}

fn error(field: &str, message: &str) -> FieldError {
    FieldError {
        field: field.to_owned(),
        message: message.to_owned(),
    }
}
