//! SQL on sessions, usage and the log of logins.

mod apply;
mod lines;
mod log;
mod prefixes;
mod quota;
mod read;
mod search;
mod stale;
mod surplus;

pub use apply::{
    Key, Known, Subscriber, Used, Write, insert, known, lock_site, set_aside, subscribers, update,
    use_hours, use_periods,
};
pub use lines::beside;
pub use log::{LogRow, Login, log, logins, logins_of};
pub use prefixes::change_prefixes;
pub use quota::{counted, told};
pub use read::{
    By, Filter, Live, Presence, Row, agents, by_router, find, find_open, list, live, open_at, sums,
    totals,
};
pub use search::{Found, count_holders, forget, holders};
pub use stale::{close_silent, doubt};
pub use surplus::{confirmed, elsewhere, lock_allowed};
