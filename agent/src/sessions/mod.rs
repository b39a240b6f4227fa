//! Who is online: what the routers report, merged so that every order of arrival gives the same end.

mod session;

pub use session::{Cause, Closed, Service, Session, SessionKey};
