//! The causes, by the names that the API uses.

use crate::entitlement::Reason;

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident $code:literal,)*) => {
        /// Why somebody is offline, or that he is not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Cause {
            $($(#[$doc])* $name,)*
        }

        impl Cause {
            /// Every cause there is.
            pub const ALL: &'static [Cause] = &[$(Cause::$name,)*];

            /// The word for programs.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Cause::$name => $code,)*
                }
            }
        }
    };
}

causes! {
    /// He is online.
    Online "ONLINE",
    /// He is online as far as the pay page.
    WalledGarden "WALLED_GARDEN",
    /// He is online at the router, which reports no accounting.
    Unreported "UNREPORTED",
    /// The site's agent is away: what happens there is not known.
    AgentDown "AGENT_DOWN",
    /// No agent ever served his site.
    NoAgent "NO_AGENT",
    /// His router is not heard and does not answer.
    RouterDown "ROUTER_DOWN",
    /// His router signs with another secret, so that nothing it asks is answered.
    SecretMismatch "SECRET_MISMATCH",
    /// A user on the router itself has his name, so that RADIUS is not asked for him.
    LocalSecret "LOCAL_SECRET",
    /// Suspended by an operator.
    Suspended "SUSPENDED",
    /// Switched off.
    Disabled "DISABLED",
    /// No package, or it is gone.
    NoPackage "NO_PACKAGE",
    /// The paid period is over.
    Expired "EXPIRED",
    /// The data of the period is used up.
    Quota "QUOTA",
    /// The hours online of the period are used up.
    Time "TIME",
    /// He asks at another router, or at another site, than his.
    WrongRouter "WRONG_ROUTER",
    /// Locked to another device.
    WrongMac "WRONG_MAC",
    /// As many devices online as the package allows.
    TooManyDevices "TOO_MANY_DEVICES",
    /// The password his equipment shows is wrong.
    WrongPassword "WRONG_PASSWORD",
    /// His equipment asks under another name.
    WrongUsername "WRONG_USERNAME",
    /// His site has not heard of him yet.
    UnknownAtSite "UNKNOWN_AT_SITE",
    /// The site has not heard from the cloud for too long and may not serve.
    LeaseOver "LEASE_OVER",
    /// The box's disk takes nothing, so that nothing can be spent there.
    CannotStore "CANNOT_STORE",
    /// The voucher was not used in time.
    VoucherExpired "VOUCHER_EXPIRED",
    /// The voucher was taken back.
    VoucherRevoked "VOUCHER_REVOKED",
    /// The voucher is held elsewhere, and could not be asked for.
    VoucherElsewhere "VOUCHER_ELSEWHERE",
    /// Nobody used the voucher yet.
    VoucherUnused "VOUCHER_UNUSED",
    /// Too many wrong passwords or codes from his device or under his name.
    TooManyTries "TOO_MANY_TRIES",
    /// He was let in, and the router reported no session.
    NoSession "NO_SESSION",
    /// His session was lost: the router restarted, or forgot it.
    SessionLost "SESSION_LOST",
    /// His equipment asked before and does not any more.
    NotAsking "NOT_ASKING",
    /// Nothing was ever heard of his equipment.
    NeverAsked "NEVER_ASKED",
}

impl Cause {
    /// The cause that a refusal for `reason` is.
    pub(super) const fn of(reason: Reason) -> Option<Cause> {
        Some(match reason {
            Reason::Entitled => return None,
            Reason::Expired => Cause::Expired,
            Reason::Suspended => Cause::Suspended,
            Reason::Disabled => Cause::Disabled,
            Reason::NoPackage => Cause::NoPackage,
            Reason::WrongRouter => Cause::WrongRouter,
            Reason::WrongMac => Cause::WrongMac,
            Reason::QuotaUsedUp => Cause::Quota,
            Reason::TooManyDevices => Cause::TooManyDevices,
            Reason::TimeUsedUp => Cause::Time,
        })
    }
}
