//! The pretend router's SNMP: version 2c, to read. Written from the RFCs beside the agent's, with a reader and a
//! writer of its own; Net-SNMP's client judges it.
//!
//! Who may read is what its configuration says: `/snmp enabled`, and the rows of `/snmp community` that ask for no
//! signature. What a row of version 3 lets in, Net-SNMP's own daemon says in the stories.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;

use tokio::net::UdpSocket;

use super::Router;
use super::session::Service;

/// `/snmp` and its community.
#[derive(Clone, Debug)]
pub struct Snmp {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Who knows this may read.
    pub community: String,
}

impl Snmp {
    /// On a free loopback port.
    pub fn new(community: &str) -> Snmp {
        Snmp {
            listen: ([127, 0, 0, 1], 0).into(),
            community: community.to_owned(),
        }
    }
}

pub(crate) type Name = Vec<u32>;

/// What stands at a name: its type and content.
pub(crate) type Object = (u8, Vec<u8>);

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
        if let Some(answer) = answer(&objects(&router), &readers, request) {
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
    objects: &BTreeMap<Name, Object>,
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
            Some((name, object)) => (name.clone(), object.clone()),
            None => (after.clone(), (END, Vec::new())),
        }
    };
    let mut bindings = Vec::new();
    match kind {
        GET => bindings.extend(names.into_iter().map(|name| {
            let object = objects.get(&name).cloned();
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

/// What the router tells: itself, `ether1`, and an interface for each PPPoE session.
fn objects(router: &Router) -> BTreeMap<Name, Object> {
    let now = router.shared.clock.now();
    let up = now.since(router.state().booted).as_millis() / 10;
    let sessions = router.sessions();
    let of = |service| {
        sessions
            .iter()
            .filter(move |session| session.service == service)
    };
    let mut told = Told::default();
    told.text("1.3.6.1.2.1.1.1.0", "RouterOS CHR");
    told.put(
        "1.3.6.1.2.1.1.2.0",
        (OID, named(&[1, 3, 6, 1, 4, 1, 14988, 1])),
    );
    told.number("1.3.6.1.2.1.1.3.0", TICKS, up as u64 & 0xffff_ffff);
    told.text("1.3.6.1.2.1.1.5.0", &router.wiring().identity);
    told.text("1.3.6.1.2.1.1.6.0", "");
    told.text("1.3.6.1.4.1.14988.1.1.4.4.0", "7.18.2");
    told.text("1.3.6.1.4.1.14988.1.1.7.3.0", "HEX0000DEMO");
    told.number("1.3.6.1.2.1.25.3.3.1.2.1", INTEGER, 7);
    for (index, name, size, used) in [
        (65536, "main memory", 1_048_576, 262_144),
        (131_072, "system disk", 1_048_576, 169_669),
    ] {
        let kind = if index == 65536 { 2 } else { 4 };
        let at = |column: u32| format!("1.3.6.1.2.1.25.2.3.1.{column}.{index}");
        told.put(&at(2), (OID, named(&[1, 3, 6, 1, 2, 1, 25, 2, 1, kind])));
        told.text(&at(3), name);
        told.number(&at(4), INTEGER, 1024);
        told.number(&at(5), INTEGER, size);
        told.number(&at(6), INTEGER, used);
    }
    for (index, name, raw, unit) in [(13, "voltage", 239, 3), (14, "cpu-temperature", 47, 1)] {
        let at = |column: u32| format!("1.3.6.1.4.1.14988.1.1.3.100.1.{column}.{index}");
        told.text(&at(2), name);
        told.number(&at(3), GAUGE, raw);
        told.number(&at(4), INTEGER, unit);
    }
    let ppp = of(Service::Pppoe).count() as u64;
    told.number("1.3.6.1.4.1.9.9.150.1.1.1.0", GAUGE, ppp);
    for (row, session) in of(Service::Hotspot).enumerate() {
        let at = format!("1.3.6.1.4.1.14988.1.1.5.1.1.5.{}", row + 1);
        told.put(&at, (ADDRESS, session.address.octets().to_vec()));
    }
    let mut all = (60_987, 2_781_511);
    for (row, session) in of(Service::Pppoe).enumerate() {
        let usage = session.usage(now);
        all = (all.0 + usage.down, all.1 + usage.up);
        // RouterOS gives lines that come and go numbers far from the others'.
        let name = format!("<pppoe-{}>", session.user);
        told.interface(
            0xf0_0000 + row as u32,
            &name,
            23,
            "",
            0,
            (usage.up, usage.down),
        );
    }
    told.interface(1, "ether1", 6, "uplink", 1000, all);
    told.0
}

/// Objects, as they are put down.
#[derive(Default)]
pub(crate) struct Told(pub(crate) BTreeMap<Name, Object>);

impl Told {
    pub(crate) fn put(&mut self, name: &str, object: Object) {
        let name = name.split('.').filter_map(|arc| arc.parse().ok()).collect();
        self.0.insert(name, object);
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.put(name, (OCTETS, text.as_bytes().to_vec()));
    }

    pub(crate) fn number(&mut self, name: &str, kind: u8, number: u64) {
        // A zero before, so that a first bit that is set is no sign.
        let octets = [&[0][..], &number.to_be_bytes()[..]].concat();
        let zeros = octets
            .windows(2)
            .take_while(|two| two[0] == 0 && two[1] < 0x80)
            .count();
        self.put(name, (kind, octets[zeros..].to_vec()));
    }

    pub(crate) fn interface(
        &mut self,
        index: u32,
        name: &str,
        kind: u64,
        comment: &str,
        megabits: u64,
        (input, output): (u64, u64),
    ) {
        let entry = |column: u32| format!("1.3.6.1.2.1.2.2.1.{column}.{index}");
        self.text(&entry(2), name);
        self.number(&entry(3), INTEGER, kind);
        self.number(&entry(5), GAUGE, megabits * 1_000_000);
        self.number(&entry(7), INTEGER, 1);
        self.number(&entry(8), INTEGER, 1);
        for column in [13, 14, 19, 20] {
            self.number(&entry(column), COUNTER32, 0);
        }
        let extended = |column: u32| format!("1.3.6.1.2.1.31.1.1.1.{column}.{index}");
        self.text(&extended(1), name);
        self.number(&extended(6), COUNTER64, input);
        self.number(&extended(10), COUNTER64, output);
        self.number(&extended(15), GAUGE, megabits);
        self.text(&extended(18), comment);
    }
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
pub(crate) fn named(name: &[u32]) -> Vec<u8> {
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
pub(crate) const COUNTER32: u8 = 0x41;
pub(crate) const GAUGE: u8 = 0x42;
pub(crate) const TICKS: u8 = 0x43;
pub(crate) const COUNTER64: u8 = 0x46;
const NO_INSTANCE: u8 = 0x81;
const END: u8 = 0x82;
const GET: u8 = 0xa0;
const NEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
const BULK: u8 = 0xa5;
/// What fits an answer of RouterOS.
const MOST_BINDINGS: usize = 50;
