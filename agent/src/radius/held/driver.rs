//! Keeps rejects back and sends them when they are due.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Queue;
use crate::radius::driver::Radius;
use crate::radius::later::Send;
use crate::radius::packet::Authenticator;
use crate::radius::reply_cache::Slot;
use crate::sizes::Size;

/// An answer that waits.
pub(in crate::radius) struct Answer {
    pub(in crate::radius) slot: Slot,
    pub(in crate::radius) authenticator: Authenticator,
    pub(in crate::radius) octets: Arc<[u8]>,
    pub(in crate::radius) send: Send,
}

/// The answers that wait, at most `MOST`.
#[derive(Default)]
pub(in crate::radius) struct Held {
    queue: Mutex<Queue<Answer>>,
    sooner: Notify,
    /// Whether somebody sends them; a radius without a runtime answers at once.
    served: AtomicBool,
}

impl Held {
    /// Keeps an answer for this long; gives it back when there is no room, to be sent at once.
    pub(in crate::radius) fn keep(&self, wait: Duration, answer: Answer) -> Result<(), Answer> {
        if !self.served.load(Ordering::Acquire) {
            return Err(answer);
        }
        self.queue().put(Instant::now() + wait, answer)?;
        self.sooner.notify_one();
        Ok(())
    }

    pub(in crate::radius) fn size(&self) -> Size {
        self.queue().size()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Answer>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Radius {
    /// Sends what is held when it is due, until cancelled; then what is left goes at once.
    pub async fn send_held(self: Arc<Self>, cancel: CancellationToken) {
        let held = &self.held;
        held.served.store(true, Ordering::Release);
        loop {
            let next = held.queue().next_due();
            let due = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                () = held.sooner.notified() => {}
                () = due => {}
            }
            let due = held.queue().take_due(Instant::now());
            self.send_all(due);
        }
        held.served.store(false, Ordering::Release);
        let rest = std::mem::take(&mut *held.queue());
        self.send_all(rest.into_all());
    }

    fn send_all(&self, answers: Vec<Answer>) {
        for answer in answers {
            self.send_answer(answer);
        }
    }

    /// Settles the slot first: a copy that comes now gets the same octets.
    pub(in crate::radius) fn send_answer(&self, answer: Answer) {
        let Answer {
            slot,
            authenticator,
            octets,
            send,
        } = answer;
        self.replies(slot)
            .finish(slot, &authenticator, octets.clone());
        if !send(&octets) {
            self.parts.counters.count("held_answer_not_sent");
        }
    }
}
