//! Files that come from elsewhere: subscribers and packages, taken in row by row under the rules of one by one. A
//! router's own users, which its agent reads from it, are taken in like a file of theirs.
//!
//! A file is read whole into rows (`formats/`). Up to 500 rows are taken in while the request waits; more are
//! kept in sealed parts of 500, and a due job takes them in, each part with its deletion in one transaction: so
//! a kill at any moment leaves every row done once or not yet. What became of each row is kept for 90 days, and
//! so long what a file made can be taken back, and customers whom it changed become what they were.

mod customers;
mod dates;
mod fields;
mod formats;
mod http;
mod packages;
mod row;
mod run;
mod store;
mod table;
mod undo;
mod words;

use std::time::Duration;

use easyisp_shared::id::{ImportId, TenantId};
use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::permission::Permission::{
    CustomersCreate, CustomersDelete, PackagesAddHotspot, PackagesAddPppoe, PackagesDelete,
};

pub use http::report::Report;
pub use packages::{COLUMNS as PACKAGE_COLUMNS, cells as package_cells};
pub use run::{RUN, forget_person, work};
pub use words::State;

/// The routes of this feature.
pub fn routes() -> Routes {
    const LOOK: Access = Access::Any(&[CustomersCreate, PackagesAddPppoe, PackagesAddHotspot]);

    Routes::new()
        .route(Access::Any(&[CustomersCreate]), routes!(http::customers))
        .route(
            Access::Any(&[PackagesAddPppoe, PackagesAddHotspot]),
            routes!(http::packages),
        )
        .route(Access::Any(&[CustomersCreate]), routes!(http::live::router))
        .route(LOOK, routes!(http::list))
        .route(LOOK, routes!(http::get))
        .route(
            Access::Any(&[CustomersDelete, PackagesDelete]),
            routes!(http::undo),
        )
}

/// How far the work on a file has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Which file.
    pub id: ImportId,
    /// What its work is called.
    pub kind: &'static str,
    /// How it stands.
    pub state: State,
    /// Its rows.
    pub total: i32,
    /// Those that were looked at, of which some failed.
    pub done: i32,
    /// Those that cannot be.
    pub failed: i32,
    /// When it came.
    pub created_at: Timestamp,
    /// When it was done or given up.
    pub finished_at: Option<Timestamp>,
}

impl From<&store::Import> for Progress {
    fn from(import: &store::Import) -> Progress {
        Progress {
            id: import.id,
            kind: import.what.kind(),
            state: import.state,
            total: import.total,
            done: import.done(),
            failed: import.failed,
            created_at: import.created_at,
            finished_at: import.finished_at,
        }
    }
}

/// How far one file has come, and what became of its rows so far; `None` when this tenant has no such file.
pub async fn progress(tx: &mut Tx, import: ImportId) -> sqlx::Result<Option<(Progress, Report)>> {
    let Some(found) = store::find(tx, import).await? else {
        return Ok(None);
    };
    let lines = store::lines(tx, import, http::report::MOST).await?;
    Ok(Some(((&found).into(), Report::of(&found, lines))))
}

/// How far the newest files have come.
pub async fn newest(tx: &mut Tx, most: i64) -> sqlx::Result<Vec<Progress>> {
    let (imports, _) = store::list(tx, most, 0).await?;
    Ok(imports.iter().map(Progress::from).collect())
}

/// For how many days it is kept what became of each row.
pub const KEPT_DAYS: u16 = 90;

/// Forgets what became of rows after their 90 days, 500 a transaction; returns when to go on.
pub async fn forget_old(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> sqlx::Result<Timestamp> {
    let before = now.minus(DAY * u32::from(KEPT_DAYS));
    for _ in 0..TURNS {
        let mut tx = db.begin(tenant).await?;
        let gone = store::forget(&mut tx, before, AT_ONCE).await?;
        tx.commit().await?;
        if gone < AT_ONCE.unsigned_abs() {
            return Ok(now.plus(DAY));
        }
    }
    Ok(now.plus(BREATH))
}

const DAY: Duration = Duration::from_secs(86_400);
const BREATH: Duration = Duration::from_secs(1);
const AT_ONCE: i64 = 500;
const TURNS: u32 = 20;

/// Rows that one transaction takes in or out.
const PART: usize = 500;
/// Rows of one file of customers, and of packages.
const MOST_CUSTOMERS: usize = 20_000;
const MOST_PACKAGES: usize = PART;

/// Why a file as a whole cannot be read; the message continues a sentence that begins with the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileError {
    message: String,
}

impl FileError {
    fn new(message: impl Into<String>) -> FileError {
        FileError {
            message: message.into(),
        }
    }
}

impl From<FileError> for ApiError {
    fn from(error: FileError) -> ApiError {
        ApiError::field("file", error.message)
    }
}
