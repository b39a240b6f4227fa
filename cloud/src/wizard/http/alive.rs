//! What a router says by itself, whoever else is silent: that it lives.

use axum::extract::State;
use easyisp_shared::time::Clock;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::alive;
use crate::api::{Json, Said};
use crate::db::Database;
use crate::error::ApiError;
use crate::routers;
use crate::secrets::Secrets;

/// A router that lives.
#[derive(Deserialize, ToSchema)]
pub struct AliveRequest {
    /// From its script.
    token: String,
}

/// `POST /provision/alive`: a router says that it lives, every five minutes, by its own scheduler.
///
/// While an agent of its site is heard this changes nothing: what serves subscribers is that the agent reaches it. Where
/// none is, the router is shown as heard, and is told nobody as down: it is the agent that is away, or its way here.
/// Noted once a minute at the most. Errors: 404 for a token that this server did not make, or of a router that is gone.
#[utoipa::path(post, path = "/provision/alive", tag = "Routers", request_body = AliveRequest,
    responses((status = 200, body = Said)))]
pub async fn alive(
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Json(request): Json<AliveRequest>,
) -> Result<Json<Said>, ApiError> {
    let (tenant, router) = alive::shown(&secrets, &request.token).ok_or_else(nobody)?;
    let mut tx = db.begin(tenant).await?;
    if !routers::alive(&mut tx, router, clock.now()).await? {
        return Err(nobody());
    }
    tx.commit().await?;
    Ok(Json(Said::done("Thank you")))
}

/// The same for a token that never was and for one of a router that is gone.
fn nobody() -> ApiError {
    ApiError::NotFound("router of this token; take a new command from the wizard")
}
