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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use easyisp_shared::seal::SealKey;
    use uuid::Uuid;

    use super::super::Ranges;
    use super::*;

    /// A code is good once and for its hours: a box whose clock is days behind counts them from when it was typed.
    #[test]
    fn a_code_is_taken_once_and_lasts_for_its_hours_by_any_clock() {
        let hour = |hours: u64| {
            Timestamp::from_secs(1_800_000_000).plus(Duration::from_secs(3600 * hours))
        };
        let customer = CustomerId(Uuid::from_u128(5));
        let made = |serial| Grant::new(customer, 4, serial, hour(0)).unwrap();
        let site = Site::new(SealKey::new([1; 32]), Ranges::new(Vec::new()));

        let taken = site.take_unlock(made(0), hour(1)).unwrap();
        assert_eq!(taken.until, made(0).until());
        assert_eq!(site.take_unlock(made(0), hour(1)), None, "once");
        assert_eq!(site.unlocked_until(customer), Some(taken.until));
        assert_eq!(site.take_unlock(made(1), hour(6)), None, "over");

        let behind = hour(0).minus(Duration::from_secs(72 * 3600));
        let taken = site.take_unlock(made(2), behind).unwrap();
        assert_eq!(taken.until, behind.plus(Duration::from_secs(5 * 3600)));

        site.give_unlock_back(&made(0));
        assert!(
            site.take_unlock(made(0), hour(1)).is_some(),
            "it was not written down"
        );
        let restarted = Site::new(SealKey::new([1; 32]), Ranges::new(Vec::new()));
        restarted.recall_unlock(&taken);
        assert_eq!(restarted.take_unlock(made(2), behind), None);
    }
}
