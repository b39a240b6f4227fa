//! Which devices first logins bound subscribers to.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use easyisp_shared::entitlement::{Bound, Live};
use easyisp_shared::id::CustomerId;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;

use super::{Site, Subscriber};

/// A device becomes one of those that a customer is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The customer.
    pub customer: CustomerId,
    /// The device.
    pub mac: Mac,
    /// The one that leaves for it.
    pub instead_of: Option<Mac>,
    /// When.
    pub at: Timestamp,
}

/// Bound devices by customer, oldest first; who is bound to none has no entry.
#[derive(Default)]
pub(super) struct Binds(RwLock<HashMap<CustomerId, Vec<Mac>>>);

impl Site {
    /// Whether first logins bind a subscriber.
    pub fn binds(&self, subscriber: &Subscriber) -> bool {
        let of_site = self.policy().entitlement.bind.macs;
        let package = subscriber.package.and_then(|id| self.package(id));
        let of_package = package.and_then(|package| package.bind_macs);
        subscriber.entitlement.macs.is_empty() && of_package.unwrap_or(of_site) > 0
    }

    /// The devices that a customer is bound to, oldest first.
    pub fn bound(&self, customer: CustomerId) -> Vec<Mac> {
        let binds = self.binds.0.read().unwrap_or_else(PoisonError::into_inner);
        binds.get(&customer).cloned().unwrap_or_default()
    }

    /// Takes a place for a device that is to be bound before it is let in: of two that come at once for the
    /// last place one gets it. `None` where the device needs no place, or there is none.
    pub fn take_place(&self, subscriber: &Subscriber, mac: Mac, now: Timestamp) -> Option<Bind> {
        let package = self.package(subscriber.package?)?.entitlement();
        let policy = self.policy();
        let known = &subscriber.entitlement;
        let mut binds = self.binds.0.write().unwrap_or_else(PoisonError::into_inner);
        let live = Live {
            mac: Some(mac),
            bound: binds.get(&subscriber.id).cloned().unwrap_or_default(),
            ..Live::default()
        };
        match known.bound(&package, &live, &policy.entitlement) {
            Bound::Next { instead_of } => {
                let bound = binds.entry(subscriber.id).or_default();
                bound.retain(|held| Some(*held) != instead_of);
                bound.push(mac);
                Some(Bind {
                    customer: subscriber.id,
                    mac,
                    instead_of,
                    at: now,
                })
            }
            Bound::Free | Bound::His | Bound::Full => None,
        }
    }

    /// Gives a place back that was taken and could not be written down.
    pub fn give_place_back(&self, bind: &Bind) {
        let mut binds = self.binds.0.write().unwrap_or_else(PoisonError::into_inner);
        let bound = binds.entry(bind.customer).or_default();
        bound.retain(|held| *held != bind.mac);
        if let Some(oldest) = bind.instead_of {
            bound.insert(0, oldest);
        }
    }

    /// Takes a place again that was written down before a restart, unless the cloud freed it since.
    pub fn recall_bind(&self, bind: &Bind) {
        if let Some(subscriber) = self.customer(bind.customer)
            && subscriber.unbound_at.is_none_or(|freed| freed < bind.at)
        {
            let _held_already = self.take_place(&subscriber, bind.mac, bind.at);
        }
    }

    /// What the cloud says a customer is bound to takes the place of what was known.
    pub(super) fn file_binds(&self, customer: CustomerId, macs: Vec<Mac>) {
        let mut binds = self.binds.0.write().unwrap_or_else(PoisonError::into_inner);
        match macs.is_empty() {
            true => binds.remove(&customer),
            false => binds.insert(customer, macs),
        };
    }
}
