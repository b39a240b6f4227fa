//! Stands before every handler: authenticates, checks the tenant's standing, the route's access and the
//! caller's rate.

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::IntoResponse;

use super::sessions::{self, ShownIn, Token};
use super::{cookies, keys};
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
    let shown = bearer(&request).or_else(|| in_cookie(&request));
    let now = app.clock.now();
    let caller = match &shown {
        Some(Shown::Session(token, how)) => sessions::caller(&app.db, (token, *how), now).await?,
        Some(Shown::Key(key)) => keys::caller(&app.db, key, now).await?,
        None => None,
    };
    let (Some(shown), Some(caller)) = (shown, caller) else {
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
    if platform && !(operator.platform && operator.in_person().is_ok()) {
        return Err(ApiError::forbidden(
            "PLATFORM_ONLY",
            "Only the platform's own people may do this",
        ));
    }
    request.extensions_mut().insert(operator);
    if let Shown::Session(token, how) = shown {
        if how == ShownIn::Cookie && !request.method().is_safe() {
            cookies::check_origin(request.headers(), &app.config)?;
        }
        request.extensions_mut().insert(token);
    }
    Idempotency::prepare(request, &app.secrets).await
}

/// What a request shows of who sends it.
enum Shown {
    Session(Token, ShownIn),
    Key(Token),
}

fn bearer(request: &Request) -> Option<Shown> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let token = token.trim();
    let key = || keys::parse(token).map(Shown::Key);
    let session = |token| Shown::Session(token, ShownIn::Header);
    Token::parse(token).map(session).or_else(key)
}

fn in_cookie(request: &Request) -> Option<Shown> {
    let token = Token::parse(cookies::find(request.headers(), cookies::ACCESS)?)?;
    Some(Shown::Session(token, ShownIn::Cookie))
}
