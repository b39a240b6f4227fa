//! A fresh, migrated database for every test, in one private cluster per run.
//!
//! `tests/run` starts the cluster and names its socket folder in `EASYISP_TEST_PG`. Under a plain
//! `cargo test` the first test that asks starts one for its process; it ends with the process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use easyisp_cloud::db;
use easyisp_cloud::db::cluster::{Cluster, Durability, Lifetime, Options, Role, connect_options};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::sync::OnceCell;

/// Names the socket folder of the run's cluster.
pub const SOCKET_DIR: &str = "EASYISP_TEST_PG";

/// A database of a test's own, with the schema in place and no rows.
///
/// It is dropped some time after the last clone of this value is, whoever is still connected to it.
#[derive(Clone, Debug)]
pub struct FreshDatabase(Arc<Made>);

#[derive(Debug)]
struct Made {
    name: String,
    socket_dir: PathBuf,
}

impl FreshDatabase {
    /// How the server connects: as the application role, which row security applies to.
    pub fn app(&self) -> PgConnectOptions {
        self.of(Role::App)
    }

    /// How migrations connect: as the role that owns the tables, which cannot pass row security either.
    pub fn owner(&self) -> PgConnectOptions {
        self.of(Role::Owner)
    }

    /// As the cluster's administrator, who sees every row: for what is checked from outside.
    pub fn anybody(&self) -> PgConnectOptions {
        self.of(Role::Admin)
    }

    /// What a configuration says of it: `[database] url` and `migrate_url`.
    pub fn urls(&self) -> (String, String) {
        let url = |options: PgConnectOptions| {
            let (user, name) = (options.get_username(), &self.0.name);
            format!(
                "postgres://{user}@localhost/{name}?host={}",
                self.0.socket_dir.display()
            )
        };
        (url(self.app()), url(self.owner()))
    }

    pub(crate) fn of(&self, role: Role) -> PgConnectOptions {
        connect_options(&self.0.socket_dir, role, &self.0.name)
    }

    /// A backup: a copy of it as it is now. Nobody may be connected to it meanwhile.
    pub async fn copy(&self) -> Result<FreshDatabase> {
        let mut admin = admin(&self.0.socket_dir).await?;
        let copy = Made::fresh(&self.0.socket_dir, &mut admin, &self.0.name).await?;
        admin.close().await?;
        Ok(copy)
    }
}

impl Made {
    async fn fresh(
        socket_dir: &Path,
        admin: &mut PgConnection,
        template: &str,
    ) -> Result<FreshDatabase> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{count}", std::process::id());
        create(admin, &name, template).await?;
        Ok(FreshDatabase(Arc::new(Made {
            name,
            socket_dir: socket_dir.to_path_buf(),
        })))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Ok(mut discarded) = DISCARDED.lock() {
            discarded.push(std::mem::take(&mut self.name));
        }
    }
}

/// A database of the caller's own: a copy of one that was migrated once for the whole run.
pub async fn fresh_database() -> Result<FreshDatabase> {
    let socket_dir = socket_dir().await?;
    let mut admin = admin(socket_dir).await?;
    let template = template(socket_dir, &mut admin).await?;
    drop_discarded(&mut admin).await?;
    let fresh = Made::fresh(socket_dir, &mut admin, template).await?;
    admin.close().await?;
    Ok(fresh)
}

/// How the server goes about a statement that it was heard to be asked, with these literals as values, in
/// a `plan_cache_mode`. As row security has it where the connection's tenant is set.
pub async fn plan(
    connection: &mut PgConnection,
    statement: &str,
    values: &[String],
    mode: &str,
) -> Result<String> {
    let script = format!(
        "set local plan_cache_mode = {mode};
         prepare planned as {statement};
         explain execute planned ({});
         deallocate planned",
        values.join(", ")
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(script))
        .fetch_all(connection)
        .await?;
    let lines: Vec<String> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    Ok(lines.join("\n"))
}

/// A cluster fit for tests and nothing else: not synced, gone when the process ends.
pub async fn test_cluster() -> Result<Cluster> {
    let data_dir = tempfile::Builder::new()
        .prefix("easyisp-test-pg-")
        .tempdir()?
        .keep();
    let options = Options {
        durability: Durability::Unsynced,
        lifetime: Lifetime::Temporary,
    };
    Ok(Cluster::start(&data_dir, options).await?)
}

static COUNT: AtomicU32 = AtomicU32::new(0);
static DISCARDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

async fn socket_dir() -> Result<&'static Path> {
    // Statics are never dropped; the cluster notices that its process has ended.
    static OWN: OnceCell<Cluster> = OnceCell::const_new();
    static OF_THE_RUN: OnceCell<PathBuf> = OnceCell::const_new();

    if let Some(of_the_run) = std::env::var_os(SOCKET_DIR) {
        let of_the_run = async || PathBuf::from(of_the_run);
        return Ok(OF_THE_RUN.get_or_init(of_the_run).await);
    }
    Ok(OWN.get_or_try_init(test_cluster).await?.socket_dir())
}

async fn admin(socket_dir: &Path) -> Result<PgConnection> {
    let admin = connect_options(socket_dir, Role::Admin, "postgres");
    PgConnection::connect_with(&admin).await.with_context(|| {
        format!(
            "connecting to the tests' PostgreSQL in {}",
            socket_dir.display()
        )
    })
}

/// The migrated database that all others are copied from, made by whichever process comes first.
async fn template(socket_dir: &Path, admin: &mut PgConnection) -> Result<&'static str> {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();

    let make = async || -> Result<String> {
        let name = format!("template_{}", digest_of_migrations()?);
        // Held until this connection closes: other processes wait here.
        admin.execute("select pg_advisory_lock(1)").await?;
        let made = "select exists (select from pg_database where datname = $1)";
        let made: bool = sqlx::query_scalar(made)
            .bind(&name)
            .fetch_one(&mut *admin)
            .await?;
        if !made {
            admin.execute("drop database if exists making").await?;
            create(admin, "making", "template0").await?;
            db::migrate(connect_options(socket_dir, Role::Owner, "making")).await?;
            let rename = format!("alter database making rename to {name}");
            admin.execute(AssertSqlSafe(rename)).await?;
        }
        Ok(name)
    };
    Ok(TEMPLATE.get_or_try_init(make).await?)
}

/// A cluster may outlive an edit of the schema.
fn digest_of_migrations() -> Result<String> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/cloud"));
    let mut files = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    files.sort();

    let mut digest = Sha256::new();
    for file in files {
        digest.update(fs::read(file)?);
    }
    Ok(hex::encode(&digest.finalize()[..8]))
}

async fn create(admin: &mut PgConnection, name: &str, template: &str) -> Result<()> {
    let owner = Role::Owner.name();
    let create = format!("create database {name} template {template} owner {owner}");
    admin.execute(AssertSqlSafe(create)).await?;
    Ok(())
}

/// Keeps the disk small over hundreds of tests.
async fn drop_discarded(admin: &mut PgConnection) -> Result<()> {
    let discarded = match DISCARDED.lock() {
        Ok(mut discarded) => std::mem::take(&mut *discarded),
        Err(_) => Vec::new(),
    };
    for name in discarded {
        let drop = format!("drop database if exists {name} with (force)");
        admin.execute(AssertSqlSafe(drop)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_test_has_a_migrated_database_of_its_own() -> Result<()> {
        let (mine, yours) = (fresh_database().await?, fresh_database().await?);
        let mut owner = PgConnection::connect_with(&mine.owner()).await?;
        owner.execute("create table only_mine (id int)").await?;

        let mut app = PgConnection::connect_with(&yours.app()).await?;
        let tables: Vec<String> = sqlx::query_scalar(
            "select tablename::text from pg_tables where schemaname in ('public', 'directory')",
        )
        .fetch_all(&mut app)
        .await?;
        assert!(tables.contains(&"customers".to_owned()), "{tables:?}");
        assert!(!tables.contains(&"only_mine".to_owned()), "{tables:?}");
        Ok(())
    }

    #[tokio::test]
    async fn the_app_role_sees_no_tenants_rows_unasked() -> Result<()> {
        let database = fresh_database().await?;
        let mut app = PgConnection::connect_with(&database.app()).await?;
        let role: (String, bool) = sqlx::query_as(
            "select rolname::text, rolsuper or rolbypassrls from pg_roles where rolname = current_user",
        )
        .fetch_one(&mut app)
        .await?;
        assert_eq!(role, ("easyisp_app".to_owned(), false));
        Ok(())
    }
}
