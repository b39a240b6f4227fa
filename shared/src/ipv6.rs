//! What a line has of IPv6: prefixes, and single addresses as prefixes of 128 bits.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

/// The prefixes of one line, at most [`Prefixes::MOST`], each once and none that a line cannot have.
///
/// In the order of the addresses, whatever the order they were told in: the same prefixes are equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Ipv6Net>", into = "Vec<Ipv6Net>")]
pub struct Prefixes(Vec<Ipv6Net>);

impl Prefixes {
    /// The line's own, what is delegated to the subscriber's router, an address, and as much again.
    pub const MOST: usize = 6;

    /// Takes a prefix by its first address, as long as there is room. What no line has is left out: see [`of_a_line`].
    pub fn take(&mut self, prefix: Ipv6Net) {
        let Some(prefix) = of_a_line(prefix) else {
            return;
        };
        if let (Err(place), true) = (self.0.binary_search(&prefix), self.0.len() < Self::MOST) {
            self.0.insert(place, prefix);
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Ipv6Net> + '_ {
        self.0.iter().copied()
    }

    /// Whether this is one of them.
    pub fn contains(&self, prefix: Ipv6Net) -> bool {
        self.0.binary_search(&prefix).is_ok()
    }

    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their texts.
    pub fn texts(&self) -> Vec<String> {
        self.iter().map(text).collect()
    }
}

impl FromIterator<Ipv6Net> for Prefixes {
    fn from_iter<I: IntoIterator<Item = Ipv6Net>>(told: I) -> Prefixes {
        let mut prefixes = Prefixes::default();
        told.into_iter().for_each(|prefix| prefixes.take(prefix));
        prefixes
    }
}

impl From<Vec<Ipv6Net>> for Prefixes {
    fn from(told: Vec<Ipv6Net>) -> Prefixes {
        told.into_iter().collect()
    }
}

impl From<Prefixes> for Vec<Ipv6Net> {
    fn from(prefixes: Prefixes) -> Vec<Ipv6Net> {
        prefixes.0
    }
}

/// The same by its first address; `None` where it is none that tells lines apart: longer than what a provider himself
/// gets (/32), or not to be routed at all.
pub fn of_a_line(prefix: Ipv6Net) -> Option<Ipv6Net> {
    let prefix = prefix.trunc();
    let first = prefix.addr();
    let everybodys = first.is_unspecified()
        || first.is_loopback()
        || first.is_multicast()
        || first.is_unicast_link_local();
    (prefix.prefix_len() >= SHORTEST && !everybodys).then_some(prefix)
}

/// What a line's own prefix may be: the shortest that a registry gives to a provider.
pub const SHORTEST: u8 = 32;

/// Every prefix that a line may have and this address, or all of this prefix, is in; itself is the last.
pub fn around(prefix: Ipv6Net) -> impl Iterator<Item = Ipv6Net> {
    let lengths = SHORTEST..=prefix.prefix_len();
    lengths.filter_map(move |length| Some(Ipv6Net::new(prefix.addr(), length).ok()?.trunc()))
}

/// The text that it is stored and searched under: an address has its length too.
pub fn text(prefix: Ipv6Net) -> String {
    prefix.to_string()
}

/// An address alone, as a prefix.
pub fn alone(address: Ipv6Addr) -> Ipv6Net {
    Ipv6Net::from(address)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Ipv6Net {
        text.parse().unwrap()
    }

    #[test]
    fn what_no_line_has_is_left_out() {
        for none in [
            "::/0",
            "2000::/3",
            "2001::/31",
            "::1/128",
            "fe80::1/128",
            "fe80::/64",
            "ff02::/64",
        ] {
            assert_eq!(of_a_line(net(none)), None, "{none}");
        }
        assert_eq!(
            of_a_line(net("2001:db8:0:1ff::9/56")),
            Some(net("2001:db8:0:100::/56"))
        );
        assert_eq!(of_a_line(net("fd00::5/128")), Some(net("fd00::5/128")));
    }

    #[test]
    fn an_address_is_in_each_prefix_around_it() {
        let address = alone("2001:db8:1:2::5".parse().unwrap());
        let around: Vec<Ipv6Net> = around(address).collect();
        assert_eq!(around.len(), 97);
        assert!(around.contains(&net("2001:db8:1::/56")) && around.contains(&address));
        assert!(around.iter().all(|net| net.contains(&address)));
    }

    proptest! {
        /// What another program says: few, each once, by first addresses, the same in every order, and the same
        /// after a trip.
        #[test]
        fn told_prefixes_are_few_and_equal_in_every_order(told in prop::collection::vec(any::<(u128, u8)>(), 0..12)) {
            let nets = || told.iter().filter_map(|(bits, length)| {
                Ipv6Net::new(Ipv6Addr::from(*bits), length % 129).ok()
            });
            let prefixes: Prefixes = nets().collect();
            let held: Vec<Ipv6Net> = prefixes.iter().collect();
            prop_assert!(held.len() <= Prefixes::MOST && held.is_sorted());
            prop_assert!(held.iter().all(|net| of_a_line(*net) == Some(*net) && prefixes.contains(*net)));
            if nets().filter_map(of_a_line).count() <= Prefixes::MOST {
                let mut backwards: Vec<Ipv6Net> = nets().collect();
                backwards.reverse();
                prop_assert_eq!(&Prefixes::from(backwards), &prefixes);
            }
            let bytes = postcard::to_stdvec(&prefixes).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Prefixes>(&bytes).unwrap(), prefixes);
        }
    }
}
