//! What can be saved of a damaged `outbox.db`: every record proves itself, so its octets are enough (E2).
//!
//! Records are looked for in the raw octets of the file and its log, because a damaged tree no longer says
//! where they are; sessions and small facts are read as far as SQLite still reads. A first use of a voucher that is read
//! no more is known by its record.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{CustomerId, VoucherId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::{Up, UpKind};
use rusqlite::{Connection, OpenFlags};

use super::open::{self, suffixed};
use super::records::{self, Kept, Record, proof};
use super::{lines, outbox, redemptions, sessions};
use crate::sessions::{LineCounter, Session, SessionKey, Usage};
use crate::site::{Bind, Recalled, Redemption, Unlocked, Vote};

/// Moves what can be saved of the file at `aside` into the new one behind `connection`; how many records.
///
/// They keep their sequences. The new file has another name, so the cloud takes them as new ones; what it
/// had before changes nothing when it comes again.
pub(super) fn salvage(aside: &Path, connection: &mut Connection) -> rusqlite::Result<usize> {
    let readable = Readable::of(aside);
    let tx = open::begin(connection)?;
    let (mut saved, mut recalled) = (0, readable.recalled);
    let mut keep = |kept: Kept| -> rusqlite::Result<()> {
        // Also where the cloud has it: it may not have said so yet.
        if let Some(used) = first_use(&kept.record) {
            recalled.push(used);
        }
        let had = readable
            .acknowledged
            .iter()
            .find(|(lane, _)| *lane == kept.record.lane);
        if had.is_none_or(|(_, mark)| kept.seq > *mark) {
            saved += records::insert_if_new(&tx, kept.seq, &kept.record)?;
        }
        Ok(())
    };
    for kept in readable.records {
        keep(kept)?;
    }
    for path in [aside.to_path_buf(), suffixed(aside, "-wal")] {
        for_each_record(path, &mut keep)?;
    }
    for (lane, mark) in &readable.acknowledged {
        records::acknowledge(&tx, *lane, *mark)?;
    }
    for session in &readable.sessions {
        sessions::put(&tx, session)?;
    }
    for key in &readable.owed_cuts {
        sessions::owe_cut(&tx, key)?;
    }
    for (customer, usage) in readable.usage {
        sessions::put_usage(&tx, customer, usage)?;
    }
    for used in &readable.redemptions {
        redemptions::put(&tx, used)?;
    }
    for used in &recalled {
        redemptions::recall(&tx, used)?;
    }
    for voucher in readable.doubtful {
        redemptions::doubt(&tx, voucher)?;
    }
    for (customer, counter) in &readable.line_counters {
        lines::put(&tx, *customer, counter)?;
    }
    for voted in &readable.votes {
        redemptions::vote(&tx, voted)?;
    }
    for bind in &readable.binds {
        redemptions::put_bind(&tx, bind)?;
    }
    for unlocked in &readable.unlocks {
        redemptions::put_unlock(&tx, unlocked)?;
    }
    for (customer, device, seen) in readable.devices {
        redemptions::put_device(&tx, customer, device, seen)?;
    }
    for (name, value) in readable.marks {
        outbox::put_mark(&tx, &name, value)?;
    }
    tx.commit()?;
    Ok(saved)
}

/// How many commits' pages the log at `path` holds by its own words; to be asked before SQLite opens it,
/// which takes the first damaged page for the end and says nothing.
pub(super) fn told_by_log(path: &Path) -> u64 {
    let Ok(mut log) = File::open(suffixed(path, "-wal")) else {
        return 0;
    };
    let mut head = [0; 32];
    if log.read_exact(&mut head).is_err() {
        return 0;
    }
    let (magic, page, salts) = (&head[..4], &head[8..12], &head[16..24]);
    if magic[..3] != [0x37, 0x7f, 0x06] || page != (PAGE as u32).to_be_bytes() {
        return u64::MAX;
    }
    let mut frames = 0;
    loop {
        let mut frame = Vec::with_capacity(FRAME_HEAD + PAGE);
        let limit = (FRAME_HEAD + PAGE) as u64;
        let read = (&mut log).take(limit).read_to_end(&mut frame);
        // Pages of an earlier round have other salts; they are in the file already. A piece of a page counts.
        match frame.get(8..16) {
            Some(shown) if read.is_ok() && shown == salts => frames += 1,
            Some(_) | None => return frames,
        }
    }
}

/// Finds the reports in a log that SQLite did not read to its end; `None` where it did.
///
/// The file goes on under another name: what was lost of it may have had the sequences that come next.
pub(super) fn mend_log(
    path: &Path,
    told: u64,
    connection: &mut Connection,
    entropy: &Entropy,
) -> rusqlite::Result<Option<usize>> {
    if told == 0 {
        return Ok(None);
    }
    let read: i64 = connection.query_row("pragma wal_checkpoint(passive)", [], |row| row.get(1))?;
    if u64::try_from(read).is_ok_and(|read| told <= read) {
        return Ok(None);
    }
    let mut found = Vec::new();
    for_each_record(suffixed(path, "-wal"), &mut |kept| {
        found.push(kept);
        Ok(())
    })?;
    let tx = open::begin(connection)?;
    let mut saved = 0;
    for kept in found {
        if let Some(used) = first_use(&kept.record) {
            redemptions::recall(&tx, &used)?;
        }
        if kept.seq > records::acknowledged(&tx, kept.record.lane)? {
            saved += records::insert_if_new(&tx, kept.seq, &kept.record)?;
        }
    }
    tx.execute("delete from file", [])?;
    tx.execute(
        "insert into file (only, outbox_id) values (1, ?1)",
        [entropy.bytes::<16>()],
    )?;
    tx.commit()?;
    Ok(Some(saved))
}

/// What SQLite still reads.
#[derive(Default)]
struct Readable {
    records: Vec<Kept>,
    acknowledged: Vec<(u8, u64)>,
    sessions: Vec<Session>,
    owed_cuts: Vec<SessionKey>,
    usage: Vec<(CustomerId, Usage)>,
    marks: Vec<(String, i64)>,
    redemptions: Vec<Redemption>,
    recalled: Vec<Recalled>,
    doubtful: Vec<VoucherId>,
    line_counters: Vec<(CustomerId, LineCounter)>,
    votes: Vec<Vote>,
    binds: Vec<Bind>,
    unlocks: Vec<Unlocked>,
    devices: Vec<(CustomerId, Mac, Timestamp)>,
}

impl Readable {
    fn of(path: &Path) -> Readable {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let Ok(connection) = Connection::open_with_flags(path, flags) else {
            return Readable::default();
        };
        Readable {
            // Only what is too long to stand in one piece; the rest is found without SQLite.
            records: records::longer_than(&connection, IN_ONE_PIECE).unwrap_or_default(),
            acknowledged: records::all_acknowledged(&connection).unwrap_or_default(),
            sessions: sessions::since(&connection, Timestamp::from_micros(i64::MAX))
                .unwrap_or_default(),
            owed_cuts: sessions::owed_cuts(&connection).unwrap_or_default(),
            usage: sessions::usage(&connection).unwrap_or_default(),
            marks: outbox::all_marks(&connection).unwrap_or_default(),
            redemptions: redemptions::all(&connection).unwrap_or_default(),
            recalled: redemptions::recalled(&connection).unwrap_or_default(),
            doubtful: redemptions::doubtful(&connection).unwrap_or_default(),
            line_counters: lines::all(&connection).unwrap_or_default(),
            votes: redemptions::votes(&connection).unwrap_or_default(),
            binds: redemptions::binds(&connection).unwrap_or_default(),
            unlocks: redemptions::unlocks(&connection).unwrap_or_default(),
            devices: redemptions::devices(&connection).unwrap_or_default(),
        }
    }
}

/// The first use of a voucher that a record tells of.
fn first_use(record: &Record) -> Option<Recalled> {
    if record.kind != UpKind::Redemption.code() {
        return None;
    }
    let Ok(Up::Redemption(told)) = Up::decode(record.kind, &record.body) else {
        return None;
    };
    Some(Recalled {
        voucher: told.voucher,
        from: told.at,
        mac: told.mac,
    })
}

/// Calls `each` for every record that stands whole in the octets of a file, wherever it stands.
fn for_each_record(
    path: PathBuf,
    each: &mut impl FnMut(Kept) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let Ok(mut file) = File::open(path) else {
        return Ok(()); // a file without a log
    };
    let mut window: Vec<u8> = Vec::with_capacity(2 * WINDOW);
    loop {
        let before = window.len();
        let read = (&mut file).take(WINDOW as u64).read_to_end(&mut window);
        let at_end = read.is_err() || window.len() == before;
        let mut at = 0;
        // The last page may go on in the next window.
        let until = if at_end {
            window.len()
        } else {
            window.len().saturating_sub(PAGE)
        };
        while at < until {
            match read_record(&window[at..]) {
                Some((kept, length)) => {
                    each(kept)?;
                    at += length;
                }
                None => at += 1,
            }
        }
        if at_end {
            return Ok(());
        }
        window.drain(..at.min(window.len()));
    }
}

/// A row of `records` in SQLite's record format, and its length; `None` for any other octets.
///
/// A header (its length, then one serial type a column: lane, seq, kind, body, at, proof), then the values.
fn read_record(octets: &[u8]) -> Option<(Kept, usize)> {
    let header = usize::from(*octets.first()?);
    if !(7..=10).contains(&header) || *octets.get(header - 1)? != PROOF_TYPE {
        return None;
    }
    let mut types = octets.get(1..header)?;
    let mut values = octets.get(header..)?;
    let (lane, seq, kind) = (
        integer(&mut types, &mut values)?,
        integer(&mut types, &mut values)?,
        integer(&mut types, &mut values)?,
    );
    let length = usize::try_from(varint(&mut types)?.checked_sub(12)?).ok()?;
    if length % 2 != 0 || length / 2 > PAGE {
        return None;
    }
    let (body, rest) = values.split_at_checked(length / 2)?;
    values = rest;
    let at = integer(&mut types, &mut values)?;
    let (shown, rest) = values.split_at_checked(8)?;
    if types != [PROOF_TYPE] {
        return None;
    }
    let record = Record {
        lane: u8::try_from(lane).ok()?,
        kind: u16::try_from(kind).ok()?,
        body: body.to_vec(),
        at: Timestamp::from_micros(at),
    };
    let seq = u64::try_from(seq).ok()?;
    let length = octets.len() - rest.len();
    (proof(seq, &record) == shown).then_some((Kept { seq, record }, length))
}

/// Takes the next serial type and its value, an integer.
fn integer(types: &mut &[u8], values: &mut &[u8]) -> Option<i64> {
    let length = match varint(types)? {
        8 => return Some(0),
        9 => return Some(1),
        length @ 1..=4 => length as usize,
        5 => 6,
        6 => 8,
        _ => return None,
    };
    let (value, rest) = values.split_at_checked(length)?;
    *values = rest;
    let sign = if value.first()? & 0x80 == 0 { 0 } else { -1 };
    Some(
        value
            .iter()
            .fold(sign, |sum, octet| sum << 8 | i64::from(*octet)),
    )
}

/// Takes a number of SQLite's: seven bits an octet, the highest first; two octets are enough here.
fn varint(octets: &mut &[u8]) -> Option<u64> {
    let (first, rest) = octets.split_first()?;
    if first & 0x80 == 0 {
        *octets = rest;
        return Some(u64::from(*first));
    }
    let (second, rest) = rest.split_first()?;
    if second & 0x80 != 0 {
        return None;
    }
    *octets = rest;
    Some(u64::from(first & 0x7f) << 7 | u64::from(*second))
}

/// The serial type of eight octets.
const PROOF_TYPE: u8 = 28;
const PAGE: usize = 4096;
const FRAME_HEAD: usize = 24;
const WINDOW: usize = 1 << 20;
/// SQLite puts a row of a table without rowids on pages of its own beyond about 1,000 octets.
const IN_ONE_PIECE: usize = 900;
