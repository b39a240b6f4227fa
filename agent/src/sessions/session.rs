//! One time online, as the router told it.

use std::net::Ipv4Addr;

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;

use super::slots::Grant;

/// What makes a session one session (B2).
///
/// Acct-Session-Id repeats between routers and, after a router's reset, on one router: the random
/// Class cookie of the Accept tells those apart. It is empty when the router echoes none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The router, known by source address and secret.
    pub router: RouterId,
    /// The router's name for the session.
    pub acct_session_id: Box<[u8]>,
    /// Our own name for it.
    pub class: Box<[u8]>,
}

/// Which of the router's services carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// PPPoE and the tunnels.
    Ppp,
    /// A hotspot login.
    Hotspot,
    /// Nobody logs in: a queue at the router counts.
    Line,
}

/// One time online. Counters are cumulative since the session began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which session.
    pub key: SessionKey,
    /// Whose, when the name is known here.
    pub customer: Option<CustomerId>,
    /// The name as it was sent, any bytes.
    pub username: Box<[u8]>,
    /// PPP or hotspot.
    pub service: Service,
    /// The device.
    pub mac: Option<Mac>,
    /// The address the router gave.
    pub framed_ip: Option<Ipv4Addr>,
    /// What the router gave of IPv6.
    pub prefixes: Prefixes,
    /// NAS-Port-Id: the interface.
    pub port: Box<[u8]>,
    /// When it began: event time less the time the router counted.
    pub started_at: Timestamp,
    /// Time of the latest event heard.
    pub seen_at: Timestamp,
    /// Acct-Session-Time of the latest event.
    pub secs: u32,
    /// Bytes from the subscriber.
    pub bytes_in: u64,
    /// Bytes to the subscriber.
    pub bytes_out: u64,
    /// Bytes of both directions that do not count, being of free hours.
    pub bytes_free: u64,
    /// What its Accept, or a change since, gave; `None` where that is not known: another agent let it in.
    pub grant: Option<Grant>,
    /// When and why it ended; `None` while open.
    pub closed: Option<Closed>,
}

/// The end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The router's Acct-Terminate-Cause (RFC 2866 §5.10).
    Router(u32),
    /// No Stop was heard: the router restarted or the same port began a new session (B4).
    Lost,
}

impl Service {
    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Ppp => "ppp",
            Service::Hotspot => "hotspot",
            Service::Line => "line",
        }
    }

    /// The service stored as `word`.
    pub fn parse(word: &str) -> Option<Service> {
        match word {
            "ppp" => Some(Service::Ppp),
            "hotspot" => Some(Service::Hotspot),
            "line" => Some(Service::Line),
            _ => None, // text from a file, not a variant of ours
        }
    }
}

/// What a customer used in one paid period, over all his sessions (B8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Which period.
    pub period_start: Timestamp,
    /// Bytes, both directions together, without free ones.
    pub bytes: u64,
    /// Seconds online.
    pub secs: u64,
}

impl Session {
    /// Bytes of both directions.
    pub fn bytes(&self) -> u64 {
        self.bytes_in.saturating_add(self.bytes_out)
    }
}
