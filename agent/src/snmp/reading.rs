//! What a device's values mean: a pure function from what was walked to a [`Reading`].
//!
//! RouterOS tells its health in two ways. To 6.x and early 7.x: single objects in tenths of a volt and a
//! degree. Later: a table with a unit for each row. Where a table is, it counts.

mod ask;

use std::collections::BTreeMap;

pub use ask::{everything, lacks_counters, narrow_counters, renewed, watched, what_changes};

use super::mib;
use super::oid::Oid;
use super::pdu::Value;
use super::walk::Values;

/// What a device says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Who it is.
    pub system: System,
    /// Hundredths of a second since its SNMP agent started; wraps after 497 days.
    pub uptime_ticks: Option<u32>,
    /// Hundredths of a second since the device started, where it counts that apart.
    pub system_ticks: Option<u32>,
    /// Percent, by core.
    pub cpu: Vec<u32>,
    /// Main memory.
    pub memory: Option<Room>,
    /// The disk it runs from.
    pub disk: Option<Room>,
    /// Everything it stores on.
    pub storages: Vec<Storage>,
    /// Its sensors.
    pub sensors: Vec<Sensor>,
    /// Its interfaces, by index.
    pub interfaces: Vec<Interface>,
    /// PPP sessions, as a RouterOS counts them.
    pub ppp_sessions: Option<u32>,
    /// Hotspot sessions.
    pub hotspot_sessions: Option<u32>,
    /// DHCP leases.
    pub dhcp_leases: Option<u32>,
}

/// Who a device is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// sysDescr.
    pub description: String,
    /// sysObjectID.
    pub object: Option<Oid>,
    /// sysName.
    pub name: String,
    /// sysLocation.
    pub location: String,
    /// RouterOS version.
    pub version: Option<String>,
    /// RouterOS licence level.
    pub licence_level: Option<u32>,
    /// Serial number of the board.
    pub serial: Option<String>,
    /// Its firmware.
    pub firmware: Option<String>,
    /// The board.
    pub board: Option<String>,
}

/// How much of something is in use, octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// In all.
    pub total: u64,
    /// In use.
    pub used: u64,
}

/// Something to store on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// hrStorageIndex.
    pub index: u32,
    /// What the device calls it.
    pub name: String,
    /// How full.
    pub room: Room,
    /// hrStorageTypes: 2 RAM, 4 fixed disk, 9 flash; 0 where it is not told.
    pub kind: u32,
}

/// A sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensor {
    /// What the device calls it.
    pub name: String,
    /// In what it measures.
    pub unit: Unit,
    /// Thousandths of the unit; of [`Unit::Status`] the number as it is.
    pub milli: i64,
}

/// In what a sensor measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Degrees Celsius.
    Celsius,
    /// Rounds a minute.
    Rpm,
    /// Volts.
    Volt,
    /// Amperes.
    Ampere,
    /// Watts.
    Watt,
    /// 0 is well.
    Status,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// ifIndex: another one after a restart, perhaps.
    pub index: u32,
    /// ifName, or ifDescr where there is none.
    pub name: String,
    /// ifDescr.
    pub description: String,
    /// ifAlias: RouterOS puts the comment there.
    pub alias: String,
    /// ifType.
    pub kind: u32,
    /// Whether it is switched on.
    pub enabled: Option<bool>,
    /// ifOperStatus: 1 up, 2 down, 3 testing, 4 unknown, 5 dormant, 6 not present, 7 lower layer down.
    pub status: Option<u32>,
    /// Bits a second; 0 where there is no link.
    pub speed_bps: Option<u64>,
    /// Received.
    pub input: Option<Counter>,
    /// Sent.
    pub output: Option<Counter>,
    /// Broken packets, both ways.
    pub errors: Option<u64>,
    /// Packets thrown away, both ways.
    pub drops: Option<u64>,
}

/// A counter of octets and when it begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Octets.
    pub octets: u64,
    /// 64 bits: it does not wrap in our lives. Else 32, which a gigabit fills in 34 seconds.
    pub wide: bool,
}

/// Reads a device's values.
pub fn read(values: &Values) -> Reading {
    let storages = storages(values);
    let (memory, disk) = rooms(&storages);
    let count = |name: &[u32]| values.get(&Oid::new(name)).and_then(number);
    Reading {
        system: system(values),
        uptime_ticks: count(mib::SYS_UPTIME).map(|ticks| ticks as u32),
        system_ticks: count(mib::HR_UPTIME).map(|ticks| ticks as u32),
        cpu: rows(values, mib::HR_CPU_LOAD)
            .filter_map(|(_, value)| Some(number(value)?.min(100) as u32))
            .collect(),
        memory,
        disk,
        storages,
        sensors: sensors(values),
        interfaces: interfaces(values),
        ppp_sessions: count(mib::PPP_SESSIONS).and_then(|count| count.try_into().ok()),
        hotspot_sessions: is_routeros(values)
            .then(|| rows(values, mib::HOTSPOT_ADDRESS).count().try_into().ok())
            .flatten(),
        dhcp_leases: count(mib::DHCP_LEASES).and_then(|count| count.try_into().ok()),
    }
}

impl Reading {
    /// Percent, over all cores.
    pub fn cpu_percent(&self) -> Option<u32> {
        let cores = u32::try_from(self.cpu.len())
            .ok()
            .filter(|cores| *cores > 0)?;
        Some((self.cpu.iter().sum::<u32>() + cores / 2) / cores)
    }

    /// Seconds since the device started, as far as it says.
    pub fn uptime_secs(&self) -> Option<u64> {
        let ticks = self.system_ticks.or(self.uptime_ticks)?;
        Some(u64::from(ticks) / 100)
    }

    /// The first sensor that measures this, of the device's middle before that of its edges.
    pub fn sensor(&self, unit: Unit) -> Option<&Sensor> {
        let of_unit = |sensor: &&Sensor| sensor.unit == unit;
        let plain = match unit {
            Unit::Celsius => "temperature",
            Unit::Volt => "voltage",
            Unit::Rpm | Unit::Ampere | Unit::Watt | Unit::Status => "",
        };
        let named = self
            .sensors
            .iter()
            .filter(of_unit)
            .find(|sensor| sensor.name == plain);
        named.or_else(|| self.sensors.iter().find(of_unit))
    }
}

impl Interface {
    /// Whether it comes and goes with a subscriber: `<pppoe-jane>` of RouterOS.
    pub fn is_a_subscribers(&self) -> bool {
        self.name.starts_with('<') && self.name.ends_with('>')
    }
}

fn is_routeros(values: &Values) -> bool {
    let object = values.get(&Oid::new(mib::SYS_OBJECT_ID));
    matches!(object, Some(Value::Name(name)) if name.under(mib::MIKROTIK).is_some())
}

fn system(values: &Values) -> System {
    let said = |name: &[u32]| values.get(&Oid::new(name)).map(text);
    let some = |name: &[u32]| said(name).filter(|text| !text.is_empty());
    System {
        description: said(mib::SYS_DESCR).unwrap_or_default(),
        object: match values.get(&Oid::new(mib::SYS_OBJECT_ID)) {
            Some(Value::Name(name)) => Some(name.clone()),
            Some(_) | None => None,
        },
        name: said(mib::SYS_NAME).unwrap_or_default(),
        location: said(mib::SYS_LOCATION).unwrap_or_default(),
        version: some(mib::ROUTEROS_VERSION),
        licence_level: values
            .get(&Oid::new(mib::LICENCE_LEVEL))
            .and_then(number)
            .and_then(|level| level.try_into().ok()),
        serial: some(mib::SERIAL),
        firmware: some(mib::FIRMWARE),
        // Where there is no such object, RouterOS says it in its description.
        board: some(mib::BOARD).or_else(|| {
            let described = said(mib::SYS_DESCR)?;
            let board = described.strip_prefix("RouterOS ")?.trim();
            (!board.is_empty()).then(|| board.to_owned())
        }),
    }
}

fn storages(values: &Values) -> Vec<Storage> {
    let column = |column: u32| Oid::new(mib::HR_STORAGE).then(&[column]);
    let under = column(mib::HR_STORAGE_SIZE);
    let of = |number: u32, index: u32| values.get(&column(number).then(&[index]));
    let read = |(index, size): (&[u32], &Value)| {
        let [index] = index else { return None };
        // Sizes beyond 31 bits come as negative numbers.
        let unsigned = |value: &Value| match value {
            Value::Integer(number) => Some(u64::from(*number as u32)),
            other => number(other),
        };
        let units = of(mib::HR_STORAGE_UNITS, *index)
            .and_then(unsigned)
            .unwrap_or(1);
        let octets = |value: &Value| unsigned(value)?.checked_mul(units);
        Some(Storage {
            index: *index,
            name: of(mib::HR_STORAGE_DESCR, *index)
                .map(text)
                .unwrap_or_default(),
            room: Room {
                total: octets(size)?,
                used: of(mib::HR_STORAGE_USED, *index).and_then(octets)?,
            },
            kind: match of(mib::HR_STORAGE_TYPE, *index) {
                Some(Value::Name(name)) => match name.under(mib::HR_STORAGE_TYPES) {
                    Some([kind, ..]) => *kind,
                    Some([]) | None => 0,
                },
                Some(_) | None => 0,
            },
        })
    };
    rows(values, under.arcs()).filter_map(read).collect()
}

/// Which storage is the memory, and which the disk.
fn rooms(storages: &[Storage]) -> (Option<Room>, Option<Room>) {
    let named = |name: &str| {
        let named = |storage: &&Storage| storage.name.eq_ignore_ascii_case(name);
        storages.iter().find(named).map(|storage| storage.room)
    };
    let memory = storages
        .iter()
        .find(|storage| storage.kind == RAM)
        .map(|storage| {
            let mut room = storage.room;
            // Net-SNMP counts what the kernel lends to files; it is there for the asking.
            for lent in ["Memory buffers", "Cached memory"] {
                let lent = named(lent).map_or(0, |lent| lent.used);
                room.used = room.used.saturating_sub(lent);
            }
            room
        });
    let is_disk = |storage: &&Storage| matches!(storage.kind, FIXED_DISK | FLASH);
    let root = storages
        .iter()
        .filter(is_disk)
        .find(|storage| storage.name == "/");
    let disk = root.or_else(|| {
        let system = |storage: &&Storage| storage.name.eq_ignore_ascii_case("system disk");
        storages.iter().find(system)
    });
    let disk = disk.or_else(|| storages.iter().find(is_disk));
    (memory, disk.map(|storage| storage.room))
}

fn sensors(values: &Values) -> Vec<Sensor> {
    let column = |number: u32| Oid::new(mib::HEALTH_TABLE).then(&[number]);
    let values_column = column(3);
    let table = rows(values, values_column.arcs()).filter_map(|(index, value)| {
        let name = text(values.get(&column(2).then(index))?);
        let unit = values.get(&column(4).then(index)).and_then(number)?;
        sensor(name, unit, signed(value)?)
    });
    let table: Vec<Sensor> = table.collect();
    if !table.is_empty() {
        return table;
    }
    let scalars = SCALARS.iter().filter_map(|(number, name, unit)| {
        let value = values.get(&Oid::new(mib::HEALTH).then(&[*number, 0]))?;
        let raw = signed(value)?;
        let milli = match unit {
            Unit::Rpm => raw * 1000,
            Unit::Ampere => raw, // milliamperes
            Unit::Status => raw,
            Unit::Celsius | Unit::Volt | Unit::Watt => raw * 100,
        };
        Some(Sensor {
            name: (*name).to_owned(),
            unit: *unit,
            milli,
        })
    });
    // What a board has no sensor for is told as nothing or as 0.
    scalars
        .filter(|sensor| sensor.milli != 0 || sensor.unit == Unit::Status)
        .collect()
}

/// A row of the table: units 1 °C, 2 rpm, 3 dV, 4 dA, 5 dW, 6 status.
fn sensor(name: String, unit: u64, raw: i64) -> Option<Sensor> {
    let raw = raw.clamp(-1_000_000, 1_000_000);
    let (unit, milli) = match unit {
        // Some builds tell tenths here too; no router works at 200 °C.
        1 if raw.abs() >= 200 => (Unit::Celsius, raw * 100),
        1 => (Unit::Celsius, raw * 1000),
        2 => (Unit::Rpm, raw * 1000),
        3 => (Unit::Volt, raw * 100),
        4 => (Unit::Ampere, raw * 100),
        5 => (Unit::Watt, raw * 100),
        6 => (Unit::Status, raw),
        _ => return None, // a unit of a later build
    };
    Some(Sensor { name, unit, milli })
}

fn interfaces(values: &Values) -> Vec<Interface> {
    let mut found: BTreeMap<u32, Interface> = BTreeMap::new();
    let mut narrow: BTreeMap<(u32, bool), u64> = BTreeMap::new();
    for (row, value) in rows(values, mib::IF) {
        let [column, index] = row else { continue };
        let interface = found.entry(*index).or_default();
        match *column {
            mib::IF_DESCR => interface.description = text(value),
            mib::IF_TYPE => interface.kind = number(value).unwrap_or(0) as u32,
            mib::IF_SPEED => interface.speed_bps = number(value),
            mib::IF_ADMIN => interface.enabled = number(value).map(|status| status == 1),
            mib::IF_OPER => interface.status = number(value).map(|status| status as u32),
            mib::IF_IN | mib::IF_OUT => {
                if let Some(octets) = number(value) {
                    narrow.insert((*index, *column == mib::IF_IN), octets);
                }
            }
            mib::IF_IN_ERRORS | mib::IF_OUT_ERRORS => add(&mut interface.errors, value),
            mib::IF_IN_DISCARDS | mib::IF_OUT_DISCARDS => add(&mut interface.drops, value),
            _ => {} // columns we did not ask for
        }
    }
    for (row, value) in rows(values, mib::IFX) {
        let [column, index] = row else { continue };
        let interface = found.entry(*index).or_default();
        let wide = || {
            let octets = number(value)?;
            Some(Counter { octets, wide: true })
        };
        match *column {
            mib::IFX_NAME => interface.name = text(value),
            mib::IFX_IN => interface.input = wide(),
            mib::IFX_OUT => interface.output = wide(),
            mib::IFX_ALIAS => interface.alias = text(value),
            mib::IFX_HIGH_SPEED => {
                // Millions of bits; 0 also means that ifSpeed is exact.
                if let Some(millions) = number(value).filter(|millions| *millions > 0) {
                    interface.speed_bps = millions.checked_mul(1_000_000);
                }
            }
            _ => {} // columns we did not ask for
        }
    }
    for (index, interface) in &mut found {
        interface.index = *index;
        if interface.name.is_empty() {
            interface.name = interface.description.clone();
        }
        let counter = |input| {
            let octets = *narrow.get(&(*index, input))?;
            Some(Counter {
                octets,
                wide: false,
            })
        };
        interface.input = interface.input.or_else(|| counter(true));
        interface.output = interface.output.or_else(|| counter(false));
    }
    found.into_values().collect()
}

fn add(sum: &mut Option<u64>, value: &Value) {
    if let Some(more) = number(value) {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}

/// The rows under a name: what follows it, and the value.
fn rows<'a>(values: &'a Values, root: &[u32]) -> impl Iterator<Item = (&'a [u32], &'a Value)> {
    let root = Oid::new(root);
    let from = values.range(root.clone()..);
    from.map_while(move |(name, value)| Some((name.under(root.arcs())?, value)))
}

/// A number that is not negative.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Counter32(number) | Value::Gauge(number) | Value::Ticks(number) => {
            Some(u64::from(*number))
        }
        Value::Counter64(number) => Some(*number),
        // Some agents tell numbers as text.
        Value::Octets(octets) => str::from_utf8(octets).ok()?.trim().parse().ok(),
        Value::Null
        | Value::Name(_)
        | Value::Address(_)
        | Value::NoObject
        | Value::NoInstance
        | Value::End => None,
    }
}

fn signed(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        other => number(other).and_then(|number| number.try_into().ok()),
    }
}

/// Text as a person reads it: without what only moves a cursor, cut where it becomes a novel.
fn text(value: &Value) -> String {
    let Value::Octets(octets) = value else {
        return String::new();
    };
    let text = String::from_utf8_lossy(octets);
    let clean = text.chars().filter(|c| !c.is_control());
    let clean: String = clean.take(LONGEST_TEXT).collect();
    clean.trim().to_owned()
}

/// The single objects of health: number under `mtxrHealth`, RouterOS's later name, unit.
const SCALARS: &[(u32, &str, Unit)] = &[
    (8, "voltage", Unit::Volt),
    (10, "temperature", Unit::Celsius),
    (11, "cpu-temperature", Unit::Celsius),
    (6, "cpu-temperature2", Unit::Celsius),
    (7, "board-temperature", Unit::Celsius),
    (5, "sensor-temperature", Unit::Celsius),
    (1, "core-voltage", Unit::Volt),
    (2, "3v3-voltage", Unit::Volt),
    (3, "5v-voltage", Unit::Volt),
    (4, "12v-voltage", Unit::Volt),
    (12, "power-consumption", Unit::Watt),
    (13, "current", Unit::Ampere),
    (17, "fan1-speed", Unit::Rpm),
    (18, "fan2-speed", Unit::Rpm),
];
const RAM: u32 = 2;
const FIXED_DISK: u32 = 4;
const FLASH: u32 = 9;
const LONGEST_TEXT: usize = 255;

#[cfg(test)]
mod tests;
