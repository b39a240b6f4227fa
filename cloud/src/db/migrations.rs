//! Brings the schema up to date, as the owning role.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/cloud");

/// Applies the migrations that are missing, each file in one transaction; returns how many there are.
///
/// A lock that is not free within three seconds stops the migration rather than the world; it is tried
/// five times.
pub async fn migrate(owner: PgConnectOptions) -> Result<usize, MigrateError> {
    let mut connection = owner
        .application_name("easyisp-migrate")
        .options([
            ("lock_timeout", "3s"),
            ("statement_timeout", "10min"),
            ("timezone", "UTC"),
        ])
        .connect()
        .await
        .map_err(MigrateError::Unreachable)?;
    let app_role: bool =
        sqlx::query_scalar("select exists (select 1 from pg_roles where rolname = 'easyisp_app')")
            .fetch_one(&mut connection)
            .await
            .map_err(MigrateError::Unreachable)?;
    if !app_role {
        return Err(MigrateError::NoAppRole);
    }
    let mut tries = 0;
    loop {
        match MIGRATIONS.run(&mut connection).await {
            Ok(()) => break,
            Err(error) if tries < 5 && is_in_use(&error) => {
                tries += 1;
                tracing::warn!(tries, "A table is in use; trying the migration again");
                tokio::time::sleep(Duration::from_secs(tries)).await;
            }
            Err(error) => return Err(MigrateError::Failed(error)),
        }
    }
    connection
        .close()
        .await
        .map_err(MigrateError::Unreachable)?;
    Ok(MIGRATIONS.iter().count())
}

/// Whether somebody held a table for too long, or wanted it in the other order.
fn is_in_use(error: &sqlx::migrate::MigrateError) -> bool {
    let database = match error {
        sqlx::migrate::MigrateError::Execute(sqlx::Error::Database(error)) => error,
        sqlx::migrate::MigrateError::ExecuteMigration(sqlx::Error::Database(error), _) => error,
        _ => return false, // sqlx's enum: anything else is final
    };
    matches!(database.code().as_deref(), Some("55P03" | "40P01"))
}

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No answer, wrong password, or no such database.
    #[error("cannot reach the database of [database] migrate_url: {0}")]
    Unreachable(sqlx::Error),
    /// The role that the server connects as must exist first.
    #[error(
        "the role \"easyisp_app\" is missing; as the server's administrator run: \
         create role easyisp_app login password '…' (no superuser, no bypassrls), then migrate again"
    )]
    NoAppRole,
    /// A file did not apply; nothing of it remains.
    #[error("the schema could not be brought up to date: {0}")]
    Failed(sqlx::migrate::MigrateError),
}
