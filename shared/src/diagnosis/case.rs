//! One customer's case: the facts, and what of them every question looks at.

use std::time::Duration;

use super::cause::Cause;
use super::{Evidence, Facts, UNCONFIRMED_AFTER, evidence};
use crate::id::RouterId;
use crate::time::Timestamp;
use crate::wire::diagnosis::{DiagnosisV1, HappenedV1, HappeningV1, OpenV1, RouterFactV1};
use crate::wire::up::LoginOutcome;

/// The facts, and what of them is looked at again and again.
pub(super) struct Case<'a> {
    pub(super) facts: &'a Facts,
    pub(super) told: &'a DiagnosisV1,
    /// His newest attempt to log in, and what came of it.
    pub(super) last: Option<(&'a HappenedV1, LoginOutcome)>,
}

/// A cause with its words and what decided on it.
pub(super) struct Named {
    pub(super) cause: Cause,
    pub(super) sentence: String,
    pub(super) action: String,
    pub(super) proof: Vec<Evidence>,
}

impl<'a> Case<'a> {
    pub(super) fn of(facts: &'a Facts) -> Case<'a> {
        let attempts = facts.told.happened.iter().filter_map(|one| match one.what {
            HappeningV1::Login(outcome) => (!outcome.is_at_the_router()).then_some((one, outcome)),
            HappeningV1::Began
            | HappeningV1::Ended(_)
            | HappeningV1::Lost
            | HappeningV1::Noted(_) => None,
        });
        Case {
            facts,
            told: &facts.told,
            last: attempts.max_by_key(|(one, _)| one.last),
        }
    }

    pub(super) fn seen(&self, one: &HappenedV1) -> Evidence {
        Evidence::at(one.last, evidence::happening(one, &self.name(one.router)))
    }

    pub(super) fn name(&self, router: RouterId) -> String {
        let elsewhere = self.facts.elsewhere.iter().find(|(id, _)| *id == router);
        match (self.fact(router), elsewhere) {
            (Some(fact), _) => fact.name.clone(),
            (None, Some((_, name))) => name.clone(),
            (None, None) => "an unknown router".to_owned(),
        }
    }

    pub(super) fn newest(&self, which: impl Fn(&HappeningV1) -> bool) -> Option<&'a HappenedV1> {
        let happened = self.told.happened.iter().filter(|one| which(&one.what));
        happened.max_by_key(|one| one.last)
    }

    pub(super) fn fact(&self, router: RouterId) -> Option<&'a RouterFactV1> {
        self.told.routers.iter().find(|fact| fact.router == router)
    }

    /// Where he is, was today, must be, or ever was; every router of the site where nobody knows.
    pub(super) fn his_routers(&self) -> Vec<&'a RouterFactV1> {
        let online = self
            .told
            .sessions
            .iter()
            .map(|session| session.router)
            .collect::<Vec<_>>();
        let newest = self.newest(|what| !matches!(what, HappeningV1::Noted(_)));
        let lately = newest.filter(|newest| self.is_within(newest.last, DAY));
        let lately = lately.map(|newest| newest.router);
        let only = lately
            .or(self.told.bound)
            .or(newest.map(|newest| newest.router));
        let wanted = |fact: &&RouterFactV1| match (online.is_empty(), only) {
            (false, _) => online.contains(&fact.router),
            (true, Some(only)) => only == fact.router,
            (true, None) => true,
        };
        let his: Vec<_> = self.told.routers.iter().filter(wanted).collect();
        match his.is_empty() {
            true => self.told.routers.iter().collect(),
            false => his,
        }
    }

    /// Whether a session was heard of lately enough to be believed.
    pub(super) fn is_heard(&self, session: &OpenV1) -> bool {
        self.is_within(session.seen, UNCONFIRMED_AFTER)
    }

    pub(super) fn is_within(&self, at: Timestamp, span: Duration) -> bool {
        self.facts.now.since(at) <= span
    }
}

/// When anything came from its address.
pub(super) fn sign_of_life(router: &RouterFactV1) -> Option<Timestamp> {
    router.heard.max(router.mismatched)
}

pub(super) const MOMENT: Duration = Duration::from_secs(60);
/// A place is kept that long for who was let in.
pub(super) const SETTLES: Duration = Duration::from_secs(90);
/// Three interim updates.
pub(super) const LATELY: Duration = Duration::from_secs(900);
/// Equipment that is on asks again within minutes; who typed a code and gave up is of yesterday.
pub(super) const DAY: Duration = Duration::from_secs(86_400);
