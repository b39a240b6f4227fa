//! Who comes with something else than a name of ours: a voucher's code, or a known device.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use easyisp_shared::entitlement::{Answer, Live, Reason};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher::{self, VoucherCode, VoucherDigest};
use easyisp_shared::wire::Up;
use easyisp_shared::wire::down::VoucherV1;
use easyisp_shared::wire::question::{AgentQuestion, AskFailure, CloudReply};
use easyisp_shared::wire::up::{DeviceV1, LoginOutcome, RedemptionV1};

use super::driver::{Known, Radius, mac};
use super::later::{Later, Learnt};
use super::login::Random;
use super::login_log::record;
use super::password::{Authenticated, PasswordError};
use super::verify::{Proof, Refused, VerifiedAccess};
use super::{AccessRequest, AccountingRequest, Credential, KnownPassword, Service};
use crate::site::{Fate, Redemption, Subscriber, Turn};
use crate::store::{Change, Committed, Job, Urgency, Write};

/// What he reads who did everything right while our disk takes nothing.
const NOT_STORED: &str = "This site cannot store logins now. Try again in a minute.";

/// Asks the cloud and calls back with what it said.
pub type AskCloud = dyn Fn(AgentQuestion, Duration, Box<dyn FnOnce(Result<CloudReply, AskFailure>) + Send>)
    + Send
    + Sync;

/// How the cloud is asked about codes that are not held here; a bounded number at once.
#[derive(Default)]
pub(super) struct Elsewhere {
    ask: OnceLock<Box<AskCloud>>,
    asking: Arc<AtomicUsize>,
}

/// One login that shows a code.
struct Shows<'a, 'p> {
    known: &'a Known<VerifiedAccess<'p>>,
    /// As it goes into logs and sessions: never with the code.
    request: AccessRequest<'a>,
    device: Option<Mac>,
    digest: VoucherDigest,
    random: &'a Random,
    now: Timestamp,
}

impl Radius {
    /// From here on the cloud can be asked about codes that are not held here.
    pub fn ask_through(&self, ask: Box<AskCloud>) {
        let _asked_already = self.elsewhere.ask.set(ask);
    }

    /// Answers who is no subscriber by name; `None` when he comes with nothing else either.
    pub(super) fn stranger(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        later: &Later<'_>,
        random: &Random,
    ) -> Option<Option<Vec<u8>>> {
        let named = is_named(request.user_name);
        match (request.service, named) {
            (Service::Ppp, false) | (Service::Router, _) => return None,
            (Service::Ppp, true) | (Service::Hotspot | Service::Other, _) => {}
        }
        if let Some(device) = device_name(request) {
            return Some(self.known_device(known, request, device, random));
        }
        let code = VoucherCode::read(request.user_name)?;
        let key = self.parts.site.policy().voucher_key.clone()?;
        Some(self.voucher(known, request, &code, code.digest(&key), later, random))
    }

    /// Whether who is no subscriber by name is known here all the same: what is typed with `V-` is meant
    /// for us, and so are a code that is held or was used here and a device that may come in.
    pub(super) fn knows_stranger(&self, request: &AccessRequest<'_>) -> bool {
        let named = is_named(request.user_name);
        match (request.service, named) {
            (Service::Ppp, false) | (Service::Router, _) => return false,
            (Service::Ppp, true) | (Service::Hotspot | Service::Other, _) => {}
        }
        match device_name(request) {
            Some(device) => self.may_come_in(device).is_some(),
            None => self.knows_code(request.user_name),
        }
    }

    /// The same for whose session is reported.
    pub(super) fn knows_reported(&self, request: &AccountingRequest<'_>) -> bool {
        let name = request.user_name;
        self.parts.site.subscriber(name).is_some()
            || self.owner(request).is_some()
            || self.knows_code(name)
    }

    pub(super) fn knows_code(&self, name: &[u8]) -> bool {
        let site = &self.parts.site;
        let Some(code) = VoucherCode::read(name) else {
            return false;
        };
        let digest = site
            .policy()
            .voucher_key
            .as_ref()
            .map(|key| code.digest(key));
        let held = |digest: &VoucherDigest| {
            site.voucher(digest).is_some() || site.redemption(digest).is_some()
        };
        is_named(name) || digest.as_ref().is_some_and(held)
    }

    /// Whose device this is, where devices may log in by their address.
    fn may_come_in(&self, device: Mac) -> Option<Arc<Subscriber>> {
        let site = &self.parts.site;
        let allowed = site.policy().row.as_ref().is_some_and(|row| row.mac_login);
        match allowed {
            true => site.of_device(device),
            false => None,
        }
    }

    /// The name under which who is `name` goes into sessions and logs.
    pub(super) fn alias(&self, name: &[u8]) -> Option<Vec<u8>> {
        let site = &self.parts.site;
        let code = VoucherCode::read(name)?;
        let digest = code.digest(site.policy().voucher_key.as_ref()?);
        let used = site.redemption(&digest).map(|used| used.voucher);
        let voucher = used.or_else(|| site.voucher(&digest).map(|row| row.voucher));
        Some(match voucher {
            Some(voucher) => voucher::username(voucher).into_bytes(),
            None => voucher::UNKNOWN.as_bytes().to_vec(),
        })
    }

    /// Whose a session under a hardware address is.
    pub(super) fn owner(&self, request: &AccountingRequest<'_>) -> Option<Arc<Subscriber>> {
        let device = str::from_utf8(request.user_name)
            .ok()
            .and_then(Mac::parse)?;
        self.parts.site.of_device(device)
    }

    /// A device logs in by its hardware address: the router, which proved itself, says that it is there.
    /// An unknown one is refused at once and without a word: every phone that passes asks.
    fn known_device(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        device: Mac,
        random: &Random,
    ) -> Option<Vec<u8>> {
        match self.may_come_in(device) {
            Some(subscriber) => {
                self.let_in(known, request, &subscriber, &Authenticated::Plain, random)
            }
            None => {
                self.parts.counters.count("unknown_device");
                self.reject(known, request, None, random)
            }
        }
    }

    /// Whether a customer who would be let in is seen with a device for the first time.
    pub(super) fn must_remember(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        subscriber: &Subscriber,
        device: Mac,
        now: Timestamp,
    ) -> bool {
        let site = &self.parts.site;
        let live = Live {
            mac: Some(device),
            router: Some(known.router.id),
            ..Live::default()
        };
        site.is_new_device(subscriber, device)
            && site.verdict(subscriber, &live, now).answer == Answer::Accept
    }

    /// The first login from a device: it may log in by its address from then on, so that is on stable
    /// storage before the answer.
    pub(super) fn remember(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        (subscriber, device): (&Subscriber, Mac),
        later: &Later<'_>,
    ) -> Option<Vec<u8>> {
        let (customer, now) = (subscriber.id, self.parts.clock.now());
        if later.learnt == Learnt::Fate(Fate::NotStored) {
            let (who, outcome) = (Some(subscriber), LoginOutcome::NotStored);
            self.log_login(known, request, who, Some(device), outcome, now);
            return self.reject_with(known, NOT_STORED);
        }
        let told = Up::Device(DeviceV1 {
            customer,
            mac: device,
            at: now,
        });
        let (radius, resume) = (later.radius.clone(), later.resume());
        let write = Write {
            changes: vec![
                Change::Device(customer, device, now),
                Change::Record(record(&told, now)),
            ],
            urgency: Urgency::Kept,
            done: Box::new(move |committed| match committed {
                Committed::Yes => {
                    radius.parts.site.remember_device(customer, device);
                    resume(Fate::Stored);
                }
                Committed::No => resume(Fate::NotStored),
            }),
        };
        // A refused write has answered already.
        let _told = self.parts.outbox.submit(Job::Write(write));
        None
    }

    fn voucher(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        code: &VoucherCode,
        digest: VoucherDigest,
        later: &Later<'_>,
        random: &Random,
    ) -> Option<Vec<u8>> {
        let site = &self.parts.site;
        let authenticated = match check_code(code, request, known) {
            Ok(authenticated) => Some(authenticated),
            Err(PasswordError::Garbled) if known.packet.proof() == Proof::Unsigned => {
                let cause = Refused::BadRequestAuthenticator;
                self.note_refused(&known.router, cause, known.packet.packet());
                return None;
            }
            Err(_) => None,
        };
        let alias = self.alias(request.user_name)?;
        let shows = Shows {
            known,
            request: AccessRequest {
                user_name: &alias,
                ..request.clone()
            },
            device: mac(request.station.calling),
            digest,
            random,
            now: self.parts.clock.now(),
        };
        let row = site.voucher(&digest);
        let used = site.redemption(&digest).map(|used| used.customer());
        let used = used.or_else(|| {
            let row = row.as_ref().filter(|row| row.used.is_some())?;
            Some(row.voucher.0.into())
        });
        if let (Some(customer), Some(authenticated)) = (used, &authenticated)
            && let Some(subscriber) = site.customer(customer)
        {
            return self.let_in(known, &shows.request, &subscriber, authenticated, random);
        }
        if !self.may_guess(&shows) {
            return self.refuse(&shows, None, LoginOutcome::TooManyTries);
        }
        match (row, authenticated) {
            (Some(row), Some(_)) => self.first_use(&shows, &row, later),
            (None, Some(_)) => self.elsewhere(&shows, later),
            (_, None) => self.wrong_code(&shows, LoginOutcome::WrongPassword),
        }
    }

    /// Nobody used it yet: the first use is on stable storage before anybody is let in. Who shows the
    /// code meanwhile waits for the same write.
    fn first_use(
        &self,
        shows: &Shows<'_, '_>,
        row: &VoucherV1,
        later: &Later<'_>,
    ) -> Option<Vec<u8>> {
        let site = &self.parts.site;
        if later.learnt == Learnt::Fate(Fate::NotStored) {
            return self.refuse(shows, Some(NOT_STORED), LoginOutcome::NotStored);
        }
        if row.expires.is_some_and(|end| end <= shows.now) {
            let reason = Some("The voucher was not used in time.");
            return self.refuse(shows, reason, LoginOutcome::VoucherExpired);
        }
        if site.policy().lease_is_over(shows.now) {
            let reason = Some(Reason::Expired.sentence());
            return self.refuse(shows, reason, LoginOutcome::LeaseOver);
        }
        if site.package(row.package).is_none() {
            let reason = Reason::NoPackage;
            return self.refuse(
                shows,
                Some(reason.sentence()),
                LoginOutcome::Refused(reason),
            );
        }
        if !site.redeems() {
            return self.elsewhere(shows, later);
        }
        match site.take_turn(row.voucher, later.resume()) {
            Turn::First => {
                self.spend(shows, row, later);
                None
            }
            Turn::Waits => None,
            Turn::TooMany => {
                later.at_once();
                self.parts.counters.count("voucher_turns_full");
                None
            }
            // Settled between our look and our turn.
            Turn::Used => {
                later.at_once();
                None
            }
            Turn::Released => {
                later.at_once();
                self.elsewhere(shows, later)
            }
        }
    }

    /// Writes the first use with what the cloud is told of it, in accounting's group commit.
    fn spend(&self, shows: &Shows<'_, '_>, row: &VoucherV1, later: &Later<'_>) {
        let used = Redemption::of(row, shows.device, shows.now);
        let told = Up::Redemption(RedemptionV1 {
            voucher: row.voucher,
            at: shows.now,
            router: shows.known.router.id,
            mac: shows.device,
        });
        let (radius, voucher, filed) = (later.radius.clone(), row.voucher, used.clone());
        let write = Write {
            changes: vec![
                Change::Redemption(Box::new(used)),
                Change::Record(record(&told, shows.now)),
            ],
            urgency: Urgency::Kept,
            done: Box::new(move |committed| {
                let (fate, used) = match committed {
                    Committed::Yes => (Fate::Stored, Some(filed)),
                    Committed::No => (Fate::NotStored, None),
                };
                for resume in radius.parts.site.settle(voucher, used) {
                    resume(fate);
                }
            }),
        };
        // A refused write has told everybody who waits.
        let _told = self.parts.outbox.submit(Job::Write(write));
    }

    /// Not held here: only the cloud can say whether it is good, and it moves here if so.
    fn elsewhere(&self, shows: &Shows<'_, '_>, later: &Later<'_>) -> Option<Vec<u8>> {
        match &later.learnt {
            Learnt::Nothing | Learnt::Fate(_) | Learnt::Old(_) | Learnt::OldSilent => {}
            Learnt::Cloud(Err(AskFailure::NotFound | AskFailure::Refused(_))) => {
                return self.wrong_code(shows, LoginOutcome::UnknownUser);
            }
            Learnt::Cloud(_) => return self.wrong_code(shows, LoginOutcome::VoucherElsewhere),
        }
        let Some(ask) = self.elsewhere.ask.get() else {
            return self.wrong_code(shows, LoginOutcome::UnknownUser);
        };
        let asking = self.elsewhere.asking.clone();
        if asking.fetch_add(1, Ordering::Relaxed) >= MOST_ASKED {
            asking.fetch_sub(1, Ordering::Relaxed);
            return self.refuse(shows, None, LoginOutcome::VoucherElsewhere);
        }
        let question = AgentQuestion::Voucher {
            digest: shows.digest,
            mac: shows.device,
        };
        let (radius, device, again) = (later.radius.clone(), shows.device, later.again());
        let done = move |answer: Result<CloudReply, AskFailure>| {
            asking.fetch_sub(1, Ordering::Relaxed);
            again(Learnt::Cloud(answer.map(|reply| match reply {
                CloudReply::Voucher(row) => radius.parts.site.moved_here(row, device),
                CloudReply::Pong { .. } | CloudReply::Certificate { .. } => {}
            })));
        };
        ask(question, PATIENCE, Box::new(done));
        None
    }

    fn wrong_code(&self, shows: &Shows<'_, '_>, outcome: LoginOutcome) -> Option<Vec<u8>> {
        let now = self.parts.clock.monotonic();
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        guesses.note(shows.device, shows.known.router.id, now);
        drop(guesses);
        self.refuse(shows, None, outcome)
    }

    fn may_guess(&self, shows: &Shows<'_, '_>) -> bool {
        let now = self.parts.clock.monotonic();
        let guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        guesses.may_try(shows.device, shows.known.router.id, now)
    }

    fn refuse(
        &self,
        shows: &Shows<'_, '_>,
        message: Option<&'static str>,
        outcome: LoginOutcome,
    ) -> Option<Vec<u8>> {
        let nobody: Option<&Subscriber> = None;
        self.log_login(
            shows.known,
            &shows.request,
            nobody,
            shows.device,
            outcome,
            shows.now,
        );
        match message {
            None => self.reject(shows.known, &shows.request, None, shows.random),
            Some(message) => self.reject_with(shows.known, message),
        }
    }
}

/// Whether a name is a voucher's as our own pages send it.
fn is_named(name: &[u8]) -> bool {
    name.starts_with(b"V-") || name.starts_with(b"v-")
}

/// The device that logs in by its hardware address, in any of the router's seven ways to write one. The
/// password is the router's own setting and proves nothing; the address must be the one that asks.
fn device_name(request: &AccessRequest<'_>) -> Option<Mac> {
    let device = str::from_utf8(request.user_name)
        .ok()
        .and_then(Mac::parse)?;
    match mac(request.station.calling) {
        Some(asking) if asking != device => None,
        Some(_) | None => Some(device),
    }
}

/// The code is the secret, so it stands for the password too: in its one form, as it was typed, with or
/// without `V-`, or left out.
fn check_code(
    code: &VoucherCode,
    request: &AccessRequest<'_>,
    known: &Known<VerifiedAccess<'_>>,
) -> Result<Authenticated, PasswordError> {
    if let Credential::None = request.credential {
        return Ok(Authenticated::Plain);
    }
    let typed = request.user_name;
    let bare = typed.strip_prefix(b"V-").or(typed.strip_prefix(b"v-"));
    let ways = [code.expose().as_bytes(), typed, bare.unwrap_or(typed), b""];
    let mut wrong = PasswordError::Wrong;
    for way in ways {
        match KnownPassword::new(way).check(request, &known.secret) {
            Ok(authenticated) => return Ok(authenticated),
            Err(cause) => wrong = cause,
        }
    }
    Err(wrong)
}

/// Questions about codes that wait for the cloud at once.
const MOST_ASKED: usize = 16;
/// A router gives up after some seconds; a login that comes again hears the same.
const PATIENCE: Duration = Duration::from_secs(5);
