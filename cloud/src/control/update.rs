//! Bringing a router that the wizard configured up to date with what the cloud would make of it.

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::setup::wanted;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::drift;

use super::drift::mended;
use crate::api::{Json, Path, Said};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::secrets::Secrets;
use crate::sites::Live;
use crate::wizard::{self, Choice};

/// `POST /api/mikrotik/{router}/update-config`: writes what of the router differs from how the wizard configured it, with
/// what the tenant's settings say by now, and reads it back. `success` says whether nothing differs any more.
///
/// Repeating it changes nothing more. Errors: 409 `WIZARD_RUNNING` or `ROUTER_BUSY` while somebody else writes to it, 422
/// `NOT_CONFIGURED`, 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(post, path = "/api/mikrotik/{router}/update-config", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Said),
        (status = 422, description = "The wizard did not configure it, or it has no API user"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn config(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Said>, ApiError> {
    update((db, clock, secrets, live), operator, router, None).await
}

/// `POST /api/mikrotik/{router}/update-hotspot`: the same of its hotspot alone: profile, pool, walled garden.
///
/// Errors: as there, and 422 `NO_HOTSPOT` where it serves none.
#[utoipa::path(post, path = "/api/mikrotik/{router}/update-hotspot", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Said),
        (status = 422, description = "The wizard did not configure it, or it serves no hotspot"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn hotspot(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Said>, ApiError> {
    update(
        (db, clock, secrets, live),
        operator,
        router,
        Some("hotspot"),
    )
    .await
}

async fn update(
    (db, clock, secrets, live): (Database, Clock, Secrets, Live),
    operator: Operator,
    router: RouterId,
    only: Option<&str>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    if !wizard::is_configured(&mut tx, router).await? {
        return Err(ApiError::unprocessable(
            "NOT_CONFIGURED",
            "The wizard did not configure this router, so that nobody knows what it is to be; configure it first",
        ));
    }
    let choice = Choice::default();
    let (setup, release) = wizard::setup(&mut tx, &secrets, router, choice).await?;
    drop(tx);
    if only.is_some() && setup.hotspot.is_none() {
        return Err(ApiError::unprocessable(
            "NO_HOTSPOT",
            "This router serves no hotspot; configure one in the wizard",
        ));
    }
    let mut steps = wanted(&setup, release);
    steps.retain(|step| only.is_none_or(|only| step.name == only));
    let told = mended(db, live, operator, router, drift::wanted(&steps), now).await?;
    let left: Vec<String> = told
        .fields
        .iter()
        .map(|field| format!("{} {} {}", field.menu, field.row, field.field))
        .chain(
            told.problems
                .iter()
                .map(|(menu, words)| format!("{menu}: {words}")),
        )
        .take(5)
        .collect();
    Ok(Json(match left.is_empty() {
        true => Said::done(format!(
            "Up to date: {} fields are as they should be.",
            told.compared
        )),
        false => Said::failed(format!(
            "It is not all as it should be: {}.",
            left.join("; ")
        )),
    }))
}
