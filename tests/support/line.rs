//! A line between an agent and a cloud, or between two agents, that does what lines do: takes its time, loses,
//! forgets ports, lets nothing large or no UDP through.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_shared::entropy::Entropy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::ports;

/// A running line. Dropping it cuts it.
pub struct Line {
    /// Where the agent finds the cloud.
    pub address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    cloud: Mutex<SocketAddr>,
    near: Arc<UdpSocket>,
    udp_blocked: AtomicBool,
    tcp_blocked: AtomicBool,
    answers_lost: AtomicBool,
    /// After the next answer over TCP nothing is heard any more.
    last_answer: AtomicBool,
    deaf: AtomicBool,
    /// Ends the connections that stand.
    hang_up: Notify,
    largest: AtomicUsize,
    loss_percent: AtomicUsize,
    /// How long a datagram takes, one way.
    delay_micros: AtomicU64,
    /// What is on its way.
    delayed: mpsc::UnboundedSender<Datagram>,
    /// What datagrams came to, with the headers of IP and UDP.
    octets: AtomicU64,
    entropy: Entropy,
    /// The far socket of each caller.
    far: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>,
}

/// A datagram that is due at the other end at some time.
struct Datagram {
    due: Instant,
    octets: Vec<u8>,
    by: Arc<UdpSocket>,
    to: SocketAddr,
}

impl Line {
    /// A line to `cloud` without a fault; what it loses later is decided by `seed`.
    pub async fn to(cloud: SocketAddr, seed: u64) -> Result<Line> {
        Line::from(Ipv4Addr::LOCALHOST, cloud, seed).await
    }

    /// The same for an agent that finds the cloud at `host`.
    pub async fn from(host: Ipv4Addr, cloud: SocketAddr, seed: u64) -> Result<Line> {
        let near = Arc::new(UdpSocket::bind(ports::free(host)?).await?);
        let (delayed, on_the_way) = mpsc::unbounded_channel();
        let address = near.local_addr()?;
        let listener = TcpListener::bind(address).await;
        let listener = listener.context("the same port over TCP")?;
        let state = Arc::new(State {
            cloud: Mutex::new(cloud),
            near,
            udp_blocked: AtomicBool::new(false),
            tcp_blocked: AtomicBool::new(false),
            answers_lost: AtomicBool::new(false),
            last_answer: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            hang_up: Notify::new(),
            largest: AtomicUsize::new(usize::MAX),
            loss_percent: AtomicUsize::new(0),
            delay_micros: AtomicU64::new(0),
            delayed,
            octets: AtomicU64::new(0),
            entropy: Entropy::seeded(seed),
            far: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(datagrams(state.clone()));
        tasks.spawn(arrive(on_the_way));
        tasks.spawn(connections(state.clone(), listener));
        Ok(Line {
            address,
            state,
            _tasks: tasks,
        })
    }

    /// Whether UDP is swallowed from here on.
    pub fn block_udp(&self, blocked: bool) {
        self.state.udp_blocked.store(blocked, Ordering::Relaxed);
    }

    /// Whether TCP is refused from here on; connections that stand go on.
    pub fn block_tcp(&self, blocked: bool) {
        self.state.tcp_blocked.store(blocked, Ordering::Relaxed);
    }

    /// Whether the line is cut from here on: UDP is swallowed, TCP is refused and what stands ends.
    pub fn cut(&self, cut: bool) {
        self.block_udp(cut);
        self.block_tcp(cut);
        self.state.last_answer.store(false, Ordering::Relaxed);
        self.state.deaf.store(false, Ordering::Relaxed);
        if cut {
            self.state.hang_up.notify_waiters();
        }
    }

    /// Leads to another node of the cloud from here on, as what stands before several does once it noticed that
    /// one is dead; what stands ends.
    pub fn lead_to(&self, cloud: SocketAddr) {
        *self.state.cloud.lock().expect("nobody panics here") = cloud;
        self.forget_ports();
        self.state.hang_up.notify_waiters();
    }

    /// Whether what the cloud sends is swallowed from here on, and TCP is refused: the agent is heard, and hears
    /// nothing.
    pub fn lose_answers(&self, lost: bool) {
        self.state.answers_lost.store(lost, Ordering::Relaxed);
        self.block_tcp(lost);
    }

    /// Swallows what is said over TCP once the next answer has come back, until the line is cut or mended.
    pub fn lose_after_next_answer(&self) {
        self.state.last_answer.store(true, Ordering::Relaxed);
    }

    /// Swallows datagrams whose payload is larger.
    pub fn let_through(&self, octets: usize) {
        self.state.largest.store(octets, Ordering::Relaxed);
    }

    /// Loses so many datagrams of a hundred, either way.
    pub fn lose(&self, percent: usize) {
        self.state.loss_percent.store(percent, Ordering::Relaxed);
    }

    /// Lets every datagram take that long, one way; what is said over TCP is as quick as ever.
    pub fn delay(&self, one_way: Duration) {
        let micros = u64::try_from(one_way.as_micros()).unwrap_or(u64::MAX);
        self.state.delay_micros.store(micros, Ordering::Relaxed);
    }

    /// What was sent in datagrams, either way, with 28 octets of IP and UDP for each; lost ones were sent too.
    pub fn octets(&self) -> u64 {
        self.state.octets.load(Ordering::Relaxed)
    }

    /// Forgets every mapping, as a NAT does that was switched off and on: callers show up from new ports.
    pub fn forget_ports(&self) {
        self.state.far.lock().expect("nobody panics here").clear();
    }
}

impl State {
    fn cloud(&self) -> SocketAddr {
        *self.cloud.lock().expect("nobody panics here")
    }

    /// Sends a datagram on, at once or when its time has come: in the order in which they came.
    async fn carry(&self, octets: &[u8], by: &Arc<UdpSocket>, to: SocketAddr) {
        let delay = Duration::from_micros(self.delay_micros.load(Ordering::Relaxed));
        if delay.is_zero() {
            let _lost = by.send_to(octets, to).await;
            return;
        }
        let _cut = self.delayed.send(Datagram {
            due: Instant::now() + delay,
            octets: octets.to_vec(),
            by: by.clone(),
            to,
        });
    }

    fn loses(&self, octets: usize) -> bool {
        self.octets
            .fetch_add(octets as u64 + HEADERS, Ordering::Relaxed);
        let percent = self.loss_percent.load(Ordering::Relaxed) as u64;
        self.udp_blocked.load(Ordering::Relaxed)
            || octets > self.largest.load(Ordering::Relaxed)
            || self.entropy.below(100) < percent
    }
}

async fn datagrams(state: Arc<State>) {
    let mut readers = JoinSet::new();
    let mut octets = vec![0; 65_536];
    loop {
        let Ok((length, from)) = state.near.recv_from(&mut octets).await else {
            continue;
        };
        if state.loses(length) {
            continue;
        }
        let known = state
            .far
            .lock()
            .expect("nobody panics here")
            .get(&from)
            .cloned();
        let far = match known {
            Some(far) => far,
            None => {
                let Ok(far) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else {
                    continue;
                };
                let far = Arc::new(far);
                let mut all = state.far.lock().expect("nobody panics here");
                all.insert(from, far.clone());
                readers.spawn(back(state.clone(), far.clone(), from));
                far
            }
        };
        let cloud = state.cloud();
        state.carry(&octets[..length], &far, cloud).await;
    }
}

/// IP's and UDP's.
const HEADERS: u64 = 28;

async fn arrive(mut on_the_way: mpsc::UnboundedReceiver<Datagram>) {
    while let Some(datagram) = on_the_way.recv().await {
        tokio::time::sleep_until(datagram.due).await;
        let _lost = datagram.by.send_to(&datagram.octets, datagram.to).await;
    }
}

async fn back(state: Arc<State>, far: Arc<UdpSocket>, to: SocketAddr) {
    let mut octets = vec![0; 65_536];
    while let Ok(length) = far.recv(&mut octets).await {
        if !state.loses(length) && !state.answers_lost.load(Ordering::Relaxed) {
            state.carry(&octets[..length], &state.near, to).await;
        }
    }
}

async fn connections(state: Arc<State>, listener: TcpListener) {
    let mut carried = JoinSet::new();
    loop {
        let Ok((near, _)) = listener.accept().await else {
            continue;
        };
        if state.tcp_blocked.load(Ordering::Relaxed) {
            continue;
        }
        let state = state.clone();
        carried.spawn(async move {
            let hang_up = state.hang_up.notified();
            if let Ok(far) = TcpStream::connect(state.cloud()).await {
                tokio::select! {
                    () = hang_up => {}
                    _ended = carry(&state, near, far) => {}
                }
            }
        });
    }
}

/// Carries what is said and what is answered, until both ends have closed.
async fn carry(state: &State, near: TcpStream, far: TcpStream) {
    let (mut said, mut answer) = near.into_split();
    let (mut answered, mut say) = far.into_split();
    let there = async {
        let mut octets = vec![0; 65_536];
        while let Ok(length @ 1..) = said.read(&mut octets).await {
            let deaf = state.deaf.load(Ordering::Relaxed);
            if !deaf && say.write_all(&octets[..length]).await.is_err() {
                break;
            }
        }
        let _closed_already = say.shutdown().await;
    };
    let back = async {
        let mut octets = vec![0; 65_536];
        while let Ok(length @ 1..) = answered.read(&mut octets).await {
            if state.last_answer.swap(false, Ordering::Relaxed) {
                state.deaf.store(true, Ordering::Relaxed);
            }
            if answer.write_all(&octets[..length]).await.is_err() {
                break;
            }
        }
        let _closed_already = answer.shutdown().await;
    };
    tokio::join!(there, back);
}
