//! MS-CHAPv2: challenge, response and the answer that proves us to the subscriber (RFC 2759 §8).

use std::fmt;

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use md4::Md4;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// MD4 over a password in UTF-16LE: all that MS-CHAPv2 needs of it, and as good as the password to
/// whoever holds it. Computed once per subscriber and kept.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct NtHash([u8; 16]);

impl NtHash {
    /// Hashes a password (RFC 2759 §8.3). Octets that are not UTF-8 are taken as Latin-1, which is
    /// what old dialers type.
    pub fn of(password: &[u8]) -> NtHash {
        let mut hash = Md4::new();
        match str::from_utf8(password) {
            Ok(text) => text
                .encode_utf16()
                .for_each(|unit| hash.update(unit.to_le_bytes())),
            Err(_) => password.iter().for_each(|octet| hash.update([*octet, 0])),
        }
        NtHash(hash.finalize().into())
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// MD4 over the hash (RFC 2759 §8.4).
    pub(super) fn hashed(&self) -> [u8; 16] {
        Md4::digest(self.0).into()
    }
}

impl From<[u8; 16]> for NtHash {
    fn from(octets: [u8; 16]) -> NtHash {
        NtHash(octets)
    }
}

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NtHash(..)")
    }
}

/// An MS-CHAP2-Response with its challenge (RFC 2548 §2.3.2).
#[derive(Debug, Clone, Copy)]
pub struct MsChapV2Response<'a> {
    /// The MS-CHAP identifier, returned in success and failure.
    pub identifier: u8,
    /// The router's challenge.
    pub challenge: &'a [u8; 16],
    /// The subscriber's own challenge.
    pub peer_challenge: &'a [u8; 16],
    /// The subscriber's answer.
    pub response: &'a [u8; 24],
}

/// The text by which a subscriber knows that we hold the password too: `S=` and 40 hex digits.
pub type AuthenticatorResponse = [u8; 42];

impl<'a> MsChapV2Response<'a> {
    /// Reads the 50 octets of the attribute: identifier, flags, peer challenge, eight reserved,
    /// response. `None` for any other length.
    pub fn parse(value: &'a [u8], challenge: &'a [u8]) -> Option<MsChapV2Response<'a>> {
        let value: &[u8; 50] = value.try_into().ok()?;
        Some(MsChapV2Response {
            identifier: value[0],
            challenge: challenge.try_into().ok()?,
            peer_challenge: value[2..18].try_into().ok()?,
            response: value[26..50].try_into().ok()?,
        })
    }

    /// Checks the answer; the proof to send back when it is right.
    ///
    /// The name goes in without a domain before a backslash (RFC 2759 §8.2); dialers that put it
    /// in all the same are understood too.
    pub fn check(&self, user_name: &[u8], password: &NtHash) -> Option<AuthenticatorResponse> {
        let bare = without_domain(user_name);
        self.check_name(bare, password).or_else(|| {
            (bare.len() < user_name.len())
                .then(|| self.check_name(user_name, password))
                .flatten()
        })
    }

    fn check_name(&self, name: &[u8], password: &NtHash) -> Option<AuthenticatorResponse> {
        let challenge = challenge_hash(self.peer_challenge, self.challenge, name);
        let expected = challenge_response(&challenge, password);
        bool::from(expected.ct_eq(self.response))
            .then(|| authenticator_response(password, self.response, &challenge))
    }
}

fn without_domain(user_name: &[u8]) -> &[u8] {
    user_name
        .iter()
        .position(|octet| *octet == b'\\')
        .map_or(user_name, |at| &user_name[at + 1..])
}

/// Eight octets that bind both challenges and the name (RFC 2759 §8.2).
pub fn challenge_hash(peer: &[u8; 16], challenge: &[u8; 16], name: &[u8]) -> [u8; 8] {
    let hash = Sha1::new()
        .chain_update(peer)
        .chain_update(challenge)
        .chain_update(name)
        .finalize();
    let mut short = [0; 8];
    short.copy_from_slice(&hash[..8]);
    short
}

/// Three DES encryptions of the challenge under the zero-padded hash (RFC 2759 §8.5).
pub fn challenge_response(challenge: &[u8; 8], password: &NtHash) -> [u8; 24] {
    let mut padded = [0; 21];
    padded[..16].copy_from_slice(&password.0);
    let mut response = [0; 24];
    for (key, block) in padded.chunks(7).zip(response.chunks_mut(8)) {
        let mut cipher_block = (*challenge).into();
        Des::new(&spread(key).into()).encrypt_block(&mut cipher_block);
        block.copy_from_slice(&cipher_block);
    }
    padded.zeroize();
    response
}

/// Spreads 56 key bits over eight octets, seven to each; DES ignores the parity bit (RFC 2759 §8.6).
fn spread(key: &[u8]) -> [u8; 8] {
    let bits = key
        .iter()
        .fold(0u64, |bits, octet| bits << 8 | u64::from(*octet));
    std::array::from_fn(|at| ((bits >> (49 - 7 * at)) as u8) << 1)
}

/// Proves that we hold the password too (RFC 2759 §8.7).
pub fn authenticator_response(
    password: &NtHash,
    response: &[u8; 24],
    challenge: &[u8; 8],
) -> AuthenticatorResponse {
    let inner = Sha1::new()
        .chain_update(password.hashed())
        .chain_update(response)
        .chain_update(b"Magic server to client signing constant")
        .finalize();
    let digest = Sha1::new()
        .chain_update(inner)
        .chain_update(challenge)
        .chain_update(b"Pad to make it do more than one iteration")
        .finalize();

    let mut text = *b"S=0000000000000000000000000000000000000000";
    for (pair, octet) in text[2..].chunks_mut(2).zip(digest) {
        pair[0] = HEX[usize::from(octet >> 4)];
        pair[1] = HEX[usize::from(octet & 15)];
    }
    text
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// RFC 2759 §9.2, the values of RFC 3079 §3.5.3 too.
    #[test]
    fn the_login_of_rfc_2759_matches() {
        let challenge = array(hex::decode("5b5d7c7d7b3f2f3e3c2c602132262628").unwrap());
        let peer = array(hex::decode("21402324255e262a28295f2b3a337c7e").unwrap());
        let password = NtHash::of(b"clientPass");
        assert_eq!(hex::encode(password.0), "44ebba8d5312b8d611474411f56989ae");
        assert_eq!(
            hex::encode(password.hashed()),
            "41c00c584bd2d91c4017a2a12fa59f3f"
        );

        let short = challenge_hash(&peer, &challenge, b"User");
        assert_eq!(hex::encode(short), "d02e4386bce91226");
        let response = challenge_response(&short, &password);
        assert_eq!(
            hex::encode(response),
            "82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df"
        );

        let login = MsChapV2Response {
            identifier: 1,
            challenge: &challenge,
            peer_challenge: &peer,
            response: &response,
        };
        for name in [&b"User"[..], b"DOMAIN\\User"] {
            assert_eq!(
                &login.check(name, &password).unwrap(),
                b"S=407A5589115FD0D6209F510FE9C04566932CDA56"
            );
        }
        assert!(login.check(b"user", &password).is_none());
        assert!(login.check(b"User", &NtHash::of(b"clientpass")).is_none());
    }

    #[test]
    fn a_domain_that_was_hashed_is_understood() {
        let password = NtHash::of(b"p");
        let short = challenge_hash(&[1; 16], &[2; 16], b"isp\\jane");
        let login = MsChapV2Response {
            identifier: 0,
            challenge: &[2; 16],
            peer_challenge: &[1; 16],
            response: &challenge_response(&short, &password),
        };
        assert!(login.check(b"isp\\jane", &password).is_some());
    }

    /// RFC 2759 §9.3 prints DES keys with odd parity, a bit that DES does not look at.
    #[test]
    fn key_bits_are_spread_seven_to_an_octet() {
        let hash = NtHash::of(b"MyPw");
        let key = |part: &[u8]| hex::encode(spread(part).map(with_odd_parity));
        assert_eq!(key(&hash.0[..7]), "fd0b5b5e7f6e34d9");
        assert_eq!(key(&hash.0[7..14]), "0e6e796737ea08fe");
    }

    fn with_odd_parity(octet: u8) -> u8 {
        octet | u8::from(octet.count_ones().is_multiple_of(2))
    }

    #[test]
    fn passwords_beyond_ascii_are_hashed_as_utf_16() {
        // "é" is one unit, e9 00, whether it arrived as UTF-8 or as Latin-1.
        assert_eq!(NtHash::of("é".as_bytes()), NtHash::of(&[0xe9]));
        assert_ne!(NtHash::of("é".as_bytes()), NtHash::of(b"e"));
        assert_eq!(
            hex::encode(NtHash::of(b"").0),
            "31d6cfe0d16ae931b73c59d7e0c089c0"
        );
    }

    fn array<const N: usize>(octets: Vec<u8>) -> [u8; N] {
        octets.try_into().unwrap()
    }
}
