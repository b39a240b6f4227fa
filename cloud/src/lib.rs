//! The control plane. Folders in order: commons, things, deeds, doors; each calls only those above it.

pub mod config;
pub mod metrics;
pub mod db;
pub mod secrets;
pub mod error;
pub mod due;

pub mod ledger;
pub mod audit;
pub mod permission;

pub mod api;
pub mod auth;

pub mod sites;

pub mod commands;

pub mod packages;

pub mod routers;

pub mod customers;

pub mod sync;
pub mod jobs;

mod app;

pub use app::App;
