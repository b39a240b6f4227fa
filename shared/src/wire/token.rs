//! The join token as a person carries it: `EISP1-<secret>-<fingerprint>`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// A one-time right to become an agent of one site, and how to know the right cloud.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    secret: [u8; 32],
    fingerprint: Fingerprint,
}

/// The first 16 bytes of an authority's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 16]);

impl JoinToken {
    /// From 32 random bytes and the authority that the cloud's certificate is signed by.
    pub fn new(secret: [u8; 32], fingerprint: Fingerprint) -> JoinToken {
        JoinToken {
            secret,
            fingerprint,
        }
    }

    /// The 32 random bytes, for the cloud's eyes.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Which cloud made it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What the cloud stores: SHA-256 of a token's secret.
    pub fn digest(secret: &[u8; 32]) -> [u8; 32] {
        Sha256::digest(secret).into()
    }

    /// The text for a person to paste.
    pub fn text(&self) -> String {
        let secret = URL_SAFE_NO_PAD.encode(self.secret);
        format!("{PREFIX}{secret}-{}", self.fingerprint)
    }

    /// Reads what a person pasted; blanks around it are ignored.
    pub fn parse(text: &str) -> Option<JoinToken> {
        let rest = text.trim().strip_prefix(PREFIX)?;
        // The secret may itself hold dashes; the fingerprint is hex and does not.
        let (secret, fingerprint) = rest.rsplit_once('-')?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
        let mut octets = [0; 16];
        hex::decode_to_slice(fingerprint, &mut octets).ok()?;
        Some(JoinToken::new(secret, Fingerprint(octets)))
    }
}

impl Fingerprint {
    /// Of an authority's certificate, DER.
    pub fn of(certificate: &[u8]) -> Fingerprint {
        let digest: [u8; 32] = Sha256::digest(certificate).into();
        let (first, _) = digest.split_first_chunk::<16>().expect("32 is over 16");
        Fingerprint(*first)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinToken(…-{})", self.fingerprint)
    }
}

const PREFIX: &str = "EISP1-";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_pasted_token_is_the_same_token() {
        // 0xfb.. encodes to dashes and underscores, which must not be taken for separators.
        for secret in [[0xfb; 32], [0; 32], [0xff; 32]] {
            let token = JoinToken::new(secret, Fingerprint::of(b"authority"));
            let text = token.text();
            assert_eq!(text.len(), 6 + 43 + 1 + 32);
            assert_eq!(JoinToken::parse(&format!(" {text}\n")).unwrap(), token);
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        let text = JoinToken::new([1; 32], Fingerprint::of(b"authority")).text();
        for wrong in ["", "EISP1-", "EISP1--", &text[1..], &text[..text.len() - 1]] {
            assert_eq!(JoinToken::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = JoinToken::new([1; 32], Fingerprint::of(b"authority"));
        assert!(!format!("{token:?}").contains("AQEB"));
    }
}
