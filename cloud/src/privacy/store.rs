//! SQL on what is kept of people, whichever feature keeps it.

mod blank;
mod old;
mod open;
mod show;
mod subject;

pub use blank::*;
pub use old::*;
pub use open::{open_debt, open_payment, unallocated_payment};
pub use show::*;
pub use subject::{Subject, devices, find, lock, provider, take_time};
