//! Secrets at rest: XChaCha20-Poly1305 with associated data that says where the secret belongs.
//!
//! A sealed value copied to another row, column or tenant does not open there.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::entropy::Entropy;

/// A 256-bit key that is wiped when dropped and never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// From its 32 bytes.
    pub fn new(bytes: [u8; 32]) -> SealKey {
        SealKey(bytes)
    }

    /// A fresh random key.
    pub fn generate(entropy: &Entropy) -> SealKey {
        SealKey(entropy.bytes())
    }

    /// The 32 bytes, for wrapping under another key or writing to a file of mode 0600.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals `secret` for one `place` (for example `tenant/customer/password`): version octet, nonce,
    /// ciphertext and tag, 41 octets longer than the secret.
    pub fn seal(&self, place: &[u8], secret: &[u8], entropy: &Entropy) -> Vec<u8> {
        self.seal_with(entropy.bytes(), place, secret)
    }

    /// Seals so that the same secret at the same place gives the same bytes: for states that are
    /// compared in their sealed form. Whoever sees two of them learns whether they are equal.
    ///
    /// The nonce is a keyed hash of place and secret (the construction of RFC 5297, with HMAC-SHA-256
    /// cut to 192 bits), so it repeats only where everything repeats.
    pub fn seal_same(&self, place: &[u8], secret: &[u8]) -> Vec<u8> {
        let subkey = self.hash(&[b"easyisp seal nonce"]);
        let hash = SealKey(subkey).hash(&[&(place.len() as u64).to_be_bytes(), place, secret]);
        let (nonce, _) = hash.split_first_chunk().expect("32 is over 24");
        self.seal_with(*nonce, place, secret)
    }

    /// A digest of `text` at one `place` that nobody can compute without the key: the same text gives another one
    /// at another place.
    pub fn digest(&self, place: &[u8], text: &[u8]) -> [u8; 32] {
        let subkey = self.hash(&[b"easyisp digest"]);
        SealKey(subkey).hash(&[&(place.len() as u64).to_be_bytes(), place, text])
    }

    fn seal_with(&self, nonce: [u8; NONCE], place: &[u8], secret: &[u8]) -> Vec<u8> {
        let sealed = self
            .cipher()
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: secret,
                    aad: place,
                },
            )
            .expect("a secret is shorter than 2^38 octets");
        let mut out = Vec::with_capacity(1 + NONCE + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// Opens what [`SealKey::seal`] made for the same `place`.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        let [VERSION, rest @ ..] = sealed else {
            return Err(CannotOpen);
        };
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(CannotOpen)?;
        self.cipher()
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: sealed,
                    aad: place,
                },
            )
            .map(Zeroizing::new)
            .map_err(|_| CannotOpen)
    }

    fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length is fine");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(self.0))
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(…)")
    }
}

/// The key is another one, the bytes were changed, or they belong to another place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the sealed value does not open with this key at this place")]
pub struct CannotOpen;

const VERSION: u8 = 1;
const NONCE: usize = 24;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_secret_opens_only_where_it_was_sealed() {
        let entropy = Entropy::seeded(1);
        let key = SealKey::generate(&entropy);
        let sealed = key.seal(b"here", b"secret", &entropy);

        assert_eq!(key.open(b"here", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(key.open(b"there", &sealed), Err(CannotOpen));
        assert_eq!(
            SealKey::generate(&entropy).open(b"here", &sealed),
            Err(CannotOpen)
        );
    }

    #[test]
    fn the_same_secret_at_the_same_place_gives_the_same_bytes() {
        let key = SealKey::generate(&Entropy::seeded(3));
        let sealed = key.seal_same(b"here", b"secret");

        assert_eq!(sealed, key.seal_same(b"here", b"secret"));
        assert_ne!(sealed, key.seal_same(b"here", b"secre"));
        assert_ne!(sealed[1..25], key.seal_same(b"her", b"esecret")[1..25]);
        assert_eq!(key.open(b"here", &sealed).unwrap().as_slice(), b"secret");
    }

    #[test]
    fn changed_or_short_bytes_do_not_open() {
        let entropy = Entropy::seeded(2);
        let key = SealKey::generate(&entropy);
        let sealed = key.seal(b"", b"secret", &entropy);

        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(b"", &changed).is_err());
            assert!(key.open(b"", &sealed[..at]).is_err());
        }
    }
}
