//! SQL on the cache: the same bytes the cloud holds for this site, and how far they reach.

use easyisp_shared::wire::DownRecord;
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
}

impl Cache {
    pub(super) fn new(connection: Connection) -> Cache {
        Cache { connection }
    }

    /// Applies `rows` and `marks` in one transaction; returns the rows that changed something.
    ///
    /// A row whose version is not newer than the one held changes nothing, so batches may repeat.
    pub fn apply(
        &mut self,
        rows: Vec<DownRecord>,
        marks: &[(&str, &[u8])],
    ) -> Result<Vec<DownRecord>, StoreError> {
        let tx = open::begin(&mut self.connection)?;
        let mut changed = Vec::with_capacity(rows.len());
        for row in rows {
            if put(&tx, &row)? {
                changed.push(row);
            }
        }
        for (name, value) in marks {
            put_mark(&tx, name, value)?;
        }
        tx.commit()?;
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
    pub fn replace(&mut self, marks: &[(&str, &[u8])]) -> Result<Vec<DownRecord>, StoreError> {
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
        for (name, value) in marks {
            put_mark(&tx, name, value)?;
        }
        tx.commit()?;
        Ok(changed)
    }

    /// Calls `each` for every row held, in the order of kind and id.
    pub fn for_each(&self, mut each: impl FnMut(DownRecord)) -> Result<(), StoreError> {
        let mut query = self
            .connection
            .prepare("select kind, id, version, body from feed order by kind, id")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            each(feed_row(row)?);
        }
        Ok(())
    }

    /// What was kept under `name`.
    pub fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("select value from marks where name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?)
    }
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
