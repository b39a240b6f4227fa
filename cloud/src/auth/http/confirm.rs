//! Showing one's password again, before something that cannot be taken back.

use axum::extract::State;
use easyisp_shared::time::Clock;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::factor::check_password;
use super::{Done, code_is_right, note};
use crate::api::{Json, blank};
use crate::audit::{Action, Actor};
use crate::auth::sessions::Token;
use crate::auth::{Operator, Origin, SignIn, store};
use crate::db::Database;
use crate::error::{ApiError, ErrorEnvelope};
use crate::secrets::Secrets;

/// What one signed in with.
#[derive(Deserialize, ToSchema)]
pub struct Again {
    /// The present password.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Where the account has a second factor: six digits of the app, or a recovery code.
    #[serde(default, deserialize_with = "blank::option")]
    otp: Option<String>,
}

/// `POST /api/auth/confirm`: shows the password again, which counts for five minutes where a fresh login is
/// needed (403 `FRESH_LOGIN_REQUIRED`). Errors: 403 `OTP_REQUIRED` and `WRONG_CODE`, 422 `WRONG_PASSWORD`, 429.
#[utoipa::path(post, path = "/api/auth/confirm", tag = "Auth", request_body = Again, responses(
    (status = 200, body = Done),
    (status = 403, description = "A code is missing or wrong", body = ErrorEnvelope),
    (status = 422, description = "The password is wrong", body = ErrorEnvelope),
    (status = 429, description = "Too many tries; see Retry-After", body = ErrorEnvelope),
))]
#[expect(clippy::too_many_arguments, reason = "a handler names what it needs")]
pub async fn confirm(
    operator: Operator,
    token: Token,
    origin: Origin,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    State(secrets): State<Secrets>,
    Json(again): Json<Again>,
) -> Result<Json<Done>, ApiError> {
    operator.in_person()?;
    let now = clock.now();
    check_password(&db, &sign_in, &operator, &origin, &again.password, now).await?;
    let mut tx = db.begin(operator.tenant).await?;
    store::lock_account(&mut tx, operator.id).await?;
    code_is_right(&mut tx, &sign_in, &secrets, operator.id, again.otp, now).await?;
    store::prove_session(&mut tx, token.digest(), now).await?;
    let actor = Actor::from(&operator);
    let (id, name) = (operator.id, &operator.name);
    note(&mut tx, &actor, Action::LoginConfirm, id, name, now).await?;
    tx.commit().await?;
    Ok(Json(Done {
        success: true,
        message: Some("Good for five minutes"),
    }))
}
