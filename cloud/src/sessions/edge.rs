//! What agents report of sessions and logins. Everything takes a whole batch: one node hears tens of
//! thousands of updates a second.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{CustomerId, RouterId, SessionId, SiteId};
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::line;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::up::{AccountingV1, LoginV1};
use uuid::Uuid;

use super::SURPLUS;
use super::lines::Lines;
use super::prefixes::Changes;
use super::quota;
use super::rules::{self, Growth, State};
use super::store::{self, Key, Login, Subscriber, Used, Write};
use super::surplus::LEASE;
use super::words::Status;
use crate::customers::{self, ConnectionType};
use crate::db::{Kind, Tx};
use crate::due;
use crate::routers;
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};

/// Takes accounting.
pub fn accounting() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take_accounting(tx, agent, reports, now)))
}

/// Takes logins.
pub fn logins() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take_logins(tx, agent, reports, now)))
}

/// Merges a batch into sessions and usage: sixteen statements at most, however many records.
async fn take_accounting(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let mut by_key: BTreeMap<Key, Vec<(u64, &AccountingV1)>> = BTreeMap::new();
    for report in reports {
        if let Up::Accounting(record) = &report.body {
            let of_key = by_key.entry(key(record)).or_default();
            of_key.push((report.sequence, record));
        }
    }
    store::lock_site(tx, agent.site).await?;
    let keys: Vec<&Key> = by_key.keys().collect();
    let at_site = routers_here(tx, agent.site, keys.iter().map(|key| key.router)).await?;
    let mut known: HashMap<usize, store::Known> = HashMap::new();
    for session in store::known(tx, &keys).await? {
        known.insert(session.key, session);
    }
    let again = numbered_anew(&by_key, &known);
    let over = again.iter().filter_map(|place| known.remove(place));
    let over: Vec<SessionId> = over.map(|session| session.id).collect();
    store::set_aside(tx, &over).await?;
    let people = People::of_new(tx, agent.site, &by_key, &known).await?;
    let mut lines = lines_of(tx, &by_key, &known).await?;

    let mut merged = Vec::with_capacity(by_key.len());
    let mut used = Vec::with_capacity(reports.len());
    let mut unusable = Vec::new();
    for (place, (key, records)) in by_key.iter().enumerate() {
        let before = known.remove(&place);
        let told_here = before
            .as_ref()
            .is_some_and(|before| before.site == agent.site);
        if !told_here && !at_site.contains(&key.router) {
            unusable.extend(records.iter().map(|(sequence, _)| not_here(*sequence)));
            continue;
        }
        let session = Merged::of(
            key,
            before,
            records,
            (&people, &mut lines),
            now,
            tx,
            &mut used,
        );
        merged.push(session);
    }
    note_absurd(agent, &used);
    write(tx, agent.site, &merged, &used).await?;
    look_for_surplus(tx, agent.site, &merged, now).await?;
    let heard: Vec<RouterId> = at_site.into_iter().collect();
    routers::heard(tx, &heard, now).await?;
    Ok(unusable)
}

/// Which of the sessions are over, and were numbered like others that began since: a router repeats its numbers, and
/// what somebody else let in, or nobody, has no cookie that tells them apart.
fn numbered_anew(
    by_key: &BTreeMap<Key, Vec<(u64, &AccountingV1)>>,
    known: &HashMap<usize, store::Known>,
) -> HashSet<usize> {
    let mut again = HashSet::new();
    for (place, (key, records)) in by_key.iter().enumerate() {
        let ended = known.get(&place).and_then(|known| known.state.stopped);
        let began = records.iter().map(|(_, record)| record.started).min();
        // Of a line each agent that counts names the same session.
        let is_told_apart = !key.cookie.is_empty() || line::is_ours(key.session.as_bytes());
        if let (Some(ended), Some(began), false) = (ended, began, is_told_apart)
            && began.since(ended) > NUMBERED_ANEW
        {
            again.insert(place);
        }
    }
    again
}

/// More than a router tries to say that a session is over.
const NUMBERED_ANEW: Duration = Duration::from_secs(600);

/// A counter that cannot be true is a router's mistake or a forged packet: a person should know of it.
fn note_absurd(agent: &Agent, used: &[Used]) {
    let absurd = used.iter().filter(|used| used.growth.absurd);
    let sessions: HashSet<SessionId> = absurd.map(|used| used.session).collect();
    if !sessions.is_empty() {
        tracing::warn!(
            agent.id = %agent.id, site.id = %agent.site, sessions = sessions.len(), first = ?sessions.iter().min(),
            "Did not count counters that grew faster than any line"
        );
    }
}

/// A session after a batch.
struct Merged<'a> {
    id: SessionId,
    is_new: bool,
    key: &'a Key,
    username: String,
    customer: Option<CustomerId>,
    connection_type: Option<ConnectionType>,
    state: State,
    prefixes: Changes,
}

impl<'a> Merged<'a> {
    fn of(
        key: &'a Key,
        before: Option<store::Known>,
        records: &[(u64, &AccountingV1)],
        (people, lines): (&People, &mut Lines),
        now: Timestamp,
        tx: &Tx,
        used: &mut Vec<Used>,
    ) -> Merged<'a> {
        let is_new = before.is_none();
        let is_line = line::is_ours(key.session.as_bytes());
        let (id, mut customer, mut erased, mut state) = match before {
            Some(before) => (
                before.id,
                before.customer,
                before.erased,
                Some(before.state),
            ),
            None => (SessionId::new(now, &tx.entropy()), None, false, None),
        };
        let mut prefixes = Changes::default();
        let mut username = String::new();
        let mut connection_type = None;
        for (_, record) in records {
            if is_new && customer.is_none() {
                username = rules::text_of(&record.username);
                if let Some(person) = people.find(record.customer, &username) {
                    customer = Some(person.id);
                    connection_type = Some(person.connection_type);
                    erased = person.erased;
                    if erased {
                        username.clone_from(&person.username);
                    }
                }
            }
            let is_first = state.is_none();
            let before = state.clone();
            let (mut after, mut growth) = rules::merge(state, record, now);
            if erased {
                (after.framed_ip, after.mac) = (None, None);
                after.prefixes = Prefixes::default();
            }
            prefixes.take(before.as_ref(), &after, record.at.min(now));
            if let Some(customer) = customer {
                if is_line {
                    let session = (key.router, key.session.as_str());
                    let states = (before.as_ref(), &after);
                    growth = lines.once(customer, session, states, growth);
                }
                let at = record.at.min(now);
                used.push(Used {
                    customer,
                    session: id,
                    hour: rules::hour(at, now),
                    at,
                    // What a line counted before it was told of is known by its name.
                    began: (is_first && !is_line).then_some(after.started),
                    growth,
                    ip: after.framed_ip.clone(),
                    mac: after.mac.clone(),
                });
            }
            state = Some(after);
        }
        Merged {
            id,
            is_new,
            key,
            username,
            customer,
            connection_type,
            state: state.expect("a key stands for at least one record"),
            prefixes,
        }
    }

    fn write(&self) -> Write<'_> {
        Write {
            id: self.id,
            key: self.key,
            username: &self.username,
            customer: self.customer,
            connection_type: self.connection_type,
            state: &self.state,
        }
    }
}

/// What is known of the lines that a batch tells of: another agent may have counted the same.
async fn lines_of(
    tx: &mut Tx,
    by_key: &BTreeMap<Key, Vec<(u64, &AccountingV1)>>,
    known: &HashMap<usize, store::Known>,
) -> sqlx::Result<Lines> {
    let mut told = HashSet::new();
    for (place, (key, records)) in by_key.iter().enumerate() {
        if line::is_ours(key.session.as_bytes()) {
            let held = known.get(&place).and_then(|known| known.customer);
            let named = records.iter().find_map(|(_, record)| record.customer);
            told.extend(held.or(named).map(|customer| (customer, key.router)));
        }
    }
    let told: Vec<(CustomerId, RouterId)> = told.into_iter().collect();
    match told.is_empty() {
        true => Ok(Lines::default()),
        false => Ok(Lines::of(store::beside(tx, &told).await?)),
    }
}

async fn write(
    tx: &mut Tx,
    site: SiteId,
    merged: &[Merged<'_>],
    used: &[Used],
) -> sqlx::Result<()> {
    let writes = |new: bool| -> Vec<Write<'_>> {
        let wanted = merged.iter().filter(|session| session.is_new == new);
        wanted.map(Merged::write).collect()
    };
    let (new, old) = (writes(true), writes(false));
    if !new.is_empty() {
        store::insert(tx, site, &new).await?;
    }
    if !old.is_empty() {
        store::update(tx, site, &old).await?;
    }
    let changed = merged.iter().map(|session| (session.id, &session.prefixes));
    let changed: Vec<(SessionId, &Changes)> = changed
        .filter(|(_, changes)| **changes != Changes::default())
        .collect();
    if !changed.is_empty() {
        store::change_prefixes(tx, &changed).await?;
    }
    let grown: Vec<&Used> = used
        .iter()
        .filter(|used| used.growth.bytes_in > 0 || used.growth.bytes_out > 0)
        .collect();
    if !grown.is_empty() {
        store::use_hours(tx, site, &grown).await?;
    }
    if !used.is_empty() {
        store::use_periods(tx, used).await?;
    }
    if used.iter().any(|used| used.growth != Growth::default()) {
        tell_usage(tx, used).await?;
    }
    Ok(())
}

/// Has it looked at later whether who came online here has too much at all sites together.
async fn look_for_surplus(
    tx: &mut Tx,
    site: SiteId,
    merged: &[Merged<'_>],
    now: Timestamp,
) -> sqlx::Result<()> {
    let begun = merged
        .iter()
        .filter(|session| session.is_new && session.state.status == Status::Active);
    let customers: HashSet<CustomerId> = begun.filter_map(|session| session.customer).collect();
    if customers.is_empty() {
        return Ok(());
    }
    let customers: Vec<CustomerId> = customers.into_iter().collect();
    let elsewhere = store::elsewhere(tx, site, &customers).await?;
    match elsewhere.is_empty() {
        true => Ok(()),
        false => due::at_once(tx, SURPLUS, &elsewhere, now.plus(LEASE)).await,
    }
}

/// Lets sites hear of usage where that decides something; see [`quota`]. Of whom somebody changes at the moment they
/// hear with a later record: waiting for him under the site's lock would make all of the site's reports wait.
async fn tell_usage(tx: &mut Tx, used: &[Used]) -> sqlx::Result<()> {
    let customers: HashSet<CustomerId> = used.iter().map(|used| used.customer).collect();
    let customers: Vec<CustomerId> = customers.into_iter().collect();
    let mut news = Vec::new();
    for known in store::counted(tx, &customers).await? {
        let told = quota::Used {
            bytes: known.told_bytes,
            secs: known.told_secs,
        };
        let used = quota::Used {
            bytes: known.bytes,
            secs: known.secs,
        };
        if quota::worth_telling(told, used, known.data_limit, &known.terms) {
            news.push(known.customer_id);
        }
    }
    if news.is_empty() {
        return Ok(());
    }
    let news = customers::lock_idle(tx, &news).await?;
    store::told(tx, &news).await?;
    for customer in news {
        tx.changed(Kind::Subscriber, customer);
    }
    Ok(())
}

/// The customers by whom new sessions may be.
struct People {
    by_id: HashMap<CustomerId, Subscriber>,
    by_name: HashMap<String, CustomerId>,
}

impl People {
    async fn of_new(
        tx: &mut Tx,
        site: SiteId,
        by_key: &BTreeMap<Key, Vec<(u64, &AccountingV1)>>,
        known: &HashMap<usize, store::Known>,
    ) -> sqlx::Result<People> {
        let new = by_key
            .values()
            .enumerate()
            .filter(|(place, _)| !known.contains_key(place))
            .flat_map(|(_, records)| records);
        let mut ids = HashSet::new();
        let mut names = HashSet::new();
        for (_, record) in new {
            ids.extend(record.customer);
            names.insert(rules::text_of(&record.username));
        }
        let mut people = People {
            by_id: HashMap::new(),
            by_name: HashMap::new(),
        };
        if names.is_empty() {
            return Ok(people);
        }
        let ids: Vec<CustomerId> = ids.into_iter().collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for person in store::subscribers(tx, site, &ids, &names).await? {
            if !person.deleted {
                people.by_name.insert(person.username.clone(), person.id);
            }
            people.by_id.insert(person.id, person);
        }
        Ok(people)
    }

    /// Whom the agent names, as far as he belongs to its site; else who has this name there.
    fn find(&self, named: Option<CustomerId>, username: &str) -> Option<&Subscriber> {
        let named = named.filter(|id| self.by_id.contains_key(id));
        let id = named.or_else(|| self.by_name.get(username).copied())?;
        self.by_id.get(&id)
    }
}

/// Logs a batch of attempts: what an operator reads to see why somebody is offline.
async fn take_logins(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let told: Vec<(u64, &LoginV1)> = reports
        .iter()
        .filter_map(|report| match &report.body {
            Up::Login(login) => Some((report.sequence, login)),
            Up::Accounting(_)
            | Up::CommandResult(_)
            | Up::Heartbeat(_)
            | Up::Redemption(_)
            | Up::Keepers(_)
            | Up::Device(_)
            | Up::Bind(_)
            | Up::Router(_)
            | Up::Pools(_)
            | Up::Moving(_)
            | Up::LocalSecrets(_)
            | Up::Metrics(_)
            | Up::PackedMetrics(_)
            | Up::Lines(_)
            | Up::Unlock(_)
            | Up::BroughtUp(_)
            | Up::Logs(_)
            | Up::Configuration(_) => None,
        })
        .collect();
    let at_site = routers_here(tx, agent.site, told.iter().map(|(_, login)| login.router)).await?;
    let (here, elsewhere): (Vec<_>, Vec<_>) = told
        .into_iter()
        .partition(|(_, login)| at_site.contains(&login.router));
    let entropy = tx.entropy();
    let lines: Vec<Login> = here
        .into_iter()
        .map(|(_, login)| {
            let at = rules::logged_at(login.at, now);
            Login {
                at,
                id: Uuid::from(SessionId::new(at, &entropy)),
                router: login.router,
                customer: login.customer,
                username: rules::text_of(&login.username),
                mac: login.mac.map(|mac| mac.to_string()),
                accepted: login.outcome.is_in(),
                reason: login.outcome.sentence(),
                words: login.outcome.code(),
            }
        })
        .collect();
    if !lines.is_empty() {
        store::log(tx, agent.site, &lines).await?;
    }
    let heard: Vec<RouterId> = at_site.into_iter().collect();
    routers::heard(tx, &heard, now).await?;
    Ok(elsewhere
        .into_iter()
        .map(|(sequence, _)| not_here(sequence))
        .collect())
}

async fn routers_here(
    tx: &mut Tx,
    site: SiteId,
    named: impl Iterator<Item = RouterId>,
) -> sqlx::Result<HashSet<RouterId>> {
    let named: HashSet<RouterId> = named.collect();
    let named: Vec<RouterId> = named.into_iter().collect();
    let here = routers::at_site(tx, site, &named).await?;
    Ok(here.into_iter().collect())
}

fn not_here(sequence: u64) -> Unusable {
    Unusable {
        sequence,
        why: "it names a router of another site".to_owned(),
    }
}

fn key(record: &AccountingV1) -> Key {
    Key {
        router: record.router,
        session: rules::text_of(&record.session),
        cookie: record.class.clone(),
    }
}
