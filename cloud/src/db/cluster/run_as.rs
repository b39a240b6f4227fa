//! As whom PostgreSQL runs: it refuses root, so root becomes somebody else for it.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::ClusterError;
use super::home::Home;

/// As whom PostgreSQL's programs run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RunAs {
    /// As this process, which is not root.
    Ourselves,
    /// As root in a user namespace where root has an ordinary number: files stay root's, and
    /// folders closed to everybody else stay open to it.
    Namespace(User),
    /// As another user, who owns the data.
    Other(User),
}

/// A line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub uid: u32,
    pub gid: u32,
}

impl RunAs {
    /// Whoever owns the data already; for new data a namespace, else the user `postgres`.
    pub(super) async fn choose(home: &Home) -> Result<RunAs, ClusterError> {
        let owner = fs::metadata(home.pg()).ok();
        let we_are_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
        match owner {
            _ if !we_are_root => return Ok(RunAs::Ourselves),
            Some(owner) if owner.uid() != 0 => {
                return Ok(RunAs::Other(User {
                    uid: owner.uid(),
                    gid: owner.gid(),
                }));
            }
            Some(_) | None => {}
        }

        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        if let Some(user) = ordinary_user(&passwd) {
            let namespace = RunAs::Namespace(user);
            if namespace.may_write(home.data_dir()).await {
                return Ok(namespace);
            }
        }
        if owner.is_some() {
            return Err(ClusterError::Root {
                reason: format!(
                    "{} belongs to root while user namespaces are refused here (to hand it over: \
                     chown -R postgres: {0})",
                    home.pg().display()
                ),
            });
        }
        if let Some(postgres) = named(&passwd, "postgres") {
            let other = RunAs::Other(postgres);
            if other.may_enter(home.data_dir()).await {
                return Ok(other);
            }
        }
        Err(ClusterError::Root {
            reason: format!(
                "neither a user namespace (unshare -U) nor the user postgres can reach {}",
                home.data_dir().display()
            ),
        })
    }

    /// The start of a command line that runs `program` as this user.
    pub(super) fn command_line(&self, program: &Path) -> Vec<String> {
        let mut line = match self {
            RunAs::Ourselves => Vec::new(),
            RunAs::Namespace(user) => vec![
                "unshare".to_owned(),
                "--user".to_owned(),
                format!("--map-user={}", user.uid),
                format!("--map-group={}", user.gid),
            ],
            RunAs::Other(user) => vec![
                "setpriv".to_owned(),
                format!("--reuid={}", user.uid),
                format!("--regid={}", user.gid),
                "--clear-groups".to_owned(),
            ],
        };
        line.push(program.display().to_string());
        line
    }

    /// A command that runs `program` as this user, without our environment and input.
    pub(super) fn command(&self, program: &Path) -> Command {
        let line = self.command_line(program);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::null());
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C");
        command.kill_on_drop(true);
        command
    }

    /// Gives a new file or folder to the user; a namespace's root owns it already.
    pub(super) fn give(&self, path: &Path) -> Result<(), ClusterError> {
        match self {
            RunAs::Ourselves | RunAs::Namespace(_) => Ok(()),
            RunAs::Other(user) => chown(path, Some(user.uid), Some(user.gid))
                .map_err(ClusterError::io("hand over", path)),
        }
    }

    async fn may_write(&self, folder: &Path) -> bool {
        self.test("-w", folder).await
    }

    async fn may_enter(&self, folder: &Path) -> bool {
        self.test("-x", folder).await
    }

    async fn test(&self, what: &str, folder: &Path) -> bool {
        let mut test = self.command(Path::new("test"));
        test.arg(what).arg(folder).stderr(Stdio::null());
        test.status().await.is_ok_and(|status| status.success())
    }
}

/// PostgreSQL's programs are named by full path; they themselves need a shell and little else.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// initdb looks its user up by number, so it must have a name: `postgres`, else anybody.
fn ordinary_user(passwd: &str) -> Option<User> {
    let anybody = || passwd.lines().filter_map(user).find(|user| user.uid != 0);
    named(passwd, "postgres").or_else(anybody)
}

pub(super) fn named(passwd: &str, name: &str) -> Option<User> {
    let is_named = |line: &&str| line.split(':').next() == Some(name);
    passwd.lines().find(is_named).and_then(user)
}

fn user(line: &str) -> Option<User> {
    let mut fields = line.split(':').skip(2);
    Some(User {
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_prefers_to_be_postgres_and_never_stays_root() {
        let passwd = "root:x:0:0::/:/bin/sh\ndaemon:x:1:1::/:/bin/false\nbroken\n";
        assert_eq!(ordinary_user(passwd), Some(User { uid: 1, gid: 1 }));

        let debian = format!("{passwd}postgres:x:101:104::/:/bin/sh\n");
        assert_eq!(ordinary_user(&debian), Some(User { uid: 101, gid: 104 }));

        assert_eq!(ordinary_user("root:x:0:0::/:/bin/sh\n"), None);
    }
}
