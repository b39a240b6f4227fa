//! Tells this node's agent connections that their site has news. A hint only: each connection also asks
//! the database every second, so a lost hint costs a second and never correctness.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use easyisp_shared::id::SiteId;
use tokio::sync::Notify;

/// Who waits for which site. Cloning shares it.
#[derive(Clone, Default)]
pub struct Wakes {
    sites: Arc<Mutex<HashMap<SiteId, Arc<Notify>>>>,
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
