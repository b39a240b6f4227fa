//! A router's shared secret, with the keyed state that every packet needs prepared once.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A shared secret. It cannot be printed, and its octets are wiped when dropped (the keyed HMAC
/// state, from which they cannot be had back, is not).
#[derive(Clone)]
pub struct Secret {
    octets: Zeroizing<Vec<u8>>,
    hmac: Hmac<Md5>,
}

impl Secret {
    /// Prepares a secret for use.
    pub fn new(octets: &[u8]) -> Secret {
        Secret {
            octets: Zeroizing::new(octets.to_vec()),
            hmac: Hmac::new_from_slice(octets).expect("HMAC takes keys of every length"),
        }
    }

    /// Whether both are the same, in a time that does not tell where they differ.
    pub fn is(&self, other: &Secret) -> bool {
        self.octets.as_slice().ct_eq(other.octets.as_slice()).into()
    }

    /// What it is: for the router that has it already.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// HMAC-MD5 over the parts in turn.
    pub(super) fn hmac(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = self.hmac.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// MD5 over the parts in turn, then the secret: the packet authenticators.
    pub(super) fn md5_suffixed(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hash = Md5::new();
        for part in parts {
            hash.update(part);
        }
        hash.update(self.octets.as_slice());
        hash.finalize().into()
    }

    /// MD5 over the secret, then the parts in turn: the keystream of hidden attributes.
    pub(super) fn md5_prefixed(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hash = Md5::new_with_prefix(self.octets.as_slice());
        for part in parts {
            hash.update(part);
        }
        hash.finalize().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new(b"xyzzy5461")), "Secret(..)");
    }
}
