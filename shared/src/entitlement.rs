//! May this subscriber be online now? Cloud and agent ask the same function.
//!
//! The agent's verdict is fact, the cloud's a forecast. Out of scope: RADIUS attributes, slot
//! reservation, renewal arithmetic, prices and retries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::RouterId;
use crate::net::{Mac, RateLimit};
use crate::time::Timestamp;

/// Decides from what is known and what is happening; reads no clock.
pub fn decide(
    subscriber: &Subscriber,
    package: Option<&Package>,
    live: &Live,
    policy: &SitePolicy,
    now: Timestamp,
) -> Verdict {
    let refuse = |reason| Verdict::refuse(reason, policy);

    match subscriber.standing {
        Standing::Active => {}
        Standing::Suspended => return refuse(Reason::Suspended),
        Standing::Disabled => return refuse(Reason::Disabled),
    }
    let Some(package) = package else {
        return refuse(Reason::NoPackage);
    };
    let end = subscriber.enforceable_end(policy);
    if end <= now {
        return refuse(Reason::Expired);
    }
    if let Some(router) = subscriber.router
        && live.router.is_some_and(|asking| asking != router)
    {
        return refuse(Reason::WrongRouter);
    }
    if !subscriber.macs.is_empty() && !live.mac.is_some_and(|mac| subscriber.macs.contains(&mac)) {
        return refuse(Reason::WrongMac);
    }
    let bytes_left = package
        .data_limit
        .map(|limit| limit.saturating_sub(live.bytes_used));
    if bytes_left == Some(0) {
        return refuse(Reason::QuotaUsedUp);
    }
    if live.other_devices >= subscriber.devices.unwrap_or(package.devices).max(1) {
        return refuse(Reason::TooManyDevices);
    }

    let boost = subscriber
        .rate_override
        .filter(|boost| boost.until.is_none_or(|until| now < until));
    let boost_end = boost.and_then(|boost| boost.until);
    Verdict {
        answer: Answer::Accept,
        reason: Reason::Entitled,
        rate: Some(boost.map_or(package.rate, |boost| boost.rate)),
        bytes_left,
        next_change: Some(boost_end.map_or(end, |boost_end| boost_end.min(end))),
        end: Some(end),
    }
}

/// What is known of a subscriber, apart from the password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscriber {
    /// What the operator set.
    pub standing: Standing,
    /// End of the paid period.
    pub paid_until: Timestamp,
    /// End of the periods that the wallet covers under auto-renew; at or before `paid_until` when none.
    pub funded_until: Timestamp,
    /// Hardware addresses the subscriber is locked to; empty = any.
    pub macs: Vec<Mac>,
    /// The only router this subscriber may use; `None` = any of the site.
    pub router: Option<RouterId>,
    /// Devices at once, when it differs from the package's.
    pub devices: Option<u16>,
    /// A plan override (no end) or a speed boost (with end).
    pub rate_override: Option<RateOverride>,
}

impl Subscriber {
    /// When service ends: paid, else funded, plus the site's days of grace.
    pub fn enforceable_end(&self, policy: &SitePolicy) -> Timestamp {
        self.paid_until.max(self.funded_until).plus(policy.grace)
    }
}

/// What the operator set on a subscriber. Expiry is not a standing: it follows from the dates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// May be online while paid.
    Active,
    /// Stopped by an operator, for a while.
    Suspended,
    /// Switched off for good.
    Disabled,
}

/// A rate in place of the package's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RateOverride {
    /// The rate.
    pub rate: RateLimit,
    /// The end of a boost; `None` for an override that stays.
    pub until: Option<Timestamp>,
}

/// What a package allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Package {
    /// Speed.
    pub rate: RateLimit,
    /// Bytes per paid period, both directions together; `None` = unlimited.
    pub data_limit: Option<u64>,
    /// Devices at once.
    pub devices: u16,
}

/// What is happening at the moment of the question.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Live {
    /// The device that asks, when known.
    pub mac: Option<Mac>,
    /// The router that asks; `None` in a forecast.
    pub router: Option<RouterId>,
    /// Devices of this subscriber online now, without the one that asks.
    pub other_devices: u16,
    /// Bytes used in the current paid period.
    pub bytes_used: u64,
}

/// How a site treats its subscribers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SitePolicy {
    /// Service after the paid end.
    pub grace: Duration,
    /// What happens to who may not be online.
    pub refusal: Refusal,
}

/// What happens to who may not be online.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Refusal {
    /// Access-Reject.
    #[default]
    Reject,
    /// Accepted into the walled garden, where the reason and a way to pay are shown.
    WalledGarden,
}

/// The decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// In, garden or out.
    pub answer: Answer,
    /// Why; shown to the operator.
    pub reason: Reason,
    /// Speed, when accepted.
    pub rate: Option<RateLimit>,
    /// Bytes left in the period; `None` = unlimited.
    pub bytes_left: Option<u64>,
    /// When to ask again: a session's only timer.
    pub next_change: Option<Timestamp>,
    /// When service ends if nothing is paid.
    pub end: Option<Timestamp>,
}

impl Verdict {
    fn refuse(reason: Reason, policy: &SitePolicy) -> Verdict {
        let answer = match (policy.refusal, reason.is_about_money()) {
            (Refusal::WalledGarden, true) => Answer::WalledGarden,
            (Refusal::WalledGarden, false) | (Refusal::Reject, _) => Answer::Reject,
        };
        Verdict {
            answer,
            reason,
            rate: None,
            bytes_left: None,
            next_change: None,
            end: None,
        }
    }
}

/// In, garden or out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Online.
    Accept,
    /// Online as far as the pay page.
    WalledGarden,
    /// Not online.
    Reject,
}

/// Why a subscriber is in or out.
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
}

impl Reason {
    /// Whether paying would help.
    pub fn is_about_money(self) -> bool {
        match self {
            Reason::Expired | Reason::QuotaUsedUp | Reason::NoPackage => true,
            Reason::Entitled
            | Reason::Suspended
            | Reason::Disabled
            | Reason::WrongRouter
            | Reason::WrongMac
            | Reason::TooManyDevices => false,
        }
    }

    /// One sentence for a person.
    pub fn sentence(self) -> &'static str {
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
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn paid_until(end: i64) -> Subscriber {
        Subscriber {
            standing: Standing::Active,
            paid_until: at(end),
            funded_until: at(0),
            macs: Vec::new(),
            router: None,
            devices: None,
            rate_override: None,
        }
    }

    fn package() -> Package {
        Package {
            rate: RateLimit::mbps(10, 10),
            data_limit: None,
            devices: 1,
        }
    }

    fn reason(subscriber: &Subscriber, live: &Live, now: i64) -> Reason {
        decide(
            subscriber,
            Some(&package()),
            live,
            &SitePolicy::default(),
            at(now),
        )
        .reason
    }

    #[test]
    fn the_paid_end_itself_is_no_longer_paid() {
        assert_eq!(
            reason(&paid_until(100), &Live::default(), 99),
            Reason::Entitled
        );
        assert_eq!(
            reason(&paid_until(100), &Live::default(), 100),
            Reason::Expired
        );
    }

    #[test]
    fn grace_and_funded_time_extend_the_end() {
        let policy = SitePolicy {
            grace: Duration::from_secs(50),
            ..SitePolicy::default()
        };
        let funded = Subscriber {
            funded_until: at(200),
            ..paid_until(100)
        };
        let verdict = decide(
            &funded,
            Some(&package()),
            &Live::default(),
            &policy,
            at(249),
        );

        assert_eq!(verdict.end, Some(at(250)));
        assert_eq!(verdict.answer, Answer::Accept);
    }

    #[test]
    fn the_device_that_asks_does_not_count_against_itself() {
        let one_more = Live {
            other_devices: 1,
            ..Live::default()
        };
        assert_eq!(
            reason(&paid_until(100), &Live::default(), 1),
            Reason::Entitled
        );
        assert_eq!(
            reason(&paid_until(100), &one_more, 1),
            Reason::TooManyDevices
        );
    }

    #[test]
    fn a_lock_without_a_known_device_refuses() {
        let locked = Subscriber {
            macs: vec![Mac::new([1; 6])],
            ..paid_until(100)
        };
        let right = Live {
            mac: Some(Mac::new([1; 6])),
            ..Live::default()
        };
        assert_eq!(reason(&locked, &Live::default(), 1), Reason::WrongMac);
        assert_eq!(reason(&locked, &right, 1), Reason::Entitled);
    }

    #[test]
    fn a_boost_ends_before_the_period_and_is_the_next_change() {
        let boost = RateOverride {
            rate: RateLimit::mbps(50, 50),
            until: Some(at(40)),
        };
        let boosted = Subscriber {
            rate_override: Some(boost),
            ..paid_until(100)
        };
        let ask = |now| {
            decide(
                &boosted,
                Some(&package()),
                &Live::default(),
                &SitePolicy::default(),
                at(now),
            )
        };

        assert_eq!(
            (ask(39).rate, ask(39).next_change),
            (Some(RateLimit::mbps(50, 50)), Some(at(40)))
        );
        assert_eq!(
            (ask(40).rate, ask(40).next_change),
            (Some(RateLimit::mbps(10, 10)), Some(at(100)))
        );
    }

    #[test]
    fn only_reasons_that_money_mends_lead_to_the_garden() {
        let garden = SitePolicy {
            refusal: Refusal::WalledGarden,
            ..SitePolicy::default()
        };
        let ask = |subscriber: &Subscriber| {
            decide(
                subscriber,
                Some(&package()),
                &Live::default(),
                &garden,
                at(200),
            )
            .answer
        };

        assert_eq!(ask(&paid_until(100)), Answer::WalledGarden);
        assert_eq!(
            ask(&Subscriber {
                standing: Standing::Suspended,
                ..paid_until(300)
            }),
            Answer::Reject
        );
    }

    proptest! {
        /// An accepted subscriber always has a moment at which the question is asked again.
        #[test]
        fn acceptance_never_lasts_for_ever(end in 0i64..1000, funded in 0i64..1000, now in 0i64..1000) {
            let subscriber = Subscriber { funded_until: at(funded), ..paid_until(end) };
            let verdict = decide(
                &subscriber, Some(&package()), &Live::default(), &SitePolicy::default(), at(now),
            );
            prop_assert_eq!(verdict.answer == Answer::Accept, now < end.max(funded));
            if verdict.answer == Answer::Accept {
                prop_assert!(verdict.next_change.unwrap() > at(now));
            }
        }
    }
}
