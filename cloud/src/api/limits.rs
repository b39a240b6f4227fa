//! How many requests a second one user, one tenant and one address may make.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{OperatorId, TenantId};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use crate::config;
use crate::error::ApiError;

/// The counters of one node, in memory. Cloning shares them.
#[derive(Clone)]
pub struct Limits {
    inner: Arc<Inner>,
}

struct Inner {
    users: DefaultKeyedRateLimiter<OperatorId>,
    tenants: DefaultKeyedRateLimiter<TenantId>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
}

impl Limits {
    /// As configured.
    pub fn new(limits: &config::Limits) -> Limits {
        Limits {
            inner: Arc::new(Inner {
                users: limiter(limits.user_per_second, limits.user_burst),
                tenants: limiter(limits.tenant_per_second, limits.tenant_per_second),
                addresses: limiter(limits.address_per_second, limits.address_burst),
                clock: DefaultClock::default(),
            }),
        }
    }

    /// Counts a request of a signed-in user.
    pub fn user(&self, tenant: TenantId, operator: OperatorId) -> Result<(), ApiError> {
        self.check(&self.inner.users, operator)?;
        self.check(&self.inner.tenants, tenant)
    }

    /// Counts a request of nobody in particular.
    pub fn address(&self, address: IpAddr) -> Result<(), ApiError> {
        self.check(&self.inner.addresses, one_network(address))
    }

    /// Forgets who has been quiet: call it every minute, so that memory follows the callers of a minute.
    pub fn forget_quiet(&self) {
        self.inner.users.retain_recent();
        self.inner.tenants.retain_recent();
        self.inner.addresses.retain_recent();
    }

    fn check<K: Hash + Eq + Clone>(
        &self,
        limiter: &DefaultKeyedRateLimiter<K>,
        key: K,
    ) -> Result<(), ApiError> {
        limiter.check_key(&key).map_err(|refused| {
            let retry_after = refused.wait_time_from(self.inner.clock.now());
            ApiError::TooManyRequests { retry_after }
        })
    }
}

/// An IPv6 customer holds a /64 at least: all of it counts as one address.
pub fn one_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
    }
}

fn limiter<K: Hash + Eq + Clone>(
    per_second: NonZeroU32,
    burst: NonZeroU32,
) -> DefaultKeyedRateLimiter<K> {
    let each = Duration::from_secs(1) / per_second.get();
    let quota = Quota::with_period(each.max(Duration::from_nanos(1)))
        .expect("the period is not zero")
        .allow_burst(burst);
    DefaultKeyedRateLimiter::keyed(quota)
}
