//! Dialling a cloud over QUIC: TLS 1.3, no early data, no session tickets.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::wire::CLOUD_NAME;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, IdleTimeout, TransportConfig, VarInt};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::pipe::{Carrier, Pipe, PipeError};
use super::trust::{Trust, provider};

/// What a dialler shows of itself: a chain and its key, both DER. Nothing before enrolment.
pub struct Credentials {
    /// The chain, the agent's own certificate first.
    pub chain: Vec<Vec<u8>>,
    /// The key, PKCS #8.
    pub key: Vec<u8>,
}

/// Dials `address` (`host:port`): every address it resolves to, in order, until one answers.
///
/// A certificate that the cloud refuses shows only after the dial: wait for the first message.
pub async fn dial(
    address: &str,
    alpn: &[u8],
    trust: Trust,
    credentials: Option<Credentials>,
) -> Result<QuicCarrier, DialError> {
    let config = client_config(alpn, trust, credentials)?;
    let addresses = tokio::net::lookup_host(address)
        .await
        .map_err(|cause| DialError::Address(address.to_owned(), cause))?;
    let mut last = DialError::NoAddress(address.to_owned());
    for to in addresses.take(MOST_ADDRESSES) {
        match dial_one(to, config.clone()).await {
            Ok(carrier) => return Ok(carrier),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Why a cloud was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name does not resolve.
    #[error("cannot find {0}: {1}")]
    Address(String, std::io::Error),
    /// The name resolves to nothing.
    #[error("{0} has no address")]
    NoAddress(String),
    /// No socket.
    #[error("cannot open a socket: {0}")]
    Socket(std::io::Error),
    /// Nobody answered in time.
    #[error("{0} does not answer (UDP)")]
    Silent(SocketAddr),
    /// The handshake failed.
    #[error("{0} was reached, but: {1}")]
    Handshake(SocketAddr, String),
    /// Our own identity or authorities are not usable.
    #[error("the identity of this agent is not usable: {0}")]
    Identity(String),
}

async fn dial_one(to: SocketAddr, config: quinn::ClientConfig) -> Result<QuicCarrier, DialError> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = Endpoint::client(any).map_err(DialError::Socket)?;
    let connecting = endpoint
        .connect_with(config, to, CLOUD_NAME)
        .map_err(|error| DialError::Handshake(to, error.to_string()))?;
    match tokio::time::timeout(HANDSHAKE, connecting).await {
        Err(_) => Err(DialError::Silent(to)),
        Ok(Err(quinn::ConnectionError::TimedOut)) => Err(DialError::Silent(to)),
        Ok(Err(error)) => Err(DialError::Handshake(to, error.to_string())),
        Ok(Ok(connection)) => Ok(QuicCarrier {
            connection,
            _endpoint: endpoint,
        }),
    }
}

fn client_config(
    alpn: &[u8],
    trust: Trust,
    credentials: Option<Credentials>,
) -> Result<quinn::ClientConfig, DialError> {
    let unusable = |error: rustls::Error| DialError::Identity(error.to_string());
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust));
    let mut tls = match credentials {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = own.chain.into_iter().map(CertificateDer::from).collect();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key));
            builder
                .with_client_auth_cert(chain, key)
                .map_err(unusable)?
        }
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    tls.resumption = Resumption::disabled();
    let tls =
        QuicClientConfig::try_from(tls).map_err(|error| DialError::Identity(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport()));
    Ok(config)
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
pub struct QuicCarrier {
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

    fn peer_certificate(&self) -> Option<Vec<u8>> {
        let identity = self.connection.peer_identity()?;
        let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        chain.first().map(|leaf| leaf.to_vec())
    }
}

impl QuicCarrier {
    /// Moves the connection to another local socket, as a NAT that forgets does.
    pub fn rebind(&self, socket: std::net::UdpSocket) -> std::io::Result<()> {
        self._endpoint.rebind(socket)
    }
}

fn pipe((sink, source): (quinn::SendStream, quinn::RecvStream)) -> Pipe {
    Pipe::new(sink, source)
}

fn ended(error: quinn::ConnectionError) -> PipeError {
    PipeError::Lost(error.to_string())
}

const HANDSHAKE: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const IDLE_MILLIS: u32 = 60_000;
/// Questions that the cloud may have open at once.
const QUESTIONS: u32 = 16;
/// The message cap and some.
const STREAM_WINDOW: u32 = 1_100_000;
const MOST_ADDRESSES: usize = 4;
