//! Where random bytes come from: the operating system, or a seed in a simulation.

use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

/// A source of random bytes, handed to whoever needs them. Cloning shares the source.
#[derive(Clone, Default)]
pub struct Entropy {
    seeded: Option<Arc<Mutex<Seeded>>>,
}

struct Seeded {
    seed: u64,
    block: u64,
}

impl Entropy {
    /// The operating system's generator: for everything a customer can meet.
    pub fn system() -> Entropy {
        Entropy { seeded: None }
    }

    /// A stream that depends on the seed alone: for simulations, where a run must repeat.
    pub fn seeded(seed: u64) -> Entropy {
        Entropy {
            seeded: Some(Arc::new(Mutex::new(Seeded { seed, block: 0 }))),
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
