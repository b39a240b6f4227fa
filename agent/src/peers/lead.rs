//! Which of a site's agents keeps its lines: of those that reach each other the first one, once the others have said
//! how far they counted. Two for a moment do no harm: they count the same.

use std::sync::atomic::Ordering;
use std::time::Duration;

use easyisp_shared::wire::peer::{PeerAnswer, PeerQuestion};

use super::{Other, Peers, Touch};
use crate::lines::Lead;

impl Peers {
    /// Whether this agent keeps the site's lines.
    pub fn lead(&self) -> Lead {
        let (told, me) = (self.told(), self.parts.identity.agent);
        let now = self.parts.clock.monotonic();
        let others = self.others();
        let mut heard = told.is_empty();
        for agent in told {
            let Some(other) = others.get(&agent) else {
                return Lead::No; // it is about to be dialled
            };
            let counted = other.counted.load(Ordering::Relaxed);
            let is_awaited = !counted && now.saturating_sub(other.met) < AWAITED;
            let is_first = agent < me && other.touch() == Touch::Reached;
            if is_awaited || is_first {
                return Lead::No;
            }
            heard |= counted;
        }
        match heard {
            true => Lead::Yes,
            false => Lead::Unheard,
        }
    }

    /// Asks one that was not reached for a while how far it counted meanwhile, and says the same.
    pub(super) async fn hear_counts(&self, other: &Other) {
        let mut after = None;
        loop {
            let question = PeerQuestion::HowFar(after);
            let Some(PeerAnswer::Counted(some)) = self.ask(other.agent, &question).await else {
                return;
            };
            let Some(last) = some.last() else { break };
            after = Some(last.customer);
            self.parts.lines.take(some);
        }
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

/// Two boxes that are there reach each other at once.
const AWAITED: Duration = Duration::from_secs(10);
