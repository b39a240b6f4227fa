//! Which of a site's agents keeps its lines: of those that reach each other the first one, once the others have said
//! how far they counted. Two for a moment do no harm: they count the same. Nor do two that never reach each other: by
//! the names of their sessions the cloud sees what both of them counted.
//!
//! Whoever starts knows how far it had counted itself, and not what another one counted while it was off. It keeps the
//! lines after ten seconds, whoever is missing; counting waits until the others have said how far they are, and begins
//! anew where they do not say so within two minutes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use easyisp_shared::wire::peer::{PeerAnswer, PeerQuestion};

use super::{Other, Peers, Touch};
use crate::lines::Lead;

impl Peers {
    /// Whether this agent keeps the site's lines.
    pub fn lead(&self) -> Lead {
        if self.parts.site.policy().row.is_none() {
            return Lead::Early; // nobody has said yet who else is here
        }
        let (told, me) = (self.told(), self.parts.identity.agent);
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
            let is_first = agent < me && other.touch() == Touch::Reached;
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

    /// Asks one that was not reached for a while how far it counted meanwhile, and says the same.
    pub(super) async fn hear_counts(&self, other: &Other) {
        let now = self.parts.clock.monotonic().as_secs();
        if now < other.not_asked_until.load(Ordering::Relaxed) {
            return;
        }
        let mut after = None;
        loop {
            let question = PeerQuestion::HowFar(after);
            let Some(PeerAnswer::Counted(some)) = self.ask(other.agent, &question).await else {
                // It answered a ping just before: who does so again and again does not know the question.
                if other.hung_up.fetch_add(1, Ordering::Relaxed) + 1 >= HANGS_UP {
                    let until = now + NOT_ASKED.as_secs();
                    other.not_asked_until.store(until, Ordering::Relaxed);
                }
                return;
            };
            let Some(last) = some.last() else { break };
            after = Some(last.customer);
            self.parts.lines.take(some);
        }
        other.hung_up.store(0, Ordering::Relaxed);
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

/// So often in a row is no accident of the network.
const HANGS_UP: u32 = 3;
/// After so long it may be of this release.
const NOT_ASKED: Duration = Duration::from_secs(600);
/// Two boxes that are there reach each other at once.
const AWAITED: Duration = Duration::from_secs(10);
/// Two boxes that get their power back together reach each other by then, the slower one with its card checked.
const BOOTS: Duration = Duration::from_secs(120);
