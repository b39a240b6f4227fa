//! EAP packets (RFC 3748 §4): code, identifier, length, and of requests and responses a type.

use crate::radius::dictionary::attribute;
use crate::radius::packet::Packet;

/// The methods served, and the types that carry the talk about them (RFC 3748 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Who is there?
    Identity = 1,
    /// Not that method, but one of these.
    Nak = 3,
    /// EAP-TTLS (RFC 5281).
    Ttls = 21,
    /// Protected EAP, version 0.
    Peap = 25,
    /// EAP-MSCHAPv2.
    MsChapV2 = 26,
    /// EAP-TLV, by which PEAP tells the result inside its tunnel.
    Tlv = 33,
}

impl Kind {
    /// The type of this number; `None` for what is not served.
    pub fn from_number(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Identity,
            3 => Kind::Nak,
            21 => Kind::Ttls,
            25 => Kind::Peap,
            26 => Kind::MsChapV2,
            33 => Kind::Tlv,
            _ => return None,
        })
    }
}

/// A peer's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// Of the request that it answers.
    pub identifier: u8,
    /// The type's number.
    pub kind: u8,
    /// What follows the type.
    pub data: &'a [u8],
}

impl<'a> Response<'a> {
    /// Reads an EAP-Response; `None` when it is another packet or none. Octets beyond the length are
    /// padding (RFC 3748 §4.1).
    ///
    /// Reads untrusted bytes and never panics.
    pub fn parse(packet: &'a [u8]) -> Option<Response<'a>> {
        let [RESPONSE, identifier, high, low, rest @ ..] = packet else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let body = rest.get(..length.checked_sub(HEADER_LEN)?)?;
        let (kind, data) = body.split_first()?;
        Some(Response {
            identifier: *identifier,
            kind: *kind,
            data,
        })
    }
}

/// The EAP packet that a RADIUS packet carries in one attribute or several (RFC 3579 §3.1).
pub fn collect(packet: &Packet<'_>) -> Vec<u8> {
    packet
        .attributes()
        .filter(|attribute| attribute.kind == attribute::EAP_MESSAGE)
        .flat_map(|attribute| attribute.value)
        .copied()
        .collect()
}

/// An EAP-Request. `body`, the type and its data, is shorter than 64 KiB.
pub fn request(identifier: u8, body: &[u8]) -> Vec<u8> {
    with_header(REQUEST, identifier, body)
}

/// An EAP-Response, as peers write them.
pub fn response(identifier: u8, body: &[u8]) -> Vec<u8> {
    with_header(RESPONSE, identifier, body)
}

fn with_header(code: u8, identifier: u8, body: &[u8]) -> Vec<u8> {
    let length = (HEADER_LEN + body.len()) as u16;
    let mut packet = Vec::with_capacity(HEADER_LEN + body.len());
    packet.extend([code, identifier]);
    packet.extend(length.to_be_bytes());
    packet.extend(body);
    packet
}

/// EAP-Success.
pub fn success(identifier: u8) -> [u8; 4] {
    [3, identifier, 0, 4]
}

/// EAP-Failure.
pub fn failure(identifier: u8) -> [u8; 4] {
    [4, identifier, 0, 4]
}

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const HEADER_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_are_refused_and_padding_is_ignored() {
        let sound = response(7, b"\x01jane");
        let read = Response {
            identifier: 7,
            kind: 1,
            data: b"jane",
        };
        assert_eq!(Response::parse(&sound), Some(read));
        assert_eq!(Response::parse(&[&sound[..], b"pad"].concat()), Some(read));
        assert_eq!(Response::parse(&sound[..8]), None);
        assert_eq!(Response::parse(&[2, 7, 0, 4]), None);
        assert_eq!(Response::parse(&[2, 7, 0, 3, 1]), None);
        assert_eq!(Response::parse(&request(7, b"\x01")), None);
        assert_eq!(Response::parse(b""), None);
    }
}
