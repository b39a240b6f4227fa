//! Which PostgreSQL releases this machine has, and which of them the data needs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::ClusterError;

/// The oldest release whose SQL we use.
pub(super) const OLDEST: u32 = 15;

/// Where Debian keeps each release: `/usr/lib/postgresql/15/bin`.
const DEBIAN: &str = "/usr/lib/postgresql";

/// One installed release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installation {
    pub major: u32,
    pub bin: PathBuf,
}

impl Installation {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// What to do with the data that is there, or is not.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan<'a> {
    Create(&'a Installation),
    Run(&'a Installation),
    Upgrade {
        from: &'a Installation,
        to: &'a Installation,
    },
}

/// The data found: its release, and the folder to name in an error.
pub(super) type Data = Option<(u32, PathBuf)>;

/// Chooses between creating, running and upgrading; `installed` is sorted, newest first.
pub(super) fn plan(data: Data, installed: &[Installation]) -> Result<Plan<'_>, ClusterError> {
    let newest = installed.first().filter(|newest| newest.major >= OLDEST);
    let newest = newest.ok_or(ClusterError::NotInstalled {
        too_old: installed.first().map(|newest| newest.major),
    })?;
    let Some((data, folder)) = data else {
        return Ok(Plan::Create(newest));
    };
    let same = installed.iter().find(|release| release.major == data);
    match same {
        Some(from) if from.major < newest.major => Ok(Plan::Upgrade { from, to: newest }),
        Some(same) => Ok(Plan::Run(same)),
        None => Err(ClusterError::NeedsRelease { folder, data }),
    }
}

/// Every complete installation in PATH and in Debian's folders, newest first.
pub(super) async fn find() -> Vec<Installation> {
    let mut found = Vec::new();
    for bin in folders(std::env::var_os("PATH")) {
        if let Some(major) = release(&bin).await {
            found.push(Installation { major, bin });
        }
    }
    // Stable: of two copies of one release, PATH's comes first.
    found.sort_by_key(|release| std::cmp::Reverse(release.major));
    found
}

/// Real folders that hold an `initdb`: a link in /usr/local/bin leads to where the rest is.
fn folders(path: Option<OsString>) -> Vec<PathBuf> {
    let on_path = path.iter().flat_map(std::env::split_paths);
    let debian = std::fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")));

    let mut folders = Vec::new();
    for folder in on_path.chain(debian) {
        let Ok(initdb) = folder.join("initdb").canonicalize() else {
            continue;
        };
        let Some(folder) = initdb.parent().map(Path::to_path_buf) else {
            continue;
        };
        if folder.join("postgres").exists() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

async fn release(bin: &Path) -> Option<u32> {
    let answer = Command::new(bin.join("postgres"))
        .arg("--version")
        .output()
        .await
        .ok()?;
    major(&String::from_utf8_lossy(&answer.stdout))
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15, `… 18beta1` is 18.
fn major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    let end = number.find(|c: char| !c.is_ascii_digit());
    number[..end.unwrap_or(number.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn installed(majors: &[u32]) -> Vec<Installation> {
        let at = |major: &u32| Installation {
            major: *major,
            bin: PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")),
        };
        majors.iter().map(at).collect()
    }

    fn data(major: u32) -> Data {
        Some((major, PathBuf::from("/srv/pg")))
    }

    #[test]
    fn reads_the_major_release_of_every_packaging() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.18 (Debian 15.18-0)"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 17"), Some(17));
        assert_eq!(major("mysqld 8"), None);
    }

    #[test]
    fn new_data_is_created_by_the_newest_release() {
        let both = installed(&[17, 15]);
        assert_eq!(plan(None, &both).unwrap(), Plan::Create(&both[0]));
    }

    #[test]
    fn data_runs_on_its_own_release_and_is_upgraded_where_a_newer_one_stands_beside_it() {
        let old = installed(&[15]);
        assert_eq!(plan(data(15), &old).unwrap(), Plan::Run(&old[0]));

        let both = installed(&[17, 15]);
        let upgrade = Plan::Upgrade {
            from: &both[1],
            to: &both[0],
        };
        assert_eq!(plan(data(15), &both).unwrap(), upgrade);
    }

    #[test]
    fn data_of_a_release_that_is_missing_is_refused_with_the_command() {
        for (of, with) in [(15, 17), (17, 15)] {
            let error = plan(data(of), &installed(&[with])).unwrap_err().to_string();
            assert!(
                error.contains(&format!("apt-get install postgresql-{of}")),
                "{error}"
            );
            assert!(error.contains("/srv/pg"), "{error}");
        }
    }

    #[test]
    fn a_machine_without_postgresql_is_told_the_one_command() {
        let none = plan(None, &[]).unwrap_err().to_string();
        assert!(none.contains("apt-get install postgresql"), "{none}");
        let old = plan(None, &installed(&[13])).unwrap_err().to_string();
        assert!(old.contains("found 13"), "{old}");
    }
}
