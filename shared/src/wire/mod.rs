//! What cloud and agent say to each other: messages, versions and the frame codec. No sockets.
//!
//! Four layers, outermost first. A *frame* is a length and one [`Message`]. A message is a tag and a
//! body. A *batch* ([`FeedBatch`], [`UpBatch`]) is a header and a list of records that carry their own
//! kind and length, so an unknown or broken record is skipped or quarantined and never stops the rest.
//! Only a record's *body* is postcard, and every body is an enum with one variant per released shape:
//! a released struct never changes, a new shape is a new variant at the end. The golden bytes in
//! `tests/vectors/wire` freeze at the first tag.

pub mod access;
pub mod brought;
mod bytes;
pub mod condition;
pub mod configuration;
pub mod diagnosis;
pub mod digest;
pub mod down;
pub mod drift;
pub mod firmware;
pub mod enroll;
pub mod frame;
pub mod hello;
pub mod line;
pub mod logs;
pub mod monitor;
mod outcome;
pub mod peer;
pub mod question;
pub mod record;
pub mod router;
pub mod setup;
pub mod token;
pub mod up;

#[cfg(test)]
mod golden;

pub use down::{Down, DownKind};
pub use frame::{FRAME_CAP, FRAME_HEADER, Message, WireError};
pub use record::{DownRecord, FeedBatch, FeedMode, Lane, UpBatch, UpRecord};
pub use token::JoinToken;
pub use up::{Up, UpKind};

/// ALPN of the link between an enrolled agent and the cloud.
pub const ALPN_LINK: &[u8] = b"easyisp/1";

/// ALPN of enrolment: same port, no client certificate.
pub const ALPN_ENROLL: &[u8] = b"easyisp-enroll/1";

/// ALPN between two agents of one site.
pub const ALPN_PEER: &[u8] = b"easyisp-peer/1";

/// The name every cloud's server certificate carries and every agent asks for.
///
/// The private CA is what tells clouds apart, so an address change needs no new certificate.
pub const CLOUD_NAME: &str = "cloud.easyisp.internal";

/// The newest protocol version this build speaks.
pub const PROTOCOL: u16 = 1;

/// The oldest protocol version this build still speaks: two releases back, once there are any.
pub const PROTOCOL_OLDEST: u16 = 1;
