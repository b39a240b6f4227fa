//! What can go wrong with the files, in words an operator can act on.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another agent runs on these files.
    #[error("{0} is in use by another agent; stop it first")]
    InUse(PathBuf),
    /// The folder or a file in it cannot be reached.
    #[error("cannot use {path}: {cause}")]
    Folder {
        /// What was touched.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// A setting that keeps data safe could not be made (E3).
    #[error("{path}: pragma {name} is {found}, must be {wanted}")]
    Pragma {
        /// The file.
        path: PathBuf,
        /// The setting.
        name: &'static str,
        /// What SQLite says.
        found: String,
        /// What must hold.
        wanted: String,
    },
    /// The linked SQLite has the write-ahead-log reset bug (E5).
    #[error("SQLite {0} is too old, 3.51.3 is needed")]
    OldSqlite(&'static str),
    /// The file's pages contradict each other.
    #[error("{0} is damaged")]
    Damaged(PathBuf),
    /// SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The thread that writes has ended.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// For `map_err` on file operations below `path`.
    pub(super) fn folder(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
        let path = path.to_owned();
        move |cause| StoreError::Folder { path, cause }
    }

    /// Whether the file itself is broken, so that moving it aside helps.
    pub(super) fn means_damage(&self) -> bool {
        match self {
            StoreError::Damaged(_) => true,
            StoreError::Sqlite(cause) => tells_damage(cause),
            StoreError::InUse(_)
            | StoreError::Folder { .. }
            | StoreError::Pragma { .. }
            | StoreError::OldSqlite(_)
            | StoreError::Closed => false,
        }
    }
}

/// Whether SQLite says that the file itself is broken.
pub(super) fn tells_damage(cause: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let code = cause.sqlite_error_code();
    matches!(code, Some(DatabaseCorrupt | NotADatabase))
}
