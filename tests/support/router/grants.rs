//! What an Accept or a CoA tells the router about a session. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use easyisp_agent::radius::Packet;
use easyisp_agent::radius::dictionary::{attribute, mikrotik};
use ipnet::Ipv6Net;

/// What the router was told about a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the attributes")]
pub struct Grants {
    pub rate_limit: Option<String>,
    pub session_timeout: Option<u32>,
    pub idle_timeout: Option<u32>,
    pub interim: Option<u32>,
    pub address: Option<Ipv4Addr>,
    pub pool: Option<String>,
    pub group: Option<String>,
    pub address_list: Option<String>,
    pub port_limit: Option<u32>,
    /// Each Class attribute, in order.
    pub class: Vec<Vec<u8>>,
    /// Bytes from the client.
    pub recv_limit: Option<u64>,
    /// Bytes to the client.
    pub xmit_limit: Option<u64>,
    /// Bytes both ways.
    pub total_limit: Option<u64>,
    /// Each Framed-Route, in order: networks behind the line.
    pub routes: Vec<String>,
    pub ipv6_prefix: Option<Ipv6Net>,
    pub delegated_ipv6_prefix: Option<Ipv6Net>,
    pub ipv6_pool: Option<String>,
    pub delegated_ipv6_pool: Option<String>,
}

impl Grants {
    /// Reads an Accept, or what a CoA changes.
    pub(super) fn read(packet: &Packet<'_>) -> Grants {
        let number = |kind| {
            let mut found = packet
                .attributes()
                .filter(move |attribute| attribute.kind == kind);
            found.find_map(|attribute| attribute.number())
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let vendor = |kind| packet.first_vendor(mikrotik::VENDOR, kind);
        let vendor_number = |kind| {
            let octets = vendor(kind)?.try_into().ok()?;
            Some(u64::from(u32::from_be_bytes(octets)))
        };
        let limit = |low, high| {
            let low: u64 = vendor_number(low)?;
            Some(low | vendor_number(high).unwrap_or(0) << 32)
        };
        Grants {
            rate_limit: vendor(mikrotik::RATE_LIMIT).map(text),
            session_timeout: number(attribute::SESSION_TIMEOUT),
            idle_timeout: number(attribute::IDLE_TIMEOUT),
            interim: number(attribute::ACCT_INTERIM_INTERVAL),
            address: number(attribute::FRAMED_IP_ADDRESS).map(Ipv4Addr::from),
            pool: packet.first(attribute::FRAMED_POOL).map(text),
            group: vendor(mikrotik::GROUP).map(text),
            address_list: vendor(mikrotik::ADDRESS_LIST).map(text),
            port_limit: number(attribute::PORT_LIMIT),
            class: packet
                .attributes()
                .filter(|attribute| attribute.kind == attribute::CLASS)
                .map(|attribute| attribute.value.to_vec())
                .collect(),
            recv_limit: limit(mikrotik::RECV_LIMIT, mikrotik::RECV_LIMIT_GIGAWORDS),
            xmit_limit: limit(mikrotik::XMIT_LIMIT, mikrotik::XMIT_LIMIT_GIGAWORDS),
            total_limit: limit(mikrotik::TOTAL_LIMIT, mikrotik::TOTAL_LIMIT_GIGAWORDS),
            routes: packet
                .attributes()
                .filter(|attribute| attribute.kind == FRAMED_ROUTE)
                .map(|attribute| text(attribute.value))
                .collect(),
            ipv6_prefix: packet.first(FRAMED_IPV6_PREFIX).and_then(prefix),
            delegated_ipv6_prefix: packet.first(DELEGATED_IPV6_PREFIX).and_then(prefix),
            ipv6_pool: packet.first(FRAMED_IPV6_POOL).map(text),
            delegated_ipv6_pool: vendor(MIKROTIK_DELEGATED_IPV6_POOL).map(text),
        }
    }

    /// A real address; one in 127/8 or 224/3 stands for "from your pool".
    pub(super) fn fixed_address(&self) -> Option<Ipv4Addr> {
        self.address
            .filter(|address| !address.is_loopback() && address.octets()[0] < 224)
    }
}

/// A reserved octet, the length in bits, and the octets that they need (RFC 3162 §2.3, RFC 4818 §3).
fn prefix(value: &[u8]) -> Option<Ipv6Net> {
    let [_, length, given @ ..] = value else {
        return None;
    };
    let mut octets = [0; 16];
    octets.get_mut(..given.len())?.copy_from_slice(given);
    Ipv6Net::new(Ipv6Addr::from(octets), *length).ok()
}

// The numbers as their documents give them, not as the agent has them.
const FRAMED_ROUTE: u8 = 22;
const FRAMED_IPV6_PREFIX: u8 = 97;
const FRAMED_IPV6_POOL: u8 = 100;
const DELEGATED_IPV6_PREFIX: u8 = 123;
const MIKROTIK_DELEGATED_IPV6_POOL: u8 = 22;
