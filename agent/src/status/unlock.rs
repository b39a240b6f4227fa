//! Codes from the phone: typed at this box, they let a customer in for some hours with the cloud gone (D6).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use easyisp_shared::time::Timestamp;
use easyisp_shared::unlock::UnlockCode;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::up::UnlockV1;
use tokio::sync::{mpsc, oneshot};

use crate::radius::login_log::record;
use crate::site::{PasswordChange, Site, SiteClock, Touched};
use crate::store::{Change, Committed, Job, Outbox, Urgency, Write};

/// Takes codes.
pub struct Unlocker {
    site: Arc<Site>,
    outbox: Outbox,
    clock: Arc<SiteClock>,
    touched: mpsc::Sender<Touched>,
    guesses: Mutex<Guesses>,
}

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No code for this name, or nobody of this name: nobody learns which.
    #[error(
        "this is no code for this name: have it read out again, and see that the name is right"
    )]
    Wrong,
    /// It was used, or its time is over.
    #[error("this code was used already or is over: have a new one made")]
    Over,
    /// Too many were wrong.
    #[error("too many codes were wrong: wait for an hour")]
    TooMany,
    /// The disk does not take it.
    #[error("this box cannot write it down: see its doctor")]
    NotStored,
}

impl Unlocker {
    /// With nothing guessed yet.
    pub(crate) fn new(
        site: Arc<Site>,
        outbox: Outbox,
        clock: Arc<SiteClock>,
        touched: mpsc::Sender<Touched>,
    ) -> Unlocker {
        Unlocker {
            site,
            outbox,
            clock,
            touched,
            guesses: Mutex::default(),
        }
    }

    /// Lets a customer in with the code that somebody typed; until when. It is on stable storage before he is.
    pub async fn unlock(&self, name: &str, typed: &str) -> Result<Timestamp, Refusal> {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let name = name.trim();
        if !self.guesses(|guesses| guesses.may(name, monotonic)) {
            return Err(Refusal::TooMany);
        }
        let known = self.site.subscriber(name.as_bytes());
        let granted = known
            .zip(UnlockCode::parse(typed))
            .and_then(|(known, code)| {
                self.site
                    .read_unlock(known.id, &code, now, self.clock.trusted())
            });
        let Some(grant) = granted else {
            self.guesses(|guesses| guesses.note(name, monotonic));
            return Err(Refusal::Wrong);
        };
        let unlocked = self.site.take_unlock(grant, now).ok_or(Refusal::Over)?;
        let told = Up::Unlock(UnlockV1 {
            customer: grant.customer,
            hour: grant.hour,
            hours: grant.hours,
            serial: grant.serial,
            at: now,
            until: unlocked.until,
        });
        let (done, stored) = oneshot::channel();
        let write = Write {
            changes: vec![Change::Unlock(unlocked), Change::Record(record(&told, now))],
            urgency: Urgency::Kept,
            done: Box::new(move |committed| {
                let _nobody_waits = done.send(committed);
            }),
        };
        let _refused_is_told = self.outbox.submit(Job::Write(write));
        if stored.await != Ok(Committed::Yes) {
            self.site.give_unlock_back(&grant);
            return Err(Refusal::NotStored);
        }
        let touched = Touched::Customer {
            customer: grant.customer,
            password: PasswordChange::Same,
        };
        let _stopping = self.touched.send(touched).await;
        Ok(unlocked.until)
    }

    fn guesses<T>(&self, look: impl FnOnce(&mut Guesses) -> T) -> T {
        look(&mut self.guesses.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The wrong codes of the last hour, at most [`MOST`].
#[derive(Debug, Default)]
struct Guesses(VecDeque<(String, Duration)>);

impl Guesses {
    /// Whether one more may be tried: of 10^10 codes for each of a hundred hours, an hour of guessing meets one in
    /// some three million.
    fn may(&mut self, name: &str, now: Duration) -> bool {
        let over = |at: &Duration| now.saturating_sub(*at) >= FORGOTTEN;
        while self.0.front().is_some_and(|(_, at)| over(at)) {
            self.0.pop_front();
        }
        let his = self.0.iter().filter(|(held, _)| held == name);
        self.0.len() < MOST && his.count() < MOST_OF_A_NAME
    }

    fn note(&mut self, name: &str, now: Duration) {
        let name = name.chars().take(64).collect();
        self.0.push_back((name, now));
    }
}

const FORGOTTEN: Duration = Duration::from_secs(3600);
const MOST: usize = 30;
const MOST_OF_A_NAME: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_ends_for_a_name_and_for_everybody_and_begins_again() {
        let mut guesses = Guesses::default();
        let at = Duration::from_secs;
        for _ in 0..MOST_OF_A_NAME {
            assert!(guesses.may("jane", at(1)));
            guesses.note("jane", at(1));
        }
        assert!(!guesses.may("jane", at(2)));
        for number in MOST_OF_A_NAME..MOST {
            let name = format!("home{number}");
            assert!(guesses.may(&name, at(2)));
            guesses.note(&name, at(2));
        }
        assert!(!guesses.may("anybody", at(3)));
        assert!(guesses.may("jane", at(3602)));
    }
}
