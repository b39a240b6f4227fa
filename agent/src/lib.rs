//! The agent: a box beside the router that keeps deciding correctly with the cloud gone for days.

pub mod diagnosis;
pub mod enforce;
pub mod radius;
pub mod sessions;
pub mod site;
pub mod store;
pub mod sync;
