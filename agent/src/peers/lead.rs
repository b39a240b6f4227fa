//! Which of a site's agents keeps its lines: of those that reach each other the one that knows most of what the cloud has
//! to say, and of those that know the same the first one, once the others have said how far they counted. Two for a moment
//! do no harm: they count the same. Nor do two that never reach each other, as long as they know the same: by the names of
//! their sessions the cloud sees what both of them counted. Whom the cloud takes for nobody of the site keeps none.
//!
//! Whoever starts knows how far it had counted itself, and not what another one counted while it was off. It keeps the
//! lines after ten seconds, whoever is missing; counting waits until the others have said how far they are, and begins
//! anew where they do not say so within two minutes.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::id::AgentId;
use easyisp_shared::wire::peer::{KnowsV1, PeerAnswer, PeerQuestion};

use super::{Manners, Other, Peers, Touch};
use crate::enforce::ABREAST;
use crate::lines::Lead;

impl Peers {
    /// Whether this agent keeps the site's lines.
    pub fn lead(&self) -> Lead {
        if self.parts.site.policy().row.is_none() {
            return Lead::Early; // nobody has said yet who else is here
        }
        if self.parts.site.is_shut_out() {
            return Lead::No; // another box may be in its place
        }
        let (told, me) = (self.told(), self.parts.identity.agent);
        let mine = self.knows();
        let now = self.parts.clock.monotonic();
        let others = self.others();
        let mut heard = told.is_empty();
        let mut early = false;
        for agent in told {
            let Some(other) = others.get(&agent) else {
                return Lead::No; // it is about to be dialled
            };
            let counted = other.counted.load(Ordering::Relaxed);
            let sought = now.saturating_sub(other.met);
            let is_awaited = !counted && sought < AWAITED;
            let goes_first = goes_first((agent, other.known()), (me, mine));
            let is_first = goes_first && other.touch() == Touch::Reached;
            if is_awaited || is_first {
                return Lead::No;
            }
            heard |= counted;
            early |= sought < BOOTS;
        }
        match (heard, early) {
            (true, _) => Lead::Yes,
            (false, true) => Lead::Early,
            (false, false) => Lead::Unheard,
        }
    }

    /// How much this agent knows of what the cloud has to say: nothing where it says that this one is nobody's.
    pub(super) fn knows(&self) -> KnowsV1 {
        let (site, now) = (&self.parts.site, self.parts.clock.now());
        if site.is_shut_out() {
            return NOTHING;
        }
        KnowsV1 {
            all: site.was_abreast_after(now.minus(ABREAST), now),
            version: site.version(),
        }
    }

    /// Asks another one how much it knows.
    pub(super) async fn hear_knowledge(&self, other: &Other) {
        let now = self.parts.clock.monotonic().as_secs();
        if !other.on_knows.may_be_asked(now) {
            return;
        }
        let answer = self.ask(other.agent, &PeerQuestion::Knows).await;
        other.on_knows.took(answer.is_some(), now);
        if let Some(PeerAnswer::Knows(knows)) = answer {
            *other.lock_knows() = Some(knows);
        }
    }

    /// Asks one that was not reached for a while how far it counted meanwhile, and says the same.
    pub(super) async fn hear_counts(&self, other: &Other) {
        let now = self.parts.clock.monotonic().as_secs();
        if !other.on_counts.may_be_asked(now) {
            return;
        }
        let mut after = None;
        loop {
            let question = PeerQuestion::HowFar(after);
            let Some(PeerAnswer::Counted(some)) = self.ask(other.agent, &question).await else {
                other.on_counts.took(false, now);
                return;
            };
            let Some(last) = some.last() else { break };
            after = Some(last.customer);
            self.parts.lines.take(some);
        }
        other.on_counts.took(true, now);
        other.counted.store(true, Ordering::Relaxed);
        self.parts.lines.is_told();
        // What ended here after the other one had asked.
        let mut after = None;
        loop {
            let some = self.parts.lines.counted_after(after);
            let Some(last) = some.last() else { return };
            after = Some(last.customer);
            let counted = PeerQuestion::Counted(some);
            if self.ask(other.agent, &counted).await.is_none() {
                return;
            }
        }
    }
}

impl Other {
    /// How much it knew when it was asked last; as little as can be where it does not say.
    fn known(&self) -> KnowsV1 {
        self.lock_knows().unwrap_or(NOTHING)
    }

    fn lock_knows(&self) -> MutexGuard<'_, Option<KnowsV1>> {
        self.knows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Manners {
    fn may_be_asked(&self, now: u64) -> bool {
        now >= self.not_asked_until.load(Ordering::Relaxed)
    }

    /// It answered a ping just before: who hangs up again and again does not know the question.
    fn took(&self, answered: bool, now: u64) {
        if answered {
            self.hung_up.store(0, Ordering::Relaxed);
        } else if self.hung_up.fetch_add(1, Ordering::Relaxed) + 1 >= HANGS_UP {
            let until = now + NOT_ASKED.as_secs();
            self.not_asked_until.store(until, Ordering::Relaxed);
        }
    }
}

/// Whether the first of two keeps the lines: who follows the cloud before who does not; where neither does, who heard
/// more of it before; else the lower id.
fn goes_first(one: (AgentId, KnowsV1), other: (AgentId, KnowsV1)) -> bool {
    let rank = |(agent, knows): (AgentId, KnowsV1)| {
        let version = match knows.all {
            true => u64::MAX, // a moment apart they know the same
            false => knows.version,
        };
        (Reverse(knows.all), Reverse(version), agent)
    };
    rank(one) < rank(other)
}

/// It leads nobody who knows anything.
const NOTHING: KnowsV1 = KnowsV1 {
    all: false,
    version: 0,
};
/// So often in a row is no accident of the network.
const HANGS_UP: u32 = 3;
/// After so long it may be of this release.
const NOT_ASKED: Duration = Duration::from_secs(600);
/// Two boxes that are there reach each other at once.
const AWAITED: Duration = Duration::from_secs(10);
/// Two boxes that get their power back together reach each other by then, the slower one with its card checked.
const BOOTS: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_follows_the_cloud_goes_first_then_who_heard_more_then_the_lower_id() {
        let agent = |n: u128| AgentId::from(uuid::Uuid::from_u128(n));
        let knows = |all, version| KnowsV1 { all, version };
        let first = |one: KnowsV1, other: KnowsV1| {
            let goes = goes_first((agent(1), one), (agent(2), other));
            assert_ne!(
                goes,
                goes_first((agent(2), other), (agent(1), one)),
                "one of two"
            );
            goes
        };
        assert!(first(knows(true, 7), knows(true, 9)));
        assert!(first(knows(false, 7), knows(false, 7)));
        assert!(!first(knows(false, 9), knows(true, 7)));
        assert!(first(knows(true, 7), knows(false, 9)));
        assert!(!first(knows(false, 7), knows(false, 9)));
    }
}
