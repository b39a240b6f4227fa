//! The peers' figures.

use std::path::Path;

use anyhow::Result;
use easyisp_agent::radius::Secret;

use crate::freeradius::{self, FreeRadius, Users};
use crate::postgres::Postgres;
use crate::radius::{Effort, FILES, Figures, SQL, Target};
use crate::table::mebibytes;

/// The secret every server here is asked with.
pub const SECRET: &str = "bench-secret";

/// FreeRADIUS as most providers run it: users and accounting in PostgreSQL, on the same core.
pub fn with_postgres(
    folder: &Path,
    wants: impl Fn(&str) -> bool,
    effort: Effort,
) -> Result<Figures> {
    if !freeradius::installed() {
        println!("{SQL} is not installed: nothing to stand beside");
        return Ok(Figures::default());
    }
    let folder = folder.join("sql");
    std::fs::create_dir(&folder)?;
    let postgres = Postgres::start(&folder.join("database"), effort.users)?;
    let figures = measure(&folder, SQL, Users::Sql(&postgres), wants, effort)?;
    postgres.server.stop()?;
    Ok(figures)
}

/// FreeRADIUS at its fastest: users in memory, accounting to a file that is not synced.
pub fn from_files(folder: &Path, wants: impl Fn(&str) -> bool, effort: Effort) -> Result<Figures> {
    if !freeradius::installed() {
        return Ok(Figures::default());
    }
    let folder = folder.join("files");
    std::fs::create_dir(&folder)?;
    measure(&folder, FILES, Users::Files, wants, effort)
}

fn measure(
    folder: &Path,
    name: &'static str,
    users: Users<'_>,
    wants: impl Fn(&str) -> bool,
    effort: Effort,
) -> Result<Figures> {
    let secret = Secret::new(SECRET.as_bytes());
    let database = match &users {
        Users::Sql(postgres) => Some(*postgres),
        Users::Files => None,
    };
    let peer = FreeRadius::start(folder, users, effort.users, SECRET)?;
    let mut target = Target {
        name,
        auth: peer.auth,
        acct: peer.acct,
        secret: &secret,
        sessions: 1,
    };
    let mut figures = target.measure_all(wants, effort)?;
    figures.memory = peer.server.peak_memory()?;
    if let Some(database) = database {
        figures.memory += database.server.memory_with_children()?;
    }
    println!("  {name}: {} in all", mebibytes(figures.memory));
    Ok(figures)
}
