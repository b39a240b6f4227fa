//! What a router that has come is, and what its device's mode keeps off: before anything is configured.

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::setup::DeviceMode;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use easyisp_shared::wire::setup::{SetupAskV1, SetupToldV1};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::run::At;
use super::begin::{PATIENCE, site_of};
use crate::api::{Json, Path};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers;
use crate::sites::Live;

/// What a router is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemInfo {
    /// `3d 4h 5m 6s`.
    uptime: String,
    version: String,
    board_name: String,
    platform: String,
    cpu: String,
    cpu_count: u32,
    /// Megahertz.
    cpu_frequency: u32,
    /// Percent.
    cpu_load: u32,
    /// Bytes.
    free_memory: u64,
    /// Bytes.
    total_memory: u64,
    /// Bytes.
    free_hdd_space: u64,
    /// Bytes.
    total_hdd_space: u64,
    architecture_name: String,
    build_time: String,
    /// Its device-mode; null where it knows none (RouterOS 6, and 7 before 7.17).
    device_mode: Option<Mode>,
}

/// A device's mode: since RouterOS 7.17 it keeps things off until somebody presses the device's button.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeviceMode)]
pub struct Mode {
    /// `home`, `basic` or `advanced`.
    mode: String,
    /// Whether it found its own configuration suspect and runs nothing by itself.
    flagged: bool,
    /// Of `hotspot`, `scheduler` and `fetch` what it keeps off.
    forbids: Vec<&'static str>,
    /// What cannot be so and what to type there; null where nothing is in the way.
    message: Option<String>,
}

impl From<DeviceMode> for Mode {
    fn from(told: DeviceMode) -> Mode {
        Mode {
            message: told.sentence(),
            mode: told.mode,
            flagged: told.flagged,
            forbids: told.forbids.into_iter().map(|(name, _)| name).collect(),
        }
    }
}

/// `GET /api/wizard/{router}/system-info`: what the router is, asked of it now.
///
/// Errors: 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/wizard/{router}/system-info", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = SystemInfo),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn system_info(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<SystemInfo>, ApiError> {
    let now = clock.now();
    let site = site_of(&db, &operator, router).await?;
    let at = At {
        live: &live,
        tenant: operator.tenant,
        site,
        router,
        now,
    };
    let RouterTold::System(told) = at.ask(RouterAsk::System, PATIENCE).await? else {
        return Err(ApiError::BadGateway {
            message: "The site answered something else".to_owned(),
        });
    };
    routers::note_board(&db, operator.tenant, router, &told).await?;
    Ok(Json(SystemInfo {
        uptime: crate::customers::uptime(told.uptime_secs),
        version: told.version,
        board_name: told.board,
        platform: told.platform,
        cpu: told.cpu,
        cpu_count: told.cpu_count.unwrap_or(1),
        cpu_frequency: told.cpu_frequency.unwrap_or(0),
        cpu_load: told.cpu_load.unwrap_or(0),
        free_memory: told.free_memory.unwrap_or(0),
        total_memory: told.total_memory.unwrap_or(0),
        free_hdd_space: told.free_disk.unwrap_or(0),
        total_hdd_space: told.total_disk.unwrap_or(0),
        architecture_name: told.architecture,
        build_time: told.build_time,
        device_mode: device_mode(&at).await.map(Mode::from),
    }))
}

/// What of a device's mode is in the way here; `None` where it knows no modes, or its agent cannot tell.
pub async fn device_mode(at: &At<'_>) -> Option<DeviceMode> {
    match at.set_up(SetupAskV1::Look(vec![DeviceMode::asked()])).await {
        Ok(SetupToldV1::Found { before, .. }) => DeviceMode::told(&before),
        Ok(_) | Err(_) => None, // what it is is told all the same
    }
}
