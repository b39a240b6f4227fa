//! The first words on a link, and the acknowledgements.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Lane;
use crate::time::Timestamp;

/// An agent introduces itself. Who it is says its certificate alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hello {
    /// First shape.
    V1(HelloV1),
}

/// First shape of [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloV1 {
    /// The oldest protocol the agent speaks.
    pub protocol_oldest: u16,
    /// The newest protocol the agent speaks.
    pub protocol: u16,
    /// Optional abilities, by name; unknown names are ignored.
    pub capabilities: Vec<String>,
    /// Build version, for people.
    pub version: String,
    /// The outbox file's random id.
    pub outbox: Uuid,
    /// The generation the agent holds on disk; 0 before the first link.
    pub generation: u64,
    /// The cloud's epoch the cursor belongs to; nil before the first link.
    pub epoch: Uuid,
    /// The site version up to which state is stored.
    pub cursor: u64,
    /// Where this agent listens to the other agents of its site; empty = nowhere.
    pub addresses: Vec<SocketAddr>,
}

/// The ability of an agent whose line is paid by the octet: it tells of sessions that go on once an hour.
pub const METERED: &str = "metered";

/// The cloud lets an agent stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Welcome {
    /// First shape.
    V1(WelcomeV1),
}

/// First shape of [`Welcome`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WelcomeV1 {
    /// The protocol both speak from here on.
    pub protocol: u16,
    /// Optional abilities of the cloud, by name; unknown names are ignored.
    pub capabilities: Vec<String>,
    /// Changes when the cloud was restored from a backup: the agent sends again from the marks.
    pub epoch: Uuid,
    /// The cloud's time.
    pub now: Timestamp,
    /// The generation to hold from here on; it counts once the agent presents it.
    pub generation: u64,
    /// Per lane (by [`Lane::code`]) how far this outbox is stored in the cloud.
    pub marks: Vec<(u8, u64)>,
    /// The site's newest version.
    pub head: u64,
}

impl WelcomeV1 {
    /// How far `lane` of this outbox is stored in the cloud.
    pub fn mark(&self, lane: Lane) -> u64 {
        let of_lane = |(code, mark): &(u8, u64)| (*code == lane.code()).then_some(*mark);
        self.marks.iter().find_map(of_lane).unwrap_or(0)
    }
}

/// The cloud does not let an agent stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// First shape.
    V1(RefusedV1),
}

/// First shape of [`Refused`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedV1 {
    /// Why.
    pub reason: RefusalReason,
    /// When to try again.
    pub retry_after_secs: u32,
}

/// Why an agent may not stay. New reasons go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalReason {
    /// No common protocol: one side is more than two releases older.
    Protocol,
    /// The certificate was revoked, or is not known here.
    Revoked,
    /// Another box holds the same identity: an operator must say which one is real.
    Cloned,
    /// Too many agents at once, or the cloud is stopping.
    Busy,
    /// The certificate has ended: renew it first, which is allowed for 90 days.
    Late,
}

impl RefusalReason {
    /// One sentence for a person at the box.
    pub fn sentence(self) -> &'static str {
        match self {
            RefusalReason::Protocol => {
                "This agent and the cloud are too many releases apart: update the older one."
            }
            RefusalReason::Revoked => {
                "This agent's certificate was revoked or is not known: enrol it again."
            }
            RefusalReason::Cloned => {
                "Another box uses this agent's identity: an operator must revoke one of the two."
            }
            RefusalReason::Late => "This agent's certificate has ended and must be renewed first.",
            RefusalReason::Busy => "The cloud is busy; the agent tries again by itself.",
        }
    }
}

/// What an agent says on the sync pipe after its hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedAck {
    /// State up to here is stored at the site.
    V1 {
        /// The agent's cursor.
        cursor: u64,
    },
    /// The feed does not fit what is stored (cursor, or a digest that differs): send a snapshot.
    NeedSnapshot,
    /// The generation offered in the welcome is synced to disk: it counts from here on.
    Holds {
        /// The generation.
        generation: u64,
    },
}

/// Reports up to a mark are stored in the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpAck {
    /// The mark of the lane now. Below the batch's own end, the batch did not follow what is stored
    /// here: go back to the mark.
    V1 {
        /// The lane, by [`Lane::code`].
        lane: u8,
        /// Everything up to this sequence is stored.
        mark: u64,
    },
    /// The cloud could not store the batch now, nor will it take what follows it on this pipe: open
    /// another after a while.
    Later {
        /// The lane, by [`Lane::code`].
        lane: u8,
        /// How long to wait.
        retry_after_millis: u32,
    },
}
