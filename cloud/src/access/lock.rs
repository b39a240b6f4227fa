//! Who sees a page: whoever shows the way's secret, once and soon, and from then on the browser that did.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A way's lock.
pub struct Lock(Mutex<State>);

/// Digests alone are kept.
enum State {
    /// Nobody has come in.
    Shut { secret: [u8; 32], until: Timestamp },
    /// The browser that holds this came in; nobody else will.
    Taken { cookie: [u8; 32] },
}

impl Lock {
    /// A lock, and the secret that opens it once.
    pub fn new(entropy: &Entropy, now: Timestamp) -> (Lock, String) {
        let secret = random(entropy);
        let shut = State::Shut {
            secret: digest(&secret),
            until: now.plus(SOON),
        };
        (Lock(Mutex::new(shut)), secret)
    }

    /// What a browser holds from here on that shows the secret; `None` where it is not the secret, not soon enough, or
    /// not the first time.
    ///
    /// Nobody guesses 256 bits, so nobody is counted who tries: else whoever shares an address could lock its owner out.
    pub fn take(&self, shown: &str, entropy: &Entropy, now: Timestamp) -> Option<String> {
        let mut state = self.state();
        let State::Shut { secret, until } = &*state else {
            return None;
        };
        if *until <= now || !bool::from(digest(shown).ct_eq(secret)) {
            return None;
        }
        let cookie = random(entropy);
        *state = State::Taken {
            cookie: digest(&cookie),
        };
        Some(cookie)
    }

    /// Whether this is what the browser holds that came in.
    pub fn opens_to(&self, shown: &str) -> bool {
        match &*self.state() {
            State::Taken { cookie } => digest(shown).ct_eq(cookie).into(),
            State::Shut { .. } => false,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random(entropy: &Entropy) -> String {
    URL_SAFE_NO_PAD.encode(entropy.bytes::<32>())
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// A console posts the secret at once; a person copies it.
const SOON: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn the_secret_opens_once_and_soon() {
        let entropy = Entropy::seeded(4);
        let (lock, secret) = Lock::new(&entropy, NOW);
        for _ in 0..100 {
            assert_eq!(lock.take("guessed", &entropy, NOW), None);
        }
        assert!(!lock.opens_to(&secret));
        let cookie = lock.take(&secret, &entropy, NOW).unwrap();
        assert!(lock.opens_to(&cookie));
        assert!(!lock.opens_to(&secret), "the secret is not the cookie");
        assert_eq!(lock.take(&secret, &entropy, NOW), None, "once");
        assert!(lock.opens_to(&cookie), "who tries again locks nobody out");

        let (late, secret) = Lock::new(&entropy, NOW);
        assert_eq!(late.take(&secret, &entropy, NOW.plus(SOON)), None);
        assert!(!late.opens_to(""));
    }
}
