//! From datagram to answer: who sent it, was it asked before, what is the answer.
//!
//! Nothing here waits: not for the disk, not for the cloud, not for another request (V13). The accounting
//! answer is sent later, by the accounting thread, once its commit is on stable storage (B1), and so is that
//! of a login which spends something (see `later`).

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::RouterId;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use tracing::{info, warn};

use super::dictionary::{Code, attribute};
use super::eap::TunnelCertificate;
use super::heard::Heard;
use super::later::{Later, Learnt, Send, send_by_socket};
use super::radsec;
use super::reply_cache::{self, Begin, ReplyCache, Slot};
use super::verify::{
    Proof, Refused, SigningPolicy, VerifiedAccess, VerifiedAccounting, VerifiedStatus,
};
use super::{Packet, Port, Secret, status_response};
use crate::diagnosis::{Counters, Timeline};
use crate::enforce::Timers;
use crate::sessions::Sessions;
use crate::site::{Router, Site, SiteClock, UnknownSources};
use crate::sizes::Size;
use crate::store::{Change, Job, Outbox, Record, Urgency, Write};

/// What the RADIUS path works with.
pub struct Parts {
    /// Who may be online.
    pub site: Arc<Site>,
    /// Who is online.
    pub sessions: Arc<Sessions>,
    /// Where accounting becomes durable.
    pub outbox: Outbox,
    /// What time it is.
    pub clock: Arc<SiteClock>,
    /// Cookies, salts, jitter.
    pub entropy: Entropy,
    /// Why somebody is offline.
    pub timeline: Arc<Timeline>,
    /// When to look at a session again.
    pub timers: Arc<Timers>,
    /// What happened how often.
    pub counters: Arc<Counters>,
    /// Who spoke and is no router of ours.
    pub unknown: Arc<UnknownSources>,
    /// What EAP tunnels open with; `None` when this box has no authority.
    pub tunnels: Option<TunnelCertificate>,
}

/// Answers RADIUS datagrams of one site.
pub struct Radius {
    pub(super) parts: Parts,
    pub(super) log: Mutex<super::login_log::Allowance>,
    pub(super) pool: super::pool::Pool,
    pub(super) conversations: Mutex<super::eap::Conversations>,
    pub(super) logins_stay: AtomicBool,
    pub(super) own: OnceLock<super::own::Own>,
    pub(super) guesses: Mutex<super::guessing::Guesses>,
    pub(super) failures: Mutex<super::failures::Failures>,
    /// Until when anybody at all is barred, in monotonic microseconds.
    pub(super) barred_until: AtomicU64,
    pub(super) held: super::held::Held,
    pub(super) spoken: Mutex<super::spoken::Spoken>,
    pub(super) owed: Arc<super::owed::Owed>,
    pub(super) others: super::first_use::Others,
    pub(super) old_servers: OnceLock<super::shadow::OldServers>,
    pub(super) tallies: super::shadow::Tallies,
    replies: Vec<Mutex<ReplyCache>>,
    pub(super) stream_secret: Arc<Secret>,
}

/// A router that proved itself, the secret it used, and the checked packet.
pub(super) struct Known<T> {
    pub(super) router: Arc<Router>,
    pub(super) secret: Arc<Secret>,
    pub(super) packet: T,
}

impl Radius {
    /// Begins with an empty reply cache.
    pub fn new(parts: Parts) -> Radius {
        let shard = || Mutex::new(ReplyCache::new(reply_cache::CAPACITY / SHARDS));
        Radius {
            parts,
            log: Mutex::default(),
            pool: super::pool::Pool::new(),
            conversations: Mutex::default(),
            logins_stay: AtomicBool::new(false),
            own: OnceLock::new(),
            guesses: Mutex::default(),
            failures: Mutex::default(),
            barred_until: AtomicU64::new(0),
            held: super::held::Held::default(),
            spoken: Mutex::default(),
            owed: Arc::default(),
            others: super::first_use::Others::default(),
            old_servers: OnceLock::new(),
            tallies: super::shadow::Tallies::default(),
            replies: (0..SHARDS).map(|_| shard()).collect(),
            stream_secret: Arc::new(Secret::new(radsec::SECRET)),
        }
    }

    /// Answers a datagram of the authentication port; `None` is silence. What spends something is
    /// answered where it was `heard`, by the thread that made it durable.
    pub fn on_access_port(
        self: &Arc<Self>,
        source: SocketAddr,
        datagram: &[u8],
        heard: &Heard,
    ) -> Option<Arc<[u8]>> {
        let packet = self.parse(datagram)?;
        if self.is_own(source) {
            return self.own_login(source, &packet);
        }
        if packet.code() == Some(Code::StatusServer) {
            return self.on_status(source, packet, Port::Authentication);
        }
        let check = |router: &Router, secret: &Secret| {
            VerifiedAccess::check(packet, secret, router.signing_policy(source.ip()))
        };
        let known = self.identify(source.ip(), &packet, check)?;
        self.note_signature(&known, source.ip());
        known.router.note_asked_at(heard.at());
        let again = || self.again_by_socket(source, datagram, heard);
        let send = || Some(send_by_socket(source, heard));
        let later = Later::new(self, Learnt::Nothing, &again, &send);
        self.answer_access(source, packet, &known, &later)
    }

    /// Takes a packet of a router that proved itself by its certificate (RFC 6614 §2.3). What is
    /// answered at once is returned; accounting is answered through `send` once it is durable.
    pub(super) fn on_stream(
        self: &Arc<Self>,
        router: RouterId,
        source: SocketAddr,
        octets: &[u8],
        send: impl FnOnce(&[u8]) -> bool + std::marker::Send + 'static,
    ) -> Option<Arc<[u8]>> {
        let packet = self.parse(octets)?;
        let Some(router) = self.parts.site.router(router) else {
            self.parts.counters.count("radsec_unknown_router");
            return None;
        };
        router.note_seen(self.parts.clock.now());
        let secret = self.stream_secret.clone();
        let refused = match packet.code() {
            Some(Code::AccountingRequest) => match VerifiedAccounting::check(packet, &secret) {
                Ok(packet) => {
                    let known = Known {
                        router,
                        secret,
                        packet,
                    };
                    return self.take_accounting(source, &known, send);
                }
                Err(cause) => cause,
            },
            Some(Code::StatusServer) => match VerifiedStatus::check(packet, &secret) {
                Ok(status) => {
                    let answer =
                        status_response(&status, Port::Authentication, &secret, Vec::new());
                    return answer.ok().map(Arc::from);
                }
                Err(cause) => cause,
            },
            _ => match VerifiedAccess::check(packet, &secret, SigningPolicy::Protected) {
                Ok(verified) => {
                    let known = Known {
                        router,
                        secret,
                        packet: verified,
                    };
                    let send: Cell<Option<Send>> = Cell::new(Some(Box::new(send)));
                    let id = known.router.id;
                    let again = || self.again_by_stream(id, source, octets, send.take());
                    let take = || send.take();
                    let later = Later::new(self, Learnt::Nothing, &again, &take);
                    return self.answer_access(source, packet, &known, &later);
                }
                Err(cause) => cause,
            },
        };
        self.note_refused(&router, refused, &packet);
        None
    }

    fn answer_access(
        &self,
        source: SocketAddr,
        packet: Packet<'_>,
        known: &Known<VerifiedAccess<'_>>,
        later: &Later<'_>,
    ) -> Option<Arc<[u8]>> {
        let slot = slot(source, Port::Authentication, &packet);
        if let Some(settled) = self.begin(slot, &packet) {
            return settled;
        }
        self.answer(known, slot, &packet, later)
    }

    /// Answers a Status-Server (RFC 5997); it changes nothing and is not remembered.
    pub(super) fn on_status(
        &self,
        source: SocketAddr,
        packet: Packet<'_>,
        port: Port,
    ) -> Option<Arc<[u8]>> {
        let check = |_: &Router, secret: &Secret| VerifiedStatus::check(packet, secret);
        let known = self.identify(source.ip(), &packet, check)?;
        known.router.note_proved(&known.secret);
        status_response(&known.packet, port, &known.secret, Vec::new())
            .ok()
            .map(Arc::from)
    }

    pub(super) fn parse<'a>(&self, datagram: &'a [u8]) -> Option<Packet<'a>> {
        Packet::parse(datagram)
            .inspect_err(|cause| self.parts.counters.count(cause.label()))
            .ok()
    }

    /// Finds the router whose secret verifies the packet. Anything else is silence and a count.
    pub(super) fn identify<T>(
        &self,
        source: IpAddr,
        packet: &Packet<'_>,
        check: impl Fn(&Router, &Secret) -> Result<T, Refused>,
    ) -> Option<Known<T>> {
        let refused = RefCell::new(None);
        let mut verify = |router: &Arc<Router>| {
            router.secrets_to_show().find_map(|secret| {
                check(router, secret)
                    .inspect_err(|cause| *refused.borrow_mut() = Some((router.clone(), *cause)))
                    .map(|packet| (secret.clone(), packet))
                    .ok()
            })
        };
        let (site, now) = (&self.parts.site, self.parts.clock.now());
        let mut found = site.router_from(source, &mut verify);
        let signed = || packet.first(attribute::MESSAGE_AUTHENTICATOR).is_some();
        if found.is_none() && !site.is_home(source) && signed() {
            // An address that one router left may be the next one's.
            let before = refused.borrow().clone();
            found = site.adopt(source, now, &mut verify);
            *refused.borrow_mut() = before;
            if let Some((router, _)) = &found {
                self.write_place(router, Some(source), now);
            }
        }
        match (found, refused.into_inner()) {
            (Some((router, (secret, checked))), _) => {
                router.note_seen(now);
                let proves = packet.code() != Some(Code::AccessRequest) || signed();
                if proves && site.come_home(&router, source) {
                    self.write_place(&router, None, now);
                }
                Some(Known {
                    router,
                    secret,
                    packet: checked,
                })
            }
            (None, Some((router, cause))) => {
                self.note_refused(&router, cause, packet);
                None
            }
            (None, None) => {
                self.note_unknown(source);
                None
            }
        }
    }

    /// Takes note of a request; `Some` when it needs no decision.
    pub(super) fn begin(&self, slot: Slot, packet: &Packet<'_>) -> Option<Option<Arc<[u8]>>> {
        let begun = self
            .replies(slot)
            .begin(slot, packet.authenticator(), Instant::now());
        match begun {
            Begin::Decide => None,
            Begin::InProgress => {
                let waited = self.replies(slot).waited(slot, Instant::now());
                if let Some(waited) = waited.filter(|_| slot.port == Port::Accounting) {
                    self.parts.outbox.note_time_out(waited);
                }
                Some(None)
            }
            Begin::Repeat(reply) => {
                self.parts.counters.repeated.fetch_add(1, Ordering::Relaxed);
                Some(Some(reply))
            }
        }
    }

    pub(super) fn replies(&self, slot: Slot) -> MutexGuard<'_, ReplyCache> {
        lock(&self.replies[slot.shard(SHARDS)])
    }

    /// Who signs once must sign for ever (A1), so the first signature goes to disk.
    fn note_signature(&self, known: &Known<VerifiedAccess<'_>>, sender: IpAddr) {
        let router = &known.router;
        match known.packet.proof() {
            Proof::Unsigned => router.note_unsigned(self.parts.clock.now()),
            Proof::Signed => {
                router.note_proved(&known.secret);
                if router.note_signed(sender) {
                    info!(router.id = %router.id, "Router {} signs its requests from {sender}", router.name);
                    self.write_mark(format!("{}{sender}", signer_marks(router)), 1);
                }
            }
        }
    }

    fn write_place(&self, router: &Router, found: Option<IpAddr>, now: Timestamp) {
        if let Some(value) = place_value(found, now) {
            self.write_mark(place_mark(router), value);
        }
    }

    fn write_mark(&self, name: String, value: i64) {
        let mark = Job::Mark {
            name,
            value,
            done: Box::new(|_| {}),
        };
        if self.parts.outbox.submit(mark).is_err() {
            self.parts.counters.count("mark_not_written");
        }
    }

    pub(super) fn note_refused(&self, router: &Router, cause: Refused, packet: &Packet<'_>) {
        self.parts.counters.count(cause.label());
        if cause.wants_signature() {
            router.note_refused(self.parts.clock.now());
        }
        if cause.suggests_other_secret() {
            let now = self.parts.clock.now();
            router.note_mismatch(now);
            let name = packet.first(attribute::USER_NAME);
            if let Some(subscriber) = name.and_then(|name| self.parts.site.subscriber(name)) {
                self.parts
                    .timeline
                    .note_unproven(subscriber.id, router.id, now);
            }
            if router.signing().mismatches.is_power_of_two() {
                warn!(router.id = %router.id, "Router {} has another RADIUS secret", router.name);
            }
        }
    }

    pub(crate) fn sizes(&self) -> Vec<Size> {
        let mut sizes = vec![
            lock(&self.conversations).size(),
            self.held.size(),
            lock(&self.spoken).size(),
            self.owed.size(),
            self.others.size(),
        ];
        sizes.extend(lock(&self.guesses).sizes());
        sizes.extend(lock(&self.failures).sizes());
        sizes.extend(self.tallies.sizes());
        sizes.extend(self.replies.iter().map(|replies| lock(replies).size()));
        sizes
    }

    fn note_unknown(&self, source: IpAddr) {
        self.parts.counters.count("unknown_source");
        let now = self.parts.clock.monotonic();
        if self.parts.unknown.note(source, now) {
            warn!(%source, "A request from {source}, which is no router of this site");
        }
    }

    /// Hands a record for the cloud to the accounting thread; what does not fit is counted there.
    pub(super) fn submit_log(&self, record: Record) {
        let write = Write {
            changes: vec![Change::Record(record)],
            urgency: Urgency::Log,
            done: Box::new(|_| {}),
        };
        let _shed_is_counted = self.parts.outbox.submit(Job::Write(write));
    }
}

/// What the names begin with under which the outbox remembers who signs behind a router entry.
pub fn signer_marks(router: &Router) -> String {
    format!("signs/{}/", router.id)
}

/// The name of the fact where a router was found, one a router whatever happens. It names what the record says:
/// once that is something else, the fact says nothing.
pub fn place_mark(router: &Router) -> String {
    format!("found/{} {} {}", router.id, router.address, router.source)
}

/// The value of that fact: minutes since 1970, then the octets of the address, zeros for where the record says.
/// An IPv6 address does not fit; such a router is found again with its next request.
fn place_value(found: Option<IpAddr>, now: Timestamp) -> Option<i64> {
    let octets = match found {
        None => 0,
        Some(IpAddr::V4(address)) => u32::from(address),
        Some(IpAddr::V6(_)) => return None,
    };
    Some((now.micros() / MINUTE) << 32 | i64::from(octets))
}

/// Where a router was found, and since when, by the value of that fact.
pub fn place_of(value: i64) -> Option<(IpAddr, Timestamp)> {
    let octets = u32::try_from(value & i64::from(u32::MAX)).ok()?;
    let since = Timestamp::from_micros((value >> 32) * MINUTE);
    (octets != 0).then(|| (Ipv4Addr::from(octets).into(), since))
}

/// Microseconds.
const MINUTE: i64 = 60_000_000;

/// A Calling-Station-Id that is a hardware address.
pub(super) fn mac(calling: Option<&[u8]>) -> Option<Mac> {
    str::from_utf8(calling?).ok().and_then(Mac::parse)
}

pub(super) fn slot(source: SocketAddr, port: Port, packet: &Packet<'_>) -> Slot {
    Slot {
        source,
        port,
        identifier: packet.identifier(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SHARDS: usize = 16;
