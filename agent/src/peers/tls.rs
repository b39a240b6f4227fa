//! Who is at the other end: TLS 1.3 both ways, with the certificates that the cloud gave, told apart by
//! their keys. The feed says which keys are this site's; one that was revoked is not among them.

use std::sync::Arc;

use easyisp_shared::id::AgentId;
use easyisp_shared::wire::ALPN_PEER;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error,
    ServerConfig, SignatureScheme,
};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::site::Site;
use crate::sync::Identity;

/// The two sides of a handshake.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
}

impl Tls {
    /// With the certificate of `identity`, for the agents that `site` knows.
    pub(super) fn new(identity: &Identity, site: &Arc<Site>) -> Result<Tls, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let known = Arc::new(KnownKeys {
            site: site.clone(),
            provider: provider.clone(),
        });
        let own = identity.credentials();
        let chain: Vec<CertificateDer<'static>> =
            own.chain.into_iter().map(CertificateDer::from).collect();
        let key = || PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.clone()));

        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(known.clone())
            .with_client_auth_cert(chain.clone(), key())?;
        client.alpn_protocols = vec![ALPN_PEER.to_vec()];
        client.resumption = Resumption::disabled();

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(known)
            .with_single_cert(chain, key())?;
        server.alpn_protocols = vec![ALPN_PEER.to_vec()];
        server.send_tls13_tickets = 0;
        Ok(Tls {
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }
}

/// Which of the site's other agents is at the other end of a connection that stands. Asked again for each
/// sentence: an agent may be revoked meanwhile.
pub(super) fn agent_of(site: &Site, state: &CommonState) -> Option<AgentId> {
    agent_with(site, state.peer_certificates()?.first()?)
}

fn agent_with(site: &Site, certificate: &CertificateDer<'_>) -> Option<AgentId> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let key = parsed.public_key().subject_public_key.data.as_ref();
    let digest: [u8; 32] = Sha256::digest(key).into();
    let policy = site.policy();
    let mut agents = policy.row.as_ref()?.agents.iter();
    agents
        .find(|told| told.key == digest && Some(told.agent) != site.agent())
        .map(|told| told.agent)
}

/// Believes who proves to hold a key that the feed names.
struct KnownKeys {
    site: Arc<Site>,
    provider: Arc<CryptoProvider>,
}

impl KnownKeys {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        match agent_with(&self.site, certificate) {
            Some(_) => Ok(()),
            None => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
        }
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn only_tls13() -> Error {
    Error::General("only TLS 1.3 is spoken here".into())
}

impl ServerCertVerifier for KnownKeys {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for KnownKeys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl std::fmt::Debug for KnownKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KnownKeys")
    }
}
