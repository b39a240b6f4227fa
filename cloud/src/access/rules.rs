//! What may be asked for.

use std::time::Duration;

use crate::error::Wrong;

/// A wish, as it was sent.
pub struct Wish<'a> {
    /// For how long.
    pub minutes: Option<u32>,
    /// Why.
    pub reason: &'a str,
    /// At which port.
    pub port: Option<u16>,
}

/// For how long it is opened; notes what is wrong.
pub fn checked(wish: &Wish<'_>, wrong: &mut Wrong) -> Duration {
    let minutes = wish.minutes.unwrap_or(USUAL_MINUTES);
    if !(1..=MOST_MINUTES).contains(&minutes) {
        wrong.add("minutes", "must be from 1 to 120");
    }
    if !(5..=500).contains(&wish.reason.trim().chars().count()) {
        wrong.add("reason", "must have 5 to 500 characters");
    }
    if wish.port == Some(0) {
        wrong.add("port", "must be from 1 to 65535");
    }
    Duration::from_secs(u64::from(minutes) * 60)
}

const USUAL_MINUTES: u32 = 15;
const MOST_MINUTES: u32 = 120;
