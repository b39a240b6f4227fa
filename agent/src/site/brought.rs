//! Routers that this box brought up by itself, known here before the cloud speaks of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use easyisp_shared::id::RouterId;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::down::{RouterV1, secret_place};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{Router, Site};

/// Of whom this box knows better than the cloud.
pub(super) struct Brought {
    routers: RwLock<Held>,
    /// Counts what the cloud said of them.
    spoken: watch::Sender<u64>,
}

#[derive(Default)]
struct Held {
    /// By what they are entered.
    brought: HashMap<RouterId, Entered>,
    /// Those that were deleted in the cloud, or moved away, while this box ran.
    gone: HashSet<RouterId>,
}

/// By what a router is entered.
struct Entered {
    row: RouterV1,
    /// Passwords of before, sealed: who speaks of one of them did not hear yet of what came after.
    before: Vec<Vec<u8>>,
    /// As the cloud has it.
    cloud: Option<Arc<Router>>,
}

impl Entered {
    fn is_older(&self, password: &Vec<u8>) -> bool {
        let present = self.row.api.as_ref().map(|api| &api.password);
        present != Some(password) && self.before.contains(password)
    }
}

impl Default for Brought {
    fn default() -> Brought {
        Brought {
            routers: RwLock::default(),
            spoken: watch::Sender::new(0),
        }
    }
}

impl Brought {
    fn held(&self) -> RwLockWriteGuard<'_, Held> {
        self.routers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Site {
    /// Knows a router from here on, as if the cloud had told of it; of one that the site has only by what it is entered is
    /// another. It stays so until the cloud speaks of it, and not by one of the passwords of `before`. `false` where it was
    /// deleted in the cloud.
    pub fn bring(&self, row: RouterV1, before: Vec<Vec<u8>>) -> bool {
        let id = row.router;
        {
            let mut held = self.brought.held();
            if held.gone.contains(&id) {
                return false;
            }
            let cloud = match held.brought.remove(&id) {
                Some(entered) => entered.cloud,
                None => self.router(id),
            };
            self.put_brought(&row);
            held.brought.insert(id, Entered { row, before, cloud });
        }
        // It came in by it just now: one that was there before it, and died, is not at its address.
        if let Some(router) = self.router(id) {
            router.note_met();
        }
        true
    }

    fn put_brought(&self, row: &RouterV1) {
        match self.router(row.router) {
            Some(held) => self.put_open_router(held.entered_by(row, &self.key)),
            None => self.put_router(row.clone()),
        }
    }

    /// Knows such a router as the cloud has it from here on, and no more where the cloud does not.
    pub fn let_go(&self, router: RouterId) {
        let mut held = self.brought.held();
        if let Some(entered) = held.brought.remove(&router) {
            match entered.cloud {
                Some(cloud) => self.put_shared_router(cloud),
                None => {
                    self.remove(DownKind::Router, router.0);
                }
            }
        }
    }

    /// Whether a router is entered by this box's own word.
    pub fn is_brought(&self, router: RouterId) -> bool {
        self.brought.held().brought.contains_key(&router)
    }

    /// Whether a router was deleted in the cloud, or moved away, while this box ran.
    pub fn is_gone(&self, router: RouterId) -> bool {
        self.brought.held().gone.contains(&router)
    }

    /// Changes when the cloud speaks of such a router.
    pub fn spoken_of(&self) -> watch::Receiver<u64> {
        self.brought.spoken.subscribe()
    }

    /// The cloud speaks of a router: what it says, else that it is gone.
    pub(super) fn speaks_of(&self, router: RouterId, told: Option<&RouterV1>) {
        let mut held = self.brought.held();
        match told {
            Some(_) => held.gone.remove(&router),
            None => held.gone.insert(router),
        };
        let Some(entered) = held.brought.get_mut(&router) else {
            self.brought.spoken.send_modify(|count| *count += 1);
            return;
        };
        let is_late = told
            .and_then(|told| told.api.as_ref())
            .is_some_and(|api| entered.is_older(&api.password));
        if is_late {
            entered.cloud = self.router(router);
            self.put_brought(&entered.row);
        } else {
            held.brought.remove(&router);
        }
        drop(held);
        self.brought.spoken.send_modify(|count| *count += 1);
    }

    /// The sealed password of a router's login, as the cloud has it.
    pub fn sealed_login(&self, router: RouterId, password: &str) -> Vec<u8> {
        self.seal(
            &secret_place(DownKind::Router, router.0, "api"),
            password.as_bytes(),
        )
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
