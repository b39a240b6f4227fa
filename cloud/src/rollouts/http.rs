//! `/api/rollouts`.

pub mod firmware;

use std::time::Duration;

use axum::extract::State as Held;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{RolloutId, RolloutPartId, RouterId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::types::Json as Stored;
use utoipa::ToSchema;

use super::actions::Action;
use super::rules::{self, Size, Window};
use super::store::{self, Candidate, Filter, Listed, Rollout as Row};
use super::words::{State, Step};
use super::{RUN, TURN};
use crate::api::{Idempotency, Json, Page, Path};
use crate::audit::{self, Action as Deed, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::due;
use crate::error::{ApiError, Wrong};
use crate::sites;

/// A rollout.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    id: RolloutId,
    name: String,
    action: Action,
    state: State,
    state_since: Timestamp,
    /// Why it stopped by itself.
    because: Option<String>,
    /// The ring at work, from 1.
    ring: i32,
    ring_count: i32,
    /// How many routers it has.
    routers: i64,
    /// Of them all is well with so many, those that had nothing to do among them.
    done: i64,
    failed: i64,
    /// Not reached in time, or not begun with before it was stopped.
    left: i64,
    /// It stops by itself when more failed.
    max_failed: i32,
    /// How long all must be well with a router until it counts.
    soak_seconds: i32,
    /// By the tenant's clock, `02:00`; null = routers are begun with at any time.
    window_from: Option<String>,
    window_to: Option<String>,
    /// Who was not reached by then is missed.
    until: Timestamp,
    /// The release that the first router found, which holds for all.
    version: Option<String>,
    created_at: Timestamp,
    created_by: Option<String>,
    /// Not in the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    rings: Option<Vec<Ring>>,
}

/// Routers that are under way together.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RolloutRing)]
pub struct Ring {
    /// From 1.
    ring: i32,
    routers: Vec<Part>,
}

/// One router of a rollout.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RolloutRouter)]
pub struct Part {
    router_id: RouterId,
    router_name: String,
    step: Step,
    since: Timestamp,
    /// What it ran before.
    version_before: Option<String>,
    version_wanted: Option<String>,
    /// What it runs, as it said last.
    version: Option<String>,
    message: String,
}

/// A page of rollouts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutPage {
    rollouts: Vec<Rollout>,
    total: i64,
    page: u32,
    page_size: u32,
}

impl Rollout {
    fn new(listed: Listed, parts: Option<Vec<store::Shown>>) -> Rollout {
        let row = listed.rollout;
        let clock = |minute: i16| format!("{:02}:{:02}", minute / 60, minute % 60);
        Rollout {
            id: row.id,
            name: row.name,
            action: row.action.0,
            state: row.state,
            state_since: row.state_since,
            because: row.because,
            ring: row.ring,
            ring_count: row.rings,
            routers: listed.routers,
            done: listed.done,
            failed: listed.failed,
            left: listed.left_over,
            max_failed: row.max_failed,
            soak_seconds: row.soak_secs,
            window_from: row.window_from.map(clock),
            window_to: row.window_to.map(clock),
            until: row.until_at,
            version: row.release,
            created_at: row.created_at,
            created_by: listed.operator_name,
            rings: parts.map(|parts| {
                let of = |ring| {
                    let parts = parts.iter().filter(|part| part.ring == ring);
                    Ring {
                        ring,
                        routers: parts.cloned().map(Part::from).collect(),
                    }
                };
                (1..=row.rings).map(of).collect()
            }),
        }
    }
}

impl From<store::Shown> for Part {
    fn from(shown: store::Shown) -> Part {
        Part {
            router_id: shown.router_id,
            router_name: shown.router_name,
            step: shown.step,
            since: shown.step_since,
            version_before: shown.release_before,
            version_wanted: shown.release_wanted,
            version: shown.release_now,
            message: shown.message,
        }
    }
}

/// What is to be done, to whom, and how carefully.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRequest {
    /// What it is called; what it does without one.
    name: Option<String>,
    action: Action,
    /// These routers, in this order. Without them those of `siteId`, or all with `allRouters`.
    router_ids: Option<Vec<RouterId>>,
    site_id: Option<SiteId>,
    all_routers: Option<bool>,
    /// Of those only routers whose model or board has this in its name.
    model: Option<String>,
    /// Of those only routers whose release begins so.
    runs: Option<String>,
    /// How large each ring is: `1` or `"10%"`; who is left over is one ring more. Without it one, 10 %, the rest.
    rings: Option<Vec<RingSize>>,
    /// It stops by itself when more failed; 0 without it.
    max_failed: Option<i32>,
    /// How long all must be well with a router until it counts; 300 without it.
    soak_seconds: Option<i32>,
    /// By the tenant's clock, `02:00`; with `windowTo`. Without both at any time.
    window_from: Option<String>,
    window_to: Option<String>,
    /// Who was not reached by then is missed; a week from now without it, 30 days at most.
    until: Option<Timestamp>,
}

/// How large a ring is.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = RolloutRingSize)]
pub enum RingSize {
    /// So many routers.
    Count(u32),
    /// `10%`.
    Text(String),
}

/// `POST /api/rollouts`: does one thing to many routers, one ring after the other.
///
/// What can be done is a closed set. Repeating with the same `Idempotency-Key` returns the first answer and begins
/// nothing more. Errors: 400 naming the fields, 404 for a router or site that is not there, 409 `ROUTER_IN_ROLLOUT`
/// when another rollout has to do with one of them, 422 `NO_API` for one without an API user, `NO_ROUTERS` where none
/// is meant.
#[utoipa::path(post, path = "/api/rollouts", tag = "Routers", request_body = RolloutRequest,
    responses((status = 201, body = Rollout),
        (status = 409, description = "Another rollout has to do with one of these routers"),
        (status = 422, description = "A router has no API user, or no router is meant")))]
pub async fn create(
    operator: Operator,
    Held(db): Held<Database>,
    Held(clock): Held<Clock>,
    mut idempotency: Idempotency,
    Json(request): Json<RolloutRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let (draft, sizes) = draft(&request, &operator, db.entropy(), now)?;
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let routers = candidates(&mut tx, &request).await?;
    let shown = begin(&mut tx, &operator, draft, &sizes, &routers, now).await?;
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &shown)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// Writes a rollout with its routers and makes it due.
async fn begin(
    tx: &mut Tx,
    operator: &Operator,
    mut draft: Row,
    sizes: &[Size],
    routers: &[Candidate],
    now: Timestamp,
) -> Result<Rollout, ApiError> {
    let named = |names: Vec<&str>| names.into_iter().take(5).collect::<Vec<_>>().join(", ");
    let of = |like: fn(&Candidate) -> bool| -> Vec<&str> {
        let found = routers.iter().filter(|router| like(router));
        found.map(|router| router.name.as_str()).collect()
    };
    let (mute, taken) = (of(|router| !router.has_api), of(|router| router.is_taken));
    if routers.is_empty() {
        let why = "No router with an API user is meant by that";
        return Err(ApiError::unprocessable("NO_ROUTERS", why));
    }
    if !mute.is_empty() {
        let why = format!("No API user is entered for {}", named(mute));
        return Err(ApiError::unprocessable("NO_API", why));
    }
    if !taken.is_empty() {
        let why = format!("Another rollout has to do with {}", named(taken));
        return Err(ApiError::conflict("ROUTER_IN_ROLLOUT", why));
    }
    let rings = rules::rings(sizes, routers.len());
    draft.rings = rings.last().copied().unwrap_or(1);
    let entropy = tx.entropy();
    let parts: Vec<(RolloutPartId, RouterId, i32)> = routers
        .iter()
        .zip(rings)
        .map(|(router, ring)| (RolloutPartId::new(now, &entropy), router.id, ring))
        .collect();
    store::insert(tx, &draft, &parts).await?;
    let line = Audit {
        details: format!(
            "{}: {} routers in {} rings",
            draft.action.0.named(),
            parts.len(),
            draft.rings
        ),
        after: Some(serde_json::json!(draft.action.0)),
        ..Audit::new(Deed::RolloutCreate, "rollout", draft.id, &draft.name)
    };
    audit::record(tx, &Actor::from(operator), line, now).await?;
    due::at(tx, RUN, draft.id, now).await?;
    one(tx, draft.id).await
}

/// What was asked for, checked.
fn draft(
    request: &RolloutRequest,
    operator: &Operator,
    entropy: &Entropy,
    now: Timestamp,
) -> Result<(Row, Vec<Size>), ApiError> {
    let mut wrong = Wrong::default();
    request.action.check(&mut wrong);
    let name = request.name.as_deref().map(str::trim).unwrap_or_default();
    if name.chars().count() > 100 || name.chars().any(char::is_control) {
        wrong.add("name", "must have at most 100 characters");
    }
    let named = request.router_ids.as_ref();
    let ways = [
        named.is_some(),
        request.site_id.is_some(),
        request.all_routers == Some(true),
    ];
    if ways.iter().filter(|way| **way).count() != 1 {
        wrong.add(
            "routerIds",
            "or siteId or allRouters is needed, and one of them",
        );
    }
    if named.is_some_and(|ids| ids.is_empty() || ids.len() > MOST) {
        wrong.add("routerIds", "must be 1 to 2000 routers");
    }
    let filters = [("model", &request.model), ("runs", &request.runs)];
    for (field, text) in filters {
        if text
            .as_deref()
            .is_some_and(|text| text.trim().is_empty() || text.len() > 100)
        {
            wrong.add(field, "must be 1 to 100 characters");
        }
        if text.is_some() && named.is_some() {
            wrong.add(field, "does not go with routerIds");
        }
    }
    let size = |size: &RingSize| match size {
        RingSize::Count(count) => Size::parse(&count.to_string()),
        RingSize::Text(text) => Size::parse(text),
    };
    let sizes: Option<Vec<Size>> = match &request.rings {
        Some(rings) => rings.iter().map(size).collect(),
        None => Some(rules::USUAL.to_vec()),
    };
    if sizes
        .as_ref()
        .is_none_or(|sizes| sizes.is_empty() || sizes.len() > 20)
    {
        wrong.add("rings", "must be 1 to 20 sizes, such as 1 or \"10%\"");
    }
    let max_failed = request.max_failed.unwrap_or(0);
    if !(0..=2000).contains(&max_failed) {
        wrong.add("maxFailed", "must be 0 to 2000");
    }
    let soak_secs = request.soak_seconds.unwrap_or(300);
    if !(0..=86_400).contains(&soak_secs) {
        wrong.add("soakSeconds", "must be 0 to 86400");
    }
    let window = window(request, &mut wrong);
    let until = request.until.unwrap_or(now.plus(USUALLY));
    if until <= now || until > now.plus(LONGEST) {
        wrong.add("until", "must be in the next 30 days");
    }
    wrong.none_or(()).map_err(ApiError::fields)?;
    let row = Row {
        id: RolloutId::new(now, entropy),
        name: match name {
            "" => request.action.named(),
            name => name.to_owned(),
        },
        action: Stored(request.action.clone()),
        state: State::Running,
        state_since: now,
        because: None,
        ring: 1,
        rings: 1,
        max_failed,
        soak_secs,
        window_from: window.map(|window| window.from),
        window_to: window.map(|window| window.to),
        until_at: until,
        release: None,
        operator_id: Some(operator.id),
        created_at: now,
    };
    Ok((row, sizes.unwrap_or_default()))
}

fn window(request: &RolloutRequest, wrong: &mut Wrong) -> Option<Window> {
    let minute = |text: &str| -> Option<i16> {
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute): (i16, i16) = (hour.parse().ok()?, minute.parse().ok()?);
        ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(hour * 60 + minute)
    };
    match (&request.window_from, &request.window_to) {
        (None, None) => None,
        (Some(from), Some(to)) => {
            let window = minute(from)
                .zip(minute(to))
                .map(|(from, to)| Window { from, to });
            if window.is_none_or(|window| window.from == window.to) {
                wrong.add("windowFrom", "and windowTo must be two times such as 02:00");
            }
            window
        }
        _ => {
            wrong.add("windowFrom", "and windowTo go together"); // one without the other
            None
        }
    }
}

async fn candidates(tx: &mut Tx, request: &RolloutRequest) -> Result<Vec<Candidate>, ApiError> {
    if let Some(ids) = &request.router_ids {
        let mut wanted: Vec<RouterId> = Vec::new();
        for id in ids {
            if !wanted.contains(id) {
                wanted.push(*id);
            }
        }
        let found = store::named(tx, &wanted).await?;
        return match found.len() == wanted.len() {
            true => Ok(found),
            false => Err(ApiError::NotFound("router")),
        };
    }
    if let Some(site) = request.site_id
        && !sites::exists(tx, site).await?
    {
        return Err(ApiError::NotFound("site"));
    }
    let trimmed = |text: &Option<String>| text.as_deref().map(|text| text.trim().to_owned());
    let filter = Filter {
        site: request.site_id,
        model: trimmed(&request.model),
        release: trimmed(&request.runs),
    };
    Ok(store::meant(tx, &filter, i64::try_from(MOST).unwrap_or(i64::MAX)).await?)
}

/// `GET /api/rollouts`: what was done to many routers and is, the newest first.
#[utoipa::path(get, path = "/api/rollouts", tag = "Routers",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = RolloutPage)))]
pub async fn list(
    operator: Operator,
    Held(db): Held<Database>,
    page: Page,
) -> Result<Json<RolloutPage>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let (rows, total) = store::page(&mut tx, None, page).await?;
    Ok(Json(RolloutPage {
        rollouts: rows
            .into_iter()
            .map(|row| Rollout::new(row, None))
            .collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// `GET /api/rollouts/{rollout}`: its rings, and how far each router is since when.
#[utoipa::path(get, path = "/api/rollouts/{rollout}", tag = "Routers",
    params(("rollout" = RolloutId, Path)), responses((status = 200, body = Rollout)))]
pub async fn get(
    operator: Operator,
    Held(db): Held<Database>,
    Path(rollout): Path<RolloutId>,
) -> Result<Json<Rollout>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(one(&mut tx, rollout).await?))
}

async fn one(tx: &mut Tx, rollout: RolloutId) -> Result<Rollout, ApiError> {
    let (rows, _) = store::page(tx, Some(rollout), Page::new(Some(1), Some(1))).await?;
    let row = rows.into_iter().next();
    let row = row.ok_or(ApiError::NotFound("rollout"))?;
    let parts = store::shown(tx, rollout).await?;
    Ok(Rollout::new(row, Some(parts)))
}

/// `POST /api/rollouts/{rollout}/pause`: no more routers are begun with until it is resumed. A router that was told
/// to start anew is seen to its end.
///
/// Repeating it changes nothing more. Errors: 404, 409 `ROLLOUT_OVER`.
#[utoipa::path(post, path = "/api/rollouts/{rollout}/pause", tag = "Routers",
    params(("rollout" = RolloutId, Path)), responses((status = 200, body = Rollout),
        (status = 409, description = "It is over")))]
pub async fn pause(
    operator: Operator,
    Held(db): Held<Database>,
    Held(clock): Held<Clock>,
    Path(rollout): Path<RolloutId>,
) -> Result<Json<Rollout>, ApiError> {
    let to = (State::Paused, Deed::RolloutPause);
    set(&db, &operator, rollout, to, clock.now()).await
}

/// `POST /api/rollouts/{rollout}/resume`: goes on.
///
/// Repeating it changes nothing more. Errors: 404, 409 `ROLLOUT_OVER`: one that stopped stays so, another can be
/// made of the routers that are left.
#[utoipa::path(post, path = "/api/rollouts/{rollout}/resume", tag = "Routers",
    params(("rollout" = RolloutId, Path)), responses((status = 200, body = Rollout),
        (status = 409, description = "It is over")))]
pub async fn resume(
    operator: Operator,
    Held(db): Held<Database>,
    Held(clock): Held<Clock>,
    Path(rollout): Path<RolloutId>,
) -> Result<Json<Rollout>, ApiError> {
    let to = (State::Running, Deed::RolloutResume);
    set(&db, &operator, rollout, to, clock.now()).await
}

/// `POST /api/rollouts/{rollout}/stop`: it is over; routers that were not told to start anew stay as they are.
///
/// Errors: 404, 409 `ROLLOUT_OVER`.
#[utoipa::path(post, path = "/api/rollouts/{rollout}/stop", tag = "Routers",
    params(("rollout" = RolloutId, Path)), responses((status = 200, body = Rollout),
        (status = 409, description = "It is over")))]
pub async fn stop(
    operator: Operator,
    Held(db): Held<Database>,
    Held(clock): Held<Clock>,
    Path(rollout): Path<RolloutId>,
) -> Result<Json<Rollout>, ApiError> {
    let to = (State::Stopped, Deed::RolloutStop);
    set(&db, &operator, rollout, to, clock.now()).await
}

async fn set(
    db: &Database,
    operator: &Operator,
    rollout: RolloutId,
    (to, deed): (State, Deed),
    now: Timestamp,
) -> Result<Json<Rollout>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let row = store::lock(&mut tx, rollout).await?;
    let row = row.ok_or(ApiError::NotFound("rollout"))?;
    if matches!(row.state, State::Stopped | State::Done) {
        return Err(ApiError::conflict("ROLLOUT_OVER", "It is over already"));
    }
    if row.state != to {
        store::note(&mut tx, rollout, (to, row.ring), None, now).await?;
        let line = Audit::new(deed, "rollout", rollout, &row.name);
        audit::record(&mut tx, &Actor::from(operator), line, now).await?;
        due::at(&mut tx, RUN, rollout, now).await?;
        if to == State::Running {
            // Those that waited in the midst of something, as those that go on by themselves.
            let parts = store::under_way(&mut tx, rollout).await?;
            due::at_once(&mut tx, TURN, &parts, now).await?;
        }
    }
    let shown = one(&mut tx, rollout).await?;
    tx.commit().await?;
    Ok(Json(shown))
}

/// Routers of one rollout.
const MOST: usize = 2000;
const USUALLY: Duration = Duration::from_secs(7 * 86_400);
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
