//! Keeps what is online equal to what may be online: one timer per session; CoA, Disconnect, API.
//!
//! Why somebody may be online is decided elsewhere; here it is only carried out.

mod command;
mod driver;
mod exchange;
mod ladder;
mod rules;
mod rungs;
mod timers;

use easyisp_shared::entitlement::{Answer, Live, Verdict};
use easyisp_shared::time::Timestamp;

pub use driver::{Enforcer, Parts};
pub use rules::{Act, Wanted, Whose, act};
pub use rungs::is_same;
pub use timers::Timers;

use crate::sessions::{Metered, Session, Sessions};
use crate::site::{Site, Subscriber};

/// When to look at a session that was just reported; `None` for one that is nobody's here.
pub fn next_look(
    site: &Site,
    sessions: &Sessions,
    session: &Session,
    now: Timestamp,
) -> Option<Timestamp> {
    let subscriber = site.subscriber(&session.username)?;
    let verdict = verdict(site, sessions, &subscriber, session, now);
    match verdict.answer {
        Answer::Accept => verdict.next_change,
        Answer::WalledGarden | Answer::Reject => Some(now),
    }
}

/// What the subscriber of a running session may have. His other devices do not count: who got in
/// stays in, the limit is kept at the door.
fn verdict(
    site: &Site,
    sessions: &Sessions,
    subscriber: &Subscriber,
    session: &Session,
    now: Timestamp,
) -> Verdict {
    let metered = Metered::of(site, subscriber, now);
    let standing = sessions.standing(&session.username, metered.as_ref(), now);
    let live = Live {
        mac: session.mac,
        router: Some(session.key.router),
        other_devices: 0,
        bytes_used: standing.used.bytes,
        secs_used: standing.used.secs,
    };
    site.verdict(subscriber, &live, now)
}
