//! Users of routers that were read whole for one page, held for the pages that follow it: an answer holds some hundreds, and
//! a small router tells all for each. Passwords are among them: few lists, for a moment, and in memory alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use easyisp_shared::id::RouterId;

use super::sentence::Row;

/// The lists that are held. Cloning shares them.
#[derive(Clone, Default)]
pub struct Lists {
    held: Arc<Mutex<Vec<Held>>>,
}

struct Held {
    router: RouterId,
    hotspot: bool,
    since: Instant,
    rows: Arc<Vec<Row>>,
}

impl Lists {
    /// Holds a list of a router in place of an earlier one, and lets the oldest go where there are too many.
    pub fn hold(&self, router: RouterId, hotspot: bool, rows: Arc<Vec<Row>>, now: Instant) {
        let mut held = self.fresh(now);
        held.retain(|one| (one.router, one.hotspot) != (router, hotspot));
        if held.len() >= MOST {
            held.remove(0);
        }
        let since = now;
        held.push(Held {
            router,
            hotspot,
            since,
            rows,
        });
    }

    /// The list, as it was read for the page before; `None` where it has to be read again.
    pub fn of(&self, router: RouterId, hotspot: bool, now: Instant) -> Option<Arc<Vec<Row>>> {
        let held = self.fresh(now);
        let mut all = held.iter();
        let one = all.find(|one| (one.router, one.hotspot) == (router, hotspot));
        one.map(|one| one.rows.clone())
    }

    /// Nobody asks for a further page of it.
    pub fn forget(&self, router: RouterId, hotspot: bool, now: Instant) {
        let mut held = self.fresh(now);
        held.retain(|one| (one.router, one.hotspot) != (router, hotspot));
    }

    /// Lets what is held now go by itself, whether or not anybody comes for it.
    pub fn go_in_time(&self) {
        let lists = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LASTS).await;
            drop(lists.fresh(Instant::now()));
        });
    }

    fn fresh(&self, now: Instant) -> MutexGuard<'_, Vec<Held>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|one| now.saturating_duration_since(one.since) < LASTS);
        held
    }
}

/// Longer than the cloud has patience for all pages.
const LASTS: Duration = Duration::from_secs(60);
/// Of tens of thousands of users each.
const MOST: usize = 4;

#[cfg(test)]
mod tests {
    use easyisp_shared::entropy::Entropy;
    use easyisp_shared::time::Timestamp;

    use super::*;

    #[test]
    fn few_lists_are_held_and_not_for_long() {
        let (lists, now) = (Lists::default(), Instant::now());
        let entropy = Entropy::system();
        let id = || RouterId::new(Timestamp::from_secs(1_800_000_000), &entropy);
        let rows = || Arc::new(Vec::new());
        let first = id();
        lists.hold(first, false, rows(), now);
        assert!(lists.of(first, false, now).is_some());
        assert!(lists.of(first, true, now).is_none());
        assert!(lists.of(id(), false, now).is_none());
        let late = now + LASTS;
        assert!(lists.of(first, false, late).is_none());

        lists.hold(first, false, rows(), now);
        let second = id();
        lists.hold(second, false, rows(), now);
        lists.hold(second, false, rows(), now);
        assert!(lists.of(first, false, now).is_some(), "it took its place");
        for _ in 1..MOST {
            lists.hold(id(), true, rows(), now);
        }
        assert!(lists.of(first, false, now).is_none(), "the oldest");
        assert!(lists.of(second, false, now).is_some());
        lists.forget(second, false, now);
        assert!(lists.of(second, false, now).is_none());
    }
}
