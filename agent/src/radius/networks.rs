//! Networks in an Access-Accept: routes behind a line, IPv6 prefixes and the pools they come from.

use std::net::IpAddr;

use easyisp_shared::wire::down::Network;

use super::builder::{Builder, DoesNotFit};
use super::dictionary::{attribute, mikrotik};

/// What a line gets besides its IPv4 address. RouterOS takes it for PPP; a hotspot is IPv4 only.
#[derive(Debug, Clone, Copy, Default)]
pub struct Networks<'a> {
    /// Framed-Route: IPv4 networks behind the line.
    pub routes: &'a [Network],
    /// Framed-IPv6-Prefix: the line's own; wins over the pool.
    pub ipv6_prefix: Option<Network>,
    /// Delegated-IPv6-Prefix: for the subscriber's router; wins over the pool.
    pub delegated_prefix: Option<Network>,
    /// Framed-IPv6-Pool: a pool that exists on the router.
    pub ipv6_pool: Option<&'a str>,
    /// Mikrotik-Delegated-IPv6-Pool: a pool that exists on the router.
    pub delegated_pool: Option<&'a str>,
}

impl Networks<'_> {
    pub(super) fn push(&self, reply: &mut Builder) -> Result<(), DoesNotFit> {
        for route in self.routes.iter().filter(|route| route.address.is_ipv4()) {
            reply.push(attribute::FRAMED_ROUTE, route_text(route).as_bytes())?;
        }
        match (self.ipv6_prefix.and_then(prefix), self.ipv6_pool) {
            (Some(prefix), _) => reply.push(attribute::FRAMED_IPV6_PREFIX, &prefix)?,
            (None, Some(pool)) => reply.push(attribute::FRAMED_IPV6_POOL, pool.as_bytes())?,
            (None, None) => {}
        }
        match (self.delegated_prefix.and_then(prefix), self.delegated_pool) {
            (Some(prefix), _) => reply.push(attribute::DELEGATED_IPV6_PREFIX, &prefix),
            (None, Some(pool)) => {
                let (vendor, kind) = (mikrotik::VENDOR, mikrotik::DELEGATED_IPV6_POOL);
                reply.push_vendor(vendor, kind, pool.as_bytes())
            }
            (None, None) => Ok(()),
        }
    }
}

/// `network gateway metric` (RFC 2865 §5.22): the gateway 0.0.0.0 is the line itself.
fn route_text(route: &Network) -> String {
    format!("{}/{} 0.0.0.0 1", route.address, route.prefix)
}

/// A reserved octet, the length in bits, and as many octets as the bits need (RFC 3162 §2.3, RFC 4818 §3).
fn prefix(network: Network) -> Option<Vec<u8>> {
    let IpAddr::V6(address) = network.address else {
        return None;
    };
    let octets = usize::from(network.prefix).div_ceil(8);
    let address = address.octets();
    let mut value = vec![0, network.prefix];
    value.extend(address.get(..octets)?);
    Some(value)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn network(text: &str) -> Network {
        text.parse::<ipnet::IpNet>().unwrap().into()
    }

    #[test]
    fn a_prefix_is_as_short_as_its_bits() {
        let delegated = prefix(network("2001:db8:900::/56")).unwrap();
        assert_eq!(delegated, [0, 56, 0x20, 1, 0x0d, 0xb8, 9, 0, 0]);
        assert_eq!(prefix(network("10.0.0.0/8")), None);
        assert_eq!(route_text(&network("10.9.0.0/24")), "10.9.0.0/24 0.0.0.0 1");
    }
}
