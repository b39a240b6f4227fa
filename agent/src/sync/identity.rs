//! Who this agent is: a key made here that never leaves, and what the cloud gave for it.
//!
//! Files in one folder, each 0600: `agent.key`, `agent.pem` (chain), `authorities.pem`, `site.key`,
//! `identity.toml`. The folder appears whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use easyisp_shared::id::{AgentId, SiteId, TenantId};
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::enroll::{EnrolledV1, SiteAuthorityV1};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::dial::Credentials;
use crate::radius::eap::authority::keep_given;

/// An enrolled agent's identity, as read from its folder.
#[derive(Clone)]
pub struct Identity {
    /// The agent.
    pub agent: AgentId,
    /// Its site.
    pub site: SiteId,
    /// The site's tenant.
    pub tenant: TenantId,
    /// The site's name when it was enrolled, for people.
    pub site_name: String,
    /// Where the cloud is, `host:port`, as given when it was enrolled.
    pub cloud: String,
    /// The agent whose place this one took when it was enrolled.
    pub replaced: Option<AgentId>,
    /// Opens the secrets in feed records.
    pub site_key: SealKey,
    /// Whom to believe, DER.
    pub authorities: Vec<Vec<u8>>,
    chain: Vec<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    folder: PathBuf,
}

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The folder is not there.
    #[error("this agent is not enrolled: run easyisp-agent enroll --cloud HOST:PORT --token TOKEN")]
    NotEnrolled,
    /// The folder is there already.
    #[error("this agent is enrolled already; to enrol it anew, move {0} away first")]
    EnrolledAlready(PathBuf),
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// A file does not hold what it should.
    #[error("{0} is damaged: enrol this agent again")]
    Damaged(PathBuf),
    /// A key cannot be made.
    #[error("cannot make a key: {0}")]
    Key(#[from] rcgen::Error),
}

/// A folder in the making: it holds a new key and becomes the identity once the cloud has signed it.
pub struct Draft {
    folder: PathBuf,
    part: PathBuf,
    key: KeyPair,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    agent: AgentId,
    site: SiteId,
    tenant: TenantId,
    site_name: String,
    cloud: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced: Option<AgentId>,
}

impl Draft {
    /// Makes a key in a new folder beside `folder`.
    pub fn begin(folder: &Path) -> Result<Draft, IdentityError> {
        if folder.exists() {
            return Err(IdentityError::EnrolledAlready(folder.to_owned()));
        }
        let part = folder.with_extension("part");
        if part.exists() {
            fs::remove_dir_all(&part).map_err(at(&part))?;
        }
        fs::create_dir_all(&part).map_err(at(&part))?;
        fs::set_permissions(&part, Permissions::from_mode(0o700)).map_err(at(&part))?;
        let key = KeyPair::generate()?;
        let pem = Zeroizing::new(key.serialize_pem());
        write_private(&part.join(KEY), pem.as_bytes())?;
        Ok(Draft {
            folder: folder.to_owned(),
            part,
            key,
        })
    }

    /// SHA-256 of the public key, in hex: what an operator confirms.
    pub fn fingerprint(&self) -> String {
        use rcgen::PublicKeyData;
        use sha2::{Digest, Sha256};

        hex::encode(Sha256::digest(self.key.der_bytes()))
    }

    /// The signing request, DER.
    pub fn request(&self) -> Result<Vec<u8>, IdentityError> {
        signing_request(&self.key)
    }

    /// Writes what the cloud gave and makes the folder the identity.
    pub fn finish(
        self,
        cloud: &str,
        enrolled: &EnrolledV1,
        authority: Option<&SiteAuthorityV1>,
    ) -> Result<Identity, IdentityError> {
        let card = Card {
            agent: enrolled.agent,
            site: enrolled.site,
            tenant: enrolled.tenant,
            site_name: enrolled.site_name.clone(),
            cloud: cloud.to_owned(),
            replaced: enrolled.replaced,
        };
        let card = toml::to_string(&card).expect("ids and texts are plain TOML");
        let site_key = Zeroizing::new(hex::encode(enrolled.site_key));
        write_private(&self.part.join(CHAIN), pem(&enrolled.chain).as_bytes())?;
        write_private(
            &self.part.join(AUTHORITIES),
            pem(&enrolled.authorities).as_bytes(),
        )?;
        write_private(&self.part.join(SITE_KEY), site_key.as_bytes())?;
        write_private(&self.part.join(CARD), card.as_bytes())?;
        write_private(&self.part.join(GENERATION), numeral(0).as_bytes())?;
        if let Some(given) = authority {
            let key = SealKey::new(enrolled.site_key);
            // Without it the box makes one of its own, and the cloud says that it is another.
            if let Err(cause) = keep_given(&self.part, given, &key, enrolled.site) {
                tracing::warn!(%cause, "The site's access authority was not taken");
            }
        }
        give_away(&self.part)?;
        sync_folder(&self.part)?;
        fs::rename(&self.part, &self.folder).map_err(at(&self.folder))?;
        if let Some(parent) = self.folder.parent() {
            sync_folder(parent)?;
        }
        Identity::load(&self.folder)
    }
}

impl Identity {
    /// Reads the identity in `folder`.
    pub fn load(folder: &Path) -> Result<Identity, IdentityError> {
        if !folder.exists() {
            return Err(IdentityError::NotEnrolled);
        }
        let damaged = |name: &str| IdentityError::Damaged(folder.join(name));
        let read =
            |name: &str| fs::read_to_string(folder.join(name)).map_err(at(&folder.join(name)));

        let card: Card = toml::from_str(&read(CARD)?).map_err(|_| damaged(CARD))?;
        let site_key = Zeroizing::new(read(SITE_KEY)?);
        let mut key_bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(site_key.trim(), key_bytes.as_mut()).map_err(|_| damaged(SITE_KEY))?;
        let key = Zeroizing::new(read(KEY)?);
        let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).map_err(|_| damaged(KEY))?;
        Ok(Identity {
            agent: card.agent,
            site: card.site,
            tenant: card.tenant,
            site_name: card.site_name,
            cloud: card.cloud,
            replaced: card.replaced,
            site_key: SealKey::new(*key_bytes),
            authorities: certificates(&read(AUTHORITIES)?).ok_or_else(|| damaged(AUTHORITIES))?,
            chain: certificates(&read(CHAIN)?).ok_or_else(|| damaged(CHAIN))?,
            key: Zeroizing::new(key.secret_pkcs8_der().to_vec()),
            folder: folder.to_owned(),
        })
    }

    /// Where the identity's generation is kept.
    pub fn generation(&self) -> GenerationFile {
        GenerationFile(self.folder.join(GENERATION))
    }

    /// What to show when dialling.
    pub fn credentials(&self) -> Credentials {
        Credentials {
            chain: self.chain.clone(),
            key: self.key.to_vec(),
        }
    }

    /// SHA-256 of the agent's certificate, in hex: what the console shows beside the revoke button.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        self.chain
            .first()
            .map(|leaf| hex::encode(Sha256::digest(leaf)))
            .unwrap_or_default()
    }

    /// When the certificate is half way through its life and should be renewed.
    pub fn renew_at(&self) -> Option<Timestamp> {
        let (_, leaf) = X509Certificate::from_der(self.chain.first()?).ok()?;
        let (from, to) = (
            leaf.validity().not_before.timestamp(),
            leaf.validity().not_after.timestamp(),
        );
        Some(Timestamp::from_secs(from + (to - from) / 2))
    }

    /// A signing request for the key that is held.
    pub fn renewal_request(&self) -> Result<Vec<u8>, IdentityError> {
        let key = KeyPair::try_from(self.key.as_slice())?;
        signing_request(&key)
    }

    /// When the certificate ends, where that is near and it should have been renewed long ago (I5).
    pub fn ends_soon(&self, now: Timestamp) -> Option<Timestamp> {
        let (_, leaf) = X509Certificate::from_der(self.chain.first()?).ok()?;
        let ends = Timestamp::from_secs(leaf.validity().not_after.timestamp());
        (ends <= now.plus(ALARMED)).then_some(ends)
    }

    /// When the last of the authorities ends by which this box knows the cloud.
    pub fn authorities_end(&self) -> Option<Timestamp> {
        let ends = self.authorities.iter().filter_map(|der| {
            let (_, authority) = X509Certificate::from_der(der).ok()?;
            Some(Timestamp::from_secs(
                authority.validity().not_after.timestamp(),
            ))
        });
        ends.max()
    }

    /// Puts a renewed chain in the old one's place, and these authorities (two during a rotation).
    ///
    /// Refuses a chain that does not carry this agent's key, and authorities among which is none that was
    /// believed before: one follows the other.
    pub fn renewed(
        &mut self,
        chain: Vec<Vec<u8>>,
        authorities: Vec<Vec<u8>>,
    ) -> Result<(), IdentityError> {
        let known = |authority: &Vec<u8>| self.authorities.contains(authority);
        if !authorities.iter().any(known) {
            return Err(IdentityError::Damaged(self.folder.join(AUTHORITIES)));
        }
        let path = self.folder.join(CHAIN);
        let own = KeyPair::try_from(self.key.as_slice())?;
        let is_ours = chain.first().is_some_and(|leaf| {
            X509Certificate::from_der(leaf).is_ok_and(|(_, leaf)| {
                leaf.public_key().subject_public_key.data.as_ref() == own.public_key_raw()
            })
        });
        if !is_ours {
            return Err(IdentityError::Damaged(path));
        }
        // Whom to believe comes first: a chain of an authority that is not believed would be of no use.
        self.replace(AUTHORITIES, &authorities)?;
        self.authorities = authorities;
        self.replace(CHAIN, &chain)?;
        self.chain = chain;
        Ok(())
    }

    /// Puts certificates in a file's place, whole or not at all.
    fn replace(&self, name: &str, certificates: &[Vec<u8>]) -> Result<(), IdentityError> {
        let path = self.folder.join(name);
        let part = self.folder.join(format!("{name}.part"));
        write_private(&part, pem(certificates).as_bytes())?;
        fs::rename(&part, &path).map_err(at(&path))?;
        sync_folder(&self.folder)
    }
}

/// The generation that this box holds: it belongs to the identity, not to the outbox, which may be lost or
/// go on under another identity.
#[derive(Clone, Debug)]
pub struct GenerationFile(PathBuf);

impl GenerationFile {
    /// What is held; 0 before the first link.
    pub fn read(&self) -> Result<u64, IdentityError> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(IdentityError::File(self.0.clone(), error)),
        };
        let damaged = |_| IdentityError::Damaged(self.0.clone());
        text.trim().parse().map_err(damaged)
    }

    /// Holds another; returns once it is on the disk. Written in place, within one sector: a full disk has
    /// no room for a second file.
    pub fn hold(&self, generation: u64) -> Result<(), IdentityError> {
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&self.0)?;
            file.write_all(numeral(generation).as_bytes())?;
            file.sync_all()
        };
        write().map_err(at(&self.0))
    }
}

/// As wide as the largest, so that a file is never longer than what was written last.
fn numeral(generation: u64) -> String {
    format!("{generation:020}\n")
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("agent", &self.agent)
            .field("site", &self.site)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

fn signing_request(key: &KeyPair) -> Result<Vec<u8>, IdentityError> {
    let request = CertificateParams::default().serialize_request(key)?;
    Ok(request.der().to_vec())
}

fn certificates(text: &str) -> Option<Vec<Vec<u8>>> {
    let found: Result<Vec<Vec<u8>>, _> = CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect();
    found.ok().filter(|found| !found.is_empty())
}

fn pem(certificates: &[Vec<u8>]) -> String {
    let mut out = String::new();
    for certificate in certificates {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(certificate);
        for line in text.as_bytes().chunks(64) {
            out.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(at(path))
}

/// Makes a folder and those above it that are not there. Where the service's own folder is, they are its user's, whoever
/// makes them.
pub fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folder(parent)?;
    }
    fs::create_dir(folder)?;
    like_parent(folder)
}

/// What root writes beside the service's files must be its user's: systemd looks at the owner of the uppermost folder
/// alone. Without a word where it is so already, and where this process may not.
fn give_away(folder: &Path) -> Result<(), IdentityError> {
    like_parent(folder).map_err(at(folder))?;
    for held in fs::read_dir(folder).map_err(at(folder))? {
        let path = held.map_err(at(folder))?.path();
        like_parent(&path).map_err(at(&path))?;
    }
    Ok(())
}

/// Of a link, the link itself: what it leads to may be anybody's.
fn like_parent(path: &Path) -> std::io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let wanted = fs::metadata(parent.unwrap_or(Path::new(".")))?;
    let found = fs::symlink_metadata(path)?;
    // A folder above that is root's says nothing, and nobody but root may give anything away.
    if found.uid() != 0 || wanted.uid() == 0 {
        return Ok(());
    }
    lchown(path, Some(wanted.uid()), Some(wanted.gid()))
}

fn sync_folder(folder: &Path) -> Result<(), IdentityError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at(folder))
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> IdentityError {
    let path = path.to_owned();
    move |error| IdentityError::File(path, error)
}

/// A certificate of 30 days is renewed when 15 are left: with 14 left, every day since has failed.
const ALARMED: Duration = Duration::from_secs(14 * 86_400);
const KEY: &str = "agent.key";
const CHAIN: &str = "agent.pem";
const AUTHORITIES: &str = "authorities.pem";
const SITE_KEY: &str = "site.key";
const CARD: &str = "identity.toml";
const GENERATION: &str = "generation";
