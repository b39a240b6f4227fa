//! The RadSec listener: connections, each of one router, and the packets on them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::wire::condition::CertificateV1;
use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::frame::Frames;
use super::settings::{LIFE, config, read};
use crate::radius::driver::Radius;
use crate::radius::eap::Authority;
use crate::site::SiteClock;

/// The listener of one site.
pub struct RadSec {
    /// Answers.
    pub radius: Arc<Radius>,
    /// Whose certificates count.
    pub authority: Arc<Authority>,
    /// When they count.
    pub clock: Arc<SiteClock>,
}

/// How many connections each has.
type Counts<K> = Arc<Mutex<HashMap<K, usize>>>;

impl RadSec {
    /// Serves until cancelled, and until every connection has ended after that.
    pub async fn serve(self, listener: TcpListener, cancel: CancellationToken) {
        let room = Arc::new(Semaphore::new(MOST));
        let (strangers, connected) = (Counts::default(), Counts::default());
        let connections = TaskTracker::new();
        let mut acceptor: Option<(TlsAcceptor, Duration)> = None;
        while let Some((stream, source)) = next(&listener, &cancel).await {
            // Whoever shows no certificate takes the room of nobody else.
            let Some(stranger) = Place::take(&strangers, source.ip(), MOST_STRANGERS) else {
                self.radius.parts.counters.count("radsec_strangers");
                continue;
            };
            let Ok(permit) = room.clone().try_acquire_owned() else {
                self.radius.parts.counters.count("radsec_full");
                continue;
            };
            let now = self.clock.monotonic();
            let present = acceptor
                .take()
                .filter(|(_, made)| now.saturating_sub(*made) < LIFE / 2);
            let Some((tls, made)) = present.or_else(|| Some((self.acceptor()?, now))) else {
                continue;
            };
            acceptor = Some((tls.clone(), made));
            let connection = Connection {
                radius: self.radius.clone(),
                connected: connected.clone(),
                source,
                _permit: permit,
            };
            let stopping = cancel.clone();
            connections.spawn(async move {
                let served = connection.serve(tls, stream, stranger);
                let _stopped = stopping.run_until_cancelled(served).await;
            });
        }
        connections.close();
        connections.wait().await;
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        let settings = config(&self.authority, self.clock.clone(), self.clock.now());
        settings
            .inspect_err(|cause| error!(%cause, "Cannot make a certificate for RadSec"))
            .ok()
            .map(|config: Arc<ServerConfig>| TlsAcceptor::from(config))
    }
}

/// The next connection; `None` when it is time to stop.
async fn next(
    listener: &TcpListener,
    cancel: &CancellationToken,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        match cancel.run_until_cancelled(listener.accept()).await? {
            Ok(accepted) => return Some(accepted),
            Err(cause) => {
                warn!(%cause, "Cannot take a RadSec connection");
                cancel
                    .run_until_cancelled(tokio::time::sleep(Duration::from_millis(100)))
                    .await?;
            }
        }
    }
}

/// One connection before and after its handshake.
struct Connection {
    radius: Arc<Radius>,
    connected: Counts<RouterId>,
    source: SocketAddr,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, tls: TlsAcceptor, stream: TcpStream, stranger: Place<IpAddr>) {
        prepare(&stream);
        let shaken = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await;
        drop(stranger);
        let Ok(Ok(stream)) = shaken else {
            return self.radius.parts.counters.count("radsec_refused");
        };
        let Some((router, certificate)) = shown_on(&stream) else {
            return self.radius.parts.counters.count("radsec_refused");
        };
        if let Some(known) = self.radius.parts.site.router(router) {
            if known.has_ended(&certificate) {
                return self.radius.parts.counters.count("radsec_ended");
            }
            known.note_certificate(certificate.clone());
        }
        let Some(place) = Place::take(&self.connected, router, MOST_PER_ROUTER) else {
            return self.radius.parts.counters.count("radsec_full");
        };
        info!(router.id = %router, source = %self.source, "A router is connected by RadSec");
        self.talk(router, &certificate, stream).await;
        drop(place);
    }

    /// Packets in, answers out, until either side ends it or it is silent for too long.
    async fn talk(
        &self,
        router: RouterId,
        certificate: &CertificateV1,
        stream: TlsStream<TcpStream>,
    ) {
        let (mut source, mut sink) = tokio::io::split(stream);
        let (answers, mut answered) = mpsc::channel::<Arc<[u8]>>(ANSWERS_WAITING);
        let hear = async {
            let (mut frames, mut buffer) = (Frames::default(), vec![0; 8192]);
            loop {
                let heard = tokio::time::timeout(SILENCE, source.read(&mut buffer)).await;
                let Ok(Ok(length @ 1..)) = heard else {
                    return;
                };
                frames.take(&buffer[..length]);
                loop {
                    let packet = match frames.next_packet() {
                        Ok(Some(packet)) => packet,
                        Ok(None) => break,
                        Err(_) => return self.radius.parts.counters.count("radsec_not_radius"),
                    };
                    if self.has_ended(router, certificate) {
                        return self.radius.parts.counters.count("radsec_ended");
                    }
                    let later = answers.clone();
                    let now = self
                        .radius
                        .on_stream(router, self.source, &packet, move |answer| {
                            later.try_send(answer.into()).is_ok()
                        });
                    if let Some(answer) = now
                        && answers.send(answer).await.is_err()
                    {
                        return;
                    }
                }
            }
        };
        let say = async {
            while let Some(answer) = answered.recv().await {
                let said = async {
                    sink.write_all(&answer).await?;
                    sink.flush().await
                };
                let Ok(Ok(())) = tokio::time::timeout(SLOW, said).await else {
                    return;
                };
            }
        };
        tokio::select! {
            () = hear => {}
            () = say => {}
        }
    }

    /// Whether its certificate is over, by time or by an operator: looked at for each packet, since a
    /// connection lasts for months.
    fn has_ended(&self, router: RouterId, certificate: &CertificateV1) -> bool {
        let known = self.radius.parts.site.router(router);
        certificate.until <= self.radius.parts.clock.now()
            || known.is_some_and(|known| known.has_ended(certificate))
    }
}

fn shown_on(stream: &TlsStream<TcpStream>) -> Option<(RouterId, CertificateV1)> {
    let certificates = stream.get_ref().1.peer_certificates()?;
    read(certificates.first()?)
}

/// A dead peer is found in two minutes, without a packet of RADIUS.
fn prepare(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(20));
    let _less = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    let _slower = stream.set_nodelay(true);
}

/// A connection counted under its router, or under its address before it has shown which router it is.
struct Place<K: Hash + Eq + Copy> {
    counts: Counts<K>,
    of: K,
}

impl<K: Hash + Eq + Copy> Place<K> {
    fn take(counts: &Counts<K>, of: K, most: usize) -> Option<Place<K>> {
        {
            let mut held = counts.lock().unwrap_or_else(PoisonError::into_inner);
            let count = held.entry(of).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
        }
        Some(Place {
            counts: counts.clone(),
            of,
        })
    }
}

impl<K: Hash + Eq + Copy> Drop for Place<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

/// All connections: a site has tens of routers.
const MOST: usize = 256;
/// One for logins and one for accounting, twice for a restart that the old ones outlive.
const MOST_PER_ROUTER: usize = 4;
/// Handshakes of one address at once; routers behind one address begin one after the other.
const MOST_STRANGERS: usize = 16;
/// Who connects and says nothing makes room for others.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection that is in use asks for its state every minute or so.
const SILENCE: Duration = Duration::from_secs(30 * 60);
/// A router that takes no answers for so long is gone.
const SLOW: Duration = Duration::from_secs(30);
/// Accounting that is answered while the router reads slowly; what does not fit it asks again.
const ANSWERS_WAITING: usize = 1024;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// One device that opens connections and says nothing keeps no router out.
    #[test]
    fn an_address_has_so_many_handshakes_and_others_have_theirs() {
        let (counts, here) = (Counts::default(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let take = |of| Place::take(&counts, of, 2);
        let held = [take(here), take(here)];
        assert!(held.iter().all(Option::is_some));
        assert!(take(here).is_none());
        assert!(take(IpAddr::V4(Ipv4Addr::BROADCAST)).is_some());
        drop(held);
        assert!(take(here).is_some());
    }
}
