//! A file as a request brings it: the body itself, or a form.

use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::header::CONTENT_TYPE;
use tokio::sync::Semaphore;

use super::super::FileError;
use crate::api::read_body;
use crate::error::ApiError;

/// The largest file.
const MOST_BYTES: usize = 10 * 1024 * 1024;
/// What a form has around it.
const FORM: usize = 64 * 1024;
/// What a file is called when it is the body itself.
const PLAIN: [&str; 9] = [
    "text/csv",
    "text/plain",
    "text/tab-separated-values",
    "application/csv",
    "application/vnd.ms-excel",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/sql",
    "text/x-sql",
    "application/octet-stream",
];

/// Files read at once: each may take a hundred megabytes, and nobody is in a hurry.
static TURNS: Semaphore = Semaphore::const_new(2);

/// The file of a request. Several parts of a form called `file` are one file, one below the other.
pub async fn received(mut request: Request) -> Result<Vec<u8>, ApiError> {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if PLAIN.contains(&kind.as_str()) {
        return Ok(read_body(request, MOST_BYTES).await?.to_vec());
    }
    if kind != "multipart/form-data" {
        return Err(ApiError::UnsupportedMediaType {
            expected: "text/csv, a workbook (XLSX) or multipart/form-data",
        });
    }
    DefaultBodyLimit::max(MOST_BYTES + FORM).apply(&mut request);
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|_| ApiError::UnsupportedMediaType {
        expected: "multipart/form-data",
    })?;
    let mut file: Option<Vec<u8>> = None;
    while let Some(mut part) = form.next_field().await.map_err(|_| cut_off())? {
        if part.name() != Some("file") {
            continue;
        }
        let file = file.get_or_insert_default();
        if !file.is_empty() && !file.ends_with(b"\n") {
            file.push(b'\n');
        }
        while let Some(chunk) = part.chunk().await.map_err(|_| cut_off())? {
            if file.len() + chunk.len() > MOST_BYTES {
                return Err(ApiError::TooLarge { limit: MOST_BYTES });
            }
            file.extend_from_slice(&chunk);
        }
    }
    file.ok_or_else(|| ApiError::field("file", "is required: a file in a form"))
}

/// Reads a file, off the threads that serve requests.
pub async fn in_turn<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, ApiError> {
    let turn = TURNS.acquire().await.map_err(ApiError::internal)?;
    // Held by the work itself: who hangs up meanwhile makes no room for more of it.
    let work = tokio::task::spawn_blocking(move || {
        let _held = turn;
        read()
    });
    Ok(work.await.map_err(ApiError::internal)??)
}

fn cut_off() -> ApiError {
    ApiError::bad_request(
        "BODY_INCOMPLETE",
        "The form is no multipart/form-data, or ended early or is larger than 10 MiB; send it again",
    )
}
