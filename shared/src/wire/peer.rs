//! What the agents of one site say to each other directly, each in a sealed frame of its own.
//!
//! New sentences go at the end; one that a build does not know is [`WireError::Broken`] and skipped.

use serde::{Deserialize, Serialize};

use super::WireError;
use super::down::VoucherV1;
use super::frame::{encode, take};
use crate::id::{PackageId, RouterId, VoucherId};
use crate::net::Mac;
use crate::time::Timestamp;
use crate::voucher::VoucherDigest;

/// One sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Say {
    /// I am here; everything I said before this is meant to be known to you.
    Beat {
        /// Counts the sender's beats on this connection, from 1.
        number: u64,
        /// The serial of the last echo that the sender heard.
        heard: u64,
        /// The term of the voucher post, as the sender knows it.
        term: u64,
        /// Whether the sender has the post in that term.
        holds: bool,
    },
    /// To [`Say::Beat`], and again when `long` changes: what was said before it is on stable storage here.
    Echo {
        /// The beat's number.
        number: u64,
        /// Counts the sender's echoes on this connection, from 1.
        serial: u64,
        /// The sender has no cloud: it does not take the voucher post for three days, also if it has one
        /// again. `false` takes that back once the other has said that it heard this.
        long: bool,
    },
    /// Somebody took a place, or gave it up.
    Place(Place),
    /// Somebody is about to be let in by a voucher for the first time.
    Used(FirstUse),
    /// To [`Say::Used`].
    Kept {
        /// The voucher.
        voucher: VoucherId,
        /// When its time begins.
        from: Timestamp,
        /// It is on stable storage here; `false`: it was used otherwise.
        kept: bool,
    },
    /// Somebody shows a code that you hold: may he come in with it?
    Ask {
        /// Counts the sender's questions.
        number: u64,
        /// What the code is known by.
        digest: VoucherDigest,
        /// His device.
        mac: Option<Mac>,
        /// Where he shows it.
        router: RouterId,
    },
    /// To [`Say::Ask`].
    Told {
        /// The question's number.
        number: u64,
        /// The voucher with its first use, or why he may not.
        answer: Result<VoucherV1, No>,
    },
}

/// A place of a device under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// Somebody was let in.
    Kept {
        /// Under which name, octet for octet.
        username: Vec<u8>,
        /// His device.
        mac: Option<Mac>,
        /// The cookie of the Accept.
        cookie: [u8; 16],
    },
    /// Somebody is online; told at the beginning and at each report.
    Open {
        /// Under which name, octet for octet.
        username: Vec<u8>,
        /// His device.
        mac: Option<Mac>,
        /// Which session.
        session: SessionName,
        /// When it began.
        started: Timestamp,
    },
    /// A router said that a session is over.
    Over {
        /// Under which name, octet for octet.
        username: Vec<u8>,
        /// Which session.
        session: SessionName,
    },
    /// A router restarted: its sessions are over.
    Restarted {
        /// Which.
        router: RouterId,
    },
}

/// What tells a session from all others of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionName {
    /// The router.
    pub router: RouterId,
    /// Acct-Session-Id, octet for octet.
    pub id: Vec<u8>,
    /// The cookie echoed in Class; empty where the router echoes none.
    pub class: Vec<u8>,
}

/// A voucher's first use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstUse {
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
    /// Where it was shown.
    pub router: Option<RouterId>,
}

/// Why somebody does not come in with a voucher. New reasons go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum No {
    /// This agent cannot say: ask the cloud.
    CannotSay,
    /// It was used, or is out of date.
    NotGood,
}

impl Say {
    /// The bytes that are sealed.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what was sealed.
    pub fn decode(body: &[u8]) -> Result<Say, WireError> {
        take(body)
    }
}
