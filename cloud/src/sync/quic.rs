//! The agents' door over QUIC; address validation once many handshakes are pending.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Connection, Endpoint, IdleTimeout, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;

use super::DoorError;
use super::pipe::{Carrier, Pipe, PipeError, Traffic};
use super::tls::Purpose;

/// Opens the door on `listen`.
pub(super) fn listen(
    listen: SocketAddr,
    tls: Arc<rustls::ServerConfig>,
) -> Result<Endpoint, DoorError> {
    let tls = QuicServerConfig::try_from(tls)
        .map_err(|error| DoorError::Certificate(error.to_string()))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport()))
        .migration(true)
        .max_incoming(MOST_PENDING);
    Endpoint::server(config, listen).map_err(|cause| DoorError::Socket(listen, cause))
}

/// What the caller at the other end came for; `None` for a protocol this build does not speak.
pub(super) fn purpose(connection: &Connection) -> Option<Purpose> {
    let data = connection.handshake_data()?;
    let data = data.downcast::<HandshakeData>().ok()?;
    Purpose::of(&data.protocol?)
}

/// The connection as a carrier of pipes.
pub(super) struct QuicCarrier(pub(super) Connection);

impl Carrier for QuicCarrier {
    fn open(&self) -> BoxFuture<'_, Result<Pipe, PipeError>> {
        let opening = self.0.open_bi();
        async { Ok(pipe(opening.await.map_err(ended)?)) }.boxed()
    }

    fn accept(&self) -> BoxFuture<'_, Result<Pipe, PipeError>> {
        let accepting = self.0.accept_bi();
        async { Ok(pipe(accepting.await.map_err(ended)?)) }.boxed()
    }

    fn closed(&self) -> BoxFuture<'_, PipeError> {
        async { ended(self.0.closed().await) }.boxed()
    }

    fn close(&self) {
        self.0.close(VarInt::from_u32(0), b"");
    }

    fn peer_certificate(&self) -> Option<Vec<u8>> {
        let identity = self.0.peer_identity()?;
        let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        chain.first().map(|leaf| leaf.to_vec())
    }

    fn traffic(&self) -> Traffic {
        let stats = self.0.stats();
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

/// The agent keeps the path open; windows are what an agent may make us hold.
fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MILLIS))))
        .max_concurrent_bidi_streams(VarInt::from_u32(MOST_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(2 * STREAM_WINDOW))
        .datagram_receive_buffer_size(None);
    transport
}

const IDLE_MILLIS: u32 = 60_000;
const MOST_STREAMS: u32 = 16;
/// The message cap and some.
const STREAM_WINDOW: u32 = 1_100_000;
const CONNECTION_WINDOW: u32 = 8 << 20;
const MOST_PENDING: usize = 1024;
