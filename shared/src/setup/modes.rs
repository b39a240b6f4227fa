//! What a device's mode keeps off (`/system device-mode`, RouterOS 7.17 and newer).

use super::around::of;
use crate::wire::setup::{BeforeV1, ItemV1, RowV1, WhichV1};

/// A device's mode, as it told it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceMode {
    /// `home`, `basic`, `advanced`; empty where it does not say.
    pub mode: String,
    /// Whether it found its own configuration suspect: it then runs nothing by itself, whatever else is allowed.
    pub flagged: bool,
    /// Whether its scheduler is off beside that.
    pub scheduler_is_off: bool,
    /// What it keeps off that it would need here, and what cannot be without it.
    pub forbids: Vec<(&'static str, &'static str)>,
}

impl DeviceMode {
    /// What to look at. A router that knows no modes tells nothing.
    pub fn asked() -> ItemV1 {
        ItemV1 {
            menu: MENU.to_owned(),
            which: WhichV1::Menu { lenient: true },
            fields: Vec::new(),
        }
    }

    /// What it told; `None` where it knows no modes.
    pub fn told(told: &[BeforeV1]) -> Option<DeviceMode> {
        let menu = told.iter().find(|one| one.item.menu == MENU)?;
        let row = menu.rows.iter().find(|row| !row.fields.is_empty())?;
        Some(DeviceMode::of(row))
    }

    pub(super) fn of(row: &RowV1) -> DeviceMode {
        let says = |name: &str, words: [&str; 2]| {
            of(row, name).is_some_and(|held| words.contains(&held.as_str()))
        };
        let flagged = says("flagged", ["yes", "true"]);
        let off = |name: &str| says(name, ["no", "false"]);
        let is_off = |(name, _): &&(&str, &str)| off(name) || flagged && *name == SCHEDULER;
        DeviceMode {
            mode: of(row, "mode").unwrap_or_default(),
            flagged,
            scheduler_is_off: off(SCHEDULER),
            forbids: NEEDED.iter().filter(is_off).copied().collect(),
        }
    }

    /// Whether it keeps the router from running anything by itself.
    pub fn knows_no_scheduler(&self) -> bool {
        self.forbids.iter().any(|(name, _)| *name == SCHEDULER)
    }

    /// What it cannot do so, and what to do about it; `None` where nothing is in the way.
    pub fn sentence(&self) -> Option<String> {
        if self.forbids.is_empty() {
            return None;
        }
        let without: Vec<String> = self
            .forbids
            .iter()
            .map(|(name, lost)| format!("without {name} {lost}"))
            .collect();
        let named = |(name, _): &(&str, &str)| {
            let allowed = format!("{name}=yes");
            match (self.flagged && *name == SCHEDULER, self.scheduler_is_off) {
                (true, true) => vec!["flagged=no".to_owned(), allowed],
                (true, false) => vec!["flagged=no".to_owned()],
                (false, _) => vec![allowed],
            }
        };
        let changes: Vec<String> = self.forbids.iter().flat_map(named).collect();
        let mode = match self.mode.as_str() {
            "" => String::new(),
            mode => format!(" ({mode})"),
        };
        Some(format!(
            "its device-mode{mode} keeps something off: {}. Type /system device-mode update {} on the router, and press \
             its button or cut its power within five minutes",
            without.join("; "),
            changes.join(" ")
        ))
    }
}

pub(super) const MENU: &str = "/system device-mode";
const SCHEDULER: &str = "scheduler";
/// What is used here of what a mode can keep off, and what cannot be without it.
const NEEDED: [(&str, &str); 3] = [
    ("hotspot", "it serves no hotspot"),
    (
        SCHEDULER,
        "it neither tells by itself that it lives nor takes a configuration back by itself that locks its agent out",
    ),
    (
        "fetch",
        "it takes no script and no pages of the hotspot from here, and cannot tell that it lives",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fields: &[(&str, &str)]) -> Vec<BeforeV1> {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        let row = RowV1 {
            id: String::new(),
            next: None,
            fields: fields.iter().map(field).collect(),
        };
        vec![BeforeV1 {
            item: DeviceMode::asked(),
            rows: vec![row],
        }]
    }

    #[test]
    fn what_a_mode_keeps_off_is_said_with_what_to_type() {
        let home = told(&[
            ("mode", "home"),
            ("hotspot", "no"),
            ("scheduler", "false"),
            ("fetch", "no"),
            ("zerotier", "no"),
        ]);
        let home = DeviceMode::told(&home).expect("it has one");
        let names: Vec<&str> = home.forbids.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["hotspot", "scheduler", "fetch"]);
        let said = home.sentence().expect("something is off");
        assert!(said.contains("(home)"), "{said}");
        let typed = "/system device-mode update hotspot=yes scheduler=yes fetch=yes ";
        assert!(said.contains(typed), "{said}");

        let free = told(&[("mode", "advanced"), ("hotspot", "yes"), ("fetch", "true")]);
        let free = DeviceMode::told(&free).expect("it has one");
        assert_eq!((free.sentence(), free.knows_no_scheduler()), (None, false));
    }

    #[test]
    fn who_is_flagged_runs_nothing_by_itself_whatever_else_is_allowed() {
        let flagged = told(&[
            ("mode", "advanced"),
            ("scheduler", "yes"),
            ("flagged", "yes"),
        ]);
        let flagged = DeviceMode::told(&flagged).expect("it has one");
        assert!(flagged.knows_no_scheduler());
        let said = flagged.sentence().expect("something is off");
        assert!(said.contains("update flagged=no on"), "{said}");
    }

    /// Its button is pressed once for both.
    #[test]
    fn who_is_flagged_and_has_its_scheduler_off_is_told_to_change_both() {
        let both = told(&[
            ("mode", "home"),
            ("hotspot", "yes"),
            ("scheduler", "no"),
            ("flagged", "yes"),
        ]);
        let both = DeviceMode::told(&both).expect("it has one");
        let said = both.sentence().expect("something is off");
        assert!(
            said.contains("update flagged=no scheduler=yes on"),
            "{said}"
        );
    }

    #[test]
    fn who_knows_no_modes_forbids_nothing() {
        assert_eq!(DeviceMode::told(&told(&[])), None);
        assert_eq!(DeviceMode::told(&[]), None);
    }
}
