//! The private PostgreSQL cluster: what the cloud runs on when nobody gave it a server.
//!
//! It lives in `data_dir/pg`, listens on a unix socket in a folder only its user may enter, and is
//! created, started, upgraded and stopped without a person.

mod binaries;
mod error;
mod home;
mod log;
mod postmaster;
mod run_as;
mod upgrade;

use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, Executor, PgConnection};
use tracing::info;

use self::binaries::{Installation, Plan};
pub use self::error::ClusterError;
use self::home::{Home, SocketDir};
use self::postmaster::Postmaster;
use self::run_as::RunAs;

/// The name of the one database a cloud keeps in its cluster.
pub const DATABASE: &str = "easyisp";

/// How a private cluster is run. The default is the only one fit for real data.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether a commit must survive a power cut.
    pub durability: Durability,
    /// What becomes of the data when the cluster stops.
    pub lifetime: Lifetime,
}

/// Whether a commit must survive a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Every commit is on the disk before it is answered.
    #[default]
    Synced,
    /// For tests only: no `fsync`, so a power cut may take the whole cluster.
    Unsynced,
}

/// What becomes of the data folder when the cluster stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// It is kept, and the next start finds it.
    #[default]
    Kept,
    /// It is removed, also when this process is killed.
    Temporary,
}

/// Who connects: each has rights of its own, and row security applies to [`Role::App`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves requests; owns nothing and cannot bypass row security.
    App,
    /// Owns the database and its tables; migrations run as this role.
    Owner,
    /// The cluster's superuser: creates databases, backs up. Never serves a request.
    Admin,
}

impl Role {
    /// The role's name in PostgreSQL.
    pub fn name(self) -> &'static str {
        match self {
            Role::App => "easyisp_app",
            Role::Owner => "easyisp_owner",
            Role::Admin => "postgres",
        }
    }
}

/// A running private cluster.
///
/// [`Cluster::stop`] ends it in order. Dropping it, or the death of this process by any signal,
/// begins the same shutdown without waiting for its end; the next start waits.
#[derive(Debug)]
pub struct Cluster {
    socket_dir: PathBuf,
    postmaster: Postmaster,
    _home: Home,
}

impl Cluster {
    /// Starts the cluster in `data_dir/pg`, creating or upgrading it first where needed.
    ///
    /// Returns when it accepts connections and has its roles and database. Only one process may
    /// run it at a time; one that died without stopping it is cleaned up after.
    ///
    /// # Errors
    ///
    /// Every [`ClusterError`] says what to do next. The data is untouched by a refused upgrade.
    pub async fn start(data_dir: &Path, options: Options) -> Result<Cluster, ClusterError> {
        let home = Home::open(data_dir)?;
        let installed = binaries::find().await;
        let run_as = RunAs::choose(&home).await?;
        start_as(home, &run_as, &installed, options).await
    }

    /// Asks for a fast shutdown and waits for its end: clients are cut, everything is on the disk.
    pub async fn stop(self) -> Result<(), ClusterError> {
        self.postmaster.stop().await?;
        Ok(())
    }

    /// Resolves when the server has ended without being asked: killed, or out of memory. Whoever
    /// serves from it should end too, and be started again.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        self.postmaster.ended()
    }

    /// How `role` connects to the cloud's database; no password, the socket's folder is the guard.
    pub fn options(&self, role: Role) -> PgConnectOptions {
        connect_options(&self.socket_dir, role, DATABASE)
    }

    /// The folder that holds the socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }
}

/// The socket's folder of the cluster that another process runs in `data_dir`: for what an administrator
/// does beside it.
pub fn socket_of_running(data_dir: &Path) -> Option<PathBuf> {
    let folder = std::fs::read_to_string(data_dir.join(home::SOCKET_RECORD)).ok()?;
    let folder = PathBuf::from(folder.trim());
    folder.is_dir().then_some(folder)
}

/// How `role` connects to `database` of the cluster whose socket is in `socket_dir`.
pub fn connect_options(socket_dir: &Path, role: Role, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(home::PORT)
        .username(role.name())
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

async fn start_as(
    home: Home,
    run_as: &RunAs,
    installed: &[Installation],
    options: Options,
) -> Result<Cluster, ClusterError> {
    home.finish_upgrade()?;
    postmaster::end_leftover(&home, run_as, installed).await?;

    let upgraded = match binaries::plan(home.data_version()?, installed)? {
        Plan::Create(with) => {
            home.create(run_as, with, options).await?;
            None
        }
        Plan::Run(_) => None,
        Plan::Upgrade { from, to } => Some(upgrade::upgrade(&home, run_as, from, to).await?),
    };
    let Plan::Run(installation) = binaries::plan(home.data_version()?, installed)? else {
        unreachable!("a cluster just created or upgraded fits what is installed");
    };

    let sockets = SocketDir::create(&home, run_as)?;
    let postmaster = Postmaster::start(&home, run_as, installation, &sockets, options).await?;
    let cluster = Cluster {
        socket_dir: sockets.into_path(),
        postmaster,
        _home: home,
    };
    prepare_database(&cluster.socket_dir).await?;
    if let Some(kept) = upgraded {
        upgrade::analyze(&cluster).await?;
        info!(
            "Upgraded the database; its old files stay in {}",
            kept.display()
        );
    }
    Ok(cluster)
}

/// Creates roles and database where they are missing. Every statement may be repeated, so a start
/// that was killed half-way is completed by the next.
async fn prepare_database(socket_dir: &Path) -> Result<(), ClusterError> {
    let admin = connect_options(socket_dir, Role::Admin, "postgres");
    let mut admin = PgConnection::connect_with(&admin).await?;

    for statement in [
        "do $$ begin
           if not exists (select from pg_roles where rolname = 'easyisp_owner') then
             create role easyisp_owner;
           end if;
           if not exists (select from pg_roles where rolname = 'easyisp_app') then
             create role easyisp_app;
           end if;
         end $$",
        "alter role easyisp_owner login nosuperuser nocreatedb nocreaterole nobypassrls",
        "alter role easyisp_app login nosuperuser nocreatedb nocreaterole nobypassrls",
    ] {
        admin.execute(statement).await?;
    }
    let present: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut admin)
            .await?;
    if !present {
        admin
            .execute("create database easyisp owner easyisp_owner")
            .await?;
    }
    admin
        .execute("revoke all on database easyisp from public")
        .await?;
    admin
        .execute("grant connect on database easyisp to easyisp_app")
        .await?;
    admin.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests;
