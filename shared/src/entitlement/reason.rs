//! Why a subscriber is in or out, and what a site does about it.

use serde::{Deserialize, Serialize};

/// Why a subscriber is in or out. New ones go at the end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// Paid and within every limit.
    Entitled,
    /// The paid period is over.
    Expired,
    /// Suspended by an operator.
    Suspended,
    /// Switched off.
    Disabled,
    /// No package assigned, or the package is gone.
    NoPackage,
    /// Bound to another router.
    WrongRouter,
    /// Locked to another device.
    WrongMac,
    /// The data of the period is used up.
    QuotaUsedUp,
    /// As many devices online as the package allows.
    TooManyDevices,
    /// The hours online of the period are used up.
    TimeUsedUp,
}

/// Reasons for which a site lets a subscriber as far as the pay page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Reasons(u32);

impl Reason {
    /// Every reason to refuse.
    pub const REFUSALS: [Reason; 9] = [
        Reason::Expired,
        Reason::Suspended,
        Reason::Disabled,
        Reason::NoPackage,
        Reason::WrongRouter,
        Reason::WrongMac,
        Reason::QuotaUsedUp,
        Reason::TooManyDevices,
        Reason::TimeUsedUp,
    ];

    /// Whether paying would help.
    pub const fn is_about_money(self) -> bool {
        match self {
            Reason::Expired | Reason::QuotaUsedUp | Reason::NoPackage | Reason::TimeUsedUp => true,
            Reason::Entitled
            | Reason::Suspended
            | Reason::Disabled
            | Reason::WrongRouter
            | Reason::WrongMac
            | Reason::TooManyDevices => false,
        }
    }

    /// The word for programs: settings, the portal's address, the API.
    pub const fn code(self) -> &'static str {
        match self {
            Reason::Entitled => "ENTITLED",
            Reason::Expired => "EXPIRED",
            Reason::Suspended => "SUSPENDED",
            Reason::Disabled => "DISABLED",
            Reason::NoPackage => "NO_PACKAGE",
            Reason::WrongRouter => "WRONG_ROUTER",
            Reason::WrongMac => "WRONG_MAC",
            Reason::QuotaUsedUp => "QUOTA",
            Reason::TooManyDevices => "TOO_MANY_DEVICES",
            Reason::TimeUsedUp => "TIME",
        }
    }

    /// The reason to refuse that this word means.
    pub fn from_code(code: &str) -> Option<Reason> {
        Reason::REFUSALS
            .into_iter()
            .find(|reason| reason.code() == code)
    }

    /// One sentence for a person.
    pub const fn sentence(self) -> &'static str {
        match self {
            Reason::Entitled => "Paid and within every limit.",
            Reason::Expired => "The paid period is over.",
            Reason::Suspended => "Suspended by an operator.",
            Reason::Disabled => "The account is switched off.",
            Reason::NoPackage => "No package is assigned.",
            Reason::WrongRouter => "The account is bound to another router.",
            Reason::WrongMac => "The account is locked to another device.",
            Reason::QuotaUsedUp => "The data of this period is used up.",
            Reason::TooManyDevices => "As many devices are online as the package allows.",
            Reason::TimeUsedUp => "The hours online of this period are used up.",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl Reasons {
    /// None: who may not be online is rejected.
    pub const NONE: Reasons = Reasons(0);
    /// Those that paying mends.
    pub const MONEY: Reasons = Reasons(
        Reason::Expired.bit()
            | Reason::QuotaUsedUp.bit()
            | Reason::NoPackage.bit()
            | Reason::TimeUsedUp.bit(),
    );

    /// These reasons. To be entitled is none.
    pub fn of(reasons: impl IntoIterator<Item = Reason>) -> Reasons {
        let refusals = reasons
            .into_iter()
            .filter(|reason| *reason != Reason::Entitled);
        Reasons(refusals.fold(0, |bits, reason| bits | reason.bit()))
    }

    /// Whether this reason is among them.
    pub const fn contains(self, reason: Reason) -> bool {
        self.0 & reason.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_to_refuse_has_a_word_and_a_place() {
        for reason in Reason::REFUSALS {
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
            assert!(Reasons::of([reason]).contains(reason));
            assert_eq!(Reasons::MONEY.contains(reason), reason.is_about_money());
        }
        assert_eq!(Reason::from_code("ENTITLED"), None);
        assert_eq!(Reasons::of([Reason::Entitled]), Reasons::NONE);
    }
}
