//! SQL on the cache: the same bytes the cloud holds for this site, and how far they reach.

use std::collections::BTreeMap;
use std::path::Path;

use easyisp_shared::wire::{DownRecord, digest};
use rusqlite::{Connection, OptionalExtension, Transaction};
use uuid::Uuid;

use super::{StoreError, open};

/// A snapshot that waits to replace the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// Forget what an unfinished snapshot left.
    First,
    /// One more chunk.
    More,
}

/// `cache.db`, owned by the apply thread.
pub struct Cache {
    connection: Connection,
    position: CachePosition,
    /// Per kind, the digest of all rows; kept up row by row.
    digests: BTreeMap<u16, u128>,
}

/// Up to where the cache reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CachePosition {
    /// The cloud's epoch the cursor belongs to; nil before the first snapshot.
    pub epoch: Uuid,
    /// The site version up to which rows are held.
    pub cursor: u64,
}

impl Cache {
    /// Reads where the cache stands. Rows that are not those that were written are damage: octets that
    /// changed on the card do not always break a page.
    pub(super) fn open(connection: Connection, path: &Path) -> Result<Cache, StoreError> {
        let epoch: Option<[u8; 16]> = mark(&connection, EPOCH)?;
        let cursor: Option<[u8; 8]> = mark(&connection, CURSOR)?;
        let mut cache = Cache {
            connection,
            position: CachePosition {
                epoch: epoch.map(Uuid::from_bytes).unwrap_or_default(),
                cursor: cursor.map(u64::from_be_bytes).unwrap_or_default(),
            },
            digests: BTreeMap::new(),
        };
        cache.digests = count_digests(&cache.connection, cache.position.epoch)?;
        let told: Option<Vec<u8>> = cache
            .connection
            .query_row(
                "select value from marks where name = ?1",
                [DIGESTS],
                |row| row.get(0),
            )
            .optional()?;
        match told {
            Some(told) if told != written(&cache.digests) => {
                Err(StoreError::Damaged(path.to_owned()))
            }
            Some(_) | None => Ok(cache),
        }
    }

    /// Up to where the cache reaches.
    pub fn position(&self) -> CachePosition {
        self.position
    }

    /// The digest of all rows of `kind` (see [`digest`]).
    pub fn digest(&self, kind: u16) -> u128 {
        self.digests.get(&kind).copied().unwrap_or_default()
    }

    /// Applies `rows` and moves the cursor in one transaction; returns the rows that changed something, and
    /// of those that were never held that they are gone.
    ///
    /// A row whose version is not newer than the one held changes nothing, so batches may repeat.
    pub fn apply(
        &mut self,
        rows: Vec<DownRecord>,
        cursor: u64,
    ) -> Result<Vec<DownRecord>, StoreError> {
        let epoch = self.position.epoch;
        let mut digests = self.digests.clone();
        let tx = open::begin(&mut self.connection)?;
        let mut changed = Vec::with_capacity(rows.len());
        for row in rows {
            let before = held(&tx, row.kind, row.id)?;
            if !put(&tx, &row)? {
                // Who came in by a voucher is known before the cloud has a row of him.
                if row.body.is_none() && before.is_none() {
                    changed.push(row);
                }
                continue;
            }
            let sum = digests.entry(row.kind).or_default();
            let old = before.map_or(0, |before| weight(epoch, &before));
            *sum = digest::replace(*sum, old, weight(epoch, &row));
            changed.push(row);
        }
        put_mark(&tx, CURSOR, &cursor.to_be_bytes())?;
        put_mark(&tx, DIGESTS, &written(&digests))?;
        tx.commit()?;
        self.position.cursor = cursor;
        self.digests = digests;
        Ok(changed)
    }

    /// Keeps a chunk of a snapshot aside. Nothing is in force until [`Cache::replace`].
    pub fn stage(&mut self, position: Snapshot, rows: &[DownRecord]) -> Result<(), StoreError> {
        let tx = open::begin(&mut self.connection)?;
        if position == Snapshot::First {
            tx.execute("delete from staged", [])?;
        }
        let mut insert = tx.prepare_cached(
            "insert or replace into staged (kind, id, version, body) values (?1, ?2, ?3, ?4)",
        )?;
        for row in rows {
            if let Some(body) = &row.body {
                insert.execute((row.kind, row.id.as_bytes(), row.version, body))?;
            }
        }
        drop(insert);
        tx.commit()?;
        Ok(())
    }

    /// Makes the staged snapshot the feed, as a replacement: what it does not name is gone (D4).
    ///
    /// One transaction; returns only the rows that differ from what was held.
    pub fn replace(&mut self, to: CachePosition) -> Result<Vec<DownRecord>, StoreError> {
        let tx = open::begin(&mut self.connection)?;
        let mut changed = read(
            &tx,
            "select kind, id, version, null
               from feed
              where not exists (select 1 from staged
                                 where staged.kind = feed.kind and staged.id = feed.id)",
        )?;
        changed.extend(read(
            &tx,
            "select staged.kind, staged.id, staged.version, staged.body
               from staged
               left join feed on feed.kind = staged.kind and feed.id = staged.id
              where feed.id is null
                 or feed.version <> staged.version
                 or feed.body <> staged.body",
        )?);
        tx.execute("delete from feed", [])?;
        tx.execute(
            "insert into feed select kind, id, version, body from staged",
            [],
        )?;
        tx.execute("delete from staged", [])?;
        put_mark(&tx, EPOCH, to.epoch.as_bytes())?;
        put_mark(&tx, CURSOR, &to.cursor.to_be_bytes())?;
        let digests = count_digests(&tx, to.epoch)?;
        put_mark(&tx, DIGESTS, &written(&digests))?;
        tx.commit()?;
        self.position = to;
        self.digests = digests;
        Ok(changed)
    }

    /// Calls `each` for every row held, in the order of kind and id.
    pub fn for_each(&self, mut each: impl FnMut(DownRecord)) -> Result<(), StoreError> {
        Ok(for_each(&self.connection, &mut each)?)
    }
}

fn for_each(connection: &Connection, each: &mut impl FnMut(DownRecord)) -> rusqlite::Result<()> {
    let mut query =
        connection.prepare("select kind, id, version, body from feed order by kind, id")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        each(feed_row(row)?);
    }
    Ok(())
}

fn count_digests(connection: &Connection, epoch: Uuid) -> rusqlite::Result<BTreeMap<u16, u128>> {
    let mut digests = BTreeMap::<u16, u128>::new();
    for_each(connection, &mut |row| {
        let sum = digests.entry(row.kind).or_default();
        *sum = digest::replace(*sum, 0, weight(epoch, &row));
    })?;
    Ok(digests)
}

/// As they stand in the file. A kind without rows sums to nothing and is left out.
fn written(digests: &BTreeMap<u16, u128>) -> Vec<u8> {
    let some = digests.iter().filter(|(_, sum)| **sum != 0);
    some.flat_map(|(kind, sum)| {
        let (kind, sum) = (kind.to_be_bytes(), sum.to_be_bytes());
        kind.into_iter().chain(sum)
    })
    .collect()
}

fn weight(epoch: Uuid, row: &DownRecord) -> u128 {
    digest::row_hash(epoch, row.kind, row.id, row.version, row.body.as_deref())
}

fn held(tx: &Transaction<'_>, kind: u16, id: Uuid) -> rusqlite::Result<Option<DownRecord>> {
    tx.prepare_cached("select kind, id, version, body from feed where kind = ?1 and id = ?2")?
        .query_row((kind, id.as_bytes()), feed_row)
        .optional()
}

fn mark<const N: usize>(connection: &Connection, name: &str) -> rusqlite::Result<Option<[u8; N]>> {
    connection
        .prepare_cached("select value from marks where name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Writes or removes one row unless a newer version is held; says whether something changed.
fn put(tx: &Transaction<'_>, row: &DownRecord) -> rusqlite::Result<bool> {
    let changed = match &row.body {
        Some(body) => tx
            .prepare_cached(
                "insert into feed (kind, id, version, body) values (?1, ?2, ?3, ?4)
                     on conflict (kind, id) do update
                    set version = excluded.version, body = excluded.body
                  where excluded.version > feed.version",
            )?
            .execute((row.kind, row.id.as_bytes(), row.version, body))?,
        None => tx
            .prepare_cached("delete from feed where kind = ?1 and id = ?2 and version < ?3")?
            .execute((row.kind, row.id.as_bytes(), row.version))?,
    };
    Ok(changed > 0)
}

fn put_mark(tx: &Transaction<'_>, name: &str, value: &[u8]) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into marks (name, value) values (?1, ?2)
             on conflict (name) do update set value = excluded.value",
    )?
    .execute((name, value))?;
    Ok(())
}

fn read(tx: &Transaction<'_>, sql: &'static str) -> rusqlite::Result<Vec<DownRecord>> {
    tx.prepare_cached(sql)?.query_map([], feed_row)?.collect()
}

fn feed_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<DownRecord> {
    Ok(DownRecord {
        kind: row.get(0)?,
        id: Uuid::from_bytes(row.get(1)?),
        version: row.get(2)?,
        body: row.get(3)?,
    })
}

const EPOCH: &str = "epoch";
const CURSOR: &str = "cursor";
const DIGESTS: &str = "digests";
