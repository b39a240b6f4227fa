//! Finds the site's other agents: listens, and dials where the cloud says that they listen.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use easyisp_shared::id::AgentId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::Peers;
use super::sealed::{Side, greet};
use crate::site::Site;

impl Peers {
    /// Listens and dials until cancelled.
    pub async fn run(self: Arc<Self>, listener: Option<TcpListener>, cancel: CancellationToken) {
        let tasks = TaskTracker::new();
        let both = async {
            tokio::join!(
                self.listen(listener, &tasks, &cancel),
                self.dial(&tasks, &cancel)
            )
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            _never = both => {}
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn listen(
        self: &Arc<Self>,
        listener: Option<TcpListener>,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) {
        let Some(listener) = listener else {
            return std::future::pending().await;
        };
        let greeting = Arc::new(Semaphore::new(GREETED_AT_ONCE));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let Ok(turn) = greeting.clone().try_acquire_owned() else {
                continue; // who floods the port keeps nobody's place
            };
            let (peers, stop) = (self.clone(), cancel.clone());
            tasks.spawn(async move {
                let met = async {
                    let greeted = peers.greet(stream, Side::Listener).await;
                    drop(turn);
                    if let Some((agent, sink, source)) = greeted {
                        peers.talk((agent, Side::Listener), sink, source).await;
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = met => {}
                }
            });
        }
    }

    /// Dials who is not in touch, later and later while that is in vain.
    async fn dial(self: &Arc<Self>, tasks: &TaskTracker, cancel: &CancellationToken) {
        let mut pauses: HashMap<AgentId, (Instant, Duration)> = HashMap::new();
        let mut changes = self.changes.subscribe();
        loop {
            let missing = {
                let others = self.post().others().to_vec();
                let connections = self.connections();
                pauses
                    .retain(|agent, _| others.contains(agent) && !connections.contains_key(agent));
                let missing = others.into_iter();
                missing
                    .filter(|agent| !connections.contains_key(agent))
                    .collect::<Vec<_>>()
            };
            let now = Instant::now();
            let mut next: Option<Instant> = None;
            for agent in missing {
                let addresses = self.addresses(agent);
                if addresses.is_empty() {
                    continue;
                }
                // The larger id dials at once, the other one where that is in vain: so that they rarely
                // meet half-way.
                let first = match self.parts.me > agent {
                    true => (now, PAUSE),
                    false => (now + PAUSE, PAUSE),
                };
                let (due, pause) = pauses.entry(agent).or_insert(first);
                if *due <= now {
                    *due = now + *pause;
                    *pause = (*pause * 2).min(LONGEST_PAUSE);
                    let (peers, stop) = (self.clone(), cancel.clone());
                    tasks.spawn(async move {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = peers.call(agent, addresses) => {}
                        }
                    });
                }
                next = Some(next.map_or(*due, |next| next.min(*due)));
            }
            let rest = next.map(|next| next.saturating_duration_since(Instant::now()));
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(rest.unwrap_or_default()), if rest.is_some() => {}
            }
        }
    }

    async fn call(self: &Arc<Self>, agent: AgentId, addresses: Vec<SocketAddr>) {
        for address in addresses {
            let dialled = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
            let Ok(Ok(stream)) = dialled else { continue };
            if let Some((met, sink, source)) = self.greet(stream, Side::Dialler).await
                && met == agent
            {
                return self.talk((agent, Side::Dialler), sink, source).await;
            }
        }
    }

    async fn greet(
        &self,
        stream: TcpStream,
        side: Side,
    ) -> Option<(AgentId, super::sealed::Sink, super::sealed::Source)> {
        let parts = &self.parts;
        let is_known = |agent| self.post().others().contains(&agent);
        let greeting = greet(stream, side, parts.me, &parts.key, &parts.entropy, is_known);
        match tokio::time::timeout(PATIENCE, greeting).await {
            Ok(Ok(met)) => Some(met),
            Ok(Err(cause)) => {
                debug!(%cause, "Somebody at the agents' port is no agent of this site");
                None
            }
            Err(_) => None,
        }
    }
}

/// Where this box is found by the site's other agents, when it listens at `listen`: there, or where that is
/// every address, at those from which it reaches the routers and the rest of the world.
pub fn addresses(listen: SocketAddr, site: &Site) -> Vec<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return vec![listen];
    }
    let routers = site.routers();
    let towards = routers.iter().map(|router| router.coa_address().ip());
    let mut found: Vec<SocketAddr> = Vec::new();
    for ip in towards.chain([OUT_THERE]).filter_map(own_address) {
        let address = SocketAddr::new(ip, listen.port());
        if !ip.is_loopback() && !found.contains(&address) && found.len() < MOST_ADDRESSES {
            found.push(address);
        }
    }
    found.sort_unstable();
    found
}

/// From which address this box reaches another one. No octet is sent.
fn own_address(towards: IpAddr) -> Option<IpAddr> {
    let any = match towards {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((towards, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// An address of documentation (RFC 5737), which the default route leads to.
const OUT_THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const MOST_ADDRESSES: usize = 4;
const GREETED_AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
