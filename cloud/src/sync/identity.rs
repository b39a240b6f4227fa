//! Who is calling: the certificate is the only source of tenant, site and agent.

use easyisp_shared::time::Timestamp;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::db::Database;
use crate::sites::agents::{Agent, store};

/// What a certificate allows its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// Everything an agent may.
    Agent(Agent),
    /// It has ended, not long ago: to renew it, nothing else.
    Late(Agent),
    /// Nothing: it was revoked, or its agent is not known.
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
        None => adopt(db, certificate, &fingerprint, now).await?,
        Some(known) if known.revoked_at.is_some() => Caller::Nobody,
        Some(known) => in_time(known.agent(), known.expires_at, now),
    })
}

/// A certificate of ours that is not on record was renewed after the backup that this database was put back
/// from: it stands for the agent it names, if that one is here and was not revoked.
async fn adopt(
    db: &Database,
    certificate: &[u8],
    fingerprint: &[u8; 32],
    now: Timestamp,
) -> sqlx::Result<Caller> {
    let Some((agent, issued, expires)) = named(certificate) else {
        return Ok(Caller::Nobody);
    };
    let mut tx = db.begin(agent.tenant).await?;
    if !store::adopt_certificate(&mut tx, &agent, fingerprint, (issued, expires)).await? {
        return Ok(Caller::Nobody);
    }
    tx.commit().await?;
    tracing::warn!(agent.id = %agent.id, "Agent {} shows a certificate that was not on record", agent.id);
    Ok(in_time(agent, expires, now))
}

fn in_time(agent: Agent, expires: Timestamp, now: Timestamp) -> Caller {
    match expires <= now {
        true => Caller::Late(agent),
        false => Caller::Agent(agent),
    }
}

/// Whose a certificate of ours is, and from when to when.
fn named(certificate: &[u8]) -> Option<(Agent, Timestamp, Timestamp)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    let agent = names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::URI(uri) => Agent::of_uri(uri),
            _ => None, // the library's enum: other names say nothing
        })?;
    let validity = parsed.validity();
    let at = |time: ASN1Time| Timestamp::from_secs(time.timestamp());
    Some((agent, at(validity.not_before), at(validity.not_after)))
}

/// When a certificate ends, in seconds since 1970.
pub(super) fn ends(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    u64::try_from(parsed.validity().not_after.timestamp()).ok()
}
