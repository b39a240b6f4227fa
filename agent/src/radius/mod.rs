//! RADIUS, the pure part: bytes and time in, bytes and values out. No socket, no clock, no SQL.
//!
//! The way of a datagram: [`Packet::parse`] (shape), [`VerifiedAccess::check`] or
//! [`VerifiedAccounting::check`] (who), [`ReplyCache::begin`] (again?), [`AccessRequest::read`]
//! (what), [`KnownPassword::check`] (may he), [`Accept`] or [`Reject`] (answer, signed), and
//! [`ReplyCache::finish`]. A datagram that fails before the cache is dropped in silence and counted
//! by the error's `label`. Our own requests to a router are a [`coa::Exchange`]; [`client`] speaks
//! as a router does, for the self-login of `doctor` and for tests.
//!
//! ```
//! use easyisp_agent::radius::*;
//!
//! fn answer(datagram: &[u8], secret: &Secret, known: &KnownPassword) -> Option<Vec<u8>> {
//!     let packet = Packet::parse(datagram).ok()?;
//!     let policy = SigningPolicy::Learn { signs: false };
//!     let verified = VerifiedAccess::check(packet, secret, policy).ok()?;
//!     let request = AccessRequest::read(&verified);
//!     match known.check(&request, secret) {
//!         Ok(_) => Accept {
//!             service: request.service,
//!             rate_limit: Some("2M/10M"),
//!             ..Accept::default()
//!         }
//!         .encode(&verified, secret, Vec::new()),
//!         Err(_) => Reject::default().encode(&verified, secret, Vec::new()),
//!     }
//!     .ok()
//! }
//! ```

pub mod accounting;
mod batch;
mod account;
mod bind;
pub mod builder;
pub mod chap;
pub mod client;
pub mod coa;
pub mod dictionary;
pub mod driver;
pub mod eap;
pub mod failures;
pub mod guessing;
mod first_use;
mod held;
mod hotspot;
mod heard;
mod later;
pub mod lease;
mod login;
pub mod login_log;
pub mod mppe;
pub mod networks;
pub mod mschap;
mod owed;
pub(crate) mod own;
pub mod packet;
pub mod pap;
pub mod password;
mod pool;
mod prefixes;
pub mod radsec;
pub mod reply;
pub mod reply_cache;
pub mod request;
mod router_login;
pub mod secret;
pub mod server;
pub mod shadow;
mod spoken;
pub mod verify;
mod wrong;

pub use accounting::{AccountingRequest, AccountingStatus};
pub use dictionary::Code;
pub use first_use::{Agree, AskCloud, CLOUD_PATIENCE, Dated, dated, first_use};
pub use heard::Heard;
pub use packet::{Malformed, Packet};
pub use password::{Authenticated, KnownPassword, PasswordError};
pub use reply::{Accept, Challenge, Port, Reject, accounting_response, status_response};
pub use reply_cache::{Begin, ReplyCache, Slot};
pub use request::{AccessRequest, Credential, Service};
pub use secret::Secret;
pub use verify::{
    Proof, Refused, SigningPolicy, VerifiedAccess, VerifiedAccounting, VerifiedStatus,
};

#[cfg(test)]
mod tests;
