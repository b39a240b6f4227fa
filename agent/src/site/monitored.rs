//! How one device is read over SNMP.

use easyisp_shared::id::RouterId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::down::secret_place;
use easyisp_shared::wire::monitor::{MonitoredV1, SnmpAccessV1, SnmpAuth, SnmpPrivacy};
use sha2::{Digest, Sha256};
use tracing::warn;
use zeroize::Zeroizing;

/// A secret in the clear, wiped when it is dropped.
pub type Clear = Zeroizing<Vec<u8>>;

/// A device to read.
pub struct Monitored {
    /// The router's id.
    pub router: RouterId,
    /// UDP port.
    pub port: u16,
    /// Seconds between two readings.
    pub interval_secs: u32,
    /// How to enter.
    pub access: Entry,
    /// Names these settings: other settings, other name. Holds no secret.
    pub name: [u8; 8],
}

/// How to enter a device.
pub enum Entry {
    /// SNMPv2c.
    Community(Clear),
    /// SNMPv3.
    User {
        /// His name.
        name: String,
        /// How he signs.
        auth: Option<(SnmpAuth, Clear)>,
        /// How he enciphers.
        privacy: Option<(SnmpPrivacy, Clear)>,
    },
}

impl Monitored {
    /// Whether it is entered as a user of SNMPv3.
    pub fn is_user(&self) -> bool {
        matches!(self.access, Entry::User { .. })
    }

    /// Opens the secrets of a row; `None` when they do not open, which is told once.
    pub(super) fn open(row: MonitoredV1, key: &SealKey) -> Option<Monitored> {
        let id = row.router;
        let open = |field, sealed: &[u8]| {
            let clear = key.open(&secret_place(DownKind::Monitored, id.0, field), sealed);
            if clear.is_err() {
                warn!(router.id = %id, "Cannot open the SNMP secrets of a router");
            }
            clear.ok()
        };
        let digest = Sha256::new()
            .chain_update(row.port.to_be_bytes())
            .chain_update(format!("{:?}", row.access))
            .finalize();
        let (short, _) = digest.split_first_chunk()?;
        let access = match &row.access {
            SnmpAccessV1::Community(sealed) => Entry::Community(open("community", sealed)?),
            SnmpAccessV1::User {
                name,
                auth,
                privacy,
            } => Entry::User {
                name: name.clone(),
                auth: match auth {
                    Some((auth, sealed)) => Some((*auth, open("auth", sealed)?)),
                    None => None,
                },
                privacy: match privacy {
                    Some((privacy, sealed)) => Some((*privacy, open("privacy", sealed)?)),
                    None => None,
                },
            },
        };
        Some(Monitored {
            router: id,
            port: row.port,
            interval_secs: row.interval_secs,
            access,
            name: *short,
        })
    }
}
