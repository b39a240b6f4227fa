//! `/api/wizard/{router}/firmware`: what one router runs and would take, and taking it.

use std::time::Duration;

use axum::extract::State as Held;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{RolloutId, RouterId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::firmware::{FirmwareAskV1, FirmwareV1};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::actions::{Action, CHANNELS, Upgrade};
use super::super::rules::{Size, compare};
use super::super::store;
use super::{RolloutRequest, begin, draft};
use crate::api::{Idempotency, Json, Path};
use crate::audit::{self, Action as Deed, Actor, Audit};
use crate::auth::Operator;
use crate::control::{ask, other_answer};
use crate::db::Database;
use crate::error::{ApiError, Wrong};
use crate::routers;
use crate::sites::Live;

/// What a router runs and would take.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RouterFirmware)]
pub struct Firmware {
    router_id: RouterId,
    installed_version: String,
    /// What its channel has; null while nobody asked MikroTik.
    latest_version: Option<String>,
    channel: String,
    /// In the router's words.
    status: String,
    update_available: bool,
    /// The board's own firmware; null for one that is no RouterBOARD.
    current_firmware: Option<String>,
    /// What the board would take.
    upgrade_firmware: Option<String>,
    checked_at: Timestamp,
}

impl Firmware {
    fn new(router_id: RouterId, told: FirmwareV1, checked_at: Timestamp) -> Firmware {
        let latest = Some(told.latest).filter(|latest| !latest.is_empty());
        let newer = |latest: &String| compare(latest, &told.installed).is_gt();
        let (current, upgrade) = told.board.unzip();
        Firmware {
            router_id,
            update_available: latest.as_ref().is_some_and(newer),
            installed_version: told.installed,
            latest_version: latest,
            channel: told.channel,
            status: told.status,
            current_firmware: current,
            upgrade_firmware: upgrade,
            checked_at,
        }
    }
}

/// `GET /api/wizard/{router}/firmware`: what the router runs, and what it would take as far as it asked.
///
/// Errors: 404, 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/wizard/{router}/firmware", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Firmware),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn look(
    operator: Operator,
    Held(db): Held<Database>,
    Held(clock): Held<Clock>,
    Held(live): Held<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Firmware>, ApiError> {
    let now = clock.now();
    let look = RouterAsk::Firmware(FirmwareAskV1::Look);
    match ask(&db, &live, &operator, router, look, now).await? {
        RouterTold::Firmware(told) => Ok(Json(Firmware::new(router, *told, now))),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// From where to take it.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = FirmwareCheckRequest)]
pub struct CheckRequest {
    /// `stable`, `long-term`, `testing`, `development` or `upgrade`; null = the one that it is set to.
    channel: Option<String>,
}

/// `POST /api/wizard/{router}/firmware/check`: has the router ask MikroTik what it could take; a channel is set on it.
///
/// Errors: 400 for a channel that there is not, and as in `GET /api/wizard/{router}/firmware`.
#[utoipa::path(post, path = "/api/wizard/{router}/firmware/check", tag = "Routers",
    params(("router" = RouterId, Path)), request_body = CheckRequest, responses((status = 200, body = Firmware),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn check(
    operator: Operator,
    Held(db): Held<Database>,
    Held(clock): Held<Clock>,
    Held(live): Held<Live>,
    Path(router): Path<RouterId>,
    Json(request): Json<CheckRequest>,
) -> Result<Json<Firmware>, ApiError> {
    let now = clock.now();
    let channel = request.channel;
    if channel
        .as_deref()
        .is_some_and(|channel| !CHANNELS.contains(&channel))
    {
        let mut wrong = Wrong::default();
        wrong.add(
            "channel",
            "must be stable, long-term, testing, development or upgrade",
        );
        wrong.none_or(()).map_err(ApiError::fields)?;
    }
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::lock_named(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    let line = Audit {
        details: match &channel {
            Some(channel) => format!("Asked what the channel {channel} has"),
            None => "Asked what its channel has".to_owned(),
        },
        ..Audit::new(Deed::RouterFirmwareCheck, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    let check = RouterAsk::Firmware(FirmwareAskV1::Check { channel });
    match ask(&db, &live, &operator, router, check, now).await? {
        RouterTold::Firmware(told) => Ok(Json(Firmware::new(router, *told, now))),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// That it is under way.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FirmwareUpdate)]
pub struct Updating {
    success: bool,
    message: String,
    /// See `GET /api/rollouts/{rollout}`.
    rollout_id: RolloutId,
}

/// `POST /api/wizard/{router}/firmware/update`: takes another release, as a rollout of one router: with a backup
/// before, and a look at it afterwards.
///
/// Repeating with the same `Idempotency-Key` returns the first answer and begins nothing more. Errors: 400 naming the
/// fields, 404, 409 `ROUTER_IN_ROLLOUT`, 422 without an API user.
#[utoipa::path(post, path = "/api/wizard/{router}/firmware/update", tag = "Routers",
    params(("router" = RouterId, Path)), request_body = Upgrade,
    responses((status = 202, body = Updating, description = "It is under way"),
        (status = 409, description = "A rollout has to do with it"),
        (status = 422, description = "No API user is entered for this router")))]
pub async fn update(
    operator: Operator,
    Held(db): Held<Database>,
    Held(clock): Held<Clock>,
    mut idempotency: Idempotency,
    Path(router): Path<RouterId>,
    Json(upgrade): Json<Upgrade>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let request = RolloutRequest {
        name: None,
        action: Action::Upgrade(upgrade),
        router_ids: Some(vec![router]),
        site_id: None,
        all_routers: None,
        model: None,
        runs: None,
        rings: None,
        max_failed: None,
        soak_seconds: Some(SOAK),
        window_from: None,
        window_to: None,
        until: Some(now.plus(PATIENCE)),
    };
    let (draft, _) = draft(&request, &operator, db.entropy(), now)?;
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let found = store::named(&mut tx, &[router]).await?;
    let name = found.first().map(|found| found.name.clone());
    let name = name.ok_or(ApiError::NotFound("router"))?;
    let shown = begin(&mut tx, &operator, draft, &[Size::Count(1)], &found, now).await?;
    let body = Updating {
        success: true,
        message: format!("{name} takes {}; it starts anew", shown.action.named()),
        rollout_id: shown.id,
    };
    let answer = idempotency
        .finish(&mut tx, StatusCode::ACCEPTED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// Somebody waits for it.
const SOAK: i32 = 60;
const PATIENCE: Duration = Duration::from_secs(3600);
