//! What is asked of a batch, and how a voucher stands.

use easyisp_shared::id::PackageId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher;
use serde::{Deserialize, Serialize};

use super::words::Stored;
use crate::error::FieldError;
use crate::packages::{Period, PeriodUnit};

/// A batch that can be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Batch {
    pub(super) package: PackageId,
    pub(super) quantity: u32,
    pub(super) prefix: String,
    pub(super) code_length: u8,
    pub(super) expires_at: Option<Timestamp>,
}

/// What a request says of a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) package: Option<PackageId>,
    pub(super) quantity: Option<i64>,
    pub(super) prefix: Option<String>,
    pub(super) code_length: Option<i64>,
    pub(super) expires_at: Option<Timestamp>,
}

/// The most vouchers one request makes at once; more are made in the background.
pub(super) const AT_ONCE: u32 = 500;
/// The most vouchers of one batch.
const MOST: u32 = 100_000;

impl Wanted {
    /// Fields that cannot be are named, all of them.
    pub(super) fn batch(self, now: Timestamp) -> Result<Batch, Vec<FieldError>> {
        let mut wrong = Vec::new();
        let mut refuse = |field: &str, message: &str| {
            wrong.push(FieldError {
                field: field.to_owned(),
                message: message.to_owned(),
            });
        };
        let quantity = self.quantity.and_then(|count| u32::try_from(count).ok());
        let quantity = quantity.filter(|count| (1..=MOST).contains(count));
        if quantity.is_none() {
            refuse("count", "must be a whole number from 1 to 100000");
        }
        if self.package.is_none() {
            refuse("packageId", "is required");
        }
        let prefix = voucher::prefix(self.prefix.as_deref().unwrap_or_default());
        if prefix.is_none() {
            refuse("prefix", "must be at most 8 letters and digits");
        }
        let least = i64::try_from(voucher::LEAST).unwrap_or(10);
        let length = self.code_length.unwrap_or(least);
        if !(6..=16).contains(&length) {
            refuse("codeLength", "must be from 6 to 16; under 10 means 10");
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            refuse("expiresAt", "must lie ahead");
        }
        match (self.package, quantity, prefix, wrong.is_empty()) {
            (Some(package), Some(quantity), Some(prefix), true) => Ok(Batch {
                package,
                quantity,
                prefix,
                code_length: u8::try_from(length.max(least)).unwrap_or(16),
                expires_at: self.expires_at,
            }),
            (_, _, _, _) => Err(wrong), // whatever is missing was named above
        }
    }
}

/// How long a voucher of this period lasts, in seconds. A month is 30 days: a voucher is sold before
/// anybody knows in which month it will be used.
pub(super) fn face_secs(period: Period) -> i64 {
    let days = |count: i32| i64::from(count) * 30 * 86_400;
    match period.unit {
        PeriodUnit::Months => days(period.count),
        PeriodUnit::Minutes | PeriodUnit::Hours | PeriodUnit::Days | PeriodUnit::Weeks => {
            period.minutes().map_or(days(1), |minutes| minutes * 60)
        }
    }
}

/// How a voucher stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Nobody used it yet.
    Available,
    /// Somebody did.
    Used,
    /// Nobody did in time.
    Expired,
    /// Taken back by an operator.
    Revoked,
}

impl Status {
    /// How a stored voucher stands at `now`.
    pub(super) fn of(stored: Stored, expires_at: Option<Timestamp>, now: Timestamp) -> Status {
        match stored {
            Stored::Used => Status::Used,
            Stored::Revoked => Status::Revoked,
            Stored::Available if expires_at.is_some_and(|end| end <= now) => Status::Expired,
            Stored::Available => Status::Available,
        }
    }

    /// As a filter names it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Status::Available => "AVAILABLE",
            Status::Used => "USED",
            Status::Expired => "EXPIRED",
            Status::Revoked => "REVOKED",
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn wanted() -> Wanted {
        Wanted {
            package: Some(PackageId(Uuid::from_u128(1))),
            quantity: Some(5),
            ..Wanted::default()
        }
    }

    #[test]
    fn a_batch_is_what_was_asked_with_codes_long_enough() {
        let batch = wanted().batch(NOW).unwrap();
        assert_eq!((batch.quantity, batch.code_length), (5, 10));
        let short = Wanted {
            code_length: Some(6),
            prefix: Some("wifi-".to_owned()),
            ..wanted()
        };
        let batch = short.batch(NOW).unwrap();
        assert_eq!((batch.code_length, batch.prefix.as_str()), (10, "W1F1"));
    }

    #[test]
    fn everything_that_cannot_be_is_named_at_once() {
        let nonsense = Wanted {
            package: None,
            quantity: Some(0),
            prefix: Some("much too long".to_owned()),
            code_length: Some(5),
            expires_at: Some(NOW),
        };
        let wrong = nonsense.batch(NOW).unwrap_err();
        let fields: Vec<&str> = wrong.iter().map(|field| field.field.as_str()).collect();
        assert_eq!(
            fields,
            ["count", "packageId", "prefix", "codeLength", "expiresAt"]
        );
        let many = Wanted {
            quantity: Some(100_001),
            ..wanted()
        };
        assert!(many.batch(NOW).is_err());
    }

    #[test]
    fn a_face_value_is_exact() {
        let hours = Period {
            count: 3,
            unit: PeriodUnit::Hours,
        };
        assert_eq!(face_secs(hours), 10_800);
        assert_eq!(face_secs(Period::MONTH), 30 * 86_400);
    }

    #[test]
    fn only_the_unused_expire() {
        let (past, ahead) = (Some(NOW), Some(Timestamp::from_secs(1_001)));
        assert_eq!(Status::of(Stored::Available, past, NOW), Status::Expired);
        assert_eq!(Status::of(Stored::Available, ahead, NOW), Status::Available);
        assert_eq!(Status::of(Stored::Available, None, NOW), Status::Available);
        assert_eq!(Status::of(Stored::Used, past, NOW), Status::Used);
        assert_eq!(Status::of(Stored::Revoked, past, NOW), Status::Revoked);
    }
}
