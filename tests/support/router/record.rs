//! What the router says of a subscriber: the attributes of accounting and login. Pure.

use std::net::Ipv4Addr;

use easyisp_agent::radius::dictionary::attribute;
use easyisp_shared::time::Timestamp;
use ipnet::Ipv6Net;

use super::session::{Cause, Service, Session};

/// Which accounting record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Acct-Status-Type 1.
    Start,
    /// 3.
    Interim,
    /// 2.
    Stop(Cause),
}

impl Session {
    /// The attributes of an accounting record, in RouterOS's order.
    pub(super) fn record(
        &self,
        record: Record,
        identity: &str,
        source: Ipv4Addr,
        now: Timestamp,
    ) -> Vec<(u8, Vec<u8>)> {
        let number = |value: u32| value.to_be_bytes().to_vec();
        let usage = self.usage(now);
        let mut attributes = vec![(
            attribute::ACCT_STATUS_TYPE,
            number(match record {
                Record::Start => 1,
                Record::Stop(_) => 2,
                Record::Interim => 3,
            }),
        )];
        if let Record::Stop(cause) = record {
            attributes.push((attribute::ACCT_TERMINATE_CAUSE, number(cause as u32)));
        }
        attributes.extend(describe(self.service, &self.mac, &self.user, self.nas_port));
        attributes.push((attribute::ACCT_SESSION_ID, self.id.clone().into_bytes()));
        attributes.push((attribute::FRAMED_IP_ADDRESS, self.address.octets().to_vec()));
        if self.service == Service::Pppoe {
            attributes.push((ACCT_AUTHENTIC, number(1)));
        }
        attributes.extend(
            self.grants
                .class
                .iter()
                .map(|class| (attribute::CLASS, class.clone())),
        );
        attributes.push((attribute::EVENT_TIMESTAMP, number(now.secs() as u32)));
        if record != Record::Start {
            // What it delegates and advertises it has once the line is up.
            let prefixes = [
                (FRAMED_IPV6_PREFIX, self.grants.ipv6_prefix),
                (DELEGATED_IPV6_PREFIX, self.grants.delegated_ipv6_prefix),
            ];
            let told = prefixes.into_iter();
            attributes.extend(told.filter_map(|(kind, net)| Some((kind, prefix(net?)))));
            let low = |bytes: u64| number(bytes as u32);
            let high = |bytes: u64| number((bytes >> 32) as u32);
            let packets = |bytes: u64| number(bytes.div_ceil(1000) as u32);
            attributes.extend([
                (attribute::ACCT_INPUT_OCTETS, low(usage.up)),
                (attribute::ACCT_OUTPUT_OCTETS, low(usage.down)),
                (attribute::ACCT_INPUT_GIGAWORDS, high(usage.up)),
                (attribute::ACCT_OUTPUT_GIGAWORDS, high(usage.down)),
                (attribute::ACCT_INPUT_PACKETS, packets(usage.up)),
                (attribute::ACCT_OUTPUT_PACKETS, packets(usage.down)),
                (
                    attribute::ACCT_SESSION_TIME,
                    number(now.since(self.started).as_secs() as u32),
                ),
            ]);
        }
        attributes.push((attribute::NAS_IDENTIFIER, identity.as_bytes().to_vec()));
        attributes.push((attribute::ACCT_DELAY_TIME, number(0)));
        attributes.push((attribute::NAS_IP_ADDRESS, source.octets().to_vec()));
        attributes
    }
}

/// What login and accounting both say of a subscriber, in RouterOS's order.
pub(super) fn describe(
    service: Service,
    mac: &str,
    user: &str,
    nas_port: u32,
) -> Vec<(u8, Vec<u8>)> {
    let number = |value: u32| value.to_be_bytes().to_vec();
    let text = |text: &str| text.as_bytes().to_vec();
    let (port_type, server, port) = match service {
        Service::Pppoe => (15, "service1", "ether2"),
        Service::Hotspot => (19, "hotspot1", "bridge-hotspot"),
    };
    let mut attributes = vec![
        (attribute::NAS_PORT_TYPE, number(port_type)),
        (attribute::CALLING_STATION_ID, text(mac)),
        (attribute::CALLED_STATION_ID, text(server)),
        (attribute::NAS_PORT_ID, text(port)),
        (attribute::USER_NAME, text(user)),
        (attribute::NAS_PORT, number(nas_port)),
    ];
    match service {
        Service::Pppoe => attributes.extend([
            (attribute::SERVICE_TYPE, number(2)),
            (attribute::FRAMED_PROTOCOL, number(1)),
        ]),
        Service::Hotspot => attributes.push((attribute::SERVICE_TYPE, number(1))),
    }
    attributes
}

/// A reserved octet, the length in bits, and the whole address.
fn prefix(net: Ipv6Net) -> Vec<u8> {
    let mut value = vec![0, net.prefix_len()];
    value.extend(net.addr().octets());
    value
}

// The numbers as their documents give them, not as the agent has them.
const FRAMED_IPV6_PREFIX: u8 = 97;
const DELEGATED_IPV6_PREFIX: u8 = 123;
/// RFC 2866 §5.6: 1 is RADIUS.
const ACCT_AUTHENTIC: u8 = 45;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::grants::Grants;
    use super::super::session::Usage;
    use super::*;

    #[test]
    fn seventeen_terabytes_are_counted_in_gigawords() {
        let mut session = a_session();
        session.add(
            Usage {
                up: (4 << 32) + 7,
                down: u64::from(u32::MAX),
            },
            at(1),
        );

        let record = session.record(Record::Interim, "r", Ipv4Addr::LOCALHOST, at(2));
        let value = |kind| {
            record
                .iter()
                .find(|(other, _)| *other == kind)
                .unwrap()
                .1
                .clone()
        };
        assert_eq!(value(attribute::ACCT_INPUT_OCTETS), 7_u32.to_be_bytes());
        assert_eq!(value(attribute::ACCT_INPUT_GIGAWORDS), 4_u32.to_be_bytes());
        assert_eq!(value(attribute::ACCT_OUTPUT_OCTETS), u32::MAX.to_be_bytes());
        assert_eq!(value(attribute::ACCT_OUTPUT_GIGAWORDS), 0_u32.to_be_bytes());
    }

    fn a_session() -> Session {
        let address = Ipv4Addr::new(10, 0, 0, 2);
        let (id, mac) = ("81100001".to_owned(), "AA:BB:CC:00:00:01");
        Session::new(
            id,
            "demo001",
            Service::Pppoe,
            mac,
            address,
            Grants::default(),
            at(0),
        )
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }
}
