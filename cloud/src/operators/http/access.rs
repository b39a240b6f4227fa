//! The way into an operator's account, when he has lost it: set by another, who could have made him.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::OperatorId;
use easyisp_shared::time::Clock;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use super::{find, still, touch};
use crate::api::{Idempotency, Json, Path, Success};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{self, Operator, Permission, SignIn};
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::operators::rules;
use crate::operators::store::Stored;

/// A password that is told once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Temporary {
    /// Good for three days; he changes it himself.
    temporary_password: String,
    message: String,
}

/// `POST /api/tenant/operators/{operator}/reset-password`: a new password to tell him, good for three days.
/// His sessions end at once.
///
/// For another than oneself, and only for whom one could have made: who may set a password may sign in with
/// it. Errors: 400 `YOURSELF`, 403 `ABOVE_YOU`, `BEYOND_YOURS`, `PLATFORM_PERSON`, 404.
#[utoipa::path(post, path = "/api/tenant/operators/{operator}/reset-password", tag = "Operators",
    params(("operator" = OperatorId, Path)), responses((status = 200, body = Temporary)))]
pub async fn reset_password(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    mut idempotency: Idempotency,
    Path(person): Path<OperatorId>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    may_reset(&mut db.begin(operator.tenant).await?, &operator, person).await?;
    let (password, hash) = sign_in.temporary_password().await?;

    let mut tx = db.begin(operator.tenant).await?;
    let operator = still(&mut tx, operator, &[Permission::OperatorsEdit], now).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    // Hashing took a while: he may be another by now.
    let stored = may_reset(&mut tx, &operator, person).await?;
    auth::set_temporary_password(&mut tx, person, &hash, now).await?;
    let line = Audit::new(Action::PasswordReset, "operator", person, &stored.name);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = Temporary {
        temporary_password: password.expose_secret().to_owned(),
        message: format!(
            "Tell {} this password; it is good for three days and shown only here. He changes it after \
             signing in",
            stored.name
        ),
    };
    let answer = idempotency.finish(&mut tx, StatusCode::OK, &body).await?;
    tx.commit().await?;
    Ok(answer)
}

/// `DELETE /api/tenant/operators/{operator}/second-factor`: he signs in with his password alone again: his
/// phone is lost, and his recovery codes as well.
///
/// For another than oneself, and only for whom one could have made. Errors: 400 `YOURSELF`, 403
/// `FRESH_LOGIN_REQUIRED`, `ABOVE_YOU`, `BEYOND_YOURS`, `PLATFORM_PERSON`, 404, 409 `SECOND_FACTOR_OFF`.
#[utoipa::path(delete, path = "/api/tenant/operators/{operator}/second-factor", tag = "Operators",
    params(("operator" = OperatorId, Path)), responses((status = 200, body = Success)))]
pub async fn forget_second_factor(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(person): Path<OperatorId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let mut tx = db.begin(operator.tenant).await?;
    let operator = still(&mut tx, operator, &[Permission::OperatorsEdit], now).await?;
    let stored = may_reset(&mut tx, &operator, person).await?;
    if !auth::has_second_factor(&mut tx, person).await? {
        return Err(ApiError::conflict(
            "SECOND_FACTOR_OFF",
            "This account has no second factor",
        ));
    }
    auth::forget_second_factor(&mut tx, person, now).await?;
    let line = Audit::new(
        Action::SecondFactorDisable,
        "operator",
        person,
        &stored.name,
    );
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

async fn may_reset(
    tx: &mut Tx,
    operator: &Operator,
    person: OperatorId,
) -> Result<Stored, ApiError> {
    let stored = find(tx, person).await?;
    if person == operator.id {
        return Err(ApiError::bad_request(
            "YOURSELF",
            "Do this to your own account at /api/auth, with your password",
        ));
    }
    touch(tx, operator, person).await?;
    rules::may_take_over(operator, &stored.rights)?;
    Ok(stored)
}
