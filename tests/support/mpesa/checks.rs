//! What Daraja checks of every call: token, password, stamp, number, address.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use easyisp_shared::time::Timestamp;

use super::payer::eat;
use super::refusal::Refusal;
use super::{App, Mpesa};

/// A stamp further off than this is in another time zone (UTC is three hours off).
const STAMP_TOLERANCE: Duration = Duration::from_secs(3600);

/// The application whose token the call carries.
pub(super) fn authorised(
    mpesa: &Mpesa,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<App, Refusal> {
    let state = mpesa.state();
    let token = scheme(headers, "Bearer ").and_then(|token| state.tokens.get(token));
    let token = token.filter(|token| now < token.until);
    let app = token.and_then(|token| state.apps.get(token.app));
    app.cloned()
        .ok_or_else(|| Refusal::new("404.001.03", "Invalid Access Token"))
}

/// Password and stamp of a push or query, made with this application's passkey.
pub(super) fn check_password(
    app: &App,
    shortcode: &str,
    password: &str,
    timestamp: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let local = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", timestamp).ok();
    let instant = local
        .filter(|_| timestamp.len() == 14)
        .and_then(|local| local.to_zoned(eat()).ok())
        .map(|zoned| Timestamp::from_jiff(zoned.timestamp()));
    let near = instant.is_some_and(|at| at.since(now).max(now.since(at)) <= STAMP_TOLERANCE);
    if !near {
        return Err(Refusal::field("Timestamp"));
    }
    if shortcode != app.shortcode {
        return Err(Refusal::new("500.001.1001", "Merchant does not exist"));
    }
    if password != BASE64.encode(format!("{shortcode}{}{timestamp}", app.passkey)) {
        return Err(Refusal::new("500.001.1001", "Wrong credentials"));
    }
    Ok(())
}

/// What follows `prefix` in the Authorization header.
pub(super) fn scheme<'h>(headers: &'h HeaderMap, prefix: &str) -> Option<&'h str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix(prefix)
}

/// Numbers may be written as JSON numbers or as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A Kenyan mobile number as M-Pesa writes it.
pub(super) fn is_mobile(phone: &str) -> bool {
    let kenyan = phone.starts_with("2547") || phone.starts_with("2541");
    kenyan && phone.len() == 12 && phone.bytes().all(|digit| digit.is_ascii_digit())
}

/// The real one takes https only; plain http is let through on loopback, where there is no certificate.
pub(super) fn is_callback_url(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let address = |host: &str| host.parse().is_ok_and(|host: Ipv4Addr| host.is_loopback());
    let loopback = url
        .host_str()
        .is_some_and(|host| ["localhost", "[::1]"].contains(&host) || address(host));
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}
