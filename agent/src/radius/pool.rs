//! Random octets fetched a page at a time: asking the system for each answer costs a login in twenty.

use std::sync::{Mutex, PoisonError};

use easyisp_shared::entropy::Entropy;
use zeroize::Zeroize;

/// Octets not yet given out. None is given twice, and what was given is wiped here.
pub(super) struct Pool {
    left: Mutex<Vec<u8>>,
}

impl Pool {
    pub(super) fn new() -> Pool {
        Pool {
            left: Mutex::new(Vec::with_capacity(PAGE)),
        }
    }

    /// `N` octets, of which there must be fewer than a page.
    pub(super) fn take<const N: usize>(&self, entropy: &Entropy) -> [u8; N] {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() < N {
            left.resize(PAGE, 0);
            entropy.fill(&mut left);
        }
        let from = left.len() - N;
        let mut taken = [0; N];
        taken.copy_from_slice(&left[from..]);
        left[from..].zeroize();
        left.truncate(from);
        taken
    }
}

const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_given_twice() {
        let (pool, entropy) = (Pool::new(), Entropy::seeded(1));
        let given: HashSet<[u8; 35]> = (0..1000).map(|_| pool.take(&entropy)).collect();
        assert_eq!(given.len(), 1000);
    }
}
