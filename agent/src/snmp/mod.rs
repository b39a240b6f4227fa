//! Reads devices over SNMP v2c and v3: what to poll, when, and what the values mean.
//!
//! From the inside out, and without a socket up to the last two: [`ber`] and [`pdu`] read and write octets;
//! [`usm`] signs and enciphers; [`session`] is one device's side of the conversation; [`walk`] reads much in
//! few datagrams; [`reading`] says what values mean; [`rates`] what goes through; [`schedule`] when to ask;
//! [`exchange`] owns the sockets; [`poller`] reads every device of a site and tells the cloud.

pub mod ber;
pub mod exchange;
pub mod mib;
pub mod oid;
pub mod pdu;
pub mod poller;
pub mod rates;
pub mod reading;
pub mod schedule;
pub mod session;
pub mod told;
pub mod usm;
pub mod walk;

pub use exchange::Exchange;
pub use poller::Poller;
pub use reading::Reading;
pub use session::{Access, Session, SnmpError};
