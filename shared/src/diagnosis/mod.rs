//! Why is this customer offline? One cause, the evidence for it, one thing to do.
//!
//! It lies here because both sides ask it: the cloud with what a site tells and what it stores itself, and
//! the box, for the technician beside it, while the cloud is gone. They must not tell two stories.
//!
//! What comes first is what an experienced person would name. What keeps everybody out goes before what
//! keeps him out, because nothing done about him would help: the site's agent, the router, its secret, a
//! user on the router that hides him. Then what an operator did (suspended, disabled). Then what the site
//! told him the last time he asked: who is out of time *and* shows a wrong password hears of the password,
//! because that is what he fails at; who fails at nothing any more hears that it is mended. Then what the
//! site would tell him. Only then his own equipment, which asks under another name, or not at all.

mod answers;
mod case;
mod cause;
mod equipment;
mod evidence;
mod merge;
mod surroundings;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::id::RouterId;
use crate::time::Timestamp;
use crate::wire::diagnosis::DiagnosisV1;

pub use cause::Cause;
pub use merge::{Agents, merge};

use case::Case;

/// Everything that is known.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When it is asked.
    pub now: Timestamp,
    /// His site's name.
    pub site: String,
    /// Whether the site can be asked.
    pub agent: Agent,
    /// What the site told, with what the cloud stored; or the latter alone.
    pub told: DiagnosisV1,
    /// Routers of other sites in what is told, by name.
    pub elsewhere: Vec<(RouterId, String)>,
    /// For a voucher that nobody used: how it stands. There is no customer then.
    pub voucher: Option<Voucher>,
}

/// Whether a site's agent is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// It is.
    Connected,
    /// It was last heard of then; never, where that is `None`.
    Away {
        /// When.
        since: Option<Timestamp>,
    },
}

/// A voucher that nobody used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// Whether it is still good.
    pub state: VoucherState,
    /// The site that holds it; `None` = the cloud.
    pub holder: Option<String>,
}

/// Whether an unused voucher is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoucherState {
    /// It is.
    Available,
    /// It was not used by then.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// It was taken back.
    Revoked,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The one cause.
    pub cause: Cause,
    /// Whether a session of his is open and was heard of lately, be it only in the walled garden or outside the
    /// system.
    pub online: bool,
    /// The cause in a sentence, with its names.
    pub sentence: String,
    /// What shows it: what decides first, then what else is known of him, the latest first.
    pub evidence: Vec<Evidence>,
    /// The one thing to do.
    pub action: String,
}

/// Something that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Since when, or when.
    pub at: Option<Timestamp>,
    /// What, in a sentence.
    pub text: String,
}

/// A session unheard for three intervals of 300 s and a tenth is unconfirmed (B10): it is not ended, but it keeps nobody
/// out, and nobody says that he is online.
pub const UNCONFIRMED_AFTER: Duration = Duration::from_secs(3 * 330);

/// Names the one cause.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let case = Case::of(facts);
    let named = case
        .agent()
        .or_else(|| case.router_down())
        .or_else(|| case.online())
        .or_else(|| case.other_secret())
        .or_else(|| case.hidden())
        .or_else(|| case.stopped())
        .or_else(|| case.voucher())
        .or_else(|| case.unknown())
        .or_else(|| case.last_answer())
        .or_else(|| case.next_answer())
        .or_else(|| case.other_name())
        .or_else(|| case.no_session());
    let named = named.unwrap_or_else(|| case.silence());
    Diagnosis {
        cause: named.cause,
        online: facts
            .told
            .sessions
            .iter()
            .any(|session| case.is_heard(session)),
        evidence: evidence::of(&case, &named),
        sentence: named.sentence,
        action: named.action,
    }
}
