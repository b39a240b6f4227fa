//! What happens to every request, whatever its route: an id, the caller's address, a time limit, the
//! security headers, and errors as envelopes (panics and the framework's own refusals too).

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    IF_MATCH, REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use easyisp_shared::entropy::Entropy;
use futures_util::FutureExt;
use ipnet::IpNet;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;

use super::json::Json;
use crate::error::{ApiError, ErrorEnvelope};
use crate::metrics::Metrics;

/// How long a handler, reading its body included, may take.
const TIME: Duration = Duration::from_secs(30);

/// Names a request in answers and logs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestId(pub Arc<str>);

/// Where a request came from: the peer, or what a trusted proxy says in X-Forwarded-For.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientAddress(pub IpAddr);

/// What [`commons`] needs to know.
#[derive(Clone)]
pub struct Commons {
    /// Origins whose pages may call the API.
    pub allowed_origins: Vec<String>,
    /// Whose word on the caller's address counts.
    pub trusted_proxies: Vec<IpNet>,
    /// For request ids.
    pub entropy: Entropy,
    /// Where requests are counted.
    pub metrics: Metrics,
}

/// Wraps every route, and what no route takes.
pub fn commons(router: Router, commons: Commons) -> Router {
    let cors = cors(&commons.allowed_origins);
    router
        .fallback(|| async { ApiError::NotFound("address") })
        .layer(cors)
        .layer(axum::middleware::from_fn_with_state(
            Arc::new(commons),
            around,
        ))
}

async fn around(State(commons): State<Arc<Commons>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = RequestId(hex::encode(commons.entropy.bytes::<8>()).into());
    let address = client_address(peer(&request), request.headers(), &commons.trusted_proxies);
    let address = ClientAddress(address);
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(address);

    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route
        .as_ref()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("request", id = %id.0, %method, route);

    let answer = AssertUnwindSafe(tokio::time::timeout(TIME, next.run(request))).catch_unwind();
    let response = async {
        match answer.await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => ApiError::Unavailable {
                message: "The request took too long and was given up; try again".to_owned(),
            }
            .into_response(),
            Err(panic) => ApiError::Internal(anyhow::anyhow!("panicked: {}", panic_text(&*panic)))
                .into_response(),
        }
    }
    .instrument(span.clone())
    .await;

    let mut response = enveloped(response, &id);
    protect(&path, response.headers_mut());
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-request-id"), id);
    }
    let status = response.status();
    let took = begun.elapsed();
    commons
        .metrics
        .request(method.as_str(), &route, status, took);
    tracing::debug!(parent: &span, status = status.as_u16(), took_ms = took.as_millis(), "Answered {method} {route} with {}", status.as_u16());
    response
}

/// Every error as an envelope with the request's id; the framework's own plain texts are replaced.
fn enveloped(response: Response, id: &RequestId) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let ours = response.extensions().get::<Arc<ErrorEnvelope>>().cloned();
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let (response, envelope) = match ours {
        Some(envelope) => (response, envelope),
        None if is_json => return response, // a stored answer, or a health report
        None => {
            let error = framework_error(status);
            let own = error.into_response();
            let envelope = own.extensions().get::<Arc<ErrorEnvelope>>().cloned();
            (own, envelope.expect("every ApiError carries its envelope"))
        }
    };
    let envelope = ErrorEnvelope {
        request_id: Some(id.0.as_ref().to_owned()),
        ..(*envelope).clone()
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    let mut whole = Json(envelope).into_response();
    *whole.status_mut() = parts.status;
    for (name, value) in &parts.headers {
        if name != CONTENT_TYPE {
            whole.headers_mut().append(name, value.clone());
        }
    }
    whole
}

/// What axum itself refuses, in our words.
fn framework_error(status: StatusCode) -> ApiError {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => ApiError::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge {
            limit: super::MAX_JSON,
        },
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ApiError::UnsupportedMediaType {
            expected: "application/json",
        },
        StatusCode::NOT_FOUND => ApiError::NotFound("address"),
        status if status.is_server_error() => {
            ApiError::Internal(anyhow::anyhow!("answered {status} without an envelope"))
        }
        _ => ApiError::bad_request("BAD_REQUEST", "The request cannot be understood"),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// The headers that keep a browser from doing with our answers what we did not mean.
fn protect(path: &str, headers: &mut HeaderMap) {
    const CSP: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; \
                       frame-ancestors 'none'; form-action 'self'";
    let elsewhere = path.starts_with("/uploads/") || is_of_routers(path);
    let fixed = [
        (
            STRICT_TRANSPORT_SECURITY,
            "max-age=31536000; includeSubDomains",
        ),
        (CONTENT_SECURITY_POLICY, CSP),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            if elsewhere {
                "cross-origin"
            } else {
                "same-origin"
            },
        ),
    ];
    for (name, value) in fixed {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if path.starts_with("/api/") {
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
    }
}

fn peer(request: &Request) -> IpAddr {
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
    connection.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| {
        peer.ip().to_canonical()
    })
}

/// The peer, unless it is a proxy of ours: then the last address in X-Forwarded-For that is not. What stands
/// before something that is no address was written by nobody we know.
fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let trusted = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    if !trusted(&peer) {
        return peer;
    }
    let parts: Vec<Option<IpAddr>> = headers
        .get_all("x-forwarded-for")
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(forwarded)
        .collect();
    let known = parts.into_iter().rev().map_while(|part| part);
    let mut known = known.skip_while(trusted);
    known.next().unwrap_or(peer)
}

/// One address as proxies write it: alone, or with a port.
fn forwarded(part: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(part).ok()?.trim();
    let address: Option<IpAddr> = text.parse().ok();
    let address = address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address| address.to_canonical())
}

/// What the pages on routers load from here, whatever address these have.
fn is_of_routers(path: &str) -> bool {
    path.starts_with("/provision/hotspot/") || path.starts_with("/provision/hotspot-config/")
}

/// Operators' pages come from a configured list; captive portals from routers nobody knows, so
/// `/api/portal/`, and what their pages load, answers any origin. Never with credentials: the console's cookies are for its
/// own pages.
fn cors(allowed: &[String]) -> CorsLayer {
    let allowed: Vec<HeaderValue> = allowed
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, parts| {
            let path = parts.uri.path();
            path.starts_with("/api/portal/") || is_of_routers(path) || allowed.contains(origin)
        }))
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers([
            CONTENT_TYPE,
            AUTHORIZATION,
            HeaderName::from_static("x-requested-with"),
            HeaderName::from_static("idempotency-key"),
            IF_MATCH,
        ])
        .expose_headers([ETAG, RETRY_AFTER])
        .max_age(Duration::from_secs(3600))
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<RequestId, ApiError> {
        let id = parts.extensions.get().cloned();
        id.ok_or_else(|| ApiError::Internal(anyhow::anyhow!("a request without an id")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<ClientAddress, ApiError> {
        let address = parts.extensions.get().copied();
        address.ok_or_else(|| ApiError::Internal(anyhow::anyhow!("a request without an address")))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_what_our_own_proxies_wrote_is_believed() {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let client = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            client_address(peer.parse().unwrap(), &headers, &proxies).to_string()
        };
        // A stranger may say what he likes.
        assert_eq!(client("203.0.113.9", &["192.0.2.1"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            client("10.0.0.1", &["192.0.2.1, 198.51.100.7, 10.0.0.2"]),
            "198.51.100.7"
        );
        assert_eq!(
            client("10.0.0.1", &["192.0.2.1", "198.51.100.7"]),
            "198.51.100.7"
        );
        assert_eq!(
            client("10.0.0.1", &["192.0.2.1, 198.51.100.7:55123"]),
            "198.51.100.7"
        );
        assert_eq!(
            client("10.0.0.1", &["192.0.2.1, [2001:db8::7]:443"]),
            "2001:db8::7"
        );
        // Our proxy met somebody it cannot name: what he wrote before that counts for nothing.
        assert_eq!(client("10.0.0.1", &["192.0.2.1, unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.1, , 10.0.0.2"]), "10.0.0.1");
    }
}
