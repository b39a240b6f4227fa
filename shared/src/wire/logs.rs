//! What routers write to their logs, as an agent heard it.

use serde::{Deserialize, Serialize};

use super::WireError;
use super::frame::{encode, take};
use crate::id::RouterId;
use crate::time::Timestamp;

/// Lines of a site's routers, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsV1 {
    /// [`encode_lines`], deflated (RFC 1951): lines are much alike.
    pub deflated: Vec<u8>,
}

/// The most octets that the lines of one record may have once they are inflated.
pub const LINES_CAP: usize = 256 * 1024;
/// The most octets of one line's words.
pub const LINE_CAP: usize = 1024;
/// The most octets of one line's topics.
pub const TOPICS_CAP: usize = 100;

/// A line, or word of some that are not there. New kinds go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WrittenV1 {
    /// What a router wrote, with what is secret masked.
    Said {
        /// The router.
        router: RouterId,
        /// When the agent heard it: routers send no year and no zone.
        at: Timestamp,
        /// RFC 5424 §6.2.1: 0 = emergency, 7 = debug.
        severity: u8,
        /// RouterOS's topics, separated by commas; empty where it named none.
        topics: String,
        /// The words.
        message: String,
    },
    /// So many lines before this instant are not among the others.
    Missing {
        /// The router.
        router: RouterId,
        /// When this was written.
        at: Timestamp,
        /// Why.
        why: MissingWhy,
        /// How many.
        lines: u64,
    },
}

impl WrittenV1 {
    /// Of which router it is.
    pub fn router(&self) -> RouterId {
        match self {
            WrittenV1::Said { router, .. } | WrittenV1::Missing { router, .. } => *router,
        }
    }

    /// When it was heard or written.
    pub fn at(&self) -> Timestamp {
        match self {
            WrittenV1::Said { at, .. } | WrittenV1::Missing { at, .. } => *at,
        }
    }
}

/// Why lines are missing. New reasons go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MissingWhy {
    /// The router wrote more than is taken of one.
    TooMany,
    /// They waited too long for the cloud, and newer ones took their place.
    NoRoom,
    /// The line to the cloud is paid by the octet: only warnings and errors travel.
    Metered,
}

/// The lines as they are deflated.
pub fn encode_lines(lines: &[WrittenV1]) -> Vec<u8> {
    encode(&lines)
}

/// Reads what was inflated; untrusted octets.
pub fn decode_lines(octets: &[u8]) -> Result<Vec<WrittenV1>, WireError> {
    take(octets)
}
