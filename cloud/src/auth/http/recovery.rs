//! A forgotten password, from the form that asks for a link to the page that the link leads to.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use easyisp_shared::time::Clock;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Done, bad_email, find, note};
use crate::api::Json;
use crate::audit::{Action, Actor};
use crate::auth::sessions::{self, Token};
use crate::auth::{Email, Origin, SignIn, recovery, store};
use crate::config::Config;
use crate::db::Database;
use crate::error::{ApiError, ErrorEnvelope};
use crate::mail::Mail;

/// When the answer comes, whoever has an account: longer than finding out takes.
const ANSWERED_AFTER: Duration = Duration::from_millis(250);

/// Who forgot.
#[derive(Deserialize, ToSchema)]
pub struct Forgot {
    /// The account.
    email: String,
}

/// `POST /api/auth/password/forgot`: a mail with a link, to an address that has an account.
///
/// The answer and its time are the same for every address. Errors: 422 `NO_MAIL` where the server sends none:
/// the account's owner resets it then; 429 after 5 an hour.
#[utoipa::path(post, path = "/api/auth/password/forgot", tag = "Auth", request_body = Forgot, responses(
    (status = 200, body = Done),
    (status = 422, description = "This server sends no mail", body = ErrorEnvelope),
    (status = 429, description = "Too many; see Retry-After", body = ErrorEnvelope),
))]
pub async fn forgot(
    origin: Origin,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    State(mail): State<Mail>,
    State(config): State<Arc<Config>>,
    Json(forgot): Json<Forgot>,
) -> Result<Json<Done>, ApiError> {
    let begun = tokio::time::Instant::now();
    let email = Email::parse(&forgot.email).ok_or_else(|| bad_email("email"))?;
    if !mail.is_there() || config.http.public_url.is_none() {
        return Err(ApiError::unprocessable(
            "NO_MAIL",
            "This server sends no mail; ask the account's owner to reset the password",
        ));
    }
    let now = clock.now();
    sign_in.reset(&email, origin.address, now)?;
    if let Some((tenant, account)) = find(&db, &email).await? {
        recovery::ask(&db, (tenant, account.id), now).await?;
    }
    tokio::time::sleep_until(begun + ANSWERED_AFTER).await;
    Ok(Json(Done {
        success: true,
        message: Some("If this address has an account, a mail with a link is on its way"),
    }))
}

/// A new password, and the token of the mail.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reset {
    /// What follows `#` in the link.
    #[schema(value_type = String, format = Password)]
    token: SecretString,
    /// 12 to 128 characters.
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
}

/// `POST /api/auth/password/reset`: sets a forgotten password, and ends the account's sessions and API keys.
///
/// A second factor stays as it is. Errors: 400 for a password too short or too common, which leaves the token
/// good; 422 `BAD_RESET_TOKEN`.
#[utoipa::path(post, path = "/api/auth/password/reset", tag = "Auth", request_body = Reset, responses(
    (status = 200, body = Done),
    (status = 400, description = "The new password is too short or too common", body = ErrorEnvelope),
    (status = 422, description = "The link is over or was used", body = ErrorEnvelope),
))]
pub async fn reset(
    origin: Origin,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    Json(reset): Json<Reset>,
) -> Result<Json<Done>, ApiError> {
    use secrecy::ExposeSecret;

    let now = clock.now();
    let token = Token::parse(reset.token.expose_secret().trim()).ok_or_else(over)?;
    let mut directory = db.glance().await?;
    let whose = store::reset_of(&mut directory, token.digest(), now).await?;
    drop(directory);
    let (tenant, operator) = whose.ok_or_else(over)?;
    let account = store::account(&mut db.begin(tenant).await?, operator).await?;
    let account = account.filter(|account| account.active).ok_or_else(over)?;
    let email = Email::parse(&account.email)
        .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("a stored e-mail address is none")))?;
    let hash = sign_in
        .new_password("newPassword", &reset.new_password, &email)
        .await?;

    let mut tx = db.begin(tenant).await?;
    store::lock_account(&mut tx, operator).await?;
    if !store::take_reset(&mut tx, token.digest()).await? {
        return Err(over());
    }
    store::set_password(&mut tx, operator, &hash, None, now).await?;
    store::revoke_keys_of(&mut tx, operator, now).await?;
    sessions::end_all(&mut tx, operator, None).await?;
    let actor = Actor::person(account.id, &account.name, origin.address);
    let (id, name) = (account.id, &account.name);
    note(&mut tx, &actor, Action::PasswordReset, id, name, now).await?;
    tx.commit().await?;
    Ok(Json(Done {
        success: true,
        message: Some("The password was set; sign in with it"),
    }))
}

fn over() -> ApiError {
    ApiError::unprocessable(
        "BAD_RESET_TOKEN",
        "This link is over or was used; ask for another one",
    )
}

/// `GET /console/reset`: the page that the link leads to.
pub async fn page() -> impl IntoResponse {
    let html = include_str!("../pages/reset.html");
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], html)
}

/// `GET /console/reset.js`: what that page does.
pub async fn script() -> impl IntoResponse {
    let script = include_str!("../pages/reset.js");
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], script)
}
