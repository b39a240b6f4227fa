//! Routers that moved: new source addresses, adopted by proof of the secret (B11).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use easyisp_shared::id::RouterId;
use ipnet::IpNet;

/// The networks inside which this site's routers live.
#[derive(Clone, Debug)]
pub struct Ranges(Vec<IpNet>);

impl Ranges {
    /// The networks of `[site] ranges`.
    pub fn new(networks: Vec<IpNet>) -> Ranges {
        Ranges(networks)
    }

    /// Whether `address` is inside.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The addresses adopted since the start.
pub(super) struct Adopted {
    ranges: Ranges,
    addresses: RwLock<HashMap<IpAddr, RouterId>>,
}

impl Adopted {
    pub(super) fn new(ranges: Ranges) -> Adopted {
        Adopted {
            ranges,
            addresses: RwLock::default(),
        }
    }

    pub(super) fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    pub(super) fn router(&self, source: IpAddr) -> Option<RouterId> {
        let addresses = self.addresses.read();
        let addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        addresses.get(&source).copied()
    }

    pub(super) fn may_adopt(&self, source: IpAddr) -> bool {
        let addresses = self.addresses.read();
        let held = addresses.unwrap_or_else(PoisonError::into_inner).len();
        self.ranges.contain(source) && held < MOST
    }

    pub(super) fn note(&self, source: IpAddr, router: RouterId) {
        let addresses = self.addresses.write();
        let mut addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|_, held| *held != router);
        addresses.insert(source, router);
    }
}

/// One for each router is held at once, so this bounds routers, not datagrams.
const MOST: usize = 1024;
