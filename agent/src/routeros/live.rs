//! What an operator looks at and changes by hand: the rows of more menus, in the words of the link.
//!
//! Every property is optional: v6 and v7 leave out different ones, and neither says which.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use easyisp_shared::net::Mac;
use easyisp_shared::wire::router::{
    InterfaceV1, LeaseV1, LogLineV1, NeighbourV1, PingV1, QueueV1, QueueWishV1, SystemV1, WatchV1,
};
use easyisp_shared::wire::up::PoolV1;
use ipnet::Ipv4Net;

use super::menus::Rates;
use super::sentence::{Command, Row};
use super::values;

/// `/system/resource`, with everything it has.
pub fn resource() -> Command {
    Command::new("/system/resource/print").only(
        "uptime,version,build-time,board-name,platform,architecture-name,cpu,cpu-count,cpu-frequency,\
         cpu-load,free-memory,total-memory,free-hdd-space,total-hdd-space",
    )
}

/// What the router is called.
pub fn identity() -> Command {
    Command::new("/system/identity/print").only("name")
}

/// What it is made of; a virtual one has no such menu, or says so.
pub fn board() -> Command {
    Command::new("/system/routerboard/print")
        .only("model,serial-number,current-firmware,upgrade-firmware")
}

/// Its sensors.
pub fn health() -> Command {
    Command::new("/system/health/print")
}

/// Puts the four answers together.
pub fn read_system(resource: &Row, identity: &[Row], board: &[Row], health: &[Row]) -> SystemV1 {
    let number = |name| {
        resource
            .number(name)
            .and_then(|number| number.try_into().ok())
    };
    let none = Row::default();
    let board = board.first().unwrap_or(&none);
    SystemV1 {
        identity: identity
            .first()
            .map(|row| text(row, "name"))
            .unwrap_or_default(),
        uptime_secs: secs(resource, "uptime").unwrap_or(0),
        version: text(resource, "version"),
        build_time: text(resource, "build-time"),
        board: text(resource, "board-name"),
        model: text(board, "model"),
        serial: text(board, "serial-number"),
        firmware: (
            text(board, "current-firmware"),
            text(board, "upgrade-firmware"),
        ),
        platform: text(resource, "platform"),
        architecture: text(resource, "architecture-name"),
        cpu: text(resource, "cpu"),
        cpu_count: number("cpu-count"),
        cpu_frequency: number("cpu-frequency"),
        cpu_load: number("cpu-load"),
        free_memory: resource.number("free-memory"),
        total_memory: resource.number("total-memory"),
        free_disk: resource.number("free-hdd-space"),
        total_disk: resource.number("total-hdd-space"),
        health: read_health(health),
    }
}

/// One row a sensor (v7), or one row with all of them (v6).
fn read_health(rows: &[Row]) -> Vec<(String, String, String)> {
    let by_row = rows.iter().filter_map(|row| {
        let (name, value) = (row.text("name")?, row.text("value")?);
        Some((cut(name), cut(value), text(row, "type")))
    });
    let mut sensors: Vec<_> = by_row.collect();
    if let (true, [all]) = (sensors.is_empty(), rows) {
        sensors.extend(all.texts().filter(|(name, _)| !name.starts_with('.')).map(
            |(name, value)| {
                let unit = match name {
                    _ if name.contains("temperature") => "C",
                    _ if name.contains("voltage") => "V",
                    _ if name.ends_with("current") => "mA",
                    _ if name.contains("power") => "W",
                    _ if name.ends_with("-speed") => "RPM",
                    _ => "", // a state
                };
                (cut(name), cut(value), unit.to_owned())
            },
        ));
    }
    sensors.truncate(MOST_SENSORS);
    sensors
}

/// The interfaces.
pub fn interfaces() -> Command {
    Command::new("/interface/print").only(
        ".id,name,type,mtu,actual-mtu,mac-address,running,disabled,dynamic,comment,rx-byte,tx-byte,\
         link-downs",
    )
}

/// Reads a row of [`interfaces`]; `None` without a name.
pub fn read_interface(row: &Row) -> Option<InterfaceV1> {
    let mtu = row.number("actual-mtu").or_else(|| row.number("mtu"));
    Some(InterfaceV1 {
        id: text(row, ".id"),
        name: cut(&lossy(row.octets("name")?)),
        kind: text(row, "type"),
        running: row.flag("running").unwrap_or(false),
        disabled: row.flag("disabled").unwrap_or(false),
        dynamic: row.flag("dynamic").unwrap_or(false),
        mtu: mtu.and_then(|mtu| mtu.try_into().ok()),
        mac: mac(row, "mac-address"),
        comment: text(row, "comment"),
        rx_bytes: row.number("rx-byte"),
        tx_bytes: row.number("tx-byte"),
        rx_bps: None,
        tx_bps: None,
        link_downs: row.number("link-downs"),
    })
}

/// What goes through these interfaces this second. Names with a comma cannot be asked for.
pub fn rates<'a>(names: impl Iterator<Item = &'a str>) -> Option<Command> {
    let names: Vec<&str> = names
        .filter(|name| !name.contains(','))
        .take(MOST_RATES)
        .collect();
    (!names.is_empty()).then(|| {
        Command::new("/interface/monitor-traffic")
            .with("interface", names.join(","))
            .with("once", "")
            .only("name,rx-bits-per-second,tx-bits-per-second")
    })
}

/// Reads a row of [`rates`]: the name, and received and sent.
pub fn read_rates(row: &Row) -> Option<(String, Rates)> {
    let rates = Rates {
        up_bps: row.number("rx-bits-per-second")?,
        down_bps: row.number("tx-bits-per-second")?,
    };
    Some((lossy(row.octets("name")?), rates))
}

/// The simple queues; one of them by its id.
pub fn queues(id: Option<&str>) -> Command {
    let command = Command::new("/queue/simple/print")
        .only(".id,name,target,max-limit,burst-limit,rate,bytes,disabled,dynamic,comment");
    match id {
        Some(id) => command.having(".id", id),
        None => command,
    }
}

/// Reads a row of [`queues`]; `None` without id or name.
pub fn read_queue(row: &Row) -> Option<QueueV1> {
    let pair = |name| row.text(name).and_then(values::pair).unwrap_or_default();
    Some(QueueV1 {
        id: row.text(".id")?.to_owned(),
        name: cut(&lossy(row.octets("name")?)),
        target: text(row, "target"),
        max_limit: pair("max-limit"),
        burst_limit: pair("burst-limit"),
        rate: pair("rate"),
        bytes: pair("bytes"),
        disabled: row.flag("disabled").unwrap_or(false),
        dynamic: row.flag("dynamic").unwrap_or(false),
        comment: text(row, "comment"),
    })
}

/// Adds a simple queue, with the comment that says whose it is.
pub fn add_queue(wish: &QueueWishV1) -> Command {
    wished(Command::new("/queue/simple/add"), wish).with("comment", OURS)
}

/// Changes a simple queue.
pub fn change_queue(id: &str, wish: &QueueWishV1) -> Command {
    wished(Command::new("/queue/simple/set").with(".id", id), wish)
}

/// Removes a simple queue.
pub fn remove_queue(id: &str) -> Command {
    Command::new("/queue/simple/remove").with(".id", id)
}

fn wished(mut command: Command, wish: &QueueWishV1) -> Command {
    let pair = |(up, down): (u64, u64)| format!("{up}/{down}");
    if let Some(name) = &wish.name {
        command = command.with("name", name);
    }
    if let Some(target) = &wish.target {
        command = command.with("target", target);
    }
    if let Some(limit) = wish.max_limit {
        command = command.with("max-limit", pair(limit));
    }
    if let Some(limit) = wish.burst_limit {
        command = command.with("burst-limit", pair(limit));
    }
    if let Some((threshold, (up, down))) = wish.burst_threshold {
        command = command
            .with("burst-threshold", pair(threshold))
            .with("burst-time", format!("{up}s/{down}s"));
    }
    match wish.disabled {
        Some(true) => command.with("disabled", "yes"),
        Some(false) => command.with("disabled", "no"),
        None => command,
    }
}

/// The log.
pub fn log() -> Command {
    Command::new("/log/print").only("time,topics,message")
}

/// Reads a row of [`log`].
pub fn read_log(row: &Row) -> LogLineV1 {
    LogLineV1 {
        time: text(row, "time"),
        topics: text(row, "topics"),
        message: lossy(row.octets("message").unwrap_or_default())
            .chars()
            .take(LONGEST_LINE)
            .collect(),
    }
}

/// The DHCP leases.
pub fn leases() -> Command {
    Command::new("/ip/dhcp-server/lease/print").only(
        "address,active-address,mac-address,active-mac-address,host-name,server,active-server,status,\
         expires-after,last-seen,dynamic,blocked,comment",
    )
}

/// Reads a row of [`leases`]; what is in use counts before what is written down.
pub fn read_lease(row: &Row) -> LeaseV1 {
    let either = |first, second| match text(row, first) {
        some if !some.is_empty() => some,
        _ => text(row, second), // nothing is in use
    };
    LeaseV1 {
        address: either("active-address", "address"),
        mac: mac(row, "active-mac-address").or_else(|| mac(row, "mac-address")),
        host: text(row, "host-name"),
        server: either("active-server", "server"),
        status: text(row, "status"),
        expires_secs: secs(row, "expires-after"),
        seen_secs: secs(row, "last-seen"),
        dynamic: row.flag("dynamic").unwrap_or(false),
        blocked: row.flag("blocked").unwrap_or(false),
        comment: text(row, "comment"),
    }
}

/// The pools of addresses.
pub fn pools() -> Command {
    Command::new("/ip/pool/print").only("name,ranges")
}

/// The addresses of pools that are given out.
pub fn pools_used() -> Command {
    Command::new("/ip/pool/used/print").only("pool")
}

/// Reads the rows of [`pools`] and [`pools_used`]. A pool whose ranges are not understood is left out.
pub fn read_pools(pools: &[Row], used: &[Row]) -> Vec<PoolV1> {
    let mut given: HashMap<Vec<u8>, u32> = HashMap::new();
    for row in used {
        *given
            .entry(row.octets("pool").unwrap_or_default().to_vec())
            .or_default() += 1;
    }
    let read = |row: &Row| {
        let name = row.octets("name")?;
        Some(PoolV1 {
            size: row
                .text("ranges")?
                .split(',')
                .try_fold(0, |all, range| size(range)?.checked_add(all))?,
            used: given.get(name).copied().unwrap_or(0),
            name: cut(&lossy(name)),
        })
    };
    pools.iter().filter_map(read).collect()
}

/// How many addresses `10.0.0.2-10.0.0.254`, `10.0.0.0/24` or `10.0.0.9` are.
fn size(range: &str) -> Option<u32> {
    let range = range.trim();
    if let Some((first, last)) = range.split_once('-') {
        let first: Ipv4Addr = first.trim().parse().ok()?;
        let last: Ipv4Addr = last.trim().parse().ok()?;
        return u32::from(last)
            .checked_sub(u32::from(first))?
            .checked_add(1);
    }
    match range.split_once('/') {
        Some(_) => {
            let net: Ipv4Net = range.parse().ok()?;
            1u32.checked_shl(32 - u32::from(net.prefix_len()))
        }
        None => range.parse::<Ipv4Addr>().ok().map(|_| 1),
    }
}

/// The devices around it.
pub fn neighbours() -> Command {
    Command::new("/ip/neighbor/print")
        .only("interface,address,address4,mac-address,identity,platform,version,board,uptime")
}

/// Reads a row of [`neighbours`].
pub fn read_neighbour(row: &Row) -> NeighbourV1 {
    let address = text(row, "address");
    NeighbourV1 {
        interface: text(row, "interface"),
        address: if address.is_empty() {
            text(row, "address4")
        } else {
            address
        },
        mac: mac(row, "mac-address"),
        identity: text(row, "identity"),
        platform: text(row, "platform"),
        version: text(row, "version"),
        board: text(row, "board"),
        uptime_secs: secs(row, "uptime"),
    }
}

/// What it watches itself.
pub fn netwatch() -> Command {
    Command::new("/tool/netwatch/print").only("host,type,status,since,interval,disabled,comment")
}

/// Reads a row of [`netwatch`].
pub fn read_watch(row: &Row) -> WatchV1 {
    let kind = text(row, "type");
    WatchV1 {
        host: text(row, "host"),
        kind: if kind.is_empty() {
            "simple".to_owned()
        } else {
            kind
        },
        status: text(row, "status"),
        since: text(row, "since"),
        interval_secs: secs(row, "interval"),
        disabled: row.flag("disabled").unwrap_or(false),
        comment: text(row, "comment"),
    }
}

/// Pings somebody, five times a second.
pub fn ping(address: IpAddr, count: u8) -> Command {
    Command::new("/ping")
        .with("address", address.to_string())
        .with("count", count.to_string())
        .with("interval", "200ms")
}

/// Reads the rows of [`ping`]: one for each, the counts on the last.
pub fn read_ping(rows: &[Row]) -> PingV1 {
    let mut pinged = PingV1::default();
    for row in rows {
        let trip = row.text("time").and_then(values::duration);
        match trip {
            Some(trip) => pinged
                .micros
                .push(trip.as_micros().try_into().unwrap_or(u64::MAX)),
            None => pinged.problem = text(row, "status"),
        }
        let count = |name| row.number(name).and_then(|count| u32::try_from(count).ok());
        pinged.sent = count("sent").unwrap_or(pinged.sent);
        pinged.received = count("received").unwrap_or(pinged.received);
    }
    let came_back = u32::try_from(pinged.micros.len()).unwrap_or(u32::MAX);
    pinged.received = pinged.received.max(came_back);
    pinged.sent = pinged
        .sent
        .max(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    pinged
}

/// Starts anew.
pub fn reboot() -> Command {
    Command::new("/system/reboot")
}

fn text(row: &Row, name: &str) -> String {
    cut(&lossy(row.octets(name).unwrap_or_default()))
}

fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets)
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_WORD).collect()
}

fn mac(row: &Row, name: &str) -> Option<Mac> {
    row.text(name).and_then(Mac::parse)
}

fn secs(row: &Row, name: &str) -> Option<u64> {
    row.text(name)
        .and_then(values::duration)
        .as_ref()
        .map(Duration::as_secs)
}

/// What a queue of ours is known by.
pub const OURS: &str = "easyisp:queue";
const LONGEST_WORD: usize = 128;
const LONGEST_LINE: usize = 300;
const MOST_SENSORS: usize = 64;
/// Interfaces asked for at once.
const MOST_RATES: usize = 64;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::routeros::sentence::{Reply, read};

    fn row(properties: &[(&str, &str)]) -> Row {
        let property = |(name, value): &(&str, &str)| format!("={name}={value}").into_bytes();
        let mut words = vec![b"!re".to_vec()];
        words.extend(properties.iter().map(property));
        match read(&words).unwrap() {
            (_, Reply::Row(row)) => row,
            (_, other) => panic!("a row, not {other:?}"),
        }
    }

    #[test]
    fn health_is_told_in_two_ways() {
        let seven = [
            row(&[
                (".id", "*D"),
                ("name", "voltage"),
                ("value", "23.9"),
                ("type", "V"),
            ]),
            row(&[("name", "fan-state"), ("value", "ok")]),
        ];
        let sensor = |name: &str, value: &str, unit: &str| {
            (name.to_owned(), value.to_owned(), unit.to_owned())
        };
        let expected = [
            sensor("voltage", "23.9", "V"),
            sensor("fan-state", "ok", ""),
        ];
        assert_eq!(read_health(&seven), expected);
        let six = [row(&[
            ("voltage", "24.1"),
            ("cpu-temperature", "51"),
            ("fan1-speed", "4320"),
        ])];
        let expected = [
            sensor("voltage", "24.1", "V"),
            sensor("cpu-temperature", "51", "C"),
            sensor("fan1-speed", "4320", "RPM"),
        ];
        assert_eq!(read_health(&six), expected);
        assert!(read_health(&[]).is_empty());
    }

    #[test]
    fn a_pool_is_as_large_as_its_ranges() {
        let pool = |name: &str, ranges: &str| row(&[("name", name), ("ranges", ranges)]);
        let pools = [
            pool("homes", "10.0.0.2-10.0.0.254,10.0.1.0/24, 10.0.2.9"),
            pool("odd", "fd00::/64"),
        ];
        let used = ["homes", "homes", "others"].map(|of| row(&[("pool", of)]));
        let homes = PoolV1 {
            name: "homes".to_owned(),
            size: 253 + 256 + 1,
            used: 2,
        };
        assert_eq!(read_pools(&pools, &used), [homes]);
        assert_eq!(size("0.0.0.0/0"), None);
        assert_eq!(size("10.0.0.9-10.0.0.2"), None);
    }

    #[test]
    fn a_queue_is_written_as_it_is_read() {
        let read = read_queue(&row(&[
            (".id", "*2"),
            ("name", "customer-a"),
            ("target", "192.168.120.251/32"),
            ("max-limit", "1000000/128000"),
            ("burst-limit", "0/0"),
            ("bytes", "7/9"),
            ("dynamic", "false"),
        ]));
        let queue = read.unwrap();
        assert_eq!(
            (queue.max_limit, queue.bytes),
            ((1_000_000, 128_000), (7, 9))
        );
        assert_eq!((queue.rate, queue.disabled), ((0, 0), false));
        let mut bytes = Vec::new();
        let wish = QueueWishV1 {
            name: Some("a b".to_owned()),
            max_limit: Some((1, 2)),
            burst_threshold: Some(((3, 4), (8, 9))),
            disabled: Some(true),
            ..QueueWishV1::default()
        };
        change_queue("*2", &wish).encode(1, &mut bytes);
        let sent = String::from_utf8_lossy(&bytes).into_owned();
        for word in [
            "=.id=*2",
            "=name=a b",
            "=max-limit=1/2",
            "=burst-threshold=3/4",
            "=burst-time=8s/9s",
            "=disabled=yes",
        ] {
            assert!(sent.contains(word), "{word} in {sent}");
        }
        assert!(!sent.contains("target") && !sent.contains("comment"));
    }

    #[test]
    fn a_ping_counts_what_came_back() {
        let pinged = read_ping(&[
            row(&[
                ("seq", "0"),
                ("time", "453us"),
                ("sent", "1"),
                ("received", "1"),
            ]),
            row(&[
                ("seq", "1"),
                ("status", "timeout"),
                ("sent", "2"),
                ("received", "1"),
            ]),
            row(&[
                ("seq", "2"),
                ("time", "1ms20us"),
                ("sent", "3"),
                ("received", "2"),
            ]),
        ]);
        assert_eq!((pinged.sent, pinged.received), (3, 2));
        assert_eq!(
            (pinged.micros, pinged.problem.as_str()),
            (vec![453, 1020], "timeout")
        );
    }

    #[test]
    fn a_lease_in_use_counts_before_what_is_written_down() {
        let lease = read_lease(&row(&[
            ("address", "pool1"),
            ("active-address", "10.0.0.9"),
            ("mac-address", "AA:BB:CC:00:00:01"),
            ("expires-after", "9m30s"),
            ("status", "bound"),
        ]));
        assert_eq!(
            (lease.address.as_str(), lease.expires_secs),
            ("10.0.0.9", Some(570))
        );
        assert_eq!(lease.mac, Mac::parse("AA:BB:CC:00:00:01"));
        assert_eq!(read_lease(&Row::default()), LeaseV1::default());
    }
}
