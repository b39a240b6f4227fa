//! What routers ask: a verified login read into types, and what it shares with a report.
//!
//! Text stays octets: a subscriber types what he likes, and no attribute is longer than 253. Print
//! it with `escape_ascii`. Where an attribute is repeated the first counts; one of the wrong size
//! is as good as absent (routers pad and round, and a report must not be lost to that).

use std::net::{IpAddr, Ipv4Addr};

use super::chap::ChapResponse;
use super::dictionary::{attribute, microsoft, mikrotik, service_type, wispr};
use super::mschap::MsChapV2Response;
use super::packet::{Attribute, Authenticator, Packet};
use super::verify::VerifiedAccess;

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
    /// Whether it has a Service-Type, whichever: a DHCP server sends none, a switch that asks for a device does.
    pub names_service: bool,
    /// Where he is.
    pub station: Station<'a>,
    /// State, returned from a challenge.
    pub state: Option<&'a [u8]>,
    /// Framed-MTU: the largest EAP packet the line takes.
    pub framed_mtu: Option<u32>,
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
    /// EAP-Message: a packet of a conversation (see [`eap`](super::eap)).
    Eap {
        /// The packet's identifier, returned in the answer.
        identifier: u8,
    },
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
    /// Hotspot: Service-Type Login, and where the client is.
    Hotspot,
    /// A person at the router itself: Service-Type Login, Administrative or NAS-Prompt, or none at all, and
    /// nothing of a client. No subscriber may.
    Router,
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

impl<'a> AccessRequest<'a> {
    /// Reads a verified Access-Request; always possible, whatever is missing or odd in it.
    pub fn read(verified: &VerifiedAccess<'a>) -> AccessRequest<'a> {
        let packet = verified.packet();
        let mut common = Common::default();
        let mut passwords = Passwords::default();
        let mut state = None;
        let mut framed_mtu = None;
        for attribute in packet.attributes() {
            match attribute.kind {
                attribute::USER_PASSWORD => keep(&mut passwords.pap, attribute.value),
                attribute::CHAP_PASSWORD => keep(&mut passwords.chap, attribute.value),
                attribute::CHAP_CHALLENGE => keep(&mut passwords.challenge, attribute.value),
                attribute::EAP_MESSAGE => keep(&mut passwords.eap, attribute.value),
                attribute::STATE => keep(&mut state, attribute.value),
                attribute::FRAMED_MTU => keep_number(&mut framed_mtu, attribute),
                _ => {}
            }
            common.take(attribute);
            passwords.take_vendor(attribute);
        }
        AccessRequest {
            authenticator: packet.authenticator(),
            user_name: common.user_name.unwrap_or_default(),
            service: match (common.service(), passwords.eap) {
                (Service::Router, Some(_)) => Service::Other, // routers never ask so for themselves
                (service, _) => service,
            },
            names_service: common.service_type.is_some(),
            credential: passwords.credential(packet),
            station: common.station,
            state,
            framed_mtu,
            session_id: common.session_id,
        }
    }
}

/// What logins and reports have in common.
#[derive(Default)]
pub(super) struct Common<'a> {
    pub(super) user_name: Option<&'a [u8]>,
    pub(super) session_id: Option<&'a [u8]>,
    service_type: Option<u32>,
    framed_protocol: Option<u32>,
    speaks_wispr: bool,
    pub(super) station: Station<'a>,
}

impl<'a> Common<'a> {
    pub(super) fn take(&mut self, attribute: Attribute<'a>) {
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
            attribute::VENDOR_SPECIFIC => self.take_vendor(attribute),
            _ => {}
        }
    }

    fn take_vendor(&mut self, attribute: Attribute<'a>) {
        let Some(specific) = attribute.vendor_specific() else {
            return;
        };
        match specific.vendor {
            mikrotik::VENDOR => {}
            wispr::VENDOR => {
                self.speaks_wispr = true;
                return;
            }
            _ => return, // anybody's
        }
        for inner in specific.attributes() {
            match inner.kind {
                mikrotik::HOST_IP => keep_address(&mut self.station.host_address, inner),
                mikrotik::REALM => keep(&mut self.station.realm, inner.value),
                _ => {}
            }
        }
    }

    pub(super) fn service(&self) -> Service {
        match (self.service_type, self.framed_protocol) {
            (Some(service_type::FRAMED), _) | (None, Some(_)) => Service::Ppp,
            (Some(service_type::LOGIN), _) if self.has_client() => Service::Hotspot,
            (Some(service_type::LOGIN), _) => Service::Router,
            (Some(service_type::ADMINISTRATIVE | service_type::NAS_PROMPT), _) => Service::Router,
            (None, None) if self.is_from_an_address() && !self.has_client() => Service::Router,
            (Some(_), _) | (None, None) => Service::Other,
        }
    }

    /// Whether Calling-Station-Id is an IP address and the client has none: a person's terminal.
    fn is_from_an_address(&self) -> bool {
        let calling = self
            .station
            .calling
            .and_then(|text| str::from_utf8(text).ok());
        let address = calling.and_then(|text| text.parse::<IpAddr>().ok());
        address.is_some() && self.station.framed_address.is_none()
    }

    /// Whether a hotspot speaks: it names its server and the client's address, before and after
    /// translation, or where the client may log out. Who logs in to the router itself has at most a
    /// Calling-Station-Id, which may be a hardware address too.
    fn has_client(&self) -> bool {
        let station = &self.station;
        let at_a_server = station.called.is_some() && station.framed_address.is_some();
        station.host_address.is_some() || self.speaks_wispr || at_a_server
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
    eap: Option<&'a [u8]>,
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
        if let Some(eap) = self.eap {
            let identifier = eap.get(1).copied().unwrap_or_default();
            return Credential::Eap { identifier };
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

pub(super) fn keep<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8]) {
    slot.get_or_insert(value);
}

pub(super) fn keep_number(slot: &mut Option<u32>, attribute: Attribute<'_>) {
    *slot = slot.or(attribute.number());
}

fn keep_address(slot: &mut Option<Ipv4Addr>, attribute: Attribute<'_>) {
    *slot = slot.or(attribute.number().map(Ipv4Addr::from_bits));
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// What a hotspot of RouterOS 7 sends, without one or more of the marks it is told by.
    #[test]
    fn a_login_with_nothing_of_a_client_is_for_the_router_itself() {
        let client = Some(Ipv4Addr::new(10, 5, 50, 3));
        let login = |called: Option<&'static [u8]>, framed, host, wispr| {
            let common = Common {
                service_type: Some(service_type::LOGIN),
                speaks_wispr: wispr,
                station: Station {
                    calling: Some(b"AA:BB:CC:00:11:22"),
                    called,
                    framed_address: framed,
                    host_address: host,
                    ..Station::default()
                },
                ..Common::default()
            };
            common.service()
        };
        assert_eq!(
            login(Some(b"hotspot1"), client, None, false),
            Service::Hotspot
        );
        assert_eq!(login(None, None, client, false), Service::Hotspot);
        assert_eq!(login(None, None, None, true), Service::Hotspot);
        assert_eq!(
            login(None, None, None, false),
            Service::Router,
            "MAC-WinBox names a MAC"
        );
        assert_eq!(login(Some(b"hotspot1"), None, None, false), Service::Router);
        assert_eq!(login(None, client, None, false), Service::Router);
    }

    #[test]
    fn without_a_service_type_a_terminals_address_is_told_from_a_client() {
        let from = |service_type, calling: Option<&'static [u8]>| {
            let common = Common {
                service_type,
                station: Station {
                    calling,
                    ..Station::default()
                },
                ..Common::default()
            };
            common.service()
        };
        assert_eq!(from(None, Some(b"192.168.88.20")), Service::Router);
        assert_eq!(from(None, Some(b"fe80::1")), Service::Router);
        assert_eq!(from(None, Some(b"AA:BB:CC:00:11:22")), Service::Other);
        assert_eq!(
            from(None, Some(b"1:aa:bb:cc:0:11:22")),
            Service::Other,
            "DHCP"
        );
        assert_eq!(from(None, None), Service::Other);
        assert_eq!(from(Some(6), None), Service::Router);
        assert_eq!(from(Some(7), Some(b"AA:BB:CC:00:11:22")), Service::Router);
        assert_eq!(
            from(Some(2), Some(b"192.168.88.20")),
            Service::Ppp,
            "a tunnel"
        );
    }
}
