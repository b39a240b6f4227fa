//! What two agents of one site say to each other directly: a question, its answer, the next question.
//!
//! New questions and answers go at the end; one that a build does not know is [`WireError::Broken`], and
//! ends the connection.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::WireError;
use super::frame::{encode, take};
use crate::id::{CustomerId, PackageId, RouterId, VoucherId};
use crate::net::Mac;
use crate::time::Timestamp;
use crate::voucher::VoucherDigest;

/// What one asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerQuestion {
    /// Are you there?
    Ping,
    /// May this be a voucher's first use? A yes is on stable storage.
    Vote(FirstUseV1),
    /// It did not happen: forget the vote.
    Withdraw(FirstUseV1),
    /// It happened, it is on stable storage here.
    Happened(FirstUseV1),
    /// These sessions are over, as their routers told.
    Ended(Vec<SessionNameV1>),
    /// May I keep the site's vouchers with you from now on?
    Share,
    /// These sessions are going on: their devices hold a place.
    Open(Vec<PlaceV1>),
    /// So far were the lines of these counted.
    Counted(Vec<CountedV1>),
    /// How far were the lines of customers after this one counted, in the order of their ids?
    HowFar(Option<CustomerId>),
    /// How much do you know of what the cloud has to say?
    Knows,
}

/// What the other answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerAnswer {
    /// To [`PeerQuestion::Ping`], to [`PeerQuestion::Share`] as a yes, and to what needs no other answer.
    Here,
    /// Yes. Where this device was voted for before, its time begins as it was written then; by the clock of the one who
    /// answers.
    Yes {
        /// When the voucher's time begins.
        from: Timestamp,
    },
    /// It was used, by this device or by another.
    Used(FirstUseV1),
    /// No: the vote is given to another device or to the cloud, or is not this agent's to give.
    Taken,
    /// Not now: somebody is about to use it here, or the disk takes nothing.
    Busy,
    /// To [`PeerQuestion::HowFar`]: the next ones, none where there are no more.
    Counted(Vec<CountedV1>),
    /// To [`PeerQuestion::Knows`].
    Knows(KnowsV1),
}

/// How much an agent knows of what the cloud has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnowsV1 {
    /// All of it, by a link that is up or was a moment ago.
    pub all: bool,
    /// Up to which version of the feed.
    pub version: u64,
}

/// A voucher's first use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstUseV1 {
    /// The voucher.
    pub voucher: VoucherId,
    /// What its code is known by.
    pub digest: VoucherDigest,
    /// What it gives.
    pub package: PackageId,
    /// Its face value in data.
    pub bytes: Option<u64>,
    /// When its time begins.
    pub from: Timestamp,
    /// When its time ends.
    pub until: Timestamp,
    /// The device it is bound to.
    pub mac: Option<Mac>,
    /// At which router it was shown.
    pub router: RouterId,
}

/// What tells a session from all others of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionNameV1 {
    /// The router.
    pub router: RouterId,
    /// Acct-Session-Id, octet for octet.
    pub session: Vec<u8>,
    /// The cookie echoed in Class; empty where the router echoes none.
    pub class: Vec<u8>,
}

/// A session that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceV1 {
    /// Which.
    pub name: SessionNameV1,
    /// User-Name, octet for octet.
    pub username: Vec<u8>,
    /// The device; all without an address count as one.
    pub mac: Option<Mac>,
    /// How long ago its router spoke of it.
    pub silent_secs: u32,
}

/// How far the line of a customer who logs in nowhere was counted. What his session has less what the queue had is
/// the same wherever it is counted on: two that count the same say the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedV1 {
    /// Whose.
    pub customer: CustomerId,
    /// How far his queue had counted; none where RADIUS gives him his lease.
    pub queue: Option<LineQueueV1>,
    /// His session: the one that goes on, else the one that ended lately.
    pub session: Option<LineSessionV1>,
}

/// How far a queue had counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineQueueV1 {
    /// Where.
    pub router: RouterId,
    /// The queue's id there.
    pub queue: String,
    /// Bytes from him.
    pub bytes_up: u64,
    /// Bytes to him.
    pub bytes_down: u64,
    /// When it was read; later than whatever was read before.
    pub at: Timestamp,
}

/// A session of somebody who logs in nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineSessionV1 {
    /// Which.
    pub name: SessionNameV1,
    /// His name, octet for octet.
    pub username: Vec<u8>,
    /// His device.
    pub mac: Option<Mac>,
    /// His address.
    pub framed_ip: Option<Ipv4Addr>,
    /// When it was seen last.
    pub seen: Timestamp,
    /// How long it was by then.
    pub session_secs: u32,
    /// Bytes from him by then.
    pub bytes_up: u64,
    /// Bytes to him by then.
    pub bytes_down: u64,
    /// Acct-Terminate-Cause, once it is over.
    pub over: Option<u32>,
}

macro_rules! bodies {
    ($($name:ident)*) => {$(
        impl $name {
            /// The bytes that travel.
            pub fn encode(&self) -> Vec<u8> {
                encode(self)
            }

            /// Reads what travelled. Reads untrusted bytes.
            pub fn decode(body: &[u8]) -> Result<$name, WireError> {
                take(body)
            }
        }
    )*};
}

bodies! { PeerQuestion PeerAnswer }

/// The most octets a question or an answer may take.
pub const PEER_CAP: usize = 64 * 1024;
