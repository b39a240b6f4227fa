//! SQL on customers: what is read, what is written, and what was paid.

pub mod before;
mod export;
mod life;
mod lines;
mod list;
pub mod many;
mod money;
mod read;
mod told;
mod unlocks;
mod write;

pub use export::{ExportRow, exported};
pub use life::{
    Note, children, count_notes, delete_note, follow, give_back, has_parent, insert_note,
    is_paused, lock_gone, notes, pause, paused_until, promise, restore, serve_billed, set_postpaid,
    set_tags,
};
pub use lines::{forget_lines, note_lines};
pub use list::{By, Filter, ListRow, deleted, list};
pub use money::{Manual, Mpesa, manual, mpesa};
pub use read::{
    AtHotspot, Edge, Full, at_hotspot, edge, every_id, find, is_postpaid, known_mac, lock,
    lock_all, lock_idle, name_and_home, of_account, package_type, place, renewing, roaming,
    sites_online, taken, used,
};
pub use told::{ended, note_told};
pub use unlocks::{put_unlock, unlocks_of_hour, use_unlock};
pub use write::{
    Rate, claim_account_number, count, delete, insert, remember_device, set_bound, set_expiry,
    set_macs, set_networks, set_package, set_rate, set_standing, set_static_ip, start_counting,
    update,
};
