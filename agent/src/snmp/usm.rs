//! The user-based security model of SNMPv3 (RFC 3414; SHA-2 by RFC 7860; AES by RFC 3826): keys, signatures,
//! ciphers, and the message around a PDU.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt};
use des::Des;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::ber::{BerError, OCTETS, Reader, SEQUENCE, Writer};
use super::pdu::{Pdu, Request, V3};

/// How messages are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// HMAC-MD5-96.
    Md5,
    /// HMAC-SHA-96.
    Sha1,
    /// HMAC-128-SHA-224.
    Sha224,
    /// HMAC-192-SHA-256.
    Sha256,
    /// HMAC-256-SHA-384.
    Sha384,
    /// HMAC-384-SHA-512.
    Sha512,
}

/// How they are enciphered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Privacy {
    /// CBC-DES.
    Des,
    /// CFB128-AES-128.
    Aes128,
}

/// Runs an expression with the digest of an [`Auth`] in place of `D`.
macro_rules! with_digest {
    ($auth:expr, $D:ident => $run:expr) => {
        match $auth {
            Auth::Md5 => {
                type $D = Md5;
                $run
            }
            Auth::Sha1 => {
                type $D = Sha1;
                $run
            }
            Auth::Sha224 => {
                type $D = Sha224;
                $run
            }
            Auth::Sha256 => {
                type $D = Sha256;
                $run
            }
            Auth::Sha384 => {
                type $D = Sha384;
                $run
            }
            Auth::Sha512 => {
                type $D = Sha512;
                $run
            }
        }
    };
}

impl Auth {
    /// How many octets of the HMAC are sent.
    fn signature_len(self) -> usize {
        match self {
            Auth::Md5 | Auth::Sha1 => 12,
            Auth::Sha224 => 16,
            Auth::Sha256 => 24,
            Auth::Sha384 => 32,
            Auth::Sha512 => 48,
        }
    }

    /// The key of a password (RFC 3414 §A.2): a digest of its first megabyte, repeated. Some milliseconds.
    pub fn key_of(self, password: &[u8]) -> Zeroizing<Vec<u8>> {
        if password.is_empty() {
            return Zeroizing::default();
        }
        // A whole number of passwords at a time, so that the digest takes long pieces.
        let piece: Zeroizing<Vec<u8>> = Zeroizing::new(
            password
                .iter()
                .copied()
                .cycle()
                .take(password.len() * 64)
                .collect(),
        );
        with_digest!(self, D => {
            let mut digest = D::new();
            let mut left = MEGABYTE;
            while left > 0 {
                let now = left.min(piece.len());
                digest.update(&piece[..now]);
                left -= now;
            }
            Zeroizing::new(digest.finalize().to_vec())
        })
    }

    /// The key at one engine (RFC 3414 §2.6), of no use at another.
    pub fn localized(self, key: &[u8], engine: &[u8]) -> Zeroizing<Vec<u8>> {
        with_digest!(self, D => {
            let digest = D::new().chain_update(key).chain_update(engine).chain_update(key);
            Zeroizing::new(digest.finalize().to_vec())
        })
    }

    /// The signature of a message whose signature octets are zero.
    fn sign(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let mut signature = with_digest!(self, D => {
            let mut hmac = <Hmac<D> as KeyInit>::new_from_slice(key)
                .expect("HMAC takes keys of every length");
            parts.iter().for_each(|part| hmac.update(part));
            hmac.finalize().into_bytes().to_vec()
        });
        signature.truncate(self.signature_len());
        signature
    }
}

impl Privacy {
    /// Enciphers under a localized key; `salt` must never come twice under it.
    fn encrypt(
        self,
        key: &[u8],
        when: EngineTime,
        salt: [u8; 8],
        clear: &mut Vec<u8>,
    ) -> Option<()> {
        match self {
            Privacy::Des => {
                let (cipher, mut last) = des(key, salt)?;
                clear.resize(clear.len().next_multiple_of(8), 0);
                for block in clear.chunks_exact_mut(8) {
                    xor(block, &last);
                    let block: &mut [u8; 8] = block.try_into().ok()?;
                    cipher.encrypt_block(block.into());
                    last = *block;
                }
            }
            Privacy::Aes128 => {
                let (cipher, mut last) = aes(key, when, salt)?;
                for block in clear.chunks_mut(16) {
                    cipher.encrypt_block((&mut last).into());
                    xor(block, &last);
                    last[..block.len()].copy_from_slice(block);
                }
            }
        }
        Some(())
    }

    /// Deciphers; `None` for what cannot have been enciphered.
    fn decrypt(self, key: &[u8], when: EngineTime, salt: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let salt: [u8; 8] = salt.try_into().ok()?;
        let mut clear = sealed.to_vec();
        match self {
            Privacy::Des => {
                let (cipher, mut last) = des(key, salt)?;
                if !sealed.len().is_multiple_of(8) {
                    return None;
                }
                for block in clear.chunks_exact_mut(8) {
                    let block: &mut [u8; 8] = block.try_into().ok()?;
                    let next = *block;
                    cipher.decrypt_block(block.into());
                    xor(block, &last);
                    last = next;
                }
            }
            Privacy::Aes128 => {
                let (cipher, mut last) = aes(key, when, salt)?;
                for block in clear.chunks_mut(16) {
                    cipher.encrypt_block((&mut last).into());
                    let mut next = [0; 16];
                    next[..block.len()].copy_from_slice(block);
                    xor(block, &last);
                    last = next;
                }
            }
        }
        Some(clear)
    }
}

/// RFC 3414 §8.1.1.1: eight octets of key, eight to mix into the salt.
fn des(key: &[u8], salt: [u8; 8]) -> Option<(Des, [u8; 8])> {
    let (key, mix) = key.get(..16)?.split_at_checked(8)?;
    let mut vector = salt;
    xor(&mut vector, mix);
    Some((Des::new_from_slice(key).ok()?, vector))
}

/// RFC 3826 §3.1.2.1: the vector is the engine's time and the salt.
fn aes(key: &[u8], when: EngineTime, salt: [u8; 8]) -> Option<(Aes128, [u8; 16])> {
    let mut vector = [0; 16];
    vector[..4].copy_from_slice(&when.boots.to_be_bytes());
    vector[4..8].copy_from_slice(&when.secs.to_be_bytes());
    vector[8..].copy_from_slice(&salt);
    Some((Aes128::new_from_slice(key.get(..16)?).ok()?, vector))
}

fn xor(block: &mut [u8], with: &[u8]) {
    for (octet, with) in block.iter_mut().zip(with) {
        *octet ^= with;
    }
}

/// An engine's time: how often it started, and seconds since it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EngineTime {
    /// snmpEngineBoots.
    pub boots: u32,
    /// snmpEngineTime.
    pub secs: u32,
}

/// A user at one engine.
#[derive(Clone, Debug, Default)]
pub struct Localized {
    /// Whose.
    pub engine: Vec<u8>,
    /// The name.
    pub name: Vec<u8>,
    /// Signing and its key.
    pub auth: Option<(Auth, Zeroizing<Vec<u8>>)>,
    /// Ciphering and its key; never without signing.
    pub privacy: Option<(Privacy, Zeroizing<Vec<u8>>)>,
}

/// Writes a message from this user, signed and enciphered as he is.
///
/// A user without name and keys at an engine without id is what discovers the engine (RFC 3414 §4).
pub fn write(user: &Localized, when: EngineTime, id: i32, salt: u64, request: &Request) -> Vec<u8> {
    let mut scoped = Writer::default();
    request.write(id, &mut scoped);
    scoped.octets(b"");
    scoped.octets(&user.engine);
    scoped.wrap(SEQUENCE, 0);
    let mut scoped = scoped.finish();

    let salt = match user.privacy {
        Some((Privacy::Des, _)) => {
            // The first half is the engine's boots, the second is ours to count.
            let mut octets = salt.to_be_bytes();
            octets[..4].copy_from_slice(&when.boots.to_be_bytes());
            octets
        }
        Some((Privacy::Aes128, _)) | None => salt.to_be_bytes(),
    };
    let sealed = user
        .privacy
        .as_ref()
        .is_some_and(|(privacy, key)| privacy.encrypt(key, when, salt, &mut scoped).is_some());

    let mut writer = Writer::default();
    match sealed {
        true => writer.octets(&scoped),
        false => writer.raw(&scoped),
    }
    let security = writer.len();
    writer.octets(if sealed { &salt } else { b"" });
    let signature_len = user
        .auth
        .as_ref()
        .map_or(0, |(auth, _)| auth.signature_len());
    let behind_signature = writer.len();
    writer.octets(&vec![0; signature_len]);
    writer.octets(&user.name);
    writer.integer(i64::from(when.secs));
    writer.integer(i64::from(when.boots));
    writer.octets(&user.engine);
    writer.wrap(SEQUENCE, security);
    writer.wrap(OCTETS, security);
    let header = writer.len();
    writer.integer(USM);
    let auth_flag = if user.auth.is_some() { AUTH_FLAG } else { 0 };
    let privacy_flag = if sealed { PRIVACY_FLAG } else { 0 };
    writer.octets(&[REPORTABLE_FLAG | auth_flag | privacy_flag]);
    writer.integer(LARGEST);
    writer.integer(i64::from(id));
    writer.wrap(SEQUENCE, header);
    writer.integer(V3);
    writer.wrap(SEQUENCE, 0);
    let mut message = writer.finish();
    if let Some((auth, key)) = &user.auth {
        let signature = auth.sign(key, &[&message]);
        let end = message.len() - behind_signature;
        if let Some(place) = message.get_mut(end - signature_len..end) {
            place.copy_from_slice(&signature);
        }
    }
    message
}

/// A message of SNMPv3, its PDU still as it came.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// msgID.
    pub id: i32,
    /// Whether it says that it is signed.
    pub signed: bool,
    /// Whether it says that it is enciphered.
    pub sealed: bool,
    /// Whose it is.
    pub engine: &'a [u8],
    /// What the engine's time was.
    pub when: EngineTime,
    /// From which user.
    pub name: &'a [u8],
    signature: &'a [u8],
    salt: &'a [u8],
    /// Where the signature begins.
    at: usize,
    whole: &'a [u8],
    scoped: Reader<'a>,
}

/// Why a message is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbelieved {
    /// It is no SNMPv3.
    Broken,
    /// Its signature is not that of the user.
    Signature,
    /// It does not decipher.
    Cipher,
}

impl From<BerError> for Unbelieved {
    fn from(_: BerError) -> Unbelieved {
        Unbelieved::Broken
    }
}

impl<'a> Envelope<'a> {
    /// Opens the outside of a message.
    ///
    /// Reads untrusted octets: every input gives `Ok` or `Err`, none panics.
    pub fn read(octets: &'a [u8]) -> Result<Envelope<'a>, BerError> {
        let mut message = Reader::new(octets).inside(SEQUENCE)?;
        if i64::from(message.integer()?) != V3 {
            return Err(BerError::Tag);
        }
        let mut header = message.inside(SEQUENCE)?;
        let id = header.integer()?;
        let _largest = header.integer()?;
        let flags = header.octets()?.first().copied().unwrap_or(0);
        if i64::from(header.integer()?) != USM {
            return Err(BerError::Value);
        }
        let mut security = Reader::new(message.octets()?).inside(SEQUENCE)?;
        let engine = security.octets()?;
        let count = |number: i32| u32::try_from(number).map_err(|_| BerError::Value);
        let when = EngineTime {
            boots: count(security.integer()?)?,
            secs: count(security.integer()?)?,
        };
        let name = security.octets()?;
        let signature = security.octets()?;
        // What follows the signature inside and outside the security parameters lies at the message's end.
        let behind = security.left() + message.left();
        let salt = security.octets()?;
        let trailing = octets.len() - whole_len(octets)?;
        let at = octets
            .len()
            .checked_sub(trailing + behind + signature.len())
            .ok_or(BerError::Length)?;
        Ok(Envelope {
            id,
            signed: flags & AUTH_FLAG != 0,
            sealed: flags & PRIVACY_FLAG != 0,
            engine,
            when,
            name,
            signature,
            salt,
            at,
            whole: octets
                .get(..octets.len() - trailing)
                .ok_or(BerError::Length)?,
            scoped: message,
        })
    }

    /// Whether the user signed it.
    pub fn is_signed_by(&self, user: &Localized) -> bool {
        let Some((auth, key)) = &user.auth else {
            return false;
        };
        let end = self.at + self.signature.len();
        let (Some(before), Some(after)) = (self.whole.get(..self.at), self.whole.get(end..)) else {
            return false;
        };
        let zeros = vec![0; self.signature.len()];
        let expected = auth.sign(key, &[before, &zeros, after]);
        self.signed && bool::from(expected.as_slice().ct_eq(self.signature))
    }

    /// The PDU, deciphered with the user's key where it is enciphered.
    pub fn pdu(&self, user: &Localized) -> Result<Pdu, Unbelieved> {
        let mut outer = self.scoped;
        if !self.sealed {
            return Ok(scoped_pdu(outer.inside(SEQUENCE)?)?);
        }
        let (privacy, key) = user.privacy.as_ref().ok_or(Unbelieved::Cipher)?;
        let sealed = outer.octets()?;
        let clear = privacy.decrypt(key, self.when, self.salt, sealed);
        let clear = clear.ok_or(Unbelieved::Cipher)?;
        // Behind it may lie what filled the last block.
        let scoped = Reader::new(&clear).inside(SEQUENCE);
        scoped.and_then(scoped_pdu).map_err(|_| Unbelieved::Cipher)
    }
}

fn scoped_pdu(mut scoped: Reader<'_>) -> Result<Pdu, BerError> {
    let _engine = scoped.octets()?;
    let _context = scoped.octets()?;
    Pdu::read(&mut scoped)
}

/// How long the message is, without what a careless sender left behind it.
fn whole_len(octets: &[u8]) -> Result<usize, BerError> {
    let mut reader = Reader::new(octets);
    reader.expect(SEQUENCE)?;
    Ok(octets.len() - reader.left())
}

const MEGABYTE: usize = 1 << 20;
/// msgMaxSize: what one datagram of ours may hold.
const LARGEST: i64 = 65_507;
const USM: i64 = 3;
const AUTH_FLAG: u8 = 1;
const PRIVACY_FLAG: u8 = 2;
const REPORTABLE_FLAG: u8 = 4;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::snmp::oid::Oid;

    /// RFC 3414 §A.3.
    #[test]
    fn keys_are_as_rfc_3414_says() {
        let engine = hex::decode("000000000000000000000002").unwrap();
        let key = Auth::Md5.key_of(b"maplesyrup");
        assert_eq!(hex::encode(&*key), "9faf3283884e92834ebc9847d8edd963");
        let key = Auth::Md5.localized(&key, &engine);
        assert_eq!(hex::encode(&*key), "526f5eed9fcce26f8964c2930787d82b");
        let key = Auth::Sha1.key_of(b"maplesyrup");
        assert_eq!(
            hex::encode(&*key),
            "9fb5cc0381497b3793528939ff788d5d79145211"
        );
        let key = Auth::Sha1.localized(&key, &engine);
        assert_eq!(
            hex::encode(&*key),
            "6695febc9288e36282235fc7151f128497b38f3f"
        );
    }

    fn user(auth: Auth, privacy: Option<Privacy>) -> Localized {
        // Not made of a password: that takes a megabyte of digest each.
        let key = |secret: &[u8]| auth.localized(secret, b"engine");
        Localized {
            engine: b"engine".to_vec(),
            name: b"watcher".to_vec(),
            auth: Some((auth, key(b"auth password"))),
            privacy: privacy.map(|privacy| (privacy, key(b"privacy password"))),
        }
    }

    fn again(cipher: Privacy, user: &Localized, clear: &[u8]) -> Vec<u8> {
        let when = EngineTime { boots: 3, secs: 77 };
        let (_, key) = user.privacy.as_ref().unwrap();
        let mut sealed = clear.to_vec();
        cipher.encrypt(key, when, [9; 8], &mut sealed).unwrap();
        if clear.len() > 16 {
            assert_ne!(sealed.get(..clear.len()).unwrap(), clear);
        }
        cipher.decrypt(key, when, &[9; 8], &sealed).unwrap()
    }

    #[test]
    fn a_message_is_signed_over_every_octet_of_it() {
        let request = Request::Get(vec![Oid::new(&[1, 3, 6, 1, 2, 1, 1, 3, 0])]);
        let when = EngineTime { boots: 1, secs: 2 };
        for auth in [
            Auth::Md5,
            Auth::Sha1,
            Auth::Sha224,
            Auth::Sha256,
            Auth::Sha384,
            Auth::Sha512,
        ] {
            let user = user(auth, Some(Privacy::Aes128));
            let sent = write(&user, when, 5, 1, &request);
            let envelope = Envelope::read(&sent).unwrap();
            assert!(envelope.is_signed_by(&user), "{auth:?}");
            assert_eq!(
                (envelope.id, envelope.when, envelope.name),
                (5, when, &b"watcher"[..])
            );
            for place in 0..sent.len() {
                let mut forged = sent.clone();
                forged[place] ^= 1;
                let believed = Envelope::read(&forged).is_ok_and(|read| read.is_signed_by(&user));
                assert!(!believed, "{auth:?}, octet {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_enciphered_deciphers(clear in prop::collection::vec(any::<u8>(), 0..200)) {
            let des = user(Auth::Md5, Some(Privacy::Des));
            let opened = again(Privacy::Des, &des, &clear);
            prop_assert_eq!(opened.get(..clear.len()).unwrap(), clear.as_slice());
            let aes = user(Auth::Sha256, Some(Privacy::Aes128));
            prop_assert_eq!(again(Privacy::Aes128, &aes, &clear), clear);
        }
    }
}
