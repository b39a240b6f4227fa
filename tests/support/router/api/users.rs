//! The router's own users as its menus tell of them.

use super::super::Router;
use super::super::session::Service;
use super::super::users::LocalUser;
use super::Face;
use super::menus::Row;

/// `/ppp/secret`.
pub(super) fn secrets(router: &Router, face: Face) -> Vec<Row> {
    users(router, Service::Pppoe, |id, user| secret(face, id, user))
}

/// `/ip/hotspot/user`.
pub(super) fn of_hotspot(router: &Router) -> Vec<Row> {
    let mut rows = vec![trial()];
    rows.extend(users(router, Service::Hotspot, hotspot_user));
    rows
}

fn users(router: &Router, service: Service, row: impl Fn(String, &LocalUser) -> Row) -> Vec<Row> {
    let state = router.state();
    let held = state.users.iter().zip(1..);
    let of_service = held.filter(|(user, _)| user.service == service);
    of_service
        .map(|(user, number)| row(format!("*{number:X}"), user))
        .collect()
}

/// As rows of routers that ran 6.49 and 7.16 look: what nobody said has a value all the same, but for the comment.
fn secret(face: Face, id: String, user: &LocalUser) -> Row {
    let never = match face {
        Face::Six => "jan/01/1970 00:00:00",
        Face::Seven => "1970-01-01 00:00:00",
    };
    let row = vec![
        (".id", id),
        ("name", user.name.clone()),
        ("service", "any".to_owned()),
        ("caller-id", String::new()),
        ("password", user.password.clone()),
        ("profile", "default".to_owned()),
        ("routes", String::new()),
        ("ipv6-routes", String::new()),
        ("limit-bytes-in", "0".to_owned()),
        ("limit-bytes-out", "0".to_owned()),
        ("last-logged-out", never.to_owned()),
        ("last-caller-id", String::new()),
        ("last-disconnect-reason", String::new()),
        ("disabled", user.disabled.to_string()),
    ];
    said(row, user)
}

fn hotspot_user(id: String, user: &LocalUser) -> Row {
    let mut row = vec![
        (".id", id),
        ("server", "all".to_owned()),
        ("name", user.name.clone()),
        ("profile", "default".to_owned()),
        ("uptime", "0s".to_owned()),
        ("bytes-in", "0".to_owned()),
        ("bytes-out", "0".to_owned()),
        ("packets-in", "0".to_owned()),
        ("packets-out", "0".to_owned()),
        ("dynamic", "false".to_owned()),
        ("disabled", user.disabled.to_string()),
    ];
    if !user.password.is_empty() {
        row.push(("password", user.password.clone()));
    }
    said(row, user)
}

/// The pattern of guests who try, which every router has.
fn trial() -> Row {
    Row(vec![
        (".id", "*0".to_owned()),
        ("name", "default-trial".to_owned()),
        ("uptime", "0s".to_owned()),
        ("bytes-in", "0".to_owned()),
        ("bytes-out", "0".to_owned()),
        ("dynamic", "false".to_owned()),
        ("disabled", "false".to_owned()),
        ("comment", "counters and limits for trial users".to_owned()),
    ])
}

/// With what was said of him in place of what stands there otherwise.
fn said(mut row: Vec<(&'static str, String)>, user: &LocalUser) -> Row {
    for (name, value) in &user.says {
        row.retain(|(held, _)| held != name);
        row.push((name, value.clone()));
    }
    Row(row)
}
