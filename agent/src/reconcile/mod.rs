//! Session truth: what accounting told us against what the routers themselves list.
//!
//! A session that accounting left in doubt is asked about; the router's answer lets it go on or closes it
//! at the moment it was last heard of. Silence alone ends nothing, and neither does one list: it may be cut short, so
//! that only who two whole lists in a row do not name is over. Who is online at a router and is no
//! session of ours is shown.

mod driver;
mod rules;

pub use driver::{Outcome, Parts, Reconciler};
pub use rules::Reach;
