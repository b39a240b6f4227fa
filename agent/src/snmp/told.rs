//! A reading in the words of the link.

use std::time::Duration;

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::monitor::{
    DeviceFactsV1, PortFactV1, PortSampleV1, SampleV1, SensorFactV1, SensorUnit,
};

use super::rates::Through;
use super::reading::{Reading, Unit};

/// What seldom changes of a device.
pub fn facts(reading: &Reading) -> DeviceFactsV1 {
    let system = &reading.system;
    DeviceFactsV1 {
        description: system.description.clone(),
        object: system
            .object
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        name: system.name.clone(),
        location: system.location.clone(),
        version: system.version.clone(),
        licence_level: system.licence_level,
        serial: system.serial.clone(),
        firmware: system.firmware.clone(),
        board: system.board.clone(),
        cores: reading.cpu.len().try_into().unwrap_or(u32::MAX),
        memory_total: reading.memory.map(|memory| memory.total),
        disk_total: reading.disk.map(|disk| disk.total),
        sensors: reading
            .sensors
            .iter()
            .map(|sensor| SensorFactV1 {
                name: sensor.name.clone(),
                unit: match sensor.unit {
                    Unit::Celsius => SensorUnit::Celsius,
                    Unit::Rpm => SensorUnit::Rpm,
                    Unit::Volt => SensorUnit::Volt,
                    Unit::Ampere => SensorUnit::Ampere,
                    Unit::Watt => SensorUnit::Watt,
                    Unit::Status => SensorUnit::Status,
                },
            })
            .collect(),
        ports: reading
            .interfaces
            .iter()
            .map(|port| PortFactV1 {
                index: port.index,
                name: port.name.clone(),
                alias: port.alias.clone(),
                kind: port.kind,
                enabled: port.enabled,
                speed_bps: port.speed_bps,
            })
            .collect(),
    }
}

/// What a device is like at one time.
pub fn sample(reading: &Reading, through: &[Through], at: Timestamp, first: Duration) -> SampleV1 {
    let mut through = through.iter().copied();
    SampleV1 {
        at,
        millis: first.as_millis().try_into().unwrap_or(u32::MAX),
        uptime_secs: reading.uptime_secs(),
        cpu: reading.cpu_percent(),
        memory_used: reading.memory.map(|memory| memory.used),
        disk_used: reading.disk.map(|disk| disk.used),
        ppp: reading.ppp_sessions,
        hotspot: reading.hotspot_sessions,
        leases: reading.dhcp_leases,
        sensors: reading
            .sensors
            .iter()
            .map(|sensor| Some(sensor.milli))
            .collect(),
        ports: reading
            .interfaces
            .iter()
            .map(|port| {
                let through = through.next().unwrap_or_default();
                PortSampleV1 {
                    status: port.status,
                    in_bps: through.in_bps,
                    out_bps: through.out_bps,
                    errors: through.errors,
                    drops: through.drops,
                }
            })
            .collect(),
    }
}
