//! A person's way through an agent to a device at its site, for a limited time: one TCP connection a pipe.
//!
//! The cloud asks for a way ([`super::question::Question::Access`]); the agent decides, and tells where it leads. Then
//! each connection is a pipe: [`super::Message::Through`], an answer, and octets both ways. Who hears octets says which
//! of them he passed on, and no more than [`WINDOW`] are ever on the way: a device that does not read holds up its own
//! connection and nothing else.

use serde::{Deserialize, Serialize};

use crate::id::{AccessGrantId, CustomerId, RouterId};
use crate::time::Timestamp;

/// What somebody wants to reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessV1 {
    /// Names the way from here on.
    pub grant: AccessGrantId,
    /// At what.
    pub target: AccessTargetV1,
    /// TCP port.
    pub port: u16,
    /// Until when; never longer than [`LONGEST_SECS`] from its arrival.
    pub until: Timestamp,
    /// Also over a line that is paid by the octet.
    pub force: bool,
    /// Who, for people at the box.
    pub who: String,
    /// Why, in his words.
    pub why: String,
}

/// What can be reached. New targets go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessTargetV1 {
    /// A router of the site.
    Router(RouterId),
    /// The device at the other end of a customer's session, as long as that is open.
    Customer(CustomerId),
}

/// A connection by a way that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThroughV1 {
    /// To where the way leads.
    V1 {
        /// Which way.
        grant: AccessGrantId,
    },
}

/// The longest that a way stays open.
pub const LONGEST_SECS: u64 = 2 * 3600;
/// Octets that are on their way in one direction of a connection at most.
pub const WINDOW: u32 = 64 * 1024;
/// Octets of one message.
pub const CHUNK: usize = 16 * 1024;
/// Connections of one way at once: a browser's six, and two more.
pub const CONNECTIONS: usize = 8;
/// Connections by one agent at once: its pipes are not for this alone.
pub const CONNECTIONS_OF_AGENT: usize = 12;
/// Octets a second that one way carries in each direction: a page is there in a moment, and a line is not filled.
pub const OCTETS_PER_SECOND: u64 = 512 * 1024;
