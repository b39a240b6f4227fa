//! Who may come through the agents' door, over whatever carries it: TLS 1.3, mutual, no early data, no
//! session tickets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::{ALPN_ENROLL, ALPN_LINK};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};

use super::DoorError;
use crate::sites::pki::{Authority, LATE_RENEWAL, SERVER_LIFE};

/// What a caller came for, by the protocol both named in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An agent's link.
    Link,
    /// A box with a join token.
    Enroll,
}

impl Purpose {
    /// By protocol; `None` for one this build does not speak.
    pub(super) fn of(protocol: &[u8]) -> Option<Purpose> {
        match protocol {
            ALPN_LINK => Some(Purpose::Link),
            ALPN_ENROLL => Some(Purpose::Enroll),
            _ => None, // octets of a caller
        }
    }
}

/// The door's side of every handshake.
pub(super) fn config(
    authority: Arc<Authority>,
    clock: Clock,
) -> Result<(Arc<rustls::ServerConfig>, Arc<OwnCertificate>), DoorError> {
    let unusable = |error: &dyn std::fmt::Display| DoorError::Certificate(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let agents = Agents::new(&authority, &provider).map_err(|error| unusable(&error))?;
    let own = Arc::new(OwnCertificate {
        authority,
        clock: clock.clone(),
        provider: provider.clone(),
        current: Mutex::new(None),
    });
    own.at(clock.now()).map_err(|error| unusable(&error))?;
    let time = Arc::new(ClockTime(clock));
    let mut tls = rustls::ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(&error))?
        .with_client_cert_verifier(Arc::new(agents))
        .with_cert_resolver(own.clone());
    tls.alpn_protocols = vec![ALPN_LINK.to_vec(), ALPN_ENROLL.to_vec()];
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    tls.max_early_data_size = 0;
    Ok((Arc::new(tls), own))
}

/// This node's own certificate for agents: made at start, made anew half way through its life.
pub struct OwnCertificate {
    authority: Arc<Authority>,
    clock: Clock,
    provider: Arc<CryptoProvider>,
    current: Mutex<Option<(Arc<CertifiedKey>, Timestamp)>>,
}

impl OwnCertificate {
    /// When the authority ends, and when the certificate that agents are shown does, after it was made anew where
    /// that is due. The second is long past renewal only where making it fails.
    pub fn ends(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let renewed = self.at(self.clock.now());
        if let Err(error) = renewed {
            tracing::error!(%error, "The agents' door cannot renew its certificate");
        }
        let current = self.current.lock().expect("no code panics under this lock");
        let rest = SERVER_LIFE - SERVER_LIFE / 2;
        let link = current.as_ref().map(|(_, renew_at)| renew_at.plus(rest));
        (self.authority.ends(), link)
    }

    fn at(&self, now: Timestamp) -> Result<Arc<CertifiedKey>, String> {
        let mut current = self.current.lock().expect("no code panics under this lock");
        if let Some((certificate, renew_at)) = current.as_ref()
            && now < *renew_at
        {
            return Ok(certificate.clone());
        }
        let (issued, key) = self
            .authority
            .server_certificate(now)
            .map_err(|error| error.to_string())?;
        // The authority goes along, so that a box that knows only its fingerprint can check it.
        let chain = vec![
            CertificateDer::from(issued.certificate),
            CertificateDer::from(self.authority.certificate().to_vec()),
        ];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_slice()));
        let key = self
            .provider
            .key_provider
            .load_private_key(key.clone_key())
            .map_err(|error| error.to_string())?;
        let certificate = Arc::new(CertifiedKey::new(chain, key));
        *current = Some((certificate.clone(), now.plus(SERVER_LIFE / 2)));
        Ok(certificate)
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match self.at(self.clock.now()) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                tracing::error!(%error, "The agents' door has no certificate");
                None
            }
        }
    }
}

impl std::fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnCertificate")
    }
}

/// Believes agents by our own authority (two during a rotation), and boxes without a certificate as far as enrolment.
///
/// A certificate that ended up to 90 days ago passes here (I3): what it may still do, renew itself, is
/// decided where it is looked up, together with revocation.
#[derive(Debug)]
struct Agents {
    by_authority: Arc<dyn ClientCertVerifier>,
}

impl Agents {
    fn new(authority: &Authority, provider: &Arc<CryptoProvider>) -> Result<Agents, String> {
        let mut roots = RootCertStore::empty();
        for believed in authority.believed() {
            roots
                .add(CertificateDer::from(believed))
                .map_err(|error| error.to_string())?;
        }
        let by_authority =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(|error| error.to_string())?;
        Ok(Agents { by_authority })
    }
}

impl ClientCertVerifier for Agents {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let at = |time| {
            self.by_authority
                .verify_client_cert(end_entity, intermediates, time)
        };
        match at(now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => {
                let ended = super::identity::ends(end_entity);
                let late = ended.map(|ended| now.as_secs().saturating_sub(ended));
                match (ended, late) {
                    (Some(ended), Some(late)) if late <= LATE_RENEWAL.as_secs() => {
                        at(UnixTime::since_unix_epoch(Duration::from_secs(ended)))
                    }
                    (_, _) => Err(CertificateError::Expired.into()),
                }
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

#[derive(Debug)]
struct ClockTime(Clock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let secs = u64::try_from(self.0.now().secs()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(secs)))
    }
}
