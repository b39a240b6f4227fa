//! How often what happened since the start: nothing is dropped without a count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters by name. The frequent ones cost an addition, the others a lock.
#[derive(Default)]
pub struct Counters {
    /// Access-Accepts sent.
    pub accepted: AtomicU64,
    /// Access-Rejects sent.
    pub rejected: AtomicU64,
    /// Answers sent again for a repeated request.
    pub repeated: AtomicU64,
    /// Accounting-Responses sent, each after its commit.
    pub accounted: AtomicU64,
    rare: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    /// Counts something rare under a name that stands in the code.
    pub fn count(&self, name: &'static str) {
        let mut rare = self.rare.lock().unwrap_or_else(PoisonError::into_inner);
        *rare.entry(name).or_default() += 1;
    }

    /// Every counter by name.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self
            .rare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let frequent = [
            ("accepted", &self.accepted),
            ("rejected", &self.rejected),
            ("repeated", &self.repeated),
            ("accounted", &self.accounted),
        ];
        for (name, counter) in frequent {
            all.insert(name, counter.load(Ordering::Relaxed));
        }
        all
    }
}
