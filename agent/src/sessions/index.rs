//! Everybody online at this site, in memory. One lock, held for microseconds and never over a disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::AccountingStatus;

use super::rules::{self, Event, Report};
use super::slots::{self, Grant, LEASE, Lease};
use super::{Session, SessionKey, Usage};

/// Who is online and who was let in.
#[derive(Default)]
pub struct Sessions {
    index: Mutex<Index>,
}

/// A session with what is known of it besides the router's reports.
#[derive(Clone, Debug)]
pub struct Online {
    /// What the router told.
    pub session: Session,
    /// When the router was last heard on it.
    pub heard: Timestamp,
    /// What its Accept, or a change since, gave; `None` after a restart of the agent.
    pub grant: Option<Grant>,
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
    /// The customer's new usage, where it is counted.
    pub usage: Option<(CustomerId, Usage)>,
    /// Whether the reported session was not open before.
    pub begun: bool,
}

/// Whose usage is counted, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metered {
    /// The customer.
    pub customer: CustomerId,
    /// The present period.
    pub period_start: Timestamp,
}

/// What a decision needs to know of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Other devices of the same name holding a place.
    pub other_devices: u16,
    /// Bytes of the present period.
    pub bytes_used: u64,
}

#[derive(Default)]
struct Index {
    online: HashMap<Arc<SessionKey>, Online>,
    people: HashMap<Box<[u8]>, Person>,
    usage: HashMap<CustomerId, Usage>,
    /// The boot digit seen last, by router and service.
    boots: HashMap<(RouterId, [u8; 2]), u8>,
}

#[derive(Default)]
struct Person {
    leases: Vec<Lease>,
    open: Vec<Arc<SessionKey>>,
}

impl Sessions {
    /// Takes what was on disk. Its sessions count as heard at `now`: the agent was away, not they.
    pub fn load(&self, sessions: Vec<Session>, usage: Vec<(CustomerId, Usage)>, now: Timestamp) {
        let mut index = self.lock();
        index.usage.extend(usage);
        for session in sessions {
            index.note_boot(&session);
            index.put(session, now, None);
        }
    }

    /// Decides on a login and keeps a place for it in one step, so that two devices cannot both get
    /// the last place (B9). `decide` returns what to grant, if anything, and the caller's answer.
    pub fn admit<T>(
        &self,
        username: &[u8],
        mac: Option<Mac>,
        metered: Option<Metered>,
        now: Timestamp,
        decide: impl FnOnce(Standing) -> (Option<Grant>, T),
    ) -> T {
        let mut index = self.lock();
        let bytes_used = index.bytes_used(metered);
        let Index { online, people, .. } = &mut *index;
        // One look for question and place: at 100,000 names each look is a miss in every cache.
        let person = people.get_mut(username);
        let other_devices = person
            .as_ref()
            .map_or(0, |person| person.other_devices(online, mac, now));
        let (grant, answer) = decide(Standing {
            other_devices,
            bytes_used,
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
                    open: Vec::new(),
                };
                people.insert(username.into(), person);
            }
        }
        answer
    }

    /// What a decision on a session that is already online needs to know.
    pub fn standing(&self, metered: Option<Metered>) -> Standing {
        Standing {
            other_devices: 0,
            bytes_used: self.lock().bytes_used(metered),
        }
    }

    /// Merges a report. `write` gets what changed while the lock is held, so that states of one
    /// session reach the disk in the order they came about; it must not block.
    pub fn report(
        &self,
        report: &Report,
        metered: Option<Metered>,
        now: Timestamp,
        write: impl FnOnce(&Changes),
    ) -> Changes {
        let mut index = self.lock();
        let changes = index.report(report, metered, now);
        write(&changes);
        changes
    }

    /// The router restarted: its open sessions are over (Accounting-On or -Off).
    pub fn restarted(&self, router: RouterId, write: impl FnOnce(&Changes)) -> Changes {
        let mut index = self.lock();
        let changes = index.lose(|session| session.key.router == router);
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
        write(&changes);
        changes
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
        index.online.retain(|_, online| {
            online.session.closed.is_none() || now.since(online.heard) < REMEMBERED_FOR
        });
        index.people.retain(|_, person| {
            person.leases.retain(|lease| now < lease.until);
            !(person.leases.is_empty() && person.open.is_empty())
        });
        write(&changes);
        changes
    }

    /// One session, open or lately closed.
    pub fn find(&self, key: &SessionKey) -> Option<Online> {
        self.lock().online.get(key).cloned()
    }

    /// The open sessions that `which` picks.
    pub fn open(&self, which: impl Fn(&Session) -> bool) -> Vec<Online> {
        let index = self.lock();
        let open = index.online.values();
        open.filter(|online| online.session.closed.is_none() && which(&online.session))
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

    /// Notes what a session was changed to.
    pub fn regrant(&self, key: &SessionKey, grant: Grant) {
        if let Some(online) = self.lock().online.get_mut(key) {
            online.grant = Some(grant);
        }
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

impl Person {
    /// Garden visits take no place.
    fn other_devices(
        &self,
        online: &HashMap<Arc<SessionKey>, Online>,
        mac: Option<Mac>,
        now: Timestamp,
    ) -> u16 {
        let open = self.open.iter().filter_map(|key| online.get(key));
        let open = open
            .filter(|online| !online.grant.is_some_and(|grant| grant.garden))
            .filter(|online| online.doubted.is_none())
            .map(|online| (&online.session, online.heard));
        slots::other_devices(mac, &self.leases, open, now)
    }
}

impl Index {
    fn report(&mut self, report: &Report, metered: Option<Metered>, now: Timestamp) -> Changes {
        let known = self.online.get(&report.key);
        let merged = rules::merge(known.map(|online| &online.session), report);
        let before = known.map_or(0, |online| online.session.bytes());
        let begins = known.is_none() && merged.closed.is_none();

        let usage =
            metered.map(|metered| self.count(metered, merged.bytes().saturating_sub(before)));
        let mut changes = if begins {
            self.end_ghosts(&merged, now)
        } else {
            Changes::default()
        };
        let grant = begins.then(|| self.redeem(&merged)).flatten();
        self.put(merged.clone(), now, grant);
        changes.moved.push(Moved {
            session: merged,
            status: status(report.event),
        });
        changes.usage = usage;
        changes.begun = begins;
        changes
    }

    /// Closes what the beginning of `begun` proves over, and doubts what it makes doubtful.
    fn end_ghosts(&mut self, begun: &Session, now: Timestamp) -> Changes {
        if self.note_boot(begun) {
            let doubtful = self
                .online
                .values_mut()
                .filter(|old| rules::casts_doubt(begun, &old.session));
            doubtful.for_each(|old| {
                old.doubted.get_or_insert(now);
            });
        }
        let Some(person) = self.people.get(&begun.username) else {
            return Changes::default();
        };
        let ghosts = person.open.iter().filter(|key| {
            let old = self.online.get(*key);
            old.is_some_and(|old| rules::proves_over(begun, &old.session))
        });
        let ghosts = ghosts.cloned().collect();
        self.lose_keys(ghosts)
    }

    /// Remembers a router's boot digit; whether it differs from the one before.
    fn note_boot(&mut self, begun: &Session) -> bool {
        let Some((service, digit)) = rules::boot(&begun.key.acct_session_id) else {
            return false;
        };
        let held = self.boots.insert((begun.key.router, service), digit);
        held.is_some_and(|held| held != digit)
    }

    fn lose(&mut self, which: impl Fn(&Session) -> bool) -> Changes {
        let keys = self
            .online
            .iter()
            .filter(|(_, online)| online.session.closed.is_none() && which(&online.session))
            .map(|(key, _)| key.clone())
            .collect();
        self.lose_keys(keys)
    }

    fn lose_keys(&mut self, keys: Vec<Arc<SessionKey>>) -> Changes {
        let mut changes = Changes::default();
        for key in keys {
            let Some(online) = self.online.get(&key) else {
                continue;
            };
            let (lost, heard) = (rules::lose(&online.session), online.heard);
            self.put(lost.clone(), heard, None);
            changes.moved.push(Moved {
                session: lost,
                status: AccountingStatus::Lost,
            });
        }
        changes
    }

    /// Files a session under its key, and under its name while it is open.
    fn put(&mut self, session: Session, heard: Timestamp, grant: Option<Grant>) {
        let key = match self.online.get_key_value(&session.key) {
            Some((key, _)) => key.clone(),
            None => Arc::new(session.key.clone()),
        };
        let open = session.closed.is_none();
        let held = self.people.get_mut(&session.username);
        match (open, held) {
            (true, Some(person)) if person.open.contains(&key) => {}
            (true, Some(person)) => person.open.push(key.clone()),
            (true, None) => {
                let person = self.people.entry(session.username.clone()).or_default();
                person.open.push(key.clone());
            }
            (false, Some(person)) => person.open.retain(|open| *open != key),
            (false, None) => {}
        }
        let entry = self.online.entry(key);
        let online = entry.or_insert_with(|| Online {
            session: session.clone(),
            heard,
            grant: None,
            doubted: None,
        });
        online.session = session;
        online.heard = heard;
        online.doubted = None;
        online.grant = online.grant.or(grant);
    }

    fn redeem(&mut self, session: &Session) -> Option<Grant> {
        let person = self.people.get_mut(&session.username)?;
        slots::redeem(&mut person.leases, &session.key.class, session.mac)
    }

    fn bytes_used(&self, metered: Option<Metered>) -> u64 {
        let usage = metered.and_then(|metered| {
            let usage = self.usage.get(&metered.customer)?;
            (usage.period_start == metered.period_start).then_some(usage.bytes)
        });
        usage.unwrap_or(0)
    }

    fn count(&mut self, metered: Metered, bytes: u64) -> (CustomerId, Usage) {
        let usage = Usage {
            period_start: metered.period_start,
            bytes: self.bytes_used(Some(metered)).saturating_add(bytes),
        };
        self.usage.insert(metered.customer, usage);
        (metered.customer, usage)
    }
}

fn status(event: Event) -> AccountingStatus {
    match event {
        Event::Start => AccountingStatus::Start,
        Event::Interim => AccountingStatus::Interim,
        Event::Stop(_) => AccountingStatus::Stop,
    }
}

/// A closed session is remembered so that a late report cannot open it again.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);
const GIVEN_UP_AFTER: Duration = Duration::from_secs(86_400);
/// Two intervals of 300 s and a tenth: one update may be lost.
const DOUBTED_FOR: Duration = Duration::from_secs(660);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sessions::Service;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn router() -> RouterId {
        RouterId(uuid::Uuid::from_u128(1))
    }

    fn report(id: &str, device: u8, event: Event, secs: u32) -> Report {
        Report {
            key: SessionKey {
                router: router(),
                acct_session_id: id.as_bytes().into(),
                class: [device; 16].into(),
            },
            event,
            customer: None,
            username: b"demo001".as_slice().into(),
            service: Service::Ppp,
            mac: Some(Mac::new([device; 6])),
            framed_ip: None,
            port: Box::default(),
            at: at(1000 + i64::from(secs)),
            secs,
            bytes_in: u64::from(secs),
            bytes_out: 0,
        }
    }

    fn tell(sessions: &Sessions, report: &Report, now: i64) -> Changes {
        sessions.report(report, None, at(now), |_| {})
    }

    /// Lets a device in when fewer than `allowed` others hold a place.
    fn log_in(sessions: &Sessions, device: u8, allowed: u16, now: i64) -> bool {
        let mac = Some(Mac::new([device; 6]));
        sessions.admit(b"demo001", mac, None, at(now), |standing| {
            let grant = Grant {
                cookie: [device; 16],
                rate: None,
                end: Some(at(5000)),
                garden: false,
            };
            let accept = standing.other_devices < allowed;
            (accept.then_some(grant), accept)
        })
    }

    /// B9: fifty devices, one place, all before the first Start.
    #[test]
    fn simultaneous_logins_get_one_place() {
        let sessions = Sessions::default();
        let accepted = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..50)
                .map(|device| {
                    scope.spawn({
                        let sessions = &sessions;
                        move || log_in(sessions, device, 1, 1000)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| usize::from(thread.join().unwrap()))
                .sum::<usize>()
        });
        assert_eq!(accepted, 1);
        assert!(log_in(&sessions, 99, 1, 1090), "the lease ended unused");
    }

    #[test]
    fn a_start_turns_the_lease_into_a_session_and_a_stop_frees_the_place() {
        let sessions = Sessions::default();
        assert!(log_in(&sessions, 1, 1, 1000));
        tell(&sessions, &report("a", 1, Event::Start, 0), 1001);
        let online = sessions.open_by_name(b"demo001");
        assert_eq!(online[0].grant.unwrap().end, Some(at(5000)));

        assert!(!log_in(&sessions, 2, 1, 1200));
        assert!(log_in(&sessions, 1, 1, 1200), "its own place");
        tell(&sessions, &report("a", 1, Event::Stop(1), 300), 1300);
        assert!(log_in(&sessions, 2, 1, 1400));
        assert_eq!(sessions.count(), 0);
    }

    /// Two routers, or one before and after a reset, number their sessions alike.
    #[test]
    fn equal_session_ids_of_two_routers_or_two_grants_are_different_sessions() {
        let sessions = Sessions::default();
        let here = report("80000001", 1, Event::Start, 0);
        let mut there = here.clone();
        there.key.router = RouterId(uuid::Uuid::from_u128(2));
        let mut later = report("80000001", 2, Event::Start, 0);
        later.username = b"demo002".as_slice().into();
        for report in [&here, &there, &later] {
            tell(&sessions, report, 1000);
        }
        assert_eq!(sessions.count(), 3);
        tell(&sessions, &report("80000001", 1, Event::Stop(1), 50), 1050);
        assert_eq!(sessions.count(), 2);
        assert!(
            sessions
                .find(&there.key)
                .is_some_and(|online| online.session.closed.is_none())
        );
    }

    /// B4: the router lost power; who dials again is let in at once, and its old sessions end when they
    /// were last heard of. One the router still speaks of lives on.
    #[test]
    fn a_restarted_router_leaves_no_ghosts() {
        let sessions = Sessions::default();
        for device in 1..=3 {
            let id = format!("8100000{device}");
            tell(&sessions, &report(&id, device, Event::Start, 0), 1000);
        }
        assert!(!log_in(&sessions, 9, 1, 1500));
        tell(&sessions, &report("81100001", 9, Event::Start, 500), 1500);
        assert!(log_in(&sessions, 9, 1, 1501), "ghosts keep nobody out");

        tell(&sessions, &report("81000003", 3, Event::Interim, 800), 1800);
        assert!(sessions.sweep(at(2100), |_| {}).moved.is_empty());
        let changes = sessions.sweep(at(2200), |_| {});
        assert_eq!(changes.moved.len(), 2);
        for moved in &changes.moved {
            assert_eq!(moved.status, AccountingStatus::Lost);
            assert_eq!(moved.session.closed.unwrap().at, at(1000));
        }
        assert_eq!(sessions.count(), 2);
    }

    #[test]
    fn accounting_on_ends_every_session_of_that_router() {
        let sessions = Sessions::default();
        tell(&sessions, &report("a", 1, Event::Start, 0), 1000);
        tell(&sessions, &report("b", 2, Event::Start, 0), 1000);

        let elsewhere = RouterId(uuid::Uuid::from_u128(2));
        assert!(sessions.restarted(elsewhere, |_| {}).moved.is_empty());
        assert_eq!(sessions.restarted(router(), |_| {}).moved.len(), 2);
        assert_eq!(sessions.count(), 0);
    }

    /// B8: reconnecting does not reset a quota, a new period does, a repeat adds nothing.
    #[test]
    fn usage_is_counted_over_the_sessions_of_a_period() {
        let sessions = Sessions::default();
        let metered = |start| {
            Some(Metered {
                customer: CustomerId(uuid::Uuid::from_u128(5)),
                period_start: at(start),
            })
        };
        let tell = |report: &Report, start| {
            let changes = sessions.report(report, metered(start), at(2000), |_| {});
            changes.usage.unwrap().1.bytes
        };
        assert_eq!(tell(&report("a", 1, Event::Interim, 100), 10), 100);
        assert_eq!(tell(&report("a", 1, Event::Interim, 100), 10), 100);
        assert_eq!(tell(&report("b", 1, Event::Stop(1), 50), 10), 150);
        assert_eq!(sessions.standing(metered(10)).bytes_used, 150);
        assert_eq!(sessions.standing(metered(20)).bytes_used, 0);
        assert_eq!(tell(&report("a", 1, Event::Interim, 130), 20), 30);
    }

    #[test]
    fn silence_of_a_day_is_given_up_and_mended_by_the_next_word() {
        let sessions = Sessions::default();
        tell(&sessions, &report("a", 1, Event::Start, 0), 1000);
        assert_eq!(sessions.sweep(at(80_000), |_| {}).moved.len(), 0);
        assert_eq!(sessions.sweep(at(90_000), |_| {}).moved.len(), 1);
        assert_eq!(sessions.count(), 0);
        tell(&sessions, &report("a", 1, Event::Interim, 100_000), 101_000);
        assert_eq!(sessions.count(), 1);
    }
}
