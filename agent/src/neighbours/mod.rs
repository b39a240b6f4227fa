//! The RouterOS devices around this box, as they announce themselves: to be offered to whoever looks for a router.

pub mod announcement;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::net::Mac;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::question::AnnouncedV1;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::site::Ranges;
use announcement::Announcement;

/// Who was heard lately.
pub struct Neighbours {
    heard: Mutex<HashMap<Mac, Heard>>,
    /// `None` where nobody can be heard: another program has the port.
    socket: Option<UdpSocket>,
    ranges: Ranges,
    clock: Clock,
    asked: Mutex<Option<Duration>>,
}

struct Heard {
    told: Announcement,
    source: IpAddr,
    at: Duration,
}

/// The port of announcements, shared with whoever else on this box listens to them.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

impl Neighbours {
    /// Nobody was heard yet. Only announcements from `ranges` count, and `clock` counts how long ago they came.
    pub fn new(socket: Option<UdpSocket>, ranges: Ranges, clock: Clock) -> Arc<Neighbours> {
        Arc::new(Neighbours {
            heard: Mutex::default(),
            socket,
            ranges,
            clock,
            asked: Mutex::default(),
        })
    }

    /// Where announcements are heard.
    pub fn address(&self) -> Option<SocketAddr> {
        let socket = self.socket.as_ref()?;
        socket.local_addr().ok()
    }

    /// Hears announcements until cancelled.
    pub async fn listen(self: Arc<Self>, cancel: CancellationToken) {
        let Some(socket) = &self.socket else { return };
        let mut datagram = [0; LONGEST];
        self.ask_around().await;
        while let Some(received) = cancel
            .run_until_cancelled(socket.recv_from(&mut datagram))
            .await
        {
            match received {
                Ok((length, source)) => self.hear(source.ip(), &datagram[..length]),
                // Such as an ICMP error to what was asked; the next word is waited for.
                Err(_) => self.clock.sleep(BREATH).await,
            }
        }
    }

    fn hear(&self, source: IpAddr, datagram: &[u8]) {
        // A device without an address speaks from none.
        if !source.is_unspecified() && !self.ranges.contain(source) {
            return;
        }
        let Some(told) = announcement::read(datagram) else {
            return;
        };
        let at = self.clock.monotonic();
        let mut heard = self.lock();
        if heard.len() >= MOST && !heard.contains_key(&told.mac) {
            let silent = heard.iter().min_by_key(|(_, heard)| heard.at);
            if let Some(mac) = silent.map(|(mac, _)| *mac) {
                heard.remove(&mac);
            }
        }
        heard.insert(told.mac, Heard { told, source, at });
    }

    /// Who is around now. They are asked to speak up, unless they just were, and have a moment to do so.
    pub async fn around(&self, patience: Duration) -> Vec<AnnouncedV1> {
        if self.ask_around().await {
            self.clock.sleep(MOMENT.min(patience)).await;
        }
        let now = self.clock.monotonic();
        let mut heard = self.lock();
        heard.retain(|_, heard| now.saturating_sub(heard.at) < FORGOTTEN_AFTER);
        let mut around: Vec<AnnouncedV1> = heard.values().map(|heard| heard.shown(now)).collect();
        around.sort_unstable_by_key(|neighbour| (neighbour.address, neighbour.mac));
        around
    }

    /// Whether it was said: four empty octets make RouterOS announce itself at once, and not within a minute.
    async fn ask_around(&self) -> bool {
        let lan = |at: SocketAddr| !at.ip().is_loopback();
        let Some(socket) = self
            .socket
            .as_ref()
            .filter(|_| self.address().is_some_and(lan))
        else {
            return false;
        };
        let now = self.clock.monotonic();
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some_and(|asked| now.saturating_sub(asked) < ASKED_EVERY) {
                return false;
            }
            *asked = Some(now);
        }
        socket.send_to(&[0; 4], EVERYBODY).await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Mac, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn shown(&self, now: Duration) -> AnnouncedV1 {
        let told = self.told.clone();
        let source = Some(self.source).filter(|source| !source.is_unspecified());
        AnnouncedV1 {
            mac: told.mac,
            // Where it was heard from is where it is; what it says may be of another network.
            address: source.or(told.address.map(IpAddr::V4)),
            identity: told.identity,
            version: told.version,
            platform: told.platform,
            board: told.board,
            interface: told.interface,
            uptime_secs: told.uptime_secs,
            silent_secs: now.saturating_sub(self.at).as_secs(),
        }
    }
}

/// The port that RouterOS announces itself on.
pub const PORT: u16 = 5678;
const EVERYBODY: (Ipv4Addr, u16) = (Ipv4Addr::BROADCAST, PORT);
/// A datagram of one Ethernet frame.
const LONGEST: usize = 1500;
/// More than a switch has ports; beyond that the one that was silent longest is forgotten.
const MOST: usize = 512;
/// RouterOS announces itself every minute.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(180);
const ASKED_EVERY: Duration = Duration::from_secs(10);
/// On a LAN they answer within milliseconds.
const MOMENT: Duration = Duration::from_millis(500);
const BREATH: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(mac: u32) -> Vec<u8> {
        let mut datagram = vec![0, 0, 0, 0, 0, 1, 0, 6, 2, 0];
        datagram.extend(mac.to_be_bytes());
        datagram
    }

    fn around(neighbours: &Neighbours) -> Vec<AnnouncedV1> {
        use futures_util::FutureExt;
        let asked = neighbours.around(Duration::from_secs(1));
        asked.now_or_never().expect("nobody has to be asked")
    }

    #[test]
    fn who_is_silent_is_forgotten_and_a_flood_is_bounded() {
        let clock = Clock::test(easyisp_shared::time::Timestamp::from_secs(1_800_000_000));
        let ranges = Ranges::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        let neighbours = Neighbours::new(None, ranges, clock.clone());
        let here = IpAddr::from([10, 0, 0, 7]);
        neighbours.hear(here, &announced(1));
        neighbours.hear(IpAddr::from([8, 8, 8, 8]), &announced(2));
        neighbours.hear(Ipv4Addr::UNSPECIFIED.into(), &announced(3));
        let heard = around(&neighbours);
        let addresses: Vec<_> = heard.iter().map(|heard| heard.address).collect();
        assert_eq!(addresses, [None, Some(here)]);

        clock.advance(Duration::from_secs(100));
        neighbours.hear(here, &announced(1));
        clock.advance(Duration::from_secs(100));
        assert_eq!(around(&neighbours).len(), 1);
        (0..2000).for_each(|mac| neighbours.hear(here, &announced(mac)));
        assert_eq!(around(&neighbours).len(), MOST);
    }
}
