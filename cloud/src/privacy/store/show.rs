//! Everything that is kept of one subscriber, list by list, the newest first.

mod money;
mod online;
mod person;
mod told;

pub use money::*;
pub use online::*;
pub use person::*;
pub use told::*;
