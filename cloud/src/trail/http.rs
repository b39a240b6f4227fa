//! `/api/audit-logs` and `/api/tenant/operators/{operator}/logs`.

use axum::extract::State;
use axum::response::Response;
use easyisp_shared::id::{AuditId, OperatorId};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::{Json, Order, Page, Path, Query, Sheet, Sort, Sortable};
use crate::audit::{self, Action, Actor, Audit, First, Line, Wanted};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::error::{ApiError, ErrorEnvelope};
use crate::{operators, tenants};

/// Lines that can be counted and reached by page number; older ones are reached by `before`.
const MOST: i64 = 10_000;
/// Lines of one export.
const MOST_EXPORTED: i64 = 20_000;
/// Lines read at once while exporting.
const BATCH: i64 = 1_000;

/// Some of the trail, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logs {
    logs: Vec<Log>,
    /// How many there are, counted up to 10,000.
    total: i64,
    page: u32,
    page_size: u32,
}

/// One thing that somebody did.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditLog)]
pub struct Log {
    id: AuditId,
    action: String,
    target_type: String,
    target_id: Option<Uuid>,
    target_name: String,
    details: String,
    timestamp: Timestamp,
    ip_address: Option<String>,
    /// Names the request in our logs.
    request_id: Option<String>,
    /// What it was before, where that tells something.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// What it is since.
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
    /// Who did it.
    operator: Doer,
}

/// Who did it: a person of the tenant or the platform, an agent, a provider or the system.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditDoer)]
pub struct Doer {
    name: String,
    /// Empty for who is none of the tenant's people.
    email: String,
}

impl From<Line> for Log {
    fn from(line: Line) -> Log {
        Log {
            id: line.id,
            action: line.action,
            target_type: line.target_type,
            target_id: line.target_id,
            target_name: line.target_name,
            details: line.details,
            timestamp: line.at,
            ip_address: line.ip_address,
            request_id: line.request_id,
            before: line.before,
            after: line.after,
            operator: Doer {
                name: line.actor_name,
                email: line.actor_email,
            },
        }
    }
}

/// What the trail is sorted by: `audit`, whose lines they are, stands above `api`.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[("timestamp", &["at", "id"])];
    const USUAL: Order = Order::Desc;
}

/// Which part of the trail.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct LogQuery {
    /// What was done: `CUSTOMER_CREATE`.
    #[param(inline)]
    action: Option<Action>,
    /// Who did it.
    operator_id: Option<OperatorId>,
    /// To what kind of thing: `customer`.
    target_type: Option<String>,
    /// To which thing.
    target_id: Option<Uuid>,
    /// Not before then.
    from: Option<Timestamp>,
    /// Before then.
    to: Option<Timestamp>,
    /// Only lines older than this one: the last one shown, to go on from there.
    before: Option<AuditId>,
}

impl From<LogQuery> for Wanted {
    fn from(query: LogQuery) -> Wanted {
        Wanted {
            operator: query.operator_id,
            action: query.action,
            target_type: query.target_type,
            target: query.target_id,
            from: query.from,
            to: query.to,
            before: query.before,
        }
    }
}

/// `GET /api/audit-logs`: who did what, newest first or sorted as asked.
///
/// Pages reach the first 10,000 lines of what is asked for; `before` reaches any. Errors: 400 naming the
/// parameter.
#[utoipa::path(get, path = "/api/audit-logs", tag = "Audit",
    params(LogQuery, Sort<By>, ("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = Logs)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    sort: Sort<By>,
    Query(query): Query<LogQuery>,
) -> Result<Json<Logs>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(part(&mut tx, &query.into(), sort, page).await?))
}

/// `GET /api/tenant/operators/{operator}/logs`: what one operator did, newest first or sorted as asked;
/// also one who left.
#[utoipa::path(get, path = "/api/tenant/operators/{operator}/logs", tag = "Operators",
    params(("operator" = OperatorId, Path), ("page" = Option<u32>, Query),
        ("pageSize" = Option<u32>, Query), Sort<By>),
    responses((status = 200, body = Logs)))]
pub async fn of_operator(
    operator: Operator,
    State(db): State<Database>,
    Path(person): Path<OperatorId>,
    page: Page,
    sort: Sort<By>,
) -> Result<Json<Logs>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    if !operators::is_known(&mut tx, person).await? {
        return Err(ApiError::NotFound("operator"));
    }
    let wanted = Wanted {
        operator: Some(person),
        ..Wanted::default()
    };
    Ok(Json(part(&mut tx, &wanted, sort, page).await?))
}

/// `GET /api/audit-logs/export`: the same as a CSV file, at most 20,000 lines. The export is in the trail.
///
/// Errors: 400 naming the parameter, 422 `TOO_MANY_LINES`: ask for a shorter time.
#[utoipa::path(get, path = "/api/audit-logs/export", tag = "Audit", params(LogQuery),
    responses((status = 200, content_type = "text/csv", body = String),
        (status = 422, description = "More than 20,000 lines", body = ErrorEnvelope)))]
pub async fn export(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut wanted = Wanted::from(query);
    let mut tx = db.begin(operator.tenant).await?;
    let total = audit::count(&mut tx, &wanted, MOST_EXPORTED + 1).await?;
    if total > MOST_EXPORTED {
        return Err(ApiError::unprocessable(
            "TOO_MANY_LINES",
            format!(
                "There are more than {MOST_EXPORTED} lines; narrow from and to, and export in parts"
            ),
        ));
    }
    let mut sheet = Sheet::new(&[
        "time",
        "operator",
        "email",
        "action",
        "target type",
        "target id",
        "target",
        "details",
        "before",
        "after",
        "address",
        "request",
    ])?;
    loop {
        let lines = audit::lines(&mut tx, &wanted, First::Newest, BATCH, 0).await?;
        let Some(last) = lines.last() else { break };
        wanted.before = Some(last.id);
        for line in &lines {
            add(&mut sheet, line)?;
        }
    }
    let slug = tenants::slug(&mut tx).await?;
    let line = Audit {
        details: format!("{total} lines"),
        after: Some(json!({ "lines": total })),
        ..Audit::new(Action::AuditExport, "audit", operator.tenant, "Audit trail")
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    let moment = now.to_jiff().strftime("%Y-%m-%dT%H-%MZ");
    sheet.download(&format!("audit-{slug}-{moment}.csv"))
}

fn add(sheet: &mut Sheet, line: &Line) -> Result<(), ApiError> {
    let json = |value: &Option<Value>| value.as_ref().map_or(String::new(), Value::to_string);
    sheet.row(&[
        &line.at.to_string(),
        &line.actor_name,
        &line.actor_email,
        &line.action,
        &line.target_type,
        &line.target_id.map_or(String::new(), |id| id.to_string()),
        &line.target_name,
        &line.details,
        &json(&line.before),
        &json(&line.after),
        line.ip_address.as_deref().unwrap_or_default(),
        line.request_id.as_deref().unwrap_or_default(),
    ])
}

async fn part(tx: &mut Tx, wanted: &Wanted, sort: Sort<By>, page: Page) -> Result<Logs, ApiError> {
    if page.offset() + page.limit() > MOST {
        let what = "must stay within the first 10,000 lines; narrow from and to, or go on with before, the last line's id";
        return Err(ApiError::field("page", what));
    }
    let first = match sort.order() {
        Order::Desc => First::Newest,
        Order::Asc => First::Oldest,
    };
    let total = audit::count(tx, wanted, MOST).await?;
    let lines = audit::lines(tx, wanted, first, page.limit(), page.offset()).await?;
    Ok(Logs {
        logs: lines.into_iter().map(Log::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    })
}
