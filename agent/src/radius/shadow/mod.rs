//! Moving in: an old RADIUS server goes on behind this one until nobody needs it any more.
//!
//! The router is pointed at this agent once. From then on one setting per router says who answers:
//!
//! | mode | a user we know | a user we do not know | compared in silence |
//! |---|---|---|---|
//! | `OWN` | we | we (no) | – |
//! | `SHADOW` | we, without waiting for anybody | the old server, through us | known users |
//! | `FORWARD` | the old server, through us | the old server, through us | known users |
//!
//! **Why three.** `SHADOW` is what the move is made of: each customer who is entered moves in, the others
//! are served as before. It is not enough alone. Who enters two thousand customers at once wants to see what
//! we *would* say before it counts for anybody, and who finds a wrong package in the evening wants everything
//! as it was, now, without a walk to the router; both are `FORWARD`. A fourth mode has no use: what old and
//! new could share otherwise (the old server first, we when it is silent) would make every login of a known
//! user wait for a server that is about to be switched off. Every step can be taken back at any time; a mode
//! counts from the next request on, and sessions that run are left as they are.
//!
//! **Known** is a subscriber of this site by name, a device that may log in by its address, a voucher that
//! is held or was used here, and whatever is typed with `V-` before it, as our own pages do. A code without
//! it that is held elsewhere may as well be an old user's name, and goes to the old server. In EAP the outer
//! name counts, and the old server's conversations go on with the old server.
//!
//! **Silence.** What the old server does not answer is not answered: a Reject would tell the customer that
//! his password is wrong, a router that hears nothing asks its next server, which may be the old one itself.
//! Known users in `SHADOW` are answered by the thread that read their request; what the old server would say
//! is asked by another. At most [`proxy::MOST`] requests wait for each of its ports; what comes on top is dropped and
//! counted, and comparisons take at most half of the room.
//!
//! **Accounting.** Every record becomes ours first. For a user whom the old server let in the router hears an
//! answer when the old server acknowledged it too, so that neither can lose it. For a known user in `SHADOW`
//! ours is the truth: the old server gets a copy, where wanted, so that its own sessions end and the way back
//! stays open. In `FORWARD` nothing is enforced: no timer, no CoA, no Disconnect but a person's own.
//!
//! **Not passed on**: CoA and Disconnect of the old server. They would have to be believed from a server that
//! no longer decides, and hit sessions that are ours; who must go offline is cut from here.
//!
//! **Trust.** The old server is asked only inside `[site] ranges`. Its answer counts when it comes from its
//! address, to the request's own socket and identifier, under an authenticator made with its secret, and
//! signed once it has signed before. Nothing else it sends changes anything but a count.
//!
//! The way of a request: [`translate`] (attributes, secrets), [`proxy`] (identifiers, copies, silence),
//! `driver` (sockets), [`compare`] and [`tally`] (what the operator reads).

mod account;
pub mod compare;
pub mod driver;
mod login;
pub mod proxy;
pub mod tally;
pub mod translate;

pub use driver::{Driver, OldServers};
pub use tally::Tallies;
pub use translate::OldAnswer;
