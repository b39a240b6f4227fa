//! Rows as real routers print them, where they lie beside the tree, before our readers: no name and no number is lost.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::path::Path;

use easyisp_shared::net::Mac;
use serde_json::Value;

use super::sentence::{Command, Reply, Row, read};
use super::{lines, live, menus, values};
use crate::sessions::Service;

#[test]
fn how_a_router_is_is_read() {
    for (row, said) in rows("/system/resource/print") {
        let read = menus::read_resource(&row).unwrap();
        let system = live::read_system(&row, &[], &[], &[]);
        let uptime = match said.text("board-name") {
            "hAP lite" => ((7 * 7 + 4) * 24 + 3) * 3600 + 26 * 60 + 36,
            "RB OmniTIK UPA-5HnD" => (4 * 24 + 15) * 3600 + 20 * 60 + 38,
            other => panic!("board {other} in none of the samples so far"),
        };
        assert_eq!(
            (read.uptime.as_secs(), system.uptime_secs),
            (uptime, uptime)
        );
        assert_eq!(read.version, said.text("version"));
        assert_eq!(read.board, said.text("board-name"));
        assert_eq!(read.cpu_load.map(u64::from), said.number("cpu-load"));
        assert_eq!(read.free_memory, said.number("free-memory"));
        assert_eq!(read.total_memory, said.number("total-memory"));
        for (ours, name) in [
            (&system.version, "version"),
            (&system.build_time, "build-time"),
            (&system.board, "board-name"),
            (&system.platform, "platform"),
            (&system.architecture, "architecture-name"),
            (&system.cpu, "cpu"),
        ] {
            assert_eq!(ours, said.text(name), "{name}");
        }
        for (ours, name) in [
            (system.cpu_count.map(u64::from), "cpu-count"),
            (system.cpu_frequency.map(u64::from), "cpu-frequency"),
            (system.cpu_load.map(u64::from), "cpu-load"),
            (system.free_memory, "free-memory"),
            (system.total_memory, "total-memory"),
            (system.free_disk, "free-hdd-space"),
            (system.total_disk, "total-hdd-space"),
        ] {
            assert!(ours.is_some(), "{name}");
            assert_eq!(ours, said.number(name), "{name}");
        }
    }
}

#[test]
fn a_queue_and_its_limits_are_read() {
    for (row, said) in rows("/queue/simple/print") {
        let pair = |name| values::pair(said.text(name)).unwrap();
        let queue = live::read_queue(&row).unwrap();
        assert_eq!(
            (&*queue.id, &*queue.name, &*queue.target),
            (said.text(".id"), said.text("name"), said.text("target"))
        );
        assert_eq!(queue.max_limit, pair("max-limit"));
        assert_eq!(
            (queue.burst_limit, queue.rate),
            (pair("burst-limit"), pair("rate"))
        );
        assert_eq!(queue.bytes, pair("bytes"));
        assert_eq!(
            (queue.disabled, queue.dynamic),
            (said.flag("disabled"), said.flag("dynamic"))
        );
        let limit = menus::read_limit(&row).unwrap();
        assert_eq!((limit.up_bps, limit.down_bps), pair("max-limit"));
        assert_eq!(
            said.text("max-limit"),
            "1000000/128000",
            "the pair is no nothing"
        );
        let rate = menus::read_rate(&row).unwrap();
        assert_eq!((rate.up_bps, rate.down_bps), pair("rate"));
    }
}

#[test]
fn ports_and_what_goes_through_them_are_read() {
    for (row, said) in rows("/interface/print") {
        let port = live::read_interface(&row).unwrap();
        assert_eq!(
            (&*port.id, &*port.name),
            (said.text(".id"), said.text("name"))
        );
        assert_eq!(port.mac, Mac::parse(said.text("mac-address")));
        assert!(port.mac.is_some());
        assert_eq!(port.mtu.map(u64::from), said.number("actual-mtu"));
        assert_eq!(
            (port.running, port.disabled, port.dynamic),
            (said.flag("running"), said.flag("disabled"), false)
        );
        for (ours, name) in [
            (port.rx_bytes, "rx-byte"),
            (port.tx_bytes, "tx-byte"),
            (port.link_downs, "link-downs"),
        ] {
            assert!(ours.is_some(), "{name}");
            assert_eq!(ours, said.number(name), "{name}");
        }
    }
    for (row, said) in rows("/interface/monitor-traffic") {
        let (name, rates) = live::read_rates(&row).unwrap();
        assert_eq!(name, said.text("name"));
        assert_eq!(Some(rates.up_bps), said.number("rx-bits-per-second"));
        assert_eq!(Some(rates.down_bps), said.number("tx-bits-per-second"));
        let traffic = menus::read_traffic(&row).unwrap();
        assert_eq!(
            (traffic.up_bps, traffic.down_bps),
            (rates.up_bps, rates.down_bps)
        );
    }
}

#[test]
fn a_secret_an_entry_and_an_address_are_read() {
    for (row, said) in rows("/ppp/secret/print") {
        let secret = menus::read_local_secret(Service::Ppp, &row).unwrap();
        assert_eq!(secret.name, said.text("name").as_bytes());
    }
    for (row, said) in rows("/ip/firewall/address-list/print") {
        // Somebody else's is not ours to touch; the same with our mark is.
        assert!(
            lines::read_entry(&row).is_none(),
            "{}",
            said.text("comment")
        );
        let customer = uuid::Uuid::from_u128(7).to_string();
        let mut ours = said.0.clone();
        ours["comment"] = format!("{}{customer}", lines::MARK).into();
        let entry = lines::read_entry(&row_of(&ours)).unwrap();
        assert_eq!(
            (&*entry.id, &*entry.list, &*entry.address),
            (said.text(".id"), said.text("list"), said.text("address"))
        );
        assert_eq!(entry.disabled, said.flag("disabled"));
    }
    for (row, said) in rows("/ip/address/print") {
        let plan = lines::read_plan(&[], &[row]);
        let own: Vec<String> = plan
            .own
            .iter()
            .map(|net| format!("{}/{}", net.address, net.prefix))
            .collect();
        assert_eq!(own, [said.text("address")]);
    }
}

/// What no sample has a row of, and a list of its properties: we ask for none that is not there.
#[test]
fn lists_of_who_is_online_have_what_is_asked_of_them() {
    for (path, service) in [
        ("/ppp/active/print", Service::Ppp),
        ("/ip/hotspot/active/print", Service::Hotspot),
    ] {
        for sample in samples(path) {
            let fields = sample["fields"].as_array().unwrap();
            let fields: HashSet<&str> =
                fields.iter().map(|field| field.as_str().unwrap()).collect();
            let asked = asked(menus::active(service, None));
            assert!(asked.len() > 5, "{asked:?}");
            for property in &asked {
                assert!(fields.contains(property.as_str()), "{path}: {property}");
            }
        }
    }
}

/// A row as it was sampled.
struct Said(Value);

impl Said {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    fn flag(&self, name: &str) -> bool {
        self.text(name) == "true"
    }
}

/// The rows of a menu, as a router tells them and as they stand in the samples. None where there are no samples.
fn rows(path: &str) -> Vec<(Row, Said)> {
    let row = |sample: Value| (row_of(&sample["row"]), Said(sample["row"].clone()));
    let with_row = samples(path).into_iter().filter(|it| it["row"].is_object());
    with_row.map(row).collect()
}

fn row_of(properties: &Value) -> Row {
    let property = |(name, value): (&String, &Value)| {
        format!("={name}={}", value.as_str().unwrap()).into_bytes()
    };
    let mut words = vec![b"!re".to_vec()];
    words.extend(properties.as_object().unwrap().iter().map(property));
    match read(&words).unwrap() {
        (_, Reply::Row(row)) => row,
        (_, other) => panic!("a row, not {other:?}"),
    }
}

/// What both versions' samples have of a menu; says by name what it skips.
fn samples(path: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/routeros");
    let mut found = Vec::new();
    for name in ["samples-v6.json", "samples-v7.json"] {
        let file = folder.join(name);
        let Ok(text) = std::fs::read_to_string(&file) else {
            eprintln!(
                "skipped: {} is not there (rows of real routers)",
                file.display()
            );
            return Vec::new();
        };
        let mut all: Value = serde_json::from_str(&text).unwrap();
        match all[path].take() {
            Value::Array(many) => found.extend(many),
            Value::Null => {} // the other version's
            one => found.push(one),
        }
    }
    assert!(!found.is_empty(), "{path} in none of the samples");
    found
}

/// The properties that a command asks for.
fn asked(command: Command) -> Vec<String> {
    let mut bytes = Vec::new();
    command.encode(1, &mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (_, list) = text.split_once("=.proplist=").unwrap();
    let end = list.find(|c: char| !(c.is_ascii_alphanumeric() || "-,.".contains(c)));
    let list = &list[..end.unwrap_or(list.len())];
    list.split(',').map(str::to_owned).collect()
}
