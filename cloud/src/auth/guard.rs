//! Stands before every handler: authenticates, checks the tenant's standing, the route's access and the
//! caller's rate.

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::IntoResponse;

use super::sessions::{self, Token};
use crate::App;
use crate::api::{Access, ClientAddress, GuardFuture, Idempotency, RequestId};
use crate::error::ApiError;

/// Lets the request through with its `Operator`, or answers in the handler's place.
pub fn guard(app: App, access: Access, request: Request, next: Next) -> GuardFuture {
    Box::pin(async move {
        match admit(&app, access, request).await {
            Ok(request) => next.run(request).await,
            Err(error) => error.into_response(),
        }
    })
}

async fn admit(app: &App, access: Access, mut request: Request) -> Result<Request, ApiError> {
    let address = *request
        .extensions()
        .get::<ClientAddress>()
        .unwrap_or(&ClientAddress([0, 0, 0, 0].into()));
    let (permissions, even_expired, platform) = match access {
        // A provider's calls come from few addresses, as many as there are payments; its handler counts
        // calls whose secret is wrong.
        Access::Token => return Ok(request),
        Access::Public => {
            app.limits.address(address.0)?;
            return Ok(request);
        }
        Access::SignedIn => (None, false, false),
        Access::SignedInEvenExpired => (None, true, false),
        Access::Any(permissions) => (Some(permissions), false, false),
        Access::Platform => (None, false, true),
    };
    let token = bearer(&request);
    let caller = match &token {
        Some(token) => sessions::caller(&app.db, token, app.clock.now()).await?,
        None => None,
    };
    let (Some(token), Some(caller)) = (token, caller) else {
        // Guessing tokens is hopeless; this keeps it cheap as well.
        app.limits.address(address.0)?;
        return Err(ApiError::Unauthorized);
    };
    app.limits.user(caller.tenant, caller.operator)?;
    caller.standing(even_expired)?;
    let id = request.extensions().get::<RequestId>().cloned();
    let operator = caller.into_operator(address.0, id.map_or_else(|| "".into(), |id| id.0));
    if let Some(permissions) = permissions {
        operator.require_any(permissions)?;
    }
    if platform && !operator.platform {
        return Err(ApiError::forbidden(
            "PLATFORM_ONLY",
            "Only the platform's own people may do this",
        ));
    }
    request.extensions_mut().insert(operator);
    request.extensions_mut().insert(token);
    Idempotency::prepare(request, &app.secrets).await
}

fn bearer(request: &Request) -> Option<Token> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    Token::parse(token.trim())
}
