//! `/system package update` and `/system routerboard`: what a router runs and would take, what it does about that at its
//! next start, and what goes wrong on the way.

use std::time::Duration;

use super::api::Face;
use super::{Router, Settings};

/// What a router runs.
#[derive(Clone, Debug)]
pub struct Software {
    /// `7.18.2`.
    pub installed: String,
    /// What it calls after the number: `stable`.
    pub label: &'static str,
    /// `/system package update channel`.
    pub channel: String,
    /// What MikroTik has: channel and release.
    pub offers: Vec<(String, String)>,
    /// What the last check found.
    pub latest: Option<String>,
    /// Whether it has not been told yet what it asked.
    pub finding: bool,
    /// What was fetched and lies on its disk.
    pub downloaded: Option<String>,
    /// The board's firmware.
    pub board: String,
    /// Written, and counts from the next start on.
    pub written: Option<String>,
    /// How long a start takes.
    pub start: Duration,
    /// What becomes of the next installation.
    pub fate: Fate,
    /// Every release it was told to install, in order.
    pub ordered: Vec<String>,
    /// How often it was told to start anew, installations among them.
    pub starts: u32,
}

/// What becomes of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It runs what was wanted.
    Good,
    /// It comes back as it was.
    StaysOld,
    /// It does not come back.
    NeverReturns,
}

impl Software {
    pub(super) fn of(settings: &Settings) -> Software {
        let (usual, label) = match settings.face() {
            Face::Six => ("6.49.10", "long-term"),
            Face::Seven => ("7.18.2", "stable"),
        };
        let snmp = settings.snmp.as_ref().filter(|_| settings.api.is_none());
        let recorded = snmp.and_then(|snmp| snmp.recording.release());
        let installed = recorded.as_deref().unwrap_or(usual);
        Software {
            installed: installed.to_owned(),
            label,
            channel: label.to_owned(),
            offers: vec![(label.to_owned(), installed.to_owned())],
            latest: None,
            finding: false,
            downloaded: None,
            board: installed.to_owned(),
            written: None,
            start: Duration::ZERO,
            fate: Fate::Good,
            ordered: Vec::new(),
            starts: 0,
        }
    }

    /// What MikroTik has in its channel.
    pub(super) fn offer(&self) -> Option<String> {
        let found = self.offers.iter().find(|(name, _)| *name == self.channel);
        found.map(|(_, release)| release.clone())
    }

    /// `/system package update status`.
    pub(super) fn status(&self) -> &'static str {
        match (&self.downloaded, &self.latest) {
            _ if self.finding => "finding out latest version...",
            (Some(_), _) => "Downloaded, please reboot router to upgrade it",
            (None, Some(latest)) if *latest == self.installed => "System is already up to date",
            (None, Some(_)) => "New version is available",
            (None, None) => "",
        }
    }

    /// What a start makes of it; whether it comes back at all.
    fn begin_anew(&mut self, downgrade: bool) -> bool {
        self.starts += 1;
        self.latest = None;
        if let Some(written) = self.written.take() {
            self.board = written;
        }
        let Some(fetched) = self.downloaded.take() else {
            return true;
        };
        match self.fate {
            Fate::NeverReturns => return false,
            Fate::StaysOld => {}
            // An older release is taken by `downgrade` alone.
            Fate::Good if downgrade || numbers(&fetched) > numbers(&self.installed) => {
                self.installed = fetched;
            }
            Fate::Good => {}
        }
        true
    }
}

/// `7.18.2` as numbers.
fn numbers(release: &str) -> Vec<u32> {
    release
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

impl Router {
    /// What it runs.
    pub fn software(&self) -> Software {
        self.state().software.clone()
    }

    /// Says what it runs, what MikroTik has for it, and what becomes of an installation.
    pub fn with_software<T>(&self, change: impl FnOnce(&mut Software) -> T) -> T {
        self.change(|state| change(&mut state.software))
    }

    /// Starts anew, for as long as that takes; `downgrade` also to an older release that was fetched.
    pub(super) fn start_anew(&self, downgrade: bool) {
        let now = self.shared.clock.now();
        self.reboot();
        self.change(|state| {
            let span = state.software.start;
            let returns = state.software.begin_anew(downgrade);
            state.away_until = match returns {
                true => Some(now.plus(span)),
                false => Some(now.plus(NEVER)),
            };
            state.booted = now.plus(span);
        });
    }

    /// Takes its power away, or gives it back.
    pub fn switch_off(&self, off: bool) {
        let now = self.shared.clock.now();
        self.reboot();
        self.change(|state| state.away_until = off.then(|| now.plus(NEVER)));
    }

    /// Whether it is starting, or never comes back.
    pub(super) fn is_away(&self) -> bool {
        let now = self.shared.clock.now();
        self.state().away_until.is_some_and(|until| now < until)
    }
}

const NEVER: Duration = Duration::from_secs(3_650 * 86_400);
