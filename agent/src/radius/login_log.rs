//! What came of a login, for the customer's timeline and for the cloud.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use easyisp_shared::id::CustomerId;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::{LoginOutcome, LoginV1};
use easyisp_shared::wire::{Up, UpKind};

use super::AccessRequest;
use super::driver::{Known, Radius};
use super::verify::VerifiedAccess;
use crate::diagnosis::{Entry, Novelty, What};
use crate::site::Subscriber;
use crate::store::Record;

impl Radius {
    /// The log of logins stays on this box from here on: the line to the cloud is paid by the octet.
    pub fn keep_logins_here(&self) {
        self.logins_stay.store(true, Ordering::Relaxed);
    }

    /// Notes a login. The cloud hears what is new, within an allowance; the rest is counted.
    pub(super) fn log_login(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        subscriber: Option<&Subscriber>,
        mac: Option<Mac>,
        outcome: LoginOutcome,
        now: Timestamp,
    ) {
        let entry = Entry::once(now, known.router.id, mac, What::Login(outcome));
        let novelty = match subscriber {
            Some(subscriber) => self.parts.timeline.note(subscriber.id, entry),
            None => self.parts.timeline.note_stranger(request.user_name, entry),
        };
        let customer = subscriber.map(|subscriber| subscriber.id);
        let name = request.user_name;
        self.report_login(known, name, (customer, mac), outcome, novelty, now);
    }

    /// Notes a login to the router itself, apart from the customers of the same name.
    pub(super) fn log_router_login(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        username: &[u8],
        outcome: LoginOutcome,
    ) {
        let now = self.parts.clock.now();
        let entry = Entry::once(now, known.router.id, None, What::Login(outcome));
        let apart = [b"router login\0", username].concat();
        let novelty = self.parts.timeline.note_stranger(&apart, entry);
        self.report_login(known, username, (None, None), outcome, novelty, now);
    }

    fn report_login(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        username: &[u8],
        (customer, mac): (Option<CustomerId>, Option<Mac>),
        outcome: LoginOutcome,
        novelty: Novelty,
        now: Timestamp,
    ) {
        match novelty {
            Novelty::Repeated => return,
            Novelty::New => {}
        }
        if self.logins_stay.load(Ordering::Relaxed) {
            return;
        }
        let monotonic = self.parts.clock.monotonic();
        let mut allowance = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if !allowance.take(monotonic) {
            drop(allowance);
            self.parts.counters.count("login_not_reported");
            return;
        }
        drop(allowance);
        let up = Up::Login(LoginV1 {
            at: now,
            router: known.router.id,
            username: username.to_vec(),
            customer,
            mac,
            outcome,
        });
        self.submit_log(record(&up, now));
    }
}

/// A record of `up` in its lane.
pub fn record(up: &Up, now: Timestamp) -> Record {
    let kind: UpKind = up.kind();
    Record {
        lane: kind.lane().code(),
        kind: kind.code(),
        body: up.encode(),
        at: now,
    }
}

/// How many logins may still be reported: 50 a second, 1,000 saved up. Ten thousand dialers after a
/// power cut must not push accounting off the disk.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    spent: f32,
    counted: Duration,
}

impl Allowance {
    fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.counted).as_secs_f32();
        self.counted = now;
        self.spent = (self.spent - passed * PER_SECOND).max(0.0);
        let allowed = self.spent < SAVED_UP;
        if allowed {
            self.spent += 1.0;
        }
        allowed
    }
}

const PER_SECOND: f32 = 50.0;
const SAVED_UP: f32 = 1000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_spent_and_comes_back() {
        let mut allowance = Allowance::default();
        let taken = (0..5000).filter(|_| allowance.take(Duration::from_secs(1)));
        assert_eq!(taken.count(), 1000);
        let taken = (0..5000).filter(|_| allowance.take(Duration::from_secs(3)));
        assert_eq!(taken.count(), 100);
    }
}
