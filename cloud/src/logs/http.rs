//! `/api/logs`: what routers wrote.

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::rules::{self, Mark};
use super::store::{self, Row, Search};
use crate::api::{Json, Page, Query};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::error::{ApiError, Wrong};

/// Which lines.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct LogQuery {
    /// One router's.
    #[param(value_type = Option<String>)]
    nas_id: Option<RouterId>,
    /// Said at this instant or later.
    #[param(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// Said at this instant or earlier.
    #[param(value_type = Option<String>)]
    to: Option<Timestamp>,
    /// Words, in any order: a line holds each of them. The longest of them is the beginning of a word; a name behind a
    /// sign is one too (`jane` of `<pppoe-jane>`). Topics are not searched: see `topic`.
    q: Option<String>,
    /// At least as bad: `CRITICAL`, `ERROR`, `WARNING`, `NOTICE`, `INFO`, `DEBUG` and what is worse than all of them.
    severity: Option<String>,
    /// One of RouterOS's topics, such as `pppoe`.
    topic: Option<String>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// Without a cursor: which page. Going on by `cursor` costs the same on every page.
    page: Option<u32>,
    /// How many lines, at most 200; 100 when it is not said.
    page_size: Option<u32>,
}

/// Lines, the latest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logs {
    logs: Vec<Line>,
    page_size: u32,
    /// Where the next page begins; null when there is none. A page may be short of `pageSize` and others follow: so
    /// much was read for it already.
    next_cursor: Option<String>,
}

/// A line.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// For going on from it, and for nothing else.
    cursor: String,
    /// When the site's agent heard it.
    at: Timestamp,
    nas_id: RouterId,
    /// Null for a router that is gone.
    nas_name: Option<String>,
    /// `EMERGENCY`, `ALERT`, `CRITICAL`, `ERROR`, `WARNING`, `NOTICE`, `INFO` or `DEBUG`.
    severity: &'static str,
    topics: Vec<String>,
    /// Its words; what is secret in them is `***`, since the agent.
    message: String,
    /// So many lines are not there, and the message says why; null for a line of the router.
    missing: Option<i64>,
}

/// `GET /api/logs`: what routers wrote to their logs, the latest first.
///
/// Routers send it to their site's agent by syslog (the set-up script arranges it); the agent masks what is secret, and
/// what it could not keep is counted in its place. Kept for the tenant's `logRetentionDays`. Errors: 400 naming the
/// field; an unknown router has no lines.
#[utoipa::path(get, path = "/api/logs", tag = "Routers", params(LogQuery),
    responses((status = 200, body = Logs)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<LogQuery>,
) -> Result<Json<Logs>, ApiError> {
    let now = clock.now();
    let page = Page::new(query.page, Some(query.page_size.unwrap_or(USUAL)));
    let skipped = match &query.cursor {
        Some(_) => 0,
        None => page.offset(),
    };
    let (search, mark) = checked(query, skipped, now).map_err(ApiError::fields)?;
    let mut tx = db.begin(operator.tenant).await?;
    let found = find(&mut tx, &search, mark, skipped + page.limit()).await?;
    drop(tx);
    let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
    Ok(Json(Logs {
        logs: found.rows.into_iter().skip(skipped).map(Line::of).collect(),
        page_size: page.size,
        next_cursor: found.next.map(|mark| mark.to_string()),
    }))
}

fn checked(
    query: LogQuery,
    skipped: i64,
    now: Timestamp,
) -> Result<(Search, Mark), Vec<crate::error::FieldError>> {
    let mut wrong = Wrong::default();
    let severity = query.severity.as_deref().map(|name| {
        rules::severity(name).unwrap_or_else(|| {
            wrong.add(
                "severity",
                "must be one of EMERGENCY, ALERT, CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG",
            );
            7
        })
    });
    let to = Mark::begin_of(query.to.unwrap_or(now));
    let mark = query.cursor.as_deref().map(|text| {
        Mark::parse(text).unwrap_or_else(|| {
            wrong.add("cursor", "must be nextCursor of the page before");
            to
        })
    });
    if skipped > MOST_SKIPPED {
        wrong.add(
            "page",
            "is too far: go on by cursor, or search in a shorter time",
        );
    }
    let typed = query.q.unwrap_or_default();
    if typed.chars().count() > 200 {
        wrong.add("q", "must have at most 200 characters");
    }
    wrong.none_or(())?;
    let wanted = rules::wanted(&typed);
    let topic = query.topic.map(|topic| topic.trim().to_lowercase());
    let search = Search {
        router: query.nas_id,
        from: query.from.unwrap_or_default(),
        severity: severity.unwrap_or(7),
        topic_word: topic.as_deref().map(rules::topic_word),
        topic,
        word_end: wanted.word.as_deref().map(rules::end_of),
        word: wanted.word,
        patterns: wanted.patterns,
    };
    // A cursor is of the same search: it is not after its `to`.
    let mark = mark.filter(|mark| mark.at <= to.at).unwrap_or(to);
    Ok((search, mark))
}

struct Found {
    rows: Vec<Row>,
    next: Option<Mark>,
}

/// The lines before `mark`: some blocks at a time, the latest first, until there are enough.
///
/// Blocks overlap in time, so of the blocks read in one round those lines are certain that are later than the last line
/// of every block that was not read; the next round goes on from there.
async fn find(tx: &mut Tx, search: &Search, mark: Mark, wanted: i64) -> sqlx::Result<Found> {
    let mut mark = mark;
    let mut rows: Vec<Row> = Vec::new();
    let (mut at_once, mut read) = (FIRST_BLOCKS, 0);
    loop {
        let mut blocks = store::blocks(tx, search, mark.at, at_once + 1).await?;
        let rest = usize::try_from(at_once).unwrap_or(usize::MAX);
        let floor = blocks.get(rest).map(|(_, last_at)| *last_at);
        blocks.truncate(rest);
        read += blocks.len();
        // Where many blocks reach up to the same moment, more of them are read together.
        let stuck = floor.is_some_and(|floor| floor >= mark.at);
        if !stuck {
            let ids: Vec<Uuid> = blocks.iter().map(|(id, _)| *id).collect();
            let short = wanted - i64::try_from(rows.len()).unwrap_or(wanted);
            let found = store::lines(tx, &ids, search, floor, mark, short + 1).await?;
            rows.extend(found);
            if rows.len() > usize::try_from(wanted).unwrap_or(usize::MAX) {
                rows.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
                let next = rows.last().map(Row::mark);
                return Ok(Found { rows, next });
            }
            let Some(floor) = floor else {
                return Ok(Found { rows, next: None });
            };
            mark = Mark::begin_of(floor);
            if read > MOST_BLOCKS {
                let next = Some(mark);
                return Ok(Found { rows, next });
            }
        }
        at_once = match stuck {
            true => at_once * 2,
            false => (at_once * 2).min(AT_ONCE),
        };
    }
}

impl Row {
    fn mark(&self) -> Mark {
        Mark {
            at: self.at,
            block: self.block_id,
            line: self.line,
        }
    }
}

impl Line {
    fn of(row: Row) -> Line {
        let topics = row.topics.split(',').filter(|topic| !topic.is_empty());
        Line {
            cursor: row.mark().to_string(),
            topics: topics.map(str::to_owned).collect(),
            at: row.at,
            nas_id: row.router_id,
            nas_name: row.router_name,
            severity: rules::severity_name(row.severity),
            message: row.message,
            missing: row.missing,
        }
    }
}

const USUAL: u32 = 100;
/// As many rows as a file holds.
const MOST_SKIPPED: i64 = 20_000;
/// Enough for a page of the latest lines.
const FIRST_BLOCKS: i64 = 8;
const AT_ONCE: i64 = 128;
/// A quarter of a million lines for one answer.
const MOST_BLOCKS: usize = 512;
