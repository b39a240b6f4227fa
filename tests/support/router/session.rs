//! One session: what the Accept granted, what it used, and what its accounting says. Pure.

use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_agent::radius::Packet;
use easyisp_agent::radius::dictionary::{attribute, mikrotik};
use easyisp_shared::time::Timestamp;

use super::subscriber::Traffic;

/// A session on the active list.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Acct-Session-Id: two digits service, one boot, five running.
    pub id: String,
    /// User-Name.
    pub user: String,
    /// PPPoE or hotspot.
    pub service: Service,
    /// Calling-Station-Id.
    pub mac: String,
    /// The subscriber's address.
    pub address: Ipv4Addr,
    /// NAS-Port.
    pub nas_port: u32,
    /// When it came up.
    pub started: Timestamp,
    /// What the Accept granted and CoA changed since.
    pub grants: Grants,
    counted: Usage,
    counted_at: Timestamp,
    traffic: Traffic,
}

/// How a subscriber reaches the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// PPP over Ethernet.
    Pppoe,
    /// The hotspot's login page.
    Hotspot,
}

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
}

/// Bytes of a session or of a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// From the client: Acct-Input.
    pub up: u64,
    /// To the client: Acct-Output.
    pub down: u64,
}

/// Why a session ended (Acct-Terminate-Cause).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The subscriber hung up.
    UserRequest = 1,
    /// The line died.
    LostCarrier = 2,
    /// Session-Timeout.
    SessionTimeout = 5,
    /// Disconnect, or removed from the active list.
    AdminReset = 6,
    /// A byte limit.
    NasRequest = 10,
    /// The router lost power: nobody was told.
    Reboot = 11,
}

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

/// What a session's timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Interim,
    End(Cause),
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
        }
    }

    /// A real address; one in 127/8 or 224/3 stands for "from your pool".
    pub(super) fn fixed_address(&self) -> Option<Ipv4Addr> {
        self.address
            .filter(|address| !address.is_loopback() && address.octets()[0] < 224)
    }
}

impl Session {
    pub(super) fn new(
        id: String,
        user: &str,
        service: Service,
        mac: &str,
        address: Ipv4Addr,
        grants: Grants,
        now: Timestamp,
    ) -> Session {
        let nas_port = u32::from_str_radix(&id, 16).unwrap_or(0);
        Session {
            // A hotspot's port is its session id; PPP counts small numbers.
            nas_port: if service == Service::Hotspot {
                nas_port
            } else {
                nas_port & 0xf_ffff
            },
            id,
            user: user.to_owned(),
            service,
            mac: mac.to_owned(),
            address,
            started: now,
            grants,
            counted: Usage::default(),
            counted_at: now,
            traffic: Traffic::default(),
        }
    }

    /// What went through by `now`.
    pub fn usage(&self, now: Timestamp) -> Usage {
        let millis = now.since(self.counted_at).as_millis() as u64;
        Usage {
            up: self.counted.up + self.traffic.up_bits_per_second / 8 * millis / 1000,
            down: self.counted.down + self.traffic.down_bits_per_second / 8 * millis / 1000,
        }
    }

    /// Lets bytes through at once.
    pub(super) fn add(&mut self, usage: Usage, now: Timestamp) {
        self.fold(now);
        self.counted.up += usage.up;
        self.counted.down += usage.down;
    }

    /// Lets bytes through steadily from here on.
    pub(super) fn flow(&mut self, traffic: Traffic, now: Timestamp) {
        self.fold(now);
        self.traffic = traffic;
    }

    /// Stops the stream at these totals.
    pub(super) fn freeze(&mut self, usage: Usage, now: Timestamp) {
        self.counted = usage;
        self.counted_at = now;
        self.traffic = Traffic::default();
    }

    fn fold(&mut self, now: Timestamp) {
        self.counted = self.usage(now);
        self.counted_at = now;
    }

    /// Takes the attributes of a CoA that RouterOS changes on a running session.
    pub(super) fn change(&mut self, change: Grants) {
        let grants = &mut self.grants;
        grants.rate_limit = change.rate_limit.or(grants.rate_limit.take());
        grants.session_timeout = change.session_timeout.or(grants.session_timeout);
        grants.idle_timeout = change.idle_timeout.or(grants.idle_timeout);
        grants.group = change.group.or(grants.group.take());
        grants.port_limit = change.port_limit.or(grants.port_limit);
        grants.recv_limit = change.recv_limit.or(grants.recv_limit);
        grants.xmit_limit = change.xmit_limit.or(grants.xmit_limit);
    }

    /// What happens next of itself, and when. `reported` is when the last record was made.
    pub(super) fn next(
        &self,
        reported: Timestamp,
        interim: Option<Duration>,
        now: Timestamp,
    ) -> Option<(Timestamp, Due)> {
        let granted = self.grants.interim.filter(|secs| *secs > 0);
        let interim = granted
            .map(|secs| Duration::from_secs(secs.into()))
            .or(interim);
        let timeout = self.grants.session_timeout.filter(|secs| *secs > 0);
        let timeout = timeout.map(|secs| self.started.plus(Duration::from_secs(secs.into())));
        [
            interim.map(|interim| (reported.plus(interim), Due::Interim)),
            timeout.map(|at| (at, Due::End(Cause::SessionTimeout))),
            self.limit_reached(now)
                .map(|at| (at, Due::End(Cause::NasRequest))),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    fn limit_reached(&self, now: Timestamp) -> Option<Timestamp> {
        let usage = self.usage(now);
        let Traffic {
            up_bits_per_second: up,
            down_bits_per_second: down,
        } = self.traffic;
        let limits = [
            (self.grants.recv_limit, usage.up, up),
            (self.grants.xmit_limit, usage.down, down),
            (self.grants.total_limit, usage.up + usage.down, up + down),
        ];
        let reached = limits.into_iter().filter_map(|(limit, used, rate)| {
            let left = limit.filter(|limit| *limit > 0)?.saturating_sub(used);
            match (left, rate) {
                (0, _) => Some(now),
                (_, 0) => None,
                (left, rate) => Some(now.plus(Duration::from_millis(left * 8000 / rate + 1))),
            }
        });
        reached.min()
    }

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

/// RFC 2866 §5.6: 1 is RADIUS.
const ACCT_AUTHENTIC: u8 = 45;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn seventeen_terabytes_are_counted_in_gigawords() {
        let mut session = a_session(Grants::default());
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

    #[test]
    fn what_comes_first_is_next() {
        let grants = Grants {
            interim: Some(60),
            session_timeout: Some(90),
            ..Grants::default()
        };
        let mut session = a_session(grants);

        assert_eq!(
            session.next(at(0), None, at(0)),
            Some((at(60), Due::Interim))
        );
        assert_eq!(
            session.next(at(60), None, at(60)),
            Some((at(90), Due::End(Cause::SessionTimeout)))
        );

        session.grants.total_limit = Some(1000);
        session.add(Usage { up: 400, down: 600 }, at(61));
        assert_eq!(
            session.next(at(60), None, at(61)),
            Some((at(61), Due::End(Cause::NasRequest)))
        );
    }

    fn a_session(grants: Grants) -> Session {
        let address = Ipv4Addr::new(10, 0, 0, 2);
        let mac = "AA:BB:CC:00:00:01";
        Session::new(
            "81100001".to_owned(),
            "demo001",
            Service::Pppoe,
            mac,
            address,
            grants,
            at(0),
        )
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }
}
