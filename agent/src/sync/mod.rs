//! The link to the cloud: state comes down, the outbox goes up, questions go both ways.
//!
//! It carries and never decides: what a record means is the business of who implements [`Local`].

mod backoff;
mod dial;
mod enroll;
mod identity;
mod link;
mod path;
mod pipe;
mod quic;
mod tcp;
mod trust;
mod uplink;

use std::future::Future;
use std::time::Duration;

use easyisp_shared::id::AccessGrantId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::question::{AskFailure, Question, Reply};
use easyisp_shared::wire::{FeedBatch, Lane, UpRecord};
use tokio::sync::watch;
use uuid::Uuid;

pub use dial::{Credentials, DialError, dial, reach, tls};
pub use enroll::{EnrollError, enroll, enroll_unless};
pub use identity::{Draft, GenerationFile, Identity, IdentityError, make_folder};
pub use link::{Asker, Link, LinkConfig};
pub use path::{Path, Patience};
pub use pipe::{Carrier, Pipe, PipeError, Sink, Source, Traffic};
pub use trust::{Floor, Trust};

/// What the link needs of the agent behind it.
///
/// All of it may be called at any time while a link is up; `apply` never twice at once, and
/// `next_batch` at once only for different lanes.
pub trait Local: Send + Sync + 'static {
    /// Where this site stands, for the hello.
    fn position(&self) -> impl Future<Output = Result<Position, Unavailable>> + Send;

    /// Whether this outbox wrote everything that the cloud says to have of it, by lane.
    ///
    /// Where it did not (a card was put back to an earlier state), sequences that come next are taken there already:
    /// what they stood for would be acknowledged and lost. Then it goes on under another name before this returns.
    fn wrote(&self, marks: &[(u8, u64)]) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// The cloud let us in. Returns once the generation is synced to disk.
    ///
    /// A changed epoch means the cloud was restored from a backup: a snapshot follows by itself, and the
    /// outbox is read again from the cloud's marks.
    fn welcomed(&self, terms: Terms) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// The cloud told its time again, on a link that stays up for long.
    fn cloud_time(&self, now: Timestamp, round_trip: Duration);

    /// Whether everything that the cloud has is applied: `true` until it has more to say or the link is lost.
    fn caught_up(&self, now: bool);

    /// The cloud does not take this agent for one of the site's any more.
    fn shut_out(&self);

    /// Stores a batch and its cursor in one transaction; returns the cursor then held (for the parts of
    /// a snapshot before its end: the old one).
    ///
    /// A record of an unknown kind, or with a body that does not decode, is stored like any other and
    /// otherwise ignored: a later build may know it.
    fn apply(&self, batch: FeedBatch) -> impl Future<Output = Result<u64, ApplyError>> + Send;

    /// The records of `lane` after `after`: at most `most`, about `bytes` in all; none when there are none.
    fn next_batch(
        &self,
        lane: Lane,
        after: u64,
        most: usize,
        bytes: usize,
    ) -> impl Future<Output = Result<Records, Unavailable>> + Send;

    /// The cloud stored everything of `lane` up to `mark`.
    fn acknowledged(&self, lane: Lane, mark: u64) -> impl Future<Output = ()> + Send;

    /// Changes whenever records were committed to the outbox.
    fn commits(&self) -> watch::Receiver<u64>;

    /// Answers a live question; dropped when `within` is over.
    fn answer(
        &self,
        question: Question,
        within: Duration,
    ) -> impl Future<Output = Result<Reply, AskFailure>> + Send;

    /// A connection by a way to a device, until it ends.
    fn through(
        &self,
        grant: AccessGrantId,
        pipe: Pipe,
    ) -> impl Future<Output = Result<(), PipeError>> + Send;
}

/// What a lane has to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// The records, their sequences rising.
    pub list: Vec<UpRecord>,
    /// Whether nobody misses them for some seconds, so that more can travel with them.
    pub can_wait: bool,
}

/// Where a site stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The outbox file's random id.
    pub outbox: Uuid,
    /// The generation on disk; 0 before the first link.
    pub generation: u64,
    /// The epoch that the cursor belongs to; nil before the first snapshot.
    pub epoch: Uuid,
    /// The site version up to which state is stored; 0 before the first snapshot.
    pub cursor: u64,
}

/// On what terms the cloud let us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The cloud's epoch; to be stored with the cursor when a batch is applied.
    pub epoch: Uuid,
    /// The generation to hold from here on.
    pub generation: u64,
    /// The cloud's time, as old as half a round trip.
    pub now: Timestamp,
    /// The round trip that the welcome took.
    pub round_trip: Duration,
    /// Whether the cloud reads packed metrics.
    pub packed_metrics: bool,
    /// Whether it reads of pools.
    pub pools: bool,
    /// Whether it reads sessions' prefixes.
    pub prefixes: bool,
}

/// The disk or a queue cannot serve the link at the moment: it closes and tries again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the site's own store cannot serve the link at the moment")]
pub struct Unavailable;

/// Why a feed batch was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// It does not follow what is stored, or the digests differ.
    #[error("the batch does not fit what is stored")]
    NeedSnapshot,
    /// The disk cannot take it at the moment.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// How the link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkStatus {
    /// Not up; why, in a sentence for a person.
    Down {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: String,
    },
    /// Up.
    Up {
        /// Since when.
        since: Timestamp,
        /// Whether everything the cloud had is applied.
        caught_up: bool,
        /// What carries it.
        over: Path,
    },
}
