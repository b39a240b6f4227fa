//! The sockets towards old servers: one task for a site, a bounded queue before it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use easyisp_shared::id::RouterId;
use easyisp_shared::wire::Up;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::login::Kept;
use super::proxy::{Full, Proxy, Purpose, Step};
use super::translate::Outgoing;
use crate::enforce::matching;
use crate::radius::driver::Radius;
use crate::radius::reply::Port;
use crate::site::{OldServer, SiteClock};

/// A question to a router's old server.
pub(super) struct Ask {
    pub(super) router: RouterId,
    pub(super) server: Arc<OldServer>,
    pub(super) port: Port,
    pub(super) request: Outgoing,
    pub(super) purpose: Purpose,
    /// Called once, on whatever thread knows first; must not block.
    pub(super) settle: Settle,
}

pub(super) type Settle = Box<dyn FnOnce(Outcome) + Send>;

/// What became of a question.
pub(super) enum Outcome {
    /// The old server's own answer.
    Answer(Kept),
    /// None came.
    Silent,
    /// It was not asked: too much waits for it.
    Shed,
}

/// The way to the task that asks.
pub struct OldServers(mpsc::Sender<Ask>);

impl OldServers {
    /// Hands a question over; gives it back where there is no room.
    pub(super) fn ask(&self, ask: Ask) -> Result<(), Ask> {
        self.0
            .try_send(ask)
            .map_err(mpsc::error::TrySendError::into_inner)
    }
}

/// Asks the old servers of a site's routers, and tells the cloud what they said.
pub struct Driver {
    radius: Arc<Radius>,
    clock: Arc<SiteClock>,
    /// The address of the RADIUS port: old servers know their clients by it.
    local: IpAddr,
    asks: mpsc::Receiver<Ask>,
    heard: mpsc::Receiver<Heard>,
    hears: mpsc::Sender<Heard>,
    lanes: HashMap<Lane, Asked>,
    signers: Signers,
}

/// One port of one router's old server.
type Lane = (RouterId, Port);

struct Asked {
    server: Arc<OldServer>,
    proxy: Proxy<Settle>,
    sockets: Vec<Arc<UdpSocket>>,
    readers: JoinSet<()>,
    used: Instant,
}

struct Heard {
    lane: Lane,
    line: usize,
    source: SocketAddr,
    datagram: Box<[u8]>,
}

impl Driver {
    /// Ready to [`run`](Driver::run); from then on `radius` can ask.
    pub fn new(radius: Arc<Radius>, clock: Arc<SiteClock>, local: IpAddr) -> Driver {
        let (sender, asks) = mpsc::channel(ASKS_WAITING);
        let (hears, heard) = mpsc::channel(ANSWERS_WAITING);
        radius.ask_old_servers(OldServers(sender));
        Driver {
            radius,
            clock,
            local,
            asks,
            heard,
            hears,
            lanes: HashMap::new(),
            signers: Signers::default(),
        }
    }

    /// Runs until cancelled. What is under way then gets no answer.
    pub async fn run(mut self, cancel: CancellationToken) {
        let clock = self.clock.clone();
        let mut telling = Box::pin(clock.sleep(TOLD_EVERY));
        loop {
            let first = self
                .lanes
                .values()
                .filter_map(|asked| asked.proxy.poll_timeout())
                .min();
            let due = tokio::time::Instant::from_std(first.unwrap_or_else(Instant::now));
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(ask) = self.asks.recv() => self.on_ask(ask).await,
                Some(heard) = self.heard.recv() => self.on_heard(&heard),
                () = tokio::time::sleep_until(due), if first.is_some() => self.on_timeouts().await,
                () = &mut telling => {
                    self.tell();
                    self.put_away();
                    telling = Box::pin(clock.sleep(TOLD_EVERY));
                }
            }
        }
        for (_, mut asked) in self.lanes.drain() {
            give_up(&mut asked.proxy);
        }
        self.asks.close();
        while let Ok(ask) = self.asks.try_recv() {
            (ask.settle)(Outcome::Silent);
        }
        let now = self.clock.now();
        for report in self.radius.tallies().take(now) {
            self.radius.report_result(&Up::Moving(report));
        }
    }

    async fn on_ask(&mut self, ask: Ask) {
        let lane = (ask.router, ask.port);
        let present = self.lanes.get(&lane);
        let same = present.is_some_and(|asked| Arc::ptr_eq(&asked.server, &ask.server));
        if !same {
            if let Some(mut before) = self.lanes.remove(&lane) {
                self.signers.note(lane, &before);
                give_up(&mut before.proxy);
            }
            let signs = self.signers.knows(lane, &ask.server);
            self.lanes
                .insert(lane, Asked::new(ask.server.clone(), ask.port, signs));
        }
        let Some(asked) = self.lanes.get_mut(&lane) else {
            return;
        };
        let now = Instant::now();
        asked.used = now;
        let address = asked.address(ask.port);
        match asked.proxy.ask(ask.request, ask.purpose, ask.settle, now) {
            Ok(send) => {
                if asked.sockets.len() <= send.line {
                    let opened = open(self.local, address).await;
                    match opened.map(Arc::new) {
                        Ok(socket) => {
                            let hears = self.hears.clone();
                            let line = asked.sockets.len();
                            asked.readers.spawn(hear(socket.clone(), lane, line, hears));
                            asked.sockets.push(socket);
                        }
                        // Without a socket it is as good as silent, and its time runs out.
                        Err(cause) => warn!(%cause, "Cannot ask the old server {address}"),
                    }
                }
                if let Some(socket) = asked.sockets.get(send.line) {
                    // A datagram that cannot leave is one the network lost.
                    let _lost = socket.send(send.datagram).await;
                }
            }
            Err(Full(settle)) => {
                let tallies = self.radius.tallies();
                tallies.note(ask.router, |tally| tally.counts().shed += 1);
                settle(Outcome::Shed);
            }
        }
    }

    fn on_heard(&mut self, heard: &Heard) {
        let Some(asked) = self.lanes.get_mut(&heard.lane) else {
            return;
        };
        let judged = asked
            .proxy
            .on_reply(heard.line, heard.source, &heard.datagram);
        match judged {
            Ok((settle, answer)) => settle(Outcome::Answer(Arc::new(answer))),
            Err(_) => {
                let (router, _) = heard.lane;
                let tallies = self.radius.tallies();
                tallies.note(router, |tally| tally.counts().ignored += 1);
            }
        }
    }

    async fn on_timeouts(&mut self) {
        let now = Instant::now();
        for asked in self.lanes.values_mut() {
            while let Some(step) = asked.proxy.on_timeout(now) {
                match step {
                    Step::Resend(send) => {
                        if let Some(socket) = asked.sockets.get(send.line) {
                            let _lost = socket.send(send.datagram).await;
                        }
                    }
                    Step::Silent(settle) => settle(Outcome::Silent),
                }
            }
        }
    }

    /// Writes what happened since the last time for the cloud.
    fn tell(&self) {
        let tallies = self.radius.tallies();
        for moving in self.radius.moving() {
            let problem = moving.server.as_ref().err();
            tallies.note(moving.router, |tally| {
                tally.set_problem(problem.map(String::as_str));
            });
        }
        for report in tallies.take(self.clock.now()) {
            self.radius.report_result(&Up::Moving(report));
        }
    }

    /// Closes what nobody used for a while.
    fn put_away(&mut self) {
        let now = Instant::now();
        let signers = &mut self.signers;
        self.lanes.retain(|lane, asked| {
            let idle = now.saturating_duration_since(asked.used);
            let kept = asked.proxy.under_way() > 0 || idle < KEPT_OPEN;
            if !kept {
                signers.note(*lane, asked);
            }
            kept
        });
    }
}

/// The old servers that signed an answer: who signs once, signs always, however long nobody asked and whatever else of
/// the router is changed.
#[derive(Default)]
struct Signers(HashMap<Lane, Arc<OldServer>>);

impl Signers {
    fn note(&mut self, lane: Lane, asked: &Asked) {
        if asked.proxy.is_of_signer() {
            self.0.insert(lane, asked.server.clone());
        }
    }

    fn knows(&self, lane: Lane, server: &OldServer) -> bool {
        self.0.get(&lane).is_some_and(|known| {
            known.authentication == server.authentication && known.secret.is(&server.secret)
        })
    }
}

impl Asked {
    fn new(server: Arc<OldServer>, port: Port, signs: bool) -> Asked {
        let secret = server.secret.clone();
        let address = match port {
            Port::Authentication => server.authentication,
            Port::Accounting => server.accounting,
        };
        let proxy = Proxy::new(address, secret, port);
        Asked {
            proxy: match signs {
                true => proxy.of_signer(),
                false => proxy,
            },
            server,
            sockets: Vec::new(),
            readers: JoinSet::new(),
            used: Instant::now(),
        }
    }

    fn address(&self, port: Port) -> SocketAddr {
        match port {
            Port::Authentication => self.server.authentication,
            Port::Accounting => self.server.accounting,
        }
    }
}

fn give_up(proxy: &mut Proxy<Settle>) {
    for settle in proxy.give_up() {
        settle(Outcome::Silent);
    }
}

/// Connected, so that the system drops what others send.
async fn open(local: IpAddr, server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((matching(local, server), 0)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

/// Hands over what arrives at a socket; where the task is behind, the system's buffer is the bound.
async fn hear(socket: Arc<UdpSocket>, lane: Lane, line: usize, hears: mpsc::Sender<Heard>) {
    let mut buffer = vec![0; 4097];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, source)) => {
                let heard = Heard {
                    lane,
                    line,
                    source,
                    datagram: buffer.get(..length).unwrap_or_default().into(),
                };
                if hears.send(heard).await.is_err() {
                    return;
                }
            }
            // Nobody listens there now: as good as silent.
            Err(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(cause) => {
                warn!(%cause, "Cannot read a socket towards an old server");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Questions that the task has not seen yet; more are shed.
const ASKS_WAITING: usize = 1024;
const ANSWERS_WAITING: usize = 1024;
/// What happened is told once a minute, where anything did.
const TOLD_EVERY: Duration = Duration::from_secs(60);
const KEPT_OPEN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radius::Secret;

    /// A minute without a request, or another row of the router, makes nobody a server that need not sign.
    #[test]
    fn who_signed_once_is_known_after_its_lane() {
        let lane = (RouterId(uuid::Uuid::nil()), Port::Authentication);
        let server = |secret: &[u8]| {
            Arc::new(OldServer {
                authentication: ([10, 0, 0, 4], 1645).into(),
                accounting: ([10, 0, 0, 4], 1646).into(),
                secret: Arc::new(Secret::new(secret)),
            })
        };
        let asked = |signs| Asked::new(server(b"one"), Port::Authentication, signs);
        let mut signers = Signers::default();
        signers.note(lane, &asked(false));
        assert!(!signers.knows(lane, &server(b"one")));
        signers.note(lane, &asked(true));
        signers.note(lane, &asked(false));
        assert!(signers.knows(lane, &server(b"one")));
        assert!(!signers.knows(lane, &server(b"two")), "another server");
    }
}
