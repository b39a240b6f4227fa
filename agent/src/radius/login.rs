//! A login: password, entitlement, place, answer.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use easyisp_shared::entitlement::{Answer, Live, Reason, Verdict};
use easyisp_shared::net::Mac;
use easyisp_shared::setup::ANTI_SHARING;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{Connection, PackageV1};
use easyisp_shared::wire::up::LoginOutcome;

use super::driver::{Known, Radius, mac};
use super::later::Later;
use super::networks::Networks;
use super::password::{Authenticated, PasswordError};
use super::reply::{Accept, EapGrant, MsChapError, MsChapReason, MsChapV2Grant, Reject};
use super::verify::{Proof, Refused, VerifiedAccess};
use super::{AccessRequest, Credential, KnownPassword, Service};
use crate::sessions::{self, Grant, Metered};
use crate::site::{Policy, Subscriber};

/// Random octets of one answer.
pub(super) struct Random {
    cookie: [u8; 16],
    challenge: [u8; 16],
    salt: [u8; 2],
    jitter: u8,
}

/// A login that was decided on.
struct Decided {
    verdict: Verdict,
    outcome: LoginOutcome,
}

impl Radius {
    /// Decides on a verified login and writes the answer; `None` is silence.
    pub(super) fn log_in(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        later: &Later<'_>,
    ) -> Option<Vec<u8>> {
        let request = AccessRequest::read(&known.packet);
        if let Some(answered) = self.beside_old_server(known, &request, later) {
            return answered;
        }
        if let Some(answered) = self.lease(known, &request) {
            return answered;
        }
        match (request.service, request.credential) {
            (Service::Router, _) => return self.router_login(known, &request, later),
            (_, Credential::Eap { .. }) => return self.converse(known, &request, later),
            (_, _) => {}
        }
        let now = self.parts.clock.now();
        let device = mac(request.station.calling);
        let random = self.random();
        let subscriber = self.parts.site.subscriber(request.user_name);

        if subscriber.is_none()
            && let Some(answered) = self.stranger(known, &request, later, &random)
        {
            return answered;
        }
        let credentials = match &subscriber {
            Some(subscriber) => check_password(subscriber, &request, known),
            None => Err(unknown_user(&request, known)),
        };
        let subscriber = subscriber.as_deref();
        let barred = self.is_barred(&request, request.user_name, subscriber);
        let authenticated = match (credentials, subscriber) {
            (Ok(authenticated), Some(_)) if !barred => {
                if let Credential::Pap { .. } = request.credential {
                    known.router.note_proved(&known.secret); // it hid the password under it
                }
                authenticated
            }
            (Err(PasswordError::Garbled), _) if known.packet.proof() == Proof::Unsigned => {
                // Another secret on the router looks like this: not the customer's fault (A5).
                let cause = Refused::BadRequestAuthenticator;
                self.note_refused(&known.router, cause, known.packet.packet());
                return None;
            }
            (Ok(_) | Err(_), _) => {
                let outcome = match (barred, subscriber) {
                    (true, _) => LoginOutcome::TooManyTries,
                    (false, Some(_)) => LoginOutcome::WrongPassword,
                    (false, None) => LoginOutcome::UnknownUser,
                };
                self.log_login(known, &request, subscriber, device, outcome, now);
                self.failed(&request, request.user_name, subscriber, barred, later);
                return self.reject(known, &request, None, &random);
            }
        };
        let subscriber = subscriber?;
        if let Some(device) = device
            && let Some(answered) = self.bind(known, &request, (subscriber, device), later)
        {
            return answered;
        }
        if let Some(device) = device
            && self.must_remember(known, subscriber, device, now)
        {
            return self.remember(known, &request, (subscriber, device), later);
        }
        self.let_in(known, &request, subscriber, &authenticated, &random)
    }

    /// Answers who proved himself: entitlement, place, attributes.
    pub(super) fn let_in(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        subscriber: &Subscriber,
        authenticated: &Authenticated,
        random: &Random,
    ) -> Option<Vec<u8>> {
        let now = self.parts.clock.now();
        let device = mac(request.station.calling);
        self.succeeded(subscriber, device);
        let decided = self.decide(known, subscriber, device, random, now);
        let outcome = decided.outcome;
        self.log_login(known, request, Some(subscriber), device, outcome, now);
        match decided.verdict.answer {
            Answer::Accept => self.accept(
                known,
                request,
                subscriber,
                &decided.verdict,
                authenticated,
                random,
                now,
            ),
            Answer::WalledGarden => self.garden(
                known,
                request,
                subscriber,
                &decided.verdict,
                authenticated,
                random,
            ),
            Answer::Reject => self.reject(known, request, Some(decided.verdict.reason), random),
        }
    }

    /// Decides and keeps a place in one step.
    fn decide(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        subscriber: &Subscriber,
        device: Option<Mac>,
        random: &Random,
        now: Timestamp,
    ) -> Decided {
        let site = &self.parts.site;
        let metered = Metered::of(site, subscriber, now);
        self.parts.sessions.admit(
            subscriber.who(),
            device,
            metered.as_ref(),
            now,
            |standing| {
                let live = Live {
                    mac: device,
                    router: Some(known.router.id),
                    other_devices: standing.other_devices,
                    bytes_used: standing.used.bytes,
                    secs_used: standing.used.secs,
                    ..Live::default()
                };
                let verdict = site.verdict(subscriber, &live, now);
                let (grant, outcome) = match verdict.answer {
                    Answer::Accept => {
                        let listed = site.may_not_share(subscriber);
                        let grant = self.grant(&verdict, listed, (random, now));
                        (Some(grant), LoginOutcome::Accepted)
                    }
                    Answer::WalledGarden => {
                        let grant = garden_grant(&site.policy(), random);
                        (Some(grant), LoginOutcome::Garden(verdict.reason))
                    }
                    Answer::Reject => {
                        let lease_over = site.policy().lease_is_over(now);
                        let outcome = match (verdict.reason, lease_over) {
                            (Reason::Expired, true) => LoginOutcome::LeaseOver,
                            (reason, _) => LoginOutcome::Refused(reason),
                        };
                        (None, outcome)
                    }
                };
                (grant, Decided { verdict, outcome })
            },
        )
    }

    #[expect(clippy::too_many_arguments, reason = "one answer says all of it")]
    fn accept(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        subscriber: &Subscriber,
        verdict: &Verdict,
        authenticated: &Authenticated,
        random: &Random,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        let package = subscriber
            .package
            .and_then(|id| self.parts.site.package(id));
        let package = package.as_deref();
        let service = service(request, subscriber);
        let rate = verdict.rate.map(|rate| rate.to_mikrotik());
        let until_end = verdict.end.map(|end| end.since(now));
        let accept = Accept {
            service,
            rate_limit: rate.as_deref(),
            session_timeout: until_end.map(|rest| self.session_timeout(rest, random)),
            interim_interval: package.map(|package| interim(package, random)),
            idle_timeout: idle_timeout(service, package),
            framed_address: subscriber
                .static_ip
                .filter(|ip| *ip != Ipv4Addr::UNSPECIFIED),
            framed_pool: package.and_then(|package| package.pool.as_deref()),
            port_limit: (service == Service::Hotspot).then(|| {
                let own = subscriber.entitlement.devices;
                let devices = own.or(package.map(|package| package.devices));
                devices.unwrap_or(1).max(1).into()
            }),
            total_limit: verdict.total_limit,
            address_list: self
                .parts
                .site
                .may_not_share(subscriber)
                .then_some(ANTI_SHARING),
            group: package.and_then(|package| package.profile.as_deref()),
            networks: networks(subscriber, package),
            class: Some(&random.cookie),
            ms_chap: ms_chap(authenticated, random),
            eap: eap(authenticated, subscriber, random),
            ..Accept::default()
        };
        self.parts.counters.accepted.fetch_add(1, Ordering::Relaxed);
        accept.encode(&known.packet, &known.secret, buffer()).ok()
    }

    /// Lets in as far as the pay page: the garden's rate, address list, pool and profile, for an hour at
    /// a time or until the answer may be another. The reason goes with it, as a sentence and, at a
    /// hotspot, as a word in the address of the page.
    ///
    /// Only for who proved who he is: no provider can send an unknown name here. A wrong password would have to be let in
    /// too, or the answer told which names there are (A9). And a session is known by its name: to its router, whose orders
    /// and lists have little else, and here to all who look after it. One that somebody began under a customer's name
    /// would take that customer's place, be counted as his, get his speed once he pays, and be his address in an inquiry;
    /// Class tells it apart only where a router repeats it. What it would be for it does badly: a dialer that is let in
    /// tries no more, so a mistyped password reads as a line that is dead; with a cable anybody takes an address of the
    /// garden's pool for each name that he makes up; and MS-CHAPv2, which dialers take first where they may, cannot be
    /// answered with yes by whoever does not know the password. Who is no customer yet reads the hotspot's page before
    /// he logs in, and what is typed wrong the site's strangers show, with when and where.
    fn garden(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        subscriber: &Subscriber,
        verdict: &Verdict,
        authenticated: &Authenticated,
        random: &Random,
    ) -> Option<Vec<u8>> {
        let now = self.parts.clock.now();
        let policy = self.parts.site.policy();
        let row = policy.row.as_ref()?;
        let rate = row.garden_rate.to_mikrotik();
        let visit = verdict
            .next_change
            .map_or(GARDEN_VISIT, |next| GARDEN_VISIT.min(next.since(now)));
        let page = row
            .portal_url
            .as_deref()
            .map(|url| garden_page(url, verdict.reason, subscriber.account));
        let service = service(request, subscriber);
        let accept = Accept {
            service,
            rate_limit: Some(&rate),
            port_limit: (service == Service::Hotspot).then_some(GARDEN_DEVICES),
            session_timeout: Some(visit),
            interim_interval: Some(Duration::from_secs(300)),
            address_list: Some(&row.garden_list),
            framed_pool: row.garden_pool.as_deref(),
            group: row.garden_profile.as_deref(),
            redirect: page.as_deref(),
            message: Some(verdict.reason.sentence()),
            class: Some(&random.cookie),
            ms_chap: ms_chap(authenticated, random),
            eap: eap(authenticated, subscriber, random),
            ..Accept::default()
        };
        self.parts.counters.count("garden");
        accept.encode(&known.packet, &known.secret, buffer()).ok()
    }

    /// Refuses. The reason is said only to who knew the password; an unknown name and a wrong
    /// password read the same.
    pub(super) fn reject(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        reason: Option<Reason>,
        random: &Random,
    ) -> Option<Vec<u8>> {
        let ms_chap = match &request.credential {
            Credential::MsChapV2(login) => Some(MsChapError {
                identifier: login.identifier,
                reason: ms_chap_reason(reason),
                challenge: random.challenge,
            }),
            Credential::Pap { .. }
            | Credential::Chap(_)
            | Credential::MsChapV1
            | Credential::Eap { .. }
            | Credential::Malformed
            | Credential::None => None,
        };
        let eap = match request.credential {
            Credential::Eap { identifier } => Some(identifier),
            Credential::Pap { .. }
            | Credential::Chap(_)
            | Credential::MsChapV1
            | Credential::MsChapV2(_)
            | Credential::Malformed
            | Credential::None => None,
        };
        let message = reason.map_or("Login incorrect.", Reason::sentence);
        let reject = Reject {
            message: Some(message),
            ms_chap,
            eap,
        };
        self.parts.counters.rejected.fetch_add(1, Ordering::Relaxed);
        reject.encode(&known.packet, &known.secret, buffer()).ok()
    }

    /// Refuses with words of its own: only where the right code was shown.
    pub(super) fn reject_with(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        message: &'static str,
    ) -> Option<Vec<u8>> {
        let reject = Reject {
            message: Some(message),
            ..Reject::default()
        };
        self.parts.counters.rejected.fetch_add(1, Ordering::Relaxed);
        reject.encode(&known.packet, &known.secret, buffer()).ok()
    }

    /// The router ends the session by itself at the enforceable end, with agent and cloud dead. While
    /// time is not trusted it is at most a day, varied so that not all come back at once (F6).
    fn session_timeout(&self, until_end: Duration, random: &Random) -> Duration {
        if self.parts.clock.trusted() {
            return until_end;
        }
        until_end.min(Duration::from_secs(86_400 - u64::from(random.jitter) * 30))
    }

    /// What an Accept gives: its end is the one that the router is told.
    fn grant(&self, verdict: &Verdict, listed: bool, (random, now): (&Random, Timestamp)) -> Grant {
        let told = |end: Timestamp| match self.parts.clock.trusted() {
            true => end,
            false => now.plus(self.session_timeout(end.since(now), random)),
        };
        Grant {
            cookie: random.cookie,
            rate: verdict.rate,
            end: verdict.end.map(told),
            garden: false,
            listed,
        }
    }

    pub(super) fn random(&self) -> Random {
        let bytes: [u8; 35] = self.pool.take(&self.parts.entropy);
        let (cookie, rest) = bytes.split_first_chunk().expect("35 is over 16");
        let (challenge, rest) = rest.split_first_chunk().expect("19 is over 16");
        Random {
            cookie: sessions::cookie(*cookie),
            challenge: *challenge,
            salt: [rest[0], rest[1]],
            jitter: rest[2],
        }
    }
}

pub(super) fn check_password(
    subscriber: &Subscriber,
    request: &AccessRequest<'_>,
    known: &Known<VerifiedAccess<'_>>,
) -> Result<Authenticated, PasswordError> {
    match &subscriber.password {
        Some(password) => password.check(request, &known.secret),
        None => Err(unknown_user(request, known)),
    }
}

/// Takes as long as a wrong password does, so that names cannot be told by the clock.
pub(super) fn unknown_user(
    request: &AccessRequest<'_>,
    known: &Known<VerifiedAccess<'_>>,
) -> PasswordError {
    let nobody = KnownPassword::new(b"nobody has this password");
    match nobody.check(request, &known.secret) {
        Ok(_) => PasswordError::Wrong,
        Err(cause) => cause,
    }
}

fn garden_grant(policy: &Policy, random: &Random) -> Grant {
    Grant {
        cookie: random.cookie,
        rate: policy.row.as_ref().map(|row| row.garden_rate),
        end: None,
        garden: true,
        listed: false,
    }
}

fn networks<'a>(subscriber: &'a Subscriber, package: Option<&'a PackageV1>) -> Networks<'a> {
    let own = subscriber.networks.as_deref();
    Networks {
        routes: own.map_or(&[], |own| &own.routes),
        ipv6_prefix: own.and_then(|own| own.ipv6_prefix),
        delegated_prefix: own.and_then(|own| own.delegated_prefix),
        ipv6_pool: package.and_then(|package| package.ipv6_pool.as_deref()),
        delegated_pool: package.and_then(|package| package.delegated_pool.as_deref()),
    }
}

/// The pay page, told why he is there and what he pays to.
fn garden_page(url: &str, reason: Reason, account: u32) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}reason={}&account={account}", reason.code())
}

/// A router that does not say what it serves gets what the customer bought.
fn service(request: &AccessRequest<'_>, subscriber: &Subscriber) -> Service {
    match (request.service, subscriber.connection) {
        (Service::Other, Connection::Pppoe) => Service::Ppp,
        (Service::Other, Connection::Hotspot) => Service::Hotspot,
        (service, _) => service,
    }
}

/// The package's interval, a tenth more or less, so that a site's updates do not come in waves.
fn interim(package: &PackageV1, random: &Random) -> Duration {
    let secs = u64::from(package.interim_secs);
    Duration::from_secs(secs * 9 / 10 + secs * u64::from(random.jitter) / 5 / 255)
}

/// Never for PPP: a line that is silent at night is not a line that ended.
fn idle_timeout(service: Service, package: Option<&PackageV1>) -> Option<Duration> {
    match service {
        Service::Hotspot => {
            let secs = package.and_then(|package| package.idle_secs);
            Some(Duration::from_secs(u64::from(
                secs.unwrap_or(HOTSPOT_IDLE_SECS),
            )))
        }
        Service::Ppp | Service::Router | Service::Other => None,
    }
}

pub(super) fn ms_chap<'a>(
    authenticated: &'a Authenticated,
    random: &Random,
) -> Option<MsChapV2Grant<'a>> {
    match authenticated {
        Authenticated::Plain | Authenticated::Eap(_) => None,
        Authenticated::MsChapV2(proof) => Some(MsChapV2Grant {
            proof,
            salt: random.salt,
        }),
    }
}

fn eap<'a>(
    authenticated: &'a Authenticated,
    subscriber: &'a Subscriber,
    random: &Random,
) -> Option<EapGrant<'a>> {
    match authenticated {
        Authenticated::Plain | Authenticated::MsChapV2(_) => None,
        Authenticated::Eap(success) => Some(EapGrant {
            identifier: success.identifier,
            user_name: &subscriber.username,
            keys: &success.keys,
            salt: random.salt,
        }),
    }
}

fn ms_chap_reason(reason: Option<Reason>) -> MsChapReason {
    match reason {
        None => MsChapReason::AuthenticationFailure,
        Some(Reason::Suspended | Reason::Disabled) => MsChapReason::AccountDisabled,
        Some(
            Reason::Entitled
            | Reason::Expired
            | Reason::NoPackage
            | Reason::WrongRouter
            | Reason::WrongMac
            | Reason::QuotaUsedUp
            | Reason::TooManyDevices
            | Reason::TimeUsedUp,
        ) => MsChapReason::NoPermission,
    }
}

/// An ordinary answer fits without growing.
pub(super) fn buffer() -> Vec<u8> {
    Vec::with_capacity(256)
}

/// On the pay page nobody takes a place, and the router's own profile would let in one.
const GARDEN_DEVICES: u32 = 10;
const GARDEN_VISIT: Duration = Duration::from_secs(3600);
const HOTSPOT_IDLE_SECS: u32 = 900;

#[cfg(test)]
mod tests {
    use easyisp_shared::net::RateLimit;

    use super::super::reply::MAX_SESSION_SECS;
    use super::*;

    fn package(idle_secs: Option<u32>) -> PackageV1 {
        PackageV1 {
            package: easyisp_shared::id::PackageId(uuid::Uuid::nil()),
            name: String::new(),
            rate: RateLimit::mbps(1, 1),
            session_secs: None,
            data_limit: None,
            time_limit_secs: None,
            fair_use: Vec::new(),
            schedule: Vec::new(),
            devices: 1,
            idle_secs,
            interim_secs: 300,
            pool: None,
            profile: None,
            ipv6_pool: None,
            delegated_pool: None,
            grace_secs: None,
            bind_macs: None,
            anti_sharing: false,
        }
    }

    /// Idle-Timeout for hotspots alone, 15 minutes unless the package says; updates every 300 s ± 10 %.
    #[test]
    fn timers_are_what_the_contract_says() {
        let secs = |service, package: Option<&PackageV1>| {
            idle_timeout(service, package).map(|timeout| timeout.as_secs())
        };
        for (service, idle_secs, expected) in [
            (Service::Ppp, None, None),
            (Service::Ppp, Some(60), None),
            (Service::Other, Some(60), None),
            (Service::Hotspot, None, Some(900)),
            (Service::Hotspot, Some(60), Some(60)),
        ] {
            assert_eq!(secs(service, Some(&package(idle_secs))), expected);
        }
        assert_eq!(secs(Service::Hotspot, None), Some(900));
        for (jitter, expected) in [(0, 270), (128, 300), (255, 330)] {
            let random = Random {
                cookie: [0; 16],
                challenge: [0; 16],
                salt: [0; 2],
                jitter,
            };
            assert_eq!(interim(&package(None), &random).as_secs(), expected);
        }
        assert_eq!(MAX_SESSION_SECS, 21_474_720);
    }

    #[test]
    fn the_gardens_page_hears_why_and_who() {
        let page = |url| garden_page(url, Reason::QuotaUsedUp, 123_455);
        assert_eq!(
            page("http://pay.isp/"),
            "http://pay.isp/?reason=QUOTA&account=123455"
        );
        assert_eq!(
            page("http://pay.isp/?a=1"),
            "http://pay.isp/?a=1&reason=QUOTA&account=123455"
        );
    }
}
