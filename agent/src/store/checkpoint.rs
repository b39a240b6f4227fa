//! Moves committed pages from the write-ahead logs into the files, on connections of its own.
//!
//! A checkpoint inside a commit would make whoever waits for that commit wait for two files (A8).

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tracing::warn;

use super::space::Reserve;
use super::{StoreError, copy};

/// A thread that looks at the logs every second.
pub(super) struct Checkpointer {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// Starts on `files`; also keeps the reserve for a full disk, and a copy of `copied`.
    pub(super) fn start(
        files: Vec<PathBuf>,
        copied: PathBuf,
        reserve: Reserve,
    ) -> Result<Checkpointer, StoreError> {
        let mut open = Vec::new();
        for path in files {
            let connection = Connection::open(&path)?;
            // A checkpoint that finds the file busy is tried again a second later.
            connection.busy_timeout(Duration::ZERO)?;
            connection.pragma_update(None, "synchronous", 2)?;
            open.push((path, connection));
        }
        let (stop, stopped) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || {
                let mut rounds = 0u64;
                while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                    open.iter()
                        .for_each(|(path, connection)| look(path, connection));
                    if rounds.is_multiple_of(RESERVE_EVERY) {
                        reserve.keep();
                    }
                    if rounds % COPY_EVERY == COPY_FIRST
                        && let Err(cause) = copy::keep(&copied)
                    {
                        warn!(%cause, "Cannot keep a copy of {}", copied.display());
                    }
                    rounds += 1;
                }
            })
            .map_err(StoreError::folder("a thread".as_ref()))?;
        Ok(Checkpointer { stop, thread })
    }

    /// Ends the thread.
    pub(super) fn stop(self) {
        drop(self.stop);
        let _ended = self.thread.join();
    }
}

fn look(path: &Path, connection: &Connection) {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let size = std::fs::metadata(&log).map_or(0, |log| log.len());
    // Truncating makes writers wait for the checkpoint, so it is for logs that would fill a small card.
    let how = match size {
        0..WORTH_IT => return,
        WORTH_IT..TOO_LARGE => "pragma wal_checkpoint(passive)",
        TOO_LARGE.. => "pragma wal_checkpoint(truncate)",
    };
    let busy = connection.query_row(how, [], |row| row.get::<_, i64>(0));
    if let Err(cause) = busy {
        warn!(%cause, "Cannot checkpoint {}", path.display());
    }
}

const PAUSE: Duration = Duration::from_secs(1);
/// Pauses between looks at the reserve.
const RESERVE_EVERY: u64 = 30;
/// Six hours: a copy of 10,000 subscribers is 3 MB.
const COPY_EVERY: u64 = 6 * 3600;
/// The first ten minutes after the start, when a new site has been fetched.
const COPY_FIRST: u64 = 600;
const WORTH_IT: u64 = 1 << 20;
const TOO_LARGE: u64 = 64 << 20;
