//! The commands of `/system package` and `/system routerboard`.

use super::super::Router;
use super::menus::{Refused, Row};
use super::wire::Sentence;

/// What a command comes to.
pub(super) enum Came {
    /// These rows.
    Rows(Vec<Row>),
    /// It starts anew, and says nothing more.
    Gone,
}

/// Carries out a command of these menus; `None` for one of another.
pub(super) fn carry_out(
    router: &Router,
    path: &str,
    asked: &Sentence,
) -> Option<Result<Came, Refused>> {
    let nothing = || Ok(Came::Rows(Vec::new()));
    Some(match path {
        "/system/package/update/set" => {
            let channel = asked.value("channel").unwrap_or_default().to_owned();
            let known = ["stable", "long-term", "testing", "development", "upgrade"];
            match known.contains(&channel.as_str()) {
                true => {
                    router.with_software(|software| software.channel = channel);
                    nothing()
                }
                false => Err((None, "input does not match any value of channel".to_owned())),
            }
        }
        "/system/package/update/check-for-updates" => router.with_software(|software| {
            software.latest = software.offer();
            software.finding = true;
            let status = software.status().to_owned();
            Ok(Came::Rows(vec![Row(vec![("status", status)])]))
        }),
        "/system/package/update/download" => fetch(router),
        "/system/package/update/install" | "/system/package/downgrade" => {
            let downgrade = path.ends_with("downgrade");
            if router.software().downloaded.is_none()
                && let Err(refused) = fetch(router)
            {
                return Some(Err(refused));
            }
            router.with_software(|software| {
                let fetched = software.downloaded.clone();
                software.ordered.extend(fetched);
            });
            router.start_anew(downgrade);
            Ok(Came::Gone)
        }
        "/system/reboot" => {
            router.start_anew(false);
            Ok(Came::Gone)
        }
        "/system/routerboard/upgrade" => router.with_software(|software| {
            software.written = Some(software.installed.clone());
            nothing()
        }),
        _ => return None,
    })
}

fn fetch(router: &Router) -> Result<Came, Refused> {
    router.with_software(|software| match software.offer() {
        Some(offer) => {
            software.finding = false;
            software.downloaded = Some(offer);
            Ok(Came::Rows(vec![Row(vec![(
                "status",
                software.status().to_owned(),
            )])]))
        }
        None => Err((None, "no such channel".to_owned())),
    })
}

/// `/system/package/update/print`.
pub(super) fn update(router: &Router) -> Row {
    router.with_software(|software| {
        let mut row = vec![
            ("channel", software.channel.clone()),
            ("installed-version", software.installed.clone()),
            ("status", software.status().to_owned()),
        ];
        if !software.finding {
            let latest = software.latest.clone().into_iter();
            row.extend(latest.map(|latest| ("latest-version", latest)));
        }
        // By the next time it is asked it has been told.
        software.finding = false;
        Row(row)
    })
}

/// `/system/routerboard/print`.
pub(super) fn board(router: &Router) -> Row {
    let software = router.software();
    let (model, serial) = router.board();
    Row(vec![
        ("routerboard", "true".to_owned()),
        ("model", model),
        ("serial-number", serial),
        ("current-firmware", software.board),
        ("upgrade-firmware", software.installed),
    ])
}
