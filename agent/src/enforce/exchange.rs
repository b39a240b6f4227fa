//! Carries one CoA or Disconnect exchange over a socket of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use easyisp_shared::entropy::Entropy;
use tokio::net::UdpSocket;

use crate::radius::Secret;
use crate::radius::builder::Signature;
use crate::radius::coa::{Action, Envelope, Exchange, Order, Outcome, Target};

/// Asks the router at `router` and waits for its answer, at most half a minute.
///
/// The request leaves from `local`, the address of the RADIUS port: a router takes CoA only from the
/// address it sends its own requests to. A socket for each exchange keeps answers apart.
pub(super) async fn exchange(
    local: IpAddr,
    router: SocketAddr,
    secret: Arc<Secret>,
    target: Target<'_>,
    order: Order<'_>,
    entropy: &Entropy,
) -> io::Result<Outcome> {
    let [identifier, jitter] = entropy.bytes();
    let envelope = Envelope {
        router,
        identifier,
        signature: Signature::MessageAuthenticator,
        event_unix: None,
    };
    let mut exchange = Exchange::start(envelope, target, order, secret, jitter, Instant::now())
        .map_err(io::Error::other)?;
    let socket = UdpSocket::bind((matching(local, router), 0)).await?;
    let mut datagram = [0; 4096];
    send(&socket, &exchange).await;
    loop {
        let wake = tokio::time::Instant::from_std(exchange.poll_timeout());
        tokio::select! {
            received = socket.recv_from(&mut datagram) => {
                // An ICMP error shows up here; the router may still come back.
                let Ok((length, source)) = received else { continue };
                if let Ok(outcome) = exchange.on_reply(source, &datagram[..length]) {
                    return Ok(outcome);
                }
            }
            () = tokio::time::sleep_until(wake) => {
                let [jitter] = entropy.bytes();
                match exchange.on_timeout(jitter, Instant::now()) {
                    Some(Action::Resend) => send(&socket, &exchange).await,
                    Some(Action::Finished(outcome)) => return Ok(outcome),
                    None => {}
                }
            }
        }
    }
}

/// A datagram that cannot be sent counts as lost: the next copy may get through.
async fn send(socket: &UdpSocket, exchange: &Exchange) {
    let _lost = socket.send_to(exchange.datagram(), exchange.router()).await;
}

/// The local address where it is of the router's family.
pub(crate) fn matching(local: IpAddr, router: SocketAddr) -> IpAddr {
    match (local, router) {
        (IpAddr::V4(_), SocketAddr::V4(_)) | (IpAddr::V6(_), SocketAddr::V6(_)) => local,
        (IpAddr::V6(_), SocketAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
        (IpAddr::V4(_), SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
