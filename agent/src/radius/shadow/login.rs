//! A login at a router with an old server behind it: ours, the old server's, or both.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::entitlement::{Answer, Live};
use easyisp_shared::id::RouterId;
use easyisp_shared::wire::down::MovingMode;

use super::compare::Said;
use super::driver::{Ask, OldServers, Outcome};
use super::proxy::Purpose;
use super::tally::Asker;
use super::translate::{self, OldAnswer};
use crate::radius::driver::{Known, Radius, mac};
use crate::radius::later::{Later, Learnt};
use crate::radius::login::check_password;
use crate::radius::packet::Packet;
use crate::radius::pap;
use crate::radius::reply::Port;
use crate::radius::request::{AccessRequest, Credential, Service};
use crate::radius::verify::{Proof, Refused, VerifiedAccess};
use crate::sessions::Metered;
use crate::site::{Moving, OldServer, Subscriber};

impl Radius {
    /// From here on old servers can be asked.
    pub fn ask_old_servers(&self, door: OldServers) {
        let _asked_already = self.old_servers.set(door);
    }

    /// Every router with an old server behind it.
    pub(super) fn moving(&self) -> Vec<Arc<Moving>> {
        self.parts.site.all_moving()
    }

    /// What old servers said beside us.
    pub fn tallies(&self) -> &super::Tallies {
        &self.tallies
    }

    /// Answers a login at a router with an old server behind it; `None` when it is ours to answer. The
    /// answer itself is `None` where it comes later, or never.
    pub(in crate::radius) fn beside_old_server(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        later: &Later<'_>,
    ) -> Option<Option<Vec<u8>>> {
        let moving = self.parts.site.moving(known.router.id)?;
        match &later.learnt {
            Learnt::Old(answer) => return Some(self.relay(known, answer)),
            Learnt::OldSilent => return Some(None),
            Learnt::Fate(_) | Learnt::Cloud(_) => return None, // it was ours and goes on being ours
            Learnt::Nothing => {}
        }
        // The old server may not ask what a password is shown for: a customer's opens no router.
        if request.service == Service::Router && self.knows_by_any_name(known, request) {
            return None;
        }
        match moving.mode {
            MovingMode::Forward => {}
            MovingMode::Shadow if self.is_ours(request) || self.knows_lease(known, request) => {
                return None;
            }
            MovingMode::Shadow => {}
        }
        if self.is_garbled(known, request) {
            let packet = known.packet.packet();
            self.note_refused(&known.router, Refused::BadRequestAuthenticator, packet);
            return Some(None);
        }
        self.pass_on(known, request, &moving, later);
        Some(None)
    }

    /// Asks the old server what it would have said to a known user who was just answered. Nobody waits.
    pub(in crate::radius) fn compare_aside(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        reply: &[u8],
        later: &Later<'_>,
    ) {
        let Some(moving) = self.parts.site.moving(known.router.id) else {
            return;
        };
        let request = AccessRequest::read(&known.packet);
        let is_compared = match (moving.mode, &later.learnt, request.credential) {
            // The proof of a conversation cannot be shown twice.
            (_, _, Credential::Eap { .. }) => false,
            (_, Learnt::Old(_) | Learnt::OldSilent, _) | (MovingMode::Forward, _, _) => false,
            (MovingMode::Shadow, Learnt::Nothing | Learnt::Fate(_) | Learnt::Cloud(_), _) => {
                self.subscriber_of(&request).is_some()
            }
        };
        let ours = Packet::parse(reply).ok();
        let ours = ours.and_then(|reply| Said::read(&reply));
        let (true, Some(ours), Ok(server)) = (is_compared, ours, &moving.server) else {
            return;
        };
        let Some(outgoing) = self.translated(known, server) else {
            return;
        };
        let (radius, router) = (later.radius.clone(), known.router.id);
        let name: Box<[u8]> = request.user_name.into();
        self.ask_old_server(Ask {
            router,
            server: server.clone(),
            port: Port::Authentication,
            request: outgoing,
            purpose: Purpose::Aside,
            settle: Box::new(move |outcome| radius.note_compared(router, &name, &ours, &outcome)),
        });
    }

    fn note_compared(&self, router: RouterId, name: &[u8], ours: &Said, outcome: &Outcome) {
        let now = self.parts.clock.now();
        let theirs = match outcome {
            Outcome::Answer(answer) => Said::read(&answer.packet()),
            Outcome::Silent | Outcome::Shed => None,
        };
        self.tallies.note(router, |tally| match theirs {
            Some(theirs) => tally.compared(name, ours, &theirs, now),
            None => tally.not_compared(),
        });
    }

    /// Leaves a login to the old server; its answer is passed on when it comes.
    fn pass_on(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        moving: &Moving,
        later: &Later<'_>,
    ) {
        let router = known.router.id;
        self.tallies
            .note(router, |tally| tally.counts().forwarded += 1);
        let ready = moving.server.as_ref().ok();
        let ready = ready.and_then(|server| Some((server, self.translated(known, server)?)));
        let Some((server, outgoing)) = ready else {
            self.tallies
                .note(router, |tally| tally.counts().silent += 1);
            return;
        };
        let subscriber = self.subscriber_of(request);
        let ours = subscriber.as_deref();
        let ours = ours.and_then(|subscriber| self.would_say(known, request, subscriber));
        let passed = Passed {
            asker: Asker {
                username: request.user_name.into(),
                hotspot: request.service == Service::Hotspot,
                mac: mac(request.station.calling),
            },
            is_stranger: subscriber.is_none()
                && request.service != Service::Router
                && !self.is_ours(request),
            ours,
        };
        let (radius, again) = (later.radius.clone(), later.again());
        self.ask_old_server(Ask {
            router,
            server: server.clone(),
            port: Port::Authentication,
            request: outgoing,
            purpose: Purpose::Answer,
            settle: Box::new(move |outcome| {
                radius.note_passed(router, &passed, &outcome);
                again(match outcome {
                    Outcome::Answer(answer) => Learnt::Old(answer),
                    Outcome::Silent | Outcome::Shed => Learnt::OldSilent,
                });
            }),
        });
    }

    fn note_passed(&self, router: RouterId, passed: &Passed, outcome: &Outcome) {
        let now = self.parts.clock.now();
        let theirs = match outcome {
            Outcome::Answer(answer) => Some(Said::read(&answer.packet())),
            Outcome::Silent | Outcome::Shed => None,
        };
        self.tallies.note(router, |tally| {
            match &theirs {
                Some(theirs) => {
                    tally.answered(&passed.asker, theirs.as_ref(), passed.is_stranger, now);
                }
                None => tally.counts().silent += 1,
            }
            match (&passed.ours, theirs.flatten()) {
                (Some(ours), Some(theirs)) => {
                    tally.compared(&passed.asker.username, ours, &theirs, now);
                }
                (Some(_), None) => tally.not_compared(),
                (None, _) => {}
            }
        });
    }

    /// The old server's answer in the router's words.
    fn relay(&self, known: &Known<VerifiedAccess<'_>>, answer: &OldAnswer) -> Option<Vec<u8>> {
        if !answer.is_marked() {
            self.parts.counters.count("old_server_without_proxy_state");
        }
        let reply = answer.encode(&known.packet, &known.secret);
        reply
            .inspect_err(|_| self.parts.counters.count("old_answer_not_passed_on"))
            .ok()
    }

    fn translated(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        server: &OldServer,
    ) -> Option<translate::Outgoing> {
        let random: [u8; 24] = self.pool.take(&self.parts.entropy);
        let (authenticator, mark) = random.split_first_chunk().expect("24 is over 16");
        let mark = mark.first_chunk().expect("8 are left");
        let (router, server) = (&known.secret, &server.secret);
        translate::login(&known.packet, router, server, *authenticator, *mark)
            .inspect_err(|_| self.parts.counters.count("login_not_passed_on"))
            .ok()
    }

    /// Hands a question over without waiting; one that finds no room is settled at once.
    pub(super) fn ask_old_server(&self, ask: Ask) {
        let router = ask.router;
        let refused = match self.old_servers.get() {
            Some(door) => door.ask(ask),
            None => Err(ask),
        };
        if let Err(ask) = refused {
            self.tallies.note(router, |tally| tally.counts().shed += 1);
            (ask.settle)(Outcome::Shed);
        }
    }

    /// The subscriber of this name, unless somebody asks for the router itself.
    fn subscriber_of(&self, request: &AccessRequest<'_>) -> Option<Arc<Subscriber>> {
        let asks = request.service != Service::Router;
        asks.then(|| self.parts.site.subscriber(request.user_name))?
    }

    /// Whether a login is of somebody this site knows.
    fn is_ours(&self, request: &AccessRequest<'_>) -> bool {
        if request.service == Service::Router {
            return false; // whom this site knows was not left to the old server
        }
        match (request.credential, request.state) {
            (Credential::Eap { .. }, Some(state)) => self.is_own_conversation(state),
            (Credential::Eap { .. }, None) => self.who(request.user_name).is_some(),
            (_, _) => {
                self.parts.site.subscriber(request.user_name).is_some()
                    || self.knows_stranger(request)
            }
        }
    }

    /// A router with another secret leaves this of a password: not the customer's fault, and not to be
    /// shown to another server (A5).
    fn is_garbled(&self, known: &Known<VerifiedAccess<'_>>, request: &AccessRequest<'_>) -> bool {
        let Credential::Pap { hidden } = request.credential else {
            return false;
        };
        let clear = pap::reveal(hidden, request.authenticator, &known.secret);
        known.packet.proof() == Proof::Unsigned && clear.is_ok_and(|clear| clear.looks_garbled())
    }

    /// What we would answer a subscriber, without taking a place for him or telling anybody.
    fn would_say(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        subscriber: &Subscriber,
    ) -> Option<Said> {
        if let Credential::Eap { .. } = request.credential {
            return None;
        }
        if check_password(subscriber, request, known).is_err() {
            return Some(Said::default());
        }
        let (site, now) = (&self.parts.site, self.parts.clock.now());
        let device = mac(request.station.calling);
        let metered = Metered::of(site, subscriber, now);
        let sessions = &self.parts.sessions;
        let verdict = sessions.admit(
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
                (None, site.verdict(subscriber, &live, now))
            },
        );
        let policy = site.policy();
        let garden = policy.row.as_ref();
        let package = subscriber.package.and_then(|id| site.package(id));
        let pool = match verdict.answer {
            Answer::Reject => return Some(Said::default()),
            Answer::Accept => package.as_ref().and_then(|package| package.pool.clone()),
            Answer::WalledGarden => garden.and_then(|row| row.garden_pool.clone()),
        };
        let rate = match verdict.answer {
            Answer::Accept | Answer::Reject => verdict.rate,
            Answer::WalledGarden => garden.map(|row| row.garden_rate),
        };
        let address = subscriber.static_ip.filter(|ip| !ip.is_unspecified());
        let address = address.filter(|_| verdict.answer == Answer::Accept);
        let pool = || pool.map_or_else(String::new, |pool| format!("pool {pool}"));
        Some(Said {
            accepted: true,
            rate: rate.map_or_else(String::new, |rate| rate.to_mikrotik()),
            address: address.map_or_else(pool, |address| address.to_string()),
            timeout: verdict.end.map(|end| end.since(now).min(LONGEST)),
        })
    }
}

/// A login that the old server answers.
struct Passed {
    asker: Asker,
    is_stranger: bool,
    /// What we would have said, to somebody we know.
    ours: Option<Said>,
}

/// As long as any router takes.
const LONGEST: Duration = Duration::from_secs(crate::radius::reply::MAX_SESSION_SECS);

/// An answer that is kept until its request is decided again.
pub(in crate::radius) type Kept = Arc<OldAnswer>;
