//! The HTTP listener: header time-out, connection limits, a graceful stop.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::limits::one_network;

/// How long a client may take to send a request's head, from the moment he connects or had his last answer.
const HEADERS: Duration = Duration::from_secs(10);
/// How long requests under way may take to finish when the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// A bound socket and how many connections it holds at once.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// Connections in total; more wait in the system's queue.
    pub connections: usize,
    /// Connections of one address range; more are closed at once.
    pub per_network: usize,
}

/// Serves until `stop`, then lets requests under way finish.
pub async fn serve(listener: Listener, router: Router, stop: CancellationToken) {
    let room = Arc::new(tokio::sync::Semaphore::new(listener.connections));
    let networks = Networks::new(listener.per_network);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener.socket, &room) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else {
            continue;
        };
        let Some(place) = networks.enter(peer.ip()) else {
            continue;
        };
        let connection =
            http1().serve_connection(TokioIo::new(stream), service(router.clone(), peer));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A broken connection is the client's affair; what it asked was answered or rolled back.
            let _ = connection.await;
            drop((permit, place));
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("Stopped while requests were still under way");
    }
}

async fn accept(
    socket: &TcpListener,
    room: &Arc<tokio::sync::Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match socket.accept().await {
        Ok((stream, peer)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, peer, permit))
        }
        Err(error) => {
            // Out of file descriptors, mostly: without a pause this would spin.
            tracing::warn!(%error, "Cannot accept a connection: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// HTTP/1.1 alone, as proxies speak it to what stands behind them. Telling HTTP/2 apart would mean waiting
/// for a client's first bytes without a limit.
pub(crate) fn http1() -> Builder {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(64 * 1024);
    builder
}

fn service(
    router: Router,
    peer: SocketAddr,
) -> TowerToHyperService<
    impl tower::Service<
        axum::http::Request<hyper::body::Incoming>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone,
> {
    TowerToHyperService::new(router.map_request(
        move |request: axum::http::Request<hyper::body::Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        },
    ))
}

/// How many connections each address range holds.
#[derive(Clone)]
struct Networks {
    most: usize,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Networks {
    fn new(most: usize) -> Networks {
        Networks {
            most,
            held: Arc::default(),
        }
    }

    fn enter(&self, address: IpAddr) -> Option<Place> {
        let network = one_network(address);
        let mut held = self.held.lock().expect("no code panics under this lock");
        let count = held.entry(network).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place {
            network,
            networks: self.clone(),
        })
    }
}

/// One connection's place; given back on drop.
struct Place {
    network: IpAddr,
    networks: Networks,
}

impl Drop for Place {
    fn drop(&mut self) {
        let held = self.networks.held.lock();
        let mut held = held.expect("no code panics under this lock");
        if let Some(count) = held.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.network);
            }
        }
    }
}
