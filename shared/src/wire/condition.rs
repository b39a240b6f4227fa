//! What an agent tells of its box and its routers for a person to look at.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::RouterId;
use crate::time::Timestamp;

/// What a person should look at, whole: told when it changes, after every start of the link and once an hour.
/// It travels as a question, so that a box whose disk is full can tell it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionV1 {
    /// When it was looked at.
    pub at: Timestamp,
    /// Whether the agent stands across a WAN from its routers, as one of many sites in one process.
    pub hosted: bool,
    /// How full its disk is for it, percent; `None` where it cannot be told.
    pub disk_used_percent: Option<u8>,
    /// Since when it is full enough to warn of.
    pub disk_since: Option<Timestamp>,
    /// Files that were found damaged at the start and moved aside.
    pub moved_aside: Vec<String>,
    /// When that was.
    pub started: Timestamp,
    /// Since when its clock is not vouched for; `None` while it is.
    pub clock_untrusted_since: Option<Timestamp>,
    /// Since when accounting goes unanswered because nothing can be written.
    pub refusing_since: Option<Timestamp>,
    /// Routers about which something is to be said, at most 256.
    pub routers: Vec<RouterConditionV1>,
    /// How the site's way to the internet is; `None` where that is not measured, and while it is not known.
    pub upstream: Option<UpstreamV1>,
}

/// Whether any of the hosts answers by which a site's way to the internet is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamV1 {
    /// Whether one does.
    pub reached: bool,
    /// Since when that is so.
    pub since: Timestamp,
}

/// What of a router a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterConditionV1 {
    /// The router.
    pub router: RouterId,
    /// Since when its requests show another secret, and it has not proved the right one since.
    pub mismatched_since: Option<Timestamp>,
    /// Since when it is seen to send no Message-Authenticator, and none was ever seen.
    pub unsigned_since: Option<Timestamp>,
    /// Since when requests are dropped that carry none although they must.
    pub refused_since: Option<Timestamp>,
    /// Since when it has told of so many sessions that accounting of new ones goes unanswered.
    pub full_since: Option<Timestamp>,
    /// Where it speaks from since when, where that is not where its record says.
    pub moved: Option<(IpAddr, Timestamp)>,
    /// The RadSec certificate that it showed last since the agent started.
    pub certificate: Option<CertificateV1>,
}

/// A router's certificate for RadSec, by what names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateV1 {
    /// Its serial number.
    pub serial: Vec<u8>,
    /// From when on it is good: later for one that was made later.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}
