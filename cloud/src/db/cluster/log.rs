//! What the server says: one file and the one before it, each bounded.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// The log is at most twice this: the file, and the one before it.
const LOG_LIMIT: u64 = 8 << 20;
/// How much of the log an error shows, in bytes.
const TAIL: usize = 1500;

/// The server's log: one file and the one before it, each bounded.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Log {
    pub(super) fn open(path: PathBuf) -> io::Result<Log> {
        let file = File::options().create(true).append(true).open(&path)?;
        let len = file.metadata()?.len();
        Ok(Log { path, file, len })
    }

    /// Copies until the server has ended, and returns the last lines. A log that cannot be written
    /// is given up, never the reading: a server whose pipe is full stands still.
    pub(super) fn follow(mut self, said: &mut impl Read) -> String {
        let mut buffer = [0; 8192];
        let mut tail = Vec::new();
        while let Ok(len @ 1..) = said.read(&mut buffer) {
            let _ = self.append(&buffer[..len]);
            tail.extend_from_slice(&buffer[..len]);
            tail.drain(..tail.len().saturating_sub(TAIL));
        }
        String::from_utf8_lossy(&tail).into_owned()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.len >= LOG_LIMIT {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *self = Log::open(self.path.clone())?;
        }
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;

    #[test]
    fn the_log_stays_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pg.log");
        let log = Log::open(path.clone()).unwrap();

        let said = vec![b'x'; 3 * LOG_LIMIT as usize];
        log.follow(&mut said.as_slice());

        let len = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(len(&path) <= LOG_LIMIT + 8192);
        assert!(len(&path.with_extension("log.1")) <= LOG_LIMIT + 8192);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
