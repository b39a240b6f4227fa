//! What a router runs, what it would take, and the steps from one to the other.

use serde::{Deserialize, Serialize};

/// What is wanted of a router's software. New wishes go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FirmwareAskV1 {
    /// What does it run?
    Look,
    /// What would it take? It asks MikroTik.
    Check {
        /// `stable`, `long-term`, `testing`, `development`, `upgrade`; `None` = the one it is set to.
        channel: Option<String>,
    },
    /// Fetch that, and do not install it yet.
    Download,
    /// Start anew with what was fetched.
    Install {
        /// Also where that is an older release.
        downgrade: bool,
    },
    /// Write the board's own firmware, which counts from its next start on.
    Board,
}

/// What a router runs and what it would take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareV1 {
    /// `7.18.2`.
    pub installed: String,
    /// What its channel has; empty while nobody asked.
    pub latest: String,
    /// `stable`.
    pub channel: String,
    /// In its own words: `New version is available`.
    pub status: String,
    /// Firmware of the board that it runs, and that it would take; `None` for one that is no RouterBOARD.
    pub board: Option<(String, String)>,
    /// Since its start, seconds.
    pub uptime_secs: u64,
}

impl FirmwareV1 {
    /// Whether what it would take lies on its disk.
    pub fn is_downloaded(&self) -> bool {
        self.status.starts_with("Downloaded")
    }
}
