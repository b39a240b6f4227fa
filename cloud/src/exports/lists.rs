//! Every list of the API as a file: `?format=csv` or `?format=xlsx` on its route, with its own filters and permissions.
//!
//! The route itself is asked, page after page, so that a file never shows what the list does not. What it answers is
//! gathered whole (at most [`MOST_ROWS`] rows) before the file begins: a file is never cut off. Rows that come meanwhile
//! push none into it twice, and where rows go meanwhile the list is read anew. Lists that are longer, and whose files are
//! taken in again, have an export of their own.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use easyisp_shared::time::Timestamp;
use serde_json::json;

use super::http::{File, Format, named};
use super::table::{Page, Table};
use crate::App;
use crate::api::{Access, GuardFuture, attachment};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::error::ApiError;

/// Most rows of one file.
const MOST_ROWS: usize = 20_000;
/// Rows that are asked for at once; the most that a list gives.
const AT_ONCE: usize = 200;
/// How often a list is read from the start, when rows went while it was read.
const TRIES: u32 = 3;
/// The largest page that is read.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Answers with a file where one is asked for and the route answers with a list; else with what the route does.
pub fn as_file(app: App, access: Access, request: Request, next: Next) -> GuardFuture {
    Box::pin(async move {
        // The platform's own lists are of no provider, in whose trail a file would stand.
        let format = match access {
            Access::Platform => None,
            _ => wanted(request.uri()),
        };
        let operator = request.extensions().get::<Operator>().cloned();
        match (format, operator) {
            (Some(format), Some(operator)) if request.method() == Method::GET => {
                match file(&app, &operator, format, request, next).await {
                    Ok(answer) => answer,
                    Err(error) => error.into_response(),
                }
            }
            (_, _) => next.run(request).await,
        }
    })
}

/// What kind of file a request asks for.
fn wanted(uri: &Uri) -> Option<Format> {
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    let format = pairs.find(|(name, _)| name == "format")?.1;
    match format.as_ref() {
        "csv" => Some(Format::Csv),
        "xlsx" => Some(Format::Xlsx),
        _ => None,
    }
}

async fn file(
    app: &App,
    operator: &Operator,
    format: Format,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let now = app.clock.now();
    let mut whole = None;
    for _ in 0..TRIES {
        match gather(operator, &parts, &next, now).await? {
            Gathered::Answer(answer) => return Ok(answer),
            Gathered::Rows(table, 0) => {
                whole = Some(table);
                break;
            }
            Gathered::Rows(..) => {}
        }
    }
    // Better no file than one that looks whole.
    let table = whole.ok_or_else(|| {
        ApiError::unprocessable(
            "LIST_CUT",
            "The list says that it has more rows than it gives: filter it by date, status or name, and take it in parts",
        )
    })?;

    let name = name_of(parts.uri.path());
    let mut tx = app.db.begin(operator.tenant).await?;
    // What was searched for may name somebody: the trail says which list, and how much of it.
    let line = Audit {
        details: format!("The list {name}, {} rows", table.len()),
        after: Some(json!({"rows": table.len(), "filtered": is_filtered(&parts.uri)})),
        ..Audit::new(Action::ListExport, "list", operator.tenant, &name)
    };
    audit::record(&mut tx, &Actor::from(operator), line, now).await?;
    let file_name = named(&mut tx, &name, format, now).await?;
    tx.commit().await?;

    let mut file = File::new(format, &table.columns())?;
    for row in table.rows() {
        file.row(&row)?;
    }
    let body = Body::from(file.finish()?);
    Ok(attachment(&file_name, format.content_type(), body))
}

/// What a list came to.
enum Gathered {
    /// A refusal, or a file of the route's own.
    Answer(Response),
    /// Its rows, and how many it says are missing: others went meanwhile and pulled them to a page that was read, or
    /// the list gives no more.
    Rows(Table, usize),
}

/// Reads all pages of a list.
async fn gather(
    operator: &Operator,
    parts: &Parts,
    next: &Next,
    now: Timestamp,
) -> Result<Gathered, ApiError> {
    let first = next.clone().run(page_of(parts, 1)?).await;
    if first.status() != StatusCode::OK || !is_json(&first) {
        return Ok(Gathered::Answer(first));
    }
    operator.fresh(now)?;
    let (mut table, mut answer, mut before) = (Table::default(), first, None);
    let mut total = None;
    for nth in 2.. {
        let bytes = axum::body::to_bytes(answer.into_body(), MOST_BYTES).await;
        let bytes = bytes.map_err(ApiError::internal)?;
        let page = Page::read(&bytes).ok_or_else(|| {
            ApiError::field("format", "is for lists, which this is not; leave it out")
        })?;
        let first = page.first().map(str::to_owned);
        // A list without pages answers with all of it every time.
        if nth > 2 && first == before {
            break;
        }
        before = first;
        table.add(&page);
        // What came after the first page was read belongs to the next file.
        total = total.or(page.total);
        if table.len() > MOST_ROWS {
            return Err(ApiError::unprocessable(
                "LIST_TOO_LONG",
                format!(
                    "More than {MOST_ROWS} rows: filter the list by date, status or name, and take it in parts"
                ),
            ));
        }
        if page.len() < AT_ONCE || page.total.is_some_and(|total| total <= table.len()) {
            break;
        }
        answer = next.clone().run(page_of(parts, nth)?).await;
        if answer.status() != StatusCode::OK {
            return Ok(Gathered::Answer(answer));
        }
    }
    let missing = total.unwrap_or(0).saturating_sub(table.len());
    Ok(Gathered::Rows(table, missing))
}

fn is_json(answer: &Response) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// The same request for one page of the list.
fn page_of(parts: &Parts, number: usize) -> Result<Request, ApiError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        if !matches!(name.as_ref(), "page" | "pageSize") {
            query.append_pair(&name, &value);
        }
    }
    query.append_pair("page", &number.to_string());
    query.append_pair("pageSize", &AT_ONCE.to_string());
    let mut parts = parts.clone();
    let uri = format!("{}?{}", parts.uri.path(), query.finish());
    parts.uri = uri.parse().map_err(ApiError::internal)?;
    Ok(Request::from_parts(parts, Body::empty()))
}

/// Whether it is only a part of the list.
fn is_filtered(uri: &Uri) -> bool {
    let usual = ["format", "page", "pageSize", "sortBy", "sortOrder"];
    let mut pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.any(|(name, value)| !usual.contains(&name.as_ref()) && !value.is_empty())
}

/// `finance-income` for `/api/finance/income`; what names one thing is left out.
fn name_of(path: &str) -> String {
    let words = path.trim_start_matches("/api").split('/');
    let plain =
        |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let name = words.filter(plain).collect::<Vec<&str>>().join("-");
    match name.is_empty() {
        true => "list".to_owned(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_is_called_as_its_list_without_ids() {
        assert_eq!(name_of("/api/finance/income"), "finance-income");
        let one = "/api/customers/0190e7a0-0000-7000-8000-000000000000/transactions";
        assert_eq!(name_of(one), "customers-transactions");
    }

    #[test]
    fn a_file_is_asked_for_by_one_of_two_words() {
        let of = |text: &str| wanted(&text.parse().unwrap()).is_some();
        assert!(of("/api/x?format=csv") && of("/api/x?page=2&format=xlsx"));
        assert!(!of("/api/x") && !of("/api/x?format=pdf") && !of("/api/x?reformat=csv"));
    }
}
