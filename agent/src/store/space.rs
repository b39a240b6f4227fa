//! Room on the card: a file that can be given up, so that a full disk is noticed before it hurts (E1).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file of min(64 MiB, a tenth of the file system) that is deleted first when the disk is full.
#[derive(Clone)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// The reserve in `dir`; made by the first [`Reserve::keep`].
    pub(super) fn new(dir: &Path) -> Reserve {
        Reserve {
            path: dir.join("reserve"),
        }
    }

    /// Makes the file again where it is missing and there is more than twice its room.
    pub(super) fn keep(&self) {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let Ok(space) = rustix::fs::statvfs(dir) else {
            return;
        };
        let size = (space.f_blocks * space.f_frsize / 10).min(64 << 20);
        if !self.path.exists()
            && space.f_bavail * space.f_frsize > size * 2
            && self.write(size).is_err()
        {
            self.give_up();
        }
    }

    /// Deletes the file; whether there was one.
    pub(super) fn give_up(&self) -> bool {
        std::fs::remove_file(&self.path).is_ok()
    }

    /// Writes zeros: a hole in a file reserves nothing.
    fn write(&self, size: u64) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        let piece = [0; 64 << 10];
        let mut left = size;
        while left > 0 {
            let length = left.min(piece.len() as u64);
            file.write_all(&piece[..length as usize])?;
            left -= length;
        }
        file.sync_all()
    }
}

/// How full the file system of `dir` is for us, in percent, as `df` counts; `None` where it cannot be told.
pub fn used_percent(dir: &Path) -> Option<u8> {
    let space = rustix::fs::statvfs(dir).ok()?;
    let used = space.f_blocks.checked_sub(space.f_bfree)?;
    u8::try_from((used * 100).checked_div(used + space.f_bavail)?).ok()
}
