//! What stands under the register's lock, and how a report changes it.

use std::collections::HashMap;
use std::sync::Arc;

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::UsedV1;
use easyisp_shared::wire::up::AccountingStatus;

use super::elsewhere::Place;
use super::metered::Metered;
use super::register::{Asker, Changes, Moved, Online};
use super::rules::{self, Event, Growth, Report};
use super::slots::{self, Grant, Lease};
use super::{Cause, Service, Session, SessionKey, Usage};

/// Everybody, by session and by name.
#[derive(Default)]
pub(super) struct Index {
    pub(super) online: HashMap<Arc<SessionKey>, Online>,
    pub(super) people: HashMap<Box<[u8]>, Person>,
    /// Under which names customers are online: a renamed one under the name of before.
    pub(super) names: HashMap<CustomerId, Vec<Box<[u8]>>>,
    pub(super) usage: HashMap<CustomerId, Usage>,
    /// Places held at the site's other agents.
    pub(super) elsewhere: HashMap<Arc<SessionKey>, Place>,
    /// Since when this agent hears the routers. What began before may have been counted by another, or by this one
    /// before it lost its file.
    pub(super) served_since: Option<Timestamp>,
    /// How many of `online` each router spoke of.
    pub(super) held: HashMap<RouterId, usize>,
    /// The boot digit seen last, by router and service.
    boots: HashMap<(RouterId, [u8; 2]), u8>,
}

/// The sessions and leases under one name.
#[derive(Default)]
pub(super) struct Person {
    pub(super) leases: Vec<Lease>,
    pub(super) open: Vec<Arc<SessionKey>>,
    /// Sessions that another agent of the site says are going on.
    pub(super) elsewhere: Vec<Arc<SessionKey>>,
    /// What ended last, until the next sweep: a start that was lost first is later by seconds.
    pub(super) ended: Option<Arc<SessionKey>>,
}

impl Person {
    /// Garden visits take no place.
    pub(super) fn other_devices(
        &self,
        online: &HashMap<Arc<SessionKey>, Online>,
        elsewhere: &HashMap<Arc<SessionKey>, Place>,
        mac: Option<Mac>,
        now: Timestamp,
    ) -> u16 {
        let open = self.open.iter().filter_map(|key| online.get(key));
        let open = open
            .filter(|online| !online.session.grant.is_some_and(|grant| grant.garden))
            .filter(|online| online.doubted.is_none())
            .map(|online| (&online.session, online.heard));
        let places = self.elsewhere.iter().filter_map(|key| elsewhere.get(key));
        let places = places
            .filter(|place| now < place.until)
            .map(|place| place.mac);
        slots::other_devices(mac, &self.leases, open, places, now)
    }
}

impl Index {
    /// Devices that are online under a name that a customer had before.
    pub(super) fn devices_of_before(
        &self,
        who: Asker<'_>,
        mac: Option<Mac>,
        now: Timestamp,
    ) -> u16 {
        let names = who.customer.and_then(|customer| self.names.get(&customer));
        let others = names.into_iter().flatten();
        let others = others.filter(|name| ***name != *who.username);
        let keys = others.filter_map(|name| self.people.get(name));
        let open = keys.flat_map(|person| &person.open);
        let open = open
            .filter_map(|key| self.online.get(key))
            .filter(|online| {
                online.session.customer == who.customer
                    && online.doubted.is_none()
                    && !online.session.grant.is_some_and(|grant| grant.garden)
            });
        let open = open.map(|online| (&online.session, online.heard));
        slots::other_devices(mac, &[], open, std::iter::empty(), now)
    }

    pub(super) fn report(
        &mut self,
        report: &Report,
        metered: Option<&Metered>,
        source: Source,
        now: Timestamp,
    ) -> Changes {
        let known = self.online.get(&report.key);
        if known.is_none() && self.is_full(report.key.router) {
            return Changes {
                beyond: true,
                ..Changes::default()
            };
        }
        self.release(&report.key);
        let known = self.online.get(&report.key);
        let before = known.map(|online| &online.session);
        let mut merged = rules::merge(before, report);
        let is_new = known.is_none();
        let overtaken = is_new && self.is_overtaken(report.event, &merged);
        if overtaken {
            merged = rules::lose(&merged);
        }
        let begins = is_new && merged.closed.is_none();
        let opens = merged.closed.is_none() && before.is_none_or(|before| before.closed.is_some());

        let growth = rules::growth(before, &merged, metered);
        merged.bytes_free = merged.bytes_free.saturating_add(growth.free);
        let usage = metered.map(|metered| {
            let before_us = self
                .served_since
                .is_some_and(|since| merged.started_at < since);
            let may_be_told = metered.beside || before_us;
            let began_elsewhere = is_new && may_be_told && report.event != Event::Start;
            let known = match source {
                Source::Router | Source::Agent if began_elsewhere => Known::ToOthers,
                Source::Agent => Known::ToOneBefore,
                // A queue counts for everybody who reads it, also for a box that this one does not hear.
                Source::Router if metered.beside && merged.service == Service::Line => {
                    Known::ToOneBefore
                }
                Source::Router => Known::Here,
            };
            self.count(metered, growth, known)
        });
        let usage = usage.into_iter().collect();
        // Also a session of which only the end is heard began once.
        let mut changes = match is_new {
            true => self.end_ghosts(&merged, now),
            false => Changes::default(),
        };
        if begins {
            merged.grant = self.redeem(&merged);
        }
        self.put(merged.clone(), now);
        changes.moved.push(Moved {
            session: merged,
            status: match overtaken {
                true => AccountingStatus::Lost,
                false => status(report.event),
            },
        });
        changes.usage = usage;
        changes.begun = opens;
        changes
    }

    /// Of routers that lost more sessions than are remembered, as one that restarts all day does: what was heard before
    /// when is forgotten first. Else it would be full of those who are gone, and nobody who logs in were counted.
    pub(super) fn oldest_of_many_lost(&self) -> HashMap<RouterId, Timestamp> {
        let mut lost: HashMap<RouterId, Vec<Timestamp>> = HashMap::new();
        for online in self.online.values() {
            let closed = online.session.closed.as_ref();
            if closed.is_some_and(|closed| closed.cause == Cause::Lost) {
                let of_it = lost.entry(online.session.key.router).or_default();
                of_it.push(online.heard);
            }
        }
        lost.retain(|_, heard| heard.len() > MOST_LOST);
        let oldest = lost.into_iter().map(|(router, mut heard)| {
            let rest = heard.len() - MOST_LOST;
            let (_, oldest, _) = heard.select_nth_unstable(rest);
            (router, *oldest)
        });
        oldest.collect()
    }

    /// Whether nothing new is taken of a router.
    pub(super) fn is_full(&self, router: RouterId) -> bool {
        self.held
            .get(&router)
            .is_some_and(|held| *held >= MOST_HELD)
    }

    /// Whether a start that was not heard of before is that of a session that is over; the router's next word
    /// on it would open it again.
    fn is_overtaken(&self, event: Event, late: &Session) -> bool {
        let Some(person) = self.people.get(&late.username) else {
            return false;
        };
        let mut known = person.open.iter().chain(&person.ended);
        event == Event::Start
            && known.any(|key| {
                let known = self.online.get(key);
                known.is_some_and(|known| rules::is_overtaken(late, &known.session))
            })
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
    pub(super) fn note_boot(&mut self, begun: &Session) -> bool {
        let Some((service, digit)) = rules::boot(&begun.key.acct_session_id) else {
            return false;
        };
        let held = self.boots.insert((begun.key.router, service), digit);
        held.is_some_and(|held| held != digit)
    }

    pub(super) fn lose(&mut self, which: impl Fn(&Session) -> bool) -> Changes {
        let keys = self
            .online
            .iter()
            .filter(|(_, online)| online.session.closed.is_none() && which(&online.session))
            .map(|(key, _)| key.clone())
            .collect();
        self.lose_keys(keys)
    }

    pub(super) fn lose_keys(&mut self, keys: Vec<Arc<SessionKey>>) -> Changes {
        let mut changes = Changes::default();
        for key in keys {
            let Some(online) = self.online.get(&key) else {
                continue;
            };
            let (lost, heard) = (rules::lose(&online.session), online.heard);
            self.put(lost.clone(), heard);
            changes.moved.push(Moved {
                session: lost,
                status: AccountingStatus::Lost,
            });
        }
        changes
    }

    /// Files a session under its key, and under its name while it is open.
    pub(super) fn put(&mut self, session: Session, heard: Timestamp) {
        let key = match self.online.get_key_value(&session.key) {
            Some((key, _)) => key.clone(),
            None => {
                *self.held.entry(session.key.router).or_default() += 1;
                Arc::new(session.key.clone())
            }
        };
        let open = session.closed.is_none();
        if let Some(customer) = session.customer.filter(|_| open) {
            let names = self.names.entry(customer).or_default();
            if !names.contains(&session.username) {
                names.push(session.username.clone());
            }
        }
        let held = self.people.get_mut(&session.username);
        match (open, held) {
            (true, Some(person)) if person.open.contains(&key) => {}
            (true, Some(person)) => person.open.push(key.clone()),
            (true, None) => {
                let person = self.people.entry(session.username.clone()).or_default();
                person.open.push(key.clone());
            }
            (false, Some(person)) => {
                person.open.retain(|open| *open != key);
                person.ended = Some(key.clone());
            }
            (false, None) => {}
        }
        let entry = self.online.entry(key);
        let online = entry.or_insert_with(|| Online {
            session: session.clone(),
            heard,
            doubted: None,
        });
        online.session = session;
        online.heard = heard;
        online.doubted = None;
    }

    fn redeem(&mut self, session: &Session) -> Option<Grant> {
        let person = self.people.get_mut(&session.username)?;
        slots::redeem(&mut person.leases, &session.key.class, session.mac)
    }

    /// What was used in the present period: what was counted here, or what the cloud knows of all sites
    /// when that is more.
    pub(super) fn used(&self, metered: Option<&Metered>) -> UsedV1 {
        let Some(metered) = metered else {
            return UsedV1::default();
        };
        let counted = self.usage.get(&metered.customer);
        let counted = counted.filter(|usage| usage.period_start == metered.period_start);
        UsedV1 {
            bytes: counted
                .map_or(0, |usage| usage.bytes)
                .max(metered.told.bytes),
            secs: counted.map_or(0, |usage| usage.secs).max(metered.told.secs),
        }
    }

    /// The same, with the time since the routers last spoke of the open sessions under `username`.
    pub(super) fn used_by_now(
        &self,
        metered: Option<&Metered>,
        username: &[u8],
        now: Timestamp,
    ) -> UsedV1 {
        let used = self.used(metered);
        let open = self.people.get(username).map(|person| &person.open);
        let since = open
            .into_iter()
            .flatten()
            .filter_map(|key| self.online.get(key))
            .filter(|online| online.doubted.is_none())
            .map(|online| now.since(online.session.seen_at));
        let running: u64 = since
            .filter(|silent| *silent < slots::UNCONFIRMED_AFTER)
            .map(|silent| silent.as_secs())
            .sum();
        UsedV1 {
            secs: used.secs.saturating_add(running),
            ..used
        }
    }

    fn count(&mut self, metered: &Metered, growth: Growth, known: Known) -> (CustomerId, Usage) {
        let used = self.used(Some(metered));
        let counted = self.used(Some(&Metered {
            told: UsedV1::default(),
            ..metered.clone()
        }));
        let sum = |counted: u64, told: u64, used: u64, growth: u64| {
            let sum = match known {
                Known::Here => used.saturating_add(growth),
                Known::ToOneBefore => counted.saturating_add(growth).max(told),
                Known::ToOthers => used.max(growth),
            };
            sum.min(i64::MAX as u64)
        };
        let told = metered.told;
        let usage = Usage {
            period_start: metered.period_start,
            bytes: sum(counted.bytes, told.bytes, used.bytes, growth.counted()),
            secs: sum(counted.secs, told.secs, used.secs, growth.secs),
        };
        self.usage.insert(metered.customer, usage);
        (metered.customer, usage)
    }
}

/// Sessions of one router that are held, open or over of late. The largest have some ten thousand subscribers: all of them
/// online, and each anew a dozen times within the hour for which an end is remembered.
pub(super) const MOST_HELD: usize = 200_000;
/// Of them, those that were given up and may be heard of again: ten thousand, by five restarts.
pub(super) const MOST_LOST: usize = 50_000;

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A router.
    Router,
    /// Another agent of the site, to whom a router did.
    Agent,
}

/// To whom growth was known before: what the cloud told may have it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// To nobody.
    Here,
    /// To another agent, and what was counted here has all before it.
    ToOneBefore,
    /// To others, since the session began: nobody knows how much of it was told.
    ToOthers,
}

fn status(event: Event) -> AccountingStatus {
    match event {
        Event::Start => AccountingStatus::Start,
        Event::Interim => AccountingStatus::Interim,
        Event::Stop(_) => AccountingStatus::Stop,
    }
}
