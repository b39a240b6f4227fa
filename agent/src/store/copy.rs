//! The last good copy of `cache.db`: with the cloud gone, a damaged cache must not lock everybody out (E2).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::open::suffixed;
use super::{Cache, StoreError, open};

/// Where the copy of the file at `path` stands.
pub(super) fn place(path: &Path) -> PathBuf {
    suffixed(path, ".copy")
}

/// Makes the copy anew unless it is as new as the file: a snapshot beside the writer, checked after writing
/// and put in place whole (E6).
pub(super) fn keep(path: &Path) -> Result<(), StoreError> {
    let copy = place(path);
    if cursor(path).is_some_and(|held| cursor(&copy) == Some(held)) {
        return Ok(());
    }
    let part = suffixed(&copy, ".part");
    match fs::remove_file(&part) {
        Ok(()) => {}
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
        Err(cause) => return Err(StoreError::Folder { path: part, cause }),
    }
    let source = read_only(path)?;
    source.execute("vacuum into ?1", [part.to_string_lossy()])?;
    let made = read_only(&part)?;
    open::quick_check(&made, &part)?;
    drop(Cache::open(made, &part)?);
    File::open(&part)
        .and_then(|file| file.sync_all())
        .map_err(StoreError::folder(&part))?;
    fs::rename(&part, &copy).map_err(StoreError::folder(&copy))
}

/// Puts the copy in the place of a file that is lost or was moved aside; whether there was one.
pub(super) fn restore(path: &Path) -> bool {
    let copy = place(path);
    if !copy.exists() {
        return false;
    }
    for journal in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(journal);
        // Of the file that is gone.
        let _mostly_there_is_none = fs::remove_file(name);
    }
    fs::copy(copy, path).is_ok()
}

fn cursor(path: &Path) -> Option<Vec<u8>> {
    let connection = read_only(path).ok()?;
    let found = "select value from marks where name = 'cursor'";
    connection.query_row(found, [], |row| row.get(0)).ok()
}

fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(path, flags)?)
}
