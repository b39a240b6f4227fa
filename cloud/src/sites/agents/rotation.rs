//! How the authority is replaced by another without locking an agent out.
//!
//! Two are believed meanwhile. The next one is announced first: agents hear of it when they enrol or renew. Once
//! every agent that may still renew has heard of it, it takes over and signs; the one before is believed until
//! nobody can renew any more with a certificate of its. The nodes read the authorities when they start.

use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::{AUTHORITY_KEY, AuthorityError, store};
use crate::db::Database;
use crate::secrets::Secrets;
use crate::sites::pki::{AGENT_LIFE, Authority, LATE_RENEWAL};

/// A step of a rotation, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Makes the next authority, which signs nothing yet.
    Announce,
    /// The next one signs from here on.
    TakeOver,
    /// The one before is believed no longer.
    Retire,
}

/// Whether a step waits until it locks nobody out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hurry {
    /// It waits.
    No,
    /// The present authority is in wrong hands: boxes that were off too long are enrolled anew.
    Yes,
}

/// Why a step is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// No authority, or not a usable one.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Another step is the next.
    #[error("{0}")]
    OutOfOrder(&'static str),
    /// Some agents have not heard of it, or hold a certificate of the one before.
    #[error("agents may be locked out before {0}: wait, or hurry and enrol those anew")]
    TooEarly(Timestamp),
}

/// Takes a step; the authorities that are believed then, the one that signs first.
pub async fn rotate(
    db: &Database,
    secrets: &Secrets,
    (step, hurry): (Step, Hurry),
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, RotationError> {
    let mut tx = db.directory().await?;
    let stored = store::lock_authority(&mut tx).await?;
    let stored = stored.ok_or(sqlx::Error::RowNotFound)?;
    let mut held = Held::open(&stored.certificate, &stored.key_sealed, secrets)?;
    let earliest = held.take(step, now, db.entropy())?;
    if now < earliest && hurry == Hurry::No {
        return Err(RotationError::TooEarly(earliest));
    }
    let (certificates, keys) = held.joined();
    let sealed = secrets.seal_platform(AUTHORITY_KEY, &keys);
    store::replace_authority(&mut tx, &certificates, &sealed).await?;
    tx.commit().await?;
    tracing::warn!(
        ?step,
        "Changed the authorities; nodes hear of it when they start"
    );
    Ok(held.certificates)
}

/// The authorities as they are kept: at most two, the one that signs first.
pub(super) struct Held {
    certificates: Vec<Vec<u8>>,
    keys: Vec<Zeroizing<Vec<u8>>>,
}

impl Held {
    /// From what is stored.
    pub(super) fn open(
        certificates: &[u8],
        keys_sealed: &[u8],
        secrets: &Secrets,
    ) -> Result<Held, AuthorityError> {
        let keys = secrets
            .open_platform(AUTHORITY_KEY, keys_sealed)
            .map_err(|_| AuthorityError::Sealed)?;
        let (certificates, keys) = (sequences(certificates), sequences(&keys));
        let (Some(certificates), Some(keys)) = (certificates, keys) else {
            return Err(AuthorityError::Damaged);
        };
        if certificates.is_empty() || certificates.len() != keys.len() {
            return Err(AuthorityError::Damaged);
        }
        Ok(Held {
            certificates: certificates.into_iter().map(<[u8]>::to_vec).collect(),
            keys: keys
                .into_iter()
                .map(|key| Zeroizing::new(key.to_vec()))
                .collect(),
        })
    }

    /// The one that signs, and who is believed besides.
    pub(super) fn authority(&self, entropy: &Entropy) -> Result<Authority, AuthorityError> {
        let (Some((own, others)), Some(key)) = (self.certificates.split_first(), self.keys.first())
        else {
            return Err(AuthorityError::Damaged);
        };
        let authority = Authority::open(own.clone(), key, entropy.clone())?;
        Ok(authority.beside(others.to_vec()))
    }

    /// Takes a step; from when on it locks nobody out.
    fn take(
        &mut self,
        step: Step,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Result<Timestamp, RotationError> {
        let made: Vec<Timestamp> = self
            .certificates
            .iter()
            .filter_map(|der| made(der))
            .collect();
        match (step, made.as_slice()) {
            (Step::Announce, [_]) => {
                let (certificate, key) =
                    Authority::create(now, entropy).map_err(AuthorityError::from)?;
                self.certificates.push(certificate);
                self.keys.push(key);
                Ok(now)
            }
            (Step::TakeOver, [present, next]) if next > present => {
                self.certificates.swap(0, 1);
                self.keys.swap(0, 1);
                Ok(next.plus(HEARD))
            }
            (Step::Retire, [present, before]) if present > before => {
                self.certificates.truncate(1);
                self.keys.truncate(1);
                Ok(present.plus(HEARD + HEARD))
            }
            (Step::Announce, _) => Err(RotationError::OutOfOrder("a rotation is under way")),
            (Step::TakeOver, _) => {
                Err(RotationError::OutOfOrder("no next authority was announced"))
            }
            (Step::Retire, _) => Err(RotationError::OutOfOrder("no other has taken over")),
        }
    }

    fn joined(&self) -> (Vec<u8>, Zeroizing<Vec<u8>>) {
        let mut keys = Zeroizing::new(Vec::new());
        for key in &self.keys {
            keys.extend_from_slice(key);
        }
        (self.certificates.concat(), keys)
    }
}

/// When a certificate was made.
fn made(certificate: &[u8]) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Timestamp::from_secs(
        parsed.validity().not_before.timestamp(),
    ))
}

/// Sequences in DER that stand one after the other: each says its own length (X.690 §8.1.3).
fn sequences(mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = match rest {
            [0x30, short @ 0..=0x7f, ..] => 2 + usize::from(*short),
            [0x30, 0x81, one, ..] => 3 + usize::from(*one),
            [0x30, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return None, // stored octets
        };
        let (one, after) = rest.split_at_checked(length)?;
        found.push(one);
        rest = after;
    }
    Some(found)
}

/// Who was not heard of for so long cannot renew any more.
const HEARD: Duration = AGENT_LIFE.saturating_add(LATE_RENEWAL);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn held(entropy: &Entropy) -> Held {
        let (certificate, key) = Authority::create(NOW, entropy).unwrap();
        Held {
            certificates: vec![certificate],
            keys: vec![key],
        }
    }

    #[test]
    fn steps_are_taken_in_their_order_and_the_keys_go_along() {
        let entropy = Entropy::seeded(1);
        let mut held = held(&entropy);
        let first = held.certificates[0].clone();
        let later = NOW.plus(AGENT_LIFE);
        for wrong in [Step::TakeOver, Step::Retire] {
            assert!(held.take(wrong, later, &entropy).is_err());
        }
        assert_eq!(held.take(Step::Announce, later, &entropy).unwrap(), later);
        assert!(held.take(Step::Announce, later, &entropy).is_err());
        assert_eq!(held.authority(&entropy).unwrap().certificate(), first);
        assert_eq!(
            held.authority(&entropy).unwrap().believed(),
            held.certificates
        );

        let earliest = held.take(Step::TakeOver, later, &entropy).unwrap();
        assert!(earliest > later.plus(LATE_RENEWAL));
        let next = held.certificates[0].clone();
        assert_ne!(next, first);
        held.authority(&entropy)
            .unwrap()
            .server_certificate(later)
            .unwrap();
        let (certificates, keys) = held.joined();
        assert_eq!(sequences(&certificates).unwrap(), [&next[..], &first[..]]);
        assert_eq!(sequences(&keys).unwrap().len(), 2);

        let retired = held.take(Step::Retire, later, &entropy).unwrap();
        assert!(retired > earliest);
        assert_eq!(held.authority(&entropy).unwrap().believed(), [next]);
    }

    #[test]
    fn what_is_no_sequence_is_damage() {
        for damaged in [&[0x31, 0][..], &[0x30], &[0x30, 5, 0], &[0x30, 0x82, 1]] {
            assert_eq!(sequences(damaged), None);
        }
        assert_eq!(sequences(&[]), Some(Vec::new()));
    }
}
