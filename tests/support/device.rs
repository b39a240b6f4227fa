//! A device with a page, as customers have at home: it keeps a session in a cookie, takes forms, and says what no way
//! through the cloud may let pass.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::{any, get, post};
use futures_util::stream;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What the page says at its root.
pub const WELCOME: &str = "Welcome to your router";

/// A device that is switched on. Dropping it switches it off.
pub struct Device {
    asked: Asked,
    task: JoinHandle<()>,
}

type Asked = Arc<Mutex<Vec<(String, HeaderMap)>>>;

impl Device {
    /// Serves its page at a port.
    pub fn plain(listener: TcpListener) -> Device {
        Device::of(listener, "http")
    }

    /// Serves its page over TLS, by a certificate that it made itself for nobody's name.
    pub fn safe(listener: TcpListener) -> Result<Device> {
        let made = rcgen::generate_simple_self_signed(["router.lan".to_owned()])?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        Ok(Device::of(Safe { listener, acceptor }, "https"))
    }

    fn of<L>(listener: L, scheme: &'static str) -> Device
    where
        L: axum::serve::Listener<Addr = SocketAddr>,
    {
        let asked = Asked::default();
        let pages = pages(asked.clone(), scheme);
        let task = tokio::spawn(async move {
            let _never_ends = axum::serve(listener, pages).await;
        });
        Device { asked, task }
    }

    /// What it was asked since this was called last: paths, and the headers that came with them.
    pub fn asked(&self) -> Vec<(String, HeaderMap)> {
        std::mem::take(&mut *self.asked.lock().expect("no code panics under this lock"))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Safe {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Safe {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsStream<TcpStream>, SocketAddr) {
        loop {
            let Ok((socket, peer)) = self.listener.accept().await else {
                continue;
            };
            if let Ok(stream) = self.acceptor.accept(socket).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn pages(asked: Asked, scheme: &'static str) -> Router {
    Router::new()
        .route("/", get(|| async { Html(WELCOME) }))
        .route("/large", get(|| async { vec![7u8; 1_000_000] }))
        .route("/echo", post(|body: Bytes| async { body }))
        .route(
            "/login",
            post(move |headers: HeaderMap| login(scheme, headers)),
        )
        .route("/away", get(|| async { moved("http://10.9.9.9/") }))
        .route("/endless", get(endless))
        .route("/seen", any(seen))
        .layer(axum::middleware::from_fn(
            move |request: Request, next: axum::middleware::Next| {
                let what = (request.uri().to_string(), request.headers().clone());
                let kept = asked.lock();
                kept.expect("no code panics under this lock").push(what);
                next.run(request)
            },
        ))
}

/// A session, for a name that is not this device's, and the way to its first page by its own address.
async fn login(scheme: &'static str, headers: HeaderMap) -> impl IntoResponse {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let home = format!("{scheme}://{}/", host.unwrap_or("nowhere"));
    let cookie = "sid=8; Path=/; Domain=isp.example; HttpOnly";
    ([(header::SET_COOKIE, cookie)], moved(&home))
}

fn moved(to: &str) -> impl IntoResponse + use<> {
    (StatusCode::FOUND, [(header::LOCATION, to.to_owned())])
}

/// What would bind a browser for longer than the way is open.
async fn seen() -> impl IntoResponse {
    [
        ("strict-transport-security", "max-age=31536000"),
        ("cache-control", "public, max-age=31536000"),
        ("access-control-allow-origin", "*"),
        ("set-cookie", "__Host-easyisp=taken"),
    ]
}

/// A page that is never there whole, as a log that grows.
async fn endless() -> Body {
    let lines = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>("another line\n"), ()))
    });
    Body::from_stream(lines)
}
