//! Moves the data to a newer release, in a copy: until the last rename the old files are untouched.

use std::path::PathBuf;

use sqlx::{Connection, Executor, PgConnection};
use tracing::info;

use super::binaries::Installation;
use super::home::{self, Home, SocketDir};
use super::postmaster::Postmaster;
use super::run_as::RunAs;
use super::{Cluster, ClusterError, Durability, Options, Role};

/// Runs `pg_upgrade` into a new folder and swaps it in; returns where the old files are kept.
///
/// Needs room for the data twice. A failure or a kill at any step leaves `pg` as it was, or the
/// copy complete, which the next start puts in place.
pub(super) async fn upgrade(
    home: &Home,
    run_as: &RunAs,
    from: &Installation,
    to: &Installation,
) -> Result<PathBuf, ClusterError> {
    info!(
        "Upgrading the database from PostgreSQL {} to {}",
        from.major, to.major
    );
    // pg_upgrade takes only data that was shut down in order, and ours may have lost its power.
    let sockets = SocketDir::create(home, run_as)?;
    Postmaster::start(home, run_as, from, &sockets, Options::default())
        .await?
        .stop()
        .await?;

    home.initdb(run_as, to, Durability::Synced).await?;

    let sockets = SocketDir::create(home, run_as)?;
    let program = to.program("pg_upgrade");
    let mut pg_upgrade = run_as.command(&program);
    pg_upgrade.current_dir(home.unfinished());
    pg_upgrade.arg("--username=postgres");
    pg_upgrade.arg("--old-bindir").arg(&from.bin);
    pg_upgrade.arg("--new-bindir").arg(&to.bin);
    pg_upgrade.arg("--old-datadir").arg(home.pg());
    pg_upgrade.arg("--new-datadir").arg(home.unfinished());
    pg_upgrade.arg("--socketdir").arg(sockets.path());
    let done = pg_upgrade.output().await;
    home::remove(sockets.path())?;
    let done = done.map_err(ClusterError::io("run", &program))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stdout);
        let said = format!("{said}{}", String::from_utf8_lossy(&done.stderr));
        return Err(ClusterError::program("pg_upgrade", said.trim()));
    }

    home::rename(&home.unfinished(), &home.upgraded())?;
    let kept = home.finish_upgrade()?;
    Ok(kept.unwrap_or_else(|| home.pg()))
}

/// An upgrade keeps no statistics; without them every plan is a guess.
pub(super) async fn analyze(cluster: &Cluster) -> Result<(), ClusterError> {
    let mut admin = PgConnection::connect_with(&cluster.options(Role::Admin)).await?;
    admin.execute("analyze").await?;
    admin.close().await?;
    Ok(())
}
