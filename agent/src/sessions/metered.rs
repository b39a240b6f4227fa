//! Whose usage is counted, from when, and what of it is free.

use std::sync::Arc;

use easyisp_shared::entitlement::schedule;
use easyisp_shared::id::CustomerId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{PackageV1, UsedV1};

use crate::site::{Policy, Site, Subscriber};

/// Whose usage is counted, and since when.
#[derive(Clone, Debug)]
pub struct Metered {
    /// The customer.
    pub customer: CustomerId,
    /// The present period.
    pub period_start: Timestamp,
    /// What the cloud last knew of this period, of all sites.
    pub told: UsedV1,
    /// Whether another agent of the site may have counted, and told the cloud.
    pub beside: bool,
    /// The package and the policy that knows the zone of its hours, where some of them are free.
    pub free_hours: Option<(Arc<PackageV1>, Arc<Policy>)>,
}

impl Metered {
    /// What must be counted of a subscriber; `None` when nothing depends on his usage.
    ///
    /// The period that the wallet has paid in advance begins at the end of the one before, whether or
    /// not the cloud could say so yet.
    pub fn of(site: &Site, subscriber: &Subscriber, now: Timestamp) -> Option<Metered> {
        let package = site.package(subscriber.package?)?;
        if !package.is_metered() && site.data_limit(subscriber).is_none() {
            return None;
        }
        let known = &subscriber.entitlement;
        let funded = known.paid_until <= now && known.paid_until < known.funded_until;
        let (period_start, told) = match funded {
            true => (known.paid_until, UsedV1::default()),
            false => (subscriber.period_start, subscriber.used),
        };
        let free_hours = package
            .has_free_hours()
            .then(|| (package.clone(), site.policy()));
        Some(Metered {
            customer: subscriber.id,
            period_start,
            told,
            beside: site
                .policy()
                .row
                .as_ref()
                .is_some_and(|row| row.agents.len() > 1),
            free_hours,
        })
    }

    /// How many of `bytes`, used between two instants, do not count.
    pub(super) fn free_bytes(&self, from: Timestamp, until: Timestamp, bytes: u64) -> u64 {
        self.free_hours.as_ref().map_or(0, |(package, policy)| {
            let zone = &policy.entitlement.zone;
            schedule::free_bytes(&package.schedule, zone, from, until, bytes)
        })
    }
}
