//! Stories: what an operator or a customer does, end to end, on a real database and real sockets.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod accounts;
mod catalog;
mod cloud;
mod feed;
mod hostile_udp;
mod jobs;
mod ledger;
mod link;
mod manners;
mod money;
mod renewals;
mod routes;
mod things;
