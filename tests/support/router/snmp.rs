//! The pretend router's SNMP: version 2c, to read. Written from the RFCs beside the agent's, with a reader and a
//! writer of its own; Net-SNMP's client judges it.
//!
//! What it tells is a recording of a router with what it is now laid over ([`Recording`], `objects`).
//!
//! Who may read is what its configuration says: `/snmp enabled`, and the rows of `/snmp community` that ask for no
//! signature. What a row of version 3 lets in, Net-SNMP's own daemon says in the stories.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;
use std::sync::Arc;

use tokio::net::UdpSocket;

use super::Router;
use super::api::Face;
use crate::snmprec::{Name, Recorded, Recording};

mod objects;

/// `/snmp` and its community.
#[derive(Clone, Debug)]
pub struct Snmp {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Who knows this may read.
    pub community: String,
    /// What it was recorded from.
    pub recording: Arc<Recording>,
}

impl Snmp {
    /// A router with RouterOS 7, on a free loopback port.
    pub fn new(community: &str) -> Snmp {
        Snmp::of(Face::Seven, community)
    }

    /// The same with a version of RouterOS.
    pub fn of(face: Face, community: &str) -> Snmp {
        let text = match face {
            Face::Six => include_str!("../../vectors/snmp/routeros-6.snmprec"),
            Face::Seven => include_str!("../../vectors/snmp/routeros-7.snmprec"),
        };
        Snmp::replaying(
            Recording::read(text).expect("a recording of ours"),
            community,
        )
    }

    /// The same with any recording of a RouterOS.
    pub fn replaying(recording: Recording, community: &str) -> Snmp {
        Snmp {
            listen: ([127, 0, 0, 1], 0).into(),
            community: community.to_owned(),
            recording: Arc::new(recording),
        }
    }
}

/// Answers until the router stops.
pub(super) async fn listen(router: Router, socket: UdpSocket) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if router.state().is_cut() {
            continue;
        }
        let request = buffer.get(..length).unwrap_or_default();
        let readers = readers(&router, from.ip());
        if let Some(answer) = answer(&objects::objects(&router), &readers, request) {
            // Who does not hear it asks again.
            let _lost = socket.send_to(&answer, from).await;
        }
    }
}

/// The communities by which who comes from there may read.
fn readers(router: &Router, from: IpAddr) -> Vec<String> {
    let names = router.names(from);
    let machine = router.machine();
    if machine.first("/snmp", "enabled").as_deref() != Some("yes") {
        return Vec::new();
    }
    let of =
        |row: &BTreeMap<String, String>, name: &str| row.get(name).cloned().unwrap_or_default();
    let lets_in = |row: &&BTreeMap<String, String>| {
        let addresses = of(row, "addresses");
        let mut nets = addresses
            .split(',')
            .filter_map(|net| net.parse::<ipnet::IpNet>().ok());
        ["", "none"].contains(&of(row, "security").as_str())
            && of(row, "read-access") != "no"
            && (addresses.is_empty() || nets.any(|net| names.iter().any(|name| net.contains(name))))
    };
    let rows = machine.state().remove("/snmp community");
    let rows = rows.unwrap_or_default();
    rows.iter()
        .filter(lets_in)
        .map(|row| of(row, "name"))
        .collect()
}

/// RFC 3416 §4.2. Nothing for what is no request, and for a community by which nobody reads.
pub(crate) fn answer(
    objects: &BTreeMap<Name, Recorded>,
    readers: &[String],
    request: &[u8],
) -> Option<Vec<u8>> {
    let (message, _) = expect(SEQUENCE, request)?;
    let (version, rest) = expect(INTEGER, message)?;
    let (told, rest) = expect(OCTETS, rest)?;
    if version != [1] || !readers.iter().any(|reader| reader.as_bytes() == told) {
        return None;
    }
    let (kind, pdu, _) = value(rest)?;
    let (id, rest) = expect(INTEGER, pdu)?;
    let (first, rest) = expect(INTEGER, rest)?;
    let (second, rest) = expect(INTEGER, rest)?;
    let (mut list, _) = expect(SEQUENCE, rest)?;
    let mut names = Vec::new();
    while !list.is_empty() {
        let (binding, rest) = expect(SEQUENCE, list)?;
        names.push(name(expect(OID, binding)?.0)?);
        list = rest;
    }
    let next = |after: &Name| {
        let mut later = objects.range((Bound::Excluded(after.clone()), Bound::Unbounded));
        match later.next() {
            Some((name, object)) => (name.clone(), encoded(object)),
            None => (after.clone(), (END, Vec::new())),
        }
    };
    let mut bindings = Vec::new();
    match kind {
        GET => bindings.extend(names.into_iter().map(|name| {
            let object = objects.get(&name).map(encoded);
            (name, object.unwrap_or((NO_INSTANCE, Vec::new())))
        })),
        NEXT => bindings.extend(names.iter().map(next)),
        BULK => {
            let once = usize::from(*first.last()?).min(names.len());
            let often = usize::from(*second.last()?);
            let (singles, columns) = names.split_at(once);
            bindings.extend(singles.iter().map(next));
            let mut cursors = columns.to_vec();
            for _ in 0..often {
                if cursors.is_empty() || bindings.len() + cursors.len() > MOST_BINDINGS {
                    break;
                }
                for cursor in &mut cursors {
                    let found = next(cursor);
                    cursor.clone_from(&found.0);
                    bindings.push(found);
                }
            }
        }
        _ => return None, // a set, or nonsense
    }
    let bindings = bindings.iter().flat_map(|(name, (kind, content))| {
        tlv(
            SEQUENCE,
            &[tlv(OID, &named(name)), tlv(*kind, content)].concat(),
        )
    });
    let bindings: Vec<u8> = bindings.collect();
    let zero = tlv(INTEGER, &[0]);
    let list = tlv(SEQUENCE, &bindings);
    let pdu = tlv(
        RESPONSE,
        &[tlv(INTEGER, id), zero.clone(), zero, list].concat(),
    );
    let message = [tlv(INTEGER, &[1]), tlv(OCTETS, told), pdu].concat();
    Some(tlv(SEQUENCE, &message))
}

/// An object on the wire: its type and its content.
fn encoded(object: &Recorded) -> (u8, Vec<u8>) {
    match object {
        Recorded::Integer(number) => (INTEGER, number_of((*number).into())),
        Recorded::Octets(octets) => (OCTETS, octets.clone()),
        Recorded::Name(name) => (OID, named(name)),
        Recorded::Address(address) => (ADDRESS, address.octets().to_vec()),
        Recorded::Counter32(number) => (COUNTER32, number_of((*number).into())),
        Recorded::Gauge(number) => (GAUGE, number_of((*number).into())),
        Recorded::Ticks(number) => (TICKS, number_of((*number).into())),
        Recorded::Counter64(number) => (COUNTER64, number_of((*number).into())),
    }
}

/// As few octets as say it, the first bit being the sign (X.690 §8.3).
fn number_of(number: i128) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let says_nothing = |two: &&[u8]| matches!(two, [0, 0..0x80] | [0xff, 0x80..=0xff]);
    let spare = octets.windows(2).take_while(says_nothing).count();
    octets[spare..].to_vec()
}

/// Splits a value off: its type, its content, what follows.
pub(crate) fn value(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [kind, first, rest @ ..] = octets else {
        return None;
    };
    let (length, rest) = match first {
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => {
            let (two, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*two)), rest)
        }
        0..0x80 => (usize::from(*first), rest),
        0x80 | 0x83.. => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*kind, content, rest))
}

pub(crate) fn expect(kind: u8, octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = value(octets)?;
    (found == kind).then_some((content, rest))
}

fn tlv(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut octets = match length {
        0..0x80 => vec![kind, length as u8],
        0x80..0x100 => vec![kind, 0x81, length as u8],
        _ => vec![kind, 0x82, (length >> 8) as u8, length as u8], // a datagram is no longer
    };
    octets.extend_from_slice(content);
    octets
}

/// The content of an OBJECT IDENTIFIER.
fn named(name: &[u32]) -> Vec<u8> {
    let [first, second, rest @ ..] = name else {
        return vec![0];
    };
    let mut octets = vec![(first * 40 + second) as u8];
    for arc in rest {
        let groups = (32 - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group > 0 { 0x80 } else { 0 };
            octets.push((arc >> (7 * group)) as u8 & 0x7f | more);
        }
    }
    octets
}

pub(crate) fn name(content: &[u8]) -> Option<Name> {
    let (first, rest) = content.split_first()?;
    let mut name = vec![u32::from(*first) / 40, u32::from(*first) % 40];
    let mut arc: u32 = 0;
    for octet in rest {
        arc = arc.checked_mul(128)?.checked_add(u32::from(octet & 0x7f))?;
        if octet & 0x80 == 0 {
            name.push(arc);
            arc = 0;
        }
    }
    Some(name)
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTETS: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
const ADDRESS: u8 = 0x40;
const COUNTER32: u8 = 0x41;
const GAUGE: u8 = 0x42;
const TICKS: u8 = 0x43;
const COUNTER64: u8 = 0x46;
const NO_INSTANCE: u8 = 0x81;
const END: u8 = 0x82;
const GET: u8 = 0xa0;
const NEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
const BULK: u8 = 0xa5;
/// What fits an answer of RouterOS.
const MOST_BINDINGS: usize = 50;
