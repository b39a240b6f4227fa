//! The second factor: codes of an authenticator app (RFC 6238: SHA-1, 30 seconds, six digits), and codes for
//! the day the phone is lost.

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Seconds for which a code is shown.
const STEP: i64 = 30;
/// Codes for the day the phone is lost; each is good once.
pub const RECOVERY_CODES: usize = 10;
/// Of Crockford's alphabet without its look-alikes: easy to read out and to type.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What an authenticator app and we both know.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A new one: 20 bytes, as long as the hash (RFC 4226 §4).
    pub fn new(entropy: &Entropy) -> Secret {
        Secret(Zeroizing::new(entropy.bytes::<20>().to_vec()))
    }

    /// One that was stored.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Secret {
        Secret(bytes)
    }

    /// To seal.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As apps take it when it is typed in (RFC 4648 §6, without padding).
    pub fn base32(&self) -> SecretString {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * 8 / 5 + 1));
        let (mut bits, mut count) = (0_u32, 0);
        for byte in self.0.iter() {
            bits = bits << 8 | u32::from(*byte);
            count += 8;
            while count >= 5 {
                count -= 5;
                text.push(char::from(ALPHABET[(bits >> count & 31) as usize]));
            }
        }
        if count > 0 {
            text.push(char::from(ALPHABET[(bits << (5 - count) & 31) as usize]));
        }
        SecretString::from(text.as_str())
    }

    /// The step whose code this is: the present one or a neighbour, and later than the last one used, so
    /// that a code that was looked over somebody's shoulder is good for nothing.
    ///
    /// All three are compared, each in the same time whatever the code.
    pub fn step_of(&self, code: &str, last: i64, now: Timestamp) -> Option<i64> {
        let present = now.millis().div_euclid(1000 * STEP);
        let mut found = None;
        for step in present - 1..=present + 1 {
            let right: bool = self.code(step).as_bytes().ct_eq(code.as_bytes()).into();
            if right && step > last {
                found = Some(step);
            }
        }
        found
    }

    /// The code of a step (RFC 4226 §5.3).
    fn code(&self, step: i64) -> Zeroizing<String> {
        let mut mac =
            Hmac::<Sha1>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(&step.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let offset = usize::from(digest[19] & 15);
        let four = digest[offset..offset + 4].iter();
        let number = four.fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        Zeroizing::new(format!("{:06}", (number & 0x7fff_ffff) % 1_000_000))
    }
}

/// A new code for the day the phone is lost: ten letters of 32, 50 bits.
pub fn recovery_code(entropy: &Entropy) -> String {
    let letters = entropy.bytes::<10>();
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    let (first, second) = letters.split_at(5);
    let first: String = first.iter().map(letter).collect();
    let second: String = second.iter().map(letter).collect();
    format!("{first}-{second}")
}

/// What is kept of a recovery code, under a key that no database holds: the code as it is typed, without
/// what is only there to be read.
pub fn recovery_digest(key: &[u8; 32], operator: &[u8; 16], code: &str) -> [u8; 32] {
    let mut mac =
        Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(operator);
    let typed: String = code.chars().filter(|c| c.is_alphanumeric()).collect();
    mac.update(typed.to_lowercase().as_bytes());
    mac.finalize().into_bytes().into()
}

/// A code that was written after the password with a space between, for a form that has no field for it.
pub fn split(password: &str) -> Option<(&str, &str)> {
    let (password, code) = password.rsplit_once(' ')?;
    let is_code = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
    is_code.then_some((password, code))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn secret() -> Secret {
        Secret::from_bytes(Zeroizing::new(b"12345678901234567890".to_vec()))
    }

    /// RFC 6238, appendix B (its codes have eight digits; ours are the last six).
    #[test]
    fn codes_are_those_of_the_rfc() {
        for (secs, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let now = Timestamp::from_secs(secs);
            assert_eq!(secret().step_of(code, 0, now), Some(secs / 30), "{secs}");
        }
        assert_eq!(
            secret().base32().expose_secret(),
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        );
    }

    #[test]
    fn a_code_is_good_for_a_step_around_its_own_and_once() {
        let at = |secs| Timestamp::from_secs(secs);
        let step = 1_234_567_890 / 30;
        for (secs, good) in [(-31, false), (-30, true), (30, true), (60, false)] {
            let begun = step * 30;
            let now = at(begun + secs);
            let found = secret().step_of("005924", 0, now);
            assert_eq!(found == Some(step), good, "{secs}");
        }
        assert_eq!(secret().step_of("005924", step, at(step * 30)), None);
        for wrong in ["", "5924", "0059240", "００５９２４"] {
            assert_eq!(secret().step_of(wrong, 0, at(step * 30)), None);
        }
    }

    #[test]
    fn a_code_after_the_password_is_told_from_a_password() {
        assert_eq!(
            split("four bottles 123456"),
            Some(("four bottles", "123456"))
        );
        for whole in [
            "four bottles",
            "fourbottles123456",
            "four 12345",
            "four 12345a",
        ] {
            assert_eq!(split(whole), None, "{whole}");
        }
    }

    #[test]
    fn a_recovery_code_reads_the_same_however_it_is_typed() {
        let code = recovery_code(&Entropy::seeded(1));
        assert_eq!(code.len(), 11);
        let digest = |code: &str| recovery_digest(&[1; 32], &[2; 16], code);
        assert_eq!(
            digest(&code),
            digest(&code.replace('-', " ").to_uppercase())
        );
        assert_ne!(digest(&code), recovery_digest(&[1; 32], &[3; 16], &code));
    }
}
