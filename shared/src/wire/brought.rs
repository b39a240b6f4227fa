//! A router that its site's agent brought up by itself, while nobody could ask the cloud.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::down::RouterV1;
use crate::time::Timestamp;

/// A router of which the cloud does not know yet, or not by what it is entered. The agent made its id, so that telling of it
/// twice makes one router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroughtUpV1 {
    /// When it served.
    pub at: Timestamp,
    /// As the feed would tell of it: its secrets are sealed under the site's key.
    pub router: RouterV1,
    /// As it says; `None` where the board has none.
    pub serial: Option<String>,
    /// The release of RouterOS, as it says.
    pub version: String,
    /// What it serves.
    pub serves: ServesV1,
    /// By which passwords of its login the agent knew it before the one in `router`, sealed as that one is. What the cloud
    /// has and is not among them was given after all that is told here.
    #[serde(skip)]
    pub before: Vec<Vec<u8>>,
}

/// What a router was configured to serve, with everything else as it is where nobody says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServesV1 {
    /// Where subscribers dial; `None` where none do.
    pub pppoe: Option<Vec<String>>,
    /// Where guests come in; `None` where none do.
    pub hotspot: Option<Vec<String>>,
    /// Interfaces among them that are bridges at the router.
    pub bridges: Vec<String>,
    /// The interface to the internet.
    pub wan: String,
    /// Which agents it asks.
    pub agents: Vec<Ipv4Addr>,
    /// Whether API, SNMP and CoA are closed to all others.
    pub firewall: bool,
}
