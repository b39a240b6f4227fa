//! Sites: places with routers, and the agents that serve them.

pub mod agents;
pub mod edge;
pub mod pki;
pub mod reports;
