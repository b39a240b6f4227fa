//! The tokens that providers give for keys: remembered until shortly before their end, fetched once when many ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use easyisp_shared::time::{Clock, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

/// How long before its end a token is fetched anew.
const MARGIN: Duration = Duration::from_secs(60);
/// Most tokens remembered; more are fetched anew.
const MOST: usize = 10_000;

/// A token, and how long it is good from now.
pub(super) struct Token {
    pub(super) value: SecretString,
    pub(super) life: Duration,
}

/// Names keys without holding them.
pub(super) fn fingerprint(keys: [&SecretString; 2]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in keys.map(ExposeSecret::expose_secret) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// What is remembered. Cloning shares it.
#[derive(Clone)]
pub(super) struct Tokens {
    clock: Clock,
    slots: Arc<StdMutex<HashMap<[u8; 32], Slot>>>,
}

/// A token and whoever waits for it.
type Slot = Arc<Mutex<Option<Kept>>>;

struct Kept {
    value: SecretString,
    until: Timestamp,
}

impl Tokens {
    pub(super) fn new(clock: Clock) -> Tokens {
        Tokens {
            clock,
            slots: Arc::default(),
        }
    }

    /// The token of those keys: from memory unless it is old or was `rejected`, else what `fetch` brings.
    pub(super) async fn of<E>(
        &self,
        keys: [u8; 32],
        rejected: Option<&SecretString>,
        fetch: impl Future<Output = Result<Token, E>>,
    ) -> Result<SecretString, E> {
        let slot = self.slot(keys);
        let mut slot = slot.lock().await;
        if let Some(kept) = slot.as_ref()
            && self.clock.now() < kept.until
            && rejected.is_none_or(|old| old.expose_secret() != kept.value.expose_secret())
        {
            return Ok(kept.value.clone());
        }
        let token = fetch.await?;
        let until = self.clock.now().plus(token.life.saturating_sub(MARGIN));
        let value = token.value;
        Ok(slot.insert(Kept { value, until }).value.clone())
    }

    fn slot(&self, keys: [u8; 32]) -> Slot {
        let mut slots = self.slots.lock().expect("no code panics under this lock");
        if slots.len() >= MOST {
            slots.clear();
        }
        slots.entry(keys).or_default().clone()
    }
}
