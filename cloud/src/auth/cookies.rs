//! The console's cookies: which they are, how they are set, and from whose pages they count.

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};
use easyisp_shared::time::Timestamp;

use super::console::Pair;
use crate::config::Config;
use crate::error::ApiError;

/// The access token. The prefix makes a browser refuse it from another host or without TLS (loopback aside).
pub const ACCESS: &str = "__Host-easyisp";
/// The refresh token.
pub const REFRESH: &str = "__Host-easyisp-refresh";

/// The value of a cookie.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.filter_map(|line| line.to_str().ok());
    pairs
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}

/// What lets a browser keep both tokens until they end.
pub fn set(pair: &Pair, now: Timestamp) -> [HeaderValue; 2] {
    [
        cookie(ACCESS, &pair.access, pair.access_ends.since(now).as_secs()),
        cookie(
            REFRESH,
            &pair.refresh,
            pair.refresh_ends.since(now).as_secs(),
        ),
    ]
}

/// What lets a browser forget both.
pub fn forget() -> [HeaderValue; 2] {
    [cookie(ACCESS, "", 0), cookie(REFRESH, "", 0)]
}

fn cookie(name: &str, value: &str, secs: u64) -> HeaderValue {
    let text = format!("{name}={value}; Path=/; Max-Age={secs}; Secure; HttpOnly; SameSite=Lax");
    let mut header = HeaderValue::from_str(&text).expect("names and tokens are plain ASCII");
    header.set_sensitive(true);
    header
}

/// 403 unless a page of this server's own sends the request: a browser adds its cookies whoever asks.
pub fn check_origin(headers: &HeaderMap, config: &Config) -> Result<(), ApiError> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let own = text(ORIGIN)
        .is_some_and(|origin| is_own(origin, text(HOST), config.http.public_url.as_deref()));
    match own {
        true => Ok(()),
        false => Err(ApiError::forbidden(
            "FOREIGN_ORIGIN",
            "With the console's cookies only its own pages may ask this; programs send a bearer token or an \
             API key",
        )),
    }
}

/// Whether pages of `origin` are this server's: as it says it is reached, or as this request reached it, over
/// TLS or on the same machine.
fn is_own(origin: &str, host: Option<&str>, public_url: Option<&str>) -> bool {
    let public = public_url.map(|url| url.trim_end_matches('/'));
    if public.is_some_and(|public| public.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let (Some((scheme, from)), Some(host)) = (origin.split_once("://"), host) else {
        return false;
    };
    let name = from.rsplit_once(':').map_or(from, |(name, _port)| name);
    let near = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    from.eq_ignore_ascii_case(host) && (scheme == "https" || (scheme == "http" && near))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; __Host-easyisp=x=y"));
        headers.append(COOKIE, HeaderValue::from_static("__Host-easyisp-refresh=z"));
        assert_eq!(find(&headers, ACCESS), Some("x=y"));
        assert_eq!(find(&headers, REFRESH), Some("z"));
        assert_eq!(find(&headers, "b"), None);
    }

    #[test]
    fn only_pages_of_this_server_are_its_own() {
        let public = Some("https://isp.example.com/");
        assert!(is_own("https://isp.example.com", None, public));
        assert!(is_own("https://other.name", Some("other.name"), None));
        assert!(is_own(
            "http://127.0.0.1:8080",
            Some("127.0.0.1:8080"),
            None
        ));
        for (origin, host) in [
            ("null", "isp.example.com"),
            ("https://evil.example", "isp.example.com"),
            ("http://isp.example.com", "isp.example.com"),
            ("https://isp.example.com:444", "isp.example.com"),
            ("https://isp.example.com.evil.example", "isp.example.com"),
        ] {
            assert!(!is_own(origin, Some(host), public), "{origin}");
        }
    }
}
