//! Recordings of what a device says over SNMP, in snmpsim's form: `OID|type|value`, one object a line.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};

/// The numbers of an object's name.
pub type Name = Vec<u32>;

/// What stands at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// INTEGER.
    Integer(i32),
    /// OCTET STRING.
    Octets(Vec<u8>),
    /// OBJECT IDENTIFIER.
    Name(Name),
    /// IpAddress.
    Address(Ipv4Addr),
    /// Counter32.
    Counter32(u32),
    /// Gauge32.
    Gauge(u32),
    /// TimeTicks.
    Ticks(u32),
    /// Counter64.
    Counter64(u64),
}

/// Everything that a device said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording(pub BTreeMap<Name, Recorded>);

impl Recording {
    /// Reads a recording.
    pub fn read(text: &str) -> Result<Recording> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let read = lines.map(|line| object(line).with_context(|| format!("the line {line}")));
        Ok(Recording(read.collect::<Result<_>>()?))
    }

    /// What stands under a name: what comes after that name, and the object.
    pub fn under<'a>(&'a self, root: &'a [u32]) -> impl Iterator<Item = (&'a [u32], &'a Recorded)> {
        let rows = self.0.range(root.to_vec()..);
        rows.map_while(|(name, object)| Some((name.strip_prefix(root)?, object)))
    }

    /// The text of an object.
    pub fn text(&self, name: &[u32]) -> Option<String> {
        match self.0.get(name)? {
            Recorded::Octets(octets) => Some(String::from_utf8_lossy(octets).into_owned()),
            other => panic!("text, not {other:?}"),
        }
    }

    /// The number of an object.
    pub fn number(&self, name: &[u32]) -> Option<i64> {
        Some(match self.0.get(name)? {
            Recorded::Integer(number) => i64::from(*number),
            Recorded::Counter32(number) | Recorded::Gauge(number) | Recorded::Ticks(number) => {
                i64::from(*number)
            }
            Recorded::Counter64(number) => i64::try_from(*number).ok()?,
            Recorded::Octets(_) | Recorded::Name(_) | Recorded::Address(_) => return None,
        })
    }
}

fn object(line: &str) -> Result<(Name, Recorded)> {
    let [at, kind, value] = line.splitn(3, '|').collect::<Vec<_>>()[..] else {
        bail!("three parts");
    };
    let object = match kind {
        "2" => Recorded::Integer(value.parse()?),
        // snmpsim reads lines without the spaces at their end.
        "4" => Recorded::Octets(value.trim_end().as_bytes().to_vec()),
        "4x" => Recorded::Octets(hex::decode(value)?),
        "6" => Recorded::Name(name(value)?),
        "64" => Recorded::Address(value.parse()?),
        "65" => Recorded::Counter32(value.parse()?),
        "66" => Recorded::Gauge(value.parse()?),
        "67" => Recorded::Ticks(value.parse()?),
        "70" => Recorded::Counter64(value.parse()?),
        other => bail!("type {other}"),
    };
    Ok((name(at)?, object))
}

/// `1.3.6.1` as numbers.
pub fn name(text: &str) -> Result<Name> {
    let arcs = text.trim_start_matches('.').split('.').map(str::parse);
    Ok(arcs.collect::<Result<_, _>>()?)
}
