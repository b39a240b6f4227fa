//! What happened at each router beside an old server since the cloud was last told. Bounded: what finds no
//! room is counted and comes again with the user's next login.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use easyisp_shared::id::RouterId;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::{
    MovingCountsV1, MovingDifference, MovingDifferenceV1, MovingReportV1, MovingStrangerV1,
};

use super::compare::Said;
use crate::sizes::Size;

/// What happened at all routers of a site.
#[derive(Default)]
pub struct Tallies(Mutex<BTreeMap<RouterId, Tally>>);

/// What happened at one router.
#[derive(Default)]
pub struct Tally {
    counts: MovingCountsV1,
    differences: BTreeMap<(Box<[u8]>, MovingDifference), MovingDifferenceV1>,
    agreed: BTreeSet<Box<[u8]>>,
    strangers: BTreeMap<Box<[u8]>, MovingStrangerV1>,
    differing: Differing,
    problem: Option<String>,
    problem_told: Option<String>,
}

/// Who asked.
#[derive(Debug, Clone)]
pub struct Asker {
    /// User-Name, octet for octet.
    pub username: Box<[u8]>,
    /// Whether it is at a hotspot.
    pub hotspot: bool,
    /// His device.
    pub mac: Option<Mac>,
}

/// The users known to differ, the longest known forgotten first.
#[derive(Default)]
struct Differing {
    names: HashSet<Box<[u8]>>,
    order: VecDeque<Box<[u8]>>,
}

impl Tallies {
    /// Notes something of a router.
    pub fn note(&self, router: RouterId, note: impl FnOnce(&mut Tally)) {
        note(self.lock().entry(router).or_default());
    }

    /// What the cloud is to be told now, in reports that travel.
    pub fn take(&self, at: Timestamp) -> Vec<MovingReportV1> {
        let mut tallies = self.lock();
        let mut reports = Vec::new();
        for (router, tally) in tallies.iter_mut() {
            while let Some(report) = tally.take(*router, at) {
                reports.push(report);
            }
        }
        reports
    }

    pub(in crate::radius) fn sizes(&self) -> [Size; 3] {
        let tallies = self.lock();
        let most = |of: fn(&Tally) -> usize| tallies.values().map(of).max().unwrap_or_default();
        let differences = most(|tally| tally.differences.len());
        let differing = most(|tally| tally.differing.order.len());
        let strangers = most(|tally| tally.strangers.len());
        [
            Size::new(
                "differences at a moving router",
                differences,
                MOST_DIFFERENCES,
            ),
            Size::new("who differs at a moving router", differing, MOST_DIFFERING),
            Size::new("strangers at a moving router", strangers, MOST_STRANGERS),
        ]
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RouterId, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// The counts, to be added to.
    pub fn counts(&mut self) -> &mut MovingCountsV1 {
        &mut self.counts
    }

    /// Both answered a known user.
    pub fn compared(&mut self, username: &[u8], ours: &Said, theirs: &Said, at: Timestamp) {
        self.counts.asked += 1;
        let differences = ours.differences(theirs);
        if differences.is_empty() {
            self.counts.same += 1;
            if self.differing.forget(username) {
                self.differences.retain(|(name, _), _| **name != *username);
                self.agreed.insert(username.into());
            }
            return;
        }
        self.differing.note(username);
        self.agreed.remove(username);
        for one in differences {
            let count = match one.kind {
                MovingDifference::Answer => &mut self.counts.other_answer,
                MovingDifference::Rate => &mut self.counts.other_rate,
                MovingDifference::Address => &mut self.counts.other_address,
                MovingDifference::Timeout => &mut self.counts.other_timeout,
            };
            *count += 1;
            let key = (Box::from(username), one.kind);
            if self.differences.len() >= MOST_DIFFERENCES && !self.differences.contains_key(&key) {
                continue;
            }
            let told = MovingDifferenceV1 {
                username: username.to_vec(),
                kind: one.kind,
                ours: one.ours,
                theirs: one.theirs,
                at,
            };
            self.differences.insert(key, told);
        }
    }

    /// The old server was asked about a known user and said nothing.
    pub fn not_compared(&mut self) {
        self.counts.asked += 1;
        self.counts.not_compared += 1;
    }

    /// The old server answered instead of us; `stranger` where nobody here knows the user.
    pub fn answered(
        &mut self,
        asker: &Asker,
        theirs: Option<&Said>,
        is_stranger: bool,
        at: Timestamp,
    ) {
        let Some(theirs) = theirs else {
            return; // a challenge: the conversation goes on
        };
        if !theirs.accepted {
            self.counts.rejected += 1;
            return;
        }
        self.counts.accepted += 1;
        let room = self.strangers.len() < MOST_STRANGERS;
        if is_stranger && (room || self.strangers.contains_key(&asker.username)) {
            let told = MovingStrangerV1 {
                username: asker.username.to_vec(),
                hotspot: asker.hotspot,
                mac: asker.mac,
                rate: theirs.rate.clone(),
                address: theirs.address.clone(),
                at,
            };
            self.strangers.insert(asker.username.clone(), told);
        }
    }

    /// Why the old server cannot be asked; `None` when it can.
    pub fn set_problem(&mut self, problem: Option<&str>) {
        self.problem = problem.map(str::to_owned);
    }

    /// A report that travels; `None` when there is nothing new.
    fn take(&mut self, router: RouterId, at: Timestamp) -> Option<MovingReportV1> {
        let news = self.counts != MovingCountsV1::default()
            || !self.differences.is_empty()
            || !self.agreed.is_empty()
            || !self.strangers.is_empty()
            || self.problem != self.problem_told;
        if !news {
            return None;
        }
        self.problem_told.clone_from(&self.problem);
        let differences = std::iter::from_fn(|| self.differences.pop_first());
        let differences = differences.take(AT_ONCE).map(|(_, told)| told).collect();
        let agreed = std::iter::from_fn(|| self.agreed.pop_first());
        let agreed = agreed.take(AT_ONCE).map(Vec::from).collect();
        let strangers = std::iter::from_fn(|| self.strangers.pop_first());
        let strangers = strangers.take(AT_ONCE).map(|(_, told)| told).collect();
        Some(MovingReportV1 {
            router,
            at,
            counts: std::mem::take(&mut self.counts),
            differences,
            agreed,
            strangers,
            problem: self.problem.clone(),
        })
    }
}

impl Differing {
    fn note(&mut self, name: &[u8]) {
        if !self.names.insert(name.into()) {
            return;
        }
        self.order.push_back(name.into());
        // Who agreed meanwhile still stands in the order.
        while self.order.len() > MOST_DIFFERING {
            if let Some(oldest) = self.order.pop_front() {
                self.names.remove(&oldest);
            }
        }
    }

    fn forget(&mut self, name: &[u8]) -> bool {
        self.names.remove(name)
    }
}

/// More than a person reads.
const MOST_DIFFERENCES: usize = 400;
/// Names remembered to see that they agree again.
const MOST_DIFFERING: usize = 2000;
/// A router full of users who dial again after a power cut, each with his name, address and speed.
const MOST_STRANGERS: usize = 4096;
/// Of each kind in one report: with the longest names some 100 kB.
const AT_ONCE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_once_and_its_end_too() {
        let (tallies, router) = (Tallies::default(), router());
        let (ours, theirs) = (said("10M/10M"), said("5M/5M"));
        for secs in [1, 2] {
            tallies.note(router, |tally| {
                tally.compared(b"jane", &ours, &theirs, at(secs))
            });
        }
        let [report] = tallies.take(at(9)).try_into().expect("one report");
        assert_eq!((report.counts.asked, report.counts.other_rate), (2, 2));
        assert_eq!(report.differences.len(), 1);
        assert_eq!(report.differences[0].at, at(2));
        assert_eq!(report.differences[0].theirs, "5M/5M");
        assert_eq!(tallies.take(at(10)), []);

        tallies.note(router, |tally| {
            tally.compared(b"jane", &ours, &ours, at(11))
        });
        tallies.note(router, |tally| tally.compared(b"bob", &ours, &ours, at(11)));
        let [report] = tallies.take(at(12)).try_into().expect("one report");
        assert_eq!(report.agreed, [b"jane".to_vec()]);
        assert_eq!((report.counts.asked, report.counts.same), (2, 2));
    }

    #[test]
    fn whom_only_the_old_server_knows_is_told_with_what_he_has() {
        let (tallies, router) = (Tallies::default(), router());
        let answered = |name: &[u8], said: &Said, stranger| {
            let asker = Asker {
                username: name.into(),
                hotspot: false,
                mac: None,
            };
            tallies.note(router, |tally| {
                tally.answered(&asker, Some(said), stranger, at(1))
            });
        };
        answered(b"old", &said("5M/5M"), true);
        answered(b"guess", &Said::default(), true);
        answered(b"known", &said("5M/5M"), false);
        let [report] = tallies.take(at(2)).try_into().expect("one report");
        assert_eq!((report.counts.accepted, report.counts.rejected), (2, 1));
        let names: Vec<&[u8]> = report.strangers.iter().map(|one| &*one.username).collect();
        assert_eq!(names, [b"old"]);
        assert_eq!(report.strangers[0].rate, "5M/5M");
    }

    #[test]
    fn ten_thousand_names_are_bounded_and_travel_in_parts() {
        let (tallies, router) = (Tallies::default(), router());
        for number in 0..10_000 {
            let asker = Asker {
                username: format!("user{number}").into_bytes().into(),
                hotspot: false,
                mac: None,
            };
            tallies.note(router, |tally| {
                tally.answered(&asker, Some(&said("5M/5M")), true, at(1));
                tally.compared(&asker.username, &said("1M/1M"), &said("2M/2M"), at(1));
            });
        }
        let reports = tallies.take(at(2));
        let strangers: usize = reports.iter().map(|one| one.strangers.len()).sum();
        let differences: usize = reports.iter().map(|one| one.differences.len()).sum();
        assert_eq!((strangers, differences), (MOST_STRANGERS, MOST_DIFFERENCES));
        assert!(reports.iter().all(|one| one.strangers.len() <= AT_ONCE));
        let accepted: u64 = reports.iter().map(|one| one.counts.accepted).sum();
        assert_eq!(accepted, 10_000);
    }

    #[test]
    fn a_problem_is_told_when_it_comes_and_when_it_goes() {
        let (tallies, router) = (Tallies::default(), router());
        for _ in 0..3 {
            tallies.note(router, |tally| tally.set_problem(Some("too far")));
        }
        let [report] = tallies.take(at(1)).try_into().expect("one report");
        assert_eq!(report.problem.as_deref(), Some("too far"));
        assert_eq!(tallies.take(at(2)), []);
        tallies.note(router, |tally| tally.set_problem(None));
        let [report] = tallies.take(at(3)).try_into().expect("one report");
        assert_eq!(report.problem, None);
    }

    fn said(rate: &str) -> Said {
        Said {
            accepted: true,
            rate: rate.to_owned(),
            ..Said::default()
        }
    }

    fn router() -> RouterId {
        RouterId(uuid::Uuid::nil())
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }
}
