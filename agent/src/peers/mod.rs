//! The agents of one site that reach each other, and how two of them share its vouchers.
//!
//! One agent lets a voucher in for the first time by itself. Where two share the site, any two of three — the
//! one, the other, the cloud — must have written a first use down before anybody is let in by it (`spend.rs`).
//! So whoever of the three is missing, the others go on, and whoever is asked next knows:
//!
//! - one agent is dead: the other one goes on at once, with the cloud;
//! - the cloud is gone: both go on, with each other;
//! - they are cut off from each other: both go on, with the cloud;
//! - two of these at once: nobody is let in for the first time by a voucher. Everything else goes on, and a
//!   minute after the cloud is back whoever reaches it lets vouchers in alone (`sharing.rs`).
//!
//! The first of those that reach each other keeps the site's lines, and tells the others how far it counted
//! (`lead.rs`).
//!
//! A vote is given once. No clock, no lease and nobody's belief about who is dead is part of it.

mod lead;
mod places;
mod sharing;
mod spend;
mod talk;
mod tls;
mod votes;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::id::AgentId;
use easyisp_shared::wire::peer::{KnowsV1, PeerAnswer, PeerQuestion};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::lines::Lines;
use crate::sessions::Sessions;
use crate::site::{Ranges, Site, SiteClock};
use crate::store::{Committed, Done, Job, Outbox};
use crate::sync::{Asker, Identity, LinkStatus};
use talk::Dialled;
use tls::Tls;

pub use sharing::recall;

/// What the site's other agents are met with.
pub struct Parts {
    /// Which agent this is, and how it proves that.
    pub identity: Identity,
    /// What the site knows.
    pub site: Arc<Site>,
    /// Who is online.
    pub sessions: Arc<Sessions>,
    /// Where first uses and votes are written.
    pub outbox: Outbox,
    /// Customers who log in nowhere.
    pub lines: Arc<Lines>,
    /// Monotonic readings.
    pub clock: Arc<SiteClock>,
    /// Where other agents may be.
    pub ranges: Ranges,
    /// The cloud.
    pub cloud: Asker,
    /// Whether it is there.
    pub link: watch::Receiver<LinkStatus>,
}

/// The site's other agents.
pub struct Peers {
    parts: Parts,
    tls: Tls,
    others: Mutex<HashMap<AgentId, Arc<Other>>>,
    /// Ends the latest connection that each of them dialled.
    latest: Mutex<HashMap<AgentId, CancellationToken>>,
    /// Counts what somebody may wait for: somebody met, somebody lost.
    changes: watch::Sender<u64>,
}

/// Another agent of the site.
struct Other {
    agent: AgentId,
    /// The connection to it that this agent dialled.
    stream: tokio::sync::Mutex<Option<Dialled>>,
    touch: Mutex<Touch>,
    /// Whether it has said how far it counted the site's lines.
    counted: AtomicBool,
    /// How it takes being asked that.
    on_counts: Manners,
    /// How much it knew of what the cloud has to say when it was asked last, and how it takes being asked that.
    knows: Mutex<Option<KnowsV1>>,
    on_knows: Manners,
    /// The monotonic reading at which this agent began to dial it.
    met: Duration,
    gone: CancellationToken,
}

/// How another agent takes a question: one of an older release hangs up.
#[derive(Default)]
struct Manners {
    /// How often in a row it hung up.
    hung_up: AtomicU32,
    /// Until which monotonic second it is not asked again for that reason.
    not_asked_until: AtomicU64,
}

/// Whether it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touch {
    Reached,
    /// Since this monotonic reading.
    Lost(Duration),
}

impl Peers {
    /// Needs a runtime.
    ///
    /// # Errors
    /// Where the identity's certificate is not usable.
    pub fn new(parts: Parts) -> Result<Arc<Peers>, rustls::Error> {
        Ok(Arc::new(Peers {
            tls: Tls::new(&parts.identity, &parts.site)?,
            others: Mutex::default(),
            latest: Mutex::default(),
            changes: watch::Sender::new(0),
            parts,
        }))
    }

    /// Listens, dials, and agrees with the others who shares the vouchers, until cancelled.
    pub async fn run(self: Arc<Self>, listener: TcpListener, cancel: CancellationToken) {
        let tasks = TaskTracker::new();
        let heard = places::channel(&self);
        let work = async {
            tokio::join!(
                self.listen(&listener, &tasks, &cancel),
                self.meet(&tasks),
                self.share(),
                self.tell(heard),
            )
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            _never = work => {}
        }
        for other in self.others().values() {
            other.gone.cancel();
        }
        tasks.close();
        tasks.wait().await;
    }

    /// The agents of the site that this one reaches.
    pub fn in_touch(&self) -> Vec<AgentId> {
        let others = self.others();
        let reached = others
            .values()
            .filter(|other| other.touch() == Touch::Reached);
        reached.map(|other| other.agent).collect()
    }

    fn has_counted(&self, agent: AgentId) -> bool {
        let other = self.others().get(&agent).cloned();
        other.is_some_and(|other| other.counted.load(Ordering::Relaxed))
    }

    fn reaches(&self, agent: AgentId) -> bool {
        let other = self.others().get(&agent).cloned();
        other.is_some_and(|other| other.touch() == Touch::Reached)
    }

    /// Those that it does not, and should.
    pub fn missing(&self) -> Vec<AgentId> {
        let others = self.others();
        let lost = others
            .values()
            .filter(|other| other.touch() != Touch::Reached);
        lost.map(|other| other.agent).collect()
    }

    /// Asks another agent; `None` where it is not reached, or does not answer in time.
    async fn ask(&self, agent: AgentId, question: &PeerQuestion) -> Option<PeerAnswer> {
        let other = self.others().get(&agent).cloned()?;
        let asked = async {
            let mut held = other.stream.lock().await;
            // Put back only with its answer: a question that was given up would be answered to the next.
            let mut stream = held.take()?;
            let answer = talk::ask(&mut stream, question, PATIENCE).await.ok()?;
            *held = Some(stream);
            Some(answer)
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        if answer.is_none() {
            self.lost(&other);
        }
        answer
    }

    /// Takes connections: only from where the site's boxes may be, a few at once from each place.
    async fn listen(
        self: &Arc<Self>,
        listener: &TcpListener,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) {
        let callers = Arc::new(Callers::default());
        loop {
            let Ok((stream, source)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if !self.parts.ranges.contain(source.ip()) {
                continue;
            }
            let expected = self.is_told(source.ip());
            let Some(caller) = Callers::take(&callers, source.ip(), expected) else {
                continue;
            };
            let (peers, stop) = (self.clone(), cancel.clone());
            tasks.spawn(async move {
                let _stopped = stop.run_until_cancelled(peers.serve(stream)).await;
                drop(caller);
            });
        }
    }

    async fn serve(&self, stream: TcpStream) {
        let Some(mut stream) = talk::greet(stream, &self.tls).await else {
            return;
        };
        let mut latest: Option<CancellationToken> = None;
        loop {
            let heard = talk::next(&mut stream, &self.parts.site);
            let heard = match &latest {
                None => heard.await,
                Some(overtaken) => match overtaken.run_until_cancelled(heard).await {
                    Some(heard) => heard,
                    None => return,
                },
            };
            let Ok((agent, question)) = heard else { return };
            // What an agent said on an earlier connection must not be heard after what it says on this one.
            let overtaken = latest.get_or_insert_with(|| self.overtake(agent));
            if overtaken.is_cancelled() {
                return;
            }
            let answer = self.answer_to(agent, question).await;
            if talk::answer(&mut stream, &answer).await.is_err() {
                return;
            }
        }
    }

    /// Ends an agent's earlier connection to this one.
    fn overtake(&self, agent: AgentId) -> CancellationToken {
        let latest = CancellationToken::new();
        let callers = self.latest.lock();
        let mut callers = callers.unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = callers.insert(agent, latest.clone()) {
            earlier.cancel();
        }
        latest
    }

    /// Whether another agent told the cloud that it is found at this address.
    fn is_told(&self, address: IpAddr) -> bool {
        let told = self.told().into_iter();
        let mut addresses = told.flat_map(|agent| self.addresses(agent));
        addresses.any(|told| told.ip() == address)
    }

    /// Keeps a connection to each of the agents that the feed names.
    async fn meet(self: &Arc<Self>, tasks: &TaskTracker) {
        let mut policies = self.parts.site.policies();
        loop {
            policies.borrow_and_update();
            self.meet_those(&self.told(), tasks);
            self.changed();
            if policies.changed().await.is_err() {
                return;
            }
        }
    }

    fn meet_those(self: &Arc<Self>, told: &[AgentId], tasks: &TaskTracker) {
        let mut others = self.others();
        others.retain(|agent, other| {
            let stays = told.contains(agent);
            if !stays {
                other.gone.cancel();
            }
            stays
        });
        for agent in told {
            others.entry(*agent).or_insert_with(|| {
                let met = self.parts.clock.monotonic();
                let other = Arc::new(Other {
                    agent: *agent,
                    stream: tokio::sync::Mutex::new(None),
                    touch: Mutex::new(Touch::Lost(met)),
                    counted: AtomicBool::new(false),
                    on_counts: Manners::default(),
                    knows: Mutex::default(),
                    on_knows: Manners::default(),
                    met,
                    gone: CancellationToken::new(),
                });
                let (peers, kept) = (self.clone(), other.clone());
                tasks.spawn(async move {
                    let gone = kept.gone.clone();
                    let _gone = gone.run_until_cancelled(peers.keep(&kept)).await;
                });
                other
            });
        }
    }

    /// Dials an agent, again and again, and asks whether it is there.
    async fn keep(&self, other: &Arc<Other>) {
        let mut pause = PAUSE;
        loop {
            let addresses = self.addresses(other.agent);
            let (tls, site) = (&self.tls, &self.parts.site);
            if let Some(stream) = talk::dial(other.agent, &addresses, tls, site).await {
                *other.stream.lock().await = Some(stream);
                pause = PAUSE;
                let ping = PeerQuestion::Ping;
                while let Some(PeerAnswer::Here) = self.ask(other.agent, &ping).await {
                    if self.reached(other) {
                        self.hear_counts(other).await;
                        self.catch_up(other).await;
                    }
                    self.hear_knowledge(other).await;
                    tokio::time::sleep(BEAT).await;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether that is news.
    fn reached(&self, other: &Other) -> bool {
        let mut touch = other.lock_touch();
        if *touch == Touch::Reached {
            return false;
        }
        *touch = Touch::Reached;
        drop(touch);
        info!(agent.id = %other.agent, "Agent {} of this site is reached", other.agent);
        self.changed();
        true
    }

    fn lost(&self, other: &Other) {
        let mut touch = other.lock_touch();
        if *touch == Touch::Reached {
            *touch = Touch::Lost(self.parts.clock.monotonic());
            drop(touch);
            info!(agent.id = %other.agent, "Agent {} of this site is not reached any more", other.agent);
            self.changed();
        }
    }

    /// The other agents that the feed names.
    fn told(&self) -> Vec<AgentId> {
        let policy = self.parts.site.policy();
        let told = policy.row.iter().flat_map(|row| &row.agents);
        // Who hears nobody is named, because it counts what is used as they do.
        let others = told
            .filter(|told| !told.addresses.is_empty())
            .filter(|told| told.agent != self.parts.identity.agent);
        others.map(|told| told.agent).collect()
    }

    /// Where an agent listens, as it told the cloud, inside the site's ranges.
    fn addresses(&self, agent: AgentId) -> Vec<SocketAddr> {
        let policy = self.parts.site.policy();
        let told = policy.row.iter().flat_map(|row| &row.agents);
        let of_it = told.filter(|told| told.agent == agent);
        let addresses = of_it.flat_map(|told| &told.addresses).copied();
        addresses
            .filter(|address| self.parts.ranges.contain(address.ip()))
            .take(MOST_ADDRESSES)
            .collect()
    }

    /// Writes to the outbox; whether it is on stable storage.
    async fn durably(&self, job: impl FnOnce(Done) -> Job) -> bool {
        let (told, committed) = tokio::sync::oneshot::channel();
        let job = job(Box::new(move |outcome| {
            let _nobody_waits = told.send(outcome);
        }));
        self.parts.outbox.submit(job).is_ok() && matches!(committed.await, Ok(Committed::Yes))
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn others(&self) -> MutexGuard<'_, HashMap<AgentId, Arc<Other>>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Other {
    fn touch(&self) -> Touch {
        *self.lock_touch()
    }

    fn lock_touch(&self) -> MutexGuard<'_, Touch> {
        self.touch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is connected, by address: who is not expected takes nobody's place who is.
#[derive(Default)]
struct Callers(Mutex<HashMap<IpAddr, usize>>);

struct Caller {
    callers: Arc<Callers>,
    source: IpAddr,
}

impl Callers {
    fn take(callers: &Arc<Callers>, source: IpAddr, expected: bool) -> Option<Caller> {
        let mut counts = callers.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = counts.values().sum();
        let most = match expected {
            true => MOST_CALLERS,
            false => MOST_UNEXPECTED,
        };
        let count = counts.entry(source).or_default();
        if all >= most || *count >= MOST_FROM_ONE {
            if *count == 0 {
                counts.remove(&source);
            }
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Caller {
            callers: callers.clone(),
            source,
        })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let counts = self.callers.0.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
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
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((towards, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// An address of documentation (RFC 5737), which the default route leads to.
const OUT_THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const MOST_ADDRESSES: usize = 4;
/// A site has a few boxes, each with one connection that stands and perhaps one that is dying.
const MOST_CALLERS: usize = 64;
/// Boxes behind a translated address.
const MOST_UNEXPECTED: usize = 16;
const MOST_FROM_ONE: usize = 4;
/// A router waits for a login about as long.
const PATIENCE: Duration = Duration::from_secs(2);
const BEAT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
