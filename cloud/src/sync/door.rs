//! The agents' door: lets callers in, a bounded number at a time, and sees them off.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use easyisp_shared::time::Clock;
use easyisp_shared::wire::Message;
use easyisp_shared::wire::enroll::{EnrollAnswer, EnrollRefusal};
use governor::clock::{Clock as Beat, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use quinn::Endpoint;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use super::agents::Agents;
use super::feed::Snapshots;
use super::identity::identify;
use super::pipe::{Carrier, PipeError};
use super::quic::{self, QuicCarrier};
use super::tls::{self, OwnCertificate, Purpose};
use super::uplink::Tries;
use super::{poll, session, tcp};
use crate::db::Database;
use crate::secrets::Secrets;
use crate::sites::Questions;
use crate::sites::agents::{EnrollError, Standing, enroll};
use crate::sites::reports::Appliers;

/// What the door needs.
pub struct DoorConfig {
    /// UDP address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TCP addresses; port 0 means the UDP address's port.
    pub tcp: Vec<SocketAddr>,
    /// Agents connected to this node at once; more are asked to come back.
    pub most_agents: usize,
    /// How long an agent may take nothing that it is sent, or answer to none of it: [`super::PATIENCE`].
    pub patience: Duration,
    /// The database.
    pub db: Database,
    /// For the site key that an enrolled agent is given.
    pub secrets: Secrets,
    /// The authority and the epoch.
    pub standing: Standing,
    /// What is done with reports.
    pub appliers: Appliers,
    /// The time.
    pub clock: Clock,
    /// Where who is connected is noted.
    pub agents: Agents,
    /// How an agent's question reaches another agent.
    pub questions: Questions,
}

/// Why the door does not open.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The socket cannot be had.
    #[error("[agents] listen = \"{0}\" cannot be used: {1}")]
    Socket(SocketAddr, std::io::Error),
    /// The TCP socket cannot be had.
    #[error("[agents] tcp_listen = \"{0}\" cannot be used: {1}")]
    TcpSocket(SocketAddr, std::io::Error),
    /// The authority does not sign.
    #[error("the door's certificate cannot be made: {0}")]
    Certificate(String),
}

/// What all of the door's tasks share.
pub(super) struct Shared {
    pub db: Database,
    pub secrets: Secrets,
    pub standing: Standing,
    pub appliers: Appliers,
    pub clock: Clock,
    pub agents: Agents,
    pub questions: Questions,
    pub most_agents: usize,
    pub patience: Duration,
    pub stop: CancellationToken,
    /// Batches being stored at once, so that agents leave the pool to people.
    pub uplinks: Semaphore,
    /// Feeds being read at once, for the same reason: a tenant-wide change wakes all of its sites.
    pub reads: Semaphore,
    /// How fast agents are let in: a fleet that comes back at once is spread by its own back-off.
    pub admissions: DefaultDirectRateLimiter,
    /// Sites being given everything at once.
    pub snapshots: Snapshots,
    /// Batches that do not apply.
    pub tries: Tries,
    enrolments: Semaphore,
}

/// The open door.
pub struct Door {
    shared: Arc<Shared>,
    own: Arc<OwnCertificate>,
    endpoint: Endpoint,
    tasks: TaskTracker,
    accepting: Vec<JoinHandle<()>>,
}

impl Door {
    /// Opens the door and starts to let agents in.
    pub async fn open(config: DoorConfig) -> Result<Door, DoorError> {
        let authority = config.standing.authority.clone();
        let (tls, own) = tls::config(authority, config.clock.clone())?;
        let (endpoint, listeners) = listen(&config, &tls).await?;
        let shared = Arc::new(Shared {
            db: config.db,
            secrets: config.secrets,
            standing: config.standing,
            appliers: config.appliers,
            clock: config.clock,
            agents: config.agents,
            questions: config.questions,
            most_agents: config.most_agents,
            patience: config.patience,
            stop: CancellationToken::new(),
            uplinks: Semaphore::new(MOST_UPLINKS),
            reads: Semaphore::new(MOST_READS),
            admissions: admissions(DefaultClock::default()),
            snapshots: Snapshots::default(),
            tries: Tries::default(),
            enrolments: Semaphore::new(MOST_ENROLMENTS),
        });
        let tasks = TaskTracker::new();
        let poll = poll::run(shared.clone());
        tasks.spawn(shared.stop.clone().run_until_cancelled_owned(poll));
        let pending = Pending::default();
        let quic = accept(
            shared.clone(),
            endpoint.clone(),
            pending.clone(),
            tasks.clone(),
        );
        let mut accepting = vec![tokio::spawn(quic)];
        for listener in listeners {
            let (shared, tls) = (shared.clone(), tls.clone());
            let accept = accept_tcp(shared, listener, tls, pending.clone(), tasks.clone());
            accepting.push(tokio::spawn(accept));
        }
        Ok(Door {
            accepting,
            shared,
            own,
            endpoint,
            tasks,
        })
    }

    /// What agents know this node by.
    pub fn own(&self) -> Arc<OwnCertificate> {
        self.own.clone()
    }

    /// Where the door is.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Who is connected.
    pub fn agents(&self) -> Agents {
        self.shared.agents.clone()
    }

    /// Lets in who came another way than through a socket: for tests.
    pub fn let_in(&self, carrier: Arc<dyn Carrier>) {
        self.tasks.spawn(link(self.shared.clone(), carrier));
    }

    /// Sees everyone off and returns when nothing of the door runs any more.
    pub async fn close(self) {
        self.shared.stop.cancel();
        for accepting in self.accepting {
            let _joined = accepting.await;
        }
        self.tasks.close();
        self.tasks.wait().await;
        self.endpoint.close(0u32.into(), b"");
        let _told = tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await;
        // The endpoint's own task lets go of the socket some time after its last handle.
        let address = self.endpoint.local_addr();
        drop(self.endpoint);
        for _ in 0..100 {
            if address
                .as_ref()
                .is_ok_and(|address| UdpSocket::bind(address).is_ok())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A free UDP port may be somebody's TCP port: then another is taken.
async fn listen(
    config: &DoorConfig,
    tls: &Arc<rustls::ServerConfig>,
) -> Result<(Endpoint, Vec<TcpListener>), DoorError> {
    let mut tries = if config.listen.port() == 0 { 20 } else { 1 };
    loop {
        tries -= 1;
        match listen_at_one_port(config, tls).await {
            Err(DoorError::TcpSocket(_, cause))
                if cause.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            listening => return listening,
        }
    }
}

async fn listen_at_one_port(
    config: &DoorConfig,
    tls: &Arc<rustls::ServerConfig>,
) -> Result<(Endpoint, Vec<TcpListener>), DoorError> {
    let endpoint = quic::listen(config.listen, tls.clone())?;
    let port = endpoint.local_addr();
    let port = port.map_err(|cause| DoorError::Socket(config.listen, cause))?;
    let mut listeners = Vec::new();
    for address in &config.tcp {
        let mut address = *address;
        if address.port() == 0 {
            address.set_port(port.port());
        }
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|cause| DoorError::TcpSocket(address, cause))?);
    }
    Ok((endpoint, listeners))
}

async fn accept(shared: Arc<Shared>, endpoint: Endpoint, pending: Pending, tasks: TaskTracker) {
    loop {
        let incoming = tokio::select! {
            () = shared.stop.cancelled() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        let Some(turn) = pending.enter(incoming.remote_address().ip()) else {
            // No answer: the caller's own repetition is the queue.
            incoming.ignore();
            continue;
        };
        if turn.crowded && !incoming.remote_address_validated() && incoming.may_retry() {
            if let Err(cause) = incoming.retry() {
                debug!(%cause, "Cannot ask a caller to prove his address");
            }
            continue;
        }
        let shared = shared.clone();
        tasks.spawn(async move {
            let stop = shared.stop.clone();
            let from = incoming.remote_address();
            let handshake = async {
                let connection = incoming.await?;
                let purpose = quic::purpose(&connection);
                let carrier: Arc<dyn Carrier> = Arc::new(QuicCarrier(connection));
                Ok::<_, quinn::ConnectionError>(purpose.map(|purpose| (purpose, carrier)))
            };
            let welcomed = welcome(shared, from, handshake, turn);
            stop.run_until_cancelled(welcomed).await;
        });
    }
}

async fn accept_tcp(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    pending: Pending,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(cause) => {
                // Out of files, most likely: a while later there may be some.
                warn!(%cause, "Cannot take a TCP connection of an agent");
                tokio::time::sleep(TCP_PAUSE).await;
                continue;
            }
        };
        let Some(turn) = pending.enter(from.ip()) else {
            continue;
        };
        let (shared, tls) = (shared.clone(), tls.clone());
        tasks.spawn(async move {
            let stop = shared.stop.clone();
            let handshake = async {
                let accepted = tcp::accept(stream, tls).await?;
                Ok::<_, std::io::Error>(accepted.map(|(purpose, carrier)| {
                    let carrier: Arc<dyn Carrier> = Arc::new(carrier);
                    (purpose, carrier)
                }))
            };
            let welcomed = welcome(shared, from, handshake, turn);
            stop.run_until_cancelled(welcomed).await;
        });
    }
}

/// The handshake, then what the caller came for. What is over before a link is up has a place of its own: a link's task
/// lives for months, and is as large as the largest of what it waits for in place.
async fn welcome<E: std::fmt::Display>(
    shared: Arc<Shared>,
    from: SocketAddr,
    handshake: impl Future<Output = Result<Option<(Purpose, Arc<dyn Carrier>)>, E>>,
    turn: Turn,
) {
    let handshake = Box::pin(handshake);
    let (purpose, carrier) = match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Ok(Some(found))) => found,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(cause)) => {
            debug!(%from, %cause, "A caller's handshake failed");
            return;
        }
    };
    match purpose {
        Purpose::Enroll => {
            // Keeps its place among the handshakes: who enrols is not known yet.
            let _turn = turn;
            if let Err(error) = Box::pin(let_enroll(&shared, carrier.as_ref())).await {
                debug!(%from, %error, "An enrolment broke off");
            }
            carrier.close();
        }
        Purpose::Link => {
            drop(turn);
            link(shared, carrier).await;
        }
    }
}

async fn link(shared: Arc<Shared>, carrier: Arc<dyn Carrier>) {
    let Some(certificate) = carrier.peer_certificate() else {
        return carrier.close();
    };
    let identified = Box::pin(identify(&shared.db, &certificate, shared.clock.now())).await;
    match identified {
        Ok(caller) => session::serve(shared, carrier, caller).await,
        Err(cause) => {
            warn!(%cause, "Cannot look up who is calling");
            carrier.close();
        }
    }
}

async fn let_enroll(shared: &Shared, carrier: &dyn Carrier) -> Result<(), PipeError> {
    let exchange = async {
        let mut pipe = carrier.accept().await?;
        let Some(Message::EnrollRequest(request)) = pipe.source.receive().await? else {
            return Err(PipeError::Unexpected);
        };
        let (answer, given) = match shared.enrolments.try_acquire() {
            Err(_) => (EnrollAnswer::Refused(EnrollRefusal::Busy), None),
            Ok(_turn) => {
                let authority = &shared.standing.authority;
                let now = shared.clock.now();
                match enroll(&shared.db, &shared.secrets, authority, &request, now).await {
                    Ok((enrolled, given)) => (EnrollAnswer::V1(enrolled), given),
                    Err(EnrollError::Refused(refusal)) => (EnrollAnswer::Refused(refusal), None),
                    Err(cause) => {
                        error!(%cause, "Cannot enrol an agent");
                        (EnrollAnswer::Refused(EnrollRefusal::Busy), None)
                    }
                }
            }
        };
        pipe.sink.send(&Message::EnrollAnswer(answer)).await?;
        if let Some(given) = given {
            // A box of before hangs up without it.
            let _not_read = pipe.sink.send(&Message::SiteAuthority(given)).await;
        }
        let _hung_up = pipe.sink.finish().await;
        // The box hangs up once it has read the answer.
        carrier.closed().await;
        Ok(())
    };
    match tokio::time::timeout(HANDSHAKE, exchange).await {
        Ok(ended) => ended,
        Err(_) => Ok(()),
    }
}

/// How fast agents are let in, by this clock.
fn admissions<C: Beat>(
    clock: C,
) -> RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>> {
    RateLimiter::direct_with_clock(Quota::per_second(ADMISSIONS), clock)
}

/// Handshakes under way, in all and per address.
#[derive(Clone, Default)]
struct Pending {
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    total: Arc<Mutex<usize>>,
}

/// One handshake's place; given back when dropped.
struct Turn {
    pending: Pending,
    from: IpAddr,
    crowded: bool,
}

impl Pending {
    fn enter(&self, from: IpAddr) -> Option<Turn> {
        let mut total = self.total.lock().expect("no code panics under this lock");
        let mut by_address = self.addresses();
        let here = by_address.get(&from).copied().unwrap_or(0);
        if *total >= MOST_PENDING || here >= MOST_PENDING_PER_ADDRESS {
            return None;
        }
        *total += 1;
        by_address.insert(from, here + 1);
        Some(Turn {
            pending: self.clone(),
            from,
            crowded: *total > CROWD,
        })
    }

    fn addresses(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address
            .lock()
            .expect("no code panics under this lock")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut total = self
            .pending
            .total
            .lock()
            .expect("no code panics under this lock");
        let mut by_address = self.pending.addresses();
        *total -= 1;
        if let Some(here) = by_address.get_mut(&self.from) {
            *here -= 1;
            if *here == 0 {
                by_address.remove(&self.from);
            }
        }
    }
}

const HANDSHAKE: Duration = Duration::from_secs(10);
const TCP_PAUSE: Duration = Duration::from_millis(100);
const FAREWELL: Duration = Duration::from_secs(2);
const MOST_PENDING: usize = 1024;
const MOST_PENDING_PER_ADDRESS: usize = 20;
/// From here on a caller proves his address before he costs us a signature.
const CROWD: usize = 64;
const MOST_UPLINKS: usize = 4;
const MOST_READS: usize = 4;
const MOST_ENROLMENTS: usize = 8;
/// A node's whole fleet of 2,000 is back within 20 s, and people keep most of the database.
const ADMISSIONS: NonZeroU32 = NonZeroU32::new(100).expect("not zero");

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use governor::clock::FakeRelativeClock;

    use super::*;

    /// D8: all agents are back at one instant and ask again and again. A node's whole fleet is let in within 20 s, and
    /// never faster than what is saved up for one second besides.
    #[test]
    fn a_fleet_that_returns_at_once_is_let_in_by_and_by() {
        const FLEET: usize = 2000;
        const STEPS_A_SECOND: usize = 10;
        let pace = usize::try_from(ADMISSIONS.get()).unwrap();
        let clock = FakeRelativeClock::default();
        let admissions = admissions(clock.clone());
        let mut let_in: Vec<usize> = Vec::new();
        let mut outside = FLEET;
        while outside > 0 {
            let asks = (0..outside).take_while(|_| admissions.check().is_ok());
            let_in.push(asks.count());
            outside -= let_in[let_in.len() - 1];
            assert!(let_in.len() <= 20 * STEPS_A_SECOND, "{outside} are outside");
            clock.advance(Duration::from_secs(1) / STEPS_A_SECOND as u32);
        }
        assert_eq!(let_in[0], pace);
        for second in let_in[1..].windows(STEPS_A_SECOND) {
            let second: usize = second.iter().sum();
            assert!(second <= pace, "{second} in a second");
        }
    }

    #[test]
    fn handshakes_are_bounded_per_address_and_given_back() {
        let pending = Pending::default();
        let from = IpAddr::from([192, 0, 2, 1]);
        let turns: Vec<_> = (0..MOST_PENDING_PER_ADDRESS)
            .map(|_| pending.enter(from))
            .collect();
        assert!(turns.iter().all(Option::is_some));
        assert!(pending.enter(from).is_none());
        assert!(pending.enter(IpAddr::from([192, 0, 2, 2])).is_some());

        drop(turns);
        assert!(pending.enter(from).is_some());
        assert!(pending.addresses().is_empty());
    }

    #[test]
    fn a_crowd_is_noticed_whatever_the_addresses() {
        let pending = Pending::default();
        let turns: Vec<_> = (0..=CROWD)
            .map(|n| pending.enter(IpAddr::from([10, 0, 0, n as u8])).unwrap())
            .collect();
        assert!(!turns[0].crowded);
        assert!(turns[CROWD].crowded);
    }
}
