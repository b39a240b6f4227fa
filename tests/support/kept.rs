//! A database that is used again and again, for what begins a thousand times with no rows.
//!
//! The dearest of a fresh database are not its files: each of its server processes reads the schema and plans
//! every statement anew. Here the connections stay open, so that a process does that once, and a statement is
//! planned once on each, whatever its values are.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::db::cluster::Role;
use easyisp_cloud::db::{Database, Projectors, open_pool};
use easyisp_shared::entropy::Entropy;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool};

use crate::database::{FreshDatabase, fresh_database};
use crate::wiretap::{Scissors, Wiretap};
use crate::world::PATIENCE;

/// A database and the connections to it, which stay open from one cloud to the next.
pub struct KeptDatabase {
    database: FreshDatabase,
    pool: PgPool,
    auditor: Database,
    eyes: PgPool,
    admin: PgConnection,
    wire: Option<Wiretap>,
}

impl KeptDatabase {
    /// With no rows, and up to so many connections.
    pub async fn open(connections: u32) -> Result<KeptDatabase> {
        KeptDatabase::open_with(connections, false).await
    }

    /// The same over a line that can be cut.
    pub async fn open_over_line(connections: u32) -> Result<KeptDatabase> {
        KeptDatabase::open_with(connections, true).await
    }

    async fn open_with(connections: u32, over_line: bool) -> Result<KeptDatabase> {
        let database = fresh_database().await?;
        let mut app = kept(database.app());
        let auditor = one(kept(database.app()).application_name(AUDITOR));
        let auditor = Database::over(auditor, Entropy::system(), Projectors::default()).await?;
        let eyes = one(kept(database.anybody()));
        let mut wire = None;
        if over_line {
            let tap = Wiretap::deaf_before(&app).await?;
            app = tap.options(app);
            wire = Some(tap);
        }
        let pool = open_pool(app, connections).await?;
        let mut admin = PgConnection::connect_with(&database.of(Role::Admin)).await?;
        admin.execute(EMPTYING).await?;
        Ok(KeptDatabase {
            database,
            pool,
            auditor,
            eyes,
            admin,
            wire,
        })
    }

    /// What cuts the line to it, where there is one.
    pub fn scissors(&self) -> Option<Scissors> {
        self.wire.as_ref().map(Wiretap::scissors)
    }

    /// What a cloud is lent.
    pub fn pool(&self) -> PgPool {
        self.pool.clone()
    }

    /// Who proves the books: as the cloud does, past the line.
    pub fn auditor(&self) -> Database {
        self.auditor.clone()
    }

    /// The one connection of somebody who sees every row, past the line.
    pub fn eyes(&self) -> PgPool {
        self.eyes.clone()
    }

    /// The database of these connections.
    pub fn database(&self) -> &FreshDatabase {
        &self.database
    }

    /// Removes all rows. Every cloud that was lent the connections has stopped.
    pub async fn empty(&mut self) -> Result<()> {
        // What a cloud gave up is rolled back in a moment.
        let returned = async {
            while self.pool.num_idle() < self.pool.size() as usize {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let returned = tokio::time::timeout(PATIENCE, returned).await;
        returned.context("a stopped cloud keeps connections")?;
        self.admin.execute("call pg_temp.remove_all_rows()").await?;
        Ok(())
    }

    /// Closes the connections.
    pub async fn close(self) -> Result<()> {
        self.pool.close().await;
        self.auditor.close().await;
        self.eyes.close().await;
        Ok(self.admin.close().await?)
    }
}

/// What the server knows the auditor's connection by.
pub const AUDITOR: &str = "auditor";

/// One connection, opened when it is needed.
fn one(options: PgConnectOptions) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(1);
    pool.test_before_acquire(false).connect_lazy_with(options)
}

/// A connection on which every statement is prepared and planned once. For the few rows of a life a plan for
/// these very values is no better than one for any, and takes longer than what it plans.
fn kept(options: PgConnectOptions) -> PgConnectOptions {
    options
        .statement_cache_capacity(STATEMENTS)
        .options([("plan_cache_mode", "force_generic_plan")])
}

/// More than there are: none is prepared twice on one connection.
const STATEMENTS: usize = 1_000;

/// Triggers and foreign keys keep rows from being removed, and are left out here.
///
/// Rows are deleted and tables not truncated: a truncated one has another file, and is planned for anew.
const EMPTYING: &str = "
    set session_replication_role = replica;
    create procedure pg_temp.remove_all_rows() language plpgsql as $$
    declare
        filled text;
    begin
        for filled in
            select c.oid::regclass::text from pg_class c
              join pg_namespace n on n.oid = c.relnamespace
             where n.nspname in ('public', 'directory') and c.relkind = 'r'
               and c.relname <> '_sqlx_migrations'
        loop
            execute 'delete from ' || filled;
        end loop;
    end $$";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::world::{Provider, World};

    #[tokio::test]
    async fn every_row_goes_and_every_connection_stays() -> Result<()> {
        let mut kept = KeptDatabase::open(1).await?;
        let before = server(&kept).await?;
        for _ in 0..2 {
            let world = World::start_over(&kept).await?;
            Provider::sign_up(&world, "kept").await?;
            world.stop().await?;
            let rows = filled(&mut kept).await?;
            assert!(rows.contains("packages"), "{rows:?}");
            kept.empty().await?;
            assert_eq!(filled(&mut kept).await?, BTreeSet::new());
        }
        assert_eq!(server(&kept).await?, before);
        kept.close().await
    }

    /// The server's process behind the only connection.
    async fn server(kept: &KeptDatabase) -> Result<i32> {
        let pid = sqlx::query_scalar("select pg_backend_pid()");
        Ok(pid.fetch_one(&kept.pool).await?)
    }

    /// The tables with rows, but the list of migrations.
    async fn filled(kept: &mut KeptDatabase) -> Result<BTreeSet<String>> {
        let tables: Vec<String> = sqlx::query_scalar(
            "select c.oid::regclass::text from pg_class c
               join pg_namespace n on n.oid = c.relnamespace
              where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
                and c.relkind = 'r' and c.relname <> '_sqlx_migrations'",
        )
        .fetch_all(&mut kept.admin)
        .await?;
        let mut filled = BTreeSet::new();
        for table in tables {
            let exists = format!("select exists (select from {table})");
            let exists = sqlx::query_scalar(AssertSqlSafe(exists));
            if exists.fetch_one(&mut kept.admin).await? {
                filled.insert(table);
            }
        }
        Ok(filled)
    }
}
