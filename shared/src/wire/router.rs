//! What somebody wants of one router now, and what it said.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::condition::CertificateV1;
use super::configuration::ConfigurationV1;
use super::drift::{DriftV1, WantedV1};
use super::firmware::{FirmwareAskV1, FirmwareV1};
use super::line::AddressPlanV1;
use super::monitor::{DeviceFactsV1, SampleV1};
use super::setup::{SetupAskV1, SetupToldV1};
use crate::net::Mac;
use crate::time::Timestamp;

/// What is wanted. New wishes go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouterAsk {
    /// How is it?
    System,
    /// Its interfaces, and what goes through the lasting ones now.
    Interfaces,
    /// Its simple queues.
    Queues,
    /// One more simple queue.
    AddQueue(QueueWishV1),
    /// Another shape for a simple queue; what is `None` stays.
    ChangeQueue {
        /// Its id at the router.
        id: String,
        /// What changes.
        wish: QueueWishV1,
    },
    /// One simple queue less.
    RemoveQueue {
        /// Its id at the router.
        id: String,
    },
    /// The last lines of its log.
    Log {
        /// How many.
        most: u16,
    },
    /// Its DHCP leases.
    Leases,
    /// Which devices it sees around it.
    Neighbours,
    /// What it watches itself.
    Netwatch,
    /// Ping somebody from there.
    Ping {
        /// Whom.
        address: IpAddr,
        /// How often.
        count: u8,
    },
    /// Start anew.
    Reboot,
    /// Read it over SNMP.
    Snmp,
    /// Set it up.
    Setup(SetupAskV1),
    /// Its own addresses and its pools.
    AddressPlan,
    /// What differs from this?
    Compare(Vec<WantedV1>),
    /// Write what differs from this.
    Repair(Vec<WantedV1>),
    /// Make it a certificate for RadSec.
    Certificate,
    /// How is it configured?
    Configuration,
    /// Something of its software.
    Firmware(FirmwareAskV1),
    /// Which of its RADIUS secrets did it prove to know last?
    Secret,
    /// One of its lists, from a row on.
    Rows {
        /// Which.
        of: RowsOf,
        /// How many rows to leave out.
        from: u32,
    },
    /// End who is online there under this name and is no session of the system's.
    EndOutside {
        /// User-Name, as the router lists it.
        username: Vec<u8>,
    },
    /// Take the hotspot's pages from there, into the hotspot's folder.
    Pages(PagesV1),
}

/// Where the hotspot's pages are: `{url}{file}?{query}` for each of [`PAGES`](crate::setup::PAGES).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagesV1 {
    /// Up to the name of the file.
    pub url: String,
    /// Whose they are.
    pub query: String,
}

/// A list of a router that may be longer than an answer. New ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowsOf {
    /// As [`RouterAsk::Interfaces`].
    Interfaces,
    /// As [`RouterAsk::Queues`].
    Queues,
    /// As [`RouterAsk::Leases`].
    Leases,
    /// As [`RouterAsk::Neighbours`].
    Neighbours,
    /// As [`RouterAsk::Netwatch`].
    Netwatch,
}

/// What it said. New answers go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouterTold {
    /// To [`RouterAsk::System`].
    System(Box<SystemV1>),
    /// To [`RouterAsk::Interfaces`].
    Interfaces(Vec<InterfaceV1>),
    /// To [`RouterAsk::Queues`].
    Queues(Vec<QueueV1>),
    /// To [`RouterAsk::AddQueue`] and [`RouterAsk::ChangeQueue`]: the queue as it is now, read back.
    Queue(QueueV1),
    /// To [`RouterAsk::RemoveQueue`] and [`RouterAsk::Reboot`].
    Done,
    /// To [`RouterAsk::Log`], the newest last.
    Log(Vec<LogLineV1>),
    /// To [`RouterAsk::Leases`].
    Leases(Vec<LeaseV1>),
    /// To [`RouterAsk::Neighbours`].
    Neighbours(Vec<NeighbourV1>),
    /// To [`RouterAsk::Netwatch`].
    Netwatch(Vec<WatchV1>),
    /// To [`RouterAsk::Ping`].
    Pinged(PingV1),
    /// To [`RouterAsk::Snmp`].
    Snmp(Box<SnmpReadingV1>),
    /// To [`RouterAsk::Setup`].
    Setup(SetupToldV1),
    /// To [`RouterAsk::AddressPlan`].
    AddressPlan(AddressPlanV1),
    /// To [`RouterAsk::Compare`], and to [`RouterAsk::Repair`] what differs still.
    Drift(Box<DriftV1>),
    /// To [`RouterAsk::Certificate`].
    Certificate(Box<IssuedV1>),
    /// To [`RouterAsk::Configuration`].
    Configuration(Box<ConfigurationV1>),
    /// To [`RouterAsk::Firmware`]: what it runs; to a download and an installation [`RouterTold::Done`].
    Firmware(Box<FirmwareV1>),
    /// To [`RouterAsk::Secret`]; `None` where it proved none since the agent knows of it.
    Secret(Option<SecretV1>),
    /// To [`RouterAsk::Rows`].
    Rows {
        /// As the whole list is answered; as many rows as an answer holds.
        told: Box<RouterTold>,
        /// How many rows the list has.
        all: u32,
    },
    /// To [`RouterAsk::EndOutside`].
    Ended {
        /// How many were online under that name and are so no more.
        ended: u32,
    },
    /// To [`RouterAsk::Pages`]: why the first of those that did not come did not, in the router's words; `None` where
    /// all are there.
    Pages(Option<String>),
}

/// One of a router's RADIUS secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretV1 {
    /// The one that its record has.
    Present,
    /// The one before.
    Previous,
}

/// A certificate that the agent's own authority made, with its key; the agent keeps neither.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedV1 {
    /// What names it.
    pub named: CertificateV1,
    /// PEM.
    pub certificate: String,
    /// PEM; whoever holds it is the router.
    pub key: String,
    /// The authority by which the router knows the agent, PEM.
    pub authority: String,
}

impl std::fmt::Debug for IssuedV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("IssuedV1").field(&self.named).finish()
    }
}

/// How a router is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemV1 {
    /// `/system/identity`.
    pub identity: String,
    /// Since its start, seconds.
    pub uptime_secs: u64,
    /// `7.16.1 (stable)`.
    pub version: String,
    /// When that was built, as it says.
    pub build_time: String,
    /// Board.
    pub board: String,
    /// Model of the board; empty for one that is no RouterBOARD.
    pub model: String,
    /// Serial number; empty where there is none.
    pub serial: String,
    /// Firmware it runs and firmware it would take.
    pub firmware: (String, String),
    /// `MikroTik`.
    pub platform: String,
    /// `arm64`.
    pub architecture: String,
    /// Its processor.
    pub cpu: String,
    /// How many cores.
    pub cpu_count: Option<u32>,
    /// Megahertz.
    pub cpu_frequency: Option<u32>,
    /// Percent.
    pub cpu_load: Option<u32>,
    /// Octets.
    pub free_memory: Option<u64>,
    /// Octets.
    pub total_memory: Option<u64>,
    /// Octets.
    pub free_disk: Option<u64>,
    /// Octets.
    pub total_disk: Option<u64>,
    /// Its sensors: name, value, and unit as far as it tells one.
    pub health: Vec<(String, String, String)>,
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceV1 {
    /// Its id at the router.
    pub id: String,
    /// Name.
    pub name: String,
    /// `ether`, `bridge`, `pppoe-in`.
    pub kind: String,
    /// Whether it has a link.
    pub running: bool,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Whether it comes and goes with a session.
    pub dynamic: bool,
    /// Octets.
    pub mtu: Option<u32>,
    /// Its own address.
    pub mac: Option<Mac>,
    /// Comment.
    pub comment: String,
    /// Received.
    pub rx_bytes: Option<u64>,
    /// Sent.
    pub tx_bytes: Option<u64>,
    /// Bits a second; told for the lasting ones.
    pub rx_bps: Option<u64>,
    /// Bits a second.
    pub tx_bps: Option<u64>,
    /// How often its link went down.
    pub link_downs: Option<u64>,
}

/// A simple queue as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueV1 {
    /// Its id at the router.
    pub id: String,
    /// Name.
    pub name: String,
    /// Addresses or an interface.
    pub target: String,
    /// Up and down, bits a second; 0 is without limit.
    pub max_limit: (u64, u64),
    /// While it may burst; 0 is never.
    pub burst_limit: (u64, u64),
    /// Up and down, bits a second, now.
    pub rate: (u64, u64),
    /// Up and down, octets.
    pub bytes: (u64, u64),
    /// Whether it is switched off.
    pub disabled: bool,
    /// Whether a session made it.
    pub dynamic: bool,
    /// Comment.
    pub comment: String,
}

/// What a simple queue shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueWishV1 {
    /// Name.
    pub name: Option<String>,
    /// Addresses or an interface.
    pub target: Option<String>,
    /// Up and down, bits a second.
    pub max_limit: Option<(u64, u64)>,
    /// While it may burst.
    pub burst_limit: Option<(u64, u64)>,
    /// From which average on it may not, and over how many seconds that is taken.
    pub burst_threshold: Option<((u64, u64), (u32, u32))>,
    /// Whether it is switched off.
    pub disabled: Option<bool>,
}

/// A line of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLineV1 {
    /// When, as the router says.
    pub time: String,
    /// What about: `pppoe,info`.
    pub topics: String,
    /// What.
    pub message: String,
}

/// A DHCP lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseV1 {
    /// Address.
    pub address: String,
    /// Device.
    pub mac: Option<Mac>,
    /// What the device calls itself.
    pub host: String,
    /// Which DHCP server.
    pub server: String,
    /// `bound`, `waiting`.
    pub status: String,
    /// Until it ends, seconds.
    pub expires_secs: Option<u64>,
    /// Since it was heard of, seconds.
    pub seen_secs: Option<u64>,
    /// Whether it was given out, not written down.
    pub dynamic: bool,
    /// Whether it is refused.
    pub blocked: bool,
    /// Comment.
    pub comment: String,
}

/// A device around the router.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourV1 {
    /// On which interface.
    pub interface: String,
    /// Its address.
    pub address: String,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// What it calls itself.
    pub identity: String,
    /// `MikroTik`.
    pub platform: String,
    /// Software.
    pub version: String,
    /// Board.
    pub board: String,
    /// Since its start, seconds.
    pub uptime_secs: Option<u64>,
}

/// Something a router watches itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchV1 {
    /// Whom.
    pub host: String,
    /// How: `simple`, `icmp`, `dns`.
    pub kind: String,
    /// `up`, `down`, `unknown`.
    pub status: String,
    /// Since when, as the router says.
    pub since: String,
    /// How often, seconds.
    pub interval_secs: Option<u64>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Comment.
    pub comment: String,
}

/// What became of a ping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingV1 {
    /// How many were sent.
    pub sent: u32,
    /// How many came back.
    pub received: u32,
    /// Round trips, microseconds.
    pub micros: Vec<u64>,
    /// Why others did not, in the router's words.
    pub problem: String,
}

/// A device, read over SNMP now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnmpReadingV1 {
    /// What it is.
    pub facts: DeviceFactsV1,
    /// How it is.
    pub sample: SampleV1,
    /// Received and sent of each interface, as counted.
    pub octets: Vec<(Option<u64>, Option<u64>)>,
    /// When its last restart was, as it says.
    pub started: Option<Timestamp>,
}
