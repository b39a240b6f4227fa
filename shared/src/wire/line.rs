//! Customers who log in nowhere (STATIC, DHCP): what their router has of them, and which address can be theirs.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::down::Network;
use crate::id::{CustomerId, RouterId};
use crate::net::RateLimit;
use crate::time::Timestamp;

/// What became of lines at one router. Only what is new is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinesV1 {
    /// The router.
    pub router: RouterId,
    /// When it was looked at, or could not be.
    pub at: Timestamp,
    /// At most 200.
    pub lines: Vec<LineV1>,
}

/// What became of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineV1 {
    /// Whose.
    pub customer: CustomerId,
    /// Whether the router has what he is to have.
    pub state: LineState,
    /// Why not; a sentence for a person, empty where it has.
    pub why: String,
    /// What the router has of him, as it was last read back.
    pub shape: Option<LineShapeV1>,
}

/// Whether a router has what a line is to have. New ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LineState {
    /// It has, read back.
    InForce,
    /// It cannot be asked now, or something is missing that comes by itself; tried again.
    Waiting,
    /// It cannot be so, or the router says no.
    Refused,
    /// Nothing is kept for him at this router any more.
    Gone,
}

/// What a router has of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineShapeV1 {
    /// His address.
    pub address: Ipv4Addr,
    /// How far it reaches.
    pub place: LinePlace,
    /// His speed there; `None` where he has none.
    pub rate: Option<RateLimit>,
}

/// How far a line reaches. New places go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LinePlace {
    /// The internet.
    Open,
    /// The pay page.
    Garden,
    /// Nowhere.
    Blocked,
}

/// A router's own addresses and its pools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPlanV1 {
    /// `/ip pool`: name, first and last address.
    pub pools: Vec<(String, Ipv4Addr, Ipv4Addr)>,
    /// `/ip address`: each with its network.
    pub own: Vec<Network>,
}

/// Whose address is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pools {
    /// Whoever leaves pools alone: a pool gives its addresses to others.
    Avoided,
    /// A device whose lease is made his: the router gives a pool's address to nobody else then.
    Shared,
}

impl AddressPlanV1 {
    /// Why an address cannot be a subscriber's beside this router; to be read after the field's name.
    pub fn objection(&self, address: Ipv4Addr, pools: Pools) -> Option<String> {
        for own in &self.own {
            let Some(ipnet::IpNet::V4(net)) = own.to_ipnet() else {
                continue;
            };
            if net.addr() == address {
                return Some(format!("is the router's own address {net}"));
            }
            let net: Ipv4Net = net.trunc();
            // A network of one or two addresses has neither (RFC 3021).
            if net.prefix_len() < 31 && net.network() == address {
                return Some(format!("is the network address of {net}"));
            }
            if net.prefix_len() < 31 && net.broadcast() == address {
                return Some(format!("is the broadcast address of {net}"));
            }
        }
        let holds = |(_, first, last): &&(String, Ipv4Addr, Ipv4Addr)| {
            pools == Pools::Avoided && *first <= address && address <= *last
        };
        let (name, first, last) = self.pools.iter().find(holds)?;
        Some(format!(
            "lies in the router's pool {name} ({first} to {last}), which may give it to somebody else"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn an_address_that_is_somebody_elses_is_refused() {
        let at = |last| Ipv4Addr::new(10, 0, 0, last);
        let own = Network {
            address: IpAddr::V4(at(1)),
            prefix: 24,
        };
        let plan = AddressPlanV1 {
            pools: vec![("homes".to_owned(), at(100), at(199))],
            own: vec![own],
        };
        let said = |last, pools| plan.objection(at(last), pools).unwrap_or_default();
        assert!(said(1, Pools::Avoided).contains("own address 10.0.0.1/24"));
        assert!(said(0, Pools::Avoided).contains("network address of 10.0.0.0/24"));
        assert!(said(255, Pools::Shared).contains("broadcast address"));
        assert!(said(100, Pools::Avoided).contains("pool homes"));
        assert!(said(199, Pools::Avoided).contains("pool homes"));
        assert_eq!(said(150, Pools::Shared), "");
        assert_eq!(said(99, Pools::Avoided), "");
    }
}
