//! What stories, benches and the demo share: the outside world, pretended.
//!
//! [`scenario`] holds the words in which it is scripted.

pub mod airtel;
pub mod database;
pub mod device;
pub mod devices;
pub mod etims;
pub mod freeradius;
pub mod grown;
pub mod guest;
pub mod hooks;
pub mod kept;
pub mod line;
pub mod mpesa;
pub mod net_snmp;
pub mod operator;
pub mod outside;
pub mod pace;
pub mod ports;
pub mod prepare;
pub mod router;
pub mod scenario;
pub mod sms;
pub mod snmprec;
pub mod wiretap;
pub mod world;
