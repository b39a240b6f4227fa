//! What is to be seen of a site and of a router now, from what agents told last.

use std::collections::BTreeMap;
use std::time::Duration;

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::monitor::{DeviceFactsV1, SampleV1, SensorUnit};

use super::rules::{Reading, Rule};
use super::store::Payout;
use super::words::Kind;
use crate::rollouts::Stopped;
use crate::routers::Drifted;

/// A site, as it was heard of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    /// Which.
    pub id: SiteId,
    /// How it is called.
    pub name: String,
    /// When one of its agents was heard of last.
    pub heard: Timestamp,
}

/// A router, as it was heard of.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// When a subscriber's login or accounting came from it, or it answered.
    pub heard: Option<Timestamp>,
    /// Its API: when it was asked, and why it did not answer.
    pub api: Option<(Timestamp, Option<String>)>,
    /// The same over SNMP; told when it changes.
    pub snmp: Option<(Timestamp, Option<String>)>,
    /// Seconds between two readings over SNMP.
    pub interval_secs: u64,
    /// What it is.
    pub facts: Option<DeviceFactsV1>,
    /// What it said last.
    pub sample: Option<SampleV1>,
    /// By its API, where it is not read over SNMP: percent.
    pub cpu: Option<i32>,
    /// Megabytes: in use, and in all.
    pub memory: Option<(i32, i32)>,
    /// Addresses given out by the router, by the name of their pool: in use, and in all, and when the router told of
    /// them; `None` where they are counted here.
    pub pools: Vec<(String, i64, i64, Option<Timestamp>)>,
    /// What differs from what the wizard configured; `None` where it configured nothing.
    pub drifted: Option<Drifted>,
}

/// One thing and how it reads.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    /// Of what kind.
    pub kind: Kind,
    /// An interface, a sensor, a pool; empty = the device itself.
    pub subject: String,
    /// How it reads.
    pub reading: Reading,
    /// What was measured.
    pub value: Option<f64>,
    /// What a person reads of it beside that; empty where there is nothing.
    pub words: String,
}

/// How to find a rule; `None` where it is not looked at.
pub type Rules<'a> = dyn Fn(Kind) -> Option<Rule> + Sync + 'a;

/// A site none of whose agents is heard. Nobody listened before `awake_from`.
pub fn of_site(
    site: &Site,
    rules: &Rules<'_>,
    awake_from: Timestamp,
    now: Timestamp,
) -> Option<Seen> {
    rules(Kind::SiteDown)?;
    let since = site.heard.max(awake_from);
    let reading = match (now.since(site.heard) > SILENT, now.since(since) > SILENT) {
        (false, _) => Reading::Well,
        (true, true) => Reading::Bad { since },
        (true, false) => Reading::Unknown,
    };
    Some(Seen {
        kind: Kind::SiteDown,
        subject: String::new(),
        reading,
        value: None,
        words: String::new(),
    })
}

/// Money that was sent: bad until somebody knows what became of it.
pub fn of_payout(payout: &Payout) -> Seen {
    Seen {
        kind: Kind::PayoutUnknown,
        subject: payout.amount.to_string(),
        reading: match payout.open {
            true => Reading::Bad {
                since: payout.sent_at,
            },
            false => Reading::Well,
        },
        value: None,
        words: String::new(),
    }
}

/// What was done to many routers and stopped by itself: bad for as long as it is shown.
pub fn of_rollout(stopped: &Stopped) -> Seen {
    Seen {
        kind: Kind::RolloutStopped,
        subject: stopped.because.clone(),
        reading: Reading::Bad { since: stopped.at },
        value: None,
        words: String::new(),
    }
}

/// A router against what the wizard configured.
fn of_drift(drifted: &Drifted) -> Seen {
    Seen {
        kind: Kind::ConfigurationDrift,
        subject: String::new(),
        reading: match drifted.since {
            Some(since) if drifted.count > 0 => Reading::Bad { since },
            Some(_) | None => Reading::Well,
        },
        value: Some(drifted.count as f64),
        words: drifted.words(NAMED).unwrap_or_default(),
    }
}

/// Everything there is to see of a router; whether it is there at all comes first.
pub fn of_router(device: &Device, rules: &Rules<'_>, now: Timestamp) -> Vec<Seen> {
    let mut seen = Vec::new();
    if rules(Kind::RouterDown).is_some() && (device.api.is_some() || device.snmp.is_some()) {
        seen.push(Seen {
            kind: Kind::RouterDown,
            subject: String::new(),
            reading: there(device, now),
            value: None,
            words: String::new(),
        });
    }
    if let (Some(drifted), Some(_)) = (&device.drifted, rules(Kind::ConfigurationDrift)) {
        seen.push(of_drift(drifted));
    }
    let mut measured = |kind, subject: &str, value: Option<f64>, at: Timestamp| {
        let Some(rule) = rules(kind) else { return };
        let fresh = now.since(at) <= device.patience();
        seen.push(Seen {
            kind,
            subject: subject.to_owned(),
            reading: match value {
                Some(value) if fresh => rule.judge(kind, value, at),
                Some(_) | None => Reading::Unknown,
            },
            value,
            words: String::new(),
        });
    };
    for (pool, used, all, at) in &device.pools {
        measured(Kind::Pool, pool, percent(*used, *all), at.unwrap_or(now));
    }
    let read = device.sample.as_ref().zip(device.facts.as_ref());
    let Some((sample, facts)) = read else {
        if let Some((asked, None)) = device.api {
            let memory = device.memory;
            measured(Kind::Cpu, "", device.cpu.map(f64::from), asked);
            let used = memory.and_then(|(used, all)| percent(used.into(), all.into()));
            measured(Kind::Memory, "", used, asked);
        }
        return seen;
    };
    let share = |used: Option<u64>, all: Option<u64>| {
        let (used, all) = used.zip(all)?;
        (all > 0).then(|| used as f64 * 100.0 / all as f64)
    };
    measured(Kind::Cpu, "", sample.cpu.map(f64::from), sample.at);
    let memory = share(sample.memory_used, facts.memory_total);
    measured(Kind::Memory, "", memory, sample.at);
    let disk = share(sample.disk_used, facts.disk_total);
    measured(Kind::Disk, "", disk, sample.at);
    for (sensor, milli) in facts.sensors.iter().zip(&sample.sensors) {
        let value = milli.map(|milli| milli as f64 / 1_000.0);
        match sensor.unit {
            SensorUnit::Celsius => measured(Kind::Temperature, &sensor.name, value, sample.at),
            SensorUnit::Volt => measured(Kind::Voltage, &sensor.name, value, sample.at),
            SensorUnit::Rpm | SensorUnit::Ampere | SensorUnit::Watt | SensorUnit::Status => {}
        }
    }
    if rules(Kind::LinkDown).is_some() {
        let fresh = now.since(sample.at) <= device.patience();
        let ports = facts.ports.iter().zip(&sample.ports);
        // Cables and radios: bridges and tunnels follow from them.
        seen.extend(
            ports
                .filter(|(port, _)| CABLES.contains(&port.kind))
                .map(|(port, state)| Seen {
                    kind: Kind::LinkDown,
                    subject: port.name.clone(),
                    reading: match (fresh, port.enabled, state.status) {
                        (true, Some(false), _) => Reading::Between, // switched off by a person
                        (true, _, Some(UP)) => Reading::Well,
                        (true, _, Some(DOWN | LOWER_LAYER_DOWN)) => {
                            Reading::Bad { since: sample.at }
                        }
                        (true, _, Some(_) | None) | (false, _, _) => Reading::Unknown,
                    },
                    value: None,
                    words: String::new(),
                }),
        );
    }
    seen
}

impl Device {
    /// Readings come some minutes at a time.
    fn patience(&self) -> Duration {
        TOLD_WITHIN + Duration::from_secs(self.interval_secs) * 3
    }
}

/// Whether a router is there. One way to it that works is enough; where none does, a packet of a subscriber that
/// came from it since is.
fn there(device: &Device, now: Timestamp) -> Reading {
    let ways = || [&device.api, &device.snmp].into_iter().flatten();
    let fresh = |at: Timestamp| now.since(at) <= device.patience();
    if ways().any(|(at, problem)| problem.is_none() && fresh(*at)) {
        return Reading::Well;
    }
    let failing = ways().filter(|(_, problem)| problem.is_some());
    let Some(since) = failing.map(|(at, _)| *at).min() else {
        return Reading::Unknown;
    };
    match device.heard {
        Some(heard) if heard > since && now.since(heard) <= INTERIM => Reading::Well,
        Some(heard) => Reading::Bad {
            since: since.max(heard),
        },
        None => Reading::Bad { since },
    }
}

fn percent(used: i64, all: i64) -> Option<f64> {
    (all > 0).then(|| used as f64 * 100.0 / all as f64)
}

/// Ethernet, Wi-Fi, its predecessor, and bundles of cables (IANAifType).
const CABLES: [u32; 4] = [6, 71, 117, 161];
/// Settings that a message names.
const NAMED: usize = 3;
const UP: u32 = 1;
const DOWN: u32 = 2;
const LOWER_LAYER_DOWN: u32 = 7;
/// Agents say a word every 15 seconds, which is noted every 20.
const SILENT: Duration = Duration::from_secs(60);
/// How long an agent keeps readings before it tells them, and a minute.
const TOLD_WITHIN: Duration = Duration::from_secs(360);
/// An interim update of five minutes, and its jitter.
const INTERIM: Duration = Duration::from_secs(330);

/// Which router is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The router.
    pub id: RouterId,
    /// Where it stands.
    pub site: SiteId,
    /// How it is called.
    pub name: String,
    /// Through which device it is reached.
    pub parent: Option<RouterId>,
}

/// What is seen of each, so that whoever stands behind another comes after it; who stands behind himself comes as he may.
pub fn parents_first(devices: Vec<(Place, Vec<Seen>)>) -> Vec<(Place, Vec<Seen>)> {
    let parents: BTreeMap<RouterId, Option<RouterId>> = devices
        .iter()
        .map(|(place, _)| (place.id, place.parent))
        .collect();
    let steps = |mut at: RouterId| {
        let up = std::iter::from_fn(|| {
            at = parents.get(&at).copied().flatten()?;
            Some(at)
        });
        up.take(MOST_STEPS).count()
    };
    let mut devices = devices;
    devices.sort_by_cached_key(|(place, _)| steps(place.id));
    devices
}

/// Devices behind one another.
const MOST_STEPS: usize = 32;

#[cfg(test)]
mod tests {
    use easyisp_shared::wire::monitor::{PortFactV1, PortSampleV1, SensorFactV1};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn ago(secs: u64) -> Timestamp {
        NOW.minus(Duration::from_secs(secs))
    }

    fn usual(kind: Kind) -> Option<Rule> {
        Some(kind.usual())
    }

    fn silent() -> Option<String> {
        Some("it does not answer".to_owned())
    }

    #[test]
    fn whoever_stands_behind_another_comes_after_it() {
        let id = |number: u128| RouterId(uuid::Uuid::from_u128(number));
        let place = |number: u128, parent: Option<u128>| {
            let place = Place {
                id: id(number),
                site: SiteId(uuid::Uuid::nil()),
                name: number.to_string(),
                parent: parent.map(id),
            };
            (place, Vec::new())
        };
        // 5 and 6 stand behind one another, 7 behind one that is not there.
        let devices = [
            (1, Some(2)),
            (2, Some(3)),
            (3, None),
            (5, Some(6)),
            (6, Some(5)),
            (7, Some(9)),
        ];
        let devices = devices.map(|(number, parent)| place(number, parent));
        let sorted = parents_first(devices.into());
        let names: Vec<&str> = sorted.iter().map(|(place, _)| &*place.name).collect();
        assert_eq!(names, ["3", "2", "7", "1", "5", "6"]);
    }

    #[test]
    fn a_router_is_there_as_long_as_one_way_to_it_works() {
        let down = |device: Device| there(&device, NOW);
        let api_well = Device {
            api: Some((ago(60), None)),
            snmp: Some((ago(900), silent())),
            ..Device::default()
        };
        assert_eq!(down(api_well.clone()), Reading::Well);
        let both = Device {
            api: Some((ago(200), silent())),
            ..api_well
        };
        assert_eq!(down(both.clone()), Reading::Bad { since: ago(900) });
        let heard = |secs| Device {
            heard: Some(ago(secs)),
            ..both.clone()
        };
        assert_eq!(
            down(heard(100)),
            Reading::Well,
            "subscribers of it are heard"
        );
        assert_eq!(down(heard(400)), Reading::Bad { since: ago(400) });
        assert_eq!(down(heard(1_000)), Reading::Bad { since: ago(900) });
        let old = Device {
            api: Some((ago(4_000), None)),
            ..Device::default()
        };
        assert_eq!(down(old), Reading::Unknown, "its site does not tell");
    }

    #[test]
    fn a_site_is_silent_only_where_somebody_listened() {
        let site = |secs| Site {
            id: SiteId(uuid::Uuid::nil()),
            name: "Hill".to_owned(),
            heard: ago(secs),
        };
        let reading =
            |secs, awake| of_site(&site(secs), &usual, ago(awake), NOW).map(|seen| seen.reading);
        assert_eq!(reading(10, 900), Some(Reading::Well));
        assert_eq!(reading(300, 900), Some(Reading::Bad { since: ago(300) }));
        assert_eq!(reading(300, 100), Some(Reading::Bad { since: ago(100) }));
        assert_eq!(reading(300, 10), Some(Reading::Unknown));
    }

    #[test]
    fn what_a_device_says_is_measured_against_its_rules() {
        let port = |name: &str, kind, enabled| PortFactV1 {
            index: 1,
            name: name.to_owned(),
            alias: String::new(),
            kind,
            enabled: Some(enabled),
            speed_bps: None,
        };
        let status = |status| PortSampleV1 {
            status: Some(status),
            ..PortSampleV1::default()
        };
        let sensor = |name: &str, unit| SensorFactV1 {
            name: name.to_owned(),
            unit,
        };
        let device = Device {
            snmp: Some((ago(30), None)),
            interval_secs: 60,
            facts: Some(DeviceFactsV1 {
                memory_total: Some(1_000),
                sensors: vec![
                    sensor("cpu-temperature", SensorUnit::Celsius),
                    sensor("voltage", SensorUnit::Volt),
                    sensor("fan1", SensorUnit::Rpm),
                ],
                ports: vec![
                    port("ether1", 6, true),
                    port("ether2", 6, true),
                    port("ether3", 6, false),
                    port("bridge", 209, true),
                ],
                ..DeviceFactsV1::default()
            }),
            sample: Some(SampleV1 {
                at: ago(30),
                millis: 1,
                uptime_secs: None,
                cpu: Some(95),
                memory_used: Some(500),
                disk_used: None,
                ppp: None,
                hotspot: None,
                leases: None,
                sensors: vec![Some(80_500), Some(24_100), Some(0)],
                ports: vec![status(1), status(2), status(2), status(2)],
            }),
            pools: vec![("pppoe".to_owned(), 240, 253, None)],
            drifted: Some(Drifted {
                shown: vec!["/ppp aaa use-radius".to_owned()],
                count: 1,
                since: Some(ago(900)),
            }),
            ..Device::default()
        };
        let seen = of_router(&device, &usual, NOW);
        let read = |kind, subject: &str| {
            let found = seen
                .iter()
                .find(|one| one.kind == kind && one.subject == subject);
            found.map(|one| (one.reading, one.value))
        };
        let bad = Reading::Bad { since: ago(30) };
        assert_eq!(read(Kind::RouterDown, ""), Some((Reading::Well, None)));
        assert_eq!(read(Kind::Cpu, ""), Some((bad, Some(95.0))));
        assert_eq!(read(Kind::Memory, ""), Some((Reading::Well, Some(50.0))));
        assert_eq!(read(Kind::Disk, ""), Some((Reading::Unknown, None)));
        assert_eq!(
            read(Kind::Temperature, "cpu-temperature"),
            Some((bad, Some(80.5)))
        );
        assert_eq!(
            read(Kind::Voltage, "voltage"),
            Some((Reading::Well, Some(24.1)))
        );
        assert_eq!(read(Kind::LinkDown, "ether1"), Some((Reading::Well, None)));
        assert_eq!(read(Kind::LinkDown, "ether2"), Some((bad, None)));
        assert_eq!(
            read(Kind::LinkDown, "ether3"),
            Some((Reading::Between, None))
        );
        assert_eq!(read(Kind::LinkDown, "bridge"), None);
        assert_eq!(
            read(Kind::ConfigurationDrift, ""),
            Some((Reading::Bad { since: ago(900) }, Some(1.0)))
        );
        let full = read(Kind::Pool, "pppoe").map(|(reading, _)| reading);
        assert_eq!(full, Some(Reading::Bad { since: NOW }));

        let later = NOW.plus(Duration::from_secs(3_600));
        let stale = of_router(&device, &usual, later);
        let kept = [Kind::Pool, Kind::ConfigurationDrift];
        let old = stale.iter().filter(|one| !kept.contains(&one.kind));
        assert!(
            old.clone()
                .all(|one| one.reading == Reading::Unknown || one.kind == Kind::RouterDown)
        );
        let off = of_router(
            &device,
            &|kind| (kind == Kind::Cpu).then(|| kind.usual()),
            NOW,
        );
        assert_eq!(off.len(), 1);
    }
}
