//! What a page is called at the device and in the browser, and what may pass between the two.
//!
//! A device believes that it is asked at its own address; a browser, that everything is of the way's. Whatever is of the
//! console's or of another way's stays with the browser, and whatever would outlive the way, or reach beyond its page, stays
//! with the device.

use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, COOKIE, EXPECT, HOST,
    LOCATION, ORIGIN, REFERER, REFERRER_POLICY, REFRESH, SET_COOKIE, UPGRADE,
};
use axum::http::request::Parts as Asked;
use axum::http::response::Parts as Answered;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use reqwest::Url;

/// Both names of a page.
pub struct Names {
    /// `http://10.0.0.7:8080/`.
    device: Url,
    /// `https://k3f9.devices.isp.example.com:42017/`.
    own: Url,
    /// Of the browser that came in.
    cookie: String,
    /// What the names of the device's cookies begin with in a browser that would tell them to other ways as well: it
    /// keeps cookies by name and not by port. None where the way has a name of its own.
    apart: Option<String>,
}

/// Why a request does not reach the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// It was not sent to this name.
    OtherName,
    /// Another page sent it.
    OtherPage,
    /// No page needs it.
    Needless,
    /// It asks for another protocol.
    Upgrade,
}

/// The device leads elsewhere, where the way does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elsewhere;

impl Names {
    /// Of a way that `tag` names and no other; `shared` where other ways have the same name, at other ports.
    pub fn new(device: Url, own: Url, tag: &str, shared: bool) -> Names {
        let prefix = if is_safe(&own) { "__Host-" } else { "" };
        Names {
            cookie: format!("{prefix}{OURS}way-{tag}"),
            apart: shared.then(|| format!("way-{tag}-")),
            device,
            own,
        }
    }

    /// How a browser comes here.
    pub fn own(&self) -> &Url {
        &self.own
    }

    /// Where the page is.
    pub fn device(&self) -> &Url {
        &self.device
    }

    /// Whether a request was sent to this name: a name of somebody else's may lead here too.
    pub fn named(&self, headers: &HeaderMap) -> Result<(), Kept> {
        let named = text(headers, &HOST).unwrap_or_default();
        let is_own = named.eq_ignore_ascii_case(&authority(&self.own));
        is_own.then_some(()).ok_or(Kept::OtherName)
    }

    /// What the browser holds that came in.
    pub fn shown<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let mut all = cookies(headers).filter_map(|cookie| cookie.split_once('='));
        all.find_map(|(name, value)| (name == self.cookie).then_some(value))
    }

    /// What lets a browser hold it: no script, no other name and no page of others.
    pub fn given(&self, value: &str) -> Option<HeaderValue> {
        let secure = if is_safe(&self.own) { "; Secure" } else { "" };
        let cookie = format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}",
            self.cookie
        );
        let mut given = HeaderValue::from_str(&cookie).ok()?;
        given.set_sensitive(true);
        Some(given)
    }

    /// Turns a request into what the device is to see, or says why it is to see nothing of it.
    pub fn towards_device(&self, asked: &mut Asked) -> Result<(), Kept> {
        let headers = &mut asked.headers;
        if asked.method == Method::CONNECT
            || asked.method == Method::TRACE
            || headers.contains_key("service-worker")
        {
            // What a page installs in a browser stays there after the way.
            return Err(Kept::Needless);
        }
        if headers.contains_key(UPGRADE) {
            return Err(Kept::Upgrade);
        }
        self.is_from_own_page(headers)?;
        without_hops(headers);
        let ours: Vec<HeaderName> = headers
            .keys()
            .filter(|name| {
                let name = name.as_str();
                name == "forwarded"
                    || name == "via"
                    || name.starts_with("x-forwarded")
                    || name.starts_with("sec-")
            })
            .cloned()
            .collect();
        for name in ours.iter().chain([&EXPECT]) {
            headers.remove(name);
        }
        // A device has names and passwords of its own; a token is ours.
        let is_token = |value: &HeaderValue| {
            let scheme = value.as_bytes().get(..6).unwrap_or_default();
            scheme.eq_ignore_ascii_case(b"bearer")
        };
        if headers.get_all(AUTHORIZATION).iter().any(is_token) {
            headers.remove(AUTHORIZATION);
        }
        let told: Vec<&str> = cookies(headers)
            .filter_map(|cookie| self.as_device_named(cookie))
            .collect();
        let told = told.join("; ");
        headers.remove(COOKIE);
        put(headers, COOKIE, Some(told).filter(|told| !told.is_empty()));
        let origin = text(headers, &ORIGIN).map(|_| self.device.origin().ascii_serialization());
        let referer = text(headers, &REFERER).and_then(|said| {
            let said = self.own.join(said).ok()?;
            Some(moved(&said, &self.device))
        });
        headers.remove(REFERER);
        put(headers, ORIGIN, origin);
        put(headers, REFERER, referer);
        put(headers, HOST, Some(authority(&self.device)));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        // A client sends a path; what a proxy is sent may be more.
        let path = asked.uri.path_and_query().cloned();
        asked.uri = path
            .unwrap_or_else(|| PathAndQuery::from_static("/"))
            .into();
        asked.version = Version::HTTP_11;
        asked.extensions.clear();
        Ok(())
    }

    /// Whether it is this page that asks: a browser adds its cookies whoever does, also a page at another port.
    fn is_from_own_page(&self, headers: &HeaderMap) -> Result<(), Kept> {
        let own = self.own.origin();
        let is_own = match (
            text(headers, &HeaderName::from_static("sec-fetch-site")),
            text(headers, &ORIGIN),
            text(headers, &REFERER),
        ) {
            (Some(site), _, _) if site != "same-origin" && site != "none" => false,
            (_, Some(origin), _) => origin == own.ascii_serialization(),
            // Over plain HTTP a browser says no more.
            (None, None, Some(referer)) => {
                Url::parse(referer).is_ok_and(|referer| referer.origin() == own)
            }
            (_, None, _) => true,
        };
        is_own.then_some(()).ok_or(Kept::OtherPage)
    }

    /// Turns an answer into what the browser is to see.
    pub fn towards_browser(&self, answered: &mut Answered) -> Result<(), Elsewhere> {
        let headers = &mut answered.headers;
        if answered.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Elsewhere); // nobody asked for it
        }
        without_hops(headers);
        let kept: Vec<HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"))
            .cloned()
            .collect();
        for name in kept {
            headers.remove(name);
        }
        for name in NOT_FOR_BROWSERS {
            headers.remove(name);
        }
        if let Some(location) = headers.remove(LOCATION) {
            let location = location.to_str().map_err(|_| Elsewhere)?;
            put(headers, LOCATION, Some(self.inside(location)?));
        }
        if let Some(refresh) = headers.remove(REFRESH) {
            let refresh = refresh.to_str().map_err(|_| Elsewhere)?;
            put(headers, REFRESH, Some(self.refreshed(refresh)?));
        }
        let cookies: Vec<HeaderValue> = headers
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|value| self.as_browser_keeps(value.to_str().ok()?))
            .collect();
        headers.remove(SET_COOKIE);
        for cookie in cookies {
            headers.append(SET_COOKIE, cookie);
        }
        // The next way at this port leads to another device: it is not to meet what this one left in the browser.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Beside what the device says itself: both count.
        headers.append(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("frame-ancestors 'self'"),
        );
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static("same-origin"),
            );
        }
        Ok(())
    }

    /// Where a browser finds what the device calls so: a path.
    fn inside(&self, location: &str) -> Result<String, Elsewhere> {
        // As a browser reads it: `//other`, `\\other` and the like are another's name.
        let there = self.device.join(location).map_err(|_| Elsewhere)?;
        let is_own = there.origin() == self.own.origin();
        if there.origin() != self.device.origin() && !is_own {
            return Err(Elsewhere);
        }
        // `join` has left no `//` at the beginning but where the path itself has it.
        Ok(moved(&there, &self.own))
    }

    fn refreshed(&self, refresh: &str) -> Result<String, Elsewhere> {
        let Some((seconds, target)) = refresh.split_once([';', ',']) else {
            return Ok(refresh.to_owned());
        };
        let target = target.trim();
        let url = match target.split_once('=') {
            Some((name, url)) if name.trim().eq_ignore_ascii_case("url") => url.trim(),
            Some(_) | None => target,
        };
        let url = self.inside(url.trim_matches(['"', '\'']))?;
        Ok(format!("{};url={url}", seconds.trim()))
    }

    /// A cookie as the device named it; `None` for one that is not its own.
    fn as_device_named<'a>(&self, cookie: &'a str) -> Option<&'a str> {
        match &self.apart {
            Some(prefix) => cookie.strip_prefix(prefix.as_str()),
            None => {
                let name = cookie.split_once('=').map_or(cookie, |(name, _)| name);
                (!name.is_empty() && !is_ours(name)).then_some(cookie)
            }
        }
    }

    /// A cookie of the device's as the browser is to keep it: for this page alone. None that would take the place of ours.
    fn as_browser_keeps(&self, said: &str) -> Option<HeaderValue> {
        let mut parts = said.split(';');
        let cookie = parts.next()?.trim();
        let (name, _) = cookie.split_once('=')?;
        if is_ours(name) {
            return None;
        }
        let prefix = self.apart.as_deref().unwrap_or_default();
        let mut kept = format!("{prefix}{cookie}");
        let safe = is_safe(&self.own);
        let flags = parts.map(str::trim).filter(|flag| {
            let flag = flag.to_ascii_lowercase();
            !flag.starts_with("domain") && (safe || flag != "secure")
        });
        let mut is_hidden = false;
        for flag in flags {
            is_hidden |= flag.eq_ignore_ascii_case("httponly");
            kept.push_str("; ");
            kept.push_str(flag);
        }
        if self.apart.is_some() && !is_hidden {
            // Scripts of another device's page, at another port of this name, would read it.
            kept.push_str("; HttpOnly");
        }
        HeaderValue::from_str(&kept).ok()
    }
}

/// The same place under another name.
fn moved(said: &Url, to: &Url) -> String {
    let mut there = to.clone();
    there.set_path(said.path());
    there.set_query(said.query());
    there.set_fragment(said.fragment());
    there.into()
}

/// What a client writes into `Host`.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn is_safe(url: &Url) -> bool {
    url.scheme() == "https"
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Sets a header, or leaves it out.
fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<String>) {
    match value.and_then(|value| HeaderValue::from_str(&value).ok()) {
        Some(value) => headers.insert(name, value),
        None => headers.remove(name),
    };
}

/// What is of one connection alone (RFC 9110 §7.6.1) goes no further.
fn without_hops(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        // Who names these means to hide them from who is asked next.
        if name != HOST && name != COOKIE && name != ORIGIN {
            headers.remove(name);
        }
    }
    for name in HOPS {
        headers.remove(name);
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(COOKIE).iter();
    let all = all.filter_map(|value| value.to_str().ok());
    all.flat_map(|list| list.split(';')).map(str::trim)
}

fn is_ours(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    let name = name.strip_prefix("__host-").unwrap_or(&name);
    let name = name.strip_prefix("__secure-").unwrap_or(name);
    name.starts_with(OURS.trim_end_matches('-'))
}

/// How the names of our cookies begin, after `__Host-` where there is TLS.
const OURS: &str = "easyisp-";
const HOPS: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const NOT_FOR_BROWSERS: [&str; 12] = [
    "strict-transport-security",
    "public-key-pins",
    "alt-svc",
    "clear-site-data",
    "service-worker-allowed",
    "set-cookie2",
    "expires",
    "pragma",
    "nel",
    "report-to",
    "reporting-endpoints",
    "content-location",
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use axum::http::{Request, Response};

    use super::*;

    fn names(shared: bool) -> Names {
        let url = |text: &str| Url::parse(text).unwrap();
        match shared {
            true => Names::new(
                url("http://10.0.0.7:8080/"),
                url("http://d.example:42000/"),
                "k3",
                true,
            ),
            false => Names::new(
                url("https://10.0.0.7/"),
                url("https://k3.d.example:42000/"),
                "k3",
                false,
            ),
        }
    }

    fn seen(names: &Names, headers: &[(&str, &str)]) -> Result<Asked, Kept> {
        let mut request = Request::builder().uri("/x?y=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut asked, ()) = request.body(()).unwrap().into_parts();
        names.towards_device(&mut asked)?;
        Ok(asked)
    }

    fn kept(names: &Names, headers: &[(&str, &str)]) -> Result<HeaderMap, Elsewhere> {
        let mut answer = Response::builder();
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let (mut answered, ()) = answer.body(()).unwrap().into_parts();
        names.towards_browser(&mut answered)?;
        Ok(answered.headers)
    }

    #[test]
    fn a_device_sees_a_browser_at_its_own_address_and_nothing_of_ours() {
        let names = names(true);
        let asked = seen(
            &names,
            &[
                ("host", "d.example:42000"),
                (
                    "cookie",
                    "way-k3-sid=1; way-k4-sid=2; sid=3; easyisp-way-k3=ours",
                ),
                ("cookie", "__Host-easyisp=console; way-k3-b=4"),
                ("authorization", "bearer token"),
                ("origin", "http://d.example:42000"),
                ("referer", "http://d.example:42000/z?a=1"),
                ("x-forwarded-for", "10.0.0.1"),
                ("connection", "x-own, host"),
                ("x-own", "1"),
                ("expect", "100-continue"),
            ],
        );
        let asked = asked.unwrap();
        let of = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(of("cookie"), Some("sid=1; b=4"));
        assert_eq!(of("host"), Some("10.0.0.7:8080"));
        assert_eq!(of("origin"), Some("http://10.0.0.7:8080"));
        assert_eq!(of("referer"), Some("http://10.0.0.7:8080/z?a=1"));
        assert_eq!(of("connection"), Some("close"));
        for gone in ["authorization", "x-forwarded-for", "x-own", "expect"] {
            assert_eq!(of(gone), None, "{gone}");
        }
        assert_eq!(asked.uri, "/x?y=1");

        let basic = [
            ("authorization", "Basic YTpi"),
            ("cookie", "sid=3; __Host-easyisp-way-k3=x"),
        ];
        let asked = seen(&self::names(false), &basic).unwrap();
        assert_eq!(
            asked.headers["authorization"], "Basic YTpi",
            "its own password"
        );
        assert_eq!(asked.headers["cookie"], "sid=3");
    }

    #[test]
    fn only_the_page_itself_asks_the_device() {
        let (plain, safe) = (names(true), names(false));
        let own = "https://k3.d.example:42000";
        for (names, headers, wanted) in [
            (&plain, vec![], None),
            (&plain, vec![("referer", "http://d.example:42000/a")], None),
            (
                &plain,
                vec![("referer", "http://d.example:42001/a")],
                Some(Kept::OtherPage),
            ),
            (
                &plain,
                vec![("origin", "http://d.example:42001")],
                Some(Kept::OtherPage),
            ),
            (&plain, vec![("origin", "null")], Some(Kept::OtherPage)),
            (&safe, vec![("sec-fetch-site", "none")], None),
            (
                &safe,
                vec![("sec-fetch-site", "same-origin"), ("origin", own)],
                None,
            ),
            (
                &safe,
                vec![("sec-fetch-site", "same-site")],
                Some(Kept::OtherPage),
            ),
            (
                &safe,
                vec![("sec-fetch-site", "cross-site")],
                Some(Kept::OtherPage),
            ),
            (
                &safe,
                vec![("service-worker", "script")],
                Some(Kept::Needless),
            ),
            (&safe, vec![("upgrade", "websocket")], Some(Kept::Upgrade)),
        ] {
            assert_eq!(seen(names, &headers).err(), wanted, "{headers:?}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(safe.named(&headers), Err(Kept::OtherName));
        headers.insert(HOST, HeaderValue::from_static("K3.d.example:42000"));
        assert_eq!(safe.named(&headers), Ok(()));
        assert_eq!(plain.named(&headers), Err(Kept::OtherName));
    }

    #[test]
    fn what_a_device_says_stays_on_its_own_page() {
        let said = [
            ("location", "http://10.0.0.7:8080/login?a=1#b"),
            ("refresh", "0; URL='/next'"),
            (
                "set-cookie",
                "sid=1; Domain=isp.example; Path=/; Secure; HttpOnly",
            ),
            ("set-cookie", "easyisp-way-k3=stolen"),
            ("set-cookie", "__Host-easyisp=stolen"),
            ("strict-transport-security", "max-age=1"),
            ("access-control-allow-origin", "*"),
            ("cache-control", "max-age=31536000"),
            ("connection", "x-own"),
            ("x-own", "1"),
        ];
        let headers = kept(&names(true), &said).unwrap();
        assert_eq!(headers["location"], "http://d.example:42000/login?a=1#b");
        assert_eq!(headers["refresh"], "0;url=http://d.example:42000/next");
        let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["way-k3-sid=1; Path=/; HttpOnly"]);
        assert_eq!(headers["cache-control"], "no-store");
        for gone in [
            "strict-transport-security",
            "access-control-allow-origin",
            "x-own",
        ] {
            assert_eq!(headers.get(gone), None, "{gone}");
        }
        let headers = kept(&names(true), &[("set-cookie", "lang=en")]).unwrap();
        assert_eq!(headers["set-cookie"], "way-k3-lang=en; HttpOnly");
        let headers = kept(&names(false), &[("set-cookie", "sid=1; Secure")]).unwrap();
        assert_eq!(headers["set-cookie"], "sid=1; Secure");
    }

    #[test]
    fn a_device_leads_nowhere_else() {
        for (location, wanted) in [
            ("next", Some("http://d.example:42000/next")),
            ("/a//b", Some("http://d.example:42000/a//b")),
            ("http://d.example:42000/x", Some("http://d.example:42000/x")),
            ("http://10.0.0.7/", None),
            ("https://10.0.0.7:8080/", None),
            ("//evil.example/", None),
            ("\\\\evil.example/", None),
            ("/\\evil.example/", None),
            ("javascript:alert(1)", None),
            ("http://d.example:42001/", None),
        ] {
            let headers = kept(&names(true), &[("location", location)]);
            let found = headers.map(|headers| headers["location"].to_str().unwrap().to_owned());
            assert_eq!(found.ok().as_deref(), wanted, "{location}");
        }
    }
}
