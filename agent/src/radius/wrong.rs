//! What a wrong password leads to: a count, a later answer, and a while in which nothing is believed.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::net::Mac;

use super::AccessRequest;
use super::driver::{Radius, mac};
use super::failures::{Attempt, Failures};
use super::later::Later;
use crate::site::Subscriber;

impl Radius {
    /// Whether what is shown under `name` is not looked at. While nobody is barred this is one load.
    pub(super) fn is_barred(
        &self,
        request: &AccessRequest<'_>,
        name: &[u8],
        subscriber: Option<&Subscriber>,
    ) -> bool {
        let until = self.barred_until.load(Ordering::Relaxed);
        if until == 0 {
            return false;
        }
        let now = self.parts.clock.monotonic();
        if micros(now) >= until {
            return false;
        }
        let attempt = self.attempt(request, name, subscriber);
        self.failures().is_barred(attempt, now)
    }

    /// Somebody failed under `name`: counts it, unless it was not even looked at, and lets the answer
    /// wait where that is due.
    pub(super) fn failed(
        &self,
        request: &AccessRequest<'_>,
        name: &[u8],
        subscriber: Option<&Subscriber>,
        barred: bool,
        later: &Later<'_>,
    ) {
        let now = self.parts.clock.monotonic();
        let attempt = self.attempt(request, name, subscriber);
        let mut failures = self.failures();
        if !barred && let Some(until) = failures.note(attempt, now) {
            self.barred_until
                .fetch_max(micros(until), Ordering::Relaxed);
        }
        let delay = failures.delay(attempt, now);
        drop(failures);
        if let Some(delay) = delay {
            later.hold(delay);
        }
    }

    /// The password was right.
    pub(super) fn succeeded(&self, subscriber: &Subscriber, device: Option<Mac>) {
        if let Some(device) = device {
            self.failures().let_in(&subscriber.username, device);
        }
    }

    fn attempt<'a>(
        &self,
        request: &AccessRequest<'a>,
        name: &'a [u8],
        subscriber: Option<&'a Subscriber>,
    ) -> Attempt<'a> {
        let station = request.station.calling;
        let device = mac(station);
        let known = subscriber.zip(device);
        Attempt {
            station,
            device,
            // However it was typed: with a domain before it, it is the same.
            name: subscriber.map_or(name, |subscriber| &subscriber.username),
            familiar: known
                .is_some_and(|(subscriber, device)| self.is_familiar(subscriber, device)),
        }
    }

    /// A device that was let in under the name, or is online, or is known as his.
    fn is_familiar(&self, subscriber: &Subscriber, device: Mac) -> bool {
        let name = &subscriber.username;
        let online = || {
            let open = self.parts.sessions.open_by_name(name);
            open.iter().any(|online| online.session.mac == Some(device))
        };
        subscriber.entitlement.macs.contains(&device)
            || subscriber.remembered_macs.contains(&device)
            || self.failures().knows(name, device)
            || online()
    }

    pub(super) fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(moment: Duration) -> u64 {
    u64::try_from(moment.as_micros()).unwrap_or(u64::MAX)
}
