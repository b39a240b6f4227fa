//! The certificate authority of a site's boxes: supplicants know our tunnels by it, and routers and we know each
//! other by it over RadSec.
//!
//! It lies in the data folder: `eap-ca.pem` for everybody, `eap-ca.key` for nobody (0600). A supplicant pins the
//! first for years, so what it signs is short-lived and made in memory. A site's first box makes it and tells the
//! cloud, sealed under the site's key; who joins later, or takes a dead box's place, is given it when it enrols, beside
//! its identity, and begins with that. One that has another already goes on with it: devices may have pinned it. What the
//! site has lies beside its identity then, for when its own two files are moved away.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::SiteId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::enroll::SiteAuthorityV1;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::config::IDENTITY_FOLDER;

/// The authority with its key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    entropy: Entropy,
}

/// A certificate with its key.
pub struct Leaf {
    /// DER.
    pub certificate: CertificateDer<'static>,
    /// PKCS #8, wiped when dropped.
    pub key: Zeroizing<Vec<u8>>,
}

/// What a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// Ours, towards supplicants and routers.
    Server,
    /// A router's, towards us: its name in a URI.
    Client(&'a str),
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// A file does not hold what it should; a new authority would be a stranger to every device.
    #[error(
        "{0} is damaged: put a copy of it back, or move both eap-ca files away and tell every device the new one"
    )]
    Damaged(PathBuf),
    /// The cloud gave something else than this site's authority.
    #[error("what the cloud gave is not this site's authority")]
    Given,
    /// A key or certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS does not take it.
    #[error("cannot use a certificate: {0}")]
    Tls(rustls::Error),
}

impl Authority {
    /// Opens the authority in `folder`; when neither file is there it takes the one that was given to this box, and makes
    /// one where none was.
    pub fn open(
        folder: &Path,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Result<Authority, AuthorityError> {
        let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
        // The certificate is written last: a key alone is what a power cut left of taking what was given.
        if !certificate.exists() && !take_given(folder)? && !key.exists() {
            make(&certificate, &key, now, entropy)?;
        }
        let key_pem = Zeroizing::new(fs::read_to_string(&key).map_err(at(&key))?);
        let pair = KeyPair::from_pem(&key_pem).map_err(|_| AuthorityError::Damaged(key))?;
        let der = fs::read(&certificate).map_err(at(&certificate))?;
        let damaged = || AuthorityError::Damaged(certificate.clone());
        let der = CertificateDer::from_pem_slice(&der).map_err(|_| damaged())?;
        let issuer = Issuer::from_ca_cert_der(&der, pair).map_err(|_| damaged())?;
        Ok(Authority {
            certificate: der.into_owned(),
            issuer,
            entropy: entropy.clone(),
        })
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The same in PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// SHA-256 of it, in hex: what a person compares on a device.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.certificate))
    }

    /// A certificate with a new key, good from now on for `life`.
    pub fn issue(
        &self,
        purpose: Purpose<'_>,
        now: Timestamp,
        life: Duration,
    ) -> Result<Leaf, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = params(SERVER_NAME, now, life, &self.entropy);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        match purpose {
            Purpose::Server => {
                let name = Ia5String::try_from(SERVER_NAME).expect("ASCII");
                params.subject_alt_names = vec![SanType::DnsName(name)];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
            Purpose::Client(uri) => {
                let uri = Ia5String::try_from(uri)?;
                params.distinguished_name = named("EasyISP router");
                params.subject_alt_names = vec![SanType::URI(uri)];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
        }
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            certificate: certificate.der().clone(),
            key: Zeroizing::new(key.serialize_der()),
        })
    }
}

/// The authority in `folder` as the cloud is told it.
pub fn told(folder: &Path, key: &SealKey, site: SiteId) -> Result<SiteAuthorityV1, AuthorityError> {
    let (path, key_path) = (folder.join(CERTIFICATE), folder.join(KEY));
    let pem = fs::read(&path).map_err(at(&path))?;
    let certificate =
        CertificateDer::from_pem_slice(&pem).map_err(|_| AuthorityError::Damaged(path))?;
    let secret = Zeroizing::new(fs::read(&key_path).map_err(at(&key_path))?);
    Ok(SiteAuthorityV1 {
        certificate: certificate.to_vec(),
        key: key.seal_same(&SiteAuthorityV1::place(site), &secret),
    })
}

/// Keeps the site's authority beside the identity in `identity`, for a box that has none of its own.
pub fn keep_given(
    identity: &Path,
    given: &SiteAuthorityV1,
    key: &SealKey,
    site: SiteId,
) -> Result<(), AuthorityError> {
    let (certificate, secret) = (identity.join(CERTIFICATE), identity.join(KEY));
    let damaged = || AuthorityError::Given;
    let opened = key.open(&SiteAuthorityV1::place(site), &given.key);
    let opened = opened.map_err(|_| damaged())?;
    let text = str::from_utf8(&opened).map_err(|_| damaged())?;
    let pair = KeyPair::from_pem(text).map_err(|_| damaged())?;
    let der = CertificateDer::from(given.certificate.as_slice());
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| damaged())?;
    if parsed.public_key().raw != pair.subject_public_key_info() {
        return Err(damaged());
    }
    write(&secret, 0o600, &opened)?;
    write(&certificate, 0o644, pem("CERTIFICATE", &der).as_bytes())
}

/// Takes what was given to this box when it was enrolled; `false` when nothing was.
fn take_given(folder: &Path) -> Result<bool, AuthorityError> {
    let given = folder.join(IDENTITY_FOLDER);
    let (certificate, key) = (given.join(CERTIFICATE), given.join(KEY));
    if !certificate.exists() || !key.exists() {
        return Ok(false);
    }
    let secret = Zeroizing::new(fs::read(&key).map_err(at(&key))?);
    let public = fs::read(&certificate).map_err(at(&certificate))?;
    write(&folder.join(KEY), 0o600, &secret)?;
    write(&folder.join(CERTIFICATE), 0o644, &public)?;
    Ok(true)
}

/// The fingerprint of the authority in `folder`; `None` when there is none yet. One half of it alone, or one that cannot
/// be read, is an error: the agent would not do with it.
pub fn fingerprint_in(folder: &Path) -> Result<Option<String>, AuthorityError> {
    let (path, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    if !path.exists() && !key.exists() {
        return Ok(None);
    }
    let pem = fs::read(&path).map_err(at(&path))?;
    let certificate =
        CertificateDer::from_pem_slice(&pem).map_err(|_| AuthorityError::Damaged(path))?;
    let pem = Zeroizing::new(fs::read_to_string(&key).map_err(at(&key))?);
    KeyPair::from_pem(&pem).map_err(|_| AuthorityError::Damaged(key))?;
    Ok(Some(hex::encode(Sha256::digest(&certificate))))
}

impl Leaf {
    /// The certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The key in PEM.
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem("PRIVATE KEY", &self.key))
    }

    /// The key in the form that rustls takes.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_vec()).into()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.fingerprint())
    }
}

/// The key goes first: without a certificate beside it nobody has pinned anything yet.
fn make(
    certificate: &Path,
    key: &Path,
    now: Timestamp,
    entropy: &Entropy,
) -> Result<(), AuthorityError> {
    let pair = KeyPair::generate()?;
    let mut params = params("EasyISP access authority", now, AUTHORITY_LIFE, entropy);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let signed = params.self_signed(&pair)?;
    write(key, 0o600, Zeroizing::new(pair.serialize_pem()).as_bytes())?;
    write(certificate, 0o644, signed.pem().as_bytes())
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), AuthorityError> {
    let part = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        let mut file = options.open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(at(path))
}

fn params(name: &str, now: Timestamp, life: Duration, entropy: &Entropy) -> CertificateParams {
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
    params.distinguished_name = named(name);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(str::from_utf8(line).expect("base64 is ASCII"));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> AuthorityError {
    let path = path.to_owned();
    move |cause| AuthorityError::File(path, cause)
}

/// The certificate that devices are given.
pub const CERTIFICATE: &str = "eap-ca.pem";
/// What it signs with.
pub const KEY: &str = "eap-ca.key";
/// What a supplicant may be told to expect besides the authority.
pub const SERVER_NAME: &str = "radius.easyisp.internal";
const DAY: u64 = 86_400;
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * DAY);
/// Phones' and boxes' clocks are off by hours more often than by days; and the authority may have been
/// made by a box that woke in the past.
const BACKDATED: Duration = Duration::from_secs(30 * DAY);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn an_authority_stays_the_same_and_its_key_is_nobodys_business() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Authority::open(folder.path(), NOW, &Entropy::seeded(1));
        let first = open().unwrap().fingerprint();
        assert_eq!(open().unwrap().fingerprint(), first);
        let mode = fs::metadata(folder.path().join(KEY)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);

        fs::write(folder.path().join(CERTIFICATE), "no certificate").unwrap();
        assert!(matches!(open(), Err(AuthorityError::Damaged(_))));
        fs::remove_file(folder.path().join(CERTIFICATE)).unwrap();
        assert!(
            matches!(open(), Err(AuthorityError::File(..))),
            "never replaced unasked"
        );
    }
}
