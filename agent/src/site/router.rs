//! One router of the site: where it speaks from, and what proves that it is the one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use easyisp_shared::id::RouterId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::condition::{CertificateV1, RouterConditionV1};
use easyisp_shared::wire::down::{MessageAuthenticator, RouterApiV1, RouterV1, secret_place};
use easyisp_shared::wire::router::SecretV1;
use ipnet::IpNet;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tracing::warn;

use super::learnt::{Learnt, Orders, Place};
use crate::radius::builder::Signature;
use crate::radius::{Secret, SigningPolicy};
use crate::routeros::Access;
use crate::sizes::Size;

/// A router. Replaced as a whole when the cloud says something new of it; what was learned stays.
pub struct Router {
    /// Its id.
    pub id: RouterId,
    /// Its name.
    pub name: String,
    /// Where its record says that it is.
    pub address: IpAddr,
    /// Where its requests come from.
    pub source: IpNet,
    /// Its secrets: the present one and, during a rotation, the one before.
    pub secrets: Vec<Arc<Secret>>,
    /// Where it takes CoA and Disconnect.
    pub coa_port: u16,
    /// How to enter its API; `None` when nobody entered a user, or the password does not open.
    pub api: Option<RouterApi>,
    /// Whether its DHCP servers ask for the leases of DHCP customers.
    pub leases: bool,
    policy: MessageAuthenticator,
    /// Serial numbers of its certificates that an operator ended.
    ended: Vec<Vec<u8>>,
    /// Those that are good from an earlier instant on are ended too.
    certificates_since: Option<Timestamp>,
    /// Which of the secrets verified last.
    shown: AtomicUsize,
    /// Whether any of them did.
    proved: AtomicBool,
    learnt: Arc<Learnt>,
}

/// How to enter a router's API.
#[derive(Clone, Debug)]
pub struct RouterApi {
    /// Names these settings: other settings, other name. Holds no secret.
    pub name: String,
    /// Where and as whom.
    pub access: Access,
}

/// What was learned of a router's signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signing {
    /// The senders that were seen to send a valid Message-Authenticator.
    pub signers: Vec<IpAddr>,
    /// It was seen to send none: its standing warning.
    pub unsigned: bool,
    /// Requests that did not verify under its secret.
    pub mismatches: u64,
    /// The last of them.
    pub mismatched: Option<Timestamp>,
    /// No request did since.
    pub shows_another_secret: bool,
}

impl Router {
    /// Opens the secrets of a row; `None` when the row cannot be used, which is told once.
    pub fn open(row: RouterV1, key: &SealKey) -> Option<Router> {
        let id = row.router;
        let Some(source) = row.source.to_ipnet() else {
            warn!(router.id = %id, "Router {} has an impossible source network", row.name);
            return None;
        };
        let open = |field, sealed: &[u8]| {
            let secret = key.open(&secret_place(DownKind::Router, id.0, field), sealed);
            if secret.is_err() {
                warn!(router.id = %id, "Cannot open the secret of router {}", row.name);
            }
            secret.ok().map(|clear| Arc::new(Secret::new(&clear)))
        };
        let present = open("secret", &row.secret);
        let previous = row.previous_secret.as_ref();
        let previous = previous.and_then(|sealed| open("previous", sealed));
        let api = row.api.as_ref();
        let api = api.and_then(|api| RouterApi::open(id, row.address, api, key));
        Some(Router {
            id,
            api,
            secrets: present.into_iter().chain(previous).collect(),
            name: row.name,
            address: row.address,
            source: source.trunc(),
            coa_port: row.coa_port,
            leases: row.leases,
            policy: row.message_authenticator,
            ended: row.ended_certificates,
            certificates_since: row.certificates_since,
            shown: AtomicUsize::new(0),
            proved: AtomicBool::new(false),
            learnt: Arc::default(),
        })
    }

    /// The same router where it is entered at the address and by the login of another row: all else is as it was. Its
    /// requests come from there too.
    pub(super) fn entered_by(&self, row: &RouterV1, key: &SealKey) -> Router {
        let api = row.api.as_ref();
        let source = match self.source.contains(&row.address) {
            true => self.source,
            false => row.source.to_ipnet().unwrap_or(self.source),
        };
        Router {
            id: self.id,
            name: self.name.clone(),
            address: row.address,
            source: source.trunc(),
            secrets: self.secrets.clone(),
            coa_port: self.coa_port,
            api: api.and_then(|api| RouterApi::open(self.id, row.address, api, key)),
            leases: self.leases,
            policy: self.policy,
            ended: self.ended.clone(),
            certificates_since: self.certificates_since,
            shown: AtomicUsize::new(0),
            proved: AtomicBool::new(self.proved.load(Ordering::Relaxed)),
            learnt: self.learnt.clone(),
        }
    }

    /// What the Access-Requests of this sender must carry (A1).
    pub fn signing_policy(&self, sender: IpAddr) -> SigningPolicy {
        match self.policy {
            MessageAuthenticator::Require => SigningPolicy::Require,
            MessageAuthenticator::Learn => SigningPolicy::Learn {
                signs: self.learnt.signers.has(sender)
                    || self.learnt.build_signs() && sender == self.place(),
            },
        }
    }

    pub(super) fn size(&self) -> Size {
        self.learnt.signers.size()
    }

    /// The same router under a new row: what was learnt of it stays. Where it was found speaks for it only
    /// as long as the row says the same of where it is.
    pub(super) fn succeeds(mut self, before: &Router) -> Router {
        self.learnt = before.learnt.clone();
        if (self.address, self.source) != (before.address, before.source) {
            self.learnt.put_place(None);
        }
        let shown = before.secrets.get(before.shown.load(Ordering::Relaxed));
        if let Some(shown) = shown {
            self.note_shown(shown);
        }
        if !before.proved.load(Ordering::Relaxed) {
            self.proved.store(false, Ordering::Relaxed);
        }
        self
    }

    /// Its secrets, the one that it showed last first: during a rotation it knows one of two.
    pub fn secrets_to_show(&self) -> impl Iterator<Item = &Arc<Secret>> {
        let shown = self.shown.load(Ordering::Relaxed);
        let (first, second) = self.secrets.split_at(shown.min(self.secrets.len()));
        second.iter().chain(first)
    }

    /// Notes which of its secrets the router knows.
    pub fn note_shown(&self, secret: &Secret) {
        let found = self.secrets.iter().position(|held| held.is(secret));
        let Some(found) = found else { return };
        if found != self.shown.load(Ordering::Relaxed) {
            self.shown.store(found, Ordering::Relaxed);
        }
        if !self.proved.load(Ordering::Relaxed) {
            self.proved.store(true, Ordering::Relaxed);
        }
    }

    /// Which of its secrets it proved to know last; `None` where it proved none since it is known here.
    pub fn secret_in_use(&self) -> Option<SecretV1> {
        let proved = self.proved.load(Ordering::Relaxed);
        proved.then(|| match self.shown.load(Ordering::Relaxed) {
            0 => SecretV1::Present,
            _ => SecretV1::Previous, // there are two
        })
    }

    /// Where it is: where it was found, else where its record says.
    pub fn place(&self) -> IpAddr {
        self.learnt
            .place()
            .map_or(self.address, |place| place.address)
    }

    /// The same for what a password is sent to: only where it proved to be.
    pub fn proved_place(&self) -> IpAddr {
        let place = self.learnt.place().filter(|place| place.proved);
        place.map_or(self.address, |place| place.address)
    }

    /// Where it was found, when that is not where its record says.
    pub fn found_at(&self) -> Option<Place> {
        self.learnt.place()
    }

    pub(super) fn may_move(&self, now: Timestamp) -> bool {
        self.learnt.may_move(now)
    }

    pub(super) fn put_place(&self, place: Option<Place>) {
        self.learnt.put_place(place);
    }

    /// How to enter its API where it is.
    pub fn api_access(&self) -> Option<RouterApi> {
        let mut api = self.api.clone()?;
        api.access.address.set_ip(self.proved_place());
        Some(api)
    }

    /// Whether it takes signed orders.
    pub fn orders(&self) -> Orders {
        self.learnt.orders()
    }

    /// Notes an authentic answer to an order: from where, under which secret, signed or not.
    pub fn note_order_answered(&self, from: IpAddr, secret: &Secret, signature: Signature) {
        self.note_shown(secret);
        self.learnt.note_answered(from);
        self.learnt.note_order_taken(signature);
    }

    /// Notes at which address of ours it asked, where we have several.
    pub fn note_asked_at(&self, at: Option<IpAddr>) {
        self.learnt.note_asked_at(at.map(|at| at.to_canonical()));
    }

    /// The address of ours that it asked last: it takes orders from there alone. None where we have one.
    pub fn asked_at(&self) -> Option<IpAddr> {
        self.learnt.asked_at()
    }

    /// Notes the version of its RouterOS.
    pub fn note_build(&self, version: &str) {
        self.learnt.note_build(version);
    }

    /// What of it a person should look at; `None` when nothing.
    pub fn condition(&self, now: Timestamp) -> Option<RouterConditionV1> {
        self.learnt.condition(self.id, now)
    }

    /// Whether an operator ended this certificate of its.
    pub fn has_ended(&self, certificate: &CertificateV1) -> bool {
        let is_older = |since: Timestamp| certificate.from < since;
        self.certificates_since.is_some_and(is_older) || self.ended.contains(&certificate.serial)
    }

    /// Notes the certificate with which it connected by RadSec.
    pub fn note_certificate(&self, certificate: CertificateV1) {
        self.learnt.note_certificate(certificate);
    }

    /// Whether it connected by RadSec, over which it takes no orders.
    pub fn is_by_radsec(&self) -> bool {
        self.learnt.has_certificate()
    }

    /// Where CoA and Disconnect go.
    pub fn coa_address(&self) -> SocketAddr {
        SocketAddr::new(self.place(), self.coa_port)
    }

    /// Notes a verified request.
    pub fn note_seen(&self, now: Timestamp) {
        self.learnt.note_seen(now);
    }

    /// Notes that it answered in another way.
    pub fn note_alive(&self) {
        self.learnt.note_alive();
    }

    /// How many signs of life it gave.
    pub fn signs(&self) -> u64 {
        self.learnt.signs()
    }

    /// Wakes `who` at its next sign of life.
    pub fn await_life(&self, who: &Arc<Notify>) {
        self.learnt.await_life(who);
    }

    /// When a request of it was verified last.
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.learnt.last_seen()
    }

    /// Notes that it proved to know this secret.
    pub fn note_proved(&self, secret: &Secret) {
        self.note_shown(secret);
        self.learnt.note_proved();
    }

    /// Notes that this box met it itself.
    pub(super) fn note_met(&self) {
        self.learnt.note_met();
    }

    /// When it proved last who it is, and when this box met it, in the order of all that did; zero is never.
    pub(super) fn proved_and_met(&self) -> (u64, u64) {
        self.learnt.proved_and_met()
    }

    /// Notes a valid Message-Authenticator of this sender; whether it is the first.
    pub fn note_signed(&self, sender: IpAddr) -> bool {
        self.learnt.note_signed(sender)
    }

    /// Notes a request that was taken without one.
    pub fn note_unsigned(&self, now: Timestamp) {
        self.learnt.note_unsigned(now);
    }

    /// Notes one that was dropped because it carries none.
    pub fn note_refused(&self, now: Timestamp) {
        self.learnt.note_refused(now);
    }

    /// It has told of so many sessions that no new one is taken.
    pub fn note_full(&self, now: Timestamp) {
        self.learnt.note_full(now);
    }

    /// New sessions of it are taken.
    pub fn note_room(&self) {
        self.learnt.note_room();
    }

    /// Counts a request that did not verify (A5).
    pub fn note_mismatch(&self, now: Timestamp) {
        self.learnt.note_mismatch(now);
    }

    /// What was learned so far.
    pub fn signing(&self) -> Signing {
        Signing {
            signers: self.learnt.signers.all(),
            unsigned: self.learnt.unsigned_since().is_some(),
            mismatches: self.learnt.mismatches.load(Ordering::Relaxed),
            mismatched: self.learnt.mismatched(),
            shows_another_secret: self.learnt.shows_another_secret(),
        }
    }

    /// Takes over who was seen to sign before a restart.
    pub fn recall_signers(&self, signers: impl IntoIterator<Item = IpAddr>) {
        for sender in signers {
            self.learnt.signers.add(sender);
        }
    }
}

impl RouterApi {
    fn open(id: RouterId, address: IpAddr, row: &RouterApiV1, key: &SealKey) -> Option<RouterApi> {
        let place = secret_place(DownKind::Router, id.0, "api");
        let password = key.open(&place, &row.password).ok();
        let password = password.and_then(|clear| String::from_utf8(clear.to_vec()).ok());
        if password.is_none() {
            warn!(router.id = %id, "Cannot open the API password of a router");
        }
        let digest = Sha256::new()
            .chain_update(format!("{address} {} {} {}", row.port, row.tls, row.user))
            .chain_update(&row.password)
            .finalize();
        let (short, _) = digest.split_at(8);
        Some(RouterApi {
            name: format!("{id}/{}", hex::encode(short)),
            access: Access {
                address: SocketAddr::new(address, row.port),
                tls: row.tls,
                user: row.user.clone(),
                password: SecretString::from(password?),
            },
        })
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Router({} {})", self.id, self.name)
    }
}
