//! Signing in and out of the console: a browser, which keeps what it is given in cookies.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{AppendHeaders, IntoResponse, Response};
use easyisp_shared::time::{Clock, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Done, Login, User, prove};
use crate::api::Json;
use crate::auth::console::{self, Pair, Refresh};
use crate::auth::{Origin, SignIn, cookies};
use crate::config::Config;
use crate::db::Database;
use crate::error::{ApiError, ErrorEnvelope};
use crate::secrets::Secrets;

/// A person at the console.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AtConsole {
    /// Who.
    user: User,
    /// When the access token ends: refresh before.
    access_ends_at: Timestamp,
    /// When the session ends unless it is refreshed.
    ends_at: Timestamp,
}

impl AtConsole {
    fn answer(user: User, pair: &Pair, now: Timestamp) -> Response {
        let body = AtConsole {
            user,
            access_ends_at: pair.access_ends,
            ends_at: pair.refresh_ends,
        };
        with(cookies::set(pair, now), Json(body))
    }
}

fn with(cookies: [HeaderValue; 2], answer: impl IntoResponse) -> Response {
    let headers = cookies.map(|cookie| (SET_COOKIE, cookie));
    (AppendHeaders(headers), answer).into_response()
}

/// `POST /api/console/session`: signs a browser in; the tokens come as cookies that no script reads.
///
/// The access token is good for ten minutes, the refresh token for 14 days unused, 30 in all; for who handles
/// money and for the platform's people for half an hour unused, 12 hours in all. Errors as `POST
/// /api/auth/login`, and 403 `FOREIGN_ORIGIN` for a page of another server's.
#[utoipa::path(post, path = "/api/console/session", tag = "Console", request_body = Login, responses(
    (status = 200, body = AtConsole),
    (status = 401, description = "Wrong e-mail address or password", body = ErrorEnvelope),
    (status = 403, description = "Suspended or expired, a code is missing, a foreign page", body = ErrorEnvelope),
    (status = 429, description = "Too many tries; see Retry-After", body = ErrorEnvelope),
))]
#[expect(clippy::too_many_arguments, reason = "a handler names what it needs")]
pub async fn sign_in(
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(signing_in): State<SignIn>,
    State(secrets): State<Secrets>,
    State(config): State<Arc<Config>>,
    headers: HeaderMap,
    origin: Origin,
    Json(login): Json<Login>,
) -> Result<Response, ApiError> {
    cookies::check_origin(&headers, &config)?;
    let now = clock.now();
    let (mut tx, account) = prove(&db, &signing_in, &secrets, &origin, login, now).await?;
    let pair = console::begin(&mut tx, &secrets, &account, &origin, now).await?;
    let tenant = tx.tenant();
    tx.commit().await?;
    Ok(AtConsole::answer(User::of(tenant, account), &pair, now))
}

/// `POST /api/console/session/refresh`: the next pair of cookies for the refresh token in the present one.
///
/// Each refresh token leads to one successor, and to the same one again until that was used: an answer that was
/// lost is asked for again. One that comes back after its successor was used (but for ten seconds, for two tabs),
/// or from another browser, was stolen: the session ends, here and there. Errors: 401 where it has ended, 403
/// `FOREIGN_ORIGIN`.
#[utoipa::path(post, path = "/api/console/session/refresh", tag = "Console", responses(
    (status = 200, body = AtConsole),
    (status = 401, description = "The session has ended", body = ErrorEnvelope),
    (status = 403, description = "Suspended or expired, a foreign page", body = ErrorEnvelope),
))]
pub async fn refresh(
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(config): State<Arc<Config>>,
    headers: HeaderMap,
    origin: Origin,
) -> Result<Response, ApiError> {
    cookies::check_origin(&headers, &config)?;
    let now = clock.now();
    let shown = cookies::find(&headers, cookies::REFRESH).and_then(Refresh::parse);
    let shown = shown.ok_or(ApiError::Unauthorized)?;
    let (tenant, account, pair) = console::renew(&db, &secrets, &shown, &origin, now).await?;
    Ok(AtConsole::answer(User::of(tenant, account), &pair, now))
}

/// `DELETE /api/console/session`: signs the browser out, whatever its cookies are still good for.
#[utoipa::path(delete, path = "/api/console/session", tag = "Console", responses(
    (status = 200, body = Done),
    (status = 403, description = "A foreign page", body = ErrorEnvelope),
))]
pub async fn sign_out(
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(config): State<Arc<Config>>,
    headers: HeaderMap,
    origin: Origin,
) -> Result<Response, ApiError> {
    cookies::check_origin(&headers, &config)?;
    if let Some(shown) = cookies::find(&headers, cookies::REFRESH).and_then(Refresh::parse) {
        console::leave(&db, &shown, &origin, clock.now()).await?;
    }
    let done = Done {
        success: true,
        message: Some("Signed out"),
    };
    Ok(with(cookies::forget(), Json(done)))
}
