//! Cloud and agent over a real QUIC link and a real database: joining, state down, reports up, questions.

mod aside;
mod boxes;
mod copies;
mod joining;
mod line;
mod octets;
mod questions;
mod rotation;
mod state;
mod trust;
mod uplink;
mod versions;
mod world;
