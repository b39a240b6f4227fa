//! Whose a hotspot device is: locked to it, or seen with it.

use std::collections::HashMap;

use easyisp_shared::id::CustomerId;
use easyisp_shared::net::Mac;

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
