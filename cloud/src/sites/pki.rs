//! The platform's private certificate authority: who may call himself a cloud, and who an agent.

use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AgentId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::CLOUD_NAME;
use easyisp_shared::wire::token::Fingerprint;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::agents::Agent;

/// The authority with its key. One per platform, made at the first start.
pub struct Authority {
    certificate: Vec<u8>,
    others: Vec<Vec<u8>>,
    issuer: Issuer<'static, KeyPair>,
    entropy: Entropy,
}

/// A certificate, ready to be handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// DER.
    pub certificate: Vec<u8>,
    /// SHA-256 of it.
    pub fingerprint: [u8; 32],
    /// SHA-256 of the public key in it.
    pub key: [u8; 32],
    /// When it ends.
    pub expires: Timestamp,
}

/// A signing request that is none, is forged, or whose key is not P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing request is not usable")]
pub struct BadRequest;

impl Authority {
    /// Makes a new authority: its certificate and its key (PKCS #8), to be kept sealed.
    pub fn create(
        now: Timestamp,
        entropy: &Entropy,
    ) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = params("EasyISP private authority", now, CA_LIFE, entropy);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        let key = Zeroizing::new(key.serialize_der());
        Ok((certificate.der().to_vec(), key))
    }

    /// The authority from what [`Authority::create`] made.
    pub fn open(
        certificate: Vec<u8>,
        key: &[u8],
        entropy: Entropy,
    ) -> Result<Authority, rcgen::Error> {
        let key = KeyPair::try_from(key)?;
        let der = CertificateDer::from(certificate.as_slice());
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Authority {
            certificate,
            others: Vec::new(),
            issuer,
            entropy,
        })
    }

    /// The same while a rotation is under way: these (DER) are believed besides.
    pub fn beside(self, others: Vec<Vec<u8>>) -> Authority {
        Authority { others, ..self }
    }

    /// Whom agents should believe, and whose certificates are believed here: the one that signs comes first.
    pub fn believed(&self) -> Vec<Vec<u8>> {
        let own = std::iter::once(&self.certificate);
        own.chain(&self.others).cloned().collect()
    }

    /// The authority's certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// When it ends, and with it every certificate of its.
    pub fn ends(&self) -> Option<Timestamp> {
        let (_, parsed) = X509Certificate::from_der(&self.certificate).ok()?;
        Some(Timestamp::from_secs(
            parsed.validity().not_after.timestamp(),
        ))
    }

    /// What join tokens carry.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// A certificate and a new key (PKCS #8) for a node's own door.
    pub fn server_certificate(
        &self,
        now: Timestamp,
    ) -> Result<(Issued, Zeroizing<Vec<u8>>), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = params("EasyISP cloud", now, SERVER_LIFE, &self.entropy);
        params.subject_alt_names = vec![SanType::DnsName(name(CLOUD_NAME))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issued = self.sign(params, &key, now.plus(SERVER_LIFE))?;
        Ok((issued, Zeroizing::new(key.serialize_der())))
    }

    /// A certificate for the key that `request` (DER) proves; nothing else in it is believed.
    pub fn agent_certificate(
        &self,
        request: &[u8],
        tenant: TenantId,
        site: SiteId,
        agent: AgentId,
        now: Timestamp,
    ) -> Result<Issued, BadRequest> {
        let request = CertificateSigningRequestDer::from(request);
        let request =
            CertificateSigningRequestParams::from_der(&request).map_err(|_| BadRequest)?;
        if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(BadRequest);
        }
        let mut params = params("EasyISP agent", now, AGENT_LIFE, &self.entropy);
        let holder = Agent {
            tenant,
            site,
            id: agent,
        };
        let uri = holder.uri();
        params.subject_alt_names = vec![SanType::URI(name(&uri))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, &request.public_key, now.plus(AGENT_LIFE))
            .map_err(|_| BadRequest)
    }

    fn sign(
        &self,
        params: CertificateParams,
        key: &impl PublicKeyData,
        expires: Timestamp,
    ) -> Result<Issued, rcgen::Error> {
        let certificate = params.signed_by(key, &self.issuer)?.der().to_vec();
        Ok(Issued {
            fingerprint: Sha256::digest(&certificate).into(),
            key: Sha256::digest(key.der_bytes()).into(),
            certificate,
            expires,
        })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.fingerprint())
    }
}

fn params(
    common_name: &str,
    now: Timestamp,
    life: Duration,
    entropy: &Entropy,
) -> CertificateParams {
    let mut serial: [u8; 16] = entropy.bytes();
    // RFC 5280 §4.1.2.2: positive, and of a length that does not depend on the draw.
    serial[0] = serial[0] & 0x7f | 0x40;
    let at = |at: Timestamp| {
        let secs = u64::try_from(at.secs()).unwrap_or(0);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(secs)
    };
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = at(now.minus(BACKDATED));
    params.not_after = at(now.plus(life));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn name(text: &str) -> Ia5String {
    Ia5String::try_from(text).expect("our names and ids are ASCII")
}

const DAY: u64 = 86_400;
const CA_LIFE: Duration = Duration::from_secs(20 * 365 * DAY);
/// A node makes a new one from half of this on.
pub const SERVER_LIFE: Duration = Duration::from_secs(90 * DAY);
/// An agent asks for a new one from half of this on.
pub const AGENT_LIFE: Duration = Duration::from_secs(30 * DAY);
/// How late an agent may still renew.
pub const LATE_RENEWAL: Duration = Duration::from_secs(90 * DAY);
/// Nodes' clocks differ by less (a node more than a second off takes no agents).
const BACKDATED: Duration = Duration::from_secs(300);

/// Whether a key (PEM) is that of a certificate (DER).
pub fn is_pair(certificate: &[u8], key: &[u8]) -> bool {
    let key = str::from_utf8(key).ok();
    let key = key.and_then(|text| KeyPair::from_pem(text).ok());
    match (key, X509Certificate::from_der(certificate)) {
        (Some(key), Ok((_, parsed))) => {
            parsed.public_key().raw == key.subject_public_key_info().as_slice()
        }
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use x509_parser::prelude::GeneralName;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn authority() -> Authority {
        let entropy = Entropy::seeded(1);
        let (certificate, key) = Authority::create(NOW, &entropy).unwrap();
        Authority::open(certificate, &key, entropy).unwrap()
    }

    fn request(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        // What a request says of itself is not believed.
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names = vec![SanType::DnsName(name(CLOUD_NAME))];
        params.serialize_request(&key).unwrap().der().to_vec()
    }

    #[test]
    fn an_agents_certificate_names_its_place_and_nothing_it_asked_for() {
        let (tenant, site, agent) = ids();
        let issued = authority()
            .agent_certificate(&request(&PKCS_ECDSA_P256_SHA256), tenant, site, agent, NOW)
            .unwrap();

        let (_, parsed) = X509Certificate::from_der(&issued.certificate).unwrap();
        assert!(!parsed.is_ca());
        let names = &parsed.subject_alternative_name().unwrap().unwrap().value;
        let expected = format!("easyisp:tenant/{tenant}/site/{site}/agent/{agent}");
        assert_eq!(
            names.general_names,
            vec![GeneralName::URI(expected.as_str())]
        );
        assert_eq!(
            parsed.validity().not_after.timestamp(),
            NOW.plus(AGENT_LIFE).secs()
        );
    }

    #[test]
    fn other_keys_and_damaged_requests_are_refused() {
        let (tenant, site, agent) = ids();
        let authority = authority();
        let sign = |request: &[u8]| authority.agent_certificate(request, tenant, site, agent, NOW);

        assert_eq!(sign(&request(&rcgen::PKCS_ED25519)), Err(BadRequest));
        assert_eq!(sign(b""), Err(BadRequest));
        let mut forged = request(&PKCS_ECDSA_P256_SHA256);
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(sign(&forged), Err(BadRequest));
    }

    fn ids() -> (TenantId, SiteId, AgentId) {
        let id = uuid::Uuid::from_u128;
        (id(1).into(), id(2).into(), id(3).into())
    }
}
