//! Stories: what an operator or a customer does, end to end, on a real database and real sockets.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod feed;
mod jobs;
mod hostile_udp;
mod ledger;
mod link;
mod money;
mod renewals;
mod things;
