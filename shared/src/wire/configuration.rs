//! How a router is configured, as its site's agent read it.

use serde::{Deserialize, Serialize};

use crate::id::RouterId;
use crate::time::Timestamp;

/// How a router is configured at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationV1 {
    /// Which router.
    pub router: RouterId,
    /// When it was read.
    pub at: Timestamp,
    /// Why.
    pub why: ConfigurationWhy,
    /// Another one where anything differs, a secret too; keyed, so that it says nothing of a secret.
    pub digest: [u8; 32],
    /// As [`crate::setup::text`] writes it, without a secret, at most [`CONFIGURATION_CAP`] octets in
    /// [`CONFIGURATION_LINES`] lines.
    pub text: String,
    /// Lines that had no room.
    pub left_out: u32,
}

/// Why a configuration was read. New reasons go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConfigurationWhy {
    /// Its turn had come, and it was otherwise.
    Looked,
    /// The agent had changed something itself since the last time.
    Ours,
    /// Somebody asked for it.
    Asked,
}

/// With what is around it a batch, and an answer, still hold it.
pub const CONFIGURATION_CAP: usize = 96 * 1024;
/// Two of so many lines are compared in a moment, however different they are.
pub const CONFIGURATION_LINES: usize = 3000;
