//! Customers who log in nowhere (STATIC, DHCP): what their router must hold for each is kept there by the agent
//! alone — a simple queue with their speed, their address in the list that says how far it reaches, for DHCP a
//! lease that is always theirs.
//!
//! Where a router's DHCP servers ask for leases themselves (`radius::lease`), RADIUS gives speed and lists, and nothing of
//! ours is written there: what is left to do here is to take the lease from who may not have it any more.
//!
//! Of a site's agents one keeps them, and tells the others how far it counted (`beside`).
//!
//! The same decision and the same one timer as for who logs in; what the queue counts is their usage, and who
//! sent something since the last look is online.

mod beside;
mod count;
mod desk;
mod driver;
mod given;
mod pass;
mod rules;

pub use beside::Word;
pub use driver::{Lead, Leads, Lines, Parts};
