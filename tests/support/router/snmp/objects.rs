//! What a router tells over SNMP: a recording of a real one's kind, and over that what it is now: its name, its
//! release, how long it runs, who is online, its ports, and what a story set.

use std::collections::BTreeMap;

use super::super::Router;
use super::super::senses::{CORES, IF, IFX, SYS_DESCR, UPLINK, VERSION};
use super::super::session::{Service, Session, Usage};
use crate::snmprec::{Name, Recorded, Recording};

/// Everything there is to read.
pub(super) fn objects(router: &Router) -> BTreeMap<Name, Recorded> {
    let none = Recording::default();
    let recording = router.recording().unwrap_or(&none);
    let mut told = Told(recording.0.clone());
    told.itself(router, recording);
    told.senses(router, recording);
    let sessions = router.sessions();
    let of = |service| {
        let all = sessions.iter();
        all.filter(move |session| session.service == service)
    };
    told.count(PPP_SESSIONS, of(Service::Pppoe).count());
    told.forget(HOTSPOT);
    for (row, session) in (1..).zip(of(Service::Hotspot)) {
        let at = [HOTSPOT, &[1, 5, row]].concat();
        told.0.insert(at, Recorded::Address(session.address));
    }
    if recording.0.contains_key(LEASES) {
        let leases = router.kept("/ip/dhcp-server/lease");
        let bound = leases
            .iter()
            .filter(|row| row.value("status") == Some("bound"));
        told.count(LEASES, bound.count());
    }
    told.forget(IF);
    told.forget(IFX);
    told.ports(router, recording, &sessions);
    for (row, session) in (0..).zip(of(Service::Pppoe)) {
        let usage = session.usage(router.shared.clock.now());
        // RouterOS gives lines that come and go numbers far from the others'.
        let name = format!("<pppoe-{}>", session.user);
        told.interface(0xf0_0000 + row, &name, (23, ""), (1, 1), usage);
    }
    told.0
}

struct Told(BTreeMap<Name, Recorded>);

impl Told {
    fn itself(&mut self, router: &Router, recording: &Recording) {
        let up = router.shared.clock.now().since(router.state().booted);
        let ticks = Recorded::Ticks((up.as_millis() / 10) as u32); // wraps as a real one's
        if recording.0.contains_key(HR_UPTIME) {
            self.0.insert(HR_UPTIME.to_vec(), ticks.clone());
        }
        self.0.insert(SYS_UPTIME.to_vec(), ticks);
        self.text(SYS_NAME, &router.wiring().identity);
        self.text(VERSION, &router.software().installed);
        self.0
            .entry(SYS_DESCR.to_vec())
            .or_insert_with(|| Recorded::Octets(b"RouterOS".to_vec()));
        let machine = router.machine();
        for (at, name) in [(SYS_CONTACT, "contact"), (SYS_LOCATION, "location")] {
            let configured = machine.first("/snmp", name);
            if let Some(words) = configured.filter(|words| !words.is_empty()) {
                self.text(at, &words);
            }
        }
    }

    fn senses(&mut self, router: &Router, recording: &Recording) {
        let senses = router.state().senses;
        if let Some(load) = senses.load {
            for (core, _) in recording.under(CORES) {
                self.integer(&[CORES, core].concat(), load as i32);
            }
        }
        for (set, sensor) in [
            (senses.decidegrees, recording.thermometer()),
            (senses.decivolts, recording.supply()),
        ] {
            if let (Some(tenths), Some((at, one))) = (set, sensor) {
                self.integer(&at, tenths / one);
            }
        }
    }

    /// The ports that its configuration has: as they were recorded, with what goes through the first now.
    fn ports(&mut self, router: &Router, recording: &Recording, sessions: &[Session]) {
        let now = router.shared.clock.now();
        let live = sessions.iter().map(|session| session.usage(now));
        let through = live.fold(router.state().passed, |all, one| all.and(one));
        let recorded = recording.ports();
        let free = recorded.iter().map(|port| port.index).max().unwrap_or(0);
        let mut free = free + 1..;
        let rows = router.state().machine.told("/interface");
        for (_, fields) in rows.unwrap_or_default() {
            let of = |name: &str| {
                let field = fields.iter().find(|(held, _)| *held == name);
                field.map_or("", |(_, value)| value.as_str())
            };
            let name = of("name");
            let as_recorded = recorded.iter().find(|port| port.name == name);
            let index = as_recorded.map(|port| port.index).or_else(|| free.next());
            let index = index.unwrap_or_default(); // numbers do not end
            let (disabled, running) = (of("disabled") == "true", of("running") == "true");
            let admin = if disabled { 2 } else { 1 };
            let oper = if running && !disabled { 1 } else { 2 };
            let passed = match name {
                UPLINK => through,
                _ => as_recorded.map_or(Usage::default(), |port| port.passed),
            };
            let kind = (kind(of("type")), of("comment"));
            self.interface(index, name, kind, (admin, oper), passed);
            for table in [IF, IFX] {
                for (at, object) in recording
                    .under(table)
                    .filter(|(at, _)| at.get(1) == Some(&index))
                {
                    let lives = match (table == IF, at.first()) {
                        (true, Some(7 | 8)) => true,
                        (true, Some(5)) | (false, Some(15)) => oper == 2, // no link, no speed
                        (false, Some(6 | 10 | 18)) => true,
                        (_, _) => false,
                    };
                    if !lives {
                        self.0.insert([table, at].concat(), object.clone());
                    }
                }
            }
        }
    }

    fn interface(
        &mut self,
        index: u32,
        name: &str,
        (kind, comment): (i32, &str),
        (admin, oper): (i32, i32),
        passed: Usage,
    ) {
        let entry = |column: u32| [IF, &[column, index]].concat();
        let megabits = if kind == ETHERNET && oper == 1 {
            1000
        } else {
            0
        };
        self.text(&entry(2), name);
        self.integer(&entry(3), kind);
        self.0
            .insert(entry(5), Recorded::Gauge(megabits * 1_000_000));
        self.integer(&entry(7), admin);
        self.integer(&entry(8), oper);
        for column in [13, 14, 19, 20] {
            self.0.insert(entry(column), Recorded::Counter32(0));
        }
        let extended = |column: u32| [IFX, &[column, index]].concat();
        self.text(&extended(1), name);
        self.0.insert(extended(6), Recorded::Counter64(passed.down));
        self.0.insert(extended(10), Recorded::Counter64(passed.up));
        self.0.insert(extended(15), Recorded::Gauge(megabits));
        self.text(&extended(18), comment);
    }

    fn text(&mut self, at: &[u32], words: &str) {
        let words = Recorded::Octets(words.as_bytes().to_vec());
        self.0.insert(at.to_vec(), words);
    }

    fn integer(&mut self, at: &[u32], number: i32) {
        self.0.insert(at.to_vec(), Recorded::Integer(number));
    }

    fn count(&mut self, at: &[u32], count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.0.insert(at.to_vec(), Recorded::Gauge(count));
    }

    fn forget(&mut self, root: &[u32]) {
        self.0.retain(|name, _| !name.starts_with(root));
    }
}

/// IANA's number for what RouterOS calls a port.
fn kind(word: &str) -> i32 {
    match word {
        "ether" => ETHERNET,
        "bridge" => 209,
        "wlan" | "wifi" => 71,
        "vlan" => 135,
        "bond" => 161,
        _ => 1, // other
    }
}

const ETHERNET: i32 = 6;
const SYS_UPTIME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 3, 0];
const SYS_CONTACT: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 4, 0];
const SYS_NAME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 5, 0];
const SYS_LOCATION: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 6, 0];
const HR_UPTIME: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 1, 1, 0];
/// RouterOS counts its PPP sessions there.
const PPP_SESSIONS: &[u32] = &[1, 3, 6, 1, 4, 1, 9, 9, 150, 1, 1, 1, 0];
/// The table of who is at the hotspot: its column 5 is the address.
const HOTSPOT: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 5, 1];
const LEASES: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 6, 1, 0];
