//! A connection between two agents: the one that dialled asks, the other answers, one question at a time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use easyisp_shared::id::AgentId;
use easyisp_shared::wire::peer::{PEER_CAP, PeerAnswer, PeerQuestion};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::tls::{Tls, agent_of};
use crate::site::Site;

/// A connection that this agent dialled.
pub(super) type Dialled = client::TlsStream<TcpStream>;

/// Dials an agent; `None` where it is not there, or somebody else is.
pub(super) async fn dial(
    agent: AgentId,
    addresses: &[SocketAddr],
    tls: &Tls,
    site: &Site,
) -> Option<Dialled> {
    for address in addresses {
        let name = ServerName::from(address.ip());
        let greeted = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let connector = TlsConnector::from(tls.client.clone());
            connector.connect(name, stream).await
        };
        if let Ok(Ok(stream)) = tokio::time::timeout(GREETING, greeted).await
            && agent_of(site, stream.get_ref().1) == Some(agent)
        {
            return Some(stream);
        }
    }
    None
}

/// Asks; an error ends the connection.
pub(super) async fn ask(
    stream: &mut Dialled,
    question: &PeerQuestion,
    within: Duration,
) -> io::Result<PeerAnswer> {
    let asked = async {
        say(stream, &question.encode()).await?;
        let body = hear(stream).await?;
        PeerAnswer::decode(&body).map_err(|_| io::ErrorKind::InvalidData.into())
    };
    match tokio::time::timeout(within, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Greets who dialled.
pub(super) async fn greet(stream: TcpStream, tls: &Tls) -> Option<server::TlsStream<TcpStream>> {
    let acceptor = TlsAcceptor::from(tls.server.clone());
    let _slower = stream.set_nodelay(true);
    match tokio::time::timeout(GREETING, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(_)) | Err(_) => None,
    }
}

/// The next question and who asks it. An error where the other end is silent, revoked, or says what nobody
/// understands.
pub(super) async fn next(
    stream: &mut server::TlsStream<TcpStream>,
    site: &Site,
) -> io::Result<(AgentId, PeerQuestion)> {
    let heard = tokio::time::timeout(SILENCE, hear(stream)).await;
    let body = heard.map_err(|_| io::ErrorKind::TimedOut)??;
    let question = PeerQuestion::decode(&body).map_err(|_| io::ErrorKind::InvalidData)?;
    let agent = agent_of(site, stream.get_ref().1).ok_or(io::ErrorKind::PermissionDenied)?;
    Ok((agent, question))
}

/// Answers it.
pub(super) async fn answer(
    stream: &mut server::TlsStream<TcpStream>,
    answer: &PeerAnswer,
) -> io::Result<()> {
    let said = tokio::time::timeout(GREETING, say(stream, &answer.encode())).await;
    said.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

/// Reads untrusted bytes.
async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
    if length > PEER_CAP {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

const GREETING: Duration = Duration::from_secs(5);
/// Who dialled asks every few seconds.
const SILENCE: Duration = Duration::from_secs(60);
