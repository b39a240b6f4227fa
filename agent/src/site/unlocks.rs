//! Customers who were let in for some hours with a code from the phone, while the cloud could not say so itself (D6).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use easyisp_shared::id::CustomerId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::unlock::{Grant, UnlockCode, made_between};

use super::Site;

/// A code that was used here, and until when it lets its customer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlocked {
    /// What the code says.
    pub grant: Grant,
    /// By this box's clock: no longer than the code says from when it was typed.
    pub until: Timestamp,
}

/// What was used here.
#[derive(Debug, Default)]
pub(super) struct Unlocks(Mutex<HashMap<Grant, Timestamp>>);

impl Site {
    /// What a code grants a customer of this site; `None` when it is no code for him.
    pub fn read_unlock(
        &self,
        customer: CustomerId,
        code: &UnlockCode,
        now: Timestamp,
        is_vouched_for: bool,
    ) -> Option<Grant> {
        code.grant(&self.key, customer, made_between(now, is_vouched_for))
    }

    /// Lets a customer in with it, once.
    ///
    /// `None` when it was used before, or its time is over. A clock that is behind does not make it last: it ends
    /// as many hours from now as the code says, at the latest.
    pub fn take_unlock(&self, grant: Grant, now: Timestamp) -> Option<Unlocked> {
        let hours = std::time::Duration::from_secs(u64::from(grant.hours + 1) * 3600);
        let until = grant.until().min(now.plus(hours));
        let mut used = self.unlocks();
        if until <= now || used.contains_key(&grant) {
            return None;
        }
        used.retain(|held, until| *until > now || held.hour == grant.hour);
        used.insert(grant, until);
        Some(Unlocked { grant, until })
    }

    /// It could not be written down, so it was not used.
    pub fn give_unlock_back(&self, grant: &Grant) {
        self.unlocks().remove(grant);
    }

    /// The same that was written down before a restart.
    pub fn recall_unlock(&self, unlocked: &Unlocked) {
        self.unlocks().insert(unlocked.grant, unlocked.until);
    }

    /// Until when he was let in with a code.
    pub(super) fn unlocked_until(&self, customer: CustomerId) -> Option<Timestamp> {
        let used = self.unlocks();
        let his = used.iter().filter(|(grant, _)| grant.customer == customer);
        his.map(|(_, until)| *until).max()
    }

    fn unlocks(&self) -> MutexGuard<'_, HashMap<Grant, Timestamp>> {
        let held = self.unlocks.0.lock();
        held.unwrap_or_else(PoisonError::into_inner)
    }
}
