//! Whom a package is for and how long one payment lasts.

use serde::{Deserialize, Serialize};

/// Whom a package is for.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum PackageType {
    /// Subscribers at home: PPPoE, and lines with a lease or a fixed address.
    Pppoe,
    /// Buyers of time at a hotspot.
    Hotspot,
}

/// What a period is counted in.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum PeriodUnit {
    /// 60 seconds.
    Minutes,
    /// 3,600 seconds.
    Hours,
    /// 24 hours.
    Days,
    /// 7 days.
    Weeks,
    /// Calendar months, anchored to a day of the month.
    Months,
}

/// How long one payment lasts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Period {
    /// How many.
    pub count: i32,
    /// Of what.
    pub unit: PeriodUnit,
}

impl Period {
    /// One calendar month.
    pub const MONTH: Period = Period {
        count: 1,
        unit: PeriodUnit::Months,
    };

    /// The length in minutes; `None` for calendar months, whose length depends on when they begin.
    pub fn minutes(self) -> Option<i64> {
        let unit = match self.unit {
            PeriodUnit::Minutes => 1,
            PeriodUnit::Hours => 60,
            PeriodUnit::Days => 1_440,
            PeriodUnit::Weeks => 10_080,
            PeriodUnit::Months => return None,
        };
        Some(i64::from(self.count) * unit)
    }

    /// The period a package has when no time is given: a month for a home, for a hotspot the 30 days in
    /// which its data may be used.
    pub fn default_of(kind: PackageType) -> Period {
        match kind {
            PackageType::Pppoe => Period::MONTH,
            PackageType::Hotspot => Period {
                count: 30,
                unit: PeriodUnit::Days,
            },
        }
    }
}
