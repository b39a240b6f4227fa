//! Whether the cloud is up, for people, balancers and orchestrators; and what stands at `/`.

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use easyisp_shared::time::{Clock, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{Access, Json, Routes, routes};
use crate::db::Database;

/// Health, the API's description and the first page.
pub fn routes() -> Routes {
    Routes::new()
        .route(Access::Public, routes!(health))
        .route(Access::Public, routes!(ready))
        .route(Access::Public, routes!(live))
        .route(Access::Public, routes!(description))
        .page(Access::Public, "/", home)
}

/// The API's description as JSON text; filled when all routes are known.
#[derive(Clone, Default)]
pub struct Description(pub Arc<OnceLock<String>>);

/// That the server runs.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok`, or `clock off`: this node's clock is not the database's, so it takes no agents and no jobs.
    pub status: &'static str,
    /// The server's time.
    pub timestamp: Timestamp,
    /// The server's version.
    pub version: &'static str,
}

/// `GET /health`: that the server runs, its time and version.
#[utoipa::path(get, path = "/health", tag = "Health", responses((status = 200, body = Health)))]
pub async fn health(State(clock): State<Clock>, State(db): State<Database>) -> Json<Health> {
    Json(Health {
        status: match db.drift().is_off() {
            false => "ok",
            true => "clock off",
        },
        timestamp: clock.now(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Whether requests can be served.
#[derive(Serialize, ToSchema)]
pub struct Ready {
    /// `ready` or `not ready`
    pub status: &'static str,
    /// What was looked at.
    pub checks: Checks,
}

/// What readiness depends on.
#[derive(Serialize, ToSchema)]
pub struct Checks {
    /// `connected` or `unreachable`
    pub database: &'static str,
    /// `right`, or `off` where it is more than a second from the database's.
    pub clock: &'static str,
}

/// `GET /health/ready`: 200 when the database answers and this node's clock agrees with it, else 503.
#[utoipa::path(get, path = "/health/ready", tag = "Health",
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub async fn ready(State(db): State<Database>) -> (StatusCode, Json<Ready>) {
    let database = match db.ping().await {
        Ok(()) => "connected",
        Err(_) => "unreachable",
    };
    let clock = match db.drift().is_off() {
        false => "right",
        true => "off",
    };
    let (code, status) = match (database, clock) {
        ("connected", "right") => (StatusCode::OK, "ready"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready"), // whichever of them it is
    };
    let checks = Checks { database, clock };
    Json(Ready { status, checks }).with(code)
}

/// That the process lives.
#[derive(Serialize, ToSchema)]
pub struct Live {
    /// `alive`
    pub status: &'static str,
}

/// `GET /health/live`: that the process lives, whatever the database does.
#[utoipa::path(get, path = "/health/live", tag = "Health", responses((status = 200, body = Live)))]
pub async fn live() -> Json<Live> {
    Json(Live { status: "alive" })
}

/// `GET /api/openapi.json`: this description.
#[utoipa::path(get, path = "/api/openapi.json", tag = "Health",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub async fn description(State(Description(text)): State<Description>) -> Response {
    let text = text.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn home() -> Html<&'static str> {
    Html(concat!(
        "<!doctype html><html lang=\"en\"><title>EasyISP cloud</title><h1>EasyISP cloud ",
        env!("CARGO_PKG_VERSION"),
        "</h1><p>The API is at <code>/api</code>, its description at ",
        "<a href=\"/api/openapi.json\">/api/openapi.json</a>, health at <a href=\"/health\">/health</a>.</p></html>"
    ))
}
