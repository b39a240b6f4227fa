//! Places at other agents of the site: who is let in or online there counts here too, and the other way.
//!
//! Agents tell each other directly (see [`crate::peers`]), so a login never asks anybody: it looks at what
//! was told. What two agents decide within the same moment, neither having heard of the other's decision,
//! is mended at once: of too many sessions the one that began last ends ([`Sessions::surplus`]).

use easyisp_shared::id::{AgentId, RouterId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::peer::Place;

use super::index::Index;
use super::register::Changes;
use super::slots::{Cookie, LEASE, UNCONFIRMED_AFTER};
use super::{Cause, Online, Session, SessionKey, Sessions, rules, slots};

/// Called with each place that is taken or given up, under the register's lock: it must not block.
pub type Told = dyn Fn(Place) + Send + Sync;

/// On which connection to which agent a place was told of: what that agent told on an earlier one it tells
/// again, or it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Teller {
    /// The agent.
    pub agent: AgentId,
    /// Counts the connections.
    pub round: u64,
}

/// What a place is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// The cookie of an Accept.
    Lease(Cookie),
    /// A session.
    Session(SessionKey),
}

/// A place at another agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    name: Name,
    by: Teller,
    pub(super) mac: Option<Mac>,
    started: Timestamp,
    /// Until when it counts unless it is told of again.
    pub(super) until: Timestamp,
}

impl Held {
    /// Whether it is this session.
    pub(super) fn is(&self, key: &SessionKey) -> bool {
        matches!(&self.name, Name::Session(held) if held == key)
    }

    /// Whether it is the Accept that this session came of.
    pub(super) fn became(&self, key: &SessionKey) -> bool {
        matches!(&self.name, Name::Lease(cookie) if *key.class == cookie[..])
    }

    /// Whether it is a session of a router.
    pub(super) fn is_at(&self, router: RouterId) -> bool {
        matches!(&self.name, Name::Session(key) if key.router == router)
    }

    /// Whether its router made its id after another boot than `begun`'s.
    pub(super) fn is_of_another_boot(&self, begun: &SessionKey) -> bool {
        let Name::Session(key) = &self.name else {
            return false;
        };
        key.router == begun.router && is_other_boot(key, begun)
    }

    /// Whether a device's next session, which began here, shows that this one is over, or came of it.
    pub(super) fn is_followed_by(&self, begun: &Session) -> bool {
        match &self.name {
            Name::Lease(cookie) => is_of(cookie, &begun.key, self.mac == begun.mac),
            Name::Session(key) => {
                key.router == begun.key.router && self.mac.is_some() && self.mac == begun.mac
            }
        }
    }
}

/// Whether a session came of the Accept with this cookie: by what it echoes, else by its device.
fn is_of(cookie: &Cookie, key: &SessionKey, same_device: bool) -> bool {
    *key.class == cookie[..] || key.class.is_empty() && same_device
}

fn is_other_boot(one: &SessionKey, other: &SessionKey) -> bool {
    match (
        rules::boot(&one.acct_session_id),
        rules::boot(&other.acct_session_id),
    ) {
        (Some((service, boot)), Some((other_service, other_boot))) => {
            service == other_service && boot != other_boot
        }
        (None, _) | (_, None) => false,
    }
}

pub(super) fn kept(username: &[u8], mac: Option<Mac>, cookie: Cookie) -> Place {
    Place::Kept {
        username: username.to_vec(),
        mac,
        cookie,
    }
}

fn open(session: &Session) -> Place {
    Place::Open {
        username: session.username.to_vec(),
        mac: session.mac,
        session: session.key.to_name(),
        started: session.started_at,
    }
}

fn over(session: &Session) -> Place {
    Place::Over {
        username: session.username.to_vec(),
        session: session.key.to_name(),
    }
}

impl Sessions {
    /// From here on `tell` hears of every place that is taken or given up here.
    pub fn tell_through(&self, tell: Box<Told>) {
        let _told_already = self.tell.set(tell);
    }

    /// Every place that is held here now, for an agent that has just been met; and the sessions that ended
    /// lately, of which it may not have heard: some of them began there.
    pub fn places(&self, now: Timestamp) -> Vec<Place> {
        let index = self.lock();
        let known = index.online.values();
        let ended = known.filter(|online| was_stopped(online));
        let mut places: Vec<Place> = ended.map(|online| over(&online.session)).collect();
        for (username, person) in &index.people {
            let leases = person.leases.iter();
            let leases = leases.filter(|lease| now < lease.until && !lease.grant.garden);
            places.extend(leases.map(|lease| kept(username, lease.mac, lease.grant.cookie)));
            let online = person.open.iter().filter_map(|key| index.online.get(key));
            let online = online.filter(|online| takes_a_place(online, now));
            places.extend(online.map(|online| open(&online.session)));
        }
        places
    }

    /// Takes what another agent told.
    pub fn hear(&self, by: Teller, place: Place, now: Timestamp) {
        let mut index = self.lock();
        match place {
            Place::Kept {
                username,
                mac,
                cookie,
            } => {
                let until = now.plus(LEASE);
                let held = Held {
                    name: Name::Lease(cookie),
                    by,
                    mac,
                    started: now,
                    until,
                };
                index.hold(username.into(), held);
            }
            Place::Open {
                username,
                mac,
                session,
                started,
            } => {
                let key = SessionKey::from(session);
                if let Some(online) = index.online.get(&key).filter(|online| was_stopped(online)) {
                    // Its Stop came here before its Start came there.
                    return self.tell(|| over(&online.session));
                }
                index.hear_of(&username, mac, &key, now);
                if let Some(person) = index.people.get_mut(&username[..]) {
                    // What was let in here began there: its place ends with that session.
                    let _its_grant = slots::redeem(&mut person.leases, &key.class, mac);
                }
                let held = Held {
                    name: Name::Session(key),
                    by,
                    mac,
                    started,
                    until: now.plus(UNCONFIRMED_AFTER),
                };
                index.hold(username.into(), held);
            }
            Place::Over { username, session } => {
                let key = SessionKey::from(session);
                if let Some(person) = index.people.get_mut(&username[..]) {
                    person.forget(&key);
                }
                if let Some(online) = index.online.get_mut(&key) {
                    online.doubted.get_or_insert(now);
                }
            }
            Place::Restarted { router } => {
                index.forget_elsewhere(|held| held.is_at(router));
                let there = index.online.values_mut();
                for online in there.filter(|online| online.session.key.router == router) {
                    online.doubted.get_or_insert(now);
                }
            }
        }
    }

    /// An agent has told every place that it holds: those it told of on an earlier connection are over.
    pub fn heard_all(&self, by: Teller) {
        let earlier = |held: &Held| held.by.agent == by.agent && held.by.round < by.round;
        self.lock().forget_elsewhere(earlier);
    }

    /// The sessions heard of here that are too many under a name that may have `most` devices, where another
    /// agent let in or hears of some of them: those that began last.
    ///
    /// Both agents see the same beginnings, so that they agree on who stays.
    pub fn surplus(&self, username: &[u8], most: u16, now: Timestamp) -> Vec<Online> {
        let index = self.lock();
        let Some(person) = index.people.get(username) else {
            return Vec::new();
        };
        let here = person.open.iter().filter_map(|key| index.online.get(key));
        let here: Vec<&Online> = here.filter(|online| takes_a_place(online, now)).collect();
        let mut devices: Vec<(Timestamp, &SessionKey, Option<Mac>)> = here
            .iter()
            .map(|online| {
                (
                    online.session.started_at,
                    &online.session.key,
                    online.session.mac,
                )
            })
            .collect();
        let elsewhere = person.elsewhere.iter().filter(|held| now < held.until);
        devices.extend(elsewhere.filter_map(|held| match &held.name {
            Name::Session(key) => Some((held.started, key, held.mac)),
            Name::Lease(_) => None,
        }));
        devices.sort_by(|one, other| {
            let order = |(started, key, _): &(Timestamp, &SessionKey, Option<Mac>)| {
                (*started, key.class.clone(), key.acct_session_id.clone())
            };
            order(one).cmp(&order(other))
        });
        let mut staying: Vec<Option<Mac>> = Vec::new();
        for (_, _, mac) in &devices {
            if staying.len() < usize::from(most.max(1)) && !staying.contains(mac) {
                staying.push(*mac);
            }
        }
        let ours = here.iter().all(|online| was_let_in_here(online));
        if ours && devices.len() == here.len() {
            return Vec::new(); // whom this agent alone let in stays in: the limit is kept at the door
        }
        let surplus = here.into_iter();
        surplus
            .filter(|online| !staying.contains(&online.session.mac))
            .cloned()
            .collect()
    }

    pub(super) fn tell(&self, place: impl FnOnce() -> Place) {
        if let Some(tell) = self.tell.get() {
            tell(place());
        }
    }

    /// Tells of sessions that were reported, and of those that this proved over.
    pub(super) fn tell_changes(&self, index: &Index, changes: &Changes) {
        for moved in &changes.moved {
            let online = index.online.get(&moved.session.key);
            let in_garden = online.is_some_and(is_in_garden);
            match moved.session.closed {
                Some(_) => self.tell(|| over(&moved.session)),
                None if in_garden => {}
                None => self.tell(|| open(&moved.session)),
            }
        }
    }
}

/// Whether the router itself said that a session is over.
fn was_stopped(online: &Online) -> bool {
    let closed = online.session.closed.map(|closed| closed.cause);
    matches!(closed, Some(Cause::Router(_)))
}

/// Whether a session came of an Accept of this agent: only that has a cookie, also after a change.
fn was_let_in_here(online: &Online) -> bool {
    let grant = online.session.grant;
    grant.is_some_and(|grant| grant.cookie != Cookie::default())
}

fn is_in_garden(online: &Online) -> bool {
    online.session.grant.is_some_and(|grant| grant.garden)
}

fn takes_a_place(online: &Online, now: Timestamp) -> bool {
    !is_in_garden(online) && online.doubted.is_none() && now.since(online.heard) < UNCONFIRMED_AFTER
}

impl Index {
    fn hold(&mut self, username: Box<[u8]>, new: Held) {
        if self.people.len() >= MOST_NAMES && !self.people.contains_key(&username) {
            return; // no site has so many: nobody's memory is another agent's to fill
        }
        let person = self.people.entry(username).or_default();
        // Told late: its session began, and perhaps ended, before an Accept of it was heard.
        if let Name::Lease(cookie) = &new.name
            && person.has_begun(cookie)
        {
            return;
        }
        let elsewhere = &mut person.elsewhere;
        elsewhere.retain(|held| match (&held.name, &new.name) {
            // A device's next Accept, or the session that came of it.
            (Name::Lease(_), Name::Lease(_)) => held.mac != new.mac,
            (Name::Lease(cookie), Name::Session(key)) => !is_of(cookie, key, held.mac == new.mac),
            (Name::Session(held), Name::Session(key)) => held != key,
            (Name::Session(_), Name::Lease(_)) => true,
        });
        if elsewhere.len() >= MOST_ELSEWHERE {
            elsewhere.remove(0);
        }
        elsewhere.push(new);
    }

    /// What another agent's session says of those known here.
    fn hear_of(&mut self, username: &[u8], mac: Option<Mac>, key: &SessionKey, now: Timestamp) {
        let rebooted = self.note_boot(key);
        let doubtful = |online: &Online| {
            let held = &online.session;
            let followed = held.username[..] == *username && mac.is_some() && held.mac == mac;
            held.key.router == key.router
                && held.key != *key
                && held.closed.is_none()
                && (followed || rebooted && is_other_boot(&held.key, key))
        };
        if rebooted {
            self.forget_elsewhere(|held| held.is_of_another_boot(key));
            let doubtful = self.online.values_mut().filter(|online| doubtful(online));
            doubtful.for_each(|online| {
                online.doubted.get_or_insert(now);
            });
            return;
        }
        let open = self.people.get(username).map(|person| person.open.clone());
        for open in open.unwrap_or_default() {
            if let Some(online) = self.online.get_mut(&open)
                && doubtful(online)
            {
                online.doubted.get_or_insert(now);
            }
        }
    }
}

/// More names than a site has subscribers and guests.
const MOST_NAMES: usize = 500_000;
/// More than any package has devices.
const MOST_ELSEWHERE: usize = 64;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::{Arc, Mutex};

    use uuid::Uuid;

    use super::*;
    use crate::sessions::{Event, Grant, Report, Service};

    /// Two agents that hear each other's places at once.
    struct Pair([Arc<Sessions>; 2]);

    impl Pair {
        fn new() -> (Pair, Arc<Mutex<Vec<(usize, Place)>>>) {
            let said: Arc<Mutex<Vec<(usize, Place)>>> = Arc::default();
            let agents = [0, 1].map(|number| {
                let (sessions, said) = (Arc::new(Sessions::default()), said.clone());
                sessions.tell_through(Box::new(move |place| {
                    said.lock().unwrap().push((1 - number, place));
                }));
                sessions
            });
            (Pair(agents), said)
        }
    }

    fn teller(agent: usize, round: u64) -> Teller {
        Teller {
            agent: AgentId(Uuid::from_u128(agent as u128)),
            round,
        }
    }

    /// Agent `from` tells the other one everything on a new connection.
    fn meet(pair: &Pair, from: usize, round: u64, now: i64) {
        let by = teller(from, round);
        for place in pair.0[from].places(at(now)) {
            pair.0[1 - from].hear(by, place, at(now));
        }
        pair.0[1 - from].heard_all(by);
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn device(number: u8) -> Option<Mac> {
        Some(Mac::new([number; 6]))
    }

    fn others(sessions: &Sessions, asking: u8, now: i64) -> u16 {
        sessions.admit(b"jane", device(asking), None, at(now), |standing| {
            (None, standing.other_devices)
        })
    }

    fn let_in(sessions: &Sessions, number: u8, now: i64) {
        sessions.admit(b"jane", device(number), None, at(now), |_| {
            let grant = Grant {
                cookie: [number; 16],
                rate: None,
                end: None,
                garden: false,
            };
            (Some(grant), ())
        });
    }

    fn report(sessions: &Sessions, number: u8, id: &str, event: Event, now: i64) {
        let report = Report {
            key: SessionKey {
                router: RouterId(Uuid::from_u128(1)),
                acct_session_id: id.as_bytes().into(),
                class: [number; 16].into(),
            },
            event,
            customer: None,
            username: b"jane"[..].into(),
            service: Service::Ppp,
            mac: device(number),
            framed_ip: None,
            port: b"ether1"[..].into(),
            at: at(now),
            secs: 0,
            bytes_in: 0,
            bytes_out: 0,
        };
        sessions.report(&report, None, at(now), |_| {});
    }

    fn deliver(pair: &Pair, said: &Mutex<Vec<(usize, Place)>>, now: i64) {
        let waiting: Vec<(usize, Place)> = said.lock().unwrap().drain(..).collect();
        for (to, place) in waiting {
            pair.0[to].hear(teller(1 - to, 1), place, at(now));
        }
    }

    #[test]
    fn a_place_at_one_agent_counts_at_the_other_until_it_is_given_up() {
        let (pair, said) = Pair::new();
        let [one, other] = &pair.0;
        let_in(one, 1, 0);
        deliver(&pair, &said, 0);
        assert_eq!(others(other, 2, 0), 1, "let in there");
        assert_eq!(others(other, 1, 0), 0, "his own device");
        assert_eq!(others(other, 2, 90), 0, "the lease is over");

        report(one, 1, "81100001", Event::Start, 10);
        deliver(&pair, &said, 10);
        assert_eq!(others(other, 2, 900), 1, "online there");
        assert_eq!(
            others(other, 2, 1000),
            0,
            "not heard of for three intervals"
        );

        // The Stop goes to the other agent.
        report(other, 1, "81100001", Event::Stop(1), 20);
        deliver(&pair, &said, 20);
        assert_eq!((others(one, 2, 20), others(other, 2, 20)), (0, 0));
    }

    #[test]
    fn who_was_let_in_here_and_began_there_holds_no_place_here_afterwards() {
        let (pair, said) = Pair::new();
        let [one, other] = &pair.0;
        let_in(one, 1, 0);
        report(other, 1, "81100001", Event::Start, 1);
        deliver(&pair, &said, 1);
        assert_eq!((others(one, 2, 1), others(other, 2, 1)), (1, 1));
        report(other, 1, "81100001", Event::Stop(1), 2);
        deliver(&pair, &said, 2);
        assert_eq!((others(one, 2, 2), others(other, 2, 2)), (0, 0));
    }

    #[test]
    fn a_devices_next_session_at_the_other_agent_takes_no_second_place() {
        let (pair, said) = Pair::new();
        let [one, other] = &pair.0;
        report(one, 1, "81100001", Event::Start, 0);
        deliver(&pair, &said, 0);
        report(other, 1, "81100002", Event::Start, 5);
        deliver(&pair, &said, 5);
        report(other, 1, "81100002", Event::Stop(1), 9);
        deliver(&pair, &said, 9);
        assert_eq!((others(one, 2, 9), others(other, 2, 9)), (0, 0));
    }

    #[test]
    fn a_router_that_rebooted_holds_no_places_at_either_agent() {
        let (pair, said) = Pair::new();
        let [one, other] = &pair.0;
        report(one, 1, "81100001", Event::Start, 0);
        deliver(&pair, &said, 0);
        report(other, 3, "81200001", Event::Start, 5);
        report(other, 3, "81200001", Event::Stop(1), 6);
        deliver(&pair, &said, 6);
        assert_eq!((others(one, 2, 6), others(other, 2, 6)), (0, 0));
    }

    #[test]
    fn what_ended_while_the_agents_were_cut_off_holds_no_place_afterwards() {
        let (pair, said) = Pair::new();
        let [one, other] = &pair.0;
        // Begun at one and at the other; both Stops go to the first, which cannot tell.
        report(one, 1, "81100001", Event::Start, 0);
        report(other, 2, "81100002", Event::Start, 0);
        let_in(one, 3, 0);
        deliver(&pair, &said, 0);
        assert_eq!((others(one, 4, 1), others(other, 4, 1)), (3, 3));
        report(one, 1, "81100001", Event::Stop(1), 2);
        report(one, 2, "81100002", Event::Stop(1), 2);
        said.lock().unwrap().clear();
        assert_eq!(others(other, 4, 3), 3, "it cannot know");
        meet(&pair, 0, 2, 4);
        assert_eq!((others(one, 4, 4), others(other, 4, 4)), (1, 1));

        // A box that began anew knows of nothing: neither does the other one then.
        let empty = Sessions::default();
        assert_eq!(empty.places(at(5)), []);
        other.heard_all(teller(0, 3));
        assert_eq!(others(other, 4, 5), 0);
    }

    #[test]
    fn an_accept_that_is_told_after_its_session_began_or_ended_takes_no_place() {
        let (pair, said) = Pair::new();
        let [one, other] = &pair.0;
        let_in(one, 1, 0);
        let late: Vec<(usize, Place)> = said.lock().unwrap().drain(..).collect();
        report(other, 1, "81100001", Event::Start, 1);
        report(other, 1, "81100001", Event::Stop(1), 2);
        for (to, place) in late {
            pair.0[to].hear(teller(1 - to, 1), place, at(2));
        }
        deliver(&pair, &said, 2);
        assert_eq!((others(one, 2, 2), others(other, 2, 2)), (0, 0));
    }

    #[test]
    fn a_start_that_is_told_after_the_stop_takes_no_place() {
        let (pair, said) = Pair::new();
        let [one, other] = &pair.0;
        report(one, 1, "81100001", Event::Stop(1), 1);
        deliver(&pair, &said, 1);
        report(other, 1, "81100001", Event::Start, 0);
        deliver(&pair, &said, 2);
        deliver(&pair, &said, 2);
        assert_eq!((others(one, 2, 2), others(other, 2, 2)), (0, 0));
    }

    #[test]
    fn a_stop_alone_ends_the_place_of_its_accept_at_both_agents() {
        let (pair, said) = Pair::new();
        let [one, other] = &pair.0;
        let_in(one, 1, 0);
        deliver(&pair, &said, 0);
        report(other, 1, "81100001", Event::Stop(1), 1);
        deliver(&pair, &said, 1);
        assert_eq!((others(one, 2, 1), others(other, 2, 1)), (0, 0));
    }

    #[test]
    fn of_two_who_raced_the_agents_agree_on_who_goes() {
        let (pair, said) = Pair::new();
        let [one, other] = &pair.0;
        report(one, 1, "81100001", Event::Start, 7);
        report(other, 2, "81100002", Event::Start, 7);
        deliver(&pair, &said, 8);
        let gone = |sessions: &Sessions, most| -> Vec<Option<Mac>> {
            let surplus = sessions.surplus(b"jane", most, at(8)).into_iter();
            surplus.map(|online| online.session.mac).collect()
        };
        assert_eq!(gone(one, 1), [], "it came first, by its cookie");
        assert_eq!(gone(other, 1), [device(2)]);
        assert_eq!((gone(one, 2), gone(other, 2)), (vec![], vec![]));

        // Two devices that one agent let in are let be: the limit is kept at the door.
        report(one, 1, "81100001", Event::Stop(1), 10);
        report(other, 2, "81100002", Event::Stop(1), 10);
        deliver(&pair, &said, 10);
        for (number, id) in [(3, "81100003"), (4, "81100004")] {
            let_in(one, number, 11);
            report(one, number, id, Event::Start, 11);
        }
        assert_eq!(gone(one, 1), []);

        // The other one let in one of two of which this one hears.
        report(one, 4, "81100004", Event::Stop(1), 12);
        report(one, 5, "81100005", Event::Start, 12);
        let brought_to_what_is_wanted = Grant {
            cookie: [0; 16],
            rate: None,
            end: None,
            garden: false,
        };
        let theirs = one.open(|session| session.mac == device(5));
        one.regrant(&theirs[0].session.key, brought_to_what_is_wanted);
        assert_eq!(gone(one, 1), [device(5)]);
    }
}
