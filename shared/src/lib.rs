//! The words cloud and agent both speak, and the rules both must decide alike.
//!
//! One concept, one file. Nothing here does I/O, and `now` is always an argument:
//! the only place that reads a clock is [`time::Clock`], the only source of randomness [`entropy::Entropy`].

pub mod account;
pub mod diagnosis;
pub mod entitlement;
pub mod entropy;
pub mod expiry;
pub mod id;
pub mod ipv6;
pub mod line;
pub mod money;
pub mod net;
pub mod pace;
pub mod phone;
pub mod seal;
pub mod setup;
pub mod time;
pub mod unlock;
pub mod usage;
pub mod voucher;
pub mod wire;
