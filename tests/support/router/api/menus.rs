//! What the menus list: the router's real sessions, in RouterOS's own words.

use std::time::Duration;

use easyisp_shared::time::Timestamp;

use super::super::session::{Cause, Service, Session};
use super::super::users::LocalUser;
use super::super::{Router, life::Live};
use super::query::fits;
use super::wire::Sentence;

/// A row: property by property.
pub(super) struct Row(Vec<(&'static str, String)>);

/// Why a command is refused: the category and the words.
pub(super) type Refused = (Option<u8>, &'static str);

impl Row {
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let held = self.0.iter().find(|(held, _)| *held == name);
        held.map(|(_, value)| value.as_str())
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
pub(super) fn rows(router: &Router, menu: &str, asked: &Sentence) -> Result<Vec<Row>, Refused> {
    let now = router.shared.clock.now();
    let rows = match menu {
        "/ppp/active" => sessions(router, Service::Pppoe, |live| ppp(live, now)),
        "/ip/hotspot/active" => sessions(router, Service::Hotspot, |live| hotspot(live, now)),
        "/ppp/secret" => users(router, Service::Pppoe, secret),
        "/ip/hotspot/user" => users(router, Service::Hotspot, hotspot_user),
        "/queue/simple" => all(router, queue),
        "/interface" => interfaces(router, now),
        "/system/resource" => vec![resource(router, now)],
        "/system/identity" => vec![Row(vec![("name", router.shared.settings.identity.clone())])],
        _ => return Err((Some(0), "no such command prefix")),
    };
    Ok(rows.into_iter().filter(|row| fits(row, asked)).collect())
}

/// `/interface/monitor-traffic`, once.
pub(super) fn traffic(router: &Router, asked: &Sentence) -> Result<Vec<Row>, Refused> {
    let wanted = asked.value("interface").unwrap_or_default();
    let found = all(router, |live| {
        let rates = live.session.traffic();
        (interface_of(&live.session) == wanted).then(|| {
            Row(vec![
                ("name", wanted.to_owned()),
                ("rx-bits-per-second", rates.up_bits_per_second.to_string()),
                ("tx-bits-per-second", rates.down_bits_per_second.to_string()),
            ])
        })
    });
    let found: Vec<Row> = found.into_iter().flatten().collect();
    if found.is_empty() {
        return Err((Some(1), "input does not match any value of interface"));
    }
    Ok(found)
}

/// Takes sessions off a list: `=.id=*1,*2`, or a name.
pub(super) fn remove(router: &Router, menu: &str, asked: &Sentence) -> Result<(), Refused> {
    let service = match menu {
        "/ppp/active" => Service::Pppoe,
        "/ip/hotspot/active" => Service::Hotspot,
        _ => return Err((Some(0), "no such command prefix")),
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
        return Err((None, "no such item"));
    }
    for id in hit {
        router.change(|state| state.counters.api_removals += 1);
        router.take_down(&id, Cause::AdminReset);
    }
    Ok(())
}

fn sessions(router: &Router, service: Service, row: impl Fn(&Live) -> Row) -> Vec<Row> {
    let of_service = |live: &Live| (live.session.service == service).then(|| row(live));
    all(router, of_service).into_iter().flatten().collect()
}

fn users(router: &Router, service: Service, row: impl Fn(String, &LocalUser) -> Row) -> Vec<Row> {
    let state = router.state();
    let held = state.users.iter().zip(1..);
    let of_service = held.filter(|(user, _)| user.service == service);
    of_service
        .map(|(user, number)| row(format!("*{number:X}"), user))
        .collect()
}

fn secret(id: String, user: &LocalUser) -> Row {
    Row(vec![
        (".id", id),
        ("name", user.name.clone()),
        ("service", "any".to_owned()),
        ("caller-id", String::new()),
        ("password", user.password.clone()),
        ("profile", "default".to_owned()),
        ("limit-bytes-in", "0".to_owned()),
        ("limit-bytes-out", "0".to_owned()),
        ("disabled", user.disabled.to_string()),
    ])
}

fn hotspot_user(id: String, user: &LocalUser) -> Row {
    Row(vec![
        (".id", id),
        ("server", "all".to_owned()),
        ("name", user.name.clone()),
        ("password", user.password.clone()),
        ("profile", "default".to_owned()),
        ("uptime", "0s".to_owned()),
        ("bytes-in", "0".to_owned()),
        ("bytes-out", "0".to_owned()),
        ("dynamic", "false".to_owned()),
        ("disabled", user.disabled.to_string()),
    ])
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
    Row(vec![
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
    ])
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
    let port = Row(vec![
        (".id", "*F0".to_owned()),
        ("name", "ether1".to_owned()),
        ("type", "ether".to_owned()),
        ("running", "true".to_owned()),
        ("disabled", "false".to_owned()),
        ("dynamic", "false".to_owned()),
    ]);
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
    std::iter::once(port).chain(dynamic).collect()
}

fn resource(router: &Router, now: Timestamp) -> Row {
    let booted = router.state().booted;
    Row(vec![
        ("uptime", uptime(now.since(booted))),
        ("version", "7.18.2 (stable)".to_owned()),
        ("board-name", "CHR".to_owned()),
        ("architecture-name", "x86_64".to_owned()),
        ("cpu-load", "7".to_owned()),
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
