//! Secrets at rest. A master key outside the database wraps one key per tenant; a tenant's key seals its
//! subscribers' passwords, router secrets and provider keys, each for its own column and row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::{Arc, Mutex};

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{SiteId, TenantId};
use easyisp_shared::seal::{CannotOpen, SealKey};
use easyisp_shared::time::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::db::Tx;

/// The master key and the tenant keys unwrapped so far. Cloning shares them.
#[derive(Clone)]
pub struct Secrets {
    inner: Arc<Inner>,
}

struct Inner {
    master: SealKey,
    entropy: Entropy,
    tenants: Mutex<HashMap<TenantId, TenantKey>>,
}

impl Secrets {
    /// With this master key.
    pub fn new(master: SealKey, entropy: Entropy) -> Secrets {
        Secrets {
            inner: Arc::new(Inner {
                master,
                entropy,
                tenants: Mutex::default(),
            }),
        }
    }

    /// Reads the master key from a file of 64 hex digits; makes the file, mode 0600, when it is absent.
    ///
    /// Losing this file loses every sealed secret: it belongs in the backup, apart from the database.
    pub fn from_file(path: &Path, entropy: Entropy) -> Result<Secrets, MasterKeyError> {
        let say = |what: String| MasterKeyError {
            path: path.display().to_string(),
            what,
        };
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let bytes = hex::decode(text.trim())
                    .ok()
                    .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
                    .ok_or_else(|| say("must hold 64 hex digits".to_owned()))?;
                refuse_open_to_others(path).map_err(say)?;
                Ok(Secrets::new(SealKey::new(bytes), entropy))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = SealKey::generate(&entropy);
                write_private(path, hex::encode(key.expose()).as_bytes())
                    .map_err(|error| say(format!("cannot be written: {error}")))?;
                Ok(Secrets::new(key, entropy))
            }
            Err(error) => Err(say(format!("cannot be read: {error}"))),
        }
    }

    /// Makes the first key of a new tenant.
    pub async fn create_tenant_key(&self, tx: &mut Tx, now: Timestamp) -> sqlx::Result<TenantKey> {
        let key = SealKey::generate(&self.inner.entropy);
        let sealed =
            self.inner
                .master
                .seal(&wrap_place(tx.tenant()), key.expose(), &self.inner.entropy);
        sqlx::query(
            "insert into tenant_keys (tenant_id, version, key_sealed, created_at) values ($1, 1, $2, $3)",
        )
        .bind(tx.tenant())
        .bind(sealed)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        Ok(self.tenant_key(tx.tenant(), key))
    }

    /// The key of the transaction's tenant; from memory after the first time.
    pub async fn tenant(&self, tx: &mut Tx) -> Result<TenantKey, SecretError> {
        let tenant = tx.tenant();
        if let Some(key) = self.known().get(&tenant) {
            return Ok(key.clone());
        }
        let sealed: Vec<u8> = sqlx::query_scalar(
            "select key_sealed from tenant_keys where tenant_id = $1 order by version desc limit 1",
        )
        .bind(tenant)
        .fetch_one(&mut **tx)
        .await?;
        let key = open_key(&self.inner.master, &wrap_place(tenant), &sealed)?;
        let key = self.tenant_key(tenant, key);
        self.known().insert(tenant, key.clone());
        Ok(key)
    }

    /// The key under which a site's agents hold subscriber secrets.
    pub async fn site_key(&self, tx: &mut Tx, site: SiteId) -> Result<SealKey, SecretError> {
        let tenant = self.tenant(tx).await?;
        let sealed: Vec<u8> =
            sqlx::query_scalar("select key_sealed from sites where tenant_id = $1 and id = $2")
                .bind(tx.tenant())
                .bind(site)
                .fetch_one(&mut **tx)
                .await?;
        Ok(open_site_key(&tenant, site, &sealed)?)
    }

    /// The keys of sites, each asked for once: for projecting many rows.
    pub fn site_keys(&self) -> SiteKeys<'_> {
        SiteKeys {
            secrets: self,
            known: HashMap::new(),
        }
    }

    /// A key of its own for one purpose of the platform, such as the pepper of password hashes: it is
    /// lost with the master key and is in no database.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        use hmac::{Hmac, KeyInit, Mac};

        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(self.inner.master.expose())
            .expect("HMAC takes keys of every length");
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    /// Seals something that belongs to the platform itself.
    pub fn seal_platform(&self, place: &str, clear: &[u8]) -> Vec<u8> {
        self.inner
            .master
            .seal(place.as_bytes(), clear, &self.inner.entropy)
    }

    /// Opens what [`Secrets::seal_platform`] sealed at the same place.
    pub fn open_platform(
        &self,
        place: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        self.inner.master.open(place.as_bytes(), sealed)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, TenantKey>> {
        self.inner
            .tenants
            .lock()
            .expect("no code panics under this lock")
    }

    fn tenant_key(&self, tenant: TenantId, key: SealKey) -> TenantKey {
        TenantKey {
            tenant,
            key,
            entropy: self.inner.entropy.clone(),
        }
    }
}

/// The keys of a tenant's sites, as far as they were asked for.
pub struct SiteKeys<'a> {
    secrets: &'a Secrets,
    known: HashMap<SiteId, SealKey>,
}

impl SiteKeys<'_> {
    /// The key under which a site's agents hold secrets.
    pub async fn of(&mut self, tx: &mut Tx, site: SiteId) -> Result<&SealKey, SecretError> {
        Ok(match self.known.entry(site) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.secrets.site_key(tx, site).await?),
        })
    }

    /// The same of a site whose sealed key was read beside what is sealed under it.
    pub fn open(
        &mut self,
        tenant: &TenantKey,
        site: SiteId,
        sealed: &[u8],
    ) -> Result<&SealKey, SecretError> {
        Ok(match self.known.entry(site) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(open_site_key(tenant, site, sealed)?),
        })
    }
}

fn open_site_key(tenant: &TenantKey, site: SiteId, sealed: &[u8]) -> Result<SealKey, CannotOpen> {
    let bytes = tenant.open(SITE_KEY, site.0, sealed)?;
    let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| CannotOpen)?;
    Ok(SealKey::new(bytes))
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// The column name under which `sites.key_sealed` is sealed.
pub const SITE_KEY: &str = "sites.key";

/// One tenant's key.
#[derive(Clone)]
pub struct TenantKey {
    tenant: TenantId,
    key: SealKey,
    entropy: Entropy,
}

impl TenantKey {
    /// Seals a secret for one column of one row.
    pub fn seal(&self, column: &str, row: Uuid, clear: &[u8]) -> Vec<u8> {
        self.key
            .seal(&self.place(column, row), clear, &self.entropy)
    }

    /// Opens what was sealed for this column of this row.
    pub fn open(
        &self,
        column: &str,
        row: Uuid,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        self.key.open(&self.place(column, row), sealed)
    }

    /// The key under which voucher codes are known, here and at the tenant's sites.
    pub fn voucher_key(&self) -> SealKey {
        use hmac::{Hmac, KeyInit, Mac};

        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(self.key.expose())
            .expect("HMAC takes keys of every length");
        mac.update(b"voucher codes");
        SealKey::new(mac.finalize().into_bytes().into())
    }

    fn place(&self, column: &str, row: Uuid) -> Vec<u8> {
        format!("{}/{column}/{row}", self.tenant).into_bytes()
    }
}

impl std::fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TenantKey({}, …)", self.tenant)
    }
}

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The database did not answer, or the row is gone.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Another master key, or changed bytes.
    #[error(
        "a sealed secret does not open: is [keys] master_key_file the one this database was made with?"
    )]
    CannotOpen(#[from] CannotOpen),
}

impl SecretError {
    /// The same for functions that speak of the database alone, such as projectors.
    pub fn into_sqlx(self) -> sqlx::Error {
        match self {
            SecretError::Database(error) => error,
            error @ SecretError::CannotOpen(_) => sqlx::Error::Decode(Box::new(error)),
        }
    }
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
#[error("[keys] master_key_file {path} {what}")]
pub struct MasterKeyError {
    path: String,
    what: String,
}

fn open_key(with: &SealKey, place: &[u8], sealed: &[u8]) -> Result<SealKey, CannotOpen> {
    let bytes = with.open(place, sealed)?;
    let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| CannotOpen)?;
    Ok(SealKey::new(bytes))
}

fn wrap_place(tenant: TenantId) -> Vec<u8> {
    format!("{tenant}/tenant_keys.key/1").into_bytes()
}

fn refuse_open_to_others(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;

    let mode = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!(
        "can be read by others; run: chmod 600 {}",
        path.display()
    ))
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let part = path.with_extension("part");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_master_key_file_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/master.key");
        let first = Secrets::from_file(&path, Entropy::seeded(1)).unwrap();
        let sealed = first.seal_platform("here", b"secret");

        let again = Secrets::from_file(&path, Entropy::seeded(2)).unwrap();
        assert_eq!(
            again.open_platform("here", &sealed).unwrap().as_slice(),
            b"secret"
        );
    }

    #[test]
    fn a_master_key_open_to_others_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        Secrets::from_file(&path, Entropy::seeded(1)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();

        let error = Secrets::from_file(&path, Entropy::seeded(1))
            .unwrap_err()
            .to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
