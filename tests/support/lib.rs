//! What stories, benches and the demo share: the outside world, pretended.
//!
//! [`scenario`] holds the words in which it is scripted.

pub mod database;
pub mod mpesa;
pub mod operator;
pub mod outside;
pub mod prepare;
pub mod scenario;
pub mod sms;
