//! Routers that are brought up from this box: begun and looked at on loopback, by the command line.
//!
//! What is asked for has to be JSON: no page of somebody else's can have a browser on this box send that unasked.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
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
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    State(overview): State<Arc<Overview>>,
    Json(wish): Json<Wish>,
) -> Result<Json<Begun>, (StatusCode, String)> {
    at_the_box(from)?;
    overview.wizard.start(wish).await.map(Json).map_err(refused)
}

pub(super) async fn forget(
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    State(overview): State<Arc<Overview>>,
    Json(named): Json<Named>,
) -> Result<Json<Vec<Told>>, (StatusCode, String)> {
    at_the_box(from)?;
    overview.wizard.forget(&named.name).await.map_err(refused)?;
    Ok(Json(overview.wizard.told()))
}

/// The page may be shown to the site's network; who may enter a router is who is at the box.
fn at_the_box(from: SocketAddr) -> Result<(), (StatusCode, String)> {
    match from.ip().to_canonical().is_loopback() {
        true => Ok(()),
        false => Err((
            StatusCode::FORBIDDEN,
            "only at the box itself: easyisp-agent wizard\n".to_owned(),
        )),
    }
}

fn refused(refusal: Refusal) -> (StatusCode, String) {
    let status = match refusal {
        Refusal::Cannot(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Running | Refusal::Serves | Refusal::Untold => StatusCode::CONFLICT,
        Refusal::Unknown | Refusal::Over => StatusCode::NOT_FOUND,
        Refusal::NotKept => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{refusal}\n"))
}
