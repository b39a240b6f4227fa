//! Tells this node's agent connections that their site has news. A hint only: each connection also asks
//! the database every second, so a lost hint costs a second and never correctness.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use easyisp_shared::id::SiteId;
use tokio::sync::{Notify, mpsc};

/// Who waits for which site. Cloning shares it.
#[derive(Clone, Default)]
pub struct Wakes {
    sites: Arc<Mutex<HashMap<SiteId, Arc<Notify>>>>,
    others: Arc<OnceLock<mpsc::Sender<SiteId>>>,
}

impl Wakes {
    /// The bell of a site: wait on it with `notified()`.
    pub fn of(&self, site: SiteId) -> Arc<Notify> {
        let mut sites = self.sites.lock().expect("no code panics under this lock");
        // Sites whose last connection left are forgotten here, so the map stays as small as the fleet.
        if sites.len().is_power_of_two() {
            sites.retain(|_, bell| Arc::strong_count(bell) > 1);
        }
        sites.entry(site).or_default().clone()
    }

    /// From here on what is committed here is told to `others` as well.
    pub(super) fn tell_others(&self, others: mpsc::Sender<SiteId>) {
        // A database is shared with other nodes once.
        let _ = self.others.set(others);
    }

    /// Rings the bells of `sites` on every node: what was committed here.
    pub fn committed(&self, sites: &[SiteId]) {
        self.wake(sites);
        if let Some(others) = self.others.get() {
            for site in sites {
                // No room: the other nodes look within a second.
                let _ = others.try_send(*site);
            }
        }
    }

    /// Rings the bells of `sites`.
    pub fn wake(&self, sites: &[SiteId]) {
        if sites.is_empty() {
            return;
        }
        let waiting = self.sites.lock().expect("no code panics under this lock");
        for bell in sites.iter().filter_map(|site| waiting.get(site)) {
            bell.notify_waiters();
            bell.notify_one();
        }
    }
}
