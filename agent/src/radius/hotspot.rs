//! Who comes with something else than a name of ours: a voucher's code, or a known device.

use std::sync::{Arc, PoisonError};

use easyisp_shared::entitlement::{Answer, Live};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher::{self, VoucherCode, VoucherDigest};
use easyisp_shared::wire::Up;
use easyisp_shared::wire::up::{DeviceV1, LoginOutcome};

use super::driver::{Known, Radius, mac};
use super::later::{Later, Learnt};
use super::login::Random;
use super::login_log::record;
use super::password::{Authenticated, PasswordError};
use super::verify::{Proof, Refused, VerifiedAccess};
use super::{AccessRequest, AccountingRequest, Credential, KnownPassword, Service};
use crate::site::{Fate, Reading, Subscriber};
use crate::store::{Change, Committed, Job, Urgency, Write};

/// What he reads who did everything right while our disk takes nothing.
pub(super) const NOT_STORED: &str = "This site cannot store logins now. Try again in a minute.";

/// One login that shows a code.
pub(super) struct Shows<'a, 'p> {
    pub(super) known: &'a Known<VerifiedAccess<'p>>,
    /// As it goes into logs and sessions: never with the code.
    pub(super) request: AccessRequest<'a>,
    pub(super) device: Option<Mac>,
    pub(super) digest: VoucherDigest,
    pub(super) random: &'a Random,
    pub(super) now: Timestamp,
    /// The same, as the clock showed it.
    pub(super) read: Reading,
}

impl Radius {
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
            return Some(self.known_device(known, request, device, later, random));
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
            || self.owner(name).is_some()
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
    pub(super) fn owner(&self, name: &[u8]) -> Option<Arc<Subscriber>> {
        let device = str::from_utf8(name).ok().and_then(Mac::parse)?;
        self.parts.site.of_device(device)
    }

    /// A device logs in by its hardware address: the router, which proved itself, says that it is there.
    /// An unknown one is refused at once and without a word: every phone that passes asks.
    fn known_device(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        device: Mac,
        later: &Later<'_>,
        random: &Random,
    ) -> Option<Vec<u8>> {
        match self.may_come_in(device) {
            Some(subscriber) => self
                .bind(known, request, (&subscriber, device), later)
                .unwrap_or_else(|| {
                    let shown = &Authenticated::Plain;
                    self.let_in(known, request, &subscriber, shown, random)
                }),
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
        let read = self.parts.clock.reading();
        let shows = Shows {
            known,
            request: AccessRequest {
                user_name: &alias,
                ..request.clone()
            },
            device: mac(request.station.calling),
            digest,
            random,
            now: read.at,
            read,
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
        if !self.may_guess(&shows, row.is_some()) {
            return self.refuse(&shows, None, LoginOutcome::TooManyTries);
        }
        match (row, authenticated) {
            // Its user was deleted, or is not told yet: nobody uses it for the first time again.
            (Some(_), Some(_)) if used.is_some() => {
                let message = Some("The voucher was used.");
                self.refuse(&shows, message, LoginOutcome::UnknownUser)
            }
            (Some(row), Some(_)) => self.first_use(&shows, &row, later),
            (None, Some(_)) => self.elsewhere(&shows, later),
            (_, None) => self.wrong_code(&shows, LoginOutcome::WrongPassword),
        }
    }

    pub(super) fn wrong_code(
        &self,
        shows: &Shows<'_, '_>,
        outcome: LoginOutcome,
    ) -> Option<Vec<u8>> {
        let now = self.parts.clock.monotonic();
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        guesses.note(shows.device, shows.known.router.id, now);
        drop(guesses);
        self.refuse(shows, None, outcome)
    }

    fn may_guess(&self, shows: &Shows<'_, '_>, known: bool) -> bool {
        let now = self.parts.clock.monotonic();
        let guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        guesses.may_try(shows.device, now)
            && (known || guesses.may_look_up(shows.known.router.id, now))
    }

    pub(super) fn refuse(
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
