//! `/api/jobs`: work in the background, as far as people wait for it or want to know of it.

use axum::extract::State;
use easyisp_shared::id::ImportId;
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::store::{self, Background};
use crate::api::{Json, Path};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::imports::{self, Progress, Report, State as JobState};

/// Work that somebody asked for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
pub struct JobItem {
    id: ImportId,
    /// `customers.import` or `packages.import`.
    kind: &'static str,
    state: JobState,
    /// How much there is to do.
    total: i32,
    /// How much of it was looked at.
    done: i32,
    /// And of that, how much failed.
    failed: i32,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
    /// What became of the rows so far; not in the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
}

impl JobItem {
    fn new(progress: Progress, report: Option<Report>) -> JobItem {
        JobItem {
            id: progress.id,
            kind: progress.kind,
            state: progress.state,
            total: progress.total,
            done: progress.done,
            failed: progress.failed,
            created_at: progress.created_at,
            finished_at: progress.finished_at,
            report,
        }
    }
}

/// Work in the background.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Jobs)]
pub struct JobList {
    /// What people asked for, the newest 100.
    jobs: Vec<JobItem>,
    /// What happens by itself, by kind.
    background: Vec<Background>,
}

/// `GET /api/jobs`: the newest 100 jobs, and when work of each kind runs next by itself, or why it fails.
#[utoipa::path(get, path = "/api/jobs", tag = "Jobs", responses((status = 200, body = JobList)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<JobList>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let jobs = imports::newest(&mut tx, MOST).await?;
    Ok(Json(JobList {
        jobs: jobs
            .into_iter()
            .map(|job| JobItem::new(job, None))
            .collect(),
        background: store::waiting(&mut tx).await?,
    }))
}

/// `GET /api/jobs/{job}`: how far it has come, and what became of its rows so far.
#[utoipa::path(get, path = "/api/jobs/{job}", tag = "Jobs", params(("job" = ImportId, Path)),
    responses((status = 200, body = JobItem)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    Path(job): Path<ImportId>,
) -> Result<Json<JobItem>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let found = imports::progress(&mut tx, job).await?;
    let (progress, report) = found.ok_or(ApiError::NotFound("job"))?;
    Ok(Json(JobItem::new(progress, Some(report))))
}

const MOST: i64 = 100;
