//! Money in minor units.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Money in minor units (100 = one shilling). The currency belongs to the tenant.
///
/// There is no conversion from a float: JSON is read and written as decimal text (`RawValue`), and an
/// amount with more than two decimals is an error, never a rounding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
pub struct Cents(i64);

/// The largest amount read from outside: ten billion shillings.
const LIMIT: i64 = 1_000_000_000_000;

impl Cents {
    /// Nothing.
    pub const ZERO: Cents = Cents(0);

    /// From minor units.
    pub const fn new(minor: i64) -> Cents {
        Cents(minor)
    }

    /// From whole shillings.
    pub const fn whole(major: i64) -> Cents {
        Cents(major.saturating_mul(100))
    }

    /// Minor units.
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// The sum, or `None` when it does not fit.
    pub fn plus(self, other: Cents) -> Option<Cents> {
        self.0.checked_add(other.0).map(Cents)
    }

    /// The difference, or `None` when it does not fit. It may be negative.
    pub fn minus(self, other: Cents) -> Option<Cents> {
        self.0.checked_sub(other.0).map(Cents)
    }

    /// What remains after paying `price`, or `None` when there is not enough.
    pub fn pay(self, price: Cents) -> Option<Cents> {
        let rest = self.0.checked_sub(price.0)?;
        (rest >= 0).then_some(Cents(rest))
    }

    /// The next whole shilling: what M-Pesa is asked for (it moves whole shillings only).
    pub fn rounded_up_to_whole(self) -> Cents {
        Cents(
            self.0
                .saturating_add(99)
                .div_euclid(100)
                .saturating_mul(100),
        )
    }

    /// Whether this is more than nothing.
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Parses decimal text (`1500`, `99.5`, `-0.05`): at most two decimals, at most ten billion.
    pub fn parse(text: &str) -> Result<Cents, AmountError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(AmountError::NotANumber);
        }
        let fraction = match fraction.trim_end_matches('0').as_bytes() {
            [] => 0,
            [tenths] => 10 * i64::from(tenths - b'0'),
            [tenths, cents] => 10 * i64::from(tenths - b'0') + i64::from(cents - b'0'),
            [_, _, _, ..] => return Err(AmountError::TooFine),
        };
        let minor = whole
            .parse::<i64>()
            .ok()
            .and_then(|whole| whole.checked_mul(100))
            .and_then(|whole| whole.checked_add(fraction))
            .filter(|minor| *minor <= LIMIT)
            .ok_or(AmountError::TooLarge)?;
        Ok(Cents(if negative { -minor } else { minor }))
    }
}

/// Why a text is not an amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AmountError {
    /// Not decimal digits with an optional point.
    #[error("must be a plain number such as 1500 or 99.50")]
    NotANumber,
    /// More than two decimals.
    #[error("must have at most two decimals")]
    TooFine,
    /// Beyond ten billion.
    #[error("is larger than any amount this platform handles")]
    TooLarge,
}

impl std::fmt::Display for Cents {
    /// `1500`, `99.5`, `-0.05`: as short as the contract's JSON numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, cents) = (self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100);
        match (cents, cents % 10) {
            (0, _) => write!(f, "{sign}{whole}"),
            (_, 0) => write!(f, "{sign}{whole}.{}", cents / 10),
            (_, _) => write!(f, "{sign}{whole}.{cents:02}"),
        }
    }
}

impl Serialize for Cents {
    /// A JSON number for people's formats, minor units for postcard.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_i64(self.0);
        }
        RawValue::from_string(self.to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cents, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Cents);
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Cents::parse(raw.get()).map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
    use utoipa::{PartialSchema, ToSchema};

    use super::Cents;

    impl PartialSchema for Cents {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::Number)
                .description(Some("Money; at most two decimals."))
                .into()
        }
    }

    impl ToSchema for Cents {}
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_exact() {
        let sum = Cents::parse("0.10")
            .unwrap()
            .plus(Cents::parse("0.20").unwrap());
        assert_eq!(sum, Some(Cents::parse("0.3").unwrap()));
        assert_eq!(Cents::new(9950).to_string(), "99.5");
        assert_eq!(Cents::new(-5).to_string(), "-0.05");
        assert_eq!(Cents::whole(1500).to_string(), "1500");
    }

    #[test]
    fn what_is_not_an_amount_says_why() {
        assert_eq!(Cents::parse("1.005"), Err(AmountError::TooFine));
        assert_eq!(Cents::parse("1.50000"), Ok(Cents::new(150)));
        assert_eq!(
            Cents::parse("99999999999999999999"),
            Err(AmountError::TooLarge)
        );
        for text in [
            "", "-", ".5", "5.", "1e3", "0x10", "NaN", "\"5\"", "null", "+1", "1 000",
        ] {
            assert_eq!(Cents::parse(text), Err(AmountError::NotANumber), "{text}");
        }
    }

    #[test]
    fn a_push_asks_the_next_whole_shilling() {
        assert_eq!(Cents::new(99_901).rounded_up_to_whole(), Cents::whole(1000));
        assert_eq!(Cents::whole(1000).rounded_up_to_whole(), Cents::whole(1000));
    }

    proptest! {
        #[test]
        fn json_keeps_every_cent(minor in -LIMIT..=LIMIT) {
            let json = serde_json::to_string(&Cents::new(minor)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cents>(&json).unwrap(), Cents::new(minor));
        }
    }
}
