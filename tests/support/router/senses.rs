//! What a router's processor, sensors and ports say: as it was recorded, until a story says otherwise. Its API and its
//! SNMP tell the same.

use super::api::Face;
use super::session::Usage;
use super::{Router, Settings};
use crate::snmprec::{Name, Recorded, Recording};

/// What a story sets; what is `None` is as it was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Senses {
    /// How busy each core is, percent.
    pub load: Option<u32>,
    /// Its first thermometer, tenths of a degree Celsius.
    pub decidegrees: Option<i32>,
    /// Its supply, tenths of a volt.
    pub decivolts: Option<i32>,
    /// Its serial number.
    pub serial: Option<&'static str>,
}

/// How a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Somebody is at the other end.
    Up,
    /// Nobody is.
    Down,
    /// Switched off by a person.
    Off,
}

/// A port as it was recorded.
pub(super) struct Port {
    pub(super) index: u32,
    pub(super) name: String,
    /// What RouterOS calls its type.
    pub(super) word: &'static str,
    pub(super) link: Link,
    pub(super) comment: String,
    /// Sent and received.
    pub(super) passed: Usage,
}

impl Settings {
    /// The ports of a router that somebody set up long ago.
    pub(super) fn ports(&self) -> Vec<Port> {
        match &self.snmp {
            Some(snmp) => snmp.recording.ports(),
            None => vec![Port {
                index: 1,
                name: UPLINK.to_owned(),
                word: "ether",
                link: Link::Up,
                comment: "uplink".to_owned(),
                passed: Usage {
                    up: 2_781_511,
                    down: 60_987,
                },
            }],
        }
    }

    /// What went through its uplink before anybody looked.
    pub(super) fn passed(&self) -> Usage {
        let ports = self.ports();
        let uplink = ports.iter().find(|port| port.name == UPLINK);
        uplink.map_or(Usage::default(), |port| port.passed)
    }
}

impl Router {
    /// Says what its processor and its sensors say from here on.
    pub fn with_senses<T>(&self, change: impl FnOnce(&mut Senses) -> T) -> T {
        self.change(|state| change(&mut state.senses))
    }

    /// Pulls a cable out of a port, puts it back, or switches the port off.
    pub fn link(&self, port: &str, link: Link) {
        let word = |is: bool| if is { "yes" } else { "no" };
        self.configure(|machine| {
            let named = ("/interface", port);
            machine.put_named(named, "running", word(link == Link::Up));
            machine.put_named(named, "disabled", word(link == Link::Off));
        });
    }

    /// What it was recorded from.
    pub(super) fn recording(&self) -> Option<&Recording> {
        let snmp = self.shared.settings.snmp.as_ref()?;
        Some(&snmp.recording)
    }

    /// Percent, over all cores.
    pub(super) fn load(&self) -> u32 {
        let recorded = || self.recording().and_then(Recording::load);
        self.state().senses.load.or_else(recorded).unwrap_or(7)
    }

    /// Tenths of a degree; `None` on a board without a thermometer.
    pub(super) fn decidegrees(&self, face: Face) -> Option<i32> {
        let recorded = || match (self.recording(), face) {
            (Some(recording), _) => recording.measured(recording.thermometer()?),
            (None, Face::Six) => Some(380),
            (None, Face::Seven) => Some(470),
        };
        self.state().senses.decidegrees.or_else(recorded)
    }

    /// Tenths of a volt; `None` on a board that does not measure it.
    pub(super) fn decivolts(&self, face: Face) -> Option<i32> {
        let recorded = || match (self.recording(), face) {
            (Some(recording), _) => recording.measured(recording.supply()?),
            (None, Face::Six) => Some(241),
            (None, Face::Seven) => Some(239),
        };
        self.state().senses.decivolts.or_else(recorded)
    }

    /// The board and its serial number.
    pub(super) fn board(&self) -> (String, String) {
        let recorded = self.recording();
        let model = recorded.and_then(|recording| recording.text(SYS_DESCR));
        let model = model.unwrap_or_else(|| "RB5009UG+S+".to_owned());
        let set = self.state().senses.serial.map(str::to_owned);
        let serial = set.or_else(|| recorded.and_then(|recording| recording.text(SERIAL)));
        (
            model.trim_start_matches("RouterOS ").to_owned(),
            serial.unwrap_or_else(|| "HEX0000DEMO".to_owned()),
        )
    }
}

/// Where something is measured, and how many tenths of its unit one is there.
pub(super) type Sensor = (Name, i32);

impl Recording {
    /// The release it ran.
    pub(super) fn release(&self) -> Option<String> {
        self.text(VERSION)
    }

    /// Which version's objects it shows.
    pub(super) fn face(&self) -> Face {
        match self.release().is_some_and(|it| it.starts_with("6.")) {
            true => Face::Six,
            false => Face::Seven,
        }
    }

    pub(super) fn thermometer(&self) -> Option<Sensor> {
        self.sensor(1, &[10, 11])
    }

    pub(super) fn supply(&self) -> Option<Sensor> {
        self.sensor(3, &[8])
    }

    /// Where there is a table its first row of this unit counts, else the first single object that says something.
    fn sensor(&self, unit: i64, singles: &[u32]) -> Option<Sensor> {
        let at = |column: u32, row: &[u32]| [HEALTH_TABLE, &[column], row].concat();
        let column = at(4, &[]);
        let mut rows = self.under(&column).peekable();
        if rows.peek().is_some() {
            let (row, _) = rows.find(|(row, _)| self.number(&at(4, row)) == Some(unit))?;
            let name = at(3, row);
            // Degrees are whole, or tenths in some builds.
            let whole = unit == 1 && self.number(&name)? < 200;
            return Some((name, if whole { 10 } else { 1 }));
        }
        let mut singles = singles.iter().map(|one| [HEALTH, &[*one, 0]].concat());
        let said = singles.find(|name| self.number(name).is_some_and(|number| number != 0));
        said.map(|name| (name, 1))
    }

    fn measured(&self, (name, tenths): Sensor) -> Option<i32> {
        Some(i32::try_from(self.number(&name)?).ok()? * tenths)
    }

    fn load(&self) -> Option<u32> {
        let cores: Vec<i64> = self
            .under(CORES)
            .filter_map(|(core, _)| self.number(&[CORES, core].concat()))
            .collect();
        let count = i64::try_from(cores.len()).ok().filter(|count| *count > 0)?;
        u32::try_from((cores.iter().sum::<i64>() + count / 2) / count).ok()
    }

    /// Its ports, without the lines of those who were online.
    pub(super) fn ports(&self) -> Vec<Port> {
        let names = [IFX, &[1]].concat();
        let port = |(row, _): (&[u32], &Recorded)| {
            let at = |table: &[u32], column: u32| [table, &[column], row].concat();
            let number = |table: &[u32], column| self.number(&at(table, column)).unwrap_or(0);
            let octets = |column| u64::try_from(number(IFX, column)).unwrap_or(0);
            let name = self.text(&at(IFX, 1))?;
            let port = Port {
                index: *row.first()?,
                word: match number(IF, 3) {
                    6 => "ether",
                    71 => "wlan",
                    135 => "vlan",
                    161 => "bond",
                    209 => "bridge",
                    _ => "other",
                },
                link: match (number(IF, 7), number(IF, 8)) {
                    (2, _) => Link::Off,
                    (_, 1) => Link::Up,
                    (_, _) => Link::Down,
                },
                comment: self.text(&at(IFX, 18)).unwrap_or_default(),
                passed: Usage {
                    up: octets(10),
                    down: octets(6),
                },
                name,
            };
            (!port.name.starts_with('<')).then_some(port)
        };
        self.under(&names).filter_map(port).collect()
    }
}

/// Where all that subscribers send and get goes through.
pub(super) const UPLINK: &str = "ether1";
pub(super) const SYS_DESCR: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 1, 0];
pub(super) const VERSION: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 4, 4, 0];
const SERIAL: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 7, 3, 0];
pub(super) const HEALTH: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 3];
/// Name, value and unit: 1 is a degree, 3 a tenth of a volt.
const HEALTH_TABLE: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 3, 100, 1];
/// hrProcessorLoad.
pub(super) const CORES: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 3, 3, 1, 2];
/// ifEntry.
pub(super) const IF: &[u32] = &[1, 3, 6, 1, 2, 1, 2, 2, 1];
/// ifXEntry.
pub(super) const IFX: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1];
