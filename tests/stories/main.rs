//! Stories: what an operator or a customer does, end to end, on a real database and real sockets.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod accounts;
mod audited;
mod boxes;
mod catalog;
mod cloud;
mod crash;
mod dictionary;
mod disconnect;
mod durable;
mod eap;
mod feed;
mod hostile_http;
mod hostile_udp;
mod isolation;
mod jobs;
mod ledger;
mod link;
mod manners;
mod messages;
mod money;
mod outage;
mod payment;
mod payments;
mod quota;
mod races;
mod radsec;
mod renewals;
mod restore;
mod revoke;
mod routes;
mod spare;
mod tenants;
mod things;
mod vouchers;
mod words;
