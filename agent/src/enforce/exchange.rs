//! Carries one CoA or Disconnect exchange over a socket of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use tokio::net::UdpSocket;

use super::ways::{Way, may_mean_the_signature};
use crate::radius::builder::Signature;
use crate::radius::coa::{Action, Envelope, Exchange, Order, Outcome, Target};

/// By what asking waits, and what it draws.
pub(super) struct By<'a> {
    /// Counts the time until an answer.
    pub pace: &'a Clock,
    /// Identifiers and jitter.
    pub entropy: &'a Entropy,
}

/// How asking ended.
pub(super) struct Asked<'a> {
    /// So.
    pub outcome: Outcome,
    /// In which way the router was asked that answered; `None` when it did not.
    pub way: Option<&'a Way>,
}

/// Asks the router at `router` in these ways and waits for its answer, about half a minute at most.
///
/// The request leaves from `local`, which the router asks: it takes CoA only from the address it sends its own requests
/// to. Where that is no longer ours it leaves from the one that the system takes. A socket for each exchange keeps answers apart.
pub(super) async fn exchange<'a>(
    local: IpAddr,
    router: SocketAddr,
    ways: &'a [Way],
    target: Target<'_>,
    order: Order<'_>,
    by: By<'_>,
) -> io::Result<Asked<'a>> {
    let By { pace, entropy } = by;
    let [first] = entropy.bytes();
    let socket = match UdpSocket::bind((matching(local, router), 0)).await {
        Err(cause) if cause.kind() == io::ErrorKind::AddrNotAvailable => {
            UdpSocket::bind((any(router), 0)).await?
        }
        bound => bound?,
    };
    let began = pace.instant();
    let mut waiting = ways.iter().zip(0u8..).peekable();
    let mut under_way: Vec<(&Way, Exchange)> = Vec::new();
    // What a signed order was refused with, until the same was asked without.
    let mut refused: Option<(Asked<'a>, Instant)> = None;
    let mut datagram = [0; 4096];
    loop {
        let now = pace.instant();
        let hurry = refused.is_some();
        while let Some((way, number)) =
            waiting.next_if(|(way, _)| began + way.after <= now || hurry)
        {
            if hurry && way.signature == Signature::MessageAuthenticator {
                continue; // what answers is known, and so is its secret
            }
            let envelope = Envelope {
                router,
                identifier: first.wrapping_add(number),
                signature: way.signature,
                event_unix: None,
            };
            let [jitter] = entropy.bytes();
            let secret = way.secret.clone();
            let exchange = Exchange::start(envelope, target, order, secret, jitter, now)
                .map_err(io::Error::other)?;
            send(&socket, &exchange).await;
            under_way.push((way, exchange));
        }
        let next = waiting.peek().map(|(way, _)| began + way.after);
        let timers = under_way
            .iter()
            .map(|(_, exchange)| exchange.poll_timeout());
        let ends = refused.as_ref().map(|(_, until)| *until);
        let wake = timers.chain(next).chain(ends).min();
        let Some(wake) = wake else {
            return Err(io::Error::other("no way to ask"));
        };
        tokio::select! {
            received = socket.recv_from(&mut datagram) => {
                // An ICMP error shows up here; the router may still come back.
                let Ok((length, source)) = received else { continue };
                let answer = under_way.iter_mut().find_map(|(way, exchange)| {
                    let outcome = exchange.on_reply(source, &datagram[..length]).ok()?;
                    Some((*way, outcome))
                });
                let Some((way, outcome)) = answer else { continue };
                let asked = Asked { outcome, way: Some(way) };
                let plain = waiting.clone().any(|(way, _)| way.signature == Signature::None);
                let without = plain && refused.is_none();
                if !(without && may_mean_the_signature(way, outcome)) {
                    return Ok(match (refused, outcome) {
                        // With a signature or without, it says the same.
                        (Some((refused, _)), Outcome::Nak(_)) if refused.outcome == outcome => refused,
                        (Some(_) | None, _) => asked,
                    });
                }
                refused = Some((asked, pace.instant() + PLAIN_ANSWERS));
            }
            () = pace.sleep(wake.saturating_duration_since(pace.instant())) => {
                let now = pace.instant();
                if let Some((asked, _)) = refused.take_if(|(_, until)| *until <= now) {
                    return Ok(asked);
                }
                for (_, exchange) in &mut under_way {
                    let [jitter] = entropy.bytes();
                    match exchange.on_timeout(jitter, now) {
                        Some(Action::Resend) => send(&socket, exchange).await,
                        Some(Action::Finished(outcome)) => return Ok(Asked { outcome, way: None }),
                        None => {}
                    }
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
        (IpAddr::V6(_), SocketAddr::V4(_)) | (IpAddr::V4(_), SocketAddr::V6(_)) => any(router),
    }
}

/// Whatever address of the router's family.
fn any(router: SocketAddr) -> IpAddr {
    match router {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A router that answered once answers again at once.
const PLAIN_ANSWERS: Duration = Duration::from_secs(3);
