//! What a decision looks at: who asks, what he bought, what is happening, how the site treats him.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::reason::Reasons;
use super::schedule::{self, DataCounts, Window};
use crate::id::RouterId;
use crate::net::{Mac, RateLimit};
use crate::time::Timestamp;

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
    /// When service ends: paid, else funded, plus the package's days of grace, else the site's.
    pub fn enforceable_end(&self, package: &Package, policy: &SitePolicy) -> Timestamp {
        let grace = package.grace.unwrap_or(policy.grace);
        self.paid_until.max(self.funded_until).plus(grace)
    }

    /// The boost or override that holds at `now`.
    pub(super) fn boost(&self, now: Timestamp) -> Option<RateOverride> {
        self.rate_override
            .filter(|boost| boost.until.is_none_or(|until| now < until))
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
    /// Seconds online per paid period, all devices together; `None` = unlimited.
    pub time_limit_secs: Option<u64>,
    /// Devices at once.
    pub devices: u16,
    /// Slower speeds from some usage on.
    pub fair_use: Vec<Tier>,
    /// Hours with rules of their own; of two that are on, the first with a speed gives it.
    pub schedule: Vec<Window>,
    /// Service after the paid end in place of the site's; `None` = the site's.
    pub grace: Option<Duration>,
    /// How many devices a customer is bound to by first login; `None` = as many as the site says.
    pub bind_macs: Option<u8>,
}

/// A speed that holds once so much was used in the period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tier {
    /// Bytes, both directions together.
    pub from_bytes: u64,
    /// The most speed from there on.
    pub rate: RateLimit,
}

impl Package {
    /// Whether there are hours whose data does not count.
    pub(super) fn has_free_hours(&self) -> bool {
        schedule::any_free(&self.schedule)
    }

    pub(super) fn data_is_free(&self, policy: &SitePolicy, now: Timestamp) -> bool {
        schedule::on(&self.schedule, now, &policy.zone).any(|window| window.data == DataCounts::No)
    }

    /// The speed at `now`. A boost with an end beats everything; an override beats the package and its
    /// hours; fair use slows whatever is left, never the other way round.
    pub(super) fn rate_at(
        &self,
        boost: Option<RateOverride>,
        bytes_used: u64,
        policy: &SitePolicy,
        now: Timestamp,
    ) -> RateLimit {
        let full = match boost {
            Some(boost) if boost.until.is_some() => return boost.rate,
            Some(stays) => stays.rate,
            None => schedule::on(&self.schedule, now, &policy.zone)
                .find_map(|window| window.rate)
                .unwrap_or(self.rate),
        };
        let reached = self
            .fair_use
            .iter()
            .filter(|tier| tier.from_bytes <= bytes_used);
        reached.fold(full, |rate, tier| rate.slower(tier.rate))
    }
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
    /// Bytes used in the current paid period, without those that were free.
    pub bytes_used: u64,
    /// Seconds online in the current paid period, all sessions together.
    pub secs_used: u64,
    /// Devices that this subscriber is bound to by first login, oldest first.
    pub bound: Vec<Mac>,
}

/// How a site treats its subscribers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SitePolicy {
    /// Service after the paid end.
    pub grace: Duration,
    /// What happens to who may not be online.
    pub refusal: Refusal,
    /// The reasons for which that may be the walled garden.
    pub garden_for: Reasons,
    /// Where the provider's clocks hang.
    pub zone: TimeZone,
    /// Whom first logins bind.
    pub bind: Bind,
}

impl Default for SitePolicy {
    fn default() -> SitePolicy {
        SitePolicy {
            grace: Duration::ZERO,
            refusal: Refusal::Reject,
            garden_for: Reasons::MONEY,
            zone: TimeZone::UTC,
            bind: Bind::default(),
        }
    }
}

/// How first logins bind a subscriber to his devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bind {
    /// To how many; 0 = to none.
    pub macs: u8,
    /// Whether one more takes the place of the oldest instead of being refused.
    pub oldest_out: bool,
}

/// What a device is to a subscriber whom first logins bind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// Nothing binds him: no terms do, or an operator locked him to devices by hand.
    Free,
    /// It is one of his.
    His,
    /// It becomes one of his when it is let in, in place of this one where there is no more room.
    Next {
        /// The oldest.
        instead_of: Option<Mac>,
    },
    /// There is no room for it.
    Full,
}

impl Subscriber {
    /// What the device that asks is to him.
    pub fn bound(&self, package: &Package, live: &Live, policy: &SitePolicy) -> Bound {
        let most = usize::from(package.bind_macs.unwrap_or(policy.bind.macs));
        if most == 0 || !self.macs.is_empty() {
            return Bound::Free;
        }
        let room = live.bound.len() < most;
        match live.mac {
            Some(mac) if live.bound.contains(&mac) => Bound::His,
            Some(_) if room => Bound::Next { instead_of: None },
            Some(_) if policy.bind.oldest_out => Bound::Next {
                instead_of: live.bound.first().copied(),
            },
            None if room => Bound::Free,
            Some(_) | None => Bound::Full,
        }
    }
}

/// The zone of this IANA name; UTC when this build does not know it.
pub fn zone_of(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
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
