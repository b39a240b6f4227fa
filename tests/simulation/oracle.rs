//! What must be true, kept apart from the product: whom the box may admit by what it has been told, and
//! which octets it has promised to keep.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use easyisp_shared::time::Timestamp;

use crate::clock::Doubt;
use crate::router::{Answer, Dialled, Report, Told};

/// Everything the oracle remembers.
#[derive(Default)]
pub struct Oracle {
    /// The state of all customers from each site version on.
    states: BTreeMap<u64, BTreeMap<String, Entitled>>,
    sessions: BTreeMap<String, Heard>,
    /// When the box last said yes to a user's device.
    yes: BTreeMap<(String, String), Timestamp>,
    /// How often a user's password was wrong.
    wrong: BTreeMap<String, u32>,
}

/// What the cloud says of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitled {
    /// Neither suspended nor disabled.
    pub active: bool,
    /// The paid end.
    pub until: Timestamp,
    /// Devices at once.
    pub devices: usize,
    /// The package's speed, as a router reads it.
    pub rate: Option<String>,
    /// How far from `until` the end may lie, as a voucher's does whose time began by a wrong clock.
    pub blur: Duration,
}

impl Entitled {
    /// Whether a box may have him online, by what it takes for now.
    pub fn may_be_in(&self, now: Timestamp, doubt: Doubt) -> bool {
        self.active && now < self.over_by(doubt)
    }

    /// Whether it must.
    pub fn must_be_in(&self, now: Timestamp, doubt: Doubt) -> bool {
        self.active && now.plus(doubt.ahead + self.blur) < self.until
    }

    /// When his time is over at the latest.
    pub fn over_by(&self, doubt: Doubt) -> Timestamp {
        self.until.plus(doubt.behind + self.blur)
    }
}

/// What was told about a session.
#[derive(Clone, Debug, Default)]
struct Heard {
    user: String,
    mac: String,
    /// How many sessions had begun before it.
    place: usize,
    /// Octets of reports that the router was told are kept (V6).
    promised: [u64; 2],
    /// Octets of reports that arrived, answered or not.
    arrived: [u64; 2],
    /// A report arrived, kept or not.
    arrived_once: bool,
    /// When the first report of it was kept.
    known: Option<Timestamp>,
    /// When a report of it was kept last, and how far the box's clock had been put on by then.
    last: Option<(Timestamp, Duration)>,
    stop_promised: bool,
    stop_arrived: bool,
    /// That was kept, as a box that starts anew knows.
    stop_kept: bool,
    /// The router has begun anew since.
    lost: bool,
    /// A later session of the same device was heard of: the device is in that one, or in none.
    overtaken: bool,
    /// The router answered an order that it has no such session.
    denied: bool,
}

/// A session as the cloud has it.
#[derive(Clone, Debug)]
pub struct InCloud {
    /// Acct-Session-Id.
    pub id: String,
    /// Octets up and down.
    pub octets: [u64; 2],
    /// Not over.
    pub open: bool,
    /// What else its row says.
    pub told: String,
}

impl Oracle {
    /// The cloud's customers as of a site version.
    pub fn states(&mut self, head: u64, people: BTreeMap<String, Entitled>) {
        self.states.insert(head, people);
    }

    /// The customers as a box knows them that holds this version.
    pub fn as_of(&self, cursor: u64) -> &BTreeMap<String, Entitled> {
        as_of(&self.states, cursor)
    }

    /// The same for a box whose cache was set back to `cursor` from `furthest`: what it gave by what it knew in between
    /// stands in its outbox, and lasts for whom the older copy calls over.
    pub fn given(&self, cursor: u64, furthest: u64) -> BTreeMap<String, Timestamp> {
        let mut given: BTreeMap<String, Timestamp> = BTreeMap::new();
        if cursor < furthest {
            for people in self
                .states
                .range(cursor..=furthest)
                .map(|(_, people)| people)
            {
                for (name, entitled) in people.iter().filter(|(_, entitled)| entitled.active) {
                    let end = given.entry(name.clone()).or_insert(entitled.until);
                    *end = (*end).max(entitled.until);
                }
            }
        }
        given
    }

    /// When the box first heard of a session.
    pub fn known(&self, id: &str) -> Option<Timestamp> {
        self.sessions.get(id)?.known
    }

    /// Judges a login by what the box had been told, of its customers and of the time.
    pub fn judge(
        &mut self,
        login: (&str, &str),
        right_password: bool,
        dialled: &Dialled,
        cursor: u64,
        (now, doubt): (Timestamp, Doubt),
    ) -> Result<()> {
        let (user, mac) = login;
        let Dialled {
            answer,
            decided_yes,
            unanswered,
            for_secs,
        } = dialled;
        ensure!(
            !doubt.lost || for_secs.is_none_or(|secs| secs <= DAY_SECS),
            "F6: {user} may stay for {for_secs:?} s by a box that does not know the time"
        );
        if right_password {
            // Who tried many wrong ones waits for every answer (A9).
            let wrong = self.wrong.get(user).copied().unwrap_or_default();
            ensure!(
                !unanswered || wrong >= FORGIVEN,
                "V13: {user} on {mac} got no answer"
            );
        } else {
            *self.wrong.entry(user.to_owned()).or_default() += 1;
        }
        let entitled = as_of(&self.states, cursor).get(user);
        let right = entitled.filter(|_| right_password);
        let may = right.is_some_and(|entitled| entitled.may_be_in(now, doubt));
        let must = right.is_some_and(|entitled| entitled.must_be_in(now, doubt));
        let devices = entitled.map_or(0, |entitled| entitled.devices.max(1));
        if *decided_yes {
            ensure!(
                may,
                "V9: {user} was admitted; told {entitled:?} at version {cursor}, {now} {doubt:?}"
            );
            let surely = self.others(user, mac, |heard| heard.is_surely_online(now, doubt));
            ensure!(
                surely.len() < devices,
                "V8: {user} was admitted on {mac} beside {surely:?} with {devices} devices"
            );
            self.yes.insert((user.to_owned(), mac.to_owned()), now);
        }
        if *answer == Answer::Rejected && !decided_yes && must {
            let mut maybe = self.others(user, mac, |heard| heard.may_be_online());
            let leased = self.yes.iter().filter(|((of, on), at)| {
                of == user && on != mac && now.since(**at) <= LEASE + doubt.stood
            });
            maybe.extend(leased.map(|((_, on), _)| on.clone()));
            maybe.sort();
            maybe.dedup();
            ensure!(
                maybe.len() >= devices,
                "{user} was refused on {mac} with a free place: {maybe:?} of {devices}, told {entitled:?}"
            );
        }
        Ok(())
    }

    fn others(&self, user: &str, mac: &str, like: impl Fn(&Heard) -> bool) -> Vec<String> {
        let of_user = self.sessions.values().filter(|heard| heard.user == user);
        let mut macs: Vec<String> = of_user
            .filter(|heard| heard.mac != mac && like(heard))
            .map(|heard| heard.mac.clone())
            .collect();
        macs.sort();
        macs.dedup();
        macs
    }

    /// A session began at the router.
    pub fn began(&mut self, id: &str, user: &str, mac: &str) {
        let count = self.sessions.len();
        let heard = self.sessions.entry(id.to_owned()).or_default();
        heard.user = user.to_owned();
        heard.mac = mac.to_owned();
        heard.place = count;
    }

    /// The router lost its power: it knows none of its sessions any more.
    pub fn router_lost_all(&mut self) {
        for heard in self.sessions.values_mut() {
            heard.lost = true;
        }
    }

    /// The router was asked to change or to end a session that it does not have.
    pub fn denied(&mut self, id: &str) {
        if let Some(heard) = self.sessions.get_mut(id) {
            heard.denied = true;
        }
    }

    /// A report was sent once more, to a box that can keep it or cannot.
    pub fn told(&mut self, told: &Told, kept: bool, now: Timestamp, doubt: Doubt) {
        let Report {
            session,
            octets,
            stop,
            ..
        } = &told.report;
        let Some(heard) = session.as_ref().and_then(|id| self.sessions.get_mut(id)) else {
            return;
        };
        let raise = |known: &mut [u64; 2]| {
            known[0] = known[0].max(octets[0]);
            known[1] = known[1].max(octets[1]);
        };
        if told.acknowledged {
            heard.stop_promised |= stop;
            raise(&mut heard.promised);
        }
        if told.arrived {
            heard.arrived_once = true;
            heard.stop_arrived |= stop;
            if kept {
                heard.known.get_or_insert(now);
                heard.last = Some((now, doubt.ran));
                heard.stop_kept |= stop;
            }
            raise(&mut heard.arrived);
            let heard = heard.clone();
            self.overtake(&heard);
        }
    }

    /// A device that dials anew has left its earlier sessions, whether or not their stops arrive (B4).
    fn overtake(&mut self, by: &Heard) {
        for heard in self.sessions.values_mut() {
            let of_device = heard.user == by.user && heard.mac == by.mac;
            heard.overtaken |= of_device && heard.place < by.place;
        }
    }

    /// After the healing: every promised octet is in the cloud, once, and who is online is online there.
    pub fn compare(&self, cloud: &[InCloud], online: &[String]) -> Result<()> {
        for (id, heard) in &self.sessions {
            let rows: Vec<&InCloud> = cloud.iter().filter(|row| row.id == *id).collect();
            if heard.known.is_none() {
                continue;
            }
            ensure!(
                rows.len() == 1,
                "V6: session {id} is in the cloud {} times: {heard:?}",
                rows.len()
            );
            let row = rows[0];
            for direction in 0..2 {
                ensure!(
                    (heard.promised[direction]..=heard.arrived[direction])
                        .contains(&row.octets[direction]),
                    "V6, V7: session {id} has {:?} in the cloud: {heard:?}",
                    row.octets
                );
            }
            ensure!(
                !(heard.stop_promised && row.open),
                "V6: the stop of session {id} was acknowledged and it is open: {heard:?}"
            );
            ensure!(
                row.open == online.contains(id),
                "V8: session {id} is open: {} in the cloud ({}), {} at the router: {heard:?}",
                row.open,
                row.told,
                online.contains(id)
            );
        }
        for row in cloud {
            ensure!(
                self.sessions.contains_key(&row.id),
                "a session nobody had: {row:?}"
            );
        }
        Ok(())
    }
}

impl Heard {
    /// The box cannot believe otherwise: heard of a while ago, not ended, not denied by its router, and neither that nor
    /// its device begun anew.
    fn is_surely_online(&self, now: Timestamp, doubt: Doubt) -> bool {
        let recent = self
            .last
            .is_some_and(|(last, ran)| now.since(last) + doubt.ran.saturating_sub(ran) < SURE_FOR);
        recent && !self.stop_arrived && !self.lost && !self.overtaken && !self.denied
    }

    fn may_be_online(&self) -> bool {
        (self.known.is_some() || self.arrived_once) && !self.stop_kept
    }
}

fn as_of(
    states: &BTreeMap<u64, BTreeMap<String, Entitled>>,
    cursor: u64,
) -> &BTreeMap<String, Entitled> {
    static NOBODY: BTreeMap<String, Entitled> = BTreeMap::new();
    let told = states.range(..=cursor).next_back();
    told.map_or(&NOBODY, |(_, people)| people)
}

/// So long a router leaves anybody online by itself while its box does not know the time (F6).
const DAY_SECS: u32 = 86_400;
/// Wrong passwords that make nobody wait.
const FORGIVEN: u32 = 4;
/// Twice the interim interval.
const SURE_FOR: Duration = Duration::from_secs(600);
/// How long a place is kept for a device that was let in (B9), and a little.
const LEASE: Duration = Duration::from_secs(95);
