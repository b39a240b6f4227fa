//! May this subscriber be online now? Cloud and agent ask the same function.
//!
//! The agent's verdict is fact, the cloud's a forecast. Out of scope: RADIUS attributes, slot
//! reservation, renewal arithmetic, prices and retries.

mod reason;
pub mod schedule;
mod terms;

pub use reason::{Reason, Reasons};
pub use schedule::{DataCounts, Days, Window};
pub use terms::{
    Bind, Bound, Live, Package, RateOverride, Refusal, SitePolicy, Standing, Subscriber, Tier,
    zone_of,
};

use crate::net::RateLimit;
use crate::time::Timestamp;

/// Decides from what is known and what is happening; reads no clock.
pub fn decide(
    subscriber: &Subscriber,
    package: Option<&Package>,
    live: &Live,
    policy: &SitePolicy,
    now: Timestamp,
) -> Verdict {
    let refuse = |reason, until| Verdict::refuse(reason, until, policy);

    match subscriber.standing {
        Standing::Active => {}
        Standing::Suspended => return refuse(Reason::Suspended, None),
        Standing::Disabled => return refuse(Reason::Disabled, None),
    }
    let Some(package) = package else {
        return refuse(Reason::NoPackage, None);
    };
    let end = subscriber.enforceable_end(package, policy);
    if end <= now {
        return refuse(Reason::Expired, None);
    }
    let edge = schedule::next_change(&package.schedule, now, &policy.zone);
    let until = Some(edge.map_or(end, |edge| edge.min(end)));
    if let Some(router) = subscriber.router
        && live.router.is_some_and(|asking| asking != router)
    {
        return refuse(Reason::WrongRouter, until);
    }
    if !subscriber.macs.is_empty() && !live.mac.is_some_and(|mac| subscriber.macs.contains(&mac)) {
        return refuse(Reason::WrongMac, until);
    }
    if subscriber.bound(package, live, policy) == Bound::Full {
        return refuse(Reason::WrongMac, until);
    }
    let bytes_left = package
        .data_limit
        .map(|limit| limit.saturating_sub(live.bytes_used));
    if bytes_left == Some(0) && !package.data_is_free(policy, now) {
        return refuse(Reason::QuotaUsedUp, until);
    }
    let secs_left = package
        .time_limit_secs
        .map(|limit| limit.saturating_sub(live.secs_used));
    if secs_left == Some(0) {
        return refuse(Reason::TimeUsedUp, until);
    }
    if live.other_devices >= subscriber.devices.unwrap_or(package.devices).max(1) {
        return refuse(Reason::TooManyDevices, until);
    }

    let boost = subscriber.boost(now);
    let end = secs_left.map_or(end, |secs| {
        end.min(now.plus(std::time::Duration::from_secs(secs)))
    });
    let changes = [Some(end), boost.and_then(|boost| boost.until), edge];
    Verdict {
        answer: Answer::Accept,
        reason: Reason::Entitled,
        rate: Some(package.rate_at(boost, live.bytes_used, policy, now)),
        bytes_left,
        secs_left,
        total_limit: bytes_left.filter(|_| !package.has_free_hours()),
        next_change: changes.into_iter().flatten().min(),
        end: Some(end),
    }
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
    /// Seconds online left in the period; `None` = unlimited.
    pub secs_left: Option<u64>,
    /// Bytes after which a router may end a session by itself; `None` also where it would count bytes
    /// that are free.
    pub total_limit: Option<u64>,
    /// When to ask again: a session's only timer. Refused: when the answer may be another without
    /// anybody's doing.
    pub next_change: Option<Timestamp>,
    /// When service ends if nothing is paid and the session goes on.
    pub end: Option<Timestamp>,
}

impl Verdict {
    fn refuse(reason: Reason, until: Option<Timestamp>, policy: &SitePolicy) -> Verdict {
        let answer = match policy.refusal {
            Refusal::WalledGarden if policy.garden_for.contains(reason) => Answer::WalledGarden,
            Refusal::WalledGarden | Refusal::Reject => Answer::Reject,
        };
        Verdict {
            answer,
            reason,
            rate: None,
            bytes_left: None,
            secs_left: None,
            total_limit: None,
            next_change: until,
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

#[cfg(test)]
mod tests;
