//! The cloud's database: the only way to a connection, and the only way to a tenant's rows.
//!
//! [`Database::begin`] opens a transaction in which one tenant's rows are visible; [`Database::directory`]
//! one in which none are, for the tables that must be read before a tenant is known. What a transaction
//! changes that agents must know is collected with [`Tx::changed`] and written to their feeds at
//! [`Tx::commit`].

pub mod cluster;
mod drift;
mod feed;
mod hints;
mod migrations;
mod numbering;
mod reproject;
mod tx;
mod wakes;

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgPool, Postgres, Transaction};

pub use drift::{Drift, EVERY as CLOCK_COMPARED_EVERY, Measured};
pub use feed::{BoxFuture, Kind, Lister, Projection, Projector, Projectors};
pub use migrations::{MigrateError, migrate};
pub use tx::Tx;
pub use wakes::Wakes;

/// A transaction that sees directory tables only: tenant tables are empty to it.
pub type DirectoryTx = Transaction<'static, Postgres>;

/// The connection pool of the application role, with what a commit needs. Cloning shares it.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    entropy: Entropy,
    projectors: Projectors,
    wakes: Wakes,
    drift: Drift,
    numbering: numbering::Numbering,
}

impl Database {
    /// Connects as the application role.
    ///
    /// Refuses a role that could pass row security: a superuser, or one with `BYPASSRLS`.
    pub async fn connect(
        options: PgConnectOptions,
        connections: u32,
        entropy: Entropy,
        projectors: Projectors,
    ) -> Result<Database, ConnectError> {
        let pool = open_pool(options, connections).await?;
        Database::over(pool, entropy, projectors).await
    }

    /// The same over connections of [`open_pool`].
    pub async fn over(
        pool: PgPool,
        entropy: Entropy,
        projectors: Projectors,
    ) -> Result<Database, ConnectError> {
        let (role, passes): (String, bool) = sqlx::query_as(
            "select rolname::text, rolsuper or rolbypassrls from pg_roles where rolname = current_user",
        )
        .fetch_one(&pool)
        .await?;
        if passes {
            return Err(ConnectError::PassesRowSecurity { role });
        }
        Ok(Database {
            inner: Arc::new(Inner {
                pool,
                entropy,
                projectors,
                wakes: Wakes::default(),
                drift: Drift::default(),
                numbering: numbering::Numbering::default(),
            }),
        })
    }

    /// Begins a transaction in which `tenant`'s rows, and no others, are visible.
    ///
    /// Dropping it rolls back. Begin and the tenant setting share one round trip; the setting is local
    /// to the transaction, so the pool's next borrower starts with none.
    pub async fn begin(&self, tenant: TenantId) -> sqlx::Result<Tx> {
        // A TenantId prints as hex digits and dashes only.
        let begin = AssertSqlSafe(format!("begin; set local app.tenant = '{tenant}'"));
        let pool = self.inner.pool.clone();
        let inner = whole(async move { pool.begin_with(begin).await }).await?;
        Ok(Tx::new(self.clone(), tenant, inner))
    }

    /// Begins a transaction on the directory tables. Dropping it rolls back.
    pub async fn directory(&self) -> sqlx::Result<DirectoryTx> {
        let pool = self.inner.pool.clone();
        whole(async move { pool.begin().await }).await
    }

    /// A connection for a single read of directory tables: one round trip, without a transaction around it.
    /// Tenant tables are empty to it.
    pub async fn glance(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        self.inner.pool.acquire().await
    }

    /// A connection for a single statement on directory tables, which is a transaction of its own: one round trip.
    /// Tenant tables are empty to it.
    pub async fn alone(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        self.inner.pool.acquire().await
    }

    /// Makes the monthly partitions around `now` that the high-volume tables need.
    pub async fn ensure_partitions(&self, now: Timestamp) -> sqlx::Result<()> {
        let month_ago = now.minus(Duration::from_secs(31 * 86_400));
        sqlx::query("select ensure_partitions(($1 at time zone 'UTC')::date, 6)")
            .bind(month_ago)
            .execute(&self.inner.pool)
            .await?;
        Ok(())
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> sqlx::Result<()> {
        sqlx::query("select 1").execute(&self.inner.pool).await?;
        Ok(())
    }

    /// Connections of the pool: how many are open, and how many of these are idle.
    pub fn connections(&self) -> (u32, usize) {
        (self.inner.pool.size(), self.inner.pool.num_idle())
    }

    /// Where agents' connections wait for news of their site.
    pub fn wakes(&self) -> &Wakes {
        &self.inner.wakes
    }

    /// Where this database's ids and keys get their randomness.
    pub fn entropy(&self) -> &Entropy {
        &self.inner.entropy
    }

    /// Waits for borrowed connections and closes the pool.
    pub async fn close(&self) {
        self.inner.pool.close().await;
    }

    fn numbering(&self) -> &numbering::Numbering {
        &self.inner.numbering
    }

    pub(crate) fn projectors(&self) -> &Projectors {
        &self.inner.projectors
    }
}

/// Opens the pool of a server's connections: up to `connections`, each with the time limits that every
/// statement of ours has.
pub async fn open_pool(options: PgConnectOptions, connections: u32) -> sqlx::Result<PgPool> {
    let options = options.application_name("easyisp-cloud").options([
        ("statement_timeout", "5s"),
        ("lock_timeout", "3s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("timezone", "UTC"),
    ]);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        // A ping before every transaction would be a round trip more; a server that restarted is
        // noticed by connections that stood still.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > Duration::from_secs(10) {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await
}

/// Begins a transaction in a task of its own, which cancelling the caller does not stop half-way.
///
/// sqlx 0.9 counts a transaction when its `begin` was answered: one given up before that goes back to the
/// pool still open, with its tenant set, for the next borrower to find.
async fn whole(
    begin: impl Future<Output = sqlx::Result<DirectoryTx>> + Send + 'static,
) -> sqlx::Result<DirectoryTx> {
    match tokio::spawn(begin).await {
        Ok(begun) => begun,
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(_) => Err(sqlx::Error::PoolClosed), // the runtime is going down
    }
}

/// What somebody looks for, without the spaces around it and without what no text of a database has; `None` = everything.
pub fn sought(text: Option<&str>) -> Option<String> {
    let text: String = text?.chars().filter(|letter| *letter != '\0').collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The `like` pattern that finds `text` as it stands, anywhere.
pub fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for letter in text.trim().chars().filter(|letter| *letter != '\0') {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database")
    }
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The role would see every tenant's rows.
    #[error(
        "[database] url connects as \"{role}\", which can pass row security; \
         connect as easyisp_app and give the owner's address as [database] migrate_url"
    )]
    PassesRowSecurity {
        /// The role's name.
        role: String,
    },
    /// No answer, wrong password, or no such database.
    #[error("cannot use the database of [database] url: {0}")]
    Unreachable(#[from] sqlx::Error),
}
