//! What a line is to be where the router's DHCP servers ask for leases: RADIUS gives it, and it is compared here.

use easyisp_shared::entitlement::{Answer, Verdict};
use easyisp_shared::net::Mac;
use easyisp_shared::setup::ALLOWED;
use easyisp_shared::wire::down::PolicyV1;
use easyisp_shared::wire::line::{LinePlace, LineShapeV1, LineState};

use super::rules::{Known, Line, NO_DEVICE, Trouble};
use crate::routeros::LeaseRow;
use crate::site::Subscriber;

/// What RADIUS is to give with a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// To whom.
    pub device: Mac,
    /// Up and down, bits a second, and the list; none for who gets no lease.
    pub grant: Option<((u64, u64), String)>,
    /// Whether another speed was waited for long enough.
    pub impatient: bool,
}

impl Given {
    /// Whether a lease is not what it is to be. What the router does not say of it counts for nothing.
    pub(super) fn is_wrong(&self, row: &LeaseRow) -> bool {
        match &self.grant {
            None => true,
            Some((_, list)) if !row.lists.is_empty() && !row.lists.contains(list) => true,
            Some(_) => self.impatient && self.is_slow(row),
        }
    }

    /// Whether it has another speed, which the device's next request mends.
    pub(super) fn is_slow(&self, row: &LeaseRow) -> bool {
        let wanted = self.grant.as_ref().map(|(rate, _)| *rate);
        row.rate.is_some() && row.rate != wanted
    }
}

impl Line {
    /// The same where the router's DHCP servers ask for leases; `held` is what it had of him.
    pub fn by_radius(
        subscriber: &Subscriber,
        verdict: &Verdict,
        policy: &PolicyV1,
        known: Known<'_>,
        held: Option<LineShapeV1>,
    ) -> Result<Line, Trouble> {
        let device = subscriber.entitlement.macs.first().copied();
        let device = device.ok_or((LineState::Refused, NO_DEVICE.to_owned()))?;
        let row = lent(known.leases, device);
        let (place, rate, list) = match verdict.answer {
            Answer::Accept => (LinePlace::Open, verdict.rate, Some(ALLOWED)),
            Answer::WalledGarden => {
                let list = policy.garden_list.as_str();
                (LinePlace::Garden, Some(policy.garden_rate), Some(list))
            }
            Answer::Reject => (LinePlace::Blocked, None, None),
        };
        let bits = |kbps: u32| u64::from(kbps) * 1000;
        let pair = rate.map_or((0, 0), |rate| (bits(rate.up_kbps), bits(rate.down_kbps)));
        let given = Given {
            device,
            grant: list.map(|list| (pair, list.to_owned())),
            impatient: false,
        };
        let waits = match (row, &given.grant) {
            (None, Some(_)) => Some("His device has not asked the router for an address yet."),
            (Some(row), Some(_)) if !given.is_wrong(row) && given.is_slow(row) => {
                Some("He has another speed until his device asks the router again, within minutes.")
            }
            (Some(_) | None, _) => None,
        };
        let held = held.map(|held| held.address);
        let address = row
            .and_then(|row| row.address)
            .or(subscriber.static_ip)
            .or(held);
        Ok(Line {
            customer: subscriber.id,
            queue: None,
            lists: Vec::new(),
            device: None,
            given: Some(given),
            shape: address.map(|address| LineShapeV1 {
                address,
                place,
                rate,
            }),
            waits,
        })
    }

    /// Whether his device has another speed than he is to have.
    pub fn is_slow(&self, leases: &[LeaseRow]) -> bool {
        let given = self.given.as_ref();
        given.is_some_and(|given| lent(leases, given.device).is_some_and(|row| given.is_slow(row)))
    }
}

/// The lease that a device has from a DHCP server, not by anybody's hand.
pub fn lent(leases: &[LeaseRow], device: Mac) -> Option<&LeaseRow> {
    let his = |row: &&LeaseRow| row.mac == Some(device) && row.dynamic && row.bound;
    leases.iter().find(his)
}
