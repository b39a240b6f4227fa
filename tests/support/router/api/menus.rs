//! What the menus list: the router's real sessions, in RouterOS's own words.

use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::time::Timestamp;

use super::super::kept::{self, KeptRow};
use super::super::online::Traffic;
use super::super::script::Machine;
use super::super::session::{Cause, Service, Session};
use super::super::{Router, life::Live};
use super::Face;
use super::query::fits;
use super::software;
use super::users;
use super::wire::Sentence;

/// A row: property by property.
pub(super) struct Row(pub(super) Vec<(&'static str, String)>);

/// Why a command is refused: the category and the words.
pub(super) type Refused = (Option<u8>, String);

impl Row {
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let held = self.0.iter().find(|(held, _)| *held == name);
        held.map(|(_, value)| value.as_str())
    }

    /// Without these properties.
    pub(super) fn hide(&mut self, names: &[&str]) {
        self.0.retain(|(name, _)| !names.contains(name));
    }

    /// The reply, with the properties that `.proplist` names.
    pub(super) fn reply(&self, asked: &Sentence) -> Sentence {
        let wanted: Option<Vec<&str>> = asked
            .value(".proplist")
            .map(|list| list.split(',').collect());
        let mut reply = Sentence::of(&["!re"]);
        for (name, value) in &self.0 {
            if wanted.as_ref().is_none_or(|wanted| wanted.contains(name)) {
                reply.push(format!("={name}={value}"));
            }
        }
        reply
    }
}

/// The rows of a menu that the sentence asks for.
pub(super) fn rows(
    router: &Router,
    face: Face,
    menu: &str,
    asked: &Sentence,
) -> Result<Vec<Row>, Refused> {
    let now = router.shared.clock.now();
    let rows = match menu {
        "/ppp/active" => sessions(router, Service::Pppoe, |live| ppp(live, now)),
        "/ip/hotspot/active" => sessions(router, Service::Hotspot, |live| hotspot(live, now)),
        "/ppp/secret" => users::secrets(router, face),
        "/ip/hotspot/user" => users::of_hotspot(router),
        "/queue/simple" => {
            let made = stay(router, menu, face).into_iter();
            made.chain(all(router, queue)).collect()
        }
        "/interface" => interfaces(router, now),
        "/user/active" => entered(router),
        "/ip/pool/used" => given_out(router, face),
        "/system/resource" => vec![resource(router, face, now)],
        "/system/health" => health(router, face),
        "/system/routerboard" => vec![software::board(router)],
        "/system/package/update" => vec![software::update(router)],
        "/system/device-mode" if face == Face::Six => {
            return Err((Some(0), "no such command prefix".to_owned()));
        }
        _ => {
            let kept = kept::MENUS.iter().any(|known| known.path == menu);
            let kept = kept.then(|| stay(router, menu, face));
            match (kept, configured(router, menu)) {
                (None, None) => return Err((Some(0), "no such command prefix".to_owned())),
                (kept, configured) => {
                    let kept = kept.into_iter().flatten();
                    kept.chain(configured.into_iter().flatten()).collect()
                }
            }
        }
    };
    Ok(rows.into_iter().filter(|row| fits(row, asked)).collect())
}

/// The addresses of pools that sessions have.
fn given_out(router: &Router, face: Face) -> Vec<Row> {
    let mut pools = stay(router, "/ip/pool", face);
    pools.extend(configured(router, "/ip/pool").unwrap_or_default());
    let addresses = all(router, |live| live.session.address);
    let ranges = |row: &Row| -> Vec<(Ipv4Addr, Ipv4Addr)> {
        let ranges = row.value("ranges").unwrap_or_default().split(',');
        let read = ranges.filter_map(|range| {
            let (first, last) = range.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        read.collect()
    };
    let mut given = Vec::new();
    for pool in &pools {
        let ranges = ranges(pool);
        let has = |one: &&Ipv4Addr| {
            ranges
                .iter()
                .any(|(first, last)| first <= *one && *one <= last)
        };
        for address in addresses.iter().filter(has) {
            given.push(Row(vec![
                ("pool", pool.value("name").unwrap_or_default().to_owned()),
                ("address", address.to_string()),
            ]));
        }
    }
    given
}

/// Who is logged in, and from where as the router sees him.
fn entered(router: &Router) -> Vec<Row> {
    let state = router.state();
    let row = |(number, (name, from)): (usize, &(String, std::net::IpAddr))| {
        Row(vec![
            (".id", format!("*{:X}", number + 1)),
            ("name", name.clone()),
            ("address", from.to_string()),
            ("via", "api".to_owned()),
        ])
    };
    let here = state.entered.iter().enumerate().map(row);
    // Whoever a test says is in as well.
    let told = state.machine.rows("/user active", "via", "api-ssl");
    let place = state.entered.len() + 1;
    let told = told.into_iter().enumerate().map(|(number, row)| {
        let value = |name: &str| row.get(name).cloned().unwrap_or_default();
        Row(vec![
            (".id", format!("*{:X}", place + number)),
            ("name", value("name")),
            ("address", value("address")),
            ("via", "api-ssl".to_owned()),
        ])
    });
    here.chain(told).collect()
}

/// `/interface/monitor-traffic`, once.
pub(super) fn traffic(router: &Router, asked: &Sentence) -> Result<Vec<Row>, Refused> {
    let wanted: Vec<&str> = asked
        .value("interface")
        .unwrap_or_default()
        .split(',')
        .collect();
    let flows = all(router, |live| live.session.traffic());
    let port = flows.iter().fold(Traffic::default(), |all, one| Traffic {
        up_bits_per_second: all.up_bits_per_second + one.up_bits_per_second,
        down_bits_per_second: all.down_bits_per_second + one.down_bits_per_second,
    });
    let found = all(router, |live| {
        let rates = live.session.traffic();
        let name = interface_of(&live.session);
        wanted.contains(&name.as_str()).then(|| {
            Row(vec![
                ("name", name),
                ("rx-bits-per-second", rates.up_bits_per_second.to_string()),
                ("tx-bits-per-second", rates.down_bits_per_second.to_string()),
            ])
        })
    });
    let mut found: Vec<Row> = found.into_iter().flatten().collect();
    if wanted.contains(&"ether1") {
        // The uplink: what subscribers send leaves there.
        found.push(Row(vec![
            ("name", "ether1".to_owned()),
            ("rx-bits-per-second", port.down_bits_per_second.to_string()),
            ("tx-bits-per-second", port.up_bits_per_second.to_string()),
        ]));
    }
    let others = configured(router, "/interface").unwrap_or_default();
    let still = others.iter().filter_map(|row| row.value("name"));
    for name in still.filter(|name| *name != "ether1" && wanted.contains(name)) {
        // Nothing is plugged in there.
        found.push(Row(vec![
            ("name", name.to_owned()),
            ("rx-bits-per-second", "0".to_owned()),
            ("tx-bits-per-second", "0".to_owned()),
        ]));
    }
    if found.len() < wanted.len() {
        let what = "input does not match any value of interface".to_owned();
        return Err((Some(1), what));
    }
    Ok(found)
}

/// Takes sessions off a list: `=.id=*1,*2`, or a name.
pub(super) fn remove(router: &Router, menu: &str, asked: &Sentence) -> Result<(), Refused> {
    let service = match menu {
        "/ppp/active" => Service::Pppoe,
        "/ip/hotspot/active" => Service::Hotspot,
        _ if is_kept(router, menu, asked) => return remove_kept(router, menu, asked),
        _ if Machine::is_list(menu) => {
            let numbers = asked.value(".id").unwrap_or_default();
            let done = router.configure(|machine| machine.remove_rows(menu, numbers));
            return done.map_err(|why| (None, why));
        }
        _ => return Err((Some(0), "no such command prefix".to_owned())),
    };
    let named = asked.value(".id").or_else(|| asked.value("numbers"));
    let named: Vec<&str> = named.unwrap_or_default().split(',').collect();
    let state = router.state();
    let of_service = state.sessions.values();
    let hit: Vec<String> = of_service
        .filter(|live| live.session.service == service && named.contains(&id(live).as_str()))
        .map(|live| live.session.id.clone())
        .collect();
    drop(state);
    if hit.len() != named.len() {
        return Err((None, "no such item".to_owned()));
    }
    for id in hit {
        router.change(|state| state.counters.api_removals += 1);
        router.take_down(&id, Cause::AdminReset);
    }
    Ok(())
}

/// The rows of a menu that scripts and the API change.
fn configured(router: &Router, menu: &str) -> Option<Vec<Row>> {
    let told = router.state().machine.told(menu)?;
    let row = |(id, mut fields): (String, Vec<(&'static str, String)>)| {
        if Machine::is_list(menu) {
            fields.insert(0, (".id", id));
        }
        Row(fields)
    };
    Some(told.into_iter().map(row).collect())
}

/// `/system/backup/save`: a file among the router's.
pub(super) fn save(router: &Router, asked: &Sentence) -> Result<Vec<Row>, Refused> {
    let (name, password) = (asked.value("name"), asked.value("password"));
    router.configure(|machine| machine.save(name.unwrap_or_default(), password));
    Ok(Vec::new())
}

/// `/export`: a file among the router's.
pub(super) fn export(router: &Router, asked: &Sentence) -> Result<Vec<Row>, Refused> {
    let name = asked.value("file").unwrap_or_default();
    let hides = asked.value("hide-sensitive").is_some();
    let done = router.configure(|machine| machine.export(name, hides));
    done.map(|()| Vec::new()).map_err(|why| (None, why))
}

/// `add`: the new row's id.
pub(super) fn add(router: &Router, menu: &str, asked: &Sentence) -> Result<String, Refused> {
    if Machine::is_list(menu) && settable(menu).is_err() {
        let done = router.configure(|machine| machine.add_row(menu, asked.values()));
        return done.map_err(|why| (None, why));
    }
    let menu = settable(menu)?;
    let done = router.change(|state| state.kept.add(&menu, asked.values()));
    done.map_err(|why| (None, why))
}

/// `move` of one row before another.
pub(super) fn move_row(router: &Router, menu: &str, asked: &Sentence) -> Result<(), Refused> {
    let of = |name: &str| asked.value(name).unwrap_or_default();
    let (one, before) = (of("numbers"), of("destination"));
    let done = router.configure(|machine| machine.move_row(menu, one, before));
    done.map_err(|why| (None, why))
}

/// `/ip/dhcp-server/lease/make-static`.
pub(super) fn make_static(router: &Router, menu: &str, asked: &Sentence) -> Result<(), Refused> {
    if menu != kept::LEASES.path {
        return Err((Some(0), "no such command".to_owned()));
    }
    let id = asked.value(".id").unwrap_or_default();
    let made = [("dynamic", "false")].into_iter();
    let done = router.change(|state| state.kept.set(&kept::LEASES, id, made));
    done.map_err(|why| (None, why))
}

/// `set` on one row or some, or on a menu without rows.
pub(super) fn set(router: &Router, menu: &str, asked: &Sentence) -> Result<(), Refused> {
    if router.state().machine.told(menu).is_some() && !is_kept(router, menu, asked) {
        let numbers = asked.value(".id");
        let done = router.configure(|machine| machine.set_rows(menu, numbers, asked.values()));
        return done.map_err(|why| (None, why));
    }
    let menu = settable(menu)?;
    for id in asked.value(".id").unwrap_or_default().split(',') {
        let done = router.change(|state| state.kept.set(&menu, id, asked.values()));
        done.map_err(|why| (None, why))?;
    }
    Ok(())
}

/// `unset` of a property of one row or some.
pub(super) fn unset(router: &Router, menu: &str, asked: &Sentence) -> Result<(), Refused> {
    if !Machine::is_list(menu) {
        return Err((Some(0), "no such command".to_owned()));
    }
    let (numbers, name) = (asked.value(".id"), asked.value("value-name"));
    let (numbers, name) = (numbers.unwrap_or_default(), name.unwrap_or_default());
    let done = router.configure(|machine| machine.unset_rows(menu, numbers, name));
    done.map_err(|why| (None, why))
}

fn remove_kept(router: &Router, menu: &str, asked: &Sentence) -> Result<(), Refused> {
    for id in asked.value(".id").unwrap_or_default().split(',') {
        if !router.change(|state| state.kept.remove(menu, id)) {
            return Err((None, "no such item".to_owned()));
        }
    }
    Ok(())
}

/// Whether the rows that a command names are among those that stay.
fn is_kept(router: &Router, menu: &str, asked: &Sentence) -> bool {
    let ids = asked.value(".id").unwrap_or_default();
    let state = router.state();
    settable(menu).is_ok()
        && (!Machine::is_list(menu) || ids.split(',').all(|id| state.kept.has(menu, id)))
}

fn settable(menu: &str) -> Result<kept::Menu, Refused> {
    let known = kept::MENUS.into_iter().find(|known| known.path == menu);
    known
        .filter(kept::Menu::is_settable)
        .ok_or((Some(0), "no such command prefix".to_owned()))
}

/// Rows that stay, as this version shows them.
fn stay(router: &Router, menu: &str, face: Face) -> Vec<Row> {
    let row = |kept: KeptRow| {
        let mut row = vec![(".id", kept.id)];
        for (name, value) in kept.properties {
            match (face, menu, name) {
                (Face::Six, "/tool/netwatch", "type") => {}
                (Face::Six, "/log", "time") => row.push((name, "jan/15 08:00:03".to_owned())),
                (Face::Six | Face::Seven, _, _) => row.push((name, value)),
            }
        }
        Row(row)
    };
    router.kept(menu).into_iter().map(row).collect()
}

/// `/ping`: everybody answers but 192.0.2.0/24, which is nobody's (RFC 5737).
pub(super) fn ping(asked: &Sentence) -> Result<Vec<Row>, Refused> {
    let address = asked.value("address").unwrap_or_default();
    if address.parse::<std::net::IpAddr>().is_err() {
        return Err((None, "failure: dns name does not exist".to_owned()));
    }
    let count: u32 = asked
        .value("count")
        .and_then(|count| count.parse().ok())
        .unwrap_or(1);
    let nobody = address.starts_with("192.0.2.");
    let row = |seq: u32| {
        let mut row = vec![("seq", seq.to_string()), ("host", address.to_owned())];
        match nobody {
            true => row.push(("status", "timeout".to_owned())),
            false => row.extend([
                ("size", "56".to_owned()),
                ("ttl", "58".to_owned()),
                ("time", format!("{}ms{}us", 7 + seq, 250)),
            ]),
        }
        let received = if nobody { 0 } else { seq + 1 };
        row.extend([
            ("sent", (seq + 1).to_string()),
            ("received", received.to_string()),
            ("packet-loss", if nobody { "100" } else { "0" }.to_owned()),
        ]);
        Row(row)
    };
    Ok((0..count).map(row).collect())
}

/// One row with all sensors (v6), or one row a sensor.
fn health(router: &Router, face: Face) -> Vec<Row> {
    let degrees = router.decidegrees(face).map(|tenths| match tenths % 10 {
        0 => (tenths / 10).to_string(),
        _ => tenth(tenths),
    });
    let volts = router.decivolts(face).map(tenth);
    match face {
        Face::Six => {
            let sensors = [("voltage", volts), ("temperature", degrees)];
            let sensors = sensors.into_iter();
            vec![Row(sensors
                .filter_map(|(name, value)| Some((name, value?)))
                .collect())]
        }
        Face::Seven => [
            ("*D", "voltage", volts, "V"),
            ("*E", "cpu-temperature", degrees, "C"),
        ]
        .into_iter()
        .filter_map(|(id, name, value, kind)| {
            Some(Row(vec![
                (".id", id.to_owned()),
                ("name", name.to_owned()),
                ("value", value?),
                ("type", kind.to_owned()),
            ]))
        })
        .collect(),
    }
}

/// `23.9`.
fn tenth(tenths: i32) -> String {
    format!("{:.1}", f64::from(tenths) / 10.0)
}

fn sessions(router: &Router, service: Service, row: impl Fn(&Live) -> Row) -> Vec<Row> {
    let of_service = |live: &Live| (live.session.service == service).then(|| row(live));
    all(router, of_service).into_iter().flatten().collect()
}

fn all<T>(router: &Router, row: impl Fn(&Live) -> T) -> Vec<T> {
    let state = router.state();
    let mut lives: Vec<&Live> = state.sessions.values().collect();
    lives.sort_by_key(|live| live.number);
    lives.into_iter().map(row).collect()
}

fn id(live: &Live) -> String {
    format!("*{:X}", live.number + 1)
}

fn ppp(live: &Live, now: Timestamp) -> Row {
    let session = &live.session;
    Row(vec![
        (".id", id(live)),
        ("name", session.user.clone()),
        ("service", "pppoe".to_owned()),
        ("caller-id", session.mac.clone()),
        ("address", session.address.to_string()),
        ("uptime", uptime(now.since(session.started))),
        ("encoding", String::new()),
        ("session-id", format!("0x{}", session.id)),
        ("limit-bytes-in", "0".to_owned()),
        ("limit-bytes-out", "0".to_owned()),
        ("radius", session.radius.to_string()),
    ])
}

fn hotspot(live: &Live, now: Timestamp) -> Row {
    let session = &live.session;
    let usage = session.usage(now);
    let timeout = session.grants.session_timeout.filter(|secs| *secs > 0);
    let left = timeout.map(|secs| {
        let end = session.started.plus(Duration::from_secs(secs.into()));
        ("session-time-left", uptime(end.since(now)))
    });
    let mut row = vec![
        (".id", id(live)),
        ("server", "hotspot1".to_owned()),
        ("user", session.user.clone()),
        ("address", session.address.to_string()),
        ("mac-address", session.mac.clone()),
        ("login-by", "http-chap".to_owned()),
        ("uptime", uptime(now.since(session.started))),
        ("bytes-in", usage.up.to_string()),
        ("bytes-out", usage.down.to_string()),
        ("radius", session.radius.to_string()),
    ];
    row.extend(left);
    Row(row)
}

fn queue(live: &Live) -> Row {
    let session = &live.session;
    let limit = session.grants.rate_limit.as_deref().unwrap_or("0/0");
    let limit = limit.split(' ').next().unwrap_or("0/0");
    let rates = session.traffic();
    Row(vec![
        (".id", id(live)),
        ("name", interface_of(session)),
        ("target", interface_of(session)),
        ("max-limit", plain(limit)),
        (
            "rate",
            format!(
                "{}/{}",
                rates.up_bits_per_second, rates.down_bits_per_second
            ),
        ),
        ("dynamic", "true".to_owned()),
    ])
}

fn interfaces(router: &Router, now: Timestamp) -> Vec<Row> {
    let ports = configured(router, "/interface").unwrap_or_default();
    let dynamic = sessions(router, Service::Pppoe, |live| {
        let usage = live.session.usage(now);
        Row(vec![
            (".id", id(live)),
            ("name", interface_of(&live.session)),
            ("type", "pppoe-in".to_owned()),
            ("running", "true".to_owned()),
            ("disabled", "false".to_owned()),
            ("dynamic", "true".to_owned()),
            ("rx-byte", usage.up.to_string()),
            ("tx-byte", usage.down.to_string()),
        ])
    });
    ports.into_iter().chain(dynamic).collect()
}

fn resource(router: &Router, face: Face, now: Timestamp) -> Row {
    let built = match face {
        Face::Six => "Jul/12/2023 09:36:52",
        Face::Seven => "2025-03-11 11:59:04",
    };
    let software = router.software();
    let version = format!("{} ({})", software.installed, software.label);
    let booted = router.state().booted;
    Row(vec![
        ("uptime", uptime(now.since(booted))),
        ("version", version),
        ("build-time", built.to_owned()),
        ("board-name", router.board().0),
        ("architecture-name", "x86_64".to_owned()),
        ("cpu", "ARM64".to_owned()),
        ("cpu-count", "4".to_owned()),
        ("cpu-frequency", "1400".to_owned()),
        ("free-hdd-space", "900000000".to_owned()),
        ("total-hdd-space", "1073741824".to_owned()),
        ("platform", "MikroTik".to_owned()),
        ("cpu-load", router.load().to_string()),
        ("free-memory", "805306368".to_owned()),
        ("total-memory", "1073741824".to_owned()),
    ])
}

fn interface_of(session: &Session) -> String {
    match session.service {
        Service::Pppoe => format!("<pppoe-{}>", session.user),
        Service::Hotspot => format!("<hotspot-{}>", session.user),
    }
}

/// `5M/10M` as the API tells it: `5000000/10000000`.
fn plain(limit: &str) -> String {
    let one = |text: &str| text.replace('M', "000000").replace('k', "000");
    match limit.split_once('/') {
        Some((up, down)) => format!("{}/{}", one(up), one(down)),
        None => format!("{}/{}", one(limit), one(limit)),
    }
}

/// `1w2d3h4m5s`, without the parts that are nothing.
fn uptime(span: Duration) -> String {
    let secs = span.as_secs();
    let parts = [
        (secs / 604_800, 'w'),
        (secs / 86_400 % 7, 'd'),
        (secs / 3600 % 24, 'h'),
        (secs / 60 % 60, 'm'),
        (secs % 60, 's'),
    ];
    let said: String = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if said.is_empty() {
        "0s".to_owned()
    } else {
        said
    }
}
