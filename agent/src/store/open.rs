//! Opening a file: pragmas asserted, damage found, migrations applied; and the one way to begin a write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tracing::warn;

use super::StoreError;

/// Whether a commit is on stable storage before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// `synchronous = FULL`: what was committed survives a power cut.
    Full,
    /// `synchronous = NORMAL`: the file stays whole, the last commits may be missing.
    Normal,
}

/// The settings a file runs with, as SQLite reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pragmas {
    /// Must be `wal`.
    pub journal_mode: String,
    /// 2 is FULL, 1 is NORMAL.
    pub synchronous: i64,
    /// Must be 1.
    pub foreign_keys: i64,
    /// Milliseconds a writer waits for another.
    pub busy_timeout: i64,
}

impl std::fmt::Display for Pragmas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "journal_mode {}, synchronous {}, foreign_keys {}, busy_timeout {}",
            self.journal_mode, self.synchronous, self.foreign_keys, self.busy_timeout
        )
    }
}

/// Refuses an SQLite before 3.51.3, where resetting the write-ahead log could lose commits (E5). `number` is
/// [`rusqlite::version_number`] of the one that is linked.
pub(super) fn refuse_old_sqlite(number: i32) -> Result<(), StoreError> {
    if number < 3_051_003 {
        return Err(StoreError::OldSqlite(rusqlite::version()));
    }
    Ok(())
}

/// Opens `path`; a file that is damaged, or was found so while it was used, is moved aside, noted in
/// `moved_aside`, and begun again.
pub(super) fn open_or_rebuild(
    path: &Path,
    durability: Durability,
    migrations: &[&str],
    moved_aside: &mut Vec<PathBuf>,
) -> Result<Connection, StoreError> {
    let opened = match path.exists() && std::fs::remove_file(suspicion(path)).is_ok() {
        true => Err(StoreError::Damaged(path.to_owned())),
        false => open(path, durability, migrations),
    };
    match opened {
        Err(error) if error.means_damage() => {
            moved_aside.push(move_aside(path)?);
            open(path, durability, migrations)
        }
        result => result,
    }
}

/// Leaves word beside a file that it is damaged: the next opening may not see of itself what a write saw.
pub(super) fn suspect(path: &Path) {
    let noted = std::fs::write(suspicion(path), []);
    if let Err(cause) = noted {
        warn!(%cause, "Cannot note that {} is damaged", path.display());
    }
}

fn suspicion(path: &Path) -> PathBuf {
    suffixed(path, ".suspected")
}

/// Opens `path` for writing, asserts its settings, looks for damage and applies what is missing of `migrations`.
pub(super) fn open(
    path: &Path,
    durability: Durability,
    migrations: &[&str],
) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    set_pragmas(&connection, durability)?;
    assert_pragmas(&connection, path, durability)?;
    quick_check(&connection, path)?;
    migrate(&mut connection, migrations)?;
    Ok(connection)
}

/// Opens `path` for reading beside the writer.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Looks at a file as the accounting thread would run it.
pub(super) fn inspect(path: &Path) -> Result<Pragmas, StoreError> {
    let connection = Connection::open(path)?;
    set_pragmas(&connection, Durability::Full)?;
    assert_pragmas(&connection, path, Durability::Full)?;
    quick_check(&connection, path)?;
    Ok(pragmas(&connection)?)
}

/// Begins a write. Every write goes through here: a transaction that reads first and writes later
/// fails with "database is locked" at once, whatever the busy time-out says.
pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// The settings in force on `connection`.
pub(super) fn pragmas(connection: &Connection) -> rusqlite::Result<Pragmas> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok(Pragmas {
        journal_mode: connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?,
        synchronous: number("synchronous")?,
        foreign_keys: number("foreign_keys")?,
        busy_timeout: number("busy_timeout")?,
    })
}

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a write-ahead log that stay its own between storms.
const LOG_KEEPS: i64 = 4 << 20;

fn set_pragmas(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", level(durability))?;
    connection.pragma_update(None, "foreign_keys", 1)?;
    // A checkpoint inside a commit would make that commit wait for two files; another connection does it.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // A log that grew in a storm gives its room on the card back once its pages are in the file.
    connection.pragma_update(None, "journal_size_limit", LOG_KEEPS)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn level(durability: Durability) -> i64 {
    match durability {
        Durability::Full => 2,
        Durability::Normal => 1,
    }
}

pub(super) fn assert_pragmas(
    connection: &Connection,
    path: &Path,
    durability: Durability,
) -> Result<(), StoreError> {
    let found = pragmas(connection)?;
    let expect = |name, found: String, wanted: String| {
        if found == wanted {
            return Ok(());
        }
        Err(StoreError::Pragma {
            path: path.to_owned(),
            name,
            found,
            wanted,
        })
    };
    expect("journal_mode", found.journal_mode, "wal".into())?;
    expect(
        "synchronous",
        found.synchronous.to_string(),
        level(durability).to_string(),
    )?;
    expect("foreign_keys", found.foreign_keys.to_string(), "1".into())?;
    expect(
        "busy_timeout",
        found.busy_timeout.to_string(),
        "5000".into(),
    )
}

pub(super) fn quick_check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let verdict: String = connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(StoreError::Damaged(path.to_owned()))
    }
}

/// Applies each missing migration in a transaction of its own; `user_version` counts them.
///
/// A file from a later release has a larger count and is used as it is: migrations only add.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let applied: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (index, sql) in migrations.iter().enumerate().skip(applied) {
        let tx = begin(connection)?;
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "user_version", index + 1)?;
        tx.commit()?;
    }
    Ok(())
}

/// Renames a damaged file and its log so that nothing is destroyed; the first free number is taken.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let aside = (1..)
        .map(|n| suffixed(path, &format!(".damaged-{n}")))
        .find(|candidate| !candidate.exists())
        .expect("some number is free");
    std::fs::rename(path, &aside).map_err(StoreError::folder(path))?;
    let log = suffixed(path, "-wal");
    if log.exists() {
        std::fs::rename(&log, suffixed(&aside, "-wal")).map_err(StoreError::folder(&log))?;
    }
    let shared = suffixed(path, "-shm");
    if shared.exists() {
        std::fs::remove_file(&shared).map_err(StoreError::folder(&shared))?;
    }
    Ok(aside)
}

pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
