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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use easyisp_shared::wire::CLOUD_NAME;
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };

    use super::*;

    /// Only who bears the cloud's name, of the pinned authority, made to answer as a server, is believed. Every
    /// agent has a certificate of that authority, and none of them is the cloud.
    #[test]
    fn whom_the_authority_calls_otherwise_is_not_the_cloud() {
        let (known, stranger) = (given_authority(), given_authority());
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        let judge = |authority: &Given, name: &str, use_: &ExtendedKeyUsagePurpose, floor: u64| {
            let leaf = authority.leaf(name, use_.clone());
            let floor = Timestamp::from_secs(i64::try_from(floor).unwrap());
            let trust = Trust::authorities(&[known.der.to_vec()], Arc::new(move || floor)).unwrap();
            let fingerprint =
                Trust::fingerprint(Fingerprint::of(&known.der), Arc::new(move || floor));
            let sent = [authority.der.clone()];
            let asked = ServerName::try_from(CLOUD_NAME).unwrap();
            let wall = UnixTime::since_unix_epoch(Duration::ZERO);
            [trust, fingerprint].map(|trust| {
                let judged = trust.verify_server_cert(&leaf, &sent, &asked, &[], wall);
                judged.is_ok()
            })
        };
        assert_eq!(judge(&known, CLOUD_NAME, &server, FROM + 1), [true; 2]);
        assert_eq!(
            judge(&known, CLOUD_NAME, &server, 0),
            [true; 2],
            "the floor is behind"
        );
        assert_eq!(
            judge(&known, CLOUD_NAME, &server, UNTIL + 1),
            [false; 2],
            "it ended"
        );
        assert_eq!(
            judge(&known, "agent.easyisp.internal", &server, FROM + 1),
            [false; 2]
        );
        let client = ExtendedKeyUsagePurpose::ClientAuth;
        assert_eq!(
            judge(&known, CLOUD_NAME, &client, FROM + 1),
            [false; 2],
            "an agent's"
        );
        assert_eq!(judge(&stranger, CLOUD_NAME, &server, FROM + 1), [false; 2]);
    }

    struct Given {
        der: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Given {
        fn leaf(&self, name: &str, use_: ExtendedKeyUsagePurpose) -> CertificateDer<'static> {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.extended_key_usages = vec![use_];
            let params = lasting(params, UNTIL);
            let key = KeyPair::generate().unwrap();
            params.signed_by(&key, &self.issuer).unwrap().der().clone()
        }
    }

    fn given_authority() -> Given {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let params = lasting(params, UNTIL + 1_000_000);
        let der = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::from_ca_cert_der(&der, key).unwrap();
        Given { der, issuer }
    }

    /// Good from [`FROM`] on.
    fn lasting(mut params: CertificateParams, until: u64) -> CertificateParams {
        let at = |secs| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(secs);
        (params.not_before, params.not_after) = (at(FROM), at(until));
        params
    }

    const FROM: u64 = 1_800_000_000;
    const UNTIL: u64 = FROM + 90 * 86_400;
}
