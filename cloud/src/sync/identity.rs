//! Who is calling: the certificate is the only source of tenant, site and agent.

use easyisp_shared::time::Timestamp;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::db::Database;
use crate::sites::agents::{Agent, store};

/// What a certificate allows its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// Everything an agent may.
    Agent(Agent),
    /// It has ended, not long ago: to renew it, nothing else.
    Late(Agent),
    /// Nothing: it was revoked, or was not issued by this database.
    Nobody,
}

/// Looks up who holds `certificate` (DER), whose signature and key the handshake has proved.
pub(super) async fn identify(
    db: &Database,
    certificate: &[u8],
    now: Timestamp,
) -> sqlx::Result<Caller> {
    let fingerprint: [u8; 32] = Sha256::digest(certificate).into();
    let mut tx = db.directory().await?;
    let known = store::certificate(&mut tx, &fingerprint).await?;
    tx.rollback().await?;
    Ok(match known {
        None => Caller::Nobody,
        Some(known) if known.revoked_at.is_some() => Caller::Nobody,
        Some(known) if known.expires_at <= now => Caller::Late(known.agent()),
        Some(known) => Caller::Agent(known.agent()),
    })
}

/// When a certificate ends, in seconds since 1970.
pub(super) fn ends(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    u64::try_from(parsed.validity().not_after.timestamp()).ok()
}
