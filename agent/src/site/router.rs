//! One router of the site: where it speaks from, and what proves that it is the one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use easyisp_shared::id::RouterId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::down::{MessageAuthenticator, RouterApiV1, RouterV1, secret_place};
use ipnet::IpNet;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::signers::Signers;
use crate::radius::{Secret, SigningPolicy};
use crate::routeros::Access;

/// A router. Replaced as a whole when the cloud says something new of it; what was learned stays.
pub struct Router {
    /// Its id.
    pub id: RouterId,
    /// Its name.
    pub name: String,
    /// Where CoA goes.
    pub address: IpAddr,
    /// Where its requests come from.
    pub source: IpNet,
    /// Its secrets: the present one and, during a rotation, the one before.
    pub secrets: Vec<Arc<Secret>>,
    /// Where it takes CoA and Disconnect.
    pub coa_port: u16,
    /// How to enter its API; `None` when nobody entered a user, or the password does not open.
    pub api: Option<RouterApi>,
    policy: MessageAuthenticator,
    signers: Signers,
    unsigned: AtomicBool,
    mismatches: AtomicU64,
    /// Microseconds since 1970 of the last of them; 0 before the first.
    mismatched: AtomicI64,
    /// Microseconds since 1970 of the last verified request; 0 before the first.
    seen: AtomicI64,
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
            policy: row.message_authenticator,
            signers: Signers::default(),
            unsigned: AtomicBool::new(false),
            mismatches: AtomicU64::new(0),
            mismatched: AtomicI64::new(0),
            seen: AtomicI64::new(0),
        })
    }

    /// What the Access-Requests of this sender must carry (A1).
    pub fn signing_policy(&self, sender: IpAddr) -> SigningPolicy {
        match self.policy {
            MessageAuthenticator::Require => SigningPolicy::Require,
            MessageAuthenticator::Learn => SigningPolicy::Learn {
                signs: self.signers.has(sender),
            },
        }
    }

    /// Where CoA and Disconnect go.
    pub fn coa_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.coa_port)
    }

    /// Notes a verified request.
    pub fn note_seen(&self, now: Timestamp) {
        self.seen.store(now.micros(), Ordering::Relaxed);
    }

    /// When a request of it was verified last.
    pub fn last_seen(&self) -> Option<Timestamp> {
        instant(&self.seen)
    }

    /// Notes a valid Message-Authenticator of this sender; whether it is the first.
    pub fn note_signed(&self, sender: IpAddr) -> bool {
        self.signers.add(sender)
    }

    /// Notes a request without one.
    pub fn note_unsigned(&self) {
        self.unsigned.store(true, Ordering::Relaxed);
    }

    /// Counts a request that did not verify (A5).
    pub fn note_mismatch(&self, now: Timestamp) {
        self.mismatches.fetch_add(1, Ordering::Relaxed);
        self.mismatched.store(now.micros(), Ordering::Relaxed);
    }

    /// What was learned so far.
    pub fn signing(&self) -> Signing {
        Signing {
            signers: self.signers.all(),
            unsigned: self.unsigned.load(Ordering::Relaxed),
            mismatches: self.mismatches.load(Ordering::Relaxed),
            mismatched: instant(&self.mismatched),
        }
    }

    /// Takes over what was learned before this row, or before a restart.
    pub fn inherit(&self, learned: Signing) {
        for sender in learned.signers {
            self.signers.add(sender);
        }
        self.unsigned.fetch_or(learned.unsigned, Ordering::Relaxed);
        let counted = &self.mismatches;
        counted.fetch_add(learned.mismatches, Ordering::Relaxed);
        let last = learned.mismatched.map_or(0, Timestamp::micros);
        self.mismatched.fetch_max(last, Ordering::Relaxed);
    }
}

/// What an atomic holds of an instant; 0 stands for none.
fn instant(micros: &AtomicI64) -> Option<Timestamp> {
    let micros = micros.load(Ordering::Relaxed);
    (micros != 0).then(|| Timestamp::from_micros(micros))
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
