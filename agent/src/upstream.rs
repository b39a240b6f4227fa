//! Whether the site reaches the internet: a line may be dead behind a link to the cloud that goes another way, and then
//! only this box can tell.
//!
//! One host is asked a minute, in turn, by opening a TCP connection; where that fails the others are asked too. A refusal
//! is no answer: whoever stands between may send it. Nothing is decided by it here: it is told to the cloud.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::condition::UpstreamV1;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::site::SiteClock;

/// What is known of the way to the internet.
pub struct Upstream {
    clock: Arc<SiteClock>,
    seen: Mutex<Seen>,
}

impl Upstream {
    /// Nothing is known yet.
    pub fn new(clock: Arc<SiteClock>) -> Arc<Upstream> {
        Arc::new(Upstream {
            clock,
            seen: Mutex::default(),
        })
    }

    /// Whether somebody out there answers; `None` where nobody is asked, and until somebody did.
    pub fn state(&self) -> Option<UpstreamV1> {
        self.seen().state
    }

    /// Asks `hosts` until cancelled; not at all where there are none.
    pub async fn watch(self: Arc<Self>, hosts: Vec<SocketAddr>, cancel: CancellationToken) {
        if hosts.is_empty() {
            return;
        }
        let asking = async {
            for first in (0..hosts.len()).cycle() {
                let at = self.clock.now();
                let reached = any(&hosts, first).await;
                self.seen().take(reached, at);
                self.clock.sleep(EVERY).await;
            }
        };
        cancel.run_until_cancelled(asking).await;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom a box may ask: one that answers on loopback alone says nothing on a network that is not its site's.
pub fn askable(hosts: &[SocketAddr], radius: IpAddr) -> Vec<SocketAddr> {
    let may = |host: &&SocketAddr| host.ip().is_loopback() || !radius.is_loopback();
    hosts.iter().filter(may).copied().collect()
}

/// Whether any of them answers, `hosts[first]` being asked first.
async fn any(hosts: &[SocketAddr], first: usize) -> bool {
    let (later, sooner) = hosts.split_at(first);
    for host in sooner.iter().chain(later) {
        if answers(*host).await {
            return true;
        }
    }
    false
}

async fn answers(host: SocketAddr) -> bool {
    let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(host)).await;
    matches!(connected, Ok(Ok(_)))
}

/// What became of the last looks.
#[derive(Default)]
struct Seen {
    state: Option<UpstreamV1>,
    /// How many were in vain, one after the other.
    in_vain: u32,
    /// The first of them.
    first: Timestamp,
}

impl Seen {
    fn take(&mut self, reached: bool, at: Timestamp) {
        match reached {
            true => self.in_vain = 0,
            false if self.in_vain == 0 => (self.in_vain, self.first) = (1, at),
            false => self.in_vain = self.in_vain.saturating_add(1),
        }
        let since = match (self.in_vain, self.state) {
            (0, _) => at,
            // Whoever was never reached from here may be kept from this box by a firewall: that is no outage, and
            // nobody's time is to grow longer for it.
            (1..ENOUGH, _) | (_, None) => return,
            (ENOUGH.., Some(_)) => self.first,
        };
        if self.state.is_none_or(|state| state.reached != reached) {
            self.state = Some(UpstreamV1 { reached, since });
        }
    }
}

/// One connection of some 300 octets a minute is 0.4 MB a day.
const EVERY: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(5);
/// Looks in vain, one after the other, after which it is no hiccup.
const ENOUGH: u32 = 3;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn it_is_down_since_the_first_of_three_looks_in_vain() {
        let mut seen = Seen::default();
        assert_eq!(seen.state, None);
        for (minute, answered, reached, since) in [
            (1, true, true, 1),
            (2, false, true, 1),
            (3, false, true, 1),
            (4, true, true, 1),
            (5, false, true, 1),
            (6, false, true, 1),
            (7, false, false, 5),
            (8, false, false, 5),
            (9, true, true, 9),
            (10, false, true, 9),
        ] {
            seen.take(answered, at(minute));
            let since = at(since);
            assert_eq!(
                seen.state,
                Some(UpstreamV1 { reached, since }),
                "minute {minute}"
            );
        }
    }

    /// A box that just began must not say that all is well, and one that never reached anybody not that it is not.
    #[test]
    fn nothing_is_known_before_somebody_was_reached() {
        let mut seen = Seen::default();
        for minute in 1..100 {
            seen.take(false, at(minute));
            assert_eq!(seen.state, None);
        }
        seen.take(true, at(100));
        let since = at(100);
        let reached = true;
        assert_eq!(seen.state, Some(UpstreamV1 { reached, since }));
    }

    #[test]
    fn a_box_on_loopback_asks_nobody_outside() {
        let hosts: Vec<SocketAddr> = ["1.1.1.1:443", "127.0.0.1:9", "[::1]:9"]
            .map(|host| host.parse().unwrap())
            .to_vec();
        assert_eq!(askable(&hosts, "0.0.0.0".parse().unwrap()), hosts);
        assert_eq!(askable(&hosts, "127.0.0.2".parse().unwrap()), hosts[1..]);
    }

    /// A host that refuses and one that is not there are none; then the next one is asked.
    #[tokio::test]
    async fn whoever_answers_is_enough() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = refusing.local_addr().unwrap();
        drop(refusing);
        let open = open.local_addr().unwrap();
        for first in 0..3 {
            assert!(any(&[closed, open, closed], first).await);
            assert!(!any(&[closed; 3], first).await);
        }
    }
}
