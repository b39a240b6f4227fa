//! A line between an agent and a cloud, or between two agents, that does what lines do: loses, forgets ports,
//! lets nothing large or no UDP through.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use easyisp_shared::entropy::Entropy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Notify;
use tokio::task::JoinSet;

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
    near: UdpSocket,
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
    entropy: Entropy,
    /// The far socket of each caller.
    far: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>,
}

impl Line {
    /// A line to `cloud` without a fault; what it loses later is decided by `seed`.
    pub async fn to(cloud: SocketAddr, seed: u64) -> Result<Line> {
        Line::from(Ipv4Addr::LOCALHOST, cloud, seed).await
    }

    /// The same for an agent that finds the cloud at `host`.
    pub async fn from(host: Ipv4Addr, cloud: SocketAddr, seed: u64) -> Result<Line> {
        let near = UdpSocket::bind(ports::free(host)?).await?;
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
            entropy: Entropy::seeded(seed),
            far: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(datagrams(state.clone()));
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

    /// Forgets every mapping, as a NAT does that was switched off and on: callers show up from new ports.
    pub fn forget_ports(&self) {
        self.state.far.lock().expect("nobody panics here").clear();
    }
}

impl State {
    fn cloud(&self) -> SocketAddr {
        *self.cloud.lock().expect("nobody panics here")
    }

    fn loses(&self, octets: usize) -> bool {
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
        let _lost = far.send_to(&octets[..length], state.cloud()).await;
    }
}

async fn back(state: Arc<State>, far: Arc<UdpSocket>, to: SocketAddr) {
    let mut octets = vec![0; 65_536];
    while let Ok(length) = far.recv(&mut octets).await {
        if !state.loses(length) && !state.answers_lost.load(Ordering::Relaxed) {
            let _lost = state.near.send_to(&octets[..length], to).await;
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
