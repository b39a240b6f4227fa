//! Who is online: what the routers report, merged so that every order of arrival gives the same end.

mod elsewhere;
mod index;
mod line;
mod metered;
mod register;
mod rules;
mod session;
mod slots;

pub use elsewhere::Hearsay;
pub use line::LineCounter;
pub use metered::Metered;
pub use register::{Asker, Changes, Heard, LOST_REMEMBERED_FOR, Moved, Online, Sessions, Standing};
pub use rules::{Event, Report, Word, event_time};
pub use session::{Cause, Closed, Service, Session, SessionKey, Usage};
pub use slots::{Cookie, Grant, LEASE, UNCONFIRMED_AFTER, cookie, is_cookie};

#[cfg(test)]
mod tests;
