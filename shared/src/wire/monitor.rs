//! Watching devices over SNMP: how to enter one, and what was read.

use serde::{Deserialize, Serialize};

use super::WireError;
use super::down::Sealed;
use super::frame::{encode, take};
use crate::id::RouterId;
use crate::time::Timestamp;

/// A device to watch; its id and address are the router's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitoredV1 {
    /// The router.
    pub router: RouterId,
    /// UDP port.
    pub port: u16,
    /// Seconds between two readings.
    pub interval_secs: u32,
    /// How to enter.
    pub access: SnmpAccessV1,
}

/// How to enter a device. New ways go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnmpAccessV1 {
    /// SNMPv2c with this community, sealed for the field `community`.
    Community(Sealed),
    /// SNMPv3.
    User {
        /// The user's name.
        name: String,
        /// How he signs, and his password, sealed for the field `auth`.
        auth: Option<(SnmpAuth, Sealed)>,
        /// How he enciphers, and his password, sealed for the field `privacy`.
        privacy: Option<(SnmpPrivacy, Sealed)>,
    },
}

/// How SNMPv3 signs. New ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SnmpAuth {
    /// HMAC-MD5-96.
    Md5,
    /// HMAC-SHA-96.
    Sha1,
    /// HMAC-128-SHA-224.
    Sha224,
    /// HMAC-192-SHA-256.
    Sha256,
    /// HMAC-256-SHA-384.
    Sha384,
    /// HMAC-384-SHA-512.
    Sha512,
}

/// How SNMPv3 enciphers. New ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SnmpPrivacy {
    /// CBC-DES.
    Des,
    /// CFB128-AES-128.
    Aes128,
}

/// What was read of one device since the report before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsV1 {
    /// The router.
    pub router: RouterId,
    /// When it was asked last.
    pub at: Timestamp,
    /// Why it could not be read then, a sentence for a person.
    pub problem: Option<String>,
    /// What it is; told when it changed.
    pub facts: Option<Box<DeviceFactsV1>>,
    /// What was read, the oldest first.
    pub samples: Vec<SampleV1>,
}

/// What was read of one device since the report before, as it travels to a cloud that has [`PACKED_METRICS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedMetricsV1 {
    /// [`ReadingsV1::encode`], deflated (RFC 1951): samples are much alike.
    pub deflated: Vec<u8>,
}

/// What is packed. New shapes go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadingsV1 {
    /// As without packing.
    V1 {
        /// What was read.
        told: MetricsV1,
        /// Interfaces that the facts leave out: it has more than are watched.
        ports_left_out: u32,
    },
}

impl ReadingsV1 {
    /// The octets that are deflated.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what was inflated; untrusted octets.
    pub fn decode(octets: &[u8]) -> Result<ReadingsV1, WireError> {
        take(octets)
    }
}

/// The ability of a cloud that reads [`PackedMetricsV1`].
pub const PACKED_METRICS: &str = "packed-metrics";

/// The most octets that the readings of one record may have once they are inflated.
pub const READINGS_CAP: usize = 1 << 20;

/// What a device is: what seldom changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFactsV1 {
    /// sysDescr.
    pub description: String,
    /// sysObjectID, dotted.
    pub object: String,
    /// sysName.
    pub name: String,
    /// sysLocation.
    pub location: String,
    /// RouterOS version.
    pub version: Option<String>,
    /// RouterOS licence level.
    pub licence_level: Option<u32>,
    /// Serial number.
    pub serial: Option<String>,
    /// Firmware.
    pub firmware: Option<String>,
    /// Board.
    pub board: Option<String>,
    /// How many cores.
    pub cores: u32,
    /// Memory, octets.
    pub memory_total: Option<u64>,
    /// Disk, octets.
    pub disk_total: Option<u64>,
    /// Its sensors; samples tell them in this order.
    pub sensors: Vec<SensorFactV1>,
    /// Its interfaces that are watched; samples tell them in this order.
    pub ports: Vec<PortFactV1>,
}

/// A sensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorFactV1 {
    /// What the device calls it.
    pub name: String,
    /// In what it measures.
    pub unit: SensorUnit,
}

/// In what a sensor measures. New units go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SensorUnit {
    /// Degrees Celsius.
    Celsius,
    /// Rounds a minute.
    Rpm,
    /// Volts.
    Volt,
    /// Amperes.
    Ampere,
    /// Watts.
    Watt,
    /// 0 is well.
    Status,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortFactV1 {
    /// ifIndex.
    pub index: u32,
    /// ifName.
    pub name: String,
    /// ifAlias.
    pub alias: String,
    /// ifType.
    pub kind: u32,
    /// Whether it is switched on.
    pub enabled: Option<bool>,
    /// Bits a second.
    pub speed_bps: Option<u64>,
}

/// What was read at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleV1 {
    /// When.
    pub at: Timestamp,
    /// Milliseconds until its first answer.
    pub millis: u32,
    /// Seconds since it started.
    pub uptime_secs: Option<u64>,
    /// Percent, over all cores.
    pub cpu: Option<u32>,
    /// Memory in use, octets.
    pub memory_used: Option<u64>,
    /// Disk in use, octets.
    pub disk_used: Option<u64>,
    /// PPP sessions.
    pub ppp: Option<u32>,
    /// Hotspot sessions.
    pub hotspot: Option<u32>,
    /// DHCP leases.
    pub leases: Option<u32>,
    /// Thousandths of each sensor's unit; `None` where it told nothing.
    pub sensors: Vec<Option<i64>>,
    /// Each interface.
    pub ports: Vec<PortSampleV1>,
}

/// An interface at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSampleV1 {
    /// ifOperStatus: 1 is up.
    pub status: Option<u32>,
    /// Received, bits a second; `None` where nobody can tell.
    pub in_bps: Option<u64>,
    /// Sent, bits a second.
    pub out_bps: Option<u64>,
    /// Broken packets since the reading before.
    pub errors: u64,
    /// Packets thrown away since then.
    pub drops: u64,
}
