//! The person behind a request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use easyisp_shared::id::{ApiKeyId, OperatorId, SignInId, TenantId};
use easyisp_shared::time::Timestamp;

use crate::audit::Actor;
use crate::error::ApiError;
use crate::permission::{Permission, PermissionSet, Role};

/// How somebody came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// He signed in himself.
    Session,
    /// He signed in himself, in a browser that keeps the console's cookies.
    Console,
    /// A program with a key that he made.
    Key(ApiKeyId),
    /// Somebody of the platform, inside a tenant that is not his.
    Visit,
}

/// Who is asking: signed in, of a tenant in good standing, allowed on this route. A handler that takes one
/// must stand on a route that is not public.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Whose rows he may see.
    pub tenant: TenantId,
    /// Himself.
    pub id: OperatorId,
    /// For people.
    pub name: String,
    /// How he signs in.
    pub email: String,
    /// What he is.
    pub role: Role,
    /// What he may do.
    pub permissions: PermissionSet,
    /// Whether he belongs to the platform.
    pub platform: bool,
    /// How he came in.
    pub via: Via,
    /// The signing-in at the console that his token came of.
    pub family: Option<SignInId>,
    /// When he showed his password last, where that is known.
    pub proved_at: Option<Timestamp>,
    /// Where the request came from.
    pub address: IpAddr,
    /// Which request this is.
    pub request_id: Arc<str>,
}

impl Operator {
    /// 403 without `permission`.
    pub fn require(&self, permission: Permission) -> Result<(), ApiError> {
        self.require_any(&[permission])
    }

    /// 403 without at least one of `permissions`.
    pub fn require_any(&self, permissions: &[Permission]) -> Result<(), ApiError> {
        if self.permissions.has_any(permissions) {
            return Ok(());
        }
        let names: Vec<_> = permissions.iter().map(|p| p.name()).collect();
        Err(ApiError::forbidden(
            "PERMISSION_MISSING",
            format!(
                "You may not do this; ask the account's owner for the permission {}",
                names.join(" or ")
            ),
        ))
    }

    /// 403 without every one of `permissions`.
    pub fn require_all(&self, permissions: &[Permission]) -> Result<(), ApiError> {
        let lacking: Vec<_> = permissions.iter().filter(|p| !self.may(**p)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = lacking.iter().take(5).map(|p| p.name()).collect();
        Err(ApiError::forbidden(
            "BEYOND_YOURS",
            format!(
                "This would hand out permissions that you lack: {}; ask the account's owner",
                names.join(", ")
            ),
        ))
    }

    /// 403 for who did not sign in to this account himself.
    pub fn in_person(&self) -> Result<(), ApiError> {
        match self.via {
            Via::Session | Via::Console => Ok(()),
            Via::Key(_) | Via::Visit => Err(ApiError::forbidden(
                "PERSON_ONLY",
                "This is for a person who signed in to this account himself; neither an API key nor \
                 somebody of the platform may",
            )),
        }
    }

    /// 403 for who did not show his password in the last five minutes, or is not here himself.
    ///
    /// For what cannot be taken back, or shows a secret, on routes outside the web client's contract.
    pub fn fresh(&self, now: Timestamp) -> Result<(), ApiError> {
        self.in_person()?;
        match self.proved_at {
            Some(at) if now.since(at) <= FRESH => Ok(()),
            Some(_) | None => Err(ApiError::forbidden(
                "FRESH_LOGIN_REQUIRED",
                "Show your password again (POST /api/auth/confirm), and repeat this within five minutes",
            )),
        }
    }

    /// The same in the console alone, for a route of the web client's, which does not know of it.
    pub fn fresh_in_console(&self, now: Timestamp) -> Result<(), ApiError> {
        match self.via {
            Via::Console => self.fresh(now),
            Via::Session | Via::Key(_) | Via::Visit => Ok(()),
        }
    }

    /// Whether `permission` is his.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }
}

/// How long showing the password counts for what needs it.
const FRESH: Duration = Duration::from_secs(5 * 60);

impl From<&Operator> for Actor {
    fn from(operator: &Operator) -> Actor {
        let actor = Actor::person(operator.id, &operator.name, operator.address)
            .in_request(operator.request_id.clone());
        match operator.platform {
            true => actor.of_platform(),
            false => actor,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Operator, ApiError> {
        parts
            .extensions
            .get::<Operator>()
            .cloned()
            .ok_or(ApiError::Unauthorized)
    }
}
