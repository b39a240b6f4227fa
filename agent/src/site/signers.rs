//! Which senders behind a router entry were seen to sign their requests.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::sizes::Size;

/// The sending addresses that once showed a valid Message-Authenticator, and so must for ever (A1).
///
/// A router entry may stand for a whole network: what one device of it signs says nothing of the next,
/// an older build that cannot. Past [`MOST`] addresses everybody must sign.
#[derive(Debug, Default)]
pub struct Signers {
    known: RwLock<HashSet<IpAddr>>,
    everybody: AtomicBool,
}

impl Signers {
    /// Whether this sender must sign.
    pub fn has(&self, sender: IpAddr) -> bool {
        self.everybody.load(Ordering::Relaxed) || self.read().contains(&sender)
    }

    /// Notes that this sender signs; whether that is news.
    pub fn add(&self, sender: IpAddr) -> bool {
        if self.has(sender) {
            return false;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            self.everybody.store(true, Ordering::Relaxed);
            return false;
        }
        known.insert(sender)
    }

    /// Whether nobody was seen to sign.
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    pub(super) fn size(&self) -> Size {
        Size::new("senders that sign at a router", self.read().len(), MOST)
    }

    /// Everybody known.
    pub fn all(&self) -> Vec<IpAddr> {
        self.read().iter().copied().collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashSet<IpAddr>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A site has tens of routers; a network that shows more senders is not a site's.
const MOST: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_sender_signs_binds_that_sender_alone() {
        let signers = Signers::default();
        let (new, old) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));

        assert!(signers.add(new));
        assert!(!signers.add(new), "the second time is no news");
        assert!(signers.has(new) && !signers.has(old));
    }

    #[test]
    fn too_many_senders_bind_everybody() {
        let signers = Signers::default();
        for host in 0..=MOST as u32 {
            signers.add(IpAddr::from((0x0A00_0000 + host).to_be_bytes()));
        }
        assert!(signers.has(IpAddr::from([192, 168, 0, 1])));
        assert_eq!(signers.all().len(), MOST);
    }
}
