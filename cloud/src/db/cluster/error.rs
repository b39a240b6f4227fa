//! Why a private cluster does not run.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::binaries::OLDEST;

/// Why a private cluster does not run, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No PostgreSQL, or only releases that are too old.
    #[error(
        "PostgreSQL {} or newer is not installed{}. Install it with: apt-get install postgresql \
         (or set [database] url to a server of your own)",
        OLDEST,
        found(.too_old)
    )]
    NotInstalled {
        /// The newest release that was found, when it is too old.
        too_old: Option<u32>,
    },
    /// The data was written by a release that is not installed; nothing was changed.
    #[error(
        "the data in {} was written by PostgreSQL {data}, which is not installed; it was left as it \
         is. Install it with: apt-get install postgresql-{data} (with a newer release beside it, \
         the next start upgrades the data)",
        .folder.display()
    )]
    NeedsRelease {
        /// Where the data is.
        folder: PathBuf,
        /// The release that wrote it.
        data: u32,
    },
    /// Another process runs this cluster.
    #[error(
        "{} is in use by another process: stop that one, or give this one another data_dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// PostgreSQL refuses to run as root, and there is no way to be somebody else.
    #[error(
        "PostgreSQL refuses to run as root, and {reason}. Start this program as an ordinary user, \
         or set [database] url to a server of your own"
    )]
    Root {
        /// What was tried.
        reason: String,
    },
    /// One of PostgreSQL's programs failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: String,
        /// What it said.
        output: String,
    },
    /// PostgreSQL ended, or did not accept connections in time.
    #[error("PostgreSQL did not start ({reason}); the end of {}:\n{tail}", .log.display())]
    DidNotStart {
        /// What was seen.
        reason: String,
        /// Its whole log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A file or folder could not be used.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The cluster runs, but refused what every start asks of it.
    #[error("the private database refused its set-up: {0}")]
    Database(#[from] sqlx::Error),
}

impl ClusterError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
        let path = path.to_path_buf();
        move |source| ClusterError::Io {
            doing,
            path,
            source,
        }
    }

    pub(super) fn program(program: &str, output: impl fmt::Display) -> ClusterError {
        ClusterError::Program {
            program: program.to_owned(),
            output: output.to_string(),
        }
    }
}

fn found(too_old: &Option<u32>) -> String {
    match too_old {
        Some(major) => format!(" (found {major})"),
        None => String::new(),
    }
}
