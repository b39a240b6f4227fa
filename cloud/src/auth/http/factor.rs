//! The second factor of a person's own account.

use axum::extract::State;
use easyisp_shared::id::OperatorId;
use easyisp_shared::time::{Clock, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Done, Try, note};
use crate::api::Json;
use crate::audit::{Action, Actor};
use crate::auth::origin::Origin;
use crate::auth::sessions::{self, Token};
use crate::auth::store::{self, Factor};
use crate::auth::totp::{self, Secret};
use crate::auth::{Checked, Email, Operator, SignIn};
use crate::db::{Database, Tx};
use crate::error::{ApiError, ErrorEnvelope};
use crate::secrets::Secrets;

/// Under which name a secret is sealed.
const SECRET: &str = "operators.totp";

/// Whether the account has a second factor.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecondFactor {
    enabled: bool,
    /// Since when.
    since: Option<Timestamp>,
    /// Codes for the day the phone is lost that are not used yet.
    recovery_codes_left: usize,
}

/// `GET /api/auth/second-factor`: whether the person's own account has one.
#[utoipa::path(get, path = "/api/auth/second-factor", tag = "Auth",
    responses((status = 200, body = SecondFactor)))]
pub async fn state(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<SecondFactor>, ApiError> {
    operator.in_person()?;
    let mut tx = db.begin(operator.tenant).await?;
    let factor = locked(&mut tx, operator.id).await?;
    Ok(Json(SecondFactor {
        enabled: factor.since.is_some(),
        since: factor.since,
        recovery_codes_left: factor.recovery_codes.len(),
    }))
}

/// The password once more.
#[derive(Deserialize, ToSchema)]
pub struct Password {
    /// The present one.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// What an authenticator app must know. Shown once.
#[derive(Serialize, ToSchema)]
pub struct Begun {
    /// To type in.
    secret: String,
    /// To show as a QR code.
    uri: String,
}

/// `POST /api/auth/second-factor`: a secret for an authenticator app. It counts once a code was shown at
/// `/confirm`; a repeat makes another one. Errors: 409 `SECOND_FACTOR_ON`, 422 `WRONG_PASSWORD`, 429.
#[utoipa::path(post, path = "/api/auth/second-factor", tag = "Auth", request_body = Password,
    responses((status = 200, body = Begun),
        (status = 422, description = "The password is wrong", body = ErrorEnvelope)))]
pub async fn begin(
    operator: Operator,
    origin: Origin,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(sign_in): State<SignIn>,
    Json(request): Json<Password>,
) -> Result<Json<Begun>, ApiError> {
    operator.in_person()?;
    let now = clock.now();
    check_password(&db, &sign_in, &operator, &origin, &request.password, now).await?;
    let mut tx = db.begin(operator.tenant).await?;
    if locked(&mut tx, operator.id).await?.since.is_some() {
        return Err(ApiError::conflict(
            "SECOND_FACTOR_ON",
            "This account has a second factor already; end it first, with a code of it",
        ));
    }
    let secret = Secret::new(&tx.entropy());
    let key = secrets.tenant(&mut tx).await?;
    let sealed = key.seal(SECRET, operator.id.0, secret.bytes());
    store::set_factor_secret(&mut tx, operator.id, &sealed, now).await?;
    let (id, name) = (operator.id, &operator.name);
    let actor = Actor::from(&operator);
    note(&mut tx, &actor, Action::SecondFactorBegin, id, name, now).await?;
    tx.commit().await?;
    let text = secret.base32();
    Ok(Json(Begun {
        uri: format!(
            "otpauth://totp/EasyISP:{email}?secret={secret}&issuer=EasyISP",
            email = percent(&operator.email),
            secret = text.expose_secret(),
        ),
        secret: text.expose_secret().to_owned(),
    }))
}

/// A code.
#[derive(Deserialize, ToSchema)]
pub struct Code {
    /// Six digits of the app, or a recovery code.
    code: String,
}

/// The codes for the day the phone is lost. Shown once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryCodes {
    /// Ten, each good once.
    recovery_codes: Vec<String>,
}

/// `POST /api/auth/second-factor/confirm`: switches the second factor on with a first code of the app, and
/// ends the person's other sessions. Errors: 409 `SECOND_FACTOR_OFF`, 422 `WRONG_CODE`, 429 after 5 tries.
#[utoipa::path(post, path = "/api/auth/second-factor/confirm", tag = "Auth", request_body = Code,
    responses((status = 200, body = RecoveryCodes),
        (status = 422, description = "The code is wrong", body = ErrorEnvelope)))]
pub async fn confirm(
    operator: Operator,
    token: Token,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(sign_in): State<SignIn>,
    Json(request): Json<Code>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    operator.in_person()?;
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let factor = locked(&mut tx, operator.id).await?;
    let (Some(sealed), None) = (&factor.sealed, factor.since) else {
        return Err(ApiError::conflict(
            "SECOND_FACTOR_OFF",
            "No second factor was begun; ask for a secret at POST /api/auth/second-factor first",
        ));
    };
    sign_in.try_code(operator.id, now)?;
    let key = secrets.tenant(&mut tx).await?;
    let secret = Secret::from_bytes(
        key.open(SECRET, operator.id.0, sealed)
            .map_err(ApiError::internal)?,
    );
    let step = secret.step_of(request.code.trim(), factor.step, now);
    let step = step.ok_or_else(wrong_code)?;
    sign_in.code_was_right(operator.id);
    let codes: Vec<String> = (0..totp::RECOVERY_CODES)
        .map(|_| totp::recovery_code(&tx.entropy()))
        .collect();
    let digests: Vec<Vec<u8>> = codes
        .iter()
        .map(|code| digest(&secrets, operator.id, code))
        .collect();
    store::enable_factor(&mut tx, operator.id, step, &digests, now).await?;
    sessions::end_all(&mut tx, operator.id, Some(&token)).await?;
    let (id, name) = (operator.id, &operator.name);
    let actor = Actor::from(&operator);
    note(&mut tx, &actor, Action::SecondFactorEnable, id, name, now).await?;
    tx.commit().await?;
    Ok(Json(RecoveryCodes {
        recovery_codes: codes,
    }))
}

/// The password once more, and a code.
#[derive(Deserialize, ToSchema)]
pub struct PasswordAndCode {
    /// The present one.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Six digits of the app, or a recovery code.
    code: String,
}

/// `POST /api/auth/second-factor/end`: switches the second factor off. Errors: 409 `SECOND_FACTOR_OFF`, 422
/// `WRONG_PASSWORD` and `WRONG_CODE`, 429.
#[utoipa::path(post, path = "/api/auth/second-factor/end", tag = "Auth", request_body = PasswordAndCode,
    responses((status = 200, body = Done),
        (status = 422, description = "The password or the code is wrong", body = ErrorEnvelope)))]
pub async fn end(
    operator: Operator,
    origin: Origin,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(sign_in): State<SignIn>,
    Json(request): Json<PasswordAndCode>,
) -> Result<Json<Done>, ApiError> {
    operator.in_person()?;
    let now = clock.now();
    check_password(&db, &sign_in, &operator, &origin, &request.password, now).await?;
    let mut tx = db.begin(operator.tenant).await?;
    if locked(&mut tx, operator.id).await?.since.is_none() {
        return Err(ApiError::conflict(
            "SECOND_FACTOR_OFF",
            "This account has no second factor",
        ));
    }
    if !is_right(&mut tx, &sign_in, &secrets, operator.id, &request.code, now).await? {
        return Err(wrong_code());
    }
    store::clear_factor(&mut tx, operator.id, now).await?;
    let (id, name) = (operator.id, &operator.name);
    let actor = Actor::from(&operator);
    note(&mut tx, &actor, Action::SecondFactorDisable, id, name, now).await?;
    tx.commit().await?;
    Ok(Json(Done {
        success: true,
        message: Some("The second factor is off"),
    }))
}

/// Checks a code of an account that has a second factor and uses it up, in the transaction. 429 after five
/// wrong ones.
pub(super) async fn is_right(
    tx: &mut Tx,
    sign_in: &SignIn,
    secrets: &Secrets,
    operator: OperatorId,
    code: &str,
    now: Timestamp,
) -> Result<bool, ApiError> {
    sign_in.try_code(operator, now)?;
    let factor = locked(tx, operator).await?;
    let sealed = factor.sealed.unwrap_or_default();
    let key = secrets.tenant(tx).await?;
    let clear = key.open(SECRET, operator.0, &sealed);
    let secret = Secret::from_bytes(clear.map_err(ApiError::internal)?);
    if let Some(step) = secret.step_of(code.trim(), factor.step, now) {
        store::use_step(tx, operator, step).await?;
    } else {
        let digest = digest(secrets, operator, code);
        if !factor.recovery_codes.contains(&digest) {
            return Ok(false);
        }
        store::use_recovery_code(tx, operator, &digest).await?;
    }
    sign_in.code_was_right(operator);
    Ok(true)
}

async fn locked(tx: &mut Tx, operator: OperatorId) -> Result<Factor, ApiError> {
    let factor = store::lock_factor(tx, operator).await?;
    factor.ok_or(ApiError::Unauthorized)
}

pub(super) async fn check_password(
    db: &Database,
    sign_in: &SignIn,
    operator: &Operator,
    origin: &Origin,
    password: &SecretString,
    now: Timestamp,
) -> Result<(), ApiError> {
    let email = Email::parse(&operator.email)
        .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("a stored e-mail address is none")))?;
    let key = Try::begin(sign_in, &email, origin.address, now)?;
    let account = {
        let mut tx = db.begin(operator.tenant).await?;
        let account = store::account(&mut tx, operator.id).await?;
        account.ok_or(ApiError::Unauthorized)?
    };
    let checked = sign_in
        .hasher
        .check(password, Some(&account.password_hash))
        .await?;
    if checked == Checked::Wrong {
        return Err(ApiError::unprocessable(
            "WRONG_PASSWORD",
            "The password is wrong",
        ));
    }
    key.succeeded(sign_in, now);
    Ok(())
}

fn wrong_code() -> ApiError {
    ApiError::unprocessable(
        "WRONG_CODE",
        "The code is wrong or was used before; wait for the next one and see that the phone's clock is right",
    )
}

fn digest(secrets: &Secrets, operator: OperatorId, code: &str) -> Vec<u8> {
    let key = secrets.derive("recovery codes 1");
    totp::recovery_digest(&key, operator.as_bytes(), code).to_vec()
}

/// An address inside a URI (RFC 3986 §2.1).
fn percent(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
