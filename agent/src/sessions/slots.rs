//! Who holds a place: devices online, and devices let in whose Start has not come yet.

use std::time::Duration;

use easyisp_shared::net::{Mac, RateLimit};
use easyisp_shared::time::Timestamp;

pub use easyisp_shared::diagnosis::UNCONFIRMED_AFTER;

use super::Session;
use crate::sizes::Size;

/// How long a place is kept for a device that was let in (B9).
pub const LEASE: Duration = Duration::from_secs(90);
/// Leases remembered for one name: more than any package has devices.
const MOST_LEASES: usize = 64;

/// The cookie of an Accept, echoed in Class: which grant a session came from. Random but for a mark, by which an
/// agent knows what an agent let in from what a router let in by itself or on the word of an older server.
pub type Cookie = [u8; 16];

/// A cookie of these random octets.
pub fn cookie(random: [u8; 16]) -> Cookie {
    let mut cookie = random;
    cookie[..MARK.len()].copy_from_slice(&MARK);
    cookie
}

/// Whether an agent gave this Class.
pub fn is_cookie(class: &[u8]) -> bool {
    class.len() == size_of::<Cookie>() && class.starts_with(&MARK)
}

const MARK: [u8; 2] = [0xe1, 0x59];

/// What an Accept gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its cookie.
    pub cookie: Cookie,
    /// The rate it set; `None` for the walled garden.
    pub rate: Option<RateLimit>,
    /// When the router ends the session by itself.
    pub end: Option<Timestamp>,
    /// Let in only as far as the pay page.
    pub garden: bool,
    /// Put into the list of those who may not share.
    pub listed: bool,
}

/// A place kept for a device that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The device. All devices without an address count as one.
    pub mac: Option<Mac>,
    /// Until when.
    pub until: Timestamp,
    /// What it was given.
    pub grant: Grant,
}

/// How many devices other than `asking` hold a place.
///
/// A device takes over its own place, so a subscriber whose old session nobody ended gets in at once.
pub fn other_devices<'a>(
    asking: Option<Mac>,
    leases: &[Lease],
    open: impl Iterator<Item = (&'a Session, Timestamp)>,
    elsewhere: impl Iterator<Item = Option<Mac>>,
    now: Timestamp,
) -> u16 {
    let mut others: Vec<Option<Mac>> = leases
        .iter()
        .filter(|lease| now < lease.until && !lease.grant.garden)
        .map(|lease| lease.mac)
        .chain(
            open.filter(|(_, heard)| now.since(*heard) < UNCONFIRMED_AFTER)
                .map(|(session, _)| session.mac),
        )
        .chain(elsewhere)
        .filter(|mac| *mac != asking)
        .collect();
    others.sort_unstable();
    others.dedup();
    u16::try_from(others.len()).unwrap_or(u16::MAX)
}

/// Keeps a place; the device's earlier lease and those that ended make room.
pub fn reserve(leases: &mut Vec<Lease>, lease: Lease, now: Timestamp) {
    leases.retain(|held| now < held.until && held.mac != lease.mac);
    if leases.len() >= MOST_LEASES {
        leases.remove(0);
    }
    leases.push(lease);
}

pub(super) fn size(longest: usize) -> Size {
    Size::new("leases under a name", longest, MOST_LEASES)
}

/// Takes the lease that became a session: by the cookie it echoes, else by its device.
pub fn redeem(leases: &mut Vec<Lease>, class: &[u8], mac: Option<Mac>) -> Option<Grant> {
    let index = leases
        .iter()
        .position(|lease| lease.grant.cookie == class)
        .or_else(|| {
            let by_device = |lease: &Lease| class.is_empty() && lease.mac == mac;
            leases.iter().position(by_device)
        })?;
    Some(leases.remove(index).grant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn lease(device: u8, until: i64) -> Lease {
        Lease {
            mac: Some(Mac::new([device; 6])),
            until: at(until),
            grant: Grant {
                cookie: [device; 16],
                rate: None,
                end: None,
                garden: false,
                listed: false,
            },
        }
    }

    fn others(asking: u8, leases: &[Lease], now: i64) -> u16 {
        let asking = Some(Mac::new([asking; 6]));
        other_devices(
            asking,
            leases,
            std::iter::empty(),
            std::iter::empty(),
            at(now),
        )
    }

    #[test]
    fn a_place_at_another_agent_counts_once_and_never_against_its_own_device() {
        let leases = [lease(1, 90)];
        let elsewhere = [1, 2].map(|device| Some(Mac::new([device; 6])));
        let others = |asking: u8| {
            let asking = Some(Mac::new([asking; 6]));
            other_devices(
                asking,
                &leases,
                std::iter::empty(),
                elsewhere.into_iter(),
                at(0),
            )
        };
        assert_eq!((others(1), others(2), others(3)), (1, 1, 2));
    }

    #[test]
    fn a_lease_counts_until_it_ends_and_never_against_its_own_device() {
        let leases = [lease(1, 90), lease(2, 60)];
        assert_eq!(others(1, &leases, 0), 1);
        assert_eq!(others(3, &leases, 0), 2);
        assert_eq!(others(3, &leases, 60), 1);
        assert_eq!(others(3, &leases, 90), 0);
    }

    #[test]
    fn a_device_holds_one_lease_however_often_it_asks() {
        let mut leases = Vec::new();
        for now in 0..100 {
            reserve(&mut leases, lease(1, now + 90), at(now));
        }
        assert_eq!(leases, [lease(1, 189)]);
    }

    #[test]
    fn a_start_takes_the_lease_of_its_cookie() {
        let mut leases = vec![lease(1, 90), lease(2, 90)];
        assert_eq!(redeem(&mut leases, &[9; 16], None), None);
        let taken = redeem(&mut leases, &[2; 16], Some(Mac::new([1; 6])));
        assert_eq!(taken.map(|grant| grant.cookie), Some([2; 16]));
        let taken = redeem(&mut leases, &[], Some(Mac::new([1; 6])));
        assert_eq!(taken.map(|grant| grant.cookie), Some([1; 16]));
        assert_eq!(leases, []);
    }

    #[test]
    fn leases_are_bounded() {
        let mut leases = Vec::new();
        for device in 0..200 {
            reserve(&mut leases, lease(device, 90), at(0));
        }
        assert_eq!(leases.len(), MOST_LEASES);
    }
}
