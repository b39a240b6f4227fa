//! Signing in and out, and what a signed-in person may do with his own account.

pub mod browser;
pub mod confirm;
pub mod factor;
pub mod keys;
pub mod mine;
pub mod recovery;

use std::net::IpAddr;

use axum::extract::State;
use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::time::{Clock, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sessions::{self, Token};
use super::store::{self, AccountRow};
use super::{Checked, Email, Operator, Origin, Role, SignIn, Via, console, totp};
use crate::api::{ClientAddress, Json, blank, one_network};
use crate::audit::{self, Action, Actor, Audit};
use crate::db::{Database, Tx};
use crate::error::{ApiError, ErrorEnvelope};
use crate::secrets::Secrets;

/// The signed-in person as the web client keeps him; it decides all page access from this.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The operator.
    pub id: OperatorId,
    /// For people.
    pub name: String,
    /// How he signs in.
    pub email: String,
    /// Brings default permissions.
    pub role: Role,
    /// His tenant.
    pub tenant_id: TenantId,
    /// Permissions beyond the role's.
    pub added_permissions: Vec<String>,
    /// Permissions that the role has and he has not.
    pub removed_permissions: Vec<String>,
    /// Path of his picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_picture: Option<String>,
}

impl User {
    pub(super) fn of(tenant: TenantId, account: AccountRow) -> User {
        User {
            id: account.id,
            name: account.name,
            email: account.email,
            role: account.role,
            tenant_id: tenant,
            added_permissions: account.added_permissions,
            removed_permissions: account.removed_permissions,
            profile_picture: account.profile_picture,
        }
    }
}

impl User {
    /// Somebody of the platform, inside a tenant that is not his.
    pub fn visiting(tenant: TenantId, visitor: &Operator) -> User {
        User {
            id: visitor.id,
            name: visitor.name.clone(),
            email: visitor.email.clone(),
            role: Role::SuperAdmin,
            tenant_id: tenant,
            added_permissions: Vec::new(),
            removed_permissions: super::keys::NEVER.map(|p| p.name().to_owned()).into(),
            profile_picture: None,
        }
    }
}

/// A person and his new token.
#[derive(Clone, Serialize, ToSchema)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// For `Authorization: Bearer …`, good for seven days.
    pub token: String,
}

/// What one signs in with.
#[derive(Deserialize, ToSchema)]
pub struct Login {
    /// The account.
    pub email: String,
    /// Its password.
    #[schema(value_type = String, format = Password)]
    pub password: SecretString,
    /// Where the account has a second factor: six digits of the app, or a recovery code. A form without a
    /// field for it may send the six digits after the password, with a space between.
    #[serde(default, deserialize_with = "blank::option")]
    pub otp: Option<String>,
}

/// `POST /api/auth/login`: a token for an e-mail address and its password.
///
/// A wrong password and an unknown address get the same answer after the same time. The owner of an expired
/// tenant may sign in, so that he can pay; its staff may not.
#[utoipa::path(post, path = "/api/auth/login", tag = "Auth", request_body = Login, responses(
    (status = 200, body = SignedIn),
    (status = 401, description = "Wrong e-mail address or password", body = ErrorEnvelope),
    (status = 403, description = "Suspended or expired, with the reason; or a code is missing or wrong",
        body = ErrorEnvelope),
    (status = 429, description = "Too many tries; see Retry-After", body = ErrorEnvelope),
))]
pub async fn login(
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    State(secrets): State<Secrets>,
    origin: Origin,
    Json(login): Json<Login>,
) -> Result<Json<SignedIn>, ApiError> {
    let now = clock.now();
    let (mut tx, account) = prove(&db, &sign_in, &secrets, &origin, login, now).await?;
    let signed_in = super::sign_in(&mut tx, &secrets, account.id, &origin, now).await?;
    tx.commit().await?;
    Ok(Json(signed_in))
}

/// Checks what somebody signs in with; the transaction that this returns has locked his account and says in the
/// trail that he is in.
pub(super) async fn prove(
    db: &Database,
    sign_in: &SignIn,
    secrets: &Secrets,
    origin: &Origin,
    login: Login,
    now: Timestamp,
) -> Result<(Tx, AccountRow), ApiError> {
    let address = origin.address;
    let email = Email::parse(&login.email).ok_or_else(|| bad_email("email"))?;
    let key = Try::begin(sign_in, &email, address, now)?;

    let account = find(db, &email).await?;
    let stored = account
        .as_ref()
        .map(|(_, account)| account.password_hash.as_str());
    let asks = account
        .as_ref()
        .is_some_and(|(_, account)| account.second_factor);
    let (password, code) = shown(login, asks);
    let checked = sign_in.hasher.check(&password, stored).await?;
    let (Some((tenant, account)), Checked::Right | Checked::Stale) = (account, checked) else {
        return Err(ApiError::BadCredentials);
    };
    key.succeeded(sign_in, now);
    sessions::may_sign_in(&account, now)?;

    let renewed_hash = match checked {
        Checked::Stale => Some(sign_in.hasher.hash(&password).await?),
        Checked::Right | Checked::Wrong => None,
    };

    let mut tx = db.begin(tenant).await?;
    // Hashing took a while: the password may be another by now.
    if store::lock_account(&mut tx, account.id).await?.as_ref() != Some(&account.password_hash) {
        return Err(ApiError::BadCredentials);
    }
    if let Some(hash) = renewed_hash {
        store::set_password(&mut tx, account.id, &hash, account.password_expires_at, now).await?;
    }
    code_is_right(&mut tx, sign_in, secrets, account.id, code, now).await?;
    let actor = Actor::person(account.id, &account.name, address);
    let (id, name) = (account.id, &account.name);
    note(&mut tx, &actor, Action::Login, id, name, now).await?;
    Ok((tx, account))
}

/// Checks the code of an account that has a second factor and uses it up; 403 where it is missing or wrong.
pub(super) async fn code_is_right(
    tx: &mut Tx,
    sign_in: &SignIn,
    secrets: &Secrets,
    operator: OperatorId,
    code: Option<String>,
    now: Timestamp,
) -> Result<(), ApiError> {
    if !super::has_second_factor(tx, operator).await? {
        return Ok(());
    }
    let code = code.ok_or_else(code_missing)?;
    match factor::is_right(tx, sign_in, secrets, operator, &code, now).await? {
        true => Ok(()),
        false => Err(ApiError::forbidden(
            "WRONG_CODE",
            "The code is wrong or was used before; wait for the next one, or use a recovery code",
        )),
    }
}

/// Password and code, which may stand after the password where the account has a second factor.
fn shown(login: Login, asks: bool) -> (SecretString, Option<String>) {
    if asks
        && login.otp.is_none()
        && let Some((password, code)) = totp::split(login.password.expose_secret())
    {
        return (SecretString::from(password), Some(code.to_owned()));
    }
    (login.password, login.otp)
}

fn code_missing() -> ApiError {
    ApiError::forbidden(
        "OTP_REQUIRED",
        "This account has a second factor: send the six digits of the app as otp; where there is no field \
         for them, type them after the password with a space between",
    )
}

/// A try to sign in, counted as failed until it succeeds.
struct Try {
    account: [u8; 32],
    address: IpAddr,
}

impl Try {
    fn begin(
        sign_in: &SignIn,
        email: &Email,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Try, ApiError> {
        let this = Try {
            account: email.digest(),
            address: one_network(address),
        };
        sign_in
            .attempts()
            .begin(this.account, this.address, now)
            .map_err(|retry_after| ApiError::TooManyRequests { retry_after })?;
        Ok(this)
    }

    fn succeeded(&self, sign_in: &SignIn, now: Timestamp) {
        sign_in
            .attempts()
            .succeeded(&self.account, &self.address, now);
    }
}

pub(super) async fn find(
    db: &Database,
    email: &Email,
) -> sqlx::Result<Option<(TenantId, AccountRow)>> {
    let mut directory = db.glance().await?;
    let login = store::login(&mut directory, &email.digest()).await?;
    drop(directory);
    let Some((tenant, operator)) = login else {
        return Ok(None);
    };
    let mut tx = db.begin(tenant).await?;
    let account = store::account(&mut tx, operator).await?;
    Ok(account.map(|account| (tenant, account)))
}

/// Done.
#[derive(Serialize, ToSchema)]
pub struct Done {
    /// Always true.
    pub success: bool,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
}

/// `POST /api/auth/logout`: ends this token at once. A repeat is a 401, since the token is gone.
#[utoipa::path(post, path = "/api/auth/logout", tag = "Auth", responses((status = 200, body = Done)))]
pub async fn logout(
    operator: Operator,
    token: Token,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<Done>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    sessions::end(&mut tx, &token).await?;
    console::end(&mut tx, &operator).await?;
    let actor = Actor::from(&operator);
    note(
        &mut tx,
        &actor,
        Action::Logout,
        operator.id,
        &operator.name,
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Done {
        success: true,
        message: None,
    }))
}

/// `GET /api/auth/me`: the signed-in person, as login returned him.
#[utoipa::path(get, path = "/api/auth/me", tag = "Auth", responses((status = 200, body = User)))]
pub async fn me(operator: Operator, State(db): State<Database>) -> Result<Json<User>, ApiError> {
    if operator.via == Via::Visit {
        return Ok(Json(User::visiting(operator.tenant, &operator)));
    }
    let mut tx = db.begin(operator.tenant).await?;
    let account = store::account(&mut tx, operator.id).await?;
    let account = account.ok_or(ApiError::Unauthorized)?;
    Ok(Json(User::of(operator.tenant, account)))
}

/// A new token.
#[derive(Serialize, ToSchema)]
pub struct Refreshed {
    /// Good for seven days from now.
    pub token: String,
}

/// `POST /api/auth/refresh`: a new token for this one, which ends ten seconds later.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "Auth", responses((status = 200, body = Refreshed)))]
pub async fn refresh(
    operator: Operator,
    token: Token,
    origin: Origin,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
) -> Result<Json<Refreshed>, ApiError> {
    operator.in_person()?;
    if operator.via == Via::Console {
        return Err(ApiError::bad_request(
            "CONSOLE_SESSION",
            "The console's tokens are replaced at POST /api/console/session/refresh",
        ));
    }
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let whose = (operator.id, operator.proved_at);
    let token = sessions::replace(&mut tx, &secrets, whose, &token, &origin, now).await?;
    let token = token.ok_or(ApiError::Unauthorized)?;
    tx.commit().await?;
    Ok(Json(Refreshed { token }))
}

/// A change of one's own password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordChange {
    /// The present one.
    #[schema(value_type = String, format = Password)]
    pub old_password: SecretString,
    /// The next one: 12 to 128 characters.
    #[schema(value_type = String, format = Password)]
    pub new_password: SecretString,
}

/// `PUT /api/auth/password`: changes one's own password and ends one's other sessions.
///
/// A wrong old password is 422, never 401: the client drops its session on every 401.
#[utoipa::path(put, path = "/api/auth/password", tag = "Auth", request_body = PasswordChange, responses(
    (status = 200, body = Done),
    (status = 400, description = "The new password is too short or too common", body = ErrorEnvelope),
    (status = 422, description = "The old password is wrong", body = ErrorEnvelope),
    (status = 429, description = "Too many tries; see Retry-After", body = ErrorEnvelope),
))]
pub async fn password(
    operator: Operator,
    token: Token,
    ClientAddress(address): ClientAddress,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    Json(change): Json<PasswordChange>,
) -> Result<Json<Done>, ApiError> {
    operator.in_person()?;
    let now = clock.now();
    let email = Email::parse(&operator.email)
        .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("a stored e-mail address is none")))?;
    let key = Try::begin(&sign_in, &email, address, now)?;

    let account = {
        let mut tx = db.begin(operator.tenant).await?;
        let account = store::account(&mut tx, operator.id).await?;
        account.ok_or(ApiError::Unauthorized)?
    };
    let checked = sign_in
        .hasher
        .check(&change.old_password, Some(&account.password_hash))
        .await?;
    if checked == Checked::Wrong {
        return Err(ApiError::unprocessable(
            "WRONG_PASSWORD",
            "The old password is wrong",
        ));
    }
    key.succeeded(&sign_in, now);
    let hash = sign_in
        .new_password("newPassword", &change.new_password, &email)
        .await?;

    let mut tx = db.begin(operator.tenant).await?;
    if store::lock_account(&mut tx, operator.id).await?.as_ref() != Some(&account.password_hash) {
        return Err(ApiError::conflict(
            "PASSWORD_CHANGED",
            "The password was changed at the same moment, from elsewhere; sign in again",
        ));
    }
    store::set_password(&mut tx, operator.id, &hash, None, now).await?;
    store::delete_resets(&mut tx, operator.id).await?;
    sessions::end_all(&mut tx, operator.id, Some(&token)).await?;
    let actor = Actor::from(&operator);
    note(
        &mut tx,
        &actor,
        Action::PasswordChange,
        operator.id,
        &operator.name,
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Done {
        success: true,
        message: Some("The password was changed; other sessions were signed out"),
    }))
}

/// 400 about an e-mail address.
pub fn bad_email(field: &str) -> ApiError {
    ApiError::field(field, "must be an e-mail address such as name@example.com")
}

async fn note(
    tx: &mut Tx,
    actor: &Actor,
    action: Action,
    operator: OperatorId,
    name: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    audit::record(
        tx,
        actor,
        Audit::new(action, "operator", operator, name),
        now,
    )
    .await?;
    Ok(())
}
