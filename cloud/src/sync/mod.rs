//! The agents' door. It carries the feed down, the outbox up and questions both ways, and never knows
//! what a change means: reports go to the appliers that `lib.rs` hands in.

mod agents;
mod care;
mod door;
mod feed;
mod identity;
mod pipe;
mod poll;
mod quic;
mod replay;
mod session;
mod store;
mod tcp;
mod tls;
mod uplink;

pub use agents::{Agents, Presence, merged};
pub use care::care;
pub use door::{Door, DoorConfig, DoorError};
pub use feed::PATIENCE;
pub use pipe::{Carrier, Pipe, PipeError, Sink, Source, Traffic};
pub use replay::{REPLAYED_AT_ONCE, Replayed, replay, replay_all};
pub use tls::OwnCertificate;

use door::Shared;
