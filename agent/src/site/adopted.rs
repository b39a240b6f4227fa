//! Which router speaks from where; a router that moved is adopted by proof of the secret (B11).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use ipnet::IpNet;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{Place, Router, Site};
use crate::sizes::Size;

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
    /// knows it: the routers of that source, the narrowest network first. A request that proves nothing is taken for the
    /// first one's: where this box brought one up at another's place, it is its own until the other one proves that it
    /// lives.
    pub fn router_from<T>(
        &self,
        source: IpAddr,
        mut verify: impl FnMut(&Arc<Router>) -> Option<T>,
    ) -> Option<(Arc<Router>, T)> {
        let routers = self.routers.read().unwrap_or_else(PoisonError::into_inner);
        let adopted = self.adopted.router(source);
        let mut found: Vec<&Arc<Router>> = routers
            .iter()
            .filter(|router| router.source.contains(&source) || adopted == Some(router.id))
            .collect();
        if found.len() > 1 {
            let order = |router: &&Arc<Router>| router.proved_and_met();
            let proved = found.iter().map(order).filter(|(_, met)| *met == 0);
            let lived = proved.map(|(proved, _)| proved).max().unwrap_or_default();
            found.sort_by_cached_key(|router| {
                let (_, met) = router.proved_and_met();
                Reverse((router.source.prefix_len(), met > lived))
            });
        }
        let mut found = found.into_iter();
        found.find_map(|router| verify(router).map(|found| (router.clone(), found)))
    }

    /// Whether any router may speak from `source`.
    pub fn knows_source(&self, source: IpAddr) -> bool {
        self.router_from(source, |_| Some(())).is_some()
    }

    /// Whether a router may be found at `address`, which no record names.
    pub fn may_be_at(&self, address: IpAddr) -> bool {
        self.adopted.may_adopt(address) && !self.is_home(address)
    }

    /// Whether the record of a router says that it speaks from `source`.
    pub fn is_home(&self, source: IpAddr) -> bool {
        let routers = self.routers.read().unwrap_or_else(PoisonError::into_inner);
        routers.iter().any(|router| router.source.contains(&source))
    }

    /// A signed request came from a source that no record names: the router whose secret verifies it moved
    /// there (B11). Only inside the site's ranges, and only by proof of the secret. Who moved is found there
    /// from here on, by orders too.
    pub fn adopt<T>(
        &self,
        source: IpAddr,
        now: Timestamp,
        mut verify: impl FnMut(&Arc<Router>) -> Option<T>,
    ) -> Option<(Arc<Router>, T)> {
        if !self.adopted.may_adopt(source) {
            return None;
        }
        let routers = self.routers();
        let found = routers
            .iter()
            .filter(|router| router.may_move(now))
            .find_map(|router| verify(router).map(|found| (router.clone(), found)));
        if let Some((router, _)) = &found {
            warn!(router.id = %router.id, %source, "Router {} speaks from a new address", router.name);
            self.find_at(router, source, now);
        }
        found
    }

    /// A router is found at an address that its record does not name, now or before a restart.
    pub fn find_at(&self, router: &Router, address: IpAddr, since: Timestamp) {
        self.adopted.note(address, router.id);
        router.put_place(Some(Place {
            address,
            since,
            proved: false,
        }));
        self.adopted.moved.notify_one();
    }

    /// A router that was found elsewhere speaks from where its record says again; whether that is news.
    pub fn come_home(&self, router: &Router, source: IpAddr) -> bool {
        let away = router.found_at().is_some() && router.source.contains(&source);
        if away {
            info!(router.id = %router.id, %source, "Router {} speaks from where its record says again", router.name);
            router.put_place(None);
            self.adopted.forget(router.id);
        }
        away
    }

    /// Returns once a router was found where its record does not say.
    pub async fn somebody_moved(&self) {
        self.adopted.moved.notified().await;
    }
}

/// The addresses where routers were found.
pub(super) struct Adopted {
    ranges: Ranges,
    never: bool,
    addresses: RwLock<HashMap<IpAddr, RouterId>>,
    moved: Notify,
}

impl Adopted {
    pub(super) fn new(ranges: Ranges) -> Adopted {
        Adopted {
            ranges,
            never: false,
            addresses: RwLock::default(),
            moved: Notify::new(),
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

    pub(super) fn size(&self) -> Size {
        let addresses = self.addresses.read();
        let held = addresses.unwrap_or_else(PoisonError::into_inner).len();
        Size::new("routers found elsewhere", held, MOST)
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

    pub(super) fn forget(&self, router: RouterId) {
        let addresses = self.addresses.write();
        let mut addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|_, held| *held != router);
    }
}

/// One for each router is held at once, so this bounds routers, not datagrams.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn routers_found_elsewhere_are_bounded() {
        let adopted = Adopted::new(Ranges::new(vec!["10.0.0.0/8".parse().unwrap()]));
        for number in 0..u32::try_from(MOST).unwrap() + 10 {
            let source = std::net::Ipv4Addr::from(0x0a00_0000 | number).into();
            if adopted.may_adopt(source) {
                adopted.note(source, RouterId(uuid::Uuid::from_u128(number.into())));
            }
        }
        assert!(!adopted.size().is_beyond());
        assert_eq!(adopted.size().size, MOST);
    }
}
