//! Dialling a cloud over QUIC.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::wire::CLOUD_NAME;
use easyisp_shared::wire::access::CONNECTIONS_OF_AGENT;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, IdleTimeout, TransportConfig, VarInt};

use super::dial::DialError;
use super::pipe::{Carrier, Pipe, PipeError, Traffic};

/// Dials one address.
pub(super) async fn dial(
    to: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    within: Duration,
) -> Result<QuicCarrier, DialError> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let tls = QuicClientConfig::try_from(tls);
    let tls = tls.map_err(|error| DialError::Identity(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport()));
    let endpoint = Endpoint::client(any).map_err(DialError::Socket)?;
    let connecting = endpoint
        .connect_with(config, to, CLOUD_NAME)
        .map_err(|error| DialError::Handshake(to, error.to_string()))?;
    match tokio::time::timeout(within, connecting).await {
        Err(_) => Err(DialError::Silent(to, "UDP")),
        Ok(Err(quinn::ConnectionError::TimedOut)) => Err(DialError::Silent(to, "UDP")),
        Ok(Err(error)) => Err(DialError::Handshake(to, error.to_string())),
        Ok(Ok(connection)) => Ok(QuicCarrier {
            connection,
            _endpoint: endpoint,
        }),
    }
}

/// Windows for one message in flight per pipe: a box has little memory and a slow line.
fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MILLIS))))
        .max_concurrent_bidi_streams(VarInt::from_u32(QUESTIONS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(2 * STREAM_WINDOW))
        .send_window(u64::from(2 * STREAM_WINDOW))
        .datagram_receive_buffer_size(None);
    transport
}

/// A QUIC connection.
pub(super) struct QuicCarrier {
    connection: Connection,
    /// Lives as long as the connection; one socket each, so a path change concerns one link only.
    _endpoint: Endpoint,
}

impl Carrier for QuicCarrier {
    fn open(&self) -> BoxFuture<'_, Result<Pipe, PipeError>> {
        let opening = self.connection.open_bi();
        async { Ok(pipe(opening.await.map_err(ended)?)) }.boxed()
    }

    fn accept(&self) -> BoxFuture<'_, Result<Pipe, PipeError>> {
        let accepting = self.connection.accept_bi();
        async { Ok(pipe(accepting.await.map_err(ended)?)) }.boxed()
    }

    fn closed(&self) -> BoxFuture<'_, PipeError> {
        async { ended(self.connection.closed().await) }.boxed()
    }

    fn close(&self) {
        self.connection.close(VarInt::from_u32(0), b"");
    }

    fn traffic(&self) -> Traffic {
        let stats = self.connection.stats();
        Traffic {
            sent: stats.udp_tx.bytes,
            received: stats.udp_rx.bytes,
        }
    }
}

fn pipe((sink, source): (quinn::SendStream, quinn::RecvStream)) -> Pipe {
    Pipe::quic(sink, source)
}

fn ended(error: quinn::ConnectionError) -> PipeError {
    PipeError::Lost(error.to_string())
}

/// Below the half minute for which the shortest-sighted routers remember a way out, and seldom: each costs the line.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const IDLE_MILLIS: u32 = 60_000;
/// Questions that the cloud may have open at once, and connections by ways to devices.
const QUESTIONS: u32 = 16 + CONNECTIONS_OF_AGENT as u32;
/// The message cap and some.
const STREAM_WINDOW: u32 = 1_100_000;
