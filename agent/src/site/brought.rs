//! Routers that this box brought up by itself, known here before the cloud speaks of them.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use easyisp_shared::id::RouterId;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::down::RouterV1;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::Site;

/// Of whom the cloud has not spoken yet.
pub(super) struct Brought {
    routers: RwLock<HashSet<RouterId>>,
    /// Counts those of whom it did.
    spoken: watch::Sender<u64>,
}

impl Default for Brought {
    fn default() -> Brought {
        Brought {
            routers: RwLock::default(),
            spoken: watch::Sender::new(0),
        }
    }
}

impl Site {
    /// Knows a router from here on, as if the cloud had told of it.
    pub fn bring(&self, row: RouterV1) {
        let routers = self.brought.routers.write();
        routers
            .unwrap_or_else(PoisonError::into_inner)
            .insert(row.router);
        let id = row.router;
        self.put_router(row);
        // It came in by it just now: one that was there before it, and died, is not at its address.
        if let Some(router) = self.router(id) {
            router.note_met();
        }
    }

    /// Knows such a router no more, unless the cloud spoke of it.
    pub fn let_go(&self, router: RouterId) {
        let routers = self.brought.routers.write();
        let held = routers
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&router);
        if held {
            self.remove(DownKind::Router, router.0);
        }
    }

    /// Whether a router is known by this box's own word alone.
    pub fn is_brought(&self, router: RouterId) -> bool {
        let routers = self.brought.routers.read();
        routers
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&router)
    }

    /// Changes when the cloud speaks of such a router.
    pub fn spoken_of(&self) -> watch::Receiver<u64> {
        self.brought.spoken.subscribe()
    }

    pub(super) fn speaks_of(&self, router: RouterId) {
        let routers = self.brought.routers.write();
        let held = routers
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&router);
        if held {
            self.brought.spoken.send_modify(|count| *count += 1);
        }
    }

    /// Seals something under this site's key: the same bytes each time.
    pub fn seal(&self, place: &[u8], clear: &[u8]) -> Vec<u8> {
        self.key.seal_same(place, clear)
    }

    /// Opens it again; `None` where it is another site's, or damaged.
    pub fn unseal(&self, place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.key.open(place, sealed).ok()
    }
}
