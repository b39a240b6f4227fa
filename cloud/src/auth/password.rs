//! Password hashes: Argon2id (RFC 9106) with a pepper, a bounded number at once.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{Algorithm, Argon2, Block, KeyId, Params, ParamsBuilder, PasswordHash, Version};
use easyisp_shared::entropy::Entropy;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, oneshot};
use zeroize::Zeroizing;

use crate::error::ApiError;

/// The floor: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// More passes than this no calibration chooses.
const MOST_PASSES: u32 = 40;
/// Names the pepper in a hash, for the day there is a second one.
const PEPPER: &[u8] = b"1";
/// Requests that wait for a hash; more are told to come back.
const QUEUE: usize = 128;

/// How nice the threads are that hash, of 19: each gets a tenth of what others get who want the same processor.
const BEHIND: i32 = 10;

/// Makes and checks hashes. Cloning shares the queue.
#[derive(Clone)]
pub struct Hasher {
    inner: Arc<Inner>,
}

struct Inner {
    pepper: Zeroizing<[u8; 32]>,
    params: Params,
    entropy: Entropy,
    /// A hash no password has: checked when there is no account, so that the answer takes as long.
    nobody: String,
    /// What hashes are made in, kept for the next ones: a block for each that runs at once, and no more. Asked of
    /// the allocator anew each time, a rush of logins leaves a gigabyte behind in it.
    memory: Mutex<Vec<Vec<Block>>>,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// What a check found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// Another password.
    Wrong,
    /// The password.
    Right,
    /// The password, hashed with less work than today's: hash it again.
    Stale,
}

impl Hasher {
    /// With as many passes as take about `aim` on this machine; never below the floor.
    pub fn new(pepper: Zeroizing<[u8; 32]>, aim: Duration, entropy: Entropy) -> Hasher {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let passes = passes_for(aim, &pepper);
        let params = params(passes);
        let nobody = of_nobody(&params, &entropy);
        Hasher {
            inner: Arc::new(Inner {
                pepper,
                params,
                entropy,
                nobody,
                memory: Mutex::default(),
                running: Arc::new(Semaphore::new(2 * cores)),
                waiting: Arc::new(Semaphore::new(2 * cores + QUEUE)),
            }),
        }
    }

    /// A new password: four groups of four letters and digits, none of which looks like another.
    pub fn invent(&self) -> SecretString {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut text = Zeroizing::new(String::with_capacity(19));
        for (place, byte) in self.inner.entropy.bytes::<16>().iter().enumerate() {
            if place > 0 && place % 4 == 0 {
                text.push('-');
            }
            text.push(char::from(LETTERS[usize::from(byte % 32)]));
        }
        SecretString::from(text.as_str())
    }

    /// A hash to store.
    pub async fn hash(&self, password: &SecretString) -> Result<String, ApiError> {
        let password = password.clone();
        self.run(move |inner| {
            let password = password.expose_secret().as_bytes();
            inner.hash(password)
        })
        .await
    }

    /// Compares a password with a stored hash. No hash at all takes as long and is wrong.
    pub async fn check(
        &self,
        password: &SecretString,
        stored: Option<&str>,
    ) -> Result<Checked, ApiError> {
        let (password, stored) = (password.clone(), stored.map(str::to_owned));
        self.run(move |inner| inner.check(password.expose_secret(), stored.as_deref()))
            .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let busy = || ApiError::Unavailable {
            message: "Too many people are signing in at once; try again in a moment".to_owned(),
        };
        let place = self.inner.waiting.clone().try_acquire_owned();
        let place = place.map_err(|_| busy())?;
        let turn = self.inner.running.clone().acquire_owned().await;
        let turn = turn.map_err(|_| busy())?;
        let inner = self.inner.clone();
        let (told, worked) = oneshot::channel();
        // A thread of its own, because it can step back behind the others and not forward again.
        let thread = std::thread::Builder::new().name("password".to_owned());
        let begun = thread.spawn(move || {
            // Held by the work itself: who hangs up meanwhile makes no room for more of it.
            let _held = (place, turn);
            step_back();
            let _nobody_waits = told.send(work(&inner));
        });
        begun.map_err(ApiError::internal)?;
        worked.await.map_err(ApiError::internal)
    }
}

impl Inner {
    fn check(&self, password: &str, stored: Option<&str>) -> Checked {
        let Ok(parsed) = PasswordHash::new(stored.unwrap_or(&self.nobody)) else {
            return Checked::Wrong;
        };
        let (Ok(params), Some(salt)) = (Params::try_from(&parsed), parsed.salt) else {
            return Checked::Wrong;
        };
        // Outputs are compared in constant time.
        let made = self.derive(&params, password.as_bytes(), salt.as_ref());
        if made.is_none() || made != parsed.hash || stored.is_none() {
            return Checked::Wrong;
        }
        match work(&params) >= work(&self.params) {
            true => Checked::Right,
            false => Checked::Stale,
        }
    }

    fn hash(&self, password: &[u8]) -> String {
        let salt = self.entropy.bytes::<16>();
        let made = self.derive(&self.params, password, &salt);
        let made = made.expect("16 bytes of salt and these parameters make a hash");
        written(&self.params, &salt, made)
    }

    /// 32 bytes of Argon2id with the pepper; `None` for parameters that are none.
    fn derive(&self, params: &Params, password: &[u8], salt: &[u8]) -> Option<Output> {
        let free = || self.memory.lock().expect("nobody panics here");
        let mut memory = free().pop().unwrap_or_default();
        memory.resize(params.block_count(), Block::default());
        let mut out = [0; 32];
        let made = with(&self.pepper, params).hash_password_into_with_memory(
            password,
            salt,
            &mut out,
            &mut memory[..],
        );
        free().push(memory);
        made.ok()?;
        Output::new(&out).ok()
    }
}

/// Lets every other thread go first from here on: a thousand people who sign in keep the processors busy for minutes,
/// and nobody who is at work shall wait for that. On Linux a priority is a thread's own.
fn step_back() {
    let _as_it_is = rustix::process::setpriority_process(None, BEHIND);
}

fn work(params: &Params) -> u64 {
    u64::from(params.m_cost()) * u64::from(params.t_cost())
}

/// As much work to check as any, and drawn without that work.
fn of_nobody(params: &Params, entropy: &Entropy) -> String {
    let out = Output::new(&entropy.bytes::<32>()).expect("32 bytes are a hash");
    written(params, &entropy.bytes::<16>(), out)
}

/// A hash as it is stored.
fn written(params: &Params, salt: &[u8; 16], made: Output) -> String {
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).expect("these parameters are short enough"),
        salt: Some(Salt::new(salt).expect("16 bytes are a salt")),
        hash: Some(made),
    };
    hash.to_string()
}

fn with<'a>(pepper: &'a [u8; 32], params: &Params) -> Argon2<'a> {
    Argon2::new_with_secret(pepper, Algorithm::Argon2id, Version::V0x13, params.clone())
        .expect("a pepper of 32 bytes is short enough")
}

fn params(passes: u32) -> Params {
    ParamsBuilder::new()
        .m_cost(MEMORY_KIB)
        .t_cost(passes)
        .p_cost(1)
        .keyid(KeyId::new(PEPPER).expect("one byte is short enough"))
        .build()
        .expect("the parameters are in range")
}

fn passes_for(aim: Duration, pepper: &[u8; 32]) -> u32 {
    if aim.is_zero() {
        return PASSES;
    }
    let floor = params(PASSES);
    let begun = Instant::now();
    let mut out = [0; 32];
    if with(pepper, &floor)
        .hash_password_into(b"calibration", &[0; 16], &mut out)
        .is_err()
    {
        return PASSES;
    }
    let took = begun.elapsed().max(Duration::from_millis(1));
    let passes = PASSES * u32::try_from(aim.as_micros() / took.as_micros()).unwrap_or(1);
    passes.clamp(PASSES, MOST_PASSES)
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn hasher(pepper: u8) -> Hasher {
        Hasher::new(
            Zeroizing::new([pepper; 32]),
            Duration::ZERO,
            Entropy::seeded(1),
        )
    }

    #[test]
    fn an_invented_password_can_be_read_out() {
        let password = hasher(1).invent();
        let text = password.expose_secret();
        assert_eq!(text.len(), 19);
        assert!(text.split('-').all(|group| group.len() == 4), "{text}");
        assert!(!text.contains(['0', 'o', '1', 'l']), "{text}");
    }

    #[tokio::test]
    async fn a_hash_names_its_floor_and_opens_with_its_pepper_only() {
        let password = SecretString::from("correct horse battery");
        let stored = hasher(1).hash(&password).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid="),
            "{stored}"
        );

        let form = |hash: &str| {
            let parsed = PasswordHash::new(hash).unwrap();
            let (salt, output) = (parsed.salt.unwrap(), parsed.hash.unwrap());
            (parsed.params.to_string(), salt.len(), output.len())
        };
        assert_eq!(form(&hasher(1).inner.nobody), form(&stored));

        let check = |hasher: Hasher, text: &str, stored: Option<String>| {
            let text = SecretString::from(text);
            async move { hasher.check(&text, stored.as_deref()).await.unwrap() }
        };
        let right = check(hasher(1), "correct horse battery", Some(stored.clone()));
        assert_eq!(right.await, Checked::Right);
        let wrong = check(hasher(1), "correct horse batterY", Some(stored.clone()));
        assert_eq!(wrong.await, Checked::Wrong);
        let other = check(hasher(2), "correct horse battery", Some(stored));
        assert_eq!(other.await, Checked::Wrong);
        assert_eq!(check(hasher(1), "anything", None).await, Checked::Wrong);
    }
}
