//! What was read in a minute, an hour or a day: sums, so that longer ones are made of shorter ones.

use std::collections::BTreeMap;
use std::time::Duration;

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::monitor::{DeviceFactsV1, SampleV1, SensorUnit};
use serde::{Deserialize, Serialize};

/// Seconds, and how long rows of that length are kept.
pub const KEPT: [(i32, Duration); 3] = [
    (MINUTE, Duration::from_secs(2 * DAY as u64)),
    (HOUR, Duration::from_secs(40 * DAY as u64)),
    (DAY, Duration::from_secs(732 * DAY as u64)),
];
/// The lengths.
pub const MINUTE: i32 = 60;
pub const HOUR: i32 = 3600;
pub const DAY: i32 = 86_400;

/// One device over some time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// By name: `cpu`, `memory`, `pppoe`, `sensor:voltage`.
    #[serde(default)]
    pub values: BTreeMap<String, Stat>,
    /// Interfaces by name.
    #[serde(default)]
    pub ports: BTreeMap<String, Port>,
}

/// One value over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stat {
    /// How many readings.
    pub n: u32,
    /// Their sum.
    pub sum: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

/// One interface over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// Received, bits a second.
    pub input: Stat,
    /// Sent, bits a second.
    pub output: Stat,
    /// 1 while it had a link.
    pub up: Stat,
    /// Broken packets.
    pub errors: u64,
    /// Packets thrown away.
    pub drops: u64,
}

impl Stat {
    fn of(value: f64) -> Stat {
        Stat {
            n: 1,
            sum: value,
            min: value,
            max: value,
        }
    }

    /// The mean, to a thousandth; `None` of nothing.
    pub fn mean(self) -> Option<f64> {
        (self.n > 0).then(|| (self.sum * 1000.0 / f64::from(self.n)).round() / 1000.0)
    }

    fn add(&mut self, other: Stat) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = other;
            return;
        }
        self.n += other.n;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Bucket {
    /// One reading.
    pub fn of(sample: &SampleV1, facts: &DeviceFactsV1) -> Bucket {
        let mut values = BTreeMap::new();
        let mut put = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                values.insert(name.to_owned(), Stat::of(value));
            }
        };
        let percent = |used: Option<u64>, total: Option<u64>| {
            let total = total.filter(|total| *total > 0)?;
            Some(used? as f64 * 100.0 / total as f64)
        };
        put("cpu", sample.cpu.map(f64::from));
        put("memory", percent(sample.memory_used, facts.memory_total));
        put("disk", percent(sample.disk_used, facts.disk_total));
        put("pppoe", sample.ppp.map(f64::from));
        put("hotspot", sample.hotspot.map(f64::from));
        put("leases", sample.leases.map(f64::from));
        put("latency", Some(f64::from(sample.millis)));
        for (sensor, milli) in facts.sensors.iter().zip(&sample.sensors) {
            let scale = match sensor.unit {
                SensorUnit::Status => 1.0,
                SensorUnit::Celsius
                | SensorUnit::Rpm
                | SensorUnit::Volt
                | SensorUnit::Ampere
                | SensorUnit::Watt => 1000.0,
            };
            put(
                &format!("sensor:{}", sensor.name),
                milli.map(|milli| milli as f64 / scale),
            );
        }
        let ports = facts.ports.iter().zip(&sample.ports).map(|(port, sample)| {
            let stat = |value: Option<u64>| value.map_or(Stat::default(), |v| Stat::of(v as f64));
            let up = sample.status.map(|status| u64::from(status == 1));
            let told = Port {
                input: stat(sample.in_bps),
                output: stat(sample.out_bps),
                up: stat(up),
                errors: sample.errors,
                drops: sample.drops,
            };
            (port.name.clone(), told)
        });
        let ports = ports.collect();
        Bucket { values, ports }
    }

    /// Takes another one in.
    pub fn add(&mut self, other: &Bucket) {
        for (name, stat) in &other.values {
            if self.values.len() < MOST_VALUES || self.values.contains_key(name) {
                self.values.entry(name.clone()).or_default().add(*stat);
            }
        }
        for (name, port) in &other.ports {
            if self.ports.len() < MOST_PORTS || self.ports.contains_key(name) {
                let held = self.ports.entry(name.clone()).or_default();
                held.input.add(port.input);
                held.output.add(port.output);
                held.up.add(port.up);
                held.errors = held.errors.saturating_add(port.errors);
                held.drops = held.drops.saturating_add(port.drops);
            }
        }
    }
}

/// When the row of this length begins that `at` falls into.
pub fn begin(at: Timestamp, step: i32) -> Timestamp {
    let step = i64::from(step);
    Timestamp::from_secs(at.secs().div_euclid(step) * step)
}

/// Names come from devices, and a day may see many.
const MOST_VALUES: usize = 128;
const MOST_PORTS: usize = 256;

#[cfg(test)]
mod tests {
    use easyisp_shared::wire::monitor::{PortFactV1, PortSampleV1, SensorFactV1};

    use super::*;

    fn reading(cpu: u32, in_bps: Option<u64>) -> Bucket {
        let facts = DeviceFactsV1 {
            memory_total: Some(1000),
            sensors: vec![SensorFactV1 {
                name: "voltage".to_owned(),
                unit: SensorUnit::Volt,
            }],
            ports: vec![PortFactV1 {
                index: 1,
                name: "ether1".to_owned(),
                alias: String::new(),
                kind: 6,
                enabled: None,
                speed_bps: None,
            }],
            ..DeviceFactsV1::default()
        };
        let sample = SampleV1 {
            at: Timestamp::from_secs(0),
            millis: 3,
            uptime_secs: None,
            cpu: Some(cpu),
            memory_used: Some(250),
            disk_used: Some(5),
            ppp: None,
            hotspot: None,
            leases: None,
            sensors: vec![Some(23_900)],
            ports: vec![PortSampleV1 {
                status: Some(1),
                in_bps,
                out_bps: None,
                errors: 2,
                drops: 0,
            }],
        };
        Bucket::of(&sample, &facts)
    }

    #[test]
    fn longer_rows_are_made_of_shorter_ones() {
        let mut hour = reading(10, None);
        hour.add(&reading(30, Some(4000)));
        hour.add(&reading(20, Some(2000)));
        let cpu = hour.values["cpu"];
        assert_eq!(
            (cpu.n, cpu.mean(), cpu.min, cpu.max),
            (3, Some(20.0), 10.0, 30.0)
        );
        assert_eq!(hour.values["memory"].mean(), Some(25.0));
        assert_eq!(hour.values["sensor:voltage"].mean(), Some(23.9));
        // Of how much, nobody said.
        assert!(!hour.values.contains_key("disk"));
        let port = hour.ports["ether1"];
        assert_eq!((port.input.n, port.input.mean()), (2, Some(3000.0)));
        assert_eq!(
            (port.output.mean(), port.errors, port.up.mean()),
            (None, 6, Some(1.0))
        );
        let text = serde_json::to_string(&hour).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Bucket>(&text).ok(), Some(hour));
        let at = Timestamp::from_secs(1_800_000_059);
        assert_eq!(begin(at, MINUTE), Timestamp::from_secs(1_800_000_000));
    }
}
