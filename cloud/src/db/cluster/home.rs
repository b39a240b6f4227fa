//! What a private cluster keeps in `data_dir`: its files, its lock, and where its socket is.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tracing::info;

use super::binaries::{Data, Installation};
use super::run_as::RunAs;
use super::{ClusterError, Durability, Options};

/// Names the socket only: the folder is ours alone, so every cluster may use the same number.
pub(super) const PORT: u16 = 5432;

/// Holds the name of the socket's folder, beside the data.
pub(super) const SOCKET_RECORD: &str = "pg.socket";

/// A socket's path ends at 107 bytes; the folder's random part and the socket's name need 35.
const LONGEST_BASE: usize = 107 - 35;

/// The folder `data_dir`, ours alone as long as this value lives.
#[derive(Debug)]
pub(super) struct Home {
    data_dir: PathBuf,
    lock: File,
}

impl Drop for Home {
    /// Closing the file alone is not enough: a process that is just being spawned elsewhere holds a
    /// copy of it until it runs its program, and with it the lock.
    fn drop(&mut self) {
        let _closed_anyway = self.lock.unlock();
    }
}

impl Home {
    pub(super) fn open(data_dir: &Path) -> Result<Home, ClusterError> {
        fs::create_dir_all(data_dir).map_err(ClusterError::io("create", data_dir))?;
        let data_dir = data_dir
            .canonicalize()
            .map_err(ClusterError::io("find", data_dir))?;

        let path = data_dir.join("pg.lock");
        let lock = File::create(&path).map_err(ClusterError::io("create", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Home { data_dir, lock }),
            Err(TryLockError::WouldBlock) => Err(ClusterError::InUse(data_dir)),
            Err(TryLockError::Error(source)) => Err(ClusterError::io("lock", &path)(source)),
        }
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The cluster's files.
    pub(super) fn pg(&self) -> PathBuf {
        self.data_dir.join("pg")
    }

    /// A cluster being made; complete only once it is renamed.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.data_dir.join("pg.new")
    }

    /// A complete copy of the data for a newer release, about to take the place of `pg`.
    pub(super) fn upgraded(&self) -> PathBuf {
        self.data_dir.join("pg.upgraded")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.data_dir.join("pg.log")
    }

    fn socket_record(&self) -> PathBuf {
        self.data_dir.join(SOCKET_RECORD)
    }

    /// The release that wrote the data; `None` when there is no data.
    pub(super) fn data_version(&self) -> Result<Data, ClusterError> {
        let pg = self.pg();
        if !pg.exists() {
            return Ok(None);
        }
        let file = pg.join("PG_VERSION");
        let text = fs::read_to_string(&file).map_err(ClusterError::io("read", &file))?;
        let major = text.trim().parse().map_err(|_| {
            ClusterError::io("understand", &file)(std::io::ErrorKind::InvalidData.into())
        })?;
        Ok(Some((major, pg)))
    }

    /// Makes an empty cluster in `pg`. A run that is cut short leaves nothing there.
    pub(super) async fn create(
        &self,
        run_as: &RunAs,
        with: &Installation,
        options: Options,
    ) -> Result<(), ClusterError> {
        info!(
            "Creating a private PostgreSQL {} cluster in {}",
            with.major,
            self.pg().display()
        );
        self.initdb(run_as, with, options.durability).await?;
        rename(&self.unfinished(), &self.pg())
    }

    /// Makes an empty cluster in [`Home::unfinished`], replacing what a killed run left there.
    pub(super) async fn initdb(
        &self,
        run_as: &RunAs,
        with: &Installation,
        durability: Durability,
    ) -> Result<(), ClusterError> {
        // With the C library's UTF-8 order where it has one, else in byte order.
        let mut failure = String::new();
        for locale in ["C.UTF-8", "C"] {
            let folder = self.unfinished();
            remove(&folder)?;
            make_private(&folder, run_as)?;

            let mut initdb = run_as.command(&with.program("initdb"));
            initdb.arg("--pgdata").arg(&folder);
            initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
            initdb.args(["--data-checksums", "--lc-messages=C"]);
            initdb.arg(format!("--locale={locale}"));
            match durability {
                Durability::Synced => {}
                Durability::Unsynced => {
                    initdb.arg("--no-sync");
                }
            }
            initdb.current_dir("/");
            let done = initdb
                .output()
                .await
                .map_err(ClusterError::io("run", &with.program("initdb")))?;
            if done.status.success() {
                return Ok(());
            }
            failure = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        }
        Err(ClusterError::program("initdb", failure))
    }

    /// Puts a completed upgrade in place, also one whose process was killed between two renames.
    pub(super) fn finish_upgrade(&self) -> Result<Option<PathBuf>, ClusterError> {
        if !self.upgraded().exists() {
            return Ok(None);
        }
        let mut kept = None;
        if let Some((major, pg)) = self.data_version()? {
            let old = self.data_dir.join(format!("pg.{major}"));
            remove(&old)?;
            rename(&pg, &old)?;
            kept = Some(old);
        }
        rename(&self.upgraded(), &self.pg())?;
        Ok(kept)
    }
}

/// The short folder of our own that holds the socket; `data_dir` may be too deep for one.
#[derive(Debug)]
pub(super) struct SocketDir(PathBuf);

impl SocketDir {
    /// Makes the folder and records it in `data_dir`; the one of a killed run is removed.
    pub(super) fn create(home: &Home, run_as: &RunAs) -> Result<SocketDir, ClusterError> {
        let record = home.socket_record();
        if let Ok(left) = fs::read_to_string(&record) {
            let left = Path::new(left.trim());
            let name = left.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with(PREFIX)) {
                remove(left)?;
            }
        }

        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(|error| {
            ClusterError::io("draw a random name for", &record)(std::io::Error::other(error))
        })?;
        let folder = base(run_as).join(format!("{PREFIX}{}", hex::encode(random)));
        make_private(&folder, run_as)?;
        fs::write(&record, folder.display().to_string())
            .map_err(ClusterError::io("write", &record))?;
        Ok(SocketDir(folder))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The folder outlives this value; the supervisor removes it when PostgreSQL has ended.
    pub(super) fn into_path(self) -> PathBuf {
        self.0
    }
}

const PREFIX: &str = "easyisp-pg-";

fn base(run_as: &RunAs) -> PathBuf {
    let temp = std::env::temp_dir();
    match run_as {
        RunAs::Ourselves | RunAs::Namespace(_)
            if temp.is_dir() && temp.as_os_str().len() <= LONGEST_BASE && is_plain(&temp) =>
        {
            temp
        }
        // Another user may not be let into our own temporary folder.
        RunAs::Ourselves | RunAs::Namespace(_) | RunAs::Other(_) => PathBuf::from("/tmp"),
    }
}

/// PostgreSQL takes a list of folders, with commas between them.
fn is_plain(folder: &Path) -> bool {
    let special = |c: char| c.is_whitespace() || matches!(c, ',' | '"' | '\'');
    folder.to_str().is_some_and(|name| !name.contains(special))
}

fn make_private(folder: &Path, run_as: &RunAs) -> Result<(), ClusterError> {
    let mut private = DirBuilder::new();
    private.mode(0o700);
    private
        .create(folder)
        .map_err(ClusterError::io("create", folder))?;
    run_as.give(folder)
}

pub(super) fn remove(folder: &Path) -> Result<(), ClusterError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ClusterError::io("remove", folder)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Renames, and makes the new name survive a power cut.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), ClusterError> {
    fs::rename(from, to).map_err(ClusterError::io("put in place", to))?;
    let parent = to.parent().unwrap_or(Path::new("/"));
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(ClusterError::io("sync", parent))
}
