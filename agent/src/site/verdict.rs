//! The one decision: may this subscriber be online?

use easyisp_shared::entitlement::{self, Live, Verdict};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{Connection, PackageV1};

use super::{Site, Subscriber};

impl Site {
    /// May this subscriber be online now?
    ///
    /// When the lease from the cloud has run out, only what was paid counts: no grace, nothing funded
    /// ahead (G6). A voucher gives its face value and no grace either (V5).
    pub fn verdict(&self, subscriber: &Subscriber, live: &Live, now: Timestamp) -> Verdict {
        let policy = self.policy();
        let package = subscriber.package.and_then(|id| self.packages.find(id));
        let mut package = package.as_deref().map(PackageV1::entitlement);
        let face = self.face(subscriber);
        if let (Some(bytes), Some(package)) = (face, &mut package) {
            package.data_limit = bytes;
        }
        let binds = package
            .as_ref()
            .is_some_and(|package| package.bind_macs.unwrap_or(policy.entitlement.bind.macs) > 0);
        let with_bound = binds.then(|| Live {
            bound: self.bound(subscriber.id),
            ..live.clone()
        });
        let live = with_bound.as_ref().unwrap_or(live);
        let unlocked = self.unlocked_until(subscriber.id);
        let unlocked = unlocked.filter(|until| *until > now).map(|until| {
            let known = &subscriber.entitlement;
            entitlement::Subscriber {
                paid_until: known.paid_until.max(until),
                funded_until: known.funded_until.max(until),
                ..known.clone()
            }
        });
        let known = unlocked.as_ref().unwrap_or(&subscriber.entitlement);
        if !policy.lease_is_over(now) && face.is_none() {
            let verdict =
                entitlement::decide(known, package.as_ref(), live, &policy.entitlement, now);
            // The end of the lease may be the end of grace.
            let lease = policy.row.as_ref().and_then(|row| row.lease_until);
            return Verdict {
                next_change: [verdict.next_change, lease].into_iter().flatten().min(),
                ..verdict
            };
        }
        let paid_only = entitlement::Subscriber {
            funded_until: known.paid_until,
            ..known.clone()
        };
        if let Some(package) = &mut package {
            package.grace = None;
        }
        let strict = entitlement::SitePolicy {
            grace: std::time::Duration::ZERO,
            ..policy.entitlement.clone()
        };
        entitlement::decide(&paid_only, package.as_ref(), live, &strict, now)
    }

    /// When the service of somebody whose package is not known ends, as far as anybody said: what he was given may be
    /// of the period before. The package's own grace is not known; the site's is.
    pub fn stated_end(&self, subscriber: &Subscriber, given: Timestamp) -> Timestamp {
        let known = &subscriber.entitlement;
        let paid = known.paid_until.max(known.funded_until);
        let renewed = (given < paid).then(|| paid.plus(self.policy().entitlement.grace));
        let unlocked = self.unlocked_until(subscriber.id);
        renewed
            .into_iter()
            .chain(unlocked)
            .fold(given, Timestamp::max)
    }

    /// How many bytes of the present period a subscriber may use; `None` = unlimited.
    pub fn data_limit(&self, subscriber: &Subscriber) -> Option<u64> {
        match self.face(subscriber) {
            Some(bytes) => bytes,
            None => self.package(subscriber.package?)?.data_limit,
        }
    }

    /// A voucher's face value in data, for somebody who has nothing else. Only hotspots have vouchers.
    fn face(&self, subscriber: &Subscriber) -> Option<Option<u64>> {
        match subscriber.connection {
            Connection::Hotspot => self.vouchers.face(subscriber),
            Connection::Pppoe | Connection::Dhcp | Connection::Static => None,
        }
    }
}
