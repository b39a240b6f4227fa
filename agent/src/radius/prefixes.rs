//! What a report says of IPv6: the prefixes of a line and its addresses.
//!
//! A router tells them when it has them, which may be long after the start: RouterOS with its next interim.

use std::net::Ipv6Addr;

use easyisp_shared::ipv6::{Prefixes, alone};
use ipnet::Ipv6Net;

use super::dictionary::attribute;
use super::packet::Attribute;

/// A report's prefixes as they come by.
#[derive(Default)]
pub(super) struct Told {
    prefixes: Prefixes,
    /// Framed-IPv6-Prefix, the first of 64 bits: with the other half it is an address.
    framed: Option<Ipv6Addr>,
    /// Framed-Interface-Id: the other half.
    interface: Option<u64>,
}

impl Told {
    pub(super) fn take(&mut self, attribute: Attribute<'_>) {
        match attribute.kind {
            attribute::FRAMED_IPV6_PREFIX => {
                let Some(prefix) = prefix(attribute.value) else {
                    return;
                };
                if prefix.prefix_len() == 64 {
                    self.framed.get_or_insert(prefix.addr());
                }
                self.prefixes.take(prefix);
            }
            attribute::DELEGATED_IPV6_PREFIX => {
                if let Some(prefix) = prefix(attribute.value) {
                    self.prefixes.take(prefix);
                }
            }
            attribute::FRAMED_IPV6_ADDRESS => {
                if let Ok(octets) = <[u8; 16]>::try_from(attribute.value) {
                    self.prefixes.take(alone(octets.into()));
                }
            }
            attribute::FRAMED_INTERFACE_ID => {
                let id = <[u8; 8]>::try_from(attribute.value).map(u64::from_be_bytes);
                self.interface = self.interface.or(id.ok());
            }
            _ => {}
        }
    }

    /// All of it. An interface alone says nothing: every line may have it.
    pub(super) fn prefixes(mut self) -> Prefixes {
        if let (Some(prefix), Some(id)) = (self.framed, self.interface) {
            let address = prefix.to_bits() | u128::from(id);
            self.prefixes.take(alone(address.into()));
        }
        self.prefixes
    }
}

/// A reserved octet, the length in bits, and the octets that the bits need or more (RFC 3162 §2.3, RFC 4818 §3).
///
/// Reads untrusted bytes. Bits after the length are not looked at; one with fewer octets than its length needs is as
/// good as absent: who had an address is no matter for a guess.
fn prefix(value: &[u8]) -> Option<Ipv6Net> {
    let [_, length, octets @ ..] = value else {
        return None;
    };
    if octets.len() < usize::from(*length).div_ceil(8) {
        return None;
    }
    let mut address = [0; 16];
    address.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(Ipv6Net::new(address.into(), *length).ok()?.trunc())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn told(attributes: &[(u8, &[u8])]) -> Vec<String> {
        let mut told = Told::default();
        for (kind, value) in attributes {
            let kind = *kind;
            told.take(Attribute { kind, value });
        }
        told.prefixes().texts()
    }

    #[test]
    fn prefixes_and_addresses_are_read_together() {
        let framed = [0, 64, 0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0];
        let delegated = [0, 56, 0x20, 1, 0x0d, 0xb8, 9, 0, 0];
        let mut padded = [0; 18];
        padded[1] = 60;
        padded[2..9].copy_from_slice(&[0x20, 1, 0x0d, 0xb8, 8, 0, 0]);
        padded[17] = 7; // beyond the length
        let address: Ipv6Addr = "2001:db8:ffff::5".parse().unwrap();
        let found = told(&[
            (96, &[0, 0, 0, 0, 0, 0, 0, 0x2a]),
            (97, &framed),
            (123, &delegated),
            (123, &padded),
            (168, &address.octets()),
            (97, &framed),
        ]);
        let wanted = [
            "2001:db8:1::/64",
            "2001:db8:1::2a/128",
            "2001:db8:800::/60",
            "2001:db8:900::/56",
            "2001:db8:ffff::5/128",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_is_of_the_wrong_size_or_no_lines_is_absent() {
        let short = [0, 64, 0x20, 1, 0x0d, 0xb8, 0];
        let mut long = [0; 19];
        long[1] = 64;
        let wrong: [(u8, &[u8]); 12] = [
            (97, &[]),
            (97, &[0]),
            (97, &[0, 0]),
            (97, &[0, 129]),
            (97, &[0, 3, 0x20]),
            (97, &short),
            (123, &long),
            (123, &[0, 64, 0xfe, 0x80, 0, 0, 0, 0, 0, 0]),
            (168, &[0x20, 1]),
            (168, &[0; 16]),
            (168, &[0; 17]),
            (96, &[1, 2, 3]),
        ];
        assert_eq!(told(&wrong), Vec::<String>::new());
        assert_eq!(
            told(&[(96, &[0, 0, 0, 0, 0, 0, 0, 1])]),
            Vec::<String>::new(),
            "an interface alone"
        );
    }

    proptest! {
        /// Whatever comes is read without a panic, and no more than a few prefixes are kept of it.
        #[test]
        fn hostile_octets_leave_few_prefixes(
            attributes in prop::collection::vec(
                (prop::sample::select(vec![96u8, 97, 123, 168]), prop::collection::vec(any::<u8>(), 0..24)),
                0..40,
            )
        ) {
            let all: Vec<(u8, &[u8])> = attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
            prop_assert!(told(&all).len() <= Prefixes::MOST);
        }

        /// What is said is read, in as few octets as it takes or padded.
        #[test]
        fn every_prefix_of_a_line_is_read_as_it_was_said(bits in any::<u128>(), length in 32u8..=128, padded in any::<bool>()) {
            let net = Ipv6Net::new(Ipv6Addr::from(bits), length).unwrap().trunc();
            prop_assume!(easyisp_shared::ipv6::of_a_line(net).is_some());
            let octets = net.addr().octets();
            let needed = match padded {
                true => 16,
                false => usize::from(length).div_ceil(8),
            };
            let mut value = vec![0, length];
            value.extend(&octets[..needed]);
            prop_assert_eq!(told(&[(123, &value)]), [net.to_string()]);
        }
    }
}
