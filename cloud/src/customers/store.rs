//! SQL on customers: what is read, what is written, and what was paid.

mod export;
pub mod many;
mod money;
mod read;
mod told;
mod write;

pub use export::{ExportRow, exported};
pub use money::{Manual, Mpesa, manual, mpesa};
pub use read::{
    AtHotspot, Edge, Filter, Full, ListRow, at_hotspot, edge, every_id, find, known_mac, list,
    lock, package_type, place, renewing, sites_online, taken, used,
};
pub use told::{ended, note_told};
pub use write::{
    Rate, claim_account_number, count, delete, insert, remember_device, set_expiry, set_macs,
    set_networks, set_package, set_rate, set_standing, set_static_ip, start_counting, update,
};
