//! Attributes inside EAP-TTLS, in the form of Diameter (RFC 5281 §10.1, RFC 6733 §4.1).

use crate::radius::dictionary::microsoft;

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avp<'a> {
    /// 0 for the standard ones.
    pub(super) vendor: u32,
    pub(super) code: u32,
    pub(super) value: &'a [u8],
}

/// The attributes of a message in order; ends with `None` at one that does not fit.
///
/// Reads untrusted bytes and never panics.
pub(super) fn avps(message: &[u8]) -> impl Iterator<Item = Option<Avp<'_>>> {
    let mut rest = Some(message);
    std::iter::from_fn(move || {
        let message = rest.take().filter(|rest| !rest.is_empty())?;
        let split = split(message);
        rest = split.map(|(_, rest)| rest);
        Some(split.map(|(avp, _)| avp))
    })
}

/// The length counts the header and not the padding to a multiple of four.
fn split(message: &[u8]) -> Option<(Avp<'_>, &[u8])> {
    let (code, rest) = message.split_first_chunk()?;
    let ([flags, length @ ..], body) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
    let (vendor, body, header) = match flags & VENDOR {
        0 => (0, body, 8),
        _ => {
            let (vendor, body) = body.split_first_chunk()?;
            (u32::from_be_bytes(*vendor), body, 12)
        }
    };
    let (value, after) = body.split_at_checked(length.checked_sub(header)?)?;
    let padding = length.next_multiple_of(4) - length;
    let rest = after.get(padding..).unwrap_or_default();
    let avp = Avp {
        vendor,
        code: u32::from_be_bytes(*code),
        value,
    };
    Some((avp, rest))
}

/// Appends one of Microsoft's attributes, which the peer must understand. The value is short.
pub(super) fn push_vendor(message: &mut Vec<u8>, code: u8, value: &[u8]) {
    let length = (12 + value.len()) as u32;
    message.extend(u32::from(code).to_be_bytes());
    message.extend((u32::from(VENDOR | MANDATORY) << 24 | length).to_be_bytes());
    message.extend(microsoft::VENDOR.to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

const VENDOR: u8 = 0x80;
const MANDATORY: u8 = 0x40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_and_vendor_attributes_are_told_apart() {
        let mut message = vec![0, 0, 0, 1, 0x40, 0, 0, 9, b'j', 0, 0, 0];
        push_vendor(&mut message, 26, b"abcde");
        let read: Vec<_> = avps(&message).map(Option::unwrap).collect();
        assert_eq!(
            (read[0].vendor, read[0].code, read[0].value),
            (0, 1, &b"j"[..])
        );
        assert_eq!(
            (read[1].vendor, read[1].code, read[1].value),
            (311, 26, &b"abcde"[..])
        );
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn lengths_that_lie_end_the_walk() {
        for length in [0, 7, 200] {
            let message = [0, 0, 0, 1, 0, 0, 0, length, b'j', 0, 0, 0];
            assert_eq!(avps(&message).collect::<Vec<_>>(), [None]);
        }
        assert_eq!(avps(&[0, 0, 0]).collect::<Vec<_>>(), [None]);
        assert_eq!(avps(&[]).count(), 0);
    }
}
