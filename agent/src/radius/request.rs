//! What routers ask and report: verified packets read into types.
//!
//! Text stays octets: a subscriber types what he likes, and no attribute is longer than 253. Print
//! it with `escape_ascii`. Where an attribute is repeated the first counts; one of the wrong size
//! is as good as absent (routers pad and round, and a report must not be lost to that).

use std::net::Ipv4Addr;

use super::chap::ChapResponse;
use super::dictionary::{TerminateCause, attribute, microsoft, mikrotik, service_type};
use super::mschap::MsChapV2Response;
use super::packet::{Attribute, Authenticator, Packet};
use super::verify::{VerifiedAccess, VerifiedAccounting};

/// Somebody wants to be online.
#[derive(Debug, Clone)]
pub struct AccessRequest<'a> {
    /// The Request Authenticator: CHAP's challenge, and part of the hiding of passwords and keys.
    pub authenticator: &'a Authenticator,
    /// User-Name; empty when the router sent none.
    pub user_name: &'a [u8],
    /// How the subscriber proves himself.
    pub credential: Credential<'a>,
    /// PPP or hotspot.
    pub service: Service,
    /// Where he is.
    pub station: Station<'a>,
    /// State, returned from a challenge.
    pub state: Option<&'a [u8]>,
    /// Acct-Session-Id: hotspot sends it with the login, PPP does not.
    pub session_id: Option<&'a [u8]>,
}

/// The password attributes of a login.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// User-Password, still hidden under the shared secret.
    Pap {
        /// The attribute's octets.
        hidden: &'a [u8],
    },
    /// CHAP-Password.
    Chap(ChapResponse<'a>),
    /// MS-CHAP2-Response.
    MsChapV2(MsChapV2Response<'a>),
    /// MS-CHAP-Response: not served; the router should have mschap1 switched off.
    MsChapV1,
    /// EAP-Message: not served.
    Eap,
    /// Password attributes of impossible sizes or without their challenge.
    Malformed,
    /// No password attribute at all.
    None,
}

/// What a subscriber logs in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// PPPoE, PPTP, L2TP: Service-Type Framed.
    Ppp,
    /// Hotspot: Service-Type Login.
    Hotspot,
    /// Another Service-Type or none (DHCP, wireless).
    Other,
}

/// Where a subscriber is, in logins and reports alike.
#[derive(Debug, Clone, Copy, Default)]
pub struct Station<'a> {
    /// Calling-Station-Id: the client's MAC, upper case with colons on PPP and hotspot.
    pub calling: Option<&'a [u8]>,
    /// Called-Station-Id: the PPPoE service or hotspot server.
    pub called: Option<&'a [u8]>,
    /// NAS-Identifier: the router's name.
    pub nas_identifier: Option<&'a [u8]>,
    /// NAS-IP-Address, as the router sees itself.
    pub nas_address: Option<Ipv4Addr>,
    /// NAS-Port.
    pub nas_port: Option<u32>,
    /// NAS-Port-Id: interface or circuit.
    pub nas_port_id: Option<&'a [u8]>,
    /// NAS-Port-Type.
    pub nas_port_type: Option<u32>,
    /// Framed-IP-Address: the subscriber's.
    pub framed_address: Option<Ipv4Addr>,
    /// Mikrotik-Host-IP: the client's own address before a hotspot translated it.
    pub host_address: Option<Ipv4Addr>,
    /// Mikrotik-Realm.
    pub realm: Option<&'a [u8]>,
}

/// What a session has used.
#[derive(Debug, Clone)]
pub struct AccountingRequest<'a> {
    /// Start, interim, stop, or the router itself.
    pub status: AccountingStatus,
    /// Acct-Session-Id: unique per router only.
    pub session_id: &'a [u8],
    /// User-Name; empty when the router sent none.
    pub user_name: &'a [u8],
    /// PPP or hotspot.
    pub service: Service,
    /// Where the subscriber is.
    pub station: Station<'a>,
    /// Class as our Accept sent it: names the session's grant.
    pub class: Option<&'a [u8]>,
    /// Octets from the subscriber (upload) since the session began, all 64 bits.
    pub input_octets: Option<u64>,
    /// Octets to the subscriber (download) since the session began, all 64 bits.
    pub output_octets: Option<u64>,
    /// Packets from the subscriber.
    pub input_packets: Option<u32>,
    /// Packets to the subscriber.
    pub output_packets: Option<u32>,
    /// Acct-Session-Time, seconds.
    pub session_secs: Option<u32>,
    /// Acct-Delay-Time: seconds the router has been trying to send this.
    pub delay_secs: u32,
    /// Event-Timestamp: seconds since 1970 on the router's clock, right or wrong.
    pub event_unix: Option<u32>,
    /// Why the session ended.
    pub terminate_cause: Option<TerminateCause>,
}

/// Acct-Status-Type (RFC 2866 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountingStatus {
    /// A session began.
    Start,
    /// A session ended.
    Stop,
    /// A session goes on.
    Interim,
    /// The router started: none of its earlier sessions lives.
    On,
    /// The router is about to stop.
    Off,
    /// Anything else is acknowledged and not used.
    Other(u32),
}

/// An Accounting-Request that says nothing: it is not answered, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// No Acct-Status-Type.
    #[error("no Acct-Status-Type")]
    Status,
    /// A session's record without Acct-Session-Id.
    #[error("no Acct-Session-Id")]
    SessionId,
}

impl<'a> AccessRequest<'a> {
    /// Reads a verified Access-Request; always possible, whatever is missing or odd in it.
    pub fn read(verified: &VerifiedAccess<'a>) -> AccessRequest<'a> {
        let packet = verified.packet();
        let mut common = Common::default();
        let mut passwords = Passwords::default();
        let mut state = None;
        for attribute in packet.attributes() {
            match attribute.kind {
                attribute::USER_PASSWORD => keep(&mut passwords.pap, attribute.value),
                attribute::CHAP_PASSWORD => keep(&mut passwords.chap, attribute.value),
                attribute::CHAP_CHALLENGE => keep(&mut passwords.challenge, attribute.value),
                attribute::EAP_MESSAGE => passwords.eap = true,
                attribute::STATE => keep(&mut state, attribute.value),
                _ => {}
            }
            common.take(attribute);
            passwords.take_vendor(attribute);
        }
        AccessRequest {
            authenticator: packet.authenticator(),
            user_name: common.user_name.unwrap_or_default(),
            credential: passwords.credential(packet),
            service: common.service(),
            station: common.station,
            state,
            session_id: common.session_id,
        }
    }
}

impl<'a> AccountingRequest<'a> {
    /// Reads a verified Accounting-Request.
    pub fn read(verified: &VerifiedAccounting<'a>) -> Result<AccountingRequest<'a>, Incomplete> {
        let mut common = Common::default();
        let mut numbers = Numbers::default();
        let mut class = None;
        for attribute in verified.packet().attributes() {
            if attribute.kind == attribute::CLASS {
                keep(&mut class, attribute.value);
            }
            common.take(attribute);
            numbers.take(attribute);
        }
        let status = numbers.status.ok_or(Incomplete::Status)?.into();
        let session_id = match (status, common.session_id) {
            (_, Some(id)) if !id.is_empty() => id,
            (AccountingStatus::Start | AccountingStatus::Stop | AccountingStatus::Interim, _) => {
                return Err(Incomplete::SessionId);
            }
            (AccountingStatus::On | AccountingStatus::Off | AccountingStatus::Other(_), _) => &[],
        };
        Ok(AccountingRequest {
            status,
            session_id,
            user_name: common.user_name.unwrap_or_default(),
            service: common.service(),
            station: common.station,
            class,
            input_octets: wide(numbers.input_gigawords, numbers.input_octets),
            output_octets: wide(numbers.output_gigawords, numbers.output_octets),
            input_packets: numbers.input_packets,
            output_packets: numbers.output_packets,
            session_secs: numbers.session_secs,
            delay_secs: numbers.delay_secs.unwrap_or(0),
            event_unix: numbers.event_unix,
            terminate_cause: numbers.terminate_cause.map(TerminateCause::from),
        })
    }
}

impl From<u32> for AccountingStatus {
    fn from(number: u32) -> AccountingStatus {
        match number {
            1 => AccountingStatus::Start,
            2 => AccountingStatus::Stop,
            3 => AccountingStatus::Interim,
            7 => AccountingStatus::On,
            8 => AccountingStatus::Off,
            other => AccountingStatus::Other(other),
        }
    }
}

/// A counter of 64 bits from its two halves (RFC 2869 §5.1); either alone counts for both.
fn wide(gigawords: Option<u32>, octets: Option<u32>) -> Option<u64> {
    (gigawords.is_some() || octets.is_some())
        .then(|| u64::from(gigawords.unwrap_or(0)) << 32 | u64::from(octets.unwrap_or(0)))
}

/// What logins and reports have in common.
#[derive(Default)]
struct Common<'a> {
    user_name: Option<&'a [u8]>,
    session_id: Option<&'a [u8]>,
    service_type: Option<u32>,
    framed_protocol: Option<u32>,
    station: Station<'a>,
}

impl<'a> Common<'a> {
    fn take(&mut self, attribute: Attribute<'a>) {
        let station = &mut self.station;
        match attribute.kind {
            attribute::USER_NAME => keep(&mut self.user_name, attribute.value),
            attribute::ACCT_SESSION_ID => keep(&mut self.session_id, attribute.value),
            attribute::SERVICE_TYPE => keep_number(&mut self.service_type, attribute),
            attribute::FRAMED_PROTOCOL => keep_number(&mut self.framed_protocol, attribute),
            attribute::CALLING_STATION_ID => keep(&mut station.calling, attribute.value),
            attribute::CALLED_STATION_ID => keep(&mut station.called, attribute.value),
            attribute::NAS_IDENTIFIER => keep(&mut station.nas_identifier, attribute.value),
            attribute::NAS_IP_ADDRESS => keep_address(&mut station.nas_address, attribute),
            attribute::NAS_PORT => keep_number(&mut station.nas_port, attribute),
            attribute::NAS_PORT_ID => keep(&mut station.nas_port_id, attribute.value),
            attribute::NAS_PORT_TYPE => keep_number(&mut station.nas_port_type, attribute),
            attribute::FRAMED_IP_ADDRESS => keep_address(&mut station.framed_address, attribute),
            attribute::VENDOR_SPECIFIC => self.take_mikrotik(attribute),
            _ => {}
        }
    }

    fn take_mikrotik(&mut self, attribute: Attribute<'a>) {
        let Some(specific) = attribute.vendor_specific() else {
            return;
        };
        if specific.vendor != mikrotik::VENDOR {
            return;
        }
        for inner in specific.attributes() {
            match inner.kind {
                mikrotik::HOST_IP => keep_address(&mut self.station.host_address, inner),
                mikrotik::REALM => keep(&mut self.station.realm, inner.value),
                _ => {}
            }
        }
    }

    fn service(&self) -> Service {
        match (self.service_type, self.framed_protocol) {
            (Some(service_type::FRAMED), _) | (None, Some(_)) => Service::Ppp,
            (Some(service_type::LOGIN), _) => Service::Hotspot,
            (Some(_), _) | (None, None) => Service::Other,
        }
    }
}

/// The password attributes as they come by.
#[derive(Default)]
struct Passwords<'a> {
    pap: Option<&'a [u8]>,
    chap: Option<&'a [u8]>,
    challenge: Option<&'a [u8]>,
    ms_challenge: Option<&'a [u8]>,
    ms_response: Option<&'a [u8]>,
    ms_v1: bool,
    eap: bool,
}

impl<'a> Passwords<'a> {
    fn take_vendor(&mut self, attribute: Attribute<'a>) {
        let Some(specific) = attribute.vendor_specific() else {
            return;
        };
        if specific.vendor != microsoft::VENDOR {
            return;
        }
        for inner in specific.attributes() {
            match inner.kind {
                microsoft::CHAP_CHALLENGE => keep(&mut self.ms_challenge, inner.value),
                microsoft::CHAP2_RESPONSE => keep(&mut self.ms_response, inner.value),
                microsoft::CHAP_RESPONSE => self.ms_v1 = true,
                _ => {}
            }
        }
    }

    /// The strongest method counts where a router sent several.
    fn credential(&self, packet: &Packet<'a>) -> Credential<'a> {
        if self.eap {
            return Credential::Eap;
        }
        if let Some(response) = self.ms_response {
            return self
                .ms_challenge
                .and_then(|challenge| MsChapV2Response::parse(response, challenge))
                .map_or(Credential::Malformed, Credential::MsChapV2);
        }
        if self.ms_v1 {
            return Credential::MsChapV1;
        }
        if let Some(chap) = self.chap {
            let challenge = self.challenge.unwrap_or(packet.authenticator());
            return ChapResponse::parse(chap, challenge)
                .map_or(Credential::Malformed, Credential::Chap);
        }
        match self.pap {
            Some(hidden) => Credential::Pap { hidden },
            None => Credential::None,
        }
    }
}

/// A report's numbers as they come by.
#[derive(Default)]
struct Numbers {
    status: Option<u32>,
    delay_secs: Option<u32>,
    input_octets: Option<u32>,
    output_octets: Option<u32>,
    input_gigawords: Option<u32>,
    output_gigawords: Option<u32>,
    input_packets: Option<u32>,
    output_packets: Option<u32>,
    session_secs: Option<u32>,
    event_unix: Option<u32>,
    terminate_cause: Option<u32>,
}

impl Numbers {
    fn take(&mut self, attribute: Attribute<'_>) {
        let slot = match attribute.kind {
            attribute::ACCT_STATUS_TYPE => &mut self.status,
            attribute::ACCT_DELAY_TIME => &mut self.delay_secs,
            attribute::ACCT_INPUT_OCTETS => &mut self.input_octets,
            attribute::ACCT_OUTPUT_OCTETS => &mut self.output_octets,
            attribute::ACCT_INPUT_GIGAWORDS => &mut self.input_gigawords,
            attribute::ACCT_OUTPUT_GIGAWORDS => &mut self.output_gigawords,
            attribute::ACCT_INPUT_PACKETS => &mut self.input_packets,
            attribute::ACCT_OUTPUT_PACKETS => &mut self.output_packets,
            attribute::ACCT_SESSION_TIME => &mut self.session_secs,
            attribute::EVENT_TIMESTAMP => &mut self.event_unix,
            attribute::ACCT_TERMINATE_CAUSE => &mut self.terminate_cause,
            _ => return,
        };
        keep_number(slot, attribute);
    }
}

fn keep<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8]) {
    slot.get_or_insert(value);
}

fn keep_number(slot: &mut Option<u32>, attribute: Attribute<'_>) {
    *slot = slot.or(attribute.number());
}

fn keep_address(slot: &mut Option<Ipv4Addr>, attribute: Attribute<'_>) {
    *slot = slot.or(attribute.number().map(Ipv4Addr::from_bits));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::radius::{Secret, client};

    #[test]
    fn a_stop_is_read_whole() {
        let bytes = record(&[
            (40, &2u32.to_be_bytes()),
            (1, b"jane"),
            (44, b"81100003"),
            (6, &2u32.to_be_bytes()),
            (7, &1u32.to_be_bytes()),
            (31, b"AA:BB:CC:00:11:22"),
            (30, b"pppoe1"),
            (32, b"tower-3"),
            (4, &[192, 168, 88, 1]),
            (8, &[10, 5, 0, 7]),
            (87, b"ether2"),
            (25, b"cookie"),
            (46, &3600u32.to_be_bytes()),
            (41, &5u32.to_be_bytes()),
            (55, &1_800_000_000u32.to_be_bytes()),
            (42, &7u32.to_be_bytes()),
            (52, &1u32.to_be_bytes()),
            (49, &5u32.to_be_bytes()),
        ]);
        let report = read(&bytes).unwrap();
        assert_eq!(report.status, AccountingStatus::Stop);
        assert_eq!(report.user_name, b"jane");
        assert_eq!(report.session_id, b"81100003");
        assert_eq!(report.service, Service::Ppp);
        assert_eq!(report.station.calling, Some(&b"AA:BB:CC:00:11:22"[..]));
        assert_eq!(report.station.framed_address, Some([10, 5, 0, 7].into()));
        assert_eq!(report.class, Some(&b"cookie"[..]));
        assert_eq!(report.input_octets, Some((1 << 32) + 7));
        assert_eq!(report.output_octets, None);
        assert_eq!(report.session_secs, Some(3600));
        assert_eq!(report.delay_secs, 5);
        assert_eq!(report.event_unix, Some(1_800_000_000));
        assert_eq!(report.terminate_cause, Some(TerminateCause::SessionTimeout));
    }

    #[test]
    fn counters_are_64_bits_wide() {
        assert_eq!(wide(Some(1), Some(1 << 30)), Some(5 << 30)); // 5 GiB
        assert_eq!(wide(Some(0), Some(u32::MAX)), Some((4 << 30) - 1)); // 4 GiB - 1
        assert_eq!(wide(Some(17 << 8), None), Some(17 << 40)); // 17 TiB in gigawords alone
        assert_eq!(wide(Some(u32::MAX), Some(u32::MAX)), Some(u64::MAX));
        assert_eq!(wide(None, Some(9)), Some(9));
        assert_eq!(wide(None, None), None);
    }

    #[test]
    fn a_record_that_says_nothing_is_refused() {
        let bytes = record(&[(44, b"80100014")]);
        assert_eq!(read(&bytes).err(), Some(Incomplete::Status));
        let bytes = record(&[(40, &1u32.to_be_bytes())]);
        assert_eq!(read(&bytes).err(), Some(Incomplete::SessionId));
        let bytes = record(&[(40, &1u32.to_be_bytes()), (44, b"")]);
        assert_eq!(read(&bytes).err(), Some(Incomplete::SessionId));
        let bytes = record(&[(40, &7u32.to_be_bytes())]);
        assert_eq!(read(&bytes).unwrap().status, AccountingStatus::On);
    }

    #[test]
    fn the_first_of_repeated_attributes_counts_and_odd_sizes_are_absent() {
        let bytes = record(&[
            (40, &3u32.to_be_bytes()),
            (44, b"first"),
            (44, b"second"),
            (46, b"abc"),
            (46, &60u32.to_be_bytes()),
            (8, &[1, 2, 3]),
            (1, &[0xff, 0, b'\'']),
        ]);
        let report = read(&bytes).unwrap();
        assert_eq!(report.session_id, b"first");
        assert_eq!(report.session_secs, Some(60));
        assert_eq!(report.station.framed_address, None);
        assert_eq!(report.user_name, &[0xff, 0, b'\'']);
    }

    fn read(bytes: &[u8]) -> Result<AccountingRequest<'_>, Incomplete> {
        let packet = Packet::parse(bytes).unwrap();
        AccountingRequest::read(&VerifiedAccounting::check(packet, &secret()).unwrap())
    }

    fn record(attributes: &[(u8, &[u8])]) -> Vec<u8> {
        client::accounting_request(attributes, 1, &secret()).unwrap()
    }

    fn secret() -> Secret {
        Secret::new(b"demo-secret")
    }
}
