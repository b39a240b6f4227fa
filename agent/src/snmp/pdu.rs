//! Protocol data units (RFC 3416 §3) and the message of SNMPv2c around them (RFC 1901 §3).

use std::net::Ipv4Addr;

use super::ber::{self, BerError, INTEGER, NULL, OCTETS, OID, Reader, SEQUENCE, Writer};
use super::oid::Oid;

/// What an agent says of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// INTEGER.
    Integer(i64),
    /// OCTET STRING, also Opaque.
    Octets(Vec<u8>),
    /// NULL.
    Null,
    /// OBJECT IDENTIFIER.
    Name(Oid),
    /// IpAddress.
    Address(Ipv4Addr),
    /// Counter32.
    Counter32(u32),
    /// Gauge32 or Unsigned32.
    Gauge(u32),
    /// TimeTicks, hundredths of a second.
    Ticks(u32),
    /// Counter64.
    Counter64(u64),
    /// There is no such object.
    NoObject,
    /// There is no such instance of it.
    NoInstance,
    /// There is nothing after this name.
    End,
}

impl Value {
    /// Whether the agent has it.
    pub fn is_there(&self) -> bool {
        !matches!(
            self,
            Value::NoObject | Value::NoInstance | Value::End | Value::Null
        )
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// These objects.
    Get(Vec<Oid>),
    /// What follows each of these.
    Next(Vec<Oid>),
    /// So many of what follows each of these.
    Bulk {
        /// After these.
        after: Vec<Oid>,
        /// How many.
        repetitions: u16,
    },
}

/// What an agent sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdu {
    /// Response or report.
    pub kind: Kind,
    /// The request's.
    pub id: i32,
    /// RFC 3416 §3: 0 is none, 1 too big, 2 no such name, 5 general.
    pub error: i32,
    /// Which binding is at fault, from 1.
    pub error_index: i32,
    /// The objects.
    pub bindings: Vec<(Oid, Value)>,
}

/// What kind of answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To what was asked.
    Response,
    /// Of SNMPv3: why it was not taken.
    Report,
}

impl Request {
    /// Puts the PDU under this id.
    pub(super) fn write(&self, id: i32, writer: &mut Writer) {
        let (tag, names, first, second) = match self {
            Request::Get(names) => (GET, names, 0, 0),
            Request::Next(names) => (NEXT, names, 0, 0),
            Request::Bulk { after, repetitions } => (BULK, after, 0, i64::from(*repetitions)),
        };
        let since = writer.len();
        for name in names.iter().rev() {
            let binding = writer.len();
            writer.null();
            writer.oid(name);
            writer.wrap(SEQUENCE, binding);
        }
        writer.wrap(SEQUENCE, since);
        writer.integer(second);
        writer.integer(first);
        writer.integer(i64::from(id));
        writer.wrap(tag, since);
    }

    /// The message of SNMPv2c.
    pub fn community_message(&self, community: &[u8], id: i32) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(id, &mut writer);
        writer.octets(community);
        writer.integer(V2C);
        writer.wrap(SEQUENCE, 0);
        writer.finish()
    }
}

impl Pdu {
    /// Reads a message of SNMPv2c; `None` when it is of another version.
    pub fn read_community_message(octets: &[u8]) -> Result<Option<Pdu>, BerError> {
        let mut message = Reader::new(octets).inside(SEQUENCE)?;
        if i64::from(message.integer()?) != V2C {
            return Ok(None);
        }
        let _community = message.octets()?;
        Pdu::read(&mut message).map(Some)
    }

    /// Reads a PDU.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Pdu, BerError> {
        let (tag, content) = reader.value()?;
        let kind = match tag {
            RESPONSE => Kind::Response,
            REPORT => Kind::Report,
            _ => return Err(BerError::Tag), // octets from the network
        };
        let mut pdu = Reader::new(content);
        let (id, error, error_index) = (pdu.integer()?, pdu.integer()?, pdu.integer()?);
        let mut list = pdu.inside(SEQUENCE)?;
        let mut bindings = Vec::new();
        while !list.is_empty() {
            let mut binding = list.inside(SEQUENCE)?;
            let name = ber::oid(binding.expect(OID)?)?;
            let (tag, content) = binding.value()?;
            bindings.push((name, value(tag, content)?));
        }
        Ok(Pdu {
            kind,
            id,
            error,
            error_index,
            bindings,
        })
    }
}

/// Reads a value; one of an unknown type is as good as none.
fn value(tag: u8, content: &[u8]) -> Result<Value, BerError> {
    // Some agents let 32-bit counters overflow into a fifth octet: what fits is meant.
    let narrow = |content| Ok::<_, BerError>((ber::unsigned(content)? & 0xffff_ffff) as u32);
    Ok(match tag {
        INTEGER => Value::Integer(ber::signed(content)?),
        OCTETS | OPAQUE => Value::Octets(short(content)),
        OID => Value::Name(ber::oid(content)?),
        ADDRESS => match <[u8; 4]>::try_from(content) {
            Ok(octets) => Value::Address(octets.into()),
            Err(_) => Value::Octets(short(content)),
        },
        COUNTER32 => Value::Counter32(narrow(content)?),
        GAUGE => Value::Gauge(narrow(content)?),
        TICKS => Value::Ticks(narrow(content)?),
        COUNTER64 => Value::Counter64(ber::unsigned(content)?),
        NO_OBJECT => Value::NoObject,
        NO_INSTANCE => Value::NoInstance,
        END => Value::End,
        NULL => Value::Null,
        _ => Value::Null, // octets from the network
    })
}

/// No more of it than anything has that is read here: what a device makes longer is not kept.
fn short(content: &[u8]) -> Vec<u8> {
    content.iter().take(LONGEST).copied().collect()
}

/// Octets of one value.
const LONGEST: usize = 4096;

/// The id by which an answer is known before it is read: request-id, or msgID of SNMPv3.
pub fn id_of(octets: &[u8]) -> Option<i32> {
    let mut message = Reader::new(octets).inside(SEQUENCE).ok()?;
    match i64::from(message.integer().ok()?) {
        V2C => {
            message.octets().ok()?;
            let (_, content) = message.value().ok()?;
            Reader::new(content).integer().ok()
        }
        V3 => message.inside(SEQUENCE).ok()?.integer().ok(),
        _ => None, // octets from the network
    }
}

pub(super) const V2C: i64 = 1;
pub(super) const V3: i64 = 3;

const GET: u8 = 0xa0;
const NEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
const BULK: u8 = 0xa5;
const REPORT: u8 = 0xa8;

const ADDRESS: u8 = 0x40;
const COUNTER32: u8 = 0x41;
const GAUGE: u8 = 0x42;
const TICKS: u8 = 0x43;
const OPAQUE: u8 = 0x44;
const COUNTER64: u8 = 0x46;
const NO_OBJECT: u8 = 0x80;
const NO_INSTANCE: u8 = 0x81;
const END: u8 = 0x82;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// `snmpget -v2c -c public … sysUpTime.0`, as Net-SNMP sends it but for the id.
    #[test]
    fn a_request_is_as_net_snmp_sends_it() {
        let uptime = Oid::parse("1.3.6.1.2.1.1.3.0").unwrap();
        let sent = Request::Get(vec![uptime]).community_message(b"public", 0x1234);
        let expected = hex::decode(
            "302702010104067075626c6963a01a02021234020100020100300e300c06082b060102010103000500",
        );
        assert_eq!(sent, expected.unwrap());
        assert_eq!(id_of(&sent), Some(0x1234));
    }

    #[test]
    fn a_value_is_kept_as_far_as_anybody_reads_it() {
        let read = value(OCTETS, &[7; 60_000]).unwrap();
        assert_eq!(read, Value::Octets(vec![7; LONGEST]));
    }

    #[test]
    fn an_answer_is_read_value_by_value() {
        let mut writer = Writer::default();
        writer.raw(&hex::decode("300f06082b06010201010300430300beef").unwrap());
        writer.wrap(SEQUENCE, 0);
        writer.integer(0);
        writer.integer(0);
        writer.integer(7);
        writer.wrap(RESPONSE, 0);
        writer.octets(b"public");
        writer.integer(V2C);
        writer.wrap(SEQUENCE, 0);
        let read = Pdu::read_community_message(&writer.finish())
            .unwrap()
            .unwrap();
        let uptime = Oid::parse("1.3.6.1.2.1.1.3.0").unwrap();
        assert_eq!(read.id, 7);
        assert_eq!(read.bindings, [(uptime, Value::Ticks(0xbeef))]);
    }
}
