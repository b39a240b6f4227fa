//! `/api/nas/{router}/configurations`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::{ConfigurationId, RouterId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rules;
use super::words::Reason;
use super::{edge, store};
use crate::api::{Json, Page, Path, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::control::{ask, other_answer};
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::routers;
use crate::sites::Live;

/// A version of a router's configuration.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    id: ConfigurationId,
    router_id: RouterId,
    /// When the router was read.
    taken_at: Timestamp,
    /// `FIRST`: there was none before; `SEEN`: somebody changed something, by hand or by another program; `SETUP`:
    /// the platform did; `REQUEST`: it was asked for and was otherwise.
    reason: Reason,
    /// Another one where anything differs, a secret too.
    digest: String,
    /// Octets.
    size: i32,
    lines: i32,
    /// Whether all of it had room; what had none is in the digest alone.
    is_whole: bool,
    /// Lines more than in the version before.
    lines_added: i32,
    /// Lines less.
    lines_removed: i32,
}

impl Configuration {
    fn of(router_id: RouterId, row: store::Brief) -> Configuration {
        Configuration {
            id: row.id,
            router_id,
            taken_at: row.taken_at,
            reason: row.reason,
            digest: hex::encode(row.digest),
            size: row.size,
            lines: row.lines,
            is_whole: row.left_out == 0,
            lines_added: row.added,
            lines_removed: row.removed,
        }
    }
}

/// The same with its text.
#[derive(Serialize, ToSchema)]
pub struct ConfigurationText {
    #[serde(flatten)]
    configuration: Configuration,
    /// One line a row, under the headings of their menus, as `/export` writes it. A secret is three stars, and six
    /// digits that change when it does.
    text: String,
}

impl ConfigurationText {
    fn of(router: RouterId, version: store::Version) -> ConfigurationText {
        let brief = store::Brief {
            id: version.id,
            taken_at: version.taken_at,
            reason: version.reason,
            digest: version.digest,
            lines: version.lines,
            size: rules::count(version.body.len()),
            left_out: version.left_out,
            added: version.added,
            removed: version.removed,
        };
        ConfigurationText {
            configuration: Configuration::of(router, brief),
            text: version.body,
        }
    }
}

/// One page of versions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Configurations {
    /// The newest first.
    configurations: Vec<Configuration>,
    total: i64,
    page: u32,
    page_size: u32,
    total_pages: i64,
}

/// `GET /api/nas/{router}/configurations`: how the router was configured, a version for every change that was seen;
/// the newest hundred of the last year. 404 when this tenant has no such router.
#[utoipa::path(get, path = "/api/nas/{router}/configurations", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Configurations)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    Path(router): Path<RouterId>,
    page: Page,
) -> Result<Json<Configurations>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    is_there(&mut tx, router).await?;
    let (rows, total) = store::list(&mut tx, router, page.limit(), page.offset()).await?;
    let rows = rows.into_iter();
    Ok(Json(Configurations {
        configurations: rows.map(|row| Configuration::of(router, row)).collect(),
        total,
        page: page.number,
        page_size: page.size,
        total_pages: page.total_pages(total),
    }))
}

/// `GET /api/nas/{router}/configurations/{configuration}`: one version with its text. 404 when there is none.
#[utoipa::path(get, path = "/api/nas/{router}/configurations/{configuration}", tag = "Routers",
    params(("router" = RouterId, Path), ("configuration" = ConfigurationId, Path)),
    responses((status = 200, body = ConfigurationText)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    Path((router, configuration)): Path<(RouterId, ConfigurationId)>,
) -> Result<Json<ConfigurationText>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    is_there(&mut tx, router).await?;
    let version = found(&mut tx, router, configuration).await?;
    Ok(Json(ConfigurationText::of(router, version)))
}

/// Which version to compare with.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct DiffQuery {
    /// Another version of the same router; the one before when left out.
    against: Option<ConfigurationId>,
}

/// What differs between two versions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    id: ConfigurationId,
    /// What it is compared with; null where there is nothing before it.
    against: Option<ConfigurationId>,
    lines_added: i32,
    lines_removed: i32,
    /// As `diff -u` writes it, from `against` to this version; empty where no line differs.
    diff: String,
}

/// `GET /api/nas/{router}/configurations/{configuration}/diff`: what differs from another version, as a unified diff.
/// 404 when there is no such version of this router.
#[utoipa::path(get, path = "/api/nas/{router}/configurations/{configuration}/diff", tag = "Routers",
    params(("router" = RouterId, Path), ("configuration" = ConfigurationId, Path), DiffQuery),
    responses((status = 200, body = Difference)))]
pub async fn diff(
    operator: Operator,
    State(db): State<Database>,
    Path((router, configuration)): Path<(RouterId, ConfigurationId)>,
    Query(query): Query<DiffQuery>,
) -> Result<Json<Difference>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    is_there(&mut tx, router).await?;
    let version = found(&mut tx, router, configuration).await?;
    let against = match query.against {
        Some(against) => Some(found(&mut tx, router, against).await?),
        None => store::before(&mut tx, router, &version).await?,
    };
    drop(tx);
    let before = against.as_ref().map_or("", |against| &against.body);
    let changed = rules::compared(before, &version.body);
    let names = (
        against.as_ref().map_or_else(
            || "nothing".to_owned(),
            |against| against.taken_at.to_string(),
        ),
        version.taken_at.to_string(),
    );
    Ok(Json(Difference {
        id: version.id,
        against: against.as_ref().map(|against| against.id),
        lines_added: changed.added,
        lines_removed: changed.removed,
        diff: rules::unified(before, &version.body, (&names.0, &names.1)),
    }))
}

/// `POST /api/nas/{router}/configurations`: reads the router now and keeps what is otherwise as a version.
///
/// 201 with the new version, 200 with the newest one where nothing changed. Errors: 404, 422 without an API user, 503
/// when the site is away, 502 or 504 when the router is.
#[utoipa::path(post, path = "/api/nas/{router}/configurations", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 201, body = Configuration),
        (status = 200, description = "Nothing changed since the newest version, which this is", body = Configuration),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn take(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Response, ApiError> {
    let (newest, is_new) = read_now((&db, &live, &clock), &operator, router).await?;
    let status = match is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let ConfigurationText { configuration, .. } = ConfigurationText::of(router, newest);
    Ok((status, Json(configuration)).into_response())
}

/// Reads a router and keeps what is otherwise; the newest version, and whether it is new.
pub async fn read_now(
    (db, live, clock): (&Database, &Live, &Clock),
    operator: &Operator,
    router: RouterId,
) -> Result<(store::Version, bool), ApiError> {
    let now = clock.now();
    let asked = ask(db, live, operator, router, RouterAsk::Configuration, now).await?;
    let told = match asked {
        RouterTold::Configuration(told) if told.router == router && edge::is_bounded(&told) => told,
        _ => return Err(other_answer()), // an answer to something else
    };
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::lock_named(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    let is_new = super::keep(&mut tx, (router, &name), &told, clock.now()).await?;
    let newest = store::newest(&mut tx, router).await?;
    let newest = newest.ok_or(ApiError::NotFound("configuration"))?;
    let audit = Audit {
        details: match is_new {
            true => "Took a version of its configuration".to_owned(),
            false => "Its configuration is as it was".to_owned(),
        },
        ..Audit::new(Action::RouterBackup, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(operator), audit, now).await?;
    tx.commit().await?;
    Ok((newest, is_new))
}

/// 404 for a router of somebody else.
pub async fn is_there(tx: &mut Tx, router: RouterId) -> Result<(), ApiError> {
    let site = routers::site_of(tx, router).await?;
    site.map(|_| ()).ok_or(ApiError::NotFound("router"))
}

/// 404 for a version of another router.
pub async fn found(
    tx: &mut Tx,
    router: RouterId,
    configuration: ConfigurationId,
) -> Result<store::Version, ApiError> {
    let version = store::find(tx, router, configuration).await?;
    version.ok_or(ApiError::NotFound("configuration"))
}
