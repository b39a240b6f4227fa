//! What a site keeps on its card: `outbox.db`, which must survive a power cut, and `cache.db`, which
//! may be lost. The sole user of rusqlite; nothing here decides and nothing here is async.

mod cache;
mod checkpoint;
mod copy;
mod error;
mod group;
mod lines;
mod open;
mod outbox;
mod reader;
mod records;
mod redemptions;
mod salvage;
mod sessions;
mod space;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use easyisp_shared::entropy::Entropy;
use tracing::warn;

pub use cache::{Cache, CachePosition, Snapshot};
pub use error::StoreError;
pub use group::{Change, Committed, Done, Job, Refused, Urgency, Write};
pub use open::{Durability, Pragmas};
pub use outbox::{Outbox, OutboxId, OutboxStats};
pub use reader::OutboxReader;
pub use records::{Kept, Record};
pub use space::used_percent;

use checkpoint::Checkpointer;
use space::Reserve;

/// The two files of one site, held under an exclusive lock while the value lives.
pub struct Store {
    /// What must not be lost.
    pub outbox: Outbox,
    /// Where the outbox and its sessions are read, beside the writer.
    pub reader: Arc<OutboxReader>,
    /// The copy of the cloud's feed; its owner moves it to the apply thread.
    pub cache: Cache,
    /// Files that were found damaged and moved aside while opening.
    pub moved_aside: Vec<PathBuf>,
    checkpointer: Checkpointer,
    lock: File,
}

/// What a [`Store`] becomes once its cache went to the apply thread: everything that must be closed in order.
pub struct StoreGuard {
    outbox: Outbox,
    checkpointer: Checkpointer,
    lock: File,
}

impl Store {
    /// Opens or creates both files in `dir`, repairs what can be repaired, and starts the accounting thread.
    ///
    /// `wake` is called after each commit that wrote records, from the accounting thread: it must not block.
    /// A damaged `cache.db` is moved aside, and its last good copy takes its place until the cloud tells the
    /// rest. A damaged `outbox.db` is begun again under a new outbox id with every report that proves itself
    /// in the old one; `moved_aside` says so and a person should look.
    pub fn open(
        dir: &Path,
        entropy: &Entropy,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Store, StoreError> {
        Store::open_by(rusqlite::version_number(), dir, entropy, wake)
    }

    /// The same by an SQLite of this version.
    fn open_by(
        sqlite: i32,
        dir: &Path,
        entropy: &Entropy,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Store, StoreError> {
        open::refuse_old_sqlite(sqlite)?;
        std::fs::create_dir_all(dir).map_err(StoreError::folder(dir))?;
        let lock = lock(dir)?;

        let (outbox_path, cache_path) = (dir.join("outbox.db"), dir.join("cache.db"));
        let mut moved_aside = Vec::new();
        let told = salvage::told_by_log(&outbox_path);
        let mut writer =
            open::open_or_rebuild(&outbox_path, Durability::Full, OUTBOX, &mut moved_aside)?;
        if let Some(damaged) = moved_aside.first() {
            let saved = salvage::salvage(damaged, &mut writer)?;
            warn!("Saved {saved} reports of a damaged outbox.db; the cloud hears them again");
        }
        if moved_aside.is_empty()
            && let Some(saved) = salvage::mend_log(&outbox_path, told, &mut writer, entropy)?
        {
            warn!("The log of outbox.db ended early; saved {saved} reports of it");
        }
        let cache = open_cache(&cache_path, &mut moved_aside)?;

        let reserve = Reserve::new(dir);
        let outbox = Outbox::start(writer, reserve.clone(), entropy, wake)?;
        let reader = Arc::new(OutboxReader::open(&outbox_path)?);
        let checkpointer =
            Checkpointer::start(vec![outbox_path, cache_path.clone()], cache_path, reserve)?;
        Ok(Store {
            outbox,
            reader,
            cache,
            moved_aside,
            checkpointer,
            lock,
        })
    }

    /// Splits the store: the cache goes to the apply thread, the rest stays with who closes it.
    pub fn split(self) -> (Outbox, Arc<OutboxReader>, Cache, StoreGuard) {
        let guard = StoreGuard {
            outbox: self.outbox.clone(),
            checkpointer: self.checkpointer,
            lock: self.lock,
        };
        (self.outbox, self.reader, self.cache, guard)
    }
}

impl StoreGuard {
    /// Writes what waits, stops the threads and gives the lock back.
    pub fn close(self) {
        self.outbox.stop();
        self.checkpointer.stop();
        let _unlocked = self.lock.unlock();
    }
}

/// The settings `outbox.db` runs with, found without disturbing an agent that uses it; `None` when it
/// is not there. A damaged file is an error.
pub fn inspect(path: &Path) -> Result<Option<Pragmas>, StoreError> {
    inspect_by(rusqlite::version_number(), path)
}

fn inspect_by(sqlite: i32, path: &Path) -> Result<Option<Pragmas>, StoreError> {
    open::refuse_old_sqlite(sqlite)?;
    if !path.exists() {
        return Ok(None);
    }
    open::inspect(path).map(Some)
}

/// Opens the cache; in the place of a damaged one, or of one that a power cut left empty or took away, its last good
/// copy, or else nothing.
fn open_cache(path: &Path, moved_aside: &mut Vec<PathBuf>) -> Result<Cache, StoreError> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        copy::restore(path);
    }
    let open = || {
        let connection = open::open(path, Durability::Normal, CACHE)?;
        Cache::open(connection, path)
    };
    match open() {
        Err(error) if error.means_damage() => moved_aside.push(open::move_aside(path)?),
        result => return result,
    }
    if copy::restore(path) {
        match open() {
            Err(error) if error.means_damage() => moved_aside.push(open::move_aside(path)?),
            result => return result,
        }
    }
    open()
}

const OUTBOX: &[&str] = &[
    include_str!("../../../migrations/agent/0001_create_outbox.sql"),
    include_str!("../../../migrations/agent/0003_add_grants.sql"),
    include_str!("../../../migrations/agent/0004_create_votes.sql"),
    include_str!("../../../migrations/agent/0005_count_lines.sql"),
    include_str!("../../../migrations/agent/0007_bind_devices.sql"),
    include_str!("../../../migrations/agent/0006_use_unlocks.sql"),
    include_str!("../../../migrations/agent/0008_recall_vouchers.sql"),
    include_str!("../../../migrations/agent/0009_date_uses.sql"),
    include_str!("../../../migrations/agent/0010_owe_cuts.sql"),
    include_str!("../../../migrations/agent/0011_keep_prefixes.sql"),
];
const CACHE: &[&str] = &[include_str!(
    "../../../migrations/agent/0002_create_cache.sql"
)];

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(StoreError::folder(dir))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_owned())),
        Err(TryLockError::Error(cause)) => Err(StoreError::Folder { path, cause }),
    }
}

#[cfg(test)]
pub(crate) mod tests;
