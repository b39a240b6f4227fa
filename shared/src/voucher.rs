//! Voucher codes: how they are drawn, typed and recognised, and under what name their user goes online.
//!
//! A code is the whole secret, so it is neither stored nor compared in the clear: both sides know it by
//! a keyed digest. Cloud and agent read what a person typed by the same rules.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::entropy::Entropy;
use crate::id::VoucherId;
use crate::seal::SealKey;

/// A voucher's code in its one form: upper case, nothing between the letters.
#[derive(Clone, PartialEq, Eq)]
pub struct VoucherCode(Zeroizing<String>);

/// What cloud and agent know a code by: HMAC-SHA-256 under the tenant's voucher key.
pub type VoucherDigest = [u8; 32];

impl VoucherCode {
    /// Draws `length` letters (at least [`LEAST`]) behind `prefix`; 5 random bits each.
    pub fn draw(prefix: &str, length: usize, entropy: &Entropy) -> VoucherCode {
        let mut random = Zeroizing::new(vec![0; length.clamp(LEAST, MOST_DRAWN)]);
        entropy.fill(&mut random);
        let letters = random
            .iter()
            .map(|octet| char::from(ALPHABET[usize::from(octet % 32)]));
        VoucherCode(Zeroizing::new(prefix.chars().chain(letters).collect()))
    }

    /// Reads what a person typed or a portal sends: any case, with spaces and dashes, with letters that
    /// look like another, and as `V-<CODE>`. `None` when it cannot be a code.
    pub fn parse(typed: &str) -> Option<VoucherCode> {
        if typed.len() > MOST_TYPED {
            return None;
        }
        let typed = typed.trim();
        let typed = match typed.get(..2) {
            Some("V-" | "v-") => &typed[2..],
            Some(_) | None => typed,
        };
        let letters = typed
            .chars()
            .filter(|letter| !matches!(letter, ' ' | '-' | '_'))
            .map(letter)
            .collect::<Option<String>>()
            .map(Zeroizing::new)?;
        (LEAST..=MOST)
            .contains(&letters.len())
            .then_some(VoucherCode(letters))
    }

    /// The same for octets of a packet.
    pub fn read(typed: &[u8]) -> Option<VoucherCode> {
        str::from_utf8(typed).ok().and_then(VoucherCode::parse)
    }

    /// The letters, for the person who gets the code, and for sealing.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the code is known by under a tenant's voucher key.
    pub fn digest(&self, key: &SealKey) -> VoucherDigest {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes keys of every length");
        mac.update(self.0.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for VoucherCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VoucherCode(…)")
    }
}

/// A batch's own letters before each code, in the form that is typed; `None` when it cannot be one.
pub fn prefix(wanted: &str) -> Option<String> {
    let letters = wanted
        .chars()
        .filter(|letter| !matches!(letter, ' ' | '-' | '_'))
        .map(letter)
        .collect::<Option<String>>()?;
    (letters.len() <= MOST_PREFIX).then_some(letters)
}

/// The name in sessions, logs and lists of who uses a voucher: the code itself stands in none of them.
pub fn username(voucher: VoucherId) -> String {
    let (_, tail) = voucher.as_bytes().split_at(8);
    tail.iter().fold("voucher.".to_owned(), |mut name, octet| {
        for digit in [octet >> 4, octet & 15] {
            name.push(char::from_digit(u32::from(digit), 16).expect("four bits are a digit"));
        }
        name
    })
}

/// Whether a name in a session or a log is a voucher user's.
pub fn is_username(name: &[u8]) -> bool {
    name.starts_with(b"voucher.")
}

/// What stands in a log for a code that nobody knows: it may be another site's, or one letter wrong.
pub const UNKNOWN: &str = "voucher.?";

/// The letters of codes: 32 without those that look like another (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Fewer letters could be guessed: ten are 50 random bits.
pub const LEAST: usize = 10;
/// The longest random part.
pub const MOST_DRAWN: usize = 16;
/// The longest prefix.
pub const MOST_PREFIX: usize = 8;
const MOST: usize = MOST_DRAWN + MOST_PREFIX;
/// With a dash or a space between all letters.
const MOST_TYPED: usize = 64;

fn letter(typed: char) -> Option<char> {
    let upper = typed.to_ascii_uppercase();
    let meant = match upper {
        'O' => '0',
        'I' | 'L' => '1',
        'U' => 'V',
        other => other,
    };
    let known = u8::try_from(meant).is_ok_and(|octet| ALPHABET.contains(&octet));
    known.then_some(meant)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_people_type_is_the_code_they_were_given() {
        let code = VoucherCode::parse("0ABCDEFGH1").unwrap();
        for typed in [
            "0abcdefgh1",
            "V-0ABCDEFGH1",
            "v-oabcd-efghl",
            " OABCD EFGHI ",
            "0A-BC-DE-FG-H1",
        ] {
            assert_eq!(VoucherCode::parse(typed).as_ref(), Some(&code), "{typed}");
        }
        let other = VoucherCode::parse("VABCDEFGH1").unwrap();
        assert_eq!(VoucherCode::parse("UABCD-EFGH1"), Some(other));
    }

    #[test]
    fn what_cannot_be_a_code_is_none() {
        for typed in ["", "V-", "ABCDEFGHJ", "ABCDEFGH!K", "demo001", "АBCDEFGHJK"] {
            assert_eq!(VoucherCode::parse(typed), None, "{typed}");
        }
        assert_eq!(VoucherCode::parse(&"A".repeat(25)), None);
        assert_eq!(VoucherCode::read(b"ABCDEFGHJ\xff"), None);
    }

    #[test]
    fn a_digest_belongs_to_one_key_and_one_code() {
        let (mine, other) = (SealKey::new([1; 32]), SealKey::new([2; 32]));
        let code = VoucherCode::parse("ABCDEFGHJK").unwrap();
        assert_eq!(code.digest(&mine), code.clone().digest(&mine));
        assert_ne!(code.digest(&mine), code.digest(&other));
        let near = VoucherCode::parse("ABCDEFGHJM").unwrap();
        assert_ne!(code.digest(&mine), near.digest(&mine));
    }

    #[test]
    fn a_code_is_never_printed() {
        let code = VoucherCode::parse("ABCDEFGHJK").unwrap();
        assert!(!format!("{code:?}").contains("ABC"));
        let name = username(VoucherId(Uuid::from_u128(0xabc)));
        assert_eq!(name, "voucher.0000000000000abc");
        assert_eq!(VoucherCode::parse(&name), None);
    }

    proptest! {
        #[test]
        fn a_drawn_code_is_read_back(seed: u64, length in 0usize..40, prefix_wanted in "[A-Za-z0-9 -]{0,8}") {
            let before = prefix(&prefix_wanted).unwrap_or_default();
            let code = VoucherCode::draw(&before, length, &Entropy::seeded(seed));
            prop_assert!(code.expose().len() >= LEAST + before.len());
            prop_assert_eq!(VoucherCode::parse(code.expose()), Some(code.clone()));
            let shown = format!("V-{}", code.expose().to_lowercase());
            prop_assert_eq!(VoucherCode::parse(&shown), Some(code));
        }

        #[test]
        fn anything_may_be_typed(typed in any::<Vec<u8>>()) {
            let _none_panics = VoucherCode::read(&typed);
        }
    }
}
