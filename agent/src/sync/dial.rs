//! Dialling a cloud, over whatever the line lets through: TLS 1.3, mutual, no early data, no session tickets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::path::Path;
use super::pipe::Carrier;
use super::trust::{Trust, provider};
use super::{quic, tcp};

/// What a dialler shows of itself: a chain and its key, both DER. Nothing before enrolment.
pub struct Credentials {
    /// The chain, the agent's own certificate first.
    pub chain: Vec<Vec<u8>>,
    /// The key, PKCS #8.
    pub key: Vec<u8>,
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
    #[error("{0} does not answer ({1})")]
    Silent(SocketAddr, &'static str),
    /// The network knows that nobody is there.
    #[error("{0} cannot be reached (TCP): {1}")]
    Unreachable(SocketAddr, std::io::Error),
    /// The handshake failed.
    #[error("{0} was reached, but: {1}")]
    Handshake(SocketAddr, String),
    /// Our own identity or authorities are not usable.
    #[error("the identity of this agent is not usable: {0}")]
    Identity(String),
}

impl DialError {
    /// Whether another path may do better: nobody answered on this one.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            DialError::Silent(..) | DialError::Unreachable(..) => true,
            DialError::Address(..)
            | DialError::NoAddress(_)
            | DialError::Socket(_)
            | DialError::Handshake(..)
            | DialError::Identity(_) => false,
        }
    }
}

/// Dials `address` (`host:port`) on one path: every address it resolves to, in order, until one answers,
/// `within` in all.
///
/// A certificate that the cloud refuses shows only after the dial: wait for the first message.
pub async fn dial(
    address: &str,
    path: Path,
    tls: Arc<ClientConfig>,
    within: Duration,
) -> Result<Arc<dyn Carrier>, DialError> {
    let addresses = tokio::net::lookup_host(address)
        .await
        .map_err(|cause| DialError::Address(address.to_owned(), cause))?;
    let addresses: Vec<SocketAddr> = addresses.take(MOST_ADDRESSES).collect();
    let within = within / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = DialError::NoAddress(address.to_owned());
    for mut to in addresses {
        let dialled: Result<Arc<dyn Carrier>, DialError> = match path {
            Path::Quic => match quic::dial(to, tls.clone(), within).await {
                Ok(carrier) => Ok(Arc::new(carrier)),
                Err(error) => Err(error),
            },
            Path::Tcp { port } => {
                to.set_port(port.unwrap_or_else(|| to.port()));
                match tcp::dial(to, tls.clone(), within).await {
                    Ok(carrier) => Ok(Arc::new(carrier)),
                    Err(error) => Err(error),
                }
            }
        };
        match dialled {
            Ok(carrier) => return Ok(carrier),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Dials on one way after another while they are silent; says which one answered.
pub async fn reach(
    address: &str,
    ways: &[Path],
    tls: &Arc<ClientConfig>,
    patience: Duration,
) -> Result<(Path, Arc<dyn Carrier>), DialError> {
    let mut silent = DialError::NoAddress(address.to_owned());
    for way in ways {
        match dial(address, *way, tls.clone(), patience).await {
            Ok(carrier) => return Ok((*way, carrier)),
            Err(error) if error.is_silence() => silent = error,
            Err(error) => return Err(error),
        }
    }
    Err(silent)
}

/// The dialler's side of every handshake.
pub fn tls(
    alpn: &[u8],
    trust: Trust,
    credentials: Option<Credentials>,
) -> Result<Arc<ClientConfig>, DialError> {
    let unusable = |error: rustls::Error| DialError::Identity(error.to_string());
    let builder = ClientConfig::builder_with_provider(provider())
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
    Ok(Arc::new(tls))
}

const MOST_ADDRESSES: usize = 4;
