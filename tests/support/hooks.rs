//! A tenant's own program: an HTTPS server that takes webhooks, records them byte for byte, and answers as
//! scripted.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use sha2::Sha256;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running receiver; it ends when it is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    folder: TempDir,
    _stop: DropGuard,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    script: VecDeque<Reply>,
}

/// An answer; `200` where none is scripted.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// What it says.
    pub body: String,
}

impl Reply {
    /// This status and no more.
    pub fn of(status: u16) -> Reply {
        Reply {
            status,
            ..Reply::default()
        }
    }
}

/// One request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The path.
    pub path: String,
    /// Headers by their lower-case names.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: String,
}

impl Received {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).context("a body of JSON")
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether it is signed with this secret, as our manual says.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let header = self.header("easyisp-signature");
        let mut parts = header.split(',');
        let Some(at) = parts.next().and_then(|part| part.strip_prefix("t=")) else {
            return false;
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
        mac.update(format!("{at}.{}", self.body).as_bytes());
        let wanted = format!("v1={}", hex::encode(mac.finalize().into_bytes()));
        parts.any(|part| part == wanted)
    }
}

impl Receiver {
    /// Listens on loopback with a certificate that [`Receiver::ca_file`] vouches for.
    pub async fn start() -> Result<Receiver> {
        // Whoever came first has installed the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join(CA), made.cert.pem())?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let tls = TlsAcceptor::from(Arc::new(tls));

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, tls, shared.clone(), stop.clone()));
        Ok(Receiver {
            address,
            shared,
            folder,
            _stop: stop.drop_guard(),
        })
    }

    /// The authority behind its certificate, for `[webhooks] ca_file`.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join(CA)
    }

    /// Where it takes webhooks.
    pub fn url(&self) -> String {
        format!("https://{}/hook", self.address)
    }

    /// Answers the next requests so, one each.
    pub fn answer(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state().script.extend(replies);
    }

    /// Everything that came, the oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// Waits until so many have come; the last of them.
    pub async fn takes(&self, count: usize) -> Received {
        let mut changed = self.shared.changed.subscribe();
        loop {
            if let Some(received) = self.received().into_iter().nth(count - 1) {
                return received;
            }
            changed
                .changed()
                .await
                .expect("the sender lives as long as this handle");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no change of the state panics")
    }

    fn take(&self, received: Received) -> Reply {
        let mut state = self.state();
        state.received.push(received);
        let reply = state.script.pop_front().unwrap_or(Reply::of(200));
        drop(state);
        self.changed.send_replace(());
        reply
    }
}

const CA: &str = "ca.pem";
/// The largest request that is taken.
const MOST_BYTES: usize = 64 * 1024;

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let (tls, shared, stop) = (tls.clone(), shared.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                // Whoever hangs up half-way is no request.
                _ = one(stream, tls, shared) => {}
            }
        });
    }
}

/// One request on one connection.
async fn one(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) -> Result<()> {
    let mut stream = tls.accept(stream).await?;
    let mut bytes = Vec::new();
    let received = loop {
        anyhow::ensure!(bytes.len() < MOST_BYTES, "a request of our own is small");
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "cut off");
        if let Some(received) = parse(&bytes) {
            break received;
        }
    };
    let reply = shared.take(received);
    let location = reply
        .location
        .map_or(String::new(), |to| format!("Location: {to}\r\n"));
    let answer = format!(
        "HTTP/1.1 {} Scripted\r\n{location}Content-Length: {}\r\nConnection: close\r\n\r\n{}",
        reply.status,
        reply.body.len(),
        reply.body
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}

/// A whole request; `None` while some of it is missing.
fn parse(bytes: &[u8]) -> Option<Received> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let body = body.get(..length)?.to_owned();
    Some(Received {
        path,
        headers,
        body,
    })
}
