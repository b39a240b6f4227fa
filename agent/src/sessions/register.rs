//! Everybody online at this site, in memory. One lock, held for microseconds and never over a disk.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::UsedV1;
use easyisp_shared::wire::up::AccountingStatus;

use super::elsewhere;
use super::index::{Index, MOST_HELD, Person, Source};
use super::rules::{self, Report, Word};
use super::slots::{self, Grant, LEASE, Lease};
use super::{Cause, Hearsay, Metered, Service, Session, SessionKey, Usage};
use crate::sizes::Size;

/// Who is online and who was let in.
#[derive(Default)]
pub struct Sessions {
    index: Mutex<Index>,
    tell: OnceLock<Box<Tell>>,
}

/// Called with what the routers said, under the register's lock: it must not block.
pub type Tell = dyn Fn(Heard<'_>) + Send + Sync;

/// What a router said of a session.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// It is going on, and holds a place.
    Open(&'a Session),
    /// It is over.
    Over(&'a SessionKey),
}

/// A session with what is known of it besides the router's reports.
#[derive(Clone, Debug)]
pub struct Online {
    /// What the router told.
    pub session: Session,
    /// When the router was last heard on it.
    pub heard: Timestamp,
    /// Since when its router seems to have restarted without a word on this session: it keeps nobody
    /// out, and is given up unless the router speaks of it again.
    pub doubted: Option<Timestamp>,
}

/// A session's new state and what brought it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The state to write.
    pub session: Session,
    /// What to tell the cloud.
    pub status: AccountingStatus,
}

/// What a report changed, to be written together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Sessions: the one reported, and those it proves over.
    pub moved: Vec<Moved>,
    /// The customers' new usage, where it is counted.
    pub usage: Vec<(CustomerId, Usage)>,
    /// Whether the reported session was not open before.
    pub begun: bool,
    /// Whether nothing was taken, because its router has told of too many already.
    pub beyond: bool,
}

/// Who asks to be let in.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Which customer, where it is one.
    pub customer: Option<CustomerId>,
    /// Under which name.
    pub username: &'a [u8],
}

/// What a decision needs to know of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Other devices of the same name holding a place.
    pub other_devices: u16,
    /// What was used in the present period.
    pub used: UsedV1,
}

impl Sessions {
    /// Takes what was on disk. Its sessions count as heard at `now`: the agent was away, not they.
    pub fn load(&self, sessions: Vec<Session>, usage: Vec<(CustomerId, Usage)>, now: Timestamp) {
        let mut index = self.lock();
        index.usage.extend(usage);
        for session in sessions {
            index.note_boot(&session);
            index.put(session, now);
        }
    }

    /// This agent hears the routers since `at`: what the cloud tells may have all of a session that began before.
    pub fn serve_since(&self, at: Timestamp) {
        self.lock().served_since = Some(at);
    }

    /// Decides on a login and keeps a place for it in one step, so that two devices cannot both get
    /// the last place (B9). `decide` returns what to grant, if anything, and the caller's answer.
    pub fn admit<T>(
        &self,
        who: Asker<'_>,
        mac: Option<Mac>,
        metered: Option<&Metered>,
        now: Timestamp,
        decide: impl FnOnce(Standing) -> (Option<Grant>, T),
    ) -> T {
        let mut index = self.lock();
        let Asker { username, .. } = who;
        let used = match metered {
            Some(_) => index.used_by_now(metered, username, now),
            None => UsedV1::default(),
        };
        let before = index.devices_of_before(who, mac, now);
        let Index {
            online,
            people,
            elsewhere,
            ..
        } = &mut *index;
        // One look for question and place: at 100,000 names each look is a miss in every cache.
        let person = people.get_mut(username);
        let other_devices = person.as_ref().map_or(0, |person| {
            person.other_devices(online, elsewhere, mac, now)
        });
        let other_devices = other_devices.saturating_add(before);
        let (grant, answer) = decide(Standing {
            other_devices,
            used,
        });
        let Some(grant) = grant else {
            return answer;
        };
        let lease = Lease {
            mac,
            until: now.plus(LEASE),
            grant,
        };
        match person {
            Some(person) => slots::reserve(&mut person.leases, lease, now),
            None => {
                let person = Person {
                    leases: vec![lease],
                    ..Person::default()
                };
                people.insert(username.into(), person);
            }
        }
        answer
    }

    /// What a decision on a login would need to know; no place is kept.
    pub fn at_the_door(
        &self,
        who: Asker<'_>,
        mac: Option<Mac>,
        metered: Option<&Metered>,
        now: Timestamp,
    ) -> Standing {
        let index = self.lock();
        let Asker { username, .. } = who;
        let before = index.devices_of_before(who, mac, now);
        let used = index.used_by_now(metered, username, now);
        let Index {
            online,
            people,
            elsewhere,
            ..
        } = &*index;
        let person = people.get(username);
        Standing {
            other_devices: person.map_or(before, |person| {
                let others = person.other_devices(online, elsewhere, mac, now);
                others.saturating_add(before)
            }),
            used,
        }
    }

    /// What a decision on a session that is already online needs to know.
    pub fn standing(&self, username: &[u8], metered: Option<&Metered>, now: Timestamp) -> Standing {
        Standing {
            other_devices: 0,
            used: self.lock().used_by_now(metered, username, now),
        }
    }

    /// Merges a report. `write` gets what changed while the lock is held, so that states of one
    /// session reach the disk in the order they came about; it must not block.
    pub fn report(
        &self,
        report: &Report,
        metered: Option<&Metered>,
        now: Timestamp,
        write: impl FnOnce(&Changes),
    ) -> Changes {
        let mut index = self.lock();
        let changes = index.report(report, metered, Source::Router, now);
        self.tell(&changes);
        write(&changes);
        changes
    }

    /// The same for what another agent of the site heard: nobody is told of it again.
    pub fn adopt(
        &self,
        report: &Report,
        metered: Option<&Metered>,
        now: Timestamp,
        write: impl FnOnce(&Changes),
    ) -> Changes {
        let mut index = self.lock();
        let changes = index.report(report, metered, Source::Agent, now);
        write(&changes);
        changes
    }

    /// From here on `tell` hears what the routers say.
    pub fn tell_through(&self, tell: Box<Tell>) {
        let _told_already = self.tell.set(tell);
    }

    fn tell(&self, changes: &Changes) {
        let Some(tell) = self.tell.get() else { return };
        for Moved { session, .. } in &changes.moved {
            match session.closed {
                Some(_) => tell(Heard::Over(&session.key)),
                None if holds_a_place(session) => tell(Heard::Open(session)),
                None => {}
            }
        }
    }

    /// The sessions that hold a place, and how long ago their routers spoke of them.
    pub fn open_now(&self, now: Timestamp) -> Vec<(Session, Duration)> {
        let index = self.lock();
        let open = index.online.values().filter(|online| {
            let session = &online.session;
            session.closed.is_none() && online.doubted.is_none() && holds_a_place(session)
        });
        open.map(|online| (online.session.clone(), now.since(online.heard)))
            .collect()
    }

    /// Another agent of the site says that a session is going on: its device holds a place here too.
    pub fn open_elsewhere(&self, told: Hearsay, now: Timestamp) {
        self.lock().hold(told, now);
    }

    /// The routers of which no new session is taken, because they have told of too many.
    pub fn full(&self) -> HashSet<RouterId> {
        let index = self.lock();
        let routers = index.held.keys().copied();
        routers.filter(|router| index.is_full(*router)).collect()
    }

    pub(crate) fn sizes(&self) -> [Size; 3] {
        let index = self.lock();
        let most = |of: fn(&Person) -> usize| index.people.values().map(of).max();
        let leases = most(|person| person.leases.len()).unwrap_or_default();
        let elsewhere = most(|person| person.elsewhere.len()).unwrap_or_default();
        let held = index.held.values().copied().max().unwrap_or_default();
        [
            slots::size(leases),
            elsewhere::size(elsewhere),
            Size::new("sessions of a router", held, MOST_HELD),
        ]
    }

    /// The sessions that ended lately, as their routers said.
    pub fn ended_lately(&self) -> Vec<SessionKey> {
        let index = self.lock();
        let ended = index.online.values().filter(|online| {
            let closed = online.session.closed.map(|closed| closed.cause);
            matches!(closed, Some(Cause::Router(_)))
        });
        ended.map(|online| online.session.key.clone()).collect()
    }

    /// Another agent of the site heard that a session is over: here it keeps nobody out any more, and is
    /// given up unless its router speaks of it again.
    pub fn ended_elsewhere(&self, key: &SessionKey, now: Timestamp) {
        let mut index = self.lock();
        index.release(key);
        if let Some(online) = index.online.get_mut(key)
            && online.session.closed.is_none()
        {
            online.doubted.get_or_insert(now);
        }
    }

    /// The router restarted at `at` (Accounting-On or -Off): its open sessions from before are over.
    pub fn restarted(
        &self,
        router: RouterId,
        word: Word,
        at: Timestamp,
        write: impl FnOnce(&Changes),
    ) -> Changes {
        let mut index = self.lock();
        let changes = index.lose(|session| {
            session.key.router == router && rules::is_ended_by(word, at, session.started_at)
        });
        self.tell(&changes);
        write(&changes);
        changes
    }

    /// Gives up one session.
    pub fn give_up(&self, key: &SessionKey, write: impl FnOnce(&Changes)) -> Changes {
        let mut index = self.lock();
        let open = index.online.get_key_value(key);
        let open = open.filter(|(_, online)| online.session.closed.is_none());
        let keys = open.map(|(key, _)| key.clone()).into_iter().collect();
        let changes = index.lose_keys(keys);
        self.tell(&changes);
        write(&changes);
        changes
    }

    /// Hands over ends that could not be written: those sessions as they are by now, or as they were where the
    /// register has forgotten them.
    pub fn write_again(&self, ends: Vec<Session>, write: impl FnOnce(&Changes)) {
        let index = self.lock();
        let mut changes = Changes::default();
        for held in ends {
            let known = index.online.get(&held.key);
            let session = known.map_or(held, |online| online.session.clone());
            if let Some(customer) = session.customer
                && let Some(usage) = index.usage.get(&customer)
            {
                changes.usage.push((customer, *usage));
            }
            let status = match session.closed.map(|closed| closed.cause) {
                None => AccountingStatus::Interim,
                Some(Cause::Router(_)) => AccountingStatus::Stop,
                Some(Cause::Lost) => AccountingStatus::Lost,
            };
            changes.moved.push(Moved { session, status });
        }
        write(&changes);
    }

    /// Gives up sessions unheard for a day or doubted for two intervals, and forgets what ended long ago.
    pub fn sweep(&self, now: Timestamp, write: impl FnOnce(&Changes)) -> Changes {
        let mut index = self.lock();
        let silent: Vec<Arc<SessionKey>> = index
            .online
            .iter()
            .filter(|(_, online)| online.session.closed.is_none())
            .filter(|(_, online)| {
                let doubted = online.doubted.map(|since| now.since(since));
                now.since(online.heard) > GIVEN_UP_AFTER
                    || doubted.is_some_and(|doubted| doubted > DOUBTED_FOR)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let changes = index.lose_keys(silent);
        let oldest = index.oldest_of_many_lost();
        let Index { online, held, .. } = &mut *index;
        online.retain(|key, online| {
            let kept = match online.session.closed.map(|closed| closed.cause) {
                None => return true,
                Some(Cause::Router(_)) => REMEMBERED_FOR,
                Some(Cause::Lost) => LOST_REMEMBERED_FOR,
            };
            let is_one_of_many = oldest
                .get(&key.router)
                .is_some_and(|oldest| kept == LOST_REMEMBERED_FOR && online.heard < *oldest);
            let stays = now.since(online.heard) < kept && !is_one_of_many;
            if !stays && let Some(held) = held.get_mut(&key.router) {
                *held -= 1;
            }
            stays
        });
        held.retain(|_, held| *held > 0);
        index.release_silent(now);
        index.people.retain(|_, person| {
            person.leases.retain(|lease| now < lease.until);
            person.ended = None;
            !(person.leases.is_empty() && person.open.is_empty() && person.elsewhere.is_empty())
        });
        let Index { people, names, .. } = &mut *index;
        names.retain(|_, names| {
            names.retain(|name| {
                let person = people.get(name);
                person.is_some_and(|person| !person.open.is_empty())
            });
            !names.is_empty()
        });
        write(&changes);
        changes
    }

    /// One session, open or lately closed.
    pub fn find(&self, key: &SessionKey) -> Option<Online> {
        self.lock().online.get(key).cloned()
    }

    /// Whose a session is, as far as is known: what his router calls him may be another's name by now.
    pub fn customer_of(&self, key: &SessionKey) -> Option<CustomerId> {
        self.lock().online.get(key)?.session.customer
    }

    /// The open sessions that `which` picks, in the order of their ids: who is asked first is no chance.
    pub fn open(&self, which: impl Fn(&Session) -> bool) -> Vec<Online> {
        let index = self.lock();
        let open = index.online.values();
        let mut open: Vec<Online> = open
            .filter(|online| online.session.closed.is_none() && which(&online.session))
            .cloned()
            .collect();
        drop(index);
        let id = |online: &Online| online.session.key.acct_session_id.clone();
        open.sort_by_cached_key(id);
        open
    }

    /// The sessions of customers who log in nowhere: the open ones, and those that ended lately.
    pub fn of_lines(&self) -> Vec<Session> {
        let index = self.lock();
        let known = index.online.values().map(|online| &online.session);
        known
            .filter(|session| session.service == Service::Line)
            .cloned()
            .collect()
    }

    /// What is known of one router's sessions: the open ones, and those that ended lately.
    pub fn known_at(&self, router: RouterId) -> Vec<Online> {
        let index = self.lock();
        let known = index.online.values();
        known
            .filter(|online| online.session.key.router == router)
            .cloned()
            .collect()
    }

    /// The open sessions under one name.
    pub fn open_by_name(&self, username: &[u8]) -> Vec<Online> {
        let index = self.lock();
        let keys = index.people.get(username).map(|person| &person.open);
        keys.into_iter()
            .flatten()
            .filter_map(|key| index.online.get(key).cloned())
            .collect()
    }

    /// The open sessions of a customer who has this name, and of before under a name that he had.
    pub fn open_of(&self, customer: CustomerId, username: &[u8]) -> Vec<Online> {
        let before = self.lock().names.get(&customer).cloned();
        let mut open = self.open_by_name(username);
        for name in before.unwrap_or_default() {
            if *name != *username {
                let his = |online: &Online| online.session.customer == Some(customer);
                open.extend(self.open_by_name(&name).into_iter().filter(his));
            }
        }
        open
    }

    /// Notes what a session was changed to.
    pub fn regrant(&self, key: &SessionKey, grant: Grant) {
        if let Some(online) = self.lock().online.get_mut(key) {
            online.session.grant = Some(grant);
        }
    }

    /// The clock was set from one instant to another: what is counted from instants of before goes with it.
    pub fn clock_moved(&self, from: Timestamp, to: Timestamp) {
        if from.since(to).max(to.since(from)) < WORTH_MOVING {
            return;
        }
        let moved = |at: Timestamp| at.plus(to.since(from)).minus(from.since(to));
        let mut index = self.lock();
        index.served_since = index.served_since.map(moved);
        for online in index.online.values_mut() {
            online.heard = moved(online.heard);
            online.doubted = online.doubted.map(moved);
        }
        for place in index.elsewhere.values_mut() {
            place.until = moved(place.until);
        }
        let leases = index.people.values_mut();
        leases
            .flat_map(|person| &mut person.leases)
            .for_each(|lease| lease.until = moved(lease.until));
    }

    /// How many sessions are open.
    pub fn count(&self) -> usize {
        let index = self.lock();
        index.people.values().map(|person| person.open.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().expect("merging a report does not panic")
    }
}

/// Whoever is let in as far as the pay page takes nobody's place.
fn holds_a_place(session: &Session) -> bool {
    !session.grant.is_some_and(|grant| grant.garden)
}

/// The cloud tells the time with every breath of the link; most of it is the way there.
const WORTH_MOVING: Duration = Duration::from_secs(5);
/// A closed session is remembered so that a late report cannot open it again.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);
const GIVEN_UP_AFTER: Duration = Duration::from_secs(86_400);
/// One that was given up may be heard of again, and what it had counted by then must not count twice: three days
/// after the day of silence.
pub const LOST_REMEMBERED_FOR: Duration = Duration::from_secs(4 * 86_400);
/// Two intervals of 300 s and a tenth: one update may be lost.
const DOUBTED_FOR: Duration = Duration::from_secs(660);
