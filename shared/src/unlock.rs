//! A code that lets one customer in for some hours at a site whose link is down: made in the cloud, said on the phone,
//! typed at the site's box.
//!
//! Twelve digits: which of the [`HOURS`], the how-manyth of its hour, and ten of an HMAC under the site's key over
//! these, the customer and the hour in which it was made. The box finds that hour by trying; a code's time runs from
//! there, however late it is typed, so that typing it twice, or at two boxes, gives nothing more.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::id::CustomerId;
use crate::seal::SealKey;
use crate::time::Timestamp;

/// For how many hours a code can be good.
pub const HOURS: [u8; 10] = [1, 2, 3, 4, 6, 8, 12, 24, 48, 72];
/// How many codes a customer can have of one hour.
pub const MOST_AN_HOUR: u8 = 10;

/// What a code grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// To whom.
    pub customer: CustomerId,
    /// In which hour since 1970 it was made.
    pub hour: i64,
    /// For how many hours; one of [`HOURS`].
    pub hours: u8,
    /// The how-manyth of its customer and hour, from 0.
    pub serial: u8,
}

impl Grant {
    /// A grant made at `now`; `None` for hours or a serial that no code can say.
    pub fn new(customer: CustomerId, hours: u8, serial: u8, now: Timestamp) -> Option<Grant> {
        let can_be_said = HOURS.contains(&hours) && serial < MOST_AN_HOUR;
        can_be_said.then_some(Grant {
            customer,
            hour: hour_of(now),
            hours,
            serial,
        })
    }

    /// When it ends: as many hours after the end of the one in which it was made.
    pub fn until(&self) -> Timestamp {
        Timestamp::from_secs((self.hour + 1 + i64::from(self.hours)) * 3600)
    }

    /// The code for it under a site's key.
    pub fn code(&self, key: &SealKey) -> UnlockCode {
        let place = HOURS.iter().position(|hours| *hours == self.hours);
        let head = format!("{}{}", place.unwrap_or_default(), self.serial);
        UnlockCode(Zeroizing::new(format!("{head}{:010}", self.tag(key))))
    }

    fn tag(&self, key: &SealKey) -> u64 {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes keys of every length");
        mac.update(b"easyisp unlock 1");
        mac.update(self.customer.0.as_bytes());
        mac.update(&self.hour.to_be_bytes());
        mac.update(&[self.hours, self.serial]);
        let octets: [u8; 32] = mac.finalize().into_bytes().into();
        let [a, b, c, d, e, f, g, h, ..] = octets;
        // 2^64 is no multiple of 10^10: the odds of one number differ by less than 1 in 10^9.
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 10_000_000_000
    }
}

/// Twelve digits.
#[derive(Clone, PartialEq, Eq)]
pub struct UnlockCode(Zeroizing<String>);

impl UnlockCode {
    /// Reads what somebody typed: twelve digits, with spaces, dashes and points anywhere.
    pub fn parse(typed: &str) -> Option<UnlockCode> {
        if typed.len() > MOST_TYPED {
            return None;
        }
        let letters = typed
            .chars()
            .filter(|letter| !matches!(letter, ' ' | '-' | '.'));
        let digits: Zeroizing<String> = Zeroizing::new(letters.collect());
        let fits = digits.len() == 12 && digits.bytes().all(|digit| digit.is_ascii_digit());
        fits.then_some(UnlockCode(digits))
    }

    /// `0123 4567 8901`: as it is said.
    pub fn spoken(&self) -> String {
        let (a, rest) = self.0.split_at(4);
        let (b, c) = rest.split_at(4);
        format!("{a} {b} {c}")
    }

    /// What it grants this customer under a site's key; `None` for one that is another's, of another site, or none.
    ///
    /// `from` and `to` are the instants between which it can have been made. Every try costs an attacker one chance
    /// in 10^10 for each hour between them.
    pub fn grant(
        &self,
        key: &SealKey,
        customer: CustomerId,
        (from, to): (Timestamp, Timestamp),
    ) -> Option<Grant> {
        let mut digits = self.0.bytes().map(|digit| digit - b'0');
        let (place, serial) = (digits.next()?, digits.next()?);
        let hours = *HOURS.get(usize::from(place))?;
        let hours =
            (hour_of(from)..=hour_of(to).min(hour_of(from) + MOST_TRIED)).map(|hour| Grant {
                customer,
                hour,
                hours,
                serial,
            });
        let mut fitting = hours.filter(|grant| grant.code(key) == *self);
        fitting.next()
    }
}

impl fmt::Debug for UnlockCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnlockCode(…)")
    }
}

/// When a code can have been made that is typed at `now`, and is not over: up to an hour ahead of a clock that is
/// vouched for; where none is, the box may have slept for up to three months.
pub fn made_between(now: Timestamp, is_vouched_for: bool) -> (Timestamp, Timestamp) {
    let ahead = match is_vouched_for {
        true => HOUR,
        false => Duration::from_secs(90 * 86_400),
    };
    (now.minus(LONGEST), now.plus(ahead))
}

fn hour_of(at: Timestamp) -> i64 {
    at.secs().div_euclid(3600)
}

const HOUR: Duration = Duration::from_secs(3600);
/// The longest that a code is good.
const LONGEST: Duration = Duration::from_secs(73 * 3600);
/// Hours of three months and three days.
const MOST_TRIED: i64 = 93 * 24 + 4;
const MOST_TYPED: usize = 40;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use uuid::Uuid;

    use super::*;
    use crate::entropy::Entropy;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn key(seed: u64) -> SealKey {
        SealKey::generate(&Entropy::seeded(seed))
    }

    fn customer(number: u128) -> CustomerId {
        CustomerId(Uuid::from_u128(number))
    }

    #[test]
    fn a_code_is_one_customers_at_one_site_and_says_its_hours() {
        let grant = Grant::new(customer(1), 24, 3, NOW).unwrap();
        let code = grant.code(&key(1));
        let typed = UnlockCode::parse(&code.spoken()).unwrap();
        assert_eq!(code.spoken().len(), 14);
        let read =
            |key: &SealKey, customer, now| typed.grant(key, customer, made_between(now, true));
        assert_eq!(read(&key(1), customer(1), NOW), Some(grant));
        assert_eq!(read(&key(1), customer(1), NOW.plus(HOUR * 40)), Some(grant));
        assert_eq!(read(&key(1), customer(2), NOW), None);
        assert_eq!(read(&key(2), customer(1), NOW), None);
        let hours = grant.until().since(NOW).as_secs() / 3600;
        assert!((24..=25).contains(&hours), "{hours}");

        // Every other digit is another code.
        for place in 0..12 {
            let mut digits = typed.0.to_string().into_bytes();
            digits[place] = (digits[place] - b'0' + 1) % 10 + b'0';
            let other = UnlockCode::parse(std::str::from_utf8(&digits).unwrap()).unwrap();
            assert_eq!(
                other.grant(&key(1), customer(1), made_between(NOW, true)),
                None
            );
        }
    }

    #[test]
    fn a_box_that_slept_understands_a_code_of_today_and_one_that_knows_the_time_does_not() {
        let code = Grant::new(customer(1), 1, 0, NOW).unwrap().code(&key(1));
        let asleep = NOW.minus(Duration::from_secs(60 * 86_400));
        let at = |vouched| code.grant(&key(1), customer(1), made_between(asleep, vouched));
        assert!(at(false).is_some());
        assert_eq!(at(true), None);
    }

    #[test]
    fn what_cannot_be_said_is_none() {
        assert_eq!(Grant::new(customer(1), 5, 0, NOW), None);
        assert_eq!(Grant::new(customer(1), 1, 10, NOW), None);
        for typed in ["", "12345678901", "1234567890123", "12345678901x"] {
            assert_eq!(UnlockCode::parse(typed), None, "{typed}");
        }
        assert!(UnlockCode::parse("1234-5678.9012").is_some());
    }
}
