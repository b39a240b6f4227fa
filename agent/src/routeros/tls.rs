//! Which certificate to believe of a router: the one it showed first.
//!
//! Routers carry certificates of their own making, so there is no authority to ask. What counts is that
//! it is the same box as before: the certificate's SHA-256 is kept with the API settings it was met
//! under. New settings (another password, another port) are met afresh: that is how an operator says
//! that a router was reset on purpose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};

/// SHA-256 of a certificate.
pub type Fingerprint = [u8; 32];

/// The certificates met so far, by what names the settings they were met under.
pub struct Pins {
    known: Mutex<HashMap<String, Fingerprint>>,
    keep: Box<dyn Fn(String) + Send + Sync>,
}

impl Pins {
    /// Those kept on disk as `NAME/HEX`; `keep` writes another one down the same way.
    pub fn new(
        kept: impl IntoIterator<Item = String>,
        keep: impl Fn(String) + Send + Sync + 'static,
    ) -> Pins {
        let read = |kept: String| {
            let (name, fingerprint) = kept.rsplit_once('/')?;
            let mut octets = Fingerprint::default();
            hex::decode_to_slice(fingerprint, &mut octets).ok()?;
            Some((name.to_owned(), octets))
        };
        Pins {
            known: Mutex::new(kept.into_iter().filter_map(read).collect()),
            keep: Box::new(keep),
        }
    }

    pub(super) fn of(&self, name: &str) -> Option<Fingerprint> {
        self.lock().get(name).copied()
    }

    /// Notes a certificate under which a login succeeded.
    pub(super) fn learn(&self, name: &str, fingerprint: Fingerprint) {
        let before = self.lock().insert(name.to_owned(), fingerprint);
        if before != Some(fingerprint) {
            (self.keep)(format!("{name}/{}", hex::encode(fingerprint)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Fingerprint>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Believes one certificate, or the first.
pub(super) struct Pinned {
    wanted: Option<Fingerprint>,
    met: OnceLock<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    /// Believes `wanted`; whatever is shown when there is none yet.
    pub(super) fn new(wanted: Option<Fingerprint>) -> Arc<Pinned> {
        Arc::new(Pinned {
            wanted,
            met: OnceLock::new(),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
        })
    }

    /// The certificate that was shown.
    pub(super) fn met(&self) -> Option<Fingerprint> {
        self.met.get().copied()
    }

    /// What a connection is made with: TLS 1.2 and 1.3, and nothing resumed from another time.
    pub(super) fn client(self: &Arc<Pinned>) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(self.provider.clone());
        let mut config = builder
            .with_safe_default_protocol_versions()
            .expect("ring has suites of both versions")
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config
    }
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pinned")
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown: Fingerprint = Sha256::digest(end_entity).into();
        match self.wanted {
            Some(wanted) if wanted != shown => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
            Some(_) | None => {
                self.met.get_or_init(|| shown);
                Ok(ServerCertVerified::assertion())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
