//! The control plane. Folders in order: commons, things, deeds, doors; each calls only those above it.

pub mod db;
pub mod secrets;
pub mod sites;
