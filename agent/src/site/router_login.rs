//! Who may log in to the routers themselves.

use std::sync::{Arc, PoisonError, RwLock};

use easyisp_shared::id::{RouterId, RouterLoginId};
use easyisp_shared::seal::SealKey;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::down::{RouterLoginV1, secret_place};
use tracing::warn;

use crate::radius::KnownPassword;

/// A person's login to the routers themselves.
#[derive(Debug)]
pub struct RouterLogin {
    id: RouterLoginId,
    username: Box<[u8]>,
    /// `None` when it does not open: nobody gets in by it.
    pub password: Option<KnownPassword>,
    /// The router's `/user group`.
    pub group: String,
    router: Option<RouterId>,
}

/// All of a site's, some dozen at most.
#[derive(Debug, Default)]
pub(super) struct RouterLogins(RwLock<Vec<Arc<RouterLogin>>>);

impl RouterLogins {
    /// Takes a row over the one before.
    pub(super) fn put(&self, row: RouterLoginV1, key: &SealKey) {
        let place = secret_place(DownKind::RouterLogin, row.login.0, "password");
        let password = key.open(&place, &row.password);
        if password.is_err() {
            warn!(login.id = %row.login, "The password of a router login does not open");
        }
        let login = RouterLogin {
            id: row.login,
            username: row.username.into(),
            password: password.ok().map(|clear| KnownPassword::new(&clear)),
            group: row.group,
            router: row.router,
        };
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.retain(|held| held.id != login.id);
        held.push(Arc::new(login));
    }

    /// Forgets a row.
    pub(super) fn remove(&self, id: RouterLoginId) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.retain(|held| held.id != id);
    }

    /// Who of this name may log in to `router`.
    pub(super) fn find(&self, username: &[u8], router: RouterId) -> Option<Arc<RouterLogin>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.iter()
            .find(|login| {
                *login.username == *username && login.router.is_none_or(|only| only == router)
            })
            .cloned()
    }
}
