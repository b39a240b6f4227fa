//! A borrowed view of one datagram (RFC 2865 §3, §5): checked once, walked without copying.

use super::dictionary::{Code, attribute};

/// The fixed part before the attributes: code, identifier, length, authenticator.
pub const HEADER_LEN: usize = 20;
/// The largest legal packet.
pub const MAX_LEN: usize = 4096;
/// The largest value of one attribute.
pub const MAX_VALUE_LEN: usize = 253;
/// More attributes than any router sends; a packet beyond this is an attack on our time.
pub const MAX_ATTRIBUTES: usize = 200;

/// The sixteen octets that tie a packet to its secret and an answer to its request.
pub type Authenticator = [u8; 16];

/// A datagram whose shape is sound. Whether its sender knows the secret is another question: see
/// [`verify`](super::verify).
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    /// Exactly the octets that the Length field claims.
    bytes: &'a [u8],
    authenticator: &'a Authenticator,
}

/// Why a datagram is no RADIUS packet; it is dropped in silence and counted by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Fewer than 20 octets arrived, or the Length field claims fewer.
    #[error("shorter than a header")]
    TooShort,
    /// The Length field claims more than 4096.
    #[error("longer than 4096 octets")]
    TooLong,
    /// The Length field claims more than arrived.
    #[error("cut short")]
    Truncated,
    /// An attribute's length octet is 0 or 1.
    #[error("attribute length below 2")]
    AttributeLength,
    /// An attribute reaches beyond the packet.
    #[error("attribute beyond the packet's end")]
    AttributeOverrun,
    /// More than [`MAX_ATTRIBUTES`].
    #[error("too many attributes")]
    TooManyAttributes,
}

impl Malformed {
    /// The reason as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Malformed::TooShort => "too_short",
            Malformed::TooLong => "too_long",
            Malformed::Truncated => "truncated",
            Malformed::AttributeLength => "attribute_length",
            Malformed::AttributeOverrun => "attribute_overrun",
            Malformed::TooManyAttributes => "too_many_attributes",
        }
    }
}

impl<'a> Packet<'a> {
    /// Reads a datagram. Octets beyond the Length field are padding and ignored (RFC 2865 §3).
    ///
    /// Reads untrusted bytes: every input gives `Ok` or `Err`, none panics.
    pub fn parse(datagram: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        let [_, _, high, low, rest @ ..] = datagram else {
            return Err(Malformed::TooShort);
        };
        let authenticator = rest.first_chunk().ok_or(Malformed::TooShort)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length < HEADER_LEN {
            return Err(Malformed::TooShort);
        }
        if length > MAX_LEN {
            return Err(Malformed::TooLong);
        }
        let bytes = datagram.get(..length).ok_or(Malformed::Truncated)?;

        let mut rest = &bytes[HEADER_LEN..];
        let mut count = 0;
        while !rest.is_empty() {
            (_, rest) = split_attribute(rest)?;
            count += 1;
            if count > MAX_ATTRIBUTES {
                return Err(Malformed::TooManyAttributes);
            }
        }

        Ok(Packet {
            bytes,
            authenticator,
        })
    }

    /// What the packet is; `None` for a code we never answer.
    pub fn code(&self) -> Option<Code> {
        Code::from_number(self.bytes[0])
    }

    /// The octet that pairs an answer with its request.
    pub fn identifier(&self) -> u8 {
        self.bytes[1]
    }

    /// The Request or Response Authenticator.
    pub fn authenticator(&self) -> &'a Authenticator {
        self.authenticator
    }

    /// The whole packet, header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All attributes in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes {
            rest: &self.bytes[HEADER_LEN..],
        }
    }

    /// The value of the first attribute of this type.
    pub fn first(&self, kind: u8) -> Option<&'a [u8]> {
        self.attributes()
            .find(|attribute| attribute.kind == kind)
            .map(|attribute| attribute.value)
    }

    /// The value of the first attribute of this vendor and type.
    pub fn first_vendor(&self, vendor: u32, kind: u8) -> Option<&'a [u8]> {
        self.attributes()
            .filter_map(|attribute| attribute.vendor_specific())
            .filter(|specific| specific.vendor == vendor)
            .flat_map(|specific| specific.attributes())
            .find(|inner| inner.kind == kind)
            .map(|inner| inner.value)
    }
}

/// One attribute: its type and 0 to 253 octets of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The type octet.
    pub kind: u8,
    /// What follows the length octet.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value as a 32-bit number; `None` when it is not four octets.
    pub fn number(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.value.try_into().ok()?))
    }

    /// The vendor's part of a Vendor-Specific attribute (RFC 2865 §5.26); `None` for others.
    pub fn vendor_specific(&self) -> Option<VendorSpecific<'a>> {
        if self.kind != attribute::VENDOR_SPECIFIC {
            return None;
        }
        let (vendor, inner) = self.value.split_first_chunk()?;
        Some(VendorSpecific {
            vendor: u32::from_be_bytes(*vendor),
            inner,
        })
    }
}

/// A Vendor-Specific attribute: one vendor, any number of that vendor's attributes.
#[derive(Debug, Clone, Copy)]
pub struct VendorSpecific<'a> {
    /// The vendor's enterprise number.
    pub vendor: u32,
    inner: &'a [u8],
}

impl<'a> VendorSpecific<'a> {
    /// The vendor's attributes. A vendor may use a format of its own, so the walk ends without
    /// complaint where the usual type, length, value no longer fits.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { rest: self.inner }
    }
}

/// Iterator over attributes; ends at the first that does not fit, which [`Packet::parse`] rules out
/// for a packet's own.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl Attributes<'_> {
    /// How many octets are still ahead.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (attribute, rest) = split_attribute(self.rest).ok()?;
        self.rest = rest;
        Some(attribute)
    }
}

/// Splits the first attribute off `input`; returns it and the bytes after it (RFC 2865 §5).
///
/// The length octet counts the type and length octets too, so 2 is the least legal value.
/// Reads untrusted bytes: every input gives `Ok` or `Err`, none panics.
fn split_attribute(input: &[u8]) -> Result<(Attribute<'_>, &[u8]), Malformed> {
    let [kind, length, rest @ ..] = input else {
        return Err(Malformed::AttributeOverrun);
    };
    let value_len = usize::from(*length)
        .checked_sub(2)
        .ok_or(Malformed::AttributeLength)?;
    let (value, rest) = rest
        .split_at_checked(value_len)
        .ok_or(Malformed::AttributeOverrun)?;

    Ok((Attribute { kind: *kind, value }, rest))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn lengths_that_lie_are_told_apart() {
        assert_eq!(parse(&[]), Err(Malformed::TooShort));
        assert_eq!(parse(&[0; 19]), Err(Malformed::TooShort));
        assert_eq!(parse(&packet(19, &[])), Err(Malformed::TooShort));
        assert_eq!(parse(&packet(21, &[])), Err(Malformed::Truncated));
        assert_eq!(parse(&packet(4097, &[0; 5000])), Err(Malformed::TooLong));
        assert_eq!(parse(&packet(22, &[1, 0])), Err(Malformed::AttributeLength));
        assert_eq!(parse(&packet(22, &[1, 1])), Err(Malformed::AttributeLength));
        assert_eq!(
            parse(&packet(22, &[1, 3])),
            Err(Malformed::AttributeOverrun)
        );
        assert_eq!(parse(&packet(21, &[1])), Err(Malformed::AttributeOverrun));
        let many: Vec<u8> = [1, 2].repeat(201);
        assert_eq!(
            parse(&packet(422, &many)),
            Err(Malformed::TooManyAttributes)
        );
        assert_eq!(parse(&packet(420, &many[..400])), Ok(()));
    }

    #[test]
    fn octets_beyond_the_length_are_padding() {
        let bytes = packet(23, &[1, 3, b'x', 9, 9, 9]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.bytes().len(), 23);
        assert_eq!(packet.attributes().count(), 1);
        assert_eq!(packet.first(attribute::USER_NAME), Some(&b"x"[..]));
    }

    #[test]
    fn several_attributes_of_a_vendor_share_one_envelope() {
        let inner = [0, 0, 0x3a, 0x8c, 3, 3, b'g', 8, 4, b'1', b'M'];
        let mut attributes = vec![26, 2 + inner.len() as u8];
        attributes.extend(inner);
        let bytes = packet(20 + attributes.len() as u16, &attributes);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.first_vendor(14988, 8), Some(&b"1M"[..]));
        assert_eq!(packet.first_vendor(14988, 3), Some(&b"g"[..]));
        assert_eq!(packet.first_vendor(311, 8), None);
    }

    fn parse(bytes: &[u8]) -> Result<(), Malformed> {
        Packet::parse(bytes).map(|_| ())
    }

    fn packet(length: u16, attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, 7];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(attributes);
        bytes
    }
}
