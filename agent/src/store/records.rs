//! SQL on the outbox's records and lanes. Called from the accounting thread, inside its transaction.

use easyisp_shared::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction};
use sha2::{Digest, Sha256};
use tracing::error;

/// One record for the cloud, before it has a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which lane carries it.
    pub lane: u8,
    /// What it is.
    pub kind: u16,
    /// The encoded message; it says its own version.
    pub body: Vec<u8>,
    /// When it was written.
    pub at: Timestamp,
}

/// A record as it stands in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its place in the lane, from 1.
    pub seq: u64,
    /// What it says.
    pub record: Record,
}

/// The sequence the next record of each lane gets: one past everything written or acknowledged.
pub(super) fn next_sequences(connection: &Connection) -> rusqlite::Result<Vec<(u8, u64)>> {
    connection
        .prepare_cached(
            "select lane, max(top) + 1
               from (select lane, max(seq) as top from records group by lane
                     union all
                     select lane, acknowledged from lanes)
              group by lane",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Writes `record` at `seq` of its lane.
pub(super) fn insert(tx: &Transaction<'_>, seq: u64, record: &Record) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into records (lane, seq, kind, body, at, proof) values (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(row(seq, record, &proof(seq, record)))?;
    Ok(())
}

/// The same for a record found in a damaged file; how many were written, 0 or 1.
pub(super) fn insert_if_new(
    tx: &Transaction<'_>,
    seq: u64,
    record: &Record,
) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "insert or ignore into records (lane, seq, kind, body, at, proof)
         values (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(row(seq, record, &proof(seq, record)))
}

/// Writes `record` over what stood at its place.
pub(super) fn replace(tx: &Transaction<'_>, seq: u64, record: &Record) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert or replace into records (lane, seq, kind, body, at, proof)
         values (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(row(seq, record, &proof(seq, record)))?;
    Ok(())
}

type Row<'a> = (u8, u64, u16, &'a [u8], Timestamp, &'a [u8]);

fn row<'a>(seq: u64, record: &'a Record, proof: &'a [u8; 8]) -> Row<'a> {
    (
        record.lane,
        seq,
        record.kind,
        &record.body,
        record.at,
        proof,
    )
}

/// What a record proves itself by: the first octets of SHA-256 over its place and its content.
pub(super) fn proof(seq: u64, record: &Record) -> [u8; 8] {
    let digest = Sha256::new()
        .chain_update(b"easyisp outbox record")
        .chain_update([record.lane])
        .chain_update(seq.to_be_bytes())
        .chain_update(record.kind.to_be_bytes())
        .chain_update(record.at.micros().to_be_bytes())
        .chain_update(&record.body)
        .finalize();
    *digest.first_chunk().expect("SHA-256 has 32 octets")
}

/// Raises a lane's acknowledged mark to `seq`; a lower one changes nothing.
pub(super) fn acknowledge(tx: &Transaction<'_>, lane: u8, seq: u64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into lanes (lane, acknowledged) values (?1, ?2)
             on conflict (lane) do update set acknowledged = max(acknowledged, excluded.acknowledged)",
    )?
    .execute((lane, seq))?;
    Ok(())
}

/// A lane's acknowledged mark, 0 before the first.
pub(super) fn acknowledged(connection: &Connection, lane: u8) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("select acknowledged from lanes where lane = ?1")?
        .query_row([lane], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

/// The records of `lane` after `after`, in order: at most `most`, and none once `bytes` are exceeded
/// (but always at least one, so that a large record cannot stop its lane).
pub(super) fn after(
    connection: &Connection,
    lane: u8,
    after: u64,
    most: usize,
    bytes: usize,
) -> rusqlite::Result<Vec<Kept>> {
    let mut query = connection.prepare_cached(
        "select seq, kind, body, at, proof
           from records
          where lane = ?1 and seq > ?2
          order by seq
          limit ?3",
    )?;
    let mut rows = query.query((lane, after, most))?;
    let (mut found, mut size) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let body: Vec<u8> = row.get(2)?;
        size += body.len();
        if size > bytes && !found.is_empty() {
            break;
        }
        let record = Record {
            lane,
            kind: row.get(1)?,
            body,
            at: row.get(3)?,
        };
        let (seq, shown): (u64, Vec<u8>) = (row.get(0)?, row.get(4)?);
        if proof(seq, &record) != *shown {
            // Better missing than wrong: nobody is charged by what a worn card made of it.
            error!("Record {seq} of lane {lane} is damaged and is left out");
            continue;
        }
        found.push(Kept { seq, record });
    }
    Ok(found)
}

/// The records with bodies longer than this, as far as they read and prove themselves.
pub(super) fn longer_than(connection: &Connection, octets: usize) -> rusqlite::Result<Vec<Kept>> {
    let mut query = connection
        .prepare("select lane, seq, kind, body, at, proof from records where length(body) > ?1")?;
    let mut rows = query.query([octets])?;
    let mut found = Vec::new();
    while let Ok(Some(row)) = rows.next() {
        let record = Record {
            lane: row.get(0)?,
            kind: row.get(2)?,
            body: row.get(3)?,
            at: row.get(4)?,
        };
        let (seq, shown): (u64, Vec<u8>) = (row.get(1)?, row.get(5)?);
        if proof(seq, &record) == *shown {
            found.push(Kept { seq, record });
        }
    }
    Ok(found)
}

/// Every lane's acknowledged mark.
pub(super) fn all_acknowledged(connection: &Connection) -> rusqlite::Result<Vec<(u8, u64)>> {
    connection
        .prepare("select lane, acknowledged from lanes")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// How many records of `lane` wait for an acknowledgement.
pub(super) fn waiting(connection: &Connection, lane: u8) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "select coalesce(max(seq), 0)
                    - coalesce((select acknowledged from lanes where lane = ?1), 0)
               from records
              where lane = ?1",
        )?
        .query_row([lane], |row| row.get::<_, i64>(0))
        .map(|count| u64::try_from(count).unwrap_or(0))
}

/// Forgets single records, if they are acknowledged.
pub(super) fn forget(tx: &Transaction<'_>, lane: u8, seqs: &[u64]) -> rusqlite::Result<()> {
    let acknowledged = acknowledged(tx, lane)?;
    let mut forget = tx.prepare_cached("delete from records where lane = ?1 and seq = ?2")?;
    for seq in seqs.iter().filter(|seq| **seq <= acknowledged) {
        forget.execute((lane, *seq))?;
    }
    Ok(())
}

/// Forgets acknowledged records written before `before`, at most the oldest `most` of each lane.
///
/// Only those oldest are looked at, so that a month of records costs no more than a minute of them.
pub(super) fn prune(tx: &Transaction<'_>, before: Timestamp, most: u64) -> rusqlite::Result<usize> {
    let lanes: Vec<(u8, u64)> = tx
        .prepare_cached("select lane, acknowledged from lanes")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut oldest =
        tx.prepare_cached("select coalesce(min(seq), 0) from records where lane = ?1")?;
    let mut forget = tx.prepare_cached(
        "delete from records where lane = ?1 and seq >= ?2 and seq <= ?3 and at < ?4",
    )?;
    let mut forgotten = 0;
    for (lane, acknowledged) in lanes {
        let first: u64 = oldest.query_row([lane], |row| row.get(0))?;
        let last = acknowledged.min(first.saturating_add(most - 1));
        forgotten += forget.execute((lane, first, last, before))?;
    }
    Ok(forgotten)
}
