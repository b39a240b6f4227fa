//! Accounts, sessions and permissions: who is asking, and may he.
//!
//! Everyone needs the same one, so other folders call these functions and never write these tables.

mod attempts;
pub mod console;
mod cookies;
mod guard;
mod http;
pub mod keys;
mod operator;
mod origin;
mod password;
pub mod recovery;
mod rules;
pub mod sessions;
mod store;
mod totp;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::OperatorId;
use easyisp_shared::time::Timestamp;
use secrecy::SecretString;

use crate::api::{Access, Routes, routes};
use crate::config::Limits;
use crate::db::{Database, Tx};
use crate::error::{ApiError, FieldError, violated};
use crate::secrets::Secrets;

pub use crate::permission::{Permission, PermissionSet, Role, effective};
use attempts::Attempts;
pub use guard::guard;
pub use http::{Done, SignedIn, User, bad_email};
pub use operator::{Operator, Via};
pub use origin::Origin;
pub use password::{Checked, Hasher};
pub use rules::{Email, check_password};
pub use sessions::{Standing, StandingRow, TenantStatus, Token};

/// The routes of `/api/auth`, but for registration, which makes a tenant; and of API keys.
pub fn routes() -> Routes {
    Routes::new()
        .route(Access::Public, routes!(http::login))
        .route(Access::SignedInEvenExpired, routes!(http::logout))
        .route(Access::SignedInEvenExpired, routes!(http::me))
        .route(Access::SignedInEvenExpired, routes!(http::refresh))
        .route(
            Access::Public,
            routes!(http::browser::sign_in, http::browser::sign_out),
        )
        .route(Access::Public, routes!(http::browser::refresh))
        .route(Access::Public, routes!(http::recovery::forgot))
        .route(Access::Public, routes!(http::recovery::reset))
        .page(Access::Public, "/console/reset", http::recovery::page)
        .page(Access::Public, "/console/reset.js", http::recovery::script)
        .route(Access::SignedIn, routes!(http::confirm::confirm))
        .route(Access::SignedIn, routes!(http::password))
        .route(
            Access::SignedIn,
            routes!(http::mine::list, http::mine::end_others),
        )
        .route(Access::SignedIn, routes!(http::mine::end))
        .route(
            Access::SignedIn,
            routes!(http::factor::state, http::factor::begin),
        )
        .route(Access::SignedIn, routes!(http::factor::confirm))
        .route(Access::SignedIn, routes!(http::factor::end))
        .route(
            Access::Any(&[Permission::SettingsGeneral]),
            routes!(http::keys::list, http::keys::create),
        )
        .route(
            Access::Any(&[Permission::SettingsGeneral]),
            routes!(http::keys::revoke),
        )
}

/// What signing in needs besides the database. Cloning shares it.
#[derive(Clone)]
pub struct SignIn {
    hasher: Hasher,
    attempts: Arc<Mutex<Attempts>>,
}

impl SignIn {
    /// With the pepper that belongs to the master key.
    pub fn new(secrets: &Secrets, limits: &Limits, entropy: Entropy) -> SignIn {
        let aim = Duration::from_millis(limits.password_millis.into());
        SignIn {
            hasher: Hasher::new(secrets.derive("password pepper 1"), aim, entropy),
            attempts: Arc::new(Mutex::new(Attempts::new(limits))),
        }
    }

    /// Checks a new password and makes its hash; `field` is how the request calls it.
    pub async fn new_password(
        &self,
        field: &str,
        password: &SecretString,
        email: &Email,
    ) -> Result<String, ApiError> {
        check_password(field, password, email.as_str())
            .map_err(|error: FieldError| ApiError::fields(vec![error]))?;
        self.hasher.hash(password).await
    }

    /// A password that nobody chose, and its hash: 16 letters of 32, which is 80 bits.
    pub async fn temporary_password(&self) -> Result<(SecretString, String), ApiError> {
        let password = self.hasher.invent();
        let hash = self.hasher.hash(&password).await?;
        Ok((password, hash))
    }

    /// 429 when this address registered too often.
    pub fn register(&self, address: IpAddr, now: Timestamp) -> Result<(), ApiError> {
        self.attempts()
            .register(crate::api::one_network(address), now)
            .map_err(|retry_after| ApiError::TooManyRequests { retry_after })
    }

    /// 429 when too many mails with a reset link were asked for.
    fn reset(&self, email: &Email, address: IpAddr, now: Timestamp) -> Result<(), ApiError> {
        self.attempts()
            .reset(email.digest(), crate::api::one_network(address), now)
            .map_err(|retry_after| ApiError::TooManyRequests { retry_after })
    }

    /// 429 when this account sent too many pictures.
    pub fn picture(&self, operator: OperatorId, now: Timestamp) -> Result<(), ApiError> {
        self.attempts()
            .picture(operator, now)
            .map_err(|retry_after| ApiError::TooManyRequests { retry_after })
    }

    /// Counts a code of a second factor as wrong; 429 after five.
    fn try_code(&self, operator: OperatorId, now: Timestamp) -> Result<(), ApiError> {
        self.attempts()
            .code(operator, now)
            .map_err(|retry_after| ApiError::TooManyRequests { retry_after })
    }

    fn code_was_right(&self, operator: OperatorId) {
        self.attempts().code_was_right(&operator);
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts
            .lock()
            .expect("no code panics under this lock")
    }
}

/// A new person.
#[derive(Debug)]
pub struct NewOperator<'a> {
    /// For people.
    pub name: &'a str,
    /// How he signs in.
    pub email: &'a Email,
    /// Free text.
    pub phone: Option<&'a str>,
    /// What he is.
    pub role: Role,
    /// From [`SignIn::new_password`].
    pub password_hash: &'a str,
    /// Names of permissions beyond the role's.
    pub added_permissions: &'a [String],
    /// Names of permissions that the role has and he has not.
    pub removed_permissions: &'a [String],
}

/// Adds a person to the transaction's tenant; 409 when the e-mail address is taken anywhere.
pub async fn create_operator(
    tx: &mut Tx,
    new: &NewOperator<'_>,
    now: Timestamp,
) -> Result<OperatorId, ApiError> {
    let id = OperatorId::new(now, &tx.entropy());
    if !store::claim_login(tx, &new.email.digest(), id).await? {
        return Err(email_taken());
    }
    let row = store::NewOperatorRow {
        id,
        email: new.email.as_str(),
        name: new.name,
        phone: new.phone,
        role: new.role,
        password_hash: new.password_hash,
        added_permissions: new.added_permissions,
        removed_permissions: new.removed_permissions,
    };
    store::insert_operator(tx, &row, now).await?;
    Ok(id)
}

fn email_taken() -> ApiError {
    ApiError::conflict(
        "EMAIL_TAKEN",
        "This e-mail address already has an account; sign in, or use another address",
    )
}

/// Lets an operator sign in with another e-mail address; 409 when it is taken anywhere, and then the
/// transaction is lost.
pub async fn move_login(tx: &mut Tx, operator: OperatorId, email: &Email) -> Result<(), ApiError> {
    // A link in the earlier mailbox is worth nothing.
    store::delete_resets(tx, operator).await?;
    store::move_login(tx, operator, &email.digest())
        .await
        .map_err(|error| match violated(&error) {
            Some("logins_pkey") => email_taken(),
            Some(_) | None => error.into(),
        })
}

/// Ends an operator's sessions and frees his e-mail address; the transaction has deleted him before.
pub async fn forget_login(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<()> {
    sessions::end_all(tx, operator, None).await?;
    store::forget_login(tx, operator).await
}

/// Sets a password that somebody else was told, and ends the operator's sessions and API keys: whoever had the
/// account before has neither.
pub async fn set_temporary_password(
    tx: &mut Tx,
    operator: OperatorId,
    hash: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    store::set_password(tx, operator, hash, Some(now.plus(TEMPORARY)), now).await?;
    store::delete_resets(tx, operator).await?;
    store::revoke_keys_of(tx, operator, now).await?;
    sessions::end_all(tx, operator, None).await
}

/// How long a password is good that somebody else was told.
const TEMPORARY: Duration = Duration::from_secs(3 * 86_400);

/// Gives an operator the platform's right.
pub async fn make_platform(tx: &mut Tx, operator: OperatorId, now: Timestamp) -> sqlx::Result<()> {
    store::make_platform(tx, operator, now).await
}

/// Whether an operator holds the platform's right.
pub async fn is_platform(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<bool> {
    store::is_platform(tx, operator).await
}

/// Takes the platform's right from one of the tenant's operators.
pub async fn end_platform(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<()> {
    store::end_platform(tx, operator).await
}

/// Gives an operator a picture; returns him as the web client keeps him.
pub async fn set_profile_picture(
    tx: &mut Tx,
    operator: OperatorId,
    path: &str,
    now: Timestamp,
) -> Result<User, ApiError> {
    store::set_profile_picture(tx, operator, path, now).await?;
    let account = store::account(tx, operator).await?;
    Ok(User::of(
        tx.tenant(),
        account.ok_or(ApiError::Unauthorized)?,
    ))
}

/// Whether an operator has a second factor.
pub async fn has_second_factor(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<bool> {
    let factor = store::lock_factor(tx, operator).await?;
    Ok(factor.is_some_and(|factor| factor.since.is_some()))
}

/// Forgets an operator's second factor: his phone is lost, and his recovery codes as well.
pub async fn forget_second_factor(
    tx: &mut Tx,
    operator: OperatorId,
    now: Timestamp,
) -> sqlx::Result<()> {
    store::clear_factor(tx, operator, now).await
}

/// An operator as the web client stores him, with a new token.
pub async fn sign_in(
    tx: &mut Tx,
    secrets: &Secrets,
    operator: OperatorId,
    origin: &Origin,
    now: Timestamp,
) -> Result<SignedIn, ApiError> {
    let account = store::account(tx, operator).await?;
    let account = account.ok_or(ApiError::Unauthorized)?;
    Ok(SignedIn {
        user: User::of(tx.tenant(), account),
        token: sessions::begin(tx, secrets, (operator, Some(now)), origin, now).await?,
    })
}

/// Forgets sessions that ended; returns how many.
pub async fn forget_sessions(db: &Database, now: Timestamp) -> sqlx::Result<u64> {
    let mut directory = db.directory().await?;
    let gone = store::forget_sessions(&mut directory, now).await?;
    store::forget_resets(&mut directory, now).await?;
    directory.commit().await?;
    Ok(gone)
}
