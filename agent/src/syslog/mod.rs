//! What routers write to their logs: heard, masked, bounded, and told to the cloud when nothing better is to be told.
//!
//! Lines wait in memory, not on the card: a box that loses its power loses the last ones, and what a router says
//! while the cloud is away is worth less than the card. What has no room, or is more than is taken of one router, is
//! counted, and the count takes its place among the lines.

mod driver;
mod hold;
mod mask;
mod message;

pub use driver::{Leads, Parts, Syslog, bind};
