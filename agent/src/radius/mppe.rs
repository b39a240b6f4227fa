//! MPPE keys of an MS-CHAPv2 login (RFC 3079 §3), hidden for the router (RFC 2548 §2.4.2).

use sha1::{Digest, Sha1};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::mschap::NtHash;
use super::packet::Authenticator;
use super::secret::Secret;

/// The two 128-bit keys of a tunnel, named from the router's side. They cannot be printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MppeKeys {
    /// What the router encrypts with.
    pub send: [u8; 16],
    /// What the router decrypts with.
    pub recv: [u8; 16],
}

impl std::fmt::Debug for MppeKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MppeKeys(..)")
    }
}

impl MppeKeys {
    /// Derives both keys from the password and the subscriber's answer (RFC 3079 §3.3).
    pub fn derive(password: &NtHash, response: &[u8; 24]) -> MppeKeys {
        let master = Sha1::new()
            .chain_update(password.hashed())
            .chain_update(response)
            .chain_update(b"This is the MPPE Master Key")
            .finalize();
        MppeKeys {
            send: start_key(&master[..16], ROUTER_SENDS),
            recv: start_key(&master[..16], ROUTER_RECEIVES),
        }
    }
}

const ROUTER_RECEIVES: &[u8] = b"On the client side, this is the send key; \
    on the server side, it is the receive key.";
const ROUTER_SENDS: &[u8] = b"On the client side, this is the receive key; \
    on the server side, it is the send key.";

/// GetAsymetricStartKey of RFC 3079 §3.4, for 128 bits.
fn start_key(master: &[u8], direction: &[u8]) -> [u8; 16] {
    let hash = Sha1::new()
        .chain_update(master)
        .chain_update([0; 40])
        .chain_update(direction)
        .chain_update([0xf2; 40])
        .finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    key
}

/// A hidden key as the attribute carries it: salt, then length, key and padding encrypted.
pub type HiddenKey = [u8; 34];

/// Hides a key under the shared secret. The salt must be random, differ within one packet, and is
/// sent with its highest bit set (RFC 2548 §2.4.2).
pub fn hide(key: &[u8; 16], salt: [u8; 2], request: &Authenticator, secret: &Secret) -> HiddenKey {
    let mut hidden = [0; 34];
    hide_into(&mut hidden, key, salt, request, secret);
    hidden
}

/// The same for a key of any length up to 200 octets.
pub fn hide_any(key: &[u8], salt: [u8; 2], request: &Authenticator, secret: &Secret) -> Vec<u8> {
    let mut hidden = vec![0; 2 + (1 + key.len()).next_multiple_of(16)];
    hide_into(&mut hidden, key, salt, request, secret);
    hidden
}

/// `hidden` is zeros: two octets for the salt and blocks of 16 for the key with its length octet.
fn hide_into(
    hidden: &mut [u8],
    key: &[u8],
    salt: [u8; 2],
    request: &Authenticator,
    secret: &Secret,
) {
    let (salt_at, text) = hidden.split_at_mut(2);
    salt_at.copy_from_slice(&[salt[0] | 0x80, salt[1]]);
    text[0] = key.len() as u8;
    text[1..=key.len()].copy_from_slice(key);

    let mut pad = secret.md5_prefixed(&[request, salt_at]);
    for block in text.chunks_mut(16) {
        for (octet, pad) in block.iter_mut().zip(pad) {
            *octet ^= pad;
        }
        pad = secret.md5_prefixed(&[block]);
    }
}

/// Takes the hiding off, as a router does; `None` when this is no hidden 128-bit key.
pub fn reveal(hidden: &[u8], request: &Authenticator, secret: &Secret) -> Option<[u8; 16]> {
    let clear = reveal_any(hidden, request, secret)?;
    clear.as_slice().try_into().ok()
}

/// The same for a key of any length.
pub fn reveal_any(
    hidden: &[u8],
    request: &Authenticator,
    secret: &Secret,
) -> Option<Zeroizing<Vec<u8>>> {
    let (salt, cipher) = hidden.split_at_checked(2)?;
    if cipher.is_empty() || !cipher.len().is_multiple_of(16) {
        return None;
    }
    let mut clear = Zeroizing::new(Vec::with_capacity(cipher.len()));
    let mut pad = secret.md5_prefixed(&[request, salt]);
    for block in cipher.chunks(16) {
        clear.extend(block.iter().zip(pad).map(|(cipher, pad)| cipher ^ pad));
        pad = secret.md5_prefixed(&[block]);
    }
    let (length, rest) = clear.split_first()?;
    let key = rest.get(..usize::from(*length))?;
    Some(Zeroizing::new(key.to_vec()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// RFC 3079 §3.5.3.
    #[test]
    fn the_keys_of_rfc_3079_are_derived() {
        let response = hex::decode("82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df").unwrap();
        let keys = MppeKeys::derive(&NtHash::of(b"clientPass"), &response.try_into().unwrap());
        assert_eq!(hex::encode(keys.send), "8b7cdc149b993a1ba118cb153f56dccb");
        assert_ne!(keys.send, keys.recv);
    }

    #[test]
    fn a_hidden_key_is_revealed_with_the_same_secret_only() {
        let secret = Secret::new(b"demo-secret");
        let hidden = hide(&[7; 16], [0x12, 0x34], &[9; 16], &secret);
        assert_eq!(hidden[..2], [0x92, 0x34]);
        assert_eq!(reveal(&hidden, &[9; 16], &secret), Some([7; 16]));
        assert_ne!(reveal(&hidden, &[8; 16], &secret), Some([7; 16]));
        assert_ne!(reveal(&hidden, &[9; 16], &Secret::new(b"x")), Some([7; 16]));
        assert_eq!(reveal(&hidden[1..], &[9; 16], &secret), None);
        let hidden = hide_any(&[7; 32], [0x12, 0x34], &[9; 16], &secret);
        let revealed = reveal_any(&hidden, &[9; 16], &secret).unwrap();
        assert_eq!(revealed.as_slice(), [7; 32]);
    }
}
