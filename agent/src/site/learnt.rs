//! What was learnt of a router by listening to it, whatever its record says: how it signs, where it is, what
//! a person should look at.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::condition::{CertificateV1, RouterConditionV1};
use tokio::sync::Notify;

use super::signers::Signers;
use crate::radius::builder::Signature;

/// What was learnt of one router. It outlives the rows that the cloud sends of it.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    pub signers: Signers,
    /// Requests that showed another secret.
    pub mismatches: AtomicU64,
    mismatched: Trouble,
    /// Requests without Message-Authenticator that were dropped for that.
    refused: Trouble,
    full: Trouble,
    /// Microseconds since 1970 of the first request that was taken without one; 0 before.
    unsigned: AtomicI64,
    /// Microseconds since 1970 of the last verified request; 0 before the first.
    seen: AtomicI64,
    /// When it proved last who it is, and when this box met it, among the proofs of all routers; 0 before the first.
    proved: AtomicU64,
    met: AtomicU64,
    /// Whether its RouterOS is known to sign.
    build_signs: AtomicBool,
    orders: AtomicU8,
    away: AtomicBool,
    /// At which address of ours it asked last.
    asked_at: RwLock<Option<IpAddr>>,
    place: Mutex<Option<Place>>,
    /// Microseconds since 1970 of the last move; 0 before the first.
    moved: AtomicI64,
    /// With which it connected by RadSec last.
    certificate: Mutex<Option<CertificateV1>>,
    /// Signs of life.
    signs: AtomicU64,
    /// Whether somebody waits for the next one.
    awaited: AtomicBool,
    waiting: Mutex<Option<Arc<Notify>>>,
}

static PROOFS: AtomicU64 = AtomicU64::new(0);

fn note_next(place: &AtomicU64) {
    let next = PROOFS.fetch_add(1, Ordering::Relaxed) + 1;
    place.store(next, Ordering::Relaxed);
}

/// Something that goes on until the opposite was seen and it has rested for a while.
#[derive(Debug, Default)]
struct Trouble {
    since: AtomicI64,
    last: AtomicI64,
    disproved: AtomicBool,
}

/// Where a router speaks from that is not where its record says (B11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// There.
    pub address: IpAddr,
    /// Since when.
    pub since: Timestamp,
    /// Whether somebody there answered a question of ours as only the router can. What came from there
    /// could have been a copy of an old request, and passwords go to nobody who may be a stranger.
    pub proved: bool,
}

/// Whether a router takes orders that carry a Message-Authenticator (A2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// It answered none yet.
    Unknown,
    /// It answered one.
    Signed,
    /// It was seen to refuse one that it took without.
    Plain,
}

impl Learnt {
    pub fn note_seen(&self, now: Timestamp) {
        self.seen.store(now.micros(), Ordering::Relaxed);
        self.note_alive();
    }

    /// It gave a sign of life, of whatever kind: who waits for one is woken.
    pub fn note_alive(&self) {
        self.signs.fetch_add(1, Ordering::Relaxed);
        // Of every packet only this is asked.
        if !self.awaited.load(Ordering::Relaxed) || !self.awaited.swap(false, Ordering::AcqRel) {
            return;
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.as_ref() {
            waiting.notify_one();
        }
    }

    /// How many it gave.
    pub fn signs(&self) -> u64 {
        self.signs.load(Ordering::Relaxed)
    }

    /// Wakes `who` at its next one.
    pub fn await_life(&self, who: &Arc<Notify>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = Some(who.clone());
        self.awaited.store(true, Ordering::Release);
    }

    pub fn last_seen(&self) -> Option<Timestamp> {
        instant(&self.seen)
    }

    pub fn note_proved(&self) {
        self.mismatched.note_opposite();
        note_next(&self.proved);
    }

    /// This box met it.
    pub fn note_met(&self) {
        note_next(&self.met);
    }

    /// When it proved last who it is, and when this box met it, in the order of all that did; zero is never.
    pub fn proved_and_met(&self) -> (u64, u64) {
        let of = |place: &AtomicU64| place.load(Ordering::Relaxed);
        (of(&self.proved), of(&self.met))
    }

    pub fn note_mismatch(&self, now: Timestamp) {
        self.mismatches.fetch_add(1, Ordering::Relaxed);
        self.mismatched.note(now);
    }

    pub fn mismatched(&self) -> Option<Timestamp> {
        instant(&self.mismatched.last)
    }

    /// Whether what it showed last was another secret: a good request since makes up for any number of bad ones.
    pub fn shows_another_secret(&self) -> bool {
        self.mismatched.goes_on()
    }

    pub fn note_refused(&self, now: Timestamp) {
        self.refused.note(now);
    }

    /// No new session of it is taken.
    pub fn note_full(&self, now: Timestamp) {
        self.full.note(now);
    }

    pub fn note_room(&self) {
        self.full.note_opposite();
    }

    /// Notes a valid Message-Authenticator of this sender; whether it is the first.
    pub fn note_signed(&self, sender: IpAddr) -> bool {
        self.refused.note_opposite();
        self.signers.add(sender)
    }

    pub fn note_unsigned(&self, now: Timestamp) {
        if self.unsigned.load(Ordering::Relaxed) == 0 {
            self.unsigned.store(now.micros(), Ordering::Relaxed);
        }
    }

    /// Since when it is seen to send no Message-Authenticator, where none was ever seen.
    pub fn unsigned_since(&self) -> Option<Timestamp> {
        instant(&self.unsigned).filter(|_| self.signers.is_empty())
    }

    /// Each request says it; the same is not written again.
    pub fn note_asked_at(&self, at: Option<IpAddr>) {
        if at.is_some() && at != self.asked_at() {
            *self
                .asked_at
                .write()
                .unwrap_or_else(PoisonError::into_inner) = at;
        }
    }

    pub fn asked_at(&self) -> Option<IpAddr> {
        *self.asked_at.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note_build(&self, version: &str) {
        if signs(version) {
            self.build_signs.store(true, Ordering::Relaxed);
        }
    }

    pub fn build_signs(&self) -> bool {
        self.build_signs.load(Ordering::Relaxed)
    }

    pub fn orders(&self) -> Orders {
        match self.orders.load(Ordering::Relaxed) {
            1 => Orders::Signed,
            2 => Orders::Plain,
            _ => Orders::Unknown,
        }
    }

    pub fn note_order_taken(&self, signature: Signature) {
        let taken = match signature {
            Signature::MessageAuthenticator => 1,
            Signature::None => 2,
        };
        self.orders.store(taken, Ordering::Relaxed);
    }

    /// Where it speaks from, where its record does not say so.
    pub fn place(&self) -> Option<Place> {
        match self.away.load(Ordering::Acquire) {
            true => *self.lock(),
            false => None,
        }
    }

    /// Whether it may be found elsewhere at `now`: who sends copies of its requests from everywhere moves it
    /// seldom, and costs little.
    pub fn may_move(&self, now: Timestamp) -> bool {
        instant(&self.moved).is_none_or(|last| now.since(last) >= SETTLED)
    }

    pub fn put_place(&self, place: Option<Place>) {
        if let Some(place) = &place {
            self.moved.store(place.since.micros(), Ordering::Relaxed);
        }
        let mut held = self.lock();
        *held = place;
        self.away.store(place.is_some(), Ordering::Release);
    }

    /// Somebody at this address answered a question as only the router can.
    pub fn note_answered(&self, address: IpAddr) {
        if let Some(place) = self.lock().as_mut()
            && place.address == address
        {
            place.proved = true;
        }
    }

    /// What of it a person should look at; `None` when nothing.
    pub fn condition(&self, router: RouterId, now: Timestamp) -> Option<RouterConditionV1> {
        let place = self.place();
        let condition = RouterConditionV1 {
            router,
            mismatched_since: self.mismatched.since(now),
            unsigned_since: self.unsigned_since(),
            refused_since: self.refused.since(now),
            full_since: self.full.since(now),
            moved: place.map(|place| (place.address, place.since)),
            certificate: self.certificate().clone(),
        };
        let anything = condition.mismatched_since.is_some()
            || condition.unsigned_since.is_some()
            || condition.refused_since.is_some()
            || condition.full_since.is_some()
            || condition.moved.is_some()
            || condition.certificate.is_some();
        anything.then_some(condition)
    }

    pub fn note_certificate(&self, certificate: CertificateV1) {
        *self.certificate() = Some(certificate);
    }

    pub fn has_certificate(&self) -> bool {
        self.certificate().is_some()
    }

    fn certificate(&self) -> MutexGuard<'_, Option<CertificateV1>> {
        let held = self.certificate.lock();
        held.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble {
    fn note(&self, now: Timestamp) {
        self.disproved.store(false, Ordering::Relaxed);
        self.last.store(now.micros(), Ordering::Relaxed);
        let first = (0, now.micros());
        let _goes_on =
            self.since
                .compare_exchange(first.0, first.1, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn note_opposite(&self) {
        if !self.disproved.load(Ordering::Relaxed) {
            self.disproved.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was met after the opposite was.
    fn goes_on(&self) -> bool {
        instant(&self.last).is_some() && !self.disproved.load(Ordering::Relaxed)
    }

    /// Since when it goes on. Behind one entry there may be a good router and a bad one, who take turns.
    fn since(&self, now: Timestamp) -> Option<Timestamp> {
        let last = instant(&self.last)?;
        if self.disproved.load(Ordering::Relaxed) && now.since(last) >= RESTED {
            self.since.store(0, Ordering::Relaxed);
        }
        instant(&self.since)
    }
}

/// Whether every request of this RouterOS carries a Message-Authenticator: from 7.15 on.
fn signs(version: &str) -> bool {
    let digits = |text: &str| -> Option<u32> {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        text.get(..end)?.parse().ok()
    };
    let Some((major, rest)) = version.trim_start().split_once('.') else {
        return false;
    };
    // A test build of 7.15 may not have it yet.
    let finished = !rest.contains("beta") && !rest.contains("rc");
    let number = (digits(major), digits(rest));
    match number {
        (Some(7), Some(15)) => finished,
        (Some(7), Some(minor)) => minor > 15,
        (Some(major), Some(_)) => major > 7,
        (None, _) | (_, None) => false,
    }
}

/// What an atomic holds of an instant; 0 stands for none.
fn instant(micros: &AtomicI64) -> Option<Timestamp> {
    let micros = micros.load(Ordering::Relaxed);
    (micros != 0).then(|| Timestamp::from_micros(micros))
}

/// A router that moved stays for so long at least.
const SETTLED: Duration = Duration::from_secs(10);
/// A trouble that did not come for so long, while the opposite did, is over.
const RESTED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routeros_signs_from_7_15_on() {
        for signing in ["7.15", "7.15.3 (stable)", "7.18.2", "7.16rc1", "8.0"] {
            assert!(signs(signing), "{signing}");
        }
        for not in [
            "7.14.3 (stable)",
            "6.49.17",
            "7.15rc2",
            "7.15beta4",
            "",
            "7",
            "x.y",
            "7.x",
        ] {
            assert!(!signs(not), "{not}");
        }
    }

    #[test]
    fn a_router_moves_seldom_however_often_it_is_copied() {
        let learnt = Learnt::default();
        assert!(learnt.may_move(at(100)));
        learnt.put_place(Some(Place {
            address: IpAddr::from([10, 0, 0, 9]),
            since: at(100),
            proved: false,
        }));
        assert!(!learnt.may_move(at(109)));
        learnt.put_place(None);
        assert!(!learnt.may_move(at(109)), "at home in between or not");
        assert!(learnt.may_move(at(110)));
    }

    /// Said until the right secret was proved since, and steadily while two behind one entry take turns.
    #[test]
    fn a_wrong_secret_is_said_until_the_right_one_is_proved() {
        let learnt = Learnt::default();
        let since = |now| {
            let said = learnt.condition(RouterId(uuid::Uuid::nil()), at(now));
            said.and_then(|said| said.mismatched_since)
        };
        learnt.note_proved();
        assert_eq!(since(1), None);
        assert!(!learnt.shows_another_secret());
        learnt.note_mismatch(at(1));
        assert!(learnt.shows_another_secret());
        assert_eq!(since(1), Some(at(1)));
        assert_eq!(since(86_400), Some(at(1)), "silence proves nothing");

        learnt.note_proved();
        assert!(!learnt.shows_another_secret(), "the last one was good");
        assert_eq!(since(2), Some(at(1)), "not yet rested");
        learnt.note_mismatch(at(20));
        learnt.note_proved();
        assert_eq!(since(45), Some(at(1)), "it goes on");
        assert_eq!(since(50), None);
        learnt.note_mismatch(at(60));
        assert_eq!(since(61), Some(at(60)), "a new one");
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }
}
