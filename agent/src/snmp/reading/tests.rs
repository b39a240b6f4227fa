#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use super::*;
use crate::snmp::walk::Part;

/// A recording in snmpsim's form: `OID|type|value`.
fn recording(path: &Path) -> Values {
    let text = std::fs::read_to_string(path).unwrap();
    let mut values = Values::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut parts = line.splitn(3, '|');
        let mut part = || parts.next().unwrap();
        let name = Oid::parse(part()).unwrap();
        let (kind, value) = (part(), part());
        let value = match kind {
            "2" => Value::Integer(value.parse().unwrap()),
            "4" => Value::Octets(value.as_bytes().to_vec()),
            "4x" => Value::Octets(hex::decode(value).unwrap()),
            "6" => Value::Name(Oid::parse(value).unwrap_or_default()),
            "64" => Value::Address(value.parse().unwrap()),
            "65" => Value::Counter32(value.parse().unwrap()),
            "66" => Value::Gauge(value.parse().unwrap()),
            "67" => Value::Ticks(value.parse().unwrap()),
            "70" => Value::Counter64(value.parse().unwrap()),
            other => panic!("type {other}"),
        };
        values.insert(name, value);
    }
    values
}

fn ours(name: &str) -> Values {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/snmp");
    recording(&folder.join(name))
}

/// Only what a full reading asks for.
fn asked(values: &Values) -> Values {
    let parts = [everything(), narrow_counters()].concat();
    let wanted = |name: &Oid| {
        parts.iter().any(|part| match part {
            Part::Objects(names) => names.contains(name),
            Part::Columns(roots) => roots.iter().any(|root| name.under(root.arcs()).is_some()),
        })
    };
    let mut asked = values.clone();
    asked.retain(|name, _| wanted(name));
    asked
}

/// Real routers' recordings, where they lie beside the tree: every value that a person read out of them.
#[test]
fn real_recordings_say_what_was_read_out_of_them_by_hand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/snmp");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!(
            "skipped: {} is not there (recordings under the GPL)",
            folder.display()
        );
        return;
    };
    let mut compared = 0;
    for path in entries.map(|entry| entry.unwrap().path()) {
        let is_recording = path.extension().is_some_and(|kind| kind == "snmprec");
        if is_recording {
            let expected: PathBuf = path.with_extension("expected.json");
            let expected = std::fs::read_to_string(expected).unwrap();
            let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
            compare(&read(&asked(&recording(&path))), &expected);
            compared += 1;
        }
    }
    assert!(compared > 0);
}

fn compare(read: &Reading, expected: &serde_json::Value) {
    let said = |key: &str| expected[key].as_str().unwrap().to_owned();
    let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(read.system.description, said("sysDescr"));
    assert_eq!(
        read.system.object.as_ref().unwrap().to_string(),
        said("sysObjectID")
    );
    assert_eq!(
        read.uptime_ticks.unwrap().to_string(),
        said("sysUpTime_ticks")
    );
    assert_eq!(read.system.name, said("sysName"));
    assert_eq!(
        read.system.version.clone().unwrap(),
        said("mtxrLicVersion(14988.1.1.4.4.0)")
    );
    let level = said("mtxrLicLevel(14988.1.1.4.3.0)");
    assert_eq!(read.system.licence_level.unwrap().to_string(), level);
    assert_eq!(
        read.system.serial.clone().unwrap(),
        said("serial(14988.1.1.7.3.0)")
    );
    let board = said("sysDescr");
    assert_eq!(
        read.system.board.as_deref(),
        board.strip_prefix("RouterOS ")
    );

    let cores = expected["cpu_load_per_core(hrProcessorLoad)"]
        .as_object()
        .unwrap();
    let cores: Vec<u64> = cores.values().map(|load| load.as_u64().unwrap()).collect();
    assert_eq!(
        read.cpu
            .iter()
            .map(|load| u64::from(*load))
            .collect::<Vec<_>>(),
        cores
    );

    let storages = expected["storage"].as_array().unwrap();
    assert_eq!(read.storages.len(), storages.len());
    for (found, storage) in read.storages.iter().zip(storages) {
        let unit = number(&storage["unit"]);
        assert_eq!(found.index.to_string(), storage["index"].as_str().unwrap());
        assert_eq!(found.name, storage["descr"].as_str().unwrap());
        assert_eq!(found.room.total, number(&storage["size_units"]) * unit);
        assert_eq!(found.room.used, number(&storage["used_units"]) * unit);
        let percent = found.room.used as f64 * 100.0 / found.room.total as f64;
        assert!((percent - storage["used_percent"].as_f64().unwrap()).abs() < 0.01);
    }
    let room = |index: &str| {
        let of = read
            .storages
            .iter()
            .find(|storage| storage.index.to_string() == index);
        of.map(|storage| storage.room)
    };
    assert_eq!((read.memory, read.disk), (room("65536"), room("131072")));

    let table = expected["health_table(14988.1.1.3.100)"]
        .as_array()
        .unwrap();
    for row in table {
        let name = row["name"].as_str().unwrap();
        let sensor = read
            .sensors
            .iter()
            .find(|sensor| sensor.name == name)
            .unwrap();
        let (unit, scale) = match row["unit"].as_str().unwrap() {
            "1" => (Unit::Celsius, 1000),
            "3" => (Unit::Volt, 100),
            other => panic!("unit {other} in none of the recordings so far"),
        };
        assert_eq!(sensor.unit, unit);
        assert_eq!(sensor.milli, number(&row["raw"]) as i64 * scale);
    }
    let scalars = expected["legacy_health_scalars(14988.1.1.3.N.0)"]
        .as_object()
        .unwrap();
    for (suffix, raw) in scalars {
        let unit = match suffix.as_str() {
            "8" => Unit::Volt,
            "10" => Unit::Celsius,
            other => panic!("object {other} in none of the recordings so far"),
        };
        assert_eq!(
            read.sensor(unit).unwrap().milli,
            number(raw) as i64 * 100,
            "{suffix}"
        );
    }
    // No sensor is made up.
    assert_eq!(read.sensors.len(), table.len().max(scalars.len()));

    let interfaces = expected["interfaces"].as_array().unwrap();
    let count = expected["interface_count"].as_u64().unwrap();
    assert_eq!(
        (read.interfaces.len() as u64, interfaces.len() as u64),
        (count, count)
    );
    for (found, told) in read.interfaces.iter().zip(interfaces) {
        let name = told["name"].as_str().unwrap();
        assert_eq!(u64::from(found.index), told["ifIndex"].as_u64().unwrap());
        assert_eq!(found.name, name);
        assert_eq!(u64::from(found.kind), number(&told["type"]), "{name}");
        assert_eq!(found.enabled, Some(number(&told["admin"]) == 1), "{name}");
        assert_eq!(
            u64::from(found.status.unwrap()),
            number(&told["oper"]),
            "{name}"
        );
        let millions = number(&told["highspeed_mbit"]);
        if millions > 0 {
            assert_eq!(found.speed_bps, Some(millions * 1_000_000), "{name}");
        }
        let wide = |octets: &serde_json::Value| {
            let octets = number(octets);
            Some(Counter { octets, wide: true })
        };
        assert_eq!(found.input, wide(&told["in64"]), "{name}");
        assert_eq!(found.output, wide(&told["out64"]), "{name}");
        assert_eq!(
            found.alias,
            told["alias"].as_str().unwrap_or_default(),
            "{name}"
        );
    }
}

/// Written by hand after the MIB: a 6.x with every old object, a later one with a table in both scales.
#[test]
fn health_is_read_by_version() {
    let old = read(&ours("routeros-6.snmprec"));
    assert_eq!(old.system.version.as_deref(), Some("6.49.10"));
    assert_eq!(old.system.board.as_deref(), Some("RB1100AHx4"));
    let milli = |read: &Reading, name: &str| {
        let sensor = read.sensors.iter().find(|sensor| sensor.name == name);
        sensor.map(|sensor| (sensor.unit, sensor.milli))
    };
    assert_eq!(milli(&old, "voltage"), Some((Unit::Volt, 24_100)));
    assert_eq!(milli(&old, "temperature"), Some((Unit::Celsius, 38_000)));
    assert_eq!(
        milli(&old, "cpu-temperature"),
        Some((Unit::Celsius, 51_000))
    );
    assert_eq!(milli(&old, "fan1-speed"), Some((Unit::Rpm, 4_320_000)));
    assert_eq!(milli(&old, "current"), Some((Unit::Ampere, 310)));
    assert_eq!(
        (old.ppp_sessions, old.hotspot_sessions),
        (Some(412), Some(2))
    );
    assert_eq!((old.dhcp_leases, old.cpu_percent()), (Some(77), Some(13)));
    // A line of a subscriber is read, and not watched.
    assert_eq!(old.interfaces.len(), 3);
    assert!(old.interfaces[2].is_a_subscribers());
    let (kept, beyond) = watched(ours("routeros-6.snmprec"), 16);
    let kept = read(&kept);
    assert_eq!(beyond, 0);
    let most = kept.interfaces.len() - 1;
    let (fewer, beyond) = watched(ours("routeros-6.snmprec"), most);
    assert_eq!((read(&fewer).interfaces.len(), beyond), (most, 1));
    let names: Vec<&str> = kept
        .interfaces
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    assert_eq!(names, ["ether1", "bridge"]);

    let new = read(&ours("routeros-7.snmprec"));
    assert_eq!(
        milli(&new, "cpu-temperature"),
        Some((Unit::Celsius, 47_000))
    );
    assert_eq!(
        milli(&new, "board-temperature1"),
        Some((Unit::Celsius, 36_500))
    );
    assert_eq!(milli(&new, "voltage"), Some((Unit::Volt, 23_900)));
    assert_eq!(
        milli(&new, "poe-out-consumption"),
        Some((Unit::Watt, 12_300))
    );
    assert_eq!(milli(&new, "fan-state"), Some((Unit::Status, 0)));
    assert_eq!(
        new.sensor(Unit::Celsius).map(|sensor| sensor.milli),
        Some(47_000)
    );
    assert_eq!(new.hotspot_sessions, Some(0));
}

/// A switch without 64-bit counters, numbers as text, a storage beyond 31 bits and a table with holes.
#[test]
fn any_other_device_is_read_as_far_as_it_tells() {
    let values = ours("switch.snmprec");
    assert!(lacks_counters(&values));
    let switch = read(&values);
    assert_eq!(switch.system.description, "Acme GS-8 1.2");
    assert_eq!(
        (switch.system.version, switch.hotspot_sessions),
        (None, None)
    );
    assert_eq!(
        switch.memory.map(|room| room.total),
        Some(3_000_000_000 * 1024)
    );
    assert_eq!(switch.interfaces.len(), 2);
    let first = &switch.interfaces[0];
    assert_eq!(
        (first.name.as_str(), first.speed_bps),
        ("port 1", Some(100_000_000))
    );
    assert_eq!(
        first.input,
        Some(Counter {
            octets: 4_294_967_000,
            wide: false
        })
    );
    assert_eq!((first.errors, first.drops), (Some(7), None));
    assert_eq!(switch.interfaces[1].status, None);
    assert_eq!(read(&Values::new()), Reading::default());
}

#[test]
fn between_full_readings_only_what_changes_is_asked_and_a_restart_is_noticed() {
    let (known, _) = watched(ours("routeros-7.snmprec"), 16);
    let parts = what_changes(&known);
    let [Part::Objects(objects), Part::Columns(hotspot)] = parts.as_slice() else {
        panic!("objects, and who is at the hotspot: {parts:?}");
    };
    assert_eq!(hotspot.as_slice(), [Oid::new(mib::HOTSPOT_ADDRESS)]);
    let switch = ours("switch.snmprec");
    assert_eq!(what_changes(&switch).len(), 1);
    assert!(objects.len() < known.len());
    let mut found = known.clone();
    found.retain(|name, _| objects.contains(name));
    let same = renewed(&known, &parts, found.clone()).unwrap();
    assert_eq!(read(&same), read(&known));

    let uptime = Oid::new(mib::SYS_UPTIME);
    let counter = Oid::new(mib::IFX).then(&[mib::IFX_IN, 1]);
    let mut later = found.clone();
    later.insert(counter.clone(), Value::Counter64(99_000));
    later.insert(uptime.clone(), Value::Ticks(u32::MAX));
    let later = renewed(&known, &parts, later).unwrap();
    assert_eq!(read(&later).interfaces[0].input.unwrap().octets, 99_000);

    let mut restarted = found.clone();
    restarted.insert(uptime, Value::Ticks(5));
    assert_eq!(renewed(&known, &parts, restarted), None);
    let mut gone = found;
    gone.remove(&counter);
    assert_eq!(renewed(&known, &parts, gone), None);
}
