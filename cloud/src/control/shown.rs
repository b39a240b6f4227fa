//! What routers say, in the words of the API.

use easyisp_shared::wire::router::{
    InterfaceV1, LeaseV1, LogLineV1, NeighbourV1, PingV1, QueueV1, SystemV1, WatchV1,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::customers::uptime;

/// How a router is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemStats {
    identity: String,
    board_name: String,
    model: Option<String>,
    serial_number: Option<String>,
    version: String,
    build_time: Option<String>,
    /// Firmware of the board, and the one it would take.
    firmware: Option<String>,
    firmware_upgrade: Option<String>,
    platform: String,
    architecture: String,
    cpu: String,
    cpu_count: Option<u32>,
    /// Megahertz.
    cpu_frequency: Option<u32>,
    /// Percent.
    cpu_load: Option<u32>,
    /// Megabytes.
    memory_used: Option<u64>,
    /// Megabytes.
    memory_total: Option<u64>,
    /// Bytes.
    free_memory: Option<u64>,
    /// Bytes.
    total_memory: Option<u64>,
    /// Bytes.
    free_hdd_space: Option<u64>,
    /// Bytes.
    total_hdd_space: Option<u64>,
    /// `3d 4h 5m 6s`.
    uptime: String,
    uptime_secs: u64,
    health: Vec<Sensor>,
    /// `ONLINE`: it answered.
    status: &'static str,
}

/// A sensor of a router.
#[derive(Serialize, ToSchema)]
pub struct Sensor {
    name: String,
    value: String,
    /// `C`, `V`, `A`, `W`, `RPM`; empty for a state.
    unit: String,
}

impl From<SystemV1> for SystemStats {
    fn from(told: SystemV1) -> SystemStats {
        let some = |text: String| (!text.is_empty()).then_some(text);
        let used = told.total_memory.zip(told.free_memory);
        let (firmware, firmware_upgrade) = told.firmware;
        let sensor = |(name, value, unit)| Sensor { name, value, unit };
        SystemStats {
            identity: told.identity,
            board_name: told.board,
            model: some(told.model),
            serial_number: some(told.serial),
            version: told.version,
            build_time: some(told.build_time),
            firmware: some(firmware),
            firmware_upgrade: some(firmware_upgrade),
            platform: told.platform,
            architecture: told.architecture,
            cpu: told.cpu,
            cpu_count: told.cpu_count,
            cpu_frequency: told.cpu_frequency,
            cpu_load: told.cpu_load,
            memory_used: used.map(|(total, free)| total.saturating_sub(free) >> 20),
            memory_total: told.total_memory.map(|total| total >> 20),
            free_memory: told.free_memory,
            total_memory: told.total_memory,
            free_hdd_space: told.free_disk,
            total_hdd_space: told.total_disk,
            uptime: uptime(told.uptime_secs),
            uptime_secs: told.uptime_secs,
            health: told.health.into_iter().map(sensor).collect(),
            status: "ONLINE",
        }
    }
}

/// An interface of a router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    running: bool,
    disabled: bool,
    /// It comes and goes with a session.
    dynamic: bool,
    mtu: Option<u32>,
    mac_address: Option<String>,
    comment: String,
    rx_bytes: Option<u64>,
    tx_bytes: Option<u64>,
    /// Bits a second, now; of the lasting ones.
    rx_bps: Option<u64>,
    /// Bits a second.
    tx_bps: Option<u64>,
    link_downs: Option<u64>,
}

impl From<InterfaceV1> for Interface {
    fn from(told: InterfaceV1) -> Interface {
        Interface {
            id: told.id,
            name: told.name,
            kind: told.kind,
            running: told.running,
            disabled: told.disabled,
            dynamic: told.dynamic,
            mtu: told.mtu,
            mac_address: told.mac.map(|mac| mac.to_string()),
            comment: told.comment,
            rx_bytes: told.rx_bytes,
            tx_bytes: told.tx_bytes,
            rx_bps: told.rx_bps,
            tx_bps: told.tx_bps,
            link_downs: told.link_downs,
        }
    }
}

/// A simple queue of a router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    id: String,
    name: String,
    target: String,
    /// Up and down, bits a second: `5000000/10000000`; 0 is without limit.
    max_limit: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst_limit: Option<String>,
    /// Up and down, bits a second, now.
    rate: String,
    /// Up and down.
    bytes: String,
    disabled: bool,
    /// A session made it, and it goes with it.
    dynamic: bool,
    comment: String,
}

impl From<QueueV1> for Queue {
    fn from(told: QueueV1) -> Queue {
        let pair = |(up, down): (u64, u64)| format!("{up}/{down}");
        Queue {
            id: told.id,
            name: told.name,
            target: told.target,
            max_limit: pair(told.max_limit),
            burst_limit: (told.burst_limit != (0, 0)).then(|| pair(told.burst_limit)),
            rate: pair(told.rate),
            bytes: pair(told.bytes),
            disabled: told.disabled,
            dynamic: told.dynamic,
            comment: told.comment,
        }
    }
}

/// A line of a router's log.
#[derive(Serialize, ToSchema)]
pub struct LogLine {
    /// When, as the router says.
    time: String,
    /// `pppoe,info`.
    topics: String,
    message: String,
}

impl From<LogLineV1> for LogLine {
    fn from(told: LogLineV1) -> LogLine {
        LogLine {
            time: told.time,
            topics: told.topics,
            message: told.message,
        }
    }
}

/// A DHCP lease.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    address: String,
    mac_address: Option<String>,
    host_name: String,
    server: String,
    /// `bound`, `waiting`.
    status: String,
    expires_in_secs: Option<u64>,
    last_seen_secs: Option<u64>,
    dynamic: bool,
    blocked: bool,
    comment: String,
}

impl From<LeaseV1> for Lease {
    fn from(told: LeaseV1) -> Lease {
        Lease {
            address: told.address,
            mac_address: told.mac.map(|mac| mac.to_string()),
            host_name: told.host,
            server: told.server,
            status: told.status,
            expires_in_secs: told.expires_secs,
            last_seen_secs: told.seen_secs,
            dynamic: told.dynamic,
            blocked: told.blocked,
            comment: told.comment,
        }
    }
}

/// A device around a router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Neighbour {
    interface: String,
    address: String,
    mac_address: Option<String>,
    identity: String,
    platform: String,
    version: String,
    board: String,
    uptime_secs: Option<u64>,
}

impl From<NeighbourV1> for Neighbour {
    fn from(told: NeighbourV1) -> Neighbour {
        Neighbour {
            interface: told.interface,
            address: told.address,
            mac_address: told.mac.map(|mac| mac.to_string()),
            identity: told.identity,
            platform: told.platform,
            version: told.version,
            board: told.board,
            uptime_secs: told.uptime_secs,
        }
    }
}

/// Something a router watches itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    host: String,
    #[serde(rename = "type")]
    kind: String,
    /// `up`, `down`, `unknown`.
    status: String,
    /// Since when, as the router says.
    since: String,
    interval_secs: Option<u64>,
    disabled: bool,
    comment: String,
}

impl From<WatchV1> for Watch {
    fn from(told: WatchV1) -> Watch {
        Watch {
            host: told.host,
            kind: told.kind,
            status: told.status,
            since: told.since,
            interval_secs: told.interval_secs,
            disabled: told.disabled,
            comment: told.comment,
        }
    }
}

/// What became of a ping.
#[derive(Serialize, ToSchema)]
pub struct Pinged {
    /// Something came back.
    success: bool,
    message: String,
    address: String,
    sent: u32,
    received: u32,
    /// Percent that did not come back.
    loss: u32,
    /// Mean round trip, milliseconds.
    latency: Option<f64>,
    /// Shortest, milliseconds.
    min: Option<f64>,
    /// Longest, milliseconds.
    max: Option<f64>,
}

impl Pinged {
    pub(super) fn new(told: PingV1, address: String) -> Pinged {
        let trips = &told.micros;
        let millis = |micros: u64| micros as f64 / 1000.0;
        let count = trips.len() as f64;
        let mean = trips.iter().map(|trip| *trip as f64).sum::<f64>() / count / 1000.0;
        let lost = told.sent.saturating_sub(told.received);
        let message = match (told.received, told.problem.as_str()) {
            (0, "") => format!("{address} does not answer the router"),
            (0, why) => format!("{address} does not answer the router: {why}"),
            (received, _) => format!("{received} of {} came back", told.sent),
        };
        Pinged {
            success: told.received > 0,
            message,
            address,
            sent: told.sent,
            received: told.received,
            loss: (lost * 100).checked_div(told.sent).unwrap_or(0),
            latency: (!trips.is_empty()).then(|| (mean * 1000.0).round() / 1000.0),
            min: trips.iter().min().copied().map(millis),
            max: trips.iter().max().copied().map(millis),
        }
    }
}
