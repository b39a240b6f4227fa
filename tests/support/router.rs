//! A pretend MikroTik: subscribers dial, RADIUS answers, sessions run, CoA and Disconnect are obeyed or not.
//!
//! It behaves as facts about RouterOS say (timers, attributes and their order, session ids, who is
//! hit by a Disconnect), and as strictly as the strictest build: an answer without a valid
//! Message-Authenticator is a bad reply. Sessions live on the [`Clock`]; resend timers are real
//! time, for they guard real sockets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::{Clock, Timestamp};

use crate::scenario::{ApiManners, Manners};

pub mod api;
pub mod dhcp;
mod fixed;
pub mod grants;
pub mod kept;
pub mod ledger;
mod life;
mod lines;
mod logs;
mod mangle;
pub mod online;
mod orders;
mod record;
mod request;
mod schedule;
pub mod script;
pub mod senses;
pub mod session;
pub mod snmp;
pub mod software;
pub mod subscriber;
mod users;
pub mod wiring;

use api::{Api, Face};
use ledger::Ledger;
use lines::Lines;
use online::{Online, Traffic};
use script::Machine;
use senses::Senses;
use session::{Cause, Session, Usage};
use snmp::Snmp;
use software::Software;
use subscriber::{Method, Subscriber};
use wiring::{Lan, Wiring};

/// How a pretend router is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `/system identity`.
    pub identity: String,
    /// The address it sends from; the loopback network has 16 million of them.
    pub source: Ipv4Addr,
    /// The secret of its `/radius` entries.
    pub secret: String,
    /// Its `/radius` entries, asked in this order.
    pub servers: Vec<Server>,
    /// `timeout` of the `/radius` entries: RouterOS ships 300 ms, the manual says 1100 ms.
    pub resend: Duration,
    /// How often a request is sent again before the router gives up on a server.
    pub resends: u32,
    /// How many copies of each datagram leave at once: a duplicating network.
    pub copies: u32,
    /// What it demands of answers.
    pub strictness: Strictness,
    /// `/ppp aaa interim-update`, where the Accept names no interval.
    pub interim: Option<Duration>,
    /// `/radius incoming`: where CoA and Disconnect are taken; `None` is `accept=no`.
    pub incoming: Option<SocketAddr>,
    /// `/ip service`: its API, where that is enabled.
    pub api: Option<Api>,
    /// `/snmp`, where that is enabled.
    pub snmp: Option<Snmp>,
    /// The first address of its pool.
    pub pool: Ipv4Addr,
    /// Its configuration where it comes from somewhere else, as from the factory; secret, servers and users are then
    /// what stands there.
    pub fresh: Option<Machine>,
    /// Where the addresses of its network are.
    pub lan: Lan,
}

/// One `/radius` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where logins are asked.
    pub auth: SocketAddr,
    /// Where accounting goes.
    pub acct: SocketAddr,
}

/// What a router demands of the answer to a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// A build before `require-message-auth`: sends no Message-Authenticator and asks for none.
    Old,
    /// 7.15 and newer: it sends one, as the last attribute, and drops answers without a valid one.
    Signed,
    /// The same, and the answer's must be its first attribute (faults.md A2).
    SignedFirst,
}

impl Settings {
    /// A router at 127.0.0.1 that asks one server; CoA on a free port.
    pub fn new(secret: &str, auth: SocketAddr, acct: SocketAddr) -> Settings {
        Settings {
            identity: "MikroTik".to_owned(),
            source: Ipv4Addr::LOCALHOST,
            secret: secret.to_owned(),
            servers: vec![Server { auth, acct }],
            resend: Duration::from_millis(300),
            resends: 3,
            copies: 1,
            strictness: Strictness::SignedFirst,
            interim: None,
            incoming: Some((Ipv4Addr::LOCALHOST, 0).into()),
            api: None,
            snmp: None,
            pool: Ipv4Addr::new(10, 64, 0, 2),
            fresh: None,
            lan: Lan::default(),
        }
    }

    /// Which version it is: that of its API, else that of what its SNMP was recorded from.
    fn face(&self) -> Face {
        let recorded = self.snmp.as_ref().map(|snmp| snmp.recording.face());
        let api = self.api.as_ref().map(|api| api.face);
        api.or(recorded).unwrap_or(Face::Seven)
    }
}

/// A handle on a running pretend router; clones share it.
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    clock: Clock,
    entropy: Entropy,
    lines: Lines,
    incoming: Option<SocketAddr>,
    api: Option<SocketAddr>,
    snmp: Option<SocketAddr>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct State {
    /// The third hex digit of session ids.
    boot: u8,
    /// When the power came back last.
    booted: Timestamp,
    /// Sessions since boot; the last five hex digits of their ids.
    born: u32,
    /// Addresses handed out of the pool so far.
    leases: u32,
    /// The first of them.
    pool: Ipv4Addr,
    sessions: HashMap<String, life::Live>,
    manners: Manners,
    api_manners: ApiManners,
    /// The cable to the agent is out: nothing goes, nothing comes.
    unplugged: bool,
    /// The port behind which the agent really is, whatever the router's tables say.
    agent_port: Option<String>,
    /// The only `/radius` entry that is not disabled, by its place; `None` = all are asked in turn.
    only: Option<usize>,
    counters: Counters,
    ledger: Ledger,
    /// `/ppp secret` and `/ip hotspot user`.
    users: Vec<users::LocalUser>,
    /// Menus whose rows stay.
    kept: kept::Kept,
    /// Its configuration.
    machine: Machine,
    /// What that means.
    wiring: Arc<Wiring>,
    /// Who came in over its API, and from where as it sees him.
    entered: Vec<(String, IpAddr)>,
    /// What goes wrong with commands of its API.
    mishaps: Vec<(String, Mishap)>,
    /// Every command of its API that changes something, in order.
    orders_of_api: Vec<String>,
    /// What goes wrong with the one that comes at this place of them.
    nth: Option<(usize, Mishap)>,
    /// How many rows its API tells in a second, where it is slow.
    rows_a_second: Option<u32>,
    /// What it runs.
    software: Software,
    /// What a story set of its processor and its sensors.
    senses: Senses,
    /// What went through its uplink since it started, without what those who are online now sent and got.
    passed: Usage,
    /// Until when it starts.
    away_until: Option<Timestamp>,
}

/// What goes wrong with a command of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It is refused, in these words.
    Refuse(String),
    /// The power is cut, and comes back.
    Reboot,
    /// The cable to the agent is pulled.
    Unplug,
    /// It is said to be done, and is not.
    Pretend,
    /// The connection ends before it was heard.
    Hangup,
    /// It goes on and on, without a word, until it is cancelled.
    Linger,
    /// It is answered in another way than whole and at once.
    Tell(Telling),
}

/// How the rows of an answer are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// All of them.
    Whole,
    /// Half of them, as if these were all.
    Half,
    /// Half of them, and the connection ends.
    HalfAndLeave,
    /// Each of them twice.
    Twice,
    /// Twenty a second.
    Slowly,
    /// In turn with those of others, once so many such commands wait: a row of each, and so on.
    Mixed(usize),
}

/// `/radius monitor` and `/radius incoming monitor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests begun.
    pub requests: u64,
    /// Accepts.
    pub accepts: u64,
    /// Rejects.
    pub rejects: u64,
    /// Datagrams sent again.
    pub resends: u64,
    /// Requests given up.
    pub timeouts: u64,
    /// Answers dropped: wrong authenticator, or none where one is demanded.
    pub bad_replies: u64,
    /// CoA and Disconnect requests with a good authenticator.
    pub orders: u64,
    /// Datagrams at the CoA port that were dropped.
    pub bad_orders: u64,
    /// ACKs sent.
    pub acks: u64,
    /// NAKs sent.
    pub naks: u64,
    /// Logins at the API that succeeded.
    pub api_logins: u64,
    /// Logins there that were refused.
    pub api_refusals: u64,
    /// Commands that were cancelled there while they went on.
    pub api_cancelled: u64,
    /// Commands taken there.
    pub api_commands: u64,
    /// What its scheduler posted somewhere, taken and refused.
    pub posts_taken: u64,
    /// See above.
    pub posts_refused: u64,
    /// Sessions that were removed there.
    pub api_removals: u64,
    /// Times its own addresses were read there, last of all it has of lines.
    pub api_plans: u64,
}

impl Router {
    /// Starts a router on the system's clock.
    pub async fn start(settings: Settings) -> std::io::Result<Router> {
        Router::start_on(settings, Clock::system(), Entropy::system()).await
    }

    /// The same on a clock and randomness that a test holds.
    pub async fn start_on(
        settings: Settings,
        clock: Clock,
        entropy: Entropy,
    ) -> std::io::Result<Router> {
        let incoming = match settings.incoming {
            Some(address) => Some(UdpSocket::bind(address).await?),
            None => None,
        };
        let api = match &settings.api {
            Some(api) => Some((TcpListener::bind(api.listen).await?, api.clone())),
            None => None,
        };
        let snmp = match &settings.snmp {
            Some(snmp) => Some(UdpSocket::bind(snmp.listen).await?),
            None => None,
        };
        let snmp_address = snmp.as_ref().map(UdpSocket::local_addr);
        let api_address = api.as_ref().map(|(listener, _)| listener.local_addr());
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let booted = clock.now();
        let coa = incoming.as_ref().map(UdpSocket::local_addr).transpose()?;
        let machine = match &settings.fresh {
            Some(fresh) => fresh.clone(),
            None => Machine::running(&settings, coa.map(|address| address.port())),
        };
        let wiring = Arc::new(Wiring::of(&machine, &settings.lan));
        let router = Router {
            shared: Arc::new(Shared {
                clock,
                entropy,
                lines: Lines::new(IpAddr::V4(settings.source), tasks.clone(), stop.clone()),
                incoming: coa,
                api: api_address.transpose()?,
                snmp: snmp_address.transpose()?,
                state: Mutex::new(State {
                    boot: 1,
                    booted,
                    born: 0,
                    leases: 0,
                    pool: settings.pool,
                    sessions: HashMap::new(),
                    manners: Manners::Obey,
                    api_manners: ApiManners::Obey,
                    unplugged: false,
                    agent_port: None,
                    only: None,
                    counters: Counters::default(),
                    ledger: Ledger::default(),
                    users: Vec::new(),
                    kept: kept::Kept::used(),
                    machine,
                    wiring,
                    entered: Vec::new(),
                    mishaps: Vec::new(),
                    orders_of_api: Vec::new(),
                    nth: None,
                    rows_a_second: None,
                    software: Software::of(&settings),
                    senses: Senses::default(),
                    passed: settings.passed(),
                    away_until: None,
                }),
                changed: watch::Sender::new(()),
                tasks,
                stop,
                settings,
            }),
        };
        if let Some(socket) = incoming {
            router.spawn(orders::listen(router.clone(), socket));
        }
        if let Some((listener, api)) = api {
            router.spawn(api::listen(router.clone(), listener, api));
        }
        router.spawn(schedule::keep(router.clone()));
        if let Some(socket) = snmp {
            router.spawn(snmp::listen(router.clone(), socket));
        }
        Ok(router)
    }

    /// Stops everything without a word to anybody, as a pulled plug does.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Where CoA and Disconnect are taken.
    pub fn incoming(&self) -> Option<SocketAddr> {
        self.shared.incoming
    }

    /// Where its API is.
    pub fn api(&self) -> Option<SocketAddr> {
        self.shared.api
    }

    /// Where its SNMP is.
    pub fn snmp(&self) -> Option<SocketAddr> {
        self.shared.snmp
    }

    /// A PPPoE subscriber behind this router, ready to dial. See [`Subscriber`] for the hotspot.
    pub fn subscriber(&self, name: &str, password: &str, method: Method) -> Subscriber {
        Subscriber::new(self.clone(), name, password, method)
    }

    /// Keeps a subscriber online with traffic until the router stops: dials again 3 seconds after
    /// a session ended and 10 seconds after a refusal.
    pub fn keep_online(&self, subscriber: Subscriber, traffic: Traffic) {
        self.spawn(subscriber::keep_online(subscriber, traffic));
    }

    /// Says how CoA and Disconnect are treated from here on.
    pub fn manners(&self, manners: Manners) {
        self.change(|state| state.manners = manners);
    }

    /// Says how the API treats its visitors from here on.
    pub fn api_manners(&self, manners: ApiManners) {
        self.change(|state| state.api_manners = manners);
    }

    /// Has a command of the API, such as `/ip/hotspot/add`, go wrong: once, but for refusals, which last.
    pub fn mishap(&self, command: &str, mishap: Mishap) {
        self.change(|state| state.mishaps.push((command.to_owned(), mishap)));
    }

    /// Has the command go wrong that comes after so many others from here on, of those that change something: once.
    pub fn mishap_after(&self, others: usize, mishap: Mishap) {
        self.change(|state| state.nth = Some((state.orders_of_api.len() + others, mishap)));
    }

    /// Has the API tell so many rows in a second from here on, by the clock of the world outside: a small processor at a
    /// long list. `None` is as fast as it goes.
    pub fn slow(&self, rows_a_second: Option<u32>) {
        self.change(|state| state.rows_a_second = rows_a_second);
    }

    /// Every command of its API so far that would change something, in order.
    pub fn ordered_by_api(&self) -> Vec<String> {
        self.state().orders_of_api.clone()
    }

    /// Has nothing go wrong any more.
    pub fn mend(&self) {
        self.change(|state| {
            state.mishaps.clear();
            state.nth = None;
            state.unplugged = false;
        });
    }

    /// Pulls the cable between router and agent, or puts it back. Subscribers stay online.
    pub fn unplug(&self, out: bool) {
        self.change(|state| state.unplugged = out);
    }

    /// Puts the agent behind a port: where that becomes a bridge's, no packet of the agent's comes to an address of the
    /// router any more.
    pub fn agent_behind(&self, port: Option<&str>) {
        self.change(|state| state.agent_port = port.map(str::to_owned));
    }

    /// Disables every `/radius` entry but one, or enables them all again.
    pub fn ask_only(&self, server: Option<usize>) {
        self.change(|state| state.only = server);
    }

    /// The entries that are asked, in this order.
    fn servers(&self) -> Vec<Server> {
        let only = self.state().only;
        let wiring = self.wiring();
        let servers = wiring.servers.iter().enumerate();
        servers
            .filter(|(place, _)| only.is_none_or(|only| only == *place))
            .map(|(_, server)| *server)
            .collect()
    }

    /// Somebody with a secret on the router itself (`/ppp secret`) dials: RADIUS is not asked.
    pub fn dial_locally(&self, name: &str, mac: &str) -> Online {
        self.list_user(session::Service::Pppoe, name, mac)
    }

    /// The same at the hotspot (`/ip hotspot user`).
    pub fn log_in_locally(&self, name: &str, mac: &str) -> Online {
        self.list_user(session::Service::Hotspot, name, mac)
    }

    fn list_user(&self, service: session::Service, name: &str, mac: &str) -> Online {
        let now = self.shared.clock.now();
        let id = self.next_id(service);
        let address = self.lease();
        let mut session = Session::new(
            id.clone(),
            name,
            service,
            mac,
            address,
            grants::Grants::default(),
            now,
        );
        session.radius = false;
        let number = self.list_locally(session);
        Online {
            router: self.clone(),
            id,
            number,
        }
    }

    /// Power is cut and comes back: every session is gone without a Stop, the boot digit grows.
    pub fn reboot(&self) {
        let now = self.shared.clock.now();
        self.change(|state| {
            state.boot = (state.boot + 1) % 16;
            state.booted = now;
            state.born = 0;
            state.passed = Usage::default();
            state.kept.count_anew();
            state.machine.forget_memory();
            for (_, live) in state.sessions.drain() {
                state
                    .ledger
                    .ended(live.number, Cause::Reboot, live.session.usage(now));
            }
        });
    }

    /// The active list.
    pub fn sessions(&self) -> Vec<Session> {
        let state = self.state();
        let mut sessions: Vec<Session> = state
            .sessions
            .values()
            .map(|live| live.session.clone())
            .collect();
        sessions.sort_by(|one, other| one.id.cmp(&other.id));
        sessions
    }

    /// This user's sessions, oldest first.
    pub fn sessions_of(&self, user: &str) -> Vec<Session> {
        let mut sessions = self.sessions();
        sessions.retain(|session| session.user == user);
        sessions
    }

    /// The counters of `/radius monitor`.
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// What accounting was answered: the acknowledged set of V6.
    pub fn ledger(&self) -> Ledger {
        self.state().ledger.clone()
    }

    /// Waits until the router answers `question` with something; never sleeps.
    pub async fn until<T>(&self, question: impl Fn(&Router) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        loop {
            if let Some(answer) = question(self) {
                return answer;
            }
            changed
                .changed()
                .await
                .expect("the sender lives as long as this handle");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .expect("no change of the state panics")
    }

    /// Changes the state and wakes everybody who waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.shared.changed.send_replace(());
        result
    }

    /// Runs a task until the router stops.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.shared.stop.clone();
        self.shared
            .tasks
            .spawn(async move { stop.run_until_cancelled(task).await });
    }
}

#[cfg(test)]
mod tests;
