//! What is answered about files and their rows.

use easyisp_shared::id::{ImportId, OperatorId};
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::store::{Import, Line};
use super::super::undo;
use super::super::words::{OnExisting, Outcome, State, What};
use crate::api::Page;
use crate::error::FieldError;

/// Rows of one report.
pub const MOST: i64 = 1000;

/// What became of a file, row by row.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportReport)]
pub struct Report {
    /// For `POST /api/imports/{import}/undo`; null where nothing was done.
    import_id: Option<ImportId>,
    /// Whether this is what would have been.
    dry_run: bool,
    /// What the file was taken for; `router` = a router's own lists.
    format: String,
    /// Rows looked at, in the order of the file: at most 1,000, those that failed before others.
    rows: Vec<ReportRow>,
    /// Whether these are all that were looked at.
    complete: bool,
    created: usize,
    updated: usize,
    skipped: usize,
    failed: usize,
    /// Rows of the file.
    total: usize,
    /// About the file as a whole, such as columns that mean nothing here.
    warnings: Vec<String>,
}

/// What became of one row.
#[derive(Serialize, ToSchema, Debug)]
#[schema(as = ImportRow)]
pub struct ReportRow {
    /// The line of the file on which it begins (the names of the columns are in line 1), or the place on a router's
    /// lists.
    row: i32,
    outcome: Outcome,
    /// The customer or package; null where there is none.
    id: Option<Uuid>,
    /// The user name, or the package's name.
    username: String,
    /// Why it failed: which field, and what to write.
    errors: Vec<FieldError>,
    /// What it says that has no place here and was left out.
    warnings: Vec<FieldError>,
}

impl From<Line> for ReportRow {
    fn from(line: Line) -> ReportRow {
        ReportRow {
            row: line.line,
            outcome: line.outcome,
            id: line.subject_id,
            username: line.name,
            errors: line.errors.0,
            warnings: line.warnings.0,
        }
    }
}

impl Report {
    /// Of a file that was taken in, and those of its rows that are shown.
    pub fn of(import: &Import, lines: Vec<Line>) -> Report {
        let count = |n: i32| usize::try_from(n).unwrap_or(0);
        Report {
            import_id: Some(import.id),
            dry_run: false,
            format: import.format.clone(),
            complete: lines.len() >= count(import.done()),
            rows: lines.into_iter().map(ReportRow::from).collect(),
            created: count(import.created),
            updated: count(import.updated),
            skipped: count(import.skipped),
            failed: count(import.failed),
            total: count(import.total),
            warnings: import.warnings.0.clone(),
        }
    }

    /// Of a dry run.
    pub fn of_nothing(format: &str, mut lines: Vec<Line>, warnings: Vec<String>) -> Report {
        let count = |outcome| lines.iter().filter(|line| line.outcome == outcome).count();
        let total = lines.len();
        let (created, updated) = (count(Outcome::Created), count(Outcome::Updated));
        let (skipped, failed) = (count(Outcome::Skipped), count(Outcome::Failed));
        let most = usize::try_from(MOST).unwrap_or(0);
        if total > most {
            lines.sort_by_key(|line| line.outcome != Outcome::Failed);
            lines.truncate(most);
            lines.sort_by_key(|line| line.line);
        }
        Report {
            import_id: None,
            dry_run: true,
            format: format.to_owned(),
            complete: lines.len() == total,
            rows: lines.into_iter().map(ReportRow::from).collect(),
            created,
            updated,
            skipped,
            failed,
            total,
            warnings,
        }
    }
}

/// Where the work on a large file is looked at: `GET /api/jobs/{job}`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportJob)]
pub struct JobAnswer {
    pub job_id: ImportId,
}

/// A file that was sent in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Import)]
pub struct ImportItem {
    /// Also that of its job.
    id: ImportId,
    of: What,
    format: String,
    on_existing: OnExisting,
    state: State,
    total: i32,
    created: i32,
    updated: i32,
    skipped: i32,
    failed: i32,
    /// Why it was given up.
    error: Option<String>,
    operator_id: OperatorId,
    operator_name: String,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
    /// When some of it was taken back last.
    undone_at: Option<Timestamp>,
}

impl From<&Import> for ImportItem {
    fn from(import: &Import) -> ImportItem {
        ImportItem {
            id: import.id,
            of: import.what,
            format: import.format.clone(),
            on_existing: import.on_existing,
            state: import.state,
            total: import.total,
            created: import.created,
            updated: import.updated,
            skipped: import.skipped,
            failed: import.failed,
            error: import.error.clone(),
            operator_id: import.by.operator_id,
            operator_name: import.by.operator_name.clone(),
            created_at: import.created_at,
            finished_at: import.finished_at,
            undone_at: import.undone_at,
        }
    }
}

/// Files, the newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Imports {
    imports: Vec<ImportItem>,
    total: i64,
    page: u32,
    page_size: u32,
    total_pages: i64,
}

impl Imports {
    pub(super) fn new(imports: &[Import], total: i64, page: Page) -> Imports {
        Imports {
            imports: imports.iter().map(ImportItem::from).collect(),
            total,
            page: page.number,
            page_size: page.size,
            total_pages: page.total_pages(total),
        }
    }
}

/// A file and some of its rows.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportPage {
    #[serde(flatten)]
    import: ImportItem,
    warnings: Vec<String>,
    /// Rows that were taken back.
    undone: i64,
    rows: Vec<ReportRow>,
    page: u32,
    page_size: u32,
}

impl ImportPage {
    pub(super) fn new(import: &Import, undone: i64, lines: Vec<Line>, page: Page) -> ImportPage {
        ImportPage {
            import: import.into(),
            warnings: import.warnings.0.clone(),
            undone,
            rows: lines.into_iter().map(ReportRow::from).collect(),
            page: page.number,
            page_size: page.size,
        }
    }
}

/// What was taken back, and what stays.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportUndone)]
pub struct Undone {
    /// Rows whose customer or package is gone now, or whose customer is as he was.
    undone: i64,
    /// Rows whose customer or package stays.
    kept: usize,
    /// These, in the order of the file: the first 1,000.
    rows: Vec<KeptRow>,
}

/// Why something stays.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportKept)]
pub struct KeptRow {
    row: i32,
    id: Uuid,
    username: String,
    /// A sentence that begins with the customer or package.
    reason: &'static str,
}

impl From<undo::Undone> for Undone {
    fn from(undone: undo::Undone) -> Undone {
        let most = usize::try_from(MOST).unwrap_or(0);
        Undone {
            undone: undone.undone,
            kept: undone.kept.len(),
            rows: undone
                .kept
                .into_iter()
                .take(most)
                .map(|(made, reason)| KeptRow {
                    row: made.line,
                    id: made.subject_id,
                    username: made.name,
                    reason,
                })
                .collect(),
        }
    }
}
