//! PAP: the User-Password attribute, hidden under the shared secret (RFC 2865 §5.2).

use zeroize::Zeroizing;

use super::packet::Authenticator;
use super::secret::Secret;

const BLOCK: usize = 16;
/// The longest password RADIUS carries.
pub const MAX_PASSWORD_LEN: usize = 128;

/// A User-Password that is empty, longer than 128 octets or no multiple of 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("User-Password has an impossible length")]
pub struct BadLength;

/// A password as a router sent it, wiped when dropped.
pub struct ClearPassword {
    octets: Zeroizing<[u8; MAX_PASSWORD_LEN]>,
    length: usize,
}

impl ClearPassword {
    /// The password without its padding. Only trailing zeros are padding; one inside is kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    /// Whether this is what a wrong shared secret leaves of a password: octets that are neither
    /// text nor what a keyboard sends. Says nothing certain, and is only for a router that does
    /// not sign.
    pub fn looks_garbled(&self) -> bool {
        str::from_utf8(self.as_bytes())
            .map_or(true, |text| text.chars().any(|letter| letter.is_control()))
    }
}

/// Takes the hiding off: each block is the cipher text XOR MD5(secret, the block before it), the
/// first one with the Request Authenticator.
pub fn reveal(
    hidden: &[u8],
    authenticator: &Authenticator,
    secret: &Secret,
) -> Result<ClearPassword, BadLength> {
    if hidden.is_empty() || hidden.len() > MAX_PASSWORD_LEN || !hidden.len().is_multiple_of(BLOCK) {
        return Err(BadLength);
    }
    let mut octets = Zeroizing::new([0; MAX_PASSWORD_LEN]);
    let mut before: &[u8] = authenticator;
    for (clear, cipher) in octets.chunks_mut(BLOCK).zip(hidden.chunks(BLOCK)) {
        let key = secret.md5_prefixed(&[before]);
        for ((clear, cipher), key) in clear.iter_mut().zip(cipher).zip(key) {
            *clear = cipher ^ key;
        }
        before = cipher;
    }
    let length = octets
        .iter()
        .rposition(|octet| *octet != 0)
        .map_or(0, |last| last + 1);

    Ok(ClearPassword { octets, length })
}

/// Hides a password, as a router does; the result is a multiple of 16 octets.
pub fn hide(
    password: &[u8],
    authenticator: &Authenticator,
    secret: &Secret,
) -> Result<Vec<u8>, BadLength> {
    if password.len() > MAX_PASSWORD_LEN {
        return Err(BadLength);
    }
    let mut hidden = password.to_vec();
    hidden.resize(password.len().next_multiple_of(BLOCK).max(BLOCK), 0);
    let mut before = *authenticator;
    for block in hidden.chunks_mut(BLOCK) {
        let key = secret.md5_prefixed(&[&before]);
        for (octet, key) in block.iter_mut().zip(key) {
            *octet ^= key;
        }
        before.copy_from_slice(block);
    }
    Ok(hidden)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// RFC 2865 §7.1: nemo's password "arctangent".
    #[test]
    fn the_password_of_rfc_2865_is_revealed() {
        let authenticator = hex::decode("0f403f9473978057bd83d5cb98f4227a").unwrap();
        let hidden = hex::decode("0dbe708d93d413ce3196e43f782a0aee").unwrap();
        let authenticator = authenticator.try_into().unwrap();
        let secret = Secret::new(b"xyzzy5461");

        let clear = reveal(&hidden, &authenticator, &secret).unwrap();
        assert_eq!(clear.as_bytes(), b"arctangent");
        assert!(!clear.looks_garbled());
        assert_eq!(
            hide(b"arctangent", &authenticator, &secret).unwrap(),
            hidden
        );
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let secret = Secret::new(b"s");
        for length in [0, 1, 15, 17, 129, 144, 253] {
            assert!(
                reveal(&vec![0; length], &[0; 16], &secret).is_err(),
                "{length}"
            );
        }
        assert!(hide(&[b'x'; 129], &[0; 16], &secret).is_err());
    }

    proptest! {
        #[test]
        fn what_was_hidden_is_revealed(
            password in prop::collection::vec(any::<u8>(), 0..=128),
            authenticator: [u8; 16],
            secret in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let secret = Secret::new(&secret);
            let hidden = hide(&password, &authenticator, &secret).unwrap();
            let clear = reveal(&hidden, &authenticator, &secret).unwrap();
            let padding = password.iter().rev().take_while(|octet| **octet == 0).count();
            prop_assert_eq!(clear.as_bytes(), &password[..password.len() - padding]);
        }
    }
}
