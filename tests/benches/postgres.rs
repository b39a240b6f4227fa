//! The peer's database: a private PostgreSQL, every commit on disk, with FreeRADIUS's shipped schema.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use easyisp_cloud::db::cluster::{Cluster, Durability, Lifetime, Options, Role, connect_options};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::child::{SERVER_CORE, Server, serve_until_told};
use crate::load::users::RATE_LIMIT;

/// A running PostgreSQL with the peer's database.
pub struct Postgres {
    pub socket_dir: PathBuf,
    pub database: &'static str,
    pub role: &'static str,
    pub server: Server,
}

impl Postgres {
    /// Starts one below `folder` and fills it with users.
    pub fn start(folder: &Path, users: u32) -> Result<Postgres> {
        let (server, socket_dir) = Server::start_self("postgres", SERVER_CORE, folder)?;
        let postgres = Postgres {
            socket_dir: PathBuf::from(socket_dir),
            database: "radius",
            role: Role::Owner.name(),
            server,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(postgres.fill(users))?;
        Ok(postgres)
    }

    async fn fill(&self, users: u32) -> Result<()> {
        let admin = connect_options(&self.socket_dir, Role::Admin, "postgres");
        let mut admin = PgConnection::connect_with(&admin).await?;
        let create = format!("create database {} owner {}", self.database, self.role);
        admin.execute(AssertSqlSafe(create)).await?;

        let schema = fs::read_to_string(SCHEMA).context(SCHEMA)?;
        let owner = connect_options(&self.socket_dir, Role::Owner, self.database);
        let mut owner = PgConnection::connect_with(&owner).await?;
        sqlx::raw_sql(AssertSqlSafe(schema))
            .execute(&mut owner)
            .await?;
        for fill in [
            "insert into radcheck (username, attribute, op, value)
             select 'user' || lpad(n::text, 6, '0'), 'Cleartext-Password', ':=',
                    'secret-' || lpad(n::text, 6, '0')
               from generate_series(0, $1 - 1) n where $2 <> ''",
            "insert into radreply (username, attribute, op, value)
             select 'user' || lpad(n::text, 6, '0'), 'Mikrotik-Rate-Limit', '=', $2
               from generate_series(0, $1 - 1) n",
            "insert into radusergroup (username, groupname, priority)
             select 'user' || lpad(n::text, 6, '0'), 'home', 1
               from generate_series(0, $1 - 1) n where $2 <> ''",
            "insert into radgroupreply (groupname, attribute, op, value)
             select 'home', 'Acct-Interim-Interval', '=', '300' where $1 > 0 and $2 <> ''",
        ] {
            let users = i32::try_from(users)?;
            sqlx::query(fill)
                .bind(users)
                .bind(RATE_LIMIT)
                .execute(&mut owner)
                .await?;
        }
        owner.execute("analyze").await?;
        admin.execute("checkpoint").await?;
        Ok(())
    }
}

const SCHEMA: &str = "/etc/freeradius/3.0/mods-config/sql/main/postgresql/schema.sql";

/// The part that keeps the cluster.
pub fn part(folder: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let options = Options {
        durability: Durability::Synced,
        lifetime: Lifetime::Temporary,
    };
    let cluster = runtime.block_on(Cluster::start(folder, options))?;
    serve_until_told(&cluster.socket_dir().display().to_string())?;
    runtime.block_on(cluster.stop())?;
    Ok(())
}
