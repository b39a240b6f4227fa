//! Which cloud to believe: a pinned private CA, no system roots, no off switch.
//!
//! Validity is checked against the time that is *known to have passed*, not against the box's clock: a
//! board that wakes in 1970 or 2040 still reaches the cloud that can tell it the time (F3), and a
//! certificate that has expired for sure is still refused (I5).

use std::sync::Arc;

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::token::Fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The latest time known to have passed.
pub type Floor = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Believes clouds by their authority.
pub struct Trust {
    anchors: Anchors,
    floor: Floor,
    provider: Arc<CryptoProvider>,
    algorithms: WebPkiSupportedAlgorithms,
}

enum Anchors {
    /// An enrolled agent knows its authorities (two during a rotation).
    Known(Arc<RootCertStore>),
    /// Before enrolment only the join token's fingerprint is known: the cloud sends its authority along.
    Fingerprint(Fingerprint),
}

impl Trust {
    /// Believes clouds whose certificate one of `authorities` (DER) signed.
    pub fn authorities(authorities: &[Vec<u8>], floor: Floor) -> Result<Trust, Error> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(CertificateDer::from(authority.as_slice()))?;
        }
        Ok(Trust::new(Anchors::Known(Arc::new(roots)), floor))
    }

    /// Believes the cloud whose authority has this fingerprint.
    pub fn fingerprint(fingerprint: Fingerprint, floor: Floor) -> Trust {
        Trust::new(Anchors::Fingerprint(fingerprint), floor)
    }

    fn new(anchors: Anchors, floor: Floor) -> Trust {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        Trust {
            anchors,
            floor,
            provider,
            algorithms,
        }
    }

    fn roots(&self, intermediates: &[CertificateDer<'_>]) -> Result<Arc<RootCertStore>, Error> {
        match &self.anchors {
            Anchors::Known(roots) => Ok(roots.clone()),
            Anchors::Fingerprint(wanted) => {
                let authority = intermediates
                    .iter()
                    .find(|sent| Fingerprint::of(sent) == *wanted)
                    .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone().into_owned())?;
                Ok(Arc::new(roots))
            }
        }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _by_the_clock: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let roots = self.roots(intermediates)?;
        let at = validity_time(end_entity, (self.floor)())?;
        WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trust")
    }
}

/// The time to judge a certificate at: the floor, or the certificate's own beginning where that is
/// later, because a floor never proves that something is not yet valid.
fn validity_time(certificate: &CertificateDer<'_>, floor: Timestamp) -> Result<UnixTime, Error> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let begins = parsed.validity().not_before.timestamp();
    let secs = u64::try_from(floor.secs().max(begins)).unwrap_or(0);
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        secs,
    )))
}

/// The one provider of cryptography.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
