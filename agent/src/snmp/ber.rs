//! The Basic Encoding Rules as far as SNMP uses them (X.690; RFC 3417 §8: definite lengths only).

use super::oid::{MOST_ARCS, Oid};

/// Why octets are no SNMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BerError {
    /// They end before they should.
    #[error("it is cut short")]
    Truncated,
    /// A length that is not definite, or beyond every datagram.
    #[error("it has an impossible length")]
    Length,
    /// Another type than stands there by the protocol.
    #[error("it has something else in it than SNMP")]
    Tag,
    /// A number or a name that does not fit its type.
    #[error("it has an impossible value")]
    Value,
}

/// Takes values off octets, from the front.
///
/// Reads untrusted octets: every input gives `Ok` or `Err`, none panics, nothing is copied but names.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Over these octets.
    pub fn new(octets: &'a [u8]) -> Reader<'a> {
        Reader(octets)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many octets are left.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// The next value's type and content.
    pub fn value(&mut self) -> Result<(u8, &'a [u8]), BerError> {
        let [tag, first, rest @ ..] = self.0 else {
            return Err(BerError::Truncated);
        };
        let (length, rest) = match first {
            0..0x80 => (usize::from(*first), rest),
            // X.690 §8.1.3.5: so many octets of length follow; a datagram needs two, some send four.
            0x81..=0x84 => {
                let (octets, rest) = rest
                    .split_at_checked(usize::from(first & 0x7f))
                    .ok_or(BerError::Truncated)?;
                let length = octets
                    .iter()
                    .fold(0u64, |all, one| all << 8 | u64::from(*one));
                (usize::try_from(length).map_err(|_| BerError::Length)?, rest)
            }
            0x80 | 0x85.. => return Err(BerError::Length),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(BerError::Truncated)?;
        self.0 = rest;
        Ok((*tag, content))
    }

    /// The content of the next value, which is of this type.
    pub fn expect(&mut self, tag: u8) -> Result<&'a [u8], BerError> {
        match self.value()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(BerError::Tag), // octets from the network
        }
    }

    /// A structure.
    pub fn inside(&mut self, tag: u8) -> Result<Reader<'a>, BerError> {
        self.expect(tag).map(Reader)
    }

    /// An INTEGER of 32 bits.
    pub fn integer(&mut self) -> Result<i32, BerError> {
        let number = signed(self.expect(INTEGER)?)?;
        i32::try_from(number).map_err(|_| BerError::Value)
    }

    /// An OCTET STRING.
    pub fn octets(&mut self) -> Result<&'a [u8], BerError> {
        self.expect(OCTETS)
    }
}

/// A number in two's complement.
pub fn signed(content: &[u8]) -> Result<i64, BerError> {
    match content {
        [] => Err(BerError::Value),
        [first, ..] if content.len() <= 8 => {
            let begin = if first & 0x80 == 0 { 0 } else { -1i64 };
            Ok(content
                .iter()
                .fold(begin, |all, one| all << 8 | i64::from(*one)))
        }
        _ => Err(BerError::Value), // longer than any number of SNMP
    }
}

/// A counter or gauge. Some agents forget the zero octet before a set first bit, so that is no sign.
pub fn unsigned(content: &[u8]) -> Result<u64, BerError> {
    let digits = match content {
        [] => return Err(BerError::Value),
        [0, rest @ ..] => rest,
        all => all,
    };
    if digits.len() > 8 {
        return Err(BerError::Value);
    }
    Ok(digits.iter().fold(0, |all, one| all << 8 | u64::from(*one)))
}

/// A name (X.690 §8.19): base 128, the first two numbers in one.
pub fn oid(content: &[u8]) -> Result<Oid, BerError> {
    let mut oid = Oid::default();
    let mut arc: u64 = 0;
    let mut whole = true;
    for (count, octet) in content.iter().enumerate() {
        arc = arc << 7 | u64::from(octet & 0x7f);
        whole = octet & 0x80 == 0;
        if arc > u64::from(u32::MAX) + 80 || count > MOST_ARCS * 5 {
            return Err(BerError::Value);
        }
        if !whole {
            continue;
        }
        if oid.arcs().is_empty() {
            let first = (arc / 40).min(2) as u32;
            oid.push(first);
            arc -= u64::from(first) * 40;
        }
        if oid.arcs().len() == MOST_ARCS {
            return Err(BerError::Value);
        }
        oid.push(u32::try_from(arc).map_err(|_| BerError::Value)?);
        arc = 0;
    }
    if whole {
        Ok(oid)
    } else {
        Err(BerError::Truncated)
    }
}

/// Writes from the back to the front: a length is known once its content stands.
#[derive(Default)]
pub struct Writer {
    reversed: Vec<u8>,
}

impl Writer {
    /// How many octets stand so far.
    pub fn len(&self) -> usize {
        self.reversed.len()
    }

    /// Whether nothing stands.
    pub fn is_empty(&self) -> bool {
        self.reversed.is_empty()
    }

    /// Puts octets before all that stands.
    pub fn raw(&mut self, octets: &[u8]) {
        self.reversed.extend(octets.iter().rev());
    }

    /// Makes a value of all that was put since `len` was so much.
    pub fn wrap(&mut self, tag: u8, since: usize) {
        let length = self.reversed.len() - since;
        if length < 0x80 {
            self.reversed.push(length as u8);
        } else {
            let mut left = length;
            let mut octets = 0;
            while left > 0 {
                self.reversed.push((left & 0xff) as u8);
                left >>= 8;
                octets += 1;
            }
            self.reversed.push(0x80 | octets);
        }
        self.reversed.push(tag);
    }

    /// An INTEGER in the fewest octets.
    pub fn integer(&mut self, number: i64) {
        let since = self.len();
        let mut left = number;
        loop {
            let octet = (left & 0xff) as u8;
            self.reversed.push(octet);
            left >>= 8;
            let sign = octet & 0x80 != 0;
            if (left == 0 && !sign) || (left == -1 && sign) {
                break;
            }
        }
        self.wrap(INTEGER, since);
    }

    /// An OCTET STRING.
    pub fn octets(&mut self, octets: &[u8]) {
        let since = self.len();
        self.raw(octets);
        self.wrap(OCTETS, since);
    }

    /// An OBJECT IDENTIFIER.
    pub fn oid(&mut self, oid: &Oid) {
        let since = self.len();
        let mut put = |arc: u64| {
            let mut left = arc >> 7;
            self.reversed.push((arc & 0x7f) as u8);
            while left > 0 {
                self.reversed.push((left & 0x7f) as u8 | 0x80);
                left >>= 7;
            }
        };
        match oid.arcs() {
            [first, second, rest @ ..] => {
                rest.iter().rev().for_each(|arc| put(u64::from(*arc)));
                put(u64::from(*first) * 40 + u64::from(*second));
            }
            [first] => put(u64::from(*first) * 40),
            [] => put(0),
        }
        self.wrap(OID, since);
    }

    /// A NULL.
    pub fn null(&mut self) {
        self.wrap(NULL, self.len());
    }

    /// All that was put.
    pub fn finish(mut self) -> Vec<u8> {
        self.reversed.reverse();
        self.reversed
    }
}

/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub const OCTETS: u8 = 0x04;
/// NULL.
pub const NULL: u8 = 0x05;
/// OBJECT IDENTIFIER.
pub const OID: u8 = 0x06;
/// SEQUENCE.
pub const SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_as_x690_says() {
        for (number, octets) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 0x7f]),
            (128, &[2, 2, 0, 0x80]),
            (-1, &[2, 1, 0xff]),
            (-129, &[2, 2, 0xff, 0x7f]),
            (i64::from(i32::MAX), &[2, 4, 0x7f, 0xff, 0xff, 0xff]),
        ] {
            let mut writer = Writer::default();
            writer.integer(number);
            assert_eq!(writer.finish(), octets, "{number}");
            assert_eq!(signed(&octets[2..]), Ok(number));
        }
        assert_eq!(unsigned(&[0, 0xff, 0xff, 0xff, 0xff]), Ok(0xffff_ffff));
        assert_eq!(unsigned(&[0xff, 0xff, 0xff, 0xff]), Ok(0xffff_ffff));
        assert_eq!(unsigned(&[]), Err(BerError::Value));
        assert_eq!(unsigned(&[1; 9]), Err(BerError::Value));
    }

    #[test]
    fn nonsense_lengths_are_refused() {
        for octets in [
            &[][..],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 0],
            &[0x30, 2, 0],
        ] {
            assert!(Reader::new(octets).value().is_err(), "{octets:?}");
        }
        assert_eq!(oid(&[0x2b, 0x86]), Err(BerError::Truncated));
        assert_eq!(oid(&[0xff; 40]), Err(BerError::Value));
        assert_eq!(oid(&[1; 600]), Err(BerError::Value));
    }

    proptest! {
        #[test]
        fn names_and_numbers_survive(
            arcs in prop::collection::vec(any::<u32>(), 0..40),
            second in 0u32..40, number: i64, long in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let name = Oid::new(&[&[1, second], arcs.as_slice()].concat());
            let mut writer = Writer::default();
            writer.octets(&long);
            writer.integer(number);
            writer.oid(&name);
            let octets = writer.finish();
            let mut reader = Reader::new(&octets);
            prop_assert_eq!(oid(reader.expect(OID).unwrap()).unwrap(), name);
            prop_assert_eq!(signed(reader.expect(INTEGER).unwrap()).unwrap(), number);
            prop_assert_eq!(reader.octets().unwrap(), long);
            prop_assert!(reader.is_empty());
        }
    }
}
