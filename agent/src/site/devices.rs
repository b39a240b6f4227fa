//! Whose a device is: at a hotspot locked to it or seen with it, by DHCP registered with it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLockWriteGuard};

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::Connection;

use super::{Site, Subscriber};

impl Site {
    /// Who is known to use a device at a hotspot: locked to it, or seen with it.
    pub fn of_device(&self, device: Mac) -> Option<Arc<Subscriber>> {
        self.latest_of(device, |owner| owner.connection == Connection::Hotspot)
    }

    /// Whose lease a device's is at a router: his who gets one by DHCP and for whom it was registered.
    pub fn of_lease(&self, device: Mac, router: RouterId) -> Option<Arc<Subscriber>> {
        self.latest_of(device, |owner| {
            let here = owner.entitlement.router.is_none_or(|only| only == router);
            let his = owner.entitlement.macs.first() == Some(&device);
            owner.connection == Connection::Dhcp && his && here
        })
    }

    fn latest_of(
        &self,
        device: Mac,
        which: impl Fn(&Subscriber) -> bool,
    ) -> Option<Arc<Subscriber>> {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        let owners = devices.owners(device).iter();
        let owners = owners.filter_map(|owner| self.customer(*owner));
        // The latest who still has time, else the latest at all.
        owners.filter(|owner| which(owner)).max_by_key(|owner| {
            owner
                .entitlement
                .paid_until
                .max(owner.entitlement.funded_until)
        })
    }

    /// Files a customer under a device he was seen with. Of those that he is not locked to so many are kept as are
    /// remembered, the oldest forgotten first: a phone may show another address each time.
    pub fn remember_device(&self, customer: CustomerId, device: Mac) {
        let most = self.remembered_devices();
        let known = self.customer(customer);
        let locked = known.map_or(0, |known| known.entitlement.macs.len());
        let mut devices = self.devices_mut();
        devices.add(customer, device);
        devices.forget_beyond(customer, locked, most);
    }

    /// The same for a device that was on disk at the start, last met at `seen`, the oldest first: an operator may have
    /// freed him since.
    pub fn remember_device_again(&self, customer: CustomerId, device: Mac, seen: Timestamp) {
        let known = self.customer(customer);
        let freed = known.as_ref().and_then(|known| known.unbound_at);
        let most = self.remembered_devices();
        if most == 0 || freed.is_some_and(|freed| seen <= freed) {
            return;
        }
        let locked = known.map_or(0, |known| known.entitlement.macs.len());
        let mut devices = self.devices_mut();
        devices.meet(customer, locked, device);
        devices.forget_beyond(customer, locked, most);
    }

    /// Whether a customer's login from this device must be remembered first.
    pub fn is_new_device(&self, subscriber: &Subscriber, device: Mac) -> bool {
        if self.remembered_devices() == 0 || subscriber.connection != Connection::Hotspot {
            return false;
        }
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        !devices.owned(subscriber.id).contains(&device)
    }

    /// How many devices are remembered for a customer; none where nobody may log in by them.
    fn remembered_devices(&self) -> usize {
        let policy = self.policy();
        let row = policy.row.as_ref().filter(|row| row.mac_login);
        row.map_or(0, |row| usize::from(row.remembered_macs))
    }

    pub(super) fn file_devices(&self, subscriber: &Subscriber) {
        self.devices_mut()
            .replace(subscriber.id, subscriber.devices());
    }

    pub(super) fn devices_mut(&self) -> RwLockWriteGuard<'_, Devices> {
        self.devices.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Devices by address and by owner.
#[derive(Debug, Default)]
pub(super) struct Devices {
    owners: HashMap<Mac, Vec<CustomerId>>,
    owned: HashMap<CustomerId, Vec<Mac>>,
}

impl Devices {
    /// What the cloud says of a customer's devices takes the place of what was known.
    pub(super) fn replace(&mut self, owner: CustomerId, devices: impl Iterator<Item = Mac>) {
        for device in self.owned.remove(&owner).unwrap_or_default() {
            if let Some(owners) = self.owners.get_mut(&device) {
                owners.retain(|held| *held != owner);
                if owners.is_empty() {
                    self.owners.remove(&device);
                }
            }
        }
        for device in devices {
            self.add(owner, device);
        }
    }

    /// One more device of a customer.
    pub(super) fn add(&mut self, owner: CustomerId, device: Mac) {
        let owned = self.owned.entry(owner).or_default();
        if !owned.contains(&device) {
            owned.push(device);
            self.owners.entry(device).or_default().push(owner);
        }
    }

    /// A device that was met after all those which an owner has behind the first ones.
    fn meet(&mut self, owner: CustomerId, first: usize, device: Mac) {
        self.add(owner, device);
        let owned = self.owned.entry(owner).or_default();
        let held = owned.iter().position(|held| *held == device);
        if let Some(of_it) = held.filter(|held| *held >= first) {
            owned[of_it..].rotate_left(1);
        }
    }

    /// Forgets an owner's oldest devices behind the first ones, so that `most` are left there.
    fn forget_beyond(&mut self, owner: CustomerId, first: usize, most: usize) {
        let Some(owned) = self.owned.get_mut(&owner) else {
            return;
        };
        let first = first.min(owned.len());
        let surplus = owned.len().saturating_sub(first + most);
        let forgotten: Vec<Mac> = owned.drain(first..first + surplus).collect();
        for device in forgotten {
            if let Some(owners) = self.owners.get_mut(&device) {
                owners.retain(|held| *held != owner);
                if owners.is_empty() {
                    self.owners.remove(&device);
                }
            }
        }
    }

    /// Whose a device is; several customers may share one.
    pub(super) fn owners(&self, device: Mac) -> &[CustomerId] {
        self.owners.get(&device).map_or(&[], Vec::as_slice)
    }

    /// The devices of a customer.
    pub(super) fn owned(&self, owner: CustomerId) -> &[Mac] {
        self.owned.get(&owner).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// A phone that shows another address at each login fills no memory.
    #[test]
    fn of_the_devices_he_was_seen_with_the_latest_are_kept() {
        let one = CustomerId(Uuid::from_u128(1));
        let mac = |number: u8| Mac::new([number; 6]);
        let mut devices = Devices::default();
        devices.replace(one, [mac(200), mac(201)].into_iter());
        for number in 0..100 {
            devices.add(one, mac(number));
            devices.forget_beyond(one, 1, 3);
        }
        assert_eq!(devices.owned(one), [mac(200), mac(97), mac(98), mac(99)]);
        assert_eq!(devices.owners.len(), 4);
        devices.forget_beyond(one, 9, 0);
        assert_eq!(devices.owned(one).len(), 4);
    }

    /// The phone in use gets in after a restart, and not the first address that was ever seen.
    #[test]
    fn of_the_devices_on_disk_the_latest_are_kept() {
        let one = CustomerId(Uuid::from_u128(1));
        let mac = |number: u8| Mac::new([number; 6]);
        let mut devices = Devices::default();
        devices.replace(one, [mac(200), mac(7), mac(3)].into_iter());
        for seen in [1, 2, 200, 3, 4, 7] {
            devices.meet(one, 1, mac(seen));
            devices.forget_beyond(one, 1, 3);
        }
        assert_eq!(devices.owned(one), [mac(200), mac(3), mac(4), mac(7)]);
        assert_eq!(devices.owners.len(), 4);
    }

    #[test]
    fn what_the_cloud_says_replaces_and_takes_nothing_from_others() {
        let (one, two) = (
            CustomerId(Uuid::from_u128(1)),
            CustomerId(Uuid::from_u128(2)),
        );
        let (phone, tablet) = (Mac::new([1; 6]), Mac::new([2; 6]));
        let mut devices = Devices::default();
        devices.replace(one, [phone, tablet].into_iter());
        devices.add(two, phone);
        devices.add(two, phone);
        assert_eq!(devices.owners(phone), [one, two]);

        devices.replace(one, [tablet].into_iter());
        assert_eq!(devices.owners(phone), [two]);
        assert_eq!(devices.owned(one), [tablet]);
        devices.replace(two, std::iter::empty());
        assert_eq!(devices.owners(phone), []);
    }
}
