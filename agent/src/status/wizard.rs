//! Routers that are brought up from this box: begun and looked at on loopback, by the command line.
//!
//! What is asked for has to be JSON: no page of somebody else's can have a browser on this box send that unasked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Overview;
use crate::wizard::{Begun, Refusal, Told, Wish};

/// Which of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: String,
}

pub(super) async fn list(State(overview): State<Arc<Overview>>) -> Json<Vec<Told>> {
    Json(overview.wizard.told())
}

pub(super) async fn start(
    State(overview): State<Arc<Overview>>,
    Json(wish): Json<Wish>,
) -> Result<Json<Begun>, (StatusCode, String)> {
    overview.wizard.start(wish).await.map(Json).map_err(refused)
}

pub(super) async fn forget(
    State(overview): State<Arc<Overview>>,
    Json(named): Json<Named>,
) -> Result<Json<Vec<Told>>, (StatusCode, String)> {
    overview.wizard.forget(&named.name).await.map_err(refused)?;
    Ok(Json(overview.wizard.told()))
}

fn refused(refusal: Refusal) -> (StatusCode, String) {
    let status = match refusal {
        Refusal::Cannot(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Running => StatusCode::CONFLICT,
        Refusal::Unknown | Refusal::Over => StatusCode::NOT_FOUND,
        Refusal::NotKept => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{refusal}\n"))
}
