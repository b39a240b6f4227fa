//! Customers who log in nowhere (STATIC, DHCP): what their router must hold for each is kept there by the agent
//! alone — a simple queue with their speed, their address in the list that says how far it reaches, for DHCP a
//! lease that is always theirs.
//!
//! The same decision and the same one timer as for who logs in; what the queue counts is their usage, and who
//! sent something since the last look is online.

mod count;
mod desk;
mod driver;
mod pass;
mod rules;

pub use driver::{Leads, Lines, Parts};
