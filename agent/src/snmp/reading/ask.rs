//! What to ask a device for: everything now and then, in between what changes.

use super::{SCALARS, is_routeros, read, rows};
use crate::snmp::mib;
use crate::snmp::oid::Oid;
use crate::snmp::pdu::Value;
use crate::snmp::walk::{Part, Values};

/// What a full reading asks for.
pub fn everything() -> Vec<Part> {
    let columns = |table: &[u32], columns: &[u32]| {
        let under = columns
            .iter()
            .map(|column| Oid::new(table).then(&[*column]));
        Part::Columns(under.collect())
    };
    let mut objects = changing();
    objects.extend(
        [
            mib::SYS_DESCR,
            mib::SYS_OBJECT_ID,
            mib::SYS_NAME,
            mib::SYS_LOCATION,
            mib::LICENCE_LEVEL,
            mib::ROUTEROS_VERSION,
            mib::SERIAL,
            mib::FIRMWARE,
            mib::BOARD,
        ]
        .map(Oid::new),
    );
    vec![
        Part::Objects(objects),
        columns(
            mib::IF,
            &[
                mib::IF_DESCR,
                mib::IF_TYPE,
                mib::IF_SPEED,
                mib::IF_ADMIN,
                mib::IF_OPER,
            ],
        ),
        columns(
            mib::IFX,
            &[
                mib::IFX_NAME,
                mib::IFX_IN,
                mib::IFX_OUT,
                mib::IFX_HIGH_SPEED,
                mib::IFX_ALIAS,
            ],
        ),
        columns(
            mib::IF,
            &[
                mib::IF_IN_ERRORS,
                mib::IF_OUT_ERRORS,
                mib::IF_IN_DISCARDS,
                mib::IF_OUT_DISCARDS,
            ],
        ),
        Part::Columns(vec![Oid::new(mib::HR_CPU_LOAD)]),
        columns(
            mib::HR_STORAGE,
            &[
                mib::HR_STORAGE_TYPE,
                mib::HR_STORAGE_DESCR,
                mib::HR_STORAGE_UNITS,
                mib::HR_STORAGE_SIZE,
                mib::HR_STORAGE_USED,
            ],
        ),
        columns(mib::HEALTH_TABLE, &[2, 3, 4]),
        Part::Columns(vec![Oid::new(mib::HOTSPOT_ADDRESS)]),
    ]
}

/// What is asked besides where a device has no 64-bit counters.
pub fn narrow_counters() -> Vec<Part> {
    let under = [mib::IF_IN, mib::IF_OUT].map(|column| Oid::new(mib::IF).then(&[column]));
    vec![Part::Columns(under.into())]
}

/// Whether a full reading found no 64-bit counters though it found interfaces.
pub fn lacks_counters(values: &Values) -> bool {
    let any = |table: &[u32], column| {
        let root = Oid::new(table).then(&[column]);
        let next = values.range(root.clone()..).next();
        next.is_some_and(|(name, _)| name.under(root.arcs()).is_some())
    };
    any(mib::IF, mib::IF_DESCR) && !any(mib::IFX, mib::IFX_IN)
}

/// The single objects that change.
fn changing() -> Vec<Oid> {
    let mut objects = vec![
        Oid::new(mib::SYS_UPTIME),
        Oid::new(mib::HR_UPTIME),
        Oid::new(mib::PPP_SESSIONS),
        Oid::new(mib::DHCP_LEASES),
    ];
    let health = SCALARS.iter();
    objects.extend(health.map(|(number, ..)| Oid::new(mib::HEALTH).then(&[*number, 0])));
    objects
}

/// What a reading between full ones asks for: what changes, of the interfaces that are watched.
///
/// `known` is what the full one found, without what [`watched`] leaves out.
pub fn what_changes(known: &Values) -> Vec<Part> {
    let found = |names: Vec<Oid>| names.into_iter().filter(|name| known.contains_key(name));
    let mut objects: Vec<Oid> = found(changing()).collect();
    let of = |table: &[u32], columns: &[u32], objects: &mut Vec<Oid>| {
        for column in columns {
            let root = Oid::new(table).then(&[*column]);
            let rows = known.range(root.clone()..);
            let rows = rows.map_while(|(name, _)| name.under(root.arcs()).map(|_| name.clone()));
            objects.extend(rows);
        }
    };
    let cores = rows(known, mib::HR_CPU_LOAD);
    objects.extend(cores.map(|(core, _)| Oid::new(mib::HR_CPU_LOAD).then(core)));
    of(
        mib::HR_STORAGE,
        &[mib::HR_STORAGE_SIZE, mib::HR_STORAGE_USED],
        &mut objects,
    );
    of(mib::HEALTH_TABLE, &[3], &mut objects);
    of(
        mib::IF,
        &[
            mib::IF_OPER,
            mib::IF_IN,
            mib::IF_OUT,
            mib::IF_IN_ERRORS,
            mib::IF_OUT_ERRORS,
            mib::IF_IN_DISCARDS,
            mib::IF_OUT_DISCARDS,
        ],
        &mut objects,
    );
    of(mib::IFX, &[mib::IFX_IN, mib::IFX_OUT], &mut objects);
    let mut parts = vec![Part::Objects(objects)];
    // Counting a crowd costs more than the count is worth: RADIUS knows it too.
    let hotspot = rows(known, mib::HOTSPOT_ADDRESS).count();
    if is_routeros(known) && hotspot <= MOST_HOTSPOT {
        parts.push(Part::Columns(vec![Oid::new(mib::HOTSPOT_ADDRESS)]));
    }
    parts
}

/// Leaves out of a full reading the interfaces that come and go with subscribers, and those beyond
/// `most`: what is kept is asked for at every poll. Gives how many are beyond.
pub fn watched(mut values: Values, most: usize) -> (Values, usize) {
    let read = read(&values);
    let mut kept: Vec<u32> = read
        .interfaces
        .iter()
        .filter(|interface| !interface.is_a_subscribers())
        .map(|interface| interface.index)
        .collect();
    let beyond = kept.len().saturating_sub(most);
    kept.truncate(most);
    values.retain(|name, _| {
        let row = name.under(mib::IF).or_else(|| name.under(mib::IFX));
        match row {
            Some([_, index]) => kept.contains(index),
            Some(_) => false,
            None => true,
        }
    });
    (values, beyond)
}

/// The values of a reading between full ones, with what does not change. `None` when the device is not as it
/// was any more: an interface is gone, or it restarted. Then everything is read anew.
pub fn renewed(known: &Values, parts: &[Part], found: Values) -> Option<Values> {
    let restarted = |name: &[u32]| {
        let ticks = |values: &Values| match values.get(&Oid::new(name)) {
            Some(Value::Ticks(ticks)) => Some(*ticks),
            Some(_) | None => None,
        };
        let (before, after) = (ticks(known), ticks(&found));
        // A little before the end of its 32 bits it is a wrap.
        before.is_some() != after.is_some()
            || before
                .zip(after)
                .is_some_and(|(before, after)| after < before && before < u32::MAX - NEAR_WRAP)
    };
    if restarted(mib::SYS_UPTIME) {
        return None;
    }
    let mut values = known.clone();
    for part in parts {
        match part {
            Part::Objects(names) => {
                for name in names {
                    let counter = name
                        .under(mib::IF)
                        .or_else(|| name.under(mib::IFX))
                        .is_some();
                    match found.get(name) {
                        Some(value) => values.insert(name.clone(), value.clone()),
                        None if counter => return None,
                        None => values.remove(name),
                    };
                }
            }
            Part::Columns(roots) => {
                for root in roots {
                    values.retain(|name, _| name.under(root.arcs()).is_none());
                    let rows = found.range(root.clone()..);
                    let rows = rows.take_while(|(name, _)| name.under(root.arcs()).is_some());
                    values.extend(rows.map(|(name, value)| (name.clone(), value.clone())));
                }
            }
        }
    }
    Some(values)
}

/// A day, in hundredths of a second: longer than two polls are apart.
const NEAR_WRAP: u32 = 8_640_000;
/// So many hotspot users are counted at every poll.
const MOST_HOTSPOT: usize = 500;
