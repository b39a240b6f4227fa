//! A device's page in a browser: HTTP on the way's own port, for the browser that showed the way's secret.
//!
//! The secret is in the answer that opened the way and in the body of one request, never in an address. What a device is
//! asked, it is asked by a connection of its own for each request; when the way ends, all of them end where they are.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, SET_COOKIE,
};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use easyisp_shared::wire::access::CHUNK;
use easyisp_shared::wire::question::AskFailure;
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use reqwest::Url;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::DropGuard;
use tracing::debug;

use super::carry::carry;
use super::desk::{Desk, Way};
use super::lock::Lock;
use super::names::{Elsewhere, Kept, Names};
use super::tls;
use crate::api::http1;

/// What a way to a page has besides.
pub(super) struct Page {
    pub(super) lock: Lock,
    pub(super) names: Names,
    /// TLS towards browsers, where there is a certificate.
    tls: Option<Arc<ServerConfig>>,
    /// TLS towards the device, where it speaks it.
    device: Option<Arc<ClientConfig>>,
    browsers: Semaphore,
    requests: Semaphore,
}

/// Why a device did not answer a browser.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// The agent does not lead there.
    #[error("{0:?}")]
    NotThrough(AskFailure),
    /// It speaks no TLS that we do.
    #[error("{0}")]
    Tls(#[from] std::io::Error),
    /// What came is no HTTP.
    #[error("{0}")]
    NotHttp(#[from] hyper::Error),
    /// Nothing came.
    #[error("nothing came in time")]
    Late,
}

impl Page {
    /// A page behind a lock.
    pub(super) fn new(
        lock: Lock,
        names: Names,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Page, rustls::Error> {
        let device = match names.device().scheme() {
            "https" => Some(tls::towards_device()?),
            _ => None,
        };
        Ok(Page {
            lock,
            names,
            tls,
            device,
            browsers: Semaphore::new(MOST_BROWSERS),
            requests: Semaphore::new(MOST_REQUESTS),
        })
    }

    /// Where the secret is posted.
    pub(super) fn enter_url(&self) -> Option<String> {
        let url = self.names.own().join(ENTER).ok()?;
        Some(url.into())
    }

    /// Serves one connection of a browser.
    pub(super) async fn serve(&self, socket: TcpStream, desk: &Desk, way: &Arc<Way>) {
        let Ok(_turn) = self.browsers.try_acquire() else {
            return;
        };
        let _slower_without = socket.set_nodelay(true);
        match &self.tls {
            None => self.speak(socket, desk, way).await,
            Some(tls) => {
                let accepting = TlsAcceptor::from(tls.clone()).accept(socket);
                // Who speaks no TLS, or shakes no hands, is told nothing.
                if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, accepting).await {
                    self.speak(stream, desk, way).await;
                }
            }
        }
    }

    async fn speak<S>(&self, stream: S, desk: &Desk, way: &Arc<Way>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
            Ok::<_, Infallible>(self.answer(request.map(Body::new), desk, way).await)
        });
        let serving = http1().serve_connection(TokioIo::new(stream), service);
        if let Err(broken) = serving.await {
            debug!(access.id = %way.grant.id, %broken, "A browser's connection broke off");
        }
    }

    async fn answer(&self, request: Request<Body>, desk: &Desk, way: &Arc<Way>) -> Response<Body> {
        if let Err(kept) = self.names.named(request.headers()) {
            return refused(kept);
        }
        if request.uri().path() == ENTER {
            return self.enter(request, desk, way).await;
        }
        let shown = self.names.shown(request.headers());
        if !shown.is_some_and(|shown| self.lock.opens_to(shown)) {
            return html(StatusCode::UNAUTHORIZED, FORM);
        }
        let (mut asked, body) = request.into_parts();
        if let Err(kept) = self.names.towards_device(&mut asked) {
            return refused(kept);
        }
        let request = Request::from_parts(asked, Body::new(Limited::new(body, LARGEST_BODY)));
        let answering = async {
            let _turn = self.requests.acquire().await;
            self.ask_device(request, desk, way).await
        };
        let answer = tokio::time::timeout(ANSWER, answering).await;
        match answer.unwrap_or(Err(Unanswered::Late)) {
            Ok(answer) => {
                let (mut answered, body) = answer.into_parts();
                match self.names.towards_browser(&mut answered) {
                    Ok(()) => Response::from_parts(answered, Body::new(body)),
                    Err(Elsewhere) => html(StatusCode::BAD_GATEWAY, LEADS_ELSEWHERE),
                }
            }
            Err(Unanswered::Late) => html(StatusCode::GATEWAY_TIMEOUT, SILENT),
            Err(cause) => {
                debug!(access.id = %way.grant.id, %cause, "A device did not answer a browser");
                html(StatusCode::BAD_GATEWAY, SILENT)
            }
        }
    }

    /// The secret for a cookie, written down before anybody sees anything.
    async fn enter(&self, request: Request<Body>, desk: &Desk, way: &Way) -> Response<Body> {
        if request.method() != Method::POST {
            return html(StatusCode::METHOD_NOT_ALLOWED, FORM);
        }
        let Ok(body) = axum::body::to_bytes(request.into_body(), LONGEST_FORM).await else {
            return html(StatusCode::PAYLOAD_TOO_LARGE, FORM);
        };
        let mut fields = form_urlencoded::parse(&body);
        let shown = fields.find_map(|(name, value)| (name == "secret").then_some(value));
        let shown = shown.as_deref().map(str::trim).unwrap_or_default();
        let Some(cookie) = self.lock.take(shown, desk.entropy(), desk.now()) else {
            return html(StatusCode::UNAUTHORIZED, FORM);
        };
        if let Err(error) = desk.note_entry(way).await {
            tracing::warn!(%error, access.id = %way.grant.id, "Cannot write down that somebody came in");
            return html(StatusCode::SERVICE_UNAVAILABLE, NOT_WRITTEN);
        }
        let mut answer = html(StatusCode::OK, CAME_IN);
        let headers = answer.headers_mut();
        if let Some(cookie) = self.names.given(&cookie) {
            headers.insert(SET_COOKIE, cookie);
        }
        // Whatever another device left here before, at this port of the same name. Browsers heed it over TLS.
        headers.insert(
            HeaderName::from_static("clear-site-data"),
            HeaderValue::from_static("\"cache\", \"storage\""),
        );
        answer
    }

    /// One request, by a connection of its own.
    async fn ask_device(
        &self,
        request: Request<Body>,
        desk: &Desk,
        way: &Arc<Way>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let (pipe, place) = loop {
            match desk.pipe(way).await {
                // Other ways through the same agent.
                Err(AskFailure::Busy) => tokio::time::sleep(BREATH).await,
                opened => break opened.map_err(Unanswered::NotThrough)?,
            }
        };
        let (near, far) = tokio::io::duplex(CHUNK);
        let carried = way.clone();
        let carrying = async move {
            let _held = place;
            if let Err(broken) = carry(far, pipe, &carried.meter).await {
                debug!(access.id = %carried.grant.id, %broken, "A connection broke off");
            }
        };
        let carrying = desk.during(way, carrying);
        match &self.device {
            None => exchange(near, request, (desk, way, carrying)).await,
            Some(tls) => {
                let connector = TlsConnector::from(tls.clone());
                let stream = connector.connect(self.server_name(), near).await?;
                exchange(stream, request, (desk, way, carrying)).await
            }
        }
    }

    fn server_name(&self) -> ServerName<'static> {
        let host = self.names.device().host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned());
        name.unwrap_or(ServerName::IpAddress(
            std::net::Ipv4Addr::UNSPECIFIED.into(),
        ))
    }
}

/// Asks by a connection, which is carried until all of the answer was read, or nobody reads it any more.
async fn exchange<S>(
    stream: S,
    request: Request<Body>,
    (desk, way, carrying): (&Desk, &Way, DropGuard),
) -> Result<Response<Incoming>, Unanswered>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await?;
    desk.spawn(way, async move {
        let _carried_until_then = carrying;
        // What broke is told where the answer is read.
        let _ended = connection.await;
    });
    Ok(sender.send_request(request).await?)
}

/// Where a device's page is, as far as its port tells.
pub(super) fn device(address: std::net::IpAddr, port: u16) -> Option<Url> {
    let scheme = match port {
        443 | 8443 => "https",
        _ => "http", // what devices speak on every other port of theirs
    };
    place(scheme, &address.to_string(), port)
}

/// An address of a page; `None` where `host` is no name.
pub(super) fn place(scheme: &str, host: &str, port: u16) -> Option<Url> {
    let host = match host.parse() {
        Ok(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        Ok(std::net::IpAddr::V4(_)) | Err(_) => host.to_owned(),
    };
    Url::parse(&format!("{scheme}://{host}:{port}/")).ok()
}

fn refused(kept: Kept) -> Response<Body> {
    match kept {
        Kept::OtherName => html(StatusCode::MISDIRECTED_REQUEST, OTHER_NAME),
        Kept::OtherPage => html(StatusCode::FORBIDDEN, OTHER_PAGE),
        Kept::Needless => html(StatusCode::METHOD_NOT_ALLOWED, NEEDLESS),
        Kept::Upgrade => html(StatusCode::NOT_IMPLEMENTED, NEEDLESS),
    }
}

/// What a browser is told in place of the device.
fn html(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::from(words));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "same-origin"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Where the secret is shown.
const ENTER: &str = "/.easyisp/enter";
const FORM: &str = "<!doctype html><title>EasyISP</title><form method=post action=/.easyisp/enter><label>Secret of this \
    way <input name=secret type=password autocomplete=off autofocus></label> <button>Enter</button></form>\
    <p>It counts once, and for a minute after the way was opened. Then open another way.</p>";
/// Not a redirect: a browser that came from the console's page would not send a strict cookie along with it.
const CAME_IN: &str = "<!doctype html><title>EasyISP</title><meta http-equiv=refresh content='0;url=/'>\
    <a href=/>To the page of the device</a>";
const OTHER_PAGE: &str = "<!doctype html><title>EasyISP</title><p>Another page sent you here, or tried to ask the device in \
    your place. <a href=/>To the page of the device</a></p>";
const OTHER_NAME: &str = "<!doctype html><title>EasyISP</title><p>This way has another name.</p>";
const NEEDLESS: &str =
    "<!doctype html><title>EasyISP</title><p>Only plain requests of a page pass here.</p>";
const LEADS_ELSEWHERE: &str = "<!doctype html><title>EasyISP</title><p>The device leads to another address or port, where \
    this way does not lead: open a way to that (443 where it wants TLS).</p>";
const SILENT: &str =
    "<!doctype html><title>EasyISP</title><p>The device does not answer as a page does.</p>";
const NOT_WRITTEN: &str = "<!doctype html><title>EasyISP</title><p>This could not be written down, so nobody comes in; \
    open another way in a moment.</p>";
const LONGEST_FORM: usize = 1024;
/// A firmware is the largest that a page is sent.
const LARGEST_BODY: usize = 64 * 1024 * 1024;
/// Of an answer.
const LONGEST_HEAD: usize = 64 * 1024;
/// A browser opens six, and closes none that it may need again.
const MOST_BROWSERS: usize = 32;
/// At once at the device: a browser's six. Two pages fill what one agent carries.
const MOST_REQUESTS: usize = 6;
const BREATH: Duration = Duration::from_millis(100);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a device may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(60);
