//! Which router speaks from where; a router that moved is adopted by proof of the secret (B11).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use easyisp_shared::id::RouterId;
use ipnet::IpNet;
use tracing::warn;

use super::{Router, Site};

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

impl Site {
    /// Calls `verify` with the routers a datagram from `source` may come from until one of them
    /// knows it: the routers of that source, the narrowest network first.
    pub fn router_from<T>(
        &self,
        source: IpAddr,
        mut verify: impl FnMut(&Arc<Router>) -> Option<T>,
    ) -> Option<(Arc<Router>, T)> {
        let routers = self.routers.read().unwrap_or_else(PoisonError::into_inner);
        let adopted = self.adopted.router(source);
        routers
            .iter()
            .filter(|router| router.source.contains(&source) || adopted == Some(router.id))
            .find_map(|router| verify(router).map(|found| (router.clone(), found)))
    }

    /// Whether any router may speak from `source`.
    pub fn knows_source(&self, source: IpAddr) -> bool {
        self.router_from(source, |_| Some(())).is_some()
    }

    /// A signed request came from a source nobody has: the router whose secret verifies it moved
    /// there (B11). Only inside the site's ranges, and only by proof of the secret.
    pub fn adopt<T>(
        &self,
        source: IpAddr,
        mut verify: impl FnMut(&Arc<Router>) -> Option<T>,
    ) -> Option<(Arc<Router>, T)> {
        if !self.adopted.may_adopt(source) {
            return None;
        }
        let routers = self.routers();
        let found = routers
            .iter()
            .find_map(|router| verify(router).map(|found| (router.clone(), found)));
        if let Some((router, _)) = &found {
            self.adopted.note(source, router.id);
            warn!(router.id = %router.id, %source, "Router {} speaks from a new address", router.name);
        }
        found
    }
}

/// The addresses adopted since the start.
pub(super) struct Adopted {
    ranges: Ranges,
    never: bool,
    addresses: RwLock<HashMap<IpAddr, RouterId>>,
}

impl Adopted {
    pub(super) fn new(ranges: Ranges) -> Adopted {
        Adopted {
            ranges,
            never: false,
            addresses: RwLock::default(),
        }
    }

    /// Where many sites share a socket, a secret is no proof of the site.
    pub(super) fn never(self) -> Adopted {
        Adopted {
            never: true,
            ..self
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
        !self.never && self.ranges.contain(source) && held < MOST
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
