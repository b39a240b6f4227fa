//! A person's own sessions: where he is signed in, and ending it there.

use std::net::IpAddr;

use axum::extract::State;
use easyisp_shared::id::SignInId;
use easyisp_shared::time::{Clock, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Done, note};
use crate::api::{Json, Path};
use crate::audit::{Action, Actor};
use crate::auth::origin::{ORIGIN, Origin};
use crate::auth::sessions::{self, Token};
use crate::auth::{Operator, store};
use crate::db::Database;
use crate::error::ApiError;
use crate::secrets::Secrets;

/// Where a person is signed in.
#[derive(Serialize, ToSchema)]
pub struct Sessions {
    sessions: Vec<Session>,
}

/// One place where he is signed in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SignedInAt)]
pub struct Session {
    id: SignInId,
    /// Whether it is the one that asks.
    current: bool,
    /// Whether it is a browser's at the console, else a bearer token.
    console: bool,
    /// The address it was begun from.
    #[schema(value_type = Option<String>)]
    ip_address: Option<IpAddr>,
    /// What the browser or program called itself.
    client: Option<String>,
    created_at: Timestamp,
    /// When it was used last, to within five minutes.
    last_seen_at: Timestamp,
    expires_at: Timestamp,
}

/// `GET /api/auth/sessions`: where the signed-in person is signed in, the newest 200 first.
#[utoipa::path(get, path = "/api/auth/sessions", tag = "Auth", responses((status = 200, body = Sessions)))]
pub async fn list(
    operator: Operator,
    token: Token,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
) -> Result<Json<Sessions>, ApiError> {
    operator.in_person()?;
    let mut tx = db.begin(operator.tenant).await?;
    let key = secrets.tenant(&mut tx).await?;
    let rows = store::sessions_of(&mut tx, operator.id, token.digest(), clock.now()).await?;
    let sessions = rows.into_iter().map(|row| {
        let origin = row
            .origin_sealed
            .and_then(|sealed| key.open(ORIGIN, row.id.0, &sealed).ok())
            .and_then(|clear| serde_json::from_slice::<Origin>(&clear).ok());
        Session {
            id: row.id,
            current: row.current,
            console: row.console,
            ip_address: origin.as_ref().map(|origin| origin.address),
            client: origin.and_then(|origin| origin.client),
            created_at: row.created_at,
            last_seen_at: row.seen_at,
            expires_at: row.expires_at,
        }
    });
    Ok(Json(Sessions {
        sessions: sessions.collect(),
    }))
}

/// `DELETE /api/auth/sessions/{session}`: ends one of the person's own sessions at once. 404 when it has
/// ended.
#[utoipa::path(delete, path = "/api/auth/sessions/{session}", tag = "Auth",
    params(("session" = SignInId, Path)), responses((status = 200, body = Done)))]
pub async fn end(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(session): Path<SignInId>,
) -> Result<Json<Done>, ApiError> {
    operator.in_person()?;
    let mut tx = db.begin(operator.tenant).await?;
    if !store::delete_own_session(&mut tx, operator.id, session).await? {
        return Err(ApiError::NotFound("session"));
    }
    let actor = Actor::from(&operator);
    let (id, name) = (operator.id, &operator.name);
    note(&mut tx, &actor, Action::Logout, id, name, clock.now()).await?;
    tx.commit().await?;
    Ok(Json(Done {
        success: true,
        message: Some("That session has ended"),
    }))
}

/// `DELETE /api/auth/sessions`: ends every session of the person but the one that asks.
#[utoipa::path(delete, path = "/api/auth/sessions", tag = "Auth", responses((status = 200, body = Done)))]
pub async fn end_others(
    operator: Operator,
    token: Token,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<Done>, ApiError> {
    operator.in_person()?;
    let mut tx = db.begin(operator.tenant).await?;
    store::lock_account(&mut tx, operator.id).await?;
    sessions::end_all(&mut tx, operator.id, Some(&token)).await?;
    let actor = Actor::from(&operator);
    let (id, name) = (operator.id, &operator.name);
    note(&mut tx, &actor, Action::Logout, id, name, clock.now()).await?;
    tx.commit().await?;
    Ok(Json(Done {
        success: true,
        message: Some("Every other session has ended"),
    }))
}
