//! What a RouterOS device says of itself in a MikroTik Neighbor Discovery announcement (MNDP).
//!
//! Four octets of header, then attributes: type and length in two octets each, most significant first, and the
//! value. Nothing in it is proved: it is shown to a person, and decides nothing.

use std::net::Ipv4Addr;

use easyisp_shared::net::Mac;

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The device, on the interface that it announces itself on.
    pub mac: Mac,
    /// Its address there; a new device may have none.
    pub address: Option<Ipv4Addr>,
    /// What it is called: `/system identity`.
    pub identity: String,
    /// Its software, such as `7.15.3 (stable)`.
    pub version: String,
    /// Who made it, usually `MikroTik`.
    pub platform: String,
    /// The board, such as `RB760iGS`.
    pub board: String,
    /// Its interface, such as `bridge/ether2`.
    pub interface: String,
    /// Seconds since it started.
    pub uptime_secs: Option<u32>,
}

/// Reads a datagram; `None` where it is no announcement, such as a request for some.
pub fn read(datagram: &[u8]) -> Option<Announcement> {
    let mut rest = datagram.get(HEADER..)?;
    let mut mac = None;
    let mut address = None;
    let mut uptime_secs = None;
    let [
        mut identity,
        mut version,
        mut platform,
        mut board,
        mut interface,
    ] = std::array::from_fn::<String, 5, _>(|_| String::new());
    while !rest.is_empty() {
        let (kind, value, after) = attribute(rest)?;
        rest = after;
        match kind {
            MAC => mac = Some(Mac::new(value.try_into().ok()?)),
            IDENTITY => identity = text(value),
            VERSION => version = text(value),
            PLATFORM => platform = text(value),
            BOARD => board = text(value),
            INTERFACE => interface = text(value),
            // The one number that is sent the other way round.
            UPTIME => uptime_secs = value.try_into().ok().map(u32::from_le_bytes),
            IPV4 => address = <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from),
            _ => {}
        }
    }
    Some(Announcement {
        mac: mac?,
        address: address.filter(|address| !address.is_unspecified()),
        identity,
        version,
        platform,
        board,
        interface,
        uptime_secs,
    })
}

/// Type and value of the first attribute, and what follows it.
fn attribute(octets: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (kind, octets) = octets.split_first_chunk::<2>()?;
    let (length, octets) = octets.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (value, rest) = octets.split_at_checked(length)?;
    Some((u16::from_be_bytes(*kind), value, rest))
}

/// As a person may read it, whoever sent it.
fn text(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut shown = String::new();
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if shown.len() + letter.len_utf8() > LONGEST {
            break;
        }
        shown.push(letter);
    }
    shown
}

const HEADER: usize = 4;
const MAC: u16 = 1;
const IDENTITY: u16 = 5;
const VERSION: u16 = 7;
const PLATFORM: u16 = 8;
const UPTIME: u16 = 10;
const BOARD: u16 = 12;
const INTERFACE: u16 = 16;
const IPV4: u16 = 17;
/// Octets. RouterOS takes longer names; nobody reads them.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn announced(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut datagram = vec![0, 0, 0, 1];
        for (kind, value) in attributes {
            datagram.extend(kind.to_be_bytes());
            datagram.extend((value.len() as u16).to_be_bytes());
            datagram.extend(*value);
        }
        datagram
    }

    #[test]
    fn an_announcement_is_read_whole() {
        let datagram = announced(&[
            (1, &[0x74, 0x4d, 0x28, 0x91, 0x0d, 0x2f]),
            (5, b"Tower 3\n"),
            (7, b"7.15.3 (stable) 2024-07-24 10:39:01"),
            (8, b"MikroTik"),
            (10, &5596u32.to_le_bytes()),
            (11, b"H792-MXJ3"),
            (12, b"RBD52G-5HacD2HnD"),
            (14, &[1]),
            (15, &[0xfe; 16]),
            (16, b"bridge/ether2"),
            (17, &[192, 168, 88, 1]),
        ]);
        let announcement = Announcement {
            mac: Mac::new([0x74, 0x4d, 0x28, 0x91, 0x0d, 0x2f]),
            address: Some(Ipv4Addr::new(192, 168, 88, 1)),
            identity: "Tower 3".into(),
            version: "7.15.3 (stable) 2024-07-24 10:39:01".into(),
            platform: "MikroTik".into(),
            board: "RBD52G-5HacD2HnD".into(),
            interface: "bridge/ether2".into(),
            uptime_secs: Some(5596),
        };
        assert_eq!(read(&datagram), Some(announcement));
    }

    #[test]
    fn requests_and_what_is_cut_off_are_no_announcements() {
        assert_eq!(read(&[0; 4]), None);
        assert_eq!(read(&[0; 9]), None);
        let whole = announced(&[(1, &[2; 6]), (5, b"Tower 3")]);
        assert!(read(&whole).is_some());
        assert_eq!(read(&whole[..whole.len() - 1]), None);
        assert_eq!(read(&announced(&[(1, &[2; 5])])), None);
        assert_eq!(read(&announced(&[(5, b"nobody")])), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_left(datagram in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(told) = read(&datagram) {
                prop_assert!(told.identity.len() <= LONGEST);
            }
        }
    }
}
