//! Where random bytes come from: the operating system, or a seed in a simulation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

/// A source of random bytes, handed to whoever needs them. Cloning shares the source.
#[derive(Clone, Default)]
pub struct Entropy {
    seeded: Option<Arc<Mutex<Seeded>>>,
    /// The last millisecond that [`Entropy::within`] numbered, and how far it came, in its lowest 16 bits.
    numbered: Arc<AtomicU64>,
}

struct Seeded {
    seed: u64,
    block: u64,
}

impl Entropy {
    /// The operating system's generator: for everything a customer can meet.
    pub fn system() -> Entropy {
        Entropy::default()
    }

    /// A stream that depends on the seed alone: for simulations, where a run must repeat.
    pub fn seeded(seed: u64) -> Entropy {
        Entropy {
            seeded: Some(Arc::new(Mutex::new(Seeded { seed, block: 0 }))),
            ..Entropy::default()
        }
    }

    /// Fills `bytes`. A machine whose generator fails cannot keep a secret, so that panics.
    pub fn fill(&self, bytes: &mut [u8]) {
        let Some(seeded) = &self.seeded else {
            getrandom::fill(bytes).expect("the operating system has a random generator");
            return;
        };
        let mut stream = seeded.lock().expect("filling bytes does not panic");
        for chunk in bytes.chunks_mut(32) {
            stream.block += 1;
            let mut hash = Sha256::new();
            hash.update(stream.seed.to_le_bytes());
            hash.update(stream.block.to_le_bytes());
            chunk.copy_from_slice(&hash.finalize()[..chunk.len()]);
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A number below `bound`, without bias worth speaking of (64 random bits).
    pub fn below(&self, bound: u64) -> u64 {
        let random = u64::from_le_bytes(self.bytes());
        ((u128::from(random) * u128::from(bound)) >> 64) as u64
    }
}

impl Entropy {
    /// How many came before this call in the same millisecond; `None` after `most`, and of one that is past.
    pub(crate) fn within(&self, millis: u64, most: u16) -> Option<u16> {
        let step = |held: u64| {
            let (last, count) = (held >> 16, held & 0xffff);
            match last.cmp(&millis) {
                std::cmp::Ordering::Less => Some(millis << 16),
                std::cmp::Ordering::Equal if count < u64::from(most) => Some(held + 1),
                std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => None,
            }
        };
        let relaxed = Ordering::Relaxed;
        let held = self.numbered.fetch_update(relaxed, relaxed, step).ok()?;
        let next = step(held)?;
        Some((next & 0xffff) as u16)
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.seeded.is_some() {
            "Entropy(seeded)"
        } else {
            "Entropy(system)"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_another_differs() {
        assert_eq!(
            Entropy::seeded(7).bytes::<40>(),
            Entropy::seeded(7).bytes::<40>()
        );
        assert_ne!(
            Entropy::seeded(7).bytes::<40>(),
            Entropy::seeded(8).bytes::<40>()
        );
    }

    #[test]
    fn below_stays_below() {
        let entropy = Entropy::seeded(3);
        assert!((0..1000).all(|_| entropy.below(7) < 7));
    }
}
