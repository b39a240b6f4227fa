//! Dialling a cloud over TCP, where the line lets no UDP through: many pipes over one TLS connection.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_rustls::TlsConnector;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use tokio_util::sync::CancellationToken;

use easyisp_shared::wire::CLOUD_NAME;

use super::dial::DialError;
use super::pipe::{Carrier, Pipe, PipeError, Traffic};

/// Dials one address.
pub(super) async fn dial(
    to: SocketAddr,
    tls: Arc<ClientConfig>,
    within: Duration,
) -> Result<TcpCarrier, DialError> {
    match tokio::time::timeout(within, connect(to, tls)).await {
        Ok(connected) => connected,
        Err(_) => Err(DialError::Silent(to, "TCP")),
    }
}

async fn connect(to: SocketAddr, tls: Arc<ClientConfig>) -> Result<TcpCarrier, DialError> {
    let failed = |error: std::io::Error| match error.kind() {
        // Something on the line hangs up on what it does not know: another port may do better.
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => DialError::Unreachable(to, error),
        _ => DialError::Handshake(to, error.to_string()), // the system's and TLS's own words
    };
    let stream = TcpStream::connect(to).await;
    let stream = stream.map_err(|error| DialError::Unreachable(to, error))?;
    keep_alive(&stream).map_err(DialError::Socket)?;
    let counted = Counted::new(stream);
    let (sent, received) = (counted.sent.clone(), counted.received.clone());
    let name = ServerName::try_from(CLOUD_NAME).expect("the name is a name");
    let stream = TlsConnector::from(tls).connect(name, counted).await;
    Ok(TcpCarrier {
        mux: Mux::start(stream.map_err(failed)?, yamux::Mode::Client),
        sent,
        received,
    })
}

/// A TLS connection over TCP.
pub(super) struct TcpCarrier {
    mux: Mux,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Carrier for TcpCarrier {
    fn open(&self) -> BoxFuture<'_, Result<Pipe, PipeError>> {
        self.mux.open().boxed()
    }

    fn accept(&self) -> BoxFuture<'_, Result<Pipe, PipeError>> {
        self.mux.accept().boxed()
    }

    fn closed(&self) -> BoxFuture<'_, PipeError> {
        self.mux.closed().boxed()
    }

    fn close(&self) {
        self.mux.stop.cancel();
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }
}

/// The pipes of one TLS connection.
struct Mux {
    opens: mpsc::Sender<oneshot::Sender<yamux::Stream>>,
    inbound: Mutex<mpsc::Receiver<Pipe>>,
    stop: CancellationToken,
    ended: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Mux {
    fn start<S>(stream: S, mode: yamux::Mode) -> Mux
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (opens, wishes) = mpsc::channel(1);
        let (found, inbound) = mpsc::channel(MOST_UNHEARD);
        let mux = Mux {
            opens,
            inbound: Mutex::new(inbound),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            reason: Arc::default(),
        };
        let connection = yamux::Connection::new(stream.compat(), limits(), mode);
        let (stop, ended, reason) = (mux.stop.clone(), mux.ended.clone(), mux.reason.clone());
        tokio::spawn(async move {
            let why = run(connection, wishes, found, stop).await;
            let _first_wins = reason.set(why);
            ended.cancel();
        });
        mux
    }

    async fn open(&self) -> Result<Pipe, PipeError> {
        let (wish, granted) = oneshot::channel();
        let asked = self.opens.send(wish).await;
        match (asked, granted.await) {
            (Ok(()), Ok(stream)) => Ok(pipe(stream)),
            (Ok(()) | Err(_), Ok(_) | Err(_)) => Err(self.lost()),
        }
    }

    async fn accept(&self) -> Result<Pipe, PipeError> {
        let pipe = self.inbound.lock().await.recv().await;
        pipe.ok_or_else(|| self.lost())
    }

    async fn closed(&self) -> PipeError {
        self.ended.cancelled().await;
        self.lost()
    }

    fn lost(&self) -> PipeError {
        let why = self.reason.get();
        PipeError::Lost(why.map_or_else(|| "the connection ended".to_owned(), Clone::clone))
    }
}

impl Drop for Mux {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Carries until either side ends it; says why.
async fn run<S>(
    mut connection: yamux::Connection<Compat<S>>,
    mut wishes: mpsc::Receiver<oneshot::Sender<yamux::Stream>>,
    found: mpsc::Sender<Pipe>,
    stop: CancellationToken,
) -> String
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut wish: Option<oneshot::Sender<yamux::Stream>> = None;
    let carried = poll_fn(|cx| {
        loop {
            if wish.is_none()
                && let Poll::Ready(Some(next)) = wishes.poll_recv(cx)
            {
                wish = Some(next);
            }
            if let Some(waiting) = wish.take() {
                match connection.poll_new_outbound(cx) {
                    Poll::Ready(Ok(stream)) => {
                        let _gave_up = waiting.send(stream);
                        continue;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(error.to_string()),
                    Poll::Pending => wish = Some(waiting),
                }
            }
            match connection.poll_next_inbound(cx) {
                // Nobody hears so many at once: the pipe is dropped, which tells the other end.
                Poll::Ready(Some(Ok(stream))) => drop(found.try_send(pipe(stream))),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(error.to_string()),
                Poll::Ready(None) => return Poll::Ready("the other end hung up".to_owned()),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    let why = tokio::select! {
        why = carried => why,
        () = stop.cancelled() => "hung up".to_owned(),
    };
    let farewell = poll_fn(|cx| connection.poll_close(cx));
    let _said = tokio::time::timeout(FAREWELL, farewell).await;
    why
}

fn limits() -> yamux::Config {
    let mut limits = yamux::Config::default();
    limits.set_max_num_streams(MOST_STREAMS);
    limits.set_max_connection_receive_window(Some(WINDOW));
    limits
}

fn pipe(stream: yamux::Stream) -> Pipe {
    let (source, sink) = tokio::io::split(stream.compat());
    Pipe::new(sink, source)
}

/// Notices a dead line as QUIC does: asks after 15 s of silence, gives up after 60 s without an answer.
fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(
        &socket2::TcpKeepalive::new()
            .with_time(KEEP_ALIVE)
            .with_interval(KEEP_ALIVE)
            .with_retries(3),
    )?;
    socket.set_tcp_user_timeout(Some(IDLE))?;
    stream.set_nodelay(true)
}

/// A socket that counts what passes.
struct Counted {
    stream: TcpStream,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Counted {
    fn new(stream: TcpStream) -> Counted {
        Counted {
            stream,
            sent: Arc::default(),
            received: Arc::default(),
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        let octets = into.filled().len() - before;
        self.received.fetch_add(octets as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, octets);
        if let Poll::Ready(Ok(octets)) = &written {
            self.sent.fetch_add(*octets as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const KEEP_ALIVE: Duration = Duration::from_secs(15);
const IDLE: Duration = Duration::from_secs(60);
const FAREWELL: Duration = Duration::from_secs(2);
/// Pipes in all, both ways; each may hold 256 KiB unread.
const MOST_STREAMS: usize = 32;
const WINDOW: usize = 8 << 20;
/// Pipes that were opened and that nobody here has taken up yet.
const MOST_UNHEARD: usize = 16;
