//! How many deliveries of one tenant are under way on this node: a slow address takes its own turns, not
//! those of others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;

/// Deliveries of one tenant under way at once, of the 64 that a node sends at once.
const AT_ONCE: usize = 8;
/// What comes beyond that is spread so that it does not come back together: ten a second.
const APART: Duration = Duration::from_millis(100);

/// Who has how many under way. Cloning shares it.
#[derive(Clone, Default)]
pub struct Pace {
    tenants: Arc<Mutex<HashMap<TenantId, Lane>>>,
}

#[derive(Default)]
struct Lane {
    under_way: usize,
    /// When the last one that was sent away comes back.
    last: Option<Timestamp>,
}

impl Pace {
    /// A turn, or when to ask for one again.
    pub fn take(&self, tenant: TenantId, now: Timestamp) -> Result<Turn, Timestamp> {
        let mut tenants = self.lock();
        let lane = tenants.entry(tenant).or_default();
        if lane.under_way < AT_ONCE {
            lane.under_way += 1;
            return Ok(Turn {
                pace: self.clone(),
                tenant,
            });
        }
        let again = lane.last.map_or(now, |last| last.max(now)).plus(APART);
        lane.last = Some(again);
        Err(again)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Lane>> {
        self.tenants.lock().expect("no code panics under this lock")
    }
}

/// One of a tenant's turns, until it is dropped.
pub struct Turn {
    pace: Pace,
    tenant: TenantId,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut tenants = self.pace.lock();
        if let Some(lane) = tenants.get_mut(&self.tenant) {
            lane.under_way -= 1;
            if lane.under_way == 0 {
                tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_has_eight_turns_and_another_has_his_own() {
        let pace = Pace::default();
        let now = Timestamp::from_secs(100);
        let tenant = |n: u128| TenantId(uuid::Uuid::from_u128(n));
        let turns: Vec<_> = (0..8)
            .filter_map(|_| pace.take(tenant(1), now).ok())
            .collect();
        assert_eq!(turns.len(), 8);
        let first = pace.take(tenant(1), now).err();
        let second = pace.take(tenant(1), now).err();
        assert_eq!(first, Some(now.plus(APART)));
        assert_eq!(second, Some(now.plus(2 * APART)), "not all at once");
        assert!(pace.take(tenant(2), now).is_ok());

        drop(turns);
        assert!(pace.take(tenant(1), now).is_ok());
        assert!(pace.lock().is_empty(), "nobody is remembered for good");
    }
}
